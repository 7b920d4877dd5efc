"""A disk that is full is told in one line, by whichever library wrote, and leaves what was there.

No file system is needed for it: a process may say how long its files may become, and every write beyond it fails.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed, tree
from made_images import write_jpeg

from densecast.errors import WriteError
from densecast.graph import fold_constants
from densecast.io.own_results import OwnResults

_SIZE = ("--height", "24", "--width", "32", "-q")


@contextlib.contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """Writes beyond `count` bytes fail with "File too large", in every library of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("full")
    tiny_artifacts.exported(made)
    write_jpeg(made / "images" / "a.jpg")
    return made


# Where the graph of 1.4 kB fits and what the engine writes does not.
@pytest.mark.parametrize(
    ("backend", "count", "words"),
    [
        ("openvino", 3000, "OpenVINO's model could not be written"),
        ("onnxruntime", 2000, "ONNX Runtime's optimised graph could not be written"),
        ("onnxruntime", 500, "the folded graph could not be written"),
        ("reference", 1500, "File too large"),
    ],
)
def test_a_build_on_a_full_disk_ends_with_3_and_leaves_the_old_one(
    backend: str, count: int, words: str, root: Path, tmp_path: Path, own_cache: Path
) -> None:
    out = tmp_path / "out"
    assert densecast("build", root / "float", "--out", out, "-b", "reference", *_SIZE).code == 0
    before = tree(tmp_path)
    with files_of_at_most(count):
        message = failed(3, "build", root / "float", "--out", out, "-b", backend, "--batch", "2", *_SIZE)
    assert words in message and ".densecast-" not in message
    assert tree(tmp_path) == before


@pytest.mark.quantize
@pytest.mark.parametrize("count", [500, 1500, 5000])
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_int8_build_on_a_full_disk_ends_with_3(backend: str, count: int, root: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    settled = ("--images", "1", "--estimator", "mean_minmax", "--data", root / "images", *_SIZE)
    if backend == "openvino":
        settled = ("--bias-correction", "none", "--sixteen-bit", "f16", *settled)
    given = ("build", root / "float", "--out", tmp_path / "out", "-b", backend, "-p", "int8", *settled)
    with files_of_at_most(count):
        ended = densecast(*given)
    assert (ended.code, len(ended.err.splitlines())) in [(3, 1), (0, 0)], ended.err
    assert ended.code == 0 or not list(tmp_path.iterdir())


def test_folding_on_a_full_disk_is_no_fault_of_the_graph() -> None:
    model = tiny_graphs.segmentation()
    with files_of_at_most(100), pytest.raises(WriteError, match="the folded graph could not be written"):
        fold_constants.apply(model)
    fold_constants.apply(model)


@pytest.mark.torch
def test_weights_on_a_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import tiny_torch

    from densecast.verbs.export.torch_module import keep_weights

    keep = keep_weights(tiny_torch.segmentation(), "tiny")
    exported = SimpleNamespace(places=None)
    with files_of_at_most(300), pytest.raises(WriteError, match="the weights could not be written"):
        keep(tmp_path, exported)  # type: ignore[arg-type]
    keep(tmp_path, exported)  # type: ignore[arg-type]


@pytest.mark.torch
@pytest.mark.parametrize("count", [1000, 2500])  # neither the graph fits; the graph, and not what torch saves
def test_a_module_on_a_full_disk(count: int, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import tiny_torch

    from densecast.verbs.export import export_module

    with files_of_at_most(count), pytest.raises((WriteError, OSError), match=r"could not be written|File too large"):
        export_module(tiny_torch.segmentation(), tiny_artifacts.spec(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_results_are_not_written_that_the_record_cannot_name(root: Path, tmp_path: Path) -> None:
    own = OwnResults.of(tmp_path)
    (tmp_path / "made").write_bytes(b"x")
    with files_of_at_most(20), pytest.raises(OSError, match=r"File too large: .*\.densecast-results"):
        own.note(tmp_path / "a.png", tmp_path / "made", "a.jpg", "model")
    own.note(tmp_path / "b.png", tmp_path / "made", "b.jpg", "model")
    (tmp_path / "made").rename(tmp_path / "b.png")
    assert OwnResults.of(tmp_path).find(tmp_path / "b.png") is not None


@pytest.mark.parametrize("count", [0, 60, 150, 300])
def test_infer_on_a_full_disk_goes_on_later(count: int, artifacts: Path, root: Path, tmp_path: Path) -> None:
    given = ("infer", artifacts / "built", root / "images", "--out", tmp_path / "out", "-q")
    with files_of_at_most(count):
        assert densecast(*given).code in (0, 3)
    assert not [name for name in tree(tmp_path) if ".densecast-" in name and "results" not in name]
    assert densecast(*given).code == 0
    assert (tmp_path / "out" / "a.png").is_file()
