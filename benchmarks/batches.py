"""Batch sizes 1, 4 and 16 of full-size networks on OpenVINO: images per second and peak memory, each a process.

Random weights and random input; memory per image is the slope between the smallest and the largest batch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from densecast import BuildOptions, ExportOptions, InputShape, QuantizeOptions, build, export_zoo
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.scenes import write_carvana
from densecast.spec.precision import parse, short
from engines import MODELS, random_checkpoint

BATCHES = (1, 4, 16)


def measure(model: str, precision: str, folder: Path) -> dict[int, dict[str, Any]]:
    """One build for all batch sizes, one process for each."""
    size_hw, image_hw = MODELS[model]
    random_checkpoint(model, folder / "weights.pth")
    write_carvana.write(folder / "data", 2, size_hw=image_hw, seed=7)
    exported = export_zoo(model, folder / "float", ExportOptions(), given=folder / "weights.pth")
    shape = InputShape(BATCHES, *size_hw)
    options = BuildOptions(
        "openvino", parse(precision), shape, QuantizeOptions(images=2, calibration_method="mean_minmax")
    )
    built = build(exported, folder / "built", options, data=folder / "data" / "imgs")
    found = {}
    for batch in BATCHES:
        command = [sys.executable, "-m", "densecast", "benchmark", str(built.folder), "--batch", str(batch)]
        command += ["--count", str(batch), "--seconds", "0", "--warm-up", "1", "--quiet", "--json", "-"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found[batch] = json.loads(answer.stdout)
    return found


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows, every = [], {}
    for model in arguments.models or MODELS:
        folder = Path(tempfile.mkdtemp())
        try:
            found = every[model] = measure(model, arguments.precision, folder)
        finally:
            shutil.rmtree(folder)
        first, last = found[BATCHES[0]]["peak_rss_mb"], found[BATCHES[-1]]["peak_rss_mb"]
        slope = (last - first) / (BATCHES[-1] - BATCHES[0])
        for batch, result in found.items():
            speed = result["throughput"]["inference_only_per_s"]
            figures = [str(batch), f"{speed:.2f}", f"{result['peak_rss_mb']:.0f}", f"{slope:.0f}"]
            rows.append([model, f"{result['precision']['ran']}", *figures])
    header = ["model", f"{short(parse(arguments.precision))} ran", "batch", "images/s", "peak MB", "MB an image"]
    print(table(header, rows, "<<>>>>"))
    if arguments.json:
        here = codec.to_plain(machine.describe())
        files.write_text(arguments.json, codec.json_text({"machine": here, "models": every}))


if __name__ == "__main__":
    main()
