"""The roofline of a machine: what a layer of some arithmetic and traffic takes at least, and which of both bounds it.

A layer cannot be faster than its multiplications at the machine's peak in its type, nor than its bytes at the peak of
memory: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from densecast.runtime.cpu_load import CpuLoad

Bound = Literal["arithmetic", "memory"]


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a machine reaches at most: multiply-accumulates a second by type (`int8`, …), and bytes a second.

    Measured with the engine itself on `threads` threads; a type that the machine does not have is left out. `load` is
    what other programs took of the CPUs meanwhile.
    """

    macs_per_s: dict[str, float]
    bytes_per_s: float
    threads: int
    cpu: str
    load: CpuLoad = field(default_factory=CpuLoad)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One operator as the engine runs it.

    `name` is the layer's in the original network where its exporter has kept it, else the graph's; `nodes` are the
    nodes of the graph that are fused into it, `kind` and `kernel` the engine's own words. `type` is what it computes
    in, `ms` the median over the runs. `macs` are 0 where it multiplies nothing by weights; `bytes` are its inputs,
    weights and outputs, each moved once. An operator that was not timed has no share in anything.
    """

    name: str
    nodes: tuple[str, ...]
    kind: str
    kernel: str
    type: str
    ms: float
    macs: int
    bytes: int

    def least_ms(self, peaks: Peaks) -> float:
        """What it takes at the roofline."""
        return max(self._arithmetic_ms(peaks), self._memory_ms(peaks))

    def bound(self, peaks: Peaks) -> Bound:
        """What bounds it at the roofline."""
        return "arithmetic" if self._arithmetic_ms(peaks) >= self._memory_ms(peaks) else "memory"

    def share(self, peaks: Peaks) -> float:
        """Its time at the roofline over its own: 1 leaves nothing to gain; more than 1 reads from a cache."""
        return self.least_ms(peaks) / self.ms if self.ms else 0.0

    def share_of_peak(self, peaks: Peaks) -> float | None:
        """Its multiply-accumulates a second over the machine's peak in its type; None without either."""
        peak = peaks.macs_per_s.get(self.type)
        return self.macs / (self.ms / 1e3) / peak if peak and self.macs and self.ms else None

    def _arithmetic_ms(self, peaks: Peaks) -> float:
        peak = peaks.macs_per_s.get(self.type)
        return self.macs / peak * 1e3 if peak else 0.0

    def _memory_ms(self, peaks: Peaks) -> float:
        return self.bytes / peaks.bytes_per_s * 1e3


@dataclass(frozen=True, slots=True)
class Roofline:
    """The layers of one network in the order in which they run, and the machine's peaks.

    `inference_ms` is the median of the whole inference while layers were timed: more than their sum, by what the engine
    does between them.
    """

    layers: tuple[LayerCost, ...]
    peaks: Peaks
    inference_ms: float
    input_shape: tuple[int, ...]
    runs: int

    @property
    def least_ms(self) -> float:
        """What all layers take at the roofline, one after another."""
        return sum(layer.least_ms(self.peaks) for layer in self.layers)

    @property
    def timed_ms(self) -> float:
        """The sum of the layers' times."""
        return sum(layer.ms for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an inference."""
        return sum(layer.macs for layer in self.layers)

    def by_loss(self) -> Sequence[LayerCost]:
        """The layers, those first that take most above the roofline."""
        return sorted(self.layers, key=lambda layer: layer.least_ms(self.peaks) - layer.ms)
