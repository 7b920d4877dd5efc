"""The sizes and batches that a graph takes are found by running it: here by functions of which they are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_specs

from densecast.errors import BadGraphError, BadShapeError
from densecast.spec.model import ModelSpec
from densecast.spec.options import Range
from densecast.spec.preprocess import Native, Preprocess, Stretch
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import graph_sizes, trial_sizes, whole_patches

Network = Callable[[Feeds], Feeds]
OTHER = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N] a) => (float[N] b) { b = Neg (a) }'
)


def spec_of(height: Any, width: Any, batch: Any = 1, resize: Any = None) -> ModelSpec:
    spec = replace(tiny_specs.segmentation(), preprocess=Preprocess(resize or Native()))
    return replace(spec, inputs=(TensorSpec(spec.input.name, "float32", (batch, 3, height, width)),))


def network(
    takes: Callable[[int, int], bool] = lambda h, w: True,
    cell: int = 1,
    reason: str = "no such size",
    of_batch: Callable[[np.ndarray], np.ndarray] = lambda maps: maps,
    enlarged: bool = False,
) -> Network:
    """Two planes of means over cells of so many pixels, at sizes that it takes; with `enlarged` as large as these."""

    def run(feeds: Feeds) -> Feeds:
        (image,) = feeds.values()
        count, _, height, width = image.shape
        if not takes(height, width):
            raise ValueError(reason)
        high, wide = height // cell, width // cell
        cells = image[:, :, : high * cell, : wide * cell].reshape(count, 3, high, cell, wide, cell).mean(axis=(1, 3, 5))
        cells = cells.repeat(cell, axis=1).repeat(cell, axis=2) if enlarged else cells
        return {"logits": of_batch(np.stack([cells, 1 - cells], axis=1).astype(np.float32))}

    return run


OPEN = (Dim("H", 8, 512), Dim("W", 8, 512))


def fit(spec: ModelSpec, run: Network, model: Any = OTHER) -> tuple[tuple[Any, ...], tuple[str, ...], int]:
    """Batch and sides that are found, the notes, and what images are padded to."""
    found, notes = graph_sizes.fit(spec, run, model, "a.onnx")
    batch, _, height, width = found.input.shape
    return (batch, height, width), notes, found.preprocess.pad_multiple


def test_a_graph_of_any_size_keeps_its_bounds() -> None:
    assert fit(spec_of(*OPEN), network()) == ((1, *OPEN), (), 1)
    fixed = spec_of(40, 56)
    assert fit(fixed, network(lambda h, w: False)) == ((1, 40, 56), (), 1)  # nothing is tried


@pytest.mark.parametrize("multiple", [2, 4, 8, 16, 32, 64, 128, 256, 14, 28, 12, 24, 48, 56, 224])
def test_each_multiple_is_found_and_images_are_padded_to_it(multiple: int) -> None:
    run = network(lambda h, w: h % multiple == w % multiple == 0, reason=f"not by {multiple}")
    sizes, notes, padded = fit(spec_of(Dim("H", 8, 999), Dim("W", 3, 999)), run)
    least = -(-8 // multiple) * multiple, -(-3 // multiple) * multiple
    most = 999 // multiple * multiple
    assert sizes == (1, Dim("H", least[0], most, multiple), Dim("W", least[1], most, multiple)) and padded == multiple
    assert notes == (
        f"height and width must be multiples of {multiple}: images are padded to them (not by {multiple})",
    )


def test_only_a_side_that_is_open_becomes_a_multiple() -> None:
    run = network(lambda h, w: h == 40 and w % 8 == 0)
    assert fit(spec_of(40, OPEN[1]), run)[0] == (1, 40, Dim("W", 8, 512, 8))
    # Sides that are declared in steps are tried in those alone.
    seen: list[int] = []
    run = network(lambda h, w: seen.append(h % 16) is None)
    assert fit(spec_of(Dim("H", 16, 512, 16), Dim("W", 16, 512, 16)), run)[0][1] == Dim("H", 16, 512, 16)
    assert set(seen) == {0}


@pytest.mark.parametrize(("least", "found"), [(9, 16), (16, 16), (17, 32), (33, 64), (65, 72)])
def test_images_that_are_too_small_are_raised_by_doubling_up_to_what_works(least: int, found: int) -> None:
    sizes, notes, _ = fit(spec_of(*OPEN), network(lambda h, w: min(h, w) >= least))
    if found <= 64:
        assert sizes == (1, Dim("H", found, 512), Dim("W", found, 512))
        assert notes == (f"images below {found}×{found} are too small for this graph",)
    else:
        assert all(isinstance(side, Dim) and least <= side.min <= 80 for side in sizes[1:])
        assert "are too small for this graph" in notes[0]
    sizes, notes, _ = fit(spec_of(*OPEN), network(lambda h, w: min(h, w) >= 8))
    assert sizes == (1, *OPEN) and notes == ()


def test_larger_sizes_are_tried_where_small_ones_do_not_work() -> None:
    spec = spec_of(Dim("H", 8, 220), Dim("W", 8, 220))
    sizes, notes, padded = fit(spec, network(lambda h, w: min(h, w) >= 200))
    assert padded == 1 and [(side.max, side.multiple) for side in sizes[1:]] == [(220, 1)] * 2
    assert all(200 <= side.min <= 220 for side in sizes[1:]) and "are too small for this graph" in notes[0]


def test_one_size_that_works_is_no_promise_for_another_aspect() -> None:
    """As many patches down as across, whatever the image: the square root of their number."""

    def squares(feeds: Feeds) -> Feeds:
        (image,) = feeds.values()
        count = (image.shape[2] // 16) * (image.shape[3] // 16)
        side = round(count**0.5)
        if side * side != count:
            raise ValueError("no square")
        return {"logits": np.zeros((len(image), 2, side, side), np.float32)}

    spec = spec_of(*OPEN, resize=Stretch((64, 64)))
    sizes, notes, _ = fit(spec, squares)
    assert sizes == (1, 64, 64)
    assert notes[0].startswith("of the sizes that were tried only 64×64 works: height and width are fixed (")


@pytest.mark.parametrize(
    ("size_hw", "constant"),
    [
        ((40, 56), "int64[4] s = {1, 3, 40, 56}"), ((40, 56), "int64[2] s = {40, 56}"),
        ((80, 112), "int64[2] s = {40, 56}"),
        ((160, 224), "int64[4] s = {1, 256, 5, 7}"), ((112, 112), "float[1, 65, 1] s = {0}"),
        ((518, 518), "int64[1] s = {1}"), ((384, 384), "int64[1] s = {1}"),
    ],
)  # fmt: skip
def test_a_single_size_is_looked_for_where_the_graph_speaks_of_it_and_among_common_ones(
    size_hw: tuple[int, int], constant: str
) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[N] a) => (float[N] b) <{constant}> {{ b = Neg (a) }}'
    model = onnx.parser.parse_model(text.replace("float[1, 65, 1] s = {0}", "int64[1] other = {1}"))
    if "65" in constant:  # learnt positions of 8 x 8 patches and a class token
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 65, 4), np.float32), "s"))
    run = network(lambda h, w: (h, w) == size_hw, reason="only one")
    sizes, notes, _ = fit(
        spec_of(*OPEN) if size_hw[0] < 512 else spec_of(Dim("H", 8, 600), Dim("W", 8, 600)), run, model
    )
    assert sizes == (1, *size_hw)
    assert notes == (
        f"of the sizes that were tried only {size_hw[0]}×{size_hw[1]} works: height and width are fixed (only one)",
    )


def test_a_graph_that_takes_no_size_is_refused_with_what_it_said_first() -> None:
    with pytest.raises(BadGraphError) as error:
        fit(spec_of(*OPEN), network(lambda h, w: False, reason="never"))
    message = str(error.value)
    assert message.startswith("a.onnx cannot be run at [1, 3, 73, 7") and "(never). Export it" in message


@pytest.mark.parametrize(
    ("of_batch", "why"),
    [
        (lambda maps: maps, None),
        (lambda maps: maps[:1], "an image's output depends on the other images"),
        (lambda maps: maps - maps.mean(axis=0, keepdims=True), "an image's output depends on the other images"),
        (lambda maps: maps + 0.5 * (len(maps) - 1), "an image's output depends on the other images"),
        # Engines sum in another order: up to a hundredth of the largest value.
        (lambda maps: maps * (1 + 0.009 * (len(maps) - 1)), None),
        (lambda maps: maps * (1 + 0.011 * (len(maps) - 1)), "an image's output depends on the other images"),
        (lambda maps: maps.argmax(axis=1), None),
    ],
)
def test_a_batch_gives_each_image_what_it_has_alone(of_batch: Callable[[Any], Any], why: str | None) -> None:
    batch = Dim("N", 1, 8)
    sizes, notes, _ = fit(spec_of(*OPEN, batch=batch), network(of_batch=of_batch))
    assert sizes == ((batch if why is None else 1), *OPEN)
    assert notes == (() if why is None else (f"the graph takes one image at a time: the batch is 1 ({why})",))


def test_a_batch_that_fails_is_one_image_and_larger_ones_are_not_tried_where_none_is_declared() -> None:
    seen: list[int] = []

    def alone(feeds: Feeds) -> Feeds:
        (image,) = feeds.values()
        seen.append(len(image))
        if len(image) > 1:
            raise ValueError("one only")
        return network()(feeds)

    sizes, notes, _ = fit(spec_of(*OPEN, batch=Dim("N", 1, 2)), alone)
    assert sizes[0] == 1 and notes == ("the graph takes one image at a time: the batch is 1 (one only)",)
    for batch in (1, Dim("N", 1, 1)):
        seen.clear()
        assert fit(spec_of(*OPEN, batch=batch), alone)[0][0] == batch and set(seen) == {1}


def labels_of(share: float) -> Network:
    """Labels that are others at a share of the pixels where there are two images."""

    def run(feeds: Feeds) -> Feeds:
        (image,) = feeds.values()
        labels = np.zeros((len(image), *image.shape[2:]), np.int64)
        if len(image) > 1:
            labels.reshape(-1)[: int(share * labels.size)] = 1
        return {"logits": labels}

    return run


@pytest.mark.parametrize(("share", "is_batch"), [(0.0, True), (0.009, True), (0.011, False)])
def test_labels_may_differ_at_a_hundredth_of_the_pixels(share: float, is_batch: bool) -> None:
    sides = Dim("H", 64, 512), Dim("W", 64, 512)
    sizes, _, _ = fit(spec_of(*sides, batch=Dim("N", 1, 8)), labels_of(share))
    assert (sizes[0] != 1) == is_batch


@pytest.mark.parametrize("patch", [14, 28, 56, 7, 12, 24, 48, 10, 20, 40])
def test_patches_that_leave_a_rest_make_sizes_multiples_of_them(patch: int) -> None:
    found = whole_patches.find(spec_of(*OPEN), network(cell=patch, enlarged=True))
    height, width = whole_patches.EVEN_HW
    assert found is not None and found.multiple % patch == 0
    assert all(side % found.multiple == 0 and 72 <= side <= 512 for side in found.size_hw)
    covered = height // patch * patch, width // patch * patch
    assert found.why == f"of an image of {height}×{width} it covers {covered[0]}×{covered[1]}"
    sizes, notes, padded = fit(spec_of(*OPEN), network(cell=patch, enlarged=True))
    assert padded == found.multiple == sizes[1].multiple and notes[0].endswith(f"({found.why})")


def test_networks_that_cover_the_image_and_sizes_that_are_fixed_have_no_patches() -> None:
    for cell in (1, 4, 8, 16, 32):
        for enlarged in (False, True):
            assert whole_patches.find(spec_of(*OPEN), network(cell=cell, enlarged=enlarged)) is None
    assert whole_patches.find(spec_of(160, 256), network(cell=14, enlarged=True)) is None
    assert whole_patches.find(spec_of(160, OPEN[1]), network(cell=14, enlarged=True)) is None
    assert (
        whole_patches.find(spec_of(Dim("H", 8, 150), OPEN[1]), network(cell=14, enlarged=True)) is None
    )  # cannot be tried
    assert whole_patches.find(spec_of(*OPEN), network(lambda h, w: False)) is None


@pytest.mark.parametrize(
    ("height", "batch", "example_hw", "shapes"),
    [
        (OPEN[0], Dim("N", 1, 8), (512, 512), [(1, 3, 512, 512), (2, 3, 271, 363)]),
        (OPEN[0], 1, (512, 512), [(1, 3, 512, 512), (1, 3, 271, 363)]),
        (OPEN[0], Dim("N", 1, 8), (100, 20), [(1, 3, 100, 20), (2, 3, 53, 86)]),
        (64, 1, (64, 100), [(1, 3, 64, 100), (1, 3, 64, 97)]),
        (Dim("H", 64, 512, 64), Dim("N", 1, 8), (512, 512), [(1, 3, 512, 512), (2, 3, 256, 363)]),
        (Dim("H", 300, 512), 1, (512, 512), [(1, 3, 512, 512), (1, 3, 300, 363)]),
        (Dim("H", 8, 200), 1, (512, 512), [(1, 3, 200, 512), (1, 3, 200, 363)]),
    ],
)
def test_the_second_shape_is_smaller_and_wider(
    height: Any, batch: Any, example_hw: tuple[int, int], shapes: list[tuple[int, ...]]
) -> None:
    assert trial_sizes.shapes(spec_of(height, OPEN[1], batch).input, example_hw) == shapes
    assert trial_sizes.shapes(spec_of(64, 64).input, (64, 64)) == [(1, 3, 64, 64)]


def test_the_example_has_the_size_that_is_asked_for_or_that_images_have() -> None:
    def example(resize: Any = None, example: Any = None, **options: Any) -> tuple[int, int]:
        return trial_sizes.example_hw(
            spec_of(Dim("H", 8, 4096), Dim("W", 8, 4096), resize=resize), ExportOptions(**options), example
        )

    assert example() == (512, 512) and example(Stretch((64, 96))) == (64, 96)
    assert example(Stretch((1024, 1024))) == (1024, 1024) and example(Stretch((1024, 1025))) == (512, 512)
    assert example(Stretch((64, 96)), (7, 9)) == (7, 9)
    assert example(Stretch((64, 96)), (7, 9), size_hw=(32, 48)) == (32, 48)
    small = spec_of(*OPEN, resize=Stretch((4, 64)))
    assert trial_sizes.resized_hw(small) is None and trial_sizes.divides_resized(small, 32)
    stretched = spec_of(*OPEN, resize=Stretch((64, 96)))
    assert trial_sizes.resized_hw(stretched) == (64, 96)
    assert trial_sizes.divides_resized(stretched, 32) and not trial_sizes.divides_resized(stretched, 64)


@pytest.mark.parametrize(
    ("options", "multiple", "shape"),
    [
        ({}, 32, (Dim("N", 1, 64), 3, Dim("H", 32, 4096, 32), Dim("W", 32, 4096, 32))),
        (
            {"side": Range(33, 100), "largest_batch": 4}, 32,
            (Dim("N", 1, 4), 3, Dim("H", 64, 96, 32), Dim("W", 64, 96, 32)),
        ),
        ({"side": Range(1, 100)}, 8, (Dim("N", 1, 64), 3, Dim("H", 8, 96, 8), Dim("W", 8, 96, 8))),
        ({"size_hw": (64, 96), "batch": 2}, 32, (2, 3, 64, 96)),
        ({"size_hw": (64, 90)}, 32, None), ({"size_hw": (60, 96)}, 32, None),
    ],
)  # fmt: skip
def test_a_zoo_networks_sizes_are_those_asked_for_in_its_multiples(
    options: dict[str, Any], multiple: int, shape: tuple[Any, ...] | None
) -> None:
    tensor = spec_of(*OPEN).input
    if shape is None:
        with pytest.raises(BadShapeError, match="must be multiples of 32") as error:
            trial_sizes.of_zoo(tensor, ExportOptions(**options), multiple)
        assert error.value.field == "size_hw"
    else:
        assert trial_sizes.of_zoo(tensor, ExportOptions(**options), multiple).shape == shape


def test_a_network_of_torchs_is_tried_in_the_same_way_and_told_by_its_own_words() -> None:
    def fitted(spec: ModelSpec, run: Network) -> tuple[Any, str | None]:
        found, note = trial_sizes.fit(spec, run, "net")
        return found.input.shape[2:], note

    spec = spec_of(*OPEN)
    assert fitted(spec, network()) == (OPEN, None)
    assert fitted(spec_of(40, 56), network(lambda h, w: False)) == ((40, 56), None)
    sides, note = fitted(spec, network(lambda h, w: h % 32 == w % 32 == 0, reason="by 32"))
    assert sides == (Dim("H", 32, 512, 32), Dim("W", 32, 512, 32))
    assert note == "height and width must be multiples of 32: images are padded to them (by 32)"
    sides, note = fitted(spec, network(lambda h, w: h == w == 224, reason="only 224 (of 3)"))
    assert (
        sides == (224, 224) and note is not None and note.startswith("of the sizes that were tried only 224×224 works")
    )
    stretched = spec_of(*OPEN, resize=Stretch((40, 64)))
    sides, note = fitted(stretched, network(lambda h, w: (h, w) == (40, 64), reason="no"))
    assert sides == (40, 64)
    sides, note = fitted(spec, network(cell=14, enlarged=True))
    assert sides == (Dim("H", 14, 504, 14), Dim("W", 14, 504, 14))
    with pytest.raises(BadGraphError, match=r"net runs at no size that was tried, .*\(never\)") as error:
        fitted(spec, network(lambda h, w: False, reason="never"))
    assert error.value.field == "size_hw"
    words = "expected input[1, 3, 72, 72] to have 4 channels, but got 3 channels instead"
    with pytest.raises(BadGraphError, match="takes images of 4 channels, and is fed 3") as error:
        fitted(spec, network(lambda h, w: False, reason=words))
    assert error.value.field == "channels"
