"""Traces the outlines of a mask along the edges of its pixels, so that the polygons cover the mask exactly.

Pixels belong together that share an edge. Each group has one exterior ring and a ring for every hole; no ring passes a
corner twice, so that each polygon is valid where polygons may not touch themselves (OGC Simple Features).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Corners by the one pixel (below, right) of the four that meet there which is in the mask, or which is not: on which
# side the horizontal edge lies (0 left, 1 right), on which the vertical one (0 above, 1 below), whether the outline
# leaves by the horizontal one, and a pixel of the mask (row, column) at the corner. Outlines have the mask on their
# right.
_CONVEX = {
    (0, 0): (0, 0, True, (-1, -1)),
    (0, 1): (1, 0, False, (-1, 0)),
    (1, 0): (0, 1, False, (0, -1)),
    (1, 1): (1, 1, True, (0, 0)),
}
_CONCAVE = {
    (0, 0): (0, 0, False, (0, 0)),
    (0, 1): (1, 0, True, (0, -1)),
    (1, 0): (0, 1, True, (-1, 0)),
    (1, 1): (1, 1, False, (-1, -1)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One region: `exterior` (n, 2) and each of `holes` are the corners x, y, the first not repeated at the end.

    Of a mask they are at the edges of pixels: the first pixel spans 0 to 1. With y pointing down the exterior turns
    clockwise as seen, holes the other way.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def area(self) -> float:
        """The area without the holes, in square pixels."""
        return signed_area(self.exterior) + sum(signed_area(hole) for hole in self.holes)

    def simplified(self, tolerance_px: float) -> Polygon:
        """With corners left out that are `tolerance_px` off at most (Douglas and Peucker, 1973).

        It may touch its neighbours or itself then. A region that would vanish stays as it is, a hole is closed.
        """
        exterior = _fewer(self.exterior, tolerance_px)
        holes = (_fewer(hole, tolerance_px) for hole in self.holes)
        return Polygon(
            exterior if len(exterior) >= 3 else self.exterior, tuple(hole for hole in holes if len(hole) >= 3)
        )


def polygons(mask: Mask) -> list[Polygon]:
    """(H, W) bool -> its regions from top to bottom."""
    import cv2

    if not mask.any():
        return []
    _, groups = cv2.connectedComponents(np.ascontiguousarray(mask, np.uint8), connectivity=4)
    exteriors: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring, (row, column) in _rings(mask):
        group = int(groups[row, column])
        if signed_area(ring) > 0:
            exteriors[group] = ring
        else:
            holes.setdefault(group, []).append(ring)
    return [Polygon(ring, tuple(holes.get(group, ()))) for group, ring in sorted(exteriors.items())]


def signed_area(ring: Ring) -> float:
    """The area inside a ring (the shoelace formula); above 0 if it turns from x towards y."""
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _rings(mask: Mask) -> list[tuple[Ring, tuple[int, int]]]:
    """All rings as (n, 2) corners x, y, each with a pixel of the mask that it runs along."""
    corners = _corners(mask)
    y, x = corners["y"], corners["x"]
    following = np.where(
        corners["leaves_flat"],
        _partners(y, x, corners["side_x"]),
        _partners(x, y, corners["side_y"]),
    ).tolist()
    xy = np.stack([x, y], axis=1).astype(np.float64)
    places, pixels = (y * (mask.shape[1] + 1) + x).tolist(), corners["pixel"].tolist()
    # Only where two corners meet may an outline come by twice.
    twice = set(np.flatnonzero(corners["is_double"]).tolist())
    rings = []
    seen = bytearray(len(following))
    for start in range(len(following)):
        if seen[start]:
            continue
        path: list[int] = []
        at: dict[int, int] = {}
        each = start
        while not seen[each]:
            seen[each] = 1
            if each in twice:
                before = at.get(places[each])
                if before is not None:
                    loop, path = path[before:], path[:before]
                    rings.append((xy[loop], pixels[loop[0]]))
                    at = {place: index for place, index in at.items() if index < before}
                at[places[each]] = len(path)
            path.append(each)
            each = following[each]
        rings.append((xy[path], pixels[path[0]]))
    return [(ring, (pixel[0], pixel[1])) for ring, pixel in rings]


def _corners(mask: Mask) -> dict[str, npt.NDArray[np.generic]]:
    """Every corner of the outlines, in rows from the top; where two pixels touch at a corner only, there are two."""
    padded = np.pad(mask, 1)
    quarters = {
        (up, left): padded[up : padded.shape[0] - 1 + up, left : padded.shape[1] - 1 + left]
        for up in (0, 1)
        for left in (0, 1)
    }
    count = sum(each.astype(np.int8) for each in quarters.values())
    diagonal = (count == 2) & (quarters[0, 0] == quarters[1, 1])
    parts = []
    for quarter, inside in quarters.items():
        for kind, where in ((_CONVEX, inside & ((count == 1) | diagonal)), (_CONCAVE, ~inside & (count == 3))):
            side_x, side_y, leaves_flat, (row, column) = kind[quarter]
            y, x = np.nonzero(where)
            made = np.full(len(y), side_x), np.full(len(y), side_y), np.full(len(y), leaves_flat)
            parts.append((y, x, *made, diagonal[y, x], np.stack([y + row, x + column], axis=1)))
    names = ("y", "x", "side_x", "side_y", "leaves_flat", "is_double", "pixel")
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    order = np.lexsort((joined[2], joined[1], joined[0]))
    return {name: values[order] for name, values in zip(names, joined, strict=True)}


def _partners(
    line: npt.NDArray[np.generic], along: npt.NDArray[np.generic], side: npt.NDArray[np.generic]
) -> npt.NDArray[np.intp]:
    """The corner at the other end of each corner's edge on its line: in order along the line they come in pairs."""
    order = np.lexsort((side, along, line))
    partners = np.empty(len(order), np.intp)
    partners[order[0::2]] = order[1::2]
    partners[order[1::2]] = order[0::2]
    return partners


def _fewer(ring: Ring, tolerance_px: float) -> Ring:
    import cv2

    fewer = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance_px, True)
    return np.asarray(fewer[:, 0], np.float64)
