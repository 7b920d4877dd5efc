"""`densecast report`: regenerate the report of a run, or explain how a build was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(
    given: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of an earlier run, a built artifact, or a store of records.")
    ],
    html: Annotated[
        Path | None, typer.Option(help="For a built artifact: also write an HTML page that explains how it was chosen.")
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Regenerate a run's report.md and report.html, or show how a build was chosen, or what a store holds."""
    set_up(verbose, quiet)
    from densecast import artifact, report
    from densecast.errors import UsageError
    from densecast.io import codec, files
    from densecast.report import markdown, own_pages, page
    from densecast.report.data import Reasons
    from densecast.report.stored import text_of
    from densecast.verbs.stored.compare import is_store
    from densecast.verbs.stored.report import report_store

    if is_store(given):
        if html is not None:
            raise UsageError("--html is for a built artifact; a store is reported as text and JSON.")
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
        raise UsageError("--html is for a built artifact; a run's report.html is written into its folder.")
    earlier = report.read(folder)
    report.write(earlier, folder)
    emit(codec.to_plain(earlier), markdown.results(earlier), json)
