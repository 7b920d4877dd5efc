"""What a multi-label map says in words, shares and regions."""

from __future__ import annotations

import numpy as np

from densecast.spec.model import Rgb
from densecast.tasks._base import Image
from densecast.tasks._legend import Entry
from densecast.tasks._regions import Region, Style, box_of
from densecast.tasks.multilabel import MultilabelMap, files
from densecast.tasks.segmentation.palettes import voc


def regions(prediction: MultilabelMap) -> list[Region]:
    """Where each class is that was found, with the mean of its probability there if there are any."""
    labels, colours = _classes(prediction)
    found = []
    for number, mask in enumerate(prediction.classes):
        if mask.any():
            probability = None if prediction.probability is None else prediction.probability[number]
            confidence = None if probability is None else float(probability[mask].mean(dtype=np.float64))
            found.append(Region(number, labels[number], colours[number], mask, box_of(mask), confidence))
    return found


def draw(prediction: MultilabelMap, canvas: Image, style: Style) -> Image:
    """Each pixel in the mean colour of its classes."""
    opacity = files.OPACITY if style.opacity is None else style.opacity
    _, colours = _classes(prediction)
    return files.draw_classes(canvas, prediction.classes, colours, opacity=opacity, contours=bool(style.contours))


def entries(prediction: MultilabelMap) -> list[Entry]:
    """Each class that was found with its share of the pixels, the largest first."""
    labels, colours = _classes(prediction)
    shares = prediction.classes.mean(axis=(1, 2))
    order = [number for number in np.argsort(-shares, kind="stable").tolist() if shares[number]]
    return [Entry(labels[number], colours[number], f"{100 * shares[number]:.1f} %") for number in order]


def _classes(prediction: MultilabelMap) -> tuple[tuple[str, ...], tuple[Rgb, ...]]:
    """Labels and colours: the model's, or without a model the planes by their number, in VOC's colours."""
    if prediction.origin is not None:
        return prediction.origin.spec.labels, prediction.origin.spec.palette
    count = len(prediction.classes)
    # The first of VOC's colours is black, its background's.
    return tuple(map(str, range(count))), tuple(voc(256)[1 + number % 255] for number in range(count))
