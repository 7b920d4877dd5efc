"""A campaign against damaged model files: each is refused by a typed error or accepted, and takes nothing along.

    PYTHONPATH=tests/support python tests/faults/campaign.py --count 500

damages small models of every format, exports or opens each, and prints a table of what was tried, accepted, refused and
failed; also when it is told to end before (Ctrl-C, SIGTERM), of what was tried until then. With --add the JSON file
counts several runs together: each goes on after the last one's numbers. Exit code 1 if one failed: an error without a
type, a crash, no end in time, or too much memory. A damaged file that failed is kept in runs/faults. Every mutant has
its own number, which with the seed makes it again.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_seeds
import mutants

from densecast.errors import BadGraphError, DensecastError
from densecast.runtime import cell, cell_pool, machine
from densecast.verbs.export import export_file

LIMITS = cell.Limits(memory_bytes=2 << 30, cpu_s=60, wall_s=300, file_bytes=256 << 20)
CONTROL = cell.Limits(memory_bytes=256 << 20, cpu_s=2, wall_s=60, file_bytes=1 << 20)
MAX_PARENT_MB = 1500
# Files of a rare format come seldom, and TensorFlow's server takes five seconds of CPU to start.
IDLE_S = 900.0
# What the confined processes would otherwise import for each file anew.
_TORCH = ("onnx", "onnxruntime", "torch", "densecast.verbs.export.checkpoint", "tiny_torch", "fault_targets")
_ENGINE = ("onnxruntime", "densecast.pipeline", "densecast.tasks.segmentation", "fault_preload", "fault_targets")

BYTES, MESSAGE, ZIP = mutants.damaged_bytes, mutants.damaged_message, mutants.damaged_zip
# Of a hundred mutants, how many are of a kind; and how it is damaged.
KINDS: dict[str, tuple[int, tuple[mutants.Bytes, ...]]] = {
    "onnx": (50, (MESSAGE, MESSAGE, MESSAGE, BYTES)),
    "torchscript": (14, (ZIP, ZIP, BYTES)),
    "pth": (12, (ZIP, BYTES)),
    "safetensors": (10, (BYTES,)),
    "manifest": (6, (mutants.damaged_json, mutants.damaged_json, BYTES)),
    "xml": (4, (mutants.damaged_xml, mutants.damaged_xml, BYTES)),
    "tensorflow": (2, (MESSAGE, BYTES)),
}


@dataclass(frozen=True)
class Outcome:
    """How one mutant ended: accepted, refused, contained (ended by its limits or a crash, in words), or a failure."""

    kind: str
    result: str
    words: str = ""


def attempt(kind: str, path: Path, seed: fault_seeds.Seed, scratch: Path) -> Outcome:
    """Export or open one file."""
    try:
        if kind in ("onnx", "torchscript", "tensorflow"):
            export_file(path, seed.spec, scratch / "out")
        else:
            _in_cell(kind, path, seed, scratch)
    except DensecastError as error:
        text = str(error)
        ended = next((name for sign, name in _ENDS.items() if sign in text), "")
        is_untyped = isinstance(error, BadGraphError) and "cannot be used (" in text
        if "\n" in text:
            return Outcome(kind, "untyped", text)
        if kind in ("onnx", "torchscript", "tensorflow"):
            return Outcome(kind, "contained" if ended or is_untyped else "refused", text)
        return Outcome(kind, ended or ("untyped" if is_untyped else "refused"), text)
    except Exception as error:
        return Outcome(kind, "untyped", f"{type(error).__name__}: {error}")
    return Outcome(kind, "accepted")


_ENDS = {"ended by signal": "crash", "process that read it ended with": "crash", "did not finish": "hang"}
_ENDS |= {cell.GIB: "memory", "gave no answer": "crash"}


def _in_cell(kind: str, path: Path, seed: fault_seeds.Seed, scratch: Path) -> None:
    is_weights = kind in ("pth", "safetensors")
    payload: dict[str, Any] = {"path": str(path), "artifact": str(seed.path.parent), "name": seed.path.name}
    cell.run_in_cell(
        f"fault_targets:{'checkpoint' if is_weights else 'artifact'}",
        payload,
        scratch,
        subject="it",
        bounds=LIMITS,
        readable=[path, seed.path.parent],
        libraries=_TORCH if is_weights else _ENGINE,
    )


def controls(folder: Path) -> list[str]:
    """What the campaign would miss: each kind of failure, planted."""
    missed = []
    for name, expected in (
        ("crash", "ended by signal 11"),
        ("untyped", "LookupError"),
        ("endless", "did not finish"),
        ("greedy", cell.GIB),
    ):
        scratch = folder / name
        scratch.mkdir()
        try:
            cell.run_in_cell(f"fault_targets:{name}", {}, scratch, subject="it", bounds=CONTROL, libraries=_ENGINE)
            missed.append(name)
        except (DensecastError, RuntimeError) as error:
            if expected not in str(error):
                missed.append(f"{name}: {error}")
    return missed


def mutant(number: int, seed: int, seeds: dict[str, list[fault_seeds.Seed]]) -> tuple[str, fault_seeds.Seed, bytes]:
    """The mutant of that number."""
    rng = random.Random(f"{seed} {number}")
    kinds = [kind for kind in KINDS if kind in seeds]
    kind = rng.choices(kinds, [KINDS[each][0] for each in kinds])[0]
    origin = rng.choice(seeds[kind])
    damage = rng.choice(KINDS[kind][1])
    data = origin.path.read_bytes()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        try:
            data = damage(data, rng) or data
        except Exception:  # damaged beyond the form that the second damage needs
            break
    return kind, origin, data


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Try all mutants, print the table; the exit code."""
    cell_pool.idle_s, cell_pool.most_idle = IDLE_S, arguments.jobs
    seeds = fault_seeds.write(folder / "seeds", only=arguments.kinds)
    fault_seeds.warm_up(seeds)
    for kind, origins in seeds.items():
        for origin in origins:
            (folder / "whole").mkdir()
            outcome = attempt(kind, origin.path, origin, folder / "whole")
            shutil.rmtree(folder / "whole")
            if outcome.result != "accepted":
                print(f"the undamaged {kind} {origin.path.name} is not accepted: {outcome.words}")
                return 1
    missed = controls(folder)
    if missed:
        print(f"planted failures went unseen: {'; '.join(missed)}")
        return 1
    table: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in seeds}
    failures: list[str] = []
    guard, start = threading.Lock(), time.monotonic()
    contained: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()

    def try_one(number: int) -> None:
        if time.monotonic() - start > arguments.seconds or ended.is_set():
            return
        kind, origin, data = mutant(number, arguments.seed, seeds)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            path = Path(name) / f"mutant{origin.path.suffix}"
            path.write_bytes(data)
            scratch = Path(name) / "scratch"
            scratch.mkdir()
            outcome = attempt(kind, path, origin, scratch)
        with guard:
            table[kind][outcome.result] += 1
            if outcome.result == "refused":
                reasons[f"{kind}: {outcome.words.replace(str(path), 'it')[:100]}"] += 1
            if outcome.result == "contained":
                contained[f"{kind}: {outcome.words.replace(str(path), 'it')[:140]}"] += 1
            if outcome.result in ("untyped", "crash", "hang", "memory"):
                failures.append(f"{number} ({kind}, {outcome.result}): {outcome.words[: arguments.width]}")
                kept = Path("runs/faults")
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{arguments.seed}_{number}{origin.path.suffix}").write_bytes(data)

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(try_one, range(arguments.first, arguments.first + arguments.count)))
    if arguments.reasons:
        for words, times in reasons.most_common(arguments.reasons):
            print(f"  refused {times} ×  {words}")
    _report(table, contained, failures, time.monotonic() - start, arguments)
    return 1 if failures or machine.peak_rss_mb() > MAX_PARENT_MB else 0


