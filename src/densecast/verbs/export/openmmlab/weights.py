"""Opens the weights of an OpenMMLab checkpoint: plain or averaged, and no larger than the network that they are for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densecast.errors import BadCheckpointError
from densecast.networks import openmmlab as networks
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export.checkpoint import Checkpoint
from densecast.verbs.export.state_dicts import EMA

# MMCV 0.x keeps averaged weights beside the plain ones, under names of their own.
_PREFIX = "ema_"


def open_weights(path: Path, wanted: str | None) -> Checkpoint:
    """Read a checkpoint; "ema" are the averaged weights, in a state dict of their own or beside the plain ones.

    Raises:
        UsageError, MissingFileError, BadCheckpointError: see `checkpoint.open_checkpoint`.
    """
    found = checkpoints.open_checkpoint(path, None if wanted == EMA else wanted)
    names = {f"{_PREFIX}{name.replace('.', '_')}": name for name in found.state}
    averaged = {names[alias]: value for alias, value in found.state.items() if alias in names}
    if not averaged:
        return checkpoints.open_checkpoint(path, wanted) if wanted == EMA else found
    plain = {name: value for name, value in found.state.items() if name not in names}
    if wanted == EMA:
        note = f"{len(averaged)} averaged weights taken ({_PREFIX}…)"
        return replace(found, state=plain | averaged, notes=(*found.notes, note))
    note = f"{len(averaged)} averaged weights ({_PREFIX}…) left aside: --weights ema takes them"
    return replace(found, state=plain, notes=(*found.notes, note))


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
