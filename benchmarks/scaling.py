"""What an image costs as things grow: its size, the batch, the threads, the number of images, the people in it.

    python benchmarks/scaling.py --json scaling.json --plot scaling.svg

UNet's small trained network in int8, end to end from JPEG files to predictions; for people, the decoding alone of a
pose network's maps. Each point is measured in a process of its own, after a warm-up, and is a median over rounds in
which all points of a series take turns. The exponent is the slope of the logarithms: 1 is cost in proportion, 0 none.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from charts import Panel, write_panels
from densecast import BuildOptions, ExportOptions, InputShape, Pipeline, QuantizeOptions, export_zoo
from densecast.artifact import Artifact
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.verbs.builder import build
from subjects import SEED

MODEL = "unet_tiny"
IMAGES = 6
HEIGHTS = (160, 320, 640, 1280)
BATCHES = (1, 2, 4, 8)
COUNTS = (10, 100, 1000, 10_000)
PEOPLE = (0, 1, 3, 10, 30)
ROUNDS = 5
TURN_S = 0.6


def built(work: Path, source: Artifact, height: int, batch: int) -> tuple[Path, list[Path]]:
    """The artifact for images of this height, and such images."""
    from densecast.scenes import write_carvana

    width = height * 3 // 2
    folder = work / f"images_{height}"
    write_carvana.write(folder, IMAGES, size_hw=(height, width), seed=SEED, workers=1)
    options = BuildOptions(
        "openvino",
        "qint8_mixed_float16",
        InputShape((batch,), height // 2, width // 2),
        QuantizeOptions(images=IMAGES, calibration_method="mean_minmax"),
        half_type="bf16",
    )
    artifact = build(source, work / f"built_{height}_{batch}", options, data=folder / "imgs")
    return artifact.folder, sorted((folder / "imgs").glob("*.jpg"))


def serve(connection: Connection, artifact: Path, images: list[Path], batch: int, threads: int, mode: str) -> None:
    """A pipeline that predicts as many images as it is told, and says the seconds and its peak memory."""
    with Pipeline.open(artifact, threads=threads, mode="latency" if mode == "latency" else "throughput") as pipeline:
        connection.send("ready")
        while count := connection.recv():
            files_in_turn = (images[index % len(images)] for index in range(count))
            start = time.perf_counter()
            for _ in pipeline.stream(files_in_turn, pipeline.read, lambda found: None, batch=batch):
                pass
            connection.send((time.perf_counter() - start, machine.peak_rss_mb()))


class Point:
    """A process that serves one point of a series."""

    def __init__(self, artifact: Path, images: list[Path], batch: int, threads: int, mode: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.batch = batch
        self.process = context.Process(target=serve, args=(theirs, artifact, images, batch, threads, mode), daemon=True)
        self.process.start()
        self.connection.recv()
        self.run(2 * batch)
        # Whole batches of two streams.
        self.count = max(1, round(TURN_S / self.run(2 * batch)[0])) * 2 * batch
        self.times_ms: list[float] = []
        self.peak_mb = 0.0

    def run(self, count: int) -> tuple[float, float]:
        """Seconds for so many images, and peak memory so far."""
        self.connection.send(count)
        seconds, peak_mb = self.connection.recv()
        return seconds, peak_mb

    def turn(self) -> None:
        """One sample."""
        seconds, self.peak_mb = self.run(self.count)
        self.times_ms.append(1000 * seconds / self.count)

    def end(self) -> dict[str, float]:
        """Stop the process; the median time of an image and the peak memory."""
        self.connection.send(0)
        self.process.join()
        return {"ms": statistics.median(self.times_ms), "peak_mb": round(self.peak_mb, 1)}


def series(points: dict[float, Point]) -> dict[str, Any]:
    """Rounds in which the points take turns, and the exponent over them."""
    for _ in range(ROUNDS):
        for point in points.values():
            point.turn()
    found = {x: point.end() for x, point in points.items()}
    return {"points": found, "exponent": exponent([(x, value["ms"]) for x, value in found.items()])}


def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of log y over log x, by least squares."""
    x, y = (np.log([point[axis] for point in points]) for axis in (0, 1))
    return float(np.polyfit(x, y, 1)[0])


