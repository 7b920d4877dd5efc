"""Converts frozen dataclasses to and from JSON (our own files) and TOML (files that people write)."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from densecast.errors import BadConfigError
from densecast.io import files

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

# A manifest lists calibration ids and file hashes: far below this, whatever the model.
MAX_BYTES = 32 << 20
# What Python makes of bytes in file names that are not UTF-8.
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The validator and serialiser of a type; made once, as that takes a hundred times as long as its use."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def prepare(*kinds: type) -> None:
    """Make the validators of these types now, so that processes forked from this one have them."""
    for kind in kinds:
        any_kind: Any = kind
        _adapter(any_kind)


def to_plain(value: object) -> Any:
    """Convert a dataclass to plain dicts, lists and numbers, ready for `json.dumps`."""
    kind: Any = type(value)
    return _adapter(kind).dump_python(value, mode="json")


def to_json(value: object) -> str:
    """Serialise a dataclass as indented JSON with a newline at the end."""
    return json_text(to_plain(value))


def json_text(plain: object) -> str:
    """Serialise plain dicts, lists and numbers as indented JSON with a newline at the end.

    Bytes of file names that are not UTF-8 become escapes, which Python reads back as the same name.
    """
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    return _NOT_UTF8.sub(lambda each: f"\\u{ord(each[0]):04x}", text) + "\n"


def from_plain(data: object, kind: type[T], where: str) -> T:
    """Convert plain dicts and lists to a dataclass of type `kind`; `where` names the source in messages.

    Raises:
        BadConfigError: a wrong type, a missing key, or an unknown key (its nearest known key is named).
    """
    from pydantic import ValidationError

    any_kind: Any = kind
    adapter = _adapter(any_kind)
    try:
        value: T = adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"]) or "top level"
        hint = _misspelt(data, first["loc"]) if first["type"] == "missing" else ""
        raise BadConfigError(f"{where}: {path}: {_words(first)}.{hint}", field=path) from None
    except BadConfigError as error:  # what a dataclass says of its own values
        raise BadConfigError(f"{where}: {error}", field=error.field) from None
    _refuse_unknown(data, adapter.dump_python(value, mode="json"), where, "")
    return value


def read(path: Path, kind: type[T]) -> T:
    """Read a `.toml` or `.json` file as a dataclass of type `kind`.

    Raises:
        BadConfigError: missing, too large, not valid TOML or JSON, or not a `kind`.
    """
    return from_plain(read_plain(path), kind, str(path))


def read_plain(path: Path) -> Any:
    """Read a `.toml` or `.json` file as plain dicts, lists and numbers.

    Raises:
        BadConfigError: missing, too large, or not valid TOML or JSON.
    """
    try:
        contents = files.read_bounded(path, MAX_BYTES)
        if len(contents) > MAX_BYTES:
            raise BadConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB; this is no file of ours.")
        text = contents.decode()
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise BadConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise BadConfigError(f"{path}: not valid {path.suffix.lstrip('.') or 'JSON'} ({error}).") from None


def _words(error: Any) -> str:
    """What is wrong with a value, in plain words; the validator's own where there are none."""
    kind, limits = str(error["type"]), error.get("ctx", {})
    wanted = {
        "missing": "this key is missing",
        "dict_type": "must be a table of keys and values",
        "dataclass_type": "must be a table of keys and values",
        "tuple_type": "must be a list",
        "list_type": "must be a list",
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "literal_error": f"must be {limits.get('expected')}",
        "value_error": str(limits.get("error", error["msg"])),
        "greater_than": f"must be above {limits.get('gt')}",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than": f"must be below {limits.get('lt')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
        "finite_number": "must be a finite number",
        "path_type": "must be a path",
    }.get(kind, str(error["msg"]).replace("Input should be", "must be"))
    if kind in ("missing", "value_error"):
        within = error.get("input")
        if kind == "missing" and isinstance(error["loc"][-1], int) and isinstance(within, (list, tuple)):
            return f"must be a list of more than {len(within)} values"
        return wanted
    return f"{wanted}, got {error.get('input')!r:.60}"


def _misspelt(data: object, missing: tuple[int | str, ...]) -> str:
    """A "did you mean" question for the given key that is nearest to a missing one."""
    for part in missing[:-1]:
        if isinstance(data, dict):
            data = data.get(part)
    near = difflib.get_close_matches(str(missing[-1]), map(str, data), n=1) if isinstance(data, dict) else []
    return f" Is it meant by {near[0]!r}?" if near else ""


def _refuse_unknown(given: object, known: object, where: str, path: str) -> None:
    """Refuse unknown keys, which validation itself ignores."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                near = difflib.get_close_matches(str(key), list(known), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(map(str, known))}."
                raise BadConfigError(f"{where}: {path or 'top level'}: unknown key {key!r}.{hint}")
            _refuse_unknown(value, known[key], where, f"{path}.{key}".lstrip("."))
    elif isinstance(given, (list, tuple)) and isinstance(known, (list, tuple)):
        for index, (left, right) in enumerate(zip(given, known, strict=False)):
            _refuse_unknown(left, right, where, f"{path}[{index}]")
