"""The order in which to paint things on a road, so that nearer ones come out in front."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.scenes.street.shape import Footprint

_SLACK = 0.1
"""Bends of the road move things by about this, in metres across per metre along."""

Flags = npt.NDArray[np.bool_]


def far_to_near(footprints: Sequence[Footprint]) -> list[int]:
    """Indices in painting order, for a camera at across 0, along 0 that looks along the road.

    Of two rectangles one cannot hide the other when a line between them has the camera on the hidden one's
    side. Lines across the road are tried first, then lines along it; rectangles that share ground go by
    distance, and those that are seen in different directions do not matter to each other. Disjoint rectangles
    ahead of the camera always have such an order. Where bends of the road could bring things into line that are
    not so on a straight one, the order heeds them as far as it can.
    """
    count = len(footprints)
    across = np.array([f.across for f in footprints], dtype=np.float64).reshape(count, 2)
    along = np.array([f.along for f in footprints], dtype=np.float64).reshape(count, 2)
    behind = _is_behind(across, along)
    waits = [(behind & _in_line(across, along, slack)).T for slack in (_SLACK, 0.0)]
    pending = [wait.sum(axis=1) for wait in waits]
    distance = np.hypot(across.mean(axis=1), along.mean(axis=1))
    left = np.ones(count, dtype=np.bool_)
    order = []
    for _ in range(count):
        choices = (left & (pending[0] == 0), left & (pending[1] == 0), left)
        chosen = int(np.where(next(c for c in choices if c.any()), distance, -1.0).argmax())
        order.append(chosen)
        left[chosen] = False
        for number, wait in zip(pending, waits, strict=True):
            number -= wait[:, chosen]
    return order


def _in_line(across: npt.NDArray[np.float64], along: npt.NDArray[np.float64], slack: float) -> Flags:
    """(n, n) whether some direction from the camera meets both, give or take the slack."""
    directions = (across[:, :, None] / along[:, None, :]).reshape(len(across), 4)
    first, last = directions.min(axis=1) - slack / 2, directions.max(axis=1) + slack / 2
    meets: Flags = (first[:, None] < last[None, :]) & (first[None, :] < last[:, None])
    return meets


def _is_behind(across: npt.NDArray[np.float64], along: npt.NDArray[np.float64]) -> Flags:
    """(n, n) whether thing i can only be hidden by thing j, not hide it."""
    beyond = along[:, None, 0] >= along[None, :, 1]
    left_of = across[:, None, 1] <= across[None, :, 0]
    outer_left = left_of & (across[None, :, 0] <= 0)
    outer_right = left_of.T & (across[None, :, 1] >= 0)
    apart_along = beyond | beyond.T
    apart = apart_along | left_of | left_of.T
    distance = np.hypot(across.mean(axis=1), along.mean(axis=1))
    farther = ~apart & (distance[:, None] > distance[None, :])
    behind: Flags = beyond | (~apart_along & (outer_left | outer_right)) | farther
    return behind
