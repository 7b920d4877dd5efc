"""The addresses of the server; the one file that knows the web framework."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

import densecast
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import infer, openapi, predict, refusals
from densecast.verbs.serve.body import Bodies, Disconnected
from densecast.verbs.serve.front import App, Front, Note, Scope
from densecast.verbs.serve.infer_answer import HEADER_LENGTH, Answer
from densecast.verbs.serve.metrics import Metrics
from densecast.verbs.serve.models import Models, Served
from densecast.verbs.serve.refusals import Refused, bad
from densecast.verbs.serve.scheduler import Job

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]

EXTENSIONS = ("binary_tensor_data", "model_repository")
_PAGE = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "draw.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_READERS = 2
_NOTHING = "there is nothing at this address."


class State:
    """What all requests share: the models, and whether the server is about to end."""

    def __init__(self, models: Models, options: ServeOptions, metrics: Metrics) -> None:
        self.models, self.options, self.metrics = models, options, metrics
        self.is_ending = False
        self.bodies = Bodies(options)
        # Parsing and looking at headers: short work, but too long for the thread that all connections share.
        self.readers = ThreadPoolExecutor(_READERS, "densecast serve reader")

    def check_open(self) -> None:
        """Check that requests are still taken.

        Raises:
            Refused: the server ends.
        """
        if self.is_ending:
            raise refusals.busy("the server is about to end. Ask another one.")


def application(state: State) -> App:
    """The ASGI application."""
    from starlette.exceptions import HTTPException
    from starlette.routing import Route, Router

    routes = [
        Route(path, handler, methods=list(methods))
        for path, handler, methods in (
            *_health(state), *_metadata(state), *_work(state), *_page()
        )
    ]  # fmt: skip
    router = Router(routes, redirect_slashes=False, default=_nothing)

    async def routed(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        # The framework then tells of a wrong method by an error, which is answered as all others are.
        scope["app"] = router
        try:
            await router(scope, receive, send)
        except HTTPException as error:
            what = "this address does not take this method." if error.status_code == 405 else _NOTHING
            raise Refused(error.status_code, what, headers=dict(error.headers or {})) from None

    return Front(routed, state.options, state.metrics)


async def _nothing(scope: Scope, receive: Any, send: Any) -> None:
    raise Refused(404, _NOTHING)


Routes = tuple[tuple[str, Handler, tuple[str, ...]], ...]


def _health(state: State) -> Routes:
    async def live(request: Request) -> Response:
        _note(request, "health")
        return _json({"live": True})

    async def ready(request: Request) -> Response:
        _note(request, "health")
        return _json({"ready": not state.is_ending}, 503 if state.is_ending else 200)

    async def model_ready(request: Request) -> Response:
        model = _model(request, state, "health")
        return _json({"name": model.name, "ready": not state.is_ending}, 503 if state.is_ending else 200)

    async def metrics(request: Request) -> Response:
        from starlette.responses import Response

        _note(request, "metrics")
        waiting = {each.name: each.scheduler.waiting for each in state.models}
        text, media_type = await asyncio.to_thread(state.metrics.text, waiting)
        return Response(text, headers={"Content-Type": media_type})

    return (
        ("/v2/health/live", live, ("GET",)),
        ("/v2/health/ready", ready, ("GET",)),
        ("/v2/models/{name}/ready", model_ready, ("GET",)),
        ("/v2/models/{name}/versions/{version}/ready", model_ready, ("GET",)),
        ("/metrics", metrics, ("GET",)),
    )


def _metadata(state: State) -> Routes:
    async def server(request: Request) -> Response:
        _note(request, "metadata")
        return _json({"name": "densecast", "version": densecast.__version__, "extensions": list(EXTENSIONS)})

    async def description(request: Request) -> Response:
        _note(request, "metadata")
        names = sorted({each.name for each in state.models})
        versions = sorted({each.version for each in state.models})
        return _json(openapi.document(state.options, names, versions))

    async def index(request: Request) -> Response:
        _note(request, "metadata")
        async with state.bodies.read(request.receive, request.scope["densecast"].headers):
            pass
        states = [{"name": each.name, "version": each.version, "state": "READY", "reason": ""} for each in state.models]
        return _json(states)

    async def metadata(request: Request) -> Response:
        model = _model(request, state, "metadata")
        return _json(model.metadata(state.models.versions(model.name)))

    return (
        ("/v2", server, ("GET",)),
        ("/openapi.json", description, ("GET",)),
        ("/v2/repository/index", index, ("POST",)),
        ("/v2/models/{name}", metadata, ("GET",)),
        ("/v2/models/{name}/versions/{version}", metadata, ("GET",)),
    )


def _work(state: State) -> Routes:
    max_pixels, deadline_s = state.options.max_megapixels * 1e6, state.options.deadline

    async def inferred(request: Request) -> Response:
        model = _model(request, state, "infer")
        note: Note = request.scope["densecast"]
        length = _header_length(note.headers.get(HEADER_LENGTH.lower()))
        async with _body(request, state, model) as body:
            job = await _in_reader(
                state, lambda: infer.job_of(model, body, length, max_pixels=max_pixels, deadline_s=deadline_s)
            )
            return await _answered(request, state, model, job)

    async def predicted(request: Request) -> Response:
        model = _model(request, state, "predict")
        note: Note = request.scope["densecast"]
        wish = predict.wish(request.query_params.multi_items(), note.headers.get("accept", ""))
        kind = note.headers.get("content-type", "")
        async with _body(request, state, model) as body:
            job = await _in_reader(
                state,
                lambda: predict.job_of(
                    model, body, kind, wish, max_pixels=max_pixels, deadline_s=deadline_s, request_id=note.id
                ),
            )
            return await _answered(request, state, model, job)

    return (
        ("/v2/models/{name}/infer", inferred, ("POST",)),
        ("/v2/models/{name}/versions/{version}/infer", inferred, ("POST",)),
        ("/predict", predicted, ("POST", "PUT")),
        ("/predict/{name}", predicted, ("POST", "PUT")),
        ("/predict/{name}/versions/{version}", predicted, ("POST", "PUT")),
    )


def _page() -> Routes:
    folder = resources.files("densecast.verbs.serve") / "page"

    async def page(request: Request) -> Response:
        from starlette.responses import Response

        _note(request, "page")
        return Response((folder / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    async def part(request: Request) -> Response:
        from starlette.responses import Response

        _note(request, "page")
        name = request.path_params["name"]
        if name not in _PAGE:
            raise Refused(404, _NOTHING)
        return Response((folder / name).read_bytes(), media_type=f"{_PAGE[name]}; charset=utf-8")

    return ("/", page, ("GET",)), ("/page/{name}", part, ("GET",))


def _note(request: Request, endpoint: str) -> None:
    request.scope["densecast"].endpoint = endpoint


def _model(request: Request, state: State, endpoint: str) -> Served:
    _note(request, endpoint)
    model = state.models.find(request.path_params.get("name"), request.path_params.get("version"))
    request.scope["densecast"].model = model.name
    return model


@contextlib.asynccontextmanager
async def _body(request: Request, state: State, model: Served) -> AsyncIterator[bytes]:
    """The body of a request for a model that has room for it.

    A refusal is worth something if it comes soon: before a client that waits for leave has sent anything, and before
    another thread has to find a CPU, which all have work where a queue is full.
    """
    note: Note = request.scope["densecast"]
    if "expect" in note.headers:
        model.scheduler.check_room()
    async with state.bodies.read(request.receive, note.headers) as body:
        note.received = len(body)
        model.scheduler.check_room()
        yield body


async def _in_reader(state: State, work: Callable[[], Job]) -> Job:
    state.check_open()
    return await asyncio.get_running_loop().run_in_executor(state.readers, work)


async def _answered(request: Request, state: State, model: Served, job: Job) -> Response:
    """Wait for the answer, as long as the request may take and its client stays."""
    from starlette.responses import Response

    state.check_open()
    answer = asyncio.wrap_future(model.scheduler.submit(job))
    gone = asyncio.ensure_future(_gone(request))
    try:
        done, _ = await asyncio.wait(
            {answer, gone}, timeout=max(0.0, job.deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
        )
        if answer in done:
            result: Answer = answer.result()
            return Response(result.body, media_type=result.media_type, headers=dict(result.headers))
        if gone in done:
            raise Disconnected
        raise refusals.busy("the request's time was over before its answer.")
    finally:
        model.scheduler.cancel(job)
        answer.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _header_length(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise bad(f"{HEADER_LENGTH} must be a whole number.", HEADER_LENGTH)
    return int(value)


def _json(value: object, status: int = 200) -> Response:
    from starlette.responses import Response

    body = json.dumps(value, separators=(",", ":")).encode("ascii")
    return Response(body, status_code=status, media_type="application/json")
