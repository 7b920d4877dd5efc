"""Bottom-up grouping written down plainly, at full resolution: the specification as a second oracle.

Everything here is made the way the definition reads: maps upsampled to the input's size, 5x5 pooling, the whole map
searched for every missing joint. It shares only the assignment solver with densecast (tested on its own against
munkres 1.1.4). Also the peer that `benchmarks/pose_decode.py` measures against, on torch's operators.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional

from densecast.kernels.assignment import solve
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.skeleton import COCO

ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


def upsample(maps: torch.Tensor, size_hw: tuple[int, int], align_corners: bool) -> torch.Tensor:
    if tuple(maps.shape[2:]) == tuple(size_hw):
        return maps
    return functional.interpolate(maps, size=tuple(size_hw), mode="bilinear", align_corners=align_corners)


def aggregate(
    maps: Sequence[np.ndarray | Sequence[np.ndarray]],
    scales: Sequence[float],
    model_hw: tuple[int, int],
    options: PoseDecode,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heatmaps (K, H, W) and tags (T, H, W, L)."""
    mirrored = list((options.skeleton or COCO).mirrored)
    joints, corners = len(mirrored), options.align_corners
    of_scales = [[each] if isinstance(each, np.ndarray) else list(each) for each in maps]
    heats, tags = [], None
    for scale, outputs in sorted(zip(scales, of_scales, strict=True), key=lambda pair: -pair[0]):
        size_hw = model_hw if options.project_to_image else outputs[-1].shape[2:]
        heat, tag = [], []
        for view in range(2 if options.flip else 1):
            seen = [torch.from_numpy(output[view : view + 1]) for output in outputs]
            if view:
                seen = [torch.flip(each, [3]) for each in seen]
            order = mirrored if view else list(range(joints))
            total = 0
            for each in seen:
                total = total + upsample(each[:, order], size_hw, corners)
            heat.append(total / len(seen))
            tagged = seen[options.tags_output][:, joints:]
            tag.append(tagged[:, order] if options.tag_per_joint else tagged[:, :1])
        heats.append((heat[0] + heat[1]) / 2.0 if options.flip else heat[0])
        if scale == 1 or len(maps) == 1:
            own_hw = model_hw if options.project_to_image else tag[0].shape[2:]
            tags = [upsample(one, own_hw, corners) for one in tag]
    size_hw = heats[0].shape[2:]
    total = 0
    for heat in heats:
        total = total + upsample(heat, size_hw, corners)
    tag = torch.stack([upsample(one, size_hw, corners) for one in tags], dim=-1)
    return (total / len(heats))[0], tag[0]


def top_peaks(heat: torch.Tensor, tag: torch.Tensor, options: PoseDecode) -> tuple:
    """Values (K, M), x, y (K, M) and tags (K, M, L) of the highest peaks."""
    joints, kernel = len(heat), options.nms_kernel
    pooled = functional.max_pool2d(heat[None], kernel, 1, kernel // 2)[0]
    peaks = heat * (pooled == heat).float()
    value, index = peaks.reshape(joints, -1).topk(options.max_people, dim=1)
    flat = tag.expand(joints, *tag.shape[1:]).reshape(joints, -1, tag.shape[-1])
    at_peaks = torch.stack([flat[joint, index[joint]] for joint in range(joints)])
    width = heat.shape[2]
    return value.numpy(), (index % width).numpy(), (index // width).numpy(), at_peaks.numpy()


def match(value: np.ndarray, x: np.ndarray, y: np.ndarray, tag: np.ndarray, options: PoseDecode) -> np.ndarray:
    """(P, K, 3) float32 people."""
    joints = len(value)
    people: dict[float, np.ndarray] = {}
    history: dict[float, list[np.ndarray]] = {}

    def start(joint: int, row: np.ndarray, own: np.ndarray) -> None:
        people.setdefault(own[0], np.zeros((joints, 3), np.float32))[joint] = row
        history[own[0]] = [own]

    for joint in ORDER if joints == 17 else range(joints):
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
    return np.array(kept, np.float32).reshape(-1, joints, 3)


def shift(heat: np.ndarray, x: int, y: int) -> tuple[float, float]:
    height, width = heat.shape
    right = heat[y, min(width - 1, x + 1)] > heat[y, max(0, x - 1)]
    down = heat[min(height - 1, y + 1), x] > heat[max(0, y - 1), x]
    return (0.25 if right else -0.25), (0.25 if down else -0.25)


def to_the_top(heat: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """One Newton step from a pixel of a map in logarithms; beyond the border lies its last pixel."""
    height, width = heat.shape
    x, y = int(x), int(y)

    def at(right: int, down: int) -> np.float32:
        return heat[np.clip(y + down, 0, height - 1), np.clip(x + right, 0, width - 1)]

    slope = [0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))]
    twist = 0.5 * (at(1, 1) - at(1, 0) - at(0, 1) + at(0, 0) + at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1))
    bend = [[at(1, 0) - 2 * at(0, 0) + at(-1, 0), twist], [twist, at(0, 1) - 2 * at(0, 0) + at(0, -1)]]
    step = np.linalg.solve(np.array(bend, float) + np.finfo(np.float32).eps * np.eye(2), slope)
    return x - step[0], y - step[1]


