"""CVAT for images 1.1: masks of classes, or skeletons of people, to be uploaded to a task as annotations.

A mask's `rle` are runs along the rows of its box, those outside first.
Format: https://docs.cvat.ai/docs/manual/advanced/xml_format.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePath
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from densecast.pipeline import Predicted
from densecast.spec.model import ModelSpec
from densecast.tasks.pose import PoseDecode, Poses, people, skeleton_of
from densecast.verbs.infer.formats import name_of, prediction_of
from densecast.verbs.infer.sources import Source


class Cvat:
    """`cvat.xml`."""

    endings: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("cvat.xml",)

    def __init__(self, spec: ModelSpec) -> None:
        self._spec, self._images, self._count = spec, Path(), 0
        self._joints: tuple[str, ...] = ()

    def begin(self, scratch: Path) -> None:
        """Images are kept in a file, for their number comes before them in CVAT's."""
        self._images = scratch / "images"
        self._images.touch()

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """None."""
        return ()

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> str:
        """The image's element, still without its number."""
        height, width = predicted.image.shape[:2]
        prediction = prediction_of(predicted)
        lines = [f'name={quoteattr(name_of(source))} width="{width}" height="{height}">']
        if isinstance(prediction, Poses):
            self._joints = people.joint_names(prediction)
            lines += _skeletons(prediction, self._joints, (*self._spec.labels, "person")[0])
        else:
            for region in prediction.regions():
                left, upper, wide, high = region.box_xywh
                inside = region.mask[upper : upper + high, left : left + wide]
                lines.append(
                    f'    <mask label={quoteattr(region.name)} source="auto" occluded="0" rle="{_runs(inside)}" '
                    f'left="{left}" top="{upper}" width="{wide}" height="{high}" z_order="0"></mask>'
                )
        return "\n".join((*lines, "  </image>\n"))

    def take(self, part: str) -> None:
        """Number the image."""
        with self._images.open("a", encoding="utf-8") as file:
            file.write(f'  <image id="{self._count}" {part}')
        self._count += 1

    def finish(self, top: Path) -> None:
        """Put the file together."""
        with (top / self.shared[0]).open("w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            file.write(f"  <meta><task><size>{self._count}</size><mode>annotation</mode>\n    <labels>\n")
            file.writelines(self._labels())
            file.write("    </labels></task></meta>\n")
            with self._images.open(encoding="utf-8") as images:
                shutil.copyfileobj(images, file)
            file.write("</annotations>\n")

    def _labels(self) -> list[str]:
        if isinstance(self._spec.decode, PoseDecode):
            person = escape((*self._spec.labels, "person")[0])
            joints = "".join(
                f"<label><name>{escape(name)}</name><type>points</type><parent>{person}</parent></label>"
                for name in self._joints or skeleton_of(self._spec).joints
            )
            return [f"      <label><name>{person}</name><type>skeleton</type></label>{joints}\n"]
        named = zip(self._spec.labels, self._spec.palette, strict=True)
        return [
            f"      <label><name>{escape(name)}</name><color>#{red:02x}{green:02x}{blue:02x}</color>"
            "<type>mask</type><attributes></attributes></label>\n"
            for name, (red, green, blue) in named
        ]


def _runs(inside: npt.NDArray[np.bool_]) -> str:
    """Runs along the rows, those outside the mask first."""
    flat = inside.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return ", ".join(map(str, [0, *runs] if flat[0] else runs))


def _skeletons(poses: Poses, joints: tuple[str, ...], label: str) -> list[str]:
    lines = []
    for xy, score in zip(poses.xy_px.tolist(), poses.score.tolist(), strict=True):
        lines.append(f'    <skeleton label={quoteattr(label)} source="auto" z_order="0">')
        for name, (x, y), value in zip(joints, xy, score, strict=True):
            lines.append(
                f'      <points label={quoteattr(name)} source="auto" occluded="0" outside="{0 if value > 0 else 1}" '
                f'points="{x:.2f},{y:.2f}"></points>'
            )
        lines.append("    </skeleton>")
    return lines


FORMAT = Cvat
