"""Compares a written model with the artifact it was made of, on test images: both have to answer alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.artifact import Artifact, CompiledArtifact
from densecast.artifact.stored_answer import TOLERANCE, noise_image, pattern_image, relative_l2
from densecast.backends import _openvino_model
from densecast.errors import ParityError
from densecast.imaging.prepare import prepare
from densecast.results.handover import Agreement
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision
from densecast.spec.preprocess import Native
from densecast.spec.tensor import Array, Feeds
from densecast.tasks._base import TASKS
from densecast.verbs.export_to import facts, folding
from densecast.verbs.export_to.model_file import ONNX, Fold, Format

Run = Callable[[Array], dict[str, Array]]
_SIDE = 128


def check(
    source: Artifact,
    fold: Fold,
    form: Format,
    path: Path,
    input_colour: str,
    *,
    precision: Precision | None = None,
    images: Sequence[npt.NDArray[np.uint8]] = (),
) -> Agreement:
    """Run the model at `path` beside the artifact.

    `precision` is that of the file, where it is not the artifact's. `images` (H, W, C), RGB, are of the network's size;
    without any they are made.

    Raises:
        ParityError: their answers are further apart than rounding explains.
    """
    kind = source.manifest.build.precision if isinstance(source, CompiledArtifact) else "force_float32"
    allowed = TOLERANCE[precision or kind]
    run = _onnx(path) if form == "onnx" else _openvino(path, facts.settings(source))
    images = images or [made(*_size(fold.spec)).transpose(1, 2, 0) for made in (pattern_image, noise_image)]
    largest, measure = 0.0, "relative_l2"
    with _Reference(source, fold.spec) as reference:
        for image in images:
            wanted, feed = reference(image)
            given = run(_fed(image, feed, fold, input_colour))
            difference, measure = _difference(wanted, given, fold)
            largest = max(largest, difference)
    engine = "onnxruntime" if form == "onnx" else "openvino"
    if not largest <= allowed:
        raise ParityError(
            f"the folded {path.name} differs from {source.folder} by {largest:.2g} ({measure}), and {allowed:g} is "
            f"allowed: {engine} reads it as something else. Hand over the other kind of file (--format), or serve the "
            "model with `densecast serve`."
        )
    return Agreement(engine, measure, float(f"{largest:.3g}"), allowed, len(images))


def _size(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width of a test image."""
    _, channels, height, width = spec.input.typical_shape(_SIDE)
    return channels, height, width


class _Reference:
    """The artifact's own answers: of a build by its session, of an exported graph by ONNX Runtime."""

    def __init__(self, source: Artifact, spec: ModelSpec) -> None:
        self._spec = spec
        is_built = isinstance(source, CompiledArtifact)
        self._session = Session.open(source, execution.configure("latency")) if is_built else None
        self._run = None if is_built else _onnx(source.file(ONNX))

    def __enter__(self) -> _Reference:
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._session.close()

    def __call__(self, image: npt.NDArray[np.uint8]) -> tuple[dict[str, Array], Array]:
        """(H, W, C) -> the prediction's tensors in the network's frame and the raw outputs, by name; and the feed."""
        spec = self._spec
        rule = replace(spec.preprocess_of(spec.input.name), resize=Native(), pad_multiple=1)
        feed, _ = prepare(np.ascontiguousarray(image), rule, dtype=spec.input.dtype)
        count = spec.input.typical_shape(1)[0]
        batch = np.repeat(feed[None], count, axis=0)
        if self._session is not None:
            outputs = self._session.forward({spec.input.name: batch})
        else:
            assert self._run is not None, "one of both is open"
            outputs = self._run(batch)
        hw = image.shape[0], image.shape[1]
        first: Feeds = {name: array[0] for name, array in outputs.items()}
        told: dict[str, Array] = dict(first)
        if folding.ending(spec, "onnx-full") is not None:
            task = TASKS.load_trusted(spec.task)
            view = View(Placement.resized(hw, hw))
            told |= task.tensors(task.postprocess([first], [view], spec, "network"))
        return told, batch


def _fed(image: npt.NDArray[np.uint8], feed: Array, fold: Fold, input_colour: str) -> Array:
    """The image as the written model takes it: pixels, or what the artifact itself was fed."""
    if fold.pixels is None:
        return feed
    pixels = image[:, :, ::-1] if input_colour == "bgr" else image
    whole = np.ascontiguousarray(np.repeat(pixels[None], len(feed), axis=0))
    return whole if fold.pixels.channels_last else np.ascontiguousarray(whole.transpose(0, 3, 1, 2))


def _difference(wanted: dict[str, Array], given: dict[str, Array], fold: Fold) -> tuple[float, str]:
    """The difference of the main output, in the task's own measure where it is of the task."""
    if fold.ending is None:
        name = fold.spec.output.name
        return relative_l2(wanted[name], given[name][0]), "relative_l2"
    answer = given[fold.ending.name][0]
    if fold.ending.kind == "planes":
        labels = answer.argmax(axis=0)
        return float(np.mean(labels != wanted["class_id"])), "labels_changed"
    expected = wanted[fold.ending.name]
    if fold.ending.kind == "numbers":
        return relative_l2(expected, answer), "relative_l2"
    measure = "bits_changed" if fold.ending.name == "classes" else "labels_changed"
    return float(np.mean(expected.astype(np.int64) != answer.astype(np.int64))), measure


def _onnx(path: Path) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Threads that wait for the next run would take the other engine's CPUs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,), names = session.get_inputs(), [each.name for each in session.get_outputs()]
    return lambda array: dict(zip(names, session.run(names, {given.name: array}), strict=True))


def _openvino(path: Path, told: dict[str, str]) -> Run:
    ov = _openvino_model.imported()
    core = ov.Core()
    model = core.read_model(path)
    names = [each.get_any_name() for each in model.outputs]
    compiled = core.compile_model(model, "CPU", told)

    def run(array: Array) -> dict[str, Array]:
        answers: Any = compiled([array])
        return {name: np.array(answers[place]) for place, name in enumerate(names)}

    return run
