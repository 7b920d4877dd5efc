"""The assignment solver gives the pairs of munkres 1.1.4, ties included, and always a cheapest assignment."""

import json
from pathlib import Path

import numpy as np
import pytest

from densecast.errors import BadInputError
from densecast.kernels.assignment import solve

CASES = json.loads((Path(__file__).parents[1] / "golden" / "munkres_cases.json").read_text())


def test_pairs_equal_munkres_on_every_case():
    differ = [i for i, case in enumerate(CASES) if solve(case["cost"]).tolist() != case["pairs"]]
    assert not differ


def test_the_cases_have_ties_that_another_solver_breaks_differently():
    optimize = pytest.importorskip("scipy.optimize")
    others = [np.stack(optimize.linear_sum_assignment(case["cost"]), axis=1).tolist() for case in CASES]
    assert sum(other != case["pairs"] for other, case in zip(others, CASES, strict=True)) > 20


@pytest.mark.parametrize("seed", range(40))
def test_no_assignment_is_cheaper(seed):
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(seed)
    cost = random.normal(size=random.integers(1, 40, 2))
    rows, cols = solve(cost).T
    assert len(set(rows)) == len(set(cols)) == min(cost.shape)
    best = cost[optimize.linear_sum_assignment(cost)].sum()
    # Sums of up to 40 terms in two orders.
    assert cost[rows, cols].sum() == pytest.approx(best, abs=1e-12 * 40)


def test_equal_costs_pair_as_munkres_pairs_them():
    assert solve(np.zeros((3, 5))).tolist() == [[0, 0], [1, 1], [2, 2]]
    # The zeros that fill the matrix up are taken first.
    assert solve(np.ones((4, 2))).tolist() == [[0, 0], [3, 1]]


def test_the_given_matrix_is_left_alone():
    cost = np.arange(9.0).reshape(3, 3)
    solve(cost)
    np.testing.assert_array_equal(cost, np.arange(9.0).reshape(3, 3))


@pytest.mark.parametrize(
    "cost",
    [[], [1.0, 2.0], [[1.0, np.nan]], [[np.inf]], [[1.01e15]], [[-1.01e15]], np.zeros((0, 3)), np.zeros((2, 2, 2))],
)
def test_what_is_no_cost_matrix_is_refused(cost):
    with pytest.raises(BadInputError):
        solve(cost)


def test_the_largest_costs_are_taken():
    assert solve([[1e15, -1e15], [0.0, 1e15]]).tolist() == [[0, 1], [1, 0]]
