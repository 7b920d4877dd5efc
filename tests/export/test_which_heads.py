"""Of several outputs the main one is taken, heads that serve training alone are left out, what is no map is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadGraphError
from densecast.spec.tensor import TensorSpec
from densecast.verbs.export import heads
from densecast.verbs.export.outputs import Selection

SPEC = replace(tiny_specs.segmentation(), outputs=(TensorSpec("main", "float32", (1, 2, 8, 8)),))
FREE = replace(SPEC, outputs=(TensorSpec("other", "float32", (1, 2, 8, 8)),))


@pytest.mark.parametrize(
    ("shapes", "order"),
    [
        ({"a": (1, 2, 4, 4), "logits": (1, 2, 4, 4)}, ["logits", "a"]),
        ({"out": (1, 2, 4, 4), "logits": (1, 2, 4, 4)}, ["logits", "out"]),
        ({"aux": (1, 2, 9, 9), "b": (1, 2, 4, 4)}, ["b", "aux"]),
        ({"deep_sup_1": (1, 2, 9, 9), "b": (1, 2, 4, 4)}, ["b", "deep_sup_1"]),
        ({"a": (1, 2, 4, 4), "b": (1, 2, 8, 4)}, ["b", "a"]),
        ({"a": (1, 2, 4, 4), "b": (1, 3, 8, 8)}, ["a", "b"]),
        ({"a": (1, 2, 4, 4), "b": (1, 2, 2, 8)}, ["a", "b"]),
        ({"a": (1, 9), "b": (1, 2, 2, 2)}, ["b", "a"]),
        ({"a": (1, 1, 4, 4), "b": (1, 1, 8, 8)}, ["b", "a"]),
        ({"a": (1, 1, 8, 8), "b": (1, 2, 4, 4)}, ["b", "a"]),
    ],
)
def test_the_likeliest_main_output_comes_first(shapes: dict[str, tuple[int, ...]], order: list[str]) -> None:
    assert list(heads.preferred_first(shapes, FREE)) == order


def test_what_the_spec_names_keeps_the_networks_order_and_objects_are_refused() -> None:
    shapes = {"a": (1, 2, 4, 4), "logits": (1, 2, 4, 4), "main": (1, 2, 4, 4)}
    assert list(heads.preferred_first(shapes, SPEC)) == ["a", "logits", "main"]
    for name in ("pred_boxes", "boxes", "head_boxes", "masks_queries_logits"):
        with pytest.raises(BadGraphError, match="it scores proposed objects"):
            heads.preferred_first({name: (1, 2)}, SPEC)
    assert list(heads.preferred_first({"myboxes": (1, 2), "main": (1, 2, 4, 4)}, SPEC)) == ["myboxes", "main"]


def test_maps_of_as_many_channels_beside_the_main_one_are_left_out() -> None:
    shapes = {"main": (1, 2, 8, 8), "aux": (1, 2, 4, 4), "other": (1, 3, 8, 8), "flat": (1, 2)}
    selection = Selection(("main", "aux", "other", "flat"), "first of two channels")
    kept, (note,) = heads.without_auxiliary(selection, shapes, SPEC)
    assert kept == Selection(("main", "other", "flat"), "first of two channels") and "auxiliary aux left out" in note
    alone, _ = heads.without_auxiliary(Selection(("main", "aux"), "why"), shapes, SPEC)
    assert alone == Selection(("main",), None)
    assert heads.without_auxiliary(Selection(("main", "other"), "why"), shapes, SPEC) == (
        Selection(("main", "other"), "why"),
        (),
    )
    named = replace(SPEC, outputs=(*SPEC.outputs, TensorSpec("aux", "float32", (1, 2, 4, 4))))
    assert heads.without_auxiliary(Selection(("main", "aux")), shapes, named)[1] == ()


def test_equal_unnamed_maps_are_warned_of_unless_one_is_named(caplog: pytest.LogCaptureFixture) -> None:
    shapes = {"output_0": (1, 2, 8, 8), "output_1": (1, 2, 8, 8), "output_2": (1, 2, 4, 4)}
    selection = Selection(tuple(shapes))
    heads.without_auxiliary(selection, shapes, SPEC, is_named=True)
    heads.without_auxiliary(Selection(("output_0", "output_2")), shapes, SPEC)
    assert not caplog.records
    heads.without_auxiliary(selection, shapes, SPEC)
    assert "output_0, output_1 are maps of one size" in caplog.text and "--output-name output_1" in caplog.text


def test_what_is_not_one_answer_for_each_image_is_left_out() -> None:
    trials = [(1, {"main": (1, 2), "loss": (), "each": (1,)}), (3, {"main": (3, 2), "loss": (), "each": (1,)})]
    kept, (note,) = heads.without_losses(Selection(("main", "loss", "each"), "why"), trials)
    assert kept == Selection(("main",), None) and note.startswith("loss, each left out")
    assert heads.without_losses(Selection(("main", "each"), "why"), trials[:1]) == (
        Selection(("main", "each"), "why"),
        (),
    )
    three = [(2, {"main": (2, 2), "loss": (), "more": (2, 5)})]
    assert heads.without_losses(Selection(("main", "loss", "more"), "why"), three)[0] == Selection(
        ("main", "more"), "why"
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((1, 2, 4, 4), np.nan, np.float32), "no numbers"),
        (np.zeros((1, 2, 4, 4), np.uint8), r"whole numbers \(uint8\) in 2 planes"),
        (np.zeros((1, 2, 4, 4), np.bool_), r"whole numbers \(bool\) in 2 planes"),
        (np.zeros((1, 1, 4, 4), np.int64), None),
        (np.zeros((1, 4, 4), np.int64), None),
        (np.full((1, 2, 4, 4), np.inf, np.float32), None),
    ],
)
def test_a_main_output_is_numbers_or_one_plane_of_labels(values: np.ndarray, words: str | None) -> None:
    if words is None:
        heads.check_main(values, "y", SPEC, "net")
    else:
        with pytest.raises(BadGraphError, match=rf"^net: the output 'y' has .*{words}"):
            heads.check_main(values, "y", SPEC, "net")
    heads.check_main(np.zeros((1, 2, 4, 4), np.uint8), "y", tiny_specs.multilabel(), "net")
