"""The specification of a model, apart from its weights: tensors, preprocessing, postprocessing options, labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

from densecast.spec.data_layout import DataLayout
from densecast.spec.preprocess import Preprocess
from densecast.spec.slide import Slide
from densecast.spec.tensor import TensorSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Frame = Literal["image", "network"]
Rgb = tuple[int, int, int]


class DecodeOptions(Protocol):
    """A task's postprocessing options: a frozen dataclass defined by the task."""

    @property
    def kind(self) -> str:
        """The task's name: a field, so that the options can be read back from a file."""


@runtime_checkable
class FlipOption(Protocol):
    """Decode options of tasks whose networks may need the mirrored image as a second view."""

    @property
    def flip(self) -> bool:
        """Whether the network needs the mirrored image."""


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The validator and serialiser of a task's options; made once, as that takes longer than many uses."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


class ReadByTask:
    """Tells the codec that a field's type is the `options_type` of the task that the value's `kind` names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A schema that looks up the type when there is a value."""
        from pydantic_core import core_schema

        from densecast import plugins

        def read(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            kind = value.get("kind")
            if not isinstance(kind, str):
                raise ValueError("'kind' must name a task")
            options_type: Any = plugins.kind("tasks").load_trusted(kind).options_type
            return _adapter(options_type).validate_python(value)

        def write(value: Any) -> Any:
            kind: Any = type(value)
            return _adapter(kind).dump_python(value, mode="json")

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(write)
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the model's published score is measured.

    `frame` says at which size predictions meet the ground truth: the image's own, or the network's
    (the target is then brought there). `layout` are the data set's folders where they are a user's own.
    """

    dataset: str
    metric: str
    frame: Frame = "image"
    layout: DataLayout | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's name, task and tensors, with its preprocessing and postprocessing.

    `inputs` are what the network takes, the image (N, C, H, W) first. Further inputs are made of the same image, each
    as `input_preprocess` says under its name. `outputs` are what it gives, the main one first: the one that rounding is
    judged by. `decode` are the options of `task`, whose name is their kind.

    `excluded_types` are operators that int8 does not pay for in this network, `excluded_names` regular expressions
    of such nodes' names; every int8 build leaves them out. `half_type` is the 16-bit type that a build takes where none
    is requested: "auto" is the faster one; others are what this network needs to stay accurate. With `slide` the
    network sees the preprocessed image in overlapping windows.
    """

    name: str
    task: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess
    decode: Annotated[DecodeOptions, ReadByTask()]
    labels: tuple[str, ...]
    palette: tuple[Rgb, ...]
    evaluation: Evaluation | None = None
    excluded_types: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()
    half_type: Literal["auto", "bf16", "f16"] = "auto"
    input_preprocess: dict[str, Preprocess] = field(default_factory=dict)
    slide: Slide | None = None

    def __post_init__(self) -> None:
        """Check tensor names, colours and task options."""
        for what, tensors in (("input", self.inputs), ("output", self.outputs)):
            names = [tensor.name for tensor in tensors]
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{self.name}: {what}s must have names of their own, got {names}")
        if any(0 in tensor.shape for tensor in self.inputs):
            raise ValueError(f"{self.name}: an input of size 0 holds no image")
        if {tensor.name for tensor in self.inputs[1:]} != set(self.input_preprocess):
            raise ValueError(f"{self.name}: each input beside the image needs its preprocessing, and no other has one")
        if len(self.labels) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.labels)} labels but {len(self.palette)} colours")
        if self.decode.kind != self.task:
            raise ValueError(f"{self.name}: outputs of {self.task} cannot be decoded by {self.decode.kind}")
        for tensor in self.inputs:
            self.preprocess_of(tensor.name)

    @property
    def input(self) -> TensorSpec:
        """The image input, which is the first one."""
        return self.inputs[0]

    @property
    def output(self) -> TensorSpec:
        """The main output, which is the first one."""
        return self.outputs[0]

    @property
    def needs_mirror(self) -> bool:
        """Whether the network needs the mirrored image as a second view."""
        return isinstance(self.decode, FlipOption) and self.decode.flip

    def with_input(self, tensor: TensorSpec) -> ModelSpec:
        """A copy with another image input."""
        return replace(self, inputs=(tensor, *self.inputs[1:]))

    def with_output(self, tensor: TensorSpec) -> ModelSpec:
        """A copy with another main output."""
        return replace(self, outputs=(tensor, *self.outputs[1:]))

    def preprocess_of(self, input_name: str) -> Preprocess:
        """The preprocessing of the input with that name, for its number of channels."""
        rule = self.input_preprocess.get(input_name, self.preprocess)
        shape = next((tensor.shape for tensor in self.inputs if tensor.name == input_name), ())
        return rule.for_channels(shape[1]) if len(shape) == 4 and isinstance(shape[1], int) else rule
