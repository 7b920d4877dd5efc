"""Compares what an engine makes of a graph in float32 with the float graph, where a build itself rounds to less.

An engine that misreads an operator misreads it in every precision. In int8 rounding hides that: what a wrong padding
moves is less than what sound rounding moves. In float32 nothing hides it, at the price of compiling once more.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from densecast.artifact import MANIFEST, CompiledArtifact
from densecast.artifact.stored_answer import answer, golden_feeds, noisy_feeds
from densecast.backends._base import BuildJob
from densecast.io import files
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision
from densecast.verbs.builder import build_check
from densecast.verbs.builder.compile_plan import CompilePlan

_FLOAT32: Precision = "force_float32"
# Graphs that have passed in this process, by engine and content: tuning builds one graph several times.
passed: set[tuple[str, str]] = set()


def is_needed(plan: CompilePlan) -> bool:
    """Whether the build rounds to less than float32, and its engine computes float32 on this machine's CPU.

    A vendor's compiler is asked for what was asked of it, and nothing else: a second model takes minutes, and a device.
    """
    can = plan.backend.traits.targets_cpus and _FLOAT32 in plan.backend.capabilities().precisions
    return plan.options.precision != _FLOAT32 and can


def check(plan: CompilePlan, job: BuildJob, graph: Path) -> None:
    """Build `graph` in float32 with the plan's engine, beside the build, and compare it on the test images.

    Raises:
        ParityError: the engine computes something else than the graph.
    """
    asked = job.options
    key = (asked.backend, files.sha256(graph))
    if key in passed:
        return
    options: BuildOptions = replace(asked, precision=_FLOAT32, half_type="auto")
    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        folder = Path(scratch)
        built = plan.backend.build(replace(job, options=options, calibration=()), folder)
        hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
        manifest = replace(plan.manifest(built, (), 0.0, _FLOAT32), build=options, calibration=None, files=hashes)
        config = replace(execution.configure("latency"), use_cache=False)
        with Session.open(CompiledArtifact(folder, manifest), config, check_cpu=False) as session:
            feeds = [golden_feeds(plan.spec), noisy_feeds(plan.spec)]
            pairs = [(each, answer(plan.spec, session.forward, each)) for each in feeds]
    build_check.check(graph, plan.spec, pairs, _FLOAT32, asked.backend, asked=asked.precision)
    passed.add(key)
