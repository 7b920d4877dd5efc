"""A CPU that keeps the device's contract: reads list and bins, runs the graph, and leaves what the tools leave."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from densecast.io import codec, files, vendor_formats
from densecast.io.vendor_formats import AscendStages
from densecast.spec.tensor import Array
from densecast.verbs.handoff import bin_file, info_file, outputs, package, stand_in_network
from densecast.verbs.handoff.info_file import Entry
from densecast.verbs.handoff.outputs import FIRST_OUTPUT, Outputs, Tool

Progress = Callable[[int, int], None]
DATED = "1970_01_01-00_00_00"
"""The stand-in's dated folder: the same in every rehearsal, and plainly not that of a run."""


@dataclass
class _Clock:
    """Seconds of each stage."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("read", "infer", "post"), 0.0))
    calls: int = 0


def rehearse(
    folder: Path, out: Path, tool: Tool = "benchmark", *, device: int = 0, progress: Progress | None = None
) -> Outputs:
    """Play the device for the handoff in `folder`; outputs go to `out`, named as `tool` names them.

    The inputs are read in the order of `inputs.info`, `batch` at a time, and a short last batch is filled with zeros
    whose results are dropped. Inputs of one size run together. Labels are those of this package's resize and argmax.

    Raises:
        BadArtifactError: no handoff, or a damaged one.
        BackendMissingError: no ONNX Runtime.
    """
    handoff = package.open_handoff(folder)
    network = stand_in_network.load(folder / package.GRAPH, handoff.ending)
    name = f"dumpOutput_device{device}" if tool == "benchmark" else DATED
    found = Outputs(out / name, tool)
    total = handoff.data.count * (2 if handoff.spec.needs_mirror else 1)
    clock, start, done = _Clock(), time.perf_counter(), 0
    with files.new_folder(found.folder) as scratch:
        for entries in _batches(info_file.read(folder / package.INPUT_LIST), handoff.batch):
            before = time.perf_counter()
            batch = _read(folder, entries, handoff)
            ready = time.perf_counter()
            result = network.run(batch)
            after = time.perf_counter()
            for entry, row in zip(entries, result, strict=False):
                bin_file.write(scratch / f"{Path(entry.path).stem}_{FIRST_OUTPUT[tool]}.bin", row)
            clock.seconds["read"] += ready - before
            clock.seconds["infer"] += after - ready
            clock.seconds["post"] += time.perf_counter() - after
            clock.calls += 1
            done += len(entries)
            if progress:
                progress(done, total)
    _write_performance(found, clock, done, handoff.batch, device, time.perf_counter() - start)
    return found


def _batches(entries: Iterator[Entry], batch: int) -> Iterator[list[Entry]]:
    """Neighbours of one size, `batch` at most."""
    for _, group in itertools.groupby(entries, key=lambda entry: entry.size_hw):
        while chunk := list(itertools.islice(group, batch)):
            yield chunk


def _read(folder: Path, entries: list[Entry], handoff: package.Handoff) -> Array:
    """(batch, 3, h, w), the rows after the last entry zero."""
    spec = handoff.spec.input
    shape = (3, *entries[0].size_hw)
    array: Array = np.zeros((handoff.batch, *shape), spec.dtype)
    for row, entry in enumerate(entries):
        array[row] = outputs.read(folder / entry.path, spec, shape)
    return array


def _write_performance(found: Outputs, clock: _Clock, images: int, batch: int, device: int, seconds: float) -> None:
    """The file in which the tool tells its speed: this CPU's, by the tool's definitions."""
    beside = found.folder.parent
    of_image = {name: 1000 * value / images for name, value in clock.seconds.items()}
    rate = {name: 1000 / value for name, value in of_image.items()}
    if found.tool == "ais_bench":
        compute_ms = 1000 * clock.seconds["infer"] / clock.calls
        summary = {"NPU_compute_time": {"mean": compute_ms}, "throughput": 1000 * batch / compute_ms}
        files.write_text(beside / f"{found.folder.name}_summary.json", codec.json_text(summary))
        return
    stages = AscendStages(
        e2e_per_s=images / seconds,
        e2e_total_ms=1000 * seconds,
        read_per_s=rate["read"],
        read_ms=of_image["read"],
        preprocess_per_s=rate["read"],
        preprocess_ms=of_image["read"],
        infer_per_s=rate["infer"],
        interface_per_s=rate["infer"],
        infer_ms=of_image["infer"],
        post_per_s=clock.calls / clock.seconds["post"],
        post_ms=1000 * clock.seconds["post"] / clock.calls,
    )
    files.write_text(beside / vendor_formats.ascend_file(batch, device), vendor_formats.ascend_stages(stages))
