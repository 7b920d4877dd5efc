"""What an image costs as things grow: its size, the batch, the threads, the number of images, people, tiles, requests.

    python benchmarks/scaling.py --prepare                               # builds; nothing is measured
    python benchmarks/scaling.py --only pixels --json scaling.json       # one curve, within six minutes
    python benchmarks/scaling.py --json scaling.json --plot scaling.svg  # all that the file does not hold yet

UNet's small trained network in int8, end to end from JPEG files to predictions; for people, the decoding alone of a
pose network's maps; for tiles, `fcn_tiny` in float32 by `infer --large`; for requests, `densecast serve` over loopback.
Each point is measured in a process of its own, after a warm-up, and is a median over rounds in which all points of a
curve take turns, by the clock and by CPU time, which other programs' work changes least. The exponent is the slope of
the logarithms: 1 is cost in proportion, 0 none. A curve that the file holds is measured again only when it is named.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import large
import serve as server
import serve_clients
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
SIDES = (1000, 2000, 4000, 8000)
CLIENTS = (1, 2, 4, 8, 16)
TILE = 1024
ROUNDS = 5
TURN_S = 0.6
Points = dict[float, dict[str, float]]


def built(work: Path, height: int, batch: int) -> tuple[Path, list[Path]]:
    """The artifact for images of this height, and such images; both are made once."""
    from densecast.scenes import write_carvana

    source: Artifact = export_zoo(MODEL, work / "float", ExportOptions())
    width = height * 3 // 2
    folder = work / f"images_{height}"
    if not folder.is_dir():
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


def predict(connection: Connection, artifact: Path, images: list[Path], batch: int, threads: int, mode: str) -> None:
    """A pipeline that predicts as many images as it is told, and says the seconds and its peak memory."""
    with Pipeline.open(artifact, threads=threads, mode="latency" if mode == "latency" else "throughput") as pipeline:
        connection.send("ready")
        while count := connection.recv():
            files_in_turn = (images[index % len(images)] for index in range(count))
            start, cpu = time.perf_counter(), time.process_time()
            for _ in pipeline.stream(files_in_turn, pipeline.read, lambda found: None, batch=batch):
                pass
            connection.send((time.perf_counter() - start, time.process_time() - cpu, machine.peak_rss_mb()))


class Point:
    """A process that serves one point of a series."""

    def __init__(self, artifact: Path, images: list[Path], batch: int, threads: int, mode: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.batch = batch
        self.process = context.Process(
            target=predict, args=(theirs, artifact, images, batch, threads, mode), daemon=True
        )
        self.process.start()
        self.connection.recv()
        self.run(2 * batch)
        # Whole batches of two streams.
        self.count = max(1, round(TURN_S / self.run(2 * batch)[0])) * 2 * batch
        self.times_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.peak_mb = 0.0

    def run(self, count: int) -> tuple[float, float, float]:
        """Seconds and CPU seconds for so many images, and peak memory so far."""
        self.connection.send(count)
        seconds, cpu_s, peak_mb = self.connection.recv()
        return seconds, cpu_s, peak_mb

    def turn(self) -> None:
        """One sample."""
        seconds, cpu_s, self.peak_mb = self.run(self.count)
        self.times_ms.append(1000 * seconds / self.count)
        self.cpu_ms.append(1000 * cpu_s / self.count)

    def end(self) -> dict[str, float]:
        """Stop the process; the times of an image and the peak memory."""
        self.connection.send(0)
        self.process.join()
        return {**times(self.times_ms, self.cpu_ms), "peak_mb": round(self.peak_mb, 1)}


def times(wall_ms: list[float], cpu_ms: list[float]) -> dict[str, float]:
    """The medians, and how far the rounds lie apart."""
    low, high = min(wall_ms), max(wall_ms)
    found = {"ms": statistics.median(wall_ms), "least_ms": low, "most_ms": high, "cpu_ms": statistics.median(cpu_ms)}
    return {name: round(value, 4) for name, value in found.items()}


def in_turns(points: dict[float, Point]) -> Points:
    """Rounds in which the points take turns."""
    for _ in range(ROUNDS):
        for point in points.values():
            point.turn()
    return {x: point.end() for x, point in points.items()}


def exponent(points: Points, of: str) -> float | None:
    """The slope of log `of` over log x, by least squares; None where a value is 0 or missing."""
    found = [(x, point[of]) for x, point in points.items() if x and point.get(of)]
    if len(found) < 2:
        return None
    x, y = (np.log([each[axis] for each in found]) for axis in (0, 1))
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def pixels(work: Path, mode: str) -> Points:
    """Images of one eighth to eight times as many pixels, by megapixels."""
    sizes = {height: built(work, height, 1) for height in HEIGHTS}
    cpus = machine.usable_cpus()
    return in_turns({height * height * 3 / 2 / 1e6: Point(*sizes[height], 1, cpus, mode) for height in HEIGHTS})


def batch(work: Path) -> Points:
    """Images of one size in larger batches."""
    batches = {each: built(work, 320, each) for each in BATCHES}
    return in_turns({each: Point(*batches[each], each, machine.usable_cpus(), "throughput") for each in BATCHES})


def threads(work: Path, mode: str) -> Points:
    """Images of one size on more threads."""
    counts = [count for count in (1, 2, 4, 8, 16) if count <= machine.usable_cpus()]
    return in_turns({count: Point(*built(work, 640, 1), 1, count, mode) for count in counts})


def images(work: Path) -> Points:
    """Time an image and peak memory after 10, 100, ... images, each in a fresh process."""
    found: Points = {}
    for count in COUNTS:
        point = Point(*built(work, 160, 1), 1, machine.usable_cpus(), "throughput")
        seconds, cpu_s, peak_mb = point.run(count)
        found[count] = {**times([1000 * seconds / count], [1000 * cpu_s / count]), "peak_mb": round(peak_mb, 1)}
        point.connection.send(0)
        point.process.join()
    return found


def people(work: Path) -> Points:
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
    taken: dict[int, list[float]] = {count: [] for count in PEOPLE}
    for _ in range(4 * ROUNDS):
        for count, drawn in maps.items():
            start = time.thread_time()
            postprocess.decode([drawn], placement)
            taken[count].append(1000 * (time.thread_time() - start))
    return {count: times(each, each) for count, each in taken.items()}


def tiles(work: Path) -> Points:
    """Pictures of more and more megapixels in tiles, each in a process of its own."""
    artifact = large.built("fcn_tiny", work / "tiles")
    found: Points = {}
    for side in SIDES:
        picture = work / f"{side}.png"
        large.write_picture(picture, side)
        case = large.case(artifact, picture, work / f"out_{side}", TILE)
        picture.unlink()
        wall, cpu = 1000 * case["seconds"], 1000 * case["cpu_seconds"]
        found[side * side / 1e6] = {**times([wall], [cpu]), "peak_mb": round(case["peak_mb"], 1)}
    return found


def requests(work: Path) -> Points:
    """More and more clients of one server, each asking again once it has its answer."""
    artifact, pictures = built(work, 640, 1)
    given = server.Given(str(artifact), pictures, ROUNDS, 3.0, None)
    wall: dict[int, list[float]] = {count: [] for count in CLIENTS}
    waited: dict[int, list[float]] = {count: [] for count in CLIENTS}
    cpu: dict[int, list[float]] = {count: [] for count in CLIENTS}
    with server.served(given, "--queue", "64") as (pid, clients):
        clients.at_a_time(max(CLIENTS), 2.0)
        for _ in range(ROUNDS):
            for count in CLIENTS:
                until_s, before_s = time.perf_counter() + given.seconds, server.cpu_s(pid)
                answers = clients.at_a_time(count, given.seconds)
                if failed := sorted({each.status for each in answers} - {200}):
                    raise SystemExit(f"answered with {failed}")
                cpu[count].append(1000 * (server.cpu_s(pid) - before_s) / len(answers))
                rate = serve_clients.images_per_s([each.end_s for each in answers], until_s)
                wall[count].append(1000 / rate)
                waited[count].append(statistics.median(each.ms for each in answers))
    return {
        count: {**times(wall[count], cpu[count]), "answered_ms": round(statistics.median(waited[count]), 2)}
        for count in CLIENTS
    }


Curve = Callable[[Path], Points]
CURVES: dict[str, tuple[str, Curve]] = {
    "pixels": ("megapixels, latency", lambda work: pixels(work, "latency")),
    "pixels-throughput": ("megapixels, throughput", lambda work: pixels(work, "throughput")),
    "batch": ("batch, throughput", batch),
    "threads": ("threads, latency", lambda work: threads(work, "latency")),
    "threads-throughput": ("threads, throughput", lambda work: threads(work, "throughput")),
    "images": ("images, throughput", images),
    "people": ("people, decoding", people),
    "tiles": ("megapixels, in tiles", tiles),
    "requests": ("clients, served", requests),
}
"""The curves by their names here: what they are called in the file, and what measures them."""


def measured(curve: Curve, work: Path) -> dict[str, Any]:
    """One curve, with its exponents, and what else the machine did."""
    before = os.getloadavg()
    points = curve(work)
    return {
        "machine": codec.to_plain(machine.describe()),
        "load_average": [round(each, 2) for each in (before[0], os.getloadavg()[0])],
        "points": {f"{x:g}": point for x, point in points.items()},
        "exponent": exponent(points, "ms"),
        "cpu_exponent": exponent(points, "cpu_ms"),
        "memory_exponent": exponent(points, "peak_mb"),
    }


def prepare(work: Path) -> None:
    """Build everything that curves run."""
    for height, size in [*((height, 1) for height in HEIGHTS), *((320, each) for each in BATCHES)]:
        built(work, height, size)
    large.built("fcn_tiny", work / "tiles")


def main() -> None:
    """Measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/bench/scaling"), help="where builds are kept")
    parser.add_argument("--only", nargs="+", choices=list(CURVES), help="these curves, again if the file holds them")
    parser.add_argument("--again", action="store_true", help="all curves, whatever the file holds")
    parser.add_argument("--prepare", action="store_true", help="build what is missing, and measure nothing")
    parser.add_argument("--json", type=Path, help="kept up to date after every curve")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    if chosen.prepare:
        prepare(chosen.work)
        return
    series: dict[str, Any] = {}
    if chosen.json and chosen.json.is_file() and not chosen.again:
        series = json.loads(chosen.json.read_text(encoding="utf-8"))["series"]
    for name in chosen.only or [each for each, (called, _) in CURVES.items() if called not in series]:
        called, curve = CURVES[name]
        series[called] = measured(curve, chosen.work)
        print(told({called: series[called]}), flush=True)
        if chosen.json:
            in_order = {each: series[each] for each, _ in CURVES.values() if each in series}
            files.write_text(chosen.json, codec.json_text({"series": in_order}))
    if chosen.plot:
        write_panels(chosen.plot, panels(series))


