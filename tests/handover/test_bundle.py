"""A bundle has all that its artifacts need on another machine: nothing is fetched there, and everything is verified."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from command_line import densecast, failed, tree
from made_handovers import coarse, exported, picture, spec
from PIL import Image
from stub_wheels import instead_of_an_index, stub

import densecast as package
from densecast import BuildOptions, BundleOptions, bundle
from densecast.artifact import Artifact
from densecast.errors import MissingError
from densecast.io import own_folders
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build
from densecast.verbs.bundle import own_wheel, wheels

OTHER = wheels.Target("3.13", 28, "aarch64")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("source")
    return build(exported(root, coarse(), spec(SegmentationDecode())), root / "built", BuildOptions("onnxruntime"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture
def offline(index: Path) -> Iterator[None]:
    with instead_of_an_index(index):
        yield


@pytest.mark.slow
def test_the_packed_wheel_holds_the_package_and_hashes_of_it(tmp_path: Path) -> None:
    path = own_wheel.write(tmp_path)
    root = Path(package.__file__).parent
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        record = archive.read(next(name for name in names if name.endswith("RECORD"))).decode()
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(record))}
        for name in names:
            data = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert name.endswith("RECORD") or rows[name] == [f"sha256={digest}", str(len(data))]
        assert (
            f"Version: {package.__version__}"
            in archive.read(f"densecast-{package.__version__}.dist-info/METADATA").decode()
        )
    there = {
        each.relative_to(root.parent).as_posix()
        for each in root.rglob("*")
        if each.suffix in (".py", ".safetensors", ".j2")
    }
    assert there <= set(names) and not any(name.endswith((".pyc", ".nbc", ".nbi")) for name in names)


def test_conditions_hold_for_the_other_python_and_machine(tmp_path: Path) -> None:
    own = stub(
        tmp_path,
        "densecast",
        needs=(
            "here",
            "old; python_version < '3.13'",
            "new; python_version >= '3.13'",
            "intel; platform_machine == 'x86_64'",
            "arm>=2; platform_machine == 'aarch64'",
            "served; extra == 'serve'",
        ),
    )
    stub(tmp_path, "here", needs=("windows; sys_platform == 'win32'", "deeper_still"))
    assert wheels.missing(tmp_path, own, (), OTHER) == ["arm>=2", "deeper_still", "new"]
    assert wheels.missing(tmp_path, own, ("serve",), OTHER) == ["arm>=2", "deeper_still", "new", "served"]


def test_wheels_of_older_systems_are_taken_and_of_newer_ones_not() -> None:
    assert OTHER.platform == OTHER.platforms[0] == "manylinux_2_28_aarch64"
    assert "manylinux_2_17_aarch64" in OTHER.platforms and "manylinux2014_aarch64" in OTHER.platforms
    assert not any("2_29" in each or "x86" in each for each in OTHER.platforms)
    # PEP 600 begins with glibc 2.5, of which manylinux1 is the older name.
    oldest = wheels.Target("3.12", 28, "x86_64").platforms[-3:]
    assert oldest == ("manylinux_2_5_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")


def test_versions_of_what_is_installed_are_those_that_an_index_has() -> None:
    found = wheels.installed_versions()
    assert "densecast" not in found
    for name in ("numpy", "onnx", "pytest"):
        assert metadata.version(name).split("+")[0] == found[name] != ""


def test_a_bundles_record_is_of_all_that_lies_in_it(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What fetches and packs the wheels has tests of its own.
    monkeypatch.setattr(own_wheel, "write", lambda folder: folder / "densecast-1-py3-none-any.whl")
    monkeypatch.setattr(wheels, "fetch", lambda folder, *_: (folder / "a-1-py3-none-any.whl").write_bytes(b"wheel"))
    result = bundle([source], out := tmp_path / "bundle", BundleOptions("3.12", "manylinux_2_28_aarch64"))
    found = {name: text for name, text in tree(out).items() if text and name not in ("SHA256SUMS", "bundle.json")}
    assert (result.artifacts, result.requirement) == (("built",), f"densecast=={package.__version__}")
    assert result.files == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    assert result.size_bytes == sum(map(len, found.values()))
    assert result.wheels == ("a-1-py3-none-any.whl",) and "artifacts/built/manifest.json" in found
    assert json.loads((out / "bundle.json").read_text())["artifacts"] == ["built"]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_bundle_holds_the_artifact_its_wheels_and_hashes_of_all(source: Artifact, tmp_path: Path) -> None:
    options = BundleOptions("3.12", "manylinux_2_28_aarch64")
    result = bundle([source], tmp_path / "bundle", options)
    out = tmp_path / "bundle"
    assert result.python == "3.12" and result.artifacts == ("built",)
    wanted = {"densecast", "numpy", "onnxruntime", "openvino", "numba", "packaging", "pyyaml"}
    assert wanted <= {name.split("-")[0].lower() for name in result.wheels}
    numpy = metadata.version("numpy")
    assert f"numpy-{numpy}-py3-none-any.whl" in result.wheels
    assert Artifact.open(out / "artifacts" / "built").identity == source.identity
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest == result.files[name]
    assert json.loads((out / "bundle.json").read_text())["platform"] == "manylinux_2_28_aarch64"
    assert any("x86_64" in remark for remark in result.remarks) or os.uname().machine == "aarch64"
    script = out / "install.sh"
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    # This machine or Python is another than the bundle's: nothing is installed.
    done = subprocess.run(["sh", script, tmp_path / "venv"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and done.stderr.startswith("install.sh: ") and not (tmp_path / "venv").exists()
    (out / "wheels" / f"numpy-{numpy}-py3-none-any.whl").write_bytes(b"other")
    done = subprocess.run(["sh", script, tmp_path / "venv"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "a file is missing or changed" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_an_archive_unpacks_to_one_folder_and_an_earlier_one_is_replaced(source: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "cars.tar.gz"
    for _ in range(2):
        ended = densecast("bundle", source.folder, "--out", target)
        assert ended.code == 0, ended.err
    assert [each.name for each in tmp_path.iterdir()] == ["cars.tar.gz"]
    with tarfile.open(target) as archive:
        assert {name.split("/")[0] for name in archive.getnames()} == {"cars"}
        assert archive.getmember("cars/install.sh").mode & 0o111


@pytest.mark.slow
def test_what_cannot_be_had_is_said(source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingError, match=r"pip has no wheels for Python 3\.14"):
        bundle([source], tmp_path / "bundle", BundleOptions("3.14"))
    assert not (tmp_path / "bundle").exists()
    given = source.folder
    assert "--python" in failed(2, "bundle", given, "--out", tmp_path / "a", "--python", "2.7")
    assert "--platform" in failed(2, "bundle", given, "--out", tmp_path / "a", "--platform", "win_amd64")
    assert "two artifacts" in failed(2, "bundle", given, given, "--out", tmp_path / "a")
    assert "no extra 'srve'" in failed(2, "bundle", given, "--out", tmp_path / "a", "--extra", "srve")
    assert ".tar.gz" in failed(2, "bundle", given, "--out", tmp_path / "a.zip")


def written_bundle(folder: Path) -> Path:
    """A small bundle as `bundle` leaves it: files, their hashes, the record."""
    (folder / "wheels").mkdir(parents=True)
    (folder / "install.sh").write_text("exit 0\n")
    (folder / "wheels" / "a.whl").write_bytes(b"wheel")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("install.sh", "wheels/a.whl")}
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in hashes.items()))
    (folder / "bundle.json").write_text(json.dumps({"files": hashes}))
    return folder


def packed(folder: Path, top: str) -> Path:
    target = folder.with_name("packed.tar.gz")
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, top)
    return target


CHANGES = ("a folder of mine", "an edited file", "a file more", "a link more", "a damaged record")


@pytest.mark.parametrize("form", ["folder", "archive"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_a_bundle_was_written_is_kept(change: str, form: str, source: Artifact, tmp_path: Path) -> None:
    """Before anything is fetched: there is no index in this test."""
    out = written_bundle(tmp_path / "made" / "packed")
    if change == "a folder of mine":
        (out / "SHA256SUMS").unlink()
        (out / "bundle.json").rename(out / "thesis.json")
    elif change == "an edited file":
        (out / "install.sh").write_text("exit 1\n")
    elif change == "a file more":
        (out / "wheels" / "mine.whl").write_bytes(b"years")
    elif change == "a link more":
        (out / "wheels" / "b.whl").symlink_to("a.whl")
    else:
        (out / "bundle.json").write_text("{")
    target = out if form == "folder" else packed(out, "packed").rename(tmp_path / "packed.tar.gz")
    before = tree(tmp_path)
    assert str(target) in failed(2, "bundle", source.folder, "--out", target, "-q")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_an_unchanged_bundle_may_be_replaced(form: str, tmp_path: Path) -> None:
    out = written_bundle(tmp_path / "packed")
    if form == "folder":
        own_folders.replaceable(out, "bundle.json", ("SHA256SUMS",))
    else:
        own_folders.replaceable_archive(packed(out, "packed"), "bundle.json", ("SHA256SUMS",))


def test_a_bundle_is_not_written_into_the_artifact_it_packs(source: Artifact) -> None:
    before = tree(source.folder)
    for target in (source.folder, source.folder / "packed", source.folder / "deep" / "packed.tar.gz"):
        assert "the artifact" in failed(2, "bundle", source.folder, "--out", target, "-q")
    assert tree(source.folder) == before


@pytest.mark.slow
def test_it_is_installed_and_runs_where_there_is_no_index(source: Artifact, tmp_path: Path) -> None:
    try:
        bundle([source], tmp_path / "bundle")
    except MissingError as error:
        pytest.skip(f"NO index: a bundle is NOT TRIED ({error})")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHON": sys.executable, "PIP_NO_INDEX": "1"}
    environment["PIP_INDEX_URL"] = "http://127.0.0.1:9/nothing"
    command = ["sh", tmp_path / "bundle" / "install.sh", tmp_path / "venv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    run = [tmp_path / "venv" / "bin" / "densecast", "infer", tmp_path / "bundle" / "artifacts" / "built"]
    run += [tmp_path / "photo.png", "--out", tmp_path / "out"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0 and (tmp_path / "out" / "photo.png").is_file(), done.stderr
