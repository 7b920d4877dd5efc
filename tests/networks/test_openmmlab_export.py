"""Both of torch's ONNX exporters keep batch, height and width free, and the graph computes the same."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import seeded

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

# Narrow and shallow versions in which every kind of block, fusion and head is still there.
NARROW = {
    "ocrnet": {
        "base_width": 4,
        "stem_width": 8,
        "stem_blocks": 1,
        "modules": (1, 1, 2),
        "blocks": 1,
        "ocr_channels": 16,
        "ocr_key_channels": 8,
    },
    "deeplabv3": {"base_width": 4, "blocks": (1, 1, 2, 3), "head_channels": 8},
    "fcn": {"base_width": 4, "blocks": (1, 1, 2, 2), "head_channels": 8},
    "unet_s5": {"base_width": 4},
    "pose_hrnet": {"base_width": 4, "stem_width": 8, "stem_blocks": 1, "modules": (1, 1, 2), "blocks": 1},
    "pose_resnet": {"base_width": 4, "blocks": (1, 1, 1, 1), "head_channels": 8},
    "pose_mobilenetv2": {"blocks": (1, 2, 1, 1, 1, 1, 1), "last_width": 32, "head_channels": 8},
}

# Of the largest output: float32 through some thirty layers, summed in another order by another engine.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def one_thread():
    # More threads on a busy machine wait for each other: minutes instead of seconds.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=NARROW)
def network_and_sizes(request):
    module = importlib.import_module(f"densecast.networks.{request.param}")
    network = module.build(module.Options(**NARROW[request.param])).eval()
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()})
    other_hw = {1: (97, 131), 16: (96, 112), 64: (64, 192)}[module.NETWORK.input_multiple]
    return network, ((64, 128), other_hw)


def compare(network, path, sizes_hw):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch, size_hw in zip((1, 2), sizes_hw, strict=True):
        images = np.concatenate([seeded.image(size_hw), -seeded.image(size_hw)])[:batch]
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        (got,) = session.run(None, {"image": images})
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch announces the end of this exporter
def test_traced_graph_equals_torch_at_two_sizes(network_and_sizes, tmp_path):
    network, sizes_hw = network_and_sizes
    path = tmp_path / "network.onnx"
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        network,
        (torch.from_numpy(seeded.image(sizes_hw[0])),),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["output"],
        dynamic_axes={"image": axes, "output": axes},
    )
    compare(network, path, sizes_hw)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # from inside the exporter
def test_dynamo_graph_equals_torch_at_two_sizes(network_and_sizes, tmp_path):
    pytest.importorskip("onnxscript")
    network, sizes_hw = network_and_sizes
    path = tmp_path / "network.onnx"
    free = torch.export.Dim.DYNAMIC
    # A batch of 2: a dimension that is 1 while exporting is taken to be 1 for ever.
    images = np.concatenate([seeded.image(sizes_hw[0])] * 2)
    torch.onnx.export(
        network,
        (torch.from_numpy(images),),
        path,
        dynamo=True,
        input_names=["image"],
        output_names=["output"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
        verbose=False,
    )
    compare(network, path, sizes_hw)


def test_what_the_contract_leaves_to_these_tests_is_here():
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[1] / "contracts" / "test_networks_contract.py"
    spec = importlib.util.spec_from_file_location("networks_contract", path)
    contract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contract)
    assert set(contract.EXPORTED_ELSEWHERE) <= set(NARROW)
