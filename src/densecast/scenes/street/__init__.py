"""Draws street scenes with the exact class of every pixel, from a seed and an index."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array
from densecast.scenes.street import depth_order, ground, layout, lens, traffic
from densecast.scenes.street.canvas import Canvas
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.layout import Plan
from densecast.scenes.street.light import Light, make_light

NAME = "street"
VERSION = 1
"""Counts the changes that alter pictures."""

SIZE_HW = (256, 512)
"""A quarter of Cityscapes' 1024×2048 each way."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture and its truth."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) sRGB"""
    classes: npt.NDArray[np.uint8]
    """(H, W) train ids 0 to 18, and 255 where none applies: of the nearest surface at the pixel's centre"""


def render(seed: int, index: int, size_hw: tuple[int, int] = SIZE_HW) -> Scene:
    """Picture `index` of the world `seed`. Equal arguments give equal pixels, in any order and any process."""
    rng = np.random.default_rng([seed, index])
    light = make_light(rng)
    road = layout.make_road(rng)
    camera = _camera(rng, size_hw)
    plan = Plan(rng, road, light, camera.height_m)
    traffic.fill_lanes(plan)
    traffic.fill_sidewalks(plan)
    layout.fill_kerbs(plan)
    layout.fill_plots(plan)

    canvas = Canvas(camera, size_hw, light)
    ground.paint_sky(rng, canvas, light)
    shade = canvas.shadows(_shadows(plan, light))
    ground.paint_ground(rng, canvas, road, light, shade)
    order = depth_order.far_to_near([thing.footprint for thing in plan.things])
    canvas.paint([shape for place in order for shape in plan.things[place].shapes])
    if rng.random() < 0.6:
        _bonnet(rng, canvas, size_hw)
    picture, classes = canvas.developed()
    return Scene(lens.photograph(rng, picture, classes, light), classes)


def _camera(rng: np.random.Generator, size_hw: tuple[int, int]) -> Camera:
    """Behind a windscreen, about a car driver's height, with the horizon a little above the middle."""
    height, width = size_hw
    tall = rng.uniform(1.15, 1.7) if rng.random() < 0.85 else rng.uniform(1.7, 2.5)
    focal = width * rng.uniform(0.85, 1.2)
    centre = (width * rng.uniform(0.44, 0.56), height * rng.uniform(0.42, 0.54))
    return Camera(0.0, float(tall), float(rng.normal(0.01, 0.02)), float(focal), (float(centre[0]), float(centre[1])))


def _shadows(plan: Plan, light: Light) -> list[Array]:
    """The ground under each thing, and where the sun throws its outline; (n, 3) world points each."""
    throw = 1.0 / max(light.direction[2], 0.25)
    outlines = []
    for thing in plan.things:
        (left, right), (near, far) = thing.footprint.across, thing.footprint.along
        base = plan.road.world([(left, near, 0), (right, near, 0), (right, far, 0), (left, far, 0)])
        outlines.append(base)
        if light.sun > 0.15:
            moved = base - np.array(light.direction, dtype=np.float32) * np.float32(thing.height_m * throw)
            moved[:, 1] = np.maximum(moved[:, 1], 1.0)
            moved[:, 2] = 0
            outlines.append(np.concatenate([base, moved]))
    return outlines


def _bonnet(rng: np.random.Generator, canvas: Canvas, size_hw: tuple[int, int]) -> None:
    """The camera's own car along the lower edge; it has no class."""
    height, width = size_hw
    rise, middle = rng.uniform(0.04, 0.16) * height, width * rng.uniform(0.45, 0.55)
    across = np.linspace(-0.62, 0.62, 21)
    arch = np.clip(1 - np.abs(across / 0.6) ** rng.uniform(2.2, 5), 0, 1)
    tone = rng.uniform(0.05, 0.5) * rng.uniform(0.85, 1.15, 3)
    for layer in range(4):
        top = height - rise * arch * (1 - 0.18 * layer)
        outline = [
            *np.stack([middle + across * width, top], axis=1),
            (width * 1.2, height + 2),
            (-0.2 * width, height + 2),
        ]
        canvas.paint_flat(outline, np.clip(tone * (1.25 - 0.12 * layer), 0, 1), Kind.UNLABELLED)
