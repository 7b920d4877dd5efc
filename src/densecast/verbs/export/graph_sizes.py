"""Finds the sizes that an ONNX graph with open sizes really takes, by running it at several.

Open axes of a file are a promise of whoever wrote it, and often not kept: a network with skip connections takes
multiples of 8 or 32 only, a constant in a Reshape makes the batch one image or the size that of the export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from densecast.artifact.stored_answer import least_scale
from densecast.errors import BadGraphError
from densecast.runtime import engine_words
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Dim, Feeds
from densecast.verbs.export import outputs, trial_sizes, vanished, whole_patches

Run = Callable[[Feeds], Feeds]
Shape = tuple[int, int, int, int]

# About this long are the sides that are tried, the second for networks that need more than the first.
_SIDES = (72, 256)
# How far an image's answer in a batch may be from its own, of the largest value: engines sum in another order.
_BATCH_TOLERANCE = 1e-2
_LABELS_TOLERANCE = 0.01
# Layers without padding take a few pixels of a map's sides, whatever the image's.
_GROWTH_TOLERANCE = 0.15
_MOST_SINGLE_SIZES = 96
_COMMON_SIDES = (224, 256, 320, 384, 416, 448, 480, 512, 513, 518, 640, 768, 800, 1024)


def fit(spec: ModelSpec, run: Run, model: Any, where: str) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with the batch and sizes that the graph takes of those of `spec`, and a note on each that was narrowed.

    Raises:
        BadGraphError: it runs at none of the sizes that were tried.
    """
    if spec.input.is_static:
        return spec, ()
    spec, size_notes, shape = _fit_sides(spec, run, model, where)
    spec, batch_notes = _fit_batch(spec, run, shape)
    return spec, (*size_notes, *batch_notes)


def _fit_sides(spec: ModelSpec, run: Run, model: Any, where: str) -> tuple[ModelSpec, tuple[str, ...], Shape]:
    """Also returns a shape that works, as small as one is known."""
    reasons: list[tuple[Shape, str]] = []
    seen: dict[Shape, dict[str, tuple[int, ...]]] = {}

    def works(shape: Shape, other: Shape | None = None) -> bool:
        """Whether it runs, with maps for each image that grow as the image does from `other`, which works."""
        try:
            results = run(outputs.trial_feeds(spec, shape, 0))
        except Exception as error:  # engines raise their own kinds
            reasons.append((shape, engine_words.reason(error)))
            return False
        maps = {name: array.shape for name, array in results.items() if array.ndim == 4}
        seen[shape] = maps
        is_right = all(array.size for array in results.values()) and all(each[0] == images for each in maps.values())
        is_right = is_right and (other is None or _grow_alike(seen[other], other, maps, shape))
        if not is_right:
            reasons.append((shape, f"its outputs become {', '.join(str(list(each)) for each in maps.values())}"))
        return is_right

    batch, channels, height, width = spec.input.shape
    assert isinstance(channels, int)
    images = batch if isinstance(batch, int) else batch.min
    for side in _SIDES:
        for multiple in trial_sizes.MULTIPLES:
            sizes = [_sides_of(size, multiple, side) for size in (height, width)]
            if not all(sizes):
                continue
            tried = (images, channels, sizes[0][0], sizes[1][min(1, len(sizes[1]) - 1)])
            if not works(tried):
                continue
            # Another aspect: that one size runs may be luck.
            turned = (images, channels, sizes[0][-1], sizes[1][0])
            if turned != tried and not works(turned, tried):
                continue
            # Maps of large patches grow in steps: until a multiple hides it, that seems not to be as the image does.
            patch = whole_patches.find(spec, run)
            if patch is not None and works((images, channels, *patch.size_hw)):
                multiple, tried = patch.multiple, (images, channels, *patch.size_hw)
                turned, reasons = tried, [(tried, patch.why)]
            found = _of_multiple(spec, multiple)
            notes = [trial_sizes.said(spec, multiple, reasons[0][1])] if multiple > 1 and reasons else []
            found, shape, small = _fit_least(found, works, (tried, turned), model)
            return found, (*notes, *small), shape
    fixed = all(isinstance(size, int) for size in (height, width))
    for high, wide in () if fixed else islice(_single_sizes(spec, model), _MOST_SINGLE_SIZES):
        shape = (images, channels, high, wide)
        if works(shape):
            note = (
                f"of the sizes that were tried only {high}×{wide} works: height and width are fixed ({reasons[0][1]})"
            )
            return spec.with_input(replace(spec.input, shape=(batch, channels, high, wide))), (note,), shape
    if not reasons:
        least_h, least_w = (size if isinstance(size, int) else size.min for size in (height, width))
        return spec, (), (images, channels, least_h, least_w)
    tried, reason = reasons[0]
    raise BadGraphError(
        f"{where} cannot be run at {list(tried)} nor at any other size that was tried ({reason}). "
        "Export it from its framework with fixed sizes."
    )


