"""Turns what was seen of all pairs into problems and remarks, each with the cure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from densecast.datasets._survey import Survey
from densecast.measure.truth_check import MOST
from densecast.results.data_check import ClassCount, DataProblem
from densecast.verbs.data_check.look import Looked

_SHOWN = 5
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
# Masks of drawn classes hold a handful of values; smoothed edges hold every one in between.
_MANY_VALUES = 64


def problems(
    survey: Survey, looks: Sequence[Looked], classes: Sequence[ClassCount], *, is_whole: bool, allow_ignored: bool
) -> Iterator[DataProblem]:
    """All problems, by kind. `is_whole`: nothing was left out by a split or limit, so absent classes are nowhere."""
    # What the layout's own check has read is read again here, and told of the file.
    own = {text for each in looks for text in (each.image_error, each.target_error, each.size_error)}
    yield from (DataProblem("layout", text) for text in survey.problems if text not in own)
    for path in survey.without_target:
        yield DataProblem("missing target", f"{path} has no mask", (path,))
    for path in survey.without_image:
        yield DataProblem("missing picture", f"{path} has no picture", (path,))
    for each in looks:
        yield from _of_pair(each)
    yield from _duplicates(survey, looks)
    yield from _of_frames(looks)
    yield from _of_truth(looks, classes, is_whole=is_whole, allow_ignored=allow_ignored)


def remarks(
    survey: Survey, looks: Sequence[Looked], classes: Sequence[ClassCount], *, is_whole: bool
) -> tuple[str, ...]:
    """What is worth knowing and makes no score wrong."""
    told = list(survey.remarks)
    frames = Counter(each.frame for each in looks if each.frame is not None)
    if frames["either"]:
        told.append(
            f"{frames['either']} pictures have an orientation tag and masks that fit both ways: they are taken as the "
            "model sees the pictures"
        )
    absent = [each.name for each in classes if not each.pixels]
    if absent and not is_whole:
        told.append(f"not in what was read: {_listed(absent)}")
    return tuple(told)


def _of_pair(each: Looked) -> Iterator[DataProblem]:
    sample = each.sample
    if each.image_error is not None:
        yield DataProblem("unreadable", each.image_error, (sample.image,))
    if each.target_error is not None:
        yield DataProblem("unreadable", each.target_error, (sample.target,))
    if each.size_error is not None:
        yield DataProblem("size", each.size_error, (sample.target,))
    if sample.target.suffix.lower() in _LOSSY and len(each.values) > 2:
        yield DataProblem(
            "values",
            f"{sample.target}: JPEG changes values, this mask holds {len(each.values)} of them; save masks as PNG",
            (sample.target,),
        )
    elif each.foreign:
        share = sum(each.foreign.values()) / each.pixels
        cure = (
            "the edges are smoothed: save masks without antialiasing"
            if len(each.foreign) > _MANY_VALUES
            else f"say what they are: --remap {min(each.foreign)}=CLASS or --ignore {min(each.foreign)}"
        )
        yield DataProblem(
            "values",
            f"{sample.target}: {share:.1%} of the pixels have values that are no class "
            f"({_listed(sorted(each.foreign))}); {cure}",
            (sample.target,),
        )
    elif len(each.values) > _MANY_VALUES:
        yield DataProblem(
            "values",
            f"{sample.target}: holds {len(each.values)} values, as masks with smoothed edges do; save masks without "
            "antialiasing",
            (sample.target,),
        )
    for text in each.outside:
        yield DataProblem("people", f"{sample.image}: {text}", (sample.image,))


def _duplicates(survey: Survey, looks: Sequence[Looked]) -> Iterator[DataProblem]:
    groups: dict[str, list[Looked]] = defaultdict(list)
    for each in looks:
        if each.pixels_sha is not None:
            groups[each.pixels_sha].append(each)
    listed_twice = sorted(survey.splits.get("train", frozenset()) & survey.splits.get("val", frozenset()))
    by_id = {each.sample.id: each.sample for each in looks}
    for name in listed_twice:
        if name in by_id:
            yield DataProblem("leak", f"{by_id[name].image} is in train and in val", (by_id[name].image,))
    for group in groups.values():
        if len(group) < 2:
            continue
        files = tuple(each.sample.image for each in group)
        splits = {split for split, ids in survey.splits.items() for each in group if each.sample.id in ids}
        masks = {each.target_sha for each in group}
        differ = "; their masks differ" if len(masks) > 1 and None not in masks else ""
        names = _listed([str(path) for path in files])
        if {"train", "val"} <= splits:
            yield DataProblem("leak", f"one picture in train and in val: {names}{differ}", files)
        else:
            yield DataProblem("duplicate", f"{len(files)} files hold one picture: {names}{differ}", files)


def _of_frames(looks: Sequence[Looked]) -> Iterator[DataProblem]:
    by_frame: dict[str, list[Path]] = defaultdict(list)
    for each in looks:
        if each.frame in ("upright", "stored"):
            by_frame[each.frame].append(each.sample.target)
    if len(by_frame) == 2:
        fewer = min(by_frame, key=lambda frame: len(by_frame[frame]))
        yield DataProblem(
            "frames",
            f"of masks of pictures with an orientation tag, {len(by_frame['upright'])} are upright and "
            f"{len(by_frame['stored'])} as stored; densecast tells them by their size, other tools do not",
            tuple(by_frame[fewer]),
        )


def _of_truth(
    looks: Sequence[Looked], classes: Sequence[ClassCount], *, is_whole: bool, allow_ignored: bool
) -> Iterator[DataProblem]:
    pixels, ignored = sum(each.pixels for each in looks), sum(each.ignored for each in looks)
    present = [each.name for each in classes if each.pixels]
    if not pixels or not classes:
        return
    with_255 = [each for each in looks if each.ignored and 255 in each.values]
    # In these, 255 has to be the foreground: nothing but background is beside it.
    binary = [each.sample.target for each in with_255 if each.values <= {0, 255}]
    with_1 = [each for each in looks if 1 in each.values]
    if len(present) == 1 and with_255 and not allow_ignored:
        yield DataProblem(
            "0 and 255",
            f"the masks hold {present[0]!r} and 255 alone, which is not evaluated ({ignored / pixels:.1%} of the "
            "pixels): any model that finds nothing else scores 1. If 255 is a class, pass --remap 255=1",
            tuple(each.sample.target for each in with_255),
        )
    elif binary and with_1 and len(classes) == 2 and not any(1 in each.values for each in with_255):
        yield DataProblem(
            "0 and 255",
            f"{len(binary)} masks hold 0 and 255, {len(with_1)} hold 1: in the former 255 is not evaluated. Write one "
            "kind, or pass --remap 255=1",
            tuple(binary),
        )
    elif len(present) == 1:
        yield DataProblem(
            "one class", f"the ground truth holds only {present[0]!r}: nothing is said of any other class"
        )
    elif ignored > MOST * pixels and not allow_ignored:
        yield DataProblem(
            "not evaluated",
            f"{ignored / pixels:.1%} of the pixels are not evaluated; pass --allow-ignored if that is meant",
        )
    absent = [each.name for each in classes if not each.pixels]
    if absent and is_whole and len(present) > 1:
        yield DataProblem("absent class", f"nowhere in the ground truth: {_listed(absent)}")


def of_values(looks: Sequence[Looked]) -> tuple[Mapping[int, int], Mapping[int, int], Mapping[int, int]]:
    """Pixels by class, pictures by class, and pixels by value that is no class."""
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    foreign: Counter[int] = Counter()
    for each in looks:
        pixels.update(each.classes)
        images.update(each.classes.keys())
        foreign.update(each.foreign)
    return pixels, images, dict(sorted(foreign.items()))


def _listed(names: Sequence[object]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
