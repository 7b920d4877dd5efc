"""Checkpoints of MMSegmentation are exported by the configuration that they carry, exactly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file  # noqa: E402

from densecast.errors import BadCheckpointError, BadConfigError, DensecastError, MissingFileError  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.preprocess import KeepRatio  # noqa: E402
from densecast.spec.recipe import SlideInference  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import checkpoint, export  # noqa: E402
from densecast.verbs.export import openmmlab as exporting  # noqa: E402
from densecast.verbs.export.openmmlab import weights  # noqa: E402

pytestmark = pytest.mark.torch

MODEL = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(
        type='ResNetV1c', depth=18, num_stages=4, out_indices=(0, 1, 2, 3), dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1), norm_cfg=norm_cfg, norm_eval=False, style='pytorch', contract_dilation=True,
        base_channels=4, stem_channels=8),
    decode_head=dict(
        type='PSPHead', in_channels=32, in_index=3, channels=8, pool_scales=(1, 2, 3, 6), dropout_ratio=0.1,
        num_classes=3, norm_cfg=norm_cfg, align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(type='FCNHead', in_channels=16, channels=8, num_classes=3),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(64, 96), stride=(32, 48)))
"""
DATA = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(160, 96), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg),
        dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img'])])]
data = dict(
    samples_per_gpu=2,
    train=dict(type='ADE20KDataset', pipeline=[dict(type='LoadAnnotations', reduce_zero_label=True)]),
    test=dict(type='ADE20KDataset', data_root='data/ade', img_dir='images/val', ann_dir='annotations/val',
              pipeline=test_pipeline))
"""
# The same with another head, which is exported in half of the time.
PLAIN = MODEL.replace("type='PSPHead'", "type='FCNHead'").replace("pool_scales=(1, 2, 3, 6)", "num_convs=1")
LABELS, PALETTE = ("road", "car", "sky"), [[128, 64, 128], [0, 0, 142], [70, 130, 180]]


def saved(path: Path, text: str = PLAIN + DATA, *, meta: dict[str, Any] | None = None, **others: Any) -> Any:
    """A checkpoint as MMSegmentation 0.x saves it, with weights of our own network of the same configuration."""
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(text if "model = " in text else PLAIN, names)
    network = openmmlab.build(openmmlab.Options.of(without(names["model"]))).eval()
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    state["module.auxiliary_head.conv_seg.weight"] = torch.zeros(3, 8, 1, 1)
    said = {"config": text, "CLASSES": LABELS, "PALETTE": PALETTE, "epoch": 1} if meta is None else meta
    torch.save({"meta": said, "state_dict": state, **others}, path)
    return network


def without(model: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key != "auxiliary_head"}


def test_network_preprocessing_labels_and_colours_come_from_the_file(tmp_path: Path) -> None:
    import onnxruntime

    network = saved(tmp_path / "latest.pth", MODEL + DATA)
    made = export(tmp_path / "latest.pth", tmp_path / "out")
    spec = made.spec
    assert spec.name == "latest" and spec.labels == LABELS and [list(each) for each in spec.palette] == PALETTE
    assert spec.preprocess.resize == KeepRatio(160, 96) and spec.preprocess.colour == "RGB"
    assert spec.preprocess.mean == (123.675, 116.28, 103.53) and spec.preprocess.use_exif
    assert spec.decode.align_corners  # type: ignore[attr-defined]
    session = onnxruntime.InferenceSession(made.file("model.onnx"), providers=["CPUExecutionProvider"])
    for size_hw in ((97, 131), (48, 64)):
        image = np.random.default_rng(1).normal(size=(1, 3, *size_hw)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        (got,) = session.run(None, {"image": image})
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    notes = " ".join(made.manifest.passes)
    assert "auxiliary head" in notes and "windows of 64x96" in notes


def test_the_recipe_holds_windows_and_data_as_they_are_written(tmp_path: Path) -> None:
    saved(tmp_path / "latest.pth")
    recipe = exporting.recipe_of(checkpoint.open_checkpoint(tmp_path / "latest.pth"), "latest.pth")
    assert recipe.library == "mmseg" and recipe.generation == 0
    assert recipe.inference == SlideInference((64, 96), (32, 48))
    assert recipe.dataset is not None and recipe.dataset.type == "ADE20KDataset"
    assert recipe.dataset.keys == {"data_root": "data/ade", "img_dir": "images/val", "ann_dir": "annotations/val"}
    assert recipe.dataset.reduce_zero_label is True


def test_the_configurations_colours_are_those_of_its_own_classes(tmp_path: Path) -> None:
    text = (MODEL + DATA).replace("ann_dir='annotations/val'", f"ann_dir='a', classes={LABELS}, palette={PALETTE}")
    for classes, colours in ((LABELS, PALETTE), (("a", "b", "c"), None)):
        saved(tmp_path / "latest.pth", text, meta={"config": text, "CLASSES": classes, "PALETTE": None})
        recipe = exporting.recipe_of(checkpoint.open_checkpoint(tmp_path / "latest.pth"), "latest.pth")
        assert recipe.labels == classes
        assert (recipe.palette and [list(each) for each in recipe.palette]) == colours
    # Weights that say nothing of their classes have those of the configuration.
    saved(tmp_path / "latest.pth", text, meta={"config": text})
    recipe = exporting.recipe_of(checkpoint.open_checkpoint(tmp_path / "latest.pth"), "latest.pth")
    assert recipe.labels == LABELS and [list(each) for each in recipe.palette] == PALETTE


@pytest.mark.parametrize("palette", [PALETTE, np.array(PALETTE), np.array(PALETTE, np.uint8), np.array(PALETTE) + 200])
def test_colours_that_training_drew_itself_are_those_of_the_file(tmp_path: Path, palette: Any) -> None:
    saved(tmp_path / "latest.pth", meta={"config": PLAIN + DATA, "CLASSES": LABELS, "PALETTE": palette})
    found = checkpoint.open_checkpoint(tmp_path / "latest.pth")
    is_good = np.max(palette) < 256
    assert found.labels == LABELS and found.palette == (tuple(map(tuple, PALETTE)) if is_good else None)


LATER = """
default_scope = 'mmseg'
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[10., 20., 30.], std=[50., 60., 70.], bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
    size=(64, 64))
