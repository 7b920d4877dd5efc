"""`handoff prepare` against decoding alone: its share of that rate, and its memory at 100 and at many images.

    python benchmarks/handoff_prepare.py --images 200 --repeats 5 --out handoff_prepare.json

Photographs of VOC's size are drawn and compressed once. Each repeat decodes all of them and prepares all of them, in
as many processes, one after the other and in turns; the ratio is that of the medians. With `--photos FOLDER` real JPEG
files are used instead.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from densecast.core import catalog, codec, machine
from densecast.core.preprocess import FitCentre, KeepRatio, Stretch
from densecast.core.sample import Sample
from densecast.core.tensor import TensorSpec
from densecast.handoff import bins
from densecast.imaging.read import read_image


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


def spec_for(geometry: str, size_hw: tuple[int, int], *, uint8: bool):
    """FCN-8s' spec, with 500×500 and the image in the middle, or the images' own size."""
    from dataclasses import replace

    entry = catalog.load("zoo", "fcn_r50_d8_voc").ENTRY
    spec = entry.spec_for("ascend")
    if geometry == "native":
        spec = replace(spec, preprocess=replace(spec.preprocess, resize=Stretch(size_hw)))
    assert isinstance(spec.preprocess.resize, (FitCentre, KeepRatio, Stretch))
    return replace(
        spec, input=TensorSpec("image", "uint8" if uint8 else "float32", (1, 3, *spec.preprocess.resize.size_hw))
    )


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _decode(paths: list[Path]) -> int:
    return sum(read_image(path).shape[0] for path in paths)


def decode_all(paths: list[Path], processes: int) -> float:
    """Seconds, the processes' start left out."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _one_thread) as pool:
        list(pool.map(_decode, [paths[:1]] * processes * 4))
        start = time.perf_counter()
        list(pool.map(_decode, [paths[i : i + 8] for i in range(0, len(paths), 8)]))
        return time.perf_counter() - start


def prepare_all(paths: list[Path], processes: int, spec, folder: Path) -> float:
    """Seconds from the first image's end on, the processes' start left out."""
    warm = processes * 8 * 2
    every = [*(paths[index % len(paths)] for index in range(warm)), *paths]
    samples = [(Sample(path.stem, path, path), path.stem) for path in every]
    done = bins.write_all(bins.Job(spec, folder), samples, processes)
    for _ in range(warm):
        next(done)
    start = time.perf_counter()
    count = sum(1 for _ in done)
    assert count == len(paths)
    return time.perf_counter() - start


def peak_mb(count: int, path: Path, spec_json: str) -> float:
    """Peak memory of a process that prepares one photograph `count` times under as many names."""
    code = (
        "import sys, tempfile, resource, pathlib, json\n"
        "from densecast.core import codec\n"
        "from densecast.core.sample import Sample\n"
        "from densecast.core.spec import ModelSpec\n"
        "from densecast.handoff import bins\n"
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--scratch", type=Path, help="Where bins go; a memory file system leaves the disk out.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        root = Path(scratch)
        cases = [
            ("voc, 500x500 float32", "voc", (375, 500), ".jpg", False),
            ("voc, own size as bytes", "native", (375, 500), ".jpg", True),
            ("street, 1024x2048 float32", "native", (1024, 2048), ".png", False),
            ("street, 1024x2048 as bytes", "native", (1024, 2048), ".png", True),
        ]
        for name, geometry, size_hw, suffix, uint8 in cases:
            count = options.images if suffix == ".jpg" else max(16, options.images // 8)
            given = sorted(options.photos.glob("*.jpg")) if options.photos and suffix == ".jpg" else []
            made = root / name.replace(" ", "_").replace(",", "")
            paths = (given * (count // len(given) + 1))[:count] if given else photographs(made, count, size_hw, suffix)
            spec = spec_for(geometry, size_hw, uint8=uint8)
            decode, prepare = [], []
            for _ in range(options.repeats):
                decode.append(decode_all(paths, options.processes))
                target = root / "bins"
                target.mkdir()
                prepare.append(prepare_all(paths, options.processes, spec, target))
                shutil.rmtree(target)
            rates = [count / statistics.median(each) for each in (decode, prepare)]
            rows.append(
                {"case": name, "decode_per_s": rates[0], "prepare_per_s": rates[1], "ratio": rates[1] / rates[0]}
            )
            print(
                f"{name}: decode {rates[0]:.1f}/s, prepare {rates[1]:.1f}/s, ratio {rates[1] / rates[0]:.3f}",
                flush=True,
            )
        small = photographs(root / "small", 1, (375, 500), ".jpg")[0]
        spec_json = codec.to_json(spec_for("voc", (375, 500), uint8=False))
        memory = {str(count): peak_mb(count, small, spec_json) for count in (100, options.many)}
    print("peak MB of any process:", memory)
    result = {
        "rows": rows,
        "peak_mb": memory,
        "processes": options.processes,
        "own_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "machine": codec.to_plain(machine.describe()),
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
