"""Pose maps made by a fixed recipe: what a bottom-up network might give for people, crowds, ties and noise.

The recipe uses uniform random numbers of `numpy.random.RandomState` (whose stream is frozen) and the four basic
operations only, so every machine and NumPy version makes the same bits: the expected results in
`golden/pose_scenes.npz` were computed elsewhere, from maps made by this very file.

It imports nothing but NumPy, so that it also runs where the original package is installed and densecast is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Joint offsets of a standing person, in units of a sixtieth of the height, x to the image's right.
_BODY_XY = np.array(
    [
        [0, -40], [4, -44], [-4, -44], [9, -42], [-9, -42], [16, -28], [-16, -28], [22, -10], [-22, -10],
        [24, 6], [-24, 6], [10, 8], [-10, 8], [12, 30], [-12, 30], [13, 50], [-13, 50],
    ],
    dtype=float,
)  # fmt: skip
_MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


@dataclass(frozen=True)
class Scene:
    """What is in the maps; sizes in pixels of the map at scale 1.

    `tag_step` is the distance between the tags of neighbouring people in the list, `tag_jitter` how much a person's
    joints differ. Heatmaps are multiples of 1 / `levels` where that is not 0. `lower` is taken off every heatmap.
    """

    seed: int
    people: int = 3
    map_hw: tuple[int, int] = (32, 48)
    size: tuple[float, float] = (0.14, 0.28)
    radius: float = 3.5
    missing: float = 0.15
    noise: float = 0.01
    tag_step: float = 2.0
    tag_jitter: float = 0.1
    tag_noise: float = 0.2
    peak: tuple[float, float] = (0.3, 0.95)
    margin: float = 0.15
    levels: int = 0
    lower: float = 0.0
    scales: tuple[float, ...] = (1.0,)
    target_hw: tuple[int, int] | None = None
    options: dict[str, object] = field(default_factory=dict)

    @property
    def model_hw(self) -> tuple[int, int]:
        """The network's input size at scale 1."""
        return self.target_hw or (4 * self.map_hw[0], 4 * self.map_hw[1])

    @property
    def image_hw(self) -> tuple[int, int]:
        """An image that lands in the input exactly, at a zoom that is not a power of two."""
        return (self.model_hw[0] * 3 // 2, self.model_hw[1] * 3 // 2)


def _uniform(random: np.random.RandomState, low: float, high: float, *shape: int) -> np.ndarray:
    return low + (high - low) * random.random_sample(shape)


def _people(scene: Scene) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each person joint places in units of the map's size, peak heights (0: missing) and tags."""
    random = np.random.RandomState(scene.seed)
    height, width = scene.map_hw
    found = []
    for person in range(scene.people):
        centre = np.array(
            [
                _uniform(random, scene.margin, 1 - scene.margin) * width,
                _uniform(random, scene.margin, 1 - scene.margin) * height,
            ]
        ).reshape(2)
        size = float(_uniform(random, *scene.size))
        places = centre + _BODY_XY * size + _uniform(random, -0.5, 0.5, 17, 2)
        peaks = _uniform(random, *scene.peak, 17)
        peaks[random.random_sample(17) < scene.missing] = 0.0
        tags = person * scene.tag_step + _uniform(random, -scene.tag_jitter, scene.tag_jitter, 17)
        found.append((places / [width, height], peaks, tags))
    return found


def _draw(scene: Scene, hw: tuple[int, int], zoom: float, mirrored: bool) -> np.ndarray:
    """(34, h, w) float32: heatmaps and tags as seen in the image, or in its mirror image (not mirrored back)."""
    random = np.random.RandomState(scene.seed + 1000 * hw[0] + (500 if mirrored else 0))
    height, width = hw
    heat = _uniform(random, 0, scene.noise, 17, height, width) if scene.noise else np.zeros((17, height, width))
    tags = _uniform(random, -scene.tag_noise, scene.tag_noise, 17, height, width)
    y, x = np.arange(height, dtype=float)[:, None], np.arange(width, dtype=float)[None, :]
    for places, peaks, person_tags in _people(scene):
        height_factor = float(_uniform(random, 0.9, 1.0))
        for joint in range(17):
            if peaks[joint] == 0.0:
                continue
            at_x, at_y = places[joint] * [width, height] - 0.5
            bump = 1.0 - ((x - at_x) * (x - at_x) + (y - at_y) * (y - at_y)) / (scene.radius * zoom) ** 2
            bump = np.maximum(bump, 0.0)
            bump = peaks[joint] * height_factor * bump * bump
            near = (bump > 0.02) & (bump > heat[joint])
            heat[joint] = np.maximum(heat[joint], bump)
            tags[joint][near] = person_tags[joint] + 0.05 * mirrored
    if scene.levels:
        heat = np.floor(heat * scene.levels) / scene.levels
    maps = np.concatenate([heat - scene.lower, tags]).astype(np.float32)
    if mirrored:
        swap = _MIRRORED + [17 + joint for joint in _MIRRORED]
        maps = maps[swap][:, :, ::-1]
    return maps


def draw(scene: Scene) -> list[np.ndarray]:
    """A network's output at each of the scene's scales: (2, 34, h, w) float32, the image and its mirror image."""
    drawn = []
    for scale in scene.scales:
        hw = (int(scene.map_hw[0] * scale), int(scene.map_hw[1] * scale))
        both = np.stack([_draw(scene, hw, scale, False), _draw(scene, hw, scale, True)])
        if not scene.options.get("tag_per_joint", True):
            both = both[:, :18]
        drawn.append(np.ascontiguousarray(both))
    return drawn


SCENES = {
    "nobody": Scene(1, people=0),
    "one": Scene(2, people=1),
    "three": Scene(3, people=3, map_hw=(64, 88)),
    "ten": Scene(4, people=10, map_hw=(64, 88)),
    "thirty": Scene(5, people=30, map_hw=(128, 176), size=(0.2, 0.5), radius=4.5),
    "sixty": Scene(6, people=60, map_hw=(96, 128), size=(0.1, 0.25), radius=2.5),
    "three_full_size": Scene(7, people=3, map_hw=(128, 176), size=(0.5, 1.0), radius=6.0),
    "close_tags": Scene(8, people=8, map_hw=(48, 64), tag_step=0.3),
    "one_tag_for_all": Scene(9, people=6, map_hw=(48, 64), tag_step=0.0, tag_jitter=0.0, tag_noise=0.0),
    "wild_tags": Scene(10, people=8, map_hw=(48, 64), tag_step=0.7, tag_jitter=0.8),
    "most_joints_missing": Scene(11, people=6, map_hw=(48, 64), missing=0.7),
    "missing_on_empty_ground": Scene(12, people=4, missing=0.5, noise=0.0, tag_noise=0.0),
    "noise_only": Scene(13, people=0, noise=0.6, map_hw=(24, 40)),
    "people_in_noise": Scene(14, people=4, noise=0.25),
    "plateaus": Scene(15, people=5, map_hw=(48, 64), levels=8, noise=0.0),
    "plateaus_in_noise": Scene(16, people=4, levels=16, noise=0.2),
    "cut_by_the_border": Scene(17, people=12, map_hw=(48, 64), margin=-0.1, tag_step=0.9),
    "negative_ground": Scene(18, people=4, lower=0.25),
    "above_one": Scene(19, people=4, peak=(0.8, 2.5), missing=0.4, noise=0.05),
    "no_flip": Scene(20, people=5, map_hw=(48, 64), options={"flip": False}),
    "no_flip_crowd": Scene(21, people=14, map_hw=(64, 88), tag_step=0.5, options={"flip": False}),
    "three_scales": Scene(22, people=5, map_hw=(32, 48), scales=(2.0, 1.0, 0.5)),
    "three_scales_unprojected": Scene(
        23, people=4, scales=(2.0, 1.0, 0.5), options={"project_to_image": False}
    ),
    "unprojected": Scene(24, people=4, map_hw=(64, 88), options={"project_to_image": False}),
    "no_adjust": Scene(25, people=4, missing=0.3, options={"adjust": False}),
    "no_refine": Scene(26, people=4, missing=0.3, options={"refine": False}),
    "small_window": Scene(27, people=6, noise=0.3, options={"nms_kernel": 3}),
    "large_window": Scene(28, people=6, noise=0.3, options={"nms_kernel": 9}),
    "no_window": Scene(29, people=1, map_hw=(24, 40), noise=0.0, options={"nms_kernel": 1}),
    "few_peaks": Scene(30, people=9, map_hw=(48, 64), options={"max_people": 4}),
    "ignore_too_many": Scene(
        31, people=9, map_hw=(48, 64), options={"max_people": 4, "ignore_too_many": True}
    ),
    "high_threshold": Scene(32, people=5, options={"detection_threshold": 0.5}),
    "narrow_tags": Scene(33, people=5, tag_jitter=0.4, options={"tag_threshold": 0.3}),
    "wide_tags": Scene(34, people=5, tag_step=0.8, options={"tag_threshold": 2.5}),
    "by_distance_alone": Scene(35, people=8, tag_step=0.4, options={"use_detection_value": False}),
    "one_tag_map": Scene(36, people=4, options={"tag_per_joint": False, "flip": False}),
    "odd_ratio": Scene(37, people=4, map_hw=(33, 50), target_hw=(131, 197)),
    "all_switched_off": Scene(
        38,
        people=5,
        options={
            "flip": False,
            "project_to_image": False,
            "adjust": False,
            "refine": False,
            "use_detection_value": False,
        },
    ),
}  # fmt: skip
