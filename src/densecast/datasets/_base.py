"""Protocols of a data set: a layout on disk that can be opened, and a split's images with their ground truth.

A layout is an object, found like every plug-in (`datasets/<name>.py`, an entry point in `densecast.datasets`, or
`package.module:Name`). `T` is the ground truth of its task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from densecast.errors import BadDatasetError, UnknownNameError, UsageError
from densecast.plugins import PluginKind
from densecast.spec.data_options import Reading
from densecast.spec.model import ModelSpec
from densecast.spec.sample import CheckReport, Sample, Split, SplitRecord
from densecast.tasks.segmentation import SegmentationDecode

T = TypeVar("T", covariant=True)


class Dataset(Protocol[T]):
    """One split of a data set: samples in a stable order, with ground truth read on demand."""

    @property
    def name(self) -> str:
        """The data set's name."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples of the split; no file is read."""

    def read_target(self, sample: Sample) -> T:
        """Read the ground truth of one sample, in image pixels.

        Raises:
            BadDatasetError, BadImageError: it cannot be used.
        """

    def record(self, limit: int | None = None) -> SplitRecord:
        """A record of which images these are, or the first `limit` of them."""


@runtime_checkable
class HasRemarks(Protocol):
    """A data set that knows what its ground truth leaves open: sentences that are shown beside every score."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The remarks, without a full stop."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """A published evaluation protocol: the first `count` of the `total` images of a split.

    `resizes` are the kinds of resize, `to_image` the rules of decoding back to the image's size, with which a model
    counts as measured this way. `export` names the variant to export, which leads to them, for messages.
    """

    split: Split
    count: int
    total: int
    resizes: tuple[str, ...]
    to_image: tuple[str, ...]
    export: str
    summary: str

    def check_model(self, name: str, spec: ModelSpec) -> None:
        """Check that a model resizes images, and maps predictions back, as the protocol prescribes.

        Raises:
            UsageError: it brings images to size, or predictions back, in another way.
        """
        decode = spec.decode
        resize = spec.preprocess.resize.kind
        back = decode.to_image if isinstance(decode, SegmentationDecode) else decode.kind
        if resize not in self.resizes or back not in self.to_image:
            raise UsageError(
                f"protocol {name!r} is {self.summary}; {spec.name} was exported with {resize} and {back}. "
                f"Export the variant {self.export!r}.",
                field="protocol",
            )

    def check_images(self, name: str, count: int) -> None:
        """Check that a split of `count` images is complete enough.

        Raises:
            BadDatasetError: there are too few images for the protocol's number to mean the same.
        """
        if count < self.count or (self.count == self.total and count != self.total):
            raise BadDatasetError(
                f"protocol {name!r} measures {self.count} of the {self.total} images of {self.split}, "
                f"here are {count}. Measure without a protocol what there is.",
                field="protocol",
            )


@runtime_checkable
class DatasetFormat(Protocol):
    """A data set's file layout: opens a folder, and names the environment variables that may hold its path."""

    @property
    def root_variables(self) -> tuple[str, ...]:
        """Environment variables that may hold the root folder, densecast's own first."""

    @property
    def protocols(self) -> Mapping[str, EvaluationProtocol]:
        """Published evaluation protocols by name."""

    def open(self, root: Path, split: Split = "val", seed: int = 0) -> Dataset[Any]:
        """Open a split; its samples are in a stable order.

        Raises:
            MissingFileError: no such folder.
            BadDatasetError: it is not in this layout, or the split is empty.
        """

    def check(self, root: Path) -> CheckReport:
        """Check the whole folder, and report its contents and problems."""


@runtime_checkable
class SaysTruthOf(Protocol):
    """A layout that says which predictions its ground truth is about."""

    @property
    def truth_of(self) -> frozenset[str]:
        """Names of tensors of predictions, as `class_id`, of which one has to be a model's; empty for any."""


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A `DatasetFormat` made of two functions.

    `truth_of` names tensors of predictions that its ground truth is compared with; empty for any.
    """

    open: Callable[..., Dataset[Any]]
    check: Callable[[Path], CheckReport]
    root_variables: tuple[str, ...] = ()
    protocols: Mapping[str, EvaluationProtocol] = field(default_factory=dict)
    survey_of: Callable[[Path], Any] | None = None
    truth_of: frozenset[str] = frozenset()

    def survey(self, root: Path) -> Any:
        """Everything that lies in the folder, see `_survey.Survey`; None where the layout cannot tell."""
        return None if self.survey_of is None else self.survey_of(root)


@runtime_checkable
class ReadsForModel(Protocol):
    """A layout that reads ground truth as a model needs it: its classes, its frame, and the user's options."""

    def for_model(self, reading: Reading) -> DatasetFormat:
        """The same layout, reading that way.

        Raises:
            UsageError: an option that has no effect on this layout.
        """


@runtime_checkable
class Recognises(Protocol):
    """A layout that can tell, without reading images, whether a folder is in it."""

    def recognises(self, root: Path) -> bool:
        """Whether the folder looks like this data set's root, be it complete or not."""


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """A `DatasetFormat` made of functions that take a `Reading`; `options` are those that have an effect on it.

    `truth_of` are tensors of predictions that its ground truth is compared with: here label maps, unless it says other.
    """

    open_for: Callable[..., Dataset[Any]]
    check_for: Callable[..., CheckReport]
    looks_like: Callable[[Path], bool]
    root_variables: tuple[str, ...] = ()
    protocols: Mapping[str, EvaluationProtocol] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    reading: Reading = Reading()
    survey_for: Callable[[Path, Reading], Any] | None = None
    truth_of: frozenset[str] = frozenset({"class_id"})

    def open(self, root: Path, split: Split = "val", seed: int = 0) -> Dataset[Any]:
        """Open a split as the reading asks."""
        return self.open_for(root, split, seed, self.reading)

    def check(self, root: Path) -> CheckReport:
        """Check the whole folder as the reading asks."""
        return self.check_for(root, self.reading)

    def survey(self, root: Path) -> Any:
        """Everything that lies in the folder, see `_survey.Survey`; None where the layout cannot tell."""
        return None if self.survey_for is None else self.survey_for(root, self.reading)

    def recognises(self, root: Path) -> bool:
        """Whether the folder looks like this layout."""
        return root.exists() and self.looks_like(root)

    def for_model(self, reading: Reading) -> ModelFormat:
        """The same layout, reading that way.

        Raises:
            UsageError: an option that has no effect on this layout.
        """
        idle = sorted(reading.options.named - self.options)
        if idle:
            raise UsageError(
                f"the option {idle[0]!r} has no effect on data of this layout; it is for folders of pictures and masks "
                "(dataset pairs).",
                field=idle[0],
            )
        return replace(self, reading=reading)


def published_protocol(layout: DatasetFormat, dataset: str, name: str) -> EvaluationProtocol:
    """Look up a data set's published evaluation protocol by name.

    Raises:
        UnknownNameError: it has none of that name.
        UsageError: it has none.
    """
    if not layout.protocols:
        raise UsageError(
            f"{dataset} has no published way to measure: leave the protocol {name!r} out.", field="protocol"
        )
    if name not in layout.protocols:
        raise UnknownNameError.among(f"protocol of {dataset}", name, layout.protocols)
    return layout.protocols[name]


DATASETS: PluginKind[DatasetFormat] = PluginKind("datasets", "data set", "DATASET", DatasetFormat)
