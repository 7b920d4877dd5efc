"""The journeys of docs/your-own.md run as they stand: from a network to a report, with the plain numpy score."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brief_runs
import colour_network
import numpy as np
import onnx
import pytest
from made_mask_folders import labels_of, write
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("jinja2")
pytest.importorskip("nncf")

import torchvision_on_cpu  # noqa: E402

from densecast import Pipeline  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.quantize, pytest.mark.filterwarnings("ignore")]
PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"
# What keeps the test short: one engine, two precisions, a search of a minute, and speed of ten images. All else is as
# the page has it.
SHORT = ("--backends", "onnxruntime", "--precisions", "fp32,int8", "--time-budget", "60s")
LARGEST_DROP = 0.005
SIZE_HW = (64, 96)
COUNT = 60
MEAN, STD = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
# (3, H, W) of a picture file -> (H, W) labels, and by how much each is ahead of the next class.
Own = Callable[[Path], tuple[Any, Any]]


def blocks() -> list[tuple[str, str]]:
    """Language and text of each block of the page that makes a report."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [(language, text) for language, text in found if "densecast run" in text or "reproduce(" in text]


def command(name: str) -> list[str]:
    """The words of the page's `run` whose report goes to `runs/NAME`."""
    for language, text in blocks():
        words = shlex.split(text.replace("\\\n", " "), comments=True)
        if language == "bash" and f"runs/{name}" in words:
            return words[1:]
    raise AssertionError(name)


def truth_of(index: int, classes: int) -> Any:
    """The painted labels, but in the first rows, so that no network is perfect."""
    truth = labels_of(index, classes, SIZE_HW)
    truth[:12] = 1
    return truth


def picture_of(index: int, classes: int) -> Any:
    """Stripes of the classes' colours under noise."""
    colours = np.asarray(colour_network.COLOURS, np.int64)[labels_of(index, classes, SIZE_HW)]
    noise = np.random.default_rng(index).integers(-20, 21, colours.shape)
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`my_data` with masks of three classes, `my_masks` with masks of 0 and 255."""
    monkeypatch.chdir(tmp_path)
    torchvision_on_cpu.prepare()
    torch.manual_seed(0)
    for name, classes, unit in (("my_data", 3, 1), ("my_masks", 2, 255)):
        for index in range(COUNT):
            write(tmp_path / name / "images" / f"p{index:02d}.png", picture_of(index, classes))
            write(tmp_path / name / "masks" / f"p{index:02d}.png", (truth_of(index, classes) * unit).astype(np.uint8))
    return tmp_path


# torchvision is of another build here than torch: see torchvision_on_cpu.
_PREPARE = "import torchvision_on_cpu; torchvision_on_cpu.prepare()\n"
_DENSECAST = ("-c", f"{_PREPARE}{brief_runs.PROGRAM}from densecast.cli import main; main()")


def run(*words: str) -> None:
    """Run Python as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def validated() -> list[int]:
    """The tenth that is measured: numpy's PCG64 with seed 0 over the sorted names."""
    return sorted(np.random.default_rng(0).permutation(COUNT)[: COUNT // 10].tolist())


def assert_report(out: str, own: Own, classes: int = 3) -> None:
    """A report whose score is that of the network's own forward, and an int8 model that keeps to the drop."""
    assert (Path(out) / "report.html").stat().st_size > 10_000
    report = json.loads((Path(out) / "report.json").read_text(encoding="utf-8"))
    rows = {(row["backend"], row["asked"]): row for row in report["rows"]}
    data = "my_data" if classes == 3 else "my_masks"
    for (backend, asked), row in rows.items():
        if asked == "force_float16":
            continue
        score = row["score"]
        assert (score["name"], score["count"]) == ("mIoU", len(validated())), backend
        confusion = np.zeros((classes, classes))
        with Pipeline.open(Path(out) / row["artifact"]) as pipeline:
            for index in validated():
                path = Path(data, "images", f"p{index:02d}.png")
                found = pipeline(path).class_id
                if asked == "force_float32":
                    labels, margin = own(path)
                    assert (found == labels)[margin > 1e-4].all() and (margin > 1e-4).mean() > 0.99
                np.add.at(confusion, (truth_of(index, classes), found), 1)
        both = np.diagonal(confusion)
        miou = float(np.mean(both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)))
        assert 0.3 < miou < 1 and score["value"] == pytest.approx(miou, abs=1e-9)
    for backend, asked in rows:
        if asked == "qint8_mixed_float16":
            row, exact = rows[backend, asked], rows[backend, "force_float32"]
            assert exact["score"]["value"] - row["score"]["value"] <= LARGEST_DROP + 1e-9
            # Which is faster is the machine's affair; an int8 model that keeps to the limit has to be among the trials.
            tried = row["reasons"]["search"]["trials"]
            assert any(each["name"] != "16-bit" and each["drop"]["high"] <= 100 * LARGEST_DROP for each in tried)


def ahead(logits: Any) -> tuple[Any, Any]:
    """(C, H, W) -> labels, and the largest value's lead over the next."""
    ordered = np.sort(logits, axis=0)
    return logits.argmax(axis=0), ordered[-1] - ordered[-2]


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))


