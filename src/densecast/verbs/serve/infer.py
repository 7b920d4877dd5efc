"""Turns V2 requests into jobs: encoded pictures, pixels, or the network's own tensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from densecast.spec.tensor import Array, Feeds
from densecast.verbs.serve import infer_answer, infer_request, pictures, tensors
from densecast.verbs.serve.infer_answer import Answer
from densecast.verbs.serve.infer_request import InferRequest
from densecast.verbs.serve.models import IMAGE, Served
from densecast.verbs.serve.refusals import bad
from densecast.verbs.serve.scheduler import Done, Job

Make = Callable[[Feeds, Mapping[str, float]], Any]


def job_of(model: Served, body: bytes, header_length: int | None, *, max_pixels: float, deadline_s: float) -> Job:
    """Read the body of a request and check all that can be checked before it waits for its turn.

    Raises:
        Refused: it cannot be answered; names the field.
    """
    request = infer_request.parse(body, header_length)

    def answer(arrays: Feeds, stages_ms: Mapping[str, float]) -> Answer:
        return infer_answer.timed(infer_answer.encode(request, model.name, model.version, arrays), stages_ms)

    return job_for(model, request, answer, max_pixels=max_pixels, deadline_s=deadline_s)


def job_for(model: Served, request: InferRequest, answer: Make, *, max_pixels: float, deadline_s: float) -> Job:
    """The job of a request that has been read; `answer` makes what it ends with of the outputs.

    Raises:
        Refused: it cannot be answered; names the field.
    """
    end = time.monotonic() + min(deadline_s, request.timeout_s or deadline_s)
    sources = _pictures(model, request.inputs)
    if sources is None:
        return _network_job(model, request, answer, end)
    known = model.outputs
    names = _wanted(request, known, [each.name for each in known.values() if each.is_default])
    scores = any(known[name].scores for name in names)
    sizes = pictures.checked(sources, model.pipeline, max_pixels, f"inputs[{IMAGE}]")

    def finish(done: Done) -> Any:
        return answer({name: known[name].make(done.images, done.predictions) for name in names}, done.stages_ms)

    return Job(sources, (sizes, scores), end, finish, scores)


def _network_job(model: Served, request: InferRequest, answer: Make, end: float) -> Job:
    feeds = model.check_feeds(request.inputs)
    names = _wanted(request, model.network_outputs, model.network_outputs)

    def run() -> Any:
        found = model.run_network(feeds)
        return answer({name: found[name] for name in names}, {})

    # As many places in the queue as images, of which only the number is known.
    rows: list[Any] = [None] * len(next(iter(feeds.values())))
    return Job(rows, None, end, _unused, run=run)


def _unused(done: Done) -> Any:
    raise AssertionError("a job of its own makes its own answer")


def _wanted(request: InferRequest, known: Any, default: Sequence[str]) -> list[str]:
    if request.outputs is None:
        return list(default)
    for each in request.outputs:
        if each.name not in known:
            raise bad(
                f"outputs[{each.name[:100]}]: there is none of that name. Known here: {', '.join(known)}.",
                f"outputs[{each.name[:100]}]",
            )
    return [each.name for each in request.outputs]


def _pictures(model: Served, inputs: Feeds) -> list[Any] | None:
    """Pictures of the input `image`: files' bytes or pixels; None where the network's own tensors came."""
    spec = model.pipeline.spec
    own = {tensor.name: tensor for tensor in spec.inputs}
    image = inputs.get(IMAGE)
    if image is None:
        unknown = [name for name in inputs if name not in own]
        if unknown:
            names = ", ".join(dict.fromkeys((IMAGE, *own)))
            raise bad(
                f"inputs[{unknown[0][:100]}]: there is none of that name. Known: {names}.",
                f"inputs[{unknown[0][:100]}]",
            )
        return None
    if (
        image.dtype != object
        and IMAGE in own
        and image.dtype == np.dtype(own[IMAGE].dtype)
        and not _is_pixels(image, own[IMAGE])
    ):
        return None
    others = [name for name in inputs if name != IMAGE]
    if others:
        raise bad(f"inputs[{others[0][:100]}]: nothing but {IMAGE} goes with pictures.", f"inputs[{others[0][:100]}]")
    if image.dtype == object:
        return _files(image)
    return _pixels(image, model)


def _files(image: Array) -> list[bytes]:
    if image.ndim not in (1, 2) or (image.ndim == 2 and image.shape[1] != 1):
        raise bad(
            f"inputs[{IMAGE}].shape of BYTES must be [n] or [n, 1], got {list(image.shape)}.", f"inputs[{IMAGE}].shape"
        )
    if not image.size:
        raise bad(f"inputs[{IMAGE}] holds no picture.", f"inputs[{IMAGE}].shape")
    return tensors.elements(image)


def _is_pixels(image: Array, own: Any) -> bool:
    """Whether bytes for a network that takes bytes itself are pixels rather than its tensor: channels last."""
    channels = own.shape[1]
    return image.dtype == np.uint8 and image.ndim == 4 and image.shape[3] == channels and image.shape[1] != channels


def _pixels(image: Array, model: Served) -> list[Any]:
    field = f"inputs[{IMAGE}]"
    if image.dtype != np.uint8:
        raise bad(
            f"{field}.datatype must be BYTES (image files) or UINT8 (pixels [n, height, width, channels])"
            f"{_own_words(model)}.",
            f"{field}.datatype",
        )
    if image.ndim != 4 or 0 in image.shape or image.shape[3] > 64:
        raise bad(
            f"{field}.shape of UINT8 must be [n, height, width, channels], got {list(image.shape)}.", f"{field}.shape"
        )
    return list(image)


def _own_words(model: Served) -> str:
    own = model.pipeline.spec.input
    return f", or {own.dtype} for the network itself" if own.name == IMAGE else ""
