"""Record of how a build's 16-bit type was chosen: CPU times of both types, their ratio, and the load meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from densecast.runtime.ab_timing import Ratio
from densecast.runtime.cpu_load import CpuLoad


@dataclass(frozen=True, slots=True)
class HalfTypeRecord:
    """The 16-bit type of a build, and why.

    `native` is the type that the engine itself prefers on this CPU: it is taken where timing could not decide.
    `cpu_ms` are the median CPU times of one inference in one thread, by type; `ratio` is how many times as fast
    bfloat16 was. `decided` is False where noise was larger than the difference: another build may then choose
    otherwise. `from_cache` says that the timing is an earlier one of the same graph, versions and CPU.
    """

    chosen: str
    native: str
    why: str
    decided: bool
    cpu_ms: dict[str, float] = field(default_factory=dict)
    ratio: Ratio | None = None
    rounds: int = 0
    load: CpuLoad = field(default_factory=CpuLoad)
    from_cache: bool = False
