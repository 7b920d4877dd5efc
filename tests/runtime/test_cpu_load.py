"""What others take of the CPUs: what /proc/stat counts less this process's own time; without it, nothing is claimed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from densecast.runtime import cpu_load
from densecast.runtime.cpu_load import MOST_OTHERS, CpuLoad, LoadMeter

TICKS = os.sysconf("SC_CLK_TCK")


def write_stat(path: Path, busy_s: float, idle_s: float) -> None:
    """Two CPUs that share the time; a third, which this process may not use, is always busy."""
    busy, idle = round(busy_s / 2 * TICKS), round(idle_s / 2 * TICKS)
    used = f"{busy // 2} 0 {busy - busy // 2 - 1} {idle} 7 0 0 1 0 0"
    path.write_text(f"cpu  1 2 3 4\ncpu0 {used}\ncpu1 {used}\ncpu2 999 0 {round(idle_s * 50)} 0 0 0 0\nintr 5 0\n")


@pytest.mark.parametrize(
    ("busy_s", "own_s", "others"), [(4.0, 4.0, 0.0), (20.0, 4.0, 0.8), (4.0, 5.0, 0.0), (6.0, 1.0, 0.25)]
)
def test_the_share_of_others_is_what_was_busy_less_ones_own(
    busy_s: float, own_s: float, others: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(s=100.0, own_s=3.0)
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(monotonic=lambda: now.s))
    times = SimpleNamespace(system=0.0, children_user=0.0, children_system=0.0)
    monkeypatch.setattr(os, "times", lambda: SimpleNamespace(user=now.own_s, **vars(times)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 1.0, 1.0))
    write_stat(tmp_path / "stat", 50.0, 50.0)
    meter = LoadMeter(tmp_path / "stat")
    write_stat(tmp_path / "stat", 50.0 + busy_s, 70.0 - busy_s)
    now.s, now.own_s = now.s + 10.0, now.own_s + own_s
    load = meter.load()
    assert load.others == pytest.approx(others, abs=0.01)
    assert (load.before, load.after) == (1.5, 1.5)
    assert load.is_too_high == (others > MOST_OTHERS)


def test_without_proc_stat_the_load_average_is_all_that_is_said(tmp_path: Path) -> None:
    load = LoadMeter(tmp_path / "none").load()
    assert load.others is None and not load.is_too_high
    (tmp_path / "odd").write_text("cpu0 some words\n")
    assert LoadMeter(tmp_path / "odd").load().others is None
    assert str(CpuLoad(None, 3.25)) == "the load average was 3.2 at the beginning"
    assert str(CpuLoad()) == "the load of the machine is not known"
    assert str(CpuLoad(0.9, 3.0, 4.0)) == "other programs took 90 % of the CPUs"


def test_a_moment_of_a_few_ticks_has_no_share() -> None:
    assert LoadMeter().load().others is None


def test_ones_own_work_is_not_that_of_others() -> None:
    meter = LoadMeter()
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        pass
    others = meter.load().others
    assert others is None or 0 <= others <= 1


def test_every_kind_of_busy_time_counts_and_all_of_ones_own_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(s=0.0)
    own = SimpleNamespace(user=1.0, system=1.0, children_user=1.0, children_system=1.0)
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(monotonic=lambda: now.s))
    monkeypatch.setattr(os, "times", lambda: own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})

    def write(*fields_s: float) -> None:
        fields = " ".join(str(round(each * TICKS)) for each in fields_s)
        (tmp_path / "stat").write_text(f"cpu0 {fields}\n")

    write(*[1.0] * 10)
    meter = LoadMeter(tmp_path / "stat")
    # user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice: 21 s busy of 100 s, 10 s of them own.
    write(2.0, 3.0, 4.0, 60.0, 20.0, 5.0, 6.0, 7.0, 90.0, 90.0)
    own.user, own.system, own.children_user, own.children_system = 2.0, 3.0, 4.0, 5.0
    now.s = 100.0
    assert meter.load().others == pytest.approx(0.11, abs=1e-9)
    now.s = 0.1
    assert meter.load().others == 1.0  # more than there was: rounding of ticks
    now.s = 0.09
    assert meter.load().others is None
    assert CpuLoad(MOST_OTHERS).is_too_high is False and CpuLoad(MOST_OTHERS + 0.001).is_too_high is True
