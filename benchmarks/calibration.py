"""What comparing calibration methods and bias correction buys an int8 build, and what it costs.

The build compares them on a few of its calibration images. Here the method that it takes is built with biases
corrected and left alone, and both are measured on many other images; the times are of whole builds with one image set,
with the choice and without it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from densecast import BuildOptions, ExportOptions, InputShape, MaxDrop, Pipeline, QuantizeOptions, build, export_zoo
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.spec.options import BiasCorrection
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.zoo._base import ZOO
from max_drop import MODELS, data_root

WAYS: tuple[BiasCorrection, ...] = ("none", "fast")
HEADER = [
    "network",
    "ranges by",
    "biases",
    "changed, as compared",
    "changed on other images [95 %]",
    "taken",
    "build s",
]


def one(model: str, data: Path, folder: Path, images: int, evaluated: int) -> dict[str, Any]:
    """The choice that is made for one model, and both ways of treating biases on other images."""
    entry = ZOO.load(model)
    source = export_zoo(model, folder / model / "float", ExportOptions())
    shape = InputShape(height=entry.example_size_hw[0], width=entry.example_size_hw[1])
    options = BuildOptions("openvino", "qint8_mixed_float16", shape, QuantizeOptions(images, split="all"))
    chosen, chosen_s = timed(source, folder / model / "auto", options, data)
    record = chosen.manifest.calibration
    assert record is not None
    options_of_drop = MaxDrop(1.0, "disagreement", images=evaluated, split="all")
    accuracy = AccuracyEvaluator(chosen.spec, data, options_of_drop, calibration=record)
    accuracy.set_count(evaluated)
    with Pipeline.open(build(source, folder / model / "exact", replace(options, precision="force_float32"))) as exact:
        accuracy.measure_reference(exact, lambda done, total: None)
    ways = {}
    for way in WAYS:
        named = codec.from_plain(
            {
                **codec.to_plain(options.quantize),
                "calibration_method": record.calibration_method,
                "bias_correction": way,
            },
            QuantizeOptions,
            "calibration.py",
        )
        built, seconds = timed(source, folder / model / way, replace(options, quantize=named), data)
        with Pipeline.open(built) as pipeline:
            ways[way] = {"changed": asdict(accuracy.drop(pipeline, lambda done, total: None)), "seconds": seconds}
    return {"record": codec.to_plain(record), "seconds": chosen_s, "evaluated": accuracy.images, "ways": ways}


def timed(source: FloatArtifact, out: Path, options: BuildOptions, data: Path) -> tuple[CompiledArtifact, float]:
    """A build and its seconds."""
    start = time.perf_counter()
    return build(source, out, options, data=data), time.perf_counter() - start


def rows(model: str, found: dict[str, Any]) -> list[list[str]]:
    """A line for every calibration method, then one for each way with biases."""
    record, lines = found["record"], []
    for calibration_method, value in record["tried"].items():
        if calibration_method != record["calibration_method"]:
            lines.append([model, calibration_method, WAYS[0], f"{value:.3%}", "", "", ""])
    for way, measured in found["ways"].items():
        changed = measured["changed"]
        lines.append(
            [
                model,
                record["calibration_method"],
                way,
                f"{record['tried_biases'][way]:.3%}",
                f"{changed['value']:.3f} % [{changed['low']:.3f}, {changed['high']:.3f}]",
                "yes" if way == record["bias_correction"] else "",
                f"{measured['seconds']:.1f} ({found['seconds']:.1f} with the choice)",
            ]
        )
    return lines


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument("--data", type=Path, action="append", help="folders already drawn: streets, cars")
    parser.add_argument("--images", type=int, default=100, help="calibration images")
    parser.add_argument("--evaluated", type=int, default=120, help="other images")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp())
    found: dict[str, Any] = {}
    lines: list[list[str]] = []
    try:
        for model in arguments.models or MODELS:
            data = data_root(model, arguments.data or [], scratch)
            found[model] = one(model, data, scratch, arguments.images, arguments.evaluated)
            lines += rows(model, found[model])
    finally:
        shutil.rmtree(scratch)
    print(table(HEADER, lines, "<<<>><>"))
    if arguments.json:
        here = codec.to_plain(machine.describe())
        files.write_text(arguments.json, codec.json_text({"machine": here, "found": found}))


if __name__ == "__main__":
    main()
