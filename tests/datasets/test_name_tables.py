"""Tables that tools write beside masks say what a value is: classes are found by name, not by their order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import labels_of, painted, write

from densecast.datasets import pairs
from densecast.errors import BadDatasetError
from densecast.spec.data_options import Reading

LABELS = ("background", "car", "road")
# What the tools call 0, 1, 2: the model has them in another order.
VALUES = ("road", "background", "car")
EXPECTED = np.array([LABELS.index(name) for name in VALUES], np.uint8)


def masks(root: Path, *, together: bool = False) -> None:
    for index in range(4):
        if together:
            write(root / "train" / f"{index}.png", painted(labels_of(index)))
            write(root / "train" / f"{index}_mask.png", labels_of(index))
        else:
            write(root / "images" / f"{index}.png", painted(labels_of(index)))
            write(root / "masks" / f"{index}.png", labels_of(index))


def read(root: Path, labels: tuple[str, ...] = LABELS) -> tuple[list[np.ndarray], str]:
    dataset = pairs.open(root, "all", reading=Reading(labels))
    return [dataset.read_target(sample) for sample in dataset.samples], dataset.words


def test_roboflows_csv(tmp_path: Path) -> None:
    masks(tmp_path, together=True)
    lines = ["Pixel Value, Class", *(f"{value}, {name}" for value, name in enumerate(VALUES))]
    (tmp_path / "train" / "_classes.csv").write_text("\r\n".join(lines), encoding="utf-8")
    found, words = read(tmp_path)
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(labels, EXPECTED[labels_of(index)])
    assert "names of _classes.csv; classes by name" in words


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("id2label.json", "{names}"),
        ("classes.txt", "lines"),
        ("names.txt", "lines"),
        ("codes.txt", "lines"),
        ("classes.txt", "{value}: {name}"),
        ("classes.txt", "{value} {name}"),
        ("labels.txt", "{value},{name}"),
        ("classes.json", "list"),
        ("classes.json", "{values}"),
        ("dataset.json", '{{"labels": {values}}}'),
        ("dataset.json", '{{"labels": {names}, "numTraining": 4}}'),
    ],
)
def test_names_by_value(tmp_path: Path, name: str, form: str) -> None:
    masks(tmp_path)
    texts = {"lines": "\n".join(VALUES), "list": json.dumps(VALUES)}
    if form in texts:
        text = texts[form]
    elif name.endswith("json"):
        by_value = {str(value): each.upper() for value, each in enumerate(VALUES)}
        by_name = {each: value for value, each in enumerate(VALUES)}
        text = form.format(names=json.dumps(by_value), values=json.dumps(by_name))
    else:
        # In another order than that of the values, which the numbers tell.
        rows = [form.format(value=value, name=each) for value, each in enumerate(VALUES)]
        text = "\n".join(reversed(rows))
    (tmp_path / name).write_text(text, encoding="utf-8")
    found, words = read(tmp_path)
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(labels, EXPECTED[labels_of(index)])
    assert f"names of {name}" in words


def test_a_list_that_leaves_the_background_out_changes_nothing(tmp_path: Path) -> None:
    masks(tmp_path)
    (tmp_path / "classes.txt").write_text("car\nroad\n", encoding="utf-8")
    found, words = read(tmp_path)
    np.testing.assert_array_equal(found[0], labels_of(0))
    assert "classes.txt" not in words


def test_a_table_with_classes_that_the_model_lacks_is_refused_with_the_cure(tmp_path: Path) -> None:
    masks(tmp_path)
    table = json.dumps({"0": "road", "1": "background", "2": "tram"})
    (tmp_path / "id2label.json").write_text(table, encoding="utf-8")
    with pytest.raises(BadDatasetError, match=r"tram are none of the model's .*--remap tram=CLASS"):
        read(tmp_path)


@pytest.mark.parametrize("broken", ["{", "[1, 2]", '{"a": "b"}', '{"1": "car", "2": "road"}'])
def test_a_table_that_cannot_be_read_changes_nothing(tmp_path: Path, broken: str) -> None:
    masks(tmp_path)
    (tmp_path / "id2label.json").write_text(broken, encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path)[0][0], labels_of(0))


def test_what_a_data_file_says_goes_before(tmp_path: Path) -> None:
    masks(tmp_path)
    (tmp_path / "id2label.json").write_text(json.dumps(dict(enumerate(VALUES))), encoding="utf-8")
    (tmp_path / "data.toml").write_text('names = ["background", "car", "road"]\n', encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path)[0][0], labels_of(0))


def test_superviselys_masks_by_their_colours(tmp_path: Path) -> None:
    """`masks_machine` hold (k, k, k) for the k-th class of `obj_class_to_machine_color.json`, and black elsewhere."""
    (tmp_path / "ds0" / "img").mkdir(parents=True)
    for index in range(3):
        write(tmp_path / "ds0" / "img" / f"{index}.png", painted(labels_of(index)))
        grey = np.repeat(labels_of(index)[..., None], 3, axis=2)
        write(tmp_path / "ds0" / "masks_machine" / f"{index}.png", grey)
    table = {"road": [1, 1, 1], "car": [2, 2, 2]}
    (tmp_path / "obj_class_to_machine_color.json").write_text(json.dumps(table), encoding="utf-8")
    found, words = read(tmp_path)
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(labels, np.array([0, 2, 1], np.uint8)[labels_of(index)])
    assert "colours of obj_class_to_machine_color.json" in words
    # A model without a background is not measured where nothing is annotated.
    without = read(tmp_path, ("road", "car"))[0]
    np.testing.assert_array_equal(without[0], np.array([255, 0, 1], np.uint8)[labels_of(0)])
