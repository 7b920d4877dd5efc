"""What the files of one image's prediction end in, known before the first inference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.spec.augment import View
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Feeds
from densecast.tasks._base import Task

OVERLAY = "_overlay.jpg"
# Far below any image: what is drawn of it is thrown away.
_SAMPLE_HW = (64, 64)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is written beside an image's prediction: its scores, its classes' colours, or it over the image."""

    scores: bool = False
    colour: bool = False
    overlay: bool = False


def endings_of(
    task: Task[Any, Any],
    spec: ModelSpec,
    scratch: Path,
    *,
    flip: bool = False,
    scores: bool = False,
    colour: bool = False,
    overlay: bool = False,
) -> tuple[str, ...]:
    """What the files of one image end in, as `.png` and `_score.png`: found by saving a sample prediction to `scratch`.

    Raises:
        UsageError: scores or colours that the task does not have.
    """
    from densecast.tasks._base import SavesColours

    shapes = {tensor.name: tensor.typical_shape(_SAMPLE_HW[0]) for tensor in spec.outputs}
    sample = task.sample_outputs(_zeros(shapes), spec)
    placement = spec.preprocess.resize.place(_SAMPLE_HW)
    mirrors = (False, True) if flip else (False,)
    views = [View(placement, mirrored, 1.0) for mirrored in mirrors]
    prediction = task.postprocess([sample] * len(views), views, spec, scores=scores)
    stem = scratch / "s"
    task.save(stem, prediction, spec)
    if colour and isinstance(task, SavesColours):
        task.save_colour(stem, prediction, spec)
    names = [str(path.relative_to(scratch)) for path in sorted(scratch.rglob("*")) if path.is_file()]
    endings = [name.removeprefix("s") for name in names if name.startswith("s")]
    return (*endings, *((OVERLAY,) if overlay else ()))


def _zeros(shapes: dict[str, tuple[int, ...]]) -> Feeds:
    import numpy as np

    return {name: np.zeros(shape[1:], np.float32) for name, shape in shapes.items()}
