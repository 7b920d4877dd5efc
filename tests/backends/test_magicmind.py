"""MagicMind's backend against a fake that keeps the recorded contract: order of calls, types, shapes, every status."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from fake_magicmind import Fake
from made_images import picture, write_jpeg

from densecast.artifact import Artifact
from densecast.backends import magicmind
from densecast.errors import BackendMissingError, BadGraphError, DensecastError, DeviceError, UsageError
from densecast.pipeline import Pipeline
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions, Range
from densecast.spec.precision import Precision
from densecast.verbs.builder import build

SHAPE = InputShape(batch=(2,), height=40, width=56)
BUILD = ["parse", "set_dimension", "parse_from_string", "build_model", "serialize_to_file"]
CALIBRATE = ["set_quantization_algorithm", "System", "active", "calibrate", "~System"]
LOAD = ["deserialize_from_file", "System", "active"]
CONTEXT = ["create_i_engine", "create_i_context", "create_queue", "create_inputs"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def built(
    folder: Path, precision: Precision = "force_float32", shape: InputShape = SHAPE, data: Path | None = None
) -> Artifact:
    folder.mkdir(exist_ok=True)
    options = BuildOptions("magicmind", precision, shape, QuantizeOptions(images=0, calibration_method="minmax"))
    return build(tiny_artifacts.exported(folder), folder / "built", options, data=data)


def photographs(folder: Path, count: int) -> Path:
    for seed in range(count):
        write_jpeg(folder / f"{seed}.jpg", (80, 112), seed)
    return folder


def test_a_network_is_parsed_built_and_saved_in_order(fake: Fake, tmp_path: Path) -> None:
    made = built(tmp_path)
    assert fake.calls[: len(BUILD)] == BUILD
    assert fake.config["precision_config"] == {"precision_mode": "force_float32"}
    assert fake.config["opt_config"] == {"type64to32_conversion": True, "conv_scale_fold": True}
    assert made.manifest.settings["hardware"] == "not run on hardware"


def test_int8_is_calibrated_on_an_active_device_before_the_build(fake: Fake, tmp_path: Path) -> None:
    built(tmp_path, "qint8_mixed_float16", data=photographs(tmp_path / "photos", 3))
    wanted = [*BUILD[:3], *CALIBRATE, *BUILD[3:]]
    assert fake.calls[: len(wanted)] == wanted
    # Three images in batches of two: the second batch begins again with the first image.
    assert [sample.shape for sample in fake.samples] == [(2, 3, 40, 56)] * 2
    assert (fake.samples[1][1] == fake.samples[0][0]).all()
    assert not (fake.samples[0][1] == fake.samples[0][0]).all()


def test_inference_is_that_of_the_contract(fake: Fake, tmp_path: Path) -> None:
    made = built(tmp_path)
    fake.calls.clear()
    runner = magicmind.BACKEND.load(made, ExecutionConfig(1, device="mlu:1"))
    assert fake.active == 1
    output = runner.run({"image": np.zeros((2, 3, 40, 56), np.float32)})["logits"]
    assert output.shape == (2, 2, 40, 56) and output.dtype == np.float32
    runner.close()
    assert fake.calls == [*LOAD, *CONTEXT, "to", "enqueue", "sync", "~System"]


def test_a_pipeline_predicts_as_onnxruntime_does(fake: Fake, tmp_path: Path) -> None:
    images = [picture((80, 112), seed) for seed in range(3)]
    with Pipeline.open(built(tmp_path / "mm")) as pipeline:
        found = [pipeline(image) for image in images]
    (tmp_path / "ort").mkdir()
    source = tiny_artifacts.exported(tmp_path / "ort")
    made = build(source, tmp_path / "ort" / "built", BuildOptions("onnxruntime", shape=SHAPE))
    with Pipeline.open(made, threads=1) as pipeline:
        wanted = [pipeline(image) for image in images]
    assert all((a.class_id == b.class_id).all() for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("step", ["parse", "set_dimension", "parse_from_string", "serialize_to_file"])
def test_every_status_of_a_build_is_read(step: str, fake: Fake, tmp_path: Path) -> None:
    fake.fails = step
    with pytest.raises(BadGraphError, match=step):
        built(tmp_path)
    assert fake.calls[-1] == step and not (tmp_path / "built").exists()


@pytest.mark.parametrize(
    ("step", "error"),
    [("set_quantization_algorithm", BadGraphError), ("active", DeviceError), ("calibrate", BadGraphError)],
)
def test_every_status_of_a_calibration_is_read(
    step: str, error: type[DensecastError], fake: Fake, tmp_path: Path
) -> None:
    fake.fails = step
    with pytest.raises(error, match=step):
        built(tmp_path, "qint8_mixed_float16", data=photographs(tmp_path / "photos", 1))
    assert "build_model" not in fake.calls


@pytest.mark.parametrize("step", ["to", "enqueue", "sync"])
def test_every_status_of_a_run_is_read(step: str, fake: Fake, tmp_path: Path) -> None:
    runner = magicmind.BACKEND.load(built(tmp_path), ExecutionConfig(1))
    fake.fails = step
    with pytest.raises(DeviceError, match=rf"{step} failed: \[INTERNAL\] {step}\. Look at `cnmon`"):
        runner.run({"image": np.zeros((2, 3, 40, 56), np.float32)})


@pytest.mark.parametrize("step", ["deserialize_from_file", "active"])
def test_every_status_of_a_load_is_read(step: str, fake: Fake, tmp_path: Path) -> None:
    made = built(tmp_path)
    fake.fails = step
    with pytest.raises(DeviceError, match=rf"{step} failed"):
        magicmind.BACKEND.load(made, ExecutionConfig(1))
    assert fake.calls.count("System") == fake.calls.count("~System")


@pytest.mark.parametrize("given", [None, RuntimeError("cnrt: out of memory")])
def test_a_context_that_is_not_made_is_the_devices_failure(
    given: RuntimeError | None, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(tmp_path)
    model = sys.modules["magicmind.python.runtime"].Model

    def create(*_: object) -> None:
        if given is not None:
            raise given

    monkeypatch.setattr(model, "create_i_engine", create)
    with pytest.raises(DeviceError, match=r"create_i_engine failed: (it gave nothing|cnrt: out of memory)\."):
        magicmind.BACKEND.load(made, ExecutionConfig(1))
    assert fake.calls[-1] == "~System"
    assert DeviceError.exit_code == 3


def test_what_cannot_be_is_said(fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one shape"):
        built(tmp_path, shape=InputShape(batch=Range(1, 4)))
    made = built(tmp_path)
    with pytest.raises(BackendMissingError, match="sees 2"):
        magicmind.BACKEND.load(made, ExecutionConfig(1, device="mlu:2"))
    with pytest.raises(UsageError, match="mlu"):
        Pipeline.open(made, device="cpu")


def test_without_the_vendors_package_the_backend_says_so(tmp_path: Path) -> None:
    assert "magicmind is not installed" in (magicmind.BACKEND.capabilities().missing or "")
    with pytest.raises(BackendMissingError, match="magicmind"):
        built(tmp_path)
