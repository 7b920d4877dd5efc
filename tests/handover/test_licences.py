"""Whose licence a handed-over model has: the one that is named, or the zoo's for the zoo's own weights alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import densecast.zoo
from densecast.io import files
from densecast.spec.handover_options import ExportToOptions
from densecast.verbs.export_to import facts
from densecast.zoo._base import ZOO

SHIPPED = [name for name in ZOO.names() if ZOO.load(name).checkpoint.shipped]
PUBLISHED = [name for name in ZOO.names() if ZOO.load(name).checkpoint.sha256]


def licence(name: str, digest: str | None, named: str | None = None) -> str | None:
    weights = None if digest is None else SimpleNamespace(sha256=digest)
    source: Any = SimpleNamespace(spec=SimpleNamespace(name=name), manifest=SimpleNamespace(weights=weights))
    return facts.licence(source, ExportToOptions(licence=named))


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_of_the_package_have_the_zoos_licence(name: str) -> None:
    entry = ZOO.load(name)
    own = files.sha256(Path(densecast.zoo.__file__).parent / "weights" / entry.checkpoint.file)
    assert licence(name, own) == entry.licence
    assert licence(name, "0" * 64) is None and licence(name, None) is None
    assert licence("mine", own) is None and licence(name, own, "MIT") == "MIT"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_have_it_by_the_hash_that_is_published(name: str) -> None:
    entry = ZOO.load(name)
    if entry.checkpoint.shipped:
        return
    published = str(entry.checkpoint.sha256)
    assert licence(name, published.ljust(64, "0")) == entry.licence
    assert licence(name, f"f{published}"[:64] if published[0] != "f" else f"0{published}"[:64]) is None


def test_there_are_weights_of_both_kinds() -> None:
    assert SHIPPED and set(PUBLISHED) - set(SHIPPED)