def _grow_alike(
    before: dict[str, tuple[int, ...]], shape: Shape, after: dict[str, tuple[int, ...]], turned: Shape
) -> bool:
    """Whether each map's sides follow the image's, or are what they were: a constant in a Reshape does neither."""
    for name, old in before.items():
        new = after.get(name, old)
        if new[2:] == old[2:]:
            continue
        for was, now, side, other in zip(old[2:], new[2:], shape[2:], turned[2:], strict=True):
            if abs(now - was * other / side) > 2 + _GROWTH_TOLERANCE * now:
                return False
    return True


def _fit_least(
    spec: ModelSpec, works: Callable[[Shape, Shape | None], bool], sound: tuple[Shape, Shape], model: Any
) -> tuple[ModelSpec, Shape, list[str]]:
    """Raises the least height and width until the graph takes them; both of `sound` work."""
    known = min(sound, key=lambda each: each[2] * each[3])
    skeleton = vanished.skeleton_of(model)
    batch, channels, height, width = spec.input.shape
    images, assured = known[0], known[1]
    least = [size.min if isinstance(size, Dim) else size for size in (height, width)]
    while True:
        shape = (images, assured, least[0], least[1])
        if works(shape, None) and vanished.layer_in(skeleton, spec.input.name, shape) is None:
            break
        doubled = [
            _up(2 * now, size.multiple) if isinstance(size, Dim) else size
            for now, size in zip(least, (height, width), strict=True)
        ]
        if any(side > most for side, most in zip(doubled, known[2:], strict=True)):
            doubled = list(known[2:])
        if doubled == least:
            break
        least = doubled
    raised = [
        replace(size, min=side) if isinstance(size, Dim) else size
        for size, side in zip((height, width), least, strict=True)
    ]
    if raised == [height, width]:
        return spec, shape, []
    found = spec.with_input(replace(spec.input, shape=(batch, channels, raised[0], raised[1])))
    return found, shape, [f"images below {least[0]}×{least[1]} are too small for this graph"]


def _fit_batch(spec: ModelSpec, run: Run, shape: Shape) -> tuple[ModelSpec, tuple[str, ...]]:
    """Batches become one image where two give no answer, one image's, or others than each alone."""
    batch = spec.input.shape[0]
    if isinstance(batch, int) or batch.max < 2:
        return spec, ()
    two = outputs.trial_feeds(spec, (2, *shape[1:]), 1)
    alone = [run({name: array[at : at + 1] for name, array in two.items()}) for at in range(2)]
    try:
        together = run(two)
    except Exception as error:  # engines raise their own kinds
        why = engine_words.reason(error)
    else:
        if all(_is_batch_of(array, [each[name] for each in alone]) for name, array in together.items()):
            return spec, ()
        why = "an image's output depends on the other images"
    fixed = spec.with_input(replace(spec.input, shape=(1, *spec.input.shape[1:])))
    return fixed, (f"the graph takes one image at a time: the batch is 1 ({why})",)


