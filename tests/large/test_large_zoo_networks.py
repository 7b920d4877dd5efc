"""Shipped networks in exact tiles: logits and labels of the whole picture; and memory that does not grow with it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast import infer
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import Native
from densecast.spec.verb_options import InferOptions
from densecast.verbs.builder import build
from densecast.verbs.export import export
from densecast.zoo._base import ZOO

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def scene(size_hw: tuple[int, int]) -> np.ndarray:
    """Patches and waves of several sizes."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    coarse = rng.integers(0, 160, (size_hw[0] // 40 + 1, size_hw[1] // 40 + 1, 3)).repeat(40, 0).repeat(40, 1)
    waves = 40 * np.stack([np.sin(y / 23 + band) + np.cos(x / 31) for band in range(3)], -1)
    image = coarse[: size_hw[0], : size_hw[1]] + waves + rng.normal(40, 6, (*size_hw, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "size_hw", "tile"), [("unet_tiny", (448, 624), 320), ("fcn_tiny", (720, 904), 704)])
def test_a_shipped_network_in_exact_tiles_equals_the_whole_picture(
    tmp_path: Path, name: str, size_hw: tuple[int, int], tile: int
) -> None:
    entry = ZOO.load(name)
    spec = replace(entry.spec, preprocess=replace(entry.spec.preprocess, resize=Native()))
    exported = export(replace(entry, spec=spec), tmp_path / "float")
    built = build(exported, tmp_path / "built", BuildOptions("onnxruntime", "force_float32"))
    image = scene(size_hw)
    Image.fromarray(image).save(tmp_path / "a.png")
    with Pipeline.open(built) as pipeline:
        options = InferOptions(large=True, tile=(tile, tile))
        (one,) = infer(pipeline, [tmp_path / "a.png"], tmp_path / "out", scores=True, options=options).results
        whole = pipeline(image, scores=True)
    assert one.tiled is not None and one.tiled.how == "exact" and one.tiled.is_exact and one.tiled.tiles > 1
    assert one.tiled.seam_difference is not None and one.tiled.seam_difference < 1e-4
    with Image.open(one.file) as labels, Image.open(tmp_path / "out" / "a_score.tif") as score:
        assert (np.asarray(labels) != whole.class_id).sum() <= 3, "near ties alone may turn over"
        assert np.abs(np.asarray(score) / 65535 - whole.probability).max() < 1e-4


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]) / "benchmarks"))
import large
large.write_picture(Path(sys.argv[3]), int(sys.argv[4]))
print(large.measure(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[3] + ".out"), 512)["peak_mb"])
"""


def test_memory_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    entry = ZOO.load("fcn_tiny")
    spec = replace(entry.spec, preprocess=replace(entry.spec.preprocess, resize=Native()))
    exported = export(replace(entry, spec=spec), tmp_path / "float")
    built = build(exported, tmp_path / "built", BuildOptions("openvino", "force_float32"))
    root = Path(__file__).parents[2]
    peaks = []
    for side in (1024, 4096):
        command = [sys.executable, "-c", RUN, str(root), str(built.folder), str(tmp_path / f"{side}.png"), str(side)]
        peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # Sixteen times the pixels, 45 MB more of them: what grows is a row of tiles of the width.
    assert peaks[1] - peaks[0] < 120
