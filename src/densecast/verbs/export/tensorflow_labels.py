"""Compares the labels of a TensorFlow graph with those of the network that was separated from it.

Equal logits do not make equal labels: what a graph does after its logits is replaced by the declared postprocessing,
and whatever else it does there shows in its labels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import ParityError
from densecast.imaging.prepare import prepare
from densecast.kernels.labels import upsample_argmax
from densecast.spec.geometry import Placement
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native
from densecast.spec.sample import LabelMap
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import onnx_file
from densecast.verbs.export.tensorflow_prefix import F32, Bytes
from densecast.verbs.export.tensorflow_separate import Separated

# Of the labels, this share must be those of the untouched graph; the others are pixels between two classes whose
# logits are equal up to rounding.
LEAST_EQUAL = 0.999


def check(separated: Separated, images: Sequence[Bytes], answers: Sequence[npt.NDArray[Any]]) -> float:
    """The share of labels that the separated network, as it was frozen, has in common with the whole graph's `answers`.

    Images are (H, W, 3), and as large as fits into the network; answers are (1, H, W) labels, or (1, H, W, C) scores of
    which the largest decides.

    Raises:
        ParityError: it is less than `LEAST_EQUAL`.
    """
    run = onnx_file.runner(separated.frozen.SerializeToString(), separated.spec.input.name)
    equal, total = 0, 0
    for image, answer in zip(images, answers, strict=True):
        feed = for_network(image, separated)
        given = run(feed)[0]
        is_plane = given.shape[0] == 1
        expected = _of_plane(answer[0]) if is_plane else _labels(answer)
        labels: LabelMap = (
            _of_plane(given.transpose(1, 2, 0))
            if is_plane
            else _decoded(given, feed, image, expected.shape, separated.spec)
        )
        equal, total = equal + int((labels == expected).sum()), total + labels.size
    if equal < LEAST_EQUAL * total:
        raise ParityError(
            f"{1 - equal / total:.2%} of the labels are not those of the untouched graph in TensorFlow; "
            f"at most {1 - LEAST_EQUAL:.1%} may be between two classes whose logits are equal up to rounding."
        )
    return equal / total


def for_network(image: Bytes, separated: Separated) -> F32:
    """(H, W, 3) -> (1, 3, h, w) as input of the separated network, the image at its own size."""
    own = separated.prefix.preprocess.resize if separated.prefix else None
    unresized = replace(separated.spec.preprocess, resize=own or Native())
    array, placement = prepare(image, unresized)
    assert placement.content_hw == image.shape[:2], "the images are as large as fits"
    return np.asarray(array, dtype=np.float32)[None]


def _of_plane(scores: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """(H, W, 1) logits or probabilities of the second of two labels -> (H, W), 1 where it is the likelier one.

    Nothing of such a graph's end is removed, so its own values and those of the network are at one size.
    """
    is_probability = scores.min() >= 0 and scores.max() <= 1
    return np.asarray(scores[..., 0] > (0.5 if is_probability else 0), dtype=np.uint16)


def _labels(answer: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """(1, H, W) labels, or the class of the largest of (1, H, W, C) scores -> (H, W)."""
    answer = np.squeeze(answer, axis=0)
    if answer.ndim == 3 and answer.shape[2] == 1:
        answer = answer[:, :, 0]
    return np.asarray(answer.argmax(axis=2) if answer.ndim == 3 else answer, dtype=np.uint16)


def _decoded(logits: F32, feed: F32, image: Bytes, labels_hw: tuple[int, ...], spec: ModelSpec) -> LabelMap:
    """Labels by the declared postprocessing, at the size of the original graph's."""
    assert isinstance(spec.decode, SegmentationDecode), "checked on the way in"
    model_hw = (feed.shape[2], feed.shape[3])
    placement = Placement.resized(image.shape[:2], image.shape[:2], model_hw=model_hw)
    crop_hw = placement.content_hw if labels_hw == placement.content_hw and placement.is_padded else None
    size_hw = model_hw if labels_hw in (model_hw, placement.content_hw) else (labels_hw[0], labels_hw[1])
    return upsample_argmax(logits, [size_hw], align_corners=spec.decode.align_corners, crop_hw=crop_hw)
