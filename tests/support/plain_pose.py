"""Bottom-up grouping written down plainly, at full resolution: the specification as a second oracle.

Everything here is made the way the definition reads: maps upsampled to the input's size, 5x5 pooling, the whole map
searched for every missing joint. It shares only the assignment solver with densecast (tested on its own against
munkres 1.1.4). Also the peer that `benchmarks/pose_decode.py` measures against, on torch's operators.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from densecast.kernels.assignment import solve
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.coco_person import MIRRORED

ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


def upsample(maps: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    if tuple(maps.shape[2:]) == tuple(size_hw):
        return maps
    return functional.interpolate(maps, size=tuple(size_hw), mode="bilinear", align_corners=False)


def aggregate(
    maps: Sequence[np.ndarray], scales: Sequence[float], model_hw: tuple[int, int], options: PoseDecode
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heatmaps (17, H, W) and tags (T, H, W, L)."""
    heats, tags = [], None
    for scale, array in sorted(zip(scales, maps, strict=True), key=lambda pair: -pair[0]):
        size_hw = model_hw if options.project_to_image else array.shape[2:]
        seen = [torch.from_numpy(array[:1])]
        if options.flip:
            swap = list(MIRRORED) + [17 + joint for joint in MIRRORED]
            swap = swap if options.tag_per_joint else [*swap[:17], 17]
            seen.append(torch.flip(torch.from_numpy(array[1:2]), [3])[:, swap])
        heat = [upsample(one[:, :17], size_hw) for one in seen]
        heats.append((heat[0] + heat[1]) / 2.0 if options.flip else heat[0])
        if scale == 1 or len(maps) == 1:
            tags = [upsample(one[:, 17:], size_hw) for one in seen]
    size_hw = heats[0].shape[2:]
    total = 0
    for heat in heats:
        total = total + upsample(heat, size_hw)
    tag = torch.stack([upsample(one, size_hw) for one in tags], dim=-1)
    return (total / len(heats))[0], tag[0]


def top_peaks(heat: torch.Tensor, tag: torch.Tensor, options: PoseDecode) -> tuple:
    """Values (17, M), x, y (17, M) and tags (17, M, L) of the highest peaks."""
    kernel = options.nms_kernel
    pooled = functional.max_pool2d(heat[None], kernel, 1, kernel // 2)[0]
    peaks = heat * (pooled == heat).float()
    value, index = peaks.reshape(17, -1).topk(options.max_people, dim=1)
    flat = tag.expand(17, *tag.shape[1:]).reshape(17, -1, tag.shape[-1])
    at_peaks = torch.stack([flat[joint, index[joint]] for joint in range(17)])
    width = heat.shape[2]
    return value.numpy(), (index % width).numpy(), (index // width).numpy(), at_peaks.numpy()


def match(value: np.ndarray, x: np.ndarray, y: np.ndarray, tag: np.ndarray, options: PoseDecode) -> np.ndarray:
    """(P, 17, 3) float32 people."""
    people: dict[float, np.ndarray] = {}
    history: dict[float, list[np.ndarray]] = {}

    def start(joint: int, row: np.ndarray, own: np.ndarray) -> None:
        people.setdefault(own[0], np.zeros((17, 3), np.float32))[joint] = row
        history[own[0]] = [own]

    for joint in ORDER:
        found = value[joint] > options.detection_threshold
        rows = np.stack([x[joint][found], y[joint][found], value[joint][found]], axis=1)
        own = tag[joint][found]
        if not len(rows):
            continue
        if not people:
            for row, one in zip(rows, own, strict=True):
                start(joint, row, one)
            continue
        keys = list(people)[: options.max_people] if options.ignore_too_many else list(people)
        means = np.array([np.mean(history[key], axis=0) for key in keys])
        distance = np.linalg.norm(own[:, None].astype(float) - means[None], ord=2, axis=2)
        cost = np.round(distance) * 100 - rows[:, 2:] if options.use_detection_value else distance.copy()
        if len(rows) > len(keys):
            cost = np.pad(cost, ((0, 0), (0, len(rows) - len(keys))), constant_values=1e10)
        for row, col in solve(cost):
            if col < len(keys) and distance[row, col] < options.tag_threshold:
                people[keys[col]][joint] = rows[row]
                history[keys[col]].append(own[row])
            else:
                start(joint, rows[row], own[row])
    kept = list(people.values())
    if options.ignore_too_many:
        kept = kept[: options.max_people]
    return np.array(kept, np.float32).reshape(-1, 17, 3)


def shift(heat: np.ndarray, x: int, y: int) -> tuple[float, float]:
    height, width = heat.shape
    right = heat[y, min(width - 1, x + 1)] > heat[y, max(0, x - 1)]
    down = heat[min(height - 1, y + 1), x] > heat[max(0, y - 1), x]
    return (0.25 if right else -0.25), (0.25 if down else -0.25)


def refine(heat: np.ndarray, tag: np.ndarray, person: np.ndarray) -> None:
    """Fill one person's missing joints, searching whole maps."""
    height, width = heat.shape[1:]
    tag = np.broadcast_to(tag, (17, *tag.shape[1:]))
    tags = []
    for joint in range(17):
        if person[joint, 2] > 0:
            x, y = person[joint, :2].astype(int)
            tags.append(tag[joint, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])
    mean = np.mean(tags, axis=0)
    for joint in range(17):
        distance = ((tag[joint] - mean) ** 2).sum(axis=2) ** 0.5
        score = heat[joint] - np.round(distance)
        y, x = np.unravel_index(np.argmax(score), score.shape)
        if person[joint, 2] == 0 and heat[joint, y, x] > 0:
            shift_x, shift_y = shift(heat[joint], x, y)
            person[joint] = (x + 0.5 + shift_x, y + 0.5 + shift_y, heat[joint, y, x])


def decode(
    maps: Sequence[np.ndarray],
    model_hw: tuple[int, int],
    options: PoseDecode,
    scales: Sequence[float] = (1.0,),
    clock_ms: dict[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(P, 17, 3) float32 joints in pixels of the maps, and (P,) scores; `clock_ms` receives the time of each step."""
    marks = [time.perf_counter()]
    heat, tag = aggregate(maps, scales, model_hw, options)
    marks.append(time.perf_counter())
    peaks = top_peaks(heat, tag, options)
    marks.append(time.perf_counter())
    people = match(*peaks, options)
    marks.append(time.perf_counter())
    heat_array, tag_array = heat.numpy(), tag.numpy()
    if options.adjust:
        for person in people:
            for joint in np.flatnonzero(person[:, 2] > 0):
                x, y = person[joint, :2].astype(int)
                person[joint, :2] += np.add(shift(heat_array[joint], x, y), 0.5)
    scores = np.array([person[:, 2].mean() for person in people], np.float32)
    marks.append(time.perf_counter())
    if options.refine:
        for person in people:
            refine(heat_array, tag_array, person)
    marks.append(time.perf_counter())
    if clock_ms is not None:
        steps = ("aggregate", "peaks", "match", "adjust", "refine")
        clock_ms.update(zip(steps, np.diff(marks) * 1000, strict=True))
    return people, scores
