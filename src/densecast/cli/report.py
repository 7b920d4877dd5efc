"""`densecast report`: regenerate the report of a run, or explain how a build was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="Folder of an earlier run, a built artifact, or a store of records; several runs show their history.",
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(help="For a built artifact or several runs: also write an HTML page."),
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Regenerate a run's report, compare several runs, or show why a build was chosen or what a store holds."""
    set_up(verbose, quiet)
    if len(folders) > 1:
        _history(folders, html, json)
        return
    (given,) = folders
    from densecast import artifact, report
    from densecast.cli.run import text_of as text_of_run
    from densecast.errors import UsageError
    from densecast.io import codec, files
    from densecast.report import markdown, own_pages, page, verdict
    from densecast.report.data import Reasons
    from densecast.report.stored import text_of
    from densecast.verbs.stored.compare import is_store
    from densecast.verbs.stored.report import report_store

    if is_store(given):
        if html is not None:
            raise UsageError("--html is for a built artifact or several runs; a store is reported as text and JSON.")
        found = report_store(given)
        emit(codec.to_plain(found), text_of(found), json)
        return
    folder = Path(given)
    if (folder / artifact.MANIFEST).is_file():
        built = artifact.CompiledArtifact.open(folder)
        text = markdown.build(built)
        if html is not None:
            own_pages.refuse_others(html)
            files.write_text(html, page.render_build(built))
        emit({"artifact": str(folder), **codec.to_plain(Reasons.of(built.manifest))}, text, json)
        return
    if html is not None:
        raise UsageError(
            "--html is for a built artifact or several runs; a run's report.html is written into its folder."
        )
    earlier = report.read(folder)
    report.write(earlier, folder)
    text = f"{verdict.of(earlier).sentence}\n\n{text_of_run(earlier, folder)}"
    emit(codec.to_plain(earlier), text, json)


def _history(folders: list[str], html: Path | None, json: Path | None) -> None:
    """Compare the reports of several runs."""
    from densecast import report
    from densecast.io import codec, files
    from densecast.report import history, own_pages, page

    if html is not None:
        own_pages.require(html)
    found = history.of([(folder, report.read(Path(folder))) for folder in folders])
    if html is not None:
        files.write_text(html, page.render_history(found))
    emit(codec.to_plain(found), history.render(found), json)
