"""`handoff prepare` against decoding alone, and against decoding and writing as many bytes; and its memory.

    python benchmarks/handoff_prepare.py --json handoff_prepare.json

Three rates, in turns within each repeat, in as many processes each: images decoded and thrown away; images decoded
beside which files of the right length are written, which nobody who leaves such files can beat; and `prepare`'s own
loop. The ratios are medians over the repeats. Photographs of VOC's size are drawn and compressed once; with
`--photos FOLDER` real JPEG files are used instead. Memory is the largest process's, at 100 and at many images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from densecast.imaging.read import read_image
from densecast.io import codec
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitCentre, KeepRatio, Stretch
from densecast.spec.sample import Sample
from densecast.spec.tensor import TensorSpec
from densecast.verbs.handoff import bins
from densecast.zoo._base import ZOO


def photographs(folder: Path, count: int, size_hw: tuple[int, int], suffix: str) -> list[Path]:
    """Noise on soft shapes: as much to decode as a photograph has."""
    folder.mkdir(parents=True)
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (size_hw[0] // 12, size_hw[1] // 12, 3), dtype=np.uint8)
        image = cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image += rng.normal(0, 6, image.shape).astype(np.int16)
        path = folder / f"{seed:06d}{suffix}"
        cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
        found.append(path)
    return found


def spec_for(geometry: str, size_hw: tuple[int, int], *, uint8: bool) -> ModelSpec:
    """FCN-8s' spec, with 500×500 and the image in the middle, or the images' own size."""
    spec = ZOO.load("fcn_r50_d8_voc").spec_for("ascend")
    if geometry == "native":
        spec = replace(spec, preprocess=replace(spec.preprocess, resize=Stretch(size_hw)))
    assert isinstance(spec.preprocess.resize, (FitCentre, KeepRatio, Stretch))
    shape = (1, 3, *spec.preprocess.resize.size_hw)
    return spec.with_input(TensorSpec("image", "uint8" if uint8 else "float32", shape))


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _decode(paths: list[Path]) -> int:
    kept = None
    for path in paths:
        # An image lives until the next is there, as in `prepare`: else its memory goes back to the system each time,
        # whose new pages cost a tenth of the decoding.
        kept = read_image(path)
    return 0 if kept is None else len(paths)


def _decode_and_write(work: tuple[list[Path], tuple[int, ...], str, Path, int]) -> int:
    """Also files of the network input's length, their values whatever they are."""
    paths, shape, dtype, folder, first = work
    array, kept = np.ones(shape, dtype), None
    for number, path in enumerate(paths, start=first):
        kept = read_image(path)
        bins.write_bin(folder / f"{number}.bin", array)
    return 0 if kept is None else len(paths)


def chunks_of(paths: list[Path]) -> list[list[Path]]:
    """As `prepare` hands them out."""
    return [paths[i : i + bins.CHUNK] for i in range(0, len(paths), bins.CHUNK)]


def decode_rate(pool: ProcessPoolExecutor, paths: list[Path]) -> float:
    """Images a second."""
    start = time.perf_counter()
    list(pool.map(_decode, chunks_of(paths)))
    return len(paths) / (time.perf_counter() - start)


def ceiling_rate(pool: ProcessPoolExecutor, paths: list[Path], spec: ModelSpec, folder: Path) -> float:
    """Images a second, decoded, and as many bytes written as the network takes."""
    shape = tuple(int(size) for size in spec.input.shape if isinstance(size, int))
    firsts = itertools.count(0, bins.CHUNK)
    work = [(chunk, shape, spec.input.dtype, folder, next(firsts)) for chunk in chunks_of(paths)]
    start = time.perf_counter()
    list(pool.map(_decode_and_write, work))
    return len(paths) / (time.perf_counter() - start)


def prepare_rate(paths: list[Path], processes: int, spec: ModelSpec, folder: Path) -> float:
    """Images a second, without the processes' start and end, and without what they had written when the clock began."""
    warm = processes * bins.CHUNK * 2
    every = [*(paths[index % len(paths)] for index in range(warm)), *paths]
    samples = [(Sample(str(index), path, path), f"{index:06d}") for index, path in enumerate(every)]
    done = bins.write_all(bins.Job(spec, folder, bins.has_spare_cpus(processes)), samples, processes)
    for _ in range(warm):
        next(done)
    start, before = time.perf_counter(), sum(1 for _ in folder.iterdir())
    for _ in paths:
        next(done)
    seconds = time.perf_counter() - start
    assert next(done, None) is None, "the processes end here"
    return (len(every) - before) / seconds


