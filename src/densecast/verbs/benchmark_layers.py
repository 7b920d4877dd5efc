"""Finds what times the layers of a pipeline's model, if its engine can: the roofline of a benchmark."""

from __future__ import annotations

import functools
from collections.abc import Callable

from densecast.backends._base import BACKENDS, ProfilesLayers
from densecast.errors import UsageError
from densecast.pipeline import Pipeline
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.roofline import Roofline
from densecast.spec.tensor import Feeds


def profile_of(pipeline: Pipeline) -> Callable[[ExecutionConfig, Feeds, int], Roofline]:
    """What times the layers of a pipeline's model.

    Raises:
        UsageError: its engine does not say what its layers take.
    """
    artifact = pipeline.artifact
    if artifact is None:
        raise UsageError("a model without a built artifact does not say what its layers take.", field="layers")
    backend = BACKENDS.load(artifact.manifest.build.backend)
    if not isinstance(backend, ProfilesLayers):
        raise UsageError(
            f"backend {backend.traits.package!r} does not say what its layers take: build with -b openvino.",
            field="layers",
        )
    return functools.partial(backend.profile, artifact)
