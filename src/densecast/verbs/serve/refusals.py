"""What a server answers instead of a result: a status, one line that says why, and the field that is wrong."""

from __future__ import annotations

from densecast.errors import BadInputError, DensecastError, UnknownNameError, UsageError

_LONGEST_MESSAGE = 2000


class Refused(Exception):
    """A request that is answered with an error; `headers` go with it."""

    def __init__(
        self, status: int, message: str, *, field: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.headers = status, message[:_LONGEST_MESSAGE], field, headers or {}


def bad(message: str, field: str | None = None) -> Refused:
    """The refusal of a request that cannot be right."""
    return Refused(400, message, field=field)


def busy(message: str, after_s: float = 1.0) -> Refused:
    """The refusal of a request that may come again."""
    return Refused(503, message, headers={"Retry-After": str(max(1, round(after_s)))})


def of(error: Exception) -> Refused | None:
    """The refusal that an error of ours stands for; None if it is the server's own fault."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, UnknownNameError):
        return Refused(404, str(error), field=error.field)
    if isinstance(error, (BadInputError, UsageError)):
        return Refused(400, str(error), field=error.field or "image")
    if isinstance(error, MemoryError):
        return busy("there is no memory for this request now. Send a smaller one, or come again.")
    if isinstance(error, DensecastError):
        return Refused(500, str(error), field=error.field)
    return None
