"""Open axes of ONNX files are tried: multiples, single images and single sizes are found, and pictures fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnxruntime
import pytest
from PIL import Image

from densecast import Pipeline
from densecast.artifact import Artifact
from densecast.errors import BadGraphError
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess, Stretch
from densecast.spec.resize import Resize
from densecast.spec.tensor import Dim
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file

RNG = np.random.default_rng(5)
OWN = ", ".join(f"{value:.4f}" for value in RNG.normal(size=6))
NATIVE = Native()
UP = ", ".join(f"{value:.4f}" for value in RNG.normal(size=2 * 3 * 8 * 8))


def graph(signature: str, body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ {body} }}')


def eights() -> onnx.ModelProto:
    """A skip connection over means of 8x8 pixels: both meet at multiples of 8 only."""
    return graph(
        "(float[N,3,H,W] image) => (float[N,2,h,w] logits)"
        f" <float[2,3,1,1] own = {{{OWN}}}, float[3,2,8,8] up = {{{UP}}}>",
        "small = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (image) "
        "large = ConvTranspose <kernel_shape = [8, 8], strides = [8, 8]> (small, up) "
        "skip = Conv (image, own) logits = Add (large, skip)",
    )


def one_by_one() -> onnx.ModelProto:
    """Its Reshape is written for one image."""
    return graph(
        f"(float[N,3,H,W] image) => (float[N,2,H,W] logits) <float[2,3,1,1] own = {{{OWN}}}, int64[2] s = {{1, 2}}>",
        "maps = Conv (image, own) hw = Shape <start = 2> (maps) whole = Concat <axis = 0> (s, hw) "
        "logits = Reshape (maps, whole)",
    )


def first_of_batch() -> onnx.ModelProto:
    """Whatever the batch, it answers for the first image only."""
    return graph(
        f"(float[N,3,H,W] image) => (float[N,2,H,W] logits) <float[2,3,1,1] own = {{{OWN}}}, "
        "int64[1] a = {0}, int64[1] b = {1}>",
        "first = Slice (image, a, b, a) logits = Conv (first, own)",
    )


def mixes_the_batch() -> onnx.ModelProto:
    """An image's logits are relative to the mean of all images."""
    return graph(
        f"(float[N,3,H,W] image) => (float[N,2,H,W] logits) <float[2,3,1,1] own = {{{OWN}}}>",
        "mean = ReduceMean <axes = [0], keepdims = 1> (image) rest = Sub (image, mean) logits = Conv (rest, own)",
    )


def one_size() -> onnx.ModelProto:
    """Written for 40 x 56 pixels."""
    return graph(
        f"(float[N,3,H,W] image) => (float[N,2,H,W] logits) <float[2,3,1,1] own = {{{OWN}}}, "
        "int64[4] s = {-1, 3, 40, 56}>",
        "same = Reshape (image, s) logits = Conv (same, own)",
    )


def square_grids() -> onnx.ModelProto:
    """Patches of 16 pixels, as many down as across: the square root of their number, as some transformers have it."""
    return graph(
        "(float[N,3,H,W] image) => (float[N,2,h,w] logits) <int64[1] two = {2}, int64[1] batch = {-1}>",
        f"own = Constant <value = float[2,3,16,16] {{{', '.join(str(each % 7 - 3) for each in range(1536))}}}> () "
        "maps = Conv <strides = [16, 16]> (image, own) sizes = Shape <start = 2> (maps) "
        "count = ReduceProd <keepdims = 1> (sizes) real = Cast <to = 1> (count) root = Sqrt (real) "
        "side = Cast <to = 7> (root) all = Concat <axis = 0> (batch, two, side, side) logits = Reshape (maps, all)",
    )


def exported(folder: Path, model: onnx.ModelProto, resize: Resize = NATIVE) -> Artifact:
    onnx.save(model, folder / "net.onnx")
    spec = SpecFile(("dark", "bright"), Preprocess(resize), side=Range(8, 512), largest_batch=8)
    return export_file(folder / "net.onnx", spec.model("net"), folder / "float")


def run(model: onnx.ModelProto, feed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {model.graph.input[0].name: feed})[0])


