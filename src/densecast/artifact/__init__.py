"""Artifacts: folders of model files described by a manifest; every pipeline step reads one and writes a new one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from densecast.artifact import manifest as manifests
from densecast.artifact.manifest import (
    MANIFEST,
    CalibrationRecord,
    CompiledManifest,
    FloatManifest,
    Manifest,
    NetworkRef,
    Option,
    ParityRecord,
    WeightsRecord,
)
from densecast.errors import BadArtifactError, UsageError
from densecast.io import files, mirror, temporaries
from densecast.spec.model import ModelSpec

__all__ = [
    "GOLDEN",
    "MANIFEST",
    "Artifact",
    "CalibrationRecord",
    "CompiledArtifact",
    "CompiledManifest",
    "Draft",
    "FloatArtifact",
    "FloatManifest",
    "Manifest",
    "NetworkRef",
    "Option",
    "ParityRecord",
    "WeightsRecord",
    "now",
    "writing",
]

GOLDEN = "golden.npz"
"""What a built model answered to a fixed input; nothing that it computes with."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact on disk: a `FloatArtifact` or a `CompiledArtifact`."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Read the manifest and check every file against its hash; returns the subclass that the manifest names.

        Called on a kind, another kind is an error. A URL is copied to the cache, once for each of its contents.

        Raises:
            BadArtifactError: no manifest, one of a newer version, a file that is missing or changed, or another kind.
            BadInputError, MissingExtraError: a URL that cannot be read.
        """
        given = files.given(folder)
        url = mirror.url_of(folder)
        folder = given if url is None else mirror.artifact(url, MANIFEST)
        path = folder / MANIFEST
        temporaries.recover(folder)
        if not path.is_file():
            if folder.is_file() and (folder.parent / MANIFEST).is_file():
                raise BadArtifactError(f"{folder} is a file of the artifact {folder.parent}: name that folder.")
            what = f"is no artifact: it has no {MANIFEST}" if folder.exists() else "does not exist"
            raise BadArtifactError(f"{folder} {what}. Make one with `densecast export` or `build`.")
        manifest = manifests.read(path)
        for name, digest in manifest.files.items():
            if Path(name).name != name or name == "..":
                raise BadArtifactError(f"{path}: file name {name!r} leaves the artifact's folder.")
            file = folder / name
            if not file.is_file():
                raise BadArtifactError(f"{folder} is damaged: {name} is missing. Build it again.")
            if files.sha256(file) != digest:
                raise BadArtifactError(
                    f"{folder} is damaged: {name} does not have the hash in its manifest. Build it again."
                )
        opened: Artifact
        if isinstance(manifest, FloatManifest):
            opened = FloatArtifact(folder, manifest)
        else:
            opened = CompiledArtifact(folder, manifest)
        if not isinstance(opened, cls):
            raise BadArtifactError(cls.wrong_kind(folder))
        return opened

    @classmethod
    def wrong_kind(cls, folder: Path) -> str:
        """The error message for an artifact of another kind."""
        return f"{folder} is of another kind."

    @classmethod
    def existing(cls, folder: Path, key: str) -> Self | None:
        """The artifact in `folder` if it is intact and its key equals `key`; else None.

        Raises:
            UsageError: something is there that is no artifact, and must not be replaced by one.
        """
        _refuse_foreign(folder)
        if not (folder / MANIFEST).is_file():
            return None
        try:
            opened = cls.open(folder)
        except BadArtifactError:
            return None
        return opened if opened.manifest.key == key else None

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.manifest.spec

    @property
    def identity(self) -> str:
        """Hash over the contents of all files used in computation: equal for artifacts of the same numbers."""
        computes = [(name, digest) for name, digest in sorted(self.manifest.files.items()) if name != GOLDEN]
        return files.sha256_text(json.dumps(computes))

    @property
    def meaning(self) -> str:
        """Hash over all that changes an answer: `identity`, and the spec, which says what goes in and comes out."""
        from densecast.io import codec

        return files.sha256_text(json.dumps([self.identity, codec.to_plain(self.spec)], sort_keys=True))

    @property
    def size_bytes(self) -> int:
        """Size of all files together, without the manifest."""
        return sum(self.file(name).stat().st_size for name in self.manifest.files)

    def file(self, name: str) -> Path:
        """The path of one of the artifact's files.

        Raises:
            BadArtifactError: the artifact has no such file.
        """
        if name not in self.manifest.files:
            raise BadArtifactError(f"{self.folder} holds no {name}; it holds {', '.join(self.manifest.files)}.")
        return self.folder / name


@dataclass(frozen=True, slots=True)
class FloatArtifact(Artifact):
    """An exported graph, which models are built from."""

    manifest: FloatManifest

    @classmethod
    def wrong_kind(cls, folder: Path) -> str:
        """The error message for a compiled artifact."""
        return f"{folder} is already compiled. Name the exported artifact that it was built from."


@dataclass(frozen=True, slots=True)
class CompiledArtifact(Artifact):
    """A model compiled for one engine, precision and shape."""

    manifest: CompiledManifest

    @classmethod
    def wrong_kind(cls, folder: Path) -> str:
        """The error message for an artifact that is not compiled."""
        return f"{folder} is not compiled. Run `densecast build` on it first."


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Draft]:
    """A draft folder, which becomes the artifact at `target` if the block succeeds and has called `finish`.

    Raises:
        UsageError: something is there that is no artifact, and must not be replaced by one.
    """
    _refuse_foreign(target)
    with files.new_folder(target) as scratch:
        draft = Draft(scratch)
        yield draft
        if not (scratch / MANIFEST).is_file():
            raise AssertionError("the draft was not finished")


@dataclass(frozen=True, slots=True)
class Draft:
    """An artifact being written: put files into `folder`, then call `finish` once."""

    folder: Path

    def finish(self, manifest: Manifest) -> None:
        """Hash all files and write the manifest."""
        hashes = {path.name: files.sha256(path) for path in sorted(self.folder.iterdir()) if path.name != MANIFEST}
        files.write_text(self.folder / MANIFEST, manifests.to_json(replace(manifest, files=hashes)))


def _refuse_foreign(target: Path) -> None:
    """Refuse to replace a folder that is not an artifact."""
    is_artifact = (target / MANIFEST).is_file()
    # What a killed process has left there is nobody's.
    is_empty = target.is_dir() and all(temporaries.is_temporary(path.name) for path in target.iterdir())
    if target.exists() and not is_artifact and not is_empty:
        raise UsageError(f"{target} exists and is no artifact. Name another folder, or remove it first.")


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
