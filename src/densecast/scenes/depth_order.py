"""The order in which to paint things on a road, so that nearer ones come out in front."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.scenes.street_shape import Footprint

_SLACK = 0.1
"""Directions, metres across per metre along, that count as one: bends of the road move things by about that much"""


def far_to_near(footprints: Sequence[Footprint]) -> list[int]:
    """Indices in painting order, for a camera at across 0, along 0 that looks along the road.

    Of two rectangles one cannot hide the other when a line between them has the camera on the hidden one's
    side. Lines across the road are tried first, then lines along it; rectangles that share ground go by
    distance, and those that are seen in different directions do not matter to each other. Disjoint rectangles
    ahead of the camera always have such an order; where pairs contradict each other, the farthest thing goes first.
    """
    count = len(footprints)
    across = np.array([f.across for f in footprints], dtype=np.float64).reshape(count, 2)
    along = np.array([f.along for f in footprints], dtype=np.float64).reshape(count, 2)
    waits_for = _is_behind(across, along).T.copy()
    distance = np.hypot(across.mean(axis=1), along.mean(axis=1))
    pending = waits_for.sum(axis=1)
    left = np.ones(count, dtype=np.bool_)
    order = []
    for _ in range(count):
        ready = left & (pending == 0)
        chosen = int(np.where(ready if ready.any() else left, distance, -1.0).argmax())
        order.append(chosen)
        left[chosen] = False
        pending -= waits_for[:, chosen]
    return order


def _is_behind(across: npt.NDArray[np.float64], along: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(n, n) whether thing i must be painted before thing j."""
    directions = (across[:, :, None] / along[:, None, :]).reshape(len(across), 4)
    first, last = directions.min(axis=1) - _SLACK / 2, directions.max(axis=1) + _SLACK / 2
    in_line = (first[:, None] < last[None, :]) & (first[None, :] < last[:, None])
    beyond = along[:, None, 0] >= along[None, :, 1]
    left_of = across[:, None, 1] <= across[None, :, 0]
    outer_left = left_of & (across[None, :, 0] <= 0)
    outer_right = left_of.T & (across[None, :, 1] >= 0)
    apart_along = beyond | beyond.T
    apart = apart_along | left_of | left_of.T
    distance = np.hypot(across.mean(axis=1), along.mean(axis=1))
    farther = ~apart & (distance[:, None] > distance[None, :])
    behind: npt.NDArray[np.bool_] = in_line & (beyond | (~apart_along & (outer_left | outer_right)) | farther)
    return behind
