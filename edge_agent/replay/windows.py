"""Points of what a replay changes: elements, states, measured values and KPIs, by the same parts as a live agent's.

Rule 1: windows from the hour on are summed from hours, not from minutes: of a replayed year the journal keeps no
minutes. Windows of a minute are said where the journal has the minutes of all machines, as a line's sum needs them.
Rule 2: weeks and months are said when a month ends, not at every bite. Ended before, the next replay says them: the
journal remembers since when they are to be said.
"""

from __future__ import annotations

from itertools import takewhile

import polars as pl

from config.compiled import CompiledPlant
from edge_agent.journal import JournalReader, OutboxEntry
from edge_agent.kpi_windows import KpiWindows, WindowSums
from edge_agent.long_windows import LongWindows
from edge_agent.points import Points
from edge_agent.replay.rows import Chosen
from kpi.elements import HOUR_NS

_TOUCHED = ("machine", "time", "shift", "shift_start")


class ReplayPoints:
    """Makes the outbox entries of each bite."""

    def __init__(self, compiled: CompiledPlant, points: Points, reader: JournalReader) -> None:
        def hours(start: int, end: int) -> pl.DataFrame:
            return reader.elements("hour", start, end)

        def minutes(start: int, end: int) -> pl.DataFrame:
            return reader.elements("minute", start, end)

        self._points = points
        self._minutes = KpiWindows(compiled.plant, minutes, hours, compiled.line_rules)
        self._hours = KpiWindows(compiled.plant, hours, hours, compiled.line_rules)
        self._long = LongWindows(self._hours, compiled.plant)
        self.unsaid: tuple[int, int] | None = None
        """[start, end), ns, of which weeks and months are yet to be said; None where all are."""

    def go_on(self, start: int, end: int) -> None:
        """Say the weeks and months of [start, end), ns, with the next: the replay that would have was ended."""
        if self._points.sends:
            self._long.note_all(start, end)
            self._leave(start, end)

    def _say_again(self, over: int, *, goes_on: bool) -> None:
        """A week that is not over by now is said once more, whether or not another row of it changes."""
        before, self.unsaid = self.unsaid, None
        if goes_on:
            self.go_on(over - 1, max(over, over if before is None else before[1]))

    def _leave(self, start: int, end: int) -> None:
        before = self.unsaid or (start, end)
        self.unsaid = min(start, before[0]), max(end, before[1])

    def entries(self, chosen: Chosen, over: int, *, month_over: bool, goes_on: bool) -> list[OutboxEntry]:
        """What goes to the database; nothing where none is configured.

        over: ns; what ends later will still change. month_over: whether no more of this month is to come.
        goes_on: whether another bite follows.
        """
        if not self._points.sends:
            return []
        entries = [
            *self._points.elements(chosen.said, over),
            *self._points.states(chosen.intervals, over),
            *self._points.measured(chosen.measured, over),
        ]
        sums: list[WindowSums] = []
        if not chosen.minutes.is_empty():
            self._minutes.take_on(chosen.minutes)
            touched = self._minutes.touched_by(chosen.minutes.select(_TOUCHED))
            sums += takewhile(lambda one: one.window == "minute", touched)
            self._minutes.forget()
        if not chosen.hour_sums.is_empty():
            self._hours.take_on(chosen.hour_sums)
            self._long.note(chosen.hour_sums)
            first, last = chosen.hour_sums.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
            self._leave(first, last + HOUR_NS)
            touched = self._hours.touched_by(chosen.hour_sums.select(_TOUCHED))
            sums += (one for one in touched if one.window != "minute")
        if month_over:
            sums += self._long.said()
            self._say_again(over, goes_on=goes_on)
        self._hours.forget()
        return entries + self._points.kpis(sums, over, settled_to=over)
