"""GeoJSON: a file for each image, with a polygon for each region.

Of a GeoTIFF, in the coordinates of its reference system; of other images, in columns and rows of pixels.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from densecast.imaging.geotiff import georeference
from densecast.pipeline import Predicted
from densecast.spec.model import ModelSpec
from densecast.verbs.infer.formats import prediction_of
from densecast.verbs.infer.sources import Source


class GeoJson:
    """`<stem>.geojson`."""

    endings: tuple[str, ...] = (".geojson",)
    shared: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def begin(self, scratch: Path) -> None:
        """Nothing grows."""

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """None."""
        return ()

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> None:
        """Write the file."""
        place = georeference(source.path) if source.path.suffix.lower() in (".tif", ".tiff") else None
        text = json.dumps(prediction_of(predicted).to_geojson(place), allow_nan=False, ensure_ascii=False)
        stem.with_name(f"{stem.name}.geojson").write_text(text + "\n", encoding="utf-8")

    def take(self, part: None) -> None:
        """Nothing is shared."""

    def finish(self, top: Path) -> None:
        """Nothing is shared."""


FORMAT = GeoJson