def refine(
    heat: np.ndarray, tag: np.ndarray, person: np.ndarray, centre: float = 0.5, *, all_joints: bool = False
) -> None:
    """Fill one person's missing joints, searching whole maps; with `all_joints` those of found joints too, for nothing,
    as the original does.
    """
    height, width = heat.shape[1:]
    tag = np.broadcast_to(tag, (len(heat), *tag.shape[1:]))
    tags = []
    for joint in range(len(heat)):
        if person[joint, 2] > 0:
            x, y = person[joint, :2].astype(int)
            tags.append(tag[joint, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])
    mean = np.mean(tags, axis=0)
    for joint in range(len(heat)) if all_joints else np.flatnonzero(person[:, 2] == 0):
        distance = ((tag[joint] - mean) ** 2).sum(axis=2) ** 0.5
        score = heat[joint] - np.round(distance)
        y, x = np.unravel_index(np.argmax(score), score.shape)
        if person[joint, 2] == 0 and heat[joint, y, x] > 0:
            shift_x, shift_y = shift(heat[joint], x, y)
            person[joint] = (x + centre + shift_x, y + centre + shift_y, heat[joint, y, x])


def decode(
    maps: Sequence[np.ndarray | Sequence[np.ndarray]],
    model_hw: tuple[int, int],
    options: PoseDecode,
    scales: Sequence[float] = (1.0,),
    clock_ms: dict[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(P, K, 3) float32 joints in pixels of the maps, and (P,) scores; `clock_ms` receives the time of each step."""
    marks = [time.perf_counter()]
    heat, tag = aggregate(maps, scales, model_hw, options)
    marks.append(time.perf_counter())
    peaks = top_peaks(heat, tag, options)
    marks.append(time.perf_counter())
    people = match(*peaks, options)
    marks.append(time.perf_counter())
    heat_array, tag_array = heat.numpy(), tag.numpy()
    if options.adjust and options.unbiased:
        smooth = np.stack([cv2.GaussianBlur(plane, (3, 3), 0) for plane in heat_array])
        heat_array = np.log(np.clip(smooth, 0.001, 50)).astype(np.float32)
        for person in people:
            for joint in range(len(person)):
                person[joint, :2] = to_the_top(heat_array[joint], *person[joint, :2])
    elif options.adjust:
        for person in people:
            for joint in np.flatnonzero(person[:, 2] > 0):
                x, y = person[joint, :2].astype(int)
                person[joint, :2] += np.add(shift(heat_array[joint], x, y), 0.5)
    scores = np.array([person[:, 2].mean() for person in people], np.float32)
    marks.append(time.perf_counter())
    if options.refine:
        for person in people:
            centre = 0.0 if options.unbiased else 0.5
            refine(heat_array, tag_array, person, centre, all_joints=clock_ms is not None)
    marks.append(time.perf_counter())
    if clock_ms is not None:
        steps = ("aggregate", "peaks", "match", "adjust", "refine")
        clock_ms.update(zip(steps, np.diff(marks) * 1000, strict=True))
    return people, scores
