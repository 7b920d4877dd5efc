"""Networks that classify masks answer for every pixel, with the labels of transformers' own post-processing."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
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
from densecast.spec.preprocess import ShortSide, Stretch  # noqa: E402
from densecast.spec.tensor import Dim  # noqa: E402
from densecast.verbs.export import export, library_preprocess, onnx_file, parity  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

CLASSES, MASKS = 4, 5
PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "ignore_index": 255,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "num_labels": CLASSES,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
}


def classifying(name: str) -> Any:
    """A network of few layers that returns masks and classes as transformers' network of this name does."""

    class OfMasks(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.config = SimpleNamespace(id2label={place: f"thing {place}" for place in range(CLASSES)})
            self.masks = torch.nn.Conv2d(3, MASKS, 4, 4)
            self.classes = torch.nn.Linear(3, MASKS * (CLASSES + 1))

        def forward(self, pixel_values: Any) -> Any:
            classes = self.classes(pixel_values.mean((2, 3))).unflatten(1, (MASKS, CLASSES + 1))
            return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=self.masks(pixel_values))

    OfMasks.__name__ = name
    torch.manual_seed(0)
    return OfMasks()


def answer(artifact: FloatArtifact, feed: Any) -> Any:
    run = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    return run({artifact.spec.input.name: feed})[artifact.spec.output.name]


@pytest.mark.parametrize("name", ["MaskFormerForInstanceSegmentation", "Mask2FormerForUniversalSegmentation"])
def test_scores_are_masks_weighed_by_their_classes_without_that_of_none(tmp_path: Path, name: str) -> None:
    network = classifying(name).eval()
    artifact = export(network, tmp_path / "out", preprocess="imagenet", example=(64, 96))
    feed = parity.image_like((1, 3, 64, 96), 1)
    with torch.inference_mode():
        own = network(torch.from_numpy(feed))
    masks, classes = own.masks_queries_logits.numpy().astype(np.float64), own.class_queries_logits.numpy()
    if name.startswith("Mask2"):
        # Each side is stretched to 384 pixels, whatever the image's aspect, by interpolation between centres.
        masks = between_centres(between_centres(masks, 2, 384), 3, 384)
    powers = np.exp(classes[0].astype(np.float64))
    of_class = (powers / powers.sum(axis=1, keepdims=True))[:, :CLASSES]
    in_mask = 1 / (1 + np.exp(-masks[0]))
    wanted = sum(of_class[mask][:, None, None] * in_mask[mask] for mask in range(MASKS))
    np.testing.assert_allclose(answer(artifact, feed)[0], wanted, atol=1e-5)
    assert artifact.spec.labels == ("thing 0", "thing 1", "thing 2", "thing 3")
    assert any("masks and their classes are combined" in note for note in artifact.manifest.passes)


def between_centres(values: Any, axis: int, length: int) -> Any:
    """Linear interpolation along an axis, pixels being areas whose values stand at their centres."""
    count = values.shape[axis]
    places = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    after = np.minimum(low + 1, count - 1)
    return values.take(low, axis) * (1 - share) + values.take(after, axis) * share


def test_a_map_of_one_size_for_all_images_is_stretched_over_each(tmp_path: Path) -> None:
    network = classifying("Mask2FormerForUniversalSegmentation").eval()
    artifact = export(network, tmp_path / "out", preprocess="imagenet", example=(512, 640))
    height, width = artifact.spec.input.shape[2:]
    assert isinstance(height, Dim) and isinstance(width, Dim)
    assert answer(artifact, parity.image_like((1, 3, 512, 640), 1)).shape == (1, CLASSES, 384, 384)


@pytest.mark.parametrize("name", ["OneFormerForUniversalSegmentation", "EomtForUniversalSegmentation"])
def test_others_are_refused_as_before(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadGraphError, match="proposed objects"):
        export(classifying(name), tmp_path / "out", preprocess="imagenet", example=(64, 96))


@pytest.mark.parametrize("kind", ["MaskFormer", "Mask2Former"])
@pytest.mark.parametrize(
    ("size", "divisor", "wanted"),
    [
        ({"shortest_edge": 80, "longest_edge": 150}, 32, ShortSide(80, 150, 32)),
        ({"shortest_edge": 80, "longest_edge": 150}, 0, ShortSide(80, 150)),
        ({"height": 65, "width": 96}, 32, Stretch((96, 96))),
        ({"height": 65, "width": 96}, 0, Stretch((65, 96))),
    ],
)
def test_sizes_of_processors(kind: str, size: dict[str, int], divisor: int, wanted: object) -> None:
    said = {**PROCESSOR, "image_processor_type": f"{kind}ImageProcessor", "size": size, "size_divisor": divisor}
    assert library_preprocess.translate(said).resize == wanted