def told(series: dict[str, Any]) -> str:
    """The points as a table."""
    rows = [
        [name, x, f"{point['ms']:.2f}", f"{point['cpu_ms']:.2f}", str(point.get("peak_mb", "")), str(found["exponent"])]
        for name, found in series.items()
        for x, point in found["points"].items()
    ]
    return table(["curve", "at", "ms an image", "CPU ms", "peak MB", "exponent"], rows, "<>>>>>")


def panels(series: dict[str, Any]) -> list[Panel]:
    """A chart a kind of growth, a line a mode; for the number of images also memory."""
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, found in series.items():
        what, mode = name.split(", ")
        # A logarithmic axis has no 0: an image without people is left out.
        points = [(float(x), point["ms"]) for x, point in found["points"].items() if float(x)]
        slope = "" if what == "images" else f", exponent {found['exponent']:.2f}"
        lines.setdefault(what, {})[f"{mode}{slope}"] = points
    charts = [Panel(f"by {what}", what, "ms an image", each) for what, each in lines.items()]
    if (counted := series.get("images, throughput")) is not None:
        memory = [(float(x), point["peak_mb"]) for x, point in counted["points"].items()]
        charts.append(Panel("memory", "images", "peak MB", {f"exponent {counted['memory_exponent']:.3f}": memory}))
    return charts


if __name__ == "__main__":
    main()
