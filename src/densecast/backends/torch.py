"""PyTorch backend: runs the original network, the reference that other engines are compared with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.backends._base import Backend, BuildJob, Built, Capabilities, Traits
from densecast.backends._inspection import Inspector
from densecast.backends._torch_inspector import TorchInspector
from densecast.errors import BackendMissingError, BadArtifactError, MissingExtraError
from densecast.networks._base import NETWORKS
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

if TYPE_CHECKING:
    import torch

_WEIGHTS, _SCRIPT = "weights.safetensors", "model.pt"
_SETTING = "autocast"


class TorchBackend:
    """Backend for PyTorch on the CPU."""

    # OpenMP's threads do not survive a fork.
    traits = Traits("torch", survives_fork=False)

    def capabilities(self) -> Capabilities:
        """Torch's version and devices."""
        try:
            import torch
        except ImportError:
            return Capabilities("", (), (), missing=str(MissingExtraError.of("torch", "the torch backend")))
        devices = ("CPU", "CUDA") if torch.cuda.is_available() else ("CPU",)
        return Capabilities(torch.__version__, devices, ("force_float32", "force_float16"))

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Store the exported network's weights; 16-bit is bfloat16 autocast at run time."""
        files = [name for name in (_WEIGHTS, _SCRIPT) if name in job.source.manifest.files]
        if not files:
            raise BackendMissingError(
                f"{job.source.folder} came from an ONNX file: there is no original network for the torch backend. "
                "Use --backend onnxruntime or reference."
            )
        if job.options.precision != "force_float32" and job.options.half_type == "f16":
            raise BackendMissingError("torch's autocast on CPUs is bfloat16 here. Use --half-type bf16 or auto.")
        for name in files:
            (folder / name).write_bytes(job.source.file(name).read_bytes())
        kind = "float32" if job.options.precision == "force_float32" else "bfloat16"
        return Built(PrecisionRan(kind, {}, "torch autocast setting"), {_SETTING: kind})

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> TorchRunner:
        """Load the network with its weights, in evaluation mode."""
        try:
            import torch
        except ImportError:
            raise MissingExtraError.of("torch", "the torch backend") from None
        torch.set_num_threads(config.num_threads // config.num_streams)
        kind = artifact.manifest.settings.get(_SETTING, "float32")
        return TorchRunner(_network(artifact), artifact.spec, kind, config.num_streams)

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open the artifact's network for inspection, in float32."""
        return TorchInspector(_network(artifact), feed_shape)

    def float_module(self, artifact: FloatArtifact) -> Any | None:
        """The module that a float artifact was exported from; None if it holds none, or without torch."""
        if self.capabilities().missing or not {_WEIGHTS, _SCRIPT} & set(artifact.manifest.files):
            return None
        return _network(artifact)

    def module_runner(self, module: Any, spec: ModelSpec, threads: int) -> TorchRunner:
        """Wrap a module in evaluation mode in a float32 runner."""
        import torch

        torch.set_num_threads(threads)
        return TorchRunner(module, spec, "float32", 1)

    def inspect_module(self, module: Any, spec: ModelSpec, feed_shape: Sequence[int]) -> Inspector | None:
        """Open a module for inspection; None for TorchScript, which does not expose its tensors."""
        import torch

        return None if isinstance(module, torch.jit.ScriptModule) else TorchInspector(module, feed_shape)


class TorchRunner:
    """Runner of a module in inference mode."""

    reuses_buffers = False
    batch_sizes = None

    def __init__(self, network: torch.nn.Module, spec: ModelSpec, kind: str, streams: int) -> None:
        self._network, self._spec, self._kind, self._streams = network, spec, kind, streams

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The spec's."""
        return self._spec.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The spec's."""
        return self._spec.outputs

    @property
    def precision(self) -> PrecisionRan:
        """The autocast type; torch reports nothing more detailed."""
        return PrecisionRan(self._kind, {}, "torch autocast setting")

    @property
    def max_concurrency(self) -> int:
        """The number of streams that its threads were divided among."""
        return self._streams

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns new arrays."""
        import torch

        from densecast.networks._outputs import module_outputs

        check_feeds(self._spec.inputs, feeds)
        tensors = []
        for spec in self._spec.inputs:
            array = feeds[spec.name]
            if array.dtype == np.uint8:
                array = _normalised(array, self._spec.preprocess_of(spec.name))
            else:
                array = np.array(array, order="C")  # a copy, as a network may work in place on what it is given
            tensors.append(torch.from_numpy(np.ascontiguousarray(array)))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._kind == "bfloat16"):
            result = self._network(*tensors)
        outputs = module_outputs(result, [spec.name for spec in self._spec.outputs])
        return {name: tensor.float().numpy() for name, tensor in outputs.items()}

    def close(self) -> None:
        """Release the weights."""
        del self._network


def _network(artifact: FloatArtifact | CompiledArtifact) -> Any:
    import torch

    if _SCRIPT in artifact.manifest.files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch announces the end of the format
            return torch.jit.load(artifact.file(_SCRIPT), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    from safetensors.torch import load_file

    reference = artifact.manifest.network
    if reference is None:
        raise BadArtifactError(f"{artifact.folder} does not say which network its weights belong to. Export it again.")
    plugin = NETWORKS.load_trusted(reference.name)
    network = plugin.build(plugin.options_type(**reference.options))
    network.load_state_dict(load_file(artifact.file(_WEIGHTS)), strict=True)
    return network.eval()


def _normalised(array: Any, preprocess: Preprocess) -> Any:
    """(N, C, H, W) uint8 -> normalised float32, as the exported graph does internally."""
    preprocess = preprocess.for_channels(array.shape[1])
    order = preprocess.mean, preprocess.std
    mean, std = (np.asarray(values, dtype=np.float32).reshape(1, -1, 1, 1) for values in order)
    return (array.astype(np.float32) / np.float32(preprocess.divisor) - mean) / std


BACKEND: Backend = TorchBackend()
