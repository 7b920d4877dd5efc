"""Writes what a check of a data set found as text: the classes as a table, and the problems by kind."""

from __future__ import annotations

from collections import defaultdict

from densecast.report import markdown
from densecast.results.data_check import DataCheckResult, DataProblem

_SHOWN = 20


def as_text(result: DataCheckResult) -> str:
    """The counts, a table of the classes, remarks, and up to twenty problems of each kind."""
    lines = [f"{result.dataset}: " + ", ".join(f"{count} {name}" for name, count in result.counts.items())]
    if result.layout:
        lines.append(f"data: {result.layout}")
    if result.splits:
        lines.append("splits: " + ", ".join(f"{split} {count}" for split, count in result.splits.items()))
    if result.frames:
        lines.append(
            "masks of pictures with an orientation tag: "
            + ", ".join(f"{count} {frame}" for frame, count in result.frames.items())
        )
    if result.classes:
        lines += ["", _table(result), ""]
    by_kind: dict[str, list[DataProblem]] = defaultdict(list)
    for each in result.problems:
        by_kind[each.kind].append(each)
    for kind, problems in by_kind.items():
        lines += [f"{kind}: {each.text}" for each in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"{kind}: and {len(problems) - _SHOWN} more (--json has all)")
    lines += [f"note: {remark}" for remark in result.remarks]
    if result.is_sound:
        lines.append("no problems found")
    if result.sheet is not None:
        lines.append(f"wrote {result.sheet}")
    return "\n".join(lines)


def _table(result: DataCheckResult) -> str:
    whole = max(1, result.pixels)
    rows = [[each.name, str(each.pixels), f"{each.pixels / whole:.2%}", str(each.images)] for each in result.classes]
    rows.append(["(not evaluated)", str(result.ignored), f"{result.ignored / whole:.2%}", ""])
    if result.foreign:
        pixels = sum(result.foreign.values())
        values = ", ".join(map(str, list(result.foreign)[:5])) + (", …" if len(result.foreign) > 5 else "")
        rows.append([f"(no class: {values})", str(pixels), f"{pixels / whole:.2%}", ""])
    return markdown.table(["class", "pixels", "share", "pictures"], rows, "<>>>")
