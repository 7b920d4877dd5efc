"""Checkpoints of MMPose's bottom-up networks are exported by the configuration that they carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from densecast.errors import BadCheckpointError, BadConfigError  # noqa: E402
from densecast.io import python_config  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.preprocess import PoseAffine  # noqa: E402
from densecast.tasks.pose import PoseDecode  # noqa: E402
from densecast.tasks.pose.known_skeletons import CROWDPOSE  # noqa: E402
from densecast.verbs.export import export  # noqa: E402
from densecast.verbs.export.openmmlab import recipe as recipes  # noqa: E402

pytestmark = pytest.mark.torch

HEAD = """dict(type='AEHigherResolutionHead', in_channels=4, num_joints=3, tag_per_joint=True,
        extra=dict(final_conv_kernel=1), num_deconv_layers=1, num_deconv_filters=[4], num_deconv_kernels=[4],
        num_basic_blocks=1, cat_output=[True], with_ae_loss=[True, False],
        loss_keypoint=dict(type='MultiLossFactory'))"""
TEXT = """
channel_cfg = dict(dataset_joints=3, dataset_channel=[list(range(3))])
model = dict(
    type='AssociativeEmbedding', pretrained=None,
    backbone=dict(type='HRNet', in_channels=3, extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(4, 8)),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1,) * 3, num_channels=(4, 8, 16)),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1,) * 4, num_channels=(4, 8, 16, 32)))),
    keypoint_head=HEAD,
    train_cfg=dict(),
    test_cfg=dict(num_joints=channel_cfg['dataset_joints'], max_num_people=20, scale_factor=[1],
        with_heatmaps=[True, True], with_ae=[True, False], project2image=False, align_corners=True, nms_kernel=5,
        nms_padding=2, tag_per_joint=True, detection_threshold=0.2, tag_threshold=1, use_detection_val=True,
        ignore_too_much=False, adjust=True, refine=True, flip_test=True, use_udp=True))
data_cfg = dict(image_size=64, base_size=32, num_joints=3)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='BottomUpGetImgSize', test_scale_factor=[1], base_length=32, use_udp=True),
    dict(type='BottomUpResizeAlign', transforms=[
        dict(type='ToTensor'),
        dict(type='NormalizeTensor', mean=[0.5, 0.25, 0.125], std=[0.5, 0.25, 0.25])], base_length=32, use_udp=True),
    dict(type='Collect', keys=['img'], meta_keys=['image_file'])]
dataset_info = dict(dataset_name='hands', keypoint_info={
    0: dict(name='wrist', id=0, swap=''),
    1: dict(name='left_thumb', id=1, swap='right_thumb'),
    2: dict(name='right_thumb', id=2, swap='left_thumb')},
    skeleton_info={0: dict(link=('wrist', 'left_thumb'), id=0)}, sigmas=[0.05, 0.06, 0.06], joint_weights=[1.] * 3)
data = dict(test=dict(type='BottomUpCocoDataset', ann_file='a.json', img_prefix='images/', data_cfg=data_cfg,
    pipeline=test_pipeline, dataset_info=dataset_info))
