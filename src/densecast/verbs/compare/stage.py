"""One stage of the accuracy chain: a model that can be run and inspected."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from densecast.artifact import MANIFEST, Artifact, CompiledArtifact, FloatArtifact
from densecast.backends._base import BACKENDS, Inspectable, RunsModules
from densecast.backends._inspection import Inspector, WeightType
from densecast.errors import BadArtifactError, BadGraphError, DensecastError, MissingFileError, UsageError
from densecast.networks._base import NETWORKS
from densecast.pipeline import Pipeline
from densecast.runtime import engine_words, execution
from densecast.runtime.execution import ExecutionConfig
from densecast.session import Session
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec, check_feeds
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.export import checkpoint, foreign, onnx_file

Kind = Literal["framework", "float graph", "optimised graph", "engine"]
# An inspector for feeds of one shape (N, 3, H, W); None where the stage does not expose its intermediate tensors.
Inspect = Callable[[Sequence[int]], Inspector | None]

_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")
_GRAPH = "model.onnx"
_FRAMEWORK = "torch"


@dataclass(frozen=True, slots=True)
class ChainStage:
    """A stage; `title` names it in tables, `path` is its source.

    `stored` is what its weights are stored in: the rounding that an honest copy may show.
    """

    title: str
    path: Path
    kind: Kind
    pipeline: Pipeline
    stored: WeightType
    inspect: Inspect


class GraphRunner:
    """Runner for an ONNX graph in ONNX Runtime, in float32."""

    batch_sizes = None
    max_concurrency = 1
    reuses_buffers = False
    precision = PrecisionRan("float32", {}, "ONNX graph")

    def __init__(self, model: Any, spec: ModelSpec, threads: int) -> None:
        """Load an `onnx.ModelProto` with the tensors of `spec`.

        Raises:
            BadGraphError: ONNX Runtime cannot load it.
        """
        import onnxruntime

        self.inputs, self.outputs = spec.inputs, spec.outputs
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises several unrelated kinds
            raise BadGraphError(f"ONNX Runtime cannot load the graph ({engine_words.reason(error)}).") from None

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns every output by name, in new arrays."""
        check_feeds(self.inputs, feeds)
        names = [tensor.name for tensor in self.outputs]
        arrays = self._session.run(names, feeds)
        return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}

    def close(self) -> None:
        """Release the session."""
        del self._session


def open_stage(path: Path, spec_source: Artifact | None, threads: int | None, *, framework: bool = False) -> ChainStage:
    """Open an artifact, an `.onnx` file or a checkpoint as a stage.

    Files do not say how images are prepared for them: `spec_source` is an artifact of the same model that does. A
    float artifact is its original network if `framework` is set and there is one, else its graph.

    Raises:
        UsageError: a file without an artifact that says what it is.
        MissingFileError: nothing is there.
        BadArtifactError, BadGraphError, BadCheckpointError: it cannot be used.
    """
    config = execution.configure("latency", threads)
    if (path / MANIFEST).is_file():
        artifact = Artifact.open(path)
        if isinstance(artifact, CompiledArtifact):
            return _engine(artifact, config)
        module = _torch().float_module(artifact) if framework and isinstance(artifact, FloatArtifact) else None
        if module is not None:
            return module_stage("PyTorch float32", path, artifact.spec, module, config)
        title = f"{artifact.spec.name} float ONNX"
        return graph_stage(title, path, artifact.spec, onnx_file.read(path / _GRAPH), config)
    if not (path.is_file() or path.is_dir()):
        raise MissingFileError.at(path)
    if path.is_dir():
        raise BadArtifactError(f"{path} is no artifact. Make one with `densecast export` or `build`.")
    if spec_source is None:
        raise UsageError(
            f"{path.name} does not say how images are prepared for it: name an artifact of the same model as well."
        )
    if path.suffix == ".onnx":
        foreign.first_run(path)
        return graph_stage(path.name, path, spec_source.spec, onnx_file.read(path), config)
    if path.suffix in _CHECKPOINTS:
        module = _module_with_weights(path, spec_source)
        return module_stage(f"{path.name} (PyTorch)", path, spec_source.spec, module, config)
    raise UsageError(f"{path} is no artifact, no .onnx file and no checkpoint ({', '.join(_CHECKPOINTS)}).")


