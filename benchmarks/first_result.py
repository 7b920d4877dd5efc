"""How long the first result of a cold process takes, beside one inference.

    python benchmarks/first_result.py --model unet_carvana fcn_r50_d8_voc --json first_result.json
    python benchmarks/first_result.py --artifact ARTIFACT --image one.jpg --before CHECKOUT/src --json cold.json

`densecast infer ARTIFACT one.jpg` as its user runs it, again and again, each time a new process, after `warm_up` has
left on disk what a build leaves. The inference is the median of the same artifact's `densecast benchmark`. Builds are
kept in `--work`, the same ones as those of `peers.py`. With `--before` processes of an earlier version of the code take
turns with those of this one, counted by CPU time, which other programs' work changes least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from densecast.artifact import CompiledArtifact
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
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(PROCESSES):
            start = time.perf_counter()
            arguments = ["infer", str(built.folder), str(images[0]), "--out", out, "-q"]
            subprocess.run([*program, *arguments], check=True, stdout=subprocess.DEVNULL, env=with_byte_code())
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


def in_turns(artifact: Path, image: Path, before: Path) -> list[dict[str, Any]]:
    """Cold processes of two versions in turns: seconds of CPU and of the clock, and the number of modules imported."""
    own = Path(machine.__file__).parents[2]
    warm_up(CompiledArtifact.open(artifact))
    found = []
    for words in ("infer", "--version"):
        sides: dict[str, dict[str, Any]] = {}
        for number in range(PROCESSES + 1):
            for side, source in (("before", before), ("after", own)):
                told = sides.setdefault(side, {"cpu_s": [], "wall_s": []})
                cpu, wall, modules = cold(words, artifact, image, source, counts=not number)
                if not number:  # which also leaves byte code behind
                    told["modules"] = modules
                    continue
                told["cpu_s"].append(round(cpu, 3))
                told["wall_s"].append(round(wall, 3))
        name = (
            f"densecast infer, {CompiledArtifact.open(artifact).spec.name}"
            if words == "infer"
            else "densecast --version"
        )
        found.append({"command": name, **sides})
    return found


def cold(words: str, artifact: Path, image: Path, source: Path, *, counts: bool) -> tuple[float, float, int]:
    """CPU seconds, seconds and, where asked, imported modules of one process."""
    with tempfile.TemporaryDirectory() as out:
        given = ["infer", str(artifact), str(image), "--out", out, "-q"] if words == "infer" else [words]
        program = [sys.executable, *(["-X", "importtime"] if counts else []), "-m", "densecast", *given]
        environment = {**with_byte_code(), "PYTHONPATH": str(source.absolute())}
        used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(program, check=True, capture_output=True, text=True, env=environment)
        wall = time.perf_counter() - start
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return cpu, wall, done.stderr.count("import time:")


def with_byte_code() -> dict[str, str]:
    """Return this process's environment, in which byte code is kept: installations have it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SUBJECTS), default=list(DEFAULT_MODELS))
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/peers"), help="where builds and images are kept")
    parser.add_argument("--artifact", type=Path, help="with --before: what is built")
    parser.add_argument("--image", type=Path, help="with --before: a picture")
    parser.add_argument("--before", type=Path, help="the src folder of an earlier version, to take turns with")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    here = codec.to_plain(machine.describe())
    if chosen.before:
        commands = in_turns(chosen.artifact, chosen.image, chosen.before)
        for each in commands:
            medians = [statistics.median(each[side]["cpu_s"]) for side in ("before", "after")]
            print(f"{each['command']}: {medians[0]:.2f} s of CPU before, {medians[1]:.2f} s now")
        if chosen.json:
            files.write_text(chosen.json, codec.json_text({"machine": here, "commands": commands}))
        return
    found = {model: measure(SUBJECTS[model], chosen.work / model, chosen.precision) for model in chosen.model}
    rows = [
        [model, f"{each['first_s']:.2f}", f"{each['infer_s']:.2f}", f"{each['beside_s']:.2f}"]
        for model, each in found.items()
    ]
    print(table(["model", "first result s", "one inference s", "beside it s"], rows, "<>>>"))
    if chosen.json:
        files.write_text(chosen.json, codec.json_text({"machine": here, "models": found}))


if __name__ == "__main__":
    main()
