"""One state dict from every container that training writes, and one kind of error from every broken one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_torch  # noqa: E402

from densecast.errors import BadCheckpointError  # noqa: E402
from densecast.networks import unet  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import checkpoint, export_zoo  # noqa: E402

pytestmark = pytest.mark.torch


def contents() -> dict[str, object]:
    state = tiny_torch.unet_state()
    return {
        "bare": state,
        "state_dict": {"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": state},
        "model": {"model": state},
        "model_state_dict": {"model_state_dict": state, "step": 7},
        "parallel": {f"module.{key}": value for key, value in state.items()},
        "mask_values": {**state, "mask_values": [0, 1]},
        "parallel below state_dict": {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("content", contents())
def test_every_container_gives_the_same_network(tmp_path: Path, content: str, legacy: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(contents()[content], path, _use_new_zipfile_serialization=not legacy)
    assert_is_the_network(path)


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(tiny_torch.unet_state(), tmp_path / "weights.safetensors")
    assert_is_the_network(tmp_path / "weights.safetensors")


def assert_is_the_network(path: Path) -> None:
    network = unet.build(unet.Options(base_width=2))
    checkpoint.load_into(network, checkpoint.read(path), unet.NETWORK, unet.Options(base_width=2), "here")
    wanted = tiny_torch.unet_state()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_checkpoint_without_batch_counters_fits(tmp_path: Path) -> None:
    state = {key: value for key, value in tiny_torch.unet_state().items() if not key.endswith("num_batches_tracked")}
    assert_network_takes(tiny_torch.write_checkpoint(tmp_path / "weights.pth", state))


def assert_network_takes(path: Path) -> None:
    network = unet.build(unet.Options(base_width=2))
    checkpoint.load_into(network, checkpoint.read(path), unet.NETWORK, unet.Options(base_width=2), "here")


def test_damage_anywhere_is_a_state_dict_or_one_kind_of_error(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    rng, state = np.random.default_rng(0), {"a.weight": torch.arange(40.0), "b": torch.zeros(2, 3)}
    path = tmp_path / "weights.pth"
    for name in ("zip", "legacy", "safetensors"):
        path = tmp_path / ("weights.safetensors" if name == "safetensors" else "weights.pth")
        if name == "safetensors":
            save_file(state, path)
        else:
            torch.save(state, path, _use_new_zipfile_serialization=name == "zip")
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(256)
            path.write_bytes(data)
            try:
                found = checkpoint.read(path)
            except BadCheckpointError as error:
                assert path.name in str(error) and "\n" not in str(error)
                continue
            assert all(isinstance(value, torch.Tensor) for value in found.values())


def test_a_zip_that_unpacks_to_more_than_any_network_is_refused_unread(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    content = path.read_bytes()
    # The central directory says how large an entry is once unpacked: four bytes at offset 24.
    at = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + (0xFFFFFFF0).to_bytes(4, "little") + content[at + 4 :])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BadCheckpointError, match="holds more than"):
        patch.setattr(checkpoint, "MAX_BYTES", 1 << 30)
        checkpoint.read(path)


@pytest.mark.slow
def test_published_variants_are_told_from_their_tensors(tmp_path: Path) -> None:
    """Release v1.0 of the UNet has biases, later ones not: one zoo entry exports both."""
    torch.manual_seed(0)
    options = unet.Options(base_width=2, bilinear=True, conv_bias=True)
    path = tiny_torch.write_checkpoint(tmp_path / "weights.pth", unet.build(options).state_dict())
    artifact = export_zoo("unet_tiny", tmp_path / "out", ExportOptions(size_hw=(32, 48), batch=1), given=path)
    assert artifact.manifest.network is not None
    assert artifact.manifest.network.options["bilinear"] is True
    assert artifact.manifest.network.options["conv_bias"] is True
    assert artifact.manifest.weights is not None
    assert artifact.manifest.weights.tensors == len(unet.build(options).state_dict())


def test_a_damaged_length_in_an_old_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(tiny_torch.segmentation().state_dict(), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    damaged = data.replace(b"X\x0d\x00\x00\x00little_endian", b"X\x7f\x7f\x7f\x7flittle_endian")
    assert damaged != data
    path.write_bytes(damaged)
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpointError):
            checkpoint.read(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
