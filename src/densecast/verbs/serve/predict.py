"""`POST /predict`: one picture in, JSON or a PNG out, for curl, browsers and people."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from densecast.pipeline import Image
from densecast.tasks.pose import Poses
from densecast.tasks.segmentation import SegmentationMap
from densecast.verbs.serve import multipart, outputs, pictures, tensors
from densecast.verbs.serve.infer_answer import Answer, timed
from densecast.verbs.serve.models import Served
from densecast.verbs.serve.refusals import Refused, bad
from densecast.verbs.serve.scheduler import Done, Job

JSON, PNG = "application/json", "image/png"
_PARAMETERS = ("overlay", "scores", "response_mask_format", "timeout_ms")
_MASK_FORMATS = ("png", "rle")


@dataclass(frozen=True, slots=True)
class Wish:
    """How a picture is to be answered."""

    media_type: str
    overlay: bool
    scores: bool
    mask_format: str
    timeout_s: float | None


def job_of(
    model: Served, body: bytes, content_type: str, wish: Wish, *, max_pixels: float, deadline_s: float, request_id: str
) -> Job:
    """Read the picture of a request, and check it before it waits for its turn.

    Raises:
        Refused: no picture, several, or an answer that the model does not have.
    """
    data = multipart.picture(body, content_type)
    scored = any(each.scores for each in model.outputs.values())
    if wish.scores and not scored:
        raise bad(f"scores: predictions of {model.pipeline.spec.task} have none to be asked for.", "scores")
    if wish.media_type == PNG and not wish.overlay and "class_id_png" not in model.outputs:
        raise Refused(
            406, f"predictions of {model.pipeline.spec.task} are no PNG: ask for {JSON}, or ?overlay=1.", field="Accept"
        )
    if wish.mask_format != "png" and "class_id_rle" not in model.outputs:
        raise bad(
            f"response_mask_format: predictions of {model.pipeline.spec.task} are no masks.", "response_mask_format"
        )
    sizes = pictures.checked([data], model.pipeline, max_pixels, "image")
    end = time.monotonic() + min(deadline_s, wish.timeout_s or deadline_s)

    def finish(done: Done) -> Answer:
        image, prediction = done.images[0], done.predictions[0]
        if wish.media_type == PNG:
            drawn = model.outputs["overlay_png" if wish.overlay else "class_id_png"].make([image], [prediction])
            return timed(Answer(drawn[0], PNG), done.stages_ms)
        told = _told(model, image, prediction, wish, done.stages_ms) | {"id": request_id}
        body = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
        return timed(Answer(body, JSON), done.stages_ms)

    # Runs come with each class's confidence, which readers of Roboflow's answers need.
    scores = wish.scores or (wish.mask_format == "rle" and scored)
    return Job([data], (sizes, scores), end, finish, scores)


def wish(parameters: Sequence[tuple[str, str]], accept: str) -> Wish:
    """Read the query and the `Accept` header.

    Raises:
        Refused: a parameter without effect, or a form of answer that is not made.
    """
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in _PARAMETERS:
            raise bad(f"{name[:100]!r} has no effect here. Known: {', '.join(_PARAMETERS)}.", name[:100])
        if name in given:
            raise bad(f"{name} is given twice.", name)
        given[name] = value
    mask_format = given.get("response_mask_format", "png")
    if mask_format not in _MASK_FORMATS:
        raise bad(f"response_mask_format must be {' or '.join(_MASK_FORMATS)}.", "response_mask_format")
    overlay, scores = _switch(given, "overlay"), _switch(given, "scores")
    media_type = _media_type(accept, overlay=overlay)
    if media_type == PNG:
        for name in ("scores", "response_mask_format"):
            if name in given:
                raise bad(f"{name} has no effect on a PNG: ask for {JSON}.", name)
    return Wish(media_type, overlay, scores, mask_format, _timeout_s(given.get("timeout_ms")))


def _switch(given: Mapping[str, str], name: str) -> bool:
    value = given.get(name, "0").lower()
    if value not in ("0", "1", "false", "true"):
        raise bad(f"{name} must be 1 or 0.", name)
    return value in ("1", "true")


def _timeout_s(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= 86_400_000:
        raise bad("timeout_ms must be a number of milliseconds above 0.", "timeout_ms")
    return number / 1e3


def _media_type(accept: str, *, overlay: bool) -> str:
    """The one that a client accepts most of the types that are made here; an overlay is a PNG unless JSON is asked for.

    A type's weight is that of the most precise range that it is in (RFC 9110, 12.5.1); of equal ones the first range's.
    """
    weights: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept.split(",") if accept.strip() else ["*/*"]):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        weights.setdefault(kind, (_weight(parameters), place))
    best, chosen = (0.0, 0), None
    for made in (PNG, JSON) if overlay else (JSON, PNG):
        ranges = (made, f"{made.partition('/')[0]}/*", "*/*")
        weight, place = next((weights[each] for each in ranges if each in weights), (0.0, 0))
        if weight > 0 and (chosen is None or (weight, -place) > best):
            best, chosen = (weight, -place), made
    if chosen is None:
        raise Refused(406, f"answers are {JSON} or {PNG}, and neither is accepted.", field="Accept")
    return chosen


def _weight(parameters: Sequence[str]) -> float:
    for each in parameters:
        if each.startswith("q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0


def _told(model: Served, image: Image, prediction: Any, wish: Wish, stages_ms: Mapping[str, float]) -> dict[str, Any]:
    spec = model.pipeline.spec
    told: dict[str, Any] = {
        "model": model.name,
        "version": model.version,
        "image": {"width": int(image.shape[1]), "height": int(image.shape[0])},
    }
    if isinstance(prediction, SegmentationMap):
        told |= _masks(prediction, spec.labels, wish)
    elif isinstance(prediction, Poses):
        told["predictions"] = outputs.people(prediction)
    else:
        told["outputs"] = [
            {
                "name": name,
                "datatype": tensors.datatype_of(str(array.dtype)),
                "shape": list(array.shape),
                "data": base64.b64encode(tensors.to_binary(array)).decode("ascii"),
            }
            for name, array in model.pipeline.task.tensors(prediction).items()
        ]
    if wish.overlay:
        told["visualization"] = _base64(model.outputs["overlay_png"].make([image], [prediction])[0])
    told["stages_ms"] = {stage: round(ms, 3) for stage, ms in stages_ms.items()}
    return told


def _masks(prediction: SegmentationMap, labels: Sequence[str], wish: Wish) -> dict[str, Any]:
    class_id = prediction.class_id
    found = np.unique(class_id).tolist()
    numbers = dict.fromkeys([*range(len(labels)), *found])
    told: dict[str, Any] = {
        "class_map": {str(number): outputs.name_of(number, labels) for number in numbers},
        "present_class_ids": found,
    }
    if wish.mask_format == "rle":
        told["predictions"] = outputs.runs(class_id, labels, prediction.probability)
    else:
        told["segmentation_mask"] = _base64(outputs.png(class_id))
    if prediction.probability is not None and wish.scores:
        in_bytes = np.rint(np.clip(prediction.probability, 0, 1) * 255).astype(np.uint8)
        told["confidence_mask"] = _base64(outputs.png(in_bytes))
    return told


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
