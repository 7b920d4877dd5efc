"""Ground truth that a program holds: generators, torch data sets, lists of Pillow images; all give one score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import colour_network
import numpy as np
import pytest
import tiny_specs
from made_mask_folders import COLOURS, labels_of, painted, pairs
from PIL import Image

import densecast
from densecast.errors import BadDatasetError, BadImageError, BadShapeError, UsageError
from densecast.measure import in_memory, in_memory_targets
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelDecode

COUNT = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network.built(tmp_path_factory.mktemp("model"), 3).folder


def truth(index: int) -> np.ndarray:
    labels = labels_of(index)
    labels[:3] = 1
    return labels


def plain_miou() -> float:
    confusion = np.zeros((3, 3))
    for index in range(COUNT):
        np.add.at(confusion, (truth(index), labels_of(index)), 1)
    both = np.diagonal(confusion)
    return float(np.mean(both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)))


def generator() -> Iterator[tuple[str, Any, Any]]:
    for index in range(COUNT):
        yield f"p{index}", painted(labels_of(index)), truth(index)


def pillow() -> list[tuple[str, Any, Any]]:
    return [(name, Image.fromarray(image), Image.fromarray(labels)) for name, image, labels in generator()]


def pillow_with_alpha_and_palette() -> list[tuple[str, Any, Any]]:
    def indexed(labels: np.ndarray) -> Image.Image:
        mask = Image.fromarray(labels).convert("P")
        mask.putdata(labels.reshape(-1).tolist())
        mask.putpalette(np.asarray(colour_network.COLOURS, np.uint8).reshape(-1).tolist())
        return mask

    return [(n, Image.fromarray(image).convert("RGBA"), indexed(labels)) for n, image, labels in generator()]


def wide_numbers() -> list[tuple[int, Any, Any]]:
    return [(k, image, labels.astype(np.int64)[None]) for k, (_, image, labels) in enumerate(generator())]


def floats_that_are_whole() -> list[tuple[int, Any, Any]]:
    return [(k, image, labels.astype(np.float32)) for k, (_, image, labels) in enumerate(generator())]


class Indexed:
    """As torch's map-style data sets: a length, and items by place."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, place: int) -> tuple[str, Any, Any]:
        return [*generator()][place]


@pytest.mark.filterwarnings("ignore:Image.Image.putdata")
@pytest.mark.parametrize(
    "make", [generator, pillow, pillow_with_alpha_and_palette, wide_numbers, floats_that_are_whole, Indexed]
)
def test_the_score_is_the_plain_one(model: Path, make: Callable[[], Any]) -> None:
    score = densecast.evaluate(model, make()).score
    assert score.value == pytest.approx(plain_miou(), abs=1e-12) and score.count == COUNT


