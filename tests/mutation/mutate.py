"""Changes the source a little, many times, and counts how often the default tests notice.

    python tests/mutation/mutate.py --count 300 --seed 0 --out runs/mutation

The suite runs once under coverage to learn which tests run which lines; then each change is made in a copy of the
tree, and the tests that ran the changed line run until one fails. Every package gives as many changes to the sample.
Exit code 1 if fewer than `--least` percent were noticed. A test counts only if it passes without the change. With
`--near` nothing is learnt first: a quick look, which misses what farther tests would notice. `--listed` tries the
changes of a file instead: those of `audited.json` no test noticed once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chosen_tests import PACKAGE, Choice, NearTests, TestMap
from drawn_changes import NOTICED, PACKAGES, changed_packages, package_of, sample, stated, text_of
from source_changes import Change, changes
from trial_worker import ROOT, Worker, copied, environment

_NO_TESTS_LEFT = 5  # pytest's exit status


@dataclass(frozen=True)
class Trial:
    """One change and what became of it: noticed, at the limit of time, survived, or no test runs the line."""

    change: Change
    package: str
    text: str
    tests: int
    result: str
    by: str
    seconds: float

    @property
    def noticed(self) -> bool:
        """Whether a test failed or never ended."""
        return self.result in NOTICED


def make_map(tree: Path, out: Path, files: Sequence[str], processes: int) -> None:
    """Run the default tests once, or those of some files or folders, noting which test ran which line.

    Raises:
        SystemExit: the tests could not be run.
    """
    (out / "coverage.ini").write_text(f"[run]\nsource = {PACKAGE}\nparallel = true\ndata_file = {out / 'lines'}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu"]
    command += [
        "--numprocesses",
        str(processes if processes > 1 else 0),
        "--dist",
        "worksteal",
        "--cov",
        f"--cov-config={out / 'coverage.ini'}",
    ]
    command += ["--cov-context=test", "--cov-report=", f"--junitxml={out / 'tests.xml'}", *files]
    with (out / "map.log").open("w") as log:
        done = subprocess.run(command, cwd=tree, env=environment(tree), stdout=log, stderr=log, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests could not be run: {out / 'map.log'}")


def _planted(worker: Worker) -> str:
    """Untouched code must pass, and a change that nobody can miss must be noticed; else nothing here means anything."""
    path = f"{PACKAGE}/spec/geometry.py"  # whose tests compile no kernel
    change = next(each for each in changes(path, (ROOT / path).read_text()) if each.kind == "arithmetic")
    chosen = ["tests/spec/test_geometry.py"]
    untouched = worker.run(chosen, 600)
    if untouched.code != 0:
        return f"untouched code does not pass {untouched.failed or chosen}"
    if worker.try_change(change, chosen, 600).code != 1:
        return "a planted change was not noticed"
    return "" if worker.run(chosen, 600).code == 0 else "a change is still there when it was taken back"


def _try(worker: Worker, change: Change, chosen: Sequence[str], limit_s: float) -> tuple[str, str]:
    """What became of a change, and which test noticed it. Tests that fail without it as well do not count."""
    tests = list(chosen)
    while tests:
        answer = worker.try_change(change, tests, limit_s)
        if answer.code in (0, _NO_TESTS_LEFT):
            return "survived", ""
        if answer.code == -1:
            # Of a machine that others keep busy the time says nothing: without the change they must end within it.
            return ("no end" if worker.run(tests, limit_s).code != -1 else "too slow to tell"), ""
        if not answer.failed:
            return ("noticed", "import") if worker.run(tests[:1], limit_s).code == 0 else ("tests do not run", "")
        if worker.sound(answer.failed, limit_s):
            return "noticed", answer.failed
        if answer.failed in tests:
            tests.remove(answer.failed)
        else:  # of a whole file the other tests still count
            tests.append(f"--deselect={answer.failed}")
    return "not run by a test", ""


def try_all(
    drawn: Sequence[Change], tests: Choice, workers: Sequence[Worker], limit_s: float, until: float, notes: Path
) -> list[Trial]:
    """Every change once, shared out among the workers, until a time on the monotonic clock."""
    waiting = list(reversed(drawn))
    trials: list[Trial] = []
    lock = threading.Lock()

    def work(worker: Worker) -> None:
        while True:
            with lock:
                if not waiting or time.monotonic() > until:
                    return
                change = waiting.pop()
            chosen = tests.choose(change.path, change.line, limit_s)
            begun = time.monotonic()
            result, by = _try(worker, change, chosen, 10 * limit_s + 60)
            took_s = round(time.monotonic() - begun, 1)
            trial = Trial(change, package_of(change.path), text_of(change), len(chosen), result, by, took_s)
            with lock:
                trials.append(trial)
                notes.write_text(json.dumps([asdict(each) for each in trials], indent=1))
                print(
                    f"{len(trials)}/{len(drawn)} {result}: {change.path}:{change.line} "
                    f"{change.was[:40]!r} -> {change.became!r} ({trial.seconds:.0f} s)",
                    file=sys.stderr,
                    flush=True,
                )

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return trials


def table(trials: Sequence[Trial]) -> str:
    """Tried and noticed by package, as a Markdown table."""
    tried = Counter(each.package for each in trials)
    noticed = Counter(each.package for each in trials if each.noticed)
    rows = ["| package | tried | noticed | share |", "|---|--:|--:|--:|"]
    for package in sorted(tried):
        share = 100 * noticed[package] / tried[package]
        rows.append(f"| `{package}` | {tried[package]} | {noticed[package]} | {share:.0f} % |")
    whole = max(len(trials), 1)
    rows.append(f"| all | {len(trials)} | {noticed.total()} | {100 * noticed.total() / whole:.0f} % |")
    return "\n".join(rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="number of changes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packages", default=",".join(PACKAGES), help="comma separated")
    parser.add_argument("--since", help="of these, only packages that differ from this commit, if any")
    parser.add_argument("--seconds", type=float, default=30, help="of tests for one change, as the map timed them")
    parser.add_argument("--minutes", type=float, default=60, help="no change is begun later")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep-map", action="store_true", help="use the map of the last run in --out")
    parser.add_argument("--tests", help="folders or files of tests, comma separated: a map of these alone")
    parser.add_argument("--near", action="store_true", help="no map: the tests that import a file, nearest first")
    parser.add_argument("--least", type=float, default=0, help="percent that must be noticed")
    parser.add_argument("--listed", type=Path, help="the changes of this file instead of a sample")
    parser.add_argument("--files", type=int, default=24, help="with --near, files of tests for one change, at most")
    parser.add_argument("--never", help="with --near, folders or files of tests that take too long, comma separated")
    parser.add_argument("--out", type=Path, default=Path("runs/mutation"), help="folder of the results")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    packages = arguments.packages.split(",")
    if arguments.since:
        packages = [each for each in changed_packages(arguments.since) if each in packages] or packages
    trees = [copied(out / f"tree{number}") for number in range(arguments.workers)]
    if not arguments.keep_map and not arguments.near:
        print("learning which tests run which lines", file=sys.stderr)
        make_map(trees[0], out, arguments.tests.split(",") if arguments.tests else (), arguments.workers)
    tests: Choice = NearTests(ROOT, arguments.files, arguments.never.split(",") if arguments.never else ())
    if not arguments.near:
        tests = TestMap(ROOT, out / "lines", out / "tests.xml", tests)
    # Drawn from what was just copied: the checkout may change meanwhile.
    drawn = stated(arguments.listed) if arguments.listed else sample(packages, arguments.count, arguments.seed)
    workers = [Worker(tree, out / f"worker{number}.log") for number, tree in enumerate(trees)]
    try:
        wrong = _planted(workers[0])
        if wrong:
            raise SystemExit(wrong)
        until = time.monotonic() + 60 * arguments.minutes
        trials = try_all(drawn, tests, workers, arguments.seconds, until, out / "mutation.json")
    finally:
        for worker in workers:
            worker.close()
    print(table(trials))
    for trial in sorted(trials, key=lambda each: (each.change.path, each.change.line)):
        if not trial.noticed:
            print(f"{trial.change.path}:{trial.change.line} {trial.result}: {trial.text}")
            print(f"    {trial.change.was!r} -> {trial.change.became!r}")
    noticed = sum(each.noticed for each in trials)
    sys.exit(1 if 100 * noticed < arguments.least * len(trials) else 0)


if __name__ == "__main__":
    main()
