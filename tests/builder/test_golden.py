"""A build that computes something else is refused where it is made, or found where it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_artifacts
import tiny_graphs
import tiny_specs
from onnx import numpy_helper

from densecast.artifact import GOLDEN, Artifact, FloatArtifact, stored_answer
from densecast.errors import ParityError, UsageError
from densecast.io import files
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.verbs.builder import build, build_check, compile_plan


def scaled(factor: float) -> onnx.ModelProto:
    """The tiny graph with its first weights times `factor`, and the last ones divided by it."""
    model = tiny_graphs.segmentation()
    for tensor in model.graph.initializer:
        exponent = {"w1": 1, "b1": 1, "w2": -1}[tensor.name]
        array = numpy_helper.to_array(tensor) * np.float32(factor) ** exponent
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return model


def test_the_test_image_is_the_same_on_every_machine() -> None:
    # Whole-number arithmetic: these bytes are part of the format of built artifacts.
    image = stored_answer.pattern_image(3, 37, 41)
    assert image.shape == (3, 37, 41) and len(np.unique(image)) > 150
    assert files.sha256_text(image.tobytes().hex())[:16] == "5e7fe8fd3ea29553"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_build_keeps_its_answer_and_is_the_same_artifact_with_or_without(tmp_path: Path, backend: str) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions(backend, shape=InputShape((1, 2), 24, 32)))
    assert GOLDEN in built.manifest.files
    without = {name: digest for name, digest in built.manifest.files.items() if name != GOLDEN}
    assert replace(built, manifest=replace(built.manifest, files=without)).identity == built.identity


def test_bytes_in_and_open_sizes_have_an_answer_too(tmp_path: Path) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime", uint8_input=True))
    assert GOLDEN in built.manifest.files
    assert stored_answer.golden_feeds(built.spec)["image"].dtype == np.uint8


def test_what_overflows_float16_is_not_built(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, scaled(1e6))
    built = build(source, tmp_path / "fp32", BuildOptions("onnxruntime"))
    assert GOLDEN in built.manifest.files
    with pytest.raises(ParityError, match=r"not finite|build is wrong"):
        build(source, tmp_path / "fp16", BuildOptions("onnxruntime", "force_float16"))
    assert not (tmp_path / "fp16").exists()


def test_a_float32_model_whose_answer_is_not_finite_is_not_built(tmp_path: Path) -> None:
    folder = tiny_artifacts.exported(tmp_path).folder
    # An export that gives no numbers is refused itself; of another densecast it may be there.
    onnx.save(scaled(1e38), folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    manifest["files"]["model.onnx"] = files.sha256(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    source = FloatArtifact.open(folder)
    with pytest.raises(ParityError, match=r"the fp32 model built for onnxruntime gives values that are not finite"):
        build(source, tmp_path / "fp32", BuildOptions("onnxruntime"))
    assert not (tmp_path / "fp32").exists()


def test_an_engine_that_computes_something_else_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.backends import onnxruntime

    sound = onnxruntime.BACKEND.build

    def faulty(job: object, folder: Path) -> object:
        made = sound(job, folder)  # type: ignore[arg-type]
        onnx.save(tiny_graphs.segmentation(24, 32, batch=1, seed=9), folder / "model.onnx")
        return made

    monkeypatch.setattr(onnxruntime.BACKEND, "build", faulty)
    source = tiny_artifacts.exported(tmp_path)
    with pytest.raises(ParityError, match="the build is wrong"):
        build(source, tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32)))


class Answers:
    """A session whose outputs are these arrays."""

    def __init__(self, spec: ModelSpec, *outputs: Array) -> None:
        self.spec, self.outputs = spec, outputs

    def forward(self, feeds: Feeds) -> Feeds:
        return {tensor.name: output for tensor, output in zip(self.spec.outputs, self.outputs, strict=True)}


def test_further_outputs_are_kept_beside_the_main_one_whose_place_is_as_ever(tmp_path: Path) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32)))
    rng = np.random.default_rng(0)
    main, further = (rng.random((1, channels, 100, 100), dtype=np.float32) for channels in (2, 3))
    tensors = tuple(
        TensorSpec(name, "float32", (1, channels, 100, 100)) for name, channels in (("main", 2), ("further", 3))
    )
    spec = replace(built.spec, outputs=tensors)

    def with_answer(*outputs: Array) -> Artifact:
        (built.folder / GOLDEN).write_bytes(stored_answer.packed(list(outputs)))  # type: ignore[arg-type]
        return replace(built, manifest=replace(built.manifest, spec=spec))

    both = with_answer(main, further)
    assert stored_answer.error(both, Answers(spec, main, further).forward) == 0  # type: ignore[arg-type]
    assert stored_answer.error(both, Answers(spec, main, further * 1.5).forward) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert stored_answer.error(both, Answers(spec, main, further[:, :2]).forward) == float("inf")  # type: ignore[arg-type]
    main_alone = with_answer(main)
    assert stored_answer.error(main_alone, Answers(spec, main, further * 1.5).forward) == 0  # type: ignore[arg-type]


def test_all_outputs_and_inputs_have_the_batch_that_is_built(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    further = replace(source.spec.output, name="further")
    small = replace(source.spec.input, name="small")
    spec = replace(
        source.spec,
        inputs=(source.spec.input, small),
        outputs=(source.spec.output, further),
        input_preprocess={"small": source.spec.preprocess},
    )
    built = compile_plan.built_spec(spec, BuildOptions("onnxruntime", shape=InputShape((3,), 24, 32)))
    assert [tensor.shape[0] for tensor in (*built.inputs, *built.outputs)] == [3, 3, 3, 3]
    assert built.input.shape == (3, 3, 24, 32) and built.inputs[1].shape[2:] == small.shape[2:]
    two = replace(source, manifest=replace(source.manifest, spec=spec))
    with pytest.raises(UsageError, match="2 inputs") as caught:
        compile_plan.prepare(two, tmp_path / "built", BuildOptions("onnxruntime", uint8_input=True))
    assert caught.value.field == "uint8_input"


@pytest.mark.parametrize("channels", [1, 5])
def test_the_test_image_has_the_networks_channels(channels: int) -> None:
    spec = tiny_specs.segmentation()
    batch, _, *sides = spec.input.shape
    tensor = replace(spec.input, shape=(batch, channels, *sides))
    rule = Preprocess(Native(), mean=(100.0,), std=(50.0,))
    (feed,) = stored_answer.golden_feeds(replace(spec, inputs=(tensor,), preprocess=rule)).values()
    plain = stored_answer.pattern_image(channels, *feed.shape[2:])
    np.testing.assert_array_equal(feed[0], (plain.astype(np.float32) - np.float32(100)) / np.float32(50))


@pytest.mark.parametrize(
    ("made", "digest", "first"),
    [
        (stored_answer.pattern_image, "b57302f4cbee1aaaff71894226d86cb9987b0f760462a4eb5bf5bf51ca2f4a4b", 140),
        (stored_answer.noise_image, "4767dc3651993d7daf16cb4054e4f257c328941334e51d44db5d5d5226622d5c", 229),
    ],
)
def test_the_pictures_of_answers_that_lie_in_artifacts_never_change(made: Any, digest: str, first: int) -> None:
    picture = made(4, 70, 90)
    assert picture[2, 0, 0] == first and hashlib.sha256(picture.tobytes()).hexdigest() == digest


@pytest.mark.parametrize("feeds_of", [stored_answer.golden_feeds, stored_answer.noisy_feeds])
def test_the_pictures_are_normalised_as_images_are_the_divisor_first(feeds_of: Any) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    spec = replace(tiny_specs.segmentation(), preprocess=Preprocess(Native(), mean=mean, std=std, divisor=255.0))
    bytes_in = spec.with_input(replace(spec.input, dtype="uint8"))
    (pixels,), (feed,) = feeds_of(bytes_in).values(), feeds_of(spec).values()
    assert pixels.dtype == np.uint8
    wanted = (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(feed, wanted, rtol=1e-6, atol=1e-6)


def test_the_noisy_picture_has_odd_open_sizes_within_their_bounds() -> None:
    spec = tiny_specs.segmentation()

    def shape(height: int | Dim, width: int | Dim) -> tuple[int, ...]:
        tensor = replace(spec.input, shape=(Dim("N", 1, 4), 3, height, width))
        (feed,) = stored_answer.noisy_feeds(spec.with_input(tensor)).values()
        return feed.shape

    assert shape(Dim("H", 8, 512), Dim("W", 8, 512)) == (1, 3, 97, 139)
    assert shape(Dim("H", 32, 512, 32), Dim("W", 32, 512, 32)) == (1, 3, 96, 128)
    assert shape(Dim("H", 200, 512), Dim("W", 8, 100)) == (1, 3, 200, 100)
    assert shape(48, Dim("W", 8, 512)) == (1, 3, 48, 139)


def test_an_engine_that_leaves_padding_out_at_odd_sizes_alone_is_caught(tmp_path: Path) -> None:
    """A network that pads its image to whole windows of 2, and a build of it that does not."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    windows (float[N, 3, H, W] image) => (float[N, 3, H, W] logits)
    <int64 two = {2}, int64[1] start = {3}, int64[1] end = {4}, int64[7] none = {0, 0, 0, 0, 0, 0, 0}>
    {
        sizes = Shape (image)
        width = Slice (sizes, start, end)
        right = Mod (width, two)
        pads = Concat <axis = 0> (none, right)
        whole = Pad (image, pads)
        mean = GlobalAveragePool (whole)
        logits = Sub (image, mean)
    }
    """
    sound = onnx.parser.parse_model(text)
    onnx.save(sound, tmp_path / "graph.onnx")
    plain = onnx.parser.parse_model(text.replace("Pad (image, pads)", "Identity (image)"))
    side = Dim("S", 8, 512)
    spec = tiny_specs.segmentation()
    shape = (Dim("N", 1, 4), 3, side, side)
    spec = spec.with_input(replace(spec.input, shape=shape)).with_output(replace(spec.output, shape=shape))
    runs = onnxruntime.InferenceSession(plain.SerializeToString(), providers=["CPUExecutionProvider"])

    def pairs(feeds: Feeds) -> list[tuple[Feeds, list[Array]]]:
        return [(feeds, runs.run(["logits"], feeds))]

    even, odd = stored_answer.golden_feeds(spec), stored_answer.noisy_feeds(spec)
    build_check.check(tmp_path / "graph.onnx", spec, pairs(even), "force_float32", "openvino")
    with pytest.raises(ParityError, match="is off by"):
        build_check.check(tmp_path / "graph.onnx", spec, pairs(odd), "force_float32", "openvino")
