"""A loaded model: named arrays in, named arrays out; thread-safe."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Never, Self, TypeVar

from densecast.artifact import Artifact, CompiledArtifact, elsewhere
from densecast.artifact.tune_record import Setting
from densecast.backends._base import BACKENDS, Backend, Runner
from densecast.errors import BackendMissingError, BadArtifactError, BadShapeError, UsageError
from densecast.io import system
from densecast.runtime import engine_words, machine
from densecast.runtime.batching import Buffers
from densecast.runtime.execution import ExecutionConfig, Mode
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Dim, Feeds

Item = TypeVar("Item")
Result = TypeVar("Result")
# Engines whose threads do not survive a fork: those that have loaded a model in this process, and those that had in a
# process this one was forked from. Their threads did not come along, and whoever waits for them waits for ever.
_in_use: set[str] = set()
_lost_by_fork: set[str] = set()
_OTHER_SIZES = (
    "The network may take other sizes only than its file says: build it for one that it takes (--height, --width, "
    "--batch), or with another engine (-b)."
)


def _is_cpu(device: str) -> bool:
    return device.partition(":")[0] in ("", "cpu")


class Slot:
    """A caller's slot in a session, with its own buffers in the engine and for its inputs."""

    def __init__(self, session: Session, number: int) -> None:
        self._session, self.number, self.buffers = session, number, Buffers()

    def run(self, feeds: Feeds) -> Feeds:
        """Run the network. The slot's next run may overwrite the returned arrays: copy them if they must outlive it.

        Raises:
            BadShapeError: feeds that the network does not take, or the engine failed on.
        """
        return self._session._run(feeds, self.number)


