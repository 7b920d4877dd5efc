"""Runs a model on images: preprocess, forward, postprocess."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from densecast import windowed
from densecast.artifact import Artifact, CompiledArtifact
from densecast.errors import BadArtifactError, BadInputError, BadShapeError
from densecast.imaging.door import as_image, prepared
from densecast.imaging.read import read_for
from densecast.runtime import execution, ordered_map, process_settings
from densecast.runtime.async_calls import AsyncCalls
from densecast.runtime.batching import batches, grouped
from densecast.runtime.clock import Clock, unclocked
from densecast.runtime.execution import ExecutionConfig, Mode
from densecast.session import Session, Slot, tuned_setting, unless_failing
from densecast.spec.augment import Augment
from densecast.spec.choices import types_of
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds
from densecast.tasks._base import TASKS
from densecast.tasks._prediction import Origin, with_origin
from densecast.windowed import Predicted as Predicted

if TYPE_CHECKING:
    from densecast.imaging.views import ModelInputs  # it brings numba, while the engine loads its model

Image = npt.NDArray[np.uint8]
# An array, a path, a file's bytes, or a Pillow image.
ImageLike = Any
Source = TypeVar("Source")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """All arguments for opening a pipeline; picklable, so that a worker process can open its own."""

    artifact: Path
    threads: int | None = None
    mode: Mode = "latency"
    augment: Augment = Augment()
    device: str = ""


class Pipeline:
    """A loaded model that turns images into predictions; thread-safe.

    ```python
    with densecast.Pipeline.open("runs/demo/…") as pipeline:
        prediction = pipeline(image)  # (H, W, 3) uint8 RGB
    ```

    With an `augment` that is not plain, an image is seen in several views, whose outputs are averaged: probabilities,
    or the heatmaps of people. A model that was made to see images mirrored as well always does.

    In latency mode one image has all CPUs. In throughput mode several are in work at a time, in `stream` or in the
    caller's threads; the predictions are the same.
    """

    def __init__(
        self, session: Session, augment: Augment = Augment(), *, artifact: CompiledArtifact | None = None
    ) -> None:
        self.session, self.artifact = session, artifact
        self.augment = replace(augment, flip=augment.flip or session.spec.needs_mirror)
        self.task = TASKS.load_trusted(session.spec.task)
        self._origin = Origin(session.spec)
        self._calls = AsyncCalls(session.config.num_workers)

    @classmethod
    def open(
        cls,
        artifact: Artifact | PipelineConfig | Path | str,
        *,
        threads: int | None = None,
        mode: Mode = "latency",
        augment: Augment = Augment(),
        device: str = "",
    ) -> Self:
        """Load a compiled artifact; `threads` defaults to the CPUs this process may use, `device` to the backend's own.

        Raises:
            UsageError: a device that this artifact's backend does not have, or an argument of another type.
            BadArtifactError: damaged, or not compiled.
            BackendMissingError, MissingExtraError: its engine is not installed.
        """
        if isinstance(artifact, PipelineConfig):
            own = artifact
            return cls.open(own.artifact, threads=own.threads, mode=own.mode, augment=own.augment, device=own.device)
        types_of(PipelineConfig(Path(), threads, mode, augment, device))
        artifact = artifact if isinstance(artifact, Artifact) else CompiledArtifact.open(artifact)
        if not isinstance(artifact, CompiledArtifact):
            raise BadArtifactError(CompiledArtifact.wrong_kind(artifact.folder))
        tuned = tuned_setting(artifact, mode, threads, device)
        streams, batch = (tuned.streams, tuned.batch) if tuned else (None, 1)
        config_of_mode = execution.configure(mode, threads, streams, batch=batch, device=device)
        return cls(Session.open(artifact, config_of_mode), augment, artifact=artifact)

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.session.spec

    @property
    def config(self) -> ExecutionConfig:
        """The execution configuration: threads, streams and workers."""
        return self.session.config

    @property
    def precision(self) -> PrecisionRan:
        """The precision that runs, read back from the engine."""
        return self.session.precision

    def __call__(self, image: ImageLike, *, scores: bool = False) -> Any:
        """(H, W, 3) uint8 RGB -> prediction in the image's own pixels; with `scores` with probabilities, too.

        The image may also be grey (H, W) or RGBA, a path, a file's bytes, or a Pillow image.

        Raises:
            BadShapeError: another shape or type, or the image does not lead to a shape the artifact takes.
            BadImageError: a file that cannot be read.
        """
        seen = as_image(image, self.spec)
        kept = seen.copy() if isinstance(image, np.ndarray) else seen  # the caller may use the array again
        return with_origin(self.predict_together([seen], scores=scores)[0], Origin(self.spec, kept))

    async def apredict(self, image: ImageLike, *, scores: bool = False) -> Any:
        """As calling the pipeline, while the event loop goes on; what is cancelled before its turn is not computed."""
        return await self._calls.run(partial(self, image, scores=scores))

    def predict_together(self, images: Sequence[Image], *, scores: bool = False, clock: Clock = unclocked) -> list[Any]:
        """Predictions of images that `as_image` has made, in order; those of one size are batched."""
        with self.session.lease() as slot:
            inputs = self._preprocess(images, slot, clock)
            predictions = self._predict(inputs, slot, "image", scores, clock)
        return [with_origin(each, self._origin) for each in predictions]

    def read(self, path: Path | str) -> Image:
        """Read an image file as the model's preprocessing requires."""
        return read_for(path, self.spec)

    def preprocess(self, image: ImageLike) -> ModelInputs:
        """Resize and normalise an image for each TTA view; returns new arrays.

        Raises:
            BadShapeError: no image, or it does not lead to a shape the artifact takes.
            BadImageError: a file that cannot be read.
        """
        from densecast.imaging.views import prepare_views
        from densecast.runtime.batching import Buffers

        return prepare_views([as_image(image, self.spec)], self.spec, self.augment, Buffers(), unclocked)[0]

    def forward(self, inputs: ModelInputs) -> tuple[Feeds, ...]:
        """Run the network: outputs by name, without the batch axis, for each view; returns new arrays."""
        outputs: dict[int, Feeds] = {}
        with self.session.lease() as slot:
            for numbers, feeds in windowed.batches_of(self.session, prepared(inputs), slot, unclocked):
                outputs_by_name = slot.run(feeds)
                for row, number in enumerate(numbers):
                    outputs[number] = {name: array[row].copy() for name, array in outputs_by_name.items()}
        return tuple(outputs[number] for number in range(len(outputs)))

    def postprocess(
        self, outputs: Sequence[Feeds], inputs: ModelInputs, frame: Frame = "image", *, scores: bool = False
    ) -> Any:
        """Turn the outputs of all views into a prediction."""
        if self.spec.slide is not None:
            return windowed.join(outputs, self.task, self.spec, inputs, frame, scores=scores)
        return self.task.postprocess(outputs, prepared(inputs).views, self.spec, frame, scores=scores)

    def predict(self, inputs: ModelInputs, frame: Frame = "image") -> Any:
        """Forward and postprocess of what `preprocess` gave, without copies; a BadShapeError for anything else."""
        with self.session.lease() as slot:
            return self._predict([prepared(inputs)], slot, frame, False, unclocked)[0]

    def stream(
        self,
        sources: Iterable[Source],
        read: Callable[[Source], ImageLike],
        finish: Callable[[Predicted[Source]], Result],
        *,
        batch: int | None = None,
        frame: Frame = "image",
        scores: bool = False,
        clock: Clock = unclocked,
        failed: Callable[[Source, BadInputError], Result] | None = None,
    ) -> Generator[Result, None, None]:
        """Predict a stream of images; yields the results of `finish` in order. `batch` images of one size run together.

        Without `batch`, it is the execution config's: in throughput mode what tuning found best, else 1. With sliding
        windows it is how many of an image's run together. As many images or batches are in work as there are workers:
        while one is read, another is in the network and a third is finished. `read` and `finish` are called in several
        threads then. Memory does not depend on the number of images. An error of an image comes out at its place; with
        `failed`, an image that cannot be read, or does not fit the network, has the result of that instead, and the
        others go on. OpenCV is held to its share of threads until the iterator ends or is closed.
        """
        from densecast.imaging.prepare import displayable
        from densecast.imaging.views import misfits

        rule = self.spec.preprocess

        def work(_: int, group: Sequence[Source]) -> list[Result]:
            with clock("end_to_end"):
                results: dict[int, Result] = {}
                images: dict[int, Image] = {}
                for place, source in enumerate(group):
                    try:
                        with clock("decode"):
                            images[place] = as_image(read(source), self.spec)
                    except BadInputError as error:
                        if failed is None:
                            raise
                        results[place] = failed(source, error)
                with self.session.lease() as slot:
                    if failed is not None:
                        for place, misfit in misfits(images, self.spec, self.augment).items():
                            del images[place]
                            results[place] = failed(group[place], misfit)
                    inputs = self._preprocess(list(images.values()), slot, clock)
                    run = partial(self._predict, slot=slot, frame=frame, scores=scores, clock=clock, most=batch)
                    predictions = unless_failing(run, inputs, [group[at] for at in images], goes_on=failed is not None)
                for place, item, prediction in zip(images, inputs, predictions, strict=True):
                    if failed is not None and isinstance(prediction, BadShapeError):
                        results[place] = failed(group[place], prediction)
                        continue
                    known = with_origin(prediction, self._origin)
                    shown = displayable(images[place], rule)
                    results[place] = finish(Predicted(group[place], shown, item.placement, known))
                return [results[place] for place in range(len(group))]

        workers, together = self.config.num_workers, 1 if self.spec.slide else batch or self.config.batch_size
        groups = ordered_map.ordered_parallel_map(work, grouped(sources, together), workers)
        with process_settings.opencv_threads(self.config.num_threads // workers), contextlib.closing(groups):
            for results in groups:
                yield from results

    def close(self) -> None:
        """Release the engine."""
        self._calls.close()
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pipeline: {self.spec.name} ({self.spec.task}), {self.precision}, {self.config.num_threads} threads>"

    def _preprocess(self, images: Sequence[Image], slot: Slot, clock: Clock) -> list[ModelInputs]:
        from densecast.imaging.views import prepare_views

        return prepare_views(images, self.spec, self.augment, slot.buffers, clock)

    def _predict(
        self,
        inputs: Sequence[ModelInputs],
        slot: Slot,
        frame: Frame,
        scores: bool,
        clock: Clock,
        most: int | None = None,
    ) -> list[Any]:
        """Predictions in order; an image is postprocessed as soon as all of its views are computed."""
        if self.spec.slide is not None:
            return windowed.predict_all(self.session, self.task, inputs, slot, frame, scores, clock, most)
        results: list[Any] = [None] * len(inputs)
        places = [(index, view) for index, item in enumerate(inputs) for view in range(len(item.views))]
        waiting: dict[int, dict[int, Feeds]] = {}
        feeds_of_all = [each for item in inputs for each in item.feeds]
        for numbers, feeds in batches(feeds_of_all, self.spec.inputs, self.session.batch_sizes, slot.buffers):
            with clock("infer"):
                outputs_by_name = slot.run(feeds)
            for row, number in enumerate(numbers):
                index, view = places[number]
                own = waiting.setdefault(index, {})
                own[view] = {name: array[row] for name, array in outputs_by_name.items()}
                if len(own) == len(inputs[index].views):
                    with clock("postprocess"):
                        results[index] = self.postprocess(
                            [own[each] for each in range(len(own))], inputs[index], frame, scores=scores
                        )
                    del waiting[index]
            # Outputs that wait for their image's other views outlive this run, whose arrays the next may overwrite.
            for index, view in {places[number] for number in numbers}:
                if index in waiting:
                    waiting[index][view] = {name: array.copy() for name, array in waiting[index][view].items()}
        return results
