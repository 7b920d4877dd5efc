"""What a run measures on: data with ground truth, pictures alone, or without either pictures that are drawn for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from densecast.datasets import pairs
from densecast.errors import UsageError
from densecast.imaging.folder import images_in
from densecast.io import files
from densecast.measure.data_source import DataSource, find, images_directly_in, metric_of, source_or_folder
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native
from densecast.spec.sample import Sample
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import EvaluateOptions

DRAWN = "pictures"
"""The folder of drawn pictures, below that of the run."""

_COUNT, _SEED = 8, 7
_SIDES_PX = (64, 4096)
_SIZE_HW = (320, 480)


@dataclass(frozen=True, slots=True)
class Material:
    """The images that models are measured on.

    `place` is where int8 ranges come from; `found` reads the ground truth, and is None where there is none. `remarks`
    say what cannot be measured for want of it.
    """

    place: Data
    samples: tuple[Sample, ...]
    found: DataSource | None = None
    remarks: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """The images' files."""
        return tuple(sample.image for sample in self.samples)

    @property
    def is_drawn(self) -> bool:
        """Whether nobody has named any pictures."""
        return self.found is None and self.place.path is None


def of(spec: ModelSpec, place: Data, out: Path, options: EvaluateOptions) -> Material:
    """What there is to measure on for a model.

    Raises:
        UsageError, MissingFileError, BadDatasetError: data that cannot be used, or drawn pictures that would not fit.
    """
    if place.path is None and spec.evaluation is None and place.options.dataset is None:
        if place.options.named:
            name = min(place.options.named)
            raise UsageError(f"the option {name!r} is for data: pass --data.", field=name)
        return Material(place, _drawn(spec, out / DRAWN), remarks=_remarks(f"{_COUNT} pictures drawn for the purpose"))
    if (pictures := _pictures(spec, place)) is not None:
        chosen = pictures[: options.limit]
        samples = tuple(Sample(path.name, path, path) for path in chosen)
        assert place.path is not None
        return Material(place, samples, remarks=_remarks(f"pictures of {place.path.name}, which has no ground truth"))
    found = find(spec, place)
    metric_of(found.spec)
    dataset = found.open(options.split, options.seed)
    return Material(replace(place, path=found.root), dataset.samples[: options.limit], found)


def _remarks(what: str) -> tuple[str, ...]:
    return (
        f"Accuracy was not measured, for want of ground truth: agreement says how far predictions are those of the "
        f"first row, on {what}. Pass pictures with masks (--data) to measure accuracy.",
    )


def _pictures(spec: ModelSpec, place: Data) -> list[Path] | None:
    """The images of a folder of nothing else; None for data that are to have ground truth."""
    folder = place.path
    if folder is None or not folder.is_dir() or not images_directly_in(folder) or pairs.looks_like(folder):
        return None
    return images_in(folder) if source_or_folder(spec, place) is None else None


def _drawn(spec: ModelSpec, folder: Path) -> tuple[Sample, ...]:
    """Draw the pictures, or take those that are there: equal specs have equal ones."""
    from densecast.scenes import people, turntable

    channels = spec.input.shape[1]
    if channels not in (1, 3):
        raise UsageError(
            f"{spec.name} takes images of {channels} channels, which are not drawn here: name some (--data).",
            field="data",
        )
    samples = []
    size_hw = _size_hw(spec)
    for index in range(_COUNT):
        path = folder / f"{'people' if spec.task == 'pose' else 'car'}_{size_hw[0]}x{size_hw[1]}_{index}.png"
        if not path.is_file():
            image = people.render(_SEED, index).image if spec.task == "pose" else None
            drawn_hw = (max(size_hw[0], _SIDES_PX[0]), max(size_hw[1], _SIDES_PX[0]))
            _write(path, image if image is not None else turntable.render(_SEED, index, drawn_hw).image, size_hw)
        samples.append(Sample(path.name, path, path))
    return tuple(samples)


def _size_hw(spec: ModelSpec) -> tuple[int, int]:
    """A size that the network takes as it is, where images are not resized for it."""
    sides = []
    for side, usual in zip(spec.input.shape[2:], _SIZE_HW, strict=True):
        if not isinstance(spec.preprocess.resize, Native):
            sides.append(usual)
        elif isinstance(side, Dim):
            fitting = max(usual, side.min)
            sides.append(min(-(-fitting // side.multiple) * side.multiple, side.max))
        else:
            sides.append(side)
    return min(sides[0], _SIDES_PX[1]), min(sides[1], _SIDES_PX[1])


def _write(path: Path, image: object, size_hw: tuple[int, int]) -> None:
    """Write a PNG of that size."""
    import io

    import numpy as np
    from PIL import Image

    picture = Image.fromarray(np.asarray(image)).resize(size_hw[::-1])
    with io.BytesIO() as stream:
        picture.save(stream, "PNG")
        files.write_bytes(path, stream.getvalue())
