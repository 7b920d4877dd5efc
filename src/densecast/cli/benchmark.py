"""`densecast benchmark`: the speed of a built artifact, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Threads, Verbose, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files or folders; without any, random input.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1)] = 1,
    count: Annotated[int, typer.Option("--count", "--limit", min=1, help="Images to run, at least.")] = 50,
    seconds: Annotated[float, typer.Option(min=0, help="Seconds to run, at least.")] = 3.0,
    warm_up: Annotated[int, typer.Option(min=0, help="Calls before the clock starts.")] = 5,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Time decoding, preprocessing, inference, post-processing, all of it, and inference alone."""
    set_up(verbose, quiet)
    from densecast.benchmark import BenchmarkOptions, benchmark
    from densecast.build.calibration import images_in
    from densecast.core import codec
    from densecast.infer import Pipeline
    from densecast.report.markdown import table

    paths = [path for given in images or [] for path in (images_in(given) if given.is_dir() else [given])]
    with Pipeline.open(artifact, threads=threads) as pipeline, bar("images", quiet) as progress:
        timing = benchmark(pipeline, paths, BenchmarkOptions(batch, count, seconds, warm_up), progress=progress)
        ran = pipeline.runner.precision
    manifest = pipeline.artifact.manifest
    assert manifest.build is not None
    stages = timing.stages()
    plain = {
        "throughput": {
            "images_per_s": timing.images_per_s,
            "inference_only_per_s": timing.inference_only_per_s,
        },
        "stages": {name: codec.to_plain(summary) for name, summary in stages.items()},
        "precision": {
            "asked": manifest.precision_asked,
            "ran": ran.compute,
            "layers": ran.layers,
            "source": ran.source,
        },
        "machine": codec.to_plain(timing.machine),
        "backend": manifest.build.backend,
        "model": pipeline.spec.name,
        "artifact": str(artifact),
        **{
            key: value
            for key, value in codec.to_plain(timing).items()
            if key not in ("machine", "images_per_s", "inference_only_per_s")
        },
    }
    rows = [
        [name.replace("_", " "), *(f"{value:.2f}" for value in (s.p50_ms, s.p90_ms, s.p99_ms, s.mean_ms))]
        for name, s in stages.items()
    ]
    text = "\n".join(
        [
            f"{pipeline.spec.name}, {manifest.build.backend} {ran}, batch {batch}, "
            f"{timing.threads} threads, {timing.inputs}",
            table(["stage", "p50 ms", "p90 ms", "p99 ms", "mean ms"], rows, "<>>>>"),
            f"{timing.images_per_s:.2f} images/s end to end, {timing.inference_only_per_s:.2f} inference only, "
            f"peak {timing.peak_rss_mb:.0f} MB",
        ]
    )
    emit(plain, text, json)
