"""Everything after a bottom-up pose network, against the plain definition of it on torch, by number of people.

    python benchmarks/pose_decode.py --json pose_decode.json

Both decode the same maps of a 512 x 704 input and its mirror image on one thread, in turns, so that what else runs
on the machine meets both alike. The plain side (`tests/support/plain_pose.py`) upsamples, pools and searches whole
maps as the original package does. Times are CPU times of the calling thread; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import plain_pose  # noqa: E402
import torch  # noqa: E402
from pose_scenes import Scene, draw  # noqa: E402

from densecast.kernels import pose_field, pose_grouping, pose_refine  # noqa: E402
from densecast.runtime.machine import describe  # noqa: E402
from densecast.spec.pose_geometry import PosePlacement, place  # noqa: E402
from densecast.tasks.pose import postprocess  # noqa: E402

IMAGE_HW = (480, 640)
PEOPLE = (0, 1, 3, 10, 30)


def scene(people: int) -> Scene:
    """People as a network shows them: joints of some size, noise below them, one in ten joints missing."""
    size = (0.5, 1.0) if people <= 3 else (0.2, 0.5)
    return Scene(seed=40 + people, people=people, map_hw=(128, 176), size=size, radius=6.0, missing=0.1, noise=0.01)


def steps_ms(maps: np.ndarray) -> dict[str, float]:
    """CPU milliseconds of each step of ours."""
    options, size_hw = postprocess.PUBLISHED, place(IMAGE_HW).model_hw
    marks: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.thread_time_ns()
        result = step()
        marks[name] = marks.get(name, 0.0) + (time.thread_time_ns() - start) / 1e6
        return result

    fields = timed(
        "fields", lambda: postprocess._fields(postprocess._checked([maps], (1.0,), options), size_hw, options)
    )
    tables = postprocess._tables(maps.shape[2:], maps.shape[2:], size_hw)
    ceiling = np.empty((17, *maps.shape[2:]), np.float32)
    timed("bounds", lambda: pose_field.ceilings(fields.heat, ceiling) and pose_field.is_in_range(fields.tag))
    people = timed("peaks and matching", lambda: postprocess._people(fields, tables, ceiling, options))
    timed("adjust", lambda: pose_refine.adjust(fields.heat, people))
    timed("scores", lambda: pose_grouping.person_scores(people))
    if len(people):
        timed(
            "missing joints", lambda: pose_refine.fill_missing(fields.heat, fields.tag, ceiling, tables.tiles, people)
        )
    return marks


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds of the calling thread."""
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / 1e6


def plain_steps_ms(maps: np.ndarray, model_hw: tuple[int, int]) -> tuple[float, dict[str, float]]:
    """CPU milliseconds of the plain side, and the wall-clock milliseconds of its steps."""
    steps: dict[str, float] = {}
    total = cpu_ms(lambda: plain_pose.decode([maps], model_hw, postprocess.PUBLISHED, clock_ms=steps))
    return total, steps


def measure(people: int, rounds: int, plain_rounds: int) -> dict[str, Any]:
    """Both sides in turns on one scene."""
    maps = draw(scene(people))[0]
    placed = place(IMAGE_HW)
    found = postprocess.decode([maps], placed)
    expected, _ = plain_pose.decode([maps], placed.model_hw, postprocess.PUBLISHED)
    assert np.array_equal(found.score, expected[..., 2]), "the two sides differ: their times say nothing"
    ours, plain, by_step, plain_steps = [], [], [], []
    for turn in range(rounds):
        ours.append(cpu_ms(lambda: postprocess.decode([maps], placed)))
        by_step.append(steps_ms(maps.copy()))
        if turn < plain_rounds:
            total, steps = plain_steps_ms(maps, placed.model_hw)
            plain.append(total)
            plain_steps.append(steps)
    return {
        "people": people,
        "found": len(found),
        "missing_joints": missing_joints(maps, placed),
        "ours_ms": ours,
        "plain_ms": plain,
        "ratio": statistics.median(p / o for p, o in zip(plain, ours, strict=False)),
        "ours_steps_ms": {name: statistics.median(step.get(name, 0.0) for step in by_step) for name in by_step[0]},
        "plain_steps_ms": {name: statistics.median(step[name] for step in plain_steps) for name in plain_steps[0]},
    }


def missing_joints(maps: np.ndarray, placed: PosePlacement) -> int:
    """How many joints were not found before missing ones were looked for."""
    unrefined = postprocess.decode([maps], placed, replace(postprocess.PUBLISHED, refine=False))
    return int((unrefined.score == 0).sum())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--plain-rounds", type=int, default=3)
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    results = []
    print(f"{'people':>6} {'found':>6} {'missing':>8} {'plain ms':>9} {'ours ms':>8} {'ratio':>7}")
    for people in PEOPLE:
        result = measure(people, options.rounds, options.plain_rounds)
        results.append(result)
        plain, ours = statistics.median(result["plain_ms"]), statistics.median(result["ours_ms"])
        print(
            f"{people:6} {result['found']:6} {result['missing_joints']:8} {plain:9.0f} {ours:8.2f} "
            f"{result['ratio']:7.0f}   " + ", ".join(f"{k} {v:.2f}" for k, v in result["ours_steps_ms"].items()),
            flush=True,
        )
    if options.json:
        report = {"scope": "maps to people, CPU time of one thread", "machine": asdict(describe()), "results": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
