"""Predictions in other tools' formats hold what the predictions hold, as an independent reader finds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import tiny_graphs
from command_line import densecast, failed
from PIL import Image, TiffImagePlugin

from densecast import InferOptions, Pipeline, SegmentationMap
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, Range
from densecast.verbs.builder import build
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile
from densecast.verbs.infer import infer

SIZES = ((40, 56), (32, 48))
# pycocotools makes arrays in NumPy 1's way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a & b.png` and `sub/c.png`: noise with bright parts."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    for name, (height, width) in zip(("a & b.png", "sub/c.png"), SIZES, strict=True):
        image = random.integers(0, 60, (height, width, 3), np.uint8)
        image[5:20, 8:30] = 220
        image[10:14, 12:18] = 10
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of several classes a pixel."""
    folder = tmp_path_factory.mktemp("overlapping")
    onnx.save(tiny_graphs.upper_halves(), folder / "net.onnx")
    spec = SpecFile(("red", "green", "blue"), task="multilabel", side=Range(16, 64)).model("bits")
    source = export_file(folder / "net.onnx", spec, folder / "float")
    return build(source, folder / "built", BuildOptions("onnxruntime")).folder


def written(model: Path, photos: Path, out: Path, *formats: str) -> Any:
    return infer(model, [photos], out, options=InferOptions(recursive=photos.is_dir(), formats=formats))


def predictions(model: Path, photos: Path) -> dict[str, Any]:
    with Pipeline.open(model) as pipeline:
        return {name: pipeline(photos / name) for name in ("a & b.png", "sub/c.png")}


def test_coco_has_a_mask_for_each_class_of_each_image(bright: Path, photos: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="needs the [coco] extra")
    result = written(bright, photos, tmp_path, "coco")
    assert result.files == (tmp_path / "coco.json",)
    read = coco.COCO(tmp_path / "coco.json")
    expected = predictions(bright, photos)
    names = {each["id"]: each["name"] for each in read.loadCats(read.getCatIds())}
    assert list(names.values()) == ["background", "car"]
    assert [each["file_name"] for each in read.loadImgs(read.getImgIds())] == list(expected)
    for image in read.loadImgs(read.getImgIds()):
        labels = expected[image["file_name"]].class_id
        assert (image["height"], image["width"]) == labels.shape
        for annotation in read.loadAnns(read.getAnnIds(imgIds=image["id"])):
            mask = read.annToMask(annotation).astype(bool)
            np.testing.assert_array_equal(mask, labels == annotation["category_id"] - 1)
            assert annotation["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            assert annotation["bbox"] == [left, top, np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_panoptic_pngs_and_segments_agree(bright: Path, photos: Path, tmp_path: Path) -> None:
    written(bright, photos, tmp_path, "coco_panoptic")
    plain = json.loads((tmp_path / "coco_panoptic.json").read_text())
    expected = predictions(bright, photos)
    files = {each["id"]: each["file_name"] for each in plain["images"]}
    for annotation in plain["annotations"]:
        pixels = np.asarray(Image.open(tmp_path / annotation["file_name"])).astype(int)
        ids = pixels @ np.array([1, 256, 65536])
        np.testing.assert_array_equal(ids, expected[files[annotation["image_id"]]].class_id.astype(int) + 1)
        assert {each["id"]: each["area"] for each in annotation["segments_info"]} == dict(
            zip(*(part.tolist() for part in np.unique(ids, return_counts=True)), strict=True)
        )
    assert [each["isthing"] for each in plain["categories"]] == [0, 0]


def test_panoptic_ids_beyond_255_go_on_in_green(photos: Path, tmp_path: Path) -> None:
    """Of 600 classes class 5 k is seen where the red channel is k: 5 k g - g * g / 2 is largest at g = 5 k."""
    classes = np.arange(600, dtype=np.float32)
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 3, H, W] image) => (float[N, 600, H, W] logits) { logits = Conv (image, w, b) }"""
    )
    weights = np.zeros((600, 3, 1, 1), np.float32)
    weights[:, 0, 0, 0] = 5 * classes * 255  # images are given as 0 to 1
    for name, values in (("w", weights), ("b", -classes * classes / 2)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, tmp_path / "net.onnx")
    spec = SpecFile(tuple(f"c{each}" for each in range(600)), side=Range(8, 64)).model("many")
    source = export_file(tmp_path / "net.onnx", spec, tmp_path / "float")
    built = build(source, tmp_path / "built", BuildOptions("onnxruntime")).folder
    red = np.array([[0, 1, 50, 51, 52], [102, 103, 118, 119, 20]], np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(np.stack([red, red, red], axis=2)).save(tmp_path / "a.png")
    written(built, tmp_path / "a.png", tmp_path / "out", "coco_panoptic")
    with Image.open(tmp_path / "out" / "a_panoptic.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    np.testing.assert_array_equal(pixels @ (1, 256, 65536), 5 * red.astype(int) + 1)
    plain = json.loads((tmp_path / "out" / "coco_panoptic.json").read_text())
    assert sorted(each["id"] for each in plain["annotations"][0]["segments_info"]) == sorted(
        (5 * np.unique(red).astype(int) + 1).tolist()
    )


def test_geojson_covers_the_pixels(bright: Path, photos: Path, tmp_path: Path) -> None:
    written(bright, photos, tmp_path, "geojson")
    plain = json.loads((tmp_path / "sub" / "c.geojson").read_text())
    labels = predictions(bright, photos)["sub/c.png"].class_id
    areas = {0: 0, 1: 0}
    for feature in plain["features"]:
        areas[feature["properties"]["class_id"]] += feature["properties"]["area_px"]
    assert areas == {0: int((labels == 0).sum()), 1: int((labels == 1).sum())}


def test_geojson_of_a_geotiff_lies_on_the_ground(bright: Path, tmp_path: Path) -> None:
    image = np.zeros((16, 24, 3), np.uint8)
    image[4:8, 6:16] = 255
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    # Pixels of 2 m; the upper left corner of the first one at 1000 east, 5000 north of zone 32's origin.
    for tag, kind, values in (
        (33550, 12, (2.0, 2.0, 0.0)),
        (33922, 12, (0.0, 0.0, 0.0, 1000.0, 5000.0, 0.0)),
        (34735, 3, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32632)),
    ):
        tags[tag], tags.tagtype[tag] = values, kind
    Image.fromarray(image).save(tmp_path / "field.tif", tiffinfo=tags)
    written(bright, tmp_path / "field.tif", tmp_path / "out", "geojson")
    plain = json.loads((tmp_path / "out" / "field.geojson").read_text())
    assert plain["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    (car,) = [each for each in plain["features"] if each["properties"]["class"] == "car"]
    corners = {tuple(point) for point in car["geometry"]["coordinates"][0]}
    assert corners == {(1012.0, 4992.0), (1032.0, 4992.0), (1032.0, 4984.0), (1012.0, 4984.0)}
    assert car["properties"]["area"] == 40 * 4


def cvat_mask(element: ElementTree.Element, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A mask element as CVAT's documentation describes it."""
    left, top, width, height = (int(element.attrib[name]) for name in ("left", "top", "width", "height"))
    flat: list[int] = []
    for place, run in enumerate(element.attrib["rle"].split(",")):
        flat += [place % 2] * int(run)
    mask = np.zeros(size_hw, bool)
    mask[top : top + height, left : left + width] = np.reshape(flat, (height, width))
    return mask


