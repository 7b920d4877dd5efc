"""Options of handing a model over to other software, and of bundling it for machines without a network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.options import QuantizeOptions, option

Receiver = Literal["ovms", "triton", "model-api", "hf", "onnx-full", "tensorrt-onnx"]
RECEIVERS: tuple[Receiver, ...] = get_args(Receiver)
InputColour = Literal["auto", "rgb", "bgr"]
InputLayout = Literal["nhwc", "nchw"]
TensorRtPrecision = Literal["int8", "fp16"]
FileFormat = Literal["auto", "onnx", "openvino"]

TENSORRT: Receiver = "tensorrt-onnx"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_PYTHON = re.compile(r"3\.(\d{1,2})")
_PLATFORM = re.compile(r"manylinux(?:_2_\d{1,2}|2014)_(?:x86_64|aarch64)")


@dataclass(frozen=True, slots=True)
class ExportToOptions:
    """Options of `export_to`: the sizes, the pixels' form, and what is written.

    Sizes are those of the network's input; None keeps what the artifact has, or takes what the receiver needs. `colour`
    is the order of colours in which pixels come; "auto" is what the receiver's users have. `precision` and `quantize`
    are for TensorRT alone: other files have the artifact's own precision.
    """

    height: int | None = option(None, "Height of the network's input; default: the artifact's.", minimum=1)
    width: int | None = option(None, "Width of the network's input; default: the artifact's.", minimum=1)
    batch: int | None = option(None, "Batch size; default: the artifact's, or the receiver's own.", minimum=1)
    colour: InputColour = option(
        "auto", "Colour order of the input pixels: rgb, bgr, or auto (bgr for ovms, else rgb)."
    )
    layout: InputLayout = option("nhwc", "Layout of the input pixels: nhwc or nchw.")
    file_format: FileFormat = option(
        "auto", "Model file: onnx, openvino, or auto (what the artifact is built for, or the receiver's own).",
        flag="--format",
    )  # fmt: skip
    name: str | None = option(None, "Name of the model for the receiver; default: the model's own.")
    licence: str | None = option(
        None, "Licence of the weights, such as Apache-2.0; default: the zoo's, for its own weights.",
        aliases=("--license",),
    )  # fmt: skip
    precision: TensorRtPrecision | None = option(
        None,
        "For tensorrt-onnx only: int8 (default) or fp16; other receivers get the artifact's own precision.",
        aliases=("-p",),
    )
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)

    def __post_init__(self) -> None:
        """Check what cannot be meant.

        Raises:
            UsageError: one side of two, or a name that is none of a folder.
        """
        choices.types_of(self)
        if (self.height is None) != (self.width is None):
            raise UsageError("height and width go together.", field="height" if self.height is None else "width")
        if self.name is not None and not is_name(self.name):
            raise UsageError(
                f"a name at a server is made of letters, digits, '.', '_' and '-', a letter or digit first; got "
                f"{self.name!r}.",
                field="name",
            )
        if self.licence is not None and (not self.licence.strip() or "\n" in self.licence):
            raise UsageError("a licence is one line, such as Apache-2.0.", field="licence")
        choices.check(self)


def is_name(text: str) -> bool:
    """Whether a server can have a model, and a folder, of that name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """Options of a bundle: the Python and the kind of machine that its packages are for; None for this one's.

    `extras` are parts of densecast that the other machine needs beyond running models, as `serve`.
    """

    python: str | None = option(None, "Python version of the other machine, such as 3.12; default: this one's.")
    platform: str | None = option(
        None,
        "Platform of the other machine, such as manylinux_2_28_x86_64 or manylinux_2_28_aarch64; default: this one's.",
    )
    extras: tuple[str, ...] = option(
        (), "Extra of densecast to include, such as serve; repeatable.", flag="--extra", form="names"
    )

    def __post_init__(self) -> None:
        """Check that both can be what they are called.

        Raises:
            UsageError: no version as 3.12, or no platform of manylinux.
        """
        choices.types_of(self)
        parts = None if self.python is None else _PYTHON.fullmatch(self.python)
        if self.python is not None and (parts is None or int(parts[1]) < 11):
            raise UsageError(
                f"densecast runs on Python 3.11 and newer, named as 3.12; got {self.python!r}.", field="python"
            )
        if self.platform is not None and not _PLATFORM.fullmatch(self.platform):
            raise UsageError(
                f"a platform is named as manylinux_2_28_x86_64 or manylinux_2_28_aarch64; got {self.platform!r}.",
                field="platform",
            )
