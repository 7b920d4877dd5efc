"""Simple differences between two maps are called by their name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.verbs.compare import divergence

F32 = npt.NDArray[np.float32]


@pytest.fixture
def maps() -> F32:
    rng = np.random.default_rng(3)
    coarse = rng.normal(size=(1, 8, 10, 12)).astype(np.float32)
    return np.asarray(
        coarse.repeat(4, axis=2).repeat(4, axis=3) + rng.normal(scale=0.1, size=(1, 8, 40, 48)), "float32"
    )


def test_each_kind_is_described(maps: F32) -> None:
    offset = maps + np.linspace(1, 2, 8, dtype=np.float32)[:, None, None]
    scaled = maps * np.linspace(1.1, 1.5, 8, dtype=np.float32)[:, None, None]
    border = maps.copy()
    border[:, :, 0] += 3
    dead = maps.copy()
    dead[:, 2] = 0.5
    broken = maps.copy()
    broken[0, 0, 0, 0] = np.inf
    cases = {
        "bias": offset,
        "scaled": scaled,
        "padding": border,
        "first: 2": dead,
        "not finite": broken,
        "saturates": np.clip(maps, -0.5, 0.5),
        "order": maps[:, ::-1],
        "moved by (1, 0)": np.roll(maps, 1, axis=2),
        "ReLU": np.maximum(maps, 0),
    }
    clauses = {words: divergence.describe(maps, other) for words, other in cases.items()}
    assert all(words in text for words, text in clauses.items()), clauses


def test_unlike_maps_are_given_no_reason(maps: F32) -> None:
    other = np.random.default_rng(8).normal(size=maps.shape).astype(np.float32)
    assert divergence.describe(maps, other) == "the values differ all over the map"
