"""What a replay that is ended before its time leaves to the next: rows that may have to be said anew, windows to say.

Rule: it is in the journal with each bite, and a replay that is ended again before it came so far leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.journal import JournalReader

STATUS: Final = "replay"
"""Name of the journal's status that says it."""

Written = tuple[Sequence[str], int, int]
"""(Machine ids, start, end in ns) of rows."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """last: rows near where replays were ended; what comes after may change them. unsaid: (start, end), ns, of which
    weeks and months are yet to be said; None where all are."""

    last: Sequence[Written] = field(default=())
    unsaid: tuple[int, int] | None = None

    @classmethod
    def of(cls, reader: JournalReader) -> Unfinished:
        """What the journal says."""
        said: Mapping[str, Any] = reader.status().get(STATUS, {})
        last = [(list(machines), int(start), int(end)) for machines, start, end in said.get("last", ())]
        unsaid = said.get("unsaid")
        return cls(last, None if unsaid is None else (int(unsaid[0]), int(unsaid[1])))

    def at(self, machines: Sequence[str], start: int, end: int, unsaid: tuple[int, int] | None) -> dict[str, Any]:
        """What the journal is to say when these rows were written last."""
        before = [one for one in self.last if one[2] > end or not set(one[0]) <= set(machines)]
        return {"last": [*before, (list(machines), start, end)], "unsaid": unsaid}

    @staticmethod
    def nothing() -> dict[str, Any]:
        """What the journal is to say at the end."""
        return {"last": [], "unsaid": None}
