"""Energy that the processors took, from the counters of RAPL where the system lets them be read.

Linux shows them under `powercap`: one folder for each package, with a counter of microjoules that starts over at
`max_energy_range_uj`. They hold what everything on the package took, other programs included; a virtual machine has
none, and since 2020 most systems let nobody but root read them.
"""

from __future__ import annotations

from pathlib import Path

from densecast.io import system

_JOULES = 1e-6
_ROOT = system.SYS / "class" / "powercap"


class EnergyMeter:
    """Measures the energy between its creation and each call of `joules`.

    A package's counter starts over after minutes: whoever measures longer asks more often.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        # A package is `intel-rapl:0`; `intel-rapl:0:1` is a part of it.
        self._folders = [path for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
        self._last = self._counters()
        self._sum_uj = 0

    def joules(self) -> float | None:
        """Joules since the beginning; None where no counter can be read."""
        now = self._counters()
        if now is None or self._last is None:
            return None
        for (end, most), (begin, _) in zip(now, self._last, strict=True):
            self._sum_uj += end - begin if end >= begin else end - begin + most
        self._last = now
        return self._sum_uj * _JOULES

    def _counters(self) -> list[tuple[int, int]] | None:
        """Each package's counter and where it starts over, in microjoules."""
        try:
            return [
                (int((each / "energy_uj").read_text()), int((each / "max_energy_range_uj").read_text()))
                for each in self._folders
            ] or None
        except (OSError, ValueError):
            return None
