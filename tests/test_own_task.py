"""The page "a task of your own": its files are written as they stand there, and its commands run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from command_line import densecast
from made_pairs import scene
from PIL import Image

pytestmark = pytest.mark.quantize
pytest.importorskip("nncf")

PAGE = Path(__file__).parents[1] / "docs" / "own-task.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`denoise.py` and `spec.toml` of the page, a network that halves the noise, and noisy images with clean ones."""
    tmp_path = tmp_path_factory.mktemp("denoise")
    parts: dict[str, str] = {}
    for block in [*blocks("python"), *blocks("text")]:
        name, _, text = block.removeprefix("# ").partition("\n")
        parts[name] = parts.get(name, "") + text + "\n\n"
    for name, text in parts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    kernel = [1 / 9 if channel == out else 0.0 for out in range(3) for channel in range(3) for _ in range(9)]
    graph = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[N, 3, H, W] image) => (float[N, 3, H, W] clean)
        <float[3, 3, 3, 3] w = {{{", ".join(map(str, kernel))}}}>
        {{ clean = Conv <pads = [1, 1, 1, 1]> (image, w) }}
        """
    )
    onnx.save(graph, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    for kind in ("noisy", "clean"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for index in range(8):
        clean = scene(index, (48, 64))
        noisy = np.clip(clean + rng.normal(0, 40, clean.shape), 0, 255).astype(np.uint8)
        Image.fromarray(clean).save(tmp_path / "data" / "clean" / f"{index}.png")
        Image.fromarray(noisy).save(tmp_path / "data" / "noisy" / f"{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.syspath_prepend(str(tmp_path))
        patch.setenv("DENSECAST_PLUGINS", "denoise")
        yield tmp_path


@pytest.mark.slow
def test_the_page_runs_as_it_stands(folder: Path) -> None:
    (commands,) = blocks("bash")
    lines = [shlex.split(line) for line in commands.splitlines() if line.startswith("densecast ")]
    assert len(lines) == 6
    outputs = {}
    for line in lines:
        ended = densecast(*line[1:], "-q")
        assert ended.code == 0, (line, ended.err, ended.out)
        outputs[line[1]] = ended.out
    errors = []
    for index in (6, 7):
        noisy, clean = (np.asarray(Image.open(folder / "data" / kind / f"{index}.png")) for kind in ("noisy", "clean"))
        padded = np.pad(noisy / 255.0, ((1, 1), (1, 1), (0, 0)))
        mean = sum(padded[y : y + 48, x : x + 64] for y in range(3) for x in range(3)) / 9
        errors.append(np.abs(mean - clean / 255).mean())
    assert f"{float(np.mean(errors)):.4f}" in outputs["evaluate"]
    assert sorted(path.name for path in (folder / "results").glob("[!.]*")) == sorted(
        f"{index}{ending}" for index in range(8) for ending in (".png", "_overlay.jpg")
    )


@pytest.mark.slow
def test_the_pages_own_test_passes(folder: Path) -> None:
    import importlib

    import densecast as package
    from densecast.artifact import Artifact

    assert densecast("export", "net.onnx", "--spec", "spec.toml", "--out", "float").code == 0
    spec: package.ModelSpec = Artifact.open(folder / "float").spec
    importlib.import_module("test_denoise").test_denoise(spec, folder / "data")