""".replace("HEAD", HEAD)


def read(text: str = TEXT) -> Any:
    return recipes.read(python_config.parse(text, "a configuration"))


def saved(path: Path, text: str) -> Any:
    """A checkpoint as MMPose saves it, with seeded weights."""
    torch.manual_seed(0)
    network = openmmlab.build(openmmlab.Options.of(python_config.parse(text, "x")["model"])).eval()
    torch.save({"meta": {"config": text, "epoch": 1}, "state_dict": network.state_dict()}, path)
    return network


@pytest.mark.slow
def test_a_network_of_two_resolutions_is_exported_with_both_outputs(tmp_path: Path) -> None:
    import onnxruntime

    network = saved(tmp_path / "hands.pth", TEXT)
    made = export(tmp_path / "hands.pth", tmp_path / "out")
    spec = made.spec
    assert [tensor.name for tensor in spec.outputs] == ["maps", "maps_1"]
    assert [tensor.shape[1] for tensor in spec.outputs] == [6, 3]
    assert spec.task == "pose" and spec.labels == ("person",) and spec.needs_mirror and spec.evaluation is not None
    assert spec.preprocess.resize == PoseAffine(64, 32, unbiased=True)
    assert spec.preprocess.mean == (0.5, 0.25, 0.125) and spec.preprocess.divisor == 255.0
    decode = spec.decode
    assert isinstance(decode, PoseDecode) and decode.skeleton is not None
    assert decode.skeleton.joints == ("wrist", "left_thumb", "right_thumb") and decode.skeleton.mirrored == (0, 2, 1)
    assert decode.skeleton.sigmas == (0.05, 0.06, 0.06) and decode.skeleton.limbs == ((0, 1),)
    assert decode.unbiased and decode.align_corners and not decode.project_to_image and decode.max_people == 20
    session = onnxruntime.InferenceSession(made.file("model.onnx"), providers=["CPUExecutionProvider"])
    for size_hw in ((64, 96), (32, 64)):
        image = np.random.default_rng(1).normal(size=(2, 3, *size_hw)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(image))
        for name, got in zip(("maps", "maps_1"), session.run(["maps", "maps_1"], {"image": image}), strict=True):
            largest = float(expected[name].abs().max())
            np.testing.assert_allclose(got, expected[name].numpy(), rtol=0, atol=1e-4 * largest)
    assert "3 joints of hands" in " ".join(made.manifest.passes)


def test_heads_and_backbones_of_other_kinds_have_the_shapes_that_they_promise() -> None:
    simple = {"type": "AESimpleHead", "num_joints": 14, "with_ae_loss": [True], "num_deconv_filters": [8, 8, 8]}
    resnet = {"type": "ResNet", "depth": 18, "base_channels": 4, "stem_channels": 4}
    cases = [
        (resnet, simple | {"in_channels": 32}, (28, 16, 16)),
        (resnet, simple | {"in_channels": 32, "tag_per_joint": False, "with_ae_loss": [True]}, (15, 16, 16)),
        (resnet, simple | {"in_channels": 32, "with_ae_loss": [False], "num_deconv_kernels": [2, 3, 4]}, (14, 16, 16)),
        (
            {"type": "MobileNetV2", "out_indices": (7,)},
            simple | {"in_channels": 1280, "extra": {"final_conv_kernel": 3}},
            (28, 16, 16),
        ),
        (
            {"type": "HourglassAENet", "num_stacks": 2, "out_channels": 28, "downsample_times": 2,
             "stage_channels": [8, 8, 8], "feat_channels": 8},
            {"type": "AEMultiStageHead", "in_channels": 28, "out_channels": 28, "num_stages": 2,
             "num_deconv_layers": 0, "extra": {"final_conv_kernel": 0}},
            (28, 16, 16),
        ),
    ]  # fmt: skip
    for backbone, head, shape in cases:
        table = {"type": "BottomUp", "backbone": backbone, "keypoint_head": head, openmmlab.SELECTED: [0]}
        network = openmmlab.build(openmmlab.Options.of(table)).eval()
        with torch.no_grad():
            assert tuple(network(torch.zeros(1, 3, 64, 64)).shape) == (1, *shape), head


def test_joints_of_a_known_data_set_need_no_description() -> None:
    text = TEXT.replace("num_joints=3", "num_joints=14").replace("dataset_joints=3", "dataset_joints=14")
    text = text.replace("BottomUpCocoDataset", "BottomUpCrowdPoseDataset").replace(", dataset_info=dataset_info", "")
    assert read(text).decode.skeleton == CROWDPOSE


def test_nothing_else_is_decoded_than_what_is_selected() -> None:
    text = TEXT.replace("with_ae=[True, False]", "with_ae=[True, True], select_output_index=[1]")
    recipe = read(text.replace("with_ae_loss=[True, False]", "with_ae_loss=[True, True]"))
    assert recipe.network[openmmlab.SELECTED] == (1,) and recipe.decode.tags_output == 0
    table = {**recipe.network}
    result = openmmlab.build(openmmlab.Options.of(table)).eval()(torch.zeros(1, 3, 64, 64))
    assert tuple(result.shape) == (1, 6, 32, 32)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("with_ae=[True, False]", "with_ae=[True, True]", "exactly one output"),
        ("with_heatmaps=[True, True]", "with_heatmaps=[True, False]", "True for each output"),
        ("nms_padding=2", "nms_padding=1", "half of nms_kernel"),
        ("use_udp=True))", "use_udp=False))", "use_udp is False in test_cfg and True in the test pipeline"),
        ("0.25])], base_length=32", "0.25])], base_length=64", "base_length"),
        (", dataset_info=dataset_info", "", "has 17 joints"),
        ("type='BottomUpCocoDataset'", "type='Mine'", None),
        ("swap='left_thumb'", "swap='left_toe'", "left_toe"),
        ("cat_output=[True]", "cat_output=[True], sharpen=2", "sharpen"),
        ("type='HRNet'", "type='SCNet'", "SCNet"),
        ("dict(type='Collect'", "dict(type='PhotometricDistortion'), dict(type='Collect'", "PhotometricDistortion"),
        ("image_size=64", "image_size=[64, 96]", "image_size"),
        ("flip_test=True", "flip_test=True, score_per_joint=True", "score_per_joint"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(before: str, after: str, reason: str | None) -> None:
    assert before in TEXT
    text = TEXT.replace(before, after)
    if reason is None:
        assert read(text).dataset.type == "Mine"
        return
    with pytest.raises(BadConfigError, match=reason):
        openmmlab.build(openmmlab.Options.of(read(text).network))


def test_a_file_whose_joints_nobody_tells_apart_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    text = TEXT.replace(", dataset_info=dataset_info", "").replace("type='BottomUpCocoDataset'", "type='Mine'")
    saved(tmp_path / "hands.pth", text)
    with pytest.raises(BadCheckpointError, match="which of 3 joints are left and right"):
        export(tmp_path / "hands.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with_sides = TEXT.replace("flip_test=True", "flip_test=False").replace(", dataset_info=dataset_info", "")
    recipe = read(with_sides.replace("type='BottomUpCocoDataset'", "type='Mine'"))
    assert recipe.decode.skeleton.joints == ("joint_0", "joint_1", "joint_2") and not recipe.decode.flip


@pytest.mark.slow
def test_people_of_a_built_model_are_those_of_the_network_and_the_plain_definition(tmp_path: Path) -> None:
    import cv2
    import plain_pose

    from densecast.pipeline import Pipeline
    from densecast.spec.options import BuildOptions, InputShape
    from densecast.verbs.builder import build

    network = saved(tmp_path / "hands.pth", TEXT.replace("detection_threshold=0.2", "detection_threshold=0.0"))
    exported = export(tmp_path / "hands.pth", tmp_path / "float")
    built = build(exported, tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape((2,), 64, 96)))
    image = np.random.default_rng(5).integers(0, 256, (50, 75, 3), np.uint8)
    with Pipeline.open(built) as pipeline:
        found = pipeline(image)
        assert pipeline.spec.decode == exported.spec.decode
    # The image, first to first and last to last pixel, normalised; then its mirror image.
    matrix = np.array([[95 / (95 / 63 * 49), 0, 0], [0, 63 / 49, 0]])
    warped = cv2.warpAffine(image, matrix.astype(np.float32), (96, 64), flags=cv2.INTER_LINEAR)
    plain = (warped / 255.0 - [0.5, 0.25, 0.125]) / [0.5, 0.25, 0.25]
    both = np.stack([plain.transpose(2, 0, 1), plain[:, ::-1].transpose(2, 0, 1)]).astype(np.float32)
    with torch.no_grad():
        outputs = [each.numpy() for each in network(torch.from_numpy(both)).values()]
    decode = exported.spec.decode
    assert isinstance(decode, PoseDecode)
    people, _ = plain_pose.decode([outputs], (64, 96), decode)
    assert len(found) == len(people) > 0 and found.xy_px.shape[1:] == (3, 2)
    scale = np.array([95 / 63 * 49 / 47, 49 / 31])
    close = np.abs(found.xy_px - people[..., :2] * scale).max(axis=-1) < 0.05
    # OpenCV 5 warps a few pixels otherwise, and a Newton step on flat ground leads far.
    assert close.mean() > 0.7
    np.testing.assert_allclose(np.sort(found.score.ravel()), np.sort(people[..., 2].ravel()), atol=5e-3)
