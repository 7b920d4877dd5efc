"""What masks hold becomes a model's classes by tables of colours, names and options; what nobody knows is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import _masks
from densecast.datasets._masks import MaskColours
from densecast.datasets.pairs.classes import LEFT_OUT, Classes, classes_of, folded
from densecast.datasets.pairs.colour_tables import colour_of, read_table
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadConfigError, BadDatasetError, BadImageError, MissingFileError, UsageError
from densecast.spec.data_options import DataOptions, Reading


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("given", "colour"),
    [
        ("#ff8000", (255, 128, 0)), (" #FF8000 ", (255, 128, 0)), ("#ff800", None), ("ff8000", None),
        ("1,2,3", (1, 2, 3)), ("1 2, 3", (1, 2, 3)), ("1,2", None), ("1,2,3,4", None), ("255,255,256", None),
        ([0, 255, 7], (0, 255, 7)), ((1, 2, 3), (1, 2, 3)), ([1, 2, 256], None), ([-1, 2, 3], None),
        ([1, 2], None), ([1, 2, 3, 4], None), ([1, 2, True], None), ([1.0, 2, 3], None), (None, None), (7, None),
    ],
)  # fmt: skip
def test_a_colour_is_three_numbers_of_a_byte_or_hexadecimal(given: object, colour: object) -> None:
    assert colour_of(given) == colour


def test_tables_of_colours_in_json(tmp_path: Path) -> None:
    wanted = {(1, 2, 3): "road", (255, 0, 0): "car"}
    listed = [{"name": "road", "color": [1, 2, 3]}, {"title": "car", "color": "#ff0000"}]
    for plain in ({"road": [1, 2, 3], "car": "#ff0000"}, listed, {"classes": listed, "tags": []}):
        (tmp_path / "meta.json").write_text(json.dumps(plain))
        assert read_table(tmp_path / "meta.json") == wanted
    for plain, words in (
        ([], "holds no colours"),
        ([1], "must map names to colours"),
        (3, "must map names to colours"),
        ([{"name": "road"}], "the colour of 'road' must be"),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, "'a' and 'b' have one colour"),
    ):
        (tmp_path / "meta.json").write_text(json.dumps(plain))
        with pytest.raises(BadConfigError, match=words) as raised:
            read_table(tmp_path / "meta.json")
        assert raised.value.field == "colours"
    with pytest.raises(MissingFileError):
        read_table(tmp_path / "none.json")


def test_a_table_of_colours_is_at_most_a_mebibyte(tmp_path: Path) -> None:
    line = b"road,1,2,3\n"
    path = tmp_path / "a.csv"
    path.write_bytes(line + b" " * ((1 << 20) - len(line)))
    assert read_table(path) == {(1, 2, 3): "road"}
    path.write_bytes(line + b" " * ((1 << 20) - len(line) + 1))
    with pytest.raises(BadConfigError, match="larger than 1 MiB"):
        read_table(path)


def test_greys_of_a_table_are_values_where_all_of_them_are_in_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.array([[0, 128, 255]], np.uint8))
    table = {(0, 0, 0): 2, (128, 128, 128): 5, (255, 255, 255): 0, (1, 2, 3): 9}
    values, how = _masks.read_values(path, MaskColours(declared=table))
    assert values.tolist() == [[2, 5, 0]] and how == "colours"
    del table[255, 255, 255]
    values, how = _masks.read_values(path, MaskColours(declared=table))
    assert values.tolist() == [[0, 128, 255]] and how == "values"


@pytest.mark.parametrize(("value", "is_whole"), [(3.0, True), (3.5, False)])
def test_floats_of_a_mask_are_whole_numbers(tmp_path: Path, value: float, is_whole: bool) -> None:
    path = saved(tmp_path / "a.tif", np.array([[0.0, value]], np.float32))
    if is_whole:
        assert _masks.read_values(path)[0].tolist() == [[0, 3]]
    else:
        with pytest.raises(BadImageError, match="this one holds fractions"):
            _masks.read_values(path)


LABELS = ("road", "car", "sky")


def classes(file: DataFile | None = None, labels: tuple[str, ...] = LABELS, **options: Any) -> Classes:
    reading = Reading(labels, ((1, 1, 1), (2, 2, 2), (3, 3, 3))[: len(labels)], options=DataOptions(**options))
    return classes_of(file or DataFile(Path()), reading, Path(), reduce_zero=False, binary=False)


def test_options_say_what_values_are_by_name_or_number() -> None:
    plain = {0: 0, 1: 1, 2: 2, 255: LEFT_OUT}
    assert classes().table == plain
    assert classes(ignore=("Sky", "7")).table == {**plain, 2: LEFT_OUT, 7: LEFT_OUT}
    assert classes(remap=("9=car", "s-k y=0", "65535=ignore")).table == {**plain, 9: 1, 2: 0, 65535: LEFT_OUT}
    assert classes(subset=("car",)).table == {0: LEFT_OUT, 1: 1, 2: LEFT_OUT, 255: LEFT_OUT}
    assert classes(subset=("2", "0")).table == {**plain, 1: LEFT_OUT}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ignore": ("boat",)}, r"'boat' is no value of a mask \(0 to 65535\); names are road, car, sky"),
        ({"ignore": ("65536",)}, "'65536' is no value of a mask"),
        ({"remap": ("9=3",)}, r"'3' is no class of the model \(road, car, sky\), nor ignore"),
        ({"remap": ("9=boat",)}, "'boat' is no class of the model"),
        ({"subset": ("-1",)}, "'-1' is no class of the model"),
    ],
)
def test_what_options_name_and_nobody_knows_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        classes(**options)
    assert raised.value.field == next(iter(options))


def test_names_of_masks_are_matched_in_any_spelling() -> None:
    assert folded(" Road_Line-2 ") == folded("roadline2") and folded("STRASSE") == folded("straße")
    named = classes(DataFile(Path(), names=("Sky", "ROAD", "_car")))
    assert named.table == {0: 2, 1: 0, 2: 1, 255: LEFT_OUT} and named.words == ("classes by name",)
    same = classes(DataFile(Path(), names=("road", "car", "sky")))
    assert same.table == {0: 0, 1: 1, 2: 2, 255: LEFT_OUT} and same.words == ()
    others = classes(DataFile(Path(), names=("a", "b", "c")))
    assert others.table == {0: 0, 1: 1, 2: 2, 255: LEFT_OUT} and "'c' is 'sky'" in others.words[0]
    with pytest.raises(BadDatasetError, match=r"the masks' classes a, b are none of the model's.*--remap a=CLASS"):
        classes(DataFile(Path(), names=("a", "car", "b")))
    with pytest.raises(BadDatasetError, match=r"the masks' class b c are none of the model's.*--ignore 'b c'"):
        classes(DataFile(Path(), names=("road", "car", "b c")))
    left = classes(DataFile(Path(), names=("a1", "a2", "a3", "car", "a4", "a5", "a6"), leaves_others_out=True))
    assert left.table[3] == 1 and [left.table[value] for value in (0, 1, 2, 4, 5, 6)] == [LEFT_OUT] * 6
    assert left.words[-1].endswith("does not have them: a1, a2, a3, a4, a5 and 1 more")


def test_colours_of_masks_are_the_models_or_those_of_a_table(tmp_path: Path) -> None:
    assert classes(colours="model").colours.declared == {(1, 1, 1): 0, (2, 2, 2): 1, (3, 3, 3): 2}
    with pytest.raises(UsageError, match="colours 'model' needs a model with a palette") as raised:
        classes(labels=(), colours="model")
    assert raised.value.field == "colours"
    numbers = DataFile(Path(), colours={(9, 9, 9): "4", (8, 8, 8): "0"})
    assert classes(numbers).colours.declared == {(9, 9, 9): 4, (8, 8, 8): 0}
    twice = DataFile(Path(), colours={(9, 9, 9): "car", (8, 8, 8): "road", (7, 7, 7): "Car"}, names=("road", "car"))
    assert classes(twice).colours.declared == {(9, 9, 9): 1, (8, 8, 8): 0, (7, 7, 7): 1}
    with pytest.raises(UsageError, match=r"the colour \(9, 9, 9\) is of 'boat', which is none of road, car") as raised:
        classes(DataFile(Path(), colours={(9, 9, 9): "boat"}, names=("road", "car")))
    assert raised.value.field == "colours"


@pytest.mark.parametrize(
    ("values", "name", "cure"),
    [
        ([0, 3], "a.png", "if masks count classes from 1, pass --reduce-zero-label"),
        ([0, 4], "a.png", "say what they are: --ignore 4, or --remap 4=CLASS"),
        ([0, 4], "a.JPEG", "JPEG changes values"),
        ([*range(3, 23)], "a.png", "say what they are: --ignore 3"),
        ([*range(3, 24)], "a.png", "the values are smoothed"),
    ],
)
def test_values_of_no_class_come_with_the_likeliest_cure(values: list[int], name: str, cure: str) -> None:
    with pytest.raises(BadDatasetError, match=cure) as raised:
        classes().of_values(np.array([values], np.uint8), Path(name))
    foreign = [value for value in values if value > 2]
    assert f"{len(foreign) / len(values):.1%} of the pixels" in str(raised.value)
    assert (", …" in str(raised.value)) == (len(foreign) > 5)


def test_of_two_classes_numbered_objects_and_the_ignored_value_have_cures_of_their_own() -> None:
    two = classes(labels=("ground", "car"))
    with pytest.raises(BadDatasetError, match="if they number objects"):
        two.of_values(np.array([[0, 1, 2, 3]], np.uint8), Path("a.png"))
    with pytest.raises(BadDatasetError, match="or pass --soft-masks, if edges are smoothed"):
        two.of_values(np.array([[0, 1, 3, 5]], np.uint8), Path("a.png"))
    with pytest.raises(BadDatasetError, match=r"values from -1 to 5; a mask holds 0 to 65535\. Write 255"):
        two.of_values(np.array([[-1, 5]], np.int32), Path("a.png"))
    with pytest.raises(BadDatasetError, match=r"values from 0 to 65536; a mask holds 0 to 65535\.$"):
        two.of_values(np.array([[0, 65536]], np.int32), Path("a.png"))
    assert two.of_values(np.array([[0, 1, 255]], np.int32), Path("a.png")).tolist() == [[0, 1, 255]]
