"""What is done ahead of a measurement: its process waits for it alone, and kernels are compiled once and for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import made_images
import pytest

from densecast.verbs.reproduce import ahead


class Pool:
    """A pool that remembers itself."""

    made: list[Pool]

    def __init__(self, processes: int, what: str) -> None:
        self.what, self.is_open, self.work = what, True, list[str]()
        self.made.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.is_open = False

    def submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        self.work.append(str(arguments[0]))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Pool]:
    Pool.made = []
    monkeypatch.setattr(ahead, "WorkerPool", Pool)
    return Pool.made


def test_the_process_that_was_started_for_a_model_is_the_one_that_measures_it(made: list[Pool]) -> None:
    with ahead.NextWorker() as worker:
        worker.start("a", "onnxruntime", "segmentation")
        (waiting,) = made
        assert waiting.work == ["onnxruntime"]  # it imports
        with worker.taken("a") as pool:
            assert pool is waiting and waiting.is_open
        with worker.taken("b") as pool:  # the last one has ended by then, and takes nothing of its time
            assert pool is made[1] and not waiting.is_open
    assert not made[1].is_open
    assert [each.what for each in made] == ["measures a", "measures b"]
    assert not any(each.is_open for each in made)


def test_one_that_nobody_takes_or_that_is_for_another_model_ends(made: list[Pool]) -> None:
    with ahead.NextWorker() as worker:
        worker.start("a", "onnxruntime", "segmentation")
        with worker.taken("another") as pool:
            assert pool is made[1] and not made[0].is_open
        worker.start("c", "onnxruntime", "segmentation")
        worker.start("d", "onnxruntime", "segmentation")  # one waits already
    assert len(made) == 3 and not any(each.is_open for each in made)
    with pytest.raises(ZeroDivisionError), ahead.NextWorker() as worker:
        worker.start("e", "onnxruntime", "segmentation")
        raise ZeroDivisionError
    assert not made[-1].is_open
    with pytest.raises(ZeroDivisionError), ahead.NextWorker() as worker, worker.taken("f"):
        raise ZeroDivisionError
    assert not made[-1].is_open


_COMPILE = (
    "import sys; from pathlib import Path; from densecast import Artifact; from densecast.verbs import warm_up\n"
    "for compile in (warm_up.compile_reading, warm_up.compile_decoding):\n"
    "    compile(Artifact.open(sys.argv[1]).spec, Path(sys.argv[2]))"
)
_PREDICT = "import sys; from densecast import Pipeline; p = Pipeline.open(sys.argv[1]); p(p.read(sys.argv[2]))"


@pytest.mark.slow
def test_after_it_an_image_compiles_next_to_nothing(artifacts: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    made_images.write_jpeg(image, (48, 64))

    def kernels(program: str) -> set[str]:
        command = [sys.executable, "-c", program, artifacts / "built", image]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
        subprocess.run(command, check=True, env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)})
        return {path.name for path in (tmp_path / "kernels").rglob("*.nbc")}

    (tmp_path / "kernels").mkdir()
    compiled = kernels(_COMPILE)
    assert len(compiled) > 10
    # But for the smallest one, which a pipeline also needs for arrays that nobody may write to.
    assert {name.split("-")[0] for name in kernels(_PREDICT) - compiled} <= {"normalise._lookup"}
