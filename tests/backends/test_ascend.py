"""Ascend's backend against fakes that keep the recorded contract of `atc` and ais_bench: no card, real numbers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import tiny_artifacts
from made_images import picture

from densecast.artifact import Artifact
from densecast.backends import ascend
from densecast.errors import BackendMissingError, BadArtifactError, BadGraphError, DeviceError, UsageError
from densecast.pipeline import Pipeline
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.verbs.builder import build

SHAPE = InputShape(batch=(2,), height=40, width=56)

# Writes down its arguments, and an "om" that is the graph itself, as the fake session can run it.
ATC = """#!{python}
import json, shutil, sys
given = dict(each.removeprefix("--").split("=", 1) for each in sys.argv[1:])
json.dump(given, open({log!r}, "w"))
if {fails}:
    sys.exit("E10001: no operator")
shutil.copy(given["model"], given["output"] + ".om")
"""


class Session:
    """ais_bench's `InferSession` as far as it is used: list of arrays in, list of arrays out, static mode."""

    made: ClassVar[list[Session]] = []

    def __init__(self, device_id: int, model_path: str) -> None:
        import onnxruntime as ort

        assert Path(model_path).suffix == ".om"
        self.device_id, self.calls, self.freed = device_id, [], False
        self._session = ort.InferenceSession(Path(model_path).read_bytes(), providers=["CPUExecutionProvider"])
        self.made.append(self)

    def get_inputs(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(name=each.name, shape=list(each.shape), datatype=each.type)
            for each in self._session.get_inputs()
        ]

    def infer(self, feeds: list[np.ndarray], mode: str) -> list[np.ndarray]:
        assert not self.freed and mode == "static"
        (array,) = feeds
        assert array.flags.c_contiguous and array.dtype == np.float32
        self.calls.append(array.shape)
        return self._session.run(None, {"image": array})

    def free_resource(self) -> None:
        assert not self.freed
        self.freed = True


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fakes in place; the file to which `atc` writes its arguments."""
    package, infer, interface = (ModuleType(name) for name in ("ais_bench", "ais_bench.infer", "interface"))
    package.__spec__ = SimpleNamespace()
    interface.InferSession = Session
    for name, module in (("ais_bench", package), ("ais_bench.infer", infer), ("ais_bench.infer.interface", interface)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Session, "made", [])
    monkeypatch.setenv(ascend.CHIP_VARIABLE, "Ascend310P3")
    return write_atc(tmp_path, monkeypatch)


def write_atc(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> Path:
    program, log = folder / "bin" / "atc", folder / "atc.json"
    program.parent.mkdir(exist_ok=True)
    program.write_text(ATC.format(python=sys.executable, log=str(log), fails=fails))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def built(folder: Path, shape: InputShape = SHAPE, backend: str = "ascend") -> Artifact:
    source = tiny_artifacts.exported(folder, name=f"float_{backend}")
    return build(source, folder / backend, BuildOptions(backend, "force_float16", shape))


def test_atc_is_called_as_the_reference_calls_it(vendor: Path, tmp_path: Path) -> None:
    made = built(tmp_path)
    given = json.loads(vendor.read_text())
    assert {name: given[name] for name in ("framework", "input_format", "input_shape", "soc_version")} == {
        "framework": "5",
        "input_format": "NCHW",
        "input_shape": "image:2,3,40,56",
        "soc_version": "Ascend310P3",
    }
    assert given["precision_mode"] == "force_fp16"
    assert "model.om" in made.manifest.files and "atc.onnx" not in made.manifest.files
    assert made.manifest.settings["hardware"] == "not run on hardware"
    assert made.manifest.precision_ran is not None and made.manifest.precision_ran.compute == "unknown"


def test_the_session_gets_what_the_network_takes_and_is_freed(vendor: Path, tmp_path: Path) -> None:
    made = built(tmp_path)
    runner = ascend.BACKEND.load(made, ExecutionConfig(1, device="npu:3"))
    assert runner.batch_sizes == (2,)
    array = np.random.default_rng(0).random((3, 2, 40, 56), np.float32).transpose(1, 0, 2, 3)
    output = runner.run({"image": array})
    assert output["logits"].shape == (2, 2, 40, 56)
    runner.close()
    session = Session.made[-1]
    assert (session.device_id, session.calls, session.freed) == (3, [(2, 3, 40, 56)], True)


def test_a_pipeline_fills_the_batch_and_predicts_as_onnxruntime_does(vendor: Path, tmp_path: Path) -> None:
    images = [picture((80, 112), seed) for seed in range(3)]
    with Pipeline.open(built(tmp_path), device="npu:0") as pipeline:
        found = [pipeline(image) for image in images]
    plain = tiny_artifacts.exported(tmp_path, name="plain")
    options = BuildOptions("onnxruntime", shape=SHAPE)
    with Pipeline.open(build(plain, tmp_path / "ort", options), threads=1) as pipeline:
        wanted = [pipeline(image) for image in images]
    assert all((a.class_id == b.class_id).all() for a, b in zip(found, wanted, strict=True))


def test_what_fails_is_said(vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = built(tmp_path)
    runner = ascend.BACKEND.load(made, ExecutionConfig(1))
    monkeypatch.setattr(Session, "infer", lambda *_, **__: [np.zeros((1, 2, 40, 56), np.float16)])
    with pytest.raises(DeviceError, match=r"float16.*another model"):
        runner.run({"image": np.zeros((2, 3, 40, 56), np.float32)})

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("507011")

    monkeypatch.setattr(Session, "infer", broken)
    with pytest.raises(DeviceError, match=r"infer failed: 507011\. Look at `npu-smi"):
        runner.run({"image": np.zeros((2, 3, 40, 56), np.float32)})
    runner.close()
    with monkeypatch.context() as patched:
        patched.setattr(Session, "__init__", broken)
        with pytest.raises(DeviceError, match=r"InferSession\(.*model\.om\) failed: 507011"):
            ascend.BACKEND.load(made, ExecutionConfig(1))
    monkeypatch.setattr(Session, "get_inputs", lambda _: [SimpleNamespace(shape=[1, 3, 40, 56])])
    with pytest.raises(BadArtifactError, match="manifest says"):
        ascend.BACKEND.load(made, ExecutionConfig(1))
    assert Session.made[-1].freed
    write_atc(tmp_path, monkeypatch, fails=True)
    with pytest.raises(BadGraphError, match="E10001"):
        built(tmp_path, InputShape(batch=(1,), height=40, width=56))


def test_what_is_missing_or_cannot_be_is_said(vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="one shape"):
        built(tmp_path, InputShape(batch=Range(1, 4)))
    with pytest.raises(UsageError, match="npu"):
        Pipeline.open(built(tmp_path), device="cuda")
    monkeypatch.delenv(ascend.CHIP_VARIABLE)
    with pytest.raises(BackendMissingError, match="SOC"):
        built(tmp_path, InputShape(batch=(1,), height=40, width=56))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendMissingError, match="set_env"):
        built(tmp_path, InputShape(batch=(3,), height=40, width=56))


def test_without_the_vendors_package_the_backend_says_so(tmp_path: Path) -> None:
    assert "ais_bench" in (ascend.BACKEND.capabilities().missing or "")
    with pytest.raises(BackendMissingError, match="ais_bench"):
        built(tmp_path)
