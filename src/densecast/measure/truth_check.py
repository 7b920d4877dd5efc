"""Refuses or remarks ground truth that would make a score say something else than it seems to."""

from __future__ import annotations

import math

from densecast.errors import BadDatasetError
from densecast.metrics._base import TruthSummary
from densecast.spec.score import Score

# More than this share not evaluated, and a score speaks of the smaller part of the pictures.
MOST = 0.5
_SHOWN = 8


def of_no_number(score: Score, task: str) -> tuple[str, ...]:
    """Refuse or remark a score of no number: nothing in the ground truth counted for it.

    Of depth that is another unit than metres, or limits that leave nothing; of people, few images that show none.

    Raises:
        BadDatasetError: of depth; says where to look.
    """
    if not score.count or not math.isnan(score.value):
        return ()
    told = f"nothing in the ground truth of {score.count} images counts for {score.name}"
    if task == "monocular_depth":
        raise BadDatasetError(
            f"{score.name} is no number: {told}. Look at its unit and at eval_min_m and eval_max_m in [decode]."
        )
    return (told,)


def check(truth: TruthSummary, labels: tuple[str, ...], *, allow_ignored: bool = False) -> tuple[str, ...]:
    """Remarks about the ground truth that was counted; raises for what makes its score a lie.

    Remarked are classes that are nowhere in the truth, a truth of a single class, and masks of two kinds.

    Raises:
        BadDatasetError: labels that the model has no class for; nothing evaluated, or most of it not (unless
            `allow_ignored`); or one class and 255 alone, as masks of 0 and 255 have.
    """
    counted = sum(truth.by_class)
    foreign = sum(truth.foreign.values())
    total = counted + truth.ignored + foreign
    if not total:
        return ()
    if foreign:
        shown = ", ".join(map(str, sorted(truth.foreign)[:_SHOWN])) + (", …" if len(truth.foreign) > _SHOWN else "")
        raise BadDatasetError(
            f"{foreign / total:.1%} of the pixels have labels that the model has no class for ({shown}; it has "
            f"{len(labels)} classes), and would count for nothing. Say what they are: --dataset pairs with --remap or "
            "--ignore, or evaluate a model of these classes."
        )
    present = [label for label, pixels in zip(labels, truth.by_class, strict=True) if pixels]
    if truth.ignored and len(present) == 1 and not allow_ignored:
        raise BadDatasetError(
            f"the ground truth holds only {present[0]!r} and 255, not evaluated ({truth.ignored / total:.1%} of the "
            "pixels): any model that finds nothing else scores 1. If 255 is a class, say so: --dataset pairs "
            "--remap 255=1, or write it as 1 into the masks; else pass --allow-ignored.",
            field="allow_ignored",
        )
    if truth.ignored > MOST * total and not allow_ignored:
        raise BadDatasetError(
            f"{truth.ignored / total:.1%} of the pixels are not evaluated (255, or outside of all outlines and masks "
            "of classes): the score would say little. If they are a class, say so: --remap 255=CLASS or "
            "--remap background=CLASS; if this is meant, pass --allow-ignored.",
            field="allow_ignored",
        )
    remarks: list[str] = []
    if len(labels) == len(present) == 2 and truth.ignored_alone and not truth.ignored_beside:
        remarks.append(
            f"{truth.ignored_alone} of the masks hold {labels[0]!r} and 255, not evaluated, and those that hold "
            f"{labels[1]!r} hold no 255: if it is {labels[1]!r} there, pass --remap 255=1, or write one kind of masks"
        )
    absent = [label for label in labels if label not in present]
    if len(present) == 1:
        remarks.append(f"the ground truth holds only {present[0]!r}: nothing is said about any other class")
    elif absent:
        named = ", ".join(absent[:_SHOWN]) + (f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else "")
        remarks.append(f"nowhere in the ground truth: {named}")
    return tuple(remarks)