def _is_batch_of(together: Array, alone: list[Array]) -> bool:
    """Whether an output of two images is that of each; one without a batch axis says nothing."""
    if any(each.ndim == 0 or each.shape[0] != 1 for each in alone):
        return together.shape == alone[0].shape
    wanted = np.concatenate(alone) if alone[0].shape == alone[1].shape else None
    if wanted is None or wanted.shape != together.shape:
        return wanted is None
    if wanted.dtype.kind != "f":
        return float(np.mean(wanted != together)) <= _LABELS_TOLERANCE
    largest = max(float(np.abs(wanted).max(initial=0.0)), least_scale(wanted, together))
    return bool(np.allclose(together, wanted, rtol=0, atol=_BATCH_TOLERANCE * largest + 1e-12, equal_nan=True))


def _sides_of(size: int | Dim, multiple: int, near: int) -> tuple[int, ...]:
    """Odd multiples within the bounds: of about `near`, a little more, and three times as much; or a fixed side alone.

    At two sides of nearly one length a network of square grids of patches is not told from others. None where there is
    no such multiple.
    """
    if isinstance(size, int):
        return (size,)
    if multiple % size.multiple:
        return ()
    times = max(1, -(-max(near, size.min) // multiple)) | 1
    while times > 1 and times * multiple > size.max:
        times -= 2
    if not size.min <= times * multiple <= size.max:
        return ()
    most = size.max // multiple
    return tuple(dict.fromkeys(min(each, most) * multiple for each in (times, times + 2, 3 * times)))


def _of_multiple(spec: ModelSpec, multiple: int) -> ModelSpec:
    """The spec with the multiple; images are padded to it unless a fixed side is none of it."""
    if multiple == 1:
        return spec
    padded = trial_sizes.with_multiple(spec, multiple)
    if any(isinstance(size, int) and size % multiple for size in spec.input.shape[2:]):
        return spec.with_input(padded.input)
    return padded


def _single_sizes(spec: ModelSpec, model: Any) -> Iterator[tuple[int, int]]:
    """Sizes that a graph may have been exported for: the declared one, those its constants speak of, common ones."""
    height, width = spec.input.shape[2:]
    seen = set()
    for size in _candidates(spec, model):
        fits = all(
            side == bound if isinstance(bound, int) else bound.admits(side)
            for side, bound in zip(size, (height, width), strict=True)
        )
        if fits and size not in seen:
            seen.add(size)
            yield size


def _candidates(spec: ModelSpec, model: Any) -> Iterator[tuple[int, int]]:
    from densecast.graph import _tensors

    declared = getattr(spec.preprocess.resize, "size_hw", None)
    if declared is not None:
        yield declared
    constants = _tensors.constants(model.graph)
    maps = [tuple(int(side) for side in each[2:]) for each in constants.values() if each.shape == (4,)]
    maps += [
        (int(each[0]), int(each[1])) for each in constants.values() if each.shape == (2,) and each.dtype.kind == "i"
    ]
    declared_maps = (_tensors.shape(value) or () for value in model.graph.output)
    maps += [(sizes[2] or 0, sizes[3] or 0) for sizes in declared_maps if len(sizes) == 4]
    for scale in (1, 2, 4, 8, 16, 32):
        yield from ((scale * high, scale * wide) for high, wide in maps if high > 1 and wide > 1)
    # Learnt positions (1, tokens, width) of square maps of patches, with a class token or without.
    grids = [each.shape[1] for each in constants.values() if each.ndim == 3 and each.shape[0] == 1]
    for tokens in grids:
        for count in (tokens, tokens - 1):
            side = round(max(count, 0) ** 0.5)
            if side > 1 and side * side == count:
                yield from ((patch * side, patch * side) for patch in (16, 14, 8, 32, 4))
    height, width = spec.input.shape[2:]
    for side in _COMMON_SIDES:
        yield height if isinstance(height, int) else side, width if isinstance(width, int) else side


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
