"""Which data set and metric are meant by a model, a folder and options; and how a run counts what it has done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_coco_labels
import numpy as np
import pytest
import tiny_specs
from made_mask_folders import pairs

from densecast.errors import BadDatasetError, UsageError
from densecast.measure.confusion import Confusion
from densecast.measure.data_source import find, images_directly_in, metric_of, source_or_folder
from densecast.measure.distribute.job import Outcome
from densecast.measure.distribute.local import Tally
from densecast.measure.distribute.shards import Shard, Shards
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.in_memory import in_memory
from densecast.measure.store.record import Failure, FileFacts
from densecast.measure.store.unchanged import InProgram
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.sample import Sample
from densecast.tasks.segmentation import SegmentationMap
from densecast.verbs.stored.data import data_key

OWN = replace(tiny_specs.segmentation(("a", "b", "c")), evaluation=None)
BITS = replace(tiny_specs.multilabel(), evaluation=None)


def named(spec: ModelSpec, data: Any = None, **options: Any) -> tuple[str, str]:
    source = find(spec, Data(None if data is None else Path(data), DataOptions(**options)))
    return source.evaluation.dataset, source.evaluation.metric


def test_without_a_data_set_of_its_own_a_model_has_that_of_its_task(tmp_path: Path) -> None:
    assert named(OWN, tmp_path) == ("pairs", "iou")
    assert named(BITS, tmp_path) == ("multilabel_pairs", "multilabel_iou")
    assert named(tiny_specs.segmentation(), tmp_path) == ("carvana", "dice")
    file = tmp_path / "data.yaml"
    file.write_text("metric: dice")
    assert named(tiny_specs.segmentation(), file) == ("pairs", "dice"), "a data file is of one's own data"
    assert named(tiny_specs.segmentation(), tmp_path, suffix="_m") == ("pairs", "dice")
    assert (
        find(OWN, tmp_path).evaluation.frame == "image"
        and find(tiny_specs.segmentation(), tmp_path).evaluation.frame == "network"
    )


@pytest.mark.parametrize(
    ("spelt", "metric"), [("mIoU", "iou"), ("IOU", "iou"), ("Dice", "dice"), ("iou", "iou"), ("none:such", "none:such")]
)
def test_a_metric_may_be_called_by_its_usual_name(tmp_path: Path, spelt: str, metric: str) -> None:
    assert named(OWN, tmp_path, metric=spelt)[1] == metric


def test_of_two_metrics_of_one_name_the_tasks_own_is_meant(tmp_path: Path) -> None:
    assert named(BITS, tmp_path, dataset="multilabel_pairs", metric="mIoU")[1] == "multilabel_iou"


def test_annotations_of_coco_are_meant_where_there_are_no_pairs(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    root = made_coco_labels.instances(tmp_path / "coco", ("val",))
    assert named(OWN, root)[0] == "coco_segmentation"
    assert named(OWN, next(root.rglob("*.json")))[0] == "coco_segmentation"
    pairs(root)
    assert named(OWN, root)[0] == "pairs"


@pytest.mark.parametrize(
    ("spec", "options", "words", "field"),
    [
        (
            BITS,
            {"suffix": "_m"},
            "the option 'suffix' is for pictures and masks; tiny_multilabel is a model of task 'multilabel'",
            "data",
        ),
        (
            BITS,
            {"ignore": ("1",), "dataset": "multilabel_pairs"},
            "the option 'ignore' has no effect on data of the layout",
            "ignore",
        ),
    ],
)
def test_options_of_pictures_and_masks_are_refused_for_others(
    tmp_path: Path, spec: ModelSpec, options: dict[str, Any], words: str, field: str
) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        named(spec, tmp_path, **options)
    assert raised.value.field == field


def test_a_model_without_a_metric_has_none() -> None:
    with pytest.raises(UsageError, match="names no data set and metric"):
        metric_of(OWN)
    assert metric_of(replace(OWN, evaluation=Evaluation("pairs", "iou"))).name == "mIoU"


def test_folders_of_pictures_are_no_data_set_unless_they_are_one(tmp_path: Path) -> None:
    plain = pairs(tmp_path / "plain", 2) / "images"
    assert images_directly_in(plain) and not images_directly_in(tmp_path / "plain")
    assert source_or_folder(OWN, plain) is None
    found = source_or_folder(OWN, tmp_path / "plain")
    assert found is not None and found.evaluation.dataset == "pairs"
    assert source_or_folder(BITS, plain) is None
    assert source_or_folder(OWN, Data(plain, DataOptions(dataset="pairs"))) is not None
    assert source_or_folder(tiny_specs.segmentation(), plain) is None
    assert source_or_folder(tiny_specs.segmentation(), tmp_path / "plain") is not None


def test_a_wrong_layout_names_pairs_where_the_folder_looks_like_them(tmp_path: Path) -> None:
    root = pairs(tmp_path, 2)
    with pytest.raises(BadDatasetError, match=r"name the dataset \(--dataset pairs\)"):
        find(replace(OWN, evaluation=Evaluation("voc2012", "iou")), root).open("val")
    with pytest.raises(BadDatasetError) as raised:
        find(replace(OWN, evaluation=Evaluation("voc2012", "iou")), tmp_path / "images").open("val")
    assert "--dataset pairs" not in str(raised.value)


IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "holds no"),
        ([("a", IMAGE)], r"data item 0 must be \(id, image, target\), got 2 things\. Give each an id"),
        ([("a", IMAGE, 1), 3], r"data item 1 must be \(id, image, target\), got int\.$"),
        ([("a", IMAGE, 1), {"image": 1, "label": 2}], r"got dict\. Make tuples of its entries \('image', 'label'\)"),
        ([("a", IMAGE, 1), ("b", IMAGE, 1), ("a", IMAGE, 1)], "data items 0 and 2 have one id, 'a'"),
        ("text", "must be a path or"), ({"a": 1}, "must be a path or"), (3, "must be a path or"),
    ],
)  # fmt: skip
def test_data_from_a_program_are_triples_of_their_own_ids(items: Any, words: str) -> None:
    with pytest.raises(BadDatasetError, match=words):
        in_memory(OWN, items, "val", None)


def test_data_from_a_program_are_kept_in_order_and_have_no_protocol() -> None:
    items = [(7, IMAGE, 1), ["b", "b.png", 2]]
    spec, dataset = in_memory(OWN, iter(items), "val", None)
    assert [sample.id for sample in dataset.samples] == ["7", "b"] and dataset.samples[1].image == Path("b.png")
    assert dataset.in_files == {"b"} and spec.evaluation == Evaluation(dataset.name, "iou", "image")  # type: ignore[attr-defined]
    record = dataset.record(1)
    assert (record.count, record.total, record.seed, record.layout) == (1, 2, None, "given from Python")
    with pytest.raises(UsageError, match="protocol 'p' is of a data set's folder") as raised:
        in_memory(OWN, items, "val", "p")
    assert raised.value.field == "protocol"
    with pytest.raises(UsageError, match="names no metric"):
        in_memory(BITS, items, "val", None)
    kept, _ = in_memory(tiny_specs.segmentation(), items, "val", None)
    assert kept.evaluation is not None and (kept.evaluation.metric, kept.evaluation.frame) == ("dice", "network")


def test_a_run_is_over_when_more_have_failed_than_may() -> None:
    shown: list[tuple[int, int]] = []
    tally = Tally(10, 1, progress=lambda done, total: shown.append((done, total)))
    failure = Failure("why", "BadImageError")

    def add(done: int, *failed: str) -> None:
        tally.add(Outcome(done, dict.fromkeys(failed, failure)))

    assert (tally.budget, tally.is_over) == (1, False)
    add(4, "a")
    assert (tally.budget, tally.is_over) == (0, False) and shown == [(5, 10)]
    tally.show(3)
    tally.show(9)
    assert shown[1:] == [(8, 10), (10, 10)]
    add(1, "b")
    assert (tally.budget, tally.is_over, tally.done) == (0, True, 5)


def test_shards_have_their_size_and_what_was_put_back_comes_first() -> None:
    shards = Shards("abcde", size=2)
    first = shards.take()
    assert first == Shard(("a", "b")) and shards.left == 3
    shards.put_back(first)
    assert shards.left == 5 and shards.take() == first
    assert [shards.take(), shards.take(), shards.take()] == [Shard(("c", "d")), Shard(("e",)), None]
    assert shards.died(first) is None and shards.take() == Shard(("a", "b"), 1)
    assert shards.died(Shard(("a", "b"), 1)) is None
    assert {shards.take(), shards.take()} == {Shard(("a",), 0), Shard(("b",), 0)}
    assert shards.died(Shard(("a",), 0)) is None and shards.died(Shard(("a",), 1)) == "a"
    assert len(Shards(map(str, range(20))).take().ids) == 8  # type: ignore[union-attr]


def test_confusion_counts_pixels_by_what_is_there_and_what_was_found() -> None:
    confusion = Confusion(OWN)
    sample, there = Sample("a", Path("a"), Path("a")), np.array([[0, 1, 2, 255, 1]], np.uint8)
    assert confusion.matrix() == ()
    confusion(sample, SegmentationMap(np.array([[0, 2, 2, 1, 255]], np.uint8)), there)
    assert confusion.matrix() == ((1, 0, 0), (0, 0, 1), (0, 0, 1))
    other = Confusion(BITS)
    other(sample, SegmentationMap(there), there)
    assert other.matrix() == ()


def test_what_a_program_holds_is_told_by_its_contents_alone() -> None:
    held = InProgram("a", lambda: FileFacts("ab" * 32, 3, None))
    assert held.hashed() == "ab" * 32 and held.facts() == FileFacts() and not held.is_slow
    assert InProgram("a", lambda: None).hashed() is None


def test_a_store_is_of_the_data_their_split_and_how_they_are_read(tmp_path: Path) -> None:
    items = [(str(k), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)) for k in range(3)]
    own = GroundTruth.open(OWN, items)
    key = data_key(own, items)
    assert (key["images"], key["reading"], key["protocol"], key["layout"]) == (
        *("3", "from Python", "none"),
        "given from Python",
    )
    assert key["ids"] == own.record.ids_sha256 and key["split"] == own.record.split
    # A folder has options, stated or not, and other options are another run.
    plain, named = (data_key(own, each) for each in (tmp_path, Data(tmp_path, DataOptions(suffix="_m"))))
    assert plain["reading"] == repr(DataOptions()) == data_key(own, None)["reading"]
    assert named["reading"] == repr(DataOptions(suffix="_m"))
    told = replace(own, record=replace(own.record, layout="masks beside images"), protocol="voc")
    assert data_key(told, items) == {**key, "layout": "masks beside images", "protocol": "voc"}
    assert data_key(replace(own, record=replace(own.record, layout=None)), items) == {**key, "layout": "its own"}
