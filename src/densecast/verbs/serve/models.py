"""The models of a server: opened artifacts by name and version, warmed up, each with its queue."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.errors import BadInputError, UnknownNameError, UsageError
from densecast.imaging.views import ModelInputs, check_size
from densecast.io import files
from densecast.pipeline import Pipeline
from densecast.runtime import machine
from densecast.spec.serve_options import ServeOptions
from densecast.spec.tensor import Dim, Feeds
from densecast.verbs.serve import outputs, tensors
from densecast.verbs.serve.outputs import Output
from densecast.verbs.serve.refusals import Refused, bad
from densecast.verbs.serve.scheduler import Observer, Scheduler

IMAGE = "image"
"""The input that takes encoded pictures (BYTES), pixels (UINT8), or, where the network calls its own so, its tensor."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_WAITING_EACH = 8
_SAMPLE_SIDES = (512, 256, 1024, 128, 64, 2048)


@dataclass(frozen=True, slots=True)
class Place:
    """An artifact and the name and version that it is served under."""

    name: str
    version: str
    artifact: CompiledArtifact


def places(given: Sequence[Path | str]) -> tuple[Place, ...]:
    """Open artifacts, given as folders or as `NAME=FOLDER` or `NAME:VERSION=FOLDER`.

    Without a name it is the model's own; without a version it is 1, 2, … in the order given.

    Raises:
        UsageError: no artifact, a name that an address cannot have, or one twice.
        BadArtifactError: damaged, or not compiled.
    """
    given = files.several(given, "artifacts")
    if not given:
        raise UsageError("name at least one built artifact to serve.", field="artifacts")
    found: list[Place] = []
    for each in given:
        name, version, folder = _split(each)
        artifact = CompiledArtifact.open(folder)
        name = name or artifact.spec.name
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be part of an address. Name the model: NAME={folder}, of letters, digits, '.', '_' "
                "and '-'.",
                field="artifacts",
            )
        taken = {place.version for place in found if place.name == name}
        version = version or next(str(number) for number in range(1, len(taken) + 2) if str(number) not in taken)
        if version in taken:
            raise UsageError(f"{name}:{version} is named twice. Give one another version.", field="artifacts")
        found.append(Place(name, version, artifact))
    return tuple(found)


