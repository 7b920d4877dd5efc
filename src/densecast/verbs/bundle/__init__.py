"""Bundles artifacts with all that runs them, for machines without a network: wheels, models, a script that installs."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import densecast
from densecast.artifact import MANIFEST, Artifact, CompiledArtifact
from densecast.errors import UsageError
from densecast.io import codec, files, own_folders, temporaries
from densecast.results.handover import BundleResult
from densecast.spec.choices import checked
from densecast.spec.handover_options import BundleOptions
from densecast.verbs.bundle import install_script, own_wheel, wheels
from densecast.verbs.bundle.wheels import Target

__all__ = ["RECORD", "BundleOptions", "BundleResult", "bundle"]

RECORD = "bundle.json"
_ARCHIVE = ".tar.gz"
_UNLISTED = ("SHA256SUMS",)


@checked
def bundle(
    artifacts: Sequence[Artifact | Path | str] | Artifact | Path | str,
    out: Path | str,
    options: BundleOptions = BundleOptions(),
) -> BundleResult:
    """Write a bundle of `artifacts` to `out`, a folder, or an archive where it ends in `.tar.gz`.

    An earlier bundle at `out` is replaced, as long as nobody has changed it; anything else is left alone.

    Raises:
        UsageError: no artifacts, two of one name, or `out` holds something else.
        MissingError: there is no pip, or no wheel for that machine.
    """
    sources = _named(files.several(artifacts, "artifacts", Artifact))
    _check_extras(sources, options.extras)
    target, machine = files.given(out), wheels.target(options.python, options.platform)
    is_archive = target.name.endswith(_ARCHIVE)
    _refuse_foreign(target, sources, is_archive)
    own = f"densecast[{','.join(options.extras)}]" if options.extras else "densecast"
    requirement = f"{own}=={densecast.__version__}"
    scratch = target.with_name(target.name.removesuffix(_ARCHIVE)) if is_archive else target
    if is_archive and scratch.exists():
        raise UsageError(f"{scratch} exists, which the archive would be unpacked to. Name another.", field="out")
    with files.new_folder(scratch) as folder:
        (folder / "wheels").mkdir()
        wheel = own_wheel.write(folder / "wheels")
        wheels.fetch(folder / "wheels", wheel, options.extras, machine)
        for name, source in sources.items():
            _copy(source, folder / "artifacts" / name)
        remarks = tuple(_remarks(sources, machine))
        files.write_text(folder / "install.sh", install_script.script(requirement, machine))
        (folder / "install.sh").chmod(0o755)
        files.write_text(folder / "README.md", install_script.readme(requirement, machine, [*sources], remarks))
        paths = [each for each in sorted(folder.rglob("*")) if each.is_file()]
        hashes = {each.relative_to(folder).as_posix(): files.sha256(each) for each in paths}
        result = BundleResult(
            out=str(out),
            python=machine.python,
            platform=machine.platform,
            requirement=requirement,
            wheels=tuple(each.name for each in sorted((folder / "wheels").glob("*.whl"))),
            artifacts=tuple(sources),
            size_bytes=sum(each.stat().st_size for each in paths),
            files=hashes,
            remarks=remarks,
        )
        files.write_text(folder / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in hashes.items()))
        files.write_text(folder / RECORD, codec.to_json(replace(result, out=target.name)))
    if is_archive:
        _pack(scratch, target)
        shutil.rmtree(scratch)
    return result


def _named(artifacts: Sequence[Artifact | Path | str]) -> dict[str, Artifact]:
    """The opened artifacts by the names of their folders.

    Raises:
        UsageError: none, or two of one name.
    """
    if not artifacts:
        raise UsageError("name the artifacts that go into the bundle.", field="artifacts")
    found: dict[str, Artifact] = {}
    for each in artifacts:
        opened = each if isinstance(each, Artifact) else Artifact.open(each)
        name = files.real(opened.folder).name
        if name in found:
            raise UsageError(f"two artifacts are called {name}: rename the folder of one.", field="artifacts")
        found[name] = opened
    return found


def _check_extras(sources: dict[str, Artifact], extras: tuple[str, ...]) -> None:
    """Check that extras exist, and that an artifact's engine is among what is installed.

    Raises:
        UsageError: pip would pass over an extra that does not exist; or an engine that no wheel brings.
    """
    known = own_wheel.extras()
    for extra in extras:
        if extra not in known:
            raise UsageError(f"densecast has no extra {extra!r}; it has {', '.join(known)}.", field="extras")
    for name, source in sources.items():
        backend = source.manifest.build.backend if isinstance(source, CompiledArtifact) else "onnxruntime"
        if backend == "torch" and not {"torch", "all"}.intersection(extras):
            raise UsageError(f"{name} is built for torch, which is an extra: add torch.", field="extras")
        if backend not in ("openvino", "onnxruntime", "reference", "torch"):
            raise UsageError(
                f"{name} is built for {backend}, whose software no wheel brings. Bundle a build for openvino or "
                "onnxruntime.",
                field="artifacts",
            )


def _refuse_foreign(target: Path, sources: dict[str, Artifact], is_archive: bool) -> None:
    """Refuse to replace anything but an earlier bundle.

    Raises:
        UsageError: something else is there.
    """
    if target.suffix in (".zip", ".tgz", ".tar", ".gz") and not is_archive:
        raise UsageError(f"a bundle is a folder or ends in {_ARCHIVE}; got {target.name}.", field="out")
    for each in sources.values():
        own_folders.refuse_inside(target, each.folder)
    if (target / RECORD).is_file():
        own_folders.replaceable(target, RECORD, besides=_UNLISTED)
        return
    if not target.exists():
        return
    if is_archive and target.is_file():
        own_folders.replaceable_archive(target, RECORD, besides=_UNLISTED)
        return
    if target.is_dir() and all(temporaries.is_temporary(each.name) for each in target.iterdir()):
        return
    raise UsageError(f"{target} exists and is no bundle. Name another.", field="out")


def _copy(source: Artifact, target: Path) -> None:
    """Copy an artifact's manifest and the files that it names: nothing else that lies there."""
    target.mkdir(parents=True)
    for name in (MANIFEST, *source.manifest.files):
        shutil.copyfile(source.folder / name, target / name)


def _remarks(sources: dict[str, Artifact], machine: Target) -> list[str]:
    told = []
    for name, source in sources.items():
        if ":" in source.spec.task:
            told.append(f"{name} needs {source.spec.task.partition('.')[0].partition(':')[0]}, a package of your own")
        if not isinstance(source, CompiledArtifact):
            told.append(f"{name} is exported, and runs once it is built: take a build, or build it there")
            continue
        arch = source.manifest.machine.system.split()[-1]  # as x86_64
        if arch != machine.arch:
            told.append(f"{name} was built on {arch}: `verify` decides whether it computes the same on {machine.arch}")
        elif source.manifest.target is not None and source.manifest.target.cpu != "any":
            told.append(
                f"{name} is built for CPUs of kind {source.manifest.target.cpu}: `verify` decides on the other "
                "machine; --cpu any is right on all"
            )
    return told


def _pack(folder: Path, target: Path) -> None:
    """Pack a folder, under its own name, with equal bytes for equal files."""
    part = temporaries.beside(target)
    with (
        part.open("wb") as stream,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in sorted(folder.rglob("*")):
            entry = archive.gettarinfo(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
            if path.is_file():
                with path.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
    part.replace(target)
    temporaries.forget(part)
