"""Every dataclass that is read from a file or a command line survives JSON, filled at random by its own annotations."""

from __future__ import annotations

import dataclasses
import json
import random
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
import tiny_specs

from densecast.artifact import CompiledManifest, FloatManifest
from densecast.errors import DensecastError
from densecast.io import codec
from densecast.io.config import Config
from densecast.measure.store.manifest import Manifest
from densecast.report.data import Report
from densecast.results.info import ModelInfo
from densecast.spec.augment import Augment
from densecast.spec.data_options import DataCheckOptions, DataOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.handover_options import BundleOptions, ExportToOptions
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.serve_options import ServeOptions
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import (
    BenchmarkOptions,
    CompareLimits,
    EvaluateOptions,
    ExportOptions,
    InferOptions,
    MaxDrop,
    TuneOptions,
)
from densecast.verbs.compare_results import PublishedRow
from densecast.verbs.handoff.package import Handoff

READ: tuple[type, ...] = (
    *(BuildOptions, BenchmarkOptions, CompareLimits, EvaluateOptions, ExportOptions, InferOptions, MaxDrop),
    *(TuneOptions, DataCheckOptions, DataOptions, PrepareOptions, BundleOptions, ExportToOptions, ServeOptions),
    *(StoreOptions, Augment, CompiledManifest, FloatManifest, Manifest, Report, Handoff, PublishedRow, ModelInfo),
    *(Config,),
)
# What its fields have to have in common is no matter of annotations; specs of any kind are drawn in test_codec.py.
GIVEN = {ModelSpec: tiny_specs.segmentation()}
_TEXTS = ("", "a", "mIoU", "Straße", "/a/b", "1", "train", "image")


class CannotBeMadeError(Exception):
    """No value of such a kind was found."""


def classes(kind: Any, found: set[type]) -> set[type]:
    """All dataclasses that a kind of value is made of."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in found:
        found.add(kind)
        for hint in typing.get_type_hints(kind, include_extras=True).values():
            classes(hint, found)
    for part in typing.get_args(kind):
        classes(part, found)
    return found


def made(kind: Any, rng: random.Random) -> Any:
    """Any value of this kind."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind in GIVEN:
        return GIVEN[kind]
    if dataclasses.is_dataclass(kind):
        return of_class(kind, rng)
    if origin is Annotated:
        return made(parts[0], rng)
    if origin is Literal:
        return rng.choice(parts)
    if origin in (Union, types.UnionType):
        return made(rng.choice(parts), rng)
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(made(parts[0], rng) for _ in range(rng.randrange(3)))
    if origin is tuple:
        return tuple(made(part, rng) for part in parts)
    if origin in (list, Sequence):
        return [made(parts[0], rng) for _ in range(rng.randrange(3))]
    if origin in (dict, Mapping):
        return {made(parts[0], rng): made(parts[1], rng) for _ in range(rng.randrange(3))}
    if kind is bool:
        return rng.random() < 0.5
    if kind is int:
        return rng.choice((0, 1, 2, 7, 64, 300))
    if kind is float:
        return rng.choice((0.0, 0.5, 1.0, 75.25, 1e-7, 3e20))
    if kind is str:
        return rng.choice(_TEXTS)
    if kind is Path:
        return Path(rng.choice(_TEXTS) or "x")
    if kind in (None, type(None)):
        return None
    if kind in (Any, object):
        return rng.choice(("x", 3, True, None))
    raise CannotBeMadeError(str(kind))


def of_class(kind: type, rng: random.Random) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    for attempt in range(200):
        values = {}
        for each in dataclasses.fields(kind):
            has_default = each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
            # The more attempts were refused, the more is left as it is by default.
            if each.init and not (has_default and rng.random() < 0.3 + attempt / 200):
                values[each.name] = made(hints[each.name], rng)
        try:
            return kind(**values)
        except (DensecastError, ValueError):
            continue
    raise CannotBeMadeError(kind.__name__)


KINDS = sorted(set().union(*(classes(kind, set()) for kind in READ)) - GIVEN.keys(), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)
def test_it_survives_json(kind: type) -> None:
    rng = random.Random(kind.__qualname__)
    for _ in range(15):
        value = made(kind, rng)
        assert codec.from_plain(json.loads(codec.to_json(value)), kind, "test") == value
