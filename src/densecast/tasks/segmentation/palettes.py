"""Class names and colours of the published segmentation data sets."""

from __future__ import annotations

from densecast.spec.model import Rgb


def voc(count: int) -> tuple[Rgb, ...]:
    """PASCAL VOC's palette, for up to 256 classes: the index's bits distributed over R, G and B, high bits first.

    >>> voc(3)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0))

    Source: the VOC development kit, `VOClabelcolormap.m`.
    """
    return tuple(_colour(index) for index in range(count))


def _colour(index: int) -> Rgb:
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            bit = (index >> (3 * place + channel)) & 1
            channels[channel] |= bit << (7 - place)
    return channels[0], channels[1], channels[2]


IGNORED = 255
"""The label of pixels that no metric counts, in both data sets."""

_IGNORED_OF_MANY = 65535


def ignored(classes: int) -> int:
    """The label of pixels that no metric counts: 255, or 65535 where 255 is a class.

    >>> ignored(19), ignored(255), ignored(256)
    (255, 255, 65535)
    """
    return IGNORED if classes <= IGNORED else _IGNORED_OF_MANY


# Cityscapes' nineteen evaluated classes by train id, with the colours of the official label table
# (https://github.com/mcordts/cityscapesScripts, `helpers/labels.py`).
CITYSCAPES: dict[str, Rgb] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

# The same table's ids, as `*_labelIds.png` stores them, of the train ids 0 to 18.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

# PASCAL VOC 2012: background is a class (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/).
_VOC = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
VOC2012: dict[str, Rgb] = dict(zip(_VOC, voc(len(_VOC)), strict=True))
