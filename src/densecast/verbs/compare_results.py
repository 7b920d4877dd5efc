"""Compares two result files, or one with a published table, and reports regressions beyond stated tolerances."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from densecast.errors import BadInputError, UnknownNameError, UsageError
from densecast.io import codec, files
from densecast.measure.store.store import Store
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec import limits
from densecast.verbs.stored.compare import is_store
from densecast.verbs.stored.evaluate import result_of
from densecast.verbs.stored.merge import complete

PUBLISHED = "published:"
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity of a result; `images` is what it was measured on, if known, and `ids` the hash of their ids.

    Of a speed, `spread` is how far equal parts of its run lay apart, as a share, and `disturbed` what other programs
    took of the CPUs, in words, where that was too much for wall times to decide anything.
    """

    value: float
    better: Better
    images: int | None = None
    ids: str | None = None
    spread: float | None = None
    disturbed: str = ""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The allowed regression of a quantity: an absolute `amount`, or a share of the baseline."""

    name: str
    amount: float
    relative: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity of both results. `worse` is how much the candidate is worse, negative where it is better.

    `noise` is how far the two may lie apart by chance, where that is known. A limit within it of `worse` could not be
    decided: then it is not `passed`, and `undecided` says why.
    """

    name: str
    baseline: float
    candidate: float
    worse: float
    allowed: float | None
    passed: bool
    noise: float | None = None
    undecided: str = ""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a reference's published tables."""

    name: str
    source: str
    values: dict[str, float]
    images: int | None = None


def compare_results(
    baseline: str, candidate: str, tolerances: Sequence[Tolerance], *, other_images: bool = False
) -> list[Row]:
    """Compare all quantities that both results have; those with a tolerance are gated.

    A speed is not judged where the runs' own spread is larger than what is left to the limit, or where other programs
    took too much of the CPUs: that gate is not passed, and its row says that it could not be decided.

    Each is the path of a JSON file of `evaluate`, `benchmark`, `run` or `handoff collect`, or `published:<name>`. A
    tolerance's name is a quantity's, or the last part of several (`mIoU` of `openvino_fp32/mIoU`).

    Raises:
        BadInputError: a file is no result.
        UnknownNameError: no such published row, or a tolerance for what the two do not have in common.
        UsageError: scores over different images, unless `other_images`; or of several quantities that a tolerance
            names, one was not measured in one of the two.
    """
    left, right = read(baseline), read(candidate)
    common = [name for name in left if name in right]
    if not common:
        raise UsageError(f"the two have nothing in common: {', '.join(left)}; and {', '.join(right)}.")
    for tolerance in tolerances:
        if not any(_matches(tolerance, name) for name in common):
            raise UnknownNameError.among("quantity of both results", tolerance.name, common)
        for name in {**left, **right}:
            if _matches(tolerance, name) and name not in common:
                where = baseline if name not in left else candidate
                raise UsageError(
                    f"the tolerance {tolerance.name} limits {name}, which was not measured in {where}. Measure it "
                    "there, or name those to limit in full.",
                    field="tolerance",
                )
    rows = []
    for name in common:
        before, after = left[name], right[name]
        if not other_images:
            _check_images(name, before, after)
        worse = before.value - after.value if before.better == "higher" else after.value - before.value
        named = [each for each in tolerances if _matches(each, name)]
        allowed = min((_allowed(each, before.value) for each in named), default=None)
        noise = _noise(before, after)
        undecided = "" if allowed is None else _undecided(before, after, worse, allowed, noise)
        passed = allowed is None or limits.is_at_most(f"the tolerance of {name}", worse, allowed)
        rows.append(Row(name, before.value, after.value, worse, allowed, passed and not undecided, noise, undecided))
    return rows


def parse_tolerance(text: str) -> Tolerance:
    """Parse a tolerance: `mIoU=0.005` is an amount, `images_per_s=5%` a share of the baseline.

    >>> parse_tolerance("images_per_s=5%")
    Tolerance(name='images_per_s', amount=0.05, relative=True)

    Raises:
        UsageError: another form.
    """
    name, equals, number = text.partition("=")
    try:
        amount = float(number.removesuffix("%"))
    except ValueError:
        amount = math.nan
    if not (name and equals and math.isfinite(amount) and amount >= 0):
        raise UsageError(
            f"a tolerance must be NAME=AMOUNT or NAME=SHARE%, as mIoU=0.005 or images_per_s=5%, got {text!r}.",
            field="tolerance",
        )
    relative = number.endswith("%")
    return Tolerance(name, amount / 100 if relative else amount, relative)


