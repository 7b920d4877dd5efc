"""Vehicle bodies: a side profile extruded to a width, painted face by face."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densecast.scenes.mesh import Array
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Shape, filled, shaded

Point = tuple[float, float]
"""Metres forwards and up"""


@dataclass(frozen=True, slots=True)
class Body:
    """A profile drawn out across; local axes are the pose's."""

    profile: tuple[Point, ...]
    """From the lower rear corner over the roof to the lower front corner"""
    half_widths_m: tuple[float, ...]
    """At each corner of the profile"""
    colours: tuple[Colour, ...]
    """Of each face between neighbouring corners of the profile, rear to front"""
    side: Colour
    kind: Kind

    def half_width(self, up: float) -> float:
        """Half of the width at a height, metres."""
        heights = np.array([z for _, z in self.profile])
        order = np.argsort(heights, kind="stable")
        return float(np.interp(up, heights[order], np.array(self.half_widths_m)[order]))

    def sees_left(self, pose: Pose) -> bool:
        """Whether the camera sees the left side."""
        return pose.eye[0] < -max(self.half_widths_m)

    def sees_right(self, pose: Pose) -> bool:
        """Whether the camera sees the right side."""
        return pose.eye[0] > max(self.half_widths_m)

    def faces(self, pose: Pose) -> list[Shape]:
        """What the camera sees of the body, far faces first, in local metres."""
        _, eye_along, eye_up = pose.eye
        found: list[tuple[float, Shape]] = []
        for index, colour in enumerate(self.colours):
            (back, low), (front, high) = self.profile[index], self.profile[index + 1]
            half_back, half_front = self.half_widths_m[index], self.half_widths_m[index + 1]
            normal = (low - high, front - back)
            middle = ((back + front) / 2, (low + high) / 2)
            to_eye = (eye_along - middle[0], eye_up - middle[1])
            if normal[0] * to_eye[0] + normal[1] * to_eye[1] <= 0:
                continue
            length = float(np.hypot(*normal)) + 1e-6
            gain = pose.gain((0.0, normal[0] / length, normal[1] / length))
            corners = [
                (-half_back, back, low),
                (half_back, back, low),
                (half_front, front, high),
                (-half_front, front, high),
            ]
            found.append((float(np.hypot(*to_eye)), filled(corners, shaded(colour, gain), self.kind)))
        found.sort(key=lambda pair: -pair[0])
        shapes = [shape for _, shape in found]
        for sign, seen in ((-1, self.sees_left(pose)), (1, self.sees_right(pose))):
            if seen:
                gain = pose.gain((float(sign), 0.0, 0.0))
                corners = [
                    (sign * half, along, up) for (along, up), half in zip(self.profile, self.half_widths_m, strict=True)
                ]
                shapes.append(filled(corners, shaded(self.side, gain), self.kind))
        return shapes

    def on_side(self, pose: Pose, outlines: Sequence[Sequence[Point]], colour: Colour) -> list[Shape]:
        """Polygons of (forwards, up) on the side that the camera sees; nothing when it sees neither."""
        sign = self._seen_side(pose)
        if sign == 0:
            return []
        gain = pose.gain((float(sign), 0.0, 0.0))
        return [
            filled(
                [(sign * (self.half_width(up) + 0.01), along, up) for along, up in outline],
                shaded(colour, gain),
                self.kind,
            )
            for outline in outlines
        ]

    def wheels(self, pose: Pose, places_m: Sequence[float], radius_m: float) -> list[Shape]:
        """Tyres and rims on the side that the camera sees; nothing when it sees neither."""
        sign = self._seen_side(pose)
        if sign == 0:
            return []
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        shapes = []
        half = self.half_widths_m[0] + 0.015
        for radius, colour in ((radius_m, (0.06, 0.06, 0.07)), (0.6 * radius_m, (0.5, 0.5, 0.53))):
            circle = np.stack([0 * turn + sign * half, radius * np.cos(turn), radius_m + radius * np.sin(turn)], axis=1)
            all_wheels: Array = (circle[None] + np.array([[[0, place, 0]] for place in places_m])).astype(np.float32)
            shapes.append(filled(all_wheels, shaded(colour, pose.gain((float(sign), 0.0, 0.0))), self.kind))
        return shapes

    def underside(self, pose: Pose, places_m: Sequence[float], clearance_m: float) -> list[Shape]:
        """Dark tyres seen under the body from the front or the rear; to be painted before it."""
        half, shapes = self.half_widths_m[0], []
        dark = (0.05, 0.05, 0.055)
        low, high = 0.0, clearance_m + 0.12
        for place in sorted(places_m, key=lambda p: -abs(p - pose.eye[1])):
            for inner, outer in ((-half, -half + 0.22), (half - 0.22, half)):
                corners = [(inner, place, low), (outer, place, low), (outer, place, high), (inner, place, high)]
                shapes.append(filled(corners, dark, self.kind))
        return shapes

    def on_end(
        self,
        pose: Pose,
        quads: Sequence[tuple[float, float, float, float]],
        colour: Colour,
        *,
        rear: bool,
        glowing: bool = False,
    ) -> list[Shape]:
        """Rectangles (left, right, bottom, top) a little off the rear or front end; nothing when it faces away."""
        along = min(a for a, _ in self.profile) - 0.02 if rear else max(a for a, _ in self.profile) + 0.02
        if (pose.eye[1] < along) != rear:
            return []
        gain = 1.0 if glowing else pose.gain((0.0, -1.0 if rear else 1.0, 0.0))
        corners = np.array(
            [
                [(left, along, low), (right, along, low), (right, along, top), (left, along, top)]
                for left, right, low, top in quads
            ]
        )
        return [filled(corners, shaded(colour, gain), self.kind)]

    def _seen_side(self, pose: Pose) -> int:
        return -1 if self.sees_left(pose) else int(self.sees_right(pose))
