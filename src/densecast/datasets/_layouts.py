"""Finds a data set's layout by its name: a plug-in's, or what configurations of segmentation frameworks call it."""

from __future__ import annotations

from dataclasses import replace

from densecast.datasets import pairs
from densecast.datasets._base import DATASETS, DatasetFormat
from densecast.datasets.pairs._configured import CONFIGURED
from densecast.errors import UnknownNameError
from densecast.spec.data_options import DataOptions, Reading


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


def is_configured(name: str) -> bool:
    """Whether the name is one that configurations use."""
    return name in CONFIGURED


def class_names(name: str) -> tuple[str, ...]:
    """The classes of a data set that configurations name, in the order of the masks' values; empty where it has none.

    >>> class_names("DRIVEDataset")
    ('background', 'vessel')
    """
    return CONFIGURED[name].names if name in CONFIGURED else ()
