"""Opens the weights of an OpenMMLab checkpoint: plain or averaged, and no larger than the network that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.errors import BadCheckpointError, DensecastError
from densecast.io import config_files, python_config
from densecast.networks import openmmlab as networks
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export.checkpoint import Checkpoint
from densecast.verbs.export.state_dicts import EMA

# MMCV 0.x keeps averaged weights beside the plain ones, under names of their own.
_PREFIX = "ema_"
# The order in which MMCV calls hooks; it saves at 50, before others of the same number.
_PRIORITIES = {"HIGHEST": 0, "VERY_HIGH": 10, "HIGH": 30, "ABOVE_NORMAL": 40}
_SAVES_AT = 50


def open_weights(path: Path, wanted: str | None, config: str | None = None) -> Checkpoint:
    """Read a checkpoint; "ema" are the averaged weights, in a state dict of their own or beside the plain ones.

    `config` names the configuration file of a checkpoint without one.

    Raises:
        UsageError, MissingFileError, BadCheckpointError: see `checkpoint.open_checkpoint`.
    """
    found = checkpoints.open_checkpoint(path, None if wanted == EMA else wanted)
    names = {f"{_PREFIX}{name.replace('.', '_')}": name for name in found.state}
    averaged = {names[alias]: value for alias, value in found.state.items() if alias in names}
    if not averaged:
        return checkpoints.open_checkpoint(path, wanted) if wanted == EMA else found
    plain = {name: value for name, value in found.state.items() if name not in names}
    if _is_exchanged(found, config):
        note = "the averaged weights taken: this training saved them in the place of those that it trained"
        return replace(found, state=plain, notes=(*found.notes, note))
    if wanted == EMA:
        note = f"{len(averaged)} averaged weights taken ({_PREFIX}…)"
        return replace(found, state=plain | averaged, notes=(*found.notes, note))
    note = f"{len(averaged)} averaged weights ({_PREFIX}…) left aside: --weights ema takes them"
    return replace(found, state=plain, notes=(*found.notes, note))


def _is_exchanged(found: Checkpoint, config: str | None) -> bool:
    """Whether averaged weights were saved under the names of the plain ones.

    MMCV's `EMAHook` exchanges them at the end of an epoch, which trainings by iterations do not have; they are saved so
    where it goes before what saves.
    """
    try:
        names = _names(found, config)
    except DensecastError:
        return False  # said where the recipe is read
    runner, hooks = names.get("runner"), names.get("custom_hooks")
    if not isinstance(runner, Mapping) or runner.get("type") != "EpochBasedRunner":
        return False
    tables = [each for each in hooks if isinstance(each, Mapping)] if isinstance(hooks, (list, tuple)) else []
    order = [each.get("priority", _SAVES_AT) for each in tables if str(each.get("type")).endswith("EMAHook")]
    numbers = [_PRIORITIES.get(each, _SAVES_AT) if isinstance(each, str) else each for each in order]
    return any(isinstance(each, int) and each < _SAVES_AT for each in numbers)


def _names(found: Checkpoint, config: str | None) -> Mapping[str, Any]:
    if config is not None:
        return config_files.read(Path(config))
    if isinstance(found.config, str):
        return python_config.parse(found.config, "the configuration")
    return found.config or {}


def check_size(options: networks.Options, found: Checkpoint, file: str) -> None:
    """Refuse a configuration whose network would be far larger than its weights, before it takes any memory.

    Raises:
        BadCheckpointError: it is.
        BadConfigError: it cannot be built.
    """
    import torch

    with torch.device("meta"):
        network = networks.build(options)
    needed = sum(value.numel() for value in network.state_dict().values())
    held = sum(value.numel() for value in found.state.values())
    if needed > 2 * held + 1_000_000:
        raise BadCheckpointError(
            f"{file} holds {held:,} numbers, but the network of its configuration has {needed:,}: they do not belong "
            "together."
        )
