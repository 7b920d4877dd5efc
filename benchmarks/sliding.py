"""Memory and time of sliding windows as pictures grow, beside the whole picture at once.

Each case is a process of its own, as peak memory only ever grows. The network is the shipped `fcn_tiny`, built by
OpenVINO in float32 for its windows, and for whole pictures of open size.

    python benchmarks/sliding.py [--sides 1024,2048,4096] [--window 512]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from densecast.pipeline import Pipeline
from densecast.runtime import machine
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import Native
from densecast.spec.slide import of
from densecast.verbs.builder import build
from densecast.verbs.export import ExportOptions, SpecFile, export_zoo
from densecast.verbs.export.retrained import Stated
from densecast.zoo._base import ZOO


def picture(side: int) -> np.ndarray:
    """(side, side, 3) coarse patches with finer ones over them."""
    rng = np.random.default_rng(side)
    small = rng.integers(0, 255, (side // 16, side // 16, 3), dtype=np.uint8)
    return small.repeat(16, axis=0).repeat(16, axis=1)


def measure(artifact: Path, side: int) -> dict[str, float]:
    """Peak memory before and after one prediction, and the time of a second one."""
    image = picture(side)
    with Pipeline.open(artifact) as pipeline:
        start_mb = machine.peak_rss_mb()
        pipeline(image)
        peak_mb = machine.peak_rss_mb()
        start = time.perf_counter()
        pipeline(image)
        return {"start_mb": start_mb, "peak_mb": peak_mb, "seconds": time.perf_counter() - start}


def main() -> None:
    """Build both artifacts, and print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="1024,2048,4096")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(Path(arguments.case[0]), int(arguments.case[1]))))
        return
    entry = ZOO.load("fcn_tiny")
    preprocess = SpecFile().preprocess
    own = Stated(preprocess=type(preprocess)(Native(), mean=entry.spec.preprocess.mean, std=entry.spec.preprocess.std))
    with tempfile.TemporaryDirectory() as scratch:
        window = (arguments.window, arguments.window)
        cases = {
            "windows": (ExportOptions(slide=window), InputShape(height=window[0], width=window[1])),
            "whole": (ExportOptions(), InputShape()),
        }
        print(f"windows of {of(window)}, float32")
        print(f"{'':8} {'side':>6} {'before':>9} {'peak':>9} {'time':>9}")
        for name, (options, shape) in cases.items():
            folder = Path(scratch) / name
            exported = export_zoo("fcn_tiny", folder / "float", options, stated=own)
            built = build(exported, folder / "built", BuildOptions("openvino", "force_float32", shape))
            for side in map(int, arguments.sides.split(",")):
                done = subprocess.run(
                    [sys.executable, __file__, "--case", str(built.folder), str(side)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    print(f"{name:8} {side:6} failed: {done.stderr.strip().splitlines()[-1][:80]}")
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                memory = f"{found['start_mb']:6.0f} MB {found['peak_mb']:6.0f} MB"
                print(f"{name:8} {side:6} {memory} {found['seconds']:7.2f} s", flush=True)


if __name__ == "__main__":
    main()
