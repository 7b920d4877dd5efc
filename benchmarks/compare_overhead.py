"""What `compare` and `verify` cost beside the passes they are made of.

    python benchmarks/compare_overhead.py runs/unet/float runs/unet/unet_tiny__int8__… --images photos

In one run and alternating: one pass of each rung over the images (file to prediction), and `climb` over the same rungs
and images. The ratio may be 10. Then `verify`, less one inference, which may take 3 s, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from densecast.imaging.folder import images_in
from densecast.runtime import machine
from densecast.verbs.compare import climb, rungs

_REPEATS = 3


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("reference", type=Path)
    asked.add_argument("candidates", type=Path, nargs="+")
    asked.add_argument("--images", type=Path, required=True)
    asked.add_argument("--limit", type=int, default=20)
    options = asked.parse_args()
    paths = images_in(options.images)[: options.limit]
    passes, whole = [], []
    with rungs.opened(options.reference, options.candidates) as (first, others):
        everything = [first, *others]
        for rung in everything:  # warm-up
            rung.pipeline(rung.pipeline.read(paths[0]))
        for _ in range(_REPEATS):
            start = time.perf_counter()
            for rung in everything:
                for path in paths:
                    rung.pipeline(rung.pipeline.read(path))
            passes.append(time.perf_counter() - start)
            start = time.perf_counter()
            climb(first, others, paths)
            whole.append(time.perf_counter() - start)
    code = f"import sys; sys.argv = ['densecast', 'verify', {str(options.candidates[-1])!r}]"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"{code}\nfrom densecast.cli import main\nmain()"], check=True)
    verify_s = time.perf_counter() - start
    result = {
        "machine": machine.describe().cpu,
        "rungs": len(everything),
        "images": len(paths),
        "one_pass_of_each_s": round(statistics.median(passes), 3),
        "compare_s": round(statistics.median(whole), 3),
        "ratio": round(statistics.median(b / a for a, b in zip(passes, whole, strict=True)), 2),
        "verify_process_s": round(verify_s, 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
