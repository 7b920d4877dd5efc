"""A reader sees the old file or folder, or the new one; never half of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import tree

from densecast import artifact
from densecast.errors import UsageError
from densecast.io import files, system


class Killed(BaseException):
    """Stands for the end of the process in the middle of things."""


def fill(folder: Path, text: str) -> None:
    (folder / "a.txt").write_text(text)
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text(text)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Killed])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path: Path, is_there: bool, error: type[BaseException]) -> None:
    target = tmp_path / "deep" / "target"
    if is_there:
        target.mkdir(parents=True)
        fill(target, "old")
    before = tree(tmp_path)
    with pytest.raises(error), files.new_folder(target) as scratch:
        fill(scratch, "new")
        raise error
    before.setdefault("deep", b"")  # the parent of the target may stay
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_ends_well_replaces_all_of_the_old(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "target"
    if is_there:
        target.mkdir()
        (target / "left over.txt").write_text("old")
    with files.new_folder(target) as scratch:
        fill(scratch, "new")
        assert scratch.name.startswith(".") and scratch.parent == tmp_path
    assert tree(tmp_path) == {"target": b"", "target/a.txt": b"new", "target/inner": b"", "target/inner/b.txt": b"new"}


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot exchange two names in one step."""
    monkeypatch.setattr(files, "exchange", lambda one, other: False)


@pytest.mark.usefixtures("without_exchange")
def test_without_an_exchange_of_names_the_old_folder_is_replaced_all_the_same(tmp_path: Path) -> None:
    test_a_folder_that_ends_well_replaces_all_of_the_old(tmp_path, True)


@pytest.mark.usefixtures("without_exchange")
def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    fill(target, "old")
    before = tree(tmp_path)
    real = Path.rename

    def refuses_the_new(self: Path, other: Path) -> Path:
        if (self / "a.txt").read_text() == "new":
            raise OSError("no")
        return real(self, other)

    monkeypatch.setattr(Path, "rename", refuses_the_new)
    with pytest.raises(OSError, match="no"), files.new_folder(target) as scratch:
        fill(scratch, "new")
    assert tree(tmp_path) == before


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fails(handle: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="no space"):
        files.write_text(path, "new")
    assert tree(tmp_path) == {"a.txt": b"old"}


def test_files_are_written_through_missing_folders(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "x" / "y" / "a.bin", b"\x00\xff")
    assert (tmp_path / "x" / "y" / "a.bin").read_bytes() == b"\x00\xff"


def test_hashes_are_sha256s(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1.
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == files.sha256_text("abc") == wanted


def test_an_artifact_replaces_nothing_but_artifacts(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"precious")
    (tmp_path / "notes.txt").write_text("precious")
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    for name in ("photos", "notes.txt"):
        with pytest.raises(UsageError, match="is no artifact"), artifact.writing(tmp_path / name):
            pytest.fail("the block must not be entered")
    assert tree(tmp_path) == before
    assert artifact.Artifact.existing(tmp_path / "empty", "key") is None
    assert artifact.Artifact.existing(tmp_path / "absent", "key") is None


def test_text_with_a_tilde_is_in_the_home_folder_and_a_path_is_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.given("~/a/b") == tmp_path / "a" / "b"
    assert files.given("./~/a") == files.given(Path("~/a")) == Path("~/a")
    assert files.given("a~/b") == Path("a~/b")


def test_what_cannot_be_exchanged_is_told_from_what_fails(tmp_path: Path) -> None:
    """By rename(2): a folder and what lies in it are EINVAL, and a name that is not there is ENOENT."""
    inner = tmp_path / "folder" / "in"
    inner.mkdir(parents=True)
    (tmp_path / "file").write_text("a")
    assert not system.exchange(tmp_path / "folder", inner)
    can = system.exchange(tmp_path / "folder", tmp_path / "file")
    assert (tmp_path / "folder").is_file() == (tmp_path / "file" / "in").is_dir() == can
    if can:  # as on Linux; elsewhere nothing is exchanged, and nothing fails
        with pytest.raises(FileNotFoundError):
            system.exchange(tmp_path / "file", tmp_path / "none")
