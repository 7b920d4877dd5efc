"""Reads the vendors' tools' outputs: finds the output folder, its files by image, and the reported speed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from densecast.errors import BadInputError, UnknownNameError, UsageError
from densecast.io import vendor_formats
from densecast.spec.tensor import Array, TensorSpec

Tool = Literal["benchmark", "ais_bench"]
TOOLS: tuple[Tool, ...] = ("benchmark", "ais_bench")

# Where each tool starts counting the outputs of a network.
FIRST_OUTPUT: dict[Tool, int] = {"benchmark": 1, "ais_bench": 0}
SIMULATED = "SIMULATED"
"""The file beside outputs that `handoff simulate` wrote."""
SIMULATED_NOTE = "simulated on a CPU by `densecast handoff simulate`: neither a device's outputs nor its speed"
_FROM_TOOL = "whatever the tool ran on"
_DUMP = re.compile(r"dumpOutput_device(\d+)")
_DATED = re.compile(r"\d{4}_\d{2}_\d{2}-\d{2}_\d{2}_\d{2}(_\d+)?")
# A summary of ten thousand inputs has some megabytes; a text of this size is none.
_MAX_TEXT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ToolOutputs:
    """A folder of output files, and which tool wrote it."""

    folder: Path
    tool: Tool

    def path(self, stem: str) -> Path:
        """The path of an input's first output."""
        return self.folder / f"{stem}_{FIRST_OUTPUT[self.tool]}.bin"

    @property
    def is_simulated(self) -> bool:
        """Whether `handoff simulate` wrote these."""
        return (self.folder / SIMULATED).is_file()

    @property
    def hardware(self) -> str:
        """What computed these, as far as it is known."""
        return SIMULATED_NOTE if self.is_simulated else _FROM_TOOL


def find(folder: Path, tool: str | None = None) -> ToolOutputs:
    """Find the output folder: `folder` itself, or the only folder in it with a tool's naming.

    Raises:
        UsageError: none or several of them, or nothing tells which tool it was.
    """
    if tool is not None and tool not in TOOLS:
        raise UnknownNameError.among("tool", tool, TOOLS)
    named: Tool | None = next((each for each in TOOLS if each == tool), None)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. Name the one the tool wrote its outputs to.")
    if own := _tool_of(folder):
        return ToolOutputs(folder, named or own)
    tools = TOOLS if named is None else (named,)
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and _tool_of(path) in tools]
    if len(below) > 1:
        raise UsageError(f"{folder} holds several outputs: {', '.join(path.name for path in below)}. Name one of them.")
    if below:
        tool_of = _tool_of(below[0])
        assert tool_of is not None
        return ToolOutputs(below[0], tool_of)
    if named is None:
        raise UsageError(
            f"{folder} is neither dumpOutput_device<D> nor a dated folder, nor holds one. Name the tool that wrote it.",
            field="tool",
        )
    return ToolOutputs(folder, named)


def read(path: Path, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Read one output of the manifest's type and the given shape.

    Raises:
        BadInputError: missing, or of another length.
    """
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    expected = dtype.itemsize * int(np.prod(shape))
    try:
        length = path.stat().st_size
        if length != expected:
            raise BadInputError(
                f"{path}: {length} bytes; {spec.dtype} {list(shape)} has {expected}. The device's model gives another "
                "type or shape than the handoff's: prepare it again for that output."
            )
        values = np.fromfile(path, dtype=dtype)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}).") from None
    return values.astype(spec.dtype, copy=False).reshape(shape)


def performance(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Figures of the tools' performance files, by file name; files without any are left out.

    Raises:
        BadInputError: a file cannot be read.
    """
    by_file = {}
    for path in paths:
        try:
            if path.stat().st_size > _MAX_TEXT_BYTES:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadInputError(f"{path}: cannot be read ({error.strerror}).") from None
        values = _summary(text) if path.suffix == ".json" else vendor_formats.read_performance(text)
        if values:
            by_file[path.name] = values
    return by_file


def performance_files(outputs: ToolOutputs) -> list[Path]:
    """The tool's performance files beside the outputs."""
    beside = outputs.folder.parent
    patterns = ("perf_*_batchsize_*_device_*.txt", "PureInfer_perf_of_*.txt")
    dated = [beside / f"{outputs.folder.name}_{word}.json" for word in ("summary", "sumary")]
    return [*(path for pattern in patterns for path in sorted(beside.glob(pattern))), *filter(Path.is_file, dated)]


def _tool_of(folder: Path) -> Tool | None:
    if _DUMP.fullmatch(folder.name):
        return "benchmark"
    return "ais_bench" if _DATED.fullmatch(folder.name) else None


def _summary(text: str) -> dict[str, float]:
    """Figures of ais_bench's summary: throughput, and mean and median compute time."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    compute = data.get("NPU_compute_time")
    values = {"compute_per_s": data.get("throughput")}
    if isinstance(compute, dict):
        values |= {f"npu_compute_{name}_ms": compute.get(name) for name in ("mean", "median")}
    return {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}
