"""CPU load by other processes while something is measured, from /proc/stat and the process's own CPU time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from densecast.io import system

# Above this share of the usable CPUs a comparison by wall time decides nothing: an engine's threads wait for the
# slowest of them at every layer, so whichever of two models synchronises more often is slowed more, in every round
# alike. That is a bias, which no number of rounds shows. Below it rounds merely spread, which their interval shows.
MOST_OTHERS = 0.25

# Fields of a line `cpuN …` (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal. Time that a hypervisor
# gave to other machines counts as taken by others; guest time is in user time already.
_BUSY = (0, 1, 2, 5, 6, 7)
# Ticks are 10 ms: below this a share would be one of a few ticks.
_SHORTEST_S = 0.1


@dataclass(frozen=True, slots=True)
class CpuLoad:
    """How busy the machine was while something was measured.

    `others` is the share of the usable CPUs' time that other processes took meanwhile (0 to 1); `before` and `after`
    are the load averages of the last minute, which count this process too. None where the system does not tell.
    """

    others: float | None = None
    before: float | None = None
    after: float | None = None

    @property
    def is_too_high(self) -> bool:
        """Whether others took so much that wall times decide nothing."""
        return self.others is not None and self.others > MOST_OTHERS

    def __str__(self) -> str:
        """`other programs took 3 % of the CPUs`, or what is known instead."""
        if self.others is not None:
            return f"other programs took {self.others:.0%} of the CPUs".replace("%", " %")
        if self.before is not None:
            return f"the load average was {self.before:.1f} at the beginning"
        return "the load of the machine is not known"


class LoadMeter:
    """Measures the load between its creation and each call of `load`."""

    def __init__(self, stat: Path = system.PROC / "stat") -> None:
        self._path, self._before, self._start_s = stat, _load_average(), time.monotonic()
        self._busy_s, self._own_s = _busy_s(stat), _own_s()

    def load(self) -> CpuLoad:
        """The load since the beginning; without a share if that is less than a few ticks ago."""
        passed_s, busy_s, own_s = time.monotonic() - self._start_s, _busy_s(self._path), _own_s()
        others = None
        if busy_s is not None and self._busy_s is not None and passed_s >= _SHORTEST_S:
            available_s = passed_s * len(system.usable_cpus())
            others_s = (busy_s - self._busy_s) - (own_s - self._own_s)
            others = round(min(max(others_s / available_s, 0.0), 1.0), 3)
        return CpuLoad(others, self._before, _load_average())


def _busy_s(stat: Path) -> float | None:
    """Seconds that the usable CPUs have been busy since the machine started; None where /proc/stat is absent."""
    usable = {f"cpu{number}" for number in system.usable_cpus()}
    try:
        lines = [line.split() for line in stat.read_text(encoding="ascii").splitlines() if line.startswith("cpu")]
        ticks = [
            int(line[1 + place]) for line in lines if line[0] in usable for place in _BUSY if place + 1 < len(line)
        ]
    except (OSError, ValueError):
        return None
    return sum(ticks) / system.clock_ticks() if ticks else None


def _own_s() -> float:
    """CPU seconds of all threads of this process, and of its children that have ended."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def _load_average() -> float | None:
    average = system.load_average()
    return None if average is None else round(average, 2)
