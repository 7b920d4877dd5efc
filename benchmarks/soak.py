"""Does a long run hold on to memory, descriptors or threads? Many small images through one Pipeline and its stream.

    python benchmarks/soak.py [--images 100000] [--seconds 480] [--json FILE]

Resident memory is read every 500 images and a line fitted after the warm-up; its slope has to be at most 0.5 KiB an
image, descriptors and threads have to stay. The control keeps 4 KiB of every image, which the slope has to show.
Exit code 1 where something grows, or the control goes unseen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx.parser

from densecast.pipeline import Pipeline, Predicted
from densecast.runtime import machine
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import Preprocess, Stretch
from densecast.verbs.builder import build
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile

MAX_SLOPE_KIB = 0.5
LEAK_KIB = 4
SIDE = 64
EVERY = 500
# Of all images; allocators and caches fill up first.
WARM_UP = 0.2
SIZES = ((64, 64), (48, 80), (61, 37), (96, 64), (30, 120), (100, 100))


@dataclass(frozen=True)
class Soak:
    """One run: images, the slope of resident memory in KiB an image, and what there was at most after the warm-up."""

    name: str
    images: int
    seconds: float
    slope_kib: float
    rss_mb: tuple[float, float]
    descriptors: tuple[int, int]
    threads: tuple[int, int]
    load: float

    @property
    def grows(self) -> bool:
        """Whether memory, descriptors or threads grew."""
        held = self.descriptors[0] == self.descriptors[1] and self.threads[0] == self.threads[1]
        return self.slope_kib > MAX_SLOPE_KIB or not held


def model(folder: Path, backend: str) -> Path:
    """A built network of one convolution, for images of 64 x 64, in batches of 1 and 8."""
    weights = ", ".join(f"{value:.4f}" for value in np.random.default_rng(0).normal(size=8 * 27))
    graph = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, {SIDE}, {SIDE}] image) => (float[N, 8, {SIDE}, {SIDE}] logits)
        <float[8, 3, 3, 3] w = {{{weights}}}> {{ logits = Conv <pads = [1, 1, 1, 1]> (image, w) }}"""
    )
    onnx.save(graph, folder / "tiny.onnx")
    spec = SpecFile(tuple("abcdefgh"), Preprocess(Stretch((SIDE, SIDE)))).model("soak")
    source = export_file(folder / "tiny.onnx", spec, folder / "float")
    options = BuildOptions(backend, "force_float32", InputShape((1, 8), SIDE, SIDE))
    return build(source, folder / backend, options).folder


def pictures() -> list[np.ndarray]:
    """A picture of each size."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3)).astype(np.uint8) for size in SIZES]


def state() -> tuple[float, int, int]:
    """Resident memory in KiB, descriptors and threads of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    return resident, len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))


def soaked(name: str, done: Iterator[object], images: int, seconds: float) -> Soak:
    """Take results until there are so many, or the time is up."""
    seen: list[tuple[int, float, int, int]] = []
    start = time.monotonic()
    count = 0
    for count in itertools.count(1):
        if next(done, None) is None:
            break
        if count % EVERY == 0:
            seen.append((count, *state()))
        if count >= images or time.monotonic() - start > seconds:
            break
    late = np.array([each for each in seen if each[0] >= WARM_UP * count])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0])
    ends = [(int(late[:, column].min()), int(late[:, column].max())) for column in (2, 3)]
    rss_mb = (round(float(late[0, 1]) / 1024, 1), round(float(late[-1, 1]) / 1024, 1))
    taken = time.monotonic() - start
    return Soak(name, count, round(taken, 1), round(slope, 4), rss_mb, ends[0], ends[1], round(os.getloadavg()[0], 1))


def calls(pipeline: Pipeline, keep: Callable[[], object] = lambda: None) -> Iterator[object]:
    """Results of single calls, for ever."""
    for picture in itertools.cycle(pictures()):
        keep()
        yield pipeline(picture)


def streamed(pipeline: Pipeline) -> Iterator[object]:
    """Results of one stream that never ends, in batches."""

    def finish(found: Predicted[int]) -> tuple[int]:
        return (int(found.prediction.class_id[0, 0]),)

    held = pictures()
    # Eight of a size follow each other, as only those run together.
    numbers = (number // 8 for number in itertools.count())
    yield from pipeline.stream(numbers, lambda number: held[number % len(held)], finish, batch=8)


def main() -> None:
    """Soak each engine, then the control."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000, help="through the calls, and through the stream")
    parser.add_argument("--seconds", type=float, default=480, help="of all runs together")
    parser.add_argument("--backends", default="openvino", help="by comma")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    backends = arguments.backends.split(",")
    each_s = arguments.seconds / (2 * len(backends) + 0.2)
    runs: list[Soak] = []
    with tempfile.TemporaryDirectory() as name:
        for backend in backends:
            folder = model(Path(name), backend)
            with Pipeline.open(folder) as pipeline:
                runs.append(soaked(f"{backend}, calls", calls(pipeline), arguments.images, each_s))
                print(runs[-1], flush=True)
            with Pipeline.open(folder, mode="throughput") as pipeline:
                runs.append(soaked(f"{backend}, stream", streamed(pipeline), arguments.images, each_s))
                print(runs[-1], flush=True)
        leaked: list[bytes] = []
        with Pipeline.open(folder) as pipeline:
            leaking = calls(pipeline, lambda: leaked.append(os.urandom(LEAK_KIB * 1024)))
            control = soaked(f"control: {LEAK_KIB} KiB an image kept", leaking, max(5000, arguments.images // 10), 60)
        print(control)
    is_seen = control.slope_kib > LEAK_KIB / 2
    if arguments.json:
        plain = {"runs": [asdict(each) for each in (*runs, control)], "machine": asdict(machine.describe())}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    failed = [each.name for each in runs if each.grows]
    print("nothing grows" if not failed else f"GROWS: {', '.join(failed)}", "" if is_seen else "; CONTROL UNSEEN")
    sys.exit(bool(failed) or not is_seen)


if __name__ == "__main__":
    main()
