"""Batches for segmentation training: windows of street images, scaled, mirrored, in changed light."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from densecast.scenes import write_cityscapes

Bytes = npt.NDArray[np.uint8]

# MMSegmentation's, of the images' 0..255 in RGB.
MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """What a batch is cut to: the size of its images, and by how much they are scaled down or up before.

    Its loss is taken at every `stride`-th pixel each way.
    """

    size_hw: tuple[int, int]
    scale: tuple[float, float]
    batch: int
    stride: int


def read(folder: Path, seed: int, count: int) -> tuple[Bytes, Bytes]:
    """(n, H, W, 3) images and (n, H, W) train ids; drawn first where they are missing."""
    root = folder / f"seed{seed}_{count}"
    print(f"images: {root}", flush=True)
    write_cityscapes.write(root, count, seed=seed)
    images, classes = [], []
    for index in range(count):
        with Image.open(write_cityscapes.image_path(root, seed, index)) as image:
            images.append(np.asarray(image))
        with Image.open(write_cityscapes.label_path(root, seed, index)) as label:
            classes.append(np.asarray(label))
    return np.stack(images), np.stack(classes)


def normalised(images: Bytes) -> Tensor:
    """(n, h, w, 3) uint8 RGB -> (n, 3, h, w) float32 in channels-last memory."""
    return torch.from_numpy((images.astype(np.float32) - MEAN) / STD).permute(0, 3, 1, 2)


def draw(images: Bytes, classes: Bytes, window: Window, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch: normalised images (n, 3, h, w) and train ids (n, h, w) int64."""
    windows, labels = [], []
    height, width = classes.shape[1:]
    for chosen in rng.choice(len(images), window.batch, replace=False):
        scale = float(np.exp(rng.uniform(*np.log(window.scale))))
        tall = min(round(window.size_hw[0] / scale), height)
        wide = min(round(window.size_hw[1] / scale), width)
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        cut = np.s_[top : top + tall, left : left + wide]
        size_wh = (window.size_hw[1], window.size_hw[0])
        smooth = cv2.INTER_AREA if tall > window.size_hw[0] else cv2.INTER_LINEAR
        window_image = cv2.resize(images[chosen][cut], size_wh, interpolation=smooth)
        label = cv2.resize(classes[chosen][cut], size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
        if rng.random() < 0.5:
            window_image, label = window_image[:, ::-1], label[:, ::-1]
        windows.append(_relit(window_image, rng))
        labels.append(label)
    return normalised(np.stack(windows)), torch.from_numpy(np.stack(labels)).long()


def _relit(image: Bytes, rng: np.random.Generator) -> Bytes:
    """Brightness, contrast and white balance changed, by one table a channel."""
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.92, 1.08, 3)
    lift = rng.uniform(-20, 20)
    table = np.arange(256)[:, None] * gain + lift
    return cv2.LUT(np.ascontiguousarray(image), np.clip(table, 0, 255).astype(np.uint8)[None])
