"""The base install alone: everything it promises imports and runs, and what it lacks says how to get it.

CI runs this file where nothing but the base install and pytest is there; it passes in a full install too.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed
from made_images import carvana, picture, write_jpeg
from onnx.reference import ReferenceEvaluator

import densecast as package
from densecast.backends._base import BACKENDS
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.verbs.builder import build

# The networks are torch modules; nothing else may need an extra to be imported.
NEEDS_TORCH = "densecast.networks."
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(package.__path__, "densecast.")
    if not found.name.startswith(NEEDS_TORCH) and not found.name.endswith("__main__")
)


def lacking(module: str) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name: str) -> None:
    importlib.import_module(name)


def test_public_names_resolve() -> None:
    assert all(getattr(package, name) is not None for name in package.__all__)


@pytest.mark.parametrize("backend", ["reference", "onnxruntime", "openvino"])
def test_a_ready_graph_is_exported_built_and_run(backend: str, tmp_path: Path) -> None:
    options = BuildOptions(backend, shape=InputShape(batch=Range(1, 2)))
    artifact = build(tiny_artifacts.exported(tmp_path), tmp_path / "built", options)
    images = [picture((48, 64), seed) for seed in range(3)]
    with Pipeline.open(artifact, threads=1) as pipeline:
        assert pipeline.precision.compute == "float32"
        predictions = [pipeline(image) for image in images]
        feed = np.stack([pipeline.preprocess(image).feeds[0]["image"] for image in images[:2]])
        logits = pipeline.session.forward({"image": feed})["logits"]
        wanted = ReferenceEvaluator(tiny_graphs.segmentation()).run(None, {"image": feed})[0]
        # 27 products summed in another order.
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert [prediction.class_id.shape for prediction in predictions] == [(48, 64)] * 3


def test_the_command_line_goes_from_a_graph_to_a_score(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.brightness(), tmp_path / "tiny.onnx")
    (tmp_path / "spec.toml").write_text(
        "labels = ['background', 'car']\n"
        "preprocess = { resize = { kind = 'native' } }\n"
        "evaluation = { dataset = 'carvana', metric = 'dice' }\n"
    )
    carvana(tmp_path / "data", count=10)
    export = ("export", tmp_path / "tiny.onnx", "--spec", tmp_path / "spec.toml", "--out", tmp_path / "float")
    build = ("build", tmp_path / "float", "--backend", "onnxruntime", "--out", tmp_path / "built")
    evaluate = ("evaluate", tmp_path / "built", "--data", tmp_path / "data", "--split", "all")
    for arguments in (export, build, evaluate, ("doctor",), ("models",)):
        ended = densecast(*arguments, "-q")
        assert ended.code == 0, ended.err
    image = next((tmp_path / "data" / "imgs").iterdir())
    quick = ("--count", "2", "--seconds", "0", "--warm-up", "0")
    assert densecast("benchmark", tmp_path / "built", image, *quick, "-q").code == 0
    assert densecast("infer", tmp_path / "built", image, "--out", tmp_path / "out", "-q").code == 0
    assert (tmp_path / "out" / f"{image.stem}.png").is_file()


def test_export_of_a_checkpoint_without_torch_says_what_to_install(tmp_path: Path) -> None:
    lacking("torch")
    (tmp_path / "weights.pth").write_bytes(b"weights")
    for arguments in (
        ("export", "unet_tiny", "--checkpoint", tmp_path / "weights.pth"),
        ("export", "fcn_tiny"),
        ("export", "unet_tiny", "--static", "1x64x96"),
    ):
        assert "--extra-index-url https://download.pytorch.org/whl/cpu 'densecast[torch]'" in failed(
            3, *arguments, "--out", tmp_path / "out", "-q"
        )
    assert "torch" not in {name for name in BACKENDS.names() if _usable(name)}


def test_the_small_model_is_exported_built_and_run_without_torch(tmp_path: Path) -> None:
    lacking("torch")
    assert densecast("export", "unet_tiny", "--out", tmp_path / "float", "-q").code == 0
    build = ("build", tmp_path / "float", "--height", "64", "--width", "96", "--out", tmp_path / "built", "-q")
    assert densecast(*build).code == 0
    image = write_jpeg(tmp_path / "a.jpg", size_hw=(128, 192))
    assert densecast("infer", tmp_path / "built", image, "--out", tmp_path / "out", "-q").code == 0


def _usable(backend: str) -> bool:
    missing: str | None = BACKENDS.load(backend).capabilities().missing
    return missing is None


def test_torchscript_and_the_torch_backend_without_torch_say_what_to_install(tmp_path: Path) -> None:
    lacking("torch")
    (tmp_path / "net.pt").write_bytes(b"PK")
    message = failed(3, "export", tmp_path / "net.pt", "--labels", "a,b", "--out", tmp_path / "out", "-q")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu 'densecast[torch]'" in message
    tiny_artifacts.exported(tmp_path)
    message = failed(3, "build", tmp_path / "float", "-b", "torch", "--out", tmp_path / "out", "-q")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu 'densecast[torch]'" in message


def test_int8_without_nncf_says_what_to_install(tmp_path: Path) -> None:
    lacking("nncf")
    tiny_artifacts.exported(tmp_path)
    root = carvana(tmp_path / "data", count=3)
    build = ("build", tmp_path / "float", "-p", "int8", "-b", "openvino", "--data", root / "imgs")
    assert "pip install 'densecast[quantize]'" in failed(3, *build, "--out", tmp_path / "out", "-q")
    assert not (tmp_path / "out").exists()


def test_a_run_without_jinja_says_so_before_it_starts(tmp_path: Path) -> None:
    lacking("jinja2")
    assert "pip install 'densecast[report]'" in failed(3, "run", "unet_tiny", "--out", tmp_path / "out", "-q")
    assert not (tmp_path / "out").exists()


def test_a_server_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    lacking("starlette")
    assert "pip install 'densecast[serve]'" in failed(3, "serve", tmp_path, "-q")


def test_doctor_names_every_extra_that_is_lacking() -> None:
    said = densecast("doctor").out
    for extra, module in (
        ("torch", "torch"),
        ("quantize", "nncf"),
        ("report", "jinja2"),
        ("coco", "pycocotools"),
        ("serve", "starlette"),
    ):
        lacks = importlib.util.find_spec(module) is None
        assert (re.search(rf"extra +\[{extra}\].*: pip install .*'densecast\[{extra}\]'", said) is not None) == lacks
