"""Execution configuration: number of concurrent inferences, threads for each, and images in flight.

Everything is counted from the CPUs this process may keep busy (its affinity and its control group's quota), and
adds up to that number: a thread too many waits for the others' time slices, and engines whose threads wait for each
other then wait for it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.errors import UnknownNameError, UsageError
from densecast.runtime.machine import usable_cpus

Mode = Literal["latency", "throughput"]
MODES: tuple[Mode, ...] = ("latency", "throughput")

# Up to here, every CPU gets an inference of its own: on two CPUs that was 1.1 to 1.3 times as fast as one inference on
# both. Beyond, inferences share CPUs, as memory grows with their number; a tuned build knows better.
_ONE_EACH_CPUS = 8
_MOST_STREAMS = 8
_MOST_THREADS, _MOST_THREADS_A_CPU = 256, 8
# One image in the device, and enough others being read and decoded that it never waits.
_WORKERS_BESIDE_DEVICE = 4


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """How many CPUs one network may use, and how many concurrent inferences share them.

    `use_cache` says whether what is compiled is worth keeping on disk. `device` is one of the backend's kinds, with its
    number (`cuda:1`); empty is the backend's own choice. `num_workers` is how many images are in work at a time, in
    whatever stage; there are at least as many as streams. `batch_size` is how many images an inference takes where
    nobody asks for another number.
    """

    num_threads: int
    num_streams: int = 1
    use_cache: bool = True
    device: str = ""
    num_workers: int = 1
    batch_size: int = 1


def configure(
    mode: Mode = "latency",
    threads: int | None = None,
    streams: int | None = None,
    *,
    batch: int = 1,
    device: str = "",
) -> ExecutionConfig:
    """The execution config of a mode on `threads` CPUs, by default all that this process may use.

    In latency mode one inference at a time has all threads. In throughput mode each inference has as few as make
    sense, so that none waits for another's: one on machines of up to 8 CPUs. `streams` sets their number instead, as
    a measurement on this machine may; there are never more than threads. Images are then in work one a stream; an
    inference that takes all CPUs, or none of them, still goes on beside the other stages of the next images. `batch`
    likewise is what throughput mode was measured with.

    Raises:
        UsageError: many times more threads than there are CPUs, which wait for each other for minutes.
        UnknownNameError: there is no such mode.
    """
    mode = parse_mode(mode)
    most = max(_MOST_THREADS, _MOST_THREADS_A_CPU * usable_cpus())
    if threads is not None and not 1 <= threads <= most:
        raise UsageError(f"threads must be 1 to {most} on this machine, got {threads}.", field="threads")
    cpus = threads or usable_cpus()
    elsewhere = device.partition(":")[0] not in ("", "cpu")
    if streams is None:
        streams = 1 if mode == "latency" or elsewhere else cpus if cpus <= _ONE_EACH_CPUS else _MOST_STREAMS
    streams = max(1, min(streams, cpus))
    beside = 1 if mode == "latency" else _WORKERS_BESIDE_DEVICE if elsewhere else 2
    workers = max(streams, min(beside, cpus))
    return ExecutionConfig(
        cpus, streams, device=device, num_workers=workers, batch_size=1 if mode == "latency" else batch
    )


def parse_mode(name: str) -> Mode:
    """Parse a mode's name.

    Raises:
        UnknownNameError: there is no such mode.
    """
    for mode in MODES:
        if mode == name:
            return mode
    raise UnknownNameError.among("mode", name, MODES)


def mode_for(images: int) -> Mode:
    """The faster mode for the given number of images: latency for one or two, else throughput."""
    return "throughput" if images > 2 else "latency"
