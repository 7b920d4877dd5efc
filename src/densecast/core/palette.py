"""Colours for class indices."""

from __future__ import annotations

from densecast.core.spec import Rgb


def voc(count: int) -> tuple[Rgb, ...]:
    """PASCAL VOC's palette, for up to 256 classes: the index's bits dealt out to R, G and B, high bits first.

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
