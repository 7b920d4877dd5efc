"""The best and the worst images of a run, with the predictions of two models over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from densecast import plugins
from densecast.artifact import Artifact
from densecast.imaging.prepare import resize
from densecast.io import files
from densecast.pipeline import Image, Pipeline
from densecast.report.data import Picture, Row
from densecast.spec.precision import short
from densecast.spec.sample import Dataset, Sample
from densecast.verbs.evaluate import EvaluateOptions

_LONG_SIDE_PX = 640
_JPEG_QUALITY = 85


def choose(rows: list[Row], worst: int = 3, best: int = 1) -> list[tuple[str, str]]:
    """(sample id, why) of the images to show: the first row's worst and best, and where the last differs most."""
    values = rows[0].score.per_image
    if not values:
        return []
    ranked = sorted(values, key=lambda name: values[name])
    chosen = [(name, "worst") for name in ranked[:worst]]
    chosen += [(name, "best") for name in ranked[len(ranked) - best :] if name not in dict(chosen)]
    last = rows[-1].score.per_image
    changed = max(values, key=lambda name: abs(last.get(name, values[name]) - values[name]))
    if changed not in dict(chosen):
        chosen.append((changed, "changed most"))
    return chosen


def make(
    chosen: list[tuple[str, str]],
    shown: list[tuple[Row, Artifact]],
    data: Path,
    options: EvaluateOptions,
    out: Path,
) -> tuple[Picture, ...]:
    """Draw the ground truth and each shown model's prediction over each chosen image, as JPEG files in `out`."""
    if not chosen:
        return ()
    first = shown[0][1].spec
    assert first.evaluation is not None
    dataset: Dataset = plugins.load("datasets", first.evaluation.dataset).open(data, options.split, options.seed)
    samples = {sample.id: sample for sample in dataset.samples}
    drawn: dict[str, dict[str, str]] = {name: _truth(dataset, samples[name], shown[0][1], out) for name, _ in chosen}
    for row, artifact in shown:
        title = f"{row.backend} {short(row.asked)}"
        with Pipeline.open(artifact) as pipeline:
            for name, _ in chosen:
                image = pipeline.read(samples[name].image)
                over = pipeline.draw(image, pipeline(image))
                drawn[name][title] = _write(over, out / f"{name}_{row.backend}_{short(row.asked)}.jpg")
    return tuple(
        Picture(
            name,
            why,
            drawn[name],
            {f"{row.backend} {short(row.asked)}": row.score.per_image[name] for row, _ in shown},
        )
        for name, why in chosen
    )


def _truth(dataset: Dataset, sample: Sample, artifact: Artifact, out: Path) -> dict[str, str]:
    from densecast.imaging.read import read_image

    image = read_image(sample.image, use_exif=artifact.spec.preprocess.use_exif)
    task = plugins.load("tasks", artifact.spec.task)
    over: Image = task.draw(image, task.truth(dataset.read_target(sample)), artifact.spec)
    return {"ground truth": _write(over, out / f"{sample.id}_truth.jpg")}


def _write(image: Image, path: Path) -> str:
    """A JPEG no longer than the report needs; its path relative to the report's folder."""
    import cv2

    factor = min(1.0, _LONG_SIDE_PX / max(image.shape[:2]))
    size_hw = (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor)))
    small = np.ascontiguousarray(resize(image, size_hw, "bicubic_pillow")[:, :, ::-1])
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done, "an RGB array always encodes"
    files.write_bytes(path, data.tobytes())
    return f"{path.parent.name}/{path.name}"
