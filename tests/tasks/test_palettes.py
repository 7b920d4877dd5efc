"""Published colours and ids are the publishers': masks of other tools are read and drawn by them."""

from __future__ import annotations

import pytest

from densecast.tasks.segmentation.palettes import CITYSCAPES, CITYSCAPES_IDS, VOC2012, ignored, voc

# Name, id in `*_labelIds.png`, colour: as the label table of the data set's scripts has them, by train id from 0.
PUBLISHED = """
road           7  128  64 128
sidewalk       8  244  35 232
building      11   70  70  70
wall          12  102 102 156
fence         13  190 153 153
pole          17  153 153 153
traffic light 19  250 170  30
traffic sign  20  220 220   0
vegetation    21  107 142  35
terrain       22  152 251 152
sky           23   70 130 180
person        24  220  20  60
rider         25  255   0   0
car           26    0   0 142
truck         27    0   0  70
bus           28    0  60 100
train         31    0  80 100
motorcycle    32    0   0 230
bicycle       33  119  11  32
"""


def test_the_street_classes_have_their_published_ids_and_colours_in_order() -> None:
    rows = [line.rsplit(maxsplit=4) for line in PUBLISHED.strip().splitlines()]
    assert list(CITYSCAPES) == [name for name, *_ in rows]
    assert list(CITYSCAPES_IDS) == [int(number) for _, number, *_ in rows]
    assert list(CITYSCAPES.values()) == [tuple(map(int, colour)) for _, _, *colour in rows]


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        *(("background", (0, 0, 0)), ("aeroplane", (128, 0, 0)), ("bottle", (128, 0, 128)), ("cat", (64, 0, 0))),
        *(("chair", (192, 0, 0)), ("person", (192, 128, 128)), ("train", (128, 192, 0)), ("tvmonitor", (0, 64, 128))),
    ],
)
def test_the_twenty_objects_have_the_colours_of_the_published_masks(name: str, colour: tuple[int, int, int]) -> None:
    assert VOC2012[name] == colour and len(VOC2012) == 21


def test_a_colour_is_the_indexs_bits_dealt_to_the_channels_from_the_highest_down() -> None:
    for index, colour in enumerate(voc(256)):
        dealt = f"{index:08b}"[::-1]  # lowest bit first
        expected = tuple(int(dealt[channel::3].ljust(8, "0"), 2) for channel in range(3))
        assert colour == expected
    assert len(set(voc(256))) == 256


@pytest.mark.parametrize(("classes", "label"), [(1, 255), (254, 255), (255, 255), (256, 65535), (300, 65535)])
def test_what_is_not_evaluated_is_never_a_class(classes: int, label: int) -> None:
    assert ignored(classes) == label and label >= classes
