"""Finds the weights in a training checkpoint: under any key, with any prefix, beside averaged ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from densecast.errors import BadCheckpointError, UsageError
from densecast.spec.model import Rgb

if TYPE_CHECKING:
    from torch import Tensor

EMA = "ema"
"""Asks for averaged weights, whatever their key."""

# Keys under which training frameworks keep the state dict, the likeliest first.
_USUAL = ("state_dict", "model_state_dict", "model", "net")
_AVERAGED = re.compile(r"(^|[._])(ema|emas|swa|averaged?|shadow|teacher)([._]|\d|$)|_averaged|averaged_", re.IGNORECASE)
# Where mmengine keeps two sets of weights. When it saves it exchanges them, so that a plain reader gets the averaged
# ones: what it calls `ema_state_dict` are those that were trained (`EMAHook.before_save_checkpoint`).
_EXCHANGED = ("state_dict", "ema_state_dict")
# Where Lightning does (`WeightAveraging`): the first are the averaged ones, which `load_from_checkpoint` takes too.
_LIGHTNING = ("state_dict", "current_model_state")
# The states of what trains a network, which hold tensors too.
_TRAINING = re.compile(
    r"optim|sched|scaler|amp$|rng|callback|loops|hyper_|^meta$|message_hub|^lr_|criterion", re.IGNORECASE
)
_DEPTH = 6
_MOST_PARTS = 16
# What wrappers put inside keys, wherever they wrap.
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# What is kept beside a network's own weights and is none of them.
_BESIDE = re.compile(
    r"^(data_preprocessor\.|mask_values$|n_averaged$|(criterion|loss|loss_\w+|\w*_loss|\w*metrics?)\.)"
)


def choose(content: object, file: str, wanted: str | None = None) -> tuple[str, dict[str, Tensor], tuple[str, ...]]:
    """The state dict of an unpickled file: the path of its keys, the tensors, and notes on the choice.

    Raises:
        UsageError: no weights of the wanted name, or several and none is named.
        BadCheckpointError: there are no tensors.
    """
    import torch

    content = _by_place(content)
    if not isinstance(content, Mapping):
        raise BadCheckpointError(f"checkpoint {file} holds a {type(content).__name__}, not a state dict.")
    content = _as_tensors(content, 0)
    found = dict(_mappings(content, ""))
    if not found:
        keys = ", ".join(str(key) for key in list(content)[:5]) or "nothing"
        raise BadCheckpointError(f"checkpoint {file} holds no tensors (it holds {keys}).")
    is_exchanged = _is_exchanged(content)
    is_lightning = set(_LIGHTNING) <= set(found)
    if wanted == EMA and (is_exchanged or is_lightning):
        wanted = _EXCHANGED[0]
    name = _wanted(found, file, wanted) if wanted else _default(found, file)
    parts = _parts(found, name) if not wanted else {}
    tensors = {str(key): value for key, value in found[name].items() if isinstance(value, torch.Tensor)}
    if parts:
        tensors = {f"{path}.{key}": value for path, part in parts.items() for key, value in part.items()}
        joined = f"the weights of {', '.join(repr(path) for path in parts)} of {file} taken together"
        return "", tensors, (joined,)
    others = [other for other in found if other and other != name]
    if is_exchanged and name in _EXCHANGED:
        return name, tensors, (_exchanged_note(name),)
    if is_lightning and name == _LIGHTNING[0]:
        return (
            name,
            tensors,
            (f"the averaged weights taken: --weights {_LIGHTNING[1]} takes those of Lightning's last step",),
        )
    notes = []
    if name not in ("", *_USUAL) or (wanted and others):
        notes.append(f"weights taken from {name!r} of {file}")
    if others and not wanted:
        notes.append(f"{', '.join(repr(other) for other in others)} of {file} left aside: --weights KEY takes another")
    return name, tensors, ("; ".join(notes),) if notes else ()


def _is_exchanged(content: Mapping[Any, Any]) -> bool:
    """Whether it is mmengine's with averaged weights: by what its `meta` says, or by its count of steps."""
    plain, averaged = (content.get(name) for name in _EXCHANGED)
    if not (isinstance(plain, Mapping) and isinstance(averaged, Mapping)):
        return False
    meta = content.get("meta")
    said = isinstance(meta, Mapping) and ("mmengine_version" in meta or "cfg" in meta)
    return said or "steps" in averaged


def _exchanged_note(name: str) -> str:
    averaged, trained = _EXCHANGED
    if name == averaged:
        return f"the averaged weights taken, which mmengine keeps in {averaged!r}: --weights {trained} takes the others"
    return f"the weights as they were trained taken, which mmengine keeps in {trained!r}: the averaged are {averaged!r}"


def described(content: object) -> tuple[tuple[str, ...] | None, tuple[Rgb, ...] | None]:
    """Labels and palette that MMSegmentation's checkpoints carry: `CLASSES`, `PALETTE`, or `dataset_meta`."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None, None
    inner = meta.get("dataset_meta")
    meta = {**meta, **inner} if isinstance(inner, Mapping) else meta
    labels = next((meta[key] for key in ("classes", "CLASSES") if isinstance(meta.get(key), (list, tuple))), None)
    if not labels or not all(isinstance(label, str) for label in labels):
        return None, None
    # Colours that MMSegmentation drew itself are an array.
    palettes = (_as_list(meta.get(key)) for key in ("palette", "PALETTE"))
    colours = next((each for each in palettes if isinstance(each, (list, tuple))), None)
    palette = tuple(colour for each in colours or () if (colour := _colour(each)) is not None)
    return tuple(labels), palette if len(palette) == len(labels) else None


def configuration(content: object) -> str | Mapping[str, Any] | None:
    """The configuration of an OpenMMLab checkpoint: `meta.config` of 0.x, `meta.cfg` of 1.x."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    found = meta.get("cfg") or meta.get("config")
    return found if isinstance(found, (str, Mapping)) and found else None


