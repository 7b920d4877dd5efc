"""Predictions are objects: they know their model's names, say what they hold, draw and save themselves, or refuse."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_specs
from PIL import Image

import densecast
from densecast import DepthMap, MultilabelMap, Poses, SegmentationMap
from densecast.errors import BadShapeError, MissingError, UsageError
from densecast.spec.georeference import Georeference
from densecast.tasks._prediction import Origin

LABELS = ("background", "car", "wheel <small>")
CLASS_ID = np.zeros((40, 60), np.uint8)
CLASS_ID[10:30, 20:50] = 1
CLASS_ID[15:20, 25:30] = 2
CLASS_ID[0, 0] = 255
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def label_map(probability: bool = False) -> SegmentationMap:
    origin = Origin(tiny_specs.segmentation(LABELS), PHOTO)
    return SegmentationMap(CLASS_ID, np.full((40, 60), 0.75, np.float32) if probability else None, origin)


def bits() -> MultilabelMap:
    classes = np.zeros((3, 40, 60), bool)
    classes[0, :10, :10] = classes[2, 5:20, 5:20] = True
    return MultilabelMap(classes, None, Origin(tiny_specs.multilabel(), PHOTO))


def depth() -> DepthMap:
    values = np.linspace(1, 9, 2400, dtype=np.float32).reshape(40, 60)
    values[0, 0] = 0
    return DepthMap(values, "metres", Origin(tiny_specs.depth(), PHOTO))


def people() -> Poses:
    xy = np.random.default_rng(1).uniform(5, 35, (2, 17, 2)).astype(np.float32)
    score = np.ones((2, 17), np.float32)
    score[:, :3] = 0
    return Poses(xy, score, np.array([0.9, 0.4], np.float32), Origin(tiny_specs.pose(), PHOTO))


KINDS = {"segmentation": label_map, "multilabel": bits, "depth": depth, "pose": people}


def test_areas_names_and_shares_are_counted() -> None:
    made = label_map()
    assert made.names == LABELS
    assert made.areas() == {"background": 40 * 60 - 600 - 1, "car": 575, "wheel <small>": 25}
    assert bits().areas() == {"wet": 100, "lit": 0, "far": 225}
    assert repr(made) == "<SegmentationMap 60x40: background 75.0 %, car 24.0 %, wheel <small> 1.0 %>"
    assert repr(people()) == "<Poses 60x40: 2 people>"
    assert repr(depth()) == "<DepthMap 60x40: 1 to 9 m>"


def test_run_lengths_are_those_of_pycocotools() -> None:
    mask = pytest.importorskip("pycocotools.mask", reason="needs the [coco] extra")
    found = label_map().rle()
    for number, name in enumerate(LABELS):
        oracle = mask.encode(np.asfortranarray(number == CLASS_ID, np.uint8))
        assert found[name] == {"size": [40, 60], "counts": oracle["counts"].decode()}


def test_polygons_have_holes_and_leave_out_small_regions() -> None:
    found = label_map().polygons()
    (car,) = found["car"]
    assert car.exterior.tolist() == [[20, 10], [50, 10], [50, 30], [20, 30]]
    assert sorted(car.holes[0].tolist()) == [[25, 15], [25, 20], [30, 15], [30, 20]]
    assert "wheel <small>" in found and "wheel <small>" not in label_map().polygons(min_area_px=26)


def test_plain_values_are_json_and_complete() -> None:
    plain = json.loads(json.dumps(label_map(probability=True).to_dict(), allow_nan=False))
    assert (plain["model"], plain["height"], plain["width"]) == ("tiny", 40, 60)
    car = plain["classes"][1]
    assert (car["class"], car["area_px"], car["box_xywh"], car["confidence"]) == ("car", 575, [20, 10, 30, 20], 0.75)
    plain = people().to_dict()
    first, box = people().xy_px[0, 3:], plain["people"][0]["box_xywh"]
    np.testing.assert_allclose(box, [*first.min(axis=0), *np.ptp(first, axis=0)], rtol=1e-6)
    assert len(plain["joints"]) == 17 and len(plain["people"][1]["keypoints"][0]) == 3
    plain = depth().to_dict()
    assert (plain["max"], plain["unknown_px"], plain["form"]) == (9.0, 1, "metres")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_draws_saves_and_shows_itself(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind]()
    plain = made.plot(legend=False)
    assert plain.shape == PHOTO.shape and plain.dtype == np.uint8 and (plain != PHOTO).any()
    with_names = made.plot()
    if kind == "depth":  # its legend is a bar, which such a small picture has no room for
        np.testing.assert_array_equal(with_names, plain)
    else:
        np.testing.assert_array_equal(with_names[:40], plain)
        assert len(with_names) > 40
    np.testing.assert_array_equal(made.plot(opacity=0.0, contours=False, legend=False), PHOTO)
    np.testing.assert_array_equal(np.asarray(Image.open(made.save(tmp_path / "a.png"))), with_names)
    assert json.loads(made.save(tmp_path / "a.json").read_text(encoding="utf-8")) == made.to_dict()
    with np.load(made.save(tmp_path / "a.npz")) as arrays:
        assert len(arrays.files) >= 1
    assert made._repr_png_().startswith(b"\x89PNG")
    page = made._repr_html_()
    assert "data:image/png;base64," in page and "<small>" not in page
    with pytest.raises(UsageError, match=r"there already.*overwrite=True"):
        made.save(tmp_path / "a.png")
    made.save(tmp_path / "a.png", overwrite=True)


def test_drawing_has_the_colours_of_the_model_at_the_opacity_asked_for() -> None:
    made, colour = label_map(), np.array(tiny_specs.segmentation(LABELS).palette[1])
    drawn = made.plot(opacity=1.0, contours=False, legend=False)
    assert (drawn[CLASS_ID == 1] == colour).all() and (drawn[CLASS_ID == 0] == PHOTO[CLASS_ID == 0]).all()
    half = made.plot(opacity=0.5, contours=False, legend=False)
    np.testing.assert_allclose(half[12, 22], (PHOTO[12, 22] + colour) / 2, atol=1)
    assert (made.plot(contours=True, legend=False)[10, 20:50] == 255).all()
    colours = {tuple(pixel) for pixel in made.plot()[40:].reshape(-1, 3).tolist()}
    assert tuple(colour.tolist()) in colours, "the legend shows the class's colour"


@pytest.mark.parametrize("kind", ["depth", "pose"])
@pytest.mark.parametrize("method", ["areas", "polygons", "rle", "regions", "to_geojson"])
def test_what_means_nothing_for_a_task_is_refused_in_words(kind: str, method: str) -> None:
    with pytest.raises(UsageError, match=r"depth maps have no regions|people"):
        getattr(KINDS[kind](), method)()
    with pytest.raises(UsageError, match="contours"):
        KINDS[kind]().plot(contours=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda made, out: made.save(out / "a.xyz"), "known endings"),
        (lambda made, out: made.save(out / "a"), "known endings"),
        (lambda made, out: made.save(out), "known endings|is a folder"),
        (lambda made, out: made.save(out / "a.json", opacity=0.3), "no effect"),
        (lambda made, out: made.save(out / "a.png", georeference=Georeference((1, 0, 0, 0, 1, 0))), "no effect"),
        (lambda made, out: made.plot(opacity=1.5), "between 0 and 1"),
        (lambda made, out: made.polygons(simplify_px=-1.0), "at least 0"),
    ],
)
def test_options_without_sense_or_effect_are_refused(call: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        call(label_map(), tmp_path)
    assert not [*tmp_path.iterdir()]


def test_an_image_to_draw_on_has_to_be_the_one_that_was_predicted() -> None:
    with pytest.raises(BadShapeError, match="40 high and 60 wide"):
        label_map().plot(PHOTO[:20])
    with pytest.raises(BadShapeError, match="uint8 RGB"):
        label_map().plot(PHOTO.astype(np.float32))
    other = PHOTO[::-1].copy()
    np.testing.assert_array_equal(label_map().plot(other, opacity=0.0, contours=False, legend=False), other)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_predictions_are_equal_where_all_their_arrays_are(kind: str) -> None:
    one, same = KINDS[kind](), KINDS[kind]()
    assert one == same and one != 3 and one != KINDS["pose" if kind != "pose" else "depth"]()
    name, array = next((name, value) for name, value in vars_of(one).items() if isinstance(value, np.ndarray))
    changed = array.copy()
    changed.flat[-1] = not changed.flat[-1] if changed.dtype == bool else changed.flat[-1] + 1
    assert one != dataclasses.replace(one, **{name: changed})
    assert one == dataclasses.replace(one, origin=None), "what it was made of does not count"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def vars_of(prediction: Any) -> dict[str, Any]:
    return {each.name: getattr(prediction, each.name) for each in dataclasses.fields(prediction)}


def test_a_prediction_is_drawn_on_whatever_a_pipeline_takes(tmp_path: Path) -> None:
    made = label_map()
    other = np.ascontiguousarray(PHOTO[::-1])
    Image.fromarray(other).save(tmp_path / "a.png")
    drawn = made.plot(other)
    for given in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        Image.fromarray(other),
    ):
        assert np.array_equal(made.plot(given), drawn)
    assert not np.array_equal(made.plot(), drawn)


def test_a_prediction_made_by_hand_has_numbers_for_names_and_people_need_an_image() -> None:
    made = SegmentationMap(CLASS_ID[1:])
    assert made.names == () and list(made.areas()) == ["0", "1", "2"]
    assert made.plot(legend=False).shape == (39, 60, 3)
    with pytest.raises(UsageError, match=r"pass it, as plot\(image\)"):
        Poses(np.zeros((1, 17, 2), np.float32), np.ones((1, 17), np.float32), np.ones(1, np.float32)).plot()


def test_geojson_has_ground_coordinates_turning_as_the_standard_asks() -> None:
    # 10 m pixels, north up, as GDAL reads them; the first pixel's corner is at 500000, 5800000.
    place = Georeference.from_gdal((500000, 10, 0, 5800000, 0, -10), "EPSG:32632")
    plain = label_map().to_geojson(place)
    assert plain["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    car = next(each for each in plain["features"] if each["properties"]["class"] == "car")
    outer, hole = (np.array(ring) for ring in car["geometry"]["coordinates"])
    assert {tuple(point) for point in outer.tolist()} == {
        (500200.0, 5799900.0), (500500.0, 5799900.0), (500500.0, 5799700.0), (500200.0, 5799700.0)
    }  # fmt: skip
    for ring, turns in ((outer, 1), (hole, -1)):
        assert (ring[0] == ring[-1]).all()
        x, y = (ring - ring[0]).T
        assert np.sign((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) == turns
    assert car["properties"]["area"] == 575 * 100 and car["properties"]["area_px"] == 575
    in_pixels = label_map().to_geojson()
    assert "crs" not in in_pixels and "pixels" in in_pixels["coordinates"]
    car = next(each for each in in_pixels["features"] if each["properties"]["class"] == "car")
    corners = {tuple(point) for point in car["geometry"]["coordinates"][0]}
    assert corners == {(20.0, 10.0), (50.0, 10.0), (50.0, 30.0), (20.0, 30.0)}
    assert "crs" not in label_map().to_geojson(Georeference((1e-5, 0, 9, 0, -1e-5, 50), "EPSG:4326"))


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that takes what `supervision.Detections` takes, and checks what that checks."""

    def detections(*, xyxy: Any, class_id: Any, mask: Any = None, confidence: Any = None, data: Any = None) -> Any:
        count = len(xyxy)
        assert xyxy.shape == (count, 4) and class_id.shape == (count,) and class_id.dtype.kind == "i"
        assert mask is None or (mask.ndim == 3 and len(mask) == count and mask.dtype == bool)
        assert confidence is None or confidence.shape == (count,)
        assert all(len(each) == count for each in data.values())
        return SimpleNamespace(xyxy=xyxy, class_id=class_id, mask=mask, confidence=confidence, data=data)

    module = SimpleNamespace(Detections=detections, __spec__=object())
    monkeypatch.setitem(sys.modules, "supervision", module)
    yield


