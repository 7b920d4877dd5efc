"""Fetches the wheels that densecast needs on another machine: by pip, for that machine's Python and platform.

Versions are those that are installed here, for an artifact's numbers are those of its engine's version. pip evaluates
conditions such as `python_version < "3.12"` by the Python that runs it, so what is missing for the other one is found
in the wheels' own metadata, and asked for until nothing is missing.
"""

from __future__ import annotations

import platform as this_machine
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any

from densecast.errors import MissingError

_OLDEST_GLIBC_MINOR = 17
_ROUNDS = 8
_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that wheels are for: `python` as `3.12`, `glibc_minor` 28 for glibc 2.28, and its `arch`."""

    python: str
    glibc_minor: int
    arch: str

    @property
    def platform(self) -> str:
        """As pip names it."""
        return f"manylinux_2_{self.glibc_minor}_{self.arch}"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platforms whose wheels run there: those of this glibc and older ones."""
        listed = [f"manylinux_2_{minor}_{self.arch}" for minor in range(self.glibc_minor, 4, -1)]
        return (*listed, f"manylinux2014_{self.arch}", *([f"manylinux1_{self.arch}"] if self.arch == "x86_64" else []))

    def environment(self) -> dict[str, str]:
        """What conditions of requirements are evaluated by."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_machine": self.arch,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_version": "",
        }


def target(python: str | None, platform: str | None) -> Target:
    """The machine that is named, or this one.

    Raises:
        MissingError: this one is none that wheels for Linux run on.
    """
    python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    if platform is not None:
        parts = re.fullmatch(r"manylinux(?:_2_(\d+)|2014)_(\w+)", platform)
        assert parts is not None, "the options have checked it"
        return Target(python, int(parts[1] or _OLDEST_GLIBC_MINOR), parts[2])
    name, version = this_machine.libc_ver()
    if name != "glibc":
        raise MissingError("this machine has no glibc: name the other one's --platform, as manylinux_2_28_x86_64.")
    return Target(python, int(version.split(".")[1]), this_machine.machine())


def fetch(folder: Path, own: Path, extras: tuple[str, ...], machine: Target) -> None:
    """Have in `folder` all wheels that the wheel `own` needs with `extras` on that machine.

    Raises:
        MissingError: there is no pip, or it finds no such wheel.
    """
    pins = installed_versions()
    wanted = [f"{own}[{','.join(extras)}]" if extras else str(own)]
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())), encoding="utf-8")
    for _ in range(_ROUNDS):
        _download(folder, wanted, constraints, machine)
        wanted = missing(folder, own, extras, machine)
        if not wanted:
            constraints.unlink()
            return
    raise MissingError(f"pip does not fetch {', '.join(wanted)} for Python {machine.python} on {machine.platform}.")


def _download(folder: Path, wanted: list[str], constraints: Path, machine: Target) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--only-binary=:all:"]
    command += ["--dest", str(folder), "--constraint", str(constraints), "--find-links", str(folder)]
    command += ["--python-version", machine.python, "--implementation", "cp"]
    command += [f"--platform={each}" for each in (*machine.platforms, f"linux_{machine.arch}")]
    try:
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise MissingError(f"pip fetched nothing for {_SECONDS // 60} minutes. Is there an index?") from None
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise MissingError("wheels are fetched by pip, which this environment lacks: python -m ensurepip.")
    reason = _reason(done.stderr + done.stdout) or f"exit code {done.returncode}"
    raise MissingError(f"pip has no wheels for Python {machine.python} on {machine.platform}: {reason}")


def _reason(told: str) -> str:
    """What pip says of its failure, in one line: its first error, and of a conflict the requirements that made it."""
    lines = [line.strip() for line in told.splitlines()]
    first = next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")), " ".join(lines[-1:]))
    if "The conflict is caused by:" in lines:
        place = lines.index("The conflict is caused by:") + 1
        first = f"{first} {'; '.join(takewhile(bool, lines[place:]))}"
    return first


def installed_versions() -> dict[str, str]:
    """The version of every package that is installed here, but densecast's own."""
    found = {_plain(each.metadata["Name"]): each.version for each in metadata.distributions() if each.metadata["Name"]}
    # A local version, as 2.13.0+cpu, is on no index.
    return {name: version.partition("+")[0] for name, version in found.items() if name != "densecast"}


def missing(folder: Path, own: Path, extras: tuple[str, ...], machine: Target) -> list[str]:
    """Requirements of the wheels, as they hold on that machine, that no wheel in the folder meets."""
    from packaging.requirements import Requirement

    wheels = {_plain(path.name.split("-")[0]): path for path in sorted(folder.glob("*.whl"))}
    wheels["densecast"] = own
    open_now, seen, lacking = [("densecast", frozenset(extras))], set[tuple[str, frozenset[str]]](), dict[str, str]()
    while open_now:
        name, chosen = open_now.pop()
        if (name, chosen) in seen:
            continue
        seen.add((name, chosen))
        for text in _requirements(wheels[name]):
            requirement = Requirement(text)
            if not _holds(requirement.marker, chosen, machine):
                continue
            needed = _plain(requirement.name)
            if needed in wheels:
                open_now.append((needed, frozenset(requirement.extras)))
            else:
                requirement.marker = None
                lacking[needed] = str(requirement)
    return sorted(lacking.values())


def _holds(marker: Any, extras: frozenset[str], machine: Target) -> bool:
    if marker is None:
        return True
    return any(marker.evaluate({**machine.environment(), "extra": extra}) for extra in ("", *extras))


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(name).decode(errors="replace"), headersonly=True)
    return told.get_all("Requires-Dist") or []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
