"""Time, memory and cost per megapixel of `infer --large` as pictures grow.

Each case is a process of its own, as peak memory only ever grows. Pictures are tiled, deflated TIFF files of patches;
the network is the shipped `fcn_tiny` or `unet_tiny`, built by OpenVINO in float32 for open sizes.

    python benchmarks/large.py [--sides 5000,10000,20000] [--network fcn_tiny] [--tile 1024]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from densecast import infer
from densecast.pipeline import Pipeline
from densecast.runtime import machine
from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import Native
from densecast.spec.verb_options import InferOptions
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_zoo
from densecast.verbs.export.retrained import Stated
from densecast.zoo._base import ZOO

MOST_RSS_MB = 2048


def write_picture(path: Path, side: int) -> None:
    """A (side, side) RGB PNG of coarse patches with noise, made line by line."""
    import struct
    import zlib

    rng = np.random.default_rng(side)
    packer = zlib.compressobj(1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)))
        for top in range(0, side, 16):
            row = rng.integers(0, 255, (side // 16 + 1, 3), dtype=np.uint8).repeat(16, axis=0)[:side]
            line = b"\0" + row.tobytes()
            file.write(chunk(b"IDAT", packer.compress(line * min(16, side - top))))
        file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def measure(artifact: Path, picture: Path, out: Path, tile: int) -> dict[str, object]:
    """Peak memory, wall and CPU seconds of one picture, and how its tiles were placed."""
    with Pipeline.open(artifact) as pipeline:
        start, cpu = time.perf_counter(), time.process_time()
        result = infer(pipeline, [picture], out, options=InferOptions(large=True, tile=(tile, tile)))
        record = result.results[0].tiled
        assert record is not None, "it was seen in tiles"
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mb": machine.peak_rss_mb(),
            "how": record.how,
            "tiles": record.tiles,
            "reach_px": record.reach_px,
            "seam_difference": record.seam_difference,
        }


def built(network: str, folder: Path) -> Path:
    """The network in float32, for images of any size as they are."""
    entry = ZOO.load(network)
    preprocess = SpecFile().preprocess
    own = Stated(preprocess=type(preprocess)(Native(), mean=entry.spec.preprocess.mean, std=entry.spec.preprocess.std))
    exported = export_zoo(network, folder / "float", stated=own)
    return build(exported, folder / "built", BuildOptions("openvino", "force_float32")).folder


def case(artifact: Path, picture: Path, out: Path, tile: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--tile", str(tile), "--case", str(artifact), str(picture), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Build the artifact and print a line for each side; exit 1 if a case needs more memory than promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="5000,10000,20000")
    parser.add_argument("--network", default="fcn_tiny")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(*map(Path, arguments.case), arguments.tile)))
        return
    too_much = False
    with tempfile.TemporaryDirectory() as scratch:
        artifact = built(arguments.network, Path(scratch))
        print(f"{arguments.network}, float32, tiles of {arguments.tile}")
        print(f"{'side':>6} {'tiles':>6} {'seconds':>9} {'CPU s/Mpx':>10} {'peak MB':>9}  how")
        for side in map(int, arguments.sides.split(",")):
            picture = Path(scratch) / f"{side}.png"
            write_picture(picture, side)
            found = case(artifact, picture, Path(scratch) / f"out_{side}", arguments.tile)
            picture.unlink()
            too_much |= found["peak_mb"] > MOST_RSS_MB
            print(
                f"{side:>6} {found['tiles']:>6} {found['seconds']:>9.1f} {found['cpu_seconds'] / side**2 * 1e6:>10.3f} "
                f"{found['peak_mb']:>9.0f}  {found['how']}, looks {found['reach_px']} pixels far, seams "
                f"{found['seam_difference']:.1e}"
            )
    if too_much:
        sys.exit(f"more than {MOST_RSS_MB} MB")


if __name__ == "__main__":
    main()
