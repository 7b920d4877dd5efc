"""Plans add up to the CPUs there are; other libraries' warnings and pools are put back."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from densecast.errors import UnknownNameError
from densecast.runtime import execution, process_settings
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.machine import usable_cpus
from densecast.runtime.process_settings import warnings_ignored


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 9, 16, 96])
def test_threads_of_all_streams_are_the_cpus(cpus: int) -> None:
    assert execution.configure("latency", cpus) == ExecutionConfig(cpus, 1)
    found = execution.configure("throughput", cpus)
    assert found.num_threads == cpus and 1 <= found.num_streams <= found.num_workers <= cpus
    assert found.num_threads // found.num_streams * found.num_streams <= cpus


def test_the_affinity_is_what_is_planned_for() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert execution.configure("throughput") == ExecutionConfig(1, 1)
    finally:
        os.sched_setaffinity(0, before)
    assert execution.configure("latency").num_threads == usable_cpus()


def test_streams_that_were_measured_are_kept_within_the_threads() -> None:
    assert execution.configure("throughput", 4, 2) == ExecutionConfig(4, 2, num_workers=2)
    assert execution.configure("throughput", 2, 8) == ExecutionConfig(2, 2, num_workers=2)


def test_an_inference_on_all_cpus_or_none_goes_on_beside_other_stages() -> None:
    assert execution.configure("throughput", 4, 1) == ExecutionConfig(4, 1, num_workers=2)
    assert execution.configure("throughput", 16, device="cuda:1") == ExecutionConfig(
        16, 1, device="cuda:1", num_workers=4
    )
    assert execution.configure("throughput", 2, device="cuda") == ExecutionConfig(2, 1, device="cuda", num_workers=2)
    assert execution.configure("latency", 16, device="cuda") == ExecutionConfig(16, 1, device="cuda")
    assert execution.configure("throughput", 2, device="cpu") == ExecutionConfig(2, 2, device="cpu", num_workers=2)


def test_a_mode_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="throughput"):
        execution.parse_mode("troughput")


def test_opencv_is_put_back() -> None:
    import cv2

    before = cv2.getNumThreads()
    with process_settings.opencv_threads(1):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


def test_of_several_claims_on_opencv_the_smallest_holds_and_the_last_to_leave_puts_it_back() -> None:
    import cv2

    before = cv2.getNumThreads()
    first, second = process_settings.opencv_threads(2), process_settings.opencv_threads(1)
    first.__enter__()
    second.__enter__()
    assert cv2.getNumThreads() == 1
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == before


def test_warnings_come_back_whoever_leaves_first() -> None:
    entered, leave = threading.Barrier(2), threading.Event()

    def stays() -> None:
        with warnings_ignored():
            entered.wait(timeout=10)
            leave.wait(timeout=10)

    before = list(warnings.filters)
    with ThreadPoolExecutor(1) as pool:
        with warnings_ignored():
            waiting = pool.submit(stays)
            entered.wait(timeout=10)
        warnings.warn("unseen: the other thread is still inside", UserWarning, stacklevel=1)
        leave.set()
        waiting.result()
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", UserWarning, stacklevel=1)


def test_kernels_are_kept_where_the_user_says_if_that_is_a_folder_that_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "is there").mkdir()
    (tmp_path / "file").touch()
    for name in ("is there", "new"):
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / name))
        process_settings.give_numba_a_cache(tmp_path / "kernels")
        assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / name)
        assert (tmp_path / name).is_dir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    for _ in range(2):
        process_settings.give_numba_a_cache(tmp_path / "kernels")
        assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR == str(tmp_path / "cache" / "kernels")