def test_cvat_has_masks_whose_runs_go_along_the_rows_of_their_box(bright: Path, photos: Path, tmp_path: Path) -> None:
    written(bright, photos, tmp_path, "cvat")
    root = ElementTree.parse(tmp_path / "cvat.xml").getroot()
    assert (root.tag, root.findtext("version"), root.findtext("meta/task/size")) == ("annotations", "1.1", "2")
    assert [each.text for each in root.findall("meta/task/labels/label/name")] == ["background", "car"]
    expected = predictions(bright, photos)
    for number, image in enumerate(root.findall("image")):
        labels = expected[image.attrib["name"]].class_id
        assert (int(image.attrib["id"]), int(image.attrib["width"])) == (number, labels.shape[1])
        for element in image.findall("mask"):
            number_of = {"background": 0, "car": 1}[element.attrib["label"]]
            np.testing.assert_array_equal(cvat_mask(element, labels.shape), labels == number_of)


def test_fiftyone_has_images_and_masks_of_one_name(bright: Path, photos: Path, tmp_path: Path) -> None:
    result = written(bright, photos, tmp_path, "fiftyone")
    assert result.files == (tmp_path / "fiftyone" / "mask_targets.json",)
    assert json.loads(result.files[0].read_text()) == {"0": "background", "1": "car"}
    for name, expected in predictions(bright, photos).items():
        assert (tmp_path / "fiftyone" / "data" / name).read_bytes() == (photos / name).read_bytes()
        mask = Image.open(tmp_path / "fiftyone" / "labels" / name)
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), expected.class_id)


