"""Stand-ins for what training frameworks pickle beside the weights: accepted by name, without any behaviour.

A checkpoint of a training run holds logs, configurations and paths as objects of its framework's classes. None of them
is needed, and none may run code: each is read as an object that keeps nothing and does nothing.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

_NAMES = (
    # MMEngine and MMCV: training logs and configurations.
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.Config",
    "mmcv.utils.config.Config",
    # Lightning and its configurations.
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    # Command lines, paths and times of training scripts.
    "argparse.Namespace",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.Path",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "datetime.datetime",
    "datetime.date",
    "datetime.timedelta",
    "uuid.UUID",
    "torch.torch_version.TorchVersion",
    "types.SimpleNamespace",
    "functools.partial",
    "datetime.time",
    "datetime.timezone",
)
# Mappings of a class of their own, read as plain ones: labels may be inside.
_MAPPINGS = (
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "addict.addict.Dict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "easydict.EasyDict",
    "yacs.config.CfgNode",
)

# What a network itself is pickled as; and how tensors are, of which none may become a stand-in.
_NETWORK, _OPTIMISER = "torch.nn.modules.", "torch.optim."


class Inert:
    """Takes any arguments and state, and keeps none."""

    def __new__(cls, *arguments: object, **named: object) -> Inert:
        """Accept what the pickled object was made of."""
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Discard the state."""


def attribute_of_inert(owner: object, name: object) -> Inert:
    """Replaces `getattr` in a pickle: methods of stand-ins are stand-ins, and of nothing else are attributes taken.

    MMEngine's logs name their own statistics methods that way.

    Raises:
        pickle.UnpicklingError: an attribute of something else.
    """
    if owner is Inert or isinstance(owner, Inert):
        return Inert()
    raise pickle.UnpicklingError("GLOBAL builtins.getattr of what is no training log")


def harmless_globals() -> list[Any]:
    """Harmless types in checkpoints besides tensors: numpy numbers and arrays, and the stand-ins.

    Each only holds data; none calls anything when it is unpickled. A pair gives the name a file uses where it is
    not the object's own: numpy 2 moved `numpy.core` to `numpy._core`, and the frameworks need not be installed.
    """
    import numpy as np
    from numpy._core import multiarray

    scalar, reconstruct = multiarray.scalar, multiarray._reconstruct
    kinds = {type(np.dtype(kind)) for kind in (*np.typecodes["AllInteger"], *np.typecodes["Float"], "?", "S", "U")}
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        reconstruct,
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        *kinds,
        *((Inert, name) for name in _NAMES),
        *((OrderedDict, name) for name in _MAPPINGS),
        (attribute_of_inert, "builtins.getattr"),
        (attribute_of_inert, "__builtin__.getattr"),
    ]


def stand_ins(names: Sequence[str]) -> list[Any]:
    """Stand-ins for what else a checkpoint names: classes and functions of whoever trained the network.

    A configuration of one's own class, a metric or an optimiser beside the weights are not needed. Nothing stands in
    for Python's own modules, which only an attack needs, for tensors of other kinds, or where a whole network was
    pickled.
    """
    if any(name.startswith(_NETWORK) for name in names):
        return []
    return [(Inert, name) for name in names if _is_of_training(name)]


def _is_of_training(name: str) -> bool:
    package = name.partition(".")[0]
    return name.startswith(_OPTIMISER) or (package != "torch" and package not in sys.stdlib_module_names)
