"""The full-size UNet (base 64, 640×960) in each engine and precision, against ONNX Runtime in float32.

Inference alone, input ready, threads alike, repetitions interleaved so that a drift of the machine's speed hits all.
Weights are random: speed does not depend on them; int8 ranges come from procedural pictures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from densecast import BuildOptions, ExportOptions, InputShape, Pipeline, QuantizeOptions, export_zoo
from densecast.build import build
from densecast.core import catalog, codec, files, machine
from densecast.core.options import Range
from densecast.core.precision import Precision, short
from densecast.report.markdown import table
from densecast.scenes import write_carvana

SIZE_HW = (640, 960)
CASES: tuple[tuple[str, Precision], ...] = (
    ("onnxruntime", "force_float32"),
    ("openvino", "force_float32"),
    ("openvino", "force_float16"),
    ("openvino", "qint8_mixed_float16"),
    ("onnxruntime", "qint8_mixed_float16"),
)


def random_checkpoint(path: Path) -> None:
    """Weights as torch initialises them, and batch statistics as after a little training."""
    torch.manual_seed(0)
    plugin = catalog.load("networks", "unet")
    network = plugin.build(plugin.Options()).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 128, 192))
    torch.save(network.state_dict(), path)


def measure(folder: Path, repetitions: int) -> dict[str, object]:
    """Build every case and time them in turn."""
    random_checkpoint(folder / "unet.pth")
    # Twice the network's size: the zoo entry halves it. Calibration ranges settle after a few images of this kind.
    write_carvana.write(folder / "data", 10, size_hw=(SIZE_HW[0] * 2, SIZE_HW[1] * 2), seed=7)
    exported = export_zoo("unet_carvana", folder / "float", ExportOptions(side=Range(32, 2048)), given=folder / "unet.pth")
    assert exported.manifest.parity is not None
    pipelines = {}
    for backend, precision in CASES:
        shape = InputShape(height=SIZE_HW[0], width=SIZE_HW[1])
        options = BuildOptions(backend, precision, shape, QuantizeOptions(split="all", images=8))
        name = f"{backend} {short(precision)}"
        artifact = build(exported, folder / name.replace(" ", "_"), options, data=folder / "data")
        pipelines[name] = Pipeline.open(artifact)
    feed = {"image": np.random.default_rng(0).random((1, 3, *SIZE_HW), dtype=np.float32)}
    times_ms: dict[str, list[float]] = {name: [] for name in pipelines}
    for repetition in range(repetitions + 1):
        for name, pipeline in pipelines.items():
            start = time.perf_counter_ns()
            pipeline.runner.run(feed)
            if repetition:  # the first round warms up
                times_ms[name].append((time.perf_counter_ns() - start) / 1e6)
    base = np.asarray(times_ms["onnxruntime fp32"])
    return {
        "what": f"UNet base 64, {SIZE_HW[0]}x{SIZE_HW[1]}, batch 1, inference alone, {repetitions} interleaved repetitions",
        "threads": next(iter(pipelines.values())).plan.threads,
        "export_parity": codec.to_plain(exported.manifest.parity),
        "cases": {
            name: {
                "ran": str(pipeline.runner.precision),
                "settings": pipeline.artifact.manifest.settings,
                "median_ms": float(np.median(times_ms[name])),
                "samples_ms": times_ms[name],
                "times_faster": float(np.median(base / np.asarray(times_ms[name]))),
            }
            for name, pipeline in pipelines.items()
        },
        "machine": codec.to_plain(machine.describe()),
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.repetitions)
    cases = found["cases"]
    assert isinstance(cases, dict)
    rows = [[n, c["ran"], f"{c['median_ms']:.0f}", f"{c['times_faster']:.2f}"] for n, c in cases.items()]
    print(f"{found['what']}, {found['threads']} threads")
    print(table(["case", "ran", "median ms", "times ONNX Runtime fp32"], rows, "<<>>"))
    if arguments.json:
        files.write_text(arguments.json, codec.json_text(found))


if __name__ == "__main__":
    main()
