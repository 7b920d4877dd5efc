"""Small artifacts of every task to hand over, and their answers by plain numpy, ONNX Runtime and OpenCV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import tiny_specs

from densecast import artifact
from densecast.artifact import Artifact, FloatArtifact, FloatManifest
from densecast.runtime import machine
from densecast.spec.model import DecodeOptions, ModelSpec
from densecast.spec.preprocess import Preprocess, Resize, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.segmentation import SegmentationDecode

SIZE_HW = (24, 40)
STRETCH = Stretch(SIZE_HW)
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 55.0)
LABELS = ("road", "traffic light", "sky")
_SIDES = (Dim("H", 8, 512, 2), Dim("W", 8, 512, 2))
_LOW = (Dim("h", 4, 256), Dim("w", 4, 256))


def coarse(planes: int = 3, seed: int = 0) -> onnx.ModelProto:
    """(N, 3, H, W) -> (N, planes, H / 2, W / 2) logits."""
    weights = np.random.default_rng(seed).normal(size=planes * 27)
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        coarse (float[N, 3, H, W] image) => (float[N, {planes}, h, w] logits)
        <float[{planes}, 3, 3, 3] w1 = {{{", ".join(f"{each:.6f}" for each in weights)}}}>
        {{
            small = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (image)
            logits = Conv <pads = [1, 1, 1, 1]> (small, w1)
        }}
        """
    )


def spec(decode: DecodeOptions, labels: tuple[str, ...] = LABELS, resize: Resize = STRETCH) -> ModelSpec:
    """A model of `coarse`, for any task."""
    planes = 1 if isinstance(decode, SegmentationDecode) and "binary" in decode.form else max(1, len(labels))
    made = tiny_specs.segmentation()
    return replace(
        made,
        name="coarse",
        task=decode.kind,
        inputs=(TensorSpec("image", "float32", (Dim("N", 1, 8), 3, *_SIDES)),),
        outputs=(TensorSpec("logits", "float32", (Dim("N", 1, 8), planes, *_LOW)),),
        preprocess=Preprocess(resize, mean=MEAN, std=STD),
        decode=decode,
        labels=labels,
        palette=tuple((index, 2 * index, 50) for index in range(len(labels))),
        evaluation=None,
    )


def exported(folder: Path, model: onnx.ModelProto, described: ModelSpec, name: str = "float") -> Artifact:
    """A float artifact of the graph at `folder / name`, of a spec that is right: nothing is tried."""
    with artifact.writing(folder / name) as draft:
        onnx.save(model, draft.folder / "model.onnx")
        draft.finish(FloatManifest(described, "a key", artifact.now(), machine.describe()))
    return FloatArtifact.open(folder / name)


def picture(size_hw: tuple[int, int] = SIZE_HW, seed: int = 1) -> np.ndarray:
    """(H, W, 3) bytes that change smoothly, with some noise."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    smooth = cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_LINEAR).astype(np.int64)
    return np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


def planes_of(model: onnx.ModelProto, rgb: np.ndarray) -> np.ndarray:
    """The network's planes (C, H, W) at the size of the picture, resized bilinearly with pixel centres at + 0.5."""
    normal = (rgb.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (maps,) = session.run(None, {session.get_inputs()[0].name: normal.transpose(2, 0, 1)[None]})
    size = rgb.shape[1::-1]
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in maps[0]])


def run(path: Path, pixels: np.ndarray, hint: str = "f32") -> dict[str, Any]:
    """What ONNX Runtime or OpenVINO alone gives for one batch."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: pixels}), strict=True))
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    answers = compiled([pixels])
    return {name: np.array(answers[each]) for each in compiled.outputs for name in each.get_names()}
