"""Tries a call in another process first, where a crash inside an engine would end this one.

Unlike a foreign file's, what is tried is the user's own: the process is confined as others are, and has all the memory
and time that it may need.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densecast.errors import BadGraphError, DensecastError, UsageError
from densecast.runtime import cell, cell_server

_log = logging.getLogger(__name__)

_SECONDS = 3600
_FILE_BYTES = 1 << 40


class EngineCrashError(BadGraphError):
    """The process in which an engine was tried ended by a signal, or by a limit."""


def run(
    function: str, payload: dict[str, Any], *, subject: str, readable: Sequence[Path], libraries: tuple[str, ...]
) -> Any:
    """Run `function` ("package.module:name") as `function(payload, folder)` in a process of its own.

    Where no such process can be had, or this one is one already, the answer is None: then nothing is contained.

    Raises:
        EngineCrashError: it ended without an answer.
    """
    if cell_server.is_inside():
        return None
    bounds = cell.Limits(1 << 50, _SECONDS, _SECONDS, _FILE_BYTES)
    with tempfile.TemporaryDirectory(prefix="densecast-trial-") as folder:
        try:
            return cell.run_in_cell(
                function, payload, Path(folder), subject=subject, bounds=bounds, readable=readable, libraries=libraries
            )
        except UsageError:
            raise
        except BadGraphError as error:
            raise EngineCrashError(str(error)) from None
        except DensecastError as error:
            _log.info("an engine's crash is not contained here: %s", error)
            return None
