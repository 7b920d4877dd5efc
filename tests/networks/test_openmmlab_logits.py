"""The eight published networks compute what the original packages compute from the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import seeded
from published_networks import PUBLISHED

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

GOLDEN = Path(__file__).parent.parent / "golden" / "openmmlab_logits.npz"

# Of the largest logit. The operations are the same, but each machine orders its sums in its own way. In
# float32 these networks are up to 2e-6 away from float64; two machines may differ by twice that.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def goldens():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(autouse=True)
def one_thread():
    # More threads on a busy machine wait for each other: minutes instead of seconds.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded_network(name):
    with torch.device("meta"):
        network = PUBLISHED[name].build()
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    state = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


# The others run with the slow tests.
SPOT = ("fcn_r50_d8_voc", "unet_s5_d16")


@pytest.mark.parametrize("name", [n if n in SPOT else pytest.param(n, marks=pytest.mark.slow) for n in PUBLISHED])
def test_logits_equal_the_original(name, goldens):
    network = seeded_network(name)
    for height, width in PUBLISHED[name].sizes_hw:
        with torch.no_grad():
            logits = network(torch.from_numpy(seeded.image((height, width)))).numpy()
        assert logits.shape == tuple(goldens[f"{name} {height}x{width} shape"])
        expected = goldens[f"{name} {height}x{width} sample"]
        np.testing.assert_allclose(seeded.sample(logits), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
