"""How a command ends: one line on standard error, and an exit code that scripts can trust."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from densecast.errors import DensecastError, UsageError
from densecast.io import temporaries

_MAY_BE_EMPTY = ("--suffix", "--device")

INTERNAL_ERROR = 70
"""`EX_SOFTWARE` of BSD's sysexits."""

_PRINTING = "densecast_printing"
# How libraries of other languages say that memory ran out, in errors of their own.
_MEMORY = ("bad_alloc", "out of memory", "insufficient memory", "failed to allocate", "not enough memory")
_MEMORY_NUMBERS = (errno.ENOMEM,)
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)


class Failed(BaseException):
    """Carries an error past the command parser, which has exit codes and words of its own for some."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Commands(TyperGroup):
    """The sub-commands, whose errors reach `main` as they are."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help of the program itself, in the same way as that of the sub-commands."""
        _without_values(self, ctx)
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command of that name, whose help shows no value beside options that take none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _without_values(found, ctx)
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command; a wrong command line and requests to exit are the parser's."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # typer brings a copy of click of its own, or uses the installed one.
            if type(error).__module__.partition(".")[0] in ("typer", "click"):
                _say_plainly(error)
                raise
            raise Failed(error) from error


def _say_plainly(error: Any) -> None:
    """Put what the parser's library says of a value into plain words."""
    if isinstance(getattr(error, "message", None), str):
        error.message = error.message.replace("Input should be ", "must be ")


def _without_values(command: Any, ctx: Any) -> None:
    """Have the help of a command, and of those below it, say `--tune`, not `--tune <bool>`."""
    for each in (*command.params, command.get_help_option(ctx)):
        if each is not None and each.metavar is None and (getattr(each, "is_flag", False) or getattr(each, "count", 0)):
            each.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        _without_values(inner, ctx)


def refuse_empty(words: Sequence[str]) -> None:
    """Refuse arguments of no letters, which a shell makes of variables that are not set, and which name this folder.

    Raises:
        UsageError: one is empty; names the option that it is for.
    """
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        option = word[:-1] if word.startswith("--") and word.endswith("=") else before if not word else None
        if option is None or option in _MAY_BE_EMPTY:
            continue
        what = f"{option} has an empty value" if option.startswith("-") else "an argument is empty"
        raise UsageError(f"{what}. Is a variable of the shell not set?")


def told(error: Exception) -> int:
    """Print what went wrong in one line; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        return _reader_left()
    if isinstance(error, DensecastError):
        _say(f"{error}{f' {error.hint}' if error.hint else ''}")
        return error.exit_code
    if _is_out_of_memory(error):
        _say("memory ran out. Allow this process more, or use a smaller batch, smaller images or fewer threads.")
        return DensecastError.exit_code
    if isinstance(error, OSError):  # a disk that is full, a folder that may not be written
        _say(f"the folder that this was started in is gone ({error})." if _is_lost(error) else _of_system(error))
        return DensecastError.exit_code
    # A fault of densecast's own: no user can mend it, and no script may take it for a gate.
    _say(f"internal error: {type(error).__name__}: {_first_line(error)} {_kept_trace(error)}")
    return INTERNAL_ERROR


def _of_system(error: OSError) -> str:
    """What the system says of a file or folder, in words and without the names of temporary ones."""
    if error.strerror is None or not isinstance(error.filename, str | bytes):
        return str(error)
    path = Path(os.fsdecode(error.filename))
    hidden = next((each for each in (path, *path.parents) if temporaries.is_temporary(each.name)), None)
    cure = " Name a place that may be read and written." if error.errno in _RIGHTS else ""
    return f"{path if hidden is None else hidden.parent}: {error.strerror}.{cure}"


def _is_lost(error: OSError) -> bool:
    """Whether the current folder was removed, of which the system says no more than that something is not there."""
    if error.errno != errno.ENOENT or error.filename is not None:
        return False
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def flushed(code: Any) -> Any:
    """Flush standard output, which may be full or closed by its reader; returns the exit code."""
    # Only the printer of the help ends so, when its reader left: gates that fail are errors of their own.
    if code == 1:
        return _reader_left()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        return told(error) if isinstance(error, OSError) else code
    return code


def open_closed_streams() -> None:
    """Have what is printed on a closed standard stream go nowhere.

    Else the next file that is opened gets its number, and whatever a library of C prints goes into that file; Python
    prints what was for standard error to standard output.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # Open as long as the process is: that is what a standard stream is.
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123


def print_any_file_name() -> None:
    """Let standard output take names that are not UTF-8, as their own bytes, and letters that its encoding lacks."""
    codecs.register_error(_PRINTING, _encoded)
    for stream in (sys.stdout, sys.stderr):
        # Tests and notebooks put other objects there.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_PRINTING)


def _encoded(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    given = error.object[error.start : error.end]
    parts = (
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else ascii(letter)[1:-1].encode()
        for letter in given
    )
    return b"".join(parts), error.end


def _reader_left() -> int:
    """`| head` has seen enough. What is still buffered has nowhere to go, and Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return 0


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MEMORY_NUMBERS):
        return True
    # A type error or a missing key that quotes such words is no lack of memory.
    is_foreign = isinstance(error, (RuntimeError, ImportError)) or type(error).__module__ != "builtins"
    words = str(error).lower()
    return is_foreign and any(each in words for each in (*_MEMORY, "cannot allocate memory", "start new thread"))


def _say(text: str) -> None:
    line = " ".join(text.split("\n")).replace("\r", " ")
    try:
        print(f"densecast: {line}", file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads it
        return


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") + "."


def _kept_trace(error: BaseException) -> str:
    """Write the traceback to the cache folder and return where it is; print it if nothing can be written."""
    from densecast.io import cache, files

    text = "".join(traceback.format_exception(error))
    folder = cache.writable_folder()
    try:
        if folder is None:
            raise OSError
        path: Path = folder / "last_internal_error.txt"
        files.write_text(path, text)
    except OSError:
        print(text, file=sys.stderr)
        return "Please report it with the lines above."
    return f"Please report it with {path}."