def many_images(artifact: Path, images: list[Path]) -> dict[str, Any]:
    """Rate and peak memory after 10, 100, ... images, each in a fresh process."""
    found = {}
    for count in COUNTS:
        point = Point(artifact, images, 1, machine.usable_cpus(), "throughput")
        seconds, peak_mb = point.run(count)
        found[count] = {"ms": 1000 * seconds / count, "peak_mb": round(peak_mb, 1)}
        point.connection.send(0)
        point.process.join()
    return {"points": found, "exponent": exponent([(count, value["peak_mb"]) for count, value in found.items()])}


def people() -> dict[str, Any]:
    """CPU milliseconds of decoding the maps of a 512 x 704 input with so many people."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    from pose_scenes import Scene, draw

    from densecast.spec.pose_geometry import place
    from densecast.tasks.pose import postprocess

    placement = place((480, 640))
    maps = {}
    for count in PEOPLE:
        size = (0.5, 1.0) if count <= 3 else (0.2, 0.5)
        scene = Scene(40 + count, count, map_hw=(128, 176), size=size, radius=6.0, missing=0.1, noise=0.01)
        maps[count] = draw(scene)[0]
        postprocess.decode([maps[count]], placement)
    times: dict[int, list[float]] = {count: [] for count in PEOPLE}
    for _ in range(4 * ROUNDS):
        for count, drawn in maps.items():
            start = time.thread_time()
            postprocess.decode([drawn], placement)
            times[count].append(1000 * (time.thread_time() - start))
    found = {count: {"ms": statistics.median(each)} for count, each in times.items()}
    return {"points": found, "exponent": exponent([(x, value["ms"]) for x, value in found.items() if x])}


def measure(work: Path) -> dict[str, dict[str, Any]]:
    """All series."""
    source = export_zoo(MODEL, work / "float", ExportOptions())
    cpus = machine.usable_cpus()
    threads = [count for count in (1, 2) if count <= cpus]
    found = {}
    sizes = {height: built(work, source, height, 1) for height in HEIGHTS}
    for mode in ("latency", "throughput"):
        points = {height * height * 3 / 2 / 1e6: Point(*sizes[height], 1, cpus, mode) for height in HEIGHTS}
        found[f"megapixels, {mode}"] = series(points)
    batches = {batch: built(work, source, 320, batch) for batch in BATCHES}
    found["batch, throughput"] = series({batch: Point(*batches[batch], batch, cpus, "throughput") for batch in BATCHES})
    for mode in ("latency", "throughput"):
        found[f"threads, {mode}"] = series({count: Point(*sizes[640], 1, count, mode) for count in threads})
    found["images, throughput"] = many_images(*sizes[160])
    found["people, decoding"] = people()
    return found


def main() -> None:
    """Measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/bench/scaling"), help="where builds are kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG file")
    chosen = parser.parse_args()
    found = measure(chosen.work)
    rows = [
        [name, f"{x:.4g}", f"{point['ms']:.2f}", str(point.get("peak_mb", "")), f"{result['exponent']:.2f}"]
        for name, result in found.items()
        for x, point in result["points"].items()
    ]
    print(table(["series", "at", "ms an image", "peak MB", "exponent"], rows, "<>>>>"))
    if chosen.json:
        files.write_text(
            chosen.json, codec.json_text({"machine": codec.to_plain(machine.describe()), "series": _by_text(found)})
        )
    if chosen.plot:
        write_panels(chosen.plot, panels(found))


def panels(found: dict[str, dict[str, Any]]) -> list[Panel]:
    """A chart a kind of growth, a line a mode; for the number of images also memory."""
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, result in found.items():
        what, mode = name.split(", ")
        # A logarithmic axis has no 0: an image without people is left out.
        points = [(float(x), point["ms"]) for x, point in result["points"].items() if x]
        slope = "" if what == "images" else f", exponent {result['exponent']:.2f}"
        lines.setdefault(what, {})[f"{mode}{slope}"] = points
    charts = [Panel(f"by {what}", what, "ms an image", each) for what, each in lines.items()]
    images = found["images, throughput"]
    memory = [(float(x), point["peak_mb"]) for x, point in images["points"].items()]
    charts.append(Panel("memory", "images", "peak MB", {f"exponent {images['exponent']:.3f}": memory}))
    return charts


def _by_text(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The same with texts as keys, as JSON has them."""
    return {
        name: {**result, "points": {f"{x:g}": point for x, point in result["points"].items()}}
        for name, result in found.items()
    }


if __name__ == "__main__":
    main()
