"""Compiles and runs an OpenVINO model in a process of its own first, where a crash is an error that names the layer.

A CPU that lists an ability does not always have one that works, and what fails inside the engine may end the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast.backends import _openvino_types, _trial
from densecast.backends._shown_activations import least_bytes, most_bytes_shown
from densecast.errors import BadGraphError
from densecast.io import files
from densecast.spec.tensor import TensorSpec

if TYPE_CHECKING:
    # Opening a model needs none of it, and importing it takes milliseconds.
    from densecast.runtime.trial import EngineCrashError

_SIDE = 128
FUNCTION = "densecast.backends._openvino_trial:compile_and_run"
# What is imported once, for all trials, which are forked from one process.
_LIBRARIES = ("numpy", "densecast.backends._openvino_light", "densecast.backends._openvino_trial")
# What has run in a process of its own, with the types that ran: types are tried on the graph that is then written,
# methods on one graph.
_passed: dict[str, dict[str, int] | None] = {}
_SINKS = ("Result", "Constant", "Parameter")
# What NNCF puts quantisers around, as OpenVINO's names of operators end.
_QUANTISED = ("Convolution", "BackpropData", "MatMul")


def fault(
    path: Path, hint: str, specs: Sequence[TensorSpec], *, calibrates: bool = False, corrects_biases: bool = False
) -> str | None:
    """Why the model in `path` cannot be used in a type, in words; None if it compiles and runs, or cannot be tried.

    With `calibrates` it is run as a calibration runs it: what layers in int8 would read and give are outputs as well.
    With `corrects_biases` each of these layers is then run alone, as where biases are corrected.
    """
    return _outcome(path, hint, specs, calibrates=calibrates, corrects_biases=corrects_biases)[0]


def check(
    path: Path, hint: str, specs: Sequence[TensorSpec], *, calibrates: bool = False, corrects_biases: bool = False
) -> dict[str, int] | None:
    """Check that the model in `path` compiles and runs in a type; with `calibrates` as NNCF runs it.

    With `corrects_biases` also that its layers run alone, as NNCF runs them then. Returns its layers by the types that
    ran; None where it could not be tried.

    Raises:
        BadGraphError: it does not, or ends the process.
    """
    told, layers = _outcome(path, hint, specs, calibrates=calibrates, corrects_biases=corrects_biases)
    if told is not None:
        raise BadGraphError(
            f"OpenVINO cannot use the graph on this CPU: in {hint} it {told}. Build another precision, or with "
            "-b onnxruntime.",
            field="precision",
        )
    return layers


def _outcome(
    path: Path, hint: str, specs: Sequence[TensorSpec], *, calibrates: bool, corrects_biases: bool
) -> tuple[str | None, dict[str, int] | None]:
    """Why the model cannot be used in a type, in words, and its layers by the types that ran, as far as is known."""
    from densecast.runtime.trial import EngineCrashError

    key, more = (_trial.key(path, FUNCTION, hint, specs, calibrates, alone) for alone in (corrects_biases, True))
    key = more if more in _passed else key  # which has tried this, too
    if key not in _passed:
        run = _Run(path, hint, tuple(specs), calibrates, corrects_biases)
        told = run.tried(None)
        if isinstance(told, EngineCrashError):
            return _trial.told(told, run.first_that_crashes()), None
        if isinstance(told, str):
            return told, None
        _passed[key] = told
    return None, _passed[key]


def compile_and_run(payload: dict[str, Any], folder: Path) -> dict[str, Any]:
    """In the process of its own: compile the model, or its first so many operators, and run it once.

    Returns `fault`, why it does not compile, or else its layers by the types that ran.
    """
    from densecast.runtime import late_imports

    ov: Any = late_imports.openvino()
    core = ov.Core()
    model = core.read_model(payload["model"])
    if payload["operators"] is not None:
        model = beginning(ov, model, payload["operators"])
    settings = {"INFERENCE_PRECISION_HINT": payload["hint"], "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    shapes: dict[tuple[str, int], tuple[int, ...]] = {}
    try:
        for part in _parts(model, payload["shapes"]) if payload["calibrates"] else [model]:
            layers = _run(core, part, settings, payload["shapes"], shapes)
        if payload["corrects_biases"]:
            for layer in _layers_alone(ov, model, shapes):
                core.compile_model(layer, "CPU", settings).create_infer_request().infer()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {"fault": f"does not compile ({(lines or ['no reason given'])[-1].rstrip('.')[:200]})"}
    return {"fault": None, "layers": layers}


def _run(
    core: Any,
    model: Any,
    settings: dict[str, Any],
    given: dict[str, Any],
    shapes: dict[tuple[str, int], tuple[int, ...]],
) -> dict[str, int]:
    """Compile a model and run it once on zeros of the given shapes; its layers by the types that ran.

    The shapes of all inputs and outputs are added to `shapes`, by the name of who makes them and its output's number.
    """
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    feeds = {}
    for tensor in model.inputs:
        name = tensor.get_any_name()
        feeds[name] = np.zeros(given[name], tensor.get_element_type().to_dtype())
    request.infer(feeds)
    for place, output in enumerate(model.outputs):
        source = output.get_node().input_value(0)
        shapes[source.get_node().get_friendly_name(), source.get_index()] = tuple(
            request.get_output_tensor(place).shape
        )
    for place, parameter in enumerate(model.get_parameters()):
        shapes[parameter.get_friendly_name(), 0] = tuple(request.get_input_tensor(place).shape)
    return _openvino_types.counted(compiled)


def _parts(model: Any, shapes: dict[str, Any]) -> Iterator[Any]:
    """The model with outputs around what may run in int8: with all at once, or with as many as fit into memory."""
    found = _around_int8(model)
    names = [(each.get_node().get_friendly_name(), each.get_index()) for each in found]
    sized = model.clone()
    sized.reshape({name: tuple(shape) for name, shape in shapes.items()})
    nodes = {node.get_friendly_name(): node for node in sized.get_ops()}
    sizes = [least_bytes(nodes[name].output(index)) for name, index in names]
    most = most_bytes_shown()
    if sum(sizes) <= most:
        model.add_outputs(found)
        yield model
        return
    part: list[tuple[str, int]] = []
    held = 0
    for name, size in zip(names, sizes, strict=True):
        if part and held + size > most:
            yield _showing(model, part)
            part, held = [], 0
        part.append(name)
        held += size
    yield _showing(model, part)


def _showing(model: Any, names: Sequence[tuple[str, int]]) -> Any:
    """A copy of a model with more outputs."""
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ops()}
    copy.add_outputs([nodes[name].output(index) for name, index in names])
    return copy


@dataclass(frozen=True, slots=True)
class _Run:
    """How a model is run in the process of its own."""

    path: Path
    hint: str
    specs: tuple[TensorSpec, ...]
    calibrates: bool
    corrects_biases: bool

    def tried(self, operators: int | None) -> str | dict[str, int] | EngineCrashError | None:
        """What became of it, or of its first so many operators: its layers by types, or why it cannot be used."""
        from densecast.runtime import trial

        model = files.real(self.path)
        shapes = {spec.name: spec.typical_shape(_SIDE) for spec in self.specs}
        payload = {"model": str(model), "hint": self.hint, "shapes": shapes, "operators": operators}
        payload |= {"calibrates": self.calibrates, "corrects_biases": self.corrects_biases}
        try:
            told = trial.run(
                FUNCTION, payload, subject="OpenVINO's model", readable=[model.parent], libraries=_LIBRARIES
            )
        except trial.EngineCrashError as error:
            return error
        if told is None:
            return None
        return dict(told["layers"]) if told["fault"] is None else str(told["fault"])

    def first_that_crashes(self) -> str | None:
        """The name of the operator with which a beginning of the network first ends the process."""
        from densecast.runtime.trial import EngineCrashError

        names = operator_names(self.path)
        return _trial.first_that_crashes(names, lambda count: isinstance(self.tried(count), EngineCrashError))


def _around_int8(model: Any) -> list[Any]:
    """The activations that layers which may run in int8 read, and those that they give."""
    operators = _operators(model)
    inside = {node.get_friendly_name() for node in operators}
    found = []
    for node in operators:
        if node.get_type_name().endswith(_QUANTISED):
            read = [node.input_value(place) for place in range(node.get_input_size())]
            found += [each for each in read if each.get_node().get_friendly_name() in inside]
            found += node.outputs()
    # An output that is one already stays as it is.
    shown = {(each.get_node().get_friendly_name(), each.get_index()): each for each in found}
    for result in model.get_results():
        source = result.input_value(0)
        shown.pop((source.get_node().get_friendly_name(), source.get_index()), None)
    return list(shown.values())


def _layers_alone(ov: Any, model: Any, shapes: dict[tuple[str, int], tuple[int, ...]]) -> Iterator[Any]:
    """Models of one layer each that may run in int8, for what it reads, of `shapes`; of equal layers the first.

    `model` is taken apart.
    """
    seen = set()
    for node in _operators(model):
        if not node.get_type_name().endswith(_QUANTISED):
            continue
        sources = [node.input_value(place) for place in range(node.get_input_size())]
        read = [shapes.get((each.get_node().get_friendly_name(), each.get_index())) for each in sources]
        moving = [place for place, shape in enumerate(read) if shape is not None]
        given = [
            str(each.get_partial_shape()) if own is None else str(own) for own, each in zip(read, sources, strict=True)
        ]
        kind = (node.get_type_name(), repr(node.get_attributes()), *given)
        if len(moving) != 1 or kind in seen:  # a product of two activations has no biases
            continue
        seen.add(kind)
        (place,) = moving
        parameter = ov.op.Parameter(sources[place].get_element_type(), ov.PartialShape(list(read[place] or ())))
        node.input(place).replace_source_output(parameter.output(0))
        yield ov.Model([node.output(0)], [parameter], "layer")


def _operators(model: Any) -> list[Any]:
    """What computes something that depends on the input, in order."""
    depends = set[str]()
    found = []
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        inputs = [node.input_value(place).get_node().get_friendly_name() for place in range(node.get_input_size())]
        if kind == "Parameter" or any(each in depends for each in inputs):
            depends.add(name)
            if kind not in _SINKS:
                found.append(node)
    return found


def operator_names(path: Path) -> list[str]:
    """The names of the operators that a beginning of the model in `path` may have, in order."""
    import openvino as ov

    return [str(node.get_friendly_name()) for node in _operators(ov.Core().read_model(path))]


def beginning(ov: Any, model: Any, count: int) -> Any:
    """A model of the first `count` operators; whatever none of them reads is an output."""
    first = _operators(model)[:count]
    inside = {node.get_friendly_name() for node in first}
    ends = [
        output
        for node in first
        for output in node.outputs()
        if not any(target.get_node().get_friendly_name() in inside for target in output.get_target_inputs())
    ]
    return ov.Model(ends, list(model.get_parameters()), "beginning")