def in_empty_folder(folder: Path, measure: Callable[[Path], float]) -> float:
    """What `measure` finds, all it has written removed afterwards."""
    folder.mkdir()
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


def compare(paths: list[Path], spec: ModelSpec, processes: int, repeats: int, scratch: Path) -> dict[str, float]:
    """The three rates and their ratios."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _one_thread) as pool:
        list(pool.map(_decode, [paths[:1]] * processes * 4))
        rates: dict[str, list[float]] = {"decode": [], "ceiling": [], "prepare": []}
        measures: dict[str, Callable[[], float]] = {
            "decode": lambda: decode_rate(pool, paths),
            "ceiling": lambda: in_empty_folder(scratch, lambda folder: ceiling_rate(pool, paths, spec, folder)),
            "prepare": lambda: in_empty_folder(scratch, lambda folder: prepare_rate(paths, processes, spec, folder)),
        }
        for repeat in range(repeats):
            names = list(measures)
            for name in (*names[repeat % 3 :], *names[: repeat % 3]):
                os.sync()  # what the one before has written is not the next one's burden
                rates[name].append(measures[name]())

    def ratio(of: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(rates[of], rates[to], strict=True))

    return {
        **{f"{name}_per_s": statistics.median(found) for name, found in rates.items()},
        "prepare_of_decode": ratio("prepare", "decode"),
        "ceiling_of_decode": ratio("ceiling", "decode"),
        "prepare_of_ceiling": ratio("prepare", "ceiling"),
    }


def peak_mb(count: int, path: Path, spec_json: str) -> float:
    """Peak memory of a process that prepares one photograph `count` times under as many names."""
    code = (
        "import sys, tempfile, resource, pathlib, json\n"
        "from densecast.io import codec\n"
        "from densecast.spec.sample import Sample\n"
        "from densecast.spec.model import ModelSpec\n"
        "from densecast.verbs.handoff import bins\n"
        f"spec = codec.from_plain(json.loads({spec_json!r}), ModelSpec, 'spec')\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        f"    samples = [(Sample(str(i), path, path), str(i % 50)) for i in range({count})]\n"
        "    for _ in bins.write_all(bins.Job(spec, pathlib.Path(folder)), samples, 2): pass\n"
        "own, children = (resource.getrusage(who).ru_maxrss / 1024 for who in "
        "(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "print(own, children)\n"
    )
    # A spawned process imports the main module again, so the code has to be in a file that guards itself.
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "peak.py"
        body = "".join(f"    {line}\n" for line in code.splitlines())
        script.write_text(f"if __name__ == '__main__':\n{body}")
        out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    return max(float(value) for value in out.split())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=480, help="Photographs a repeat; a quarter as many streets.")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--many", type=int, default=10_000, help="Images of the second measurement of memory.")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--scratch", type=Path, help="Where bins go; a memory file system leaves the disk out.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        root = Path(scratch)
        drawn = {
            "photo": photographs(root / "photos", 24, (375, 500), ".jpg"),
            "street": photographs(root / "streets", 8, (1024, 2048), ".png"),
        }
        if options.photos:
            drawn["photo"] = sorted(options.photos.glob("*.jpg"))
            if not drawn["photo"]:
                parser.error(f"{options.photos} holds no *.jpg.")
        cases = [
            ("photo", "voc", (375, 500), False),
            ("photo", "native", (375, 500), False),
            ("photo", "native", (375, 500), True),
            ("street", "native", (1024, 2048), False),
            ("street", "native", (1024, 2048), True),
        ]
        for kind, geometry, size_hw, uint8 in cases:
            count = options.images if kind == "photo" else max(64, options.images // 4)
            paths = list(itertools.islice(itertools.cycle(drawn[kind]), count))
            spec = spec_for(geometry, size_hw, uint8=uint8)
            found = compare(paths, spec, options.processes, options.repeats, root / "bins")
            case = f"{kind}, {spec.input}"
            rows.append({"case": case, "images": count, **found})
            print(f"{case}: {', '.join(f'{name} {value:.3f}' for name, value in found.items())}", flush=True)
        memory = {}
        for uint8 in (False, True):
            text = codec.to_json(spec_for("native", (375, 500), uint8=uint8))
            found = {str(count): peak_mb(count, drawn["photo"][0], text) for count in (100, options.many)}
            memory["uint8" if uint8 else "float32"] = found
    print("peak MB of any process:", memory)
    result = {
        "rows": rows,
        "peak_mb": memory,
        "processes": options.processes,
        "writer_threads": bins.has_spare_cpus(options.processes),
        "machine": codec.to_plain(machine.describe()),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
