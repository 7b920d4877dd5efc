"""What holds for every network: options are checked, published keys are cleaned, and what is small is exported."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from densecast.networks._base import NETWORKS, Network  # noqa: E402
from densecast.spec.tensor import Dim, Feeds, TensorSpec  # noqa: E402
from densecast.verbs.export import onnx_file, parity  # noqa: E402
from densecast.verbs.export.to_onnx import open_axes, to_onnx  # noqa: E402

pytestmark = pytest.mark.torch

NAMES = NETWORKS.names()
# Parameters up to which an export takes about a second; larger networks have export tests of their own.
SMALL = 300_000
EXPORTED_ELSEWHERE = ("deeplabv3", "fcn", "ocrnet", "pose_hrnet", "pose_mobilenetv2", "pose_resnet")


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> Network[Any]:
    return NETWORKS.load(request.param)


def narrow(kind: Network[Any]) -> Any:
    """The network's options, as narrow as it goes without being told how."""
    options = kind.options_type()
    return dataclasses.replace(options, base_width=4) if hasattr(options, "base_width") else options


def on_meta(kind: Network[Any], options: Any) -> Any:
    with torch.device("meta"):
        return kind.build(options)


def test_options_are_frozen_with_defaults_and_refuse_unknown_keys(kind: Network[Any]) -> None:
    options = kind.options_type()
    assert dataclasses.is_dataclass(options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, dataclasses.fields(options)[0].name, None)
    with pytest.raises(TypeError, match="no_such_option"):
        kind.options_type(no_such_option=1)


def test_default_network_builds_with_keys_and_a_multiple(kind: Network[Any]) -> None:
    state = on_meta(kind, kind.options_type()).state_dict()
    assert len(state) > 10
    assert all(key and not key.startswith("module.") for key in state)
    assert isinstance(kind.input_multiple, int) and kind.input_multiple >= 1


def test_clean_drops_the_prefix_of_parallel_training_and_keeps_the_rest(kind: Network[Any]) -> None:
    state = on_meta(kind, narrow(kind)).state_dict()
    cleaned = kind.clean({f"module.{key}": tensor for key, tensor in state.items()})
    assert set(cleaned) == set(state)
    assert set(kind.clean(dict(state))) == set(state)


def test_options_told_by_its_own_tensors_are_its_own(kind: Network[Any]) -> None:
    if kind.options_from_state is None:
        pytest.skip("this network's options cannot be read off its tensors")
    options = narrow(kind)
    state = on_meta(kind, options).state_dict()
    assert kind.options_from_state(state, kind.options_type()) == options
    assert kind.options_from_state({}, options) == options


def test_exported_graph_equals_torch(kind: Network[Any]) -> None:
    options = narrow(kind)
    size = sum(parameter.numel() for parameter in on_meta(kind, options).parameters())
    if size > SMALL:
        name = next(name for name in NAMES if NETWORKS.load(name) is kind)
        if name not in EXPORTED_ELSEWHERE:
            pytest.fail(
                f"networks/{name}.py: its export is tested nowhere: add it to NARROW in test_openmmlab_export.py"
            )
        pytest.skip(f"{size:,} parameters at its narrowest: too slow here, see tests/networks/test_openmmlab_export.py")
    torch.manual_seed(0)
    network = kind.build(options).eval()
    multiple = kind.input_multiple
    sizes = (Dim("N", 1, 8), 3, Dim("H", multiple, 512, multiple), Dim("W", multiple, 512, multiple))
    example_hw = (max(48, multiple), max(48, multiple))
    image = TensorSpec("image", "float32", sizes)
    made = to_onnx(network, (image,), {"logits": open_axes(image)}, (example_hw,), opset=17, exporter="torchscript")
    assert made.exporter == "torchscript"
    onnx_file.check(made.model, "exported")
    run = onnx_file.graph_runner(made.model.SerializeToString())
    inputs: list[Feeds] = [
        {"image": parity.image_like((batch, 3, *(side * batch for side in example_hw)), 0)} for batch in (1, 2)
    ]

    def by_torch(feeds: Feeds) -> Feeds:
        with torch.inference_mode():
            return {"logits": network(torch.from_numpy(feeds["image"])).numpy()}

    # The gate that every export passes; sums in another order move the last bits of float32.
    parity.check(by_torch, run, inputs, tolerance=1e-4)
