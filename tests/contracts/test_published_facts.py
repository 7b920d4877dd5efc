"""The zoo's facts are those of the publishers: scores, constants, sizes and files, written down here a second time.

Sources: the READMEs of magicmind_cloud and of ModelZoo-PyTorch FCN-8s (scores, the md5), MMSegmentation 0.30
and MMPose 0.29 (constants, sizes, file names), milesial's UNet (sizes), TensorFlow's DeepLab (sizes, 2 x / 255 - 1).
"""

from __future__ import annotations

import json
from importlib import resources

import pytest

from densecast.spec.precision import PRECISIONS
from densecast.spec.preprocess import FitCentre, FitInto, KeepRatio, PoseAffine, Preprocess, ScaleBy, Stretch
from densecast.spec.verb_options import ORIGINAL
from densecast.tasks.pose import PoseDecode
from densecast.tasks.segmentation import SegmentationDecode
from densecast.zoo._base import ZOO

IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
# Published over values of 0 to 1; times 255, the standard deviations are nearly those above.
IMAGENET_OF_ONE = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MIDDLE = {"mean": (127.5,) * 3, "std": (127.5,) * 3}

# Percent, in float32, float16 and int8, and the number of images.
PERCENT = {
    "ocrnet_hr18": ((79.45, 79.44, 78.93), 500),
    "deeplabv3_r101_d16_mg124": ((78.36, 78.36, 77.73), 500),
    "unet_s5_d16": ((69.1, 69.1, 68.82), 500),
    "deeplabv3_mnv2_voc": ((76.65, 76.64, 76.30), 1000),
    "hrnet_w32_ae": ((65.42, 65.37, 62.49), 5000),
    "res50_ae": ((46.78, 46.60, 45.61), 5000),
    "mobilenetv2_ae": ((38.13, 37.98, 37.83), 5000),
    "unet_carvana": ((99.14, 99.14, 99.06), 508),
}
OF_FCN = {"force_float32": (67.085, (ORIGINAL,)), "force_float16": (69.01, ("ascend", "ascend_blended"))}

STREET = KeepRatio(2048, 1024)
RESIZES = {
    "deeplabv3_mnv2_voc": FitInto((513, 513), (127.5, 127.5, 127.5)),
    "deeplabv3_r101_d16_mg124": STREET,
    "ocrnet_hr18": STREET,
    "ocrnet_hr18s": STREET,
    "unet_s5_d16": STREET,
    "fcn_r50_d8_voc": KeepRatio(2048, 512),
    "hrnet_w32_ae": PoseAffine(512, 64),
    "res50_ae": PoseAffine(512, 64),
    "mobilenetv2_ae": PoseAffine(512, 64),
    "unet_carvana": ScaleBy(0.5),
}
# The file, the first digits of its sha256 and its md5, as far as they are published.
FILES = {
    "deeplabv3_mnv2_voc": ("deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz", None, None),
    "deeplabv3_r101_d16_mg124": (
        "deeplabv3_r101-d16-mg124_512x1024_80k_cityscapes_20200908_005644-57bb8425.pth", "57bb8425", None,
    ),
    "fcn_r50_d8_voc": (
        "fcn_r50-d8_512x512_20k_voc12aug_20200617_010715-52dc5306.pth", "52dc5306", "0b42f76eb2e3779a5f802acb5ded5eed",
    ),
    "hrnet_w32_ae": ("hrnet_w32_coco_512x512-bcb8c247_20200816.pth", "bcb8c247", None),
    "res50_ae": ("res50_coco_512x512-5521bead_20200816.pth", "5521bead", None),
    "mobilenetv2_ae": ("mobilenetv2_coco_512x512-4d96e309_20200816.pth", "4d96e309", None),
    "ocrnet_hr18": ("ocrnet_hr18_512x1024_160k_cityscapes_20200602_191001-b9172d0c.pth", "b9172d0c", None),
    "ocrnet_hr18s": ("ocrnet_hr18s_512x1024_80k_cityscapes_20200601_222735-55979e63.pth", "55979e63", None),
    "unet_carvana": ("unet_carvana_scale0.5_epoch2.pth", None, None),
    "unet_s5_d16": (
        "fcn_unet_s5-d16_4x4_512x1024_160k_cityscapes_20211210_145204-6860854e.pth", "6860854e", None,
    ),
}  # fmt: skip
# As `published.json` names these models.
TABLES = {
    "ocrnet_hr18": ("ocrnet", "mIoU"),
    "deeplabv3_r101_d16_mg124": ("deeplabv3", "mIoU"),
    "unet_s5_d16": ("unet", "mIoU"),
    "deeplabv3_mnv2_voc": ("deeplabv3_tf", "mIoU"),
    "hrnet_w32_ae": ("hrnet", "AP"),
    "res50_ae": ("resnet50", "AP"),
    "mobilenetv2_ae": ("mobilenetv2", "AP"),
    "unet_carvana": ("unet_carvana", "dice_per_image"),
}
# Percent beside the zoo's metric, in the order of the precisions.
BESIDE = {
    "ocrnet": {"aAcc": (96.4, 96.4, 96.27), "mAcc": (86.75, 86.74, 87.32)},
    "deeplabv3": {"aAcc": (96.07, 96.07, 95.99), "mAcc": (85.56, 85.56, 84.9)},
    "unet": {"aAcc": (94.91, 94.91, 94.81), "mAcc": (76.76, 76.76, 76.14)},
    "hrnet": {"AR": (70.99, 70.95, 68.65)},
    "resnet50": {"AR": (55.30, 55.30, 54.21)},
    "mobilenetv2": {"AR": (47.40, 47.29, 47.34)},
}
PUBLISHED = sorted(FILES)


