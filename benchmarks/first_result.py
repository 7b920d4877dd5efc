"""How long the first result of a cold process takes, beside one inference.

    python benchmarks/first_result.py --model unet_carvana fcn_r50_d8_voc --json first_result.json

`densecast infer ARTIFACT one.jpg` as its user runs it, again and again, each time a new process, after `warm_up` has
left on disk what a build leaves. The inference is the median of the same artifact's `densecast benchmark`. Builds are
kept in `--work`, the same ones as those of `peers.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.spec.precision import parse
from densecast.verbs.warm_up import warm_up
from subjects import SUBJECTS, Subject

DEFAULT_MODELS = ("unet_tiny", "unet_carvana", "fcn_r50_d8_voc", "ocrnet_hr18", "mobilenetv2_ae")
PROCESSES = 7


def measure(subject: Subject, folder: Path, precision: str) -> dict[str, Any]:
    """Seconds of whole processes, and milliseconds of an inference."""
    folder.mkdir(parents=True, exist_ok=True)
    images = subject.images(folder, 8)
    built = subject.built(folder, parse(precision), images)
    warm_up(built)
    program = [sys.executable, "-m", "densecast"]
    seconds = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(PROCESSES):
            start = time.perf_counter()
            subprocess.run(
                [*program, "infer", built.folder, images[0], "--out", out, "-q"], check=True, stdout=subprocess.DEVNULL
            )
            seconds.append(time.perf_counter() - start)
    arguments = [
        "benchmark",
        str(built.folder),
        str(images[0]),
        "--count",
        "5",
        "--seconds",
        "1",
        "--warm-up",
        "1",
        "-q",
    ]
    answer = subprocess.run([*program, *arguments, "--json", "-"], check=True, capture_output=True, text=True)
    infer_s = json.loads(answer.stdout)["stages"]["infer"]["p50_ms"] / 1000
    first_s = statistics.median(seconds)
    return {"first_s": first_s, "seconds": seconds, "infer_s": infer_s, "beside_s": first_s - infer_s}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SUBJECTS), default=list(DEFAULT_MODELS))
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/peers"), help="where builds and images are kept")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = {model: measure(SUBJECTS[model], chosen.work / model, chosen.precision) for model in chosen.model}
    rows = [
        [model, f"{each['first_s']:.2f}", f"{each['infer_s']:.2f}", f"{each['beside_s']:.2f}"]
        for model, each in found.items()
    ]
    print(table(["model", "first result s", "one inference s", "beside it s"], rows, "<>>>"))
    if chosen.json:
        here = codec.to_plain(machine.describe())
        files.write_text(chosen.json, codec.json_text({"machine": here, "models": found}))


if __name__ == "__main__":
    main()