test_dataloader = dict(batch_size=1, dataset=dict(
    type='CityscapesDataset', data_root='d', data_prefix=dict(img_path='leftImg8bit/val'),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=(128, 64), keep_ratio=True),
              dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
"""


@pytest.mark.slow
def test_mmengine_checkpoints_say_the_same_in_their_own_words(tmp_path: Path) -> None:
    text = PLAIN + LATER
    meta = {"cfg": text, "dataset_meta": {"classes": LABELS, "palette": PALETTE}, "seed": 1}
    network = saved(tmp_path / "iter_1.pth", text, meta=meta)
    recipe = exporting.recipe_of(checkpoint.open_checkpoint(tmp_path / "iter_1.pth"), "iter_1.pth")
    assert recipe.generation == 1 and recipe.labels == LABELS
    assert recipe.preprocess.resize == KeepRatio(128, 64) and recipe.preprocess.mean == (10.0, 20.0, 30.0)
    assert recipe.dataset is not None and recipe.dataset.keys["data_prefix"] == {"img_path": "leftImg8bit/val"}
    made = export(tmp_path / "iter_1.pth", tmp_path / "plain")
    key = "decode_head.conv_seg.bias"
    assert torch.equal(load_file(made.file("weights.safetensors"))[key], network.state_dict()[key])


@pytest.mark.parametrize("meta", [{"cfg": PLAIN + LATER}, {"mmengine_version": "0.10.7"}, {}])
def test_mmengine_keeps_averaged_weights_where_others_keep_the_trained_ones(
    tmp_path: Path, meta: dict[str, Any]
) -> None:
    """As `EMAHook` saves: it exchanges the two, so that its own tools test the averaged weights."""
    key = "decode_head.conv_seg.bias"
    trained = saved(tmp_path / "iter_1.pth", PLAIN + LATER, meta=meta).state_dict()
    content = torch.load(tmp_path / "iter_1.pth")
    content["ema_state_dict"] = {"steps": torch.tensor(3)} | {f"module.{name}": each for name, each in trained.items()}
    content["state_dict"][f"module.{key}"] = trained[key] + 1
    torch.save(content, tmp_path / "iter_1.pth")
    for wanted, more, said in ((None, 1, "averaged"), ("ema", 1, "averaged"), ("ema_state_dict", 0, "as they were")):
        found = weights.open_weights(tmp_path / "iter_1.pth", wanted)
        state = openmmlab.NETWORK.clean(found.state)
        assert torch.equal(state[key], trained[key] + more), wanted
        assert said in " ".join(found.notes)


@pytest.mark.slow
def test_averaged_weights_beside_the_plain_ones_are_left_aside_or_taken(tmp_path: Path) -> None:
    network = saved(tmp_path / "latest.pth")
    key = "decode_head.conv_seg.bias"
    flat = {f"ema_{name.replace('.', '_')}": value.detach() + 1 for name, value in network.named_parameters()}
    content = torch.load(tmp_path / "latest.pth")
    content["state_dict"] = {**network.state_dict(), **flat, f"ema_{key.replace('.', '_')}": torch.full((3,), 5.0)}
    torch.save(content, tmp_path / "latest.pth")
    plain = weights.open_weights(tmp_path / "latest.pth", None)
    ema = weights.open_weights(tmp_path / "latest.pth", "ema")
    assert set(plain.state) == set(ema.state) == set(network.state_dict())
    assert torch.equal(plain.state[key], network.state_dict()[key]) and "--weights ema" in plain.notes[-1]
    assert ema.state[key].tolist() == [5.0] * 3
    made = export(tmp_path / "latest.pth", tmp_path / "out")
    assert torch.equal(load_file(made.file("weights.safetensors"))[key], network.state_dict()[key])


@pytest.mark.parametrize(
    ("runner", "priority", "more"),
    [
        ("EpochBasedRunner", "priority=49", 0.0),  # before MMCV saves: they have changed places
        ("EpochBasedRunner", "priority='ABOVE_NORMAL'", 0.0),
        ("EpochBasedRunner", "momentum=0.1", 1.0),
        ("IterBasedRunner", "priority=49", 1.0),
    ],
)
def test_which_weights_mmcv_averaged_follows_from_when_its_hook_goes(
    tmp_path: Path, runner: str, priority: str, more: float
) -> None:
    training = f"\nrunner = dict(type='{runner}')\ncustom_hooks = [dict(type='EMAHook', {priority})]\n"
    state = saved(tmp_path / "latest.pth", PLAIN + DATA + training).state_dict()
    content, key = torch.load(tmp_path / "latest.pth"), "decode_head.conv_seg.bias"
    content["state_dict"] = {**state, f"ema_{key.replace('.', '_')}": state[key] + 1}
    torch.save(content, tmp_path / "latest.pth")
    found = weights.open_weights(tmp_path / "latest.pth", "ema")
    assert torch.equal(found.state[key], state[key] + more) and "averaged weights" in found.notes[-1]
    by_file = tmp_path / "config.py"
    by_file.write_text(PLAIN + DATA + training, encoding="utf-8")
    torch.save({"state_dict": content["state_dict"]}, tmp_path / "bare.pth")
    assert torch.equal(weights.open_weights(tmp_path / "bare.pth", "ema", str(by_file)).state[key], state[key] + more)


def test_a_configuration_of_a_giant_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    text = (MODEL + DATA).replace("channels=8, pool", "channels=60000, pool")
    torch.save({"meta": {"config": text}, "state_dict": {"a": torch.zeros(1)}}, tmp_path / "latest.pth")
    with pytest.raises(BadCheckpointError, match="do not belong together"):
        export(tmp_path / "latest.pth", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("depth=18", "depth=18, dcn=dict(type='DCNv2')"), "dcn"),
        (("depth=18", "depth=18, plugins=[dict(cfg=dict(type='ContextBlock'))]"), "plugins"),
        (("depth=18", "depth=18, my_key=3"), "my_key"),
        (("depth=18", "depth=20"), "depth"),
        (("'ResNetV1c'", "'MyBackbone'"), "MyBackbone"),
        (("'PSPHead'", "'MyHead'"), "MyHead"),
        (("'SyncBN', ", "'SwitchNorm', "), "SwitchNorm"),
        (("align_corners=True", "align_corners=True, psp_dilation=2"), "psp_dilation"),
        (("align_corners=True", "align_corners='yes'"), "align_corners"),
        (("num_classes=3, norm", "num_classes=3, out_channels=2, norm"), "out_channels"),
        (("style='pytorch'", "style='tensorflow'"), "style"),
        (("in_index=3", "in_index=3, input_transform='sum'"), "input_transform"),
        (("    type='EncoderDecoder',", "    type='EncoderDecoder', neck=dict(type='MyNeck'),"), "MyNeck"),
        (("    type='EncoderDecoder',", "    type='EncoderDecoder', distiller=dict(),"), "distiller"),
        (("    type='EncoderDecoder',", "    type='MaskRCNN',"), "MaskRCNN"),
        (("mode='slide'", "mode='tiles'"), "tiles"),
        (("crop_size=(64, 96)", "crop_size='all'"), "crop_size"),
        (("dict(type='RandomFlip')", "dict(type='RandomFlip', prob=0.5)"), "RandomFlip"),
        (("dict(type='RandomFlip')", "dict(type='CLAHE')"), "CLAHE"),
        (("dict(type='RandomFlip')", "dict(type='Pad', size=(7, 9))"), "Pad"),
        (("dict(type='Resize', keep_ratio=True)", "dict(type='Resize', ratio_range=(0.5, 2.0))"), "ratio_range"),
        (("dict(type='Resize', keep_ratio=True)", "dict(type='Resize', keep_ratio=True, mine=1)"), "mine"),
        (("to_rgb=True", "to_rgb=True, gamma=2"), "gamma"),
        (("dict(type='LoadImageFromFile')", "dict(type='LoadImageFromFile', color_type='grayscale')"), "color_type"),
    ],
)
def test_what_is_not_understood_is_named_before_anything_is_built(
    tmp_path: Path, change: tuple[str, str], named: str
) -> None:
    text = MODEL + DATA
    assert change[0] in text
    text = text.replace(*change, 1)
    torch.save({"meta": {"config": text}, "state_dict": {"a": torch.zeros(1)}}, tmp_path / "latest.pth")
    with pytest.raises(BadCheckpointError, match=named):
        export(tmp_path / "latest.pth", tmp_path / "out")
    (tmp_path / "mine.py").write_text(text)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "bare.pth")
    with pytest.raises(BadConfigError, match=named):
        export(tmp_path / "bare.pth", tmp_path / "out", options=ExportOptions(config=str(tmp_path / "mine.py")))
    assert not (tmp_path / "out").exists()


def test_a_configuration_that_would_run_is_refused_and_does_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    text = f"import os\nmodel = os.system('touch {canary}')"
    torch.save({"meta": {"config": text}, "state_dict": {"a": torch.zeros(1)}}, tmp_path / "latest.pth")
    with pytest.raises(BadCheckpointError, match="line 1"):
        export(tmp_path / "latest.pth", tmp_path / "out")
    assert not canary.exists()


@pytest.mark.slow
def test_a_file_without_a_configuration_takes_one_beside_it(tmp_path: Path) -> None:
    saved(tmp_path / "published.pth", meta={"CLASSES": LABELS})
    with pytest.raises(DensecastError, match=r"--config"):
        export(tmp_path / "published.pth", tmp_path / "out")
    with pytest.raises(MissingFileError, match="absent"):
        export(tmp_path / "published.pth", tmp_path / "out", options=ExportOptions(config=str(tmp_path / "absent.py")))
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "model.py").write_text(PLAIN.replace("num_classes=3, norm", "num_classes=9, norm"))
    (tmp_path / "bases" / "data.py").write_text(DATA)
    own = tmp_path / "own.py"
    own.write_text("_base_ = ['bases/model.py', 'bases/data.py']\nmodel = dict(decode_head=dict(num_classes=3))")
    made = export(tmp_path / "published.pth", tmp_path / "out", options=ExportOptions(config=str(own)))
    assert made.spec.labels == LABELS
    own.write_text("_base_ = ['bases/model.py', 'bases/data.py']")
    with pytest.raises(BadCheckpointError, match="conv_seg"):
        export(tmp_path / "published.pth", tmp_path / "other", options=ExportOptions(config=str(own)))


@pytest.mark.slow
def test_one_plane_is_decoded_at_the_heads_own_threshold(tmp_path: Path) -> None:
    text = (PLAIN + DATA).replace("num_classes=3, norm", "num_classes=2, out_channels=1, threshold=0.6, norm")
    saved(tmp_path / "latest.pth", text, meta={"config": text, "CLASSES": ("ground", "road")})
    decode: Any = export(tmp_path / "latest.pth", tmp_path / "out").spec.decode
    assert (decode.form, decode.threshold) == ("binary_logits", 0.6)


@pytest.mark.slow
def test_what_is_stated_overrules_the_file(tmp_path: Path) -> None:
    saved(tmp_path / "latest.pth")
    made = export(tmp_path / "latest.pth", tmp_path / "out", labels=["a", "b", "c"], preprocess="0..1")
    assert made.spec.labels == ("a", "b", "c") and made.spec.preprocess.std == (255.0, 255.0, 255.0)
    with pytest.raises(BadConfigError, match="3 classes"):
        export(tmp_path / "latest.pth", tmp_path / "more", labels=["a", "b"])


@pytest.mark.slow
def test_the_folders_of_a_data_set_of_ones_own_stay_with_the_model(tmp_path: Path) -> None:
    from densecast.artifact import FloatArtifact
    from densecast.spec.data_layout import DataLayout, SplitFolders

    own = DATA.replace("test=dict(type='ADE20KDataset'", "test=dict(type='MyFields', seg_map_suffix='_cls.png'")
    saved(tmp_path / "latest.pth", PLAIN + own)
    export(tmp_path / "latest.pth", tmp_path / "out")
    evaluation = FloatArtifact.open(tmp_path / "out").spec.evaluation
    assert evaluation is not None and (evaluation.dataset, evaluation.metric) == ("CustomDataset", "iou")
    splits = (SplitFolders("val", "images/val", "annotations/val"),)
    assert evaluation.layout == DataLayout(splits, "_cls.png", reduce_zero_label=True)
