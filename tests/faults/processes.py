"""A campaign against verbs at work: killed, told to end, out of disk, or given changed files at random moments.

    PYTHONPATH=tests/support python tests/faults/processes.py --seconds 200

Every trial is a process of its own. It holds if afterwards each thing is the old one or the new one, whole; no process
and no temporary file is left; the exit code and the one line are right; and the same verb, called again, comes to its
end. Exit code 1 if one trial does not hold, or a planted failure goes unseen.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fault_verbs
from fault_verbs import Verb

END_S = 10.0
"""Within this a process has to be gone; 5 seconds are promised of a machine that is not busy."""

Table = dict[tuple[str, str], collections.Counter[str]]


@dataclass
class Ended:
    """How a process ended: its exit code (negative: the signal), what it said, and processes that it left."""

    code: int
    said: str
    left: list[int] = field(default_factory=list)


def start(work: Callable[[], object], file_bytes: int | None = None) -> tuple[int, int]:
    """Fork a process that does `work`, in a session of its own; returns its id and what it says to read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 99
    try:
        os.setsid()
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(writing, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:  # told to end before the command line had begun
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def wait(pid: int, reading: int, seconds: float) -> Ended:
    """Wait for the end of a process, and of all others of its session; what does not end in time is killed."""
    deadline = time.monotonic() + seconds
    status: int | None = None
    while status is None and time.monotonic() < deadline:
        found, given = os.waitpid(pid, os.WNOHANG)
        status = given if found else None
        time.sleep(0.002)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    deadline = time.monotonic() + END_S
    while (left := of_session(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for each in left:
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)
    os.set_blocking(reading, False)
    said = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reading, 1 << 16):
            said += part
    os.close(reading)
    code = -1000 if status is None else os.waitstatus_to_exitcode(status)
    return Ended(code, said.decode(errors="replace"), left)


def of_session(session: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(own) == session and state != "Z":
                    found.append(int(path.name))
    return found


def run_whole(verb: Verb, root: Path) -> tuple[Ended, float]:
    """Let the verb come to its end; with how long it took."""
    began = time.monotonic()
    return wait(*start(lambda: verb.run(root)), 120), time.monotonic() - began


def goes_on(verb: Verb, root: Path) -> str:
    """What is wrong after a trial: what is there is not whole, or the verb does not come to its end; "" if nothing."""
    if wrong := verb.wrong(root):
        return f"left: {wrong}"
    again, _ = run_whole(verb, root)
    if again.code != 0:
        return f"called again it ends with {again.code}: {again.said[-200:]}"
    return ((wrong := verb.wrong(root)) and f"called again: {wrong}") or fault_verbs.left_over(root)


def killed(verb: Verb, root: Path, rng: random.Random, whole_s: float) -> str:
    """SIGKILL at a random moment."""
    return ended_by(signal.SIGKILL, verb, root, rng, whole_s)


def told(verb: Verb, root: Path, rng: random.Random, whole_s: float) -> str:
    """SIGTERM, SIGINT or SIGHUP at a random moment."""
    return ended_by(rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]), verb, root, rng, whole_s)


def ended_by(number: signal.Signals, verb: Verb, root: Path, rng: random.Random, whole_s: float) -> str:
    """A signal at a random moment."""
    pid, reading = start(lambda: verb.run(root))
    time.sleep(rng.uniform(0, 1.1 * whole_s))
    os.kill(pid, number)
    ended = wait(pid, reading, END_S)
    if ended.left:
        return f"{len(ended.left)} processes outlive it"
    if ended.code not in (0, -number, 128 + number):
        return f"{number.name} ends it with {ended.code}: {ended.said[-200:]}"
    if "Traceback" in ended.said:
        return f"a traceback: {ended.said[-300:]}"
    if number != signal.SIGKILL and ended.code != -number and (left := fault_verbs.left_over(root)):
        return left
    return goes_on(verb, root)


def full(verb: Verb, root: Path, rng: random.Random, whole_s: float) -> str:
    """No file can be longer than a random number of bytes."""
    del whole_s
    limit = int(2 ** rng.uniform(0, 15))
    ended = wait(*start(lambda: verb.run(root), limit), 120)
    if ended.left:
        return f"{len(ended.left)} processes outlive it"
    if ended.code not in (0, 3) or "Traceback" in ended.said or (ended.code and len(ended.said.splitlines()) != 1):
        return f"files of {limit} bytes: ends with {ended.code}: {ended.said[-300:]}"
    return fault_verbs.left_over(root) or goes_on(verb, root)


