"""Networks built from configurations compute what the original package computes, and their graphs take any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmengine_families
import numpy as np
import pytest
import seeded
from openmmlab_families import FAMILIES, FIXED_HW, MULTIPLES, SIZES_HW, takes

torch = pytest.importorskip("torch")

from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.tensor import Dim, TensorSpec  # noqa: E402
from densecast.verbs.export import onnx_file  # noqa: E402
from densecast.verbs.export.to_onnx import open_axes, to_onnx  # noqa: E402

pytestmark = pytest.mark.torch
GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "openmmlab_families.npz")
SECOND = np.load(Path(__file__).parent.parent / "golden" / "mmengine_families.npz")
# The same float32 operations; pooling and attention sum in another order.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(name: str) -> Any:
    table = FAMILIES[name] if name in FAMILIES else mmengine_families.FAMILIES[name]
    network = openmmlab.build(openmmlab.Options.of(table)).eval()
    own = network.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in own.items() if tensor.is_floating_point()}
    state = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
    network.load_state_dict(own | state, strict=True)
    return network


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_names_of_weights_are_the_originals(name: str) -> None:
    network = network_of(name)
    assert sorted(network.state_dict()) == GOLDEN[f"{name} keys"].tolist()
    for size_hw in SIZES_HW:
        case = f"{name} {size_hw[0]}x{size_hw[1]}"
        if f"{case} shape" not in GOLDEN:
            assert not takes(name, size_hw)
            continue
        with torch.no_grad():
            logits = network(torch.from_numpy(seeded.image(size_hw))).numpy()
        expected = GOLDEN[f"{case} sample"]
        assert logits.shape == tuple(GOLDEN[f"{case} shape"])
        np.testing.assert_allclose(
            seeded.sample(logits), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=case
        )


@pytest.mark.parametrize("name", mmengine_families.FAMILIES)
def test_logits_and_names_of_weights_are_those_of_the_second_generation(name: str) -> None:
    network = network_of(name)
    keys = {key: torch.zeros(()) for key in SECOND[f"{name} keys"].tolist()}
    assert sorted(network.state_dict()) == sorted(openmmlab.clean(keys))
    assert len(keys) > len(network.state_dict()), "branches that only training runs are left out"
    for size_hw in mmengine_families.SIZES_HW:
        with torch.no_grad():
            logits = network(torch.from_numpy(seeded.image(size_hw))).numpy()
        case = f"{name} {size_hw[0]}x{size_hw[1]}"
        expected = SECOND[f"{case} sample"]
        assert logits.shape == tuple(SECOND[f"{case} shape"])
        np.testing.assert_allclose(
            seeded.sample(logits), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=case
        )


SPOT = ("psp",)


OPEN = [name for name in FAMILIES if name not in FIXED_HW]


@pytest.mark.parametrize("name", [n if n in SPOT else pytest.param(n, marks=pytest.mark.slow) for n in OPEN])
def test_one_graph_takes_any_size_and_computes_the_same(name: str) -> None:
    network = network_of(name)
    multiple = 32 if name in MULTIPLES else 1
    sizes = (Dim("N", 1, 8), 3, Dim("H", 32, 512, multiple), Dim("W", 32, 512, multiple))
    image = TensorSpec("image", "float32", sizes)
    axes = {"logits": open_axes(image)}
    model = to_onnx(network, (image,), axes, ((96, 128),), opset=17, exporter="torchscript").model
    run = onnx_file.graph_runner(model.SerializeToString())
    for batch, size_hw in ((1, (64, 160)), (2, (160, 96) if name in MULTIPLES else (97, 131))):
        images = np.concatenate([seeded.image(size_hw), -seeded.image(size_hw)])[:batch]
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        got = run({"image": images})["logits"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["FPN", "MultiLevelNeck", "MLANeck"])
def test_a_necks_own_activation_is_the_one_that_is_built(kind: str) -> None:
    table = FAMILIES["transformer_levels"]
    neck = {"type": kind, "in_channels": [16, 16], "out_channels": 8}
    neck |= {"num_outs": 2} if kind == "FPN" else {"scales": [1, 1]} if kind == "MultiLevelNeck" else {}
    found = {}
    for name, given in {"none": None, "ReLU": {"type": "ReLU"}, "GELU": {"type": "GELU"}}.items():
        own = neck if given is None else neck | {"act_cfg": given}
        torch.manual_seed(0)
        network = openmmlab.build(openmmlab.Options.of({**table, "neck": own})).eval()
        found[name] = [type(each).__name__ for each in network.neck.modules()]
    assert "ReLU" in found["ReLU"] and "GELU" not in found["ReLU"]
    assert "GELU" in found["GELU"] and "ReLU" not in found["GELU"]
    assert not {"ReLU", "GELU"} & set(found["none"])
