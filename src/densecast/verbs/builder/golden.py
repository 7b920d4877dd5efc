"""Stores the output for one test input with a built model, so that `verify` can recheck it on any machine.

What the engine answered when the model was built is stored; the float graph's answer tells a wrong build on the spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from densecast import artifact as artifacts
from densecast.artifact import GOLDEN, CompiledArtifact, CompiledManifest
from densecast.artifact.stored_answer import answer, golden_feeds, noisy_feeds, packed
from densecast.errors import BackendMissingError, MissingExtraError, ParityError
from densecast.io import files
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.precision import short
from densecast.spec.tensor import Feeds
from densecast.verbs.builder import build_check

# Calibration images that an int8 model is compared on.
_COMPARED = 2
# ONNX's evaluator in plain numpy takes minutes for an image, and defines what is right.
_TOO_SLOW = "reference"


def add(
    folder: Path, manifest: CompiledManifest, float_graph: Path | None = None, calibrated: Sequence[Feeds] = ()
) -> None:
    """Run the model in `folder` once on the test input, and store its output there.

    Nothing is stored where the engine is not on this machine, as for models built for other devices. An int8 model is
    compared with `float_graph` on some of the images it was `calibrated` on instead of the test input.

    Raises:
        ParityError: the answer is not finite, or has nothing to do with that of `float_graph`.
    """
    options = manifest.build
    if options.backend == _TOO_SLOW:
        return
    left_out = {GOLDEN, artifacts.MANIFEST, float_graph.name if float_graph else ""}
    hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.name not in left_out}
    built = CompiledArtifact(folder, replace(manifest, files=hashes))
    feeds = golden_feeds(manifest.spec)
    try:
        session = Session.open(built, execution.configure("latency"), check_cpu=False)
    except (BackendMissingError, MissingExtraError):
        return
    with session:
        outputs = answer(manifest.spec, session.forward, feeds)
        # Of the pattern, what an engine does to fine detail and to borders is hardly seen.
        compared = [feeds, noisy_feeds(manifest.spec)]
        if options.precision == "qint8_mixed_float16" and len(calibrated):
            compared = [calibrated[index] for index in range(min(_COMPARED, len(calibrated)))]
        pairs = [
            (each, outputs if each is feeds else answer(manifest.spec, session.forward, each)) for each in compared
        ]
    if not all(np.isfinite(output).all() for output in outputs):
        told = f"the {short(options.precision)} model built for {options.backend} gives values that are not finite"
        if options.precision == "force_float32":
            raise ParityError(
                f"{told} on a test image. Its weights are broken, or it is made for images of another normalisation; "
                "`compare --locate` finds the layer."
            )
        raise ParityError(
            f"{told}: too large for its 16-bit type. Build with the half type bf16, or let `compare` locate the layer.",
            field="half_type",
        )
    if float_graph is not None:
        half = str(manifest.settings.get("INFERENCE_PRECISION_HINT", "f16"))
        build_check.check(float_graph, manifest.spec, pairs, options.precision, options.backend, half)
    files.write_bytes(folder / GOLDEN, packed(outputs))
