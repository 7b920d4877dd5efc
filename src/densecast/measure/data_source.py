"""Decides what a model's data are: its own data set, or the user's folders, with which layout and metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from densecast.datasets import _layouts, coco_segmentation, labelme, pairs, parquet, yolo_segmentation
from densecast.datasets._base import Dataset, DatasetFormat, ReadsForModel, Recognises
from densecast.errors import BadDatasetError, MissingFileError, UsageError
from densecast.io import config, mirror
from densecast.metrics._base import METRICS, Metric
from densecast.spec.data_options import Data, DataOptions, Reading
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.sample import Split

PAIRS = "pairs"
_PARQUET = "parquet"
# Annotations that pictures have instead of masks, and what tells them.
_ANNOTATIONS = {
    "coco_segmentation": coco_segmentation.looks_like,
    "labelme": labelme.looks_like,
    "yolo_segmentation": yolo_segmentation.looks_like,
}
# The data set and metric of a model that names none, by its task.
_OWN = {
    "segmentation": (PAIRS, "iou"),
    "multilabel": ("multilabel_pairs", "multilabel_iou"),
    "monocular_depth": ("depth_pairs", "monocular_depth"),
    "pose": ("coco_keypoints", "coco_keypoints"),
}


@dataclass(frozen=True, slots=True)
class DataSource:
    """A layout that reads for the model, the root of the data, and the spec with the evaluation that is meant."""

    spec: ModelSpec
    layout: DatasetFormat
    root: Path

    @property
    def evaluation(self) -> Evaluation:
        """The data set and metric."""
        assert self.spec.evaluation is not None
        return self.spec.evaluation

    def open(self, split: Split, seed: int = 0) -> Dataset[Any]:
        """Open a split.

        Raises:
            MissingFileError, BadDatasetError: it cannot be used; says so where it looks like folders of pairs instead.
        """
        try:
            return self.layout.open(self.root, split, seed)
        except BadDatasetError as error:
            own = self.evaluation.dataset == PAIRS or _layouts.is_configured(self.evaluation.dataset)
            if own or self.spec.task != "segmentation" or self.is_recognised:
                raise
            name = _annotations(self.root)
            if name is None and not pairs.looks_like(self.root):
                raise
            what = "folders of pictures and masks" if name is None else f"data of the layout {name}"
            raise BadDatasetError(
                f"{error} {self.root} looks like {what}: name the dataset (--dataset {name or PAIRS}).",
                field=error.field,
            ) from None

    def check_truth(self) -> None:
        """Check that the ground truth is what the metric compares predictions with.

        Raises:
            UsageError: it is of another task.
        """
        check_truth(self.spec, self.layout)

    @property
    def is_recognised(self) -> bool:
        """Whether the root looks like this layout; layouts that cannot tell are tried."""
        layout: object = self.layout
        if isinstance(layout, Recognises):
            return layout.recognises(self.root)
        try:
            self.layout.open(self.root, "all")
        except (BadDatasetError, MissingFileError):
            return False
        return True


def here(data: Data | Path | str | None) -> Data:
    """The data on this machine: of a URL the copy in the cache, which is brought up to date; anything else as it is.

    Raises:
        MissingFileError, BadInputError, MissingExtraError: a URL that cannot be read.
    """
    given = Data.at(data)
    url = None if given.path is None else mirror.url_of(given.path)
    return given if url is None else replace(given, path=mirror.data(url))


def find(spec: ModelSpec, data: Path | Data | None = None) -> DataSource:
    """What `data` is to a model, by its options, by what it is, and by the model's own evaluation.

    A data file, options of own folders, and a segmentation that names no data set mean `pairs`, or annotations of
    COCO, LabelMe or Ultralytics where there are such and no pairs; the metric is the model's own, else that of its
    task: mIoU.

    Raises:
        UsageError: the model is of a user's own task and names no data set and metric; or an option without effect.
        MissingFileError: nothing says where the data is.
    """
    given = here(data)
    options = given.options
    name = _dataset_name(spec, given.path, options)
    layout = _layouts.layout(name)
    root = given.path if given.path is not None else config.data_root(name, layout.root_variables)
    reading = Reading.of(spec, replace(options, dataset=name))
    if isinstance(layout, ReadsForModel):
        layout = layout.for_model(reading)
    elif options.named:
        first = min(options.named)
        raise UsageError(f"the option {first!r} has no effect on data of the layout {name!r}.", field=first)
    own = spec.evaluation
    is_pairs = name == PAIRS or _layouts.is_configured(name)
    metric = options.metric or (pairs.metric_of(root) if is_pairs else None)
    usual = own.metric if own is not None else _OWN.get(spec.task, _OWN["segmentation"])[1]
    metric = _metric_name(metric, spec.task) if metric is not None else usual
    evaluation = Evaluation(name, metric, own.frame if own is not None else "image", reading.layout)
    return DataSource(replace(spec, evaluation=evaluation), layout, root)


def _dataset_name(spec: ModelSpec, data: Path | None, options: DataOptions) -> str:
    if options.dataset is not None:
        return options.dataset
    is_own = data is not None and data.is_file()
    if data is not None and spec.task != "segmentation" and spec.evaluation is not None and not options.named:
        layout: object = _layouts.layout(spec.evaluation.dataset)
        if isinstance(layout, Recognises) and layout.recognises(data):
            return spec.evaluation.dataset
    if is_own or options.named:
        if spec.task != "segmentation":
            what = f"{data} describes" if is_own else f"the option {min(options.named)!r} is for"
            raise UsageError(f"{what} pictures and masks; {spec.name} is a model of task {spec.task!r}.", field="data")
        return _own_layout(data)
    if spec.evaluation is not None:
        return spec.evaluation.dataset
    if spec.task in _OWN and spec.task != "segmentation":
        return _OWN[spec.task][0]
    if spec.task != "segmentation":
        raise UsageError(
            f"{spec.name} names no data set and metric; its spec file lacks [evaluation]. Name them with --dataset and "
            "--metric.",
            field="data",
        )
    return _own_layout(data)


def _own_layout(data: Path | None) -> str:
    """The layout of a user's own pictures and masks."""
    # Folders of pictures may have a table beside them.
    if data is not None and parquet.looks_like(data) and (data.is_file() or not pairs.looks_like(data)):
        return _PARQUET
    return (_annotations(data) if data is not None else None) or PAIRS


