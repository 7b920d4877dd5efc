"""A network that normalises its image itself is fed what it was made for; what it could see nothing of is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from densecast import Pipeline
from densecast.artifact import FloatArtifact
from densecast.errors import BadConfigError
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file, own_normalisation

BYTES, UNIT = Preprocess(Native(), std=(1.0,)), Preprocess(Native())
IMAGENET = Preprocess(Native(), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))

# What a graph does before its first layer, and what it was made for.
MADE_FOR = {
    "mean and deviation of 0..255": ("a = Sub (image, mean)\n x = Div (a, deviation)", BYTES),
    "the mean alone": ("x = Sub (image, mean)", BYTES),
    "-1..1 of 0..255": ("a = Div (image, half)\n x = Sub (a, one)", BYTES),
    "a factor, then a shift": ("a = Mul (share, image)\n x = Add (a, minus)", BYTES),
    "clipped, then -1..1 of 0..255": (
        "c = Clip (image, zero, top)\n a = Div (c, half)\n x = Sub (a, one)",
        BYTES,
    ),
    "nothing below 0, then -1..1 of 0..255": ("c = Max (image, zero)\n a = Div (c, half)\n x = Sub (a, one)", BYTES),
    "channels turned, each less its own mean": (
        """r, g, b = Split <axis = 1> (image)
        p = Sub (r, blue)
        q = Sub (g, green)
        s = Sub (b, red)
        x = Concat <axis = 1> (s, q, p)""",
        BYTES,
    ),
    "channels gathered, then the mean": ("t = Gather <axis = 1> (image, turned)\n x = Sub (t, mean)", BYTES),
    "a normalisation of batches": ("x = BatchNormalization (image, ones, zeros, means, variances)", BYTES),
    "a picture of means": ("p = Expand (mean, like)\n a = Sub (image, p)\n x = Div (a, half)", BYTES),
    "between 0 and 1, whatever comes": ("x = Clip (image, zero, one)", UNIT),
    "a power of 0..1": ("x = Pow (image, two)", UNIT),
    "mean and deviation of 0..1": ("a = Sub (image, small)\n x = Div (a, small)", UNIT),
    "2 x - 1 of 0..1": ("a = Mul (image, two)\n x = Sub (a, one)", UNIT),
    "batches of 0..1": ("x = BatchNormalization (image, ones, zeros, fifths, fifths)", UNIT),
    "nothing": ("x = Identity (image)", UNIT),
}
CONSTANTS = """float[1, 3, 1, 1] mean = {123.7, 116.3, 103.5}, float[1, 3, 1, 1] deviation = {58.4, 57.1, 57.4},
    float half = {127.5}, float one = {1.0}, float[1] minus = {-1.0}, float share = {0.0078}, float two = {2.0},
    float[3, 1, 1] small = {0.48, 0.45, 0.41}, float zero = {0.0}, float top = {255.0}, float red = {123.7},
    float green = {116.3}, float blue = {103.5}, int64[3] turned = {2, 1, 0}, float[3] ones = {1.0, 1.0, 1.0},
    float[3] zeros = {0.0, 0.0, 0.0}, float[3] fifths = {0.2, 0.2, 0.25}, float[3] means = {123.7, 116.3, 103.5},
    float[3] variances = {3410.0, 3260.0, 3290.0},
    int64[4] like = {1, 3, 1, 1}"""


def graph(first: str) -> onnx.ModelProto:
    numbers = ", ".join(f"{value:.5f}" for value in np.random.default_rng(4).normal(size=81))
    return onnx.parser.parse_model(f"""
