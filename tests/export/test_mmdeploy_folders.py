"""Folders of MMDeploy: the files say how images are prepared and labels brought back, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from densecast.errors import BadConfigError, DensecastError, MissingFileError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.model import Evaluation
from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import KeepRatio, Stretch
from densecast.verbs.builder import build
from densecast.verbs.export import ExportOptions, export

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
HEIGHT, WIDTH = 32, 48
TRANSFORMS: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "keep_ratio": False, "size": [WIDTH, HEIGHT]},
    {"type": "Normalize", "mean": MEAN, "std": STD, "to_rgb": True},
    {"type": "ImageToTensor", "keys": ["img"]},
    {"type": "Collect", "keys": ["img"], "meta_keys": ["img_shape", "ori_shape", "pad_shape", "scale_factor"]},
]


def graph(*, argmax: bool, sizes: str = f"{HEIGHT}, {WIDTH}") -> onnx.ModelProto:
    """(1, 3, H, W) -> labels (1, 1, H, W) int64, or logits (1, 4, H, W): a mixture of the colours."""
    rng = np.random.default_rng(7)
    weights = ", ".join(f"{value:.4f}" for value in rng.normal(0, 1, 12))
    out = f"int64[1, 1, {sizes}] output" if argmax else f"float[1, 4, {sizes}] output"
    last = "output = ArgMax <axis = 1, keepdims = 1> (maps)" if argmax else "output = Identity (maps)"
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 13]>
        end2end (float[1, 3, {sizes}] input) => ({out})
        <float[4, 3, 1, 1] w = {{{weights}}}>
        {{
            maps = Conv (input, w)
            {last}
        }}
        """
    )
    onnx.checker.check_model(model)
    return model


def write(
    folder: Path,
    *,
    transforms: list[dict[str, Any]] | None = None,
    params: dict[str, Any] | None = None,
    argmax: bool = True,
    config: str = "configs/fcn/fcn_unet.py",
    task: str = "Segmentor",
    net: str = "end2end.onnx",
    component: str = "ResizeMask",
) -> Path:
    """A folder as MMDeploy's `tools/deploy.py --dump-info` leaves it."""
    folder.mkdir(exist_ok=True)
    onnx.save(graph(argmax=argmax), folder / "end2end.onnx")
    model = {"name": "fcn", "net": net, "weights": "", "backend": "onnxruntime", "precision": "FP32", "batch_size": 1,
             "dynamic_shape": False}  # fmt: skip
    (folder / "deploy.json").write_text(
        json.dumps({"version": "1.3.1", "task": task, "models": [model], "customs": []})
    )
    head = {"type": "FCNHead", "num_classes": 4, "align_corners": False, "with_argmax": argmax}
    tasks = [
        {"type": "Task", "module": "Transform", "name": "Preprocess", "input": ["img"], "output": ["prep_output"],
         "transforms": transforms or TRANSFORMS},
        {"name": "fcn", "type": "Task", "module": "Net", "is_batched": False, "input": ["prep_output"],
         "output": ["infer_output"], "input_map": {"img": "input"}, "output_map": {}},
        {"type": "Task", "module": "mmseg", "name": "postprocess", "component": component,
         "params": head if params is None else params, "input": ["prep_output", "infer_output"],
         "output": ["post_output"]},
    ]  # fmt: skip
    pipeline = {"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": tasks}}
    (folder / "pipeline.json").write_text(json.dumps(pipeline))
    detail = {"version": "1.3.1", "codebase": {"task": "Segmentation", "codebase": "mmseg", "version": "1.2.2",
              "pth": "iter_160000.pth", "config": config}}  # fmt: skip
    (folder / "detail.json").write_text(json.dumps(detail))
    return folder


def photograph(size_hw: tuple[int, int] = (57, 70)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (10, 10, 3)), np.ones((8, 8, 1)))[: size_hw[0], : size_hw[1]].astype(np.uint8)