def without_prefix(state: Mapping[str, Tensor], expected: Collection[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict with the names of `expected`: without what wrappers and training classes put before them.

    Of all prefixes the one is stripped below which most of the expected names are, if that is more than without one.
    What lies outside of it is left out when all expected names lie inside.
    """
    own = {_unwrapped(name): tensor for name, tensor in state.items()}
    if len(own) != len(state):  # two names would become one: the file is not what it seems
        own = dict(state)
    own = {name: tensor for name, tensor in own.items() if name in expected or not _BESIDE.match(name)}
    wanted = {name for name in expected if not name.endswith("num_batches_tracked")}
    counts = dict.fromkeys(_prefixes(own), 0)
    for prefix in counts:
        counts[prefix] = sum(prefix + name in own for name in wanted)
    # The most names first; then weights that are not averaged; then the shortest.
    best = max(counts, key=lambda prefix: (counts[prefix], not _AVERAGED.search(prefix), -len(prefix)), default="")
    if not best or counts[best] <= counts.get("", 0):
        return own, ()
    inside = {name.removeprefix(best): tensor for name, tensor in own.items() if name.startswith(best)}
    outside = [name for name in own if not name.startswith(best)]
    if outside and counts[best] < len(wanted):
        clash = next((name for name in outside if name in inside), None)
        if clash is None:
            inside |= {name: own[name] for name in outside}
        return inside, (f"the prefix {best!r} of the weights' names stripped",)
    left = f"; {len(outside)} tensors outside of it left aside ({', '.join(outside[:3])})" if outside else ""
    return inside, (f"the prefix {best!r} of the weights' names stripped{left}",)


def _mappings(content: Mapping[object, object], path: str) -> Iterator[tuple[str, Mapping[object, object]]]:
    """Every mapping from names to tensors, with its path of keys."""
    import torch

    values = [value for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)]
    # A number of steps kept as a tensor makes no state dict.
    if any(value.ndim > 0 for value in values):
        yield path, content
    if path.count(".") + 1 >= _DEPTH:
        return
    for key, value in content.items():
        if isinstance(value, Mapping) and isinstance(key, str) and not _TRAINING.search(key):
            yield from _mappings(value, f"{path}.{key}" if path else key)


def _by_place(content: object) -> object:
    """A list or tuple, as `(state_dict, epoch)`, by the places in it; anything else as it is."""
    if isinstance(content, (list, tuple)) and len(content) <= _MOST_PARTS:
        return {str(place): item for place, item in enumerate(content)}
    return content


def _as_tensors(content: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    """The same with numpy's arrays as tensors, which some tools save."""
    import numpy as np
    import torch

    made: dict[Any, Any] = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(value.copy())
        elif isinstance(value, Mapping) and depth < _DEPTH:
            value = _as_tensors(value, depth + 1)
        made[key] = value
    return made


def _parts(found: Mapping[str, Mapping[object, object]], name: str) -> dict[str, dict[str, Tensor]]:
    """The sets of weights that are parts of one network: beside each other, none averaged, with no name in common.

    Empty where there is one alone, or where several may each be the network.
    """
    import torch

    parent = name.rpartition(".")[0]
    beside = [each for each in found if each.rpartition(".")[0] == parent and each and not _AVERAGED.search(each)]
    if len(beside) < 2 or name not in beside or any(usual in beside for usual in _USUAL):
        return {}
    parts = {
        path.removeprefix(f"{parent}." if parent else ""): {
            str(key): value for key, value in found[path].items() if isinstance(value, torch.Tensor)
        }
        for path in beside
    }
    names = [key for part in parts.values() for key in part]
    return parts if len(set(names)) == len(names) else {}


def _default(found: Mapping[str, Mapping[object, object]], file: str) -> str:
    for usual in _USUAL:
        inside = next((name for name in found if name == usual or name.startswith(f"{usual}.")), None)
        if inside is not None:
            return inside
    plain = [name for name in found if not _AVERAGED.search(name)]
    names = plain or list(found)
    if "" in names:
        return ""
    if len(names) > 1 and not _parts(found, names[0]):
        raise UsageError(
            f"checkpoint {file} holds several sets of weights: {', '.join(names)}. Name one.", field="weights"
        )
    return names[0]


def _wanted(found: Mapping[str, object], file: str, wanted: str) -> str:
    if wanted in found:
        return wanted
    averaged = [name for name in found if _AVERAGED.search(name)]
    if wanted == EMA and len(averaged) == 1:
        return averaged[0]
    held = ", ".join(name or "weights without a key" for name in found)
    raise UsageError(f"checkpoint {file} holds no weights {wanted!r}; it holds {held}.", field="weights")


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _prefixes(names: Collection[str]) -> Iterator[str]:
    """Every beginning of a name that ends in a dot, up to four parts long; the empty one first."""
    yield ""
    for name in names:
        parts = name.split(".")
        for count in range(1, min(len(parts), 5)):
            yield ".".join(parts[:count]) + "."


def _as_list(value: object) -> object:
    """An array as the list of its rows; anything else as it is."""
    import numpy as np

    return value.tolist() if isinstance(value, np.ndarray) else value


def _colour(value: object) -> Rgb | None:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    if not all(isinstance(part, int) and 0 <= part <= 255 for part in value):
        return None
    red, green, blue = (int(part) for part in value)
    return (red, green, blue)