<ir_version: 8, opset_import: ["" : 17]>
found (float[N, 3, H, W] image) => (float[N, 3, H, W] out)
<float[3, 3, 3, 3] w = {{{numbers}}}, {CONSTANTS}>
{{
    {first}
    out = Conv <pads = [1, 1, 1, 1]> (x, w)
}}
""")


def exported(folder: Path, model: onnx.ModelProto, rule: Preprocess) -> FloatArtifact:
    onnx.save(model, folder / "found.onnx")
    spec = SpecFile(("a", "b", "c"), rule, side=Range(8, 512), largest_batch=4).model("found")
    return export_file(folder / "found.onnx", spec, folder / "float")


@pytest.mark.parametrize("name", MADE_FOR)
def test_without_a_normalisation_it_is_fed_what_it_was_made_for(name: str, tmp_path: Path) -> None:
    first, made_for = MADE_FOR[name]
    model = graph(first)
    artifact = exported(tmp_path, model, Preprocess(Native()))
    built = build(artifact, tmp_path / "built", BuildOptions("onnxruntime", "force_float32"))
    image = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    fed = image.astype(np.float32) / (1 if made_for is BYTES else 255)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": fed.transpose(2, 0, 1)[None]})
    with Pipeline.open(built.folder) as pipeline:
        assert (pipeline(image).class_id == np.asarray(scores)[0].argmax(axis=0)).mean() > 0.9999
    is_said = any("normalises image itself" in note for note in artifact.manifest.passes)
    assert is_said == (made_for is BYTES)


@pytest.mark.parametrize("name", [name for name, (_, made_for) in MADE_FOR.items() if made_for is BYTES])
def test_a_normalisation_on_top_of_its_own_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"normalises image itself.*--normalise 0\.\.255") as caught:
        exported(tmp_path, graph(MADE_FOR[name][0]), IMAGENET)
    assert caught.value.field == "mean" and not (tmp_path / "float").exists()


@pytest.mark.parametrize("name", [name for name, (_, made_for) in MADE_FOR.items() if made_for is BYTES])
def test_what_is_declared_right_is_taken_without_a_word(name: str, tmp_path: Path) -> None:
    artifact = exported(tmp_path, graph(MADE_FOR[name][0]), BYTES)
    assert not any("normalises" in note for note in artifact.manifest.passes)


@pytest.mark.parametrize("name", ["mean and deviation of 0..1", "2 x - 1 of 0..1", "batches of 0..1"])
@pytest.mark.parametrize("rule", [IMAGENET, Preprocess(Native(), mean=(0.485,), std=(0.229,), divisor=255.0)])
def test_so_is_one_on_top_of_its_own_of_0_to_1(name: str, rule: Preprocess, tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"would do it again, .*--normalise 0\.\.1") as caught:
        exported(tmp_path, graph(MADE_FOR[name][0]), rule)
    assert caught.value.field == "mean" and not (tmp_path / "float").exists()


def test_values_of_minus_1_to_1_that_a_graph_turns_into_its_own_are_taken(tmp_path: Path) -> None:
    """It makes 0..1 of -1..1 first, and what its first layer sees is normalised once."""
    rule = Preprocess(Native(), mean=(127.5,), std=(127.5,))
    first = "a = Add (image, one)\n b = Div (a, two)\n c = Sub (b, small)\n x = Div (c, small)"
    assert exported(tmp_path, graph(first), rule).spec.preprocess.mean == (127.5,)


@pytest.mark.torch
def test_a_module_that_normalises_itself_is_fed_0_to_255(tmp_path: Path) -> None:
    import torch

    from densecast import export

    class Normalises(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 2, 1)
            self.register_buffer("mean", torch.tensor([123.7, 116.3, 103.5]).view(1, 3, 1, 1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.layer((image - self.mean) / 58.0)

    artifact = export(Normalises().eval(), tmp_path / "out", labels=["a", "b"])
    assert (artifact.spec.preprocess.mean, artifact.spec.preprocess.std) == ((0.0,), (1.0,))


def test_a_graph_that_halves_its_open_sides_before_its_first_layer_is_seen_through(tmp_path: Path) -> None:
    """It takes sides of even numbers alone, as many that put blocks of pixels into channels."""
    numbers = ", ".join(f"{value:.5f}" for value in np.random.default_rng(4).normal(size=36))
    model = onnx.parser.parse_model(f"""
<ir_version: 8, opset_import: ["" : 17]>
found (float[N, 3, H, W] image) => (float[N, 3, h, w] out)
<float[3, 12, 1, 1] w = {{{numbers}}}, {CONSTANTS}>
{{
    a = Sub (image, mean)
    b = Div (a, deviation)
    x = SpaceToDepth <blocksize = 2> (b)
    out = Conv (x, w)
}}
""")
    rule, (note,) = own_normalisation.settle(model, "image", UNIT)
    assert (rule.mean, rule.std, rule.divisor) == ((0.0,), (1.0,), 1.0) and "from values 0..255" in note
