"""`densecast merge`: bring the records of a run's shards together, and score them."""

from __future__ import annotations

from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Results, Verbose, set_up


def command(
    store: Annotated[str, typer.Argument(help="The store of a run, as given to --store.")],
    others: Annotated[
        list[str] | None, typer.Argument(help="Other stores of the same run; their records are added.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Style of the table: mmseg, ascend, mmpose or none.")] = None,
    results: Results = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Score a run from the records of its shards; exit with 3 if images are missing."""
    set_up(verbose, quiet)
    from densecast.cli import _stored
    from densecast.errors import UsageError
    from densecast.measure.store.store import Store
    from densecast.results.compare import CompareResult
    from densecast.results.stored import ShardResult
    from densecast.verbs.evaluate import table_printer
    from densecast.verbs.stored.merge import merge

    manifest = Store.at(store).manifest
    if manifest.metric is None and (table is not None or results is not None):
        named = "--table" if table is not None else "--results"
        raise UsageError(f"{named} is for a score, and {store} holds records of {manifest.verb}. Leave it out.")
    tables = table_printer(manifest.spec, table) if manifest.metric is not None else str
    result = merge(store, others or [], results=results)
    if isinstance(result, CompareResult):
        _stored.tell_comparison(result, json)
    elif isinstance(result, ShardResult):
        _stored.tell_shard(result, json)
    else:
        _stored.tell_score(result, tables, "val", json)
