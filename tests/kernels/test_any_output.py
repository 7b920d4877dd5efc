"""Whatever a network gives out or a JPEG file holds: an answer or a refusal, never a read beyond an array."""

from __future__ import annotations

import ast
import contextlib
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny_artifacts
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from test_any_argument import FEW, TYPES, arrays, sides

from densecast.errors import DensecastError
from densecast.imaging import jpeg_check
from densecast.imaging.strips import jpeg as strips_of_jpeg
from densecast.kernels.png_filter import unfilter
from densecast.spec.augment import View
from densecast.spec.preprocess import FitCentre, Letterbox, Native, PoseAffine, Preprocess, ScaleBy, Stretch
from densecast.tasks.pose.postprocess import decode as decode_people
from densecast.tasks.segmentation import SegmentationDecode, forms

SOURCE = Path(forms.__file__).parents[2]


def test_every_caller_of_a_compiled_function_has_a_property_here_or_beside() -> None:
    callers = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "densecast.kernels" in text else ():
            named = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("densecast.kernels")
            if named and "kernels" not in path.relative_to(SOURCE).parts[:1]:
                callers.add(path.relative_to(SOURCE).as_posix())
    assert callers == {
        "imaging/prepare.py",  # test_any_argument.test_prepare
        "imaging/jpeg_check.py",  # test_a_damaged_jpeg
        "tasks/segmentation/forms.py",  # test_a_segmentation
        "tasks/segmentation/postprocess.py",
        "tasks/segmentation/windows.py",  # rows of windows that the spec has placed: tests/test_sliding_windows
        "tasks/_windows.py",
        "tasks/pose/postprocess.py",  # test_people_of_several_scales, test_any_argument.test_people
        "verbs/export/tensorflow_labels.py",  # upsample_argmax: test_any_argument.test_labels_and_scores
        "verbs/handoff/simulator.py",
        "verbs/measuring.py",  # warms up alone
        "backends/onnxruntime.py",  # only warms up
        "backends/_openvino_runner.py",
        "backends/_value_statistics.py",  # values of a model's own tensors: test_value_counts
        "imaging/strips/jpeg.py",  # test_a_damaged_jpeg_in_rows
        "imaging/strips/png.py",  # lines of the header's length: test_scan_lines_of_any_bytes
        "tasks/pose/stages.py",  # test_people_of_several_scales
        "verbs/large/blended.py",  # parts of tiles that the plan has placed: tests/large/test_large_tiles
        "verbs/large/exact.py",
        "verbs/large/windows.py",
    }


rules = some.sampled_from([Native(), ScaleBy(0.5), Stretch((4, 5)), Letterbox((6, 7)), FitCentre((6, 6))])
decodings = some.builds(
    SegmentationDecode,
    to_image=some.sampled_from(["bilinear_logits", "bilinear_logits_once", "nearest_labels", "blended_labels"]),
    align_corners=some.booleans(),
    form=some.sampled_from(["logits", "probabilities", "binary_logits", "binary_probability", "labels"]),
)


@FEW
@given(
    some.lists(some.one_of(arrays(2, 3), arrays(3, 4)), min_size=1, max_size=2),
    rules,
    decodings,
    some.tuples(some.integers(1, 9), some.integers(1, 9)),
    some.booleans(),
    some.booleans(),
    some.data(),
)
def test_a_segmentation(
    outputs: list[np.ndarray],
    resize: Any,
    decoding: SegmentationDecode,
    image_hw: tuple[int, int],
    at_network: bool,
    probability: bool,
    data: some.DataObject,
) -> None:
    spec = replace(tiny_artifacts.spec(), preprocess=Preprocess(resize), decode=decoding)
    if data.draw(some.booleans()):  # of the right number of planes, and any size
        planes = 1 if decoding.form.startswith("binary") else 2
        shape = (planes, data.draw(sides), data.draw(sides))
        outputs = [np.zeros(shape, data.draw(some.sampled_from(TYPES))) for _ in outputs]
    views = [View(spec.preprocess.place(image_hw), bool(number)) for number in range(len(outputs))]
    with contextlib.suppress(DensecastError):
        found = forms.decode_views(outputs, views, spec, "network" if at_network else "image", probability=probability)
        wanted = views[0].placement.content_hw if at_network else image_hw
        assert found.class_id.shape == wanted and int(found.class_id.max(initial=0)) < 2


