"""The door of every call that takes an image: what it may be, and in one line what else it is and how to convert it."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError, BadShapeError
from densecast.imaging import deep_values, read
from densecast.imaging.header import MAX_FILE_BYTES
from densecast.spec.model import ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from densecast.imaging.views import ModelInputs

_BYTES = np.dtype(np.uint8)
_LONGEST_NAME = 255
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+=*\s*")


def as_image(source: Any, spec: ModelSpec) -> npt.NDArray[Any]:
    """Anything that can be one image for this model -> (H, W, C), RGB if C is 3; an array that is right is given back.

    A path, bytes and a file that is open for bytes are read as `read_image` does, a Pillow image of any mode is
    converted as a file of it would be, grey arrays are repeated, alpha is dropped.

    Raises:
        BadShapeError: no image, several, channels first, empty, or of a type whose values nobody has declared.
        BadImageError: a file that cannot be read.
    """
    channels = _channels(spec)
    is_ranged = spec.preprocess.value_range is not None
    if isinstance(source, np.ndarray):
        if (
            type(source) is np.ndarray
            and source.ndim == 3
            and source.dtype is _BYTES
            and source.shape[2] == channels == 3
            and source.size
        ):
            return source
        return _array(source, channels, is_ranged)
    if isinstance(source, (str, os.PathLike)):
        return read.read_for(_path(source), spec)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read.decode_for(bytes(source), "the image's bytes", spec)
    if type(source).__module__.partition(".")[0] == "PIL":
        return _pillow(source, spec)
    if isinstance(source, OpenFile):
        return read.decode_for(_contents(source), "the open file", spec)
    raise BadShapeError(f"{_wanted(channels, is_ranged)}, got {_named(source)}")


def prepared(inputs: Any) -> ModelInputs:
    """What `Pipeline.preprocess` gave, as it is.

    Raises:
        BadShapeError: anything else, as the image itself.
    """
    from densecast.imaging.views import ModelInputs

    if not isinstance(inputs, ModelInputs):
        raise BadShapeError(
            f"this takes what `preprocess` gives of an image, got {_type_of(inputs)}. For a prediction call the "
            "pipeline itself, pipeline(image); of many images, one after the other or by `densecast.predict`."
        )
    return inputs


@runtime_checkable
class OpenFile(Protocol):
    """What is read from as files are: an open file, an upload of a web framework, `io.BytesIO`; no camera."""

    def read(self, count: int, /) -> Any:
        """At most so many bytes."""
        ...

    def seek(self, place: int, /) -> Any:
        """Go to a place."""
        ...


def _contents(file: OpenFile) -> bytes:
    """The rest of an open file, at most as much as a file of an image may have.

    Raises:
        BadShapeError: it gives text, or nothing more, or is read asynchronously.
    """
    data = file.read(MAX_FILE_BYTES + 1)
    if not isinstance(data, bytes | bytearray):
        if inspect.iscoroutine(data):
            data.close()  # else it would be called forgotten
        raise BadShapeError(
            f"a file has to be opened for bytes; this one gave {type(data).__name__}. Open it with 'rb'."
        )
    if not data:
        raise BadShapeError("the open file is at its end: it is empty, or was read before. Call seek(0) first.")
    if len(data) > MAX_FILE_BYTES:
        raise BadShapeError(f"the open file has more than the {MAX_FILE_BYTES >> 30} GiB that are read.")
    return bytes(data)


def _path(source: str | os.PathLike[str]) -> Path:
    """The path of a file, or an error for a picture that is written out as text.

    Raises:
        BadImageError: a picture as base64, as in a request of a browser.
    """
    text = os.fspath(source)
    if ";base64," in text[:_LONGEST_NAME] or (len(text) > _LONGEST_NAME and _BASE64.fullmatch(text)):
        raise BadImageError(
            f"a text of {len(text)} letters ({text[:20]}…) is no name of a file. Of a picture as base64 pass its "
            "bytes: base64.b64decode(text.rpartition(',')[2])."
        )
    return Path(text)


def _channels(spec: ModelSpec) -> int:
    channels = spec.input.shape[1] if len(spec.input.shape) == 4 else 3
    return channels if isinstance(channels, int) else 3


def _array(image: npt.NDArray[Any], channels: int, is_ranged: bool) -> npt.NDArray[Any]:
    wanted = _wanted(channels, is_ranged)
    got = f"{wanted}, got {image.shape} {image.dtype}."
    if image.size == 0:
        raise BadShapeError(f"{got} It is empty.")
    if isinstance(image, np.ma.MaskedArray):
        if np.ma.is_masked(image):
            raise BadShapeError(f"{got} Some of its pixels are masked: pass image.filled(value).")
        image = image.data
    if image.ndim == 4:
        raise BadShapeError(f"{got} Pass the images of a batch one by one, or as a list to densecast.predict.")
    if image.ndim not in (2, 3):
        raise BadShapeError(f"{got} Pass one image.")
    if image.ndim == 2:
        image = image[:, :, None]
    bands = image.shape[2]
    if bands != channels and bands not in ((1, 3, 4) if channels in (1, 3) else ()):
        is_first = image.shape[0] in (1, channels, 4)
        raise BadShapeError(f"{got}{' Pass image.transpose(1, 2, 0).' if is_first else ' Pass the channels it takes.'}")
    if not is_ranged and image.dtype != np.uint8:
        raise BadShapeError(f"{got} {_conversion(image.dtype)}")
    if is_ranged and (image.dtype.kind not in "uif" or image.dtype == np.float16):
        raise BadShapeError(f"{got} Convert it to numbers of the model's value_range.")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise BadShapeError(f"{got} Some values are NaN or infinite: replace them first.")
    if channels not in (1, 3):
        return image
    if bands == 1:
        return np.repeat(image, 3, axis=2) if channels == 3 else image
    return image[:, :, :3]


def _pillow(image: PillowImage, spec: ModelSpec) -> npt.NDArray[Any]:
    """A Pillow image as a file of it would be read."""
    from PIL import ImageOps

    channels, is_ranged = _channels(spec), spec.preprocess.value_range is not None
    if spec.preprocess.use_exif:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not is_ranged and values.dtype.itemsize == 2:
            values = deep_values.upper_byte(values.astype(np.uint16), "the image")
        return _array(values, channels, is_ranged)
    if channels in (1, 3) and image.mode != "RGB":
        try:
            image = image.convert("RGB")
        except ValueError as error:
            raise BadShapeError(
                f"{_wanted(channels, is_ranged)}, got a Pillow image of mode {image.mode} ({error}). Convert it to RGB."
            ) from None
    return _array(np.asarray(image), channels, is_ranged)


def _wanted(channels: int, is_ranged: bool) -> str:
    order = " RGB" if channels == 3 else ""
    return f"an image must be (height, width, {channels}) {'numbers' if is_ranged else 'uint8'}{order}"


def _conversion(dtype: np.dtype[Any]) -> str:
    """How to make bytes of another type."""
    if dtype.kind == "f":
        return "Pass (image * 255).round().astype(np.uint8) if its values are 0..1."
    if dtype.kind == "b":
        return "Pass image.astype(np.uint8) * 255."
    if dtype == np.uint16:
        return "Pass (image >> 8).astype(np.uint8), or export the model with a value_range."
    return "Pass image.astype(np.uint8) if its values are 0..255."


def _named(source: Any) -> str:
    kind = type(source)
    shape = getattr(source, "shape", None)
    if kind.__module__.partition(".")[0] == "torch" and isinstance(shape, tuple):
        shape = tuple(shape)
        one = "tensor[0]" if len(shape) == 4 else "tensor"
        last = "" if len(shape) in (2, 3) and shape[-1] in (1, 3, 4) else ".permute(1, 2, 0)"
        if source.is_floating_point():
            return f"a torch tensor {shape}. Pass ({one} * 255).round().byte(){last}.cpu().numpy() if it is in 0..1."
        return f"a torch tensor {shape}. Pass {one}{last}.cpu().numpy() as uint8, one image."
    if isinstance(source, (list, tuple)):
        return (
            f"a {kind.__name__}. Pass images one by one, or to densecast.predict; of numbers, np.asarray(…, np.uint8)."
        )
    return f"{_type_of(source)}. Pass an array, a path, a file's bytes or a Pillow image."


def _type_of(source: Any) -> str:
    return f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
