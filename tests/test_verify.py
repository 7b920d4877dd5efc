"""verify says what is no longer as it was built: files, precision, answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import command_line
import numpy as np
import pytest
import tiny_artifacts

from densecast.artifact import GOLDEN, MANIFEST, Artifact
from densecast.errors import BadArtifactError
from densecast.io import codec, files
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import PrecisionRan
from densecast.verbs.verify import verify


@pytest.fixture
def built(tmp_path: Path) -> Artifact:
    return tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32)))


def states(folder: Path) -> dict[str, str]:
    return {check.name: check.state for check in verify(folder).checks}


def resealed(built: Artifact) -> None:
    """Write hashes of the files as they now are, and the manifest as it is in `built`."""
    hashes = {name: files.sha256(built.folder / name) for name in built.manifest.files}
    files.write_text(built.folder / MANIFEST, codec.to_json(replace(built.manifest, files=hashes)))


def test_a_sound_artifact_is_sound(built: Artifact) -> None:
    assert set(states(built.folder).values()) == {"ok"}
    assert states(built.folder.parent / "float") == {"files": "ok", "graph": "note"}
    ended = command_line.densecast("verify", built.folder)
    assert ended.code == 0 and "answer" in ended.out


def test_a_changed_byte_is_an_error(built: Artifact) -> None:
    (built.folder / "model.onnx").write_bytes(b"x" + (built.folder / "model.onnx").read_bytes()[1:])
    with pytest.raises(BadArtifactError, match=r"model\.onnx"):
        verify(built.folder)
    assert "hash" in command_line.failed(3, "verify", built.folder)


def test_another_answer_fails(built: Artifact, tmp_path: Path) -> None:
    with np.load(built.folder / GOLDEN) as held:
        np.savez(built.folder / GOLDEN, output=held["output"] * np.float32(1.01), shape=held["shape"])
    resealed(built)
    assert states(built.folder)["answer"] == "failed"
    ended = command_line.densecast("verify", built.folder)
    assert ended.code == 1 and "failed" in ended.out


def test_an_answer_that_cannot_be_read_is_an_error(built: Artifact) -> None:
    for data in (b"", b"PK\x03\x04 and no more", b"\x93NUMPY"):
        (built.folder / GOLDEN).write_bytes(data)
        resealed(built)
        with pytest.raises(BadArtifactError, match="cannot be read"):
            verify(built.folder)


def test_another_precision_fails_and_another_machine_is_noted(built: Artifact) -> None:
    machine = replace(built.manifest.machine, cpu="another", packages={"onnxruntime": "0.1"})
    manifest = replace(built.manifest, precision_ran=PrecisionRan("int8", {}, "said so"), machine=machine)
    resealed(replace(built, manifest=manifest))
    found = states(built.folder)
    assert (found["precision"], found["CPU"], found["engine"], found["answer"]) == ("failed", "note", "note", "ok")


def test_builds_of_before_have_no_answer_and_are_fine(built: Artifact) -> None:
    (built.folder / GOLDEN).unlink()
    others = {name: digest for name, digest in built.manifest.files.items() if name != GOLDEN}
    resealed(replace(built, manifest=replace(built.manifest, files=others)))
    assert verify(built.folder).is_sound and states(built.folder)["answer"] == "note"
