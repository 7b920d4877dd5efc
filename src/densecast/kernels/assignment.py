"""Hungarian algorithm, with the step order (and so the tie-breaking) of the Python package munkres 1.1.4.

Many cost matrices have several cheapest assignments, and a program that goes on from one of them depends on
which one it was given. Bottom-up pose grouping is such a program: its costs are whole hundreds minus a score
that is the same along a row, so ties are the rule. This solver therefore keeps the order in which munkres
1.1.4 looks at zeros, and the order of its floating-point operations, and returns the same pairs.

The method is Kuhn-Munkres in the six steps of R. A. Pilgrim, "Munkres' Assignment Algorithm", with at most one
star a row and column and one prime a row; both are stored as index vectors here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.errors import BadInputError

# Far enough below `_LARGEST` that no sum of costs can reach it.
MAX_COST = 1e15

# A search for the smallest uncovered element starts from this value (the largest 64-bit integer in the original).
_LARGEST = 9.223372036854775807e18


@njit(cache=True, nogil=True)
def _find_zero(cost, row_covered, col_covered, row0, col0):  # type: ignore[no-untyped-def]
    """Row and column of the next uncovered zero, or (-1, -1).

    Rows are tried cyclically from `row0`. In the first row that has an uncovered zero, the last one in cyclic
    column order from `col0` is taken.
    """
    n = cost.shape[0]
    for step in range(n):
        row = row0 + step
        if row >= n:
            row -= n
        if row_covered[row]:
            continue
        for col in range(col0 - 1, -1, -1):
            if cost[row, col] == 0.0 and not col_covered[col]:
                return row, col
        for col in range(n - 1, col0 - 1, -1):
            if cost[row, col] == 0.0 and not col_covered[col]:
                return row, col
    return -1, -1


@njit(cache=True, nogil=True)
def _shift(cost, row_covered, col_covered):  # type: ignore[no-untyped-def]
    """Add the smallest uncovered element to covered rows, subtract it from uncovered columns."""
    n = cost.shape[0]
    smallest = _LARGEST
    for row in range(n):
        if not row_covered[row]:
            for col in range(n):
                if not col_covered[col] and cost[row, col] < smallest:
                    smallest = cost[row, col]
    for row in range(n):
        for col in range(n):
            # Where both apply, the element is rounded twice, as in the original.
            if row_covered[row]:
                cost[row, col] += smallest
            if not col_covered[col]:
                cost[row, col] -= smallest


@njit(cache=True, nogil=True)
def _augment(star_of_row, star_of_col, prime_of_row, row, col):  # type: ignore[no-untyped-def]
    """Star the primes and unstar the stars of the alternating path that starts at the prime (row, col)."""
    while True:
        starred_row = star_of_col[col]
        star_of_row[row] = col
        star_of_col[col] = row
        if starred_row < 0:
            return
        row = starred_row
        col = prime_of_row[row]


@njit(cache=True, nogil=True)
def solve_square(cost):  # type: ignore[no-untyped-def]
    """(n, n) float64, overwritten -> (n,) int64: the column of every row."""
    n = cost.shape[0]
    star_of_row = np.full(n, -1, np.int64)
    star_of_col = np.full(n, -1, np.int64)
    prime_of_row = np.full(n, -1, np.int64)
    row_covered = np.zeros(n, np.bool_)
    col_covered = np.zeros(n, np.bool_)

    for row in range(n):
        smallest = cost[row, 0]
        for col in range(1, n):
            if cost[row, col] < smallest:
                smallest = cost[row, col]
        for col in range(n):
            cost[row, col] -= smallest

    for row in range(n):
        for col in range(n):
            if cost[row, col] == 0.0 and star_of_col[col] < 0:
                star_of_row[row] = col
                star_of_col[col] = row
                break

    while True:
        starred = 0
        for i in range(n):
            row_covered[i] = False
            prime_of_row[i] = -1
            col_covered[i] = star_of_col[i] >= 0
            starred += col_covered[i]
        if starred >= n:
            return star_of_row
        row, col = 0, 0
        while True:
            row, col = _find_zero(cost, row_covered, col_covered, row, col)
            if row < 0:
                _shift(cost, row_covered, col_covered)
                row, col = 0, 0
                continue
            prime_of_row[row] = col
            if star_of_row[row] < 0:
                _augment(star_of_row, star_of_col, prime_of_row, row, col)
                break
            col = star_of_row[row]
            row_covered[row] = True
            col_covered[col] = False


def solve(cost: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """(r, c) costs -> (min(r, c), 2) int64: row and column of each pair, by row.

    The sum over the pairs is the smallest possible; among equal sums the pairs are those of munkres 1.1.4. A
    matrix that is not square is filled up with zeros, and only pairs inside it are returned.

    Raises:
        BadInputError: not two-dimensional, empty, or with a cost that is not a number of at most 1e15 in size.
    """
    given = np.asarray(cost, dtype=np.float64)
    if given.ndim != 2 or given.size == 0:
        raise BadInputError(f"costs must be a non-empty (r, c) matrix, got shape {given.shape}.")
    if not (np.abs(given) <= MAX_COST).all():
        raise BadInputError(f"costs must be finite and at most {MAX_COST:.0e} in size. Use a large one for 'never'.")
    rows, cols = given.shape
    square = np.zeros((max(rows, cols),) * 2)
    square[:rows, :cols] = given
    col_of_row = solve_square(square)[:rows]
    inside = np.flatnonzero(col_of_row < cols)
    return np.stack([inside, col_of_row[inside]], axis=1)
