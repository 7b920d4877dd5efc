"""Artifacts that are damaged or of the wrong kind are refused, and folders of something else never replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
import tiny_graphs
from command_line import failed, tree
from made_images import write_jpeg


@pytest.fixture
def damaged(artifacts: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifacts / "built", tmp_path / "built"))


def refused_artifact(artifact: Path, tmp_path: Path) -> str:
    image = write_jpeg(tmp_path / "a.jpg")
    message = failed(3, "infer", artifact, image, "--out", tmp_path / "out", "-q")
    assert not (tmp_path / "out").exists()
    return message


def manifest_with(artifact: Path, **changes: object) -> None:
    path = artifact / "manifest.json"
    plain = json.loads(path.read_text()) | changes
    # Whoever changes a manifest on purpose can take its digest away.
    plain.pop("manifest_sha256", None)
    path.write_text(json.dumps(plain))


def test_artifact_with_a_changed_byte(damaged: Path, tmp_path: Path) -> None:
    content = bytearray((damaged / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(content)
    assert "model.onnx does not have the hash" in refused_artifact(damaged, tmp_path)


def test_artifact_with_a_missing_file(damaged: Path, tmp_path: Path) -> None:
    (damaged / "model.onnx").unlink()
    assert "model.onnx is missing" in refused_artifact(damaged, tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ".."])
def test_artifact_with_a_file_name_that_leaves_it(damaged: Path, tmp_path: Path, name: str) -> None:
    manifest_with(damaged, files={name: "0" * 64})
    assert "leaves the artifact's folder" in refused_artifact(damaged, tmp_path)


def test_artifact_of_another_format(damaged: Path, tmp_path: Path) -> None:
    manifest_with(damaged, format=99)
    assert "manifest format 99" in refused_artifact(damaged, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"kind": "float"}', "\x00\x01", "[" * 100_000, '{"kind": 1, "files": {"a": []}}']
)
def test_artifact_with_a_malformed_manifest(damaged: Path, tmp_path: Path, text: str) -> None:
    (damaged / "manifest.json").write_text(text)
    assert "damaged artifact" in refused_artifact(damaged, tmp_path)


def test_artifact_with_an_unknown_key_names_it(damaged: Path, tmp_path: Path) -> None:
    manifest_with(damaged, passess=[])
    message = refused_artifact(damaged, tmp_path)
    assert "unknown key 'passess'" in message and "'passes'" in message


def test_folder_that_is_no_artifact(tmp_path: Path) -> None:
    assert "is no artifact" in refused_artifact(tmp_path, tmp_path)


def test_float_artifact_where_a_built_one_is_needed(artifacts: Path, tmp_path: Path) -> None:
    assert "densecast build" in refused_artifact(artifacts / "float", tmp_path)


def test_built_artifact_where_a_float_one_is_needed(artifacts: Path, tmp_path: Path) -> None:
    assert "already compiled" in failed(3, "build", artifacts / "built", "--out", tmp_path / "out", "-q")
    assert not list(tmp_path.iterdir())


# Folders that would be lost


def test_a_folder_of_something_else_is_never_replaced(artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    before = tree(tmp_path)
    for arguments in (
        ("build", artifacts / "float", "--backend", "reference"),
        ("export", tmp_path / "tiny.onnx", "--labels", "background,car"),
    ):
        assert "is no artifact" in failed(2, *arguments, "--out", tmp_path / "photos", "-q")
    assert tree(tmp_path) == before


def test_an_artifact_is_not_built_over_its_own_source(artifacts: Path) -> None:
    before = tree(artifacts)
    message = failed(2, "build", artifacts / "float", "--out", artifacts / "float", "--backend", "reference", "-q")
    assert "Name another folder" in message
    assert tree(artifacts) == before
