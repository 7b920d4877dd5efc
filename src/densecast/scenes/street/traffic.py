"""Traffic: vehicles in lanes and at the kerb, pedestrians and riders."""

import itertools

import numpy as np

from densecast.scenes.street import cars, cycles, large_vehicles, people
from densecast.scenes.street.layout import Plan
from densecast.scenes.street.shape import Thing

_LANES = ("car", "truck", "bus", "motorcycle", "bicycle")
_LANE_SHARES = (0.5, 0.12, 0.1, 0.15, 0.13)


def fill_lanes(plan: Plan) -> None:
    """Trams on their tracks, then traffic both ways, then parked vehicles."""
    rng, road = plan.rng, plan.road
    for index, middle in enumerate(road.rails_m):
        if rng.random() < 0.6:
            heading = np.pi if index == 0 and middle < road.centre_line_m else 0.0
            tram = large_vehicles.make_tram(rng, plan.pose(middle, rng.uniform(14, 50), heading))
            if all(not part.footprint.meets(other) for part in tram for other in plan.taken):
                for part in tram:
                    plan.stand(part, 0.0)
    edges = [road.kerbs_m[0] + 0.2, *sorted([*road.lane_lines_m, road.centre_line_m]), road.kerbs_m[1] - 0.2]
    busy = rng.uniform(0.2, 1.0)
    for left, right in itertools.pairwise(edges):
        if right - left < 2.4:
            continue
        # A lane beside the kerb is wider by the parking strip; traffic keeps to the side of the centre line.
        half = min(right - left, 3.4) / 2
        middle = right - half if left < road.centre_line_m else left + half
        heading = np.pi if middle < road.centre_line_m else 0.0
        along = rng.uniform(7, 26)
        while along < min(road.end_m, 95):
            if rng.random() < busy:
                across = middle + rng.normal(0, 0.15)
                plan.stand(_vehicle(plan, across, along, heading + rng.normal(0, 0.02)), 0.4)
            along += rng.uniform(7, 22)
    _park(plan)
    if road.crossing_m and rng.random() < 0.5:
        along = float(np.mean(road.crossing_m))
        turn = np.pi / 2 if rng.random() < 0.5 else -np.pi / 2
        plan.stand(_vehicle(plan, rng.uniform(*road.kerbs_m), along, turn + rng.normal(0, 0.2)), 0.3)


def _vehicle(plan: Plan, across: float, along: float, heading: float) -> Thing:
    rng = plan.rng
    kind = str(rng.choice(_LANES, p=_LANE_SHARES))
    pose = plan.pose(across, along + (6.5 if kind in ("truck", "bus") else 0.0), heading)
    if kind == "truck":
        return large_vehicles.make_truck(rng, pose)
    if kind == "bus":
        return large_vehicles.make_bus(rng, pose)
    if kind == "motorcycle":
        return cycles.make_motorcycle(rng, pose, ridden=True)
    if kind == "bicycle":
        return cycles.make_bicycle(rng, plan.pose(across + 0.8 * np.cos(heading), along, heading), ridden=True)
    return cars.make(rng, pose)


def _park(plan: Plan) -> None:
    """Rows of parked cars along the kerbs, with a delivery truck or a motorcycle among them."""
    rng, road = plan.rng, plan.road
    for side in (-1, 1):
        if rng.random() < 0.45:
            continue
        kerb = road.kerbs_m[0] if side < 0 else road.kerbs_m[1]
        along, dense = rng.uniform(6, 12), rng.uniform(0.3, 0.95)
        while along < min(road.end_m, 80):
            at_corner = road.crossing_m and road.crossing_m[0] - 6 < along < road.crossing_m[1] + 5
            if rng.random() < dense and not at_corner:
                heading = (0.0 if side > 0 or rng.random() < 0.5 else np.pi) + rng.normal(0, 0.02)
                pick = rng.random()
                pose = plan.pose(kerb - side * rng.uniform(1.0, 1.15), along, heading)
                if pick < 0.76:
                    plan.stand(cars.make(rng, pose), 0.15)
                elif pick < 0.93:
                    plan.stand(cycles.make_motorcycle(rng, pose, ridden=False))
                else:
                    pose = plan.pose(kerb - side * 1.4, along + 4, heading)
                    plan.stand(large_vehicles.make_truck(rng, pose), 0.2)
            along += rng.uniform(5.2, 6.5)


def fill_sidewalks(plan: Plan) -> None:
    """People on the sidewalks and crossing, parked bicycles, riders at the kerb and on the road."""
    road = plan.road
    left = (road.fronts_m[0] + 0.4, road.kerbs_m[0] - road.verge_m - 0.5)
    right = (road.kerbs_m[1] + road.verge_m + 0.5, road.fronts_m[1] - 0.4)
    for span in (left, right):
        _walk(plan, span)
        if plan.rng.random() < 0.55:
            _park_bicycles(plan, span)
    if plan.rng.random() < 0.4:
        _cross(plan)
    _ride(plan)


def _walk(plan: Plan, span: tuple[float, float]) -> None:
    """Single people and groups of up to three side by side."""
    rng = plan.rng
    for _ in range(int(rng.poisson(3.0))):
        along = float(rng.uniform(5, 12) + rng.exponential(14))
        heading = rng.choice([0.0, np.pi]) + rng.normal(0, 0.3)
        group = int(rng.integers(1, 4)) if rng.random() < 0.25 else 1
        across = float(rng.uniform(*span))
        for member in range(group):
            plan.stand(people.make_walker(rng, plan.pose(across + 0.6 * member, along, heading)), 0.05)


def _park_bicycles(plan: Plan, span: tuple[float, float]) -> None:
    """A row at the house fronts or at the kerb, so close together that they hide each other."""
    rng = plan.rng
    along = float(rng.uniform(5, 24))
    across, turn = float(rng.choice(span)), rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.3)
    for index in range(int(rng.integers(1, 6))):
        pose = plan.pose(across, along + 0.75 * index, turn)
        plan.stand(cycles.make_bicycle(rng, pose, ridden=False), -0.3)


def _cross(plan: Plan) -> None:
    """People crossing the road, at the zebra where there is a side street."""
    rng, road = plan.rng, plan.road
    base = road.crossing_m[0] - 2.7 if road.crossing_m else rng.uniform(8, 35)
    for _ in range(int(rng.integers(1, 5))):
        heading = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.2)
        pose = plan.pose(float(rng.uniform(*road.kerbs_m)), base + rng.uniform(-1.2, 1.2), heading)
        plan.stand(people.make_walker(rng, pose), 0.1)


def _ride(plan: Plan) -> None:
    """A bicycle at the kerb, and somebody on two wheels who goes anywhere in any direction."""
    rng, road = plan.rng, plan.road
    if rng.random() < 0.6:
        side = float(rng.choice([-1, 1]))
        kerb = road.kerbs_m[0] if side < 0 else road.kerbs_m[1]
        pose = plan.pose(kerb - side * 0.8, rng.uniform(5, 20), 0.0 if side > 0 else np.pi)
        plan.stand(cycles.make_bicycle(rng, pose, ridden=True), 0.05)
    if rng.random() < 0.35:
        pose = plan.pose(rng.uniform(*road.kerbs_m), rng.uniform(7, 20), rng.uniform(-np.pi, np.pi))
        make = cycles.make_bicycle if rng.random() < 0.6 else cycles.make_motorcycle
        plan.stand(make(rng, pose, ridden=True), 0.05)
