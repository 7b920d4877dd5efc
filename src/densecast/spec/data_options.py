"""Options of a user's own data: which layout, which folders, and how mask values become classes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.data_layout import DataLayout
from densecast.spec.options import Split, option

if TYPE_CHECKING:
    from densecast.spec.model import ModelSpec, Rgb

_OWN = "Own data"


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How a folder of the user's is read; what is left out is found by convention, and recorded.

    `dataset` is the layout: a data set's name; None for the model's own, or `pairs` where it names none. A mask's value
    or class name on the left of a `remap` entry `FROM=TO` becomes the class (index or name) on its right, or `ignore`.
    `subset` keeps these classes; all others are not evaluated. `reduce_zero_label` takes 1 for the first class and
    leaves 0 out, as ADE20K's masks need it. `metric` replaces the model's.
    """

    dataset: str | None = option(
        None,
        "Layout of the data: pairs (images and masks in folders), voc2012, ADE20KDataset, … Default: "
        "the model's own, else pairs.",
        group=_OWN,
    )
    images_dir: str | None = option(None, "Folder of the images, below the root.", group=_OWN)
    masks_dir: str | None = option(None, "Folder of the masks, below the root.", group=_OWN)
    suffix: str | None = option(
        None,
        "What a mask's name adds to its image's name: _mask, _mask.png, or a rule such as {stem}_mask.",
        group=_OWN,
    )
    colours: str | None = option(
        None, "Colours of RGB masks: a labelmap.txt, or model for the model's own palette.", group=_OWN
    )
    ignore: tuple[str, ...] = option(
        (), "Mask value or class that is not evaluated; repeatable. Default: 255.", group=_OWN, form="names"
    )
    remap: tuple[str, ...] = option(
        (), "Map a mask value or class to a class of the model, such as 255=1 or truck=car; repeatable.",
        group=_OWN, form="names",
    )  # fmt: skip
    subset: tuple[str, ...] = option(
        (), "Evaluate only this class, and ignore pixels of all others; repeatable.", group=_OWN, form="names"
    )
    soft_masks: bool = option(
        False,
        "Accept masks with smoothed edges or in JPEG: take the nearest colour of a class, or of black and white.",
        group=_OWN,
    )
    reduce_zero_label: bool = option(
        False, "Masks count classes from 1, and 0 is not evaluated (as in ADE20K).", group=_OWN
    )
    allow_ignored: bool = option(False, "Accept data of which most pixels are not evaluated.", group=_OWN)
    metric: str | None = option(None, "Metric: iou or dice; default: the model's own, else iou.", group=_OWN)

    def __post_init__(self) -> None:
        """Check the form of `remap`, and that nothing is said twice of one value.

        Raises:
            UsageError: it is not a value and a class, or one value is moved twice, or moved and ignored.
        """
        choices.types_of(self)
        said: dict[str, str] = {each.strip(): "ignore" for each in self.ignore}
        for entry in self.remap:
            left, right = (side.strip() for side in entry.partition("=")[::2])
            if not left or not right:
                raise UsageError(f"remap {entry!r} must be VALUE=CLASS, as 255=1 or truck=car.", field="remap")
            if said.setdefault(left, right) != right:
                raise UsageError(
                    f"remap {entry!r} says that {left} is {right}, and {said[left]} as well.", field="remap"
                )

    @property
    def named(self) -> frozenset[str]:
        """Names of the options that are set, beside those every layout has (`dataset`, `metric`, `allow_ignored`)."""
        plain = DataOptions()
        general = ("dataset", "metric", "allow_ignored")
        return frozenset(
            each.name
            for each in fields(self)
            if each.name not in general and getattr(self, each.name) != getattr(plain, each.name)
        )


@dataclass(frozen=True, slots=True)
class DataCheckOptions:
    """Which images of a data set are checked: of a split that the data name, or all; of these the first `limit`."""

    split: Split = option("all", "Split of the data set: train, val or all.")
    limit: int | None = option(None, "Check only the first N images.", minimum=1)

    def __post_init__(self) -> None:
        """Check that the limit is positive."""
        choices.types_of(self)
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, got {self.limit}.", field="limit")
        choices.check(self)


@dataclass(frozen=True, slots=True)
class Reading:
    """What ground truth is read for: a model's classes, their colours, and the frame that it sees pictures in.

    `labels` is empty for no model in particular. With `use_exif` pictures are seen upright, as their orientation tag
    says, else as they are stored. `layout` are the folders that the model's own data set has, where a configuration
    says so. `joints` are those of a model of people, empty for COCO's.
    """

    labels: tuple[str, ...] = ()
    palette: tuple[Rgb, ...] = ()
    use_exif: bool = False
    options: DataOptions = DataOptions()
    layout: DataLayout | None = None
    joints: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: ModelSpec, options: DataOptions = DataOptions()) -> Reading:
        """The reading that a model needs: of its own data set, unless the options name another."""
        own = spec.evaluation
        layout = own.layout if own is not None and options.dataset in (None, own.dataset) else None
        skeleton = getattr(spec.decode, "skeleton", None)
        joints = () if skeleton is None else tuple(skeleton.joints)
        return cls(spec.labels, spec.palette, spec.preprocess.use_exif, options, layout, joints)


_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Data:
    """A user's data: the root folder or data file (None for where the configuration says), and how it is read."""

    path: Path | None = None
    options: DataOptions = DataOptions()

    @classmethod
    def at(cls, data: Data | Path | str | None) -> Data:
        """The data at a path, without options; data as it is.

        Raises:
            UsageError: neither.
        """
        if data is not None and not isinstance(data, Data | Path | str):
            raise UsageError(
                f"data must be a path or a Data(…), got {data!r:.{_SHOWN}}. Items from Python are for `evaluate` "
                "alone: write their images to a folder.",
                field="data",
            )
        return data if isinstance(data, Data) else Data(None if data is None else Path(data))


FOLDERS = tuple(each.name for each in fields(DataOptions) if each.name != "metric")
"""Options of verbs that have an option `metric` of their own."""
