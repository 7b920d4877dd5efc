"""Configurations as people write them are read as the original reads them, or refused with the key and a cure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast
from test_openmmlab_checkpoints import DATA, LABELS, LATER, MODEL, PLAIN, saved

torch = pytest.importorskip("torch")

from densecast import BuildOptions, Pipeline, build  # noqa: E402
from densecast.artifact import FloatArtifact  # noqa: E402
from densecast.errors import BadConfigError, DensecastError  # noqa: E402
from densecast.io import config_files, python_config  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.preprocess import KeepRatio, Native, Preprocess  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.tasks.segmentation import SegmentationDecode  # noqa: E402
from densecast.verbs.export import export, sources  # noqa: E402
from densecast.verbs.export import openmmlab as exporting  # noqa: E402
from densecast.verbs.export.openmmlab import recipe, type_names  # noqa: E402

pytestmark = pytest.mark.torch
TEXT = MODEL + DATA
SECOND = MODEL + LATER


def built(text: str) -> tuple[recipe.Recipe, torch.nn.Module]:
    made = recipe.read(python_config.parse(text, "theirs"))
    return made, openmmlab.build(openmmlab.Options.of(made.network)).eval()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("type='EncoderDecoder'", "type='mmseg.models.segmentors.encoder_decoder.EncoderDecoder'"),
        ("type='EncoderDecoder'", "type='mmseg.EncoderDecoder', _scope_='mmseg'"),
        ("type='ResNetV1c'", "type='mmseg.models.backbones.resnet.ResNetV1c'"),
        ("type='PSPHead'", "type='mmseg.models.PSPHead', _delete_=True"),
        ("dict(type='SyncBN'", "dict(type='torch.nn.modules.batchnorm.SyncBatchNorm'"),
        ("dict(type='SyncBN'", "dict(type='torch.nn.BatchNorm2d'"),
        ("dict(type='LoadImageFromFile')", "dict(type='mmcv.transforms.loading.LoadImageFromFile')"),
        ("dict(type='Resize'", "dict(type='mmcv.transforms.processing.Resize'"),
        ("dict(type='PackSegInputs')", "dict(type='mmseg.datasets.transforms.formatting.PackSegInputs')"),
        ("type='SegDataPreProcessor'", "type='mmseg.models.data_preprocessor.SegDataPreProcessor'"),
        ("type='CityscapesDataset'", "type='mmseg.datasets.cityscapes.CityscapesDataset'"),
        ("data_root='d'", "data_root='{{ fileDirname }}/d'"),
        ("\n", "\r\n"),
        ("    ", "\t"),
        ("\nnorm_cfg", "\ufeffnorm_cfg"),
        ("type='PSPHead'", "dropout_ratio=-1, type='PSPHead'"),
        ("num_classes=3, norm_cfg=norm_cfg, align", "num_classes=len(('a', 'b', 'c')), norm_cfg=norm_cfg, align"),
        ("default_scope = 'mmseg'", "default_scope: str = 'mmseg'\nwork = [1]\nwork += [2]"),
        ("default_scope = 'mmseg'", "auto_scale_lr = dict(enable=False, base_batch_size=16)"),
        ("loss_decode=dict(type='CrossEntropyLoss', use", "loss_decode=[dict(type='DiceLoss')], sampler=dict(use"),
        ("auxiliary_head=dict(type='FCNHead', in_channels=16, channels=8, num_classes=3)", "auxiliary_head=[1, 2]"),
    ],
)  # fmt: skip
def test_the_same_configuration_in_other_words_makes_the_same(before: str, after: str) -> None:
    assert before in SECOND
    plain, network = built(SECOND)
    made, other = built(SECOND.replace(before, after))
    assert (made.preprocess, made.inference, made.labels) == (plain.preprocess, plain.inference, plain.labels)
    assert made.dataset is not None and plain.dataset is not None and made.dataset.type == plain.dataset.type
    assert sorted(other.state_dict()) == sorted(network.state_dict())


def test_names_of_other_packages_stay_apart() -> None:
    assert type_names.bare("mmpretrain.models.backbones.convnext.ConvNeXt") == "mmpretrain.ConvNeXt"
    assert type_names.bare("mmcls.ConvNeXt") == "mmcls.ConvNeXt"
    assert type_names.bare("mine.ResNet") == "mine.ResNet" and type_names.bare("ResNet") == "ResNet"


@pytest.mark.parametrize(
    "line",
    [
        "from mmengine.config import read_base",
        "import os.path as osp",
        "model.update(dict(pretrained=None))",
        "classes = [f'c{i}' for i in range(3)]",
        "work_dir = './{}'.format(1)",
    ],
)
def test_what_would_run_is_refused_with_the_flat_copy_as_its_cure(line: str) -> None:
    with pytest.raises(BadConfigError, match=r"line \d+: .*copy that training wrote .*--config"):
        python_config.parse(TEXT + line, "theirs")


def test_a_list_grows_under_all_of_its_names_and_holds_no_list_that_holds_it() -> None:
    assert python_config.parse("a = [1]\nb = a\nb += [2]", "theirs") == {"a": [1, 2], "b": [1, 2]}
    for text in ("a = [1]\na += [a]", "a = {}\na['x'] = a", "a = {}\na['x'] = {'y': [a]}"):
        with pytest.raises(BadConfigError, match="line 2: "):
            python_config.parse(text, "theirs")


def test_instance_normalisation_is_torchs() -> None:
    made, network = built(TEXT.replace("'SyncBN'", "'IN'"))
    norm = network.backbone.layer1[0].in1  # type: ignore[index, union-attr]
    assert isinstance(norm, torch.nn.InstanceNorm2d) and not norm.affine and made.network


@pytest.mark.parametrize(
    ("head", "threshold"),
    [
        ("num_classes=1", 0.3),
        ("num_classes=2, out_channels=1", 0.3),
        ("num_classes=1, threshold=0.6", 0.6),
        ("num_classes=2, out_channels=1, threshold=0.45", 0.45),
        ("num_classes=2", None),
    ],
)
def test_one_plane_has_the_originals_threshold(head: str, threshold: float | None) -> None:
    made, _ = built(TEXT.replace("num_classes=3, norm_cfg=norm_cfg, align", f"{head}, norm_cfg=norm_cfg, align"))
    assert isinstance(made.decode, SegmentationDecode)
    assert (made.decode.form == "binary_logits") == (threshold is not None)
    assert threshold is None or made.decode.threshold == threshold


@pytest.mark.slow
def test_one_plane_without_a_word_of_it_is_labelled_as_in_the_original(tmp_path: Path) -> None:
    text = PLAIN + DATA
    text = text.replace("num_classes=3, norm_cfg=norm_cfg, align", "num_classes=1, norm_cfg=norm_cfg, align")
    text = text.replace("mode='slide', crop_size=(64, 96), stride=(32, 48)", "mode='whole'").replace("160", "96")
    text = text.replace("(96, 96), flip", "(96, 64), flip")
    network = saved(tmp_path / "latest.pth", text, meta={"config": text})
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    mean, std = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
    given = torch.from_numpy(((image - mean) / std).transpose(2, 0, 1)[None])
    with torch.no_grad():
        middle = network(given).median() - network.decode_head.conv_seg.bias
        network.decode_head.conv_seg.bias.copy_(math.log(0.3 / 0.7) - middle)
        logits = torch.nn.functional.interpolate(network(given), (64, 96), mode="bilinear", align_corners=True)
    share = logits.sigmoid().numpy()[0, 0]
    expected, decided = share > 0.3, np.abs(share - 0.3) > 1e-4
    assert 0 < expected.mean() < 1
    torch.save({"state_dict": network.state_dict(), "meta": {"config": text}}, tmp_path / "latest.pth")
    made = export(tmp_path / "latest.pth", tmp_path / "float", options=ExportOptions(size_hw=(64, 96)))
    compiled = build(made, tmp_path / "built", BuildOptions("onnxruntime", "force_float32"))
    labels = Pipeline.open(compiled)(image).class_id
    assert np.array_equal(labels[decided], expected[decided])


@pytest.mark.slow
def test_a_pipeline_that_cannot_be_expressed_gives_way_to_a_stated_preprocessing(tmp_path: Path) -> None:
    text = (PLAIN + DATA).replace("dict(type='RandomFlip')", "dict(type='CLAHE')")
    saved(tmp_path / "latest.pth", text, meta={"config": text, "CLASSES": LABELS})
    with pytest.raises(DensecastError, match=r"CLAHE.*--resize, --mean and --std"):
        export(tmp_path / "latest.pth", tmp_path / "refused")
    stated = Preprocess(KeepRatio(160, 96), mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    made = export(tmp_path / "latest.pth", tmp_path / "out", preprocess=stated, options=ExportOptions(size_hw=(64, 96)))
    assert made.spec.preprocess == stated and made.spec.slide is not None


def test_what_is_stated_of_preprocessing_changes_that_part_alone(tmp_path: Path) -> None:
    saved(tmp_path / "latest.pth")
    own = sources.preprocess_of(sources.named(str(tmp_path / "latest.pth")), "")
    assert own.resize == KeepRatio(160, 96) and own.mean == (123.675, 116.28, 103.53)
    assert own == exporting.preprocess_of(tmp_path / "latest.pth")
    bare = TEXT.replace("(160, 96)", "(80, 48)")
    (tmp_path / "mine.py").write_text(bare)
    assert exporting.preprocess_of(tmp_path / "latest.pth", str(tmp_path / "mine.py")).resize == KeepRatio(80, 48)


@pytest.mark.slow
def test_the_command_line_keeps_the_configurations_normalisation(tmp_path: Path) -> None:
    saved(tmp_path / "latest.pth")
    order = ["export", tmp_path / "latest.pth", "--resize", "native", "--static", "1x64x96"]
    done = densecast(*order, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    spec = FloatArtifact.open(tmp_path / "out").spec
    assert spec.preprocess.resize == Native() and spec.preprocess.mean == (123.675, 116.28, 103.53)
    text = (PLAIN + DATA).replace("dict(type='RandomFlip')", "dict(type='CLAHE')")
    saved(tmp_path / "latest.pth", text, meta={"config": text, "CLASSES": LABELS})
    refused = densecast(*order, "--out", tmp_path / "other")
    assert refused.code == 2 and "CLAHE" in refused.err and "--resize with --normalise" in refused.err
    done = densecast(*order, "--normalise", "imagenet", "--out", tmp_path / "other")
    assert done.code == 0, done.err


def test_a_scale_factor_of_one_is_no_resize_and_another_is_refused() -> None:
    one = "dict(type='Resize', scale_factor=1.0, keep_ratio=True)"
    made, _ = built(SECOND.replace("dict(type='Resize', scale=(128, 64), keep_ratio=True)", one))
    assert made.preprocess.resize == Native()
    with pytest.raises(BadConfigError, match=r"scale_factor=0\.5.*--resize"):
        built(SECOND.replace("dict(type='Resize', scale=(128, 64), keep_ratio=True)", one.replace("1.0", "0.5")))


def test_a_file_of_another_encoding_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(("# 配置\n" + TEXT).encode("gbk"))
    with pytest.raises(BadConfigError, match=r"mine\.py.*UTF-8"):
        config_files.read(tmp_path / "mine.py")


RELATIVE = """
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='BEiT', img_size=(64, 96), patch_size=16, embed_dims=8, num_layers=1, num_heads=2),
    decode_head=dict(type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False, num_classes=3))
"""


def test_a_network_of_one_image_size_is_exported_at_it_and_at_no_other(tmp_path: Path) -> None:
    text = RELATIVE + DATA
    saved(tmp_path / "latest.pth", text, meta={"config": text})
    with pytest.raises(BadConfigError, match="64x96, the img_size of its configuration"):
        export(tmp_path / "latest.pth", tmp_path / "other", options=ExportOptions(size_hw=(96, 96)))
    text = text.replace(
        "decode_head=", "test_cfg=dict(mode='slide', crop_size=(64, 96), stride=(32, 48)), decode_head="
    )
    saved(tmp_path / "latest.pth", text, meta={"config": text})
    made = export(tmp_path / "latest.pth", tmp_path / "out")
    assert made.spec.input.shape[2:] == (64, 96) and made.spec.slide is not None
