"""Draws the background behind the turntable: a studio wall with signs, or a street with houses and trees."""

import numpy as np

from densecast.scenes import drawing
from densecast.scenes.mesh import Array
from densecast.scenes.noise import fractal, value_noise


def studio(rng: np.random.Generator, size_hw: tuple[int, int], tone: Array) -> Array:
    """Indoors: a wall with a glow, panels or bricks, stripes of light, large signs."""
    height, width = size_hw
    glow = value_noise(rng, size_hw, (1, int(rng.integers(1, 4)))) * rng.uniform(0.2, 0.7) + rng.uniform(0.5, 0.9)
    grain = fractal(rng, size_hw, (4, 8), 4)
    wall = tone * (glow * (0.86 + 0.28 * grain))[..., None]
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    style = rng.random()
    if style < 0.35:
        pitch = rng.uniform(30, 190)
        joint = ((columns + rng.uniform(0, 90)) % pitch < 2) | ((height - rows) % (pitch * rng.uniform(0.4, 1.5)) < 2)
        wall[joint] *= rng.uniform(0.5, 0.85)
    elif style < 0.6:
        pitch_h, pitch_w = rng.uniform(9, 26), rng.uniform(24, 70)
        course = (rows // pitch_h).astype(np.int32)
        shift = (course % 2) * pitch_w / 2
        joint = (rows % pitch_h < 1.6) | ((columns + shift) % pitch_w < 1.6)
        tint = value_noise(rng, size_hw, (max(2, int(height / pitch_h)), max(2, int(width / pitch_w))))
        wall *= (0.8 + 0.4 * tint)[..., None]
        wall[joint] *= rng.uniform(0.6, 1.3)
    if rng.random() < 0.6:
        _signs(rng, wall, tone)
    if rng.random() < 0.4:
        top = int(height * rng.uniform(0.02, 0.3))
        wall[top : top + int(rng.integers(3, 14))] += np.float32(rng.uniform(0.2, 0.7))
    return wall


def _signs(rng: np.random.Generator, wall: Array, tone: Array) -> None:
    """Large invented letters in one row: strokes and rings."""
    height, width = wall.shape[:2]
    ink = tone * rng.uniform(0.25, 0.6) if tone.mean() > 0.3 else tone + rng.uniform(0.2, 0.5)
    tall = height * rng.uniform(0.25, 0.5)
    base, x = height * rng.uniform(0.6, 0.98), rng.uniform(-40, 80)
    stroke = max(2, int(tall * rng.uniform(0.06, 0.16)))
    lines = []
    while x < width:
        broad = tall * rng.uniform(0.5, 0.9)
        corners = np.array([[0, 0], [0, -tall], [broad, 0], [broad, -tall], [broad / 2, -tall / 2]])
        corners += (x, base)
        if rng.random() < 0.25:
            turn = np.linspace(rng.uniform(0, 1.6), 6.1, 20)
            lines.append(corners[4] + np.stack([broad * np.cos(turn), tall * np.sin(turn)], axis=1) / 2)
        for _ in range(int(rng.integers(2, 4))):
            lines.append(corners[rng.choice(5, 2, replace=False)])
        x += broad + tall * rng.uniform(0.15, 0.4)
    drawing.strokes(wall, lines, ink, stroke)


def street(rng: np.random.Generator, size_hw: tuple[int, int], tone: Array) -> Array:
    """Outdoors: sky with clouds, then houses with windows, or trees and hedges."""
    height, width = size_hw
    fall = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    blue = np.array([0.28, 0.42, 0.68], dtype=np.float32) * rng.uniform(0.6, 1.1)
    haze = np.array([0.66, 0.68, 0.7], dtype=np.float32) * rng.uniform(0.5, 1.2)
    sky = blue * fall + haze * (1 - fall)
    cloud = np.clip(fractal(rng, size_hw, (2, 3), 4) * 2.4 - rng.uniform(0.6, 1.4), 0, 1)[..., None]
    sky = sky * (1 - cloud) + np.float32(rng.uniform(0.5, 0.85)) * cloud
    x = int(rng.integers(-120, 0))
    while x < width:
        broad = int(rng.integers(90, 320))
        if rng.random() < 0.5:
            _house(rng, sky, x, broad, tone)
        else:
            _trees(rng, sky, x, broad + 60)
        x += broad + int(rng.integers(-30, 60))
    picture: Array = sky.astype(np.float32)
    return picture


def _house(rng: np.random.Generator, sky: Array, x: int, broad: int, tone: Array) -> None:
    height, width = sky.shape[:2]
    left, right, top = max(x, 0), min(x + broad, width), int(height * rng.uniform(0, 0.55))
    if right - left < 8 or height - top < 8:
        return
    front = (
        tone * rng.uniform(0.5, 1.3)
        if rng.random() < 0.4
        else np.full(3, rng.uniform(0.1, 0.6)) * rng.uniform(0.8, 1.2, 3)
    )
    rows, columns = np.arange(top, height)[:, None] - top, np.arange(left, right)[None] - x
    face = np.broadcast_to(front.astype(np.float32), (height - top, right - left, 3)).copy()
    pitch_h, pitch_w = rng.uniform(28, 70), rng.uniform(24, 60)
    pane = ((rows % pitch_h) / pitch_h > 0.45) & ((columns % pitch_w) / pitch_w > 0.5) & (rows > 8)
    face[pane] = np.array([0.1, 0.13, 0.17]) * rng.uniform(0.4, 3.0)
    face *= (0.8 + 0.4 * fractal(rng, face.shape[:2], (6, 6), 3))[..., None]
    sky[top:, left:right] = face


def _trees(rng: np.random.Generator, sky: Array, x: int, broad: int) -> None:
    height, width = sky.shape[:2]
    left, right = max(x, 0), min(x + broad, width)
    if right - left < 8:
        return
    size = (height, right - left)
    leaves = fractal(rng, size, (6, max(3, size[1] // 24)), 5, gain=0.7)
    across = (np.arange(left, right, dtype=np.float32)[None] - x) / broad
    crown = 1 - rng.uniform(0.5, 1.0) * np.sqrt(np.clip(4 * across * (1 - across), 0, 1))
    rows = np.arange(height, dtype=np.float32)[:, None] / height
    there = rows + 0.45 * (leaves - 0.5) > crown
    green = np.array([0.12, 0.2, 0.06]) * rng.uniform(0.5, 1.4) * rng.uniform(0.75, 1.25, 3)
    sky[:, left:right][there] = (green * (0.2 + 1.6 * leaves[..., None] ** 1.5)).astype(np.float32)[there]