@pytest.fixture(scope="module")
def eights_float(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(tmp_path_factory.mktemp("eights"), eights())


def test_the_multiple_that_a_graph_needs_is_found_and_said(eights_float: Artifact) -> None:
    spec = eights_float.spec
    assert spec.input.shape == (Dim("N", 1, 8), 3, Dim("H", 8, 512, 8), Dim("W", 8, 512, 8))
    assert spec.preprocess.pad_multiple == 8
    (note,) = eights_float.manifest.passes
    assert note.startswith("height and width must be multiples of 8: images are padded")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_pictures_of_any_size_give_the_labels_of_padding_by_hand(
    eights_float: Artifact, tmp_path: Path, engine: str
) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (75, 101, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    built = build(eights_float, tmp_path / "built", BuildOptions(backend=engine))
    with Pipeline.open(built.folder) as pipeline:
        labels = pipeline(tmp_path / "picture.png").class_id
    padded = np.zeros((1, 3, 80, 104), np.float32)
    padded[0, :, :75, :101] = picture.transpose(2, 0, 1).astype(np.float32) / 255
    wanted = run(eights(), padded)[0].argmax(axis=0)[:75, :101]
    assert labels.shape == (75, 101) and 0.02 < wanted.mean() < 0.98
    assert (labels != wanted).mean() < 1e-3


@pytest.mark.parametrize(
    ("model", "why"), [(one_by_one, "Reshape|reshape"), (first_of_batch, "depends"), (mixes_the_batch, "depends")]
)
def test_graphs_for_one_image_at_a_time_get_a_batch_of_one(tmp_path: Path, model: object, why: str) -> None:
    assert callable(model)
    artifact = exported(tmp_path, model())
    assert artifact.spec.input.shape == (1, 3, Dim("H", 8, 512), Dim("W", 8, 512))
    (note,) = artifact.manifest.passes
    assert "one image at a time: the batch is 1" in note
    assert any(word in note for word in why.split("|")), note


def test_graphs_for_one_size_get_fixed_sizes(tmp_path: Path) -> None:
    artifact = exported(tmp_path, one_size(), Stretch((40, 56)))
    assert artifact.spec.input.shape == (Dim("N", 1, 8), 3, 40, 56)
    (note,) = artifact.manifest.passes
    assert "only 40×56 works" in note


def test_graphs_of_square_grids_do_not_pass_for_those_of_any_size(tmp_path: Path) -> None:
    artifact = exported(tmp_path, square_grids(), Stretch((64, 64)))
    assert artifact.spec.input.shape == (Dim("N", 1, 8), 3, 64, 64)


def test_images_too_small_for_a_graph_are_known(tmp_path: Path) -> None:
    """Mirroring by 20 pixels needs 21."""
    model = graph(
        f"(float[N,3,H,W] image) => (float[N,2,h,w] logits) <float[2,3,1,1] own = {{{OWN}}}, "
        "int64[8] p = {0, 0, 20, 20, 0, 0, 20, 20}, int64[2] a = {20, 20}, int64[2] b = {-20, -20}, "
        "int64[2] x = {2, 3}>",
        'wide = Pad <mode = "reflect"> (image, p) maps = Conv (wide, own) logits = Slice (maps, a, b, x)',
    )
    artifact = exported(tmp_path, model)
    assert artifact.spec.input.shape[2:] == (Dim("H", 32, 512), Dim("W", 32, 512))
    assert "too small" in artifact.manifest.passes[0]


@pytest.mark.parametrize(
    ("layer", "least"),
    [
        ("MaxPool <kernel_shape = [9, 9], strides = [9, 9]> (image)", 16),
        ("MaxPool <kernel_shape = [12, 24], strides = [12, 24]> (image)", 32),
        ("MaxPool <kernel_shape = [9, 9], dilations = [2, 2], strides = [9, 9]> (image)", 32),
        ("AveragePool <kernel_shape = [40, 40], strides = [20, 20], pads = [4, 4, 4, 4]> (image)", 32),
        ('MaxPool <kernel_shape = [24, 24], strides = [24, 24], auto_pad = "SAME_UPPER"> (image)', 8),
    ],
)
def test_images_smaller_than_the_window_of_a_layer_are_too_small(tmp_path: Path, layer: str, least: int) -> None:
    """ONNX Runtime answers them, PyTorch and OpenVINO do not. The least sides are doubled from 8 until they hold it."""
    model = graph(
        f"(float[N,3,H,W] image) => (float[N,2,h,w] logits) <float[2,3,1,1] own = {{{OWN}}}>",
        f"few = {layer} base = Conv (few, own) plain = Conv (image, own) size = Shape (plain) "
        'back = Resize <mode = "nearest"> (base, , , size) logits = Add (back, plain)',
    )
    height, width = exported(tmp_path, model).spec.input.shape[2:]
    assert isinstance(height, Dim) and isinstance(width, Dim)
    assert (height.min, width.min) == (least, least)


def test_graphs_that_run_at_no_size_are_refused_with_the_reason(tmp_path: Path) -> None:
    model = graph(
        "(float[N,3,H,W] a) => (float[N,2,H,W] c) <int64[4] s = {1, 2, 3, 5}>",
        "c = Reshape (a, s)",
    )
    with pytest.raises(BadGraphError, match=r"cannot be run at .* nor at any other size"):
        exported(tmp_path, model)