def test_every_published_model_is_written_down_here() -> None:
    assert {name for name in ZOO.names() if not ZOO.load(name).checkpoint.shipped} == set(FILES) == set(RESIZES)


@pytest.mark.parametrize("name", sorted(PERCENT))
def test_scores_are_the_publishers(name: str) -> None:
    percent, count = PERCENT[name]
    found = ZOO.load(name).published
    assert [score.precision for score in found] == ["force_float32", "force_float16", "qint8_mixed_float16"]
    assert [round(100 * score.value, 4) for score in found] == list(percent)
    assert {score.count for score in found} == {count}


def test_scores_of_fcn_are_of_two_geometries() -> None:
    found = ZOO.load("fcn_r50_d8_voc").published
    assert {each.precision: (round(100 * each.value, 4), each.variants) for each in found} == OF_FCN
    assert {each.count for each in found} == {1449}


def test_scores_belong_to_variants_that_there_are() -> None:
    for name in ZOO.names():
        entry = ZOO.load(name)
        for score in entry.published:
            assert score.variants and set(score.variants) <= {ORIGINAL, *entry.variants}


@pytest.mark.parametrize("name", PUBLISHED)
def test_files_are_the_publishers(name: str) -> None:
    checkpoint = ZOO.load(name).checkpoint
    assert (checkpoint.file, checkpoint.sha256, checkpoint.md5) == FILES[name]
    assert checkpoint.urls and all(
        url.startswith("https://") and url.endswith(f"/{checkpoint.file}") for url in checkpoint.urls
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_images_are_prepared_as_the_publishers_did(name: str) -> None:
    entry = ZOO.load(name)
    if name == "unet_carvana":
        expected = Preprocess(ScaleBy(0.5), "bicubic_pillow", mean=(0.0,) * 3, std=(255.0,) * 3)
    elif entry.spec.task == "pose":
        expected = Preprocess(RESIZES[name], "bilinear_opencv", **IMAGENET_OF_ONE, use_exif=True, divisor=255.0)
    else:
        constants = MIDDLE if name == "deeplabv3_mnv2_voc" else IMAGENET
        expected = Preprocess(RESIZES[name], "bilinear_opencv", **constants, use_exif=True)
    assert entry.spec.preprocess == expected and expected.colour == "RGB"


@pytest.mark.parametrize("name", PUBLISHED)
def test_outputs_are_decoded_as_the_publishers_did(name: str) -> None:
    entry = ZOO.load(name)
    if entry.spec.task == "pose":
        assert entry.spec.decode == PoseDecode(
            flip=True, project_to_image=True, nms_kernel=5, max_people=30, detection_threshold=0.1, tag_threshold=1.0,
            use_detection_value=True, ignore_too_many=False, tag_per_joint=True, adjust=True, refine=True,
        )  # fmt: skip
        assert entry.variants["no_flip"].decode.flip is False  # type: ignore[union-attr]
        return
    to_image = "nearest_labels_pillow" if name == "deeplabv3_mnv2_voc" else "bilinear_logits"
    assert entry.spec.decode == SegmentationDecode(align_corners=name == "deeplabv3_mnv2_voc", to_image=to_image)  # type: ignore[arg-type]


def test_variants_are_the_deployments() -> None:
    nearest = SegmentationDecode(to_image="nearest_labels")
    for name in ("ocrnet_hr18", "ocrnet_hr18s", "deeplabv3_r101_d16_mg124", "unet_s5_d16"):
        variant = ZOO.load(name).variants["magicmind"]
        assert variant.preprocess.resize == Stretch((1024, 2048)) and variant.decode == nearest
    variants = ZOO.load("fcn_r50_d8_voc").variants
    assert {each.preprocess.resize for each in variants.values()} == {FitCentre((500, 500))}
    assert variants["ascend"].decode == nearest
    assert variants["ascend_blended"].decode == SegmentationDecode(to_image="blended_labels")
    assert all(
        (each.preprocess.mean, each.preprocess.std) == (IMAGENET["mean"], IMAGENET["std"]) for each in variants.values()
    )
    variants = ZOO.load("deeplabv3_mnv2_voc").variants
    assert variants["stretch"].preprocess.resize == Stretch((513, 513))
    assert variants["unpadded"].preprocess.resize == KeepRatio(513, 513)


def test_the_table_of_published_results_has_the_zoos_scores() -> None:
    rows = json.loads(resources.files("densecast").joinpath("published.json").read_text(encoding="utf-8"))
    values = {row["name"]: row["values"] for row in rows}
    for name, (table, metric) in TABLES.items():
        for score in ZOO.load(name).published:
            # Of DeepLabV3 in TensorFlow sixteen digits are published.
            assert values[f"{table}/{score.precision}"][metric] == pytest.approx(score.value, abs=5e-5)
    for table, columns in BESIDE.items():
        for metric, percent in columns.items():
            found = [round(100 * values[f"{table}/{precision}"][metric], 4) for precision in PRECISIONS]
            assert found == list(percent)
    fcn = {"fcn8s_bs1/ascend310": (69.01, 78.94, 93.04), "fcn8s/pytorch": (67.085, 76.958, 92.709)}
    for name, percent in fcn.items():
        assert [round(100 * values[name][metric], 4) for metric in ("mIoU", "mAcc", "aAcc")] == list(percent)


def test_what_is_kept_out_of_int8_is_what_was_measured_to_lose() -> None:
    deeplab = ZOO.load("deeplabv3_mnv2_voc").spec
    assert deeplab.half_type == "f16" and deeplab.excluded_names == (".*MobilenetV2/.*",)
    for name in ("ocrnet_hr18", "ocrnet_hr18s", "ocrnet_hr18s_tiny"):
        spec = ZOO.load(name).spec
        assert spec.excluded_types == ("MatMul",) and len(spec.excluded_names) == 2
