"""Finds a data set's layout by its name: a plug-in's, or what configurations of segmentation frameworks call it."""

from __future__ import annotations

from dataclasses import replace

from densecast.datasets import pairs
from densecast.datasets._base import DATASETS, DatasetFormat, SaysTruthOf
from densecast.datasets.pairs._configured import CONFIGURED
from densecast.errors import UnknownNameError, UsageError
from densecast.spec.data_options import DataOptions, Reading
from densecast.spec.model import ModelSpec
from densecast.tasks._base import TASKS


def layout(name: str) -> DatasetFormat:
    """The layout of that name; a name from a file may only import packages that the user has allowed.

    Raises:
        UnknownNameError: nothing of that name; the message names the nearest.
        PluginError: it cannot be imported.
    """
    if name in CONFIGURED:
        variable = f"{name.removesuffix('Dataset').upper()}_DATASETS_PATH"
        reading = Reading(options=DataOptions(dataset=name))
        return replace(pairs.FORMAT, reading=reading, root_variables=(variable,))
    if ":" not in name and name not in DATASETS.names():
        raise UnknownNameError.among("data set", name, (*DATASETS.names(), *CONFIGURED))
    return DATASETS.load_trusted(name)


def require_truth(layout: DatasetFormat, name: str, spec: ModelSpec) -> None:
    """Refuse a layout whose ground truth is of another task: label maps, bits, metres and people are not each other.

    Raises:
        UsageError: names both.
    """
    said: object = layout
    truth = said.truth_of if isinstance(said, SaysTruthOf) else frozenset()
    predicted = {tensor.name for tensor in TASKS.load_trusted(spec.task).tensor_specs(spec)}
    if truth and not truth & predicted:
        raise UsageError(
            f"the data set {name!r} has the ground truth of {' or '.join(sorted(truth))}; {spec.name} is of task "
            f"{spec.task!r}, whose predictions are {', '.join(sorted(predicted))}. Name a data set of that task.",
            field="dataset",
        )


def is_configured(name: str) -> bool:
    """Whether the name is one that configurations use."""
    return name in CONFIGURED


def class_names(name: str) -> tuple[str, ...]:
    """The classes of a data set that configurations name, in the order of the masks' values; empty where it has none.

    >>> class_names("DRIVEDataset")
    ('background', 'vessel')
    """
    return CONFIGURED[name].names if name in CONFIGURED else ()