def test_several_classes_a_pixel_overlap_in_coco_and_cvat_and_are_refused_where_they_cannot(
    overlapping: Path, photos: Path, tmp_path: Path
) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="needs the [coco] extra")
    result = written(overlapping, photos, tmp_path, "coco", "cvat", "fiftyone")
    assert tmp_path / "fiftyone" / "labels.json" in result.files
    expected = predictions(overlapping, photos)
    for read in (coco.COCO(tmp_path / "coco.json"), coco.COCO(tmp_path / "fiftyone" / "labels.json")):
        for annotation in read.loadAnns(read.getAnnIds()):
            name = read.loadImgs(annotation["image_id"])[0]["file_name"]
            plane = expected[name].classes[annotation["category_id"] - 1]
            np.testing.assert_array_equal(read.annToMask(annotation), plane)
    with pytest.raises(UsageError, match=r"coco_panoptic cannot hold predictions of multilabel; it holds segmentation"):
        written(overlapping, photos, tmp_path / "other", "coco_panoptic")
    assert not (tmp_path / "other").exists()


def test_people_are_coco_keypoints_and_cvat_skeletons(people: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    (tmp_path / "in").mkdir()
    Image.fromarray(random.integers(0, 256, (64, 96, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    infer(people / "built", [tmp_path / "in"], tmp_path / "out", options=InferOptions(formats=("coco", "cvat")))
    with Pipeline.open(people / "built") as pipeline:
        found = pipeline(tmp_path / "in" / "a.png")
    plain = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert len(plain["annotations"]) == len(found) > 0
    category = plain["categories"][0]
    assert category["keypoints"][5] == "left_shoulder" and [6, 7] in category["skeleton"]
    for annotation, xy, score in zip(plain["annotations"], found.xy_px, found.score, strict=True):
        points = np.reshape(annotation["keypoints"], (17, 3))
        np.testing.assert_array_equal(points[:, 2], np.where(score > 0, 2, 0))
        np.testing.assert_allclose(points[score > 0, :2], xy[score > 0])
        assert annotation["num_keypoints"] == (score > 0).sum()
    root = ElementTree.parse(tmp_path / "out" / "cvat.xml").getroot()
    skeletons = root.findall("image/skeleton")
    assert len(skeletons) == len(found) and len(skeletons[0].findall("points")) == 17
    # A label of skeletons, and below it one of points for each joint.
    whole, *joints = root.findall("meta/task/labels/label")
    assert (whole.findtext("name"), whole.findtext("type")) == (skeletons[0].get("label"), "skeleton")
    assert [each.findtext("name") for each in joints] == [each.get("label") for each in skeletons[0].findall("points")]
    assert {(each.findtext("type"), each.findtext("parent")) for each in joints} == {("points", whole.findtext("name"))}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--format", "coco", "--skip-existing"), "all images in one file"),
        (("--format", "coco", "--format", "coco"), "asked for twice"),
        (("--format", "yolo"), "unknown format 'yolo'"),
    ],
)
def test_formats_that_cannot_be_are_refused(
    more: tuple[str, ...], words: str, bright: Path, photos: Path, tmp_path: Path
) -> None:
    ended = densecast("infer", bright, photos, "--out", tmp_path / "out", *more)
    assert ended.code == 2 and words in ended.err and not (tmp_path / "out").exists()


def test_a_file_of_the_user_that_is_in_the_way_is_kept(bright: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text("{}")
    message = failed(2, "infer", bright, photos, "--out", tmp_path, "--format", "coco")
    assert "coco.json is there already" in message and (tmp_path / "coco.json").read_text() == "{}"
    (tmp_path / "coco.json").unlink()
    for _ in range(2):  # its own it replaces
        assert densecast("infer", bright, photos, "--out", tmp_path, "--format", "coco", "-q").code == 0


def test_no_image_is_an_empty_list_and_images_that_failed_are_left_out(
    bright: Path, photos: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    data = (photos / "a & b.png").read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    options = InferOptions(formats=("coco", "cvat"), keep_going=True)
    result = infer(bright, [broken, photos / "sub" / "c.png"], tmp_path / "out", options=options)
    assert len(result.failed) == 1
    plain = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [each["file_name"] for each in plain["images"]] == ["c.png"]
    assert {each["image_id"] for each in plain["annotations"]} == {1}


def test_values_that_are_no_class_are_in_no_annotation(tmp_path: Path) -> None:
    import tiny_specs

    from densecast.tasks._prediction import Origin

    labels = np.full((4, 4), 255, np.uint8)
    labels[0] = 1
    made = SegmentationMap(labels, None, Origin(tiny_specs.segmentation()))
    assert list(made.rle()) == ["car"] and made.areas() == {"background": 0, "car": 4}
