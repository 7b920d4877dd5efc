"""The layer with which an engine first ends its process is found by halving, or there is none to be named."""

from __future__ import annotations

from pathlib import Path

import pytest

from densecast.backends import _trial


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_the_first_layer_that_crashes_is_named_in_few_trials(count: int) -> None:
    names = [f"n{place}" for place in range(count)]
    for guilty in range(count):
        tried: list[int] = []

        def crashes(most: int, guilty: int = guilty, tried: list[int] = tried) -> bool:
            tried.append(most)
            return most > guilty

        assert _trial.first_that_crashes(names, crashes) == f"n{guilty}"
        assert tried[0] == count and len(tried) <= 1 + count.bit_length()


def test_where_no_beginning_crashes_there_is_none() -> None:
    assert _trial.first_that_crashes(["a", "b", "c"], lambda most: False) is None
    assert _trial.first_that_crashes([], lambda most: pytest.fail("there is nothing to try")) is None


def test_a_trial_depends_on_the_graph_its_weights_and_the_settings(tmp_path: Path) -> None:
    graph = tmp_path / "a.xml"
    graph.write_bytes(b"graph")
    one = _trial.key(graph, "f16", 3)
    assert one == _trial.key(graph, "f16", 3)
    assert len({one, _trial.key(graph, "f16", 4), _trial.key(graph, "f32", 3), _trial.key(graph)}) == 4
    (tmp_path / "a.bin").write_bytes(b"weights")
    with_weights = _trial.key(graph, "f16", 3)
    (tmp_path / "a.bin").write_bytes(b"others")
    assert len({one, with_weights, _trial.key(graph, "f16", 3)}) == 3
