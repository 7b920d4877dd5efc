"""ONNX Runtime's int8 keeps what its quantiser alone would lose, and calibrates once for any mixture."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_graphs

from densecast.backends import _ort_int8
from densecast.spec.options import CalibrationMethod, QuantizeOptions
from densecast.spec.tensor import Feeds

OPTIONS = QuantizeOptions(calibration_method="minmax")
FEEDS: list[Feeds] = [{"image": np.random.default_rng(seed).random((1, 3, 24, 32), np.float32)} for seed in range(4)]


def run(model: onnx.ModelProto, feeds: Feeds = FEEDS[0]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(feeds))[0])


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


def test_attention_over_all_pixels_is_not_rounded_to_nothing(tmp_path: Path) -> None:
    weights = ", ".join(f"{value:.4f}" for value in np.random.default_rng(0).normal(size=6))
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        attention (float[1, 3, 24, 32] image) => (float[1, 2, 768] logits)
        <float[2, 3, 1, 1] w = {{{weights}}}, int64[3] shape = {{1, 2, 768}}>
        {{
            sums = Conv <kernel_shape = [1, 1]> (image, w)
            flat = Reshape (sums, shape)
            logits = Softmax <axis = 2> (flat)
        }}
        """
    )
    for node, name in zip(model.graph.node, ("mix", "flatten", "attend"), strict=True):
        node.name = name
    expected = run(model)
    assert expected.max() < 1 / 256  # less than the first of the steps that the quantiser would take
    int8, _ = _ort_int8.quantize(saved(model, tmp_path), FEEDS, OPTIONS, full_weights=True)
    # What is left is the rounding of the convolution before: 256 steps over a range of about 3.
    np.testing.assert_allclose(run(int8), expected, rtol=0.05)


class Told(Sequence[Feeds]):
    """Images in the middle of whose reading another thread logs on the root logger, as libraries do."""

    def __len__(self) -> int:
        return len(FEEDS)

    def __getitem__(self, index: Any) -> Any:
        other = threading.Thread(target=logging.warning, args=("of somebody else",))
        other.start()
        other.join()
        return FEEDS[index]


def test_what_others_log_while_the_quantiser_is_kept_quiet_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The quantiser itself would warn that the graph is not as its own tool makes graphs.
    _ort_int8.quantize(saved(tiny_graphs.segmentation(), tmp_path), Told(), OPTIONS, full_weights=True)
    assert {each.getMessage() for each in caplog.records if each.name == "root"} == {"of somebody else"}
    logging.warning("afterwards")
    assert "afterwards" in caplog.text


def test_one_calibration_serves_every_mixture(tmp_path: Path) -> None:
    model = tiny_graphs.segmentation(24, 32, batch=1)
    for index, node in enumerate(model.graph.node):
        node.name = f"node{index}"
    graph = saved(model, tmp_path)
    assert _ort_int8.layers(graph, OPTIONS) == ("node0", "node2")
    whole, ranges = _ort_int8.quantize(graph, FEEDS, OPTIONS, full_weights=True)
    again, _ = _ort_int8.quantize(graph, [], OPTIONS, ranges=ranges, full_weights=True)
    np.testing.assert_array_equal(run(again), run(whole))
    kept, _ = _ort_int8.quantize(graph, [], OPTIONS, frozenset({"node0", "node2"}), ranges, full_weights=True)
    floats = [node for node in kept.graph.node if node.op_type == "Conv" and node.input[1] in ("w1", "w2")]
    assert len(floats) == 2
    exact = run(model)
    assert np.abs(run(kept) - exact).max() < np.abs(run(whole) - exact).max()


def test_one_image_is_enough_and_seen_twice_it_says_no_more(tmp_path: Path) -> None:
    path = saved(tiny_graphs.segmentation(), tmp_path)
    once, ranges = _ort_int8.quantize(path, FEEDS[:1], OPTIONS, full_weights=True)
    twice, _ = _ort_int8.quantize(path, [FEEDS[0], FEEDS[0]], OPTIONS, full_weights=True)
    assert ranges.images == 1
    np.testing.assert_array_equal(run(once, FEEDS[1]), run(twice, FEEDS[1]))


@pytest.mark.parametrize("ignored", [{"excluded_types": ("Conv",)}, {"excluded_names": ("node",)}])
def test_layers_that_are_never_quantised_are_no_choice(tmp_path: Path, ignored: dict[str, tuple[str, ...]]) -> None:
    model = tiny_graphs.segmentation(24, 32, batch=1)
    for index, node in enumerate(model.graph.node):
        node.name = f"node{index}"
    assert _ort_int8.layers(saved(model, tmp_path), QuantizeOptions(**ignored)) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "of_images"), [("minmax", (np.min, np.max)), ("mean_minmax", (np.mean, np.mean))])
def test_ranges_are_the_extremes_over_all_images_or_their_means(
    tmp_path: Path, method: CalibrationMethod, of_images: tuple[Callable[..., Any], Callable[..., Any]]
) -> None:
    model = tiny_graphs.segmentation(24, 32, batch=1)
    options = replace(OPTIONS, calibration_method=method)
    _, ranges = _ort_int8.quantize(saved(model, tmp_path), FEEDS, options, full_weights=True)
    found = json.loads(ranges.contents)["data"]
    logits = [run(model, feeds) for feeds in FEEDS]
    for name, values in (("image", [each["image"] for each in FEEDS]), ("logits", logits)):
        ends = [[float(end(each)) for each in values] for end in (np.min, np.max)]
        expected = [of(each) for of, each in zip(of_images, ends, strict=True)]
        np.testing.assert_allclose(
            [np.ravel(found[name][end]["data"])[0] for end in ("lowest", "highest")], expected, rtol=1e-6
        )


def test_no_image_runs_twice_through_one_graph_whatever_the_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    graph = saved(tiny_graphs.segmentation(24, 40, batch=1), tmp_path)
    feeds: list[Feeds] = [{"image": np.random.default_rng(seed).random((1, 3, 24, 40), np.float32)} for seed in (1, 2)]
    run, runs = onnxruntime.InferenceSession.run, list[object]()

    def counted(self: Any, *arguments: Any) -> Any:
        runs.append(arguments)
        return run(self, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counted)
    for method, images in (("mean_minmax", feeds[:1]), ("minmax", feeds[:1]), ("mean_minmax", feeds)):
        _ort_int8.quantize(graph, images, replace(OPTIONS, calibration_method=method), full_weights=True)
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("method", "spread", "count"),
    [("mean_minmax", 0.0, 32), ("mean_minmax", 3.0, 70), ("minmax", 3.0, 64), ("minmax", 0.0, 32)],
)
def test_ranges_are_of_no_more_images_than_they_take_to_settle(
    method: CalibrationMethod, spread: float, count: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    feeds: list[Feeds] = [
        {"image": (rng.random((1, 3, 24, 32), np.float32) * np.exp(rng.normal(0, spread))).astype(np.float32)}
        for _ in range(70)
    ]
    graph, options = (
        saved(tiny_graphs.segmentation(24, 32, batch=1), tmp_path),
        replace(OPTIONS, calibration_method=method),
    )
    _, ranges = _ort_int8.quantize(graph, feeds, options, full_weights=True)
    assert ranges.images == count
    _, expected = _ort_int8.quantize(graph, feeds[:count], options, full_weights=True)
    assert expected.contents == ranges.contents
