"""Weights of users' own trainings: any container and prefix, averaged ones, MMEngine's files, other classes."""

from __future__ import annotations

import enum
import functools
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_torch  # noqa: E402

from densecast.artifact import FloatArtifact  # noqa: E402
from densecast.errors import BadCheckpointError, BadGraphError, UsageError  # noqa: E402
from densecast.networks import deeplabv3, fcn, ocrnet, unet, unet_s5  # noqa: E402
from densecast.networks._base import NETWORKS  # noqa: E402
from densecast.spec.augment import View  # noqa: E402
from densecast.spec.geometry import Placement  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.tasks._base import TASKS  # noqa: E402
from densecast.tasks.segmentation import SegmentationDecode  # noqa: E402
from densecast.verbs.export import export, export_zoo, onnx_file, parity  # noqa: E402
from densecast.verbs.export.checkpoint import for_network, load_into, open_checkpoint, read  # noqa: E402

pytestmark = pytest.mark.torch

FIXED = ExportOptions(size_hw=(32, 32), batch=1)
FEED = parity.image_like((1, 3, 32, 32), 0)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def state() -> dict[str, Any]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def averaged() -> dict[str, Any]:
    return {name: tensor + 1 for name, tensor in state().items()}


@pytest.mark.parametrize(
    "key",
    [
        "ema",
        "ema_state_dict",
        "state_dict_ema",
        "model_ema",
        "network_weights",
        "params",
        "weights",
        "module",
        "teacher",
    ],
)
def test_the_only_weights_are_taken_whatever_their_key_and_it_is_said(tmp_path: Path, key: str) -> None:
    optimiser = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 3, key: state(), "optimizer": optimiser, "step": torch.tensor(7)}
    found = open_checkpoint(saved(tmp_path / "w.pth", content))
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state().items())
    assert key in found.notes[0]


def test_weights_two_levels_down_are_found(tmp_path: Path) -> None:
    found = open_checkpoint(saved(tmp_path / "w.pth", {"run": {"generator": state()}, "epoch": 3}))
    assert torch.equal(found.state["a.bias"], torch.ones(2)) and "run.generator" in found.notes[0]


@pytest.mark.parametrize(("plain", "average"), [("state_dict", "ema_state_dict"), ("net_g", "net_g_ema")])
def test_beside_averaged_weights_the_plain_ones_are_taken_and_others_by_request(
    tmp_path: Path, plain: str, average: str
) -> None:
    path = saved(tmp_path / "w.pth", {average: averaged(), plain: state()})
    found = open_checkpoint(path)
    assert torch.equal(found.state["a.bias"], torch.ones(2)) and average in found.notes[0]
    for wanted in ("ema", average):
        assert torch.equal(open_checkpoint(path, wanted).state["a.bias"], torch.full((2,), 2.0))
    with pytest.raises(UsageError, match=f"no weights 'other'; it holds {average}, {plain}"):
        open_checkpoint(path, "other")


def test_two_sets_of_weights_without_a_usual_key_have_to_be_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"generator": state(), "discriminator": state()})
    with pytest.raises(UsageError, match="generator, discriminator") as caught:
        read(path)
    assert caught.value.field == "weights"


@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "_orig_mod.", "network.", "unet.", "student.core.", "module.model."]
)
def test_a_common_prefix_is_stripped_and_what_lies_outside_is_named(tmp_path: Path, prefix: str) -> None:
    own, options = tiny_torch.unet_state(), unet.Options(base_width=2)
    extra = {"loss.pos_weight": torch.ones(2)} | ({} if prefix == "_orig_mod." else {"seen.pixels": torch.ones(2)})
    content = {"state_dict": {f"{prefix}{name}": tensor for name, tensor in own.items()} | extra}
    network = unet.build(options)
    kind = NETWORKS.load("unet")
    state, notes = for_network(kind, options, open_checkpoint(saved(tmp_path / "w.ckpt", content)).state)
    load_into(network, state, kind, options, "w.ckpt")
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in own.items())
    said = " ".join(notes)
    assert prefix == "_orig_mod." or (f"prefix '{prefix}'" in said and "seen.pixels" in said)


