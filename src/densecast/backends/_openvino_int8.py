"""Mixed int8 and 16-bit OpenVINO models, all derived from one calibration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends._base import Built
from densecast.backends._openvino_layers import Group, groups, reverted

# Of so many rounds the shortest is near what undisturbed inference takes; one more warms up.
_PROFILED = 8
_US_PER_MS = 1e3

Times = Mapping[str, float]
"""Milliseconds by the name of an operator, in one round."""


class OpenVinoQuantized:
    """A model quantised by NNCF, with the original model."""

    def __init__(self, original: Any, int8: Any, hint: str, save: Callable[[Any, Path], Built]) -> None:
        self._original, self._int8, self._hint, self._save = original, int8, hint, save

    @property
    def layers(self) -> tuple[str, ...]:
        """The groups of operators that share quantisers, by the first convolution or matrix product in each."""
        return tuple(self._groups)

    def write(self, excluded: frozenset[str], folder: Path) -> Built:
        """Save and compile the model with the groups `excluded` in their original precision."""
        chosen = [self._groups[name] for name in sorted(excluded)]
        return self._save(reverted(self._int8, self._original, chosen) if excluded else self._int8, folder)

    def cost_ms(self) -> dict[str, float]:
        """By group, the time of its operators in the 16-bit model less that in the int8 model, from the engine's own
        counters; what is fused into an operator counts with it. Below 0 where int8 is the slower one.

        Both models run in turns, so that what others do on the machine meets both. A cost that noise exceeds is that
        noise: see `extra_ms`. Empty where the input's shape is open: there is nothing to run.
        """
        if any(tensor.partial_shape.is_dynamic for tensor in self._original.inputs):
            return {}
        infer = [self._profiled(model) for model in (self._original, self._int8)]
        rounds: list[list[Times]] = [[each() for each in infer] for _ in range(_PROFILED + 1)][1:]
        half, int8 = ([each[place] for each in rounds] for place in (0, 1))
        return {group.name: extra_ms(half, int8, group.operators) for group in self._groups.values()}

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return {group.name: group for group in groups(self._int8)}

    def _profiled(self, model: Any) -> Callable[[], Times]:
        """A function that runs the model once; time in ms by the name of each operator that the compiled model runs,
        quantisers with their producers.
        """
        import openvino as ov

        settings = {"INFERENCE_PRECISION_HINT": self._hint, "PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        rng = np.random.default_rng(0)
        feeds = {}
        for place, tensor in enumerate(model.inputs):
            values = rng.random(tuple(tensor.shape), dtype=np.float32)
            feeds[place] = values if tensor.element_type == ov.Type.f32 else (values * 255).astype(np.uint8)

        def infer() -> Times:
            request.infer(feeds)
            return {info.node_name: info.real_time.total_seconds() * _US_PER_MS for info in request.profiling_info}

        return infer


def extra_ms(half: Sequence[Times], int8: Sequence[Times], operators: Collection[str]) -> float:
    """How much longer operators take in 16 bits than in int8, from the times of several rounds of both, in ms.

    The shortest time of each operator is near what it takes undisturbed. The same from every other round and from the
    rounds between is known less well: what the two lie apart is taken for the noise. Where that is more than the cost,
    nobody can say which is the faster, and the cost is the noise: such a layer is cheap, but never for nothing.
    """

    def cost(rounds: slice) -> float:
        return _shortest(half[rounds], operators) - _shortest(int8[rounds], operators)

    found, noise = cost(slice(None)), abs(cost(slice(0, None, 2)) - cost(slice(1, None, 2)))
    return noise if abs(found) < noise else found


def _shortest(rounds: Sequence[Times], operators: Collection[str]) -> float:
    return sum(min((each.get(name, 0.0) for each in rounds), default=0.0) for name in operators)