class Served:
    """A model that is served: its pipeline, its queue, and what it takes and gives."""

    def __init__(self, place: Place, options: ServeOptions, observer: Observer, running: threading.Semaphore) -> None:
        self.name, self.version, self.artifact = place.name, place.version, place.artifact
        threads = max(1, machine.usable_cpus() // options.workers)
        self.pipeline = Pipeline.open(place.artifact, threads=threads, mode=options.mode)
        config = self.pipeline.config
        self.outputs = self._warm_up()
        self.scheduler = Scheduler(
            self.pipeline,
            capacity=options.queue or _WAITING_EACH * config.num_workers,
            batch=options.batch or config.batch_size,
            batch_wait_s=options.batch_wait_ms / 1e3,
            observer=observer,
            running=running,
        )

    @property
    def network_outputs(self) -> tuple[str, ...]:
        """The network's own outputs, which are given for its own input."""
        return tuple(tensor.name for tensor in self.pipeline.spec.outputs)

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """The V2 metadata of the model."""
        spec, precision = self.pipeline.spec, self.pipeline.precision
        build = self.artifact.manifest.build
        own = [_told(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.inputs]
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": f"densecast_{build.backend}",
            "inputs": [
                {"name": IMAGE, "datatype": tensors.BYTES, "shape": [-1]},
                *(each for each in own if each["name"] != IMAGE),
            ],
            "outputs": [
                {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
                for each in self.outputs.values()
            ],
            "parameters": {
                "version": self.version,
                "task": spec.task,
                "backend": build.backend,
                "precision": str(precision),
                "labels": list(spec.labels),
                "palette": [list(colour) for colour in spec.palette],
                "limbs": outputs.limbs(self.pipeline.task, self.pipeline.spec),
                "is_upright": spec.preprocess.use_exif,
                "network_inputs": own,
                "network_outputs": [_told(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.outputs],
            },
        }

    def run_network(self, feeds: Feeds) -> Feeds:
        """The network alone on a batch: outputs by name."""
        count = len(next(iter(feeds.values())))
        rows = tuple({name: array[row] for name, array in feeds.items()} for row in range(count))
        each = self.pipeline.forward(ModelInputs(rows, ()))
        return {name: np.stack([one[name] for one in each]) for name in each[0]}

    def check_feeds(self, inputs: Feeds) -> Feeds:
        """Check a batch for the network itself.

        Raises:
            Refused: names, types, sizes or values that the network does not take.
        """
        specs = self.pipeline.spec.inputs
        for spec in specs:
            if spec.name not in inputs:
                raise bad(f"inputs: the network takes {[each.name for each in specs]}.", f"inputs[{spec.name}]")
            field, array = f"inputs[{spec.name}]", inputs[spec.name]
            if array.dtype == object or np.dtype(array.dtype) != np.dtype(spec.dtype):
                wanted = tensors.datatype_of(spec.dtype)
                raise bad(f"{field}.datatype must be {wanted} for the network's own input.", f"{field}.datatype")
            sides = spec.shape[1:]
            fits = array.ndim == len(spec.shape) and all(
                want.admits(side) if isinstance(want, Dim) else want == side
                for side, want in zip(array.shape[1:], sides, strict=True)
            )
            if not fits or array.shape[0] < 1 or len({len(each) for each in inputs.values()}) > 1:
                raise bad(f"{field}.shape must be {spec}, got {list(array.shape)}.", f"{field}.shape")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise bad(f"{field} holds NaN or infinity.", f"{field}.data")
        return {spec.name: np.ascontiguousarray(inputs[spec.name], spec.dtype) for spec in specs}

    def close(self, timeout_s: float) -> None:
        """Finish what waits, and release the engine if that was done in time."""
        if self.scheduler.close(timeout_s):
            self.pipeline.close()

    def _warm_up(self) -> dict[str, Output]:
        """Predict a grey picture, so that everything is compiled, and see what predictions hold."""
        image = self._sample()
        sample = self.pipeline(image)
        try:
            scored = self.pipeline(image, scores=True)
        except (UsageError, BadInputError):
            scored = None
        for _ in range(self.pipeline.config.num_workers):
            self.pipeline(image)
        return outputs.offered(self.pipeline, sample, scored)

    def _sample(self) -> Any:
        spec = self.pipeline.spec
        height, width = spec.input.typical_shape(512)[2:]
        channels = spec.input.shape[1] if isinstance(spec.input.shape[1], int) else 3
        sides = [(height, width), (2 * height, 2 * width), *((side, side) for side in _SAMPLE_SIDES)]
        for size_hw in sides:
            try:
                check_size(size_hw, spec, self.pipeline.augment)
            except BadInputError:
                continue
            return np.full((*size_hw, 3 if channels == 1 else channels), 127, np.uint8)
        raise UsageError(f"{self.name}: no picture of a usual size fits this network.", field="artifacts")


class Models:
    """All models of a server, by name and version."""

    def __init__(self) -> None:
        self._served: tuple[Served, ...] = ()

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served)

    def replace(self, old: Served | None, new: Served | None) -> None:
        """Take a model out, put one in, or both at once; requests see the one or the other."""
        rest = [each for each in self._served if each is not old]
        self._served = tuple(rest if new is None else [*rest, new])

    def versions(self, name: str) -> list[str]:
        """The versions of a model, in the order given."""
        return [each.version for each in self._served if each.name == name]

    def find(self, name: str | None, version: str | None = None) -> Served:
        """A model by its name; without a version the last one given; without a name the only model.

        Raises:
            Refused: there is none.
        """
        names = sorted({each.name for each in self._served})
        if not names:
            raise Refused(404, "no model is served yet.", field="model")
        if name is None:
            if len(names) > 1:
                raise Refused(404, f"several models are served: {', '.join(names)}. Name one.", field="model")
            name = names[0]
        of_name = [each for each in self._served if each.name == name]
        if not of_name:
            raise Refused(404, str(UnknownNameError.among("model", name[:100], names)), field="model")
        if version is None:
            return of_name[-1]
        for each in of_name:
            if each.version == version:
                return each
        raise Refused(
            404, f"{name} has no version {version[:100]!r}; it has {', '.join(self.versions(name))}.", field="version"
        )


def _split(given: Path | str) -> tuple[str, str, Path]:
    text = str(given)
    label, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        return "", "", Path(text)
    name, colon, version = label.partition(":")
    for what, part in (("name", name), *((("version", version),) if colon else ())):
        if not _NAME.fullmatch(part):
            raise UsageError(
                f"{text!r}: a {what} is made of up to 100 letters, digits, '.', '_' and '-'.", field="artifacts"
            )
    return name, version, Path(folder)


def _told(name: str, dtype: str, shape: Sequence[int | Dim]) -> dict[str, Any]:
    sides = [side if isinstance(side, int) else -1 for side in shape]
    return {"name": name, "datatype": tensors.datatype_of(dtype), "shape": sides}