@pytest.mark.usefixtures("twin")
def test_detections_have_a_box_and_a_mask_for_each_class_or_a_box_for_each_person() -> None:
    found = label_map(probability=True).to_supervision()
    assert found.xyxy[1].tolist() == [20, 10, 50, 30] and found.class_id.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.mask[1], CLASS_ID == 1)
    assert found.confidence.tolist() == [0.75] * 3 and found.data["class_name"].tolist() == list(LABELS)
    found = people().to_supervision()
    assert found.confidence.tolist() == pytest.approx([0.9, 0.4]) and found.data["keypoints"].shape == (2, 17, 3)
    np.testing.assert_allclose(found.xyxy[0, :2], people().xy_px[0, 3:].min(axis=0))
    nobody = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    assert nobody.to_supervision().xyxy.shape == (0, 4)
    with pytest.raises(UsageError):
        depth().to_supervision()


def test_without_supervision_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(MissingError, match="pip install supervision"):
        label_map().to_supervision()


def test_a_pipeline_tells_its_predictions_where_they_are_from(artifacts: Path) -> None:
    photo = PHOTO.copy()
    with densecast.Pipeline.open(artifacts / "built") as pipeline:
        made = pipeline(photo)
        assert made.names == pipeline.spec.labels
        photo[:] = 0  # a caller's buffer, used again
        np.testing.assert_array_equal(made.image, PHOTO)
        (streamed,) = pipeline.stream([PHOTO], lambda image: image, lambda predicted: predicted.prediction)
        assert streamed.names == made.names and streamed.image is None
        (together,) = pipeline.predict_together([PHOTO])
        assert together.names == made.names
        np.testing.assert_array_equal(streamed.class_id, made.class_id)


