"""A search among layers of which it is known what each costs in int8: what is tried, taken, kept and said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import carvana
from onnx import numpy_helper
from plain_backend import PlainBackend

from densecast import plugins
from densecast.artifact import Artifact, CompiledArtifact
from densecast.artifact.search_record import SearchRecord
from densecast.backends._base import BACKENDS, BuildJob, Built, Quantized
from densecast.errors import GateFailedError, UsageError
from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.precision import PrecisionRan
from densecast.spec.verb_options import MaxDrop
from densecast.verbs.mixed_precision import build_within, search
from densecast.verbs.mixed_precision.candidates import Speed

INT8 = BuildOptions("layered", "qint8_mixed_float16", InputShape(height=24, width=32), QuantizeOptions(images=4))
LAYERS = ("a", "b", "c", "d")
LIMIT = MaxDrop(2.0, "disagreement", images=6, split="all")


@dataclass
class Layered(PlainBackend):
    """Each layer in int8 moves the threshold by its `costs`; `always` is moved whatever stays in 16 bits."""

    costs: dict[str, float] = field(default_factory=dict)
    always: float = 0.0
    times_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LAYERS, 1.0))
    written: list[frozenset[str]] = field(default_factory=list)

    def quantized(self, job: BuildJob) -> Quantized:
        """What one calibration leads to."""
        return Layers(self, job)


class Layers:
    """Models of one calibration."""

    layers = LAYERS

    def __init__(self, backend: Layered, job: BuildJob) -> None:
        self._backend, self._job = backend, job

    def cost_ms(self) -> dict[str, float]:
        """As told."""
        return self._backend.times_ms

    def write(self, excluded: frozenset[str], folder: Path) -> Built:
        """The graph with another threshold."""
        self._backend.written.append(excluded)
        model = onnx.load(self._job.graph)
        moved = self._backend.always + sum(self._backend.costs.get(each, 0) for each in LAYERS if each not in excluded)
        (bias,) = (each for each in model.graph.initializer if list(each.dims) == [2])
        values = numpy_helper.to_array(bias) + np.array([0, moved], np.float32)
        bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), bias.name))
        onnx.save(model, folder / "model.onnx")
        ran = {"int8": len(LAYERS) - len(excluded), "float16": len(excluded)}
        return Built(PrecisionRan("int8", ran, "made up"))


@pytest.fixture
def layered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layered]:
    def measure_speed(candidate: Pipeline, baseline: Pipeline, inputs: ModelInputs) -> Speed:
        speed = 1 + 0.25 * candidate.precision.layers.get("int8", 0)
        return Speed(speed, 10 / speed)

    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "measure_speed", measure_speed)
    with plugins.apart():
        backend = Layered()
        BACKENDS.register("layered", backend)
        yield backend


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("bright"), tiny_graphs.brightness())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("cars"), count=8)


def searched(
    source: Artifact, out: Path | None, data: Path, limit: MaxDrop = LIMIT
) -> tuple[CompiledArtifact, SearchRecord]:
    built = build_within(source, out, INT8, limit, data=data)  # type: ignore[arg-type]
    assert built.manifest.search is not None
    return built, built.manifest.search


def test_int8_that_costs_nothing_is_taken_whole(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    built, record = searched(exported, tmp_path / "out", data)
    assert [trial.name for trial in record.trials] == ["16-bit", "int8"] and record.winner == "int8"
    assert record.within_limit and record.finished and record.reference > 0 and record.images == 6 == len(record.ids)
    assert record.layers == 4 and record.metric == "disagreement" and record.sensitivity == {}
    assert record.why.startswith("2.00 times as fast as 16 bits, the fastest that loses at most 2 points (")
    assert built.manifest.build is not None and built.manifest.build.precision == "qint8_mixed_float16"
    assert built.manifest.calibration is not None and built.manifest.calibration.count == 4
    assert record.pareto_front == ("int8",) and record.options == LIMIT


def test_the_one_layer_that_costs_accuracy_stays_in_16_bits(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    layered.costs = {"b": 0.3}
    built, record = searched(exported, tmp_path / "out", data)
    winner = next(trial for trial in record.trials if trial.name == record.winner)
    assert (winner.name, winner.half_layers, winner.drop.value) == ("int8 but 1", ("b",), 0)
    plain = next(trial for trial in record.trials if trial.name == "int8")
    assert plain.drop.low > 2 and plain.speed == 2 and winner.speed == 1.75
    assert record.sensitivity["b"] == pytest.approx(1) and next(iter(record.sensitivity)) == "b"
    assert all(abs(record.sensitivity[each]) < 1e-6 for each in "acd")
    assert record.pareto_front == ("int8", "int8 but 1")
    assert layered.written[-1] == {"b"} and layered.written.count(frozenset()) == 1
    assert built.manifest.precision_ran is not None and built.manifest.precision_ran.layers == {"int8": 3, "float16": 1}


@pytest.mark.parametrize("otherwise", ["16-bit", "best", "fail"])
def test_where_nothing_is_within_the_limit_it_is_what_was_asked_for(
    otherwise: str, layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    layered.always, layered.costs = 0.1, {"b": 0.2}
    limit = MaxDrop(2.0, "disagreement", images=6, split="all", otherwise=otherwise)  # type: ignore[arg-type]
    if otherwise == "fail":
        with pytest.raises(GateFailedError, match=r"at most 2 points: no int8 model was shown to lose") as error:
            searched(exported, tmp_path / "out", data, limit)
        assert error.value.field == "max_drop.points" and not (tmp_path / "out").exists()
        return
    built, record = searched(exported, tmp_path / "out", data, limit)
    assert record.why.startswith("no int8 model was shown to lose at most 2 points; the nearest, int8 but ")
    assert built.manifest.precision_asked == "qint8_mixed_float16" and built.manifest.build is not None
    if otherwise == "best":
        assert record.why.endswith("; taken all the same, as requested") and not record.within_limit
        best = min(record.trials[1:], key=lambda trial: trial.drop.high)
        assert record.winner == best.name and "b" in best.half_layers
        assert built.manifest.build.precision == "qint8_mixed_float16" and built.manifest.calibration is not None
    else:
        assert record.winner == "16-bit" and record.within_limit
        assert built.manifest.build.precision == "force_float16" and built.manifest.calibration is None
        assert built.manifest.precision_ran is not None and built.manifest.precision_ran.compute == "float32"


def test_without_a_folder_the_name_says_what_is_in_it_and_how_much_it_may_lose(
    layered: Layered, data: Path, tmp_path: Path
) -> None:
    source = tiny_artifacts.exported(tmp_path, tiny_graphs.brightness())
    assert searched(source, None, data)[0].folder == tmp_path / "tiny__int8__24x32__b1__layered__drop2"
    layered.always = 0.3
    limit = MaxDrop(1.5, "disagreement", images=6, split="all")
    assert searched(source, None, data, limit)[0].folder == tmp_path / "tiny__fp16__24x32__b1__layered__drop1.5"


def test_a_search_is_not_repeated_and_goes_on_with_what_it_knows(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    layered.costs = {"b": 0.3}
    _, first = searched(exported, tmp_path / "out", data)
    count = len(layered.written)
    assert searched(exported, tmp_path / "out", data)[1] == first and len(layered.written) == count
    # Elsewhere: int8 is built to see that it is the same one, then the result.
    _, again = searched(exported, tmp_path / "elsewhere", data)
    assert layered.written[count:] == [frozenset(), frozenset("b")]
    assert (again.trials[1:], again.winner, again.sensitivity) == (first.trials[1:], first.winner, first.sensitivity)


def test_what_was_measured_of_another_int8_model_is_forgotten(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    layered.costs = {"b": 0.3}
    searched(exported, tmp_path / "out", data)
    layered.costs = {"c": 0.2}
    _, record = searched(exported, tmp_path / "other", data)
    winner = next(trial for trial in record.trials if trial.name == record.winner)
    assert winner.half_layers == ("c",) and winner.drop.value == 0
    assert record.sensitivity["c"] == pytest.approx(1)


def test_layers_that_int8_makes_slower_are_left_in_16_bits_at_once(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    layered.times_ms = {"a": 1.0, "b": -1.0, "c": 1.0, "d": 0.0}
    _, record = searched(exported, tmp_path / "out", data)
    assert [trial.half_layers for trial in record.trials] == [(), (), ("b", "d")]
    assert record.winner == "int8"  # it is faster, whatever was foretold


def test_when_the_time_is_over_it_is_said_and_16_bits_are_there(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    limit = MaxDrop(2.0, "disagreement", images=6, split="all", seconds=1e-6)
    told: list[tuple[str, float, float]] = []
    built = build_within(
        exported,  # type: ignore[arg-type]
        tmp_path / "out",
        INT8,
        limit,
        data=data,
        progress=lambda *each: told.append(each),
    )
    record = built.manifest.search
    assert record is not None and not record.finished and record.winner == "16-bit"
    assert [trial.name for trial in record.trials] == ["16-bit"]
    assert record.why.endswith("; the time was over before all that looked promising was tried")
    assert told and all(budget == 1e-6 and seconds >= 0 for _, seconds, budget in told)
    assert {"float32: image 6 of 6", "16-bit: image 6 of 6"} <= {what for what, *_ in told}


def test_a_search_is_among_int8_models_of_engines_with_layers(
    layered: Layered, exported: Artifact, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="among int8 models: leave the precision fp16 out") as error:
        build_within(exported, tmp_path / "a", BuildOptions("layered", "force_float16"), LIMIT, data=data)  # type: ignore[arg-type]
    assert error.value.field == "precision"
    BACKENDS.register("plain", PlainBackend())
    with pytest.raises(UsageError, match="'plain' cannot leave single layers in 16 bits") as error:
        build_within(exported, tmp_path / "a", BuildOptions("plain", INT8.precision), LIMIT, data=data)  # type: ignore[arg-type]
    assert error.value.field == "backend"
