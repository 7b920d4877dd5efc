"""The nineteen classes that Cityscapes trains on, by train id."""

from enum import IntEnum


class Kind(IntEnum):
    """Train ids as `cityscapesscripts.helpers.labels` defines them; what has none is 255 and never scored."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    TRAFFIC_LIGHT = 6
    TRAFFIC_SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18
    UNLABELLED = 255
