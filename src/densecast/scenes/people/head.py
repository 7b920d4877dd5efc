"""Draws a head whose features show where nose, eyes and ears are: face, hair, cap, beard, glasses."""

import numpy as np

from densecast.scenes.mesh import Array
from densecast.scenes.people.body import Body
from densecast.scenes.people.depth_canvas import BallPaint, DepthCanvas, Limb
from densecast.scenes.people.outfit import Outfit, limb_paint

_LIPS = np.array([0.8, 0.45, 0.45], dtype=np.float32)
_EYE_WHITE, _IRIS, _FRAME = np.float32(0.7), np.float32(0.02), np.float32(0.03)


def draw(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int) -> None:
    """Add head, nose, ears and what is worn on the head; the neck is the trunk's."""
    canvas.ball(body.head, body.head_frame, body.head_radii, _face(outfit), owner)
    skin = _even(outfit.skin.colour)
    canvas.ball(body.on_head(0, 1.0, -0.15), body.head_frame, body.head_radii * _vector(0.17, 0.22, 0.2), skin, owner)
    for side in (1.0, -1.0):
        covered = outfit.hair_style == "long"
        ear = _even(outfit.hair if covered else outfit.skin.colour * np.float32(0.85))
        place = body.on_head(side * 1.0, -0.08, -0.02)
        canvas.ball(place, body.head_frame, body.head_radii * _vector(0.14, 0.22, 0.28), ear, owner)
    _worn(canvas, body, outfit, owner)


def _worn(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int) -> None:
    hair = _strands(outfit.hair)
    radii = body.head_radii
    if outfit.hair_style == "long":
        fall = body.on_head(0, -0.55, -1.5)
        width = float(radii[0])
        limb = Limb((body.on_head(0, -0.35, 0.2), fall), (width * 0.98, width * 0.8), body.head_frame[0], 0.65)
        canvas.limb(limb, lambda along, around: hair(np.stack([around, along * 9, along])), owner)
    elif outfit.hair_style == "bun":
        canvas.ball(body.on_head(0, -0.75, 0.75), body.head_frame, radii * np.float32(0.42), hair, owner)
    elif outfit.hair_style == "cap":
        cap = _even(outfit.cap)
        canvas.ball(
            body.on_head(0, -0.02, 0.3), body.head_frame, radii * _vector(1.06, 1.04, 0.8), _upper(cap, hair), owner
        )
        canvas.ball(body.on_head(0, 1.05, 0.42), body.head_frame, radii * _vector(0.7, 0.55, 0.08), cap, owner)
    if outfit.hair_style in ("short", "bun"):
        canvas.ball(body.on_head(0, -0.14, 0.16), body.head_frame, radii * _vector(1.03, 1.0, 0.97), hair, owner)


def neck(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int) -> None:
    """From between the shoulders into the head."""
    thick = 0.029 * body.build.stature_m
    limb = Limb((body.chest, body.head), (thick * 1.15, thick), body.trunk_frame[0])
    canvas.limb(limb, limb_paint(outfit.skin), owner)


def _face(outfit: Outfit) -> BallPaint:
    """Face and hairline on the unit sphere (left, front, up)."""

    def paint(sphere: Array) -> Array:
        left, front, up = sphere
        side = np.abs(left)
        colour = np.broadcast_to(outfit.skin.colour, (len(left), 3)).copy()
        face = front > 0.25
        if outfit.beard:
            colour[(up < -0.3) & (front > -0.1)] = outfit.hair * np.float32(1.3)
        colour[face & (np.abs(up + 0.53) < 0.055) & (side < 0.26)] = outfit.skin.colour * _LIPS
        colour[face & (np.abs(up - 0.31) < 0.05) & (np.abs(side - 0.4) < 0.2)] = outfit.hair
        away = np.hypot((side - 0.4) / 0.19, (up - 0.1) / 0.12)
        if outfit.glasses:
            colour[face & (away > 1.05) & (away < 1.6) & (side < 0.75)] = _FRAME
            colour[(np.abs(up - 0.12) < 0.03) & (front > 0) & (side > 0.7)] = _FRAME
        colour[face & (away < 1)] = _EYE_WHITE
        colour[face & (np.hypot(side - 0.4, up - 0.1) < 0.11)] = _IRIS
        if outfit.hair_style != "none":
            scalp = (up > 0.62 - 0.5 * np.clip(-front, -0.4, 1)) | ((front < -0.15) & (up > -0.55))
            colour[scalp] = _strands(outfit.hair)(sphere[:, scalp])
        return colour

    return paint


def _upper(cap: BallPaint, hair: BallPaint) -> BallPaint:
    def paint(sphere: Array) -> Array:
        return np.where((sphere[2] > -0.35)[:, None], cap(sphere), hair(sphere))

    return paint


def _strands(colour: Array) -> BallPaint:
    """Hair: light and dark along the strands."""

    def paint(sphere: Array) -> Array:
        light = np.float32(1) + np.float32(0.45) * np.sin(sphere[0] * 17 + 3 * np.sin(sphere[1] * 6))
        painted: Array = light[:, None] * colour
        return painted

    return paint


def _even(colour: Array) -> BallPaint:
    def paint(sphere: Array) -> Array:
        return np.broadcast_to(colour, (sphere.shape[1], 3))

    return paint


def _vector(left: float, front: float, up: float) -> Array:
    return np.array([left, front, up], dtype=np.float32)
