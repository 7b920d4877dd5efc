"""`densecast handoff`: prepare inputs for a vendor's tools, simulate the device, collect its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, set_up
from densecast.cli._effects import Typed
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.options import QuantizeOptions

command = typer.Typer(
    help="Prepare inputs for Ascend's or Cambricon's own tools, simulate the device, collect the results.",
    no_args_is_help=True,
)


@command.command()
@_options.takes(
    {"quantize": "calibration-"}, {"quantize": ("split", "images")}, options=PrepareOptions, quantize=QuantizeOptions
)
def prepare(
    context: typer.Context,
    artifact: Annotated[Path, typer.Argument(help="An exported artifact.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted one is resumed.")],
    options: _options.Values,
    quantize: _options.Values,
    data: Annotated[Path | None, typer.Option(help="Root of the model's data set.")] = None,
    precision: Annotated[str, typer.Option("--precision", "-p", help="fp32, fp16 or int8.")] = "fp16",
    calibration_data: Annotated[
        Path | None, typer.Option(help="For int8: calibration images, from another data set's root or a folder.")
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write input bins, `.info` files, the graph, command lines, calibration data and a README with the steps."""
    set_up(verbose, quiet)
    from densecast.artifact import Artifact
    from densecast.io import codec
    from densecast.spec import precision as precisions
    from densecast.verbs.handoff import prepare as run

    requested = precisions.parse(precision)
    if requested != "qint8_mixed_float16":
        Typed(context).refuse("is for int8: add -p int8, or leave it out.", "calibration_data", "quantize_")
    plain = {**options, "precision": requested, "quantize": quantize}
    chosen = codec.from_plain(plain, PrepareOptions, "command line")
    with bar("images", quiet) as progress:
        made = run(
            Artifact.open(artifact), out, chosen, data=data, calibration_data=calibration_data, progress=progress
        )
    text = (
        f"{made.spec.name} for {made.target}: {made.data.count} images, batch {made.batch}, output {made.output}\n"
        f"{made.hardware}; the steps are in {out / 'README.md'}"
    )
    emit(codec.to_plain(made), text, json)


@command.command()
@command.command(name="rehearse", hidden=True, help="Old name of `simulate`.")
def simulate(
    folder: Annotated[Path, typer.Argument(help="A handoff folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the outputs, like the tool's `result`.")],
    tool: Annotated[str, typer.Option(help="Tool to simulate: benchmark or ais_bench.")] = "benchmark",
    device: Annotated[int, typer.Option(min=0, help="Device number, which becomes part of the folder's name.")] = 0,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate the device on this machine's CPU, with the same input and output files."""
    set_up(verbose, quiet)
    from densecast.errors import UnknownNameError
    from densecast.verbs.handoff import simulate as run
    from densecast.verbs.handoff.tool_outputs import TOOLS

    known = next((each for each in TOOLS if each == tool), None)
    if known is None:
        raise UnknownNameError.among("tool", tool, TOOLS)
    with bar("images", quiet) as progress:
        outputs = run(folder, out, known, device=device, progress=progress)
    emit({"outputs": str(outputs.folder), "tool": tool}, f"outputs in {outputs.folder}", json)


@command.command()
def collect(
    folder: Annotated[Path, typer.Argument(help="A handoff folder.")],
    results: Annotated[Path, typer.Argument(help="The tool's output folder, or the `result` folder that contains it.")],
    data: Annotated[Path | None, typer.Option(help="Root of the model's data set.")] = None,
    tool: Annotated[
        str | None,
        typer.Option(help="Tool that wrote the outputs: benchmark or ais_bench; default: from the folder's name."),
    ] = None,
    performance: Annotated[
        list[Path] | None, typer.Option(help="Performance file of the tool, such as mm_run's log; repeatable.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Style of the table, as in `evaluate --table`.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder of an earlier `run` of the model; the results are added to its report.")
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Evaluate a device's outputs, and read the speed that its tool reports."""
    set_up(verbose, quiet)
    from densecast import report as reports
    from densecast.cli import _stored
    from densecast.io import codec
    from densecast.verbs.evaluate import table_printer
    from densecast.verbs.handoff import collect as run
    from densecast.verbs.handoff import open_handoff

    handoff = open_handoff(folder)
    tables = table_printer(handoff.spec, table)
    earlier = reports.read(report) if report is not None else None
    with bar("images", quiet) as progress:
        result = run(folder, results, data=data, tool=tool, performance=performance, progress=progress)
    score = result.score
    simulated = (result.hardware,) if result.is_simulated else ()
    lines = _stored.score_lines(score, handoff.split, result.backend, simulated)
    lines += [
        f"{file}: {', '.join(f'{name} {value:g}' for name, value in values.items())}"
        for file, values in result.performance.items()
    ]
    emit(codec.to_plain(result), _stored.below_table(tables(score), lines), json)
    if report is not None and earlier is not None:
        from densecast.report import devices
        from densecast.report.data import DeviceRow

        row = DeviceRow(
            device=result.backend,
            asked=handoff.precision,
            batch=result.batch,
            score=score,
            performance=result.performance,
            hardware=result.hardware,
            is_simulated=result.is_simulated,
        )
        reports.write(devices.added(earlier, row, result.model), report)
