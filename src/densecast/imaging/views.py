"""Prepares network inputs for all TTA views of a batch of images; inputs of one size are contiguous in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from densecast.errors import BadShapeError
from densecast.imaging.prepare import Image, prepare
from densecast.imaging.windows import WindowFeeds, windows_of
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import Clock
from densecast.spec.augment import Augment, View
from densecast.spec.geometry import Placement
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import PoseAffine, Preprocess
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """An image prepared for the network: for each TTA view an array (C, h, w) per input, and the image's placement.

    With sliding windows each window of each view has feeds and a view, and feeds are made when they are asked for.
    """

    feeds: Sequence[Feeds]
    views: tuple[View, ...]

    @property
    def placement(self) -> Placement:
        """The image's placement in the first view."""
        return self.views[0].placement

    def arrays(self, input_name: str) -> list[Array]:
        """The arrays of one input, for all views."""
        return [feed[input_name] for feed in self.feeds]

    @property
    def nbytes(self) -> int:
        """Size of all arrays that are held, in bytes."""
        if isinstance(self.feeds, WindowFeeds):
            return self.feeds.nbytes
        return sum(array.nbytes for feed in self.feeds for array in feed.values())


def prepare_views(
    images: Sequence[Image], spec: ModelSpec, augment: Augment, buffers: Buffers, clock: Clock
) -> list[ModelInputs]:
    """Prepare every view of every image; views of one size are consecutive rows of one array of `buffers`.

    Raises:
        BadShapeError: an image does not lead to a shape the network takes.
    """
    if spec.slide is not None:
        return [_windowed(image, spec, augment) for image in images]
    prepared: list[ModelInputs] = []
    for tensor in spec.inputs:
        made = _prepare_input(images, tensor, spec.preprocess_of(tensor.name), augment, buffers, clock)
        if not prepared:
            prepared = made
            continue
        # Further inputs show the same image: their placement is that of the first.
        prepared = [
            ModelInputs(tuple(one | other for one, other in zip(first.feeds, more.feeds, strict=True)), first.views)
            for first, more in zip(prepared, made, strict=True)
        ]
    return prepared


def check_size(image_hw: tuple[int, int], spec: ModelSpec, augment: Augment) -> None:
    """Check that an image of this size leads, in every view, to shapes that the network takes.

    Raises:
        BadShapeError: it does not.
    """
    for tensor in spec.inputs:
        for each in spec.preprocess_of(tensor.name).at_ratios(augment.ratios):
            size_hw = each.place(image_hw).model_hw
            _check_sides(image_hw, size_hw if spec.slide is None else spec.slide.window_hw(size_hw), tensor)


def misfits(images: Mapping[int, Image], spec: ModelSpec, augment: Augment) -> dict[int, BadShapeError]:
    """What is wrong with each of the images, by their keys, that the network does not take."""
    wrong: dict[int, BadShapeError] = {}
    for key, image in images.items():
        try:
            check_size((image.shape[0], image.shape[1]), spec, augment)
        except BadShapeError as error:
            wrong[key] = error
    return wrong


def _prepare_input(
    images: Sequence[Image], tensor: TensorSpec, rule: Preprocess, augment: Augment, buffers: Buffers, clock: Clock
) -> list[ModelInputs]:
    """Prepare every view of every image for one input."""
    ratios = augment.ratios
    channels = _channels(tensor)
    scaled = rule.at_ratios(ratios)
    mirrors = (False, True) if augment.flip else (False,)
    sizes = [[each.place((image.shape[0], image.shape[1])).model_hw for each in scaled] for image in images]
    for image, own in zip(images, sizes, strict=True):
        for size_hw in own:
            _check_sides((image.shape[0], image.shape[1]), size_hw, tensor)
    every = [size_hw for own in sizes for size_hw in own]
    rows: dict[tuple[int, int], Iterator[Array]] = {}
    for size_hw in dict.fromkeys(every):
        count = every.count(size_hw) * len(mirrors)
        rows[size_hw] = iter(buffers.empty((count, channels, *size_hw), tensor.dtype))
    prepared = []
    for image, own in zip(images, sizes, strict=True):
        arrays: list[Array] = []
        views: list[View] = []
        with clock("preprocess"):
            for ratio, each, size_hw in zip(ratios, scaled, own, strict=True):
                for mirrored in mirrors:
                    row = next(rows[size_hw])
                    if mirrored:
                        placement = views[-1].placement
                        _mirror(arrays[-1], each, placement, row)
                    else:
                        _, placement = prepare(image, each, out=row)
                    arrays.append(row)
                    views.append(View(placement, mirrored, ratio))
        prepared.append(ModelInputs(tuple({tensor.name: array} for array in arrays), tuple(views)))
    return prepared


def _windowed(image: Image, spec: ModelSpec, augment: Augment) -> ModelInputs:
    """The image's sliding windows, which are prepared when they are asked for."""
    check_size((image.shape[0], image.shape[1]), spec, augment)
    return ModelInputs(*windows_of(image, spec.input, spec, augment, _channels(spec.input)))


def _mirror(array: Array, rule: Preprocess, placement: Placement, out: Array) -> None:
    """Mirror the image within the view; the padding around it stays in place."""
    left, width = 0, array.shape[2]
    if not isinstance(rule.resize, PoseAffine):
        left, width = int(placement.offset_xy[0]), placement.content_hw[1]
    out[:] = array
    out[:, :, left : left + width] = array[:, :, left : left + width][:, :, ::-1]


def _channels(tensor: TensorSpec) -> int:
    channels = tensor.shape[1] if len(tensor.shape) == 4 else None
    if not isinstance(channels, int):
        raise BadShapeError(f"{tensor.name}: images need an input (batch, channels, height, width), it is {tensor}.")
    return channels


def _check_sides(image_hw: tuple[int, int], size_hw: tuple[int, int], tensor: TensorSpec) -> None:
    for axis, got, want in zip(("high", "wide"), size_hw, tensor.shape[2:], strict=True):
        if not (want.admits(got) if isinstance(want, Dim) else want == got):
            raise BadShapeError(
                f"an image of {image_hw[1]}×{image_hw[0]} pixels becomes {got} {axis} for the network, "
                f"which takes {want}. Export it with a resize to a size that it takes (--resize), or build for this "
                "size, where the exported graph's is open."
            )
