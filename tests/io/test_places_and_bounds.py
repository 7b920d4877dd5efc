"""What counts as a path, as a changed folder, as a place to write to, and as a value of the kind that is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from densecast.errors import BadConfigError, UsageError, WriteError
from densecast.io import codec, config_files, files


@pytest.mark.parametrize(
    ("given", "found"), [("~/a", "/home/me/a"), ("~", "~"), ("a/~/b", "a/~/b"), (Path("~/a"), "~/a")]
)
def test_only_text_that_begins_at_home_is_there(monkeypatch: pytest.MonkeyPatch, given: str | Path, found: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert files.given(given) == Path(found)


def test_one_path_is_no_sequence_of_letters_and_several_keep_their_order() -> None:
    assert files.several("ab", "images") == ("ab",)
    assert files.several(Path("a"), "images") == (Path("a"),)
    assert files.several(iter(["b", Path("a")]), "images") == ("b", Path("a"))
    assert files.several([], "images") == ()
    assert files.several([3, "a"], "images", int) == (3, "a") and files.several(3, "images", int) == (3,)


@pytest.mark.parametrize(("wrong", "named"), [(3, "3"), (["a", 3, None], "3"), ([b"a"], "b'a'"), (None, "None")])
def test_what_is_no_path_is_named(wrong: Any, named: str) -> None:
    with pytest.raises(UsageError, match=rf"^images must be paths, got {named}\.$") as raised:
        files.several(wrong, "images")
    assert raised.value.field == "images"
    for each in (wrong, 3):
        with pytest.raises(UsageError, match="a path is needed"):
            files.given(each)


def test_a_folders_state_changes_with_every_name_size_and_time_and_with_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (folder / name).write_text("text")
        os.utime(folder / name, (1000, 1000))
    seen = [files.tree_state(folder)]
    (folder / ".hidden").write_text("x")
    (folder / "empty").mkdir()
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    assert files.tree_state(folder) == seen[0]
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert files.tree_state(moved) == seen[0], "where it lies is no part of it"
    os.utime(moved / "sub" / "b", (1000, 1001))
    seen.append(files.tree_state(moved))
    (moved / "a").write_text("text2")
    os.utime(moved / "a", (1000, 1000))
    seen.append(files.tree_state(moved))
    (moved / "a").rename(moved / "c")
    seen += [files.tree_state(moved), files.tree_state(moved / "c"), files.tree_state(tmp_path / "none")]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("most", "read"), [(3, 4), (4, 5), (5, 5), (6, 5)])
def test_of_a_longer_file_one_byte_more_than_the_bound_is_read(tmp_path: Path, most: int, read: int) -> None:
    (tmp_path / "a").write_bytes(b"abcde")
    assert files.read_bounded(tmp_path / "a", most) == b"abcde"[:read]


def test_a_place_below_a_file_or_at_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for fine in ("new", "new/deeper/still", "file"):
        files.require_place(tmp_path / fine, "out")
    files.require_place(Path("/dev/null"), "out")
    with pytest.raises(UsageError, match=r"is a folder\. Name a file") as folder:
        files.require_place(tmp_path, "out")
    with pytest.raises(WriteError, match="file is no folder") as below:
        files.require_place(tmp_path / "file" / "a" / "b", "out")
    assert folder.value.field == below.value.field == "out"
    with pytest.raises(UsageError, match="is a URL"):
        files.require_place(Path("s3://bucket/a"), "out")


@dataclass(frozen=True)
class Inner:
    """A table."""

    n: int


@dataclass(frozen=True)
class Every:
    """A field of each kind."""

    whole: int = 0
    number: float = 0.0
    flag: bool = False
    text: str = ""
    word: Literal["a", "b"] = "a"
    many: tuple[int, ...] = ()
    two: tuple[int, int] = (0, 0)
    listed: list[int] | None = None
    table: dict[str, int] | None = None
    inner: Inner = Inner(1)
    place: Path = Path()
    above: Annotated[int, Field(gt=3)] = 4
    least: Annotated[int, Field(ge=3)] = 3
    below: Annotated[int, Field(lt=3)] = 2
    most: Annotated[int, Field(le=3)] = 3
    finite: Annotated[float, Field(allow_inf_nan=False)] = 1.0


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("whole", "x", "must be a whole number, got 'x'"),
        ("whole", 1.5, "must be a whole number, got 1.5"),
        ("whole", [], "must be a whole number, got []"),
        ("number", "x", "must be a number, got 'x'"),
        ("number", {}, "must be a number, got {}"),
        ("flag", "perhaps", "must be true or false, got 'perhaps'"),
        ("flag", [], "must be true or false, got []"),
        ("text", 3, "must be text, got 3"),
        ("word", "c", "must be 'a' or 'b', got 'c'"),
        ("many", 3, "must be a list, got 3"),
        ("two", [1], "must be a list of more than 1 values"),
        ("inner", 3, "must be a table of keys and values, got 3"),
        ("place", 3, "must be a path, got 3"),
        ("above", 3, "must be above 3, got 3"),
        ("least", 2, "must be at least 3, got 2"),
        ("below", 3, "must be below 3, got 3"),
        ("most", 4, "must be at most 3, got 4"),
        ("finite", float("inf"), "must be a finite number, got inf"),
        ("text", 10**70, f"must be text, got 1{'0' * 59}"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_plain_words(key: str, value: object, said: str) -> None:
    with pytest.raises(BadConfigError) as raised:
        codec.from_plain({key: value}, Every, "job.toml")
    assert str(raised.value).removeprefix(f"job.toml: {key}").lstrip("0123456789.").removeprefix(": ") == f"{said}."
    assert (raised.value.field or "").partition(".")[0] == key


def test_bounds_themselves_are_allowed() -> None:
    assert codec.from_plain({"above": 4, "least": 3, "below": 2, "most": 3}, Every, "job.toml") == Every()


def chain(folder: Path, levels: int) -> Path:
    """A configuration whose base has a base, …: so many files, one above the other."""
    for level in range(levels):
        base = f"_base_ = 'level{level + 1}.py'\n" if level + 1 < levels else ""
        (folder / f"level{level}.py").write_text(f"{base}a{level} = {level}\n")
    return folder / "level0.py"


def test_base_files_may_lie_twelve_deep(tmp_path: Path) -> None:
    assert config_files.read(chain(tmp_path, 12)) == {f"a{level}": level for level in range(12)}
    with pytest.raises(BadConfigError, match="too many") as raised:
        config_files.read(chain(tmp_path, 13))
    assert raised.value.field == "config"


def wide(folder: Path, bases: int) -> Path:
    for number in range(bases):
        (folder / f"base{number}.py").write_text(f"a{number} = {number}\n")
    (folder / "own.py").write_text(f"_base_ = {[f'base{number}.py' for number in range(bases)]}\nb = 1\n")
    return folder / "own.py"


def test_a_configuration_may_have_sixty_four_files(tmp_path: Path) -> None:
    assert len(config_files.read(wide(tmp_path, 63))) == 64
    assert [path.name for path, _ in config_files.texts(tmp_path / "own.py")][:3] == ["own.py", "base0.py", "base1.py"]
    with pytest.raises(BadConfigError, match="too many"):
        config_files.read(wide(tmp_path, 64))


@pytest.mark.parametrize(("own", "merged"), [({"0": 5}, [5, 2]), ({"1": 5, "0": 4}, [4, 5]), ({}, [1, 2])])
def test_entries_of_a_list_are_replaced_by_their_places(own: dict[str, int], merged: list[int]) -> None:
    assert config_files.merge({"a": own}, {"a": [1, 2]}, "own.py") == {"a": merged}


def test_what_a_base_does_not_have_is_refused_or_new() -> None:
    with pytest.raises(BadConfigError, match=r"own\.py: its base's list has no entry 2") as raised:
        config_files.merge({"a": {"2": 5}}, {"a": [1, 2]}, "own.py")
    assert raised.value.field == "config"
    assert config_files.merge({"a": {"x": 1, "_delete_": False}}, {}, "own.py") == {"a": {"x": 1}}
    assert config_files.merge({"a": {"x": 1}}, {"a": None, "b": 2}, "own.py") == {"a": {"x": 1}, "b": 2}
    assert config_files.merge({"a": {"x": {"_delete_": True, "y": 1}}}, {"a": {"x": {"z": 2}, "w": 3}}, "own.py") == {
        "a": {"x": {"y": 1}, "w": 3}
    }
