"""`build --max-drop`: its options and its progress."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.cli._common import clock_bar
from densecast.errors import UsageError

if TYPE_CHECKING:
    from densecast.artifact import Artifact
    from densecast.artifact.search_record import MaxDrop
    from densecast.spec.options import BuildOptions

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def asked(points: float, metric: str | None, time_budget: str, images: int, split: str, otherwise: str) -> MaxDrop:
    """The options as one value.

    Raises:
        UsageError: a value that makes no sense.
    """
    from densecast.artifact.search_record import MaxDrop
    from densecast.io import codec

    given = {"points": points, "metric": metric, "seconds": seconds(time_budget), "images": images}
    return codec.from_plain({**given, "split": split, "otherwise": otherwise}, MaxDrop, "command line")


def seconds(text: str) -> float:
    """`90`, `90s`, `10m` or `2h` in seconds.

    Raises:
        UsageError: none of these forms.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found:
        raise UsageError(f"--time-budget {text!r} must be a time as 90s, 10m or 2h.")
    return float(found[1]) * _SECONDS[found[2]]


def run(
    source: Artifact,
    out: Path | None,
    options: BuildOptions,
    wanted: MaxDrop,
    data: Path | None,
    judge_data: Path | None,
    quiet: bool,
) -> Artifact:
    """Search, with a bar of the time that has passed.

    Raises:
        UsageError: no `data`.
    """
    from densecast.verbs.mixed_precision import build_within

    if data is None:
        raise UsageError("--max-drop needs images: pass --data with a data set's root or a folder of images.")
    with clock_bar(quiet) as tell:
        return build_within(source, out, options, wanted, data=data, judge_data=judge_data, tell=tell)
