"""Trees, hedges and bushes: crowns of many ragged leaf clusters with sky between them."""

import numpy as np
import numpy.typing as npt

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar, shaded

_GREENS: tuple[Colour, ...] = (
    (0.2, 0.32, 0.12), (0.28, 0.38, 0.14), (0.14, 0.26, 0.12), (0.36, 0.4, 0.16), (0.22, 0.3, 0.18), (0.48, 0.38, 0.14)
)  # fmt: skip


def make_tree(rng: np.random.Generator, pose: Pose, tall: float) -> Thing:
    """A tree with a round, high or pointed crown, or a bare winter tree; the trunk is vegetation too."""
    gain = pose.gain((0.0, -0.7, 0.7))
    wood = shaded((0.3, 0.24, 0.18), gain * rng.uniform(0.5, 1.2))
    thick = tall * rng.uniform(0.025, 0.05)
    crown_from = tall * rng.uniform(0.22, 0.42)
    shapes = [bar([(0, 0, 0), (0.02 * tall, 0, crown_from + 0.2 * tall)], thick, wood, Kind.VEGETATION)]
    for _ in range(4):
        x, y = rng.normal(0, 0.14 * tall, 2)
        fork = (0.02 * tall, 0.0, crown_from + rng.uniform(-0.02, 0.12) * tall)
        shapes.append(bar([fork, (x, y, tall * rng.uniform(0.6, 0.85))], thick * 0.45, wood, Kind.VEGETATION))
    radius = tall * rng.uniform(0.18, 0.34)
    pointed = rng.random() < 0.2
    bare = rng.random() < 0.12
    count = 14 if bare else int(rng.integers(45, 80))
    up = rng.uniform(0, 1, count)
    spread = (1.05 - up if pointed else np.sqrt(np.clip(1 - (2 * up - 1) ** 2, 0.05, 1))) * radius
    turn, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    centres = np.stack(
        [spread * out * np.cos(turn), spread * out * np.sin(turn), crown_from + up * (tall - crown_from)], axis=1
    )
    size = tall * rng.uniform(0.05, 0.11, count) * (0.6 if bare else 1.0)
    shapes += _leaves(rng, centres, size, up, gain)
    return Thing(_around(pose, radius * 0.6), tall, pose.placed(shapes))


def make_bush(rng: np.random.Generator, pose: Pose, length: float, tall: float, deep: float = 0.8) -> Thing:
    """A bush or a stretch of hedge along the road."""
    count = int(np.clip(length * tall * 9, 14, 90))
    gain = pose.gain((0.0, -0.7, 0.7))
    up = np.sqrt(rng.uniform(0, 1, count))
    centres = np.stack(
        [rng.uniform(-deep / 2, deep / 2, count), rng.uniform(-length / 2, length / 2, count), up * tall * 0.88], axis=1
    )
    shapes = _leaves(rng, centres, rng.uniform(0.22, 0.42, count) * min(1.6, 0.5 + tall / 2), up, gain)
    low, high = pose.along_m - length / 2, pose.along_m + length / 2
    place = Footprint((pose.across_m - deep / 2, pose.across_m + deep / 2), (low, high))
    return Thing(place, tall, pose.placed(shapes))


def _leaves(
    rng: np.random.Generator,
    centres: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    heights: npt.NDArray[np.float64],
    gain: float,
) -> list[Shape]:
    """Ragged polygons that face the camera, far ones first, brighter towards the top."""
    tone = np.array(_GREENS[int(rng.integers(len(_GREENS)))]) * rng.uniform(0.75, 1.25)
    count, corners = len(centres), 9
    turn = np.sort(rng.uniform(0, 2 * np.pi, (count, corners)), axis=1)
    reach = sizes[:, None] * rng.uniform(0.45, 1.25, (count, corners))
    outline = centres[:, None, :] + np.stack([reach * np.cos(turn), np.zeros_like(reach), reach * np.sin(turn)], axis=2)
    outline[..., 2] = np.maximum(outline[..., 2], 0.0)
    light = gain * (0.5 + 0.65 * heights) * rng.uniform(0.7, 1.3, count)
    colours = np.clip(tone * light[:, None] * rng.uniform(0.92, 1.08, (count, 3)), 0, 1).tolist()
    order = np.argsort(-centres[:, 1] - 0.3 * rng.random(count), kind="stable").tolist()
    points = outline.astype(np.float32)
    return [Shape(points[i], (colours[i][0], colours[i][1], colours[i][2]), Kind.VEGETATION) for i in order]


def _around(pose: Pose, half: float) -> Footprint:
    half = min(half, 1.2)
    return Footprint((pose.across_m - half, pose.across_m + half), (pose.along_m - half, pose.along_m + half))
