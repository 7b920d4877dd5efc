"""`densecast doctor`: show what this machine and installation support."""

from __future__ import annotations

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(json: Json = None, verbose: Verbose = 0, quiet: Quiet = False) -> None:
    """Show CPU features, usable CPUs, engines with versions, and missing components."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs import doctor

    diagnosis = doctor.examine()
    emit(codec.to_plain(diagnosis), doctor.describe(diagnosis), json)
