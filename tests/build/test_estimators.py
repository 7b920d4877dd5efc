"""`auto` takes the estimator that changes the outputs least, and the record says what each did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_pictures import write_jpeg

from densecast.backends import onnxruntime, openvino
from densecast.build import build, estimators
from densecast.core.options import BuildOptions, InputShape, QuantizeOptions
from densecast.core.tensor import Array

INT8 = BuildOptions("onnxruntime", "qint8_mixed_float16", InputShape(height=24, width=32), QuantizeOptions(images=0))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in range(20):
        write_jpeg(tmp_path / "images" / f"{index:02}.jpg", seed=index)
    return tmp_path / "images"


def test_the_best_on_images_it_has_not_seen_is_taken(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = iter([0.0, 0.02, 0.01])  # float32 against itself is not asked; then each estimator in turn
    next(made_up)
    monkeypatch.setattr(estimators, "_changed", lambda *_, **__: next(made_up))
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    record = built.manifest.calibration
    assert record is not None
    assert record.estimator == onnxruntime.ESTIMATORS[1]
    assert record.tried == dict(zip(onnxruntime.ESTIMATORS, (0.02, 0.01), strict=True))
    assert record.measure == "labels_changed" and record.count == 20
    # What was asked stays as it was asked.
    assert built.manifest.build == INT8


def test_a_gain_too_small_to_mean_anything_changes_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = iter([0.0200, 0.0195])
    monkeypatch.setattr(estimators, "_changed", lambda *_, **__: next(made_up))
    built = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", INT8, data=images)
    assert built.manifest.calibration is not None
    assert built.manifest.calibration.estimator == estimators.DEFAULT


def test_a_named_estimator_and_few_images_are_not_a_choice(images: Path, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    named = build(source, tmp_path / "a", replace(INT8, quantize=QuantizeOptions(estimator="minmax")), data=images)
    few = build(source, tmp_path / "b", replace(INT8, quantize=QuantizeOptions(images=6)), data=images)
    for built, estimator in ((named, "minmax"), (few, estimators.DEFAULT)):
        assert built.manifest.calibration is not None
        assert built.manifest.calibration.estimator == estimator and built.manifest.calibration.tried == {}


@pytest.mark.quantize
def test_openvino_tries_all_four_on_its_own_model(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    source = tiny_artifacts.exported(tmp_path, tiny_graphs.segmentation())
    built = build(source, tmp_path / "built", replace(INT8, backend="openvino"), data=images)
    record = built.manifest.calibration
    assert record is not None and set(record.tried) == set(openvino.ESTIMATORS)
    assert record.tried[record.estimator] <= record.tried[estimators.DEFAULT]
    assert max(record.tried.values()) < 0.5


def test_what_changed_is_counted_over_positions_or_as_a_norm() -> None:
    expected: list[Array] = [np.array([[[[1.0, 0.0]], [[0.0, 3.0]]]], np.float32)]
    found: list[Array] = [np.array([[[[1.0, 4.0]], [[0.0, 3.0]]]], np.float32)]
    assert estimators._changed(expected, found, labels=True) == 0.5
    assert estimators._changed(expected, found, labels=False) == pytest.approx(4 / 10**0.5, rel=1e-6)
