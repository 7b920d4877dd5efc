"""Narrows the sizes of a traced graph to those at which it is the network, whose code decides by its image's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, Feeds
from densecast.verbs.export import behaviour, outputs, trial_sizes

Network = Callable[[Feeds], Feeds]

_SHOWN = 3
# Windows of 4, 7, 8 or 12 at the last of four levels of halving, and patches.
_MULTIPLES = (32, 64, 128, 256, 224)
# Strips are at most this long, and of at most so many pixels: a square of 512.
_LONGEST, _MOST_PIXELS, _NARROWEST = 4096, 1 << 18, 64
_LARGEST_LEAST = 256
# Windows of 12 fill maps of images of up to 384 pixels at the last of five levels.
_LARGEST_OF_MULTIPLES = 512
# Of the largest value: a few pixels that were added where the network adds none are no more.
_OFF = 1e-3


def of_multiples(
    spec: ModelSpec, decides: Sequence[str], framework: Network, graph: Network, trials: Sequence[tuple[Feeds, Feeds]]
) -> Iterator[tuple[ModelSpec, str]]:
    """Specs of multiples at which the graph may be the network, with a note, where it is not at the second of `trials`.

    Code that fills an image up to whole windows adds nothing to such. Of a multiple that the traced size, that of the
    first trial, is none of, this graph tells nothing: another has to be traced.
    """
    batch, channels, height, width = spec.input.shape
    if not decides or len(trials) < 2 or not behaviour.answers_otherwise(graph, *trials[1], _OFF):
        return
    if not (isinstance(height, Dim) and isinstance(width, Dim) and isinstance(channels, int)):
        return
    traced_hw = next(iter(trials[0][0].values())).shape[2:]
    images = batch if isinstance(batch, int) else 1
    for multiple in _MULTIPLES:
        if multiple == height.multiple or multiple % height.multiple or multiple % width.multiple:
            continue
        if not trial_sizes.divides_resized(spec, multiple):
            continue  # Pixels would be added to images that the network takes as they are.
        is_of_it = not any(side % multiple for side in traced_hw)
        for least in _leasts(multiple, min(height.max, width.max)) if is_of_it else (2 * multiple,):
            feed = outputs.trial_feeds(spec, (images, channels, least, max(3 * multiple, least + multiple)), 0)
            if not is_of_it or _is_network(graph, framework, feed, _OFF):
                note = f"its code decides by the image's size ({_listed(decides)})"
                found = trial_sizes.with_multiple(spec, multiple)
                yield _with_least(found, (least, least)), trial_sizes.said(spec, multiple, note)
                break


def _leasts(multiple: int, most: int) -> Iterator[int]:
    """Sides below which windows may not fit into the coarsest of a network's maps, in the order they are tried."""
    least = multiple
    while least <= min(most, max(2 * multiple, _LARGEST_OF_MULTIPLES)):
        yield least
        least *= 2


def fit(
    spec: ModelSpec, decides: Sequence[str], framework: Network, graph: Network
) -> tuple[ModelSpec, tuple[str, ...]]:
    """Compare graph and network at the smallest size and at long strips, where the code `decides` anything.

    Decisions by size are mostly between small and large images, of which an export tries neither. Small ones are
    narrowed away, with a note. A size that the network does not take itself says nothing.

    Raises:
        BadGraphError: names the places of the decisions, and a size at which the two differ.
    """
    batch, channels, height, width = spec.input.shape
    if not decides or not (isinstance(height, Dim) and isinstance(width, Dim) and isinstance(channels, int)):
        return spec, ()
    images = batch if isinstance(batch, int) else 1
    least, failed = (height.min, width.min), (0, 0)
    largest = max(_LARGEST_LEAST, *least)
    while max(least) <= largest:
        narrow = [max(low, side.typical(_NARROWEST)) for low, side in zip(least, (height, width), strict=True)]
        long = [
            # Never the least size again: that may be the traced one.
            max(min(low + side.multiple, side.max), side.typical(min(_LONGEST, _MOST_PIXELS // other)))
            for low, side, other in zip(narrow, (height, width), reversed(narrow), strict=True)
        ]
        for size_hw in dict.fromkeys([least, (narrow[0], long[1]), (long[0], narrow[1])]):
            if not _is_network(graph, framework, outputs.trial_feeds(spec, (images, channels, *size_hw), 0)):
                failed = failed if all(failed) else size_hw
                break
        else:
            if not all(failed):
                return spec, ()
            note = f"below {least[0]}×{least[1]} its code decides otherwise ({_listed(decides)}): larger images alone"
            return _with_least(spec, least), (note,)
        least = (2 * least[0], 2 * least[1])
    raise BadGraphError(
        f"at {failed[0]}×{failed[1]} the exported graph answers otherwise than the network: its code decides by the "
        f"image's size ({_listed(decides)}), and the graph keeps one way. Export it for one size (--static "
        "1xHEIGHTxWIDTH), or declare the sizes of one way in a spec file (side = { min = 64, max = 512 }).",
        field="size_hw",
    )


def _is_network(graph: Network, framework: Network, feed: Feeds, share: float = behaviour.OTHERWISE) -> bool:
    """Whether they answer alike; also where the network takes no such image itself."""
    expected = outputs.answered(framework, feed)
    return expected is None or not behaviour.answers_otherwise(graph, feed, expected, share)


def _with_least(spec: ModelSpec, least: tuple[int, int]) -> ModelSpec:
    batch, channels, *sides = spec.input.shape
    raised = [
        replace(side, min=max(side.min, low)) if isinstance(side, Dim) else side
        for side, low in zip(sides, least, strict=True)
    ]
    return spec.with_input(replace(spec.input, shape=(batch, channels, *raised)))


def _listed(decides: Sequence[str]) -> str:
    return ", ".join(decides[:_SHOWN]) + (", …" if len(decides) > _SHOWN else "")
