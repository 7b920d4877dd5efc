"""Shows everything on a small model that comes with the package: `unet_tiny`, with pictures drawn for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densecast.report.data import Report
from densecast.spec.options import BuildOptions, QuantizeOptions
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs.reproduce import Progress, RunOptions, reproduce
from densecast.zoo._base import ZOO

MODEL = "unet_tiny"
# Fewer than `run` draws, as drawing and calibration take most of the time. A tenth is measured, of the rest so many
# calibrate.
PICTURES = 120
_CALIBRATED = BuildOptions(quantize=QuantizeOptions(images=64))
# Of each loop that is timed: enough for a median and its spread.
_TIMED = BenchmarkOptions(images=15, seconds=0.7, warm_up=3)


def demo(out: Path | str = "runs/demo", *, progress: Progress = lambda what, done, total: None) -> Report:
    """Run `unet_tiny` on every engine and in every precision that this installation has, into `out`.

    It is what `reproduce("unet_tiny", out)` does, with fewer pictures. Neither torch nor a network is needed.
    What an extra is missing for is left out; the report says so. From a script, call it below
    `if __name__ == "__main__":`, as models are measured in processes of their own.

    Raises:
        DensecastError: whatever a step raises.
    """
    entry = ZOO.load(MODEL)
    assert entry.data is not None, "its pictures are drawn"
    entry = replace(entry, data=replace(entry.data, count=PICTURES))
    return reproduce(entry, out, RunOptions(skip_missing=True, build=_CALIBRATED, benchmark=_TIMED), progress=progress)