class Session:
    """A loaded network; thread-safe.

    As many callers are served at a time as the execution config has workers; those beyond wait. Answers do not depend
    on who else calls.
    """

    def __init__(self, spec: ModelSpec, runner: Runner, config: ExecutionConfig, *, survives_fork: bool = True) -> None:
        self.spec, self.config = spec, config
        # Threads that share an inference do not come along, whatever the engine.
        self._survives_fork = survives_fork and config.num_threads // config.num_streams <= 1
        self._runner, self._process, self._is_lost = runner, os.getpid(), False
        self._free = [Slot(self, number) for number in reversed(range(config.num_workers))]
        self._returned = threading.Condition()
        self._running = threading.Semaphore(max(1, min(config.num_streams, runner.max_concurrency)))
        self._is_closed = False
        _sessions.add(self)

    @classmethod
    def open(cls, artifact: Artifact, config: ExecutionConfig, *, check_cpu: bool = True) -> Self:
        """Load a compiled artifact with the engine it was built for.

        On a CPU that does not compute natively what its numbers depend on, the model is first run on its stored test
        input, once on each machine; `check_cpu` False leaves that to the caller.

        Raises:
            UsageError: a device that the artifact's backend does not have, or an engine that was in use when this
                process was forked.
            BadArtifactError: not compiled.
            WrongCpuError: it computes something else on this CPU.
            BackendMissingError, MissingExtraError: its engine is not installed.
        """
        if not isinstance(artifact, CompiledArtifact):
            raise BadArtifactError(CompiledArtifact.wrong_kind(artifact.folder))
        build = artifact.manifest.build
        backend: Backend = BACKENDS.load_trusted(build.backend)
        kinds, device = backend.traits.device_kinds, config.device
        if device and device.partition(":")[0] not in kinds:
            raise UsageError(
                f"backend {build.backend!r} runs on {', '.join(kinds)}, not on {device!r}.", field="device"
            )
        survives_fork = backend.traits.survives_fork
        if build.backend in _lost_by_fork:
            raise UsageError(
                f"{build.backend} was in use when this process was forked, and cannot be used in it. Start processes "
                "with multiprocessing's 'spawn' or 'forkserver', or load the first model after the fork."
            )
        if backend.traits.targets_cpus and (old := machine.too_old()):
            raise BackendMissingError(f"{build.backend}: {old}. Use a newer CPU, or the reference backend.")
        is_elsewhere = check_cpu and _is_cpu(device) and bool(elsewhere.lacking(artifact.manifest))
        package = backend.traits.package
        is_known = is_elsewhere and elsewhere.refuse_known(artifact, package)
        runner = backend.load(artifact, config)
        if not survives_fork:
            _in_use.add(build.backend)
        session = cls(artifact.spec, runner, config, survives_fork=survives_fork)
        if is_elsewhere and not is_known:
            try:
                elsewhere.compare(artifact, package, session.forward)
            except BaseException:
                session.close()
                raise
        return session

    @property
    def precision(self) -> PrecisionRan:
        """The precision that runs, read back from the engine."""
        return self._runner.precision

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """Supported batch sizes, ascending; None for any within the input specs."""
        return self._runner.batch_sizes

    @property
    def largest_batch(self) -> int:
        """The most images that one inference takes."""
        if self.batch_sizes is not None:
            return max(self.batch_sizes)
        batch = self.spec.inputs[0].shape[0]
        return batch.max if isinstance(batch, Dim) else batch

    def forward(self, feeds: Feeds) -> Feeds:
        """Run the network alone: every output by name, in new arrays.

        Raises:
            BadShapeError: feeds that the network does not take.
            UsageError: the session is closed.
        """
        with self.lease() as slot:
            outputs = slot.run(feeds)
            return {name: array.copy() for name, array in outputs.items()} if self._runner.reuses_buffers else outputs

    @contextlib.contextmanager
    def lease(self) -> Iterator[Slot]:
        """Lease a slot for several runs without copies; waits while all are taken."""
        self._check_process()
        with self._returned:
            self._check_open()
            while not self._free:
                self._returned.wait()
                self._check_open()
            slot = self._free.pop()
        try:
            slot.buffers.turn()
            yield slot
        finally:
            with self._returned:
                self._free.append(slot)
                self._returned.notify()

    def __reduce__(self) -> Never:
        """Say what to send to another process instead: an engine and its threads cannot be copied."""
        raise TypeError(
            "a loaded model can neither be pickled nor copied: send a densecast.PipelineConfig(FOLDER), and open it in "
            "the other process, with Pipeline.open."
        )

    def close(self) -> None:
        """Release the engine once all callers are done; closing twice is allowed.

        A session that came along by a fork is only marked: what is released there waits for threads that did not come.
        """
        if self._process != os.getpid():
            self._is_closed = True
            return
        with self._returned:
            if self._is_closed:
                return
            self._is_closed = True
            self._returned.notify_all()
            while len(self._free) < self.config.num_workers:
                self._returned.wait()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, feeds: Feeds, slot: int) -> Feeds:
        with self._running:
            try:
                return self._runner.run(feeds, slot)
            except Exception as error:
                raise engine_words.ours(error, _failed(feeds), _OTHER_SIZES, BadShapeError) from None

    def _check_process(self) -> None:
        if self._is_lost:
            raise UsageError(
                "this model was loaded in another process, whose threads did not come along. Open it anew in each "
                "process, started with multiprocessing's 'spawn' or 'forkserver'."
            )

    def _come_along(self) -> None:
        """In a process forked just now: go on if nothing is missing here, and never be destroyed.

        Destroying a model waits for its threads, when the last reference goes, at the process's end at the latest; so
        it has a reference that nobody gives back.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._runner))
        is_idle = self._returned.acquire(blocking=False) and len(self._free) == self.config.num_workers
        self._returned = threading.Condition()
        self._is_lost = self._is_lost or not (self._survives_fork and is_idle)

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("the session is closed: open the artifact again.")


def _failed(feeds: Feeds) -> str:
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
    return f"the engine failed on the input {shapes}"


def unless_failing(
    run: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], sources: Sequence[object], *, goes_on: bool
) -> list[Result | BadShapeError]:
    """What `run` gives for a batch; if the engine fails on it and it `goes_on`, each item's own result or error.

    Raises:
        BadShapeError: names `sources`, the files or samples that the batch is of.
    """
    try:
        return list(run(items))
    except BadShapeError as error:
        if not goes_on:
            names = [
                Path(each).name if isinstance(each, (str, Path)) else str(getattr(each, "id", "")) for each in sources
            ]
            listed = ", ".join(name for name in names if name)
            raise (BadShapeError(f"{listed}: {error}") if listed else error) from None
    told: list[Result | BadShapeError] = []
    for item in items:
        try:
            told += run([item])
        except BadShapeError as error:
            told.append(error)
    return told


def tuned_setting(artifact: CompiledArtifact, mode: Mode, threads: int | None, device: str) -> Setting | None:
    """The streams and batch size that tuning selected, if it was for this mode and number of CPUs."""
    tuning = artifact.manifest.tuning
    if tuning is None or mode == "latency" or device not in ("", "cpu"):
        return None
    return tuning.for_throughput(threads or machine.usable_cpus())


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


def _after_fork() -> None:
    _lost_by_fork.update(_in_use)
    for session in _sessions:
        session._come_along()
    if _sessions:
        # A collection here would destroy what was garbage there, engines' objects among it.
        gc.freeze()


system.after_fork(_after_fork)
