"""LabelMe's files are the label maps that its own converters draw: each shape by Pillow, later ones on earlier ones."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import made_outlines
import numpy as np
import pytest
from command_line import densecast
from made_outlines import GREEN, RED, SIZE_HW, labelme_file, picture, shape
from PIL import Image, ImageDraw

from densecast.datasets import labelme
from densecast.errors import BadDatasetError, BadImageError, UsageError
from densecast.spec.data_options import DataOptions, Reading

LABELS = ("background", "red", "green")


def read(root: Path, labels: tuple[str, ...] = LABELS, use_exif: bool = False, **options: Any) -> np.ndarray:
    reading = Reading(labels, use_exif=use_exif, options=DataOptions(**options))
    dataset = labelme.open(root, "all", reading=reading)
    return dataset.read_target(dataset.samples[0])


def one(root: Path, *shapes: dict[str, Any], **more: Any) -> Path:
    picture(root / "a.png")
    labelme_file(root / "a.json", list(shapes), **more)
    return root


def filled(kind: str, points: list[list[float]]) -> np.ndarray:
    """(H, W) bool: one shape alone on a canvas of bits."""
    canvas = Image.new("1", SIZE_HW[::-1])
    draw = ImageDraw.Draw(canvas)
    xy = [tuple(point) for point in points]
    if kind == "circle":
        (x, y), (right, bottom) = xy
        radius = ((x - right) ** 2 + (y - bottom) ** 2) ** 0.5
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    elif kind == "rectangle":
        xs, ys = zip(*xy, strict=True)
        draw.rectangle((min(xs), min(ys), max(xs), max(ys)), fill=1, outline=1)
    else:
        draw.polygon(xy, fill=1, outline=1)
    return np.array(canvas, bool)


@pytest.mark.parametrize("seed", range(6))
def test_shapes_of_all_kinds_lie_on_each_other_in_the_order_of_the_file(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    wanted, shapes = np.zeros(SIZE_HW, np.uint8), []
    counts = {"polygon": 5, "rectangle": 2, "circle": 2, "rotation": 4, "oriented_rectangle": 4}
    for _ in range(7):
        kind = str(rng.choice(list(counts)))
        index = int(rng.integers(1, 3))
        points = rng.uniform((-4, -4), (SIZE_HW[1] + 4, SIZE_HW[0] + 4), (counts[kind], 2)).tolist()
        shapes.append(shape(LABELS[index].upper(), points, kind))
        wanted[filled(kind, points)] = index
    np.testing.assert_array_equal(read(one(tmp_path, *shapes)), wanted)


def test_a_file_of_the_oldest_form_draws_polygons_and_rectangles_of_four_points_are_polygons(tmp_path: Path) -> None:
    old = shape("red", RED)
    del old["shape_type"]
    np.testing.assert_array_equal(read(one(tmp_path / "a", old)) == 1, filled("polygon", RED))
    tilted = [[4.0, 2.0], [20.0, 9.0], [17.0, 16.0], [1.0, 9.0]]
    found = read(one(tmp_path / "b", shape("red", tilted, "rectangle")))
    np.testing.assert_array_equal(found == 1, filled("polygon", tilted))


def test_a_mask_lies_in_its_box(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).random((9, 14)) < 0.5
    contents = io.BytesIO()
    Image.fromarray(drawn.astype(np.uint8)).save(contents, "PNG")
    png = base64.b64encode(contents.getvalue()).decode()
    found = read(one(tmp_path / "a", shape("green", [[5, 3], [18, 11]], "mask", mask=png)))
    wanted = np.zeros(SIZE_HW, np.uint8)
    wanted[3:12, 5:19][drawn] = 2
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(BadDatasetError, match="another size than its box"):
        read(one(tmp_path / "b", shape("green", [[5, 3], [19, 11]], "mask", mask=png)))
    with pytest.raises(BadDatasetError, match="no base64"):
        read(one(tmp_path / "c", shape("green", [[5, 3], [18, 11]], "mask", mask="%")))
    with pytest.raises(BadImageError):
        read(one(tmp_path / "d", shape("green", [[5, 3], [18, 11]], "mask", mask=png[:40])))


def test_background_erases_what_lies_below_and_what_is_to_be_ignored_is_not_evaluated(tmp_path: Path) -> None:
    hole, veiled = [[10.0, 9.0], [13.0, 12.0]], [[4.0, 5.0], [6.0, 8.0]]
    root = one(
        tmp_path,
        shape("red", RED),
        shape("_background_", hole, "rectangle"),
        shape("__ignore__", veiled, "rectangle"),
    )
    wanted = filled("polygon", RED).astype(np.uint8)
    wanted[filled("rectangle", hole)] = 0
    wanted[filled("rectangle", veiled)] = 255
    np.testing.assert_array_equal(read(root), wanted)
    np.testing.assert_array_equal(read(root, ("red",)), np.where(wanted == 1, 0, 255))


def test_labels_that_the_model_lacks_are_refused_until_somebody_says_what_they_are(tmp_path: Path) -> None:
    root = one(tmp_path, shape("red", RED), shape("lorry", GREEN))
    with pytest.raises(BadDatasetError, match="lorry are none of the model's"):
        read(root)
    inside = filled("polygon", GREEN)
    outside = np.where(filled("polygon", RED), 1, 0)
    np.testing.assert_array_equal(read(root, remap=("lorry=green",)), np.where(inside, 2, outside))
    np.testing.assert_array_equal(read(root, ignore=("lorry",)), np.where(inside, 255, outside))
    with pytest.raises(UsageError, match="'bus' is no category"):
        read(root, ignore=("bus",))


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_what_covers_no_area_is_refused_unless_its_label_is_left_out(kind: str, tmp_path: Path) -> None:
    root = one(tmp_path, shape("red", RED), shape("edge", [[1, 1], [9, 9]], kind))
    with pytest.raises(BadDatasetError, match=rf"shape 1 \(edge\) is a {kind}, which covers no area"):
        read(root)
    np.testing.assert_array_equal(read(root, ignore=("edge",)), filled("polygon", RED))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shapes": {}}, "no list 'shapes'"),
        ({"shapes": [3]}, "shape 0 is no object"),
        ({"shapes": [shape("red", [[1, 2], [3, 4]])]}, "a polygon, has 2 points"),
        ({"shapes": [shape("red", [[1, 2, 3]] * 3)]}, "pairs of finite numbers"),
        ({"shapes": [shape("red", [[1, 2], [3, float("nan")], [5, 6]])]}, "pairs of finite numbers"),
        ({"shapes": [shape("red", [[1, 2], [3, 1e300], [5, 6]])]}, "pairs of finite numbers"),
        ({"shapes": [shape("red", RED, "spline")]}, "unknown kind 'spline'"),
        ({"shapes": [shape("red", [[1, 2], [3, 4]], "mask")]}, "without its PNG"),
        ({"imageHeight": 10**9}, "whole numbers of pixels"),
        ({"imageHeight": None}, "whole numbers of pixels"),
        ({"imageHeight": 48}, "was drawn on 32×48 pixels, its picture a.png has 32×24"),
        ({"imagePath": "../other.png"}, None),
        ({"imageHeight": None, "imageWidth": None}, None),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(change: dict[str, Any], words: str | None, tmp_path: Path) -> None:
    root = one(tmp_path)
    path = root / "a.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": [shape("red", RED)], **change}))
    if words is None:
        np.testing.assert_array_equal(read(root), filled("polygon", RED))
        return
    with pytest.raises(BadDatasetError, match=re.escape(words)) as caught:
        read(root)
    assert "a.json" in str(caught.value)
    assert any(words in problem for problem in labelme.check(root, Reading(LABELS)).problems)


def test_pictures_are_found_beside_in_images_and_by_the_names_that_windows_writes(tmp_path: Path) -> None:
    for place, named in (
        ("images/a.png", "..\\images\\a.png"),
        ("images/a.png", "C:\\old\\home\\a.png"),
        ("annotations/a.png", "/home/somebody/a.png"),
        ("annotations/a.png", "renamed.png"),
    ):
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        where = picture(root / place)
        labelme_file(root / "annotations" / "a.json", [shape("red", RED)], named)
        (sample,) = labelme.open(root, "all", reading=Reading(LABELS)).samples
        assert sample.image.resolve() == where.resolve()
    root = tmp_path / "none"
    labelme_file(root / "a.json", [shape("red", RED)])
    with pytest.raises(BadDatasetError, match=r"its picture a\.png is neither beside it nor"):
        labelme.open(root, "all", reading=Reading(LABELS))


def test_shapes_of_a_turned_photograph_are_upright_as_labelme_shows_it(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    (tmp_path / "d").mkdir()
    Image.new("RGB", SIZE_HW[::-1]).save(tmp_path / "d" / "a.jpg", exif=tag)
    corner = [[0.0, 0.0], [7.0, 0.0], [7.0, 3.0], [0.0, 3.0]]
    labelme_file(
        tmp_path / "d" / "a.json", [shape("red", corner)], "a.jpg", imageHeight=SIZE_HW[1], imageWidth=SIZE_HW[0]
    )
    upright = np.zeros(SIZE_HW[::-1], np.uint8)
    upright[:4, :8] = 1
    np.testing.assert_array_equal(read(tmp_path / "d", use_exif=True), upright)
    np.testing.assert_array_equal(read(tmp_path / "d"), np.rot90(upright))


def test_folders_tell_splits_and_without_them_a_tenth_is_drawn(tmp_path: Path) -> None:
    root = made_outlines.labelme(tmp_path / "split", ("train", "valid"))
    assert [each.id for each in labelme.open(root, "val").samples] == ["valid/0", "valid/1", "valid/2"]
    flat = made_outlines.labelme(tmp_path / "flat", ("",), 20)
    opened = labelme.open(flat, "val", seed=3)
    assert len(opened.samples) == 2 and opened.record().seed == 3 and "2 of 20 drawn" in opened.record().layout


@pytest.mark.parametrize("write", [made_outlines.labelme, made_outlines.yolo])
def test_the_folder_is_understood_by_commands_as_it_is(write: Any, tmp_path: Path) -> None:
    root = write(tmp_path / "data")
    result = densecast("data", "check", root, "--json", tmp_path / "found.json")
    assert result.code == 0, result.out + result.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["dataset"] == ("labelme" if write is made_outlines.labelme else "yolo_segmentation")
