"""Prints a score as MMPose does: COCO's ten lines, then every number at full precision."""

from __future__ import annotations

import math

from densecast.spec.score import Score

NAMES = ("AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")
"""COCO's ten numbers in its order: over all similarities, at 0.5 and 0.75, of medium and of large people."""

STYLES = ("mmpose", "none")

_THRESHOLDS = {"": "0.50:0.95", ".5": "0.50", ".75": "0.75", "(M)": "0.50:0.95", "(L)": "0.50:0.95"}
_AREAS = {"(M)": "medium", "(L)": "large"}
_UNDEFINED = -1.0
_TITLES = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}


def tables(score: Score, style: str = "mmpose") -> str:
    """What MMPose 0.29 prints (`mmpose`), or nothing (`none`). What is not defined is -1, as with COCO."""
    assert style in STYLES, style
    if style == "none":
        return ""
    values = {name: _UNDEFINED if math.isnan(value) else value for name, value in _by_name(score).items()}
    summary = [_line(name, values[name]) for name in NAMES]
    return "\n".join([*summary, *(f"{name}: {values[name]}" for name in sorted(NAMES))])


def _by_name(score: Score) -> dict[str, float]:
    return {score.name: score.value, **score.others}


def _line(name: str, value: float) -> str:
    kind, _, part = name.partition(" ")
    area = _AREAS.get(part, "all")
    return f" {_TITLES[kind]} @[ IoU={_THRESHOLDS[part]:<9} | area={area:>6} | maxDets= 20 ] = {value: 0.3f}"
