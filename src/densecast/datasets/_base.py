"""A published way to measure: which images, and what must happen to them."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.errors import BadDatasetError, UsageError
from densecast.spec.model import ModelSpec, SegmentationDecode, ToImage
from densecast.spec.sample import Split


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """The first `count` images of a split, the whole of which has `total`, at a known size and back.

    `resizes` are the kinds of resize, `to_image` the ways back to the image's size, with which a model counts as
    measured this way. `export` is the export protocol that leads to them, for who has to be told.
    """

    split: Split
    count: int
    total: int
    resizes: tuple[str, ...]
    to_image: tuple[ToImage, ...]
    export: str
    summary: str

    def check_model(self, name: str, spec: ModelSpec) -> None:
        """Whether a model does what the protocol says.

        Raises:
            UsageError: it brings images to size, or labels back, in another way.
        """
        decode = spec.decode
        resize = spec.preprocess.resize.kind
        back = decode.to_image if isinstance(decode, SegmentationDecode) else decode.kind
        if resize not in self.resizes or back not in self.to_image:
            raise UsageError(
                f"protocol {name!r} is {self.summary}; {spec.name} was exported with {resize} and {back}. "
                f"Export it with --protocol {self.export}."
            )

    def check_images(self, name: str, found: int) -> None:
        """Whether a split is whole enough.

        Raises:
            BadDatasetError: there are too few images for the protocol's number to mean the same.
        """
        if found < self.count or (self.count == self.total and found != self.total):
            raise BadDatasetError(
                f"protocol {name!r} measures {self.count} of the {self.total} images of {self.split}, "
                f"here are {found}. Leave --protocol out to measure what there is."
            )