def optimised_stage(source: FloatArtifact, built: CompiledArtifact, threads: int | None) -> ChainStage:
    """The float graph of `source` with the graph passes that `built` was built with."""
    import onnx

    options = built.manifest.build
    plain = BuildOptions("onnxruntime", "force_float32", options.shape, uint8_input=options.uint8_input)
    with tempfile.TemporaryDirectory() as scratch:
        plan = prepare(source, Path(scratch) / "none", plain)
        plan.write_graph(Path(scratch) / _GRAPH)
        model = onnx.load(Path(scratch) / _GRAPH)
    config = execution.configure("latency", threads)
    return graph_stage("optimised graph", built.folder, plan.spec, model, config, "optimised graph")


def graph_stage(
    title: str, path: Path, spec: ModelSpec, model: Any, config: ExecutionConfig, kind: Kind = "float graph"
) -> ChainStage:
    """A stage for an ONNX graph; names and fixed sizes of its tensors are the graph's own.

    Raises:
        BadGraphError: the graph does not have the model's inputs and outputs, or cannot be loaded.
    """
    from densecast.backends._onnx_inspector import OnnxInspector

    own = _with_tensors_of(model, spec)

    def inspect(feed_shape: Sequence[int]) -> Inspector | None:
        return OnnxInspector(model, feed_shape, config.num_threads) if len(own.inputs) == 1 else None

    runner = GraphRunner(model, own, config.num_threads)
    return ChainStage(title, path, kind, Pipeline(Session(own, runner, config)), _stored(model), inspect)


def module_stage(title: str, path: Path, spec: ModelSpec, module: Any, config: ExecutionConfig) -> ChainStage:
    """A stage for a framework's network, in float32."""
    backend = _torch()

    def inspect(feed_shape: Sequence[int]) -> Inspector | None:
        return backend.inspect_module(module, spec, feed_shape) if len(spec.inputs) == 1 else None

    runner = backend.module_runner(module, spec, config.num_threads)
    return ChainStage(title, path, "framework", Pipeline(Session(spec, runner, config)), "float32", inspect)


def spec_source_among(paths: Sequence[Path]) -> Artifact | None:
    """The artifact that describes bare files: the first one among the arguments, float artifacts preferred."""
    artifacts = []
    for path in paths:
        if (path / MANIFEST).is_file():
            try:
                artifacts.append(Artifact.open(path))
            except DensecastError:
                continue  # said where it is opened as what it is
    return next((each for each in artifacts if isinstance(each, FloatArtifact)), artifacts[0] if artifacts else None)


def as_float_feed(stage: ChainStage, array: Array) -> npt.NDArray[np.float32]:
    """The float input of the network: uint8 feeds are normalised as its graph does internally."""
    if array.dtype != np.uint8:
        return np.asarray(array, dtype=np.float32)
    rule = stage.pipeline.spec.preprocess.for_channels(array.shape[-3])
    mean, std = (np.asarray(values, dtype=np.float32).reshape(-1, 1, 1) for values in (rule.mean, rule.std))
    return np.asarray((array.astype(np.float32) / np.float32(rule.divisor) - mean) / std)


def _torch() -> RunsModules:
    backend = BACKENDS.load(_FRAMEWORK)
    assert isinstance(backend, RunsModules)
    return backend


