"""Networks of other libraries, random and small, are exported from memory and answer as their own forward does."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import torchvision_on_cpu  # noqa: E402

from densecast import BuildOptions, Pipeline, build  # noqa: E402
from densecast.artifact import FloatArtifact  # noqa: E402
from densecast.errors import BadConfigError, BadGraphError  # noqa: E402
from densecast.imaging.prepare import prepare  # noqa: E402
from densecast.spec.preprocess import Native, ShortSide, Stretch  # noqa: E402
from densecast.spec.tensor import Dim  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export, library_preprocess, onnx_file, parity  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SMALL = (64, 96)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torchvision_on_cpu.prepare()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries warn of each other's versions
        yield


def graph(artifact: FloatArtifact, feed: Any) -> Any:
    run = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    return run({artifact.spec.input.name: feed})[artifact.spec.output.name]


def own(network: Any, feed: Any) -> Any:
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(feed))


def assert_same(artifact: FloatArtifact, feed: Any, expected: Any) -> None:
    expected = expected.numpy()
    np.testing.assert_allclose(graph(artifact, feed), expected, atol=2e-4 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.slow  # importing the library alone takes seconds
@pytest.mark.parametrize("name", ["Unet", "FPN", "DeepLabV3Plus"])
def test_segmentation_models_pytorch(tmp_path: Path, name: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    small = {"encoder_depth": 3, "decoder_channels": (32, 16, 8)} if name == "Unet" else {}
    network = getattr(smp, name)("resnet18", encoder_weights=None, classes=3, **small)
    # As `get_preprocessing_params` gives them, which asks the hub.
    params = {"input_space": "BGR", "input_range": [0, 1], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    artifact = export(network, tmp_path / "out", labels=["a", "b", "c"], preprocess=params, example=SMALL)
    feed = parity.image_like((1, 3, 64, 64), 1)
    assert_same(artifact, feed, own(network, feed))
    preprocess = artifact.spec.preprocess
    assert (preprocess.mean, preprocess.std) == (tuple(params["mean"]), tuple(params["std"]))
    assert preprocess.divisor == 255 and preprocess.colour == params["input_space"]
    pixel = np.array([[[10, 200, 90]]], np.float64)
    wanted = smp.encoders.preprocess_input(pixel, **params)
    np.testing.assert_allclose((pixel[..., ::-1] / 255 - preprocess.mean) / preprocess.std, wanted, rtol=1e-12)


@pytest.mark.parametrize(("limits", "divisor"), [(None, 1.0), ([0, 255], 1.0), ([0, 1], 255.0), ((0, 1), 255.0)])
def test_values_are_divided_where_a_library_says_that_they_end_at_one(limits: object, divisor: float) -> None:
    white = 255 / divisor
    params = {"input_range": limits, "mean": [white / 2] * 3, "std": [white / 4] * 3}
    assert library_preprocess.of_smp(params).divisor == divisor


def torchvision() -> Any:
    return pytest.importorskip("torchvision")


@pytest.mark.slow
def test_torchvision_s_dict_is_its_main_output_and_the_auxiliary_head_is_left_out_and_said(tmp_path: Path) -> None:
    segmentation = torchvision().models.segmentation
    network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)

    class WithAuxiliary(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Any) -> Any:
            result = self.network(image)["out"]
            return {"aux": -result, "out": result}

    artifact = export(WithAuxiliary(), tmp_path / "out", labels=3, preprocess="imagenet", example=SMALL)
    assert [tensor.name for tensor in artifact.spec.outputs] == ["out"]
    assert any("auxiliary aux left out" in note for note in artifact.manifest.passes)
    assert artifact.spec.labels == ("class_0", "class_1", "class_2")
    feed = parity.image_like((1, 3, 65, 99), 1)
    assert_same(artifact, feed, own(network, feed)["out"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "fcn_resnet50"])
def test_torchvision_s_large_networks_with_their_auxiliary_heads(tmp_path: Path, name: str) -> None:
    make = getattr(torchvision().models.segmentation, name)
    network = make(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    artifact = export(network, tmp_path / "out", labels=3, preprocess="imagenet", example=SMALL)
    assert [tensor.name for tensor in artifact.spec.outputs] == ["out"]
    feed = parity.image_like((1, 3, 65, 99), 1)
    assert_same(artifact, feed, own(network, feed)["out"])


def test_torchvision_s_transforms() -> None:
    from densecast.verbs.export import library_preprocess

    preset = torchvision().transforms._presets.SemanticSegmentation
    made = library_preprocess.translate(preset(resize_size=None))
    assert made.divisor == 255 and made.mean == library_preprocess.IMAGENET_MEAN
    made = library_preprocess.translate(preset(resize_size=48))
    assert made.resize == ShortSide(48)
    picture = np.random.default_rng(0).integers(0, 256, (75, 101, 3), np.uint8)
    wanted = preset(resize_size=48)(Image.fromarray(picture)).numpy()
    np.testing.assert_allclose(prepare(picture, made)[0], wanted, atol=1e-6)
    for sides in ((375, 500), (501, 333), (61, 200)):
        own_size = torchvision_functional()._compute_resized_output_size(sides, [48], None)
        assert tuple(own_size) == ShortSide(48).place(sides).model_hw


def torchvision_functional() -> Any:
    return torchvision().transforms.functional


@pytest.mark.slow
def test_a_hugging_face_processor_of_the_short_side() -> None:
    from densecast.verbs.export import library_preprocess

    transformers = pytest.importorskip("transformers")
    config = {**PROCESSOR, "size": {"shortest_edge": 48}}
    processor = transformers.SegformerImageProcessor(**config)
    made = library_preprocess.translate(config)
    assert made.resize == ShortSide(48) and library_preprocess.translate(processor) == made
    picture = np.random.default_rng(1).integers(0, 256, (61, 90, 3), np.uint8)
    wanted = np.asarray(processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0])
    prepared, _ = prepare(picture, made)
    assert prepared.shape == wanted.shape == (3, 48, 70)
    # Processors on torch's kernels round one of 256 levels elsewhere.
    assert np.abs(prepared - wanted).max() <= 1.01 / 255 / 0.224


@pytest.mark.slow
@pytest.mark.parametrize("image_hw", [(48, 64), (33, 200)])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("DPT", {"ensure_multiple_of": 14, "keep_aspect_ratio": True, "do_pad": False, "resample": 3}),
        ("DPT", {"ensure_multiple_of": 14, "keep_aspect_ratio": False, "do_pad": False}),
        ("GLPN", {"size_divisor": 32, "size": None, "do_normalize": False}),
    ],
)
def test_hugging_face_processors_of_depth(kind: str, more: dict[str, object], image_hw: tuple[int, int]) -> None:
    from densecast.verbs.export import library_preprocess

    pytest.importorskip("transformers")
    module = importlib.import_module(f"transformers.models.{kind.lower()}.image_processing_pil_{kind.lower()}")
    config = {**PROCESSOR, **more, "image_processor_type": f"{kind}ImageProcessor"}
    processor = getattr(module, f"{kind}ImageProcessorPil")(**config)
    picture = np.random.default_rng(3).integers(0, 256, (*image_hw, 3), np.uint8)
    wanted = np.asarray(processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0])
    prepared, _ = prepare(picture, library_preprocess.translate(config))
    assert prepared.shape == wanted.shape
    np.testing.assert_allclose(prepared, wanted, atol=1e-6)


def upernet() -> Any:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ConvNextConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_channels=8, auxiliary_in_channels=16, num_labels=3
    )
    return transformers.UperNetForSemanticSegmentation(config)


@pytest.mark.slow
def test_upernet_of_hugging_face(tmp_path: Path) -> None:
    network = upernet()
    options = ExportOptions(size_hw=SMALL, batch=1)
    artifact = export(network, tmp_path / "out", labels=3, preprocess=PROCESSOR, options=options)
    feed = parity.image_like((1, 3, *SMALL), 1)
    assert_same(artifact, feed, own(network, feed).logits)


def segformer(labels: int = 3) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, num_labels=labels
    )
    config.id2label = {index: f"thing {index}" for index in range(labels)}
    return transformers.SegformerForSemanticSegmentation(config)


PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SegformerImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 64, "width": 96},
}


@pytest.mark.slow
def test_a_hugging_face_network_in_memory(tmp_path: Path) -> None:
    network = segformer()
    artifact = export(network, tmp_path / "out", preprocess=PROCESSOR, example=SMALL)
    assert artifact.spec.output.name == "logits" and artifact.spec.labels == ("thing 0", "thing 1", "thing 2")
    feed = parity.image_like((1, 3, 64, 96), 1)
    assert_same(artifact, feed, own(network, feed).logits)


@pytest.mark.slow
@pytest.mark.parametrize("native", [False, True])
def test_labels_of_a_hugging_face_network_are_those_of_its_own_postprocessing(native: bool, tmp_path: Path) -> None:
    network = segformer().eval()
    torch.nn.init.normal_(network.decode_head.classifier.weight, std=3)
    processor = PROCESSOR | ({"do_resize": False} if native else {})
    artifact = export(network, tmp_path / "out", preprocess=processor, example=SMALL)
    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8)
    with Pipeline.open(build(artifact, tmp_path / "built", BuildOptions("onnxruntime"))) as pipeline:
        found = pipeline(image).class_id
    from transformers import SegformerImageProcessorPil

    own_processor = SegformerImageProcessorPil(**processor)
    fed = own_processor(Image.fromarray(image), return_tensors="pt")
    with torch.no_grad():
        output = network(**fed)
    (wanted,) = own_processor.post_process_semantic_segmentation(output, target_sizes=[image.shape[:2]])
    logits = torch.nn.functional.interpolate(output.logits, image.shape[:2], mode="bilinear", align_corners=False)
    best = logits[0].topk(2, dim=0).values
    sure = ((best[0] - best[1]) > 1e-3 * logits.abs().max()).numpy()
    assert sure.mean() > 0.9 and len(np.unique(wanted[sure])) > 1
    np.testing.assert_array_equal(found[sure], wanted.numpy()[sure])


@pytest.mark.slow
def test_a_hugging_face_folder_says_itself_what_it_is(tmp_path: Path) -> None:
    network = segformer()
    network.save_pretrained(tmp_path / "segformer")
    (tmp_path / "segformer" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), encoding="utf-8")
    artifact = export(str(tmp_path / "segformer"), tmp_path / "out")
    assert artifact.spec.labels == ("thing 0", "thing 1", "thing 2")
    preprocess = artifact.spec.preprocess
    assert preprocess.resize == Stretch((64, 96)) and preprocess.interpolation == "bilinear_pillow"
    assert preprocess.divisor == 255 and preprocess.std == (0.229, 0.224, 0.225)
    feed = parity.image_like((1, 3, 64, 96), 1)
    assert_same(artifact, feed, own(network, feed).logits)


@pytest.mark.slow
def test_a_spec_that_is_silent_of_labels_leaves_those_of_a_network_in_memory(tmp_path: Path) -> None:
    said = {"preprocess": {"resize": {"kind": "stretch", "size_hw": [64, 96]}}}
    spec = export(segformer(), tmp_path / "out", spec=said, example=SMALL).spec
    assert spec.labels == ("thing 0", "thing 1", "thing 2") and spec.preprocess.resize == Stretch((64, 96))


@pytest.mark.slow
def test_a_spec_file_beside_a_hugging_face_folder_overrules_what_it_says_alone(tmp_path: Path) -> None:
    segformer().save_pretrained(tmp_path / "net")
    (tmp_path / "net" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), encoding="utf-8")
    (tmp_path / "spec.toml").write_text("palette = [[0, 0, 1], [0, 0, 2], [0, 0, 3]]", encoding="utf-8")
    spec = export(str(tmp_path / "net"), tmp_path / "a", spec=tmp_path / "spec.toml").spec
    assert spec.labels == ("thing 0", "thing 1", "thing 2") and spec.palette[0] == (0, 0, 1)
    assert spec.preprocess.resize == Stretch((64, 96)) and spec.preprocess.std == (0.229, 0.224, 0.225)
    said = {"labels": ["a", "b", "c"], "preprocess": {"resize": {"kind": "native"}}}
    spec = export(str(tmp_path / "net"), tmp_path / "b", spec=said).spec
    assert spec.labels == ("a", "b", "c") and spec.preprocess.resize == Native()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("do_center_crop", True),
        ("do_pad", True),
        ("size", {"shortest_edge": 64, "longest_edge": 96}),
        ("keep_aspect_ratio", True),
        ("ensure_multiple_of", 32),
        ("crop_pct", 0.9),
        ("resample", 0),
        ("rescale_offset", True),
        ("do_thumbnail", True),
    ],
)
def test_what_cannot_be_expressed_is_named(key: str, value: object) -> None:
    from densecast.verbs.export import library_preprocess

    with pytest.raises(BadConfigError, match=key):
        library_preprocess.translate({**PROCESSOR, key: value})


@pytest.mark.parametrize("architecture", ["EomtForUniversalSegmentation", "DetrForSegmentation", "OneFormer"])
def test_networks_that_score_objects_are_refused_before_they_are_loaded(tmp_path: Path, architecture: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}), encoding="utf-8")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BadGraphError, match="proposed objects"):
        export(str(tmp_path), tmp_path / "out")


def test_outputs_of_a_network_that_scores_objects_are_refused(tmp_path: Path) -> None:
    class ByQuery(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, image: Any) -> Any:
            return {"class_queries_logits": image.mean((2, 3)), "masks_queries_logits": image}

    with pytest.raises(BadGraphError, match="class_queries_logits"):
        export(ByQuery(), tmp_path / "out", labels=3, example=SMALL)


@pytest.mark.slow
def test_a_timm_backbone_with_a_head_of_one_s_own(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model("mobilenetv3_small_050", pretrained=False, features_only=True)
            self.head = torch.nn.Conv2d(self.backbone.feature_info.channels()[-1], 2, 1)

        def forward(self, image: Any) -> Any:
            return self.head(self.backbone(image)[-1])

    network = Net()
    artifact = export(network, tmp_path / "out", labels=["a", "b"], preprocess="imagenet", example=SMALL)
    feed = parity.image_like((1, 3, 65, 99), 1)
    assert_same(artifact, feed, own(network, feed))


class OfMultiples(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Halves three times, doubles three times and adds: for multiples of 8 only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 1)

    def forward(self, image: Any) -> Any:
        deep = self.first(image)
        low = torch.nn.functional.max_pool2d(deep, 8)
        return self.last(deep + torch.nn.functional.interpolate(low, scale_factor=8.0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["module", "script"])
def test_a_network_for_multiples_is_found_out_and_pads(tmp_path: Path, kind: str) -> None:
    network: Any = OfMultiples().eval()
    source: Any = network
    if kind == "script":
        source = tmp_path / "net.pt"
        torch.jit.trace(network, torch.zeros(1, 3, 64, 64)).save(str(source))
    artifact = export(source, tmp_path / "out", labels=["a", "b"])
    height, width = artifact.spec.input.shape[2:]
    assert isinstance(height, Dim) and isinstance(width, Dim) and height.multiple == width.multiple == 8
    preprocess = artifact.spec.preprocess
    assert preprocess.pad_multiple == 8 and preprocess.place((75, 101)).model_hw == (80, 104)
    assert any("multiples of 8" in note for note in artifact.manifest.passes)
    feed = parity.image_like((1, 3, 80, 104), 1)
    assert_same(artifact, feed, own(network, feed))


@pytest.mark.parametrize("kind", ["dict", *(pytest.param(each, marks=pytest.mark.slow) for each in ("tuple", "list"))])
def test_scripts_may_return_several_tensors(tmp_path: Path, kind: str) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.main, self.other = torch.nn.Conv2d(3, 2, 1), torch.nn.Conv2d(3, 5, 1)

        def forward(self, image: Any) -> Any:
            main, other = self.main(image), self.other(image)
            return {"tuple": (other, main), "list": [other, main], "dict": {"aux": other, "out": main}}[kind]

    network = Net().eval()
    torch.jit.trace(network, torch.zeros(1, 3, 16, 16), strict=False).save(str(tmp_path / "net.pt"))
    artifact = export(tmp_path / "net.pt", tmp_path / "out", labels=["a", "b"])
    feed = parity.image_like((1, 3, 33, 41), 1)
    assert_same(artifact, feed, own(network.main, feed))


def test_a_network_that_fails_at_every_size_says_why_in_one_line(tmp_path: Path, capfd: Any) -> None:
    class Fails(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.reshape(7, 13, 17, 19, 23)

    torch.jit.script(Fails()).save(str(tmp_path / "net.pt"))
    with pytest.raises(BadGraphError, match=r"runs at no size.*--static") as caught:
        export(tmp_path / "net.pt", tmp_path / "out", labels=3)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("first", ["main", "auxiliary"])
def test_of_unnamed_maps_the_finest_is_the_main_one(tmp_path: Path, first: str) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.main, self.other = torch.nn.Conv2d(3, 2, 1), torch.nn.Conv2d(3, 2, 1, stride=2)

        def forward(self, image: Any) -> Any:
            maps = [self.main(image), self.other(image)]
            return maps if first == "main" else maps[::-1]

    network = Net().eval()
    artifact = export(network, tmp_path / "out", labels=["a", "b"])
    feed = parity.image_like((1, 3, 33, 41), 1)
    assert_same(artifact, feed, own(network.main, feed))


def test_a_module_of_another_number_of_channels_names_what_to_declare(tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"takes images of 1 channels.*channels = 1") as caught:
        export(torch.nn.Conv2d(1, 3, 3, padding=1).eval(), tmp_path / "out", labels=3)
    assert caught.value.field == "channels"


@pytest.mark.slow
def test_labels_are_those_that_are_said_before_those_of_a_modules_configuration(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 2, 1).eval()
    network.config = type("Config", (), {"id2label": {1: "sky", 0: "road"}})()
    assert export(network, tmp_path / "own").spec.labels == ("road", "sky")
    assert export(network, tmp_path / "said", labels=["a", "b"]).spec.labels == ("a", "b")
    with pytest.raises(BadConfigError, match=r"two labels, got 0.*--labels"):
        export(torch.nn.Conv2d(3, 2, 1).eval(), tmp_path / "none")
