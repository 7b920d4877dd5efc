"""COCO's panoptic form: a PNG of segment ids for each image, and a JSON file that says which class each one is.

A segment is a class of an image; its id is the class index plus 1, as red + 256 green + 65536 blue; 0 is no class.
Format: https://cocodataset.org/#format-data, section 4.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from densecast.pipeline import Predicted
from densecast.spec.model import ModelSpec
from densecast.verbs.infer.formats import name_of, prediction_of
from densecast.verbs.infer.sources import Source

_PNG = "_panoptic.png"
Part = tuple[dict[str, Any], dict[str, Any]]


class CocoPanoptic:
    """`coco_panoptic.json`, and `<stem>_panoptic.png` of each image."""

    endings: tuple[str, ...] = (_PNG,)
    shared: tuple[str, ...] = ("coco_panoptic.json",)

    def __init__(self, spec: ModelSpec) -> None:
        self._spec, self._lines = spec, Path()

    def begin(self, scratch: Path) -> None:
        """Entries are kept in a file, one image a line."""
        self._lines = scratch / "lines"
        self._lines.touch()

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """None."""
        return ()

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> Part:
        """Write the PNG; gives the image's entry and its segments, still without ids."""
        height, width = predicted.image.shape[:2]
        ids = np.zeros((height, width), np.uint32)
        segments = []
        for region in prediction_of(predicted).regions():
            ids[region.mask] = region.class_id + 1
            segments.append(
                {
                    "id": region.class_id + 1,
                    "category_id": region.class_id + 1,
                    "area": region.area_px,
                    "bbox": list(region.box_xywh),
                    "iscrowd": 0,
                }
            )
        pixels = np.stack([ids >> 16 & 255, ids >> 8 & 255, ids & 255], axis=2).astype(np.uint8)  # blue comes first
        encoded, data = cv2.imencode(".png", pixels)
        assert encoded, "bytes in three channels always encode"
        stem.with_name(stem.name + _PNG).write_bytes(data.tobytes())
        image = {"file_name": name_of(source), "height": height, "width": width}
        return image, {"file_name": str(PurePath(name_of(source)).with_suffix("")) + _PNG, "segments_info": segments}

    def take(self, part: Part) -> None:
        """Keep the entries in a file."""
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(part, ensure_ascii=False) + "\n")

    def finish(self, top: Path) -> None:
        """Put the file together, a line at a time."""
        categories = [
            {"id": number + 1, "name": name, "supercategory": "", "isthing": 0, "color": list(colour)}
            for number, (name, colour) in enumerate(zip(self._spec.labels, self._spec.palette, strict=True))
        ]
        info = {"description": f"predictions of {self._spec.name}", "version": "1.0"}
        head = {"info": info, "licenses": [], "categories": categories}
        with (top / self.shared[0]).open("w", encoding="utf-8") as file:
            file.write(json.dumps(head, ensure_ascii=False)[:-1])
            for place, name in enumerate(("images", "annotations")):
                file.write(f',\n"{name}": [')
                with self._lines.open(encoding="utf-8") as lines:
                    for number, line in enumerate(lines, start=1):
                        entry = {"id" if place == 0 else "image_id": number, **json.loads(line)[place]}
                        file.write(f"{',' if number > 1 else ''}\n{json.dumps(entry, ensure_ascii=False)}")
                file.write("]")
            file.write("}\n")


FORMAT = CocoPanoptic