def _engine(artifact: CompiledArtifact, config: ExecutionConfig) -> ChainStage:
    options = artifact.manifest.build
    backend = BACKENDS.load_trusted(options.backend)
    session = Session.open(artifact, config)
    stored: WeightType = "float32"
    if options.precision == "qint8_mixed_float16":
        stored = "int8"
    elif options.precision == "force_float16":
        is_bfloat16 = "bf16" in artifact.manifest.settings.values() or session.precision.compute == "bfloat16"
        stored = "bfloat16" if is_bfloat16 else "float16"

    def inspect(feed_shape: Sequence[int]) -> Inspector | None:
        if not isinstance(backend, Inspectable) or len(artifact.spec.inputs) > 1:
            return None
        return backend.inspect(artifact, config, feed_shape)

    pipeline = Pipeline(session, artifact=artifact)
    return ChainStage(artifact.folder.name, artifact.folder, "engine", pipeline, stored, inspect)


def _module_with_weights(path: Path, spec_source: Artifact) -> Any:
    """The module that `spec_source` was exported from, with the weights of a checkpoint."""
    reference = spec_source.manifest.network
    if reference is None:
        raise UsageError(f"{path.name}: {spec_source.folder} does not say which network its weights belong to.")
    checkpoint.require_torch("a checkpoint")
    plugin = NETWORKS.load_trusted(reference.name)
    options = plugin.options_type(**reference.options)
    network = plugin.build(options).eval()
    checkpoint.load_into(network, checkpoint.read(path), plugin, options, f"checkpoint {path}")
    return network


def _stored(model: Any) -> WeightType:
    """The storage type of a graph's weights: int8 if any are quantised, else the type of the majority."""
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        return "int8"
    sizes: dict[int, int] = {}
    for tensor in model.graph.initializer:
        sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + len(tensor.raw_data)
    names: dict[int, WeightType] = {10: "float16", 16: "bfloat16"}
    return names.get(max(sizes, key=lambda kind: sizes[kind]) if sizes else 1, "float32")


def _with_tensors_of(model: Any, spec: ModelSpec) -> ModelSpec:
    """The spec with the graph's own tensors: matched by name if all names are in the graph, else by position.

    Raises:
        BadGraphError: there are too few or too many of them, or they have another number of dimensions.
    """
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = _in_order([value for value in model.graph.input if value.name not in initialised], spec.inputs)
    outputs = _in_order(list(model.graph.output), spec.outputs)
    if len(inputs) != len(spec.inputs) or len(outputs) < len(spec.outputs):
        raise BadGraphError(
            f"the graph has {len(inputs)} inputs and {len(outputs)} outputs; {spec.name} has {len(spec.inputs)} and "
            f"{len(spec.outputs)}."
        )
    own = tuple(_input_of(value, tensor) for value, tensor in zip(inputs, spec.inputs, strict=True))
    names = {tensor.name: value.name for tensor, value in zip(spec.inputs, inputs, strict=True)}
    return replace(
        spec,
        inputs=own,
        outputs=tuple(replace(tensor, name=value.name) for tensor, value in zip(spec.outputs, outputs, strict=False)),
        input_preprocess={names[name]: rule for name, rule in spec.input_preprocess.items()},
    )


def _in_order(values: list[Any], tensors: Sequence[TensorSpec]) -> list[Any]:
    by_name = {value.name: value for value in values}
    names = [tensor.name for tensor in tensors]
    if all(name in by_name for name in names):
        return [by_name.pop(name) for name in names] + list(by_name.values())
    return values


def _input_of(value: Any, bounds: TensorSpec) -> TensorSpec:
    """A graph's input with its own name, type and fixed sizes; `bounds` bounds its dynamic sizes."""
    import onnx

    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    if len(dims) != len(bounds.shape):
        raise BadGraphError(
            f"input {value.name!r} of the graph has {len(dims)} dimensions; {len(bounds.shape)} are needed."
        )
    sizes: list[int | Dim] = [dim.dim_value or bound for dim, bound in zip(dims, bounds.shape, strict=True)]
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return TensorSpec(value.name, dtype, tuple(sizes))
