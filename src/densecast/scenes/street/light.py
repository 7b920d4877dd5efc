"""Street lighting by time of day and weather: brightness of each side of an object, and colour of the air."""

from dataclasses import dataclass

import numpy as np

from densecast.scenes.street.shape import Colour


@dataclass(frozen=True, slots=True)
class Light:
    """Gains multiply display colours; 1 leaves them as they are."""

    ambient: float
    sun: float
    direction: tuple[float, float, float]
    """Unit vector towards the sun in world axes: right, away from the camera, up"""
    sky_top: Colour
    sky_low: Colour
    clouds: float
    """0 clear .. 1 covered"""
    haze_m: float
    """The distance at which the air's colour makes up 63 per cent"""
    tint: Colour
    """Over the whole picture"""
    lamps: bool
    """Whether windows and lamps are lit"""

    def gain(self, normal: tuple[float, float, float]) -> float:
        """How bright a surface is; the sky lights what faces up more than what faces down."""
        facing = sum(n * d for n, d in zip(normal, self.direction, strict=True))
        return self.ambient * (0.85 + 0.15 * normal[2]) + self.sun * max(facing, 0.0)

    @property
    def shadow(self) -> float:
        """The share of light that stays in the shade."""
        return self.ambient / (self.ambient + self.sun * self.direction[2])


def make_light(rng: np.random.Generator) -> Light:
    """A clear or clouded day, a low warm sun, fog and rain, or dusk."""
    turn, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.25)
    ambient, sun, clouds = rng.uniform(0.55, 0.75), rng.uniform(0.25, 0.5), rng.uniform(0.0, 0.7)
    top = np.array([0.36, 0.56, 0.85]) * rng.uniform(0.75, 1.1)
    low = np.array([0.74, 0.82, 0.9]) * rng.uniform(0.85, 1.08)
    haze, tint, lamps = rng.uniform(150, 500), np.ones(3), False
    pick = rng.random()
    if pick < 0.3:
        ambient, sun, clouds = rng.uniform(0.7, 0.9), rng.uniform(0.0, 0.12), 1.0
        top = low = np.full(3, rng.uniform(0.62, 0.92)) * np.array([0.97, 1.0, 1.03])
        haze = rng.uniform(70, 300)
    elif pick < 0.48:
        rise = rng.uniform(0.12, 0.4)
        tint = np.array([1.12, 1.0, 0.82])
        low = np.array([0.95, 0.78, 0.55]) * rng.uniform(0.8, 1.05)
        top = np.array([0.45, 0.55, 0.75]) * rng.uniform(0.7, 1.0)
    elif pick < 0.6:
        ambient, sun, lamps = rng.uniform(0.3, 0.45), rng.uniform(0.0, 0.1), True
        low = np.array([0.5, 0.42, 0.45]) * rng.uniform(0.6, 1.1)
        top = np.array([0.16, 0.2, 0.34]) * rng.uniform(0.6, 1.2)
        tint = np.array([0.95, 0.95, 1.1])
    direction = (np.sin(turn) * np.cos(rise), np.cos(turn) * np.cos(rise), np.sin(rise))
    tint = tint * rng.uniform(0.93, 1.07, 3)
    return Light(
        ambient=float(ambient),
        sun=float(sun),
        direction=(float(direction[0]), float(direction[1]), float(direction[2])),
        sky_top=_colour(top),
        sky_low=_colour(low),
        clouds=float(clouds),
        haze_m=float(haze),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        lamps=lamps,
    )


def _colour(value: np.typing.NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(value, 0, 1).tolist()
    return red, green, blue
