"""Maps device names (CUDA, TensorRT, CANN) to ONNX Runtime execution providers."""

from __future__ import annotations

from typing import Any

from densecast.errors import BackendMissingError, UnknownNameError, UsageError
from densecast.io.vendor_formats import PRECISION_MODES
from densecast.runtime import engine_words
from densecast.spec.precision import Precision

CPU = "cpu"
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu and TensorRT"),
    "cann": ("CANNExecutionProvider", "onnxruntime-cann and CANN"),
}
DEVICES = (CPU, *_PROVIDERS)


def parse(device: str) -> tuple[str, int]:
    """Split a device name such as `cuda:1` into kind and number.

    >>> parse("cann")
    ('cann', 0)

    Raises:
        UnknownNameError, UsageError: no such device, or no number.
    """
    kind, colon, number = device.partition(":")
    if kind not in DEVICES:
        raise UnknownNameError.among("device of ONNX Runtime", kind, DEVICES)
    if colon and kind == CPU:
        raise UsageError(f"--device {device!r}: there is one cpu, without a number.", field="device")
    if colon and not (number.isascii() and number.isdigit()):
        raise UsageError(f"--device {device!r} must be a kind and a number, as cuda:0.")
    return kind, int(number or 0)


def session(ort: Any, model: str, options: Any, device: str, precision: Precision) -> Any:
    """Create a session that runs the whole graph on the device; unsupported nodes are an error instead of falling back.

    Raises:
        BackendMissingError: the provider is not installed, or not what the session took.
    """
    kind, number = parse(device)
    provider, package = _PROVIDERS[kind]
    if provider not in ort.get_available_providers():
        raise BackendMissingError(f"this ONNX Runtime has no {provider}. Install {package}, or pass --device cpu.")
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        made = ort.InferenceSession(model, options, providers=_settings(kind, number, precision))
    except Exception as error:  # ONNX Runtime raises several unrelated kinds
        raise BackendMissingError(f"{provider} cannot run the network ({engine_words.reason(error)}).") from None
    if provider not in made.get_providers()[:1]:
        raise BackendMissingError(f"requested {provider}, ONNX Runtime took {made.get_providers()}.")
    return made


def _settings(kind: str, number: int, precision: Precision) -> list[tuple[str, dict[str, Any]]]:
    """Providers in order of priority, with options that keep float32 in full precision."""
    cuda = ("CUDAExecutionProvider", {"device_id": number, "use_tf32": 0})
    if kind == "cuda":
        return [cuda]
    if kind == "tensorrt":
        half = precision == "force_float16"
        return [("TensorrtExecutionProvider", {"device_id": number, "trt_fp16_enable": half}), cuda]
    return [("CANNExecutionProvider", {"device_id": number, "precision_mode": PRECISION_MODES[precision]})]
