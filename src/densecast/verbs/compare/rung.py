"""One rung of the ladder from the framework to int8: something that runs, and can be looked into."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from densecast import plugins
from densecast.artifact import MANIFEST, Artifact
from densecast.backends._base import Runner
from densecast.backends._inspection import Inspector, WeightType
from densecast.errors import BadArtifactError, BadGraphError, DensecastError, MissingFileError, UsageError
from densecast.pipeline import Pipeline
from densecast.runtime import execution
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec, check_feeds
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.export import onnx_file

Kind = Literal["framework", "float graph", "optimised graph", "engine"]

_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")
_GRAPH = "model.onnx"


@dataclass(frozen=True, slots=True)
class Rung:
    """`title` names it in tables, `path` is where it came from; `inspect` gives its inner tensors at a feed's shape.

    `stored` is what its weights are stored in: the rounding that an honest copy may show. `inspect` is None where the
    engine does not show its inside.
    """

    title: str
    path: Path
    kind: Kind
    pipeline: Pipeline
    stored: WeightType
    inspect: Callable[[Sequence[int]], Inspector] | None


class GraphRunner:
    """An ONNX graph in ONNX Runtime, in float32."""

    def __init__(self, model: Any, spec_input: TensorSpec, output_name: str, threads: int) -> None:
        import onnxruntime

        self._input, self._output = spec_input, output_name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises several unrelated kinds
            raise BadGraphError(f"ONNX Runtime cannot load the graph ({str(error).splitlines()[0]}).") from None

    @property
    def input(self) -> TensorSpec:
        """The one input."""
        return self._input

    @property
    def batch_sizes(self) -> None:
        """Any within the input."""
        return

    @property
    def precision(self) -> PrecisionRan:
        """What an ONNX graph means."""
        return PrecisionRan("float32", {}, "ONNX graph")

    def run(self, feeds: Feeds) -> Feeds:
        """One inference into fresh arrays."""
        check_feeds((self._input,), feeds)
        (output,) = self._session.run([self._output], feeds)
        return {self._output: np.asarray(output)}

    def close(self) -> None:
        """Drop the session."""
        del self._session


def open_rung(path: Path, donor: Artifact | None, threads: int | None, *, framework: bool = False) -> Rung:
    """An artifact, an `.onnx` file or a checkpoint, ready to run; files that say nothing of themselves need a `donor`.

    A float artifact is its original network where `framework` is asked for and there is one, else its graph.

    Raises:
        UsageError: a file without a donor that says what it is.
        MissingFileError: nothing is there.
        BadArtifactError, BadGraphError, BadCheckpointError: it cannot be used.
    """
    config = execution.configure("latency", threads)
    if (path / MANIFEST).is_file():
        artifact = Artifact.open(path)
        if artifact.manifest.build is not None:
            return _engine(artifact, config)
        if framework and (found := _framework(artifact, config)) is not None:
            return found
        return graph_rung(f"{artifact.spec.name} float ONNX", path, artifact, onnx_file.read(path / _GRAPH), config)
    if not path.exists():
        raise MissingFileError(f"{path} does not exist.")
    if path.is_dir():
        raise BadArtifactError(f"{path} is no artifact. Make one with `densecast export` or `build`.")
    if donor is None:
        raise UsageError(
            f"{path.name} does not say how images are prepared for it: name an artifact of the same model as well."
        )
    if path.suffix == ".onnx":
        return graph_rung(path.name, path, donor, onnx_file.read(path), config)
    if path.suffix in _CHECKPOINTS:
        return _checkpoint(path, donor, config)
    raise UsageError(f"{path} is no artifact, no .onnx file and no checkpoint ({', '.join(_CHECKPOINTS)}).")


@contextmanager
def optimised(source: Artifact, built: Artifact, threads: int | None) -> Iterator[Rung]:
    """The float graph of `source` after the passes that `built` had before its engine saw it.

    Raises:
        BadArtifactError: `built` is not compiled.
    """
    import onnx

    options = built.manifest.build
    if options is None:
        raise BadArtifactError(f"{built.folder} is not compiled.")
    plain = BuildOptions("onnxruntime", "force_float32", options.shape, uint8_input=options.uint8_input)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "graph.onnx"
        wanted = prepare(source, Path(scratch) / "none", plain)
        wanted.write_graph(path)
        like = replace(source, manifest=replace(source.manifest, spec=wanted.spec))
        yield graph_rung(
            "optimised graph", path, like, onnx.load(path), execution.configure("latency", threads), "optimised graph"
        )


def _engine(artifact: Artifact, config: ExecutionConfig) -> Rung:
    options = artifact.manifest.build
    assert options is not None
    backend = plugins.load("backends", options.backend)
    runner: Runner = backend.load(artifact, config)
    stored: WeightType = "float32"
    if options.precision == "qint8_mixed_float16":
        stored = "int8"
    elif options.precision == "force_float16":
        half = "bf16" in artifact.manifest.settings.values() or runner.precision.compute == "bfloat16"
        stored = "bfloat16" if half else "float16"

    def inspect(feed_shape: Sequence[int]) -> Inspector:
        found: Inspector = backend.inspect(artifact, config, feed_shape)
        return found

    shown = inspect if hasattr(backend, "inspect") else None
    return Rung(artifact.folder.name, artifact.folder, "engine", Pipeline(artifact, runner, config), stored, shown)


def _framework(artifact: Artifact, config: ExecutionConfig) -> Rung | None:
    """The network that the float artifact was exported from; None without one, or without torch."""
    backend = plugins.load("backends", "torch")
    if backend.capabilities().missing or not {"weights.safetensors", "model.pt"} & set(artifact.manifest.files):
        return None
    like = replace(artifact, manifest=replace(artifact.manifest, build=BuildOptions("torch")))
    runner: Runner = backend.load(like, config)

    def inspect(feed_shape: Sequence[int]) -> Inspector:
        found: Inspector = backend.inspect(like, config, feed_shape)
        return found

    shown = None if "model.pt" in artifact.manifest.files else inspect
    return Rung("PyTorch float32", artifact.folder, "framework", Pipeline(artifact, runner, config), "float32", shown)


def graph_rung(
    title: str, path: Path, artifact: Artifact, model: Any, config: ExecutionConfig, kind: Kind = "float graph"
) -> Rung:
    """A graph with the spec of `artifact`; names and fixed sizes are the graph's own."""
    from densecast.backends._onnx_inspector import OnnxInspector

    spec = artifact.spec
    input_spec = _input_of(model, spec.input)
    output_name = model.graph.output[0].name
    own = replace(spec, input=input_spec, output=replace(spec.output, name=output_name))
    like = replace(artifact, manifest=replace(artifact.manifest, spec=own))

    def inspect(feed_shape: Sequence[int]) -> Inspector:
        return OnnxInspector(model, feed_shape, config.num_threads)

    runner = GraphRunner(model, input_spec, output_name, config.num_threads)
    return Rung(title, path, kind, Pipeline(like, runner, config), _stored(model), inspect)


