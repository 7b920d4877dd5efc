"""Each stage is held against the network as it was trained, and later ones against its graph once that is right."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg
from plain_backend import PlainBackend

from densecast import plugins
from densecast.backends._base import BACKENDS
from densecast.errors import UsageError
from densecast.results.compare import Findings, Location
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build
from densecast.verbs.compare import open_chain, open_stage, root_cause


@pytest.mark.parametrize(
    ("wrong", "references"),
    [
        ((), ["original", "original", "graph", "graph"]),
        (("graph",), ["original", "original", "original", "original"]),
        (("engine",), ["original", "original", "graph", "graph"]),
    ],
)
def test_a_graph_that_is_right_takes_the_place_of_the_network_it_was_made_of(
    wrong: tuple[str, ...], references: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def localised(reference: Any, candidate: Any, images: Any) -> Findings:
        seen.append((candidate.name, reference.name))
        fault = Location("network", "", "", "", "wrong") if candidate.name in wrong else None
        return Findings(fault, (), 1)

    monkeypatch.setattr(root_cause, "localise", localised)
    stages: list[Any] = [
        SimpleNamespace(name="checkpoint", kind="framework"),
        SimpleNamespace(name="graph", kind="float graph"),
        SimpleNamespace(name="engine", kind="compiled"),
        SimpleNamespace(name="int8", kind="compiled"),
    ]
    original: Any = SimpleNamespace(name="original", kind="framework")
    found = root_cause.localise_all(original, stages, [Path("a.png")])
    assert seen == list(zip(("checkpoint", "graph", "engine", "int8"), references, strict=True))
    assert [each.location is not None for each in found] == [each.name in wrong for each in stages]
    # A checkpoint that follows is held against the network all the same.
    seen.clear()
    root_cause.localise_all(original, [stages[1], stages[0]], [Path("a.png")])
    assert seen[-1] == ("checkpoint", "original")


def test_an_engine_that_shows_nothing_inside_is_compared_before_and_after_it(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, tiny_graphs.brightness())
    photo = write_jpeg(tmp_path / "a.jpg", (48, 64), 1)
    with plugins.apart():
        BACKENDS.register("plain", PlainBackend())
        build(source, tmp_path / "built", BuildOptions("plain", shape=InputShape((1,), 24, 32)))
        graph, engine = (open_stage(tmp_path / name, None, 1) for name in ("float", "built"))
        found = root_cause.localise(graph, engine, [photo])
        assert found == Findings(None, (), 0, f"{engine.title} shows no inner tensors")
        found = root_cause.localise(engine, engine, [photo])
        assert found.note == f"{engine.title} and {engine.title} shows no inner tensors"
        with pytest.raises(UsageError, match="at least one image"):
            root_cause.localise(graph, engine, [])


def test_a_graph_after_passes_stands_before_what_was_built_from_the_reference_alone(tmp_path: Path) -> None:
    fixed = BuildOptions("reference", shape=InputShape((1,), 24, 32))
    for name, seed in (("own", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        source = tiny_artifacts.exported(tmp_path / name, tiny_graphs.segmentation(seed=seed))
        build(source, tmp_path / name / "built", fixed)

    def kinds(*candidates: str) -> list[str]:
        with open_chain(tmp_path / "own" / "float", [tmp_path / each for each in candidates], 1) as (_, stages):
            return [stage.title for stage in stages]

    (other,) = kinds("other/built")
    first, own, *more = kinds("own/built", "other/built", "own/built")
    assert first == "optimised graph" and more == [other, own]
