"""TensorFlow's files come from outside: archives give one file and touch nothing else, broken ones are refused."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

from densecast.errors import BadGraphError, MissingExtraError, MissingFileError
from densecast.verbs.export import tensorflow_source

GRAPH = b"a frozen graph" * 1000


def archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as stream:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            stream.addfile(link)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            stream.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_the_one_graph_of_an_archive_is_read(tmp_path: Path, name: str) -> None:
    path = archive(
        tmp_path / name, {"model/readme.txt": b"hello", "model/frozen_inference_graph.pb": GRAPH, "z.pb": b"no"}
    )
    assert tensorflow_source.is_tensorflow(path)
    with tensorflow_source.opened(path) as found:
        assert found.read_bytes() == GRAPH
    assert not found.exists()
    with tensorflow_source.opened(path, "z.pb") as found:
        assert found.read_bytes() == b"no"


def test_paths_and_links_inside_an_archive_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.pb"
    outside.write_bytes(b"secret")
    inner = tmp_path / "inner"
    inner.mkdir()
    links = {"frozen_inference_graph.pb": str(outside), "folder": "/"}
    path = archive(inner / "a.tar.gz", {"../../escaped.pb": GRAPH}, links)
    target = inner / "graph.pb"
    tensorflow_source.unpack(path, target)
    assert target.read_bytes() == GRAPH
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a.tar.gz", "graph.pb", "inner", "outside.pb"]
    with pytest.raises(BadGraphError, match=r"frozen_inference_graph\.pb is needed"):
        tensorflow_source.unpack(path, target, "frozen_inference_graph.pb")


def test_an_archive_that_unpacks_to_too_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_source, "MAX_BYTES", 1 << 20)
    # A thousand times smaller than what it holds, before the graph that is wanted.
    path = archive(tmp_path / "a.tar.gz", {"big.bin": bytes(4 << 20), "graph.pb": GRAPH})
    assert path.stat().st_size < 1 << 14
    with pytest.raises(BadGraphError, match="unpacks to more"):
        tensorflow_source.unpack(path, tmp_path / "graph.pb")


def test_archives_without_one_graph_say_what_they_hold(tmp_path: Path) -> None:
    none = archive(tmp_path / "none.tar.gz", {"readme": b""})
    with pytest.raises(BadGraphError, match=r"no \.pb file"):
        tensorflow_source.unpack(none, tmp_path / "graph.pb")
    two = archive(tmp_path / "two.tar.gz", {"x/a.pb": GRAPH, "x/b.pb": GRAPH})
    with pytest.raises(BadGraphError, match=r"x/a\.pb, x/b\.pb"):
        tensorflow_source.unpack(two, tmp_path / "graph.pb")


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    import numpy as np

    noise = np.random.default_rng(0).bytes(100_000)  # so that the file's end is the graph's
    path = archive(tmp_path / "a.tar.gz", {"graph.pb": noise})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(BadGraphError):
        tensorflow_source.unpack(path, tmp_path / "graph.pb")


def test_files_that_cannot_be_graphs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingFileError), tensorflow_source.opened(tmp_path / "absent.pb"):
        pass
    (tmp_path / "empty.pb").touch()
    with pytest.raises(BadGraphError, match="is empty"), tensorflow_source.opened(tmp_path / "empty.pb"):
        pass
    (tmp_path / "folder").mkdir()
    assert not tensorflow_source.is_tensorflow(tmp_path / "folder")
    with pytest.raises(BadGraphError, match="no SavedModel"), tensorflow_source.opened(tmp_path / "folder"):
        pass
    monkeypatch.setattr(tensorflow_source, "MAX_BYTES", 4)
    (tmp_path / "large.pb").write_bytes(GRAPH)
    with pytest.raises(BadGraphError, match="larger than"), tensorflow_source.opened(tmp_path / "large.pb"):
        pass


def test_what_to_install_is_said_where_tensorflow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name))
    with pytest.raises(MissingExtraError, match=r"densecast\[tensorflow\]"):
        tensorflow_source.require_tensorflow()
