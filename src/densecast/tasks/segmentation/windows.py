"""Labels of an image that the network saw in sliding windows: rows are labelled as they are finished."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densecast.errors import BadGraphError
from densecast.imaging.prepare import resize_labels
from densecast.kernels.label_bands import LabelBands
from densecast.spec.augment import View
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Feeds
from densecast.tasks._base import F32
from densecast.tasks._windows import Merging, WindowMean
from densecast.tasks.segmentation import BINARY, SegmentationMap, decode_options, forms, postprocess


class Labelling:
    """Takes the windows' outputs one by one, and has the labels in the end.

    Logits of all views, and any form of one view without scores, are labelled band by band. What else there is - scores
    or several views of probabilities, or of one plane - is averaged as a whole first.
    """

    def __init__(self, views: Sequence[View], spec: ModelSpec, frame: Frame, *, scores: bool) -> None:
        self._spec, self._frame, self._scores = spec, frame, scores
        options = decode_options(spec)
        self._labels: LabelBands | None = None
        self._merging: Merging | None = None
        is_plain = len({(view.placement, view.mirrored) for view in views}) == 1 and not views[0].mirrored
        self._nearest = postprocess.nearest_rule(spec, frame)
        self._placement = views[0].placement
        # Such labels are placed after the argmax over the whole input, padding included.
        self._is_placed = options.to_image == "blended_labels" or (
            any(self._placement.offset_xy) and self._nearest is not None
        )
        if options.form != "logits" and (scores or not is_plain):
            self._merging = Merging(views, spec, align_corners=options.align_corners)
            return
        if not is_plain:
            postprocess.check_views(views, spec, frame)
        if self._is_placed and scores:
            raise postprocess.no_scores(spec)
        self._mean = WindowMean(views, spec, align_corners=options.align_corners, cut=not self._is_placed)
        if frame == "network" and not is_plain:
            postprocess.check_one_size(self._mean.whole, spec)
        at_network = frame == "network" or self._nearest is not None
        placements = [view.placement for view in self._mean.whole]
        self._labels = LabelBands(
            2 if options.form in BINARY else len(spec.labels),
            [each.model_hw for each in placements],
            placements[0].model_hw if at_network else placements[0].image_hw,
            align_corners=options.align_corners,
            mirrored=[view.mirrored for view in self._mean.whole],
            scored=scores,
        )

    def add(self, outputs: Feeds) -> None:
        """Take the next window's outputs.

        Raises:
            BadGraphError: another number of planes than the labels need.
            BadInputError: values that are not finite.
        """
        self._check(outputs)
        if self._merging is not None:
            self._merging.add(outputs)
            return
        assert self._labels is not None
        for band in self._mean.add(outputs):
            planes: F32 = np.asarray(forms.planes(band.planes, decode_options(self._spec)), dtype=np.float32)
            self._labels.add(band.view, np.ascontiguousarray(planes))

    def prediction(self) -> SegmentationMap:
        """The labels, after the last window."""
        spec, frame = self._spec, self._frame
        if self._merging is not None:
            outputs = self._merging.planes()
            return forms.decode_views(outputs, self._merging.whole, spec, frame, probability=self._scores)
        assert self._labels is not None and self._labels.is_complete
        labels, winners = self._labels.labels, self._labels.probability if self._scores else None
        if self._is_placed:
            return postprocess.place_labels(labels, self._placement, spec, frame)
        if self._nearest is not None:
            labels = resize_labels(labels, self._placement.image_hw, self._nearest)
            winners = None if winners is None else resize_labels(winners, self._placement.image_hw, self._nearest)
        return SegmentationMap(labels, winners)

    def _check(self, outputs: Feeds) -> None:
        output, form = outputs[self._spec.output.name], decode_options(self._spec).form
        channels = 1 if form in BINARY else len(self._spec.labels)
        if output.ndim != 3 or output.shape[0] != channels:
            raise BadGraphError(
                f"{self._spec.name}: expected {form} ({channels}, h, w); the network gave {output.shape}."
            )