@FEW
@given(
    some.lists(some.tuples(sides, sides), min_size=1, max_size=3),
    some.sampled_from([34, 18, 35]),
    some.sampled_from(TYPES),
    some.lists(some.sampled_from([0.5, 1.0, 1.5, 0.0, -1.0]), min_size=1, max_size=3),
)
def test_people_of_several_scales(sizes: list[tuple[int, int]], channels: int, dtype: str, scales: list[float]) -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random((2, channels, *size)).astype(dtype) for size in sizes]
    placement = PoseAffine(16, 8).geometry((20, 24))
    with contextlib.suppress(DensecastError):
        assert decode_people(maps, placement, scales=scales).xy_px.shape[1:] == (17, 2)


def jpeg(progressive: bool, sampling: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (24, 40, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=progressive, subsampling=sampling, restart_marker_blocks=2)
    return stream.getvalue()


JPEGS = [jpeg(progressive, sampling) for progressive in (False, True) for sampling in (0, 2)]


@FEW
@given(
    some.sampled_from(JPEGS),
    some.lists(some.tuples(some.integers(0, 3000), some.integers(0, 255)), max_size=6),
    some.integers(0, 3000),
)
def test_a_damaged_jpeg(whole: bytes, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    for each in (bytes(data), bytes(data[:length]), bytes(data) + whole):
        assert jpeg_check.check(each).is_whole in (True, False)
    assert jpeg_check.check(whole).is_whole


@FEW
@given(
    some.sampled_from(JPEGS[:2]),
    some.lists(some.tuples(some.integers(0, 3000), some.integers(0, 255)), max_size=6),
    some.integers(100, 3000),
)
def test_a_damaged_jpeg_in_rows(whole: bytes, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        for each in (bytes(data), bytes(data[:length]), whole):
            path.write_bytes(each)
            with contextlib.suppress(DensecastError):
                opened = strips_of_jpeg.open_jpeg(path)
                if opened is not None:
                    with opened:
                        rows = opened.read(opened.size_hw[0])
                    assert rows.shape == (*opened.size_hw, 3)
        # The last one is whole.
        assert np.array_equal(rows, np.asarray(Image.open(path).convert("RGB")))


@FEW
@given(some.integers(1, 4), some.integers(1, 12), some.integers(1, 4), some.data())
def test_scan_lines_of_any_bytes(count: int, pixels: int, distance: int, data: some.DataObject) -> None:
    """PNG's specification in whole numbers of Python; a filter that there is not ends it."""
    width = pixels * distance
    raw = data.draw(some.binary(min_size=count * (width + 1), max_size=count * (width + 1)))
    lines = np.frombuffer(bytearray(raw), np.uint8).reshape(count, width + 1)
    lines[:, 0] %= 6
    wanted, above = [], [0] * width
    for line in lines.tolist():
        if line[0] > 4:
            break
        now: list[int] = []
        for x, byte in enumerate(line[1:]):
            a, b, c = (now[x - distance], above[x], above[x - distance]) if x >= distance else (0, above[x], 0)
            paeth = min((a, b, c), key=lambda near: abs(a + b - c - near))
            now.append((byte + (0, a, b, (a + b) // 2, paeth)[line[0]]) & 255)
        wanted.append(now)
        above = now
    known = unfilter(lines, np.zeros(width, np.uint8), distance)
    assert known == (len(wanted) == count)
    assert lines[: len(wanted), 1:].tolist() == wanted
