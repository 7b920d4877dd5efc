"""What huge pages gain: the same model with and without them, in OpenVINO alone.

    python benchmarks/huge_pages.py --model fcn_r50_d8_voc ocrnet_hr18 --precision int8 --json huge_pages.json

Where the kernel puts a process's pages changes its speed by some per cent, and so does when it is asked. So there are
several processes of each kind, alive at the same time and in turn; told are the medians of the rounds' ratios, of wall
and of CPU time, and the ratio of the shortest times. Builds are kept in `--work`, the same ones as those of `peers.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from contenders.job import Job
from densecast.core import codec, files, huge_pages, machine, planning
from densecast.core.precision import parse
from densecast.report.markdown import table
from subjects import SUBJECTS, Subject

DEFAULT_MODELS = ("fcn_r50_d8_voc", "ocrnet_hr18", "deeplabv3_r101_d16_mg124")
TURN_S = 0.8
REST_S = 0.1


def serve(connection: Connection, job: Job) -> None:
    """A process: load, then run as many inferences as are asked for, until none are."""
    from contenders.openvino_alone import OpenVinoAlone

    alone = OpenVinoAlone(job)
    while count := connection.recv():
        start, start_cpu = time.perf_counter(), time.process_time()
        alone.run([Path()] * count)
        connection.send(((time.perf_counter() - start) / count, (time.process_time() - start_cpu) / count))


def measure(subject: Subject, folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an inference by process and round, and what follows from them."""
    folder.mkdir(parents=True, exist_ok=True)
    built = subject.built(folder, parse(chosen.precision), subject.images(folder, 8)).folder
    threads = machine.usable_cpus()
    streams = planning.plan("throughput", threads).streams
    context = multiprocessing.get_context("spawn")
    connections, processes = [], []
    for number in range(2 * chosen.processes):
        ours, theirs = context.Pipe()
        job = Job(subject.model, built, built, threads, built, streams, huge_pages=number % 2 == 1)
        processes.append(context.Process(target=serve, args=(theirs, job), daemon=True))
        processes[-1].start()
        connections.append(ours)
    for connection in connections:  # the first inference takes the memory
        wall_s, _ = _ask(connection, streams)
    per_turn = max(1, round(TURN_S / wall_s / streams)) * streams
    rounds_s = np.zeros((chosen.rounds, len(connections), 2))
    for number in range(chosen.rounds):
        for place, connection in enumerate(connections):
            rounds_s[number, place] = _ask(connection, per_turn)
            time.sleep(REST_S)
    for connection, process in zip(connections, processes, strict=True):
        connection.send(0)
        process.join()
    small, huge = rounds_s[:, 0::2], rounds_s[:, 1::2]
    wall, cpu = (float(np.median(small[..., kind].mean(1) / huge[..., kind].mean(1))) for kind in (0, 1))
    shortest = float(small[..., 0].min(0).mean() / huge[..., 0].min(0).mean())
    return {
        "small_ms": 1000 * statistics.median(small[..., 0].ravel()),
        "huge_ms": 1000 * statistics.median(huge[..., 0].ravel()),
        "wall_ratio": wall,
        "cpu_ratio": cpu,
        "shortest_ratio": shortest,
        "rounds_s": rounds_s.tolist(),
    }


def _ask(connection: Connection, count: int) -> tuple[float, float]:
    connection.send(count)
    wall_s, cpu_s = connection.recv()
    return wall_s, cpu_s


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SUBJECTS), default=list(DEFAULT_MODELS))
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--processes", type=int, default=3, help="of each kind")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--work", type=Path, default=Path("runs/bench/peers"), help="where builds and images are kept")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if huge_pages.setting() != "madvise":
        parser.exit(3, f"huge pages are set to {huge_pages.setting()} here, where asking for them changes nothing.\n")
    found = {model: measure(SUBJECTS[model], chosen.work / model, chosen) for model in chosen.model}
    rows = [
        [
            model,
            *(f"{each[key]:.1f}" for key in ("small_ms", "huge_ms")),
            *(f"{each[key]:.3f}" for key in ("wall_ratio", "cpu_ratio", "shortest_ratio")),
        ]
        for model, each in found.items()
    ]
    print(
        table(
            ["model", "4 KiB pages ms", "huge pages ms", "times faster", "by CPU time", "by the shortest"],
            rows,
            "<>>>>>",
        )
    )
    if chosen.json:
        here = codec.to_plain(machine.describe())
        files.write_text(chosen.json, codec.json_text({"machine": here, "models": found}))


if __name__ == "__main__":
    main()
