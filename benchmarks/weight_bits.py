"""What int8 weights in 7 of their 8 bits cost on a CPU that needs no such care: two builds of a network, in turns.

    python benchmarks/weight_bits.py NATIVE ANY [NATIVE ANY …] [--rounds 200] [--json FILE]

Each pair is a build for this CPU (`--cpu native`, weights of 8 bits) and one for all of them (`--cpu any`). Inference
alone on one thread, input ready, by the CPU time of the process, which other work on the machine disturbs less; the
median of the rounds' ratios with its interval, and both builds' undisturbed times.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.runtime import ab_timing, execution, machine
from densecast.session import Session

_QUICKEST = 0.25


def measured(native: Path, any_cpu: Path, rounds: int) -> dict[str, Any]:
    """The speed of a build for all CPUs against one for this CPU."""
    artifacts = [CompiledArtifact.open(path) for path in (native, any_cpu)]
    sessions = [Session.open(each, execution.configure("latency", 1)) for each in artifacts]
    feeds = {spec.name: np.zeros(spec.typical_shape(512), spec.dtype) for spec in artifacts[0].spec.inputs}
    calls = [
        ab_timing.timed(lambda session=session: session.forward(feeds), time.process_time_ns) for session in sessions
    ]
    for call in calls * 3:
        call()
    limits = ab_timing.RoundLimits(most=rounds, fewest=rounds, seconds=0.0)
    seconds = ab_timing.interleave(calls, limits)
    for session in sessions:
        session.close()
    ratio = ab_timing.median_ratio(*seconds)
    native_ms, any_ms = (float(np.quantile(each, _QUICKEST)) * 1e3 for each in seconds)
    return {
        "model": artifacts[0].spec.name,
        "backend": artifacts[0].manifest.build.backend,
        "times_as_fast": ratio.value,
        "interval": [ratio.low, ratio.high],
        "native_ms": native_ms,
        "any_ms": any_ms,
    }


def main() -> None:
    """Read the command line, measure every pair and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("artifacts", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if len(given.artifacts) % 2:
        parser.error("name pairs of builds")
    rows = []
    for native, any_cpu in zip(given.artifacts[::2], given.artifacts[1::2], strict=True):
        row = measured(native, any_cpu, given.rounds)
        rows.append(row)
        low, high = row["interval"]
        print(
            f"{row['model']} {row['backend']}: 7 bits are {row['times_as_fast']:.3f} times as fast as 8 ({low:.3f} to "
            f"{high:.3f}); {row['any_ms']:.3f} ms against {row['native_ms']:.3f}",
            flush=True,
        )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"cpu": machine.describe().cpu, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
