"""Street layout: cross-section, and the objects placed along it."""

from dataclasses import dataclass, field

import numpy as np

from densecast.scenes.street import barriers, buildings, furniture, plants
from densecast.scenes.street.light import Light
from densecast.scenes.street.road import Pose, Road
from densecast.scenes.street.shape import Footprint, Thing

NEAREST_M = 3.5
"""Nothing starts nearer to the camera than this"""


@dataclass(slots=True)
class Plan:
    """A street that is being filled."""

    rng: np.random.Generator
    road: Road
    light: Light
    eye_height_m: float
    things: list[Thing] = field(default_factory=list)
    taken: list[Footprint] = field(default_factory=list)

    def pose(self, across: float, along: float, heading_rad: float = 0.0) -> Pose:
        """A pose on this street."""
        return Pose(self.road, self.light, across, along, heading_rad, self.eye_height_m)

    def stand(self, thing: Thing, margin_m: float = 0.1) -> bool:
        """Add a thing where nothing stands yet; whether it fitted."""
        place = thing.footprint.grown(margin_m)
        if thing.footprint.along[0] < NEAREST_M or any(place.meets(other) for other in self.taken):
            return False
        self.taken.append(thing.footprint)
        self.things.append(thing)
        return True


def make_road(rng: np.random.Generator) -> Road:
    """One or two lanes each way, with or without parking, verges, a side street and tram tracks."""
    lane = rng.uniform(2.9, 3.6)
    mine = rng.uniform(-0.35, 0.35)
    right_lanes, left_lanes = int(rng.integers(1, 3)) - 1, int(rng.integers(1, 3))
    tram = rng.random() < 0.3
    centre = mine - lane / 2
    lines = tuple(centre - lane * i for i in range(1, left_lanes)) + tuple(
        centre + lane * i for i in range(1, right_lanes + 1)
    )
    right = mine + lane / 2 + right_lanes * lane + float(rng.choice([0.2, 2.2]))
    left = centre - left_lanes * lane - float(rng.choice([0.2, 2.2]))
    rails: tuple[float, ...] = ()
    if tram:
        rails = (centre - lane / 2,) if rng.random() < 0.6 else (centre - lane / 2, mine)
    verge = float(rng.uniform(0.7, 2.0)) if rng.random() < 0.35 else 0.0
    near = rng.uniform(14, 60)
    return Road(
        slope=float(rng.normal(0, 0.03)),
        bend_per_m=float(rng.normal(0, 0.0012)),
        kerbs_m=(float(left), float(right)),
        fronts_m=(float(left - verge - rng.uniform(1.8, 6.0)), float(right + verge + rng.uniform(1.8, 6.0))),
        lane_lines_m=tuple(float(line) for line in lines),
        centre_line_m=float(centre),
        verge_m=verge,
        crossing_m=(float(near), float(near + rng.uniform(6, 11))) if rng.random() < 0.4 else None,
        rails_m=tuple(float(r) for r in rails),
        end_m=float(rng.uniform(60, 150)),
    )


def fill_plots(plan: Plan) -> None:
    """Both sides beyond the sidewalks: houses, walls, fences, hedges and grass with trees, to the street's end."""
    rng, road = plan.rng, plan.road
    urban = rng.random()
    for side in (-1, 1):
        front = road.fronts_m[0] if side < 0 else road.fronts_m[1]
        along = NEAREST_M + rng.uniform(0, 3)
        tall = rng.uniform(7, 18)
        while along < road.end_m:
            if road.crossing_m and road.crossing_m[0] - 2 < along < road.crossing_m[1] + 2:
                along = road.crossing_m[1] + 2
            house = rng.random() < 0.15 + 0.65 * urban
            length = rng.uniform(8, 22) if house else rng.uniform(5, 12)
            if road.crossing_m and along < road.crossing_m[0]:
                length = min(length, road.crossing_m[0] - 1.5 - along)
            if length < 2:
                along = road.crossing_m[1] + 2 if road.crossing_m else along + 2
                continue
            stretch = (along, along + length)
            if house:
                tall = float(np.clip(tall + rng.normal(0, 2.5), 4.5, 24))
                setback = 0.0 if urban > 0.4 else rng.uniform(2, 7)
                place = front + side * setback
                plan.things.append(buildings.make(rng, road, plan.light, side, place, stretch, tall))
                if setback:
                    _boundary(plan, side, front, stretch)
            else:
                _boundary(plan, side, front, stretch)
                _garden(plan, side, front, stretch)
            along += length + (0.02 if house and rng.random() < 0.7 else rng.uniform(0.3, 3))
    _close(plan)


