"""The original network in PyTorch: what every other engine is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast import plugins
from densecast.artifact import Artifact
from densecast.backends._base import BuildJob, Built, Capabilities
from densecast.backends._inspection import Inspector
from densecast.backends._torch_inspector import TorchInspector
from densecast.errors import BackendMissingError, BadArtifactError, MissingExtraError
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.precision import PrecisionRan
from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

if TYPE_CHECKING:
    import torch

_WEIGHTS, _SCRIPT = "weights.safetensors", "model.pt"
_SETTING = "autocast"


def capabilities() -> Capabilities:
    """Torch's version and devices."""
    try:
        import torch
    except ImportError:
        return Capabilities("", (), (), missing=str(MissingExtraError.of("torch", "the torch backend")))
    devices = ("CPU", "CUDA") if torch.cuda.is_available() else ("CPU",)
    return Capabilities(torch.__version__, devices, ("force_float32", "force_float16"))


def build(job: BuildJob, folder: Path) -> Built:
    """The network's own weights, as exported; 16-bit is bfloat16 by autocast at run time."""
    held = [name for name in (_WEIGHTS, _SCRIPT) if name in job.source.manifest.files]
    if not held:
        raise BackendMissingError(
            f"{job.source.folder} came from an ONNX file: there is no original network for the torch backend. "
            "Use --backend onnxruntime or reference."
        )
    if job.options.precision != "force_float32" and job.options.half_type == "f16":
        raise BackendMissingError("torch's autocast on CPUs is bfloat16 here. Use --half-type bf16 or auto.")
    for name in held:
        (folder / name).write_bytes(job.source.file(name).read_bytes())
    kind = "float32" if job.options.precision == "force_float32" else "bfloat16"
    return Built(PrecisionRan(kind, {}, "torch autocast setting"), {_SETTING: kind})


def load(artifact: Artifact, config: ExecutionConfig) -> TorchRunner:
    """The network with its weights, in evaluation mode."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError.of("torch", "the torch backend") from None
    if artifact.manifest.build is None:
        raise BadArtifactError(f"{artifact.folder} is not compiled. Run `densecast build` on it first.")
    torch.set_num_threads(config.num_threads // config.num_streams)
    return TorchRunner(artifact, _network(artifact))


def inspect(artifact: Artifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
    """The artifact's network, with the results of all its operators, in float32."""
    return inspect_network(_network(artifact), feed_shape)


def inspect_network(network: torch.nn.Module, feed_shape: Sequence[int]) -> Inspector:
    """Any network, likewise."""
    return TorchInspector(network, feed_shape)


class TorchRunner:
    """Runs the module under inference mode."""

    def __init__(self, artifact: Artifact, network: torch.nn.Module) -> None:
        self._spec, self._network = artifact.spec, network
        self._kind = artifact.manifest.settings.get(_SETTING, "float32")

    @property
    def input(self) -> TensorSpec:
        """The one input."""
        return self._spec.input

    @property
    def batch_sizes(self) -> None:
        """Any."""
        return

    @property
    def precision(self) -> PrecisionRan:
        """The autocast type; torch does not report more."""
        return PrecisionRan(self._kind, {}, "torch autocast setting")

    def run(self, feeds: Feeds) -> Feeds:
        """One inference into fresh arrays."""
        import torch

        check_feeds((self._spec.input,), feeds)
        array = feeds[self._spec.input.name]
        if array.dtype == np.uint8:
            array = _normalised(array, self._spec.preprocess)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._kind == "bfloat16"):
            output = self._network(torch.from_numpy(np.ascontiguousarray(array)))
        return {self._spec.output.name: output.float().numpy()}

    def run_in(self, lane: int, feeds: Feeds) -> Feeds:
        """`run`, which is safe in several threads."""
        return self.run(feeds)

    def close(self) -> None:
        """Drop the weights."""
        del self._network


def _network(artifact: Artifact) -> Any:
    import torch

    if _SCRIPT in artifact.manifest.files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch announces the end of the format
            return torch.jit.load(artifact.file(_SCRIPT), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    from safetensors.torch import load_file

    reference = artifact.manifest.network
    if reference is None:
        raise BadArtifactError(f"{artifact.folder} does not say which network its weights belong to. Export it again.")
    plugin = plugins.load("networks", reference.name)
    network = plugin.build(plugin.Options(**reference.options))
    network.load_state_dict(load_file(artifact.file(_WEIGHTS)), strict=True)
    return network.eval()


def _normalised(array: Any, preprocess: Preprocess) -> Any:
    """(N, 3, H, W) bytes -> float32, as the exported graph does inside."""
    order = preprocess.mean, preprocess.std
    mean, std = (np.asarray(values, dtype=np.float32).reshape(1, 3, 1, 1) for values in order)
    return (array.astype(np.float32) / np.float32(preprocess.divisor) - mean) / std
