"""One input whose output a built model keeps with it, so that any machine can see whether it still computes the same.

The input is a picture of whole numbers made by whole-number arithmetic, equal on every machine, so only outputs are
stored: what the engine answered when the model was built. The float graph's answer tells a wrong build on the spot.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast import artifact as artifacts
from densecast import plugins
from densecast.artifact import GOLDEN, Artifact, Manifest
from densecast.backends._base import Runner
from densecast.errors import BackendMissingError, BadArtifactError, MissingExtraError, ParityError
from densecast.io import files
from densecast.runtime import execution
from densecast.spec import limits
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision, short
from densecast.spec.tensor import Array, Dim

F32 = npt.NDArray[np.float32]

# Relative L2 difference that another machine may show: its engine sums in another order, rounds its own 16-bit type,
# and an int8 value next to a step falls on its other side.
TOLERANCE: dict[Precision, float] = {
    "force_float32": 1e-3,
    "force_float16": 5e-2,
    "qint8_mixed_float16": 1e-1,
}
# The same between engine and float graph, on a picture that is no photograph: beyond, the build is wrong, not coarse.
# An answer of zeros is off by 1.
_WRONG: dict[Precision, float] = {
    "force_float32": 5e-2,
    "force_float16": 0.7,
    "qint8_mixed_float16": 1.5,
}
# The float graph runs besides for inputs up to this many values: a second or so for the largest networks.
_MOST_FLOAT = 3 * 512 * 512
_SAMPLES = 4096
_MOST_BYTES = 64 << 10
_OPEN_SIDE = 128
# ONNX's evaluator in plain numpy takes minutes for a picture, and defines what is right.
_TOO_SLOW = "reference"


def add(folder: Path, manifest: Manifest, float_graph: Path | None = None) -> None:
    """Run what was built into `folder` once, and keep its answer there.

    Nothing is kept where the engine is not on this machine, as for models built for other devices.

    Raises:
        ParityError: the answer is not finite, or has nothing to do with that of `float_graph`.
    """
    options = manifest.build
    if options is None or options.backend == _TOO_SLOW:
        return
    left_out = {GOLDEN, artifacts.MANIFEST, float_graph.name if float_graph else ""}
    hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.name not in left_out}
    held = Artifact(folder, artifacts.with_files(manifest, hashes))
    feed = golden_feed(manifest.spec)
    try:
        runner: Runner = plugins.load("backends", options.backend).load(held, execution.configure("latency"))
    except (BackendMissingError, MissingExtraError):
        return
    try:
        output = _answer(runner, manifest.spec, feed)
    finally:
        runner.close()
    if not np.isfinite(output).all():
        raise ParityError(
            f"the {short(options.precision)} model built for {options.backend} gives values that are not finite: too "
            "large for its 16-bit type. Build with --half-type bf16, or find the layer: densecast compare --locate."
        )
    if float_graph is not None and feed.size <= _MOST_FLOAT:
        _check_against(float_graph, feed, output, options.precision, options.backend)
    stream = io.BytesIO()
    np.savez_compressed(stream, output=sampled(output), shape=np.array(output.shape))
    files.write_bytes(folder / GOLDEN, stream.getvalue())


def error(artifact: Artifact, runner: Runner) -> float | None:
    """The relative L2 difference between this machine's answer and the stored one; None where none is stored.

    Infinite where the answer is not finite, or of another shape.

    Raises:
        BadArtifactError: the stored answer cannot be read.
    """
    if GOLDEN not in artifact.manifest.files:
        return None
    try:
        with artifact.file(GOLDEN).open("rb") as stream:
            # Deflate packs a thousand times at best, so that what this unpacks to is bounded as well.
            held = np.load(io.BytesIO(stream.read(_MOST_BYTES)), allow_pickle=False)
            wanted, shape = np.asarray(held["output"], np.float32), tuple(held["shape"].tolist())
    except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise BadArtifactError(f"{artifact.folder}: {GOLDEN} cannot be read ({error}). Build it again.") from None
    output = _answer(runner, artifact.spec, golden_feed(artifact.spec))
    if output.shape != shape or not np.isfinite(output).all():
        return float("inf")
    return _relative_l2(wanted, sampled(output))


def _answer(runner: Runner, spec: ModelSpec, feed: Array) -> F32:
    return np.array(runner.run({spec.input.name: feed})[spec.output.name], dtype=np.float32)


def golden_feed(spec: ModelSpec) -> Array:
    """The picture as this network is fed it: of its fixed size, or a small one where sizes are open."""
    batch, channels, height, width = (_size(size, axis) for axis, size in enumerate(spec.input.shape))
    planes = np.repeat(picture(channels, height, width)[None], batch, axis=0)
    if spec.input.dtype == "uint8":
        return planes
    rule = spec.preprocess
    mean, std = (np.asarray(values, dtype=np.float32).reshape(3, 1, 1) for values in (rule.mean, rule.std))
    return np.asarray((planes.astype(np.float32) / np.float32(rule.divisor) - mean) / std, dtype=np.float32)


def picture(channels: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(C, H, W): ramps, blocks and a pattern that grows finer, in whole numbers."""
    c, y, x = np.ogrid[:channels, :height, :width]
    ramp = (3 * x + 5 * y) // (7 + c)
    blocks = 70 * ((x // 19 + y // 23 + c) % 3)
    finer = (x * x + 2 * y * y) // (211 + 40 * c)
    return np.asarray((ramp + blocks + finer) % 256, dtype=np.uint8)


def sampled(output: F32) -> F32:
    """At most so many values, evenly spread over all."""
    flat = output.reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, _SAMPLES)).astype(np.int64)
    return np.asarray(flat[places], dtype=np.float32)


def _size(size: int | Dim, axis: int) -> int:
    if isinstance(size, int):
        return size
    if axis == 0:
        return size.min
    multiple = size.multiple
    return min(max(-(-size.min // multiple) * multiple, _OPEN_SIDE // multiple * multiple), size.max)


def _check_against(float_graph: Path, feed: Array, output: F32, precision: Precision, backend: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(float_graph), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: feed})
    apart = _relative_l2(np.asarray(expected, np.float32), output)
    if not limits.is_at_most("the test picture", apart, _WRONG[precision]):
        raise ParityError(
            f"the {short(precision)} model built for {backend} is off by {apart:.2g} of the float graph's output on a "
            f"test picture (at most {_WRONG[precision]:g}): the build is wrong. Find the layer with densecast compare "
            "--locate."
        )


def _relative_l2(expected: F32, found: F32) -> float:
    if expected.shape != found.shape:
        return float("inf")
    norm = float(np.linalg.norm(expected.astype(np.float64)))
    apart = float(np.linalg.norm((found - expected).astype(np.float64)))
    return apart / norm if norm else float(apart > 0)