def _stored(model: Any) -> WeightType:
    """What most of a graph's weights are: quantised where anything is, else the type of the larger half."""
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        return "int8"
    sizes: dict[int, int] = {}
    for tensor in model.graph.initializer:
        sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + len(tensor.raw_data)
    names: dict[int, WeightType] = {10: "float16", 16: "bfloat16"}
    return names.get(max(sizes, key=lambda kind: sizes[kind]) if sizes else 1, "float32")


def _input_of(model: Any, wanted: TensorSpec) -> TensorSpec:
    """The graph's input under its own name, type and fixed sizes; `wanted` bounds the sizes it leaves open."""
    import onnx

    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialised]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != len(wanted.shape):
        raise BadGraphError(f"the graph has {len(inputs)} inputs; one of {len(wanted.shape)} dimensions is needed.")
    tensor = inputs[0].type.tensor_type
    sizes: list[int | Dim] = [dim.dim_value or bound for dim, bound in zip(tensor.shape.dim, wanted.shape, strict=True)]
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return TensorSpec(inputs[0].name, dtype, tuple(sizes))


def _checkpoint(path: Path, donor: Artifact, config: ExecutionConfig) -> Rung:
    """Weights in the donor's network."""
    from densecast.verbs.export import checkpoint

    reference = donor.manifest.network
    if reference is None:
        raise UsageError(f"{path.name}: {donor.folder} does not say which network its weights belong to.")
    checkpoint.require_torch("a checkpoint")
    plugin = plugins.load("networks", reference.name)
    options = plugin.Options(**reference.options)
    network = plugin.build(options).eval()
    checkpoint.load_into(network, checkpoint.read(path), plugin, options, f"checkpoint {path}")
    backend = plugins.load("backends", "torch")
    like = replace(donor, manifest=replace(donor.manifest, spec=replace(donor.spec), build=BuildOptions("torch")))

    def inspect(feed_shape: Sequence[int]) -> Inspector:
        found: Inspector = backend.inspect_network(network, feed_shape)
        return found

    runner: Runner = backend.TorchRunner(like, network)
    return Rung(f"{path.name} (PyTorch)", path, "framework", Pipeline(like, runner, config), "float32", inspect)


def donor_among(paths: Sequence[Path]) -> Artifact | None:
    """The first artifact among the arguments, a float one before others: it describes files that do not."""
    found = []
    for path in paths:
        if (path / MANIFEST).is_file():
            try:
                found.append(Artifact.open(path))
            except DensecastError:
                continue  # said where it is opened as what it is
    return next((each for each in found if each.manifest.kind == "float"), found[0] if found else None)


def as_float_feed(rung: Rung, array: Array) -> npt.NDArray[np.float32]:
    """What the network computes with, from what it is fed: bytes are normalised as its graph does inside."""
    if array.dtype != np.uint8:
        return np.asarray(array, dtype=np.float32)
    rule = rung.pipeline.spec.preprocess
    mean, std = (np.asarray(values, dtype=np.float32).reshape(3, 1, 1) for values in (rule.mean, rule.std))
    return np.asarray((array.astype(np.float32) / np.float32(rule.divisor) - mean) / std)
