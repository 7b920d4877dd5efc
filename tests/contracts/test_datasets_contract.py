"""What holds for every data set: a stable order, unique ids, targets of their image's size, and faults are found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import made_coco
import made_coco_labels
import made_images
import made_label_maps
import made_mask_folders
import made_outlines
import made_pairs
import made_parquet
import numpy as np
import pytest
from contract_cases import case_of

from densecast.datasets._base import DATASETS, DatasetFormat
from densecast.errors import DensecastError, MissingFileError
from densecast.imaging.read import size_hw
from densecast.spec.sample import Sample
from densecast.testing import check_dataset


@dataclass(frozen=True)
class Case:
    """How to write a small sound folder of a data set; its only problem may be that it is small.

    `label_maps`: each image's target is a file of its own, with one label a pixel.
    """

    write: Callable[[Path], Path]
    label_maps: bool = True


CASES = {
    "carvana": Case(lambda root: made_images.carvana(root, count=12)),
    "cityscapes": Case(made_label_maps.cityscapes),
    "coco_keypoints": Case(made_coco.folder, label_maps=False),
    "coco_segmentation": Case(made_coco_labels.instances, label_maps=False),
    "labelme": Case(made_outlines.labelme, label_maps=False),
    "depth_pairs": Case(made_pairs.depth, label_maps=False),
    "multilabel_pairs": Case(made_pairs.multilabel, label_maps=False),
    "pairs": Case(lambda root: made_mask_folders.pairs(root, count=12)),
    "parquet": Case(made_parquet.one_file, label_maps=False),
    "yolo_segmentation": Case(made_outlines.yolo, label_maps=False),
    "voc2012": Case(made_label_maps.voc2012),
}


@pytest.fixture(params=DATASETS.names())
def case(request: pytest.FixtureRequest) -> tuple[DatasetFormat, Case]:
    known = case_of(CASES, "datasets", request.param)
    return DATASETS.load(request.param), known


@pytest.fixture
def root(case: tuple[DatasetFormat, Case], tmp_path: Path) -> Path:
    return case[1].write(tmp_path / "data")


def test_a_data_set_passes_all_checks(case: tuple[DatasetFormat, Case], root: Path) -> None:
    check_dataset(case[0], root, targets=None)


def test_files_written_in_another_order_are_the_same_data_set(
    case: tuple[DatasetFormat, Case], root: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            (moved / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, moved / path.relative_to(root))
    for split in ("train", "val", "all"):
        ids = [sample.id for sample in case[0].open(root, split).samples]
        assert ids == sorted(ids)
        assert [sample.id for sample in case[0].open(moved, split).samples] == ids


def test_label_maps_are_bytes_of_their_images_size(case: tuple[DatasetFormat, Case], root: Path) -> None:
    if not case[1].label_maps:
        pytest.skip("its targets are no maps; they are compared in its own tests")
    dataset = case[0].open(root, "val")
    for sample in dataset.samples:
        target = dataset.read_target(sample)
        assert target.dtype == np.uint8
        assert target.shape == size_hw(sample.image)


def test_record_says_which_images(case: tuple[DatasetFormat, Case], root: Path) -> None:
    dataset = case[0].open(root, "all")
    record, first = dataset.record(), dataset.record(limit=3)
    assert (first.count, first.total) == (3, record.total)
    assert first.ids_sha256 != record.ids_sha256


def test_the_first_variable_of_its_root_is_ours(case: tuple[DatasetFormat, Case]) -> None:
    assert case[0].root_variables[0].endswith("_DATASETS_PATH")


def test_a_sound_folder_lacks_only_images(case: tuple[DatasetFormat, Case], root: Path) -> None:
    report = case[0].check(root)
    assert report.root == root
    assert len(report.problems) <= 1
    assert all("whole data set has" in problem for problem in report.problems)


def _delete_target(sample: Sample) -> None:
    sample.target.unlink()


def _shrink_target(sample: Sample) -> None:
    made_images.write_mask(sample.target, np.zeros((8, 8), np.uint8))


def _break_target(sample: Sample) -> None:
    sample.target.write_bytes(b"GIF89a nothing follows")


def _empty_image(sample: Sample) -> None:
    sample.image.write_bytes(b"")


@pytest.mark.parametrize("plant", [_delete_target, _shrink_target, _break_target, _empty_image])
def test_a_planted_fault_is_found_and_named(
    plant: Callable[[Sample], None], case: tuple[DatasetFormat, Case], root: Path
) -> None:
    layout, known = case
    if plant is not _empty_image and not known.label_maps:
        pytest.skip("one file holds all its targets; what may be wrong there is planted in its own tests")
    sample = layout.open(root, "all").samples[1]
    before = set(layout.check(root).problems)
    plant(sample)
    problems = [problem for problem in layout.check(root).problems if problem not in before]
    assert any(sample.id in problem for problem in problems), problems
    with pytest.raises(DensecastError, match=sample.id):
        dataset = layout.open(root, "all")
        dataset.read_target(dataset.samples[1])


def test_a_folder_that_is_not_there_is_said_to_be_missing(case: tuple[DatasetFormat, Case], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="absent does not exist"):
        case[0].open(tmp_path / "absent", "val")