def test_a_pipeline_says_which_model_it_is_after_its_end_as_well(artifacts: Path) -> None:
    with densecast.Pipeline.open(artifacts / "built", threads=1) as pipeline:
        open_one = repr(pipeline)
    assert open_one == f"<Pipeline: {pipeline.spec.name} (segmentation), float32, 1 threads>" == repr(pipeline)


def test_awaited_predictions_are_those_of_the_pipeline_while_the_loop_goes_on(artifacts: Path) -> None:
    photos = [np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8) for seed in range(8)]
    with densecast.Pipeline.open(artifacts / "built") as pipeline:
        expected = [pipeline(photo).class_id for photo in photos]

        class Arriving(io.BytesIO):
            """A file that ends only when the loop has gone on, as that of a slow disk."""

            def read(self, size: int | None = -1) -> bytes:
                turned_meanwhile.append(has_turned.wait(60))
                return super().read(size)

        has_turned, turned_meanwhile = threading.Event(), list[bool]()
        file = Arriving()
        Image.fromarray(photos[0]).save(file, "PNG")
        file.seek(0)

        async def all_of_them() -> list[Any]:
            waiting = asyncio.create_task(pipeline.apredict(photos[0]))
            waiting.cancel()
            predictions = asyncio.gather(*(pipeline.apredict(image) for image in (file, *photos[1:])))
            await asyncio.sleep(0)
            has_turned.set()
            made = await predictions
            assert waiting.cancelled()
            return made

        made = asyncio.run(all_of_them())
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(one.class_id, other)
        assert turned_meanwhile and all(turned_meanwhile)
        with pytest.raises(BadShapeError):
            asyncio.run(pipeline.apredict(np.zeros((4, 4, 3))))
    with pytest.raises(UsageError, match="closed"):
        asyncio.run(pipeline.apredict(photos[0]))


