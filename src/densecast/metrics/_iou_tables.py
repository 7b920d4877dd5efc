"""Prints IoU scores in the reference programs' table formats, so that logs can be compared line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from densecast.spec.score import Score

Rows = Sequence[Sequence[str]]
Align = Callable[[str, int], str]

STYLES = ("mmseg", "ascend", "none")


def tables(score: Score, style: str = "mmseg") -> str:
    """Every class's IoU and accuracy and the three means, in percent with two decimals.

    `mmseg` is what MMSegmentation 0.30 prints: centred columns, the means as aAcc, mIoU, mAcc. `ascend` is what
    Ascend's FCN-8s deployment prints, as early releases of MMSegmentation did: columns to the left, the means as
    mIoU, mAcc, aAcc. `none` is empty.
    """
    assert style in STYLES, style
    if style == "none":
        return ""
    assert score.per_class is not None
    iou, acc = score.per_class["IoU"], score.per_class["Acc"]
    classes = [["Class", "IoU", "Acc"], *([label, _percent(iou[label]), _percent(acc[label])] for label in iou)]
    means = {"mIoU": score.value, "mAcc": score.others["mAcc"], "aAcc": score.others["aAcc"]}
    if style == "mmseg":
        names = ["aAcc", "mIoU", "mAcc"]
        summary = [names, [_percent(means[name]) for name in names]]
    else:
        summary = [["Scope", *means], ["global", *map(_percent, means.values())]]
    align: Align = str.center if style == "mmseg" else str.ljust
    return f"per class results:\n\n{_grid(classes, align)}\nSummary:\n\n{_grid(summary, align)}"


def _percent(value: float | None) -> str:
    """Format a fraction as percent, rounded to two decimals without trailing zeros."""
    return str(float(np.round((float("nan") if value is None else value) * 100, 2)))


def _grid(rows: Rows, align: Align) -> str:
    """Format rows as a table framed with `+`, `-` and `|`, with a rule below the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    header, *body = (
        "|" + "|".join(f" {align(cell, width)} " for cell, width in zip(row, widths, strict=True)) + "|" for row in rows
    )
    return "\n".join([rule, header, rule, *body, rule])
