"""Serves built artifacts over HTTP: the Open Inference Protocol, plain requests, and a page to look at pictures."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from densecast.errors import MissingFileError, UsageError
from densecast.io import files, system
from densecast.runtime import execution, machine, process_settings
from densecast.spec.choices import checked
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import front, listener, workers
from densecast.verbs.serve.listener import Listener
from densecast.verbs.serve.metrics import Metrics
from densecast.verbs.serve.models import Models, Place, Served, places
from densecast.verbs.serve.remote import Remote
from densecast.verbs.serve.watching import Watch
from densecast.verbs.serve.web import State, application
from densecast.verbs.verify import Verification, verify


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that is served, for the line that says so."""

    name: str
    version: str
    artifact: str
    precision: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server listens, and what it serves."""

    url: str
    models: tuple[ServedModel, ...]


Ready = Callable[[Serving], None]

# What is still in work when all requests have been answered or given up has nobody who waits for it.
_STUCK_S = 3.0


@checked
def serve(
    artifacts: Sequence[Path | str] | Path | str, options: ServeOptions = ServeOptions(), *, ready: Ready | None = None
) -> None:
    """Serve artifacts until a signal asks the process to end; `ready` is called when requests are taken.

    Each is a folder, or `NAME=FOLDER`, or `NAME:VERSION=FOLDER`; else it is served under its model's name.

    Raises:
        UsageError: names that meet, an address that others reach without a token, or options that mean nothing.
        BadArtifactError: damaged, or not compiled.
        MissingExtraError, BackendMissingError: the [serve] extra or an engine is not installed.
        DensecastError: the port is taken.
    """
    artifacts = files.several(artifacts, "artifacts")
    prepared = _prepared(artifacts, options)
    tell = ready or _nobody
    with contextlib.closing(listener.bound(options)) as listening:
        if options.workers > 1:
            workers.run(
                _serve_on, (tuple(map(str, artifacts)), options), listening, count=options.workers,
                grace_s=options.grace, ready=tell,
            )  # fmt: skip
            return
        with _running(prepared, options, listening) as running:
            running.listener.run(lambda: tell(running.serving))


def _serve_on(tell: Ready, listening: socket.socket, artifacts: Sequence[str], options: ServeOptions) -> None:
    """The work of one of several processes."""
    with _running(_prepared(artifacts, options), options, listening) as running:
        running.listener.run(lambda: tell(running.serving))


def _nobody(serving: Serving) -> None:
    """Nobody wants to know."""


@contextlib.contextmanager
@checked
def serving(
    artifacts: Sequence[Path | str] | Path | str, options: ServeOptions = ServeOptions(port=0)
) -> Iterator[Serving]:
    """Serve artifacts in a thread of this process within the block; for tests and notebooks.

    Raises:
        DensecastError: see `serve`.
    """
    if options.workers > 1:
        raise UsageError("several processes are for `serve`, not for a thread of this one.", field="workers")
    artifacts = files.several(artifacts, "artifacts")
    prepared = _prepared(artifacts, options)
    with contextlib.closing(listener.bound(options)) as listening, _running(prepared, options, listening) as running:
        is_ready = threading.Event()
        thread = threading.Thread(
            target=running.listener.run, args=(is_ready.set,), name="densecast serve", daemon=True
        )
        thread.start()
        try:
            is_ready.wait()
            yield running.serving
        finally:
            running.listener.end()
            thread.join(options.grace + 5)


@dataclass(frozen=True, slots=True)
class Checked:
    """The verifications of all artifacts that a server would be given."""

    artifacts: tuple[Verification, ...]

    @property
    def is_sound(self) -> bool:
        """Whether all passed."""
        return all(each.is_sound for each in self.artifacts)


def check(artifacts: Sequence[Path | str]) -> Checked:
    """Verify all artifacts that a server would be given; none is served.

    Raises:
        UsageError, BadArtifactError: see `serve`.
    """
    return Checked(tuple(verify(place.artifact.folder) for place in places(artifacts)))


@dataclass(frozen=True, slots=True)
class _Running:
    listener: Listener
    serving: Serving


def _prepared(artifacts: Sequence[Path | str], options: ServeOptions) -> tuple[Place, ...]:
    """Everything that can be refused before a model is loaded."""
    listener.check_installed()
    options.check_reach()
    front.read_token(options)
    if options.watch is None:
        return places(artifacts)
    if not Path(options.watch).is_dir():
        raise MissingFileError(f"{options.watch} is no folder that could be watched.", field="watch")
    return places(artifacts) if artifacts else ()


@contextlib.contextmanager
def _running(found: Sequence[Place], options: ServeOptions, listening: socket.socket) -> Iterator[_Running]:
    """The models of this process, warm, and what listens for them."""
    metrics = Metrics()
    cpus = max(1, machine.usable_cpus() // options.workers)
    plan = execution.configure(options.mode, cpus)
    # As many inferences at a time as one model alone would have, however many models there are.
    running = threading.Semaphore(plan.num_workers)

    def load(place: Place) -> Served:
        # Threads that an engine starts are like the one that starts them: they give way to what listens and refuses.
        with ThreadPoolExecutor(1, "densecast serve loading", system.give_way) as loading:
            return loading.submit(Served, place, options, metrics.observer(place.name), running).result()

    with contextlib.ExitStack() as closing:
        closing.enter_context(process_settings.opencv_threads(max(1, plan.num_threads // plan.num_workers)))
        models = Models()
        for place in found:
            model = load(place)
            closing.callback(model.close, _STUCK_S)
            models.replace(None, model)
        if options.watch is not None:
            watch = Watch(Path(options.watch), models, load)
            closing.callback(watch.stop)
            watch.start()
        state = State(models, options, metrics)
        closing.callback(state.readers.shutdown, wait=False, cancel_futures=True)
        if options.grpc_port is not None:
            closing.callback(Remote(state).stop, options.grace)
        told = tuple(
            ServedModel(each.name, each.version, str(each.artifact.folder), str(each.pipeline.precision))
            for each in models
        )
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        yield _Running(Listener(application(state), state, listening), Serving(f"http://{shown}:{port}/", told))
