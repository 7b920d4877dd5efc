"""Brings the masks of one data set into the frame its pictures are seen in, also where one size fits both frames.

A half turn, a mirrored or a square picture has one size as it is stored and upright. There the masks of other turned
pictures tell, whose size fits one frame alone: tools draw all masks in the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

from densecast.datasets import _frames, _mask_arrays
from densecast.errors import DensecastError
from densecast.spec.sample import LabelMap, Sample

_INVERSE = {6: 8, 8: 6}


class MaskFrames:
    """The frame of the masks of these samples. With `use_exif` pictures are seen upright, else as they are stored."""

    def __init__(self, samples: Sequence[Sample], *, use_exif: bool) -> None:
        self._samples, self._use_exif = samples, use_exif
        self._told: list[bool | None] = []
        self._untold: dict[str, int] = {}

    def brought(self, labels: LabelMap, sample: Sample) -> LabelMap:
        """The labels in the frame that the picture is seen in.

        Raises:
            BadImageError: the picture's header cannot be read.
            BadDatasetError: the labels have neither frame's size.
        """
        stored, seen = _frames.sizes_hw(sample.image)
        if labels.shape != stored or stored != seen:
            return _frames.to_frame(labels, sample.image, sample.target, use_exif=self._use_exif)
        tag = _frames.orientation(sample.image)
        if tag == 1:
            return labels
        are_upright = self._others_are_upright()
        if are_upright is None:
            self._untold[sample.id] = tag
        if are_upright in (None, self._use_exif):
            return labels
        return _frames.upright(labels, tag if self._use_exif else _INVERSE.get(tag, tag))

    @property
    def remarks(self) -> tuple[str, ...]:
        """That of some pictures nothing tells the frame of their masks; empty where all are told."""
        if not self._untold:
            return ()
        first = min(self._untold)
        return (
            f"{len(self._untold)} pictures have an orientation tag ({first}: {self._untold[first]}) and masks that fit "
            f"the stored and the upright picture alike: they are taken as {'upright' if self._use_exif else 'stored'}, "
            "as the model sees the pictures. If they are drawn otherwise, store the pictures upright and without a tag",
        )

    def _others_are_upright(self) -> bool | None:
        """Whether the masks that fit one frame alone are upright; None if there are none, or they contradict."""
        if not self._told:
            found = set()
            for sample in self._samples:
                try:
                    stored, seen = _frames.sizes_hw(sample.image)
                    size_hw = _mask_arrays.size_hw(sample.target) if stored != seen else stored
                except DensecastError:  # it is named when it is read
                    continue
                if stored != seen and size_hw in (stored, seen):
                    found.add(size_hw == seen)
            self._told.append(found.pop() if len(found) == 1 else None)
        return self._told[0]
