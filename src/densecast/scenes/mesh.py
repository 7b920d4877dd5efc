"""Quadrilateral meshes with smooth normals, and the few solids that car parts are made of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Quads in metres. The corners of one go round its edge in either sense: the normals tell its outside."""

    corners: Array
    """(n, 4, 3)"""
    normals: Array
    """(n, 4, 3), unit length, pointing outwards"""
    part: npt.NDArray[np.int32]
    """(n,) what each quad belongs to"""


def point(x: float, y: float, z: float) -> Array:
    """(3,) float32."""
    return np.array([x, y, z], dtype=np.float32)


def join(meshes: list[Mesh]) -> Mesh:
    """All quads of `meshes`, in order."""
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.part for mesh in meshes]),
    )


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh reflected at the plane y = 0."""
    flip = np.array([1.0, -1.0, 1.0], dtype=np.float32)
    return Mesh(mesh.corners * flip, mesh.normals * flip, mesh.part)


def grid(points: Array, part: int, centre: Array) -> Mesh:
    """(rows, columns, 3) points -> the (rows - 1)(columns - 1) quads between them.

    Normals point away from `centre`, which is (3,), or (rows, 1, 3) for a long body.
    """
    along_rows, along_columns = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals = np.cross(along_rows, along_columns)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
    outward = np.sign((normals * (points - centre)).sum(axis=-1, keepdims=True))
    normals = np.where(outward == 0, 1, outward) * normals
    return Mesh(_quads(points), _quads(normals), _parts(part, (points.shape[0] - 1) * (points.shape[1] - 1)))


def flat(points: Array, normal: tuple[float, float, float], part: int) -> Mesh:
    """(rows, columns, 3) points -> the quads between them, all with one normal."""
    quads = _quads(points)
    normals = np.broadcast_to(np.array(normal, dtype=np.float32), quads.shape)
    return Mesh(quads, np.ascontiguousarray(normals), _parts(part, len(quads)))


def bar(start: Array, end: Array, thickness_m: tuple[float, float], part: int, pieces: int = 1) -> Mesh:
    """A bar of rectangular section, cut into `pieces` so that it sorts well by depth.

    Args:
        start: (3,) centre of one end.
        end: (3,) centre of the other.
        thickness_m: Sideways (horizontal) and the other way.
        part: What the quads belong to.
        pieces: Number of pieces.

    """
    axis = (end - start) / (np.linalg.norm(end - start) + 1e-9)
    helper = np.array([0, 0, 1] if abs(axis[2]) < 0.9 else [1, 0, 0], dtype=np.float32)
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side)
    up = np.cross(side, axis)
    half_side, half_up = side * thickness_m[0] / 2, up * thickness_m[1] / 2
    ring = np.stack([half_side + half_up, half_up - half_side, -half_side - half_up, half_side - half_up])
    steps = np.linspace(0, 1, pieces + 1, dtype=np.float32)[:, None, None]
    points = (start + (end - start) * steps + ring[None]).astype(np.float32)
    meshes = []
    for face in range(4):
        pair = np.stack([points[:, face], points[:, (face + 1) % 4]], axis=1)
        normal = ring[face] + ring[(face + 1) % 4]
        normal /= np.linalg.norm(normal) + 1e-9
        meshes.append(flat(pair, tuple(normal), part))
    for index, sign in ((0, -1.0), (-1, 1.0)):
        cap = np.stack([points[index][[0, 1]], points[index][[3, 2]]])
        meshes.append(flat(cap, tuple(axis * sign), part))
    return join(meshes)


def ball(centre: Array, radii_m: tuple[float, float, float], part: int, rings: int = 7, sectors: int = 10) -> Mesh:
    """An ellipsoid with its axes along x, y, z."""
    polar = np.linspace(0.02, np.pi - 0.02, rings, dtype=np.float32)[:, None]
    turn = np.linspace(0, 2 * np.pi, sectors + 1, dtype=np.float32)[None]
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn], axis=-1)
    return grid((centre + unit * np.array(radii_m, dtype=np.float32)).astype(np.float32), part, centre)


def wheel(centre: Array, radius_m: float, width_m: float, tyre: int, rim: int, sectors: int = 24) -> Mesh:
    """A wheel with its axle along y; the rim's disc faces +y, `centre` is the middle of that face."""
    turn = np.linspace(0, 2 * np.pi, sectors + 1, dtype=np.float32)
    circle = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], axis=-1) * np.float32(radius_m)
    back = np.array([0, -width_m, 0], dtype=np.float32)
    bulge = np.array([0, 0.012, 0], dtype=np.float32)
    inside = (centre + back / 2).astype(np.float32)
    tread = grid(np.stack([centre + circle, centre + circle + back], axis=0), tyre, inside)
    sidewall = flat(np.stack([centre + circle, centre + circle * np.float32(0.7) + bulge]), (0, 1, 0), tyre)
    disc = flat(np.stack([centre + circle * np.float32(0.7) + bulge, centre + circle * 0.05]), (0, 1, 0), rim)
    # The tread's gradient-made normals differ at the seam; a wheel's are known exactly.
    radial = _quads(np.broadcast_to(circle / np.float32(radius_m), (2, sectors + 1, 3)))
    return join([Mesh(tread.corners, radial, tread.part), sidewall, disc])


def _quads(points: Array) -> Array:
    """(rows, columns, 3) -> ((rows - 1)(columns - 1), 4, 3)"""
    around = [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]]
    return np.stack(around, axis=2).reshape(-1, 4, 3).astype(np.float32)


def _parts(part: int, count: int) -> npt.NDArray[np.int32]:
    return np.full(count, part, dtype=np.int32)
