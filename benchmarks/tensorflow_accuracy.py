"""What 16 bits and int8 cost the published frozen graph: mIoU on VOC pairs, IoU of the car on Carvana's photographs.

Calibration images come from a folder of others. Labels that change are counted as well: over a few images an mIoU moves
with single pixels, when a class comes or goes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from densecast import BuildOptions, ExportOptions, Pipeline, QuantizeOptions, build, evaluate, export_zoo
from densecast.datasets._base import DATASETS
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.spec.precision import PRECISIONS, short
from densecast.tasks.segmentation import SegmentationMap

MODEL = "deeplabv3_mnv2_voc"


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("graph", type=Path, help="frozen_inference_graph.pb or the published archive")
    parser.add_argument("--voc", type=Path, required=True, help="VOCdevkit or above it")
    parser.add_argument("--carvana", type=Path, help="a folder with imgs/ and masks/")
    parser.add_argument("--calibration", type=Path, required=True, help="a folder of other images, for int8")
    parser.add_argument("--variant", default="original", help="of the export: original, stretch, smooth, unpadded")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    labels: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        exported = export_zoo(MODEL, folder / "float", ExportOptions(variant=arguments.variant), given=arguments.graph)
        car = exported.spec.labels.index("car")
        for precision in PRECISIONS:
            name = short(precision)
            options = BuildOptions(arguments.backend, precision, quantize=QuantizeOptions(images=0))
            built = build(exported, folder / name, options, data=arguments.calibration)
            own = labels.setdefault(name, {})

            def keep(sample: Any, prediction: Any, target: Any, own: dict[str, Any] = own) -> None:
                own[sample.id] = prediction.class_id.copy()

            with Pipeline.open(built) as pipeline:
                score = evaluate(pipeline, arguments.voc, observe=keep).score
                cars = []
                if arguments.carvana:
                    carvana = DATASETS.load("carvana").open(arguments.carvana, "all")
                    for sample in carvana.samples:
                        prediction = pipeline(pipeline.read(sample.image))
                        assert isinstance(prediction, SegmentationMap)
                        seen, is_car = prediction.class_id == car, carvana.read_target(sample) == 1
                        cars.append(float((seen & is_car).sum() / (seen | is_car).sum()))
                changed = [float((own[each] != labels["fp32"][each]).mean()) for each in own]
                found[name] = {
                    "ran": str(pipeline.precision),
                    "miou": score.value,
                    "aacc": score.others["aAcc"],
                    "per_class": score.per_class,
                    "data": codec.to_plain(score.data),
                    "labels_changed": float(np.mean(changed)),
                    "car_iou": cars,
                }
    exact = found["fp32"]["miou"]
    rows = [
        [
            name,
            each["ran"],
            f"{each['miou']:.4f}",
            f"{100 * (each['miou'] - exact):+.2f}",
            f"{each['aacc']:.4f}",
            f"{each['labels_changed']:.2%}",
            " ".join(f"{value:.3f}" for value in each["car_iou"]),
        ]
        for name, each in found.items()
    ]
    heads = ["precision", "ran", "mIoU", "change in points", "pixels right", "labels changed", "car IoU"]
    print(table(heads, rows, "<<>>>><"))
    if arguments.json:
        files.write_text(
            arguments.json, codec.json_text({"machine": codec.to_plain(machine.describe()), "precisions": found})
        )


if __name__ == "__main__":
    main()
