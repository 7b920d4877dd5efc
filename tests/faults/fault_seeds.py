"""Small models of every format, from which damaged ones are made."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fault_targets
import onnx
import onnx.parser
import tiny_artifacts
import tiny_graphs

from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape

_WITH_FLOW = """
<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
flow (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
<float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}, int64 turns = {3}, bool go = {1}, int64[4] shape = {1, 1, 1, 1}>
{
  c = Conv (image, w)
  zeros = ConstantOfShape (shape)
  d = Add (c, zeros)
  e = own.twice (d)
  logits = Loop (turns, go, e) <body = body (int64 i, bool on, float[N, 2, H, W] v)
    => (bool still, float[N, 2, H, W] r) {
    still = Identity (on)
    r = Relu (v)
  }>
}
<opset_import: ["" : 17], domain: "own">
twice (x) => (y) { y = Add (x, x) }
"""

_FROZEN = """
import sys
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
first, last = (rng.normal(size=size).astype(np.float32) / 9 for size in ((3, 3, 3, 8), (1, 1, 8, 2)))
graph = tf.Graph()
with graph.as_default():
    x = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], name="picture")
    x = tf.nn.relu6(tf.nn.conv2d(x, first, 2, "SAME"))
    tf.nn.bias_add(tf.nn.conv2d(x, last, 1, "SAME"), [0.1, 0.2], name="scores")
open(sys.argv[1], "wb").write(graph.as_graph_def().SerializeToString())
"""


@dataclass(frozen=True)
class Seed:
    """A whole file, and the spec with which a model file is exported."""

    path: Path
    spec: ModelSpec


def write(folder: Path, only: Sequence[str] | None = None) -> dict[str, list[Seed]]:
    """Write the seeds of all formats, or of some, for which libraries are installed."""
    folder.mkdir(parents=True)
    spec = tiny_artifacts.spec()
    made: dict[str, list[Path]] = {}
    wanted = set(only) if only else None

    def wants(*kinds: str) -> bool:
        return wanted is None or bool(wanted & set(kinds))

    if wants("onnx"):
        onnx.save(tiny_graphs.segmentation(), folder / "plain.onnx")
        onnx.save(onnx.parser.parse_model(_WITH_FLOW), folder / "flow.onnx")
        made["onnx"] = [folder / "plain.onnx", folder / "flow.onnx"]
    if wants("manifest", "xml"):
        built: list[Path] = []
        for engine in ("onnxruntime", "openvino"):
            (folder / engine).mkdir()
            options = BuildOptions(engine, "force_float32", shape=InputShape(height=32, width=32))
            built.append(tiny_artifacts.compiled(folder / engine, options).folder)
        made["manifest"] = [each / "manifest.json" for each in built]
        made["xml"] = sorted(built[1].glob("*.xml"))
    if importlib.util.find_spec("torch") and wants("torchscript", "pth", "safetensors"):
        made |= _torch(folder)
    if importlib.util.find_spec("tf2onnx") and importlib.util.find_spec("tensorflow") and wants("tensorflow"):
        path = folder / "frozen.pb"
        subprocess.run([sys.executable, "-c", _FROZEN, path], check=True, capture_output=True)
        made["tensorflow"] = [path]
    return {
        kind: [Seed(path, spec) for path in paths]
        for kind, paths in made.items()
        if paths and (wanted is None or kind in wanted)
    }


def warm_up(seeds: dict[str, list[Seed]]) -> None:
    """Compile the kernels that whole artifacts need: a confined process keeps nothing, and would for each file anew."""
    for folder in sorted({seed.path.parent for kind in ("manifest", "xml") for seed in seeds.get(kind, ())}):
        payload = {"path": str(folder / "manifest.json"), "artifact": str(folder), "name": "manifest.json"}
        with tempfile.TemporaryDirectory() as scratch:
            fault_targets.artifact(payload, Path(scratch))


def _torch(folder: Path) -> dict[str, list[Path]]:
    import tiny_torch
    import torch
    from safetensors.torch import save_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = tiny_torch.write_script(folder / "traced.pt")
        scripted = folder / "scripted.pt"
        torch.jit.script(tiny_torch.segmentation()).save(str(scripted))
    state = tiny_torch.segmentation().state_dict()
    torch.save({"epoch": 3, "state_dict": state, "lr": 0.1}, folder / "training.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "plain.safetensors")
    return {
        "torchscript": [traced, scripted],
        "pth": [folder / "training.pth", folder / "legacy.pth"],
        "safetensors": [folder / "plain.safetensors"],
    }
