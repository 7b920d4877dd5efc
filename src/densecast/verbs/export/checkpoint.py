"""Reads trained weights from files that may be missing, foreign, truncated or malicious."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast.errors import BadCheckpointError, MissingExtraError, MissingFileError
from densecast.networks._base import Network
from densecast.spec.model import Rgb
from densecast.verbs.export import file_kinds, inert, state_dicts

if TYPE_CHECKING:
    from torch import Tensor, nn

# The largest of the reference checkpoints is 666 MB; a file that unpacks to more than this is not a network.
MAX_BYTES = 8 << 30

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights and what else their file says: the state dict, notes on the choice of it, labels and palette.

    `config` is the configuration that OpenMMLab's checkpoints carry, as text or as its names and values.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    palette: tuple[Rgb, ...] | None = None
    config: str | Mapping[str, Any] | None = None


def read(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file: `open_checkpoint` without the rest."""
    return open_checkpoint(path).state


def open_checkpoint(path: Path, wanted: str | None = None) -> Checkpoint:
    """Read a `.pth`/`.pt`/`.ckpt` (zip or legacy container) or `.safetensors` file.

    A bare state dict and one inside a training checkpoint, under any key, are both accepted. Of several sets of weights
    `wanted` names the key, or is "ema" for the averaged one; by default the one that is not averaged is taken, and
    the notes say so. Nothing but tensors and plain values is unpickled (`weights_only=True`); keys are as in the file.

    Raises:
        UsageError: the file does not hold the weights that are wanted, or holds several and none is named.
        MissingFileError: no such file.
        BadCheckpointError: not a checkpoint, cut off, holding code, too large, or without tensors.
    """
    if not path.is_file():
        raise MissingFileError.at(path, "checkpoint", "Name a file of trained weights.", field="checkpoint")
    size = path.stat().st_size
    if size == 0:
        raise BadCheckpointError(f"checkpoint {path} is empty. Fetch it again.")
    if size > MAX_BYTES or _unpacked_size(path) > MAX_BYTES:
        raise BadCheckpointError(
            f"checkpoint {path} holds more than {MAX_BYTES >> 30} GiB; this is no network of ours."
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(content, inert.Inert):
        raise BadCheckpointError(
            f"checkpoint {path} is no state dict but one object of a class of its own. Save its weights "
            "(torch.save(network.state_dict(), PATH))."
        )
    where, tensors, notes = state_dicts.choose(content, path.name, wanted)
    labels, palette = state_dicts.described(content)
    if where:
        log.debug("%s: the weights of %s", path, where)
    return Checkpoint(tensors, notes, labels, palette, state_dicts.configuration(content))


def has_configuration(path: Path) -> bool:
    """Whether the file is an OpenMMLab checkpoint that carries its configuration."""
    try:
        if path.suffix == ".safetensors" or path.stat().st_size > MAX_BYTES:
            return False
        return state_dicts.configuration(_read_torch(path, mapped=zipfile.is_zipfile(path))) is not None
    except (BadCheckpointError, OSError):
        return False


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], kind: Network[Any] | None, options: Any, where: str
) -> None:
    """Load a state dict into a network: every key must match in name and shape, and every value must be finite.

    `kind` is the network's plug-in, where it is one: its `clean` drops what published files carry besides, and its
    `explain_mismatch`, where it has one, may know which network the weights belong to.

    Raises:
        BadCheckpointError: names the first five missing and unexpected keys and the first wrong shapes.
    """
    import torch

    expected = network.state_dict()
    own, _ = state_dicts.without_prefix(state, expected)
    own = kind.clean(own) if kind else own
    missing = [key for key in expected if key not in own and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in own if key not in expected]
    misshapen = [
        f"{key} {list(own[key].shape)} instead of {list(expected[key].shape)}"
        for key in expected
        if key in own and own[key].shape != expected[key].shape
    ]
    if missing or unexpected or misshapen:
        hint = kind.explain_mismatch(own, options) if kind and kind.explain_mismatch else None
        parts = [
            _first_five("missing", missing),
            _first_five("unexpected", unexpected),
            _first_five("of another shape", misshapen),
            hint or "Is this checkpoint of another network?",
        ]
        raise BadCheckpointError(f"{where} does not fit: {' '.join(part for part in parts if part)}")
    broken = [key for key, value in own.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise BadCheckpointError(f"{where}: {_first_five('not finite (NaN or infinity)', broken)}")
    network.load_state_dict({**{k: v for k, v in expected.items() if k not in own}, **own}, strict=True)


def for_network(
    kind: Network[Any], options: Any, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict with the names that a network of these options has, and notes on what was stripped.

    Which options the weights themselves have is not known yet; most names are the same with others.
    """
    import torch

    with torch.device("meta"):
        expected = kind.build(options).state_dict()
    return state_dicts.without_prefix(state, expected)


def require_torch(purpose: str) -> None:
    """Raise an error that says what to install if torch is missing.

    Raises:
        MissingExtraError: no torch.
    """
    if not has_torch():
        raise MissingExtraError.of("torch", purpose)


def has_torch() -> bool:
    """Whether networks can be built here."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "safetensors"))


def _first_five(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" … and {len(keys) - 5} more" if len(keys) > 5 else ""
    return f"{len(keys)} keys {what}: {', '.join(keys[:5])}{more}."


def _unpacked_size(path: Path) -> int:
    """Unpacked size of a zip container in bytes; 0 for other containers, whose size is the file's."""
    try:
        if not zipfile.is_zipfile(path):
            return 0
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except Exception:  # zipfile raises whatever the damage leads to; torch's reader will say what is wrong
        return 0


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # whatever the damage leads to
        raise BadCheckpointError(f"checkpoint {path} is not a readable safetensors file ({error}).") from None


def _refuse_others(path: Path) -> None:
    """Say what a file is that begins as no checkpoint does."""
    if (what := file_kinds.other(path)) is not None:
        raise BadCheckpointError(f"{path} is no checkpoint but {what}.")


def _read_torch(path: Path, *, mapped: bool = False) -> Any:
    import pickle

    import torch

    _refuse_others(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on file formats it may not read; it fails where it cannot
            with torch.serialization.safe_globals(inert.harmless_globals()), contextlib.ExitStack() as closing:
                is_zip = _is_zip(path)
                source = path if mapped or is_zip else closing.enter_context(_Bounded(path))
                if is_zip:
                    others = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
                    closing.enter_context(torch.serialization.safe_globals(inert.stand_ins(others)))
                return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise BadCheckpointError(f"checkpoint {path} is not a plain state dict: {_refused(error, path)}") from None
    except Exception as error:  # torch raises whatever the damage leads to
        raise BadCheckpointError(
            f"checkpoint {path} is cut off or no checkpoint ({_first_line(error)}). Fetch it again."
        ) from None


def _is_zip(path: Path) -> bool:
    """Whether it has torch's form of today: an archive, by its first bytes, as torch decides."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


class _Bounded(io.BufferedReader):
    """A file of which nobody reads more than there is: Python allocates what is asked for, be it two damaged GiB."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, or what is left."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _refused(error: Exception, path: Path) -> str:
    """The object that the unpickler refused, from torch's message, without torch's advice to trust the file."""
    import torch

    name = re.search(r"GLOBAL (\S+)", str(error))
    held = f"it holds {name.group(1)}. " if name else "it holds something else. "
    try:
        others = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # torch raises whatever the damage leads to; and it reads zip containers only
        others = []
    if any(other.startswith("torch.nn.modules.") for other in others):
        return (
            f"{held}A whole network was pickled, which is code. Save its weights (torch.save(network.state_dict(), "
            "PATH)) and name the zoo model or --module beside --checkpoint, or export the network from Python."
        )
    return f"{held}Only tensors and plain values are unpickled."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
