"""Opens TensorFlow files as published: a frozen GraphDef, an archive that contains one, or a SavedModel folder."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from densecast.errors import BadGraphError, MissingExtraError, MissingFileError
from densecast.io import files
from densecast.verbs.export import foreign

# The largest archive of TensorFlow's segmentation networks has 0.5 GB; a graph beyond 2 GiB cannot exist.
MAX_BYTES = 1 << 30
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_FROZEN = "frozen_inference_graph.pb"
_CHUNK = 1 << 20
_SHOWN = 5


def is_tensorflow(path: Path) -> bool:
    """Whether this is a TensorFlow model: `.pb`, an archive, or a folder with a `saved_model.pb`."""
    return path.name.endswith((".pb", *_ARCHIVES)) or (path / "saved_model.pb").is_file()


def require_tensorflow() -> None:
    """Raise an error that says what to install if TensorFlow or tf2onnx is missing.

    Raises:
        MissingExtraError: one of them is.
    """
    if any(importlib.util.find_spec(name) is None for name in ("tensorflow", "tf2onnx")):
        raise MissingExtraError.of("tensorflow", "import of TensorFlow graphs")


def sha256(path: Path) -> str:
    """Hash of a file, or of all files in a folder with their names."""
    if path.is_file():
        return files.sha256(path)
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    return files.sha256_text("".join(f"{each.relative_to(path)} {files.sha256(each)}\n" for each in inside))


@contextlib.contextmanager
def opened(path: Path, member: str | None = None) -> Iterator[Path]:
    """The `.pb` file or SavedModel folder itself; for an archive its file `member`, unpacked during the block.

    Raises:
        MissingFileError: nothing there.
        BadGraphError: too large, or an archive without the one graph.
    """
    if not (path.is_file() or path.is_dir()):
        raise MissingFileError.at(path)
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise BadGraphError(f"{path} is a folder without saved_model.pb, so it is no SavedModel.")
        _check_size(path, sum(each.stat().st_size for each in path.rglob("*") if each.is_file()))
        yield path
        return
    _check_size(path, path.stat().st_size)
    if not path.name.endswith(_ARCHIVES):
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "graph.pb"
        unpack(path, target, member)
        yield target


def unpack(archive: Path, target: Path, member: str | None = None) -> None:
    """Unpack one regular file of a `.tar` or `.tar.gz` to `target`; nothing else of it is written to disk.

    The file is the one named `member`, in whatever folder of the archive; without a name the only `.pb`, or that
    named frozen_inference_graph.pb. Links and folders are passed over, and paths inside the archive never used.

    Raises:
        BadGraphError: damaged, too large unpacked, or without such a file.
    """
    target_name = member or _FROZEN
    seen: list[str] = []
    is_found = False
    try:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(archive.open("rb"))
            is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
            stream = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_gzip else raw
            # Front to back, so that no more than the bound is ever unpacked, whatever the headers say.
            members = stack.enter_context(tarfile.open(fileobj=cast(Any, _Bounded(stream)), mode="r|"))
            for each in members:
                name = each.name.rpartition("/")[2]
                if is_found or not each.isreg() or not name.endswith(".pb"):
                    continue
                seen.append(each.name)
                is_found = name == target_name
                if is_found or (member is None and len(seen) == 1):
                    _copy(members, each, target)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise BadGraphError(f"{archive} is no readable archive ({error}). Fetch it again.") from None
    if not is_found and (member is not None or len(seen) != 1):
        contents = ", ".join(seen[:_SHOWN]) or "no .pb file"
        raise BadGraphError(f"{archive} holds {contents}; {member or 'one frozen graph (.pb)'} is needed.")


class _Bounded:
    """A stream that raises an error after `MAX_BYTES`."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream, self._left = stream, MAX_BYTES

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.TarError(f"it unpacks to more than {MAX_BYTES >> 30} GiB")
        return data


@dataclass(frozen=True, slots=True)
class Conversion:
    """Runs TensorFlow, which writes its results to `folder`; in a confined process only."""

    folder: Path
    subject: str

    def run(self, **job: object) -> dict[str, Any]:
        """Run one job of `tensorflow_child`; returns its reply.

        Raises:
            BadGraphError: the graph cannot be used.
        """
        from densecast.verbs.export import tensorflow_child

        assert foreign.is_inside(), "TensorFlow runs foreign graphs in a confined process only"
        reply = tensorflow_child.answer(dict(job), self.folder)
        if "refused" in reply:
            raise BadGraphError(f"{self.subject} cannot be imported: {reply['refused'].rstrip('.')}.")
        return reply


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    stream = archive.extractfile(member)
    assert stream is not None, "a regular file has contents"
    with target.open("wb") as out:
        while chunk := stream.read(_CHUNK):
            out.write(chunk)
    if target.stat().st_size != member.size:
        raise EOFError(f"{member.name} is cut off")


def _check_size(path: Path, size: int) -> None:
    if size == 0:
        raise BadGraphError(f"{path} is empty. Fetch it again.")
    if size > MAX_BYTES:
        raise BadGraphError(f"{path} is larger than {MAX_BYTES >> 30} GiB; networks are smaller.")