@pytest.mark.slow
def test_a_state_dict_with_averaged_copies_inside_gives_the_plain_network(tmp_path: Path) -> None:
    own = tiny_torch.unet_state()
    content = {f"ema_model.{name}": tensor * 0 for name, tensor in own.items()}
    content |= {f"model.{name}": tensor for name, tensor in own.items()}
    artifact = export_zoo("unet_tiny", tmp_path / "out", FIXED, given=saved(tmp_path / "w.ckpt", content))
    assert answers(artifact) == pytest.approx(of_module(unet.build(unet.Options(base_width=2)), own), abs=1e-5)
    assert "ema_model" in " ".join(artifact.manifest.passes)


@pytest.mark.parametrize(
    "content",
    [
        (state(), 12),
        ["a run", {"lr": 0.1}, state()],
        {name: tensor.numpy() for name, tensor in state().items()},
        {"run": {"trainer": {"task": {"model": state()}}}},
        {"a": {"weight": state()["a.weight"], "bias": state()["a.bias"]}, "rest": {"scale": torch.ones(3)}},
    ],
    ids=["pair", "list", "numpy", "deep", "parts"],
)
def test_weights_in_lists_arrays_deep_down_or_in_parts_are_found(content: object, tmp_path: Path) -> None:
    found = open_checkpoint(saved(tmp_path / "w.pth", content)).state
    for name, tensor in state().items():
        assert torch.equal(found[name], tensor), name


def test_half_a_network_below_a_prefix_is_still_refused(tmp_path: Path) -> None:
    own = {f"net.{name}": tensor for name, tensor in tiny_torch.unet_state().items() if not name.startswith("up1")}
    with pytest.raises(BadCheckpointError, match=r"keys missing: up1"):
        export_zoo("unet_tiny", tmp_path / "out", FIXED, given=saved(tmp_path / "w.pth", own))


def mmengine(monkeypatch: pytest.MonkeyPatch) -> type:
    """A class that pickles as MMEngine's training log does: its statistics by `getattr`, its numbers as arrays."""

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history, self._count_history = np.arange(3.0), np.ones(3, np.int64)
            self._max_length = 1000000

        def min(self) -> float:
            return float(self._log_history.min())

        def current(self) -> float:
            return float(self._log_history[-1])

        def __getstate__(self) -> dict[str, Any]:
            return {**self.__dict__, "statistics_methods": {"min": HistoryBuffer.min, "current": HistoryBuffer.current}}

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = "mmengine.logging.history_buffer", "HistoryBuffer"
    for name in ("min", "current"):
        method = getattr(HistoryBuffer, name)
        method.__module__, method.__qualname__ = HistoryBuffer.__module__, f"HistoryBuffer.{name}"
    for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["mmengine.logging.history_buffer"].HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    return HistoryBuffer


