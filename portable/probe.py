"""Opens, verifies and runs built models on the CPU that this process has, real or emulated, and writes what came out.

    python portable/probe.py ROOT OUT NETWORK[,NETWORK…] [BUILD[,BUILD…] [IMAGES]]

`OUT/results.json` says how each model went, `OUT/<network>__<variant>.npz` holds its predictions and outputs. What is
there of the same build and as many images is not run again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.errors import DensecastError, WrongCpuError
from densecast.pipeline import Pipeline
from densecast.runtime import machine
from densecast.verbs.verify import verify


def main(root: Path, out: Path, networks: list[str], builds: Sequence[str] = (), count: int | None = None) -> None:
    """Try the builds of the networks, all or those named, on the first so many images."""
    out.mkdir(parents=True, exist_ok=True)
    told = out / "results.json"
    results: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {"models": {}}
    results |= {"cpu": machine.cpu()[0], "kinds": machine.kinds()}
    for network in networks:
        with np.load(root / network / "images.npz") as held:
            images = [held[name] for name in sorted(held.files)][:count]
        for folder in sorted((root / network).glob("*_*_*")):
            name = f"{network}__{folder.name}"
            seen = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()
            of = {"key": json.loads((folder / "manifest.json").read_text())["key"], "images": seen}
            done = results["models"].get(name)
            if (builds and folder.name not in builds) or (done and of.items() <= done.items()):
                continue
            start = time.monotonic()
            try:
                result = _tried(folder, images, out / f"{name}.npz")
            except WrongCpuError as error:
                result = {"outcome": "refused", "told": str(error)}
            except DensecastError as error:
                result = {"outcome": "failed", "told": f"{type(error).__name__}: {error}"}
            results["models"][name] = {**result, **of, "seconds": round(time.monotonic() - start, 1)}
            print(f"{results['cpu']}: {name}: {results['models'][name]}", file=sys.stderr, flush=True)
            told.write_text(json.dumps(results, indent=1))
    told.write_text(json.dumps(results, indent=1))


def _tried(folder: Path, images: list[Any], target: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    with Pipeline.open(CompiledArtifact.open(folder), threads=1) as pipeline:
        for number, image in enumerate(images):
            inputs = pipeline.preprocess(image)
            (outputs,) = pipeline.forward(inputs)[:1]
            prediction = pipeline.postprocess(
                pipeline.forward(inputs) if pipeline.spec.needs_mirror else [outputs], inputs
            )
            arrays[f"output{number}"] = outputs[pipeline.spec.output.name]
            arrays[f"feed{number}"] = inputs.feeds[0][pipeline.spec.input.name]
            for field in ("class_id", "xy_px", "score"):
                if hasattr(prediction, field):
                    arrays[f"{field}{number}"] = getattr(prediction, field)
        precision = pipeline.precision.compute
    np.savez_compressed(target, **arrays)
    failed = [f"{check.name}: {check.told}" for check in verify(folder).checks if check.state == "failed"]
    return {"outcome": "ran", "precision": precision, "verify": failed}


if __name__ == "__main__":
    named, pictures = (sys.argv[4].split(",") if len(sys.argv) > 4 else []), sys.argv[5:6]
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(","), named, int(pictures[0]) if pictures else None)
