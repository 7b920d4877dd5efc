"""What a foreign file may take is what docs/export.md promises: enough for an honest file, and an end for any other."""

from __future__ import annotations

import pytest

from densecast.errors import UsageError
from densecast.io import system
from densecast.runtime import cell

MIB, GIB = 2**20, 2**30


@pytest.fixture(autouse=True)
def idle_machine_of_64_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (cell.SECONDS, cell.GIB):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(system, "memory_bytes", lambda: 64 * GIB)
    monkeypatch.setattr(system, "load_average", lambda: 0.1)
    monkeypatch.setattr("os.cpu_count", lambda: 4)


@pytest.mark.parametrize(
    ("file_bytes", "pixels", "memory", "cpu_s"),
    [
        (0, 0, 1.5 * GIB, 45),
        (1, 0, 1.5 * GIB + 8, 48),  # a part of a MiB counts as one
        (100 * MIB, 0, 1.5 * GIB + 800 * MIB, 345),
        (100 * MIB + 1, 0, 1.5 * GIB + 800 * MIB + 8, 348),
        (0, 1_000_000, 1.5 * GIB + 2_048_000_000, 65),
        (0, 1_500_000, 1.5 * GIB + 3_072_000_000, 75),
        (2 * MIB, 2_000_000, 1.5 * GIB + 16 * MIB + 4_096_000_000, 91),
    ],
)
def test_limits_are_those_of_the_table(file_bytes: int, pixels: int, memory: float, cpu_s: int) -> None:
    found = cell.limits(file_bytes, pixels)
    assert (found.memory_bytes, found.cpu_s) == (memory, cpu_s)
    assert found.wall_s == 60 + 4 * cpu_s
    assert found.file_bytes == GIB + 4 * file_bytes


def test_memory_ends_at_three_quarters_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cell.limits(40 * GIB, 0).memory_bytes == 48 * GIB
    monkeypatch.setenv(cell.GIB, "60")
    assert cell.limits(0, 0).memory_bytes == 48 * GIB
    monkeypatch.setattr(system, "memory_bytes", lambda: None)
    assert cell.limits(0, 0).memory_bytes == 60 * GIB, "where nobody can say how much there is"


@pytest.mark.parametrize(("load", "times"), [(None, 1), (2.0, 1), (4.0, 1), (6.0, 1.5), (12.0, 3), (1000.0, 32)])
def test_time_on_the_clock_grows_with_the_load_of_each_cpu(
    load: float | None, times: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside others' work a process has its share of the CPUs only; without an end nobody would ever hear of it."""
    monkeypatch.setattr(system, "load_average", lambda: load)
    assert cell.limits(0, 0).wall_s == 240 * times
    assert cell.limits(0, 0).cpu_s == 45


def test_the_users_own_limits_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cell.GIB, "0.5")
    monkeypatch.setenv(cell.SECONDS, "2.5")
    found = cell.limits(100 * MIB, 1_000_000)
    assert found.memory_bytes == GIB // 2 and found.cpu_s == 3 and found.wall_s == 72


@pytest.mark.parametrize("variable", [cell.GIB, cell.SECONDS])
@pytest.mark.parametrize("said", ["0", "-1", "nan", "inf", "1e6", "much"])
def test_what_is_no_limit_is_refused(variable: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, said)
    with pytest.raises(UsageError, match=variable):
        cell.limits(0, 0)
    monkeypatch.setenv(variable, "999999")
    cell.limits(0, 0)
