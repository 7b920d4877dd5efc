"""Full-size networks in each engine and precision, against ONNX Runtime in float32.

Inference alone, input ready, threads alike, repetitions interleaved so that a drift of the machine's speed hits all.
Weights are random: speed does not depend on them; int8 ranges come from procedural images.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densecast import BuildOptions, ExportOptions, InputShape, Pipeline, QuantizeOptions, build, export_zoo
from densecast.io import codec, files
from densecast.networks._base import NETWORKS
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.scenes import write_carvana
from densecast.spec.precision import Precision, short
from densecast.spec.tensor import Feeds
from densecast.zoo._base import ZOO

# (height, width) of the network's input, and of images that the model's own preprocessing leads there.
MODELS = {
    "unet_carvana": ((640, 960), (1280, 1920)),
    "ocrnet_hr18": ((1024, 2048), (512, 1024)),
    "deeplabv3_r101_d16_mg124": ((1024, 2048), (512, 1024)),
    "unet_s5_d16": ((1024, 2048), (512, 1024)),
    "fcn_r50_d8_voc": ((512, 512), (512, 512)),
}
CASES: tuple[tuple[str, Precision], ...] = (
    ("onnxruntime", "force_float32"),
    ("openvino", "force_float32"),
    ("openvino", "force_float16"),
    ("openvino", "qint8_mixed_float16"),
)
BASE = "onnxruntime fp32"


def random_checkpoint(model: str, path: Path) -> None:
    """Weights as torch initialises them, and batch statistics as after a little training."""
    torch.manual_seed(0)
    entry = ZOO.load(model)
    assert entry.network is not None
    network = NETWORKS.load(entry.network)
    module = network.build(network.options_type(**entry.options)).train()
    with torch.no_grad():
        module(torch.rand(2, 3, 128, 192))
    torch.save(module.state_dict(), path)


def measure(model: str, repetitions: int, folder: Path) -> dict[str, Any]:
    """Build every case of one model and time them in turn."""
    size_hw, image_hw = MODELS[model]
    random_checkpoint(model, folder / "weights.pth")
    # Ranges stop moving after a few images of this kind, and speed does not depend on them.
    write_carvana.write(folder / "data", 4, size_hw=image_hw, seed=7)
    exported = export_zoo(model, folder / "float", ExportOptions(), given=folder / "weights.pth")
    assert exported.manifest.parity is not None
    pipelines, manifests = {}, {}
    for backend, precision in CASES:
        shape = InputShape(height=size_hw[0], width=size_hw[1])
        options = BuildOptions(
            backend, precision, shape, QuantizeOptions(split="all", images=4, calibration_method="mean_minmax")
        )
        name = f"{backend} {short(precision)}"
        built = build(exported, folder / name.replace(" ", "_"), options, data=folder / "data" / "imgs")
        manifests[name] = built.manifest
        pipelines[name] = Pipeline.open(built)
    feed: Feeds = {"image": np.random.default_rng(0).standard_normal((1, 3, *size_hw), dtype=np.float32)}
    times_ms: dict[str, list[float]] = {name: [] for name in pipelines}
    for repetition in range(repetitions + 1):
        for name, pipeline in pipelines.items():
            with pipeline.session.lease() as slot:
                start = time.perf_counter_ns()
                slot.run(feed)
                elapsed_ms = (time.perf_counter_ns() - start) / 1e6
            if repetition:  # the first round warms up
                times_ms[name].append(elapsed_ms)
    base = np.asarray(times_ms[BASE])
    return {
        "size_hw": size_hw,
        "threads": next(iter(pipelines.values())).config.num_threads,
        "export_parity": asdict(exported.manifest.parity),
        "cases": {
            name: {
                "ran": str(pipeline.precision),
                "settings": manifests[name].settings,
                "measurements": manifests[name].measurements,
                "median_ms": float(np.median(times_ms[name])),
                "samples_ms": times_ms[name],
                "times_faster": float(np.median(base / np.asarray(times_ms[name]))),
            }
            for name, pipeline in pipelines.items()
        },
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    rows = []
    for model in arguments.models or MODELS:
        folder = Path(tempfile.mkdtemp())
        try:
            found[model] = measure(model, arguments.repetitions, folder)
        finally:
            shutil.rmtree(folder)
        height, width = found[model]["size_hw"]
        for name, case in found[model]["cases"].items():
            figures = [f"{case['median_ms']:.0f}", f"{case['times_faster']:.1f}"]
            rows.append([model, f"{height}×{width}", name, case["ran"], *figures])
    print(table(["model", "input", "case", "ran", "median ms", "times ONNX Runtime fp32"], rows, "<<<<>>"))
    if arguments.json:
        here = codec.to_plain(machine.describe())
        files.write_text(arguments.json, codec.json_text({"machine": here, "models": found}))


if __name__ == "__main__":
    main()
