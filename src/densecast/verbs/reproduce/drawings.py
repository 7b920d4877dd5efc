"""Draws a run's best and worst images: the image, the ground truth, two models' predictions and their difference."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.datasets._base import Dataset
from densecast.imaging.prepare import displayable, resize
from densecast.imaging.read import read_for
from densecast.io import files
from densecast.pipeline import Image, Pipeline
from densecast.report.data import DIFFERENCE, IMAGE, TRUTH, DrawnImage, Row
from densecast.runtime.machine import usable_cpus
from densecast.spec.model import ModelSpec
from densecast.spec.precision import short
from densecast.spec.sample import Sample
from densecast.spec.verb_options import EvaluateOptions
from densecast.tasks._base import TASKS, DrawsChanges, Task
from densecast.verbs.reproduce.material import Material

_LONG_SIDE_PX = 640
_JPEG_QUALITY = 85


def choose(rows: list[Row], worst: int = 3, best: int = 1) -> list[tuple[str, str]]:
    """Choose images to show, as (sample id, reason): the first row's worst and best, and the largest difference."""
    values = rows[0].score.per_image
    if not values:
        return []
    higher = rows[0].score.better == "higher"
    ranked = sorted(values, key=lambda name: values[name] if higher else -values[name])
    chosen = [(name, "worst") for name in ranked[:worst]]
    chosen += [(name, "best") for name in ranked[len(ranked) - best :] if name not in dict(chosen)]
    last = rows[-1].score.per_image
    changed = max(values, key=lambda name: abs(last.get(name, values[name]) - values[name]))
    if changed not in dict(chosen):
        chosen.append((changed, "changed most"))
    return chosen


def draw_all(
    chosen: list[tuple[str, str]],
    shown: list[tuple[Row, CompiledArtifact]],
    material: Material,
    options: EvaluateOptions,
    out: Path,
) -> tuple[DrawnImage, ...]:
    """Draw each chosen image, its truth where known, each shown model's prediction and their difference, into `out`.

    The first model shown is the one that others are compared with; it is drawn after them, beside the difference.
    """
    if not chosen:
        return ()
    spec = shown[0][1].spec
    samples = {sample.id: sample for sample in material.samples}
    dataset = None
    if material.found is not None:
        dataset = material.found.open(options.split, options.seed)
        samples = {sample.id: sample for sample in dataset.samples}
    drawn: dict[str, dict[str, Future[str]]] = {name: {} for name, _ in chosen}
    found: list[dict[str, tuple[Image, Any]]] = []
    task = TASKS.load_trusted(spec.task)
    # Beside each other, and beside the predictions that come next.
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for name, _ in chosen:
            drawn[name][IMAGE] = pool.submit(_draw_image, samples[name], spec, out)
            if dataset is not None:
                drawn[name][TRUTH] = pool.submit(_draw_truth, dataset, samples[name], spec, out)
        for row, artifact in reversed(shown):
            found.append({})
            with Pipeline.open(artifact) as pipeline:
                for name, _ in chosen:
                    image = pipeline.read(samples[name].image)
                    prediction = pipeline(image)
                    image = displayable(image, spec.preprocess)
                    found[-1][name] = image, prediction
                    file = out / f"{_file_name(name)}_{row.backend}_{short(row.asked)}.jpg"
                    drawn[name][_title(row)] = pool.submit(
                        _draw_prediction, pipeline.task, image, prediction, pipeline.spec, file
                    )
        if len(shown) > 1 and isinstance(task, DrawsChanges):
            for name, _ in chosen:
                image, candidate = found[0][name]
                file = out / f"{_file_name(name)}_difference.jpg"
                drawn[name][DIFFERENCE] = pool.submit(_draw_changes, task, image, found[-1][name][1], candidate, file)
    return tuple(
        DrawnImage(
            name,
            why,
            {what: file.result() for what, file in drawn[name].items()},
            {_title(row): row.score.per_image[name] for row, _ in shown},
        )
        for name, why in chosen
    )


def _file_name(sample: str) -> str:
    """A sample's id as part of a file's name: ids of folders within folders have slashes."""
    plain = "".join(each if each.isalnum() or each in "-_." else "_" for each in sample)[:100]
    return plain if plain == sample else f"{plain}_{files.sha256_text(sample)[:8]}"


def _title(row: Row) -> str:
    return f"{row.backend} {short(row.asked)}"


def _draw_image(sample: Sample, spec: ModelSpec, out: Path) -> str:
    plain = displayable(read_for(sample.image, spec), spec.preprocess)
    return _write(plain, out / f"{_file_name(sample.id)}_image.jpg")


def _draw_prediction(task: Task[Any, Any], image: Image, prediction: Any, spec: ModelSpec, file: Path) -> str:
    return _write(task.draw(image, prediction, spec), file)


def _draw_changes(task: DrawsChanges[Any], image: Image, first: Any, other: Any, file: Path) -> str:
    return _write(task.draw_changes(image, first, other), file)


def _draw_truth(dataset: Dataset[Any], sample: Sample, spec: ModelSpec, out: Path) -> str:
    image = displayable(read_for(sample.image, spec), spec.preprocess)
    task = TASKS.load_trusted(spec.task)
    over = task.draw(image, task.as_prediction(dataset.read_target(sample)), spec)
    return _write(over, out / f"{_file_name(sample.id)}_truth.jpg")


def _write(image: Image, path: Path) -> str:
    """Write a JPEG downscaled for the report; returns its path relative to the report's folder."""
    import cv2

    factor = min(1.0, _LONG_SIDE_PX / max(image.shape[:2]))
    size_hw = (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor)))
    small = np.ascontiguousarray(resize(image, size_hw, "bicubic_pillow")[:, :, ::-1])
    encoded, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert encoded, "an RGB array always encodes"
    files.write_bytes(path, data.tobytes())
    return f"{path.parent.name}/{path.name}"
