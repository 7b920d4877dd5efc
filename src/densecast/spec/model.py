"""The specification of a model, apart from its weights: tensors, preprocessing, postprocessing options, labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import TensorSpec

Frame = Literal["image", "network"]
Rgb = tuple[int, int, int]


class DecodeOptions(Protocol):
    """What can be chosen about a task's decoding: a frozen dataclass of the task's own."""

    @property
    def kind(self) -> str:
        """The task's name: a field, so that the options can be read back from a file."""


@runtime_checkable
class FlipOption(Protocol):
    """Decode options of networks that may have been made to see every image mirrored as well."""

    @property
    def flip(self) -> bool:
        """Whether this one was."""


class ReadByTask:
    """Tells the codec that a field's type is the `options_type` of the task that the value's `kind` names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A schema that looks the type up when there is a value."""
        from pydantic import TypeAdapter
        from pydantic_core import core_schema

        from densecast import plugins

        def read(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            kind = value.get("kind")
            if not isinstance(kind, str):
                raise ValueError("'kind' must name a task")
            return TypeAdapter(plugins.decode_options_type(kind)).validate_python(value)

        def write(value: Any) -> Any:
            return TypeAdapter(type(value)).dump_python(value, mode="json")

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(write)
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the model's published score is measured.

    `frame` says at which size predictions meet the ground truth: the image's own, or the network's
    (the target is then brought there).
    """

    dataset: str
    metric: str
    frame: Frame = "image"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's name, task, tensors, and all that turns an image into a prediction and back.

    `inputs` are what the network takes, the image (N, C, H, W) first. Further inputs are made of the same image, each
    as `input_preprocess` says under its name. `outputs` are what it gives, the main one first: the one that rounding is
    judged by. `decode` are the options of `task`, whose name is their kind.

    `excluded_types` are operators that int8 does not pay for in this network, `excluded_names` regular expressions
    of such nodes' names; every int8 build leaves them out. `half_type` is the 16-bit type that a build takes where none
    is asked for: "auto" is what is fast, another what this network needs to keep its answers.
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

    def __post_init__(self) -> None:
        """Tensors with names of their own, one colour for each label, and options of the right task."""
        for what, tensors in (("input", self.inputs), ("output", self.outputs)):
            names = [tensor.name for tensor in tensors]
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{self.name}: {what}s must have names of their own, got {names}")
        if {tensor.name for tensor in self.inputs[1:]} != set(self.input_preprocess):
            raise ValueError(f"{self.name}: each input beside the image needs its preprocessing, and no other has one")
        if len(self.labels) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.labels)} labels but {len(self.palette)} colours")
        if self.decode.kind != self.task:
            raise ValueError(f"{self.name}: outputs of {self.task} cannot be decoded by {self.decode.kind}")

    @property
    def input(self) -> TensorSpec:
        """The image: the first input."""
        return self.inputs[0]

    @property
    def output(self) -> TensorSpec:
        """The main output: the first one."""
        return self.outputs[0]

    @property
    def needs_mirror(self) -> bool:
        """Whether the network has to see every image mirrored as well."""
        return isinstance(self.decode, FlipOption) and self.decode.flip

    def with_input(self, tensor: TensorSpec) -> ModelSpec:
        """The same model with another image tensor."""
        return replace(self, inputs=(tensor, *self.inputs[1:]))

    def with_output(self, tensor: TensorSpec) -> ModelSpec:
        """The same model with another main output."""
        return replace(self, outputs=(tensor, *self.outputs[1:]))

    def preprocess_of(self, input_name: str) -> Preprocess:
        """How the image becomes the input of that name."""
        return self.input_preprocess.get(input_name, self.preprocess)
