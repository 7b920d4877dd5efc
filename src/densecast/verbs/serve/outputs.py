"""The outputs that a model offers for pictures: its predictions as tensors, as PNG, as runs, as people, drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.imaging import run_lengths
from densecast.pipeline import Image, Pipeline
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Dim, TensorSpec
from densecast.tasks.pose import Poses, PoseTask, skeleton_of
from densecast.tasks.segmentation import SegmentationMap
from densecast.verbs.serve import tensors
from densecast.verbs.serve.refusals import bad

Make = Callable[[Sequence[Image], Sequence[Any]], Array]

COUNT = "count"
_PNG_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Output:
    """One output: its V2 name, type and shape, and how it is made. `scores` if predictions need them for it.

    `is_default` if it is given unasked.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    make: Make
    scores: bool = False
    is_default: bool = True


def offered(pipeline: Pipeline, sample: Any, scored: Any | None) -> dict[str, Output]:
    """What can be asked for; `sample` is a prediction, `scored` one with scores where the task has them."""
    task, spec = pipeline.task, pipeline.spec
    found: list[Output] = []
    varying = False
    for tensor in task.tensor_specs(spec):
        first = tensor.shape[0] if tensor.shape else 1
        varies = isinstance(first, Dim) and first.min == 0
        varying = varying or varies
        found.append(_of_tensor(pipeline, tensor, varies=varies))
    if varying:
        counts = _counts(pipeline, next(each.name for each in found))
        found.append(Output(COUNT, "INT64", (-1,), counts))
    plain = set(task.tensors(sample))
    if scored is not None:
        for name, array in task.tensors(scored).items():
            if name not in plain:
                dtype = str(array.dtype)
                tensor = TensorSpec(name, dtype, tuple(Dim("side", 1, 1 << 16) for _ in array.shape))
                found.append(_of_tensor(pipeline, tensor, varies=False, scores=True))
    if isinstance(sample, SegmentationMap):
        found.append(_bytes("class_id_png", lambda image, each: png(each.class_id)))
        found.append(_bytes("class_id_rle", lambda image, each: _json(runs(each.class_id, spec.labels))))
    if isinstance(sample, Poses):
        found.append(Output("people", "FP32", (-1, sample.score.shape[1], 3), _people, is_default=False))
        found.append(_bytes("people_json", lambda image, each: _json(people(each))))
    found.append(_bytes("overlay_png", lambda image, each: png(task.draw(image, each, spec))))
    return {each.name: each for each in found}


def png(pixels: Array) -> bytes:
    """(H, W) of 8 or 16 bits, or (H, W, 3) RGB, as a PNG; packed quickly rather than small."""
    import cv2

    shown = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    encoded, data = cv2.imencode(".png", np.ascontiguousarray(shown), [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not encoded:
        raise AssertionError(f"no PNG of {pixels.shape} {pixels.dtype}")
    return bytes(data.tobytes())


def runs(
    class_id: npt.NDArray[Any], labels: Sequence[str], probability: npt.NDArray[np.float32] | None = None
) -> list[dict[str, Any]]:
    """The classes of a map that are there, each with its mask as COCO's run-length encoding and its box.

    `x` and `y` are the middle of the box, as Roboflow's predictions have them. With probabilities `confidence` is their
    mean over the class's pixels.
    """
    found: list[dict[str, Any]] = []
    for number in np.unique(class_id).tolist():
        mask = class_id == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
        one = {
            "class_id": number,
            "class": name_of(number, labels),
            "x": left + width / 2,
            "y": top + height / 2,
            "width": width,
            "height": height,
            "rle": run_lengths.encode(mask),
        }
        found.append(one if probability is None else one | {"confidence": float(probability[mask].mean())})
    return found


def people(poses: Poses) -> list[dict[str, Any]]:
    """People as COCO's results have them: `keypoints` x, y, score of each joint, `score`, and `bbox` of the joints."""
    listed = []
    for xy, score, person in zip(poses.xy_px, poses.score, poses.person_score, strict=True):
        joints = np.concatenate([xy, score[:, None]], axis=1)
        seen = xy[score > 0] if (score > 0).any() else xy
        left, top = seen.min(axis=0)
        right, bottom = seen.max(axis=0)
        listed.append(
            {
                "category_id": 1,
                "keypoints": [float(value) for value in joints.ravel()],
                "score": float(person),
                "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
            }
        )
    return listed


def limbs(task: object, spec: ModelSpec) -> list[list[int]]:
    """Pairs of joints to draw a line between: those of the model's skeleton."""
    if not isinstance(task, PoseTask):
        return []
    skeleton = skeleton_of(spec)
    return [list(pair) for pair in skeleton.limbs] if task.joints_of(spec) == len(skeleton.joints) else []


def name_of(number: int, labels: Sequence[str]) -> str:
    """A class's label; of a number without one the number."""
    return labels[number] if number < len(labels) else str(number)


def _of_tensor(pipeline: Pipeline, tensor: TensorSpec, *, varies: bool, scores: bool = False) -> Output:
    name, task = tensor.name, pipeline.task

    def make(images: Sequence[Image], predictions: Sequence[Any]) -> Array:
        arrays = [task.tensors(each)[name] for each in predictions]
        if varies:
            return np.concatenate(arrays)
        if len({array.shape for array in arrays}) > 1:
            raise bad(
                f"outputs[{name}]: the pictures have several sizes, and a tensor has one. Send a request for each"
                f"{', or ask for class_id_png' if name == 'class_id' else ''}.",
                f"outputs[{name}]",
            )
        return np.stack(arrays)

    own = tuple(side if isinstance(side, int) else -1 for side in tensor.shape)
    shape = own if varies else (-1, *own)
    return Output(name, tensors.datatype_of(tensor.dtype), shape, make, scores=scores, is_default=not scores)


def _counts(pipeline: Pipeline, name: str) -> Make:
    task = pipeline.task
    return lambda images, predictions: np.array([len(task.tensors(each)[name]) for each in predictions], np.int64)


def _bytes(name: str, one: Callable[[Image, Any], bytes]) -> Output:
    def make(images: Sequence[Image], predictions: Sequence[Any]) -> Array:
        return tensors.of_bytes([one(image, each) for image, each in zip(images, predictions, strict=True)])

    return Output(name, tensors.BYTES, (-1,), make, is_default=False)


def _people(images: Sequence[Image], predictions: Sequence[Any]) -> Array:
    return np.concatenate([np.concatenate([each.xy_px, each.score[:, :, None]], axis=2) for each in predictions])


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
