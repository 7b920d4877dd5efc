"""numba is made ready beside what the caller does, and nothing of it is left."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from densecast.kernels.jit_warm_up import jit_warming_up

NAME = "densecast jit_warming_up"


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_the_thread_ends_with_the_block_and_has_called_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.kernels import normalise

    called, plain = [], normalise.to_normalised_planes

    def noted(*arguments: Any) -> Any:
        called.append(threading.current_thread().name)
        return plain(*arguments)

    monkeypatch.setattr(normalise, "to_normalised_planes", noted)
    with jit_warming_up():
        pass
    assert NAME not in names()
    assert called == [NAME]


def test_an_error_within_comes_out_and_the_thread_ends() -> None:
    with pytest.raises(KeyError, match="engine"), jit_warming_up():
        raise KeyError("engine")
    assert NAME not in names()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_fails_in_the_thread_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from densecast.kernels import normalise

    def failing(*arguments: Any) -> Any:
        raise FileNotFoundError("the current folder is gone")

    monkeypatch.setattr(normalise, "to_normalised_planes", failing)
    with jit_warming_up():
        pass
    assert "Traceback" not in capfd.readouterr().err
