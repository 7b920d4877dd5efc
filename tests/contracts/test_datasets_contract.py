"""What holds for every data set: a stable order, unique ids, targets of their image's size, and faults are found."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import made_coco
import made_label_maps
import made_pictures
import numpy as np
import pytest
from contract_cases import case_of

from densecast import plugins
from densecast.errors import DensecastError
from densecast.imaging.read import size_hw
from densecast.spec.sample import Sample


@dataclass(frozen=True)
class Case:
    """How to write a small sound folder of a data set; its only problem may be that it is small.

    `label_maps`: each image's target is a file of its own, with one label a pixel.
    """

    write: Callable[[Path], Path]
    splits: tuple[str, ...]
    label_maps: bool = True


CASES = {
    "carvana": Case(lambda root: made_pictures.carvana(root, count=12), ("train", "val", "all")),
    "cityscapes": Case(made_label_maps.cityscapes, ("train", "val", "all")),
    "coco_keypoints": Case(made_coco.folder, ("train", "val", "all"), label_maps=False),
    "voc2012": Case(made_label_maps.voc2012, ("train", "val", "all")),
}


@pytest.fixture(params=plugins.names("datasets"))
def case(request: pytest.FixtureRequest) -> tuple[ModuleType, Case]:
    found = case_of(CASES, "datasets", request.param)
    return plugins.load("datasets", request.param), found


@pytest.fixture
def root(case: tuple[ModuleType, Case], tmp_path: Path) -> Path:
    return case[1].write(tmp_path / "data")


def test_order_is_stable_and_ids_are_unique(case: tuple[ModuleType, Case], root: Path, tmp_path: Path) -> None:
    module, known = case
    for split in known.splits:
        samples = module.open(root, split).samples
        ids = [sample.id for sample in samples]
        assert ids == sorted(ids)
        assert len(set(ids)) == len(ids) > 0
        assert module.open(root, split).samples == samples
    # Files that were written in another order are the same data set.
    moved = tmp_path / "moved"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            (moved / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, moved / path.relative_to(root))
    assert [sample.id for sample in module.open(moved, "val").samples] == [
        sample.id for sample in module.open(root, "val").samples
    ]


def test_training_and_validation_share_nothing_and_make_up_the_whole(case: tuple[ModuleType, Case], root: Path) -> None:
    module, known = case
    if "train" not in known.splits:
        pytest.skip("only one split is published")
    train, val, everything = ({s.id for s in module.open(root, split).samples} for split in ("train", "val", "all"))
    assert not train & val
    assert train | val == everything


def test_targets_have_their_images_size(case: tuple[ModuleType, Case], root: Path) -> None:
    dataset = case[0].open(root, "val")
    for sample in dataset.samples:
        target = dataset.read_target(sample)
        if not case[1].label_maps:
            pytest.skip("its targets are no maps; they are compared in its own tests")
        assert target.dtype == np.uint8
        assert target.shape == size_hw(sample.image)


def test_record_says_which_images(case: tuple[ModuleType, Case], root: Path) -> None:
    dataset = case[0].open(root, "all")
    record, first = dataset.record(), dataset.record(limit=3)
    assert (record.dataset, record.split, record.count) == (dataset.name, "all", len(dataset.samples))
    assert (first.count, first.total) == (3, record.total)
    wanted = hashlib.sha256("\n".join(sample.id for sample in dataset.samples[:3]).encode()).hexdigest()
    assert first.ids_sha256 == wanted != record.ids_sha256


def test_a_sound_folder_lacks_only_images(case: tuple[ModuleType, Case], root: Path) -> None:
    report = case[0].check(root)
    assert report.root == root
    assert len(report.problems) <= 1
    assert all("whole data set has" in problem for problem in report.problems)


def _delete_target(sample: Sample) -> None:
    sample.target.unlink()


def _shrink_target(sample: Sample) -> None:
    made_pictures.write_mask(sample.target, np.zeros((8, 8), np.uint8))


def _break_target(sample: Sample) -> None:
    sample.target.write_bytes(b"GIF89a nothing follows")


def _empty_image(sample: Sample) -> None:
    sample.image.write_bytes(b"")


@pytest.mark.parametrize("plant", [_delete_target, _shrink_target, _break_target, _empty_image])
def test_a_planted_fault_is_found_and_named(
    plant: Callable[[Sample], None], case: tuple[ModuleType, Case], root: Path
) -> None:
    module, known = case
    if plant is not _empty_image and not known.label_maps:
        pytest.skip("one file holds all its targets; what may be wrong there is planted in its own tests")
    sample = module.open(root, "all").samples[1]
    before = set(module.check(root).problems)
    plant(sample)
    found = [problem for problem in module.check(root).problems if problem not in before]
    assert any(sample.id in problem for problem in found), found
    with pytest.raises(DensecastError, match=sample.id):
        dataset = module.open(root, "all")
        dataset.read_target(dataset.samples[1])


def test_a_folder_that_is_none_is_refused(case: tuple[ModuleType, Case], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(DensecastError, match=folder.name):
            case[0].open(folder, "val")
    with pytest.raises(DensecastError, match="absent does not exist"):
        case[0].open(tmp_path / "absent", "val")
