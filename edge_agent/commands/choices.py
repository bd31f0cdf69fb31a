"""Options of which one of a few words is right.

Rule: a wrong word is told as in the configuration: what came, what there is, and the nearest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypedDict, TypeVar

from config.errors import did_you_mean
from edge_agent.commands.faults import BadInputError

E = TypeVar("E", bound=StrEnum)


class Choice(TypedDict):
    """What `typer.Option` is told of such an option."""

    parser: Callable[[str], StrEnum]
    metavar: str


def choice(option: str, kind: type[E]) -> Choice:
    """How an option is read and shown. kind: the words. Reading raises BadInputError."""

    def read(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            known = [str(one) for one in kind]
            alike = did_you_mean(text, known)
            raise BadInputError(f"{option}: {text!r} is not one of {', '.join(known)}{alike}") from None

    return {"parser": read, "metavar": f"[{'|'.join(kind)}]"}
