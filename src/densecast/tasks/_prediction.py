"""What every prediction of densecast's own tasks can do by itself: names, pictures, files, JSON, other tools' forms.

A prediction knows its model by its `origin`, which the pipeline adds. A task says what its predictions are by a few
methods; those that mean nothing for it - the polygons of depth - refuse in words.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.imaging import run_lengths
from densecast.imaging.outlines import Polygon, polygons
from densecast.io import files
from densecast.spec.georeference import Georeference
from densecast.spec.model import ModelSpec
from densecast.tasks import _legend
from densecast.tasks._given import canvas, equal
from densecast.tasks._legend import Entry
from densecast.tasks._regions import Region, Style

Image = npt.NDArray[np.uint8]
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
# Wider pictures are shown smaller in notebooks.
_SHOWN_PX = 1024
_GROUND = 235


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What a prediction was made of: the model's spec, and the (H, W, C) image as it was read, where it is kept."""

    spec: ModelSpec
    image: npt.NDArray[Any] | None = None


class Prediction:
    """The base of predictions: frozen dataclasses with a field `origin`, None for one that was made by hand."""

    __slots__ = ()
    kind: ClassVar[str] = "predictions"
    origin: Origin | None

    def __eq__(self, other: object) -> bool:
        """Whether all arrays and values are equal; what a prediction was made of does not count."""
        if type(other) is not type(self):
            return NotImplemented
        return all(
            equal(getattr(self, each.name), getattr(other, each.name))
            for each in fields(self)  # type: ignore[arg-type]
            if each.name != "origin"
        )

    # Equal ones would have to have equal hashes, and arrays may be written to.
    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> tuple[str, ...]:
        """The model's labels, in the order of class indices; none for a prediction that was made by hand."""
        return self.origin.spec.labels if self.origin else ()

    @property
    def image(self) -> Image | None:
        """The (H, W, 3) uint8 RGB image that was predicted, if it is kept: by `pipeline(image)`, not by a stream."""
        if self.origin is None or self.origin.image is None:
            return None
        from densecast.imaging.prepare import displayable

        return displayable(self.origin.image, self.origin.spec.preprocess)

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """Height and width in pixels; None if neither the prediction nor its origin knows."""
        if self.origin is None or self.origin.image is None:
            return None
        return self.origin.image.shape[0], self.origin.image.shape[1]

    def regions(self) -> list[Region]:
        """Where each class is that was found.

        Raises:
            UsageError: a task whose predictions have no regions.
        """
        raise self._refusal("have no regions")

    def areas(self) -> dict[str, int]:
        """The number of pixels of each label, 0 for those that were not found."""
        regions = self.regions()
        return {name: 0 for name in self.names} | {each.name: each.area_px for each in regions}

    def polygons(self, *, min_area_px: int = 1, simplify_px: float = 0.0) -> dict[str, list[Polygon]]:
        """The outlines of each label that was found, along the edges of pixels: see `imaging.outlines`.

        Regions of less than `min_area_px` pixels are left out. With `simplify_px`, corners are left out that are no
        further off; outlines are not exact then.

        Raises:
            UsageError: numbers below 0.
        """
        if min_area_px < 0 or not simplify_px >= 0:
            raise UsageError(f"polygons need sizes of at least 0, got {min_area_px} and {simplify_px}.")
        found: dict[str, list[Polygon]] = {}
        for region in self.regions():
            exact = [each for each in polygons(region.mask) if each.area >= min_area_px]
            if exact:
                found[region.name] = [each.simplified(simplify_px) for each in exact] if simplify_px else exact
        return found

    def rle(self) -> dict[str, dict[str, Any]]:
        """The mask of each label that was found, as COCO's compressed run lengths: what pycocotools decodes."""
        return {each.name: run_lengths.encode(each.mask) for each in self.regions()}

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain dicts, lists and numbers, ready for JSON."""
        size_hw = self.size_hw
        return {
            "kind": self.kind,
            "model": self.origin.spec.name if self.origin else None,
            **({} if size_hw is None else {"height": size_hw[0], "width": size_hw[1]}),
            **self._plain(),
        }

    def to_geojson(self, georeference: Georeference | None = None) -> dict[str, Any]:
        """A GeoJSON FeatureCollection (RFC 7946) with a polygon for each region.

        With a georeference, coordinates are those of its reference system; else columns and rows of pixels, y pointing
        down. Where they are not longitude and latitude on WGS 84, a member `crs` names the system, as GDAL reads it.
        """
        from densecast.tasks import _geojson

        return _geojson.collection(self.regions(), georeference)

    def to_supervision(self) -> Any:
        """A `supervision.Detections`: a mask and a box for each class that was found, or a box for each person.

        Raises:
            MissingError: supervision is not installed.
        """
        from densecast.tasks import _supervision

        return _supervision.of_regions(self.regions())

    def plot(
        self,
        image: npt.NDArray[Any] | Path | str | bytes | None = None,
        *,
        opacity: float | None = None,
        contours: bool | None = None,
        legend: bool = True,
    ) -> Image:
        """Draw the prediction over its image -> (H, W, 3) uint8 RGB; with `legend` a band with names is added below.

        `image`, (H, W, 3) uint8 RGB, a Pillow image, a path or a file's bytes, is drawn on instead of the prediction's
        own; without either it is a plain ground.
        `opacity` is that of what is drawn, 0 to 1; `contours` are lines around regions.

        Raises:
            BadShapeError: an image of another size or type.
            UsageError: no image, and people know of no size; or contours of what has no regions.
        """
        drawn = self._draw(self._canvas(image), Style(opacity, contours, legend))
        return _legend.below(drawn, self._entries()) if legend else drawn

    def show(self, image: npt.NDArray[Any] | Path | str | bytes | None = None, **style: Any) -> None:
        """Show `plot(…)`: in a notebook below the cell, else in the system's image viewer."""
        from PIL import Image as Pillow

        picture = Pillow.fromarray(self.plot(image, **style))
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is not None and "IPKernelApp" in getattr(shell, "config", {}):
            sys.modules["IPython"].display.display(picture)
        else:
            picture.show()

    def save(
        self,
        path: Path | str,
        image: npt.NDArray[Any] | Path | str | bytes | None = None,
        *,
        overwrite: bool = False,
        georeference: Georeference | None = None,
        **style: Any,
    ) -> Path:
        """Write a file, by its ending: a picture (`plot`), `.json` (`to_dict`), `.geojson`, or `.npz`, the arrays.

        Raises:
            UsageError: another ending, options that have no effect on it, or a file that is there, unless `overwrite`.
        """
        path = files.given(path)
        ending = path.suffix.lower()
        self._refuse_idle(ending, image, georeference, style)
        if path.is_dir() or (path.exists() and not overwrite):
            cure = "Name a file in it." if path.is_dir() else "Name another file, or pass overwrite=True."
            raise UsageError(f"{path} is {'a folder' if path.is_dir() else 'there already'}. {cure}", field="path")
        if ending in _PICTURES:
            from PIL import Image as Pillow

            stream, kind = io.BytesIO(), Pillow.registered_extensions()[ending]
            # What Pillow takes for JPEG by itself is of visibly lower quality than what `infer` writes.
            Pillow.fromarray(self.plot(image, **style)).save(stream, kind, quality=92)
            data = stream.getvalue()
        elif ending == ".npz":
            stream = io.BytesIO()
            np.savez_compressed(stream, allow_pickle=False, **self._arrays())
            data = stream.getvalue()
        else:
            plain = self.to_geojson(georeference) if ending == ".geojson" else self.to_dict()
            data = (json.dumps(plain, allow_nan=False, ensure_ascii=False) + "\n").encode()
        files.write_bytes(path, data)
        return path

    def _repr_png_(self) -> bytes | None:
        """The drawn prediction, for notebooks; None where there is nothing to draw on."""
        from PIL import Image as Pillow

        try:
            picture = Pillow.fromarray(self.plot())
        except UsageError:
            return None
        picture.thumbnail((_SHOWN_PX, _SHOWN_PX))
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        return stream.getvalue()

    def _repr_html_(self) -> str:
        """The drawn prediction with a table of what was found, for notebooks."""
        return _legend.html(repr(self).strip("<>"), self._repr_png_(), self._entries())

    def __repr__(self) -> str:
        """`<SegmentationMap 479x320: background 68.8 %, car 31.2 %>`."""
        size_hw = self.size_hw
        size = "" if size_hw is None else f" {size_hw[1]}x{size_hw[0]}"
        return f"<{type(self).__name__}{size}: {self._summary()}>"

    def _draw(self, canvas: Image, style: Style) -> Image:
        raise NotImplementedError

    def _entries(self) -> Sequence[Entry]:
        raise NotImplementedError

    def _plain(self) -> dict[str, Any]:
        raise NotImplementedError

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

    def _summary(self) -> str:
        entries = [f"{each.name} {each.text}".strip() for each in self._entries()]
        return (", ".join(entries[:6]) + (f" and {len(entries) - 6} more" if len(entries) > 6 else "")) or "nothing"

    def _refusal(self, what: str) -> UsageError:
        return UsageError(f"{self.kind} {what}.")

    def _refuse_idle(
        self, ending: str, image: object, georeference: Georeference | None, style: dict[str, Any]
    ) -> None:
        if ending not in (*_PICTURES, ".json", ".geojson", ".npz"):
            known = ", ".join((*_PICTURES, ".json", ".geojson", ".npz"))
            raise UsageError(f"{ending or 'a name without an ending'}: known endings are {known}.", field="path")
        if georeference is not None and ending != ".geojson":
            raise UsageError(f"a georeference has no effect on {ending}; it is for .geojson.", field="georeference")
        if (image is not None or style) and ending not in _PICTURES:
            raise UsageError(f"an image and how to draw it have no effect on {ending}.", field="image")

    def _canvas(self, given: Any) -> Image:
        size_hw = self.size_hw
        if given is not None:
            return canvas(given, size_hw, use_exif=self.origin is not None and self.origin.spec.preprocess.use_exif)
        own = self.image
        if own is not None:
            return own
        if size_hw is None:
            raise UsageError(
                f"{self.kind} of a stream do not keep their image: pass it, as plot(image).", field="image"
            )
        return np.full((*size_hw, 3), _GROUND, np.uint8)


def with_origin(prediction: Any, origin: Origin) -> Any:
    """The same prediction, knowing where it is from; of another task's it is the prediction itself."""
    if not isinstance(prediction, Prediction):
        return prediction
    of_a_dataclass: Any = prediction
    return replace(of_a_dataclass, origin=origin)
