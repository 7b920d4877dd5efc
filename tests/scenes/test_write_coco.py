"""A written folder has COCO's layout, is the same however it was made, and never passes for another."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.errors import BadConfigError, BadDatasetError
from densecast.scenes import folder, people, write_coco

COUNT, SEED = 12, 5


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def annotations(root: Path, split: str) -> dict[str, Any]:
    return json.loads((root / "annotations" / f"person_keypoints_{split}.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    write_coco.write(root, COUNT, seed=SEED, workers=1)
    return root


@pytest.fixture(scope="module")
def drawn() -> list[people.Scene]:
    return [people.render(SEED, index) for index in range(COUNT)]


def test_layout_is_cocos_and_a_tenth_is_for_validation(written: Path) -> None:
    names = {split: {path.name for path in (written / split).iterdir()} for split in write_coco.SPLITS}
    assert names["val2017"] == {"000000000001.jpg", "000000000011.jpg"}
    assert names["train2017"] == {f"{n:012d}.jpg" for n in range(1, COUNT + 1)} - names["val2017"]
    for split in write_coco.SPLITS:
        assert {image["file_name"] for image in annotations(written, split)["images"]} == names[split]


@pytest.mark.slow
def test_annotations_say_what_was_drawn(written: Path, drawn: list[people.Scene]) -> None:
    for split in write_coco.SPLITS:
        file = annotations(written, split)
        for image in file["images"]:
            scene = drawn[image["id"] - 1]
            assert (image["height"], image["width"]) == scene.image.shape[:2]
            found = [a for a in file["annotations"] if a["image_id"] == image["id"]]
            assert len(found) == len(scene.people)
            for annotation, person in zip(found, scene.people, strict=True):
                points = np.array(annotation["keypoints"]).reshape(17, 3)
                # Written with two decimals.
                np.testing.assert_allclose(points[:, :2], person.xy_px, atol=0.0051)
                np.testing.assert_array_equal(points[:, 2], person.visibility)
                assert annotation["num_keypoints"] == np.count_nonzero(points[:, 2])
                assert annotation["area"] == person.mask.sum()
                left, top, width, height = annotation["bbox"]
                assert person.mask[top : top + height, left : left + width].sum() == person.mask.sum()


@pytest.mark.slow
def test_images_are_jpegs_near_what_was_drawn(written: Path, drawn: list[people.Scene]) -> None:
    scene = drawn[0]
    with Image.open(written / "val2017" / "000000000001.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        # Quality 80 and up on a noisy picture; a wrong channel order or picture is off by 20 and more.
        assert np.abs(np.asarray(image).astype(int) - scene.image).mean() < 8


def test_ids_are_unique_over_both_files(written: Path) -> None:
    for kind in ("images", "annotations"):
        ids = [entry["id"] for split in write_coco.SPLITS for entry in annotations(written, split)[kind]]
        assert len(set(ids)) == len(ids)


def test_keys_and_category_are_those_of_a_real_file(written: Path) -> None:
    folder = os.environ.get("DENSECAST_TEST_DATA")
    path = Path(folder or "") / "coco" / "annotations" / "person_keypoints_val2017.json"
    if not folder or not path.is_file():
        pytest.skip("set DENSECAST_TEST_DATA to a folder with coco/annotations to compare with a real file")
    real, ours = json.loads(path.read_text()), annotations(written, "val2017")
    assert ours.keys() == real.keys()
    assert ours["categories"] == real["categories"]
    for kind in ("images", "annotations"):
        assert ours[kind][0].keys() == real[kind][0].keys()


@pytest.mark.coco
# pycocotools 2.0 does not know NumPy 2's `copy` keyword yet.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_file_and_its_polygons_cover_the_people(written: Path, drawn: list[people.Scene]) -> None:
    coco_module = pytest.importorskip("pycocotools.coco")
    coco = coco_module.COCO(str(written / "annotations" / "person_keypoints_train2017.json"))
    assert coco.getCatIds(catNms=["person"]) == [1]
    overlaps = []
    for image_id in coco.getImgIds():
        scene = drawn[image_id - 1]
        for annotation, person in zip(coco.loadAnns(coco.getAnnIds(image_id)), scene.people, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            assert mask.shape == person.mask.shape
            overlaps.append((mask & person.mask).sum() / (mask | person.mask).sum())
    # Outlines enclose holes (between arm and trunk) that the mask does not have, and drop specks.
    assert np.median(overlaps) > 0.93
    assert min(overlaps) > 0.7


@pytest.mark.coco
def test_the_truth_as_detections_scores_one(written: Path) -> None:
    coco_module = pytest.importorskip("pycocotools.coco")
    evaluation_module = pytest.importorskip("pycocotools.cocoeval")
    truth = coco_module.COCO(str(written / "annotations" / "person_keypoints_train2017.json"))
    detections = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 1.0}
        for a in truth.dataset["annotations"]
    ]
    evaluation = evaluation_module.COCOeval(truth, truth.loadRes(detections), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1.0


@pytest.mark.slow  # carvana's twin is a default test
def test_number_of_workers_does_not_show(written: Path, tmp_path: Path) -> None:
    write_coco.write(tmp_path, COUNT, seed=SEED, workers=2)
    assert contents(tmp_path) == contents(written)


def test_record_tells_what_the_folder_is(written: Path) -> None:
    stored = json.loads((written / "scene.json").read_text())
    assert stored == {"generator": "people", "version": people.VERSION, "seed": SEED, "count": COUNT}
    assert folder.is_written(written, write_coco.record(COUNT, SEED))
    for other in ((COUNT + 1, SEED), (COUNT, SEED + 1)):
        assert not folder.is_written(written, write_coco.record(*other))


def test_a_finished_folder_is_left_alone_and_an_interrupted_one_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_coco.write(tmp_path, 2, seed=SEED)
    whole = contents(tmp_path)
    render = people.render
    monkeypatch.setattr(people, "render", None)
    write_coco.write(tmp_path, 2, seed=SEED)

    def fails(seed: int, index: int) -> people.Scene:
        if index == 1:
            raise RuntimeError("interrupted")
        return render(seed, index)

    broken = tmp_path / "broken"
    monkeypatch.setattr(people, "render", fails)
    with pytest.raises(RuntimeError, match="interrupted"):
        write_coco.write(broken, 2, seed=SEED, workers=1)
    assert not folder.is_written(broken, write_coco.record(2, SEED))
    monkeypatch.setattr(people, "render", render)
    write_coco.write(broken, 2, seed=SEED)
    assert contents(broken) == whole


def test_folders_of_something_else_are_refused_and_unchanged(written: Path) -> None:
    before = contents(written)
    with pytest.raises(BadDatasetError, match="other files"):
        write_coco.write(written, 1, seed=SEED)
    assert contents(written) == before


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 2_000_000}, {"seed": -1}])
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(BadConfigError, match="count of 1"):
        write_coco.write(tmp_path, **({"count": 1} | wrong))
    assert not any(tmp_path.iterdir())
