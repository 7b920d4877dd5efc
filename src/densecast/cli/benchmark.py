"""`densecast benchmark`: measure a built artifact's speed, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Device, Json, Quiet, Threads, Verbose, bar, emit, set_up
from densecast.spec.verb_options import BenchmarkOptions

_LOOKED_AT_BYTES = 8192

if TYPE_CHECKING:
    from densecast.results.timing import BenchmarkResult, Timing


@_options.takes(options=BenchmarkOptions)
def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    options: _options.Values,
    images: Annotated[list[Path] | None, typer.Argument(help="Image files or folders; default: random input.")] = None,
    mode: Annotated[
        str, typer.Option(help="latency: one image at a time on all CPUs; throughput: several images in parallel.")
    ] = "latency",
    style: Annotated[
        str, typer.Option(help="Output format: densecast, ascend, mm_run, trtexec or benchmark_app.")
    ] = "densecast",
    style_folder: Annotated[
        Path | None, typer.Option(help="Folder for the files that the tool named by --style writes.")
    ] = None,
    layers_plot: Annotated[
        Path | None, typer.Option("--layers-plot", help="With --layers: SVG file with a bar for every layer.")
    ] = None,
    threads: Threads = None,
    device: Device = "",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure decoding, preprocessing, inference and postprocessing times, end to end and inference alone."""
    set_up(verbose, quiet)
    from densecast.io import codec, files
    from densecast.io.own_results import OwnResults
    from densecast.pipeline import PipelineConfig
    from densecast.runtime import execution
    from densecast.verbs import benchmark_styles
    from densecast.verbs.benchmark import benchmark
    from densecast.verbs.infer import image_files

    paths = image_files(images or [])
    benchmark_styles.check(style)
    chosen = codec.from_plain(options, BenchmarkOptions, "command line")
    _check_places(style, style_folder, layers_plot, has_layers=chosen.layers)
    config = PipelineConfig(artifact, threads, execution.parse_mode(mode), device=device)
    with bar("images", quiet) as progress:
        result = benchmark(config, paths, chosen, progress=progress)
    text = _text(result, with_share=bool(paths))
    if style != "densecast":
        other = benchmark_styles.styled(result.timing, style, artifact.name)
        text = other.text
        if style_folder is not None:
            own = OwnResults.of(style_folder)
            for name, contents in other.files.items():
                files.write_text(style_folder / name, contents)
                own.note(style_folder / name, style_folder / name, "", artifact.name)
    if result.roofline is not None:
        from densecast.report import roofline

        text = f"{text}\n\n{roofline.text(result.roofline)}"
        if layers_plot is not None:
            title = f"{result.model.model}, {result.model.precision.ran}: milliseconds of every layer"
            files.write_text(layers_plot, roofline.svg(result.roofline, title))
    emit(codec.to_plain(result), text, json)


def _check_places(style: str, style_folder: Path | None, layers_plot: Path | None, *, has_layers: bool) -> None:
    """Check what is to be written, before any work.

    Raises:
        UsageError, WriteError: nothing would be, or it would be written over something else.
    """
    from densecast.errors import UsageError
    from densecast.io import files
    from densecast.io.own_results import OwnResults

    if style_folder is not None and style != "ascend":
        raise UsageError("--style-folder is for the files of --style ascend, the only one that writes some.")
    if style_folder is not None:
        own = OwnResults.of(style_folder)
        foreign = next((path for path in sorted(style_folder.glob("*_device_*.txt")) if own.find(path) is None), None)
        if foreign is not None:
            raise UsageError(f"--style-folder: densecast did not write {foreign}. Name another folder.")
    if layers_plot is None:
        return
    if not has_layers:
        raise UsageError("--layers-plot draws what --layers measures: add --layers.")
    files.require_place(layers_plot)
    from densecast.report.roofline import OWN

    if layers_plot.exists() and (there := layers_plot.read_bytes()) and OWN.encode() not in there[:_LOOKED_AT_BYTES]:
        raise UsageError(
            f"--layers-plot: {layers_plot} is there already, and densecast did not draw it. Name another file."
        )


def _noise(timing: Timing) -> list[str]:
    """The load meanwhile, and how far the fifths of the run lie apart; a warning where load is too high."""
    parts = [str(timing.load)]
    if timing.load.before is not None and timing.load.after is not None:
        parts[0] += f" (load average {timing.load.before:.1f} before, {timing.load.after:.1f} after)"
    if timing.spread is not None:
        parts.append(f"the fifths of the run are {timing.spread:.0%} apart".replace("%", " %"))
    warning = ": these times are not the model's alone" if timing.load.is_too_high else ""
    return ["; ".join(parts) + warning]


def _cost(timing: Timing) -> str:
    """What an hour of a CPU and a kilowatt-hour buy."""
    bought = f"{timing.images_per_vcpu_hour:,.0f} images per vCPU-hour"
    if timing.images_per_kwh is None:
        return bought
    return f"{bought}, {timing.images_per_kwh:,.0f} per kWh of the processors"


def _text(result: BenchmarkResult, *, with_share: bool) -> str:
    """The configuration, one line per stage, and the throughput."""
    from densecast.report.markdown import table

    timing, model = result.timing, result.model
    rows = [
        [name.replace("_", " "), *(f"{value:.2f}" for value in (s.p50_ms, s.p90_ms, s.p99_ms, s.mean_ms))]
        for name, s in timing.stages().items()
    ]
    allowed = f"{timing.end_to_end_share:.1%}; the other stages' CPU time allows {timing.end_to_end_bound:.1%}"
    share = f" ({allowed})" if with_share else ""
    return "\n".join(
        [
            f"{model.model}, {model.backend} {model.precision.ran}, batch {timing.batch}, "
            f"{result.mode}: {timing.threads} threads, {timing.workers} images at a time, {timing.inputs}",
            table(["stage", "p50 ms", "p90 ms", "p99 ms", "mean ms"], rows, "<>>>>"),
            f"{timing.images_per_s:.2f} images/s end to end, {timing.inference_only_per_s:.2f} inference only{share}, "
            f"peak {timing.peak_rss_mb:.0f} MB",
            _cost(timing),
            *_noise(timing),
        ]
    )
