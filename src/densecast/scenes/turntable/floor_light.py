"""Effects of a car on the floor: soft shadows and, on a polished floor, reflections."""

import numpy as np

from densecast.scenes import raster
from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array, Mesh, point
from densecast.scenes.stage import Stage
from densecast.scenes.turntable import shape
from densecast.scenes.turntable.paint import Light


def cast_shadow(
    picture: Array, rng: np.random.Generator, car: Mesh, azimuth: float, camera: Camera, light: Light
) -> None:
    """Darken the floor: a soft dark under the car, and the shape that the sun throws."""
    import cv2

    size_hw = (picture.shape[0] // 2, picture.shape[1] // 2)
    points = raster.turned(car.corners[::3, 0], azimuth)
    low = points[points[:, 2] < 0.5] * point(1, 1, 0)
    drop = light.sun_direction / max(float(light.sun_direction[2]), 0.3)
    thrown = points - points[:, 2:] * drop
    dark = np.zeros(size_hw, dtype=np.float32)
    for ground_points, depth, blur in (
        (thrown, float(light.sun.mean()) * rng.uniform(0.2, 0.55), 2.5),
        (low, rng.uniform(0.5, 0.85), 7.0),
    ):
        layer = np.zeros(size_hw, dtype=np.float32)
        xy, _ = camera.project(ground_points.astype(np.float32))
        hull = cv2.convexHull(np.rint(xy / 2).astype(np.int32))
        cv2.fillConvexPoly(layer, hull, min(depth, 0.85))
        scale = picture.shape[0] / 640
        dark = np.maximum(dark, cv2.GaussianBlur(layer, (0, 0), max(0.5, blur * scale)))
    factor = 1 - cv2.resize(dark, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    picture *= factor[..., None]


def mirror(picture: Array, car: Mesh, paint: Array, azimuth: float, camera: Camera, ground: Stage) -> None:
    """Add the car's dim mirror image to a polished floor."""
    import cv2

    flip = point(1, 1, -1)
    below = Mesh(car.corners * flip, car.normals * flip, car.part)
    tones = np.full((len(shape.Part), 3), 0.03, dtype=np.float32)
    tones[shape.Part.BODY] = tones[shape.Part.PAINTED_TRIM] = paint
    tones[shape.Part.RIM] = 0.3
    glass = (car.corners[..., 2].mean(axis=1) > 0.95)[:, None]
    colour = np.where(glass, np.float32(0.05), tones[car.part]) * np.float32(0.8)
    small = (picture.shape[0] // 2, picture.shape[1] // 2)
    half = camera.enlarged(0.5)
    layer = raster.silhouette(below, azimuth, half, colour, small)
    layer = cv2.resize(
        cv2.GaussianBlur(layer, (0, 0), 1.2),
        (picture.shape[1], picture.shape[0]),
        interpolation=cv2.INTER_LINEAR,
    )
    share = layer[..., 3:] * np.float32(ground.glossy)
    share[: ground.floor_from_row] = 0
    picture *= 1 - share
    picture += layer[..., :3] * np.float32(ground.glossy) * (share > 0)
