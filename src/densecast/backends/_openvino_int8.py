"""Mixed int8 and 16-bit OpenVINO models, all derived from one calibration."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends._base import Built
from densecast.backends._openvino_layers import Group, groups, reverted

# Of so many the shortest is near what undisturbed inference takes; one more warms up.
_PROFILED = 7
_US_PER_MS = 1e3


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

        Empty where the input's shape is open: there is nothing to run.
        """
        if any(tensor.partial_shape.is_dynamic for tensor in self._original.inputs):
            return {}
        half_ms, int8_ms = (self._times_ms(model) for model in (self._original, self._int8))
        return {
            group.name: sum(half_ms.get(name, 0.0) - int8_ms.get(name, 0.0) for name in group.operators)
            for group in self._groups.values()
        }

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return {group.name: group for group in groups(self._int8)}

    def _times_ms(self, model: Any) -> dict[str, float]:
        """Shortest time by the name of each operator that the compiled model runs, quantisers with their producers."""
        import openvino as ov

        settings = {"INFERENCE_PRECISION_HINT": self._hint, "PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
        compiled = ov.Core().compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        rng = np.random.default_rng(0)
        feeds = {}
        for place, tensor in enumerate(model.inputs):
            values = rng.random(tuple(tensor.shape), dtype=np.float32)
            feeds[place] = values if tensor.element_type == ov.Type.f32 else (values * 255).astype(np.uint8)
        seen: dict[str, list[float]] = {}
        for repetition in range(_PROFILED + 1):
            request.infer(feeds)
            for info in request.profiling_info:
                if repetition:
                    seen.setdefault(info.node_name, []).append(info.real_time.total_seconds() * _US_PER_MS)
        return {name: min(times) for name, times in seen.items()}
