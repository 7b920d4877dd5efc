"""Resizes label maps bilinearly, as Ascend's FCN-8s sample does; only for comparison with its published score."""

from __future__ import annotations

import numpy as np

from densecast.spec.geometry import Placement
from densecast.spec.sample import LabelMap


def blend_labels(labels: LabelMap, placement: Placement) -> LabelMap:
    """(H, W) class indices at the network's size -> (h, w) of the image, interpolated like brightness and truncated.

    Between an aeroplane (1) and a cat (8) lies a boat (4): wrong labels along every border. The part that is resized is
    found from the unrounded size `side * factor`, so it may be a pixel off from where the preprocessing put the image
    (ModelZoo-PyTorch, FCN-8s, postprocessing). Use nearest neighbours for anything but that comparison.
    """
    import cv2

    (height, width), (image_height, image_width) = placement.model_hw, placement.image_hw
    factor = min(height / image_height, width / image_width)
    inner_height, inner_width = image_height * factor, image_width * factor
    top, left = int((height - inner_height) / 2), int((width - inner_width) / 2)
    content = labels[top : int(top + inner_height), left : int(left + inner_width)]
    mixed = cv2.resize(content.astype(np.float32), (image_width, image_height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(mixed).astype(labels.dtype)
