"""Training examples for bottom-up pose: images turned, zoomed, mirrored and tinted, with their heatmaps."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from densecast.tasks.pose.coco_person import MIRRORED

STRIDE = 4  # a map's pixel is this many of the image's


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its people."""

    image: np.ndarray
    """(h, w, 3) uint8 RGB"""
    xy_px: np.ndarray
    """(people, 17, 2)"""
    labelled: np.ndarray
    """(people, 17)"""


def read_examples(root: Path, split: str) -> list[Example]:
    """One split of a folder in COCO's layout."""
    file = json.loads((root / "annotations" / f"person_keypoints_{split}.json").read_text())
    points: dict[int, list[np.ndarray]] = {entry["id"]: [] for entry in file["images"]}
    for annotation in file["annotations"]:
        points[annotation["image_id"]].append(np.float32(annotation["keypoints"]).reshape(17, 3))
    examples = []
    for entry in file["images"]:
        found = np.stack(points[entry["id"]]) if points[entry["id"]] else np.zeros((0, 17, 3), np.float32)
        image = cv2.cvtColor(cv2.imread(str(root / split / entry["file_name"])), cv2.COLOR_BGR2RGB)
        examples.append(Example(image, found[..., :2], found[..., 2] > 0))
    return examples


def draw_batch(
    examples: list[Example], count: int, size_hw: tuple[int, int], sigma: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, list[list[np.ndarray]]]:
    """`count` random examples on `size_hw` pixels, with what the network should say about them.

    Returns:
        (n, h, w, 3) uint8 images; (n, 17, h / 4, w / 4) float32 heatmaps; and for each image
        and person the (k, 3) joint, row and column of its joints in those maps.

    """
    images, heatmaps, joints = [], [], []
    for place in rng.choice(len(examples), count, replace=False):
        image, xy, inside = varied(examples[place], size_hw, rng)
        images.append(tinted(image, rng))
        heatmaps.append(heat(xy, inside, (size_hw[0] // STRIDE, size_hw[1] // STRIDE), sigma))
        cells = np.floor(xy / STRIDE).astype(np.int64)
        joints.append(
            [
                np.column_stack([np.flatnonzero(there), cell[there][:, ::-1]])
                for cell, there in zip(cells, inside, strict=True)
                if there.any()
            ]
        )
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(heatmaps)), joints


def varied(
    example: Example, size_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cut-out (*size_hw, 3), the points in it (people, 17, 2), and which are labelled and inside."""
    height, width = example.image.shape[:2]
    size_xy = np.array(size_hw[::-1])
    zoom = min(size_hw) / min(height, width) * np.exp(rng.uniform(np.log(0.75), np.log(1.33)))
    turn = np.clip(rng.normal(0, 0.1), -0.3, 0.3)
    cosine, sine = zoom * np.cos(turn), zoom * np.sin(turn)
    mirrored = rng.random() < 0.5
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    # What does not fit is cut off at a random place.
    slack = np.abs(zoom * np.array([width, height]) - size_xy) / 2 + 0.06 * size_xy
    middle = size_xy / 2 + rng.uniform(-1, 1, 2) * slack
    shift = middle - linear @ np.array([width / 2, height / 2])
    # OpenCV puts the middle of the first pixel at 0, points have it at 0.5.
    half = np.array([0.5, 0.5])
    matrix = np.column_stack([linear, linear @ half + shift - half])
    cut = cv2.warpAffine(example.image, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR if zoom > 0.7 else cv2.INTER_AREA)
    xy = example.xy_px @ linear.T + shift
    labelled = example.labelled
    if mirrored:
        xy, labelled = xy[:, MIRRORED], labelled[:, MIRRORED]
    return cut, xy, labelled & ((xy >= 0) & (xy < size_xy)).all(axis=-1)


def tinted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other exposure, contrast and white balance; one in twenty without colour."""
    gain = rng.uniform(0.7, 1.3) * (rng.uniform(0.93, 1.07, 3) if rng.random() < 0.7 else rng.uniform(0.7, 1.3, 3))
    lift = rng.uniform(-12, 12)
    table = np.clip(np.arange(256)[:, None] * gain + lift, 0, 255).astype(np.uint8)
    changed = cv2.LUT(image, table[None])
    if rng.random() < 0.05:
        return np.repeat(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return changed


def heat(xy_px: np.ndarray, inside: np.ndarray, size_hw: tuple[int, int], sigma: float) -> np.ndarray:
    """(17, *size_hw) float32: a Gaussian of height 1, `sigma` pixels wide, around each joint; the larger of two."""
    maps = np.zeros((17, *size_hw), np.float32)
    rows, columns = (np.arange(size, dtype=np.float32) for size in size_hw)
    for person, joint in np.argwhere(inside):
        # Not rounded to pixels: how the neighbours of the highest pixel compare tells where between them it is.
        x, y = xy_px[person, joint] / STRIDE - 0.5
        across, down = (np.exp(-0.5 * np.square(away / sigma)) for away in (columns - x, rows - y))
        np.maximum(maps[joint], down[:, None] * across, out=maps[joint])
    return maps
