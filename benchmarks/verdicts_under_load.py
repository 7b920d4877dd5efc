"""Do verdicts by timing stay the same while four processes keep the CPUs busy? Trials without and with that load.

    python benchmarks/verdicts_under_load.py [--trials 20] [--busy 4] [--models fcn_tiny] [--json FILE]
    python benchmarks/verdicts_under_load.py --only tune --loads 4 --json FILE   # of --tune, and beside the load alone

For each trial, with an empty cache: the 16-bit type of a build, and `build --tune` for latency. A verdict *flips* if
one trial says yes and another no, of all trials of a model; "could not be decided" is not an answer, and leaves the
default. Exit code 1 if one flips. The load average says what else ran meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from densecast.artifact import FloatArtifact
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.verb_options import TuneOptions
from densecast.verbs.builder import build
from densecast.verbs.builder.tune import tune
from densecast.verbs.export import export_zoo

MODELS = ("unet_tiny", "fcn_tiny")
OPTIONS = BuildOptions("openvino", "force_float16", InputShape((1,), 128, 192))


def busy(nice: int) -> None:
    """Keep one CPU busy for ever."""
    os.nice(nice)
    while True:
        sum(number * number for number in range(10_000))


def trial(source: FloatArtifact, folder: Path, seconds: float, *, tuned: bool) -> dict[str, str]:
    """The answer of every verdict of one build, or of one tuned build of so many seconds, with an empty cache."""
    os.environ["DENSECAST_CACHE"] = str(folder / "cache")
    if not tuned:
        chosen = build(source, folder / "built", OPTIONS).manifest.half_type
        assert chosen is not None
        return {"16-bit type": chosen.chosen if chosen.decided else f"undecided ({chosen.chosen})"}
    record = tune(source, folder / "tuned", OPTIONS, TuneOptions("latency", seconds=seconds)).manifest.tuning
    assert record is not None
    return {each.what: ("yes" if each.accepted else "no") if each.decided else "undecided" for each in record.trials}


def answers(source: FloatArtifact, trials: int, seconds: float, *, tuned: bool) -> dict[str, Counter[str]]:
    """How often each answer was given, by verdict."""
    found: dict[str, Counter[str]] = {}
    for number in range(1, trials + 1):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for what, answer in trial(source, Path(folder), seconds, tuned=tuned).items():
                found.setdefault(what, Counter())[answer] += 1
        took_s = time.monotonic() - began
        print(f"trial {number} of {trials}, {took_s:.0f} s, so far: {found}", file=sys.stderr, flush=True)
    return found


def flips(table: dict[str, dict[str, int]]) -> list[str]:
    """The verdicts that were answered in two ways, over all loads."""
    given: dict[str, set[str]] = {}
    for name, counted in table.items():
        decided = {answer for answer in counted if not answer.startswith("undecided")}
        given.setdefault(name.partition(", ")[2], set()).update(decided)
    return [name for name, found in given.items() if len(found) > 1]


def main() -> None:
    """Measure quiet, then under load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--busy", type=int, default=4)
    parser.add_argument("--nice", type=int, default=0, help="of the processes that keep the CPUs busy")
    parser.add_argument("--models", default=",".join(MODELS), help="by comma")
    parser.add_argument(
        "--only", choices=("build", "tune"), help="the 16-bit type of a build, or --tune; default: both"
    )
    parser.add_argument("--seconds", type=float, default=120, help="for one --tune; fewer decide less")
    parser.add_argument("--loads", help="numbers of busy processes, by comma; default: 0 and --busy")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sources = {name: export_zoo(name, Path(folder) / name) for name in arguments.models.split(",")}
        for load in map(int, arguments.loads.split(",")) if arguments.loads else (0, arguments.busy):
            children = [multiprocessing.Process(target=busy, args=(arguments.nice,), daemon=True) for _ in range(load)]
            for child in children:
                child.start()
            time.sleep(1)
            for name, source in sources.items():
                for tuned in {"build": (False,), "tune": (True,)}.get(arguments.only, (False, True)):
                    for what, counted in answers(source, arguments.trials, arguments.seconds, tuned=tuned).items():
                        table[f"{load} busy, {name}: {what}"] = dict(counted)
                        average = f"load {os.getloadavg()[2]:.1f} over 15 minutes"
                        print(f"{load} busy, {name}: {what}: {dict(counted)} ({average})", flush=True)
            for child in children:
                child.terminate()
    flipped = flips(table)
    print(f"{len(flipped)} verdicts flipped: {', '.join(flipped) or 'none'}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"answers": table, "flipped": flipped}, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if flipped else 0)


if __name__ == "__main__":
    main()
