"""Simulates a device on the CPU: reads the input list and bins, runs the graph, writes the outputs as the tool would.

A device's compiler gets a graph that ends in Resize and ArgMax. How a resize rounds its products is every engine's own
affair, and where two classes are tied to the last bit another label wins. ONNX Runtime's Resize rounds otherwise than
PyTorch's, whose labels are those of `evaluate`. So ONNX Runtime runs the graph up to the logits here, and labels are
made by this package's own kernel: the simulator is a device whose resize rounds as PyTorch's does.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from densecast.errors import BackendMissingError, BadArtifactError
from densecast.io import codec, files, vendor_formats
from densecast.io.vendor_formats import AscendStages
from densecast.measure.loop import Progress
from densecast.runtime import machine
from densecast.spec.handoff_options import OutputForm
from densecast.spec.tensor import Array
from densecast.verbs.handoff import bins, info_file, output_stage, package, tool_outputs
from densecast.verbs.handoff.info_file import Entry
from densecast.verbs.handoff.output_stage import ArgmaxStage
from densecast.verbs.handoff.tool_outputs import FIRST_OUTPUT, SIMULATED, SIMULATED_NOTE, Tool, ToolOutputs

DATED = "1970_01_01-00_00_00"
"""The simulator's dated folder: the same every time, and plainly not that of a run on a card."""


@dataclass(frozen=True, slots=True)
class Network:
    """A handoff's graph in ONNX Runtime, without its argmax stage, which is computed by densecast's kernels."""

    session: Any
    input: str
    argmax: ArgmaxStage | None
    threads: int

    def run(self, batch: Array) -> Array:
        """Run (N, 3, H, W): returns logits, or (N, 1, H, W) labels.

        Raises:
            BadInputError: labels are to be made, and a logit is NaN or infinite.
        """
        output: Array
        (output,) = self.session.run(None, {self.input: batch})
        if self.argmax is None:
            return output
        from densecast.kernels.labels import upsample_argmax

        classes = upsample_argmax(
            output.astype(np.float32, copy=False),
            [self.argmax.size_hw],
            align_corners=self.argmax.align_corners,
            threads=self.threads,
        )
        return classes[:, None].astype(self.argmax.dtype)


def load(graph: Path, form: OutputForm) -> Network:
    """Load `graph`, whose output has the given `form`.

    Raises:
        BadArtifactError: the graph cannot be loaded, or does not give that form.
        BackendMissingError: no ONNX Runtime.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendMissingError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime.") from None
    threads = machine.usable_cpus()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        model = onnx.load(graph)
        model, argmax = (model, None) if form == "logits" else output_stage.remove(model)
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (name,) = [value.name for value in session.get_inputs()]
    except BadArtifactError:
        raise
    except Exception as error:  # protobuf's, ONNX Runtime's and the system's kinds have no base in common
        raise BadArtifactError(f"damaged handoff: {graph} cannot be loaded ({error}).") from None
    return Network(session, name, argmax, threads)


@dataclass
class _StageTimes:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "preprocess", "infer", "post"), 0.0)
    )
    calls: int = 0


def simulate(
    folder: Path, out: Path, tool: Tool = "benchmark", *, device: int = 0, progress: Progress | None = None
) -> ToolOutputs:
    """Run the handoff in `folder` as the device would; outputs go to `out`, named like those of `tool`.

    The inputs are read in the order of `inputs.info`, `batch` at a time, and a short last batch is filled with zeros
    whose results are dropped. Inputs of one size run together. Labels are those of this package's resize and argmax.

    Raises:
        BadArtifactError: no handoff, or a damaged one.
        BackendMissingError: no ONNX Runtime.
    """
    handoff = package.open_handoff(folder)
    network = load(folder / package.GRAPH, handoff.output_form)
    name = f"dumpOutput_device{device}" if tool == "benchmark" else DATED
    outputs = ToolOutputs(out / name, tool)
    total = handoff.data.count * (2 if handoff.spec.needs_mirror else 1)
    times, start, done = _StageTimes(), time.perf_counter(), 0
    with files.new_folder(outputs.folder) as scratch:
        for entries in _batches(info_file.read(folder / package.INPUT_LIST), handoff.batch):
            before = time.perf_counter()
            arrays = _read(folder, entries, handoff)
            read = time.perf_counter()
            batch = _stacked(arrays, handoff)
            ready = time.perf_counter()
            result = network.run(batch)
            after = time.perf_counter()
            for entry, row in zip(entries, result, strict=False):
                bins.write_bin(scratch / f"{Path(entry.path).stem}_{FIRST_OUTPUT[tool]}.bin", row)
            times.seconds["read"] += read - before
            times.seconds["preprocess"] += ready - read
            times.seconds["infer"] += after - ready
            times.seconds["post"] += time.perf_counter() - after
            times.calls += 1
            done += len(entries)
            if progress:
                progress(done, total)
        files.write_text(scratch / SIMULATED, f"{SIMULATED_NOTE}\n")
    _write_performance(outputs, times, done, handoff.batch, device, time.perf_counter() - start)
    return outputs


def _batches(entries: Iterator[Entry], batch: int) -> Iterator[list[Entry]]:
    """Group neighbours of the same size, `batch` at most."""
    for _, group in itertools.groupby(entries, key=lambda entry: entry.size_hw):
        while chunk := list(itertools.islice(group, batch)):
            yield chunk


def _read(folder: Path, entries: list[Entry], handoff: package.Handoff) -> list[Array]:
    """Read the entries' inputs, each (3, h, w)."""
    spec = handoff.spec.input
    return [tool_outputs.read(folder / entry.path, spec, (3, *entry.size_hw)) for entry in entries]


def _stacked(arrays: list[Array], handoff: package.Handoff) -> Array:
    """One batch (batch, 3, h, w) of them; rows after the last are zero. All that is left to prepare of a bin."""
    batch: Array = np.zeros((handoff.batch, *arrays[0].shape), handoff.spec.input.dtype)
    for row, array in enumerate(arrays):
        batch[row] = array
    return batch


def _write_performance(
    outputs: ToolOutputs, times: _StageTimes, images: int, batch: int, device: int, seconds: float
) -> None:
    """Write the tool's performance file: this CPU's speed, by the tool's definitions."""
    beside = outputs.folder.parent
    of_image = {name: 1000 * value / images for name, value in times.seconds.items()}
    rate = {name: 1000 / value for name, value in of_image.items()}
    if outputs.tool == "ais_bench":
        compute_ms = 1000 * times.seconds["infer"] / times.calls
        summary = {"NPU_compute_time": {"mean": compute_ms}, "throughput": 1000 * batch / compute_ms}
        files.write_text(beside / f"{outputs.folder.name}_summary.json", codec.json_text(summary))
        return
    stages = AscendStages(
        e2e_per_s=images / seconds,
        e2e_total_ms=1000 * seconds,
        read_per_s=rate["read"],
        read_ms=of_image["read"],
        preprocess_per_s=rate["preprocess"],
        preprocess_ms=of_image["preprocess"],
        infer_per_s=rate["infer"],
        interface_per_s=rate["infer"],
        infer_ms=of_image["infer"],
        post_per_s=times.calls / times.seconds["post"],
        post_ms=1000 * times.seconds["post"] / times.calls,
    )
    files.write_text(beside / vendor_formats.ascend_file(batch, device), vendor_formats.ascend_stages(stages))
