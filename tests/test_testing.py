"""The checks of `densecast.testing` find what a plug-in may get wrong, and say it in a sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import made_images
import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
import tiny_specs
from metric_cases import binary_masks
from onnx.reference import ReferenceEvaluator

from densecast import plugins
from densecast.backends.reference import ReferenceBackend, ReferenceRunner
from densecast.datasets import carvana
from densecast.datasets._base import FolderFormat
from densecast.metrics.dice import Dice, ForegroundCount
from densecast.networks._base import Network
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.score import Score
from densecast.spec.tensor import TensorSpec, check_feeds
from densecast.tasks._base import Difference
from densecast.tasks.segmentation import SegmentationMap, SegmentationTask
from densecast.testing import check_backend, check_dataset, check_metric, check_network, check_task
from densecast.verbs.builder import build

SPEC = tiny_specs.segmentation()


class WritesIntoPrediction(Dice):
    def count(self, sample_id: str, prediction: Any, target: Any, spec: Any) -> ForegroundCount:
        count = super().count(sample_id, prediction, target, spec)
        prediction.class_id[0, 0] ^= 1
        return count


class DependsOnOrder(Dice):
    def score(self, counts: Sequence[ForegroundCount], spec: Any) -> Score:
        score = super().score(counts, spec)
        return replace(score, others={"first": float(counts[0].both) if counts else float("nan")})


class MergesTwins(Dice):
    def score(self, counts: Sequence[ForegroundCount], spec: Any) -> Score:
        return super().score(list({count.sample_id: count for count in counts}.values()), spec)


class ZeroOfNothing(Dice):
    def score(self, counts: Sequence[ForegroundCount], spec: Any) -> Score:
        return super().score(counts, spec) if counts else replace(super().score([], spec), value=0.0)


class WeighsWrongly(Dice):
    def resampled(self, counts: Any, weights: Any, spec: Any) -> Any:
        return super().resampled(counts, np.minimum(weights, 1), spec)


class NeverPerfect(Dice):
    def score(self, counts: Sequence[ForegroundCount], spec: Any) -> Score:
        score = super().score(counts, spec)
        return replace(score, value=score.value * 0.9)


class NamesAnother(Dice):
    def count(self, sample_id: str, prediction: Any, target: Any, spec: Any) -> ForegroundCount:
        return super().count("another", prediction, target, spec)


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (WritesIntoPrediction, "counting changes prediction or target"),
        (DependsOnOrder, "in another order have another score"),
        (MergesTwins, "images that count several times make 6, the score says 5"),
        (ZeroOfNothing, "the score of no image is not NaN"),
        (WeighsWrongly, "weights 1, 2 and mixed give"),
        (NeverPerfect, r"perfect predictions score 0\.9.*, not 1\.0"),
        (NamesAnother, "the count of '0' is of 'another'"),
    ],
)
def test_a_metric_s_fault_is_found(metric: type[Dice], sentence: str) -> None:
    check_metric(Dice(), SPEC, binary_masks())
    with pytest.raises(AssertionError, match=f"dice_per_image: .*{sentence}"):
        check_metric(metric(), SPEC, binary_masks())


def test_cases_that_show_nothing_are_refused() -> None:
    perfect = [(name, SegmentationMap(target), target) for name, _, target in binary_masks()]
    with pytest.raises(AssertionError, match="no worse than perfect ones"):
        check_metric(Dice(), SPEC, perfect)
    with pytest.raises(AssertionError, match="at least three images"):
        check_metric(Dice(), SPEC, binary_masks()[:2])
    with pytest.raises(AssertionError, match="lacks members"):
        check_metric(object(), SPEC, binary_masks())  # type: ignore[arg-type]


class ShowsOutputs(SegmentationTask):
    def postprocess(self, outputs: Any, views: Any, spec: Any, frame: Any = "image", *, scores: bool = False) -> Any:
        return SegmentationMap(outputs[0]["logits"][0].view(np.uint8))


class WritesIntoOutputs(SegmentationTask):
    def postprocess(self, outputs: Any, views: Any, spec: Any, frame: Any = "image", *, scores: bool = False) -> Any:
        prediction = super().postprocess(outputs, views, spec, frame, scores=scores)
        outputs[0]["logits"][:] = 1
        return prediction


class OtherType(SegmentationTask):
    def postprocess(self, outputs: Any, views: Any, spec: Any, frame: Any = "image", *, scores: bool = False) -> Any:
        prediction = super().postprocess(outputs, views, spec, frame, scores=scores)
        return SegmentationMap(prediction.class_id.astype(np.int64))  # type: ignore[arg-type]


class DrawsInPlace(SegmentationTask):
    def draw(self, image: Any, prediction: Any, spec: Any) -> Any:
        image[:] = 0
        return image


class WritesTwoFiles(SegmentationTask):
    def save(self, path_without_suffix: Path, prediction: Any, spec: Any) -> Path:
        super().save(path_without_suffix.with_name("another"), prediction, spec)
        return super().save(path_without_suffix, prediction, spec)


class CutsTheName(SegmentationTask):
    def save(self, path_without_suffix: Path, prediction: Any, spec: Any) -> Path:
        path = super().save(path_without_suffix, prediction, spec)
        return path.rename(path_without_suffix.with_suffix(".png"))


class DiffersFromItself(SegmentationTask):
    def difference(self, left: Any, right: Any) -> Difference:
        return Difference(1, 10)


class DiffersByMore(SegmentationTask):
    def difference(self, left: Any, right: Any) -> Difference:
        found = super().difference(left, right)
        return Difference(found.amount * 100, found.weight)


class TurnsTruth(SegmentationTask):
    def target_at(self, target: Any, placement: Any, frame: Any) -> Any:
        return target[::-1] if frame == "image" else super().target_at(target, placement, frame)


class OtherSamples(SegmentationTask):
    def sample_outputs(self, outputs: Any, spec: Any) -> Any:
        return {name: array[:, :3] for name, array in outputs.items()}


@dataclass
class Thawed:
    kind: str = "segmentation"


class ThawedOptions(SegmentationTask):
    options_type = Thawed  # type: ignore[assignment]


@dataclass(frozen=True)
class Demanding:
    threshold: float
    kind: str = "segmentation"


class DemandsOptions(SegmentationTask):
    options_type = Demanding  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (ShowsOutputs, "a prediction is a view of the network's outputs"),
        (WritesIntoOutputs, "postprocess changes the network's outputs"),
        (OtherType, "tensor 'class_id' must be uint8 .* got int64"),
        (DrawsInPlace, "draw changes the image"),
        (
            WritesTwoFiles,
            r"one file named an\.image<suffix> has to be written, got \['an\.image\.png', 'another\.png'\]",
        ),
        (CutsTheName, r"one file named an\.image<suffix> .* got \['an\.png'\]"),
        (DiffersFromItself, r"a prediction differs from itself by 0\.1"),
        (DiffersByMore, r"predictions differ by \d+\.\d+, not 0 to 1"),
        (TurnsTruth, "ground truth at the image is not what it was"),
        (OtherSamples, "sample_outputs has to give 'logits' as float32 "),
        (ThawedOptions, "Thawed has to be a frozen dataclass"),
        (DemandsOptions, "an option of Demanding has no default: .*threshold"),
    ],
)
def test_a_task_s_fault_is_found(task: type[SegmentationTask], sentence: str) -> None:
    rng = np.random.default_rng(0)
    outputs = {"logits": rng.normal(size=(2, 24, 32)).astype(np.float32)}
    target = rng.integers(0, 2, (48, 64)).astype(np.uint8)
    check_task(SegmentationTask(), SPEC, outputs, target)
    with pytest.raises(AssertionError, match=f"segmentation: {sentence}"):
        check_task(task(), SPEC, outputs, target)


def shuffled() -> Callable[..., Any]:
    seeds = itertools.count()

    def opened(root: Path, split: Any = "val", seed: int = 0) -> Any:
        dataset = carvana.open(root, split, seed)
        order = np.random.default_rng(next(seeds)).permutation(len(dataset.samples))
        return replace(dataset, samples=tuple(dataset.samples[index] for index in order))

    return opened


def twins(root: Path, split: Any = "val", seed: int = 0) -> Any:
    dataset = carvana.open(root, split, seed)
    return replace(dataset, samples=dataset.samples * 2)


def everything(root: Path, split: Any = "val", seed: int = 0) -> Any:
    return replace(carvana.open(root, "all", seed), split=split)


def other_total(root: Path, split: Any = "val", seed: int = 0) -> Any:
    return replace(carvana.open(root, split, seed), total=0)


class Unsized(carvana.Carvana):
    def read_target(self, sample: Any) -> Any:
        return super().read_target(sample)[1:]


def unsized(root: Path, split: Any = "val", seed: int = 0) -> Any:
    dataset = carvana.open(root, split, seed)
    return Unsized(dataset.root, dataset.split, dataset.seed, dataset.total, dataset.samples)


def takes_anything(root: Path, split: Any = "val", seed: int = 0) -> Any:
    kept = made_images.carvana(root, count=20) if not (root / "imgs").exists() else root
    return carvana.open(kept, split, seed)


@pytest.fixture(scope="module")
def sound_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = made_images.carvana(tmp_path_factory.mktemp("sound") / "data", count=20)
    check_dataset(carvana.DATASET, root)
    return root


@pytest.mark.parametrize(
    ("opener", "sentence"),
    [
        (shuffled(), "has another order when opened again"),
        (twins, "name several images each"),
        (everything, "training and validation share images, as "),
        (other_total, "the record has more images than there are"),
        (unsized, "the ground truth of .* is .*, its image "),
        (takes_anything, "a folder that is empty is opened as if it were a data set"),
    ],
)
def test_a_data_set_s_fault_is_found(opener: Callable[..., Any], sentence: str, sound_data: Path) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_dataset(FolderFormat(opener, carvana.check, ("MINE",)), sound_data)


class OtherNumbers(ReferenceRunner):
    def run(self, feeds: Any, slot: int = 0) -> Any:
        return {name: array * 1.01 for name, array in super().run(feeds, slot).items()}


class TakesAnything(ReferenceRunner):
    def run(self, feeds: Any, slot: int = 0) -> Any:
        if set(feeds) != {"image"} or feeds["image"].dtype == np.float32:
            return super().run(feeds, slot)
        return super().run({"image": feeds["image"].astype(np.float32)}, slot)


class MixesSlots(ReferenceRunner):
    """Slots beside the first get what the first was asked for at first."""

    max_concurrency = 2
    _feeds: Any = None

    def run(self, feeds: Any, slot: int = 0) -> Any:
        check_feeds(self.inputs, feeds)
        self._feeds = self._feeds or feeds
        return super().run(self._feeds if slot else feeds, slot)


class NamesNothing(ReferenceRunner):
    def run(self, feeds: Any, slot: int = 0) -> Any:
        return dict(zip([""], super().run(feeds, slot).values(), strict=True))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `check_backend` is called with: a float artifact, one built from it, feeds and their outputs."""
    folder = tmp_path_factory.mktemp("engine")
    source = tiny_artifacts.exported(folder)
    options = BuildOptions("reference", shape=InputShape(batch=Range(1, 4)))
    feeds = {"image": np.random.default_rng(0).random((2, 3, 8, 12)).astype(np.float32)}
    expected = ReferenceEvaluator(tiny_graphs.segmentation()).run(None, feeds)[0]
    return {
        "built": build(source, folder / "built", options),
        "feeds": feeds,
        "expected": {"logits": expected},
    }


