"""What dead processes have left beside a target is removed or put back; what might be its last copy stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from densecast.io import temporaries

DEAD = "999999999"


def left(target: Path, *, old: bool = False, text: str = "") -> Path:
    """A file that a process has left which is no more."""
    made = temporaries.beside_for_old(target) if old else temporaries.beside(target)
    parts = made.name.split("-")
    parts[4] = DEAD
    path = made.with_name("-".join(parts))
    path.write_text(text)
    return path


def test_what_was_moved_aside_stays_until_its_own_target_is_there(tmp_path: Path) -> None:
    target, other = tmp_path / "a", tmp_path / "b"
    kept = left(other, old=True, text="the last copy of b")
    target.touch()
    temporaries.sweep(target)
    assert kept.exists(), "b is not there"
    other.touch()
    temporaries.sweep(target)
    assert kept.exists(), "it is b's, and a is being written"
    temporaries.sweep(other)
    assert not kept.exists()


def test_unfinished_files_go_whosever_they_are(tmp_path: Path) -> None:
    mine, others = left(tmp_path / "a"), left(tmp_path / "b")
    folder = left(tmp_path / "c")
    folder.unlink()
    (folder / "in").mkdir(parents=True)
    temporaries.sweep(tmp_path / "a")
    assert not mine.exists() and not others.exists() and not folder.exists()


def test_of_two_copies_moved_aside_the_newer_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "a"
    for when, text in ((2000, "new"), (1000, "old")):
        os.utime(left(target, old=True, text=text), (when, when))
    left(tmp_path / "b", old=True, text="another's")
    left(target, text="unfinished")
    temporaries.recover(target)
    assert target.read_text() == "new"
    target.write_text("newer")
    temporaries.recover(target)
    assert target.read_text() == "newer"


def test_a_folder_is_swept_once_and_names_are_known_by_their_form(tmp_path: Path) -> None:
    first = left(tmp_path / "a")
    temporaries.sweep_once(tmp_path / "a")
    second = left(tmp_path / "a")
    temporaries.sweep_once(tmp_path / "b")
    assert not first.exists() and second.exists()
    assert temporaries.is_temporary(second.name) and temporaries.is_temporary(second.name + ".old")
    for name in ("a", ".densecast-notes", second.name + "x", second.name[1:], second.name + ".old.old"):
        assert not temporaries.is_temporary(name)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "nothing"])
def test_whatever_is_there_is_removed_and_a_links_target_stays(tmp_path: Path, kind: str) -> None:
    path, kept = tmp_path / "x", tmp_path / "kept"
    kept.mkdir()
    (kept / "a").touch()
    if kind == "file":
        path.touch()
    elif kind == "folder":
        (path / "in").mkdir(parents=True)
    elif kind == "link":
        path.symlink_to(kept)
    temporaries.remove(path)
    assert not os.path.lexists(path) and (kept / "a").exists()


def test_of_a_folder_all_goes_that_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked, unlink = tmp_path / "folder", list[object](), os.unlink
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}").touch()

    def first_stays(path: object, **more: object) -> None:
        asked.append(path)
        if len(asked) == 1:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", first_stays)
    temporaries.remove(folder)
    assert len(asked) == 5 and [each.name for each in folder.iterdir()] == [Path(str(asked[0])).name]
