"""Refuses options that were typed and have no effect beside the others: who types one counts on what it does."""

from __future__ import annotations

import typer

from densecast.errors import UsageError


class Typed:
    """The options of a command line, by the names of the command's parameters, although some may say what is default.

    Names that end with `_` stand for all parameters that begin so.
    """

    def __init__(self, context: typer.Context) -> None:
        self._flags = {
            str(each.name): each.opts[0]
            for each in context.command.params
            if each.param_type_name == "option"
            and getattr(context.get_parameter_source(str(each.name)), "name", "") == "COMMANDLINE"
        }

    def __contains__(self, name: str) -> bool:
        """Whether the option was typed."""
        return self._flag(name) is not None

    def refuse(self, cure: str, *names: str) -> None:
        """Refuse these options; `cure` says what they are for, and what to do.

        Raises:
            UsageError: one was typed; `--percentile` and the cure.
        """
        flag = next((found for name in names if (found := self._flag(name)) is not None), None)
        if flag is not None:
            raise UsageError(f"{flag} {cure}")

    def _flag(self, name: str) -> str | None:
        if not name.endswith("_"):
            return self._flags.get(name)
        return next((flag for each, flag in self._flags.items() if each.startswith(name)), None)