@pytest.mark.parametrize(
    ("runner", "sentence"),
    [
        (OtherNumbers, r"'logits' is off by 0\.01 of the largest value"),
        (TakesAnything, "the runner takes inputs of another type"),
        (MixesSlots, "answers of 2 slots at a time are another slot's"),
        (NamesNothing, r"the runner gives \[''\], and promises \['logits'\]"),
    ],
)
def test_a_backend_s_fault_is_found(runner: type[ReferenceRunner], sentence: str, engine: dict[str, Any]) -> None:
    class Faulty(ReferenceBackend):
        def load(self, artifact: Any, config: Any) -> ReferenceRunner:
            super().load(artifact, config)
            return runner(artifact)

    check_backend(ReferenceBackend(), **engine)
    with pytest.raises(AssertionError, match=sentence):
        check_backend(Faulty(), **engine)


@pytest.mark.torch
def test_a_network_s_fault_is_found() -> None:
    torch = pytest.importorskip("torch")

    @dataclass(frozen=True)
    class Options:
        channels: int = 4

    class Mixes(torch.nn.Conv2d):  # type: ignore[misc, name-defined]
        def forward(self, images: Any) -> Any:
            return super().forward(images) + images.mean()

    def plain(options: Options) -> Any:
        return torch.nn.Conv2d(3, options.channels, 3)

    check_network(Network(Options, plain))
    for network, sentence in (
        (Network(Thawed, plain), "Thawed has to be a frozen dataclass"),
        (Network(Demanding, plain), "threshold have no default"),
        (Network(Options, lambda options: Mixes(3, options.channels, 3)), "depends on the other images of its batch"),
        (Network(Options, plain, clean=lambda state: {}), "clean drops tensors"),
        (Network(Options, plain, explain_mismatch=lambda state, options: "Another."), "own weights are explained"),
        (Network(Options, plain, options_from_state=lambda state, options: Options(5)), "prove the options"),
        (Network(Options, plain, input_multiple=0), "input_multiple is 0"),
    ):
        with pytest.raises(AssertionError, match=sentence):
            check_network(network)


@plugins.apart()
def test_a_user_s_plug_ins_pass_in_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "user_package"))
    from my_depth import data, metric, task

    tensor = TensorSpec("depth", "float32", (1, 1, 24, 32))
    spec = replace(SPEC, task="depth", decode=task.DepthDecode(), outputs=(tensor,), labels=(), palette=())
    rng = np.random.default_rng(0)
    depths = rng.uniform(1, 9, (5, 2, 48, 64)).astype(np.float32)
    cases = [(f"{index}", task.DepthMap(found), there) for index, (found, there) in enumerate(depths)]

    check_task(task.DepthTask(), spec, {"depth": rng.uniform(1, 9, (1, 24, 32)).astype(np.float32)}, depths[0, 0])
    check_metric(metric.DepthErrors(), spec, cases)
    data.write(tmp_path / "data")
    check_dataset(data.FORMAT, tmp_path / "data")


def test_checks_need_no_test_framework() -> None:
    import subprocess
    import sys

    code = "import sys, densecast.testing; sys.exit('pytest' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    source = Path(__import__("densecast.testing").testing.__file__).parent
    assert not any(re.search(r"import pytest", path.read_text(encoding="utf-8")) for path in source.glob("*.py"))
