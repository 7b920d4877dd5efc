"""Packs the installed densecast as a wheel again, without a tool that builds wheels.

Works for a package from a wheel and for an editable checkout alike: what is packed is what runs here.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

import densecast
from densecast.errors import MissingError

_LEFT_OUT = {"__pycache__"}
_LEFT_OUT_SUFFIXES = {".pyc", ".nbi", ".nbc"}
_METADATA = ("METADATA", "entry_points.txt")
# The date of the format's beginning: equal files give equal wheels.
_DATE = (1980, 1, 1, 0, 0, 0)


def write(folder: Path) -> Path:
    """Write `densecast-<version>-py3-none-any.whl` to a folder; returns its path.

    Raises:
        MissingError: the package's metadata are not installed with it.
    """
    try:
        distribution = metadata.distribution("densecast")
    except metadata.PackageNotFoundError:
        raise MissingError(
            "densecast runs from a folder without being installed: pip install it (or pip install -e) first."
        ) from None
    name = f"densecast-{densecast.__version__}"
    info = f"{name}.dist-info"
    members = {
        f"{info}/{each}": text.encode() for each in _METADATA if (text := distribution.read_text(each)) is not None
    }
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: densecast\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    for licence in ("LICENSE", "licenses/LICENSE"):
        text = distribution.read_text(licence)
        if text is not None:
            members[f"{info}/licenses/LICENSE"] = text.encode()
    root = Path(densecast.__file__).parent
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root.parent)
        if path.is_file() and not _LEFT_OUT.intersection(inside.parts) and path.suffix not in _LEFT_OUT_SUFFIXES:
            members[inside.as_posix()] = path.read_bytes()
    record = f"{info}/RECORD"
    lines = [f"{each},sha256={_digest(data)},{len(data)}" for each, data in members.items()]
    members[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    target = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in members.items():
            entry = zipfile.ZipInfo(each, _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return target


def extras() -> tuple[str, ...]:
    """The extras that densecast has."""
    try:
        return tuple(metadata.metadata("densecast").get_all("Provides-Extra") or ())
    except metadata.PackageNotFoundError:
        return ()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