def changed(verb: Verb, root: Path, rng: random.Random, whole_s: float) -> str:
    """A file that the verb reads is changed: refused in words, or, where nothing tells, taken."""
    del whole_s
    said_of = fault_verbs.tamper(verb, root, rng)
    ended = wait(*start(lambda: verb.run(root)), 120)
    if ended.left:
        return f"{said_of}: {len(ended.left)} processes outlive it"
    allowed = (3,) if said_of.endswith("hash kept") else (0, 1, 2, 3)
    if ended.code not in allowed or "Traceback" in ended.said:
        return f"{said_of}: ends with {ended.code}: {ended.said[-300:]}"
    return ""


TRIALS: dict[str, Callable[[Verb, Path, random.Random, float], str]] = {
    "killed": killed,
    "told to end": told,
    "disk full": full,
    "files changed": changed,
}


def controls(base: Path, folder: Path) -> list[str]:
    """What the campaign would miss: failures of each kind, planted."""
    missed = []
    for name, verb in fault_verbs.PLANTED.items():
        kind = verb.name
        for number in range(40):
            root = folder / f"control{number}"
            shutil.copytree(base, root)
            outcome = TRIALS[kind](verb, root, random.Random(number), 0.2)
            shutil.rmtree(root)
            if outcome:
                break
        else:
            missed.append(name)
    return missed


def campaign(seconds: float, seed: int, folder: Path) -> tuple[Table, list[str], int]:
    """Try every kind of trial with every verb in turns; the table, what failed, and how many planted were seen."""
    base = fault_verbs.prepare(folder / "base")
    missed = controls(base, folder)
    failures = [f"planted failure unseen: {name}" for name in missed]
    whole_s: dict[str, float] = {}
    for verb in fault_verbs.VERBS:
        root = folder / "whole"
        shutil.copytree(base, root)
        ended, whole_s[verb.name] = run_whole(verb, root)
        if ended.code or (wrong := verb.wrong(root)):
            failures.append(f"{verb.name}, left alone: {ended.code}: {ended.said[-300:]} {ended.code or wrong}")
        shutil.rmtree(root)
    table: Table = {}
    began, number = time.monotonic(), 0
    while not failures and time.monotonic() - began < seconds:
        for verb in fault_verbs.VERBS:
            for kind, trial in TRIALS.items():
                if time.monotonic() - began > seconds or (kind == "files changed" and not verb.reads):
                    continue
                number += 1
                root = folder / f"trial{number}"
                shutil.copytree(base, root)
                wrong = trial(verb, root, random.Random(f"{seed} {number}"), whole_s[verb.name])
                shutil.rmtree(root)
                table.setdefault((kind, verb.name), collections.Counter())["failed" if wrong else "held"] += 1
                if wrong:
                    failures.append(f"{number} ({kind}, {verb.name}): {wrong}")
    return table, failures, len(fault_verbs.PLANTED) - len(missed)


def show(table: Table, failures: list[str], seen: int) -> None:
    """Print the table."""
    print(f"{'trial':16}{'verb':20}{'tried':>8}{'held':>8}{'failed':>8}")
    total: collections.Counter[str] = collections.Counter()
    for (kind, verb), counts in sorted(table.items()):
        total.update(counts)
        print(f"{kind:16}{verb:20}{counts.total():8}{counts['held']:8}{counts['failed']:8}")
    print(f"{'all':36}{total.total():8}{total['held']:8}{total['failed']:8}")
    print(f"{seen} of {len(fault_verbs.PLANTED)} planted failures seen")
    for line in failures:
        print(f"  FAILED {line}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240, help="begin no other round after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        os.environ["DENSECAST_CACHE"] = f"{name}/cache"
        table, failures, seen = campaign(arguments.seconds, arguments.seed, Path(name))
    show(table, failures, seen)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        plain = [{"trial": kind, "verb": verb, **counts} for (kind, verb), counts in sorted(table.items())]
        arguments.json.write_text(json.dumps(plain, indent=2) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
