"""The handoff folder: its manifest, its list of inputs, and its file names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densecast.artifact import CalibrationRecord
from densecast.errors import BadArtifactError, BadConfigError, BadDatasetError
from densecast.io import codec
from densecast.spec.augment import Augment, View
from densecast.spec.handoff_options import OutputForm, Target
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision
from densecast.spec.preprocess import PoseAffine
from densecast.spec.sample import Split, SplitRecord
from densecast.spec.tensor import TensorSpec

MANIFEST = "handoff.json"
ITEMS = "items.jsonl"
INPUTS = "inputs"
INPUT_LIST = "inputs.info"
IMAGE_LIST = "images.info"
CALIBRATION = "calibration"
GRAPH = "model.onnx"
NOT_RUN = "not run on hardware"
FORMAT = 2

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the data set: its id, the stem of its files' names, and its height and width in pixels."""

    id: str
    stem: str
    image_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Handoff:
    """The manifest of a handoff.

    `output_form` says whether the device gives logits or labels; `output` is that tensor's name and type, and its shape
    for one image of the first size.
    `output_shapes` has that shape by the input's size, as in `output_shapes["500x500"]`: it is read from here and never
    guessed. `hardware` says whether anybody has run this on a card.
    """

    spec: ModelSpec
    target: Target
    precision: Precision
    output_form: OutputForm
    batch: int
    output: TensorSpec
    output_shapes: dict[str, tuple[int, ...]]
    data: SplitRecord
    split: Split
    seed: int
    limit: int | None
    source: str
    key: str
    created: str
    commands: dict[str, str]
    passes: tuple[str, ...] = ()
    calibration: CalibrationRecord | None = None
    files: dict[str, str] = field(default_factory=dict)
    hardware: str = NOT_RUN
    format: int = FORMAT


def open_handoff(folder: Path) -> Handoff:
    """Read the manifest of a finished handoff.

    Raises:
        BadArtifactError: no handoff, one that is not finished, or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        state = "is not finished; run the same `densecast handoff prepare` again" if (folder / ITEMS).is_file() else ""
        raise BadArtifactError(f"{folder} {state or 'is no handoff: make one with `densecast handoff prepare`'}.")
    try:
        plain = codec.read(path, dict[str, Any])
        if plain.get("format", FORMAT) != FORMAT:
            raise BadArtifactError(
                f"{folder} has handoff format {plain['format']}, this densecast reads {FORMAT}: prepare it again."
            )
        return codec.from_plain(plain, Handoff, str(path))
    except BadConfigError as error:
        raise BadArtifactError(f"damaged handoff: {error}") from None


def items(folder: Path) -> Iterator[Item]:
    """Read the images in the data set's order, one at a time; a truncated last line is ignored.

    Raises:
        BadArtifactError: a line that is no item.
    """
    path = folder / ITEMS
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith("\n"):
                return
            try:
                sample_id, stem, (height, width) = json.loads(line)
            except (ValueError, TypeError):
                raise BadArtifactError(f"damaged handoff: {path}:{number} is no image of it.") from None
            if not (isinstance(sample_id, str) and isinstance(stem, str) and not _UNSAFE.search(stem)):
                raise BadArtifactError(f"damaged handoff: {path}:{number} is no image of it.")
            yield Item(sample_id, stem, (int(height), int(width)))


def item_line(item: Item) -> str:
    """Format one line of the list of inputs."""
    return json.dumps([item.id, item.stem, list(item.image_hw)]) + "\n"


def stems(ids: list[str]) -> list[str]:
    """Unique file name stems from arbitrary ids.

    Raises:
        BadDatasetError: two ids lead to one name.
    """
    names = [_UNSAFE.sub("_", each) for each in ids]
    if len(set(names)) != len(names):
        raise BadDatasetError("two images' ids differ only in characters that file names cannot have. Rename one.")
    return names


def views(spec: ModelSpec, item: Item) -> list[tuple[str, View]]:
    """Stems and placements of an image's inputs: one, or two if the network also needs the mirrored image.

    Nothing is read: the image's size says it all.
    """
    if isinstance(spec.preprocess.resize, PoseAffine):
        placement = spec.preprocess.resize.geometry(item.image_hw).placement
    else:
        placement = spec.preprocess.place(item.image_hw)
    upright = (item.stem, View(placement))
    return [upright, (f"{item.stem}_mirrored", View(placement, mirrored=True))] if spec.needs_mirror else [upright]


def size_key(size_hw: tuple[int, int]) -> str:
    """The key of an input size in `Handoff.output_shapes`.

    >>> size_key((500, 400))
    '500x400'
    """
    return f"{size_hw[0]}x{size_hw[1]}"


def augment_of(spec: ModelSpec) -> Augment:
    """The TTA views that the network needs."""
    return Augment(flip=spec.needs_mirror)
