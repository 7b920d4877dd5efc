"""Which images a run draws, and at what size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import made_report
import pytest
import tiny_artifacts
from made_images import write_jpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from densecast.artifact import CompiledArtifact
from densecast.report.data import Row
from densecast.spec.options import BuildOptions
from densecast.spec.sample import Sample
from densecast.spec.verb_options import EvaluateOptions
from densecast.verbs.reproduce import drawings
from densecast.verbs.reproduce.material import Material


def row(values: dict[str, float], better: Literal["higher", "lower"] = "higher") -> Row:
    made = made_report.row("onnxruntime", "force_float32", 0)
    return replace(made, score=replace(made.score, per_image=values, better=better))


FIRST = {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7, "e": 0.8, "f": 0.3}
CHOSEN = [
    ("higher", {**FIRST, "e": 0.79, "d": 0.65}, "cfa", "b", "d"),
    ("lower", {**FIRST, "a": 0.4}, "bed", "c", "a"),
    # Who is shown already is not shown again, whichever way it changed; an image without a score did not change.
    ("higher", {**FIRST, "c": 0.9}, "cfa", "b", ""),
    ("higher", {"d": 0.71}, "cfa", "b", "d"),
]


@pytest.mark.parametrize(("better", "last", "worst", "best", "changed"), CHOSEN)
def test_the_worst_the_best_and_the_most_changed_are_drawn(
    better: str, last: dict[str, float], worst: str, best: str, changed: str
) -> None:
    found = drawings.choose([row(FIRST, better), row({}, better), row(last, better)])
    words = (("worst", worst), ("best", best), ("changed most", changed))
    assert found == [(name, word) for word, names in words for name in names]


def test_of_few_images_none_is_drawn_twice_and_without_scores_none_at_all() -> None:
    assert drawings.choose([row({"a": 0.5, "b": 0.4})]) == [("b", "worst"), ("a", "worst")]
    assert drawings.choose([row({})]) == []


def test_drawings_are_scaled_down_to_640_pixels_and_never_up(tmp_path: Path) -> None:
    sizes = {"large": (320, 1000), "high": (900, 40), "small": (48, 64)}
    samples = tuple(
        Sample(name, write_jpeg(tmp_path / "images" / f"{name}.jpg", size_hw), tmp_path / "none")
        for name, size_hw in sizes.items()
    )
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime"))
    assert isinstance(built, CompiledArtifact)
    drawn = drawings.draw_all(
        [(name, "worst") for name in sizes],
        [(row(dict.fromkeys(sizes, 0.5)), built)],
        Material(tmp_path / "images", samples),
        EvaluateOptions(),
        tmp_path / "drawn",
    )
    found: dict[str, set[tuple[int, ...]]] = {}
    for image in drawn:
        for file in image.files.values():
            with Image.open(tmp_path / file) as opened:
                found.setdefault(image.sample, set()).add(opened.size[::-1])
    # 320 · 640 / 1000 is 204.8, and 40 · 640 / 900 is 28.4.
    assert found == {"large": {(205, 640)}, "high": {(640, 28)}, "small": {(48, 64)}}
    assert [set(image.files) for image in drawn] == [{"image", "onnxruntime fp32"}] * 3


def test_drawings_are_jpegs_of_quality_85(tmp_path: Path) -> None:
    """By the tables that Pillow, which scales the same standard ones, writes for that quality."""
    sample = Sample("a", write_jpeg(tmp_path / "images" / "a.jpg", (24, 32)), tmp_path / "none")
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("reference"))
    assert isinstance(built, CompiledArtifact)
    drawn = drawings.draw_all(
        [("a", "worst")],
        [(row({"a": 0.5}), built)],
        Material(tmp_path / "images", (sample,)),
        EvaluateOptions(),
        tmp_path / "drawn",
    )
    Image.new("RGB", (32, 24)).save(tmp_path / "want.jpg", quality=85)
    with Image.open(tmp_path / "want.jpg") as want, Image.open(tmp_path / drawn[0].files["image"]) as found:
        assert isinstance(want, JpegImageFile) and isinstance(found, JpegImageFile)
        assert found.quantization == want.quantization
