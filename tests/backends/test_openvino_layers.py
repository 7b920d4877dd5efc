"""A quantised model whose layers are all given back is the model it was made of, to the last bit."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

import numpy as np
import pytest
import tiny_graphs
from outlier_network import HARMLESS, RUINED, outlier_network

from densecast.backends._openvino_layers import groups, reverted

pytestmark = pytest.mark.quantize
nncf = pytest.importorskip("nncf")
ov = pytest.importorskip("openvino")

FEEDS = [{"image": np.random.default_rng(seed).random((1, 3, 24, 32), dtype=np.float32)} for seed in range(4)]


def quantised(model: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.setenv("NNCF_CI", "1")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    read = ov.Core().read_model(model.SerializeToString())
    read.reshape({"image": [1, 3, 24, 32]})
    with contextlib.redirect_stdout(io.StringIO()):
        return read, nncf.quantize(read, nncf.Dataset(FEEDS), subset_size=4)


def run(model: Any) -> np.ndarray:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(FEEDS[0])[0]).copy()


@pytest.mark.parametrize("graph", [tiny_graphs.segmentation(24, 32), outlier_network()], ids=["tiny", "outlier"])
def test_all_layers_given_back_are_the_original(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original, int8 = quantised(graph, monkeypatch)
    expected, before = run(original), run(int8)
    assert np.abs(before - expected).max() > 0
    np.testing.assert_array_equal(run(reverted(int8, original, groups(int8))), expected)
    # Nothing is changed in place.
    np.testing.assert_array_equal(run(int8), before)


def test_a_layer_given_back_has_its_own_bias_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF moves biases so that layers in int8 keep their means; in float that would be an error of its own."""
    original, int8 = quantised(tiny_graphs.segmentation(24, 32), monkeypatch)
    moved = 0
    for node in int8.get_ordered_ops():
        if node.get_type_name() != "Add":
            continue
        bias = node.input_value(1).get_node()
        while bias.get_type_name() != "Constant":
            bias = bias.input_value(0).get_node()
        for target in bias.output(0).get_target_inputs():
            target.replace_source_output(ov.op.Constant(bias.data + np.float32(0.25)).output(0))
        moved += 1
    assert moved and np.abs(run(int8) - run(original)).max() > 0.01
    np.testing.assert_array_equal(run(reverted(int8, original, groups(int8))), run(original))


def test_one_layer_given_back_takes_away_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    original, int8 = quantised(outlier_network(), monkeypatch)
    expected = run(original)
    found = {group.name.partition("/")[0]: group for group in groups(int8)}
    assert set(found) == {RUINED, HARMLESS}
    error = {name: np.abs(run(reverted(int8, original, [group])) - expected).max() for name, group in found.items()}
    # The harmless layer keeps its own error, a few int8 steps of values up to 1.
    assert error[RUINED] < 0.1 < 0.3 < error[HARMLESS]


def test_no_quantiser_and_no_operator_is_in_two_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    _, int8 = quantised(tiny_graphs.segmentation(24, 32), monkeypatch)
    found = groups(int8)
    for names in ([name for group in found for name in group.quantisers], [o for g in found for o in g.operators]):
        assert len(names) == len(set(names))
