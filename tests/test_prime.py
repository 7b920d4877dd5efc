"""After a build is primed, nothing is compiled at its first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_pictures import picture

from densecast.core.options import BuildOptions, InputShape
from densecast.core.preprocess import KeepRatio, Preprocess, ScaleBy
from densecast.infer import Pipeline
from densecast.prime import prime

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
from densecast.infer import Pipeline
with Pipeline.open(Path(sys.argv[1])) as pipeline:
    found = pipeline(np.load(sys.argv[2]))
print("compiled", *names)
"""


@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_the_first_image_of_a_new_process_compiles_nothing(task: str, tmp_path: Path) -> None:
    size = InputShape((2,) if task == "pose" else (1,), 64, 96)
    made = tiny_artifacts.compiled if task == "segmentation" else tiny_artifacts.compiled_pose
    artifact = made(tmp_path, BuildOptions("openvino", shape=size))
    prime(artifact)
    cached = Path(os.environ["DENSECAST_CACHE"]) / "compiled"
    blobs = sorted(cached.iterdir())
    np.save(tmp_path / "image.npy", picture((128, 192) if task == "segmentation" else (64, 96)))
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE, str(artifact.folder), str(tmp_path / "image.npy")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["compiled"]
    assert sorted(cached.iterdir()) == blobs


# A new process: what is there for the first image once the engine has loaded its model, and nothing else was done.
LOADED = """
import sys
from pathlib import Path
from densecast.core import catalog
from densecast.core.artifact import Artifact
from densecast.core.runner import Plan
catalog.load("backends", sys.argv[1]).load(Artifact.open(Path(sys.argv[2])), Plan(1))
normalise = sys.modules["densecast.kernels.normalise"]
print("cv2" in sys.modules, bool(normalise._lookup.signatures))
"""


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


@pytest.mark.parametrize("factor", [0.25, 0.3, 0.5, 1.0])
def test_an_image_is_found_for_every_scale(factor: float, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, preprocess=Preprocess(ScaleBy(factor)))
    from densecast.build import build

    built = build(source, tmp_path / "built", BuildOptions("reference", shape=InputShape((1,), 33, 50)))
    prime(built)


def test_sizes_that_no_plain_image_leads_to_are_left_out(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, preprocess=Preprocess(KeepRatio(100, 100)))
    from densecast.build import build

    prime(build(source, tmp_path / "built", BuildOptions("reference", shape=InputShape((1,), 33, 50))))


def test_a_network_of_open_sizes_is_run_at_one_of_them(tmp_path: Path) -> None:
    artifact = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime"), tiny_graphs.brightness())
    prime(artifact)
    with Pipeline.open(artifact) as pipeline:
        pipeline(picture((64, 96)))
