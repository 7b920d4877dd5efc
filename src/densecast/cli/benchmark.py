"""`densecast benchmark`: the speed of a built artifact, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Batch, Device, Json, Quiet, Threads, Verbose, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files or folders; without any, random input.")
    ] = None,
    batch: Batch = None,
    count: Annotated[int, typer.Option("--count", "--limit", min=1, help="Images to run, at least.")] = 50,
    seconds: Annotated[float, typer.Option(min=0, help="Seconds to run, at least.")] = 3.0,
    warm_up: Annotated[int, typer.Option(min=0, help="Calls before the clock starts.")] = 5,
    mode: Annotated[
        str, typer.Option(help="latency: one image at a time on all CPUs; throughput: several at a time.")
    ] = "latency",
    style: Annotated[
        str, typer.Option(help="As whom: densecast, ascend, mm_run, trtexec or benchmark_app.")
    ] = "densecast",
    style_folder: Annotated[
        Path | None, typer.Option(help="Where to write the files that the tool of --style writes.")
    ] = None,
    threads: Threads = None,
    device: Device = "",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Time decoding, preprocessing, inference, post-processing, all of it, and inference alone."""
    set_up(verbose, quiet)
    from densecast.io import codec, files
    from densecast.pipeline import Pipeline
    from densecast.report.markdown import table
    from densecast.runtime import execution
    from densecast.verbs import benchmark_styles
    from densecast.verbs.benchmark import BenchmarkOptions, benchmark
    from densecast.verbs.infer import image_files

    paths = image_files(images or [])
    benchmark_styles.check(style)
    opened = Pipeline.open(artifact, threads=threads, device=device, mode=execution.parse_mode(mode))
    with opened as pipeline, bar("images", quiet) as progress:
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
        "mode": mode,
        "end_to_end_share": timing.end_to_end_share,
        "end_to_end_bound": timing.end_to_end_bound,
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
    allowed = f"{timing.end_to_end_share:.1%}; the other stages' CPU time allows {timing.end_to_end_bound:.1%}"
    share = f" ({allowed})" if paths else ""
    text = "\n".join(
        [
            f"{pipeline.spec.name}, {manifest.build.backend} {ran}, batch {timing.batch}, "
            f"{mode}: {timing.threads} threads, {timing.lanes} images at a time, {timing.inputs}",
            table(["stage", "p50 ms", "p90 ms", "p99 ms", "mean ms"], rows, "<>>>>"),
            f"{timing.images_per_s:.2f} images/s end to end, {timing.inference_only_per_s:.2f} inference only{share}, "
            f"peak {timing.peak_rss_mb:.0f} MB",
        ]
    )
    if style != "densecast":
        other = benchmark_styles.styled(timing, style, artifact.name)
        text = other.text
        for name, contents in other.files.items() if style_folder else ():
            assert style_folder is not None
            files.write_text(style_folder / name, contents)
    emit(plain, text, json)
