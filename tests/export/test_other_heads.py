"""Folders and tasks that do not go together: a head that was not trained, labels of what has none."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast import BuildOptions, Pipeline, build
from densecast.tasks.monocular_depth import MonocularDepthDecode

torch = pytest.importorskip("torch")

import command_line  # noqa: E402
import torchvision_on_cpu  # noqa: E402

from densecast.errors import BadConfigError, BadGraphError  # noqa: E402
from densecast.spec.preprocess import Native, Preprocess  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export, hf_folder, sources  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SMALL = ExportOptions(size_hw=(64, 64), batch=1)
SIZES = {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 16, "num_attention_heads": [1] * 4}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torchvision_on_cpu.prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def saved(kind: str, config: str, folder: Path) -> str:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    network: Any = getattr(transformers, kind)(getattr(transformers, config)(**SIZES))
    network.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_a_folder_without_the_head_is_refused_and_none_is_drawn_at_random(tmp_path: Path) -> None:
    folder = saved("SegformerForImageClassification", "SegformerConfig", tmp_path / "classifier")
    with pytest.raises(
        BadGraphError,
        match=r"SegformerForImageClassification, which is not trained for semantic.*random numbers.*tuned",
    ) as told:
        export(folder, tmp_path / "out", labels=2, preprocess="imagenet", options=SMALL)
    listed = re.search(r"in the folder \(([^)]*), …\)", str(told.value))
    assert listed is not None
    names = listed[1].split(", ")
    assert names == sorted(names) and len(names) == 3, "the same three whenever it is asked"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_of_depth_is_exported_for_its_task_without_its_table_of_labels(tmp_path: Path) -> None:
    folder = saved("GLPNForDepthEstimation", "GLPNConfig", tmp_path / "glpn")
    artifact = export(folder, tmp_path / "out", task="monocular_depth", preprocess="imagenet", options=SMALL)
    assert artifact.spec.task == "monocular_depth" and artifact.spec.labels == ()
    again = export(folder, tmp_path / "unsaid", preprocess="imagenet", options=SMALL)
    assert again.spec.task == "monocular_depth", "its class says so"
    with pytest.raises(BadGraphError, match=r"GLPNForDepthEstimation, a network for depth.*monocular_depth"):
        export(folder, tmp_path / "other", labels=["far", "near"], preprocess="imagenet", options=SMALL)


@pytest.mark.slow
def test_depth_of_a_hugging_face_network_is_that_of_its_own_postprocessing(tmp_path: Path) -> None:
    folder = saved("GLPNForDepthEstimation", "GLPNConfig", tmp_path / "glpn")
    said = {"image_processor_type": "GLPNImageProcessor", "size_divisor": 32, "do_resize": True, "resample": 2}
    (tmp_path / "glpn" / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    artifact = export(folder, tmp_path / "out")
    image = np.random.default_rng(0).integers(0, 256, (75, 103, 3), np.uint8)
    with Pipeline.open(build(artifact, tmp_path / "built", BuildOptions("onnxruntime"))) as pipeline:
        found = pipeline(image).values
    import transformers

    network = transformers.AutoModelForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.GLPNImageProcessorPil(size_divisor=32)
    with torch.no_grad():
        output = network(**processor(Image.fromarray(image), return_tensors="pt"))
    (wanted,) = processor.post_process_depth_estimation(output, target_sizes=[image.shape[:2]])
    wanted = wanted["predicted_depth"].numpy()
    assert found.shape == wanted.shape == image.shape[:2]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(np.abs(wanted).max()))


def folder_of(architecture: str, folder: Path, **config: object) -> str:
    """The files of a folder that tell what it is, without weights."""
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture], **config}), encoding="utf-8")
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.mark.parametrize("architecture", ["VitPoseForPoseEstimation", "SuperPointForKeypointDetection"])
def test_a_folder_for_another_task_is_refused_with_what_is_taken(architecture: str, tmp_path: Path) -> None:
    folder = folder_of(architecture, tmp_path)
    line = command_line.failed(3, "export", folder, "--out", tmp_path / "out")
    assert architecture in line and "semantic segmentation and depth estimation" in line and "--module" in line


def test_a_folder_of_depth_needs_no_labels_and_no_spec(tmp_path: Path) -> None:
    source = sources.named(folder_of("GLPNForDepthEstimation", tmp_path))
    assert source.kind == "huggingface" and not source.needs_labels


def test_a_crop_is_refused_until_it_is_said_how_whole_images_are_resized(tmp_path: Path) -> None:
    """Colours and interpolation are still the processor's: MobileViT's files show blue first and normalise nothing."""
    folder = folder_of("MobileViTForSemanticSegmentation", tmp_path, id2label={"0": "a", "1": "b"})
    processor = {
        "image_processor_type": "MobileViTImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 72},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 64, "width": 48},
        "do_flip_channel_order": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    line = command_line.failed(2, "export", folder, "--out", tmp_path / "out")
    assert "do_center_crop" in line and "--resize stretch:64x48" in line
    rule = sources.preprocess_of(sources.named(folder), "original", is_resized=True)
    assert rule == Preprocess(Native(), "bicubic_pillow", "BGR", (0.0,), (1.0,), divisor=255.0)


@pytest.mark.slow
def test_a_network_of_depth_in_memory_is_no_segmentation_of_its_default_labels(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    network = transformers.GLPNForDepthEstimation(transformers.GLPNConfig(**SIZES))
    with pytest.raises(BadGraphError, match=r"GLPNForDepthEstimation, a network for depth.*monocular_depth"):
        export(network, tmp_path / "out", labels=["far", "near"], preprocess="imagenet", options=SMALL)


def test_labels_of_depth_are_refused(tmp_path: Path) -> None:
    net = torch.nn.Conv2d(3, 1, 1)
    with pytest.raises(BadConfigError, match=r"depth is a number.*no labels \(near, far\)"):
        export(net, tmp_path / "out", labels=["near", "far"], task="monocular_depth", options=SMALL)


def test_the_form_of_depth_is_that_of_the_networks_configuration_or_is_asked_for(tmp_path: Path) -> None:
    """By class and configuration alone: the networks themselves are twins without transformers."""

    def twin(name: str, **said: str) -> Any:
        return type(name, (torch.nn.Conv2d,), {"config": type("Config", (), said)()})(3, 1, 1)

    def form(net: Any, **given: Any) -> str:
        artifact = export(net, tmp_path / "out", task="monocular_depth", options=SMALL, **given)
        assert isinstance(artifact.spec.decode, MonocularDepthDecode)
        return artifact.spec.decode.form

    known = twin("DepthAnythingForDepthEstimation", depth_estimation_type="relative")
    either = twin("DPTForDepthEstimation")
    assert form(known) == "inverse"
    known.config.depth_estimation_type = "metric"
    assert form(known) == "metres"
    with pytest.raises(BadConfigError, match=r"DPTForDepthEstimation gives relative inverse depth.*or metres.*form"):
        form(either)
    for said in ("inverse", "metres"):
        assert form(either, spec={"task": "monocular_depth", "decode": {"form": said}}) == said


@pytest.mark.parametrize("name", ["MaskRCNN", "KeypointRCNN", "RetinaNet", "FCOS"])
def test_torchvisions_detectors_are_refused_before_they_are_run(name: str, tmp_path: Path) -> None:
    net = type(name, (torch.nn.Conv2d,), {})(3, 2, 1)
    with pytest.raises(BadGraphError, match=f"{name} scores proposed objects"):
        export(net, tmp_path / "out", labels=2, options=SMALL)


@pytest.mark.parametrize(("said", "told"), [({"do_reduce_labels": True}, 1), ({"do_reduce_labels": False}, 0), ({}, 0)])
def test_masks_that_a_processor_reads_from_one_on_are_told_of(said: dict[str, bool], told: int, tmp_path: Path) -> None:
    folder = Path(folder_of("SegformerForSemanticSegmentation", tmp_path))
    (folder / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    remarks = hf_folder.remarks_of(folder)
    assert len(remarks) == told and all("--reduce-zero-label" in each for each in remarks)
