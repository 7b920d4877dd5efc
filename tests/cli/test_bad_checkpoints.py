"""`densecast export` with weights that are missing, foreign, cut off, hostile or broken: one line, no trace left."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny_torch  # noqa: E402
from command_line import densecast, failed, tree  # noqa: E402

from densecast.verbs.export import parity, weights  # noqa: E402

pytestmark = pytest.mark.torch

# One small shape: what is tested here is what happens around the export.
EXPORT = ("export", "unet_tiny", "--static", "1x32x48", "--quiet", "--out")


def refused(folder: Path, checkpoint: Path, code: int = 3) -> str:
    """The message of an export that fails, having left nothing behind."""
    before = tree(folder)
    message = failed(code, *EXPORT, folder / "out", "--checkpoint", checkpoint)
    assert tree(folder) == before
    return message


def test_missing(tmp_path: Path) -> None:
    assert "absent.pth does not exist" in refused(tmp_path, tmp_path / "absent.pth")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    assert "weights.pth is empty" in refused(tmp_path, tmp_path / "weights.pth")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_cut_off(tmp_path: Path, share: float, legacy: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tiny_torch.unet_state(), path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refused(tmp_path, path)
    assert "weights.pth" in message
    assert "cut off" in message or "not a plain state dict" in message


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.99])
def test_cut_off_safetensors(tmp_path: Path, share: float) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file(tiny_torch.unet_state(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) + 1])
    assert "not a readable safetensors file" in refused(tmp_path, path)


@pytest.mark.parametrize("content", [b"<html>404</html>", b"\x80\x02}q\x00.", bytes(4096), b"PK\x03\x04" * 99])
def test_no_checkpoint_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    assert "weights.pth" in refused(tmp_path, tmp_path / "weights.pth")


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["DENSECAST_TEST_TRAP"],)


@pytest.mark.parametrize("container", ["bare pickle", "zip", "legacy"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str) -> None:
    monkeypatch.setenv("DENSECAST_TEST_TRAP", str(tmp_path / "trap"))
    content = {"state_dict": _RunsCode()}
    if container == "bare pickle":
        (tmp_path / "weights.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=container == "zip")
    message = refused(tmp_path, tmp_path / "weights.pth")
    assert "Only tensors and plain values are unpickled" in message and "trust" not in message
    assert container == "bare pickle" or "it holds posix.mkdir" in message
    assert not (tmp_path / "trap").exists()


def test_a_key_too_many_is_refused_though_none_is_missing(tmp_path: Path) -> None:
    state = {**tiny_torch.unet_state(), "extra.head.weight": torch.zeros(3)}
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth", state))
    assert "unexpected: extra.head.weight" in message and "missing" not in message


def test_a_state_dict_of_another_network_names_five_keys_each_way(tmp_path: Path) -> None:
    state = {f"encoder.{index}.weight": torch.zeros(2) for index in range(8)}
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth", state))
    assert "keys missing: inc.double_conv.0.weight" in message
    assert "8 keys unexpected: encoder.0.weight, encoder.1.weight" in message
    assert "encoder.4.weight … and 3 more" in message and "encoder.5.weight" not in message
    assert "another network" in message


def test_tensors_of_another_shape_are_named(tmp_path: Path) -> None:
    state = tiny_torch.unet_state()
    state["up1.up.weight"] = torch.zeros(3, 3, 2, 2)
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth", state))
    assert "up1.up.weight [3, 3, 2, 2] instead of [32, 16, 2, 2]" in message


def test_weights_for_other_classes_than_there_are_labels_are_refused(tmp_path: Path) -> None:
    state = tiny_torch.unet_state()
    state["outc.conv.weight"], state["outc.conv.bias"] = torch.zeros(5, 2, 1, 1), torch.zeros(5)
    path = tiny_torch.write_checkpoint(tmp_path / "weights.pth", state)
    message = failed(3, *EXPORT, tmp_path / "out", "--checkpoint", path, "--labels", "a,b")
    assert "5 classes apart, but 2 labels are stated: a, b" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    state = tiny_torch.unet_state()
    state["down1.maxpool_conv.1.double_conv.0.weight"].view(-1)[3] = value
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth", state))
    assert "not finite (NaN or infinity): down1.maxpool_conv.1.double_conv.0.weight" in message


@pytest.mark.parametrize("content", [{}, {"epoch": 3, "state_dict": {}}, [1, 2], torch.zeros(3), {"a": 1}])
def test_a_file_without_a_state_dict(tmp_path: Path, content: object) -> None:
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth", content))
    assert "state dict" in message or "no tensors" in message


def test_graph_unlike_the_framework_fails_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_torch.write_checkpoint(tmp_path / "weights.pth")
    real = parity.check
    # The graph's answers are moved by a tenth, as a wrong operator would.
    monkeypatch.setattr(
        parity,
        "check",
        lambda framework, graph, *rest: real(
            framework, lambda feeds: {name: array * 1.1 for name, array in graph(feeds).items()}, *rest
        ),
    )
    message = refused(tmp_path, path, code=1)
    assert "differs from the framework by 1.00e-01 of the largest output, more than the tolerance 1e-04" in message


@pytest.mark.slow
def test_an_export_that_is_interrupted_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_torch.write_checkpoint(tmp_path / "weights.pth")
    arguments = (*EXPORT, tmp_path / "out", "--checkpoint")
    assert densecast(*arguments, path).code == 0
    before = tree(tmp_path)
    other = tiny_torch.write_checkpoint(tmp_path / "a" / "other.pth", tiny_torch.unet_state(seed=1))
    before |= tree(tmp_path)
    import safetensors.torch

    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.torch, "save_file", stops)
    assert densecast(*arguments, other).code == 130
    assert tree(tmp_path) == before


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from densecast.io import files

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_bytes", full)
    assert "No space left" in refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth"))


def test_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    message = refused(tmp_path, tiny_torch.write_checkpoint(tmp_path / "weights.pth"))
    assert "--extra-index-url https://download.pytorch.org/whl/cpu 'densecast[torch]'" in message


def test_weights_that_cannot_be_found_name_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(tmp_path / "shelf"))
    monkeypatch.setattr(weights, "fetch", lambda *_: (_ for _ in ()).throw(OSError("no network here")))
    message = failed(3, "export", "unet_carvana", "--out", tmp_path / "out", "--quiet")
    assert str(tmp_path / "shelf" / "unet_carvana_scale0.5_epoch2.pth") in message
    assert "https://github.com/milesial/Pytorch-UNet" in message and "no network here" in message
    assert "as the checkpoint" in message and "$DENSECAST_WEIGHTS" in message
    assert not (tmp_path / "out").exists()
