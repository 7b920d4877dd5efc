"""Draws a person as solids on a depth canvas: trunk, limbs and clothing."""

import numpy as np

from densecast.scenes.mesh import Array
from densecast.scenes.people import head
from densecast.scenes.people.body import Body
from densecast.scenes.people.depth_canvas import DepthCanvas, Limb, LimbPaint
from densecast.scenes.people.outfit import Cloth, Outfit, limb_paint


def draw(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int) -> None:
    """Add the whole person; every sample of it is marked `owner`."""
    _trunk(canvas, body, outfit, owner)
    for side in (0, 1):
        _leg(canvas, body, outfit, owner, side)
        _arm(canvas, body, outfit, owner, side)
    head.neck(canvas, body, outfit, owner)
    head.draw(canvas, body, outfit, owner)


def slack_m(body: Body) -> Array:
    """(17,) how far in front of each key point the body's own surface may lie where nothing hides it."""
    tall, girth = body.build.stature_m, body.build.girth
    joints = np.repeat([0.052, 0.04, 0.035, 0.083 * girth, 0.052 * girth, 0.04], 2)
    face = np.repeat([0.012, 0.012, 0.022], (1, 2, 2))
    return (np.concatenate([face, joints]) * tall).astype(np.float32)


def _trunk(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int) -> None:
    build, left = body.build, body.trunk_frame[0]
    tall, loose = build.stature_m, outfit.loose
    up = body.trunk_frame[2] * np.float32(tall)
    waist = body.pelvis + up * np.float32(0.1)
    hip_half, waist_half = 0.088 * tall * build.girth, 0.076 * tall * build.girth * loose
    chest_half = 0.094 * tall * (0.6 * build.broad + 0.4 * build.girth) * loose
    deep = 0.62 * (0.75 + 0.25 * build.girth)
    top, bottom = limb_paint(outfit.top), limb_paint(outfit.bottom)
    hips = Limb((waist, body.pelvis - up * np.float32(0.015)), (waist_half, hip_half), body.hip_frame[0], deep, 0.35)
    canvas.limb(hips, limb_paint(outfit.top, outfit.bottom, 0.05 * tall), owner)
    chest = Limb((body.chest - up * np.float32(0.01), waist), (chest_half, waist_half), left, deep, 0.3)
    canvas.limb(chest, top, owner)
    yoke = 0.034 * tall * (0.5 + 0.5 * build.girth) * loose
    inner = (body.shoulders - body.chest) * np.float32(0.86) + body.chest
    canvas.limb(Limb((inner[0], inner[1]), (yoke, yoke), body.trunk_frame[2]), top, owner)
    for shoulder in inner:
        slope = Limb((body.chest + up * np.float32(0.035), shoulder), (0.028 * tall, yoke * 0.8), left)
        canvas.limb(slope, top, owner)
    upright = float((body.hips - body.knees)[:, 2].min()) > 0.15 * tall
    if upright and (outfit.skirt or outfit.long_top):
        hem = body.pelvis + (body.knees.mean(axis=0) - body.pelvis) * np.float32(0.95 if outfit.skirt else 0.55)
        spread = float(np.linalg.norm(body.knees[0] - body.knees[1])) / 2 + 0.055 * tall
        radii = (hip_half * 1.05, max(hip_half * 1.1, spread))
        canvas.limb(
            Limb((body.pelvis, hem), radii, body.hip_frame[0], 0.9, 0.12), bottom if outfit.skirt else top, owner
        )


def _leg(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int, side: int) -> None:
    tall, girth = body.build.stature_m, body.build.girth
    left = body.hip_frame[0]
    trousers = outfit.leg >= 1
    loose = outfit.loose if trousers else 1.0
    thigh_m, shin_m = _length(body.hips[side], body.knees[side]), _length(body.knees[side], body.ankles[side])
    thigh = Limb(
        (body.hips[side], body.knees[side]), (0.054 * tall * girth * outfit.loose, 0.034 * tall * girth * loose), left
    )
    shin = Limb(
        (body.knees[side], body.ankles[side]), (0.034 * tall * girth * loose, 0.023 * tall * girth * loose), left
    )
    hem_m = 2 * outfit.leg * thigh_m
    canvas.limb(thigh, _split(outfit.bottom, outfit.skin, hem_m, thigh_m), owner)
    canvas.limb(shin, limb_paint(outfit.bottom if trousers else outfit.skin, outfit.shoes, 0.92 * shin_m), owner)
    foot = Limb((body.ankles[side], body.toes[side]), (0.024 * tall, 0.02 * tall), left)
    canvas.limb(foot, limb_paint(outfit.shoes), owner)


def _arm(canvas: DepthCanvas, body: Body, outfit: Outfit, owner: int, side: int) -> None:
    tall, girth = body.build.stature_m, 0.5 + 0.5 * body.build.girth
    left = body.trunk_frame[0]
    upper_loose = outfit.loose if outfit.sleeve > 0 else 1.0
    fore_loose = outfit.loose if outfit.sleeve > 0.5 else 1.0
    upper_m, fore_m = _length(body.shoulders[side], body.elbows[side]), _length(body.elbows[side], body.wrists[side])
    upper = Limb(
        (body.shoulders[side], body.elbows[side]),
        (0.033 * tall * girth * upper_loose, 0.025 * tall * girth * upper_loose),
        left,
    )
    fore = Limb(
        (body.elbows[side], body.wrists[side]), (0.025 * tall * girth * fore_loose, 0.017 * tall * fore_loose), left
    )
    canvas.limb(upper, _split(outfit.top, outfit.skin, 2 * outfit.sleeve * upper_m, upper_m), owner)
    covered = max(outfit.sleeve - 0.5, 0) * 2 * fore_m
    canvas.limb(fore, _split(outfit.top, outfit.skin, covered, fore_m), owner)
    hand = Limb((body.wrists[side], body.hands[side]), (0.017 * tall, 0.02 * tall), left, 0.7)
    canvas.limb(hand, limb_paint(outfit.skin), owner)


def _split(cloth: Cloth, skin: Cloth, covered_m: float, length_m: float) -> LimbPaint:
    """Cloth as far as it covers the limb, skin beyond."""
    if covered_m <= 0:
        return limb_paint(skin)
    return limb_paint(cloth) if covered_m >= length_m else limb_paint(cloth, skin, covered_m)


def _length(start: Array, end: Array) -> float:
    return float(np.linalg.norm(end - start))
