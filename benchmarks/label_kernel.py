"""Labels from low-resolution logits: densecast's kernel against torch, and against OpenCV with numpy.

One thread each, interleaved: every repetition runs every contender once on the same logits, and a ratio is
taken within a repetition, so that other work on the machine weighs on both. The clock covers logits in memory
to labels in memory. Extra memory is the rise of the process's resident set during one call, in a process of
its own, beyond the logits and the label map.

    python benchmarks/label_kernel.py --repeats 9 --json labels.json
"""

import argparse
import dataclasses
import json
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from densecast.kernels.labels import upsample_argmax
from densecast.runtime import machine


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One shape of work."""

    name: str
    channels: int
    size_hw: tuple[int, int]
    sizes_hw: tuple[tuple[int, int], ...]
    align_corners: bool = False


CASES = (
    Case("19 classes 1/8 to 1024x2048", 19, (128, 256), ((1024, 2048), (1024, 2048))),
    Case("19 classes 1/4 to 1024x2048", 19, (256, 512), ((1024, 2048), (1024, 2048))),
    Case("19 classes 1024x2048 unresized", 19, (1024, 2048), ()),
    Case("19 classes 1/8, 1/2, 1024x2048", 19, (128, 256), ((512, 1024), (1024, 2048))),
    Case("19 classes enlarged, shrunk", 19, (128, 173), ((1024, 1383), (97, 131))),
    Case("2 classes 1/2 to 1280x1918", 2, (640, 959), ((1280, 1918),)),
    Case("21 classes 65 to 513, aligned", 21, (65, 65), ((513, 513),), align_corners=True),
)


def scene(case: Case) -> np.ndarray:
    """Smooth areas with ragged borders: a coarse random field per class, enlarged, plus a little noise.

    A fifth of the low-resolution cells lie on a border, more than in a trained network's street scene.
    """
    import cv2

    rng = np.random.default_rng(0)
    height, width = case.size_hw
    coarse = 6 * rng.standard_normal((case.channels, max(2, height // 24), max(2, width // 24)))
    planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    return (np.stack(planes) + 0.3 * rng.standard_normal((case.channels, height, width))).astype(np.float32)


def noise(case: Case) -> np.ndarray:
    """The worst case: neighbours never agree."""
    return np.random.default_rng(0).standard_normal((case.channels, *case.size_hw)).astype(np.float32)


def densecast_labels(logits: np.ndarray, case: Case) -> np.ndarray:
    return upsample_argmax(logits, case.sizes_hw, align_corners=case.align_corners)


def torch_labels(logits: np.ndarray, case: Case) -> np.ndarray:
    import torch

    torch.set_num_threads(1)
    values = torch.from_numpy(logits)[None]
    for size_hw in case.sizes_hw:
        # Equal sizes are skipped for torch as well, which the original frameworks do not do.
        if tuple(values.shape[-2:]) != size_hw:
            values = torch.nn.functional.interpolate(
                values, size=size_hw, mode="bilinear", align_corners=case.align_corners
            )
    return values.argmax(dim=1)[0].numpy()


def opencv_labels(logits: np.ndarray, case: Case) -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    values = logits
    for size_hw in case.sizes_hw:
        if values.shape[1:] != size_hw:
            values = np.stack([cv2.resize(plane, size_hw[::-1]) for plane in values])
    return values.argmax(axis=0)


CONTENDERS: dict[str, Callable[[np.ndarray, Case], np.ndarray]] = {
    "densecast": densecast_labels,
    "torch": torch_labels,
    "opencv": opencv_labels,
}


def contenders_of(case: Case) -> list[str]:
    """OpenCV has no bilinear resize with aligned corners."""
    return [name for name in CONTENDERS if not (name == "opencv" and case.align_corners)]


def samples_ms(logits: np.ndarray, case: Case, repeats: int) -> dict[str, list[float]]:
    """Times of each contender, interleaved, after one call each to warm up."""
    names = contenders_of(case)
    for name in names:
        CONTENDERS[name](logits, case)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            begin = time.perf_counter_ns()
            CONTENDERS[name](logits, case)
            samples[name].append((time.perf_counter_ns() - begin) / 1e6)
    return samples


def resident_kib(field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (highest since it was last reset) of this process."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


def extra_kib(name: str, case: Case) -> int:
    """Rise of the resident set during one call, less the label map of one byte a pixel."""
    logits = noise(case)
    # Loads libraries and compiled code, on logits of the same layout.
    CONTENDERS[name](np.ascontiguousarray(logits[:, :8, :8]), dataclasses.replace(case, sizes_hw=((16, 16), (9, 9))))
    CONTENDERS[name](np.ascontiguousarray(logits[:, :8, :8]), dataclasses.replace(case, sizes_hw=()))
    # 5 resets the highest resident set size (Linux, proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_kib("VmRSS")
    labels = CONTENDERS[name](logits, case)
    return resident_kib("VmHWM") - before - labels.size // 1024


def measured(case: Case, kind: str, repeats: int) -> dict:
    """One row of the report."""
    logits = {"scene": scene, "noise": noise}[kind](case)
    differing = int((densecast_labels(logits, case) != torch_labels(logits, case)).sum())
    samples = samples_ms(logits, case, repeats)
    ours = samples["densecast"]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        extra = {name: pool.apply(extra_kib, (name, case)) for name in samples}
    return {
        "case": dataclasses.asdict(case),
        "logits": kind,
        "pixels_that_differ_from_torch": differing,
        "samples_ms": samples,
        "median_ratio": {
            name: statistics.median(map(lambda theirs, own: theirs / own, times, ours))
            for name, times in samples.items()
            if name != "densecast"
        },
        "extra_kib": extra,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'':31} {'':5} {'densecast':>9}   times as long   {'extra memory, KiB':>27}  pixels")
    print(f"{'':31} {'':5} {'ms':>9}  {'torch':>6} {'opencv':>6}   {'densecast':>9} {'torch':>8} {'opencv':>8}  differ")
    for case, kind in ((case, kind) for case in CASES for kind in ("scene", "noise")):
        row = measured(case, kind, options.repeats)
        rows.append(row)
        ratio, extra = row["median_ratio"], row["extra_kib"]
        print(
            f"{case.name:31} {kind:5} {statistics.median(row['samples_ms']['densecast']):9.2f}  "
            f"{ratio['torch']:6.1f} {ratio.get('opencv', float('nan')):6.1f}   "
            f"{extra['densecast']:9d} {extra['torch']:8d} {extra.get('opencv', 0):8d}  "
            f"{row['pixels_that_differ_from_torch']}",
            flush=True,
        )
    if options.json:
        report = {"machine": dataclasses.asdict(machine.describe()), "threads": 1, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