def _boundary(plan: Plan, side: int, front: float, along: tuple[float, float]) -> None:
    """A wall, a fence, a hedge or nothing between sidewalk and plot."""
    pick, rng = plan.rng.random(), plan.rng
    if pick < 0.3:
        plan.things.append(barriers.make_wall(rng, plan.road, plan.light, side, front, along))
    elif pick < 0.68:
        plan.things.append(barriers.make_fence(rng, plan.road, plan.light, side, front, along))
    elif pick < 0.85:
        middle, length = sum(along) / 2, along[1] - along[0]
        hedge = plants.make_bush(rng, plan.pose(front + side * 0.5, middle), length, rng.uniform(0.8, 2.2))
        plan.things.append(hedge)


def _garden(plan: Plan, side: int, front: float, along: tuple[float, float]) -> None:
    """Trees and bushes behind the boundary."""
    rng = plan.rng
    for _ in range(int(rng.integers(0, 3))):
        across, place = front + side * rng.uniform(2.5, 8), rng.uniform(*along)
        plan.things.append(plants.make_tree(rng, plan.pose(across, place), rng.uniform(4, 12)))
    if rng.random() < 0.3:
        across, place = front + side * rng.uniform(1.5, 4), rng.uniform(*along)
        plan.things.append(plants.make_bush(rng, plan.pose(across, place), 2.0, rng.uniform(0.7, 1.8), 1.5))


def _close(plan: Plan) -> None:
    """What one sees beyond the end: houses across, or trees along the horizon."""
    rng, road = plan.rng, plan.road
    end = road.end_m + 12
    if rng.random() < 0.4:
        left = -end * 0.6
        while left < end * 0.6:
            broad = rng.uniform(10, 24)
            plan.things.append(buildings.make_terminal(rng, road, plan.light, (left, left + broad), end))
            left += broad + (0.0 if rng.random() < 0.7 else rng.uniform(2, 8))
    for _ in range(int(rng.integers(3, 14))):
        pose = plan.pose(float(rng.normal(0, end * 0.3)), end + rng.uniform(-4, 12))
        plan.things.append(plants.make_tree(rng, pose, rng.uniform(6, 16)))


def fill_kerbs(plan: Plan) -> None:
    """Along both kerbs: lamps and trees in rows, posts, signs, signals at the side street, odds and ends."""
    rng, road = plan.rng, plan.road
    for side in (-1, 1):
        kerb = road.kerbs_m[0] if side < 0 else road.kerbs_m[1]
        line = kerb + side * rng.uniform(0.35, 0.7)
        pitch, start = rng.uniform(14, 28), rng.uniform(4, 20)
        if rng.random() < 0.8:
            for along in np.arange(start, min(road.end_m, 110), pitch):
                plan.stand(furniture.make_lamp(rng, plan.pose(line, float(along)), -side))
        if rng.random() < 0.4:
            row = kerb + side * (road.verge_m / 2 if road.verge_m else rng.uniform(0.8, 1.2))
            tall, pitch = rng.uniform(4.5, 9), rng.uniform(7, 14)
            for along in np.arange(rng.uniform(6, 16), min(road.end_m, 90), pitch):
                plan.stand(plants.make_tree(rng, plan.pose(row, float(along)), tall * rng.uniform(0.85, 1.15)), 0.0)
        if road.crossing_m:
            for along in (road.crossing_m[0] - 1.0, road.crossing_m[1] + 1.0):
                if rng.random() < 0.75:
                    plan.stand(furniture.make_traffic_light(rng, plan.pose(line, along), -side))
        for _ in range(int(rng.integers(1, 6))):
            along = float(rng.uniform(5, 8) + rng.exponential(16))
            if not (road.crossing_m and road.crossing_m[0] < along < road.crossing_m[1]):
                plan.stand(_piece(plan, line, along, side))


def _piece(plan: Plan, across: float, along: float, side: int) -> Thing:
    pick, rng = plan.rng.random(), plan.rng
    if pick < 0.42:
        return furniture.make_sign(rng, plan.pose(across, along))
    if pick < 0.72:
        return furniture.make_post(rng, plan.pose(across, along))
    if pick < 0.86:
        return furniture.make_traffic_light(rng, plan.pose(across, along), -side)
    return furniture.make_oddment(rng, plan.pose(across + side * 0.5, along))
