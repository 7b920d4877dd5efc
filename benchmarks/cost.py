"""What an image costs on rented CPUs: images for an hour of one CPU, and for a kilowatt-hour where the system tells.

    python benchmarks/cost.py --model fcn_r50_d8_voc --json benchmarks/results/cost.json

From file to labels or people in throughput mode, each network and precision by `densecast.benchmark`, in rounds in
which the precisions take turns. `by_clock` is what an hour of this machine gives; `by_cpu_time` is 3,600 s over the CPU
seconds of an image, which other programs' work changes least: what an hour would give if nothing else ran. The file
keeps what it holds of other networks. docs/number_tables.py puts the references' own devices beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from densecast import benchmark
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.spec.precision import Precision, short
from densecast.spec.verb_options import BenchmarkOptions
from subjects import SUBJECTS, Subject

DEFAULT_MODELS = ("fcn_r50_d8_voc", "unet_carvana", "ocrnet_hr18", "hrnet_w32_ae", "unet_tiny")
PRECISIONS: tuple[Precision, ...] = ("qint8_mixed_float16", "force_float16")
IMAGES, ROUNDS, SECONDS = 8, 3, 6.0


def measure(subject: Subject, folder: Path) -> dict[str, Any]:
    """Both precisions of one network."""
    folder.mkdir(parents=True, exist_ok=True)
    images = subject.images(folder, IMAGES)
    built = {short(precision): subject.built(folder, precision, images) for precision in PRECISIONS}
    options = BenchmarkOptions(images=IMAGES, seconds=SECONDS, warm_up=2)
    rounds: dict[str, list[dict[str, float | None]]] = {name: [] for name in built}
    before = os.getloadavg()[0]
    for _ in range(ROUNDS):
        for name, artifact in built.items():
            timing = benchmark(artifact, images, options, mode="throughput").timing
            rounds[name].append(
                {
                    "images_per_s": timing.images_per_s,
                    "inference_only_per_s": timing.inference_only_per_s,
                    "cpu_ms_per_image": timing.cpu_ms_per_image,
                    "images_per_vcpu_hour": timing.images_per_vcpu_hour,
                    "images_per_kwh": timing.images_per_kwh,
                    "load": timing.load.others,
                }
            )
    return {
        "machine": codec.to_plain(machine.describe()),
        "cpus": machine.usable_cpus(),
        "size_hw": subject.model_hw(images),
        "load_average": [round(each, 2) for each in (before, os.getloadavg()[0])],
        "precisions": {name: summed_up(each) for name, each in rounds.items()},
    }


def summed_up(rounds: list[dict[str, float | None]]) -> dict[str, Any]:
    """The medians over the rounds, and the rounds."""
    found: dict[str, Any] = {}
    for name in rounds[0]:
        values = [value for each in rounds if (value := each[name]) is not None]
        found[name] = statistics.median(values) if values else None
    cpu_ms = found["cpu_ms_per_image"]
    found["images_per_vcpu_hour_by_cpu_time"] = 3.6e6 / cpu_ms if cpu_ms else None
    return {**found, "rounds": rounds}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SUBJECTS), default=list(DEFAULT_MODELS))
    parser.add_argument("--work", type=Path, default=Path("runs/bench/peers"), help="where builds and images are kept")
    parser.add_argument("--json", type=Path, help="what it holds of other networks is kept")
    chosen = parser.parse_args()
    models: dict[str, Any] = {}
    if chosen.json and chosen.json.is_file():
        models = json.loads(chosen.json.read_text(encoding="utf-8"))["models"]
    for model in chosen.model:
        models[model] = measure(SUBJECTS[model], chosen.work / model)
        print(told({model: models[model]}), flush=True)
        if chosen.json:
            files.write_text(chosen.json, codec.json_text({"models": dict(sorted(models.items()))}))


def told(models: dict[str, Any]) -> str:
    """The medians as a table."""
    rows = [
        [
            model,
            precision,
            f"{cost['images_per_s']:.2f}",
            f"{cost['images_per_vcpu_hour']:,.0f}",
            f"{cost['images_per_vcpu_hour_by_cpu_time']:,.0f}",
            "" if cost["images_per_kwh"] is None else f"{cost['images_per_kwh']:,.0f}",
        ]
        for model, found in models.items()
        for precision, cost in found["precisions"].items()
    ]
    header = ["network", "precision", "images/s", "a vCPU-hour, by the clock", "by CPU time", "a kWh"]
    return table(header, rows, "<<>>>>")


if __name__ == "__main__":
    main()