def trained(
    network: Any, logits_of: Callable[[Any], Any], mean: Any, std: Any, steps: int = 30, enlarged: int = 1
) -> Any:
    """The network after a few steps on the pictures, or on enlarged ones."""
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    network.train()
    for step in range(steps):
        picks = [(step * 4 + k) % COUNT for k in range(4)]
        images = np.stack([(picture_of(each, 3) / np.float32(255) - mean) / std for each in picks])
        labels = torch.from_numpy(np.stack([labels_of(each, 3, SIZE_HW) for each in picks]).astype(np.int64))
        inputs = torch.nn.functional.interpolate(torch.from_numpy(images.transpose(0, 3, 1, 2)), scale_factor=enlarged)
        logits = logits_of(inputs)
        logits = torch.nn.functional.interpolate(logits, size=SIZE_HW, mode="bilinear")
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimiser.step()
    return network.eval()


def test_each_journey_of_the_page_is_tried_here_and_is_short() -> None:
    assert len(blocks()) == 5
    names = [re.search(r"runs/(\w+)", text) for _, text in blocks()]
    assert {each[1] for each in names if each} == {"memory", "segformer", "mmseg", "labels", "binary"}
    assert all(len(text.splitlines()) <= 15 for _, text in blocks())


@pytest.mark.slow
def test_a_network_in_memory(folder: Path) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    network = smp.Unet("resnet18", encoder_weights=None, classes=3)
    trained(network, network, MEAN, STD)
    torch.save(network.state_dict(), "unet.pt")
    (text,) = (text for language, text in blocks() if language == "python")
    # The processes that measure import the script anew.
    Path("journey.py").write_text(_PREPARE + text, encoding="utf-8")
    run("journey.py")

    def own(path: Path) -> tuple[Any, Any]:
        image = torch.from_numpy(((pixels(path) / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)[None])
        with torch.inference_mode():
            return ahead(network(image)[0].numpy())

    assert_report("runs/memory", own)


@pytest.mark.slow
def test_a_hugging_face_folder(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 16, 16], decoder_hidden_size=32, num_labels=3
    )
    config.id2label = {0: "ground", 1: "road", 2: "car"}
    network = transformers.SegformerForSemanticSegmentation(config)
    mean, std = [0.5] * 3, [0.25] * 3
    trained(network, lambda images: network(images).logits, np.float32(mean), np.float32(std), steps=120)
    network.save_pretrained("segformer")
    processor = transformers.SegformerImageProcessorPil(
        size={"height": 64, "width": 128}, image_mean=mean, image_std=std
    )
    processor.save_pretrained("segformer")
    run(*_DENSECAST, *command("segformer"), *SHORT)

    def own(path: Path) -> tuple[Any, Any]:
        with torch.inference_mode():
            logits = network(**processor(Image.open(path), return_tensors="pt")).logits
            return ahead(torch.nn.functional.interpolate(logits, size=SIZE_HW, mode="bilinear")[0].numpy())

    assert_report("runs/segformer", own)


