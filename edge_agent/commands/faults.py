"""How a command says that it did not succeed: by whose turn it is, never with a traceback."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told."""

    GOOD = 0
    FAILED = 1  # the input was right, the work did not succeed
    BAD_INPUT = 2  # the operator has to change what was given; also typer's own usage errors


class BadInputError(Exception):
    """What was given on the command line cannot be used. The text says what is wrong and what would be right."""


class WorkFailedError(Exception):
    """The work could not be done. The text says why and what can be done about it."""
