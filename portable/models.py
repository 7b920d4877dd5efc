"""The models that are tried on other CPUs: shipped networks in every precision, on both engines, built here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from densecast import (
    BuildOptions,
    ExportOptions,
    InputShape,
    KeepRatio,
    PoseAffine,
    QuantizeOptions,
    artifact,
    build,
    export,
    export_zoo,
    read_image,
)
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.scenes import SCENES
from densecast.spec.cpu import Cpu
from densecast.spec.precision import Precision, short
from densecast.spec.resize import Resize

# Calibration images, and after them those that are compared.
CALIBRATED = 12
COMPARED = 2
ENGINES = ("openvino", "onnxruntime")
_SEED = 2000


@dataclass(frozen=True, slots=True)
class Subject:
    """A network with the size of its input here: small, as an emulator takes 200 times as long.

    Shipped, with images of a `scene`; or from `weights`, with `photos`, both below `$DENSECAST_TEST_DATA`.
    """

    network: str
    size_hw: tuple[int, int]
    scene: str = ""
    image_hw: tuple[int, int] | None = None
    resize: Resize | None = None
    weights: str = ""
    photos: str = ""

    @property
    def is_there(self) -> bool:
        """Whether its weights are on this machine."""
        return not self.weights or (_real() / self.weights).exists()


def _real() -> Path:
    return Path(os.environ.get("DENSECAST_TEST_DATA") or "/nonexistent")


_STREET = KeepRatio(long_side=128, short_side=64)
SUBJECTS = (
    Subject("unet_tiny", (48, 72), "carvana", (96, 144)),
    Subject("fcn_tiny", (64, 128), "cityscapes", (256, 512), _STREET),
    Subject("ocrnet_hr18s_tiny", (64, 128), "cityscapes", (256, 512), _STREET),
    Subject("hrnet_w32_ae_tiny", (64, 128), "coco", None, PoseAffine(short_side=64)),
    Subject(
        "deeplabv3_mnv2_voc",
        (102, 136),
        resize=KeepRatio(136, 136),
        weights="weights/deeplabv3_mnv2_pascal/frozen_inference_graph.pb",
        photos="VOCdevkit/VOC2012/JPEGImages",
    ),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One build of a network."""

    engine: str
    precision: Precision
    cpu: Cpu

    def __str__(self) -> str:
        """`openvino int8 any`."""
        return f"{self.engine} {short(self.precision)} {self.cpu}"


def variants() -> Iterator[Variant]:
    """All builds of a network."""
    for engine in ENGINES:
        yield Variant(engine, "force_float32", "any")
        yield Variant(engine, "force_float16", "any")
        yield Variant(engine, "qint8_mixed_float16", "native")
        yield Variant(engine, "qint8_mixed_float16", "any")


def pictures(subject: Subject, root: Path, source: FloatArtifact) -> list[Path]:
    """Images of the subject's scene that lead to its size, first those to calibrate on; drawn where there are none."""
    drawn = _real() / subject.photos if subject.photos else root / "scenes" / subject.scene
    if not drawn.is_dir():
        write = SCENES.load(f"write_{subject.scene}")
        write(drawn, 30, seed=_SEED, workers=1, **({"size_hw": subject.image_hw} if subject.image_hw else {}))
    found = sorted([*drawn.rglob("*.jpg"), *drawn.rglob("*_leftImg8bit.png")])
    rule = source.spec.preprocess
    return [path for path in found if rule.place(read_image(path).shape[:2]).model_hw == subject.size_hw]


def save_images(subject: Subject, root: Path, source: FloatArtifact) -> None:
    """The images that are compared, decoded here: `ROOT/<network>/images.npz`."""
    found = pictures(subject, root, source)
    # Of few photographs there are no others with something in them than those that were calibrated on.
    chosen = (found if subject.photos else found[_calibrated(found) :])[:COMPARED]
    np.savez(root / subject.network / "images.npz", *[read_image(path) for path in chosen])


def _calibrated(found: list[Path]) -> int:
    """How many of the images are calibrated on: where there are few, all but those that are compared."""
    return min(CALIBRATED, len(found) - COMPARED)


def float_artifact(subject: Subject, root: Path) -> FloatArtifact:
    """The exported network, with images brought to the small size instead of its own."""
    target = root / subject.network / "float"
    if target.is_dir():
        return FloatArtifact.open(target)
    own = root / subject.network / "exported"
    if subject.weights:
        exported = export(
            subject.network, own, checkpoint=_real() / subject.weights, options=ExportOptions(variant="unpadded")
        )
    else:
        exported = export_zoo(subject.network, own)
    rule = exported.spec.preprocess
    if subject.resize is not None:
        rule = replace(rule, resize=subject.resize)
    with artifact.writing(target) as draft:
        for name in exported.manifest.files:
            (draft.folder / name).write_bytes(exported.file(name).read_bytes())
        draft.finish(replace(exported.manifest, spec=replace(exported.spec, preprocess=rule)))
    return FloatArtifact.open(target)


def built(subject: Subject, variant: Variant, root: Path, source: FloatArtifact) -> CompiledArtifact:
    """One build, made if it is not there."""
    height, width = subject.size_hw
    quantize = QuantizeOptions(images=CALIBRATED, calibration_method="mean_minmax", bias_correction="none")
    options = BuildOptions(
        variant.engine,
        variant.precision,
        InputShape(height=height, width=width),
        quantize,
        cpu=variant.cpu,
    )
    calibration = root / "calibration" / subject.network
    if not calibration.is_dir():
        calibration.mkdir(parents=True)
        found = pictures(subject, root, source)
        for path in found[: _calibrated(found)]:
            (calibration / path.name).write_bytes(path.read_bytes())
    out = root / subject.network / str(variant).replace(" ", "_")
    return build(source, out, options, data=calibration if short(variant.precision) == "int8" else None)