def test_scores_comparisons_and_reports_show_themselves_in_notebooks(tmp_path: Path) -> None:
    import made_report

    from densecast.results.compare import CompareResult
    from densecast.spec.score import Score

    score = Score("mIoU", 0.875, "fraction", "higher", 3, {"IoU": {"road": 0.5, "<b>": None}}, {"acc": 0.9})
    page = score._repr_html_()
    assert "mIoU 0.8750 (higher is better) over 3 images" in page and "<td>road</td>" in page
    assert "&lt;b&gt;" in page and "0.9000" in page
    assert "a &amp; b against c, 2 images" in CompareResult("a & b", "c", 2, ())._repr_html_()
    report = made_report.report(tmp_path)
    page = report._repr_html_()
    assert page.count("<tr>") == 1 + len(report.rows) and f"{report.rows[0].score.value:.4f}" in page


def test_supervision_itself_takes_the_detections_and_draws_them() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed: pip install supervision")
    found = label_map(probability=True).to_supervision()
    assert isinstance(found, supervision.Detections) and len(found) == 3
    assert found.area.tolist() == [each.area_px for each in label_map().regions()]
    assert found[found.class_id == 1].data["class_name"].tolist() == ["car"]
    drawn = supervision.MaskAnnotator(opacity=1.0).annotate(PHOTO.copy(), found[found.class_id == 1])
    np.testing.assert_array_equal((drawn != PHOTO).any(axis=2) & (CLASS_ID != 1), np.zeros((40, 60), bool))
    everybody = people().to_supervision()
    assert isinstance(everybody, supervision.Detections) and everybody.data["keypoints"].shape == (2, 17, 3)
    merged = supervision.Detections.merge([everybody, everybody])
    assert len(merged) == 4