def network_input(image: np.ndarray) -> np.ndarray:
    cv2 = pytest.importorskip("cv2")
    resized = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return np.ascontiguousarray(((resized - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1))[None]


def test_labels_inside_the_graph_come_back_by_opencvs_nearest_neighbour(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    folder = write(tmp_path / "work_dir")
    artifact = export(folder, tmp_path / "float")
    assert artifact.spec.name == "work_dir"
    assert artifact.spec.labels == ("class_0", "class_1", "class_2", "class_3") and artifact.spec.evaluation is None
    assert artifact.spec.preprocess.resize == Stretch((HEIGHT, WIDTH))
    image = photograph()
    session = onnxruntime.InferenceSession(str(folder / "end2end.onnx"), providers=["CPUExecutionProvider"])
    (labels,) = session.run(None, {"input": network_input(image)})
    expected = cv2.resize(labels[0, 0].astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    built = build(artifact, tmp_path / "built", BuildOptions("onnxruntime", "force_float32"))
    with Pipeline.open(built) as pipeline:
        np.testing.assert_array_equal(pipeline(image).class_id, expected)


@pytest.mark.torch
def test_logits_are_resized_before_the_argmax(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = write(tmp_path / "logits", argmax=False)
    artifact = export(folder, tmp_path / "float", labels=["a", "b", "c", "d"])
    assert artifact.spec.labels == ("a", "b", "c", "d")
    image = photograph((90, 70))
    session = onnxruntime.InferenceSession(str(folder / "end2end.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": network_input(image)})
    whole = torch.nn.functional.interpolate(torch.from_numpy(logits), image.shape[:2], mode="bilinear")
    built = build(artifact, tmp_path / "built", BuildOptions("onnxruntime", "force_float32"))
    with Pipeline.open(built) as pipeline:
        np.testing.assert_array_equal(pipeline(image).class_id, whole[0].argmax(0).numpy())


def test_resizing_by_the_sides_and_padding_after_normalisation_are_understood(tmp_path: Path) -> None:
    transforms = [
        TRANSFORMS[0],
        {"type": "Resize", "keep_ratio": True, "size": [2048, 512]},
        {"type": "Normalize", "mean": MEAN, "std": STD, "to_rgb": False},
        {"type": "Pad", "size_divisor": 32, "pad_val": 0},
        *TRANSFORMS[3:],
    ]
    from densecast.verbs.export import mmdeploy

    spec = mmdeploy.read(write(tmp_path / "padded", transforms=transforms))[1]
    assert spec.preprocess.resize == KeepRatio(2048, 512)
    assert spec.preprocess.colour == "BGR" and spec.preprocess.mean == tuple(MEAN)
    # Zeros after normalisation are the mean before it, here in the image's own order.
    assert spec.preprocess.pad_multiple == 32 and spec.preprocess.pad_fill == tuple(MEAN[::-1])


def test_a_configurations_name_tells_the_data_set_where_the_number_of_classes_is_its(tmp_path: Path) -> None:
    from densecast.verbs.export import mmdeploy

    config = "configs/pspnet/pspnet_r50-d8_4x4_512x512_80k_potsdam.py"
    head = {"num_classes": 6, "with_argmax": True}
    spec = mmdeploy.read(write(tmp_path / "potsdam", params=head, config=config))[1]
    assert spec.labels[:2] == ("impervious_surface", "building")
    assert spec.evaluation == Evaluation("PotsdamDataset", "iou")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"transforms": [*TRANSFORMS[:2], {"type": "CLAHE"}]}, "CLAHE"),
    ({"transforms": [{"type": "Resize", "size": [64, 32], "interpolation": "area"}]}, "area"),
    ({"transforms": [{"type": "Resize", "size": [64, 32], "crop": 3}]}, "crop"),
    ({"transforms": [{"type": "Resize"}]}, "no size"),
    ({"task": "Detector"}, "Detector"),
    ({"component": "ResizeBBox"}, "ResizeBBox"),
    ({"params": {"with_argmax": True}}, "how many classes"),
]


@pytest.mark.parametrize(("changed", "named"), WRONG)
def test_what_is_not_understood_is_named(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    folder = write(tmp_path / "wrong", **changed)
    with pytest.raises(DensecastError, match=named):
        export(folder, tmp_path / "float")
    assert not (tmp_path / "float").exists()


def test_an_engine_without_its_graph_is_refused_and_one_beside_it_is_not_needed(tmp_path: Path) -> None:
    folder = write(tmp_path / "engine", net="end2end.engine")
    from densecast.verbs.export import mmdeploy

    assert mmdeploy.read(folder)[0] == folder / "end2end.onnx"
    (folder / "end2end.onnx").unlink()
    with pytest.raises(MissingFileError, match="onnxruntime"):
        mmdeploy.read(folder)


def test_what_has_no_effect_on_such_a_folder_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder")
    with pytest.raises(UsageError, match="MMDeploy"):
        export(folder, tmp_path / "float", preprocess="imagenet")
    with pytest.raises(BadConfigError, match="argmax"):
        export(folder, tmp_path / "float", options=ExportOptions(slide=(32, 32)))
    with pytest.raises(BadConfigError, match="labels are given"):
        export(folder, tmp_path / "float", labels=["one", "two"])