def test_a_file_of_mmengine_s_runner_brings_its_weights_labels_and_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = mmengine(monkeypatch)
    network = fcn.build(fcn.Options(classes=3, base_width=8, blocks=(2, 2, 3, 2), head_channels=40))
    meta = {
        "cfg": "model = dict()",
        "dataset_meta": {"classes": ("sky", "tree", "road"), "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]},
        "seed": np.int64(3),
    }
    content = {
        "meta": meta,
        "state_dict": {**network.state_dict(), "data_preprocessor.mean": torch.zeros(3, 1, 1)},
        "message_hub": {"log_scalars": {"train/loss": log()}, "runtime_info": {"iter": np.float64(2)}},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
    }
    path = saved(tmp_path / "iter_10.pth", content)
    assert b"getattr" in path.read_bytes()
    for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
        monkeypatch.delitem(sys.modules, name)
    spec = export_zoo("fcn_tiny", tmp_path / "out", ExportOptions(size_hw=(32, 32), batch=1), given=path).spec
    assert spec.labels == ("sky", "tree", "road") and spec.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert spec.evaluation is None


class _Reads:
    """Pickles as `getattr(os, "mkdir")`: an attribute of something that is no training log."""

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        import collections

        return getattr, (collections.OrderedDict, "fromkeys")


def test_getattr_serves_training_logs_only(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpointError, match="getattr"):
        read(saved(tmp_path / "w.pth", {"state_dict": state(), "x": _Reads()}))


def test_plain_records_of_training_scripts_are_passed_over(tmp_path: Path) -> None:
    import argparse
    import datetime
    import pathlib

    content = {
        "args": argparse.Namespace(lr=0.1),
        "path": pathlib.PurePosixPath("x") and Path("x"),
        "when": datetime.datetime(2026, 1, 1),
        "model": state(),
    }
    assert set(read(saved(tmp_path / "w.pth", content))) == {"a.weight", "a.bias"}


@dataclass
class _Settings:
    """A configuration of one's own, as `save_hyperparameters` keeps it."""

    rate: float
    kind: _Kind


class _Kind(enum.Enum):
    SMALL = "small"


def test_objects_of_ones_own_classes_beside_the_weights_are_passed_over(tmp_path: Path) -> None:
    content = {
        "hyper_parameters": {"settings": _Settings(0.1, _Kind.SMALL), "names": types.SimpleNamespace(a=1)},
        "make": functools.partial(_Settings, 0.1),
        "schedule": torch.optim.lr_scheduler.LambdaLR,
        "state_dict": {"model.a.weight": torch.ones(2, 2), "model.a.bias": torch.zeros(2)},
    }
    read_state = read(saved(tmp_path / "last.ckpt", content))
    assert set(read_state) == {"model.a.weight", "model.a.bias"} and float(read_state["model.a.weight"].sum()) == 4.0


def test_lightning_s_averaged_weights_are_taken_as_lightning_does_and_it_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", {"state_dict": averaged(), "current_model_state": state()})
    for wanted in (None, "ema"):
        opened = open_checkpoint(path, wanted)
        assert torch.equal(opened.state["a.weight"], averaged()["a.weight"]) and "averaged" in opened.notes[0]
    assert torch.equal(open_checkpoint(path, "current_model_state").state["a.weight"], state()["a.weight"])


def test_weights_of_ones_own_class_are_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpointError, match="one object of a class of its own"):
        read(saved(tmp_path / "last.ckpt", _Settings(0.1, _Kind.SMALL)))


def test_a_whole_pickled_network_is_refused_in_words_that_help(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1)))
    with pytest.raises(BadCheckpointError, match=r"whole network was pickled.*state_dict.*--module") as caught:
        read(path)
    assert "corrupt" not in str(caught.value)


SMALL = {
    "unet_tiny": unet.build(unet.Options(classes=3, base_width=2, bilinear=True, conv_bias=True)),
    "fcn_tiny": fcn.build(fcn.Options(classes=8, base_width=4, blocks=(2, 2, 3, 2), head_channels=12)),
    "deeplabv3_tiny": deeplabv3.build(
        deeplabv3.Options(classes=2, base_width=4, blocks=(1, 1, 2, 3), head_channels=6, rates=(2, 4, 6))
    ),
    "unet_s5_d16": unet_s5.build(unet_s5.Options(classes=5, base_width=2)),
    "ocrnet_hr18s_tiny": ocrnet.build(
        ocrnet.Options(
            classes=4,
            base_width=4,
            stem_width=8,
            stem_blocks=1,
            modules=(1, 1, 1),
            blocks=2,
            ocr_channels=16,
            ocr_key_channels=8,
        )
    ),
}


# What is read is read alike in all of them: the wide ones take seconds each.
_LONG = ("ocrnet_hr18s_tiny", "deeplabv3_tiny", "unet_s5_d16")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in _LONG else n for n in SMALL])
def test_classes_and_widths_are_read_from_the_weights(tmp_path: Path, name: str) -> None:
    network = SMALL[name]
    path = saved(tmp_path / "w.pth", network.state_dict())
    artifact = export_zoo(name, tmp_path / "out", FIXED, given=path)
    expected = of_module(network, network.state_dict())
    assert answers(artifact) == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))
    classes = expected.shape[1]
    assert artifact.spec.labels == tuple(f"class_{index}" for index in range(classes)) or classes == 2
    if name != "unet_tiny":
        assert artifact.spec.evaluation is None
        assert any("does not hold for own classes" in note for note in artifact.manifest.passes)


