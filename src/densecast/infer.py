"""Artifact + images  ->  predictions: the pipeline of reading, preprocessing, the engine and decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from densecast.core import catalog
from densecast.core.artifact import Artifact
from densecast.core.augment import Augment, View
from densecast.core.clock import Clock, unclocked
from densecast.core.errors import BadArtifactError, BadShapeError
from densecast.core.geometry import Placement
from densecast.core.machine import usable_cpus
from densecast.core.prediction import Prediction
from densecast.core.runner import Plan, Runner
from densecast.core.spec import Frame, ModelSpec
from densecast.core.tensor import Array, Dim
from densecast.imaging.prepare import prepare
from densecast.imaging.read import read_image

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready for the network: a (3, h, w) array for each view, and where the image lies in there."""

    arrays: tuple[Array, ...]
    views: tuple[View, ...]

    @property
    def array(self) -> Array:
        """The first view."""
        return self.arrays[0]

    @property
    def placement(self) -> Placement:
        """Where the image lies in the first view."""
        return self.views[0].placement


class Pipeline:
    """A loaded artifact that turns images into predictions.

    ```python
    with Pipeline.open("runs/demo/…") as pipeline:
        prediction = pipeline(image)  # (H, W, 3) uint8 RGB
    ```

    With an `augment` that is not plain, every image is seen in several views, whose outputs are averaged: a
    segmentation's probabilities, or the heatmaps of people. A model that was made to see images mirrored as well
    always does.
    """

    def __init__(self, artifact: Artifact, runner: Runner, plan: Plan, augment: Augment = Augment()) -> None:
        self.artifact, self.runner, self.plan = artifact, runner, plan
        self.augment = replace(augment, flip=augment.flip or artifact.spec.needs_mirror)
        self._task: ModuleType = catalog.load("tasks", artifact.spec.task)

    @classmethod
    def open(cls, artifact: Artifact | Path | str, *, threads: int | None = None, augment: Augment = Augment()) -> Self:
        """Load a compiled artifact; `threads` defaults to the CPUs this process may use.

        Raises:
            BadArtifactError: damaged, or not compiled.
            BackendMissingError, MissingExtraError: its engine is not installed.
        """
        if not isinstance(artifact, Artifact):
            artifact = Artifact.open(Path(artifact))
        build = artifact.manifest.build
        if build is None:
            raise BadArtifactError(f"{artifact.folder} is not compiled. Run `densecast build` on it first.")
        plan = Plan(threads or usable_cpus())
        return cls(artifact, catalog.load("backends", build.backend).load(artifact, plan), plan, augment)

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

    def prepare(self, image: Image) -> Prepared:
        """Resize and normalise, for each view.

        Raises:
            BadShapeError: the image does not lead to a shape the artifact takes.
        """
        arrays, views = [], []
        ratios = self.augment.ratios
        for ratio, scaled in zip(ratios, self.spec.preprocess.at_ratios(ratios), strict=True):
            array, placement = prepare(image, scaled, dtype=self.spec.input.dtype)
            self._check_size(image, array)
            for mirrored in (False, True) if self.augment.flip else (False,):
                arrays.append(array[:, :, ::-1] if mirrored else array)
                views.append(View(placement, mirrored, ratio))
        return Prepared(tuple(arrays), tuple(views))

    def run(
        self,
        prepared: Sequence[Prepared],
        *,
        frame: Frame = "image",
        probability: bool = False,
        clock: Clock = unclocked,
    ) -> list[Prediction]:
        """Inference and decoding, in order; views of one size are batched as the artifact allows.

        With `probability` a segmentation's maps have each pixel's probability, too.
        """
        results: list[Prediction | None] = [None] * len(prepared)
        places = [(index, view) for index, item in enumerate(prepared) for view in range(len(item.views))]
        arrays = [array for item in prepared for array in item.arrays]
        held: dict[int, dict[int, Array]] = {}
        for numbers, batch in self.batches(arrays):
            with clock("infer"):
                output = self.runner.run({self.spec.input.name: batch})[self.spec.output.name]
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

    def close(self) -> None:
        """Free the engine."""
        self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_size(self, image: Image, array: Array) -> None:
        for axis, got, want in zip(("high", "wide"), array.shape[1:], self.spec.input.shape[2:], strict=True):
            if not (want.admits(got) if isinstance(want, Dim) else want == got):
                raise BadShapeError(
                    f"an image of {image.shape[1]}×{image.shape[0]} pixels becomes {got} {axis} for the network, "
                    f"which takes {want}. Build an artifact for that size, or with a range of sizes."
                )

    def batches(self, arrays: Sequence[Array]) -> Iterator[tuple[list[int], Array]]:
        """Which of the (3, h, w) `arrays` run together, and the (N, 3, h, w) batch of them, filled up with zeros."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, array in enumerate(arrays):
            by_shape.setdefault(array.shape, []).append(index)
        for shape, indices in by_shape.items():
            for chosen, size in self._split(indices):
                batch = np.zeros((size, *shape), dtype=self.spec.input.dtype)
                for row, index in enumerate(chosen):
                    batch[row] = arrays[index]
                yield chosen, batch

    def _split(self, indices: list[int]) -> Iterator[tuple[list[int], int]]:
        """Runs of indices that the artifact takes at once, and the batch size each needs."""
        sizes = self.runner.batch_sizes
        if sizes is None:
            most = self.spec.input.shape[0]
            lowest, largest = (most.min, most.max) if isinstance(most, Dim) else (most, most)
            for start in range(0, len(indices), largest):
                chunk = indices[start : start + largest]
                yield chunk, max(len(chunk), lowest)
            return
        rest = indices
        while rest:
            # The largest size that can be filled; when none can, the smallest, filled up with zeros.
            size = max((size for size in sizes if size <= len(rest)), default=sizes[0])
            yield rest[:size], size
            rest = rest[size:]