def read(source: str) -> dict[str, Quantity]:
    """Read the quantities of a result or of a published row, by name.

    Raises:
        BadInputError: missing, or no result.
        UnknownNameError: no such published row.
    """
    if source.startswith(PUBLISHED):
        rows = published()
        name = source.removeprefix(PUBLISHED)
        if name not in rows:
            raise UnknownNameError.among("published row", name, rows)
        return {key: Quantity(value, _better(key), rows[name].images) for key, value in rows[name].values.items()}
    path = Path(source)
    if is_store(source):
        store = Store.at(source)
        return dict(_quantities(result_of(store, complete(store)).plain()))
    try:
        contents = files.read_bounded(path, codec.MAX_BYTES)
        if len(contents) > codec.MAX_BYTES:
            raise BadInputError(f"{path}: larger than {codec.MAX_BYTES >> 20} MiB; this is no result.")
        data = json.loads(contents.decode())
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: not valid JSON ({error}).") from None
    quantities = dict(_quantities(data)) if isinstance(data, dict) else {}
    if not quantities:
        raise BadInputError(f"{path}: no result of evaluate, benchmark, run or handoff collect.")
    return quantities


def published() -> dict[str, PublishedRow]:
    """The references' published tables, by `<model>/<precision>`; values as fractions and per second."""
    text = resources.files("densecast").joinpath("published.json").read_text(encoding="utf-8")
    rows = codec.from_plain(json.loads(text), list[PublishedRow], "published.json")
    return {row.name: row for row in rows}


def _quantities(data: dict[str, Any]) -> Iterator[tuple[str, Quantity]]:
    for row in data.get("rows") or []:
        if isinstance(row, dict):
            for name, quantity in _quantities(_of_row(row)):
                yield f"{row.get('artifact')}/{name}", quantity
    score = data.get("score")
    if isinstance(score, dict):
        record = _table(score.get("data"))
        better: Better = "lower" if score.get("better") == "lower" else "higher"
        others = _table(score.get("others"))
        for name, value in {str(score.get("name")): score.get("value"), **others}.items():
            yield from _quantity(name, value, better, score.get("count"), record.get("ids_sha256"))
    yield from ((name, _as_measured(quantity, data)) for name, quantity in _speeds(data))
    files = data.get("performance")
    if isinstance(files, dict):
        for values in files.values():
            for name, value in values.items() if isinstance(values, dict) else ():
                yield from _quantity(name, value, _better(name))


def _speeds(data: dict[str, Any]) -> Iterator[tuple[str, Quantity]]:
    for name, value in _table(data.get("throughput")).items():
        yield from _quantity(name, value, "higher")
    for stage, summary in _table(data.get("stages")).items():
        for name, value in _table(summary).items():
            yield from _quantity(f"{stage}.{name}", value, "lower")


def _as_measured(quantity: Quantity, data: dict[str, Any]) -> Quantity:
    """A speed with what its result says of the noise."""
    spread, others = data.get("spread"), _table(data.get("load")).get("others")
    load = CpuLoad(float(others)) if isinstance(others, (int, float)) else CpuLoad()
    known = float(spread) if isinstance(spread, (int, float)) and math.isfinite(spread) and spread >= 0 else None
    return replace(quantity, spread=known, disturbed=str(load) if load.is_too_high else "")


def _noise(before: Quantity, after: Quantity) -> float | None:
    """How far two measurements of one thing may lie apart, in its unit: the larger of both runs' own spreads."""
    known = [each.spread * abs(each.value) for each in (before, after) if each.spread is not None]
    return max(known) if known else None


def _undecided(before: Quantity, after: Quantity, worse: float, allowed: float, noise: float | None) -> str:
    """Why nobody can say whether a limit is kept; "" where that is clear."""
    disturbed = before.disturbed or after.disturbed
    if disturbed:
        which = "of the baseline" if before.disturbed else "of the candidate"
        return f"could not be decided: while the speed {which} was measured, {disturbed}"
    if noise is not None and abs(worse - allowed) < noise:
        return f"could not be decided: worse by {worse:.3g}, allowed {allowed:.3g}, noise {noise:.3g}"
    return ""


def _table(value: object) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _of_row(row: dict[str, Any]) -> dict[str, Any]:
    """A report's row in the form of separate results."""
    timing = _table(row.get("timing"))
    names = ("images_per_s", "inference_only_per_s")
    throughput = {name: timing[name] for name in names if name in timing}
    return {
        "score": row.get("score"),
        "throughput": throughput,
        "spread": timing.get("spread"),
        "load": timing.get("load"),
    }


def _quantity(
    name: str, value: object, better: Better, images: object = None, ids: object = None
) -> Iterator[tuple[str, Quantity]]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        known = images if isinstance(images, int) else None
        yield name, Quantity(float(value), better, known, ids if isinstance(ids, str) else None)


def _better(name: str) -> Better:
    return "lower" if name.endswith("_ms") else "higher"


def _matches(tolerance: Tolerance, name: str) -> bool:
    return tolerance.name == name or name.endswith(f"/{tolerance.name}")


def _allowed(tolerance: Tolerance, baseline: float) -> float:
    return tolerance.amount * abs(baseline) if tolerance.relative else tolerance.amount


def _check_images(name: str, before: Quantity, after: Quantity) -> None:
    ids = before.ids is not None and after.ids is not None and before.ids != after.ids
    counts = before.images is not None and after.images is not None and before.images != after.images
    if ids or counts:
        raise UsageError(
            f"{name} was measured on other images ({before.images} and {after.images}): the two cannot be compared. "
            "Evaluate the same ones, or allow other images.",
            field="other_images",
        )
