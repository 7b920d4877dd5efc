"""ONNX Runtime's other devices, against a fake of it: what is asked for is what runs, or an error says why not."""

from __future__ import annotations

from typing import Any

import pytest

from densecast.backends import _ort_devices
from densecast.errors import BackendMissingError, UnknownNameError, UsageError
from densecast.spec.precision import Precision

OFFERED = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CANNExecutionProvider", "CPUExecutionProvider"]


class Options:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class FakeRuntime:
    """As far as a session is made: providers as (name, options), the first of them taken, or the CPU instead."""

    def __init__(self, offered: list[str], *, takes_cpu: bool = False, fails: str = "") -> None:
        self.offered, self.takes_cpu, self.fails = offered, takes_cpu, fails
        self.asked: list[tuple[str, dict[str, Any]]] = []
        runtime = self

        class InferenceSession:
            def __init__(self, model: str, options: Options, providers: list[tuple[str, dict[str, Any]]]) -> None:
                assert options.entries == {"session.disable_cpu_ep_fallback": "1"}
                if runtime.fails:
                    raise RuntimeError(runtime.fails)
                runtime.asked = providers

            def get_providers(self) -> list[str]:
                names = [name for name, _ in runtime.asked]
                return ["CPUExecutionProvider"] if runtime.takes_cpu else [*names, "CPUExecutionProvider"]

        self.InferenceSession = InferenceSession

    def get_available_providers(self) -> list[str]:
        return self.offered


@pytest.mark.parametrize(
    ("device", "precision", "asked"),
    [
        ("cuda:1", "force_float32", [("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0})]),
        (
            "tensorrt",
            "force_float16",
            [
                ("TensorrtExecutionProvider", {"device_id": 0, "trt_fp16_enable": True}),
                ("CUDAExecutionProvider", {"device_id": 0, "use_tf32": 0}),
            ],
        ),
        (
            "cann:2",
            "force_float32",
            [("CANNExecutionProvider", {"device_id": 2, "precision_mode": "must_keep_origin_dtype"})],
        ),
        ("cann", "force_float16", [("CANNExecutionProvider", {"device_id": 0, "precision_mode": "force_fp16"})]),
    ],
)
def test_the_provider_is_asked_with_its_settings(device: str, precision: Precision, asked: list[Any]) -> None:
    runtime = FakeRuntime(OFFERED)
    _ort_devices.session(runtime, "model.onnx", Options(), device, precision)
    assert runtime.asked == asked


def test_nothing_falls_back_in_silence() -> None:
    with pytest.raises(BackendMissingError, match="onnxruntime-cann"):
        _ort_devices.session(FakeRuntime(OFFERED[-1:]), "m", Options(), "cann", "force_float32")
    with pytest.raises(BackendMissingError, match="took"):
        _ort_devices.session(FakeRuntime(OFFERED, takes_cpu=True), "m", Options(), "cuda", "force_float32")
    with pytest.raises(BackendMissingError, match="no kernel"):
        _ort_devices.session(FakeRuntime(OFFERED, fails="no kernel\nmore"), "m", Options(), "cuda", "force_float32")


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="cuda"):
        _ort_devices.parse("cude")
    for device in ("cuda:", "cuda:x", "cpu:1", "cuda:-1"):
        with pytest.raises(UsageError):
            _ort_devices.parse(device)
