"""Whether int8 for all CPUs that was built within a limit of accuracy stays within it on others.

    python portable/max_drop.py [--root runs/portable_drop] [--networks unet_tiny,…] [--points 0.5]
                                [--metric disagreement] [--images 60] [--emulated 0] [--size 96x144] [--cpus "VNNI,…"]
                                [--json FILE]

Each network is searched with `--max-drop` and `--cpu any` here. What is found is then measured against float32 on each
CPU - this one, this one with less to use, and with `--emulated N` Haswell under qemu - on the images that the promise
was made on and on as many others, under qemu on N of each, beside what is lost on the same ones here. `--size` draws
images of that height and width: an emulator takes ten minutes for a usual one. Exit code 1 where more is lost on the
images of the promise than was promised, and than here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from run import CAPPED, HASWELL, NATIVE, VNNI, Machine, interpreter

from densecast import BuildOptions, InputShape, MaxDrop, Pipeline, QuantizeOptions, build, export_zoo
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.scenes import SCENES
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.zoo._base import ZOO

CALIBRATED = 20
MACHINES = (NATIVE, VNNI, CAPPED, HASWELL)


def within(
    network: str, points: float, metric: str | None, images: int, root: Path, image_hw: tuple[int, int] | None
) -> tuple[Path, Path]:
    """The folder with the network in float32 and in int8 within the limit, for all CPUs; and where its images are."""
    entry = ZOO.load(network)
    assert entry.data is not None
    size = f" {image_hw[0]}x{image_hw[1]}" if image_hw else ""
    data = root / f"{entry.data.writer}{size}"
    if not data.is_dir():
        drawn = {"size_hw": image_hw} if image_hw else {}
        SCENES.load(entry.data.writer)(data, CALIBRATED + 2 * images, seed=entry.data.seed, workers=1, **drawn)
    folder = root / f"{network} {metric or 'own'}{size}"
    exported = folder / "float"
    source = FloatArtifact.open(exported) if exported.is_dir() else export_zoo(network, exported)
    height, width = source.spec.preprocess.place(image_hw).model_hw if image_hw else entry.example_size_hw
    quantize = QuantizeOptions(images=CALIBRATED, split="all", calibration_method="mean_minmax")
    options = BuildOptions("openvino", "force_float32", InputShape(height=height, width=width), quantize, cpu="any")
    build(source, folder / "exact", options)
    int8 = replace(options, precision="qint8_mixed_float16")
    build_within(source, folder / "within", int8, MaxDrop(points, metric, 300.0, images, "all"), data=data)
    return folder, data


def measured(folder: Path, data: Path, count: int) -> dict[str, Any]:
    """In this process: what the model within the limit loses against float32, in points.

    Of `count` of the images that the promise was made on, and of as many that the search did not see.
    """
    exact, within_limit = (CompiledArtifact.open(folder / name) for name in ("exact", "within"))
    search = within_limit.manifest.search
    assert search is not None
    spec, found = within_limit.spec, dict[str, Any]()
    calibration = within_limit.manifest.calibration
    every = AccuracyEvaluator(spec, data, search.options, calibration=calibration)
    every.set_count(sys.maxsize)
    # Of all images a few would be others than a few of the promise's.
    unseen = {sample.id for sample in every.samples} - {*search.ids}
    for name, excluded in (("promised", unseen), ("others", search.ids)):
        accuracy = AccuracyEvaluator(spec, data, search.options, calibration=calibration, excluded_ids=excluded)
        accuracy.set_count(count)
        with Pipeline.open(exact) as pipeline:
            accuracy.measure_reference(pipeline, _silent)
        with Pipeline.open(within_limit) as pipeline:
            found[name] = asdict(accuracy.drop(pipeline, _silent))
            found["ran"] = str(pipeline.precision)
        found["images"], found["metric"], found["points"] = accuracy.images, accuracy.metric, search.options.points
    return found


def _silent(done: int, total: int | None) -> None:
    """No progress is shown."""


def main() -> int:
    """Build here, measure everywhere, print a line each; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("runs/portable_drop"))
    parser.add_argument("--networks", default="unet_tiny,fcn_tiny")
    parser.add_argument("--points", type=float, default=0.5)
    parser.add_argument("--metric", help="disagreement, say; default: the network's own")
    parser.add_argument("--images", type=int, default=60, help="that the promise is made on")
    parser.add_argument("--emulated", type=int, default=0, help="images under qemu; 0: none")
    parser.add_argument("--size", type=_size, help="of the images, HxW; default: as the network's are drawn")
    parser.add_argument("--cpus", default=",".join(each.name for each in MACHINES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measured", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measured:
        folder, data, count = given.measured
        print(json.dumps(measured(Path(folder), Path(data), int(count))))
        return 0
    root, rows = given.root.resolve(), []
    os.environ["DENSECAST_CACHE"] = str(root / "cache")
    for network in given.networks.split(","):
        folder, data = within(network, given.points, given.metric, given.images, root, given.size)
        told = {"network": network, **({"image_hw": list(given.size)} if given.size else {})}
        for machine in (each for each in MACHINES if each.name in given.cpus.split(",")):
            count = given.emulated if machine.emulated else given.images
            if count:
                here = {"here": _asked(NATIVE, folder, data, count)} if machine.emulated else {}
                rows.append({**told, "cpu": machine.name, **_asked(machine, folder, data, count), **here})
                print(json.dumps(rows[-1]), flush=True)
    if given.json:
        held = json.loads(given.json.read_text())["rows"] if given.json.exists() else []
        cells = {_cell(row): row for row in [*held, *rows]}
        given.json.write_text(json.dumps({"rows": [cells[key] for key in sorted(cells)]}, indent=1) + "\n")
    return 1 if any(row["promised"]["value"] > _most(row) for row in rows) else 0


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def _cell(row: dict[str, Any]) -> tuple[object, ...]:
    return row["network"], row["metric"], tuple(row.get("image_hw", ())), row["cpu"]


def _most(row: dict[str, Any]) -> float:
    """What may be lost: the points, and on few images what is lost on them here."""
    return max(row["points"], row["here"]["promised"]["value"] if "here" in row else 0.0)


def _asked(machine: Machine, folder: Path, data: Path, count: int) -> dict[str, Any]:
    """What is measured on a CPU, in a process of its own there."""
    environment = {**os.environ, **dict(machine.variables), "NUMBA_CACHE_DIR": str(folder.parent / "kernels")}
    python = interpreter(machine.emulated, shutil.which("qemu-x86_64"), environment)
    command = [*python, str(Path(__file__).resolve()), "--measured", str(folder), str(data), str(count)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
