"""Before and after the network in OpenCV and numpy alone, as a competent user writes it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from contenders import plain_people
from densecast.spec.model import ModelSpec
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.preprocess import PoseAffine
from densecast.tasks.segmentation import SegmentationDecode

Image8 = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


def prepared(path: Path, spec: ModelSpec) -> tuple[Values, tuple[int, int]]:
    """An image file -> the network's (N, 3, h, w) float32 input, and the image's height and width.

    A pose network sees the image and its mirror image.
    """
    preprocess = spec.preprocess
    if preprocess.interpolation == "bicubic_pillow":
        opened = Image.open(path).convert("RGB")
        image_hw = (opened.height, opened.width)
        model_hw = preprocess.resize.place(image_hw).model_hw
        rgb = np.asarray(opened.resize(model_hw[::-1], Image.Resampling.BICUBIC))
    else:
        bgr = cv2.imread(str(path))
        image_hw = bgr.shape[:2]
        if isinstance(preprocess.resize, PoseAffine):
            bgr = affine(bgr, preprocess.resize.geometry(image_hw))
        else:
            model_hw = preprocess.resize.place(image_hw).model_hw
            if bgr.shape[:2] != model_hw:
                bgr = cv2.resize(bgr, model_hw[::-1])
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    scale = np.float32(1 / preprocess.divisor) / np.float32(preprocess.std)
    shift = np.float32(preprocess.mean) / np.float32(preprocess.std)
    planes = np.ascontiguousarray((rgb * scale - shift).transpose(2, 0, 1), dtype=np.float32)
    return np.stack([planes, planes[:, :, ::-1]]) if spec.needs_mirror else planes[None], image_hw


def decoded(output: Values, image_hw: tuple[int, int], spec: ModelSpec) -> npt.NDArray[np.generic]:
    """The network's output -> (H, W) class indices of the image's size, or (n, 17, 3) people in its pixels."""
    if isinstance(spec.decode, SegmentationDecode):
        logits = output[0]
        if logits.shape[1:] != image_hw:
            # The classes as channels of one image: one call, and memory in the order that argmax reads.
            logits = cv2.resize(np.ascontiguousarray(logits.transpose(1, 2, 0)), image_hw[::-1])
            return logits.argmax(axis=2).astype(np.uint8)
        return logits.argmax(axis=0).astype(np.uint8)
    assert isinstance(spec.preprocess.resize, PoseAffine)
    geometry = spec.preprocess.resize.geometry(image_hw)
    people = plain_people.decode(output, geometry.model_hw, spec.decode)
    people[..., :2] = geometry.to_image(people[..., :2], geometry.model_hw)
    return people


def affine(image: Image8, geometry: PosePlacement) -> Image8:
    """The part of an image that a bottom-up network sees, at its size."""
    matrix = cv2.getAffineTransform(*geometry.triangles())
    return np.asarray(cv2.warpAffine(image, matrix, geometry.model_hw[::-1], flags=cv2.INTER_LINEAR))
