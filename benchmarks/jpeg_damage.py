"""What the check of a JPEG's data costs beside its decoding, and what it finds.

    python benchmarks/jpeg_damage.py photos [--mutants 400]

For each photograph, alternating and on one thread: OpenCV's decoding, and the check. Then damage of the kinds that
decoders pass over: cut and closed again, holes of zeros, runs of ones, missing pieces. Sound files that are refused are
listed; there must be none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from densecast.imaging.folder import list_images
from densecast.imaging.jpeg_check import check
from densecast.runtime import machine

_REPEATS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--mutants", type=int, default=400)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = list_images(options.photos, recursive=True).images
    files = {path.name: path.read_bytes() for path in paths if path.suffix.lower() in (".jpg", ".jpeg")}
    rows = [row(name, data) for name, data in files.items()]
    found: dict[str, Counter[str]] = {}
    rng = np.random.default_rng(0)
    for trial in range(options.mutants):
        data = list(files.values())[trial % len(files)]
        kind, mutant = damaged(data, rng)
        found.setdefault(kind, Counter())["passed" if is_whole(mutant) else "refused"] += 1
    result = {
        "machine": machine.describe().cpu,
        "photos": len(rows),
        "sound_but_refused": [each["photo"] for each in rows if not each["is_whole"]],
        "check_of_decode_median": round(statistics.median(float(each["ratio"]) for each in rows), 3),
        "damaged": {kind: dict(counts) for kind, counts in sorted(found.items())},
        "largest": sorted(rows, key=lambda each: -float(each["decode_ms"]))[:3],
    }
    print(json.dumps(result, indent=2))


def row(name: str, data: bytes) -> dict[str, object]:
    decode_ms, check_ms, array = [], [], np.frombuffer(data, np.uint8)
    is_sound = is_whole(data)
    for _ in range(_REPEATS):
        start = time.perf_counter_ns()
        cv2.imdecode(array, cv2.IMREAD_COLOR_RGB)
        middle = time.perf_counter_ns()
        check(data)
        check_ms.append((time.perf_counter_ns() - middle) / 1e6)
        decode_ms.append((middle - start) / 1e6)
    decode, own = min(decode_ms), min(check_ms)  # both are CPU work without waits: the least is the least disturbed
    return {
        "photo": name,
        "is_whole": is_sound,
        "decode_ms": round(decode, 2),
        "check_ms": round(own, 2),
        "ratio": round(own / decode, 3),
    }


def is_whole(data: bytes) -> bool:
    state = check(data)
    return state.is_whole and not state.damage


def damaged(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    start = data.rindex(b"\xff\xda") + 14
    end = data.rindex(b"\xff\xd9")
    at = int(rng.integers(start, end - 8))
    length = min(int(rng.integers(16, 4096)), end - at)
    kind = ("cut and closed", "zeros", "ones", "a piece missing")[int(rng.integers(4))]
    if kind == "cut and closed":
        return kind, data[:at] + b"\xff\xd9"
    fill = {"zeros": b"\0" * length, "ones": b"\xff" * length, "a piece missing": b""}[kind]
    return kind, data[:at] + fill + data[at + length :]


if __name__ == "__main__":
    main()
