"""After a warm-up, nothing is compiled at a build's first use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import picture

from densecast.artifact import Artifact
from densecast.pipeline import Pipeline
from densecast.session import Slot
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import KeepRatio, Preprocess, ScaleBy
from densecast.spec.tensor import Dim, Feeds
from densecast.verbs.builder import build
from densecast.verbs.warm_up import warm_up

# A new process: which kernels it had to compile, and whether it compiled the network.
FIRST_USE = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
class Compiled(event.Listener):
    def on_start(self, begun): names.append(begun.data["dispatcher"].py_func.__name__)
    def on_end(self, ended): pass
names = []
event.register("numba:compile", Compiled())
from densecast.pipeline import Pipeline
from densecast.session import Slot
with Pipeline.open(Path(sys.argv[1])) as pipeline:
    pipeline(np.load(sys.argv[2]))
print("compiled", *names)
"""


def first_image(task: str, folder: Path) -> tuple[Artifact, Path]:
    """A small model that was built and not warmed up, and an image for it."""
    size = InputShape((2,) if task == "pose" else (1,), 64, 96)
    made = tiny_artifacts.compiled if task == "segmentation" else tiny_artifacts.compiled_pose
    artifact = made(folder, BuildOptions("openvino", shape=size))
    np.save(folder / "image.npy", picture((128, 192) if task == "segmentation" else (64, 96)))
    return artifact, folder / "image.npy"


def process(code: str, *arguments: Path, **environment: str) -> list[str]:
    """What a new process that runs `code` says in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_the_first_image_of_a_new_process_compiles_nothing(task: str, tmp_path: Path, own_cache: Path) -> None:
    artifact, image = first_image(task, tmp_path)
    cached = own_cache / "compiled"
    shutil.rmtree(own_cache, ignore_errors=True)  # what the build itself left there
    warm_up(artifact)
    blobs = {path: path.stat().st_mtime_ns for path in cached.iterdir()}
    assert blobs
    assert process(FIRST_USE, artifact.folder, image) == ["compiled"]
    assert {path: path.stat().st_mtime_ns for path in cached.iterdir()} == blobs


# A new process: what is there for the first image once the engine has loaded its model, and nothing else was done.
LOADED = """
import sys
from pathlib import Path
from densecast.artifact import Artifact
from densecast.backends._base import BACKENDS
from densecast.runtime.execution import ExecutionConfig
BACKENDS.load(sys.argv[1]).load(Artifact.open(Path(sys.argv[2])), ExecutionConfig(1))
normalise = sys.modules["densecast.kernels.normalise"]
print("cv2" in sys.modules, bool(normalise._lookup.signatures))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_numba_and_opencv_are_ready_when_the_engine_is(backend: str, tmp_path: Path) -> None:
    artifact = tiny_artifacts.compiled(tmp_path, BuildOptions(backend, shape=InputShape((1,), 64, 96)))
    done = subprocess.run(
        [sys.executable, "-c", LOADED, backend, str(artifact.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


# A new process: what of the compiled loops the first image still had to load or compile after the warm-up.
AFTER_WARM_UP = """
import sys
from pathlib import Path
import numpy as np
from numba.core.dispatcher import Dispatcher
from densecast.artifact import Artifact
from densecast.pipeline import Pipeline
from densecast.session import Slot
from densecast.verbs.warm_up import warm_up
def ready():
    kernels = [module for name, module in sys.modules.items() if name.startswith("densecast.kernels.")]
    loops = [each for module in kernels for each in vars(module).values() if isinstance(each, Dispatcher)]
    return {(each.py_func.__qualname__, str(signature)) for each in loops for signature in each.signatures}
with Pipeline.open(Artifact.open(Path(sys.argv[1]))):
    loaded = ready()
warm_up(Artifact.open(Path(sys.argv[1])))
warm = ready()
with Pipeline.open(Artifact.open(Path(sys.argv[1]))) as pipeline:
    pipeline(np.load(sys.argv[2]))
print(len(warm - loaded), len(ready() - warm))
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_no_kernel_is_left_to_the_first_image(task: str, tmp_path: Path) -> None:
    artifact, image = first_image(task, tmp_path)
    warmed, left = map(int, process(AFTER_WARM_UP, artifact.folder, image))
    assert warmed > 0 and left == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_on_a_fresh_machine_nothing_is_left_to_compile(task: str, tmp_path: Path) -> None:
    artifact, image = first_image(task, tmp_path)
    fresh = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "DENSECAST_CACHE": str(tmp_path / "cache")}
    code = "import sys\nfrom pathlib import Path\nfrom densecast.artifact import Artifact\n"
    code += (
        "from densecast.verbs.warm_up import warm_up\nwarm_up(Artifact.open(Path(sys.argv[1])))\nprint()\nprint('warm')"
    )
    assert process(code, artifact.folder, **fresh) == ["warm"]
    assert list((tmp_path / "kernels").rglob("*.nbc"))
    assert process(FIRST_USE, artifact.folder, image, **fresh) == ["compiled"]


@pytest.fixture
def shapes_run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of everything that goes through a network."""
    shapes: list[tuple[int, ...]] = []
    run = Slot.run

    def recorded(slot: Slot, feeds: Feeds) -> Feeds:
        shapes.extend(feed.shape for feed in feeds.values())
        return run(slot, feeds)

    monkeypatch.setattr(Slot, "run", recorded)
    return shapes


@pytest.mark.parametrize("factor", [0.25, 0.3, 0.5, 1.0])
def test_an_image_is_found_for_every_scale(factor: float, tmp_path: Path, shapes_run: list[tuple[int, ...]]) -> None:
    source = tiny_artifacts.exported(tmp_path, preprocess=Preprocess(ScaleBy(factor)))
    built = build(source, tmp_path / "built", BuildOptions("reference", shape=InputShape((1,), 33, 50)))
    shapes_run.clear()
    warm_up(built)
    assert shapes_run == [(1, 3, 33, 50)]


def test_sizes_that_no_plain_image_leads_to_are_compiled_and_not_run(
    tmp_path: Path, own_cache: Path, shapes_run: list[tuple[int, ...]]
) -> None:
    source = tiny_artifacts.exported(tmp_path, preprocess=Preprocess(KeepRatio(100, 100)))
    built = build(source, tmp_path / "built", BuildOptions("openvino", shape=InputShape((1,), 33, 50)))
    shutil.rmtree(own_cache, ignore_errors=True)
    shapes_run.clear()  # what the build itself ran
    warm_up(built)
    assert shapes_run == []
    assert list((own_cache / "compiled").glob("*.blob"))


def test_a_network_of_open_sizes_is_run_at_one_of_them(tmp_path: Path, shapes_run: list[tuple[int, ...]]) -> None:
    artifact = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime"), tiny_graphs.brightness())
    shapes_run.clear()
    warm_up(artifact)
    (shape,) = shapes_run
    for size, allowed in zip(shape, artifact.spec.input.shape, strict=True):
        assert allowed.admits(size) if isinstance(allowed, Dim) else allowed == size
    with Pipeline.open(artifact) as pipeline:
        pipeline(picture((64, 96)))
