"""Packs the installed densecast as a wheel again, without a tool that builds wheels.

Works for a package from a wheel and for an editable checkout alike: what is packed is what runs here.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import densecast
from densecast.errors import MissingError

_LEFT_OUT = {"__pycache__"}
_LEFT_OUT_SUFFIXES = {".pyc", ".nbi", ".nbc"}
# The date of the format's beginning: equal files give equal wheels.
_DATE = (1980, 1, 1, 0, 0, 0)


def write(folder: Path) -> Path:
    """Write `densecast-<version>-py3-none-any.whl` to a folder; returns its path.

    Raises:
        MissingError: the package's metadata are not installed with it.
    """
    distribution = _installed()
    name = f"densecast-{densecast.__version__}"
    info = f"{name}.dist-info"
    members = {f"{info}/METADATA": _metadata(distribution).encode()}
    members[f"{info}/entry_points.txt"] = (distribution.read_text("entry_points.txt") or "").encode()
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
    told = Parser().parsestr(_metadata(_installed()), headersonly=True)
    return tuple(told.get_all("Provides-Extra") or ())


def _installed() -> metadata.Distribution:
    try:
        return metadata.distribution("densecast")
    except metadata.PackageNotFoundError:
        raise MissingError(
            "densecast runs from a folder without being installed: pip install it (or pip install -e) first."
        ) from None


def _metadata(distribution: metadata.Distribution) -> str:
    """The installed metadata; of a checkout with what it requires now, for it may have changed since."""
    text = distribution.read_text("METADATA") or ""
    root = Path(densecast.__file__).parent
    project = root.parents[1] / "pyproject.toml"
    if root.parent.name != "src" or not project.is_file():
        return text
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    head, _, body = text.partition("\n\n")
    lines = [line for line in head.splitlines() if not line.startswith(("Requires-Dist:", "Provides-Extra:"))]
    lines += [f"Requires-Dist: {need}" for need in told["dependencies"]]
    for extra, needs in told["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for need in needs:
            name, _, condition = need.partition(";")
            both = f"({condition.strip()}) and extra == '{extra}'" if condition else f"extra == '{extra}'"
            lines.append(f"Requires-Dist: {name.strip()}; {both}")
    return "\n".join([*lines, "", body])


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
