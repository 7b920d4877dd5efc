"""milesial's UNet on Carvana, at half the image size: car against background."""

from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.preprocess import Preprocess, ScaleBy
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.segmentation import SegmentationDecode
from densecast.zoo._base import CheckpointSource, PublishedScore, ZooEntry

_RELEASES = "https://github.com/milesial/Pytorch-UNet/releases/download"
_README = "magicmind_cloud, unet_pytorch README (MLU370, 640×959, 508 validation images)"

ENTRY = ZooEntry(
    spec=ModelSpec(
        name="unet_carvana",
        task="segmentation",
        inputs=(TensorSpec("image", "float32", (Dim("N", 1, 64), 3, Dim("H", 32, 4096), Dim("W", 32, 4096))),),
        outputs=(TensorSpec("logits", "float32", (Dim("N", 1, 64), 2, Dim("H", 32, 4096), Dim("W", 32, 4096))),),
        preprocess=Preprocess(ScaleBy(0.5), interpolation="bicubic_pillow"),
        decode=SegmentationDecode(),
        labels=("background", "car"),
        palette=((0, 0, 0), (255, 90, 40)),
        evaluation=Evaluation(dataset="carvana", metric="dice", frame="network"),
    ),
    network="unet",
    options={"in_channels": 3, "classes": 2, "base_width": 64, "bilinear": False, "conv_bias": False},
    # The publisher prints no hash for this file.
    checkpoint=CheckpointSource(
        file="unet_carvana_scale0.5_epoch2.pth",
        urls=(f"{_RELEASES}/v3.0/unet_carvana_scale0.5_epoch2.pth",),
    ),
    summary="UNet (base 64, transposed convolutions) on Carvana, scale 0.5",
    licence="GPL-3.0 (weights and original code of milesial/Pytorch-UNet)",
    published=(
        PublishedScore("force_float32", "dice_per_image", 0.9914, 508, _README),
        PublishedScore("force_float16", "dice_per_image", 0.9914, 508, _README),
        PublishedScore("qint8_mixed_float16", "dice_per_image", 0.9906, 508, _README),
    ),
    example_size_hw=(640, 959),
)
