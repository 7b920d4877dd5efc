"""Writes `install.sh`, which installs a bundle without a network and verifies it, and the bundle's README."""

from __future__ import annotations

from collections.abc import Sequence

from densecast.verbs.bundle.wheels import Target

_SCRIPT = """#!/bin/sh
# Installs densecast from this folder alone into a virtual environment, and verifies the models: sh install.sh [VENV]
set -eu
venv=${{1:-$(dirname "$0")/venv}}
case "$venv" in /*) ;; *) venv=$PWD/$venv ;; esac
cd "$(dirname "$0")"
python=${{PYTHON:-python{python}}}
fail() {{ echo "install.sh: $1" >&2; exit 3; }}
sha256sum --check --quiet SHA256SUMS || fail "a file is missing or changed: copy the bundle again"
here=$(uname -s)-$(uname -m)
[ "$here" = "Linux-{arch}" ] || fail "this bundle is for Linux-{arch}, and here is $here"
command -v "$python" >/dev/null || fail "there is no $python: name Python {python} with PYTHON=/path/to/python"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$found" = "{python}" ] || fail "this bundle is for Python {python}, and $python is $found"
glibc=$("$python" -c 'import platform; print(platform.libc_ver()[1].split(".")[1])')
[ "$glibc" -ge {glibc} ] || fail "this bundle needs glibc 2.{glibc}, and here is 2.$glibc"
"$python" -m venv "$venv" || fail "no virtual environment could be made (Debian: apt-get install python{python}-venv)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links wheels '{requirement}'
for artifact in artifacts/*/; do
  "$venv/bin/densecast" verify "$artifact" || fail "$artifact does not compute here what it did where it was built"
done
echo "installed: $venv/bin/densecast"
"""


def script(requirement: str, machine: Target) -> str:
    """The text of `install.sh`."""
    return _SCRIPT.format(requirement=requirement, python=machine.python, arch=machine.arch, glibc=machine.glibc_minor)


def readme(requirement: str, machine: Target, artifacts: Sequence[str], remarks: Sequence[str]) -> str:
    """The text of the bundle's `README.md`."""
    listed = "".join(f"- `artifacts/{name}`\n" for name in artifacts)
    told = "".join(f"- {remark}\n" for remark in remarks)
    glibc = machine.glibc_minor
    return (
        f"# {requirement} for Python {machine.python}, Linux on {machine.arch}, glibc 2.{glibc} or newer\n"
        "\nNeeds that Python with its `venv`, and no network:\n\n```sh\nsh install.sh /opt/densecast\n"
        f"/opt/densecast/bin/densecast infer artifacts/{artifacts[0]} photos --out predictions\n```\n\n{listed}\n"
        "`install.sh` checks every file against `SHA256SUMS`, installs the wheels into a virtual environment, and "
        f"verifies each model: its files, its engine, and its answer to a stored test image.\n{told}"
    )
