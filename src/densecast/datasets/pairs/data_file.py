"""Reads the small file that describes a user's folders: `data.toml`, `data.yaml` or JSON.

Ultralytics' files (`path`, `train`, `val`, `names`, `masks_dir`) are read as they are.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densecast.datasets import _contents
from densecast.datasets.pairs._split_names import TABLES
from densecast.datasets.pairs.colour_tables import colour_of, read_table
from densecast.errors import BadConfigError
from densecast.io import codec, files
from densecast.spec.model import Rgb

NAMES = ("data.toml", "data.yaml", "data.yml", "data.json")
SUFFIXES = (".toml", ".yaml", ".yml", ".json")
_MAX_BYTES = 1 << 20
# Keys of Ultralytics' files that say nothing about pictures and masks.
_UNUSED = frozenset(("test", "download", "channels", "task", "version", "license", "author", "roboflow", "date"))

Place = str | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """What a data file says; None and empty for what it leaves out.

    `root` is the folder that all paths are below. `train` and `val` are a folder, a list file, several of these, or a
    share of all pictures. `remap` keys are values or names of the masks, its values names or indices of the model, or
    `ignore`; `reduce_zero_label` None is for what the layout needs. With `leaves_others_out` classes of the masks that
    the model does not have are not evaluated. `coco` are annotation files by split, or one under an empty name; `given`
    are the keys that are there; `table` is a table of pictures and masks, which says nothing else.
    """

    root: Path
    images: str | None = None
    masks: str | None = None
    masks_dir: str | None = None
    suffix: str | None = None
    image_suffix: str = ""
    train: Place = None
    val: Place = None
    names: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    colours: dict[Rgb, str] = field(default_factory=dict)
    model_colours: bool = False
    remap: dict[str, str] = field(default_factory=dict)
    subset: tuple[str, ...] = ()
    reduce_zero_label: bool | None = None
    soft_masks: bool = False
    metric: str | None = None
    leaves_others_out: bool = False
    file: Path | None = None
    coco: dict[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    table: Path | None = None


_KEYS = (
    "path", "images", "masks", "masks_dir", "suffix", "image_suffix", "train", "val", "names", "nc", "ignore",
    "colours", "values", "remap", "subset", "reduce_zero_label", "soft_masks", "metric", "coco",
)  # fmt: skip
_SPELT = {"colors": "colours", "ignore_index": "ignore", "img_dir": "images", "ann_dir": "masks", "classes": "names"}


def is_data_file(path: Path) -> bool:
    """Whether this is a file with the suffix of a data file."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def find(root: Path) -> Path | None:
    """The data file that `root` is, or that lies directly in it."""
    if root.is_file():
        return root
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def read(path: Path) -> DataFile:
    """Read a data file; of a table of pictures and masks it is the folder that it lies in.

    Raises:
        BadConfigError: not valid, an unknown key, or a value of the wrong kind; names the key.
    """
    if path.suffix.lower() in TABLES:
        return DataFile(path.parent, table=path, file=path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadConfigError(f"{path} {_contents.of_file(path)}.", field="data")
    written = plain(path)
    if not isinstance(written, dict):
        raise BadConfigError(f'{path}: must hold keys and values, as `images = "images"`.')
    given = {_SPELT.get(str(key), str(key)): value for key, value in written.items() if str(key) not in _UNUSED}
    for key in given:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_KEYS)}."
            raise BadConfigError(f"{path}: unknown key {key!r}. {hint}")
    root = path.parent / Path(_text(path, given, "path") or ".").expanduser()
    names = _names(path, given)
    colours, model_colours = _colours(path, given.get("colours"), root, names)
    reduce_zero = given.get("reduce_zero_label")
    if reduce_zero is not None and not isinstance(reduce_zero, bool):
        raise BadConfigError(f"{path}: 'reduce_zero_label' must be true or false.")
    remap, ignore = _mapping(path, given, "values") | _mapping(path, given, "remap"), _several(path, given, "ignore")
    twice = next((each for each in ignore if remap.get(each, "ignore") != "ignore"), None)
    if twice is not None:
        raise BadConfigError(f"{path}: {twice!r} is in 'ignore', and 'remap' says that it is {remap[twice]!r}.")
    soft = given.get("soft_masks", False)
    if not isinstance(soft, bool):
        raise BadConfigError(f"{path}: 'soft_masks' must be true or false.")
    return DataFile(
        root=root,
        images=_text(path, given, "images"),
        masks=_text(path, given, "masks"),
        masks_dir=_text(path, given, "masks_dir"),
        suffix=_text(path, given, "suffix"),
        image_suffix=_text(path, given, "image_suffix") or "",
        train=_place(path, given, "train"),
        val=_place(path, given, "val"),
        names=names,
        ignore=ignore,
        colours=colours,
        model_colours=model_colours,
        remap=remap,
        subset=_several(path, given, "subset"),
        reduce_zero_label=reduce_zero,
        soft_masks=soft,
        metric=_text(path, given, "metric"),
        file=path,
        coco=_coco(path, given),
        given=frozenset(given),
    )


