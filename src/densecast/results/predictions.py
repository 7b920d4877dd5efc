"""What infer, evaluate and handoff collect give back: predictions' files, and scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densecast.io import codec
from densecast.results.json_result import FORMAT, JsonResult, ModelRecord, PrecisionReport, without_none
from densecast.spec.augment import Augment
from densecast.spec.score import Score


@dataclass(frozen=True, slots=True)
class EvaluateResult(JsonResult):
    """A model's score on its data set, the model, and the TTA views that were averaged."""

    score: Score
    model: ModelRecord
    augment: Augment = Augment()
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """The score's fields that are set, the model's keys, and `augment` if there were several views."""
        return {
            "format": self.format,
            "score": without_none(self.score),
            **self.model.plain(),
            **({} if self.augment.is_plain else {"augment": codec.to_plain(self.augment)}),
        }


@dataclass(frozen=True, slots=True)
class CollectResult(JsonResult):
    """A device's score over the images of a handoff, and the speed that the vendor's tool reported.

    `performance` has the tool's figures by the name of its file, `outputs` is the folder that the score was computed
    from, `handoff` that of the handoff, `backend` the vendor's compiler. `is_simulated`: `handoff simulate` made the
    outputs, on a CPU; `hardware` says so in words.
    """

    score: Score
    performance: dict[str, dict[str, float]]
    model: str
    backend: str
    precision: PrecisionReport
    batch: int
    handoff: Path
    outputs: Path
    hardware: str
    is_simulated: bool
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """The keys of `EvaluateResult`, with those of the device."""
        return {
            "format": self.format,
            "score": without_none(self.score),
            "performance": self.performance,
            "precision": self.precision.plain(),
            "backend": self.backend,
            "model": self.model,
            "batch": self.batch,
            "handoff": str(self.handoff),
            "outputs": str(self.outputs),
            "hardware": self.hardware,
            "is_simulated": self.is_simulated,
        }


@dataclass(frozen=True, slots=True)
class TileRecord:
    """How a large picture was seen in tiles of `tile_hw` pixels that share at least `overlap_px`.

    `how` is "exact", "blended", "windows" (the model's own sliding windows) or "people"; `why` says what kept tiles
    from being exact, or what else there is to say. `reach_px` is how far the network looks, as measured; None if
    further than could be. `seam_difference` is the largest difference of the outputs of neighbouring tiles where they
    meet; `is_exact` says whether that is no more than rounding.
    """

    how: str
    tile_hw: tuple[int, int]
    overlap_px: int
    tiles: int
    why: str = ""
    reach_px: int | None = None
    seam_difference: float | None = None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class InferredImage:
    """An image, as it was named, and the file of its prediction; of a large picture, how it was seen in tiles."""

    image: Path | str
    file: Path
    tiled: TileRecord | None = None


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image or video that could not be used, and why."""

    image: Path | str
    error: str

    @classmethod
    def of(cls, image: Path | str, error: Exception) -> FailedImage:
        """The failure that an error describes."""
        return cls(image, str(error))


@dataclass(frozen=True, slots=True)
class InferredVideo:
    """A video, as it was named, with its JSON lines in `file`, one a predicted frame, and the `overlay` if drawn.

    `frames` were predicted, over `seconds` of the video. `missed` are frames of a camera that nobody had time for.
    `overlay_frames` were read back from the overlay, of which `repeated` hold what was shown before: its rate is even,
    the video's need not be. `left_out` are predicted frames that lay between two of the overlay's.
    """

    video: Path | str
    file: Path
    frames: int
    seconds: float
    missed: int = 0
    overlay: Path | None = None
    overlay_frames: int = 0
    repeated: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class InferResult(JsonResult):
    """All images in order with their files, and the model that made them.

    `failed` are the images that were gone over, `left_out` what else was in the folders given, by kind, `skipped` are
    those whose results were there already. `files` hold all images, in the formats of other tools.
    """

    results: tuple[InferredImage, ...]
    model: ModelRecord
    failed: tuple[FailedImage, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: tuple[InferredImage, ...] = ()
    videos: tuple[InferredVideo, ...] = ()
    files: tuple[Path, ...] = ()
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """`results`, `failed`, `left_out`, `skipped`, `precision`; `videos` and `files` if there are any."""
        precision = self.model.precision
        return {
            "format": self.format,
            "results": [
                {"image": str(each.image), "file": str(each.file)}
                | ({} if each.tiled is None else {"tiled": codec.to_plain(each.tiled)})
                for each in self.results
            ],
            "failed": [{"image": str(each.image), "error": each.error} for each in self.failed],
            "left_out": self.left_out,
            "skipped": [{"image": str(each.image), "file": str(each.file)} for each in self.skipped],
            "precision": {"asked": precision.asked, "ran": str(precision.ran)},
            **({"videos": [codec.to_plain(each) for each in self.videos]} if self.videos else {}),
            **({"files": [str(each) for each in self.files]} if self.files else {}),
        }
