"""Joints of COCO files are found by name, of any category, and in the frame that pictures are seen in."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import made_coco
import numpy as np
import pytest
import seeded_people
import tiny_artifacts
from made_images import picture
from PIL import Image

from densecast.datasets import coco_keypoints
from densecast.errors import BadDatasetError
from densecast.metrics.coco_keypoints import METRIC
from densecast.pipeline import Pipeline
from densecast.spec.data_options import Reading
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.verb_options import EvaluateOptions
from densecast.tasks.pose.coco_person import JOINTS
from densecast.verbs.evaluate import evaluate

# A fixed order that leaves no joint in its place.
ORDER = tuple(sorted(range(17), key=lambda place: JOINTS[place][::-1]))
HALPE = ("head", "neck", "hip")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made_coco.folder(tmp_path / "coco", ("val",))


def reordered(document: dict[str, Any], places: tuple[int, ...], names: list[Any], extra: int = 0) -> None:
    """Keep the joints `places` of every annotation, in that order, and `extra` marked points after them."""
    for each in document["annotations"]:
        joints = np.reshape(each["keypoints"], (17, 3))[list(places)]
        each["keypoints"] = [*joints.reshape(-1).tolist(), *(9.0, 9.0, 2) * extra]
    document["categories"][0]["keypoints"] = names


def people_of(root: Path) -> np.ndarray:
    dataset = coco_keypoints.open(root, "val")
    targets = [dataset.read_target(sample) for sample in dataset.samples]
    return np.concatenate([np.dstack([each.xy_px, each.visibility]) for each in targets])


def annotated() -> np.ndarray:
    """(n, 17, 3) of the file as it was made."""
    document, _ = seeded_people.images(0)
    return np.reshape([each["keypoints"] for each in document["annotations"]], (-1, 17, 3))


def test_there_is_a_joint_out_of_place() -> None:
    assert all(place != there for place, there in enumerate(ORDER))


@pytest.mark.parametrize(
    "spelt",
    [str, lambda name: name.upper(), lambda name: name.replace("_", " ").title(), lambda name: name.replace("_", "-"),
     lambda name: name.replace("_", "")],
)  # fmt: skip
def test_joints_of_any_order_are_found_by_name(spelt: Any, root: Path) -> None:
    made_coco.change(root, lambda document: reordered(document, ORDER, [spelt(JOINTS[place]) for place in ORDER]))
    np.testing.assert_array_equal(people_of(root), annotated())
    assert coco_keypoints.open(root, "val").remarks == ()


def test_joints_that_are_not_there_are_not_labelled(root: Path) -> None:
    kept = tuple(place for place in ORDER if place not in (1, 2, 3, 4))
    made_coco.change(root, lambda document: reordered(document, kept, [JOINTS[place] for place in kept]))
    wanted = annotated().copy()
    wanted[:, 1:5] = 0
    np.testing.assert_array_equal(people_of(root), wanted)
    (remark,) = coco_keypoints.open(root, "val").remarks
    assert "left_eye, right_eye, left_ear, right_ear" in remark


def test_unknown_joints_beside_all_of_the_models_are_left_out(root: Path) -> None:
    names = [*(JOINTS[place] for place in ORDER), *HALPE]
    made_coco.change(root, lambda document: reordered(document, ORDER, names, extra=3))
    np.testing.assert_array_equal(people_of(root), annotated())
    (remark,) = coco_keypoints.open(root, "val").remarks
    assert "head, neck, hip" in remark


REFUSED: dict[str, tuple[list[Any], str]] = {
    "an unknown joint in the place of one": (["nose", "neck", *JOINTS[2:]], "'neck' is none of the model's"),
    "another animal": ([f"paw {side}" for side in "abcdefghijklmnopq"], "'paw a' is none"),
    "a joint twice": (["nose", "Nose", *JOINTS[2:]], "'Nose' is there twice"),
    "no names": (["nose", None, *JOINTS[2:]], "list of the joints' names"),
    "some named, some not": ([*JOINTS[:16], "p17"], "'p17' is none"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_joints_that_cannot_be_told_are_refused(what: str, root: Path) -> None:
    names, message = REFUSED[what]
    made_coco.change(root, lambda document: document["categories"][0].update(keypoints=names))
    with pytest.raises(BadDatasetError, match=re.escape(message)):
        coco_keypoints.open(root, "val")
    assert any(message in problem for problem in coco_keypoints.check(root).problems)


@pytest.mark.parametrize("names", [[f"p{k}" for k in range(17)], list(range(17)), [f"Keypoint_{k}" for k in range(17)]])
def test_names_that_say_nothing_are_remarked(names: list[Any], root: Path) -> None:
    made_coco.change(root, lambda document: document["categories"][0].update(keypoints=names))
    np.testing.assert_array_equal(people_of(root), annotated())
    (remark,) = coco_keypoints.open(root, "val").remarks
    assert "says nothing" in remark and "nose first" in remark


def test_fourteen_joints_without_names_are_refused(root: Path) -> None:
    made_coco.change(root, lambda document: reordered(document, ORDER[:14], [f"p{k}" for k in range(14)]))
    with pytest.raises(BadDatasetError, match="14 joints called 'p0' … say nothing"):
        coco_keypoints.open(root, "val")


def test_categories_without_joints_are_left_out_with_their_annotations(root: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        for each in document["annotations"]:
            each["category_id"] = 7
        document["categories"][0].update(id=7, name="worker")
        document["categories"].append({"id": 3, "name": "helmet"})
        document["annotations"].append(
            {"id": 99999, "image_id": 100, "category_id": 3, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}
        )

    made_coco.change(root, edit)
    np.testing.assert_array_equal(people_of(root), annotated())
    assert all("whole data set has" in problem for problem in coco_keypoints.check(root).problems)


def test_of_several_categories_with_joints_the_one_called_person_is_meant(root: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["categories"].append({"id": 2, "name": "horse", "keypoints": ["hoof", "tail"]})
        document["annotations"].append(
            {"id": 99999, "image_id": 100, "category_id": 2, "keypoints": [1, 1, 2, 3, 3, 2]}
        )

    made_coco.change(root, edit)
    np.testing.assert_array_equal(people_of(root), annotated())
    assert "left out is horse" in coco_keypoints.open(root, "val").remarks[0]
    made_coco.change(root, lambda document: document["categories"][0].update(name="rider"))
    with pytest.raises(BadDatasetError, match="'rider', 'horse' have key points"):
        coco_keypoints.open(root, "val")


@pytest.mark.parametrize("categories", [None, [], [{"id": 1, "name": "person"}]])
def test_files_without_names_of_joints_are_remarked(categories: Any, root: Path) -> None:
    made_coco.change(root, lambda document: document.update(categories=categories))
    np.testing.assert_array_equal(people_of(root), annotated())
    assert "COCO's order" in coco_keypoints.open(root, "val").remarks[0]


@pytest.mark.parametrize("categories", [5, ["person"], [{"name": "person"}], [{"id": 1}, {"id": 1}]])
def test_categories_that_are_none_are_refused(categories: Any, root: Path) -> None:
    made_coco.change(root, lambda document: document.update(categories=categories))
    with pytest.raises(BadDatasetError, match="categor"):
        coco_keypoints.open(root, "val")


def test_areas_of_nothing_are_remarked(root: Path) -> None:
    made_coco.change(root, lambda document: [each.update(area=0) for each in document["annotations"]])
    assert "every 'area' is 0" in coco_keypoints.open(root, "val").remarks[0]


@pytest.mark.parametrize("written", ["cam_a/{}", "cam_a\\{}"])
@pytest.mark.parametrize("below", ["val2017", "images", "."])
def test_names_of_images_may_have_folders(written: str, below: str, root: Path) -> None:
    (root / below / "cam_a").mkdir(parents=True, exist_ok=True)
    for path in list((root / "val2017").glob("*.jpg")):
        path.rename(root / below / "cam_a" / path.name)

    def edit(document: dict[str, Any]) -> None:
        for image in document["images"]:
            image["file_name"] = written.format(image["file_name"])

    made_coco.change(root, edit)
    assert all(sample.image.is_file() for sample in coco_keypoints.open(root, "val").samples)


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/../x.jpg", "a\\..\\..\\x.jpg", "", "/", "a\0.jpg"])
def test_names_that_leave_the_folder_are_refused(name: str, root: Path) -> None:
    made_coco.change(root, lambda document: document["images"][0].update(file_name=name))
    with pytest.raises(BadDatasetError, match="in or below the folder of images"):
        coco_keypoints.open(root, "val")


@pytest.mark.parametrize("before", ["/data/set/", "D:\\data\\set\\", "https://example.com/set/", "\\\\nas\\set\\"])
def test_paths_of_other_machines_are_found_by_their_ends(before: str, root: Path) -> None:
    wanted = [sample.image for sample in coco_keypoints.open(root, "val").samples]

    def edit(document: dict[str, Any]) -> None:
        for image in document["images"]:
            image["file_name"] = before + image["file_name"]

    made_coco.change(root, edit)
    assert [sample.image for sample in coco_keypoints.open(root, "val").samples] == wanted


def test_addresses_with_escapes_and_signatures_are_found(root: Path) -> None:
    first = coco_keypoints.open(root, "val").samples[0].image
    spaced = first.rename(first.with_name(f"a {first.name}"))
    address = f"https://example.com/set/a%20{first.name}?signature=x/y#z"
    made_coco.change(root, lambda document: document["images"][0].update(file_name=address))
    assert spaced in {sample.image for sample in coco_keypoints.open(root, "val").samples}


def test_escapes_of_an_address_do_not_lead_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(next((root / "val2017").glob("*.jpg")).read_bytes())
    place = str(tmp_path / "outside.jpg")
    for hidden in ("%2e%2e/" * 8 + place.lstrip("/"), place.replace("/", "%2f"), "a/%2e%2e/%2e%2e/outside.jpg"):
        address = f"https://example.com/{hidden}"
        made_coco.change(root, lambda document, name=address: document["images"][0].update(file_name=name))
        with pytest.raises(BadDatasetError, match="are not there"):
            coco_keypoints.open(root, "val")


def test_a_name_in_another_case_is_said_to_be_such(root: Path) -> None:
    name = coco_keypoints.open(root, "val").samples[0].image.name
    made_coco.change(root, lambda document: document["images"][0].update(file_name=name.upper()))
    with pytest.raises(BadDatasetError, match=f"There is {name}: upper and lower case"):
        coco_keypoints.open(root, "val")


def test_a_path_that_is_there_outside_of_the_folder_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(next((root / "val2017").glob("*.jpg")).read_bytes())
    made_coco.change(root, lambda document: document["images"][0].update(file_name=str(outside)))
    with pytest.raises(BadDatasetError, match="are not there"):
        coco_keypoints.open(root, "val")


@pytest.mark.parametrize("name", ["{}", "/somewhere/else/{}"])
def test_two_entries_of_one_picture_are_refused(name: str, root: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["images"][1]["file_name"] = name.format(document["images"][0]["file_name"])

    made_coco.change(root, edit)
    with pytest.raises(BadDatasetError, match="are one file"):
        coco_keypoints.open(root, "val")


@pytest.mark.coco
def test_a_reordered_file_scores_as_pycocotools_scores_the_original(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    model = tiny_artifacts.compiled_pose(
        tmp_path / "pose", BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 8)))
    )
    _, found = seeded_people.images(0)
    original = tmp_path / "original.json"
    original.write_text((root / made_coco.VAL).read_text(encoding="utf-8"), encoding="utf-8")
    made_coco.change(root, lambda made: reordered(made, ORDER, [JOINTS[place] for place in ORDER]))
    dataset = coco_keypoints.open(root, "val")
    counts = [
        METRIC.count(sample.id, each.people, dataset.read_target(sample), model.spec)
        for sample, each in zip(dataset.samples, found, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(original))
        results = METRIC.results(counts)  # type: ignore[attr-defined]
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert METRIC.score(counts, model.spec).value == evaluation.stats[0] > 0.1
    names = [f"p{place}" for place in range(17)]
    made_coco.change(root, lambda made: made["categories"][0].update(keypoints=names))
    with Pipeline.open(model) as pipeline:
        score = evaluate(pipeline, root, EvaluateOptions(limit=2)).score
    assert any("says nothing" in remark for remark in score.remarks)


SIZE_HW = (90, 60)
UPRIGHT_XY, BOTH_XY, STORED_XY = (30.0, 80.0), (20.0, 20.0), (80.0, 30.0)


def tagged(root: Path, places: dict[int, tuple[float, float]], annotated_hw: tuple[int, int]) -> None:
    """Pictures that are stored 90 wide and 60 high and seen upright 60 wide, each with a person at one place."""
    exif = Image.Exif()
    exif[0x0112] = 6
    images, people = [], []
    for number, (x, y) in places.items():
        path = root / "val2017" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture((60, 90))).save(path, exif=exif)
        images.append({"id": number, "file_name": path.name, "height": annotated_hw[0], "width": annotated_hw[1]})
        joints = [value for k in range(17) for value in (x - k / 4, y - k / 4, 2)]
        people.append(
            {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 25.0,
             "bbox": [x - 4, y - 4, 4, 4], "keypoints": joints}
        )  # fmt: skip
    document = {
        "images": images,
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}],
    }
    (root / made_coco.VAL).parent.mkdir(parents=True, exist_ok=True)
    (root / made_coco.VAL).write_text(json.dumps(document), encoding="utf-8")


def read(root: Path, number: int, *, use_exif: bool = True) -> int:
    dataset = coco_keypoints.DATASET.for_model(Reading(use_exif=use_exif)).open(root, "val")  # type: ignore[attr-defined]
    return len(dataset.read_target(dataset.samples[number - 1]))


def test_upright_joints_of_a_turned_picture_are_right(tmp_path: Path) -> None:
    tagged(tmp_path, {1: UPRIGHT_XY, 2: BOTH_XY}, SIZE_HW)
    assert read(tmp_path, 1) == read(tmp_path, 2) == 1


@pytest.mark.parametrize("annotated_hw", [SIZE_HW, SIZE_HW[::-1]])
def test_joints_in_the_stored_frame_of_a_turned_picture_are_refused(
    annotated_hw: tuple[int, int], tmp_path: Path
) -> None:
    tagged(tmp_path, {1: STORED_XY}, annotated_hw)
    with pytest.raises(BadDatasetError, match=r"seen upright, 60×90 .*joints lie in the stored frame. Turn joints"):
        read(tmp_path, 1)
    assert any("stored frame" in problem for problem in coco_keypoints.check(tmp_path).problems)


def test_upright_joints_beside_the_stored_size_are_told_by_their_extent(tmp_path: Path) -> None:
    tagged(tmp_path, {1: BOTH_XY, 2: UPRIGHT_XY}, SIZE_HW[::-1])
    assert read(tmp_path, 1) == read(tmp_path, 2) == 1


@pytest.mark.parametrize("others", [{}, {2: STORED_XY}, {2: STORED_XY, 3: UPRIGHT_XY}])
def test_joints_of_which_nothing_tells_the_frame_are_refused(
    others: dict[int, tuple[float, float]], tmp_path: Path
) -> None:
    tagged(tmp_path, {1: BOTH_XY, **others}, SIZE_HW[::-1])
    with pytest.raises(BadDatasetError, match="lie in the stored frame"):
        read(tmp_path, 1)


def test_a_model_that_reads_pictures_as_stored_needs_joints_of_that_frame(tmp_path: Path) -> None:
    tagged(tmp_path, {1: STORED_XY}, SIZE_HW[::-1])
    assert read(tmp_path, 1, use_exif=False) == 1
    tagged(tmp_path, {1: UPRIGHT_XY}, SIZE_HW)
    with pytest.raises(BadDatasetError, match="lie in the upright frame"):
        read(tmp_path, 1, use_exif=False)
