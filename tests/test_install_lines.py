"""The lines that users copy install PyTorch for the CPU, not gigabytes of CUDA: pip itself resolves them here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from densecast.errors import install_line

ROOT = Path(__file__).parent.parent
_CUDA = ("nvidia-cuda-runtime", "triton")


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    """A wheel without contents, in a package index of files."""
    shelf = folder / name
    shelf.mkdir(parents=True, exist_ok=True)
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    file = shelf / f"{plain}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    links = "".join(f'<a href="{each.name}">{each.name}</a>\n' for each in sorted(shelf.glob("*.whl")))
    (shelf / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>", encoding="utf-8")


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two indexes as they are: PyPI's torch requires CUDA, PyTorch's own index has a build for CPUs."""
    made = tmp_path_factory.mktemp("indexes")
    pinned = re.search(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    for version in (pinned[1], "99.1"):
        wheel(made / "pypi", "torch", version, _CUDA)
        wheel(made / "cpu", "torch", f"{version}+cpu")
    for name in _CUDA:
        wheel(made / "pypi", name, "1.0")
    return made / "pypi", made / "cpu"


def resolved(line: str, indexes: tuple[Path, Path], tmp_path: Path) -> dict[str, str]:
    """What pip would install for torch with the options of an install line, by name."""
    pypi, cpu = indexes
    options = re.findall(r"--extra-index-url (\S+)", line)
    assert all(each == "https://download.pytorch.org/whl/cpu" for each in options)
    report = tmp_path / "report.json"
    arguments = ["--extra-index-url", cpu.as_uri()] if options else []
    if "-c constraints.txt" in line:
        arguments += ["-c", str(ROOT / "constraints.txt")]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-cache-dir", "--quiet",
            "--disable-pip-version-check", "--index-url", pypi.as_uri(), *arguments, "--report", report, "torch",
        ],
        check=True,
        env={"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)},
    )  # fmt: skip
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {each["metadata"]["name"]: each["metadata"]["version"] for each in found}


def lines_of(path: Path) -> list[str]:
    """Lines of a document that install an extra with torch in it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [each for each in lines if re.search(r"pip install .*\[[^\]]*\b(torch|all)\b", each)]


@pytest.mark.slow
def test_every_line_of_the_documents_that_installs_torch_takes_the_build_for_cpus(
    indexes: tuple[Path, Path], tmp_path: Path
) -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
    lines = [line for path in documents for line in lines_of(path)]
    assert lines
    for line in lines:
        assert "--extra-index-url https://download.pytorch.org/whl/cpu" in line, line
    found = resolved(lines[0], indexes, tmp_path)
    assert list(found) == ["torch"] and found["torch"].endswith("+cpu") and not found["torch"].startswith("99")
    # Without the option the same command brings what is meant to stay away.
    assert set(resolved("pip install -c constraints.txt", indexes, tmp_path)) == {"torch", *_CUDA}


@pytest.mark.slow
def test_what_messages_say_to_install_takes_the_build_for_cpus(indexes: tuple[Path, Path], tmp_path: Path) -> None:
    assert resolved(install_line(["report", "torch"]), indexes, tmp_path) == {"torch": "99.1+cpu"}
    assert install_line(["torch"]).split("'")[0] == install_line(["all"]).split("'")[0]
    assert "--extra-index-url" not in install_line(["report", "quantize"])


def test_make_installs_the_build_for_cpus_first() -> None:
    said = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo", "venv"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    installs = [line for line in said if "pip install" in line]
    for line in installs:
        if re.search(r"\[.*\b(torch|all)\b.*\]", line):
            before = installs[: installs.index(line)]
            assert any("--extra-index-url https://download.pytorch.org/whl/cpu torch" in each for each in before)


@pytest.fixture(scope="module")
def locked() -> dict[str, dict[str, Any]]:
    """The packages of pylock.toml, by name."""
    packages = tomllib.loads((ROOT / "pylock.toml").read_text(encoding="utf-8"))["packages"]
    assert len({each["name"] for each in packages}) == len(packages) > 50
    return {each["name"]: each for each in packages}


def plain(name: str) -> str:
    """A name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_has_the_versions_of_the_constraints(locked: dict[str, dict[str, Any]]) -> None:
    """`make lock` writes it again."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line and not line.startswith("#"))
    pinned = {plain(name): version for name, version in pins.items()}
    # `pip freeze`, of which the constraints are made, leaves setuptools out; others are for other platforms.
    assert {name for name in locked if name not in pinned} <= {"colorama", "pywin32", "setuptools", "tzdata", "wheel"}
    for name, each in locked.items():
        assert each["version"] == pinned.get(name, each["version"]), name


def test_the_lock_has_all_that_the_extras_need_but_torch(locked: dict[str, dict[str, Any]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["all"]]
    named = set()
    while wanted:
        need = wanted.pop()
        if own := re.match(r"densecast\[(.*)\]", need):
            wanted += [each for extra in own[1].split(",") for each in extras[extra]]
        else:
            named.add(plain(re.split(r"[>=<~!; \[]", need)[0]))
    assert {"numpy", "nncf", "tensorflow-cpu", "torch"} <= named
    # PyPI's torch brings CUDA; the build for CPUs is on an index of its own.
    assert named - set(locked) == {"torch"} and not [name for name in locked if name.startswith(("nvidia", "triton"))]


def test_the_lock_is_right_for_everybody(locked: dict[str, dict[str, Any]]) -> None:
    """Every file is one of PyPI's own addresses, with its hash; none is of a machine or of another index."""
    for name, each in locked.items():
        files = [*each.get("wheels", []), *([each["sdist"]] if "sdist" in each else [])]
        assert files, name
        for file in files:
            assert file["url"].startswith("https://files.pythonhosted.org/packages/"), file["url"]
            assert re.fullmatch(r"[0-9a-f]{64}", file["hashes"]["sha256"]), name
