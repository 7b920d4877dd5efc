"""What an engine or a framework says of an error, in one line, and as an error of ours.

Their messages are traces of C++, dumps of graphs and terminal codes, with the reason somewhere inside.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from densecast.errors import BadGraphError, DensecastError

log = logging.getLogger(__name__)

_MODULES = ("onnxruntime", "openvino", "_pyopenvino", "nncf", "torch", "google", "onnx")
_MOST = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
# Where in the engine's own code something was found, and which of its conditions did not hold.
_PLACES = (
    re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : "),
    re.compile(r"(^Exception from|(\bCheck|^Check) '.*' failed at) ?\S+\.(cpp|cc|h|hpp):\d+:?\s*"),
    re.compile(r"^\[CPU\] "),
    re.compile(r"^/?[\w./+-]+\.(cc|cpp|h|hpp):\d+ .*? was false\.\s*"),
    re.compile(r"^/?[\w./+-]+\.(cc|cpp|h|hpp):\d+:?( [A-Z]\w+\b)?\s*"),
    re.compile(r"^\[ ?(ERROR|GENERAL_ERROR|NOT_IMPLEMENTED|NETWORK_NOT_READ|INFER_NOT_STARTED) ?\]\s*"),
)
_NODE = re.compile(r"while running (\w+) node\. Name:'([^']*)'(?:.*?Status Message: (.*))?", re.DOTALL)
_VALIDATING = re.compile(
    r"While validating (?:ONNX )?node '(?:opset\d+::)?(\S+)(.*?)'(?: with friendly_name '([^']*)')?:?$"
)
_TELLING = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b.*:")
_MEMORY = ("bad_alloc", "out of memory", "insufficient memory", "failed to allocate", "not enough memory")


def reason(error: BaseException) -> str:
    """The cause in one line of at most 300 characters, without a full stop."""
    text = _ESCAPES.sub("", str(error))
    node = _NODE.search(text)
    if node is not None:
        operator, name, status = node.groups()
        told = _of_lines(status or "") or "it failed"
        return f"{operator} node {name!r}: {told}"[:_MOST].rstrip(" .")
    return (_of_lines(text) or type(error).__name__)[:_MOST].rstrip(" .:")


def last_telling(error: BaseException) -> str:
    """Of a long message with a trace of Python in it, the last line that names an error; else as `reason`."""
    text = _ESCAPES.sub("", str(error))
    telling = [line.strip() for line in text.splitlines() if _TELLING.match(line.strip())]
    return telling[-1][:_MOST].rstrip(" .") if telling else reason(error)


def is_of_engine(error: BaseException) -> bool:
    """Whether an exception is one that engines raise, and none of ours or of Python's own."""
    return type(error) is RuntimeError or type(error).__module__.partition(".")[0] in _MODULES


def ours(error: Exception, what: str, cure: str, kind: type[DensecastError]) -> Exception:
    """An engine's exception as one of `kind`: `what`, the reason, and the `cure`; any other as it is.

    That the engine got no memory is a `MemoryError`.
    """
    if not is_of_engine(error):
        return error
    log.debug("%s", what, exc_info=error)
    told = reason(error)
    if any(each in str(error).lower() for each in _MEMORY):
        return MemoryError(told)
    return kind(f"{what} ({told}).{f' {cure}' if cure else ''}")


@contextlib.contextmanager
def as_ours(what: str, cure: str = "", kind: type[DensecastError] = BadGraphError) -> Iterator[None]:
    """Raise an engine's exception as `ours`.

    Raises:
        DensecastError: of `kind`.
        MemoryError: the engine got no memory.
    """
    try:
        yield
    except Exception as error:
        raise ours(error, what, cure, kind) from None


def _of_lines(text: str) -> str:
    """The first two lines that say something, without places in code."""
    told: list[str] = []
    for line in text.splitlines():
        said = _plain(line.strip())
        if said and said not in told:
            told.append(said.rstrip(": ."))
    return ": ".join(told[:2])


def _plain(line: str) -> str:
    for _ in range(3):
        for place in _PLACES:
            line = place.sub("", line, count=1)
    validating = _VALIDATING.match(line)
    if validating is not None:
        operator, _, name = validating.groups()
        return f"{operator} node {name!r}" if name else f"{operator} node"
    return line
