"""`auto` takes the calibration method that changes the outputs least, and the record says what each did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
import tiny_specs
from made_images import write_jpeg

from densecast.backends import onnxruntime, openvino
from densecast.errors import UsageError
from densecast.runtime import machine
from densecast.session import Session
from densecast.spec.options import BiasCorrection, BuildOptions, InputShape, QuantizeOptions
from densecast.spec.tensor import Feeds
from densecast.tasks import pose, segmentation
from densecast.verbs.builder import build, calibration_methods

INT8 = BuildOptions("onnxruntime", "qint8_mixed_float16", InputShape(height=24, width=32), QuantizeOptions(images=0))
METHODS = onnxruntime.BACKEND.traits.calibration_methods


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in range(20):
        write_jpeg(tmp_path / "images" / f"{index:02}.jpg", seed=index)
    return tmp_path / "images"


def test_the_best_on_images_it_has_not_seen_is_taken(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = iter([0.02, 0.01])
    monkeypatch.setattr(calibration_methods, "output_change", lambda *_: next(made_up))
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    record = built.manifest.calibration
    assert record is not None
    assert record.calibration_method == METHODS[1]
    assert record.tried == dict(zip(METHODS, (0.02, 0.01), strict=True))
    assert record.measure == "labels_changed" and record.count == 20
    # What was asked stays as it was asked.
    assert built.manifest.build == INT8


def test_methods_are_compared_on_images_that_none_was_calibrated_on(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[set[bytes]] = []
    evaluated: set[bytes] = set()
    backend, forward = type(onnxruntime.BACKEND), Session.forward
    build_one = backend.build

    def seen_build(self: Any, job: Any, folder: Path) -> Any:
        calibrated.append({feeds["image"].tobytes() for feeds in job.calibration})
        return build_one(self, job, folder)

    def seen_forward(self: Session, feeds: Feeds) -> Feeds:
        if sum(map(bool, calibrated)) <= len(METHODS):  # what is built in the end is checked on images, too
            evaluated.add(feeds["image"].tobytes())
        return forward(self, feeds)

    monkeypatch.setattr(backend, "build", seen_build)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "forward", seen_forward)
        build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    # Models in float32, whose outputs are compared with, are calibrated on nothing.
    *trials, final = filter(None, calibrated)
    assert len(final) == 20 and len(trials) == len(METHODS)  # all images in the end
    held_out = final - set.union(*trials)
    assert len(held_out) >= 4 and all(trial == trials[0] for trial in trials)
    assert evaluated == held_out


def test_methods_are_tried_on_a_cpu_that_computes_something_else_than_the_target(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = type(onnxruntime.BACKEND)
    build_one = backend.build

    def build_for_bfloat16(self: Any, job: Any, folder: Path) -> Any:
        return replace(build_one(self, job, folder), needs=("bfloat16",))

    monkeypatch.setattr(backend, "build", build_for_bfloat16)
    monkeypatch.setattr(machine, "cpu", lambda: ("Made-up", ("avx2",)))
    # A build that is only tried has no stored answer that could be asked for.
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    assert built.manifest.calibration is not None and set(built.manifest.calibration.tried) == set(METHODS)


def test_a_gain_too_small_to_mean_anything_changes_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = iter([0.0200, 0.0195])
    monkeypatch.setattr(calibration_methods, "output_change", lambda *_: next(made_up))
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    assert built.manifest.calibration is not None
    assert built.manifest.calibration.calibration_method == calibration_methods.DEFAULT


def test_a_named_method_and_few_images_are_not_a_choice(images: Path, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    named = build(
        source, tmp_path / "a", replace(INT8, quantize=QuantizeOptions(calibration_method="minmax")), data=images
    )
    few = build(source, tmp_path / "b", replace(INT8, quantize=QuantizeOptions(images=6)), data=images)
    for built, calibration_method in ((named, "minmax"), (few, calibration_methods.DEFAULT)):
        assert built.manifest.calibration is not None
        assert (
            built.manifest.calibration.calibration_method == calibration_method
            and built.manifest.calibration.tried == {}
        )


@pytest.mark.slow
@pytest.mark.quantize
@pytest.mark.parametrize("named", [False, True])
def test_images_that_are_alike_are_not_all_looked_at_and_the_record_holds_those_that_were(
    named: bool, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    for index in range(70):
        write_jpeg(tmp_path / "images" / f"{index:02}.jpg", seed=index % 3)
    method = "mean_minmax" if named else "auto"
    quantize = QuantizeOptions(images=0, calibration_method=method)
    # A type named: timed, it is undecided in one of two builds now and then, and they change other labels.
    options = replace(INT8, backend="openvino", half_type="f16", quantize=quantize)
    source = tiny_artifacts.exported(tmp_path, tiny_graphs.segmentation())
    records = [
        build(source, tmp_path / name, options, data=tmp_path / "images").manifest.calibration for name in ("a", "b")
    ]
    record = records[0]
    assert record is not None and record == records[1]
    assert record.count == len(set(record.ids)) == 32
    places = sorted(int(each.removesuffix(".jpg")) for each in record.ids)
    assert all(any(low <= place < low + 14 for place in places) for low in range(0, 70, 14))


@pytest.mark.slow
@pytest.mark.quantize
def test_openvino_tries_all_four_on_its_own_model(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    source = tiny_artifacts.exported(tmp_path, tiny_graphs.segmentation())
    built = build(source, tmp_path / "built", replace(INT8, backend="openvino"), data=images)
    record = built.manifest.calibration
    assert record is not None and set(record.tried) == set(openvino.BACKEND.traits.calibration_methods)
    assert record.tried[record.calibration_method] <= record.tried[calibration_methods.DEFAULT]
    assert max(record.tried.values()) < 0.5


def test_what_changed_is_counted_over_positions_or_as_a_norm() -> None:
    expected = [np.array([[[[1.0, 0.0]], [[0.0, 3.0]]]], np.float32)]
    outputs = [np.array([[[[1.0, 4.0]], [[0.0, 3.0]]]], np.float32)]
    assert calibration_methods.output_change(segmentation.TASK, expected, outputs, tiny_specs.segmentation()) == 0.5
    assert calibration_methods.output_change(pose.TASK, expected, outputs, tiny_specs.pose()) == pytest.approx(
        4 / 10**0.5, rel=1e-6
    )


@pytest.mark.slow
@pytest.mark.quantize
@pytest.mark.parametrize(("corrected", "taken"), [(0.0080, "fast"), (0.0096, "none"), (0.03, "none")])
def test_biases_are_corrected_where_that_is_clearly_better(
    corrected: float, taken: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    made_up = iter([0.02, 0.01, 0.03, 0.03, corrected])
    monkeypatch.setattr(calibration_methods, "output_change", lambda *_: next(made_up))
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", replace(INT8, backend="openvino"), data=images)
    record = built.manifest.calibration
    assert record is not None and record.calibration_method == "minmax"
    assert record.bias_correction == taken
    assert record.tried_biases == {"none": 0.01, "fast": corrected}


@pytest.mark.slow
@pytest.mark.quantize
def test_a_way_to_treat_biases_that_is_named_is_what_is_done(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    source = tiny_artifacts.exported(tmp_path)

    def constants(way: BiasCorrection) -> bytes:
        quantize = QuantizeOptions(calibration_method="minmax", bias_correction=way, images=4)
        built = build(source, tmp_path / way, replace(INT8, backend="openvino", quantize=quantize), data=images)
        record = built.manifest.calibration
        assert record is not None and record.bias_correction == way and record.tried_biases == {}
        return built.file("model.bin").read_bytes()

    none, fast, full = (constants(way) for way in ("none", "fast", "full"))
    assert none != fast and none != full and len(none) == len(fast) == len(full)


def test_a_quantiser_that_cannot_correct_biases_is_not_asked_to(images: Path, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    with pytest.raises(UsageError, match="does not correct biases"):
        build(source, tmp_path / "a", replace(INT8, quantize=QuantizeOptions(bias_correction="fast")), data=images)
    built = build(source, tmp_path / "b", INT8, data=images)
    assert built.manifest.calibration is not None and built.manifest.calibration.bias_correction == ""
