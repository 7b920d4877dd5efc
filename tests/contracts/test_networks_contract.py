"""What holds for every network: options are checked, published keys are cleaned, and what is small is exported."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from densecast import plugins  # noqa: E402
from densecast.spec.tensor import Dim, TensorSpec  # noqa: E402
from densecast.verbs.export import onnx_file, parity  # noqa: E402
from densecast.verbs.export.to_onnx import to_onnx  # noqa: E402

pytestmark = pytest.mark.torch

NETWORKS = plugins.names("networks")
# Parameters up to which an export takes about a second; larger networks have export tests of their own.
SMALL = 300_000
EXPORTED_ELSEWHERE = ("deeplabv3", "fcn", "ocrnet", "pose_hrnet", "pose_mobilenetv2", "pose_resnet")


@pytest.fixture(params=NETWORKS)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.load("networks", request.param)


def narrow(module: ModuleType) -> Any:
    """The network's options, as narrow as it goes without being told how."""
    options = module.Options()
    return dataclasses.replace(options, base_width=4) if hasattr(options, "base_width") else options


def on_meta(module: ModuleType, options: Any) -> Any:
    with torch.device("meta"):
        return module.build(options)


def test_options_are_frozen_with_defaults_and_refuse_unknown_keys(module: ModuleType) -> None:
    options = module.Options()
    assert dataclasses.is_dataclass(options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, dataclasses.fields(options)[0].name, None)
    with pytest.raises(TypeError, match="no_such_option"):
        module.Options(no_such_option=1)


def test_default_network_builds_with_keys_and_a_multiple(module: ModuleType) -> None:
    state = on_meta(module, module.Options()).state_dict()
    assert len(state) > 10
    assert all(key and not key.startswith("module.") for key in state)
    assert isinstance(module.INPUT_MULTIPLE, int) and module.INPUT_MULTIPLE >= 1


def test_clean_drops_the_prefix_of_parallel_training_and_keeps_the_rest(module: ModuleType) -> None:
    state = on_meta(module, narrow(module)).state_dict()
    cleaned = module.clean({f"module.{key}": tensor for key, tensor in state.items()})
    assert set(cleaned) == set(state)
    assert set(module.clean(dict(state))) == set(state)


def test_options_told_by_its_own_tensors_are_its_own(module: ModuleType) -> None:
    if not hasattr(module, "options_from_state"):
        pytest.skip("this network's options cannot be told from its tensors")
    options = narrow(module)
    state = on_meta(module, options).state_dict()
    assert module.options_from_state(state, module.Options()) == options
    assert module.options_from_state({}, options) == options


def test_exported_graph_equals_torch(module: ModuleType) -> None:
    options = narrow(module)
    size = sum(parameter.numel() for parameter in on_meta(module, options).parameters())
    if size > SMALL:
        name = module.__name__.rpartition(".")[2]
        if name not in EXPORTED_ELSEWHERE:
            pytest.fail(
                f"networks/{name}.py: its export is tested nowhere: add it to NARROW in test_openmmlab_export.py"
            )
        pytest.skip(f"{size:,} parameters at its narrowest: too slow here, see tests/networks/test_openmmlab_export.py")
    torch.manual_seed(0)
    network = module.build(options).eval()
    multiple = module.INPUT_MULTIPLE
    sizes = (Dim("N", 1, 8), 3, Dim("H", multiple, 512, multiple), Dim("W", multiple, 512, multiple))
    example_hw = (max(48, multiple), max(48, multiple))
    model, exporter = to_onnx(
        network, TensorSpec("image", "float32", sizes), "logits", example_hw, opset=17, exporter="torchscript"
    )
    assert exporter == "torchscript"
    onnx_file.check(model, "exported")
    run = onnx_file.runner(model.SerializeToString(), "image")
    inputs = [parity.image_like((batch, 3, *(side * batch for side in example_hw)), 0) for batch in (1, 2)]

    def by_torch(feed: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(feed)).numpy()

    # The gate that every export passes; sums in another order move the last bits of float32.
    parity.check(by_torch, run, inputs, tolerance=1e-4)