def files_root(root: Path) -> Path:
    """The folder that the files of a user's data are below: the root, or where its data file says.

    Images of an annotation file lie around it; a Parquet file holds them itself.
    """
    file = root if root.is_file() else find(root)
    if file is None or file.suffix.lower() == ".parquet":
        return root
    try:
        return read(file).root
    except BadConfigError:
        return file.parent.parent if file.parent.name == "annotations" else file.parent


def plain(path: Path) -> Any:
    """What a YAML, JSON or TOML file holds, as plain lists, tables and values.

    Raises:
        BadConfigError: it cannot be read, or is not valid.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        return codec.read_plain(path)
    import yaml

    try:
        contents = files.read_bounded(path, _MAX_BYTES)
        if len(contents) > _MAX_BYTES:
            raise BadConfigError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; this describes no data set.")
        return yaml.safe_load(contents.decode("utf-8-sig"))
    except OSError as error:
        raise BadConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from None


def _text(path: Path, given: dict[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise BadConfigError(f"{path}: {key!r} must be a text, not {value!r}.")
    return value


def _several(path: Path, given: dict[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(each, (str, int)) and not isinstance(each, bool) for each in values):
        raise BadConfigError(f"{path}: {key!r} must be values or names, not {value!r}.")
    return tuple(map(str, values))


def _mapping(path: Path, given: dict[str, Any], key: str) -> dict[str, str]:
    value = given.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(each, (str, int)) for each in value.values()):
        raise BadConfigError(f"{path}: {key!r} must map values to classes, as {{255 = 1}}, not {value!r}.")
    return {str(left): str(right) for left, right in value.items()}


def _coco(path: Path, given: dict[str, Any]) -> dict[str, str]:
    """`coco = "a.json"`, or files by split."""
    value = given.get("coco", {})
    value = {"": value} if isinstance(value, str) else value
    if not (isinstance(value, dict) and set(value) <= {"", "train", "val"}) or not all(
        isinstance(each, str) and each for each in value.values()
    ):
        raise BadConfigError(f"{path}: 'coco' must name a file, or one for each of train and val.")
    return {str(key): str(name) for key, name in value.items()}


def _place(path: Path, given: dict[str, Any], key: str) -> Place:
    value = given.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 < value < 1:
            raise BadConfigError(f"{path}: {key!r} as a share must be between 0 and 1, not {value}.")
        return float(value)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return tuple(value)
    return _text(path, given, key)


def _names(path: Path, given: dict[str, Any]) -> tuple[str, ...]:
    """`names` as a list, or by index (`0: background`), which must leave none out."""
    value = given.get("names", [])
    if isinstance(value, dict):
        try:
            ordered = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            raise BadConfigError(f"{path}: 'names' must be a list, or names by index.") from None
        if sorted(ordered) != list(range(len(ordered))):
            raise BadConfigError(f"{path}: 'names' must name every index from 0, got {sorted(ordered)}.")
        value = [ordered[index] for index in sorted(ordered)]
    if not isinstance(value, list) or not all(isinstance(each, (str, int)) for each in value):
        raise BadConfigError(f"{path}: 'names' must be a list, or names by index.")
    if any(isinstance(each, bool) for each in value):
        raise BadConfigError(
            f"{path}: 'names' holds true or false, as YAML reads yes, no, on and off: put it in quotes."
        )
    names = tuple(map(str, value))
    if len(set(names)) != len(names):
        raise BadConfigError(f"{path}: 'names' has a class twice.")
    if given.get("nc") not in (None, len(names)):
        raise BadConfigError(f"{path}: 'nc' is {given['nc']}, and there are {len(names)} names.")
    return names


def _colours(path: Path, value: Any, root: Path, names: tuple[str, ...]) -> tuple[dict[Rgb, str], bool]:
    """The class of each colour: a table file, `model`, a list in the order of the classes, or colours by name."""
    if value is None or value == "model":
        return {}, value == "model"
    if isinstance(value, str):
        return read_table(root / value), False
    if isinstance(value, list):
        # Without names the values themselves are meant.
        value = dict(zip(names or range(len(value)), value, strict=False)) if len(value) <= 256 else None
    if not isinstance(value, dict):
        raise BadConfigError(f"{path}: 'colours' must be colours by class, a list of them, a labelmap.txt or 'model'.")
    table: dict[Rgb, str] = {}
    for name, given in value.items():
        colour = colour_of(given)
        if colour is None:
            raise BadConfigError(
                f"{path}: the colour {given!r} of {name!r} must be [r, g, b] from 0 to 255, or #rrggbb."
            )
        if colour in table:
            raise BadConfigError(f"{path}: {table[colour]!r} and {name!r} have one colour, {colour}.")
        table[colour] = str(name)
    return table, False
