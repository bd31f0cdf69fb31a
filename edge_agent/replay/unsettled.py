"""Rows at the end of a bite that what follows may still change: kept back where the journal has a row of their minute.

Rule: what is there is replaced by what is final, and by nothing before. A stop that is open at the end of a bite counts
as a minor one so far, a meter's interval as nothing: said there and then, a replay of what was replayed before would
write the minute twice, once otherwise and once as it was.

Two ways were weighed: to keep back everything until it is final, or only what would take the place of a row. Of a
minute that nobody spoke of the first word is said at once, so that a replay that is killed has said all it knows; so
the second won.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Literal

import polars as pl

from kpi.elements import MINUTE_NS

_KEY: Final = ["machine", "time"]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What the engine said, with names, of whole minutes: element rows, state intervals, measured values, decisions
    about counters."""

    rows: pl.DataFrame
    intervals: pl.DataFrame
    measured: pl.DataFrame
    decisions: pl.DataFrame

    @property
    def minutes(self) -> pl.DataFrame:
        """(machine, time) of the rows."""
        return self.rows.select(_KEY).unique()

    def of(self, minutes: pl.DataFrame) -> Said:
        """What it says of some (machine, time)."""
        return self._each(minutes, "semi")

    def without(self, minutes: pl.DataFrame) -> Said:
        """The same without some (machine, time)."""
        return self if minutes.is_empty() else self._each(minutes, "anti")

    def and_also(self, other: Said) -> Said:
        """Both, of which no minute is in both."""
        return Said(*(pl.concat([getattr(part, one.name) for part in (self, other)]) for one in fields(self)))

    def _each(self, minutes: pl.DataFrame, how: Literal["semi", "anti"]) -> Said:
        found = []
        for one in fields(self):
            table: pl.DataFrame = getattr(self, one.name)
            time = pl.col("start" if one.name == "intervals" else "time")
            minute = (time - time % MINUTE_NS).alias("minute")
            keys = minutes.select("machine", minute="time")
            kept = table.with_columns(minute).join(keys, on=["machine", "minute"], how=how, maintain_order="left")
            found.append(kept.drop("minute"))
        return Said(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Let:
    """What is let through. said: that. waiting: (machine, time) that are kept back. waited: those of `said` that were
    until now."""

    said: Said
    waiting: pl.DataFrame
    waited: pl.DataFrame


class Unsettled:
    """What is kept back of a replay."""

    def __init__(self) -> None:
        self._held: Said | None = None

    def final(self, said: Said, waits: Callable[[pl.DataFrame], pl.DataFrame]) -> Let:
        """What is to be written now, of what was said and what was kept back before.

        waits: of (machine, time), those that are not final and would take the place of a row.
        """
        before = self._held
        whole = said if before is None else before.without(said.minutes).and_also(said)
        waiting = waits(whole.minutes)
        waited = waiting.clear() if before is None else before.minutes.join(waiting, on=_KEY, how="anti")
        self._held = None if waiting.is_empty() else whole.of(waiting)
        return Let(whole.without(waiting), waiting, waited)
