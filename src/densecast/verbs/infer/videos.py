"""Predicts the frames of videos and cameras: a JSON line for each, and the video drawn on; memory does not grow."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from densecast.errors import BadInputError, BadShapeError, BadVideoError, MissingFileError, UsageError
from densecast.imaging.video import Video, VideoFrame, is_live
from densecast.imaging.video_writer import VideoWriter
from densecast.imaging.views import check_size
from densecast.io import codec
from densecast.pipeline import Image, Pipeline, Predicted
from densecast.results.predictions import FailedImage, InferredVideo
from densecast.spec.verb_options import InferOptions
from densecast.tasks._prediction import Prediction
from densecast.verbs.infer.results import Results
from densecast.verbs.infer.sources import Source, Sources

LINES = ".jsonl"
# What is being done, the seconds of the video that are done, and how many there are.
TimeProgress = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made of a video."""

    options: InferOptions
    overlay: bool
    scores: bool
    batch: int | None = None

    @property
    def endings(self) -> tuple[str, ...]:
        """What the files of one video end in."""
        return (LINES, f"_overlay.{self.options.overlay_video}") if self.overlay else (LINES,)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A predicted frame: its line, and what it is drawn as."""

    frame: VideoFrame
    line: str
    drawn: Image | None


def refuse_idle(found: Sources, options: InferOptions, *, overlay: bool, colour: bool) -> None:
    """Refuse options of videos where there is none, and options that mean nothing for videos.

    Raises:
        UsageError: names the option.
    """
    if not found.has_videos:
        usual = InferOptions()
        for name in ("every", "seconds", "overlay_video"):
            if getattr(options, name) != getattr(usual, name):
                raise UsageError(f"{name} is for videos and cameras, and none was given: leave it out.", field=name)
        return
    if options.large:
        raise UsageError("videos are not large pictures: leave it out.", field="large")
    if options.overlay_video != InferOptions().overlay_video and not overlay:
        raise UsageError(
            "overlay_video is the container of the overlay: ask for the overlay, too.", field="overlay_video"
        )
    if options.skip_existing:
        raise UsageError("videos are always predicted as a whole: leave it out.", field="skip_existing")
    if colour:
        raise UsageError("colours are written of images; a video is drawn on with the overlay.", field="colour")


def unusable(sources: Sequence[Source], pipeline: Pipeline) -> dict[Path, BadInputError | MissingFileError]:
    """The videos that cannot be used, with what is wrong, as far as their first frame tells. Cameras are not opened."""
    problems: dict[Path, BadInputError | MissingFileError] = {}
    for source in sources:
        try:
            _check_network(pipeline)
            if not is_live(source.origin or ""):
                with Video(source.name, source.opened_at) as video:
                    check_size(video.facts.size_hw, pipeline.spec, pipeline.augment)
        except (BadInputError, MissingFileError) as error:
            problems[source.path] = error
    return problems


def infer_video(
    pipeline: Pipeline,
    source: Source,
    results: Results,
    scratch: Path,
    wanted: Wanted,
    progress: TimeProgress | None = None,
) -> InferredVideo:
    """Predict a video into the files of its results.

    What was predicted is kept when the frames end too early, and of a camera when it is interrupted; the error comes
    afterwards.

    Raises:
        BadVideoError: it cannot be opened or read to its end.
        BadShapeError: the network does not take its size.
    """
    room = Path(tempfile.mkdtemp(dir=scratch))
    stem = room / results.stems[source.path].name
    lines = stem.with_name(stem.name + LINES)
    failure: BaseException | None = None
    with Video(source.name, source.opened_at) as video:
        check_size(video.facts.size_hw, pipeline.spec, pipeline.augment)
        making = _Making(pipeline, wanted, video, stem)
        with lines.open("w", encoding="utf-8") as file:
            try:
                making.run(source.name, file, progress)
            except BadVideoError as error:
                failure = error
            except (KeyboardInterrupt, SystemExit) as error:
                if not video.facts.is_live:
                    making.abandon()
                    raise
                failure = error
            except BaseException:
                making.abandon()
                raise
        made = making.finish()
        if not making.count:
            assert failure is not None
            raise failure
        place = results.publish(source.path, room, lines)
        overlay = None if made is None else place.with_name(made.file.name)
        result = InferredVideo(
            source.origin or source.path,
            place,
            making.count,
            round(making.last_ms / 1000, 3),
            video.missed,
            overlay,
            *((made.frames, made.repeated, made.left_out) if made else ()),
        )
    if isinstance(failure, BadVideoError):
        raise BadVideoError(f"{failure} The {making.count} frames before are in {place}.")
    if failure is not None:
        raise failure
    return result


def infer_or_note(
    pipeline: Pipeline,
    source: Source,
    results: Results,
    scratch: Path,
    wanted: Wanted,
    progress: TimeProgress | None,
) -> InferredVideo | FailedImage:
    """`infer_video`, or why there are no results, if others are to go on."""
    try:
        return infer_video(pipeline, source, results, scratch, wanted, progress)
    except BadInputError as error:
        if not wanted.options.keep_going:
            raise
        return FailedImage.of(source.path, error)


class _Making:
    """The files of one video while they are made."""

    def __init__(self, pipeline: Pipeline, wanted: Wanted, video: Video, stem: Path) -> None:
        self._pipeline, self._wanted, self._video = pipeline, wanted, video
        options, facts = wanted.options, video.facts
        self._writer: VideoWriter | None = None
        if wanted.overlay:
            path = stem.with_name(f"{stem.name}_overlay.{options.overlay_video}")
            rate = None if facts.fps is None else facts.fps / options.every
            self._writer = VideoWriter(path, options.overlay_video, rate, facts.size_hw)
        self.count, self.last_ms = 0, 0.0

    def run(self, name: str, file: IO[str], progress: TimeProgress | None) -> None:
        """Predict and write every frame, in order."""
        facts, limit = self._video.facts, self._wanted.options.seconds
        total = min((each for each in (facts.seconds, limit) if each), default=0.0)
        stream = self._pipeline.stream(
            self._frames(), lambda frame: frame.image, self._shown, scores=self._wanted.scores, batch=self._wanted.batch
        )
        with contextlib.closing(stream) as results:
            for shown in results:
                file.write(shown.line)
                if facts.is_live:
                    file.flush()
                if self._writer is not None and shown.drawn is not None:
                    self._writer.write(shown.drawn, shown.frame.time_ms)
                self.count, self.last_ms = self.count + 1, shown.frame.time_ms
                if progress:
                    progress(name, self.last_ms / 1000, max(total, self.last_ms / 1000))

    def finish(self) -> Any:
        """Close the overlay, and what was read back of it; None if none was asked for, or nothing was written."""
        if self._writer is None:
            return None
        if not self.count:
            self._writer.abandon()
            return None
        return self._writer.close()

    def abandon(self) -> None:
        """Close the overlay without a look at it."""
        if self._writer is not None:
            self._writer.abandon()

    def _frames(self) -> Iterator[VideoFrame]:
        limit = self._wanted.options.seconds
        for frame in self._video.frames(self._wanted.options.every):
            if limit is not None and frame.time_ms >= limit * 1000:
                return
            yield frame

    def _shown(self, predicted: Predicted[VideoFrame]) -> _Shown:
        frame, task = predicted.source, self._pipeline.task
        plain = plain_of(predicted.prediction, task)
        line = json.dumps(
            {"frame": frame.number, "time_ms": round(frame.time_ms, 3), **plain}, allow_nan=False, ensure_ascii=False
        )
        drawn = None
        if self._writer is not None:
            drawn = task.draw(predicted.image, predicted.prediction, self._pipeline.spec)
        return _Shown(frame, line + "\n", drawn)


def plain_of(prediction: Any, task: Any) -> dict[str, Any]:
    """A prediction as plain values; of a task that has no such form its arrays, as lists."""
    if isinstance(prediction, Prediction):
        return prediction.to_dict()
    return {name: codec.to_plain(array.tolist()) for name, array in task.tensors(prediction).items()}


def _check_network(pipeline: Pipeline) -> None:
    """A video's frames are RGB of 8 bits.

    Raises:
        BadShapeError: the network takes another number of channels.
    """
    channels = pipeline.spec.input.shape[1] if len(pipeline.spec.input.shape) == 4 else 3
    if isinstance(channels, int) and channels not in (1, 3):
        raise BadShapeError(f"frames of videos have 3 channels, the network takes {channels}. Use images.")
