"""Checks of a backend: models can be built and loaded, and runners do what they declare."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends._base import Backend, Runner
from densecast.errors import BadShapeError
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.precision import PRECISIONS
from densecast.spec.tensor import Array, Feeds
from densecast.testing._require import equal, require

_RUNS = 20


def check_backend(
    backend: Backend,
    built: CompiledArtifact,
    feeds: Feeds,
    expected: Feeds,
    *,
    tolerance: float = 1e-5,
    workers: int = 3,
) -> None:
    """Check a backend on a small artifact that it built in float32.

    `feeds` are inputs by name that `built` takes, with the batch axis; `expected` the outputs a reference gives for
    them. They may differ by `tolerance` of the largest value. As many as `workers` threads run at a time.

    Checked are: capabilities and traits; outputs have the names and shapes they promise,
    and the reference's values; inputs of another name, type or shape are refused and do no harm; and several slots at
    a time give each its own answer.

    Raises:
        AssertionError: says in a sentence what is not as it has to be.
    """
    require(isinstance(backend, Backend), f"{backend!r} lacks members of densecast.backends._base.Backend.")
    _check_capabilities(backend)
    runner = backend.load(built, ExecutionConfig(1))
    try:
        _check_runner(runner, built, feeds, expected, tolerance)
        _check_refusals(runner, feeds)
    finally:
        runner.close()
    _check_slots(backend, built, feeds, workers)


def _check_capabilities(backend: Backend) -> None:
    abilities, traits = backend.capabilities(), backend.traits
    require(not abilities.missing, f"the engine is not installed: {abilities.missing}")
    require(bool(abilities.version and abilities.devices), f"capabilities tell no version or device: {abilities}.")
    unknown = set(abilities.precisions) - set(PRECISIONS)
    require(not unknown, f"capabilities tell unknown precisions: {sorted(unknown)}.")
    require("force_float32" in abilities.precisions, "every backend has the precision force_float32.")
    require(bool(traits.package and traits.device_kinds), f"traits tell no package or kind of device: {traits}.")


def _check_runner(runner: Runner, built: CompiledArtifact, feeds: Feeds, expected: Feeds, tolerance: float) -> None:
    require(runner.inputs == built.spec.inputs, f"the runner takes {runner.inputs}, the artifact {built.spec.inputs}.")
    names = [output.name for output in runner.outputs]
    require(names == [output.name for output in built.spec.outputs], f"the runner's outputs are called {names}.")
    require(bool(runner.precision.source), "the runner does not say where its precision was read back from.")
    require(runner.max_concurrency >= 1, f"max_concurrency is {runner.max_concurrency}.")
    outputs = runner.run(feeds)
    require(set(outputs) == set(names), f"the runner gives {sorted(outputs)}, and promises {sorted(names)}.")
    for name, reference in expected.items():
        array = outputs[name]
        require(array.shape == reference.shape, f"{name!r} is {array.shape}, the reference {reference.shape}.")
        off = float(np.abs(_floats(array) - _floats(reference)).max() / np.abs(_floats(reference)).max())
        require(off <= tolerance, f"{name!r} is off by {off:.2g} of the largest value; {tolerance:.2g} is allowed.")


def _check_refusals(runner: Runner, feeds: Feeds) -> None:
    name = runner.inputs[0].name
    image = feeds[name]
    wrong: dict[str, Feeds] = {
        "another type": feeds | {name: image.astype(np.float64)},
        "no batch axis": feeds | {name: image[0]},
        "another number of channels": feeds | {name: np.concatenate([image, image[:, :1]], axis=1)},
        "another name": {f"not_{each}": array for each, array in feeds.items()},
        "a name more": feeds | {"one_more": image},
        "nothing": {},
    }
    before = {each: array.copy() for each, array in runner.run(feeds).items()}
    for what, each in wrong.items():
        try:
            runner.run(each)
        except BadShapeError:
            continue
        raise AssertionError(f"the runner takes inputs of {what}.")
    require(equal(runner.run(feeds), before), "the runner gives other outputs after it has refused inputs.")


def _check_slots(backend: Backend, built: CompiledArtifact, feeds: Feeds, workers: int) -> None:
    """Check that concurrent slots return the same results as single runs."""
    runner = backend.load(built, ExecutionConfig(num_threads=workers, num_streams=workers, num_workers=workers))
    try:
        slots = max(1, min(workers, runner.max_concurrency))
        own = [
            {name: np.ascontiguousarray(np.roll(array, slot, axis=-1)) for name, array in feeds.items()}
            for slot in range(slots)
        ]
        alone = [{name: array.copy() for name, array in runner.run(each).items()} for each in own]
        together = threading.Barrier(slots)

        def differing(slot: int) -> int:
            together.wait(timeout=30)
            return sum(not equal(runner.run(own[slot], slot), alone[slot]) for _ in range(_RUNS))

        with ThreadPoolExecutor(slots) as pool:
            wrong = sum(pool.map(differing, range(slots)))
        require(not wrong, f"{wrong} of {slots * _RUNS} answers of {slots} slots at a time are another slot's.")
    finally:
        runner.close()


def _floats(array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(array, dtype=np.float64)
