"""A folder for FiftyOne: copies of the images in `data/`, and their masks in `labels/`, or COCO's JSON.

Segmentations are an `ImageSegmentationDirectory`. FiftyOne shows no class of value 0: unless that is the background,
masks hold the class index plus 1; `mask_targets.json` says which. Several classes a pixel and people are a
`COCODetectionDataset` (https://docs.voxel51.com/user_guide/import_datasets.html).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from densecast.pipeline import Predicted
from densecast.spec.model import ModelSpec
from densecast.tasks.segmentation import SegmentationDecode, SegmentationMap
from densecast.verbs.infer.formats import name_of, prediction_of
from densecast.verbs.infer.formats.coco import Coco
from densecast.verbs.infer.sources import Source

FOLDER = PurePath("fiftyone")


class FiftyOne:
    """`fiftyone/`."""

    endings: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._coco: Coco | None = None
        if not isinstance(spec.decode, SegmentationDecode):
            self._coco = Coco(spec)
            self._coco.shared = (str(FOLDER / "labels.json"),)
        self._first = 0 if spec.labels[:1] == ("background",) else 1

    @property
    def shared(self) -> tuple[str, ...]:
        """COCO's file, or the names of the values of masks."""
        return self._coco.shared if self._coco else (str(FOLDER / "mask_targets.json"),)

    def begin(self, scratch: Path) -> None:
        """COCO's entries grow."""
        if self._coco:
            self._coco.begin(scratch)

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """The image's copy, and its mask."""
        copy = FOLDER / "data" / name_of(source)
        return (copy,) if self._coco else (copy, _mask_of(source))

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> Any:
        """Copy the image, and write its mask; gives COCO's entries where these are written."""
        copy = top / FOLDER / "data" / name_of(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path, copy)
        if self._coco:
            return self._coco.make(source, predicted, stem, top)
        prediction = prediction_of(predicted)
        assert isinstance(prediction, SegmentationMap)
        classes = prediction.class_id
        wide = np.uint8 if len(self._spec.labels) + self._first <= 256 else np.uint16
        mask = np.where(classes < len(self._spec.labels), classes.astype(np.uint32) + self._first, 0).astype(wide)
        encoded, data = cv2.imencode(".png", mask)
        assert encoded, "a plane of whole numbers always encodes"
        file = top / _mask_of(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.tobytes())
        return None

    def take(self, part: Any) -> None:
        """Add COCO's entries."""
        if self._coco:
            self._coco.take(part)

    def finish(self, top: Path) -> None:
        """Write COCO's file, or the names of the masks' values."""
        if self._coco:
            self._coco.finish(top)
            return
        targets = {str(number + self._first): name for number, name in enumerate(self._spec.labels)}
        file = top / self.shared[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(targets, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _mask_of(source: Source) -> PurePath:
    return FOLDER / "labels" / PurePath(name_of(source)).with_suffix(".png")


FORMAT = FiftyOne
