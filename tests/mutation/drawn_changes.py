"""Which changes of the source are tried: a sample drawn by a seed, or those that a file states."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from chosen_tests import PACKAGE
from source_changes import Change, changes, compiles
from trial_worker import HERE, ROOT

EQUIVALENT = HERE / "equivalent.json"
# What became of a change that a test failed by, or never ended.
NOTICED = ("noticed", "no end")
# Where numbers are decided, and what people decide by.
PACKAGES = (
    "kernels",
    "imaging",
    "metrics",
    "datasets",
    "graph",
    "backends",
    "measure",
    "report",
    "results",
    "runtime",
    "artifact",
    "tasks",
    "spec",
    "cli",
    "verbs/export",
    "verbs/builder",
    "verbs/handoff",
    "verbs/compare",
    "verbs/infer",
    "verbs/large",
    "verbs/mixed_precision",
    "verbs/serve",
    "verbs/stored",
    "verbs",
)


def package_of(path: str) -> str:
    """The package of `PACKAGES` that a file is in, or its topmost folder."""
    inner = path.removeprefix(f"{PACKAGE}/")
    known = (each for each in sorted(PACKAGES, key=len, reverse=True) if inner.startswith(f"{each}/"))
    return next(known, inner.partition("/")[0])


def text_of(change: Change) -> str:
    """The line that is changed."""
    return (ROOT / change.path).read_text(encoding="utf-8").splitlines()[change.line - 1].strip()


def sample(packages: Sequence[str], count: int, seed: int) -> list[Change]:
    """As many changes of every package, drawn by the seed; small packages give all they have.

    Changes that make no difference, listed with their reasons, are left out; of a listed line without `was`, all are.
    """
    listed = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    known = {(each["path"], each["line"], each.get("was"), each.get("became")) for each in listed}
    found: dict[str, list[Change]] = defaultdict(list)
    sources: dict[str, str] = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        path = str(file.relative_to(ROOT))
        if package_of(path) in packages:
            sources[path] = file.read_text(encoding="utf-8")
            found[package_of(path)] += changes(path, sources[path])
    draw = random.Random(seed)
    drawn: list[Change] = []

    def is_known(each: Change) -> bool:
        line = each.path, text_of(each)
        return (*line, None, None) in known or (*line, each.was, each.became) in known

    for place, package in enumerate(sorted(found)):
        share = count // len(found) + (place < count % len(found))
        every = draw.sample(found[package], len(found[package]))
        fit = (each for each in every if compiles(each, sources[each.path]) and not is_known(each))
        drawn += itertools.islice(fit, share)
    draw.shuffle(drawn)
    return drawn


def stated(file: Path) -> list[Change]:
    """The changes that a JSON file states, each a text that stands once in its file and what it becomes.

    Of a file that a run wrote they are those that nothing noticed.

    Those with a `why` make no difference, and are not tried.

    Raises:
        SystemExit: a text is not there, or not once: the code has moved.
    """
    found = []
    for each in json.loads(file.read_text(encoding="utf-8")):
        if "change" in each:  # as a run noted it: tried again unless it was noticed
            if each["result"] not in NOTICED:
                found.append(Change(**each["change"]))
            continue
        source = (ROOT / each["path"]).read_bytes()
        if source.count(each["was"].encode()) != 1:
            raise SystemExit(f"{each['path']} does not have once: {each['was']}")
        if "why" in each:
            continue
        start = source.index(each["was"].encode())
        end, line = start + len(each["was"].encode()), source[:start].count(b"\n") + 1
        found.append(Change(each["path"], line, "listed", start, end, each["was"], each["became"]))
    return found


def changed_packages(since: str) -> list[str]:
    """Packages with a file that differs from a commit; all where git cannot tell."""
    listed = subprocess.run(
        ["git", "diff", "--name-only", since, "--", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {package_of(path) for path in listed.stdout.splitlines()}
    return sorted(found) or list(PACKAGES)
