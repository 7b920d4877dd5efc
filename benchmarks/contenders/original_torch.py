"""The original pipeline's order of operations, in torch float32.

UNet as milesial's `predict.py`, the others as MMSegmentation's and MMPose's test pipelines: the network's output is
resized to the network's input, then to the image, and only then decoded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

import crowds
from contenders.job import Array, Job
from contenders.plain_stages import affine
from densecast.artifact import Artifact
from densecast.networks._base import NETWORKS
from densecast.spec.preprocess import PoseAffine


class OriginalTorch:
    """The network in evaluation mode."""

    def __init__(self, job: Job) -> None:
        from safetensors.torch import load_file

        torch.set_num_threads(job.threads)
        cv2.setNumThreads(job.threads)
        artifact = Artifact.open(job.exported)
        reference = artifact.manifest.network
        assert reference is not None
        network = NETWORKS.load_trusted(reference.name)
        self.network = network.build(network.options_type(**reference.options))
        self.network.load_state_dict(load_file(artifact.file("weights.safetensors")))
        self.network.eval()
        self.spec = artifact.spec
        crowd = job.onnx.parent / crowds.FILE
        self.crowd = np.load(crowd) if crowd.is_file() else np.zeros((2, 1, 1, 1), np.float32)

    def run(self, images: Sequence[Path]) -> None:
        for image in images:
            self.result(image)

    def result(self, image: Path) -> Array:
        with torch.inference_mode():
            if self.spec.task == "pose":
                return self._people(image)
            if self.spec.preprocess.interpolation == "bicubic_pillow":
                return self._milesial(image)
            return self._mmseg(image)

    def facts(self) -> dict[str, float | str]:
        return {"torch": torch.__version__}

    def _milesial(self, path: Path) -> Array:
        image = Image.open(path).convert("RGB")
        width, height = image.size
        model_hw = self.spec.preprocess.resize.place((height, width)).model_hw
        pixels = np.asarray(image.resize(model_hw[::-1], Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 255.0
        output = self.network(torch.as_tensor(pixels.copy()).float().contiguous()[None])
        output = functional.interpolate(output, (height, width), mode="bilinear")
        return output.argmax(dim=1)[0].long().numpy().astype(np.uint8)

    def _mmseg(self, path: Path) -> Array:
        bgr = cv2.imread(str(path))
        preprocess = self.spec.preprocess
        model_hw = preprocess.resize.place(bgr.shape[:2]).model_hw
        resized = cv2.resize(bgr, model_hw[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = cv2.cvtColor(resized.astype(np.float32), cv2.COLOR_BGR2RGB)
        cv2.subtract(pixels, np.float64([preprocess.mean]), pixels)
        cv2.multiply(pixels, 1 / np.float64([preprocess.std]), pixels)
        output = self.network(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])
        output = functional.interpolate(output, model_hw, mode="bilinear")
        if bgr.shape[:2] != model_hw:
            output = functional.interpolate(output, bgr.shape[:2], mode="bilinear")
        return functional.softmax(output, dim=1).argmax(dim=1)[0].numpy().astype(np.uint8)

    def _people(self, path: Path) -> Array:
        bgr = cv2.imread(str(path))
        preprocess = self.spec.preprocess
        assert isinstance(preprocess.resize, PoseAffine)
        geometry = preprocess.resize.geometry(bgr.shape[:2])
        warped = cv2.cvtColor(affine(bgr, geometry), cv2.COLOR_BGR2RGB)
        pixels = torch.from_numpy(warped.transpose(2, 0, 1).copy()).float().div(255)
        mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
        pixels = ((pixels - mean) / std)[None]
        maps = [self.network(pixels).numpy(), self.network(torch.flip(pixels, [3])).numpy()]
        people = _plain_pose().decode([np.concatenate(maps) + self.crowd], geometry.model_hw, self.spec.decode)
        joints = np.asarray(people[0] if isinstance(people, tuple) else people, np.float32).reshape(-1, 17, 3).copy()
        joints[..., :2] = geometry.to_image(joints[..., :2], geometry.model_hw)
        return joints


def _plain_pose() -> Any:
    """The definition of the grouping at full resolution, which the tests check densecast's against."""
    folder = str(Path(__file__).parents[2] / "tests" / "support")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import plain_pose

    return plain_pose


def enter(job: Job) -> OriginalTorch:
    return OriginalTorch(job)
