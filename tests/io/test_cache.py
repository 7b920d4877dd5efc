"""Compiled models are found again under their key, and only whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from densecast.io import cache


def test_a_blob_is_read_back(own_cache: Path) -> None:
    assert cache.read_blob("key") is None
    cache.write_blob("key", b"model")
    assert cache.read_blob("key") == b"model"
    assert cache.read_blob("other") is None
    assert [path.name for path in (own_cache / "compiled").iterdir()] == ["key.blob"]


def test_a_damaged_blob_is_none(own_cache: Path) -> None:
    cache.write_blob("key", b"model")
    path = own_cache / "compiled" / "key.blob"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", bytes([whole[0] ^ 1]) + whole[1:], whole + b"x"):
        path.write_bytes(damaged)
        assert cache.read_blob("key") is None


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    cache.write_blob("key", b"model")
    assert cache.read_blob("key") is None


def test_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DENSECAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "densecast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "densecast"
