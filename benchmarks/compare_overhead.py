"""What `compare` and `verify` cost beside the passes they are made of.

    python benchmarks/compare_overhead.py runs/unet/float runs/unet/unet_tiny__int8__… --images photos

In one run and alternating: one pass of each stage over the images (file to prediction), and `compare_all` over the same
stages and images. The ratio may be 10. Then `verify`, less one inference, which may take 3 s, in a process of its own.
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
from densecast.verbs.compare import compare_all, open_chain

_REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("candidates", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=20)
    options = parser.parse_args()
    paths = images_in(options.images)[: options.limit]
    passes, whole = [], []
    with open_chain(options.reference, options.candidates) as (first, others):
        everything = [first, *others]
        for stage in everything:  # warm-up
            stage.pipeline(stage.pipeline.read(paths[0]))
        for _ in range(_REPEATS):
            start = time.perf_counter()
            for stage in everything:
                for path in paths:
                    stage.pipeline(stage.pipeline.read(path))
            passes.append(time.perf_counter() - start)
            start = time.perf_counter()
            compare_all(first, others, paths)
            whole.append(time.perf_counter() - start)
    code = f"import sys; sys.argv = ['densecast', 'verify', {str(options.candidates[-1])!r}]"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"{code}\nfrom densecast.cli import main\nmain()"], check=True)
    verify_s = time.perf_counter() - start
    result = {
        "machine": machine.describe().cpu,
        "stages": len(everything),
        "images": len(paths),
        "one_pass_of_each_s": round(statistics.median(passes), 3),
        "compare_s": round(statistics.median(whole), 3),
        "ratio": round(statistics.median(b / a for a, b in zip(passes, whole, strict=True)), 2),
        "verify_process_s": round(verify_s, 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