def _annotations(data: Path) -> str | None:
    """The layout of annotations that pictures have instead of masks; None where there are none, or masks as well."""
    found = next((name for name, looks_like in _ANNOTATIONS.items() if looks_like(data)), None)
    return None if found is None or _has_pairs(data) else found


def _has_pairs(data: Path) -> bool:
    """Whether a folder holds pairs of pictures and masks, whatever lies beside them."""
    if data.is_file():
        return False
    try:
        pairs.open(data, "all")
    except (BadDatasetError, MissingFileError, UsageError):
        return False
    return True


def _metric_name(name: str, task: str) -> str:
    """A metric's plug-in name for what a user may call it: `iou`, `mIoU`, `dice`. Of two of one name the task's own."""
    if name in METRICS.names() or ":" in name:
        return name
    meant = name.casefold()
    spelt = [each for each in METRICS.names() if meant in (each, METRICS.load(each).name.casefold())]
    usual = _OWN.get(task, _OWN["segmentation"])[1]
    return usual if usual in spelt else next(iter(spelt), name)


def check_truth(spec: ModelSpec, layout: DatasetFormat) -> None:
    """Check that a layout's ground truth is of what the spec's model predicts; a user's own metric compares anything.

    Raises:
        UsageError: it is of another task.
    """
    if spec.evaluation is None:
        return
    metric: object = METRICS.load_trusted(spec.evaluation.metric)
    if type(metric).__module__.partition(".")[0] == __name__.partition(".")[0]:
        _layouts.require_truth(layout, spec.evaluation.dataset, spec)


def metric_of(spec: ModelSpec) -> Metric[Any, Any, Any]:
    """The model's own metric, checked to support the model.

    Raises:
        UsageError: the model names none, or one of another task.
        MissingExtraError: it needs a library that is not installed.
    """
    if spec.evaluation is None:
        raise UsageError(f"{spec.name} names no data set and metric; its spec file lacks [evaluation].")
    metric = METRICS.load_trusted(spec.evaluation.metric)
    metric.check(spec)
    return metric


def images_directly_in(folder: Path) -> bool:
    """Whether pictures lie directly in a folder; hidden files do not count."""
    from densecast.datasets._names import images_of

    return bool(images_of(folder))


def source_or_folder(spec: ModelSpec, data: Path | Data) -> DataSource | None:
    """The data set at `data`; None for any folder of pictures, whose ground truth nobody needs.

    A picture beside a data set's folders does not make it a folder of pictures.
    """
    given = here(data)
    explicit = given.options.dataset is not None or bool(given.options.named)
    if spec.evaluation is None and spec.task != "segmentation" and not explicit:
        return None
    source = find(spec, given)
    if explicit or not source.root.is_dir():
        return source
    if images_directly_in(source.root) or spec.evaluation is None:
        return source if source.is_recognised else None
    return source