@pytest.mark.slow
def test_stated_labels_win_and_their_number_is_checked(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "w.pth", {"meta": {"CLASSES": ["a", "b", "c"]}, "state_dict": SMALL["unet_tiny"].state_dict()}
    )
    artifact = export("unet_tiny", tmp_path / "out", labels=["x", "y", "z"], checkpoint=path, options=FIXED)
    assert artifact.spec.labels == ("x", "y", "z") and artifact.spec.evaluation is None
    with pytest.raises(BadGraphError, match="3 classes apart, but 2 labels are stated: x, y") as caught:
        export("unet_tiny", tmp_path / "no", labels=["x", "y"], checkpoint=path, options=FIXED)
    assert caught.value.field == "labels"


@pytest.mark.slow
def test_own_labels_of_the_published_number_drop_the_published_data_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", tiny_torch.unet_state())
    artifact = export("unet_tiny", tmp_path / "out", labels=["field", "crack"], checkpoint=path, options=FIXED)
    assert artifact.spec.labels == ("field", "crack") and artifact.spec.evaluation is None
    same = export("unet_tiny", tmp_path / "same", labels=["Background", "car"], checkpoint=path, options=FIXED)
    assert same.spec.evaluation is not None


def answers(artifact: FloatArtifact) -> Any:
    run = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    return next(iter(run({"image": FEED}).values()))


def of_module(network: Any, weights: dict[str, Any]) -> Any:
    network.load_state_dict(weights)
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(FEED)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "expected"),
    [(None, ("background", "car")), (["crack"], ("background", "crack")), (["sound", "crack"], ("sound", "crack"))],
)
def test_weights_of_one_channel_tell_two_labels_apart(
    tmp_path: Path, labels: list[str] | None, expected: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    network = unet.build(unet.Options(classes=1, base_width=2)).eval()
    with torch.no_grad():  # about half of the pixels above the threshold
        network.outc.conv.bias -= network(torch.from_numpy(FEED)).median()
    path = saved(tmp_path / "one_class.pth", network.state_dict() | {"mask_values": [0, 1]})
    artifact = export("unet_tiny", tmp_path / "out", checkpoint=path, labels=labels, options=FIXED)
    decode = artifact.spec.decode
    assert artifact.spec.labels == expected and len(artifact.spec.palette) == 2
    assert isinstance(decode, SegmentationDecode) and (decode.form, decode.threshold) == ("binary_logits", 0.5)
    output = artifact.spec.output
    logits = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())({artifact.spec.input.name: FEED})
    with torch.inference_mode():
        right = (torch.sigmoid(network(torch.from_numpy(FEED))) > 0.5)[0, 0].numpy()
    view = View(Placement.resized((32, 32), (32, 32)))
    planes = [{output.name: logits[output.name][0]}]
    predicted = TASKS.load("segmentation").postprocess(planes, [view], artifact.spec).class_id
    assert 0.02 < right.mean() < 0.98
    assert np.mean(predicted != right) <= 2 / right.size  # the median itself lies on the threshold


def test_three_labels_do_not_go_with_one_channel(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", unet.build(unet.Options(classes=1, base_width=2)).state_dict())
    with pytest.raises(BadGraphError, match="one plane, which tells two labels apart, but 3 labels"):
        export("unet_tiny", tmp_path / "out", checkpoint=path, labels=["a", "b", "c"], options=FIXED)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x1f\x8b\x08", "unpack it first"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(start: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(start + bytes(200))
    with pytest.raises(BadCheckpointError, match=f"is no checkpoint but .*{what}"):
        read(tmp_path / "weights.pth")
    (tmp_path / "network.onnx").write_bytes(start + bytes(200))
    with pytest.raises(BadGraphError, match=f"is no ONNX file but .*{what}"):
        onnx_file.load(tmp_path / "network.onnx")
