"""A network that gives each pixel the class whose colour is nearest: on painted pictures its labels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from made_mask_folders import COLOURS
from onnx import TensorProto, helper, numpy_helper

from densecast.artifact import Artifact
from densecast.spec.model import Evaluation
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.builder import build
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile

LABELS = ("ground", "red", "green", "blue")


def onnx_file(path: Path, classes: int) -> Path:
    """Logits 2 x·c - |c|², which are largest for the nearest colour c; pixels in 0..255."""
    colours = np.asarray(COLOURS[:classes], np.float32)
    weight = numpy_helper.from_array(2 * colours[:, :, None, None], "weight")
    bias = numpy_helper.from_array(-(colours**2).sum(axis=1), "bias")
    node = helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], name="nearest")
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H", "W"])
        for name, channels in (("image", 3), ("logits", classes))
    ]
    graph = helper.make_graph([node], "nearest_colour", [shapes[0]], [shapes[1]], [weight, bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def built(folder: Path, classes: int = 3, evaluation: Evaluation | None = None, use_exif: bool = False) -> Artifact:
    """`folder / "float"` and `folder / "built"`: the network for ONNX Runtime."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = SpecFile(
        LABELS[:classes],
        Preprocess(Native(), mean=(0.0,) * 3, std=(1.0,) * 3, use_exif=use_exif),
        palette=COLOURS[:classes],
        evaluation=evaluation,
        side=Range(4, 256),
        largest_batch=4,
    ).model("colours")
    exported = export_file(onnx_file(folder / "colours.onnx", classes), spec, folder / "float")
    return build(exported, folder / "built", BuildOptions("onnxruntime"))
