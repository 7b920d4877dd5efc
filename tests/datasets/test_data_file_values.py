"""What a data file says and cannot mean is refused with its key; what it leaves out is empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from densecast.datasets import _contents
from densecast.datasets.pairs.data_file import DataFile, files_root, find, is_data_file, plain, read
from densecast.errors import BadConfigError


def data_file(folder: Path, **values: Any) -> DataFile:
    path = folder / "data.json"
    path.write_text(json.dumps(values))
    return read(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"reduce_zero_label": "yes"}, "'reduce_zero_label' must be true or false"),
        ({"reduce_zero_label": 1}, "'reduce_zero_label' must be true or false"),
        ({"soft_masks": 1}, "'soft_masks' must be true or false"),
        ({"soft_masks": None}, "'soft_masks' must be true or false"),
        ({"images": 3}, "'images' must be a text, not 3"),
        ({"metric": ["a"]}, r"'metric' must be a text, not \['a'\]"),
        ({"ignore": {"a": 1}}, "'ignore' must be values or names"),
        ({"ignore": [True]}, "'ignore' must be values or names"),
        ({"subset": [1.5]}, "'subset' must be values or names"),
        ({"remap": ["a=b"]}, "'remap' must map values to classes"),
        ({"remap": {"1": None}}, "'remap' must map values to classes"),
        ({"remap": {"3": 1}, "ignore": [3]}, "'3' is in 'ignore', and 'remap' says that it is '1'"),
        ({"train": 0}, "'train' as a share must be between 0 and 1, not 0"),
        ({"train": 1}, "'train' as a share must be between 0 and 1, not 1"),
        ({"val": [1]}, "'val' must be a text"),
        ({"val": []}, "'val' must be a text"),
        ({"val": True}, "'val' must be a text"),
        ({"names": {"a": "road"}}, "'names' must be a list, or names by index"),
        ({"names": {"1": "road"}}, r"'names' must name every index from 0, got \[1\]"),
        ({"names": {"0": "road", "2": "car"}}, r"must name every index from 0, got \[0, 2\]"),
        ({"names": "road"}, "'names' must be a list, or names by index"),
        ({"names": [1.5]}, "'names' must be a list, or names by index"),
        ({"names": ["road", True]}, "'names' holds true or false"),
        ({"names": ["road", "road"]}, "'names' has a class twice"),
        ({"names": ["road"], "nc": 2}, "'nc' is 2, and there are 1 names"),
        ({"colours": 3}, "'colours' must be colours by class"),
        ({"colours": [[0, 0, 0]] * 257}, "'colours' must be colours by class"),
        ({"colours": {"road": "red"}}, "the colour 'red' of 'road' must be"),
        ({"colours": {"road": [1, 2, 3], "car": "#010203"}}, "'road' and 'car' have one colour"),
        ({"coco": {"test": "a.json"}}, "'coco' must name a file, or one for each of train and val"),
        ({"coco": {"train": ""}}, "'coco' must name a file"),
        ({"imagse": "x"}, r"unknown key 'imagse'\. Did you mean 'images'"),
        ({"zzz": "x"}, r"unknown key 'zzz'\. Known: path, images"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfigError, match=words) as raised:
        data_file(tmp_path, **values)
    assert str(tmp_path / "data.json") in str(raised.value)


def test_what_is_left_out_is_empty_and_what_is_said_is_kept(tmp_path: Path) -> None:
    empty = data_file(tmp_path)
    assert empty == DataFile(root=tmp_path, file=tmp_path / "data.json")
    assert (empty.names, empty.image_suffix, empty.soft_masks, empty.reduce_zero_label) == ((), "", False, None)
    said = data_file(
        tmp_path, path="below", img_dir="i", ann_dir="m", classes={"1": "car", "0": 7}, nc=2, ignore_index=255,
        remap={"3": 1}, values={"3": 0, "4": "ignore"}, train=0.75, val=["a", "b"], reduce_zero_label=False,
        soft_masks=True, colors=[[1, 2, 3], "#040506"], coco="c.json", subset="car",
    )  # fmt: skip
    assert (said.root, said.images, said.masks, said.names) == (tmp_path / "below", "i", "m", ("7", "car"))
    assert said.remap == {"3": "1", "4": "ignore"} and (said.ignore, said.subset) == (("255",), ("car",))
    assert (said.train, said.val, said.reduce_zero_label, said.soft_masks) == (0.75, ("a", "b"), False, True)
    assert said.colours == {(1, 2, 3): "7", (4, 5, 6): "car"} and not said.model_colours
    assert said.coco == {"": "c.json"} and {"images", "masks", "colours", "ignore"} <= said.given
    # A value that is to be left out may be remapped to nothing as well.
    assert data_file(tmp_path, remap={"3": "ignore"}, ignore=[3]).ignore == ("3",)
    assert data_file(tmp_path, colours="model").model_colours
    assert data_file(tmp_path, colours=[[9, 9, 9], [8, 8, 8]]).colours == {(9, 9, 9): "0", (8, 8, 8): "1"}
    assert len(data_file(tmp_path, colours=[[k, 0, 0] for k in range(256)]).colours) == 256


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.yaml", b"a: [", "not valid YAML"),
        ("data.yaml", b"\xff\xfe\x00", "not valid YAML"),
        ("data.yml", b"- 1", "must hold keys and values"),
        ("data.toml", b"= 1", "not valid toml"),
        ("data.json", b"[1]", "must hold keys and values"),
        ("data.yaml", b"# " + b"x" * (1 << 20), "larger than 1 MiB"),
    ],
)
def test_files_that_hold_no_keys_and_values_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadConfigError, match=words):
        read(tmp_path / name)


def test_a_file_may_be_a_mebibyte_long(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_bytes(b"a: 1\n#" + b"x" * ((1 << 20) - 6))
    assert plain(tmp_path / "data.yaml") == {"a": 1}
    with pytest.raises(BadConfigError, match="cannot be read"):
        plain(tmp_path / "none.yaml")


def test_data_files_are_known_by_their_names_and_say_where_files_are(tmp_path: Path) -> None:
    assert find(tmp_path) is None and files_root(tmp_path) == tmp_path
    file = tmp_path / "data.yaml"
    file.write_text("path: elsewhere")
    assert find(tmp_path) == file and find(file) == file and is_data_file(file)
    assert files_root(tmp_path) == tmp_path / "elsewhere" == files_root(file)
    assert not is_data_file(tmp_path) and not is_data_file(tmp_path / "none.yaml")
    file.write_text("unknown: 1")
    assert files_root(tmp_path) == tmp_path
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.json").write_text("{}")
    assert files_root(tmp_path / "annotations" / "a.json") == tmp_path / "annotations"
    (tmp_path / "annotations" / "a.json").write_text("[]")
    assert files_root(tmp_path / "annotations" / "a.json") == tmp_path


@pytest.mark.parametrize(("count", "more"), [(4, False), (5, False), (6, True), (8, True)])
def test_what_a_folder_holds_is_told_of_five_folders(tmp_path: Path, count: int, more: bool) -> None:
    (tmp_path / ".hidden").mkdir()
    for number in range(count):
        (tmp_path / f"f{number}").mkdir()
    (tmp_path / "f0" / "a.npy").touch()
    told = _contents.of_folder(tmp_path)
    assert told.startswith(" It holds f0/ (1 .npy), f1/ (nothing)") and "f5/" not in told
    assert (f" and {count - 5} folders more." in told) is more and ("folders more" in told) is more
