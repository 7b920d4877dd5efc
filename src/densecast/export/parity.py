"""Whether an exported graph computes what the framework computes: the gate every export has to pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from densecast.core.artifact import ParityRecord
from densecast.core.errors import BadGraphError, ParityError

F32 = npt.NDArray[np.float32]
Network = Callable[[F32], F32]


def check(framework: Network, graph: Network, inputs: Sequence[F32], tolerance: float) -> ParityRecord:
    """Run both on every input and compare.

    Raises:
        ParityError: the largest difference exceeds `tolerance` times the framework's largest output, or a
            value is not finite.
        BadGraphError: the graph cannot run one of the shapes, or answers with another shape.
    """
    worst_absolute, worst_relative = 0.0, 0.0
    for feed in inputs:
        expected = framework(feed)
        try:
            found = graph(feed)
        except Exception as error:  # engines raise their own kinds; any of them means the graph is unusable
            raise BadGraphError(
                f"the exported graph fails on {list(feed.shape)}: {str(error).splitlines()[0]}. "
                "Export with --static for one shape only."
            ) from error
        if found.shape != expected.shape:
            raise BadGraphError(
                f"the exported graph turns {list(feed.shape)} into {list(found.shape)}, "
                f"the framework into {list(expected.shape)}."
            )
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            raise ParityError(f"an output for {list(feed.shape)} is not finite. The weights or the export are broken.")
        absolute = float(np.abs(found - expected).max(initial=0.0))
        largest = float(np.abs(expected).max(initial=0.0))
        worst_absolute = max(worst_absolute, absolute)
        worst_relative = max(worst_relative, absolute / largest if largest > 0 else float(absolute > 0))
    shapes = tuple(feed.shape for feed in inputs)
    if worst_relative > tolerance:
        raise ParityError(
            f"the exported graph differs from the framework by {worst_relative:.2e} of the largest output, "
            f"more than the tolerance {tolerance:.0e} (shapes {', '.join(str(list(shape)) for shape in shapes)})."
        )
    return ParityRecord(shapes, worst_absolute, worst_relative, tolerance)


def image_like(shape: tuple[int, ...], seed: int) -> F32:
    """Smooth fields with edges and noise, of zero mean and unit spread: closer to photographs than white noise."""
    rng = np.random.default_rng([seed, *shape])
    height, width = shape[-2:]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    planes = np.empty((int(np.prod(shape[:-2])), height, width), dtype=np.float32)
    for plane in planes:
        fx, fy = rng.uniform(1, 12, 2)
        px, py = rng.uniform(0, 2 * np.pi, 2)
        edge = (x * np.float32(rng.normal()) + y * np.float32(rng.normal())) > rng.normal() * 0.3
        plane[:] = np.sin(2 * np.pi * fx * x + px) * np.cos(2 * np.pi * fy * y + py) + edge
        plane += rng.normal(scale=0.2, size=(height, width)).astype(np.float32)
    planes -= planes.mean()
    planes /= planes.std() + 1e-6
    return planes.reshape(shape)
