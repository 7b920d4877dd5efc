"""Shipped networks, dressed for data sets they were not trained on: the numbers are meaningless and not trivial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densecast.artifact import Artifact
from densecast.spec.model import Evaluation
from densecast.spec.preprocess import FitCentre
from densecast.tasks.segmentation import SegmentationDecode
from densecast.tasks.segmentation.palettes import VOC2012
from densecast.verbs.export import export_file, export_zoo
from densecast.zoo._base import ZOO


def shipped_for_voc(folder: Path, size_hw: tuple[int, int]) -> Artifact:
    """`fcn_tiny` in the geometry of Ascend's FCN-8s, its 19 classes named as the first ones of VOC."""
    source = export_zoo("fcn_tiny", folder / "shipped")
    spec = source.spec
    entry = ZOO.load("fcn_r50_d8_voc")
    names = tuple(VOC2012)[: len(spec.labels)]
    spec = replace(
        spec,
        preprocess=replace(entry.variants["ascend"].preprocess, resize=FitCentre(size_hw)),
        decode=SegmentationDecode(to_image="nearest_labels"),
        labels=names,
        palette=tuple(VOC2012[name] for name in names),
        evaluation=Evaluation("voc2012", "iou"),
    )
    return export_file(source.file("model.onnx"), spec, folder / "float")
