"""Options of inference on images and videos, with their defaults and command-line help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.errors import UnknownNameError, UsageError
from densecast.spec import choices
from densecast.spec.options import option

OverlayVideo = Literal["webm", "mp4"]
FORMATS = ("coco", "coco_panoptic", "geojson", "cvat", "fiftyone")

_VIDEO = "Videos and cameras"


@dataclass(frozen=True, slots=True)
class InferOptions:
    """Which images and videos are inferred, and where results may be written.

    Without `overwrite`, a run replaces earlier results of the same images by the same model only. With it, all results
    that densecast wrote may be replaced; other files never are. With `skip_existing`, images are left out whose results
    this model has written, all of them and since the image and the model last changed. `formats` are those of other
    tools, written beside the usual files. `every`, `seconds` and `overlay_video` are for videos.

    `large` is for pictures of any size: `tile` is the height and width of their tiles, of which neighbours share
    `overlap` pixels.
    """

    recursive: bool = option(False, "Include images in subfolders; results keep these folders below --out.")
    keep_going: bool = option(
        False, "Continue after images that cannot be used; they are listed at the end, and the exit code is 3."
    )
    overwrite: bool = option(
        False, "Replace densecast's own results of other images or models; other files are never replaced."
    )
    skip_existing: bool = option(
        False, "Skip images whose complete results from this model exist, unless the image or the model has changed."
    )
    full_names: bool = option(
        False, "Name results after whole file names (a.jpg.png), so that a.jpg and a.png do not collide."
    )
    large: bool = option(
        False, "Images of any size in constant memory: TIFF or PNG is read in tiles, labels are written as tiled TIFF."
    )
    tile: tuple[int, int] | None = option(
        None, "With --large: tile size (height x width); default: the build's, or about 1024.", form="pair"
    )
    overlap: int | None = option(
        None,
        "With --large: pixels by which tiles overlap; default: as many as make the result exact, as measured.",
        minimum=0,
    )
    formats: tuple[str, ...] = option(
        (),
        "Also write this format: coco, coco_panoptic, geojson, cvat or fiftyone; repeatable.",
        flag="--format",
        form="names",
    )
    allow_url: bool = option(
        False, "Fetch images and videos from http(s) URLs, and open rtsp streams. Without it nothing is fetched."
    )
    every: int = option(1, "Predict every N-th frame.", group=_VIDEO, minimum=1)
    seconds: float | None = option(
        None,
        "Stop after this many seconds of video; without it, a camera runs until Ctrl-C.",
        group=_VIDEO,
        minimum=0,
    )
    overlay_video: OverlayVideo = option(
        "webm",
        "Format of the --overlay video: webm (VP9, plays in browsers) or mp4 (MPEG-4, encoded much faster).",
        group=_VIDEO,
    )

    def __post_init__(self) -> None:
        """Check that numbers are in range, and that what is said of tiles has an effect.

        Raises:
            UsageError: they are not.
        """
        choices.types_of(self)
        for what, value in (("tile", self.tile), ("overlap", self.overlap)):
            if value is not None and not self.large:
                raise UsageError(f"{what} is for pictures in tiles: pass --large too.", field=what)
        if self.tile is not None and min(self.tile) < 1:
            raise UsageError(f"tiles are at least 1 pixel high and wide, got {self.tile}.", field="tile")
        if self.overlap is not None and self.overlap < 0:
            raise UsageError(f"tiles share 0 pixels or more, got {self.overlap}.", field="overlap")
        for name in self.formats:
            if name not in FORMATS:
                raise UnknownNameError.among("format", name, FORMATS)
        if len(set(self.formats)) < len(self.formats):
            raise UsageError(f"a format was asked for twice: {', '.join(self.formats)}.", field="formats")
        if self.every < 1:
            raise UsageError(f"every must be at least 1, got {self.every}.", field="every")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"seconds must be above 0, got {self.seconds}.", field="seconds")
        choices.check(self)
