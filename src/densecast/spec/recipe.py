"""What a training framework's configuration says of a trained network: the recipe, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from densecast.spec.augment import Augment
from densecast.spec.data_layout import DataLayout
from densecast.spec.model import DecodeOptions, Rgb
from densecast.spec.preprocess import Preprocess

Value = None | bool | int | float | str | tuple["Value", ...] | Mapping[str, "Value"]
"""A value of a configuration: lists are tuples, tables are mappings."""
Table = Mapping[str, Any]
Library = Literal["mmseg", "mmpose"]


@dataclass(frozen=True, slots=True)
class WholeInference:
    """The network sees the whole image at once."""

    mode: Literal["whole"] = "whole"


@dataclass(frozen=True, slots=True)
class SlideInference:
    """The network sees windows of `crop_hw`, `stride_hw` apart, whose logits are averaged where they overlap."""

    crop_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    mode: Literal["slide"] = "slide"


Inference = WholeInference | SlideInference


@dataclass(frozen=True, slots=True)
class DatasetRecipe:
    """The data set that a configuration names for its tests.

    `type` is the framework's class, as "CityscapesDataset". `keys` are its other keys as they are written (`data_root`,
    `img_dir`, `ann_dir`, `split`, `img_suffix`, `seg_map_suffix`, `data_prefix`, …), without `pipeline`, `classes` and
    `palette`. `classes` are names where the configuration names them itself, and none where it names a file of them.
    `reduce_zero_label` says that label 0 is ignored and all others count from 0; None where nothing says so. `layout`
    are its folders where they can be found below a root.
    """

    type: str
    keys: Table = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    reduce_zero_label: bool | None = None
    layout: DataLayout | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A configuration, read: the network, what is done to images before it and to outputs after it, and its data.

    `library` is the framework and `generation` its main version (0 or 1). `network` is the table of the network's own
    configuration, without what only its training reads. `augment` are the views that the configuration averages where
    it is asked to. `labels` and `palette` are None where neither file nor configuration names them. `notes` say in a
    sentence each what was left out, and what else the reader of a report should know.
    """

    library: Library
    generation: int
    network: Table
    preprocess: Preprocess
    decode: DecodeOptions
    inference: Inference = WholeInference()
    augment: Augment = Augment()
    dataset: DatasetRecipe | None = None
    labels: tuple[str, ...] | None = None
    palette: tuple[Rgb, ...] | None = None
    notes: tuple[str, ...] = ()