def _report(
    table: dict[str, collections.Counter[str]],
    contained: collections.Counter[str],
    failures: list[str],
    seconds: float,
    arguments: argparse.Namespace,
) -> None:
    if arguments.add and arguments.json and arguments.json.exists():
        for kind, counts in json.loads(arguments.json.read_text()).items():
            table.setdefault(kind, collections.Counter()).update(counts)
    columns = ("accepted", "refused", "contained", "untyped", "crash", "hang", "memory")
    print(f"{'format':12}{'tried':>8}" + "".join(f"{name:>11}" for name in columns))
    total: collections.Counter[str] = collections.Counter()
    for kind, counts in table.items():
        total.update(counts)
        print(f"{kind:12}{counts.total():8}" + "".join(f"{counts[name]:11}" for name in columns))
    print(f"{'all':12}{total.total():8}" + "".join(f"{total[name]:11}" for name in columns))
    held = total["accepted"] + total["refused"] + total["contained"]
    print(
        f"tried {total.total()}, held {held}, failed {len(failures)}; seed {arguments.seed}, {seconds:.0f} s, "
        f"{machine.peak_rss_mb():.0f} MB here; 4 of 4 planted failures seen"
    )
    for words, count in contained.most_common(12):
        print(f"  contained {count} ×  {words}")
    for line in failures:
        print(f"  FAILED {line}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({kind: dict(counts) for kind, counts in table.items()}, indent=2) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="number of damaged files")
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to try it again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=3300, help="begin no other one after so long")
    parser.add_argument(
        "--kinds",
        type=lambda text: text.split(","),
        help=f"of {', '.join(KINDS)}; default: all there are libraries for",
    )
    parser.add_argument("--width", type=int, default=300, help="of what is shown of a failure")
    parser.add_argument("--reasons", type=int, default=0, help="show so many of the reasons of refusals")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--add", action="store_true", help="count together with what --json FILE holds, and go on there"
    )
    arguments = parser.parse_args()
    if arguments.add and arguments.json and arguments.json.exists():
        arguments.first += sum(sum(each.values()) for each in json.loads(arguments.json.read_text()).values())
    logging.getLogger("densecast").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix=f"densecast-faults-{zlib.crc32(os.urandom(4)):x}-") as name:
        code = run(arguments, Path(name))
    sys.exit(code)


if __name__ == "__main__":
    main()
