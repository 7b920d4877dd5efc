"""Artifact + images  ->  predictions: the pipeline of reading, preprocessing, the engine and decoding."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from densecast import plugins
from densecast.artifact import Artifact
from densecast.artifact.tune_record import Setting
from densecast.backends._base import Concurrent, Runner
from densecast.errors import BadArtifactError, UsageError
from densecast.imaging.read import read_image
from densecast.runtime import execution, machine, ordered_map, thread_budget
from densecast.runtime.batching import Buffers, batches
from densecast.runtime.clock import Clock, unclocked
from densecast.runtime.execution import ExecutionConfig, Mode
from densecast.spec.augment import Augment
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.prediction import Prediction
from densecast.spec.tensor import Array, Feeds

if TYPE_CHECKING:
    # It brings numba, for which there is time while the engine loads its model.
    from densecast.imaging.views import ModelInputs

Image = npt.NDArray[np.uint8]
Source = TypeVar("Source")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Predicted(Generic[Source]):
    """An image of a stream with its prediction; `placement` is where it lay in the network's input."""

    source: Source
    image: Image
    placement: Placement
    prediction: Prediction


class Pipeline:
    """A loaded artifact that turns images into predictions.

    ```python
    with Pipeline.open("runs/demo/…") as pipeline:
        prediction = pipeline(image)  # (H, W, 3) uint8 RGB
    ```

    With an `augment` that is not plain, every image is seen in several views, whose outputs are averaged: a
    segmentation's probabilities, or the heatmaps of people. A model that was made to see images mirrored as well
    always does.

    In latency mode one image at a time has all CPUs. In throughput mode `stream` works on several images at a time;
    the predictions are the same.
    """

    def __init__(
        self, artifact: Artifact, runner: Runner, config: ExecutionConfig, augment: Augment = Augment()
    ) -> None:
        self.artifact, self.runner, self.config = artifact, runner, config
        self.augment = replace(augment, flip=augment.flip or artifact.spec.needs_mirror)
        self._task: ModuleType = plugins.load("tasks", artifact.spec.task)
        self._streams = threading.Semaphore(config.num_streams if isinstance(runner, Concurrent) else 1)

    @classmethod
    def open(
        cls,
        artifact: Artifact | Path | str,
        *,
        threads: int | None = None,
        mode: Mode = "latency",
        augment: Augment = Augment(),
        device: str = "",
    ) -> Self:
        """Load a compiled artifact; `threads` defaults to the CPUs this process may use, `device` to the backend's own.

        Raises:
            UsageError: a device that this artifact's backend does not have.
            BadArtifactError: damaged, or not compiled.
            BackendMissingError, MissingExtraError: its engine is not installed.
        """
        if not isinstance(artifact, Artifact):
            artifact = Artifact.open(Path(artifact))
        build = artifact.manifest.build
        if build is None:
            raise BadArtifactError(f"{artifact.folder} is not compiled. Run `densecast build` on it first.")
        tuned = _tuned(artifact, mode, threads, device)
        streams, batch = (tuned.streams, tuned.batch) if tuned else (None, 1)
        config = execution.configure(mode, threads, streams, batch=batch, device=device)
        backend = plugins.load("backends", build.backend)
        kinds = getattr(backend, "DEVICES", ("cpu",))
        if device and device.partition(":")[0] not in kinds:
            raise UsageError(f"backend {build.backend!r} runs on {', '.join(kinds)}, not on {device!r}.")
        return cls(artifact, backend.load(artifact, config), config, augment)

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.artifact.spec

    def __call__(self, image: Image) -> Prediction:
        """(H, W, 3) uint8 RGB -> prediction in the image's own pixels."""
        return self.run([self.prepare(image)])[0]

    def predict(self, images: Sequence[Image], *, probability: bool = False) -> list[Prediction]:
        """Predictions of images of any sizes, in order; those of one network size share batches."""
        return self.run([self.prepare(image) for image in images], probability=probability)

    def read(self, path: Path) -> Image:
        """An image file as the model's preprocessing wants it read."""
        return read_image(path, use_exif=self.spec.preprocess.use_exif)

    def prepare(self, image: Image) -> ModelInputs:
        """Resize and normalise, for each view.

        Raises:
            BadShapeError: the image does not lead to a shape the artifact takes.
        """
        from densecast.imaging.views import prepare_views

        return prepare_views([image], self.spec, self.augment, Buffers(), unclocked)[0]

    def run(
        self,
        prepared: Sequence[ModelInputs],
        *,
        frame: Frame = "image",
        probability: bool = False,
        clock: Clock = unclocked,
    ) -> list[Prediction]:
        """Inference and decoding, in order; views of one size are batched as the artifact allows.

        With `probability` a segmentation's maps have each pixel's probability, too.
        """
        return self._run(prepared, frame, probability, clock, Buffers(), 0)

    def stream(
        self,
        sources: Iterable[Source],
        read: Callable[[Source], Image],
        finish: Callable[[Predicted[Source]], Result],
        *,
        batch: int | None = None,
        frame: Frame = "image",
        probability: bool = False,
        clock: Clock = unclocked,
    ) -> Generator[Result, None, None]:
        """What `finish` makes of every image and its prediction, in order; `batch` images of one size run together.

        Without `batch`, it is the plan's: in throughput mode what tuning found best, else 1.
        As many images or batches are in work as the plan has lanes: while one is read, another is in the network
        and a third is finished. `read` and `finish` are called in several threads then. Memory does not depend on the
        number of images. An error of an image comes out at its place. OpenCV is held to the plan's share of threads
        until the iterator ends or is closed.
        """
        from densecast.imaging.views import prepare_views

        buffers = [Buffers() for _ in range(self.config.num_workers)]

        def work(lane: int, group: Sequence[Source]) -> list[Result]:
            buffers[lane].turn()
            with clock("end_to_end"):
                images = []
                for source in group:
                    with clock("decode"):
                        images.append(read(source))
                prepared = prepare_views(images, self.spec, self.augment, buffers[lane], clock)
                predictions = self._run(prepared, frame, probability, clock, buffers[lane], lane)
                return [
                    finish(Predicted(source, image, item.placement, prediction))
                    for source, image, item, prediction in zip(group, images, prepared, predictions, strict=True)
                ]

        groups = ordered_map.ordered_parallel_map(
            work, _groups(sources, batch or self.config.batch_size), self.config.num_workers
        )
        with (
            thread_budget.opencv_threads(self.config.num_threads // self.config.num_workers),
            contextlib.closing(groups),
        ):
            for results in groups:
                yield from results

    def _run(
        self,
        prepared: Sequence[ModelInputs],
        frame: Frame,
        probability: bool,
        clock: Clock,
        buffers: Buffers,
        lane: int,
    ) -> list[Prediction]:
        results: list[Prediction | None] = [None] * len(prepared)
        places = [(index, view) for index, item in enumerate(prepared) for view in range(len(item.views))]
        arrays = [array for item in prepared for array in item.arrays]
        held: dict[int, dict[int, Array]] = {}
        for numbers, batch in batches(arrays, self.spec.input, self.runner.batch_sizes, buffers):
            with clock("infer"):
                output = self.infer({self.spec.input.name: batch}, lane)[self.spec.output.name]
            for row, number in enumerate(numbers):
                index, view = places[number]
                item = prepared[index]
                own = held.setdefault(index, {})
                own[view] = output[row]
                if len(own) < len(item.views):
                    continue
                outputs = [held[index][each] for each in range(len(item.views))]
                with clock("postprocess"):
                    results[index] = self._task.decode_views(
                        outputs, item.views, self.spec, frame, probability=probability
                    )
                del held[index]
            # Outputs that wait for their image's other views outlive this one, which the next run may overwrite.
            waiting = {places[number] for number in numbers if places[number][0] in held}
            for index, view in waiting:
                held[index][view] = held[index][view].copy()
        return [result for result in results if result is not None]

    def draw(self, image: Image, prediction: Prediction) -> Image:
        """The prediction over its image."""
        drawn: Image = self._task.draw(image, prediction, self.spec)
        return drawn

    def save(self, path_without_suffix: Path, prediction: Prediction) -> Path:
        """Write the prediction in the task's own format."""
        saved: Path = self._task.save(path_without_suffix, prediction)
        return saved

    def save_colour(self, path_without_suffix: Path, prediction: Prediction) -> Path:
        """Write the prediction's classes in their colours.

        Raises:
            UsageError: the task has no classes.
        """
        if not hasattr(self._task, "save_colour"):
            raise UsageError(f"--colour is for segmentations; {self.spec.name} looks for people.")
        saved: Path = self._task.save_colour(path_without_suffix, prediction, self.spec)
        return saved

    def close(self) -> None:
        """Free the engine."""
        self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, arrays: Sequence[Array]) -> Iterator[tuple[list[int], Array]]:
        """Which of the (3, h, w) `arrays` run together, and the (N, 3, h, w) batch of them, filled up with zeros."""
        return batches(arrays, self.spec.input, self.runner.batch_sizes, Buffers())

    def infer(self, feeds: Feeds, lane: int = 0) -> Feeds:
        """The network alone, for one of the plan's lanes; the lane's next call may overwrite the result."""
        if self.config.num_workers == 1:
            return self.runner.run(feeds)
        with self._streams:
            if isinstance(self.runner, Concurrent):
                return self.runner.run_in(lane, feeds)
            return {name: array.copy() for name, array in self.runner.run(feeds).items()}


def _groups(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    group: list[Source] = []
    for source in sources:
        group.append(source)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _tuned(artifact: Artifact, mode: Mode, threads: int | None, device: str) -> Setting | None:
    """Streams and batch that were measured to be the fastest, if that was for this mode and on as many CPUs."""
    tuning = artifact.manifest.tuning
    if tuning is None or mode == "latency" or device not in ("", "cpu"):
        return None
    return tuning.for_throughput(threads or machine.usable_cpus())
