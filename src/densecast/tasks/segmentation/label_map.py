"""A label map: the prediction of a segmentation, with what it says in words, shares and regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from densecast.spec.model import Rgb
from densecast.spec.sample import LabelMap
from densecast.tasks import _regions
from densecast.tasks._base import Image
from densecast.tasks._legend import Entry
from densecast.tasks._prediction import Origin, Prediction
from densecast.tasks._regions import Region, Style
from densecast.tasks.segmentation import drawing
from densecast.tasks.segmentation.palettes import voc


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SegmentationMap(Prediction):
    """`class_id` (H, W), each pixel's class index; `probability` (H, W) float32, that of its class, if requested.

    `class_id` is uint8, or uint16 of models with more than 256 classes. `origin` is what it was made of.
    """

    kind: ClassVar[str] = "label maps"
    class_id: LabelMap
    probability: npt.NDArray[np.float32] | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.class_id.shape[0], self.class_id.shape[1]

    def regions(self) -> list[Region]:
        """Where each class is that was found, with the mean of its pixels' probabilities if there are any.

        Values that are no class of the model are left out.
        """
        labels, colours = self._classes()
        found = []
        for number in np.flatnonzero(self._counts()[: len(labels)]).tolist():
            mask = self.class_id == number
            confidence = None if self.probability is None else float(self.probability[mask].mean(dtype=np.float64))
            found.append(Region(number, labels[number], colours[number], mask, _regions.box_of(mask), confidence))
        return found

    def areas(self) -> dict[str, int]:
        """The number of pixels of each label, 0 for those that were not found."""
        labels, _ = self._classes()
        counts = self._counts()
        known = {name: int(counts[number]) for number, name in enumerate(labels)}
        return known if self.names else {name: count for name, count in known.items() if count}

    def _draw(self, canvas: Image, style: Style) -> Image:
        labels, colours = self._classes()
        opacity = drawing.OPACITY if style.opacity is None else style.opacity
        return drawing.draw_classes(
            canvas, self.class_id, labels, colours, opacity=opacity, contours=style.contours is not False
        )

    def _entries(self) -> list[Entry]:
        """Each class that was found with its share of the pixels, the largest first."""
        labels, colours = self._classes()
        counts, total = self._counts()[: len(labels)], self.class_id.size
        order = [number for number in np.argsort(-counts, kind="stable").tolist() if counts[number]]
        return [Entry(labels[number], colours[number], f"{100 * counts[number] / total:.1f} %") for number in order]

    def _plain(self) -> dict[str, Any]:
        return {"classes": _regions.plain(self.regions())}

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {"class_id": self.class_id}
        return arrays if self.probability is None else arrays | {"probability": self.probability}

    def _classes(self) -> tuple[tuple[str, ...], tuple[Rgb, ...]]:
        """Labels and colours: the model's, or without a model every value by its number, in VOC's colours."""
        if self.origin is not None:
            return self.origin.spec.labels, self.origin.spec.palette
        largest = int(self.class_id.max(initial=0))
        return tuple(map(str, range(largest + 1))), tuple(voc(256)[number % 256] for number in range(largest + 1))

    def _counts(self) -> npt.NDArray[np.intp]:
        """Pixels of each value, at least as many numbers as there are labels."""
        return np.bincount(self.class_id.ravel(), minlength=len(self.names))