@pytest.mark.parametrize(("key", "value"), [("size", {"shortest_edge": 80}), ("size", 384), ("pad_size", [600, 600])])
def test_what_a_processor_says_and_is_not_expressed_is_named(key: str, value: object) -> None:
    said = {**PROCESSOR, "image_processor_type": "MaskFormerImageProcessor", "size": {"height": 64, "width": 64}}
    with pytest.raises(BadConfigError, match=key):
        library_preprocess.translate({**said, key: value})


def small(name: str) -> Any:
    """A network of transformers with random weights that find several classes."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.SwinConfig(
        depths=[1, 1, 1, 1], embed_dim=8, num_heads=[1, 1, 2, 2], window_size=7, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    names = {place: f"thing {place}" for place in range(CLASSES)}
    torch.manual_seed(0)
    if name == "MaskFormer":
        decoder = transformers.DetrConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=8,
        )  # fmt: skip
        config = transformers.MaskFormerConfig(
            fpn_feature_size=32, mask_feature_size=32, backbone_config=backbone, decoder_config=decoder, id2label=names
        )
        network = transformers.MaskFormerForInstanceSegmentation(config)
    else:
        config = transformers.Mask2FormerConfig(
            backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
            encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=8,
            id2label=names,
        )  # fmt: skip
        network = transformers.Mask2FormerForUniversalSegmentation(config)
    torch.manual_seed(2)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if any(part in key for part in ("quer", "level_embed")):
                torch.nn.init.normal_(value, std=2)
            elif value.ndim > 1 and "class_predictor" in key:
                torch.nn.init.normal_(value, std=1.5)
            elif value.ndim > 1 and ("mask_embed" in key or "mask_projection" in key):
                torch.nn.init.normal_(value, std=0.5)
            elif value.ndim > 1 and "decoder" in key:
                torch.nn.init.normal_(value, std=0.3)
    return network.eval()


@pytest.mark.slow  # importing transformers takes seconds
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("MaskFormer", {"shortest_edge": 96, "longest_edge": 170}),
        ("MaskFormer", {"height": 96, "width": 128}),
        ("Mask2Former", {"height": 96, "width": 128}),
    ],
)
def test_labels_of_a_folder_are_those_of_transformers_own_post_processing(
    tmp_path: Path, name: str, size: dict[str, int]
) -> None:
    torchvision_on_cpu.prepare()
    network = small(name)
    folder = tmp_path / "network"
    network.save_pretrained(folder)
    said = {**PROCESSOR, "image_processor_type": f"{name}ImageProcessor", "size": size, "size_divisor": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    artifact = export(str(folder), tmp_path / "float")
    module = importlib.import_module(f"transformers.models.{name.lower()}.image_processing_pil_{name.lower()}")
    processor = getattr(module, f"{name}ImageProcessorPil")(**said)
    with Pipeline.open(build(artifact, tmp_path / "built", BuildOptions("onnxruntime"))) as pipeline:
        for image_hw in ((97, 131), (260, 120)):
            image = smooth(image_hw)
            fed = processor(Image.fromarray(image), return_tensors="pt")
            prepared, _ = prepare(image, artifact.spec.preprocess)
            np.testing.assert_allclose(prepared, fed["pixel_values"][0].numpy(), atol=1e-6)
            with torch.no_grad():
                output = network(**fed)
            (whole,) = processor.post_process_semantic_segmentation(
                output, target_sizes=[image_hw], return_segmentation_scores=True
            )
            best = whole["segmentation_scores"].topk(2, dim=0).values
            sure = ((best[0] - best[1]) > 1e-3 * best.abs().max()).numpy()
            wanted = whole["segmentation"].numpy()
            assert sure.mean() > 0.5 and len(np.unique(wanted[sure])) > 1
            np.testing.assert_array_equal(pipeline(image).class_id[sure], wanted[sure])


def smooth(image_hw: tuple[int, int]) -> Any:
    """A picture of a few soft spots."""
    spots = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(spots).resize((image_hw[1], image_hw[0]), Image.Resampling.BICUBIC))