@pytest.mark.torch
def test_torchs_data_sets_of_both_kinds_are_taken(model: Path) -> None:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")

    class Mapped(data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return COUNT

        def __getitem__(self, place: int) -> Any:
            name, image, labels = [*generator()][place]
            return name, image, torch.from_numpy(labels).long()

    class Streamed(data.IterableDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Any:
            return iter([Mapped()[place] for place in range(COUNT)])

    for items in (Mapped(), Streamed(), data.Subset(Mapped(), range(COUNT))):
        assert densecast.evaluate(model, items).score.value == pytest.approx(plain_miou(), abs=1e-12)


def test_a_seed_that_draws_nothing_is_refused_and_one_that_draws_is_taken(model: Path, tmp_path: Path) -> None:
    drawn, named = pairs(tmp_path / "drawn", count=20), pairs(tmp_path / "named", count=20)
    (named / "val.txt").write_text("p01\np03\n")
    seeded = densecast.EvaluateOptions(seed=3)
    assert densecast.evaluate(model, drawn, seeded).score.count == 2
    for data in (named, [*generator()]):
        with pytest.raises(UsageError, match="seed draws a split of images that name none") as caught:
            densecast.evaluate(model, data, seeded)
        assert caught.value.field == "seed"


def test_paths_and_bytes_are_images(model: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path, count=COUNT)
    files = [root / "images" / f"p{index:02d}.png" for index in range(COUNT)]
    items = [(path.stem, path, truth(k)) for k, path in enumerate(files)]
    items += [(f"{path.stem}b", path.read_bytes(), truth(k)) for k, path in enumerate(files)]
    score = densecast.evaluate(model, items).score
    assert score.value == pytest.approx(plain_miou(), abs=1e-12) and score.count == 2 * COUNT


@pytest.mark.parametrize("form", ["indices", "colours", "palette"])
def test_masks_may_be_named_by_their_files(model: Path, tmp_path: Path, form: str) -> None:
    items = []
    for k in range(COUNT):
        mask = Image.fromarray(painted(truth(k)) if form == "colours" else truth(k))
        if form == "palette":
            mask.putpalette([part for colour in COLOURS for part in colour])
        mask.save(tmp_path / f"{k}.png")
        place = tmp_path / f"{k}.png"
        items.append((str(k), painted(labels_of(k)), place if k % 2 else str(place)))
    assert densecast.evaluate(model, items).score.value == pytest.approx(plain_miou(), abs=1e-12)
    items[1] = ("turned", items[1][1], truth(1).T)
    with pytest.raises(BadShapeError, match=r"^turned: a prediction of .* one size, in one orientation"):
        densecast.evaluate(model, items)
    with pytest.raises(BadImageError, match=r"nowhere\.png: cannot be read"):
        densecast.evaluate(model, [("a", items[0][1], "nowhere.png")])


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))], r"got 2 things\. Give each an id"),
        ([{"image": 1, "label": 2}], r"got dict\. Make tuples of its entries \('image', 'label'\)"),
        ({"a": 1}, "data must be a path or"),
        (7, "data must be a path or"),
        ([("a", np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8), np.uint8))], r"image a: .*transpose\(1, 2, 0\)"),
        ([("a", np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8))], "image a: .*float32"),
        ([("a", np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 0.5))], "the target of a must be"),
        ([("a", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))], "the target of a must be"),
        ([("a", None, None), ("a", None, None)], "have one id, 'a'"),
        ([], "holds no"),
    ],
)
def test_what_cannot_be_data_says_how_to_convert_it(model: Path, items: Any, told: str) -> None:
    with pytest.raises(BadDatasetError, match=told):
        densecast.evaluate(model, items)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (np.array([[0, 255]], np.int64), [[0, 255]]),
        (np.array([[0.0, 255.0]]), [[0, 255]]),
        (np.array([[True, False]]), [[1, 0]]),
        (np.array([[[0, 7]]], np.int16), [[0, 7]]),  # (1, H, W)
        (np.array([[[0], [7]], [[1], [2]]], np.int16), [[0, 7], [1, 2]]),  # (H, W, 1)
        (np.array([[0, 256]], np.int64), None),
        (np.array([[-1, 0]], np.int64), None),
        (np.zeros((0, 4), np.uint8), None),
        (np.zeros(4, np.uint8), None),
    ],
)
def test_labels_are_whole_numbers_from_0_to_255(target: Any, wanted: Any) -> None:
    image = np.zeros((1, 2, 3), np.uint8)
    _, dataset = in_memory.in_memory(tiny_specs.segmentation(), [("a", image, target)], "val", None)
    if wanted is None:
        with pytest.raises(BadDatasetError, match="labels from 0 to 255"):
            dataset.read_target(dataset.samples[0])
        return
    found = dataset.read_target(dataset.samples[0])
    assert found.dtype == np.uint8 and found.tolist() == wanted


def test_labels_of_hundreds_of_classes_are_taken() -> None:
    spec = tiny_specs.segmentation(tuple(map(str, range(256))))
    target = np.array([[0, 255, 65535]])
    _, dataset = in_memory.in_memory(spec, [("a", np.zeros((1, 3, 3), np.uint8), target)], "val", None)
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), target)


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_planes_of_labels_and_metres_are_taken_as_arrays(kind: type) -> None:
    planes = np.random.default_rng(0).integers(0, 2, (2, 3, 4)).astype(kind)
    several = replace(tiny_specs.segmentation(), task="multilabel", decode=MultilabelDecode())
    found = in_memory_targets.read(planes, "a", several)
    assert found.classes.dtype == np.bool_ and found.classes.tolist() == (planes == 1).tolist()
    far = replace(tiny_specs.segmentation(), task="monocular_depth", decode=MonocularDepthDecode())
    metres = np.array([[[1.5, np.nan, -1.0, np.inf, 2.0]]])
    assert in_memory_targets.read(metres, "a", far).tolist() == [[1.5, 0.0, 0.0, 0.0, 2.0]]
    own: Any = SimpleNamespace(task="mine:Task")
    assert in_memory_targets.read(planes, "a", own) is planes


@pytest.mark.parametrize(
    ("task", "decode", "target", "told"),
    [
        ("multilabel", MultilabelDecode(), np.zeros((4, 5, 2)), r"\(2, H, W\) of 0 and 1.*transpose\(2, 0, 1\)"),
        ("multilabel", MultilabelDecode(), np.full((2, 4, 5), 255), r"\(2, H, W\) of 0 and 1, a plane a label"),
        ("multilabel", MultilabelDecode(), np.zeros((4, 5), int), r"got \(4, 5\) int64"),
        ("monocular_depth", MonocularDepthDecode(), np.ones((4, 5), np.uint16), r"in metres.*target / 1000"),
        (
            "monocular_depth",
            MonocularDepthDecode(),
            np.ones((2, 4, 5)),
            r"\(H, W\) of floats in metres, got \(2, 4, 5\)",
        ),
    ],
)
def test_arrays_of_another_form_say_what_the_task_needs(task: str, decode: Any, target: Any, told: str) -> None:
    spec = replace(tiny_specs.segmentation(), task=task, decode=decode)
    with pytest.raises(BadDatasetError, match=told):
        in_memory_targets.read(target, "a", spec)