@pytest.mark.slow
def test_a_fine_tuned_checkpoint_of_mmsegmentation(folder: Path) -> None:
    import cv2

    from densecast.networks import fcn

    # ResNet-50 with stride 8 as on the page, but narrow: at its full width this would take many minutes.
    network = fcn.build(fcn.Options(classes=3, base_width=8, head_channels=32))
    trained(network, network, MEAN, STD, steps=40, enlarged=4)
    weights = {**network.state_dict(), "auxiliary_head.conv_seg.weight": torch.zeros(3, 8, 1, 1)}
    meta = {"mmseg_version": "0.30.0", "CLASSES": ("ground", "road", "car"), "PALETTE": [[0, 0, 0]] * 3, "iter": 80}
    torch.save({"meta": meta, "state_dict": weights, "optimizer": {"state": {}, "param_groups": []}}, "mine.pth")
    longer = ["300s" if word == "60s" else word for word in SHORT]  # 53 convolutions at 512×768
    run(*_DENSECAST, *command("mmseg"), *longer)

    def own(path: Path) -> tuple[Any, Any]:
        image = cv2.resize(pixels(path), (768, 512), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        image = (image - MEAN * 255) / (STD * 255)
        with torch.inference_mode():
            logits = network(torch.from_numpy(image.transpose(2, 0, 1)[None]))
            # As `whole_inference` does it: first to the size of the network's input, then to the picture's.
            for size_hw in ((512, 768), SIZE_HW):
                logits = torch.nn.functional.interpolate(logits, size=size_hw, mode="bilinear")
            return ahead(logits[0].numpy())

    assert_report("runs/mmseg", own)


def saved(path: str, nodes: list[Any], values: dict[str, Any], output: Any) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    weights = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "own", [image], [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def by_onnxruntime(path: Path, file: str) -> Any:
    import onnxruntime

    image = (pixels(path) / np.float32(255)).transpose(2, 0, 1)[None]
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]


@pytest.mark.slow
def test_an_onnx_file_with_the_argmax_inside(folder: Path) -> None:
    colours = np.asarray(colour_network.COLOURS[:3], np.float32) / 255
    values = {"weight": 20 * colours[:, :, None, None], "bias": -10 * (colours**2).sum(axis=1)}
    nodes = [
        helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], name="nearest"),
        helper.make_node("ArgMax", ["logits"], ["labels"], axis=1, keepdims=0, name="argmax"),
    ]
    saved("net.onnx", nodes, values, helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", "H", "W"]))
    run(*_DENSECAST, *command("labels"), *SHORT)

    def own(path: Path) -> tuple[Any, Any]:
        planes = np.einsum("kc,hwc->khw", values["weight"][:, :, 0, 0], pixels(path) / 255)
        return by_onnxruntime(path, "net.onnx")[0], ahead(planes + values["bias"][:, None, None])[1]

    assert_report("runs/labels", own)


@pytest.mark.slow
def test_one_plane_for_two_classes_and_masks_of_0_and_255(folder: Path) -> None:
    red = np.asarray(colour_network.COLOURS[1], np.float32) / 255
    values = {"weight": 20 * red[None, :, None, None], "bias": np.float32([-10 * (red @ red)])}
    node = helper.make_node("Conv", ["image", "weight", "bias"], ["mask"], name="plane")
    saved("mask.onnx", [node], values, helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1, "H", "W"]))
    run(*_DENSECAST, *command("binary"), *SHORT)

    def own(path: Path) -> tuple[Any, Any]:
        plane = by_onnxruntime(path, "mask.onnx")[0, 0]
        return (plane > 0).astype(np.uint8), np.abs(plane)

    assert_report("runs/binary", own, classes=2)
