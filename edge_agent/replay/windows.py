"""Points of what a replay changes: elements, states, measured values and KPIs, by the same parts as a live agent's.

Rule 1: windows from the hour on are summed from hours, not from minutes: of a replayed year the journal keeps no
minutes. Windows of a minute are said where the journal has the minutes of all machines, as a line's sum needs them.
Rule 2: weeks and months are said when a month ends, not at every bite. Ended before, the next replay says them: the
journal remembers since when they are to be said.
Rule 3: what was not over when it was said is said once more, even if nothing of it changes any more: it is final now.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

import polars as pl

from config.compiled import CompiledPlant
from edge_agent.journal import JournalReader, OutboxEntry
from edge_agent.kpi_windows import KpiWindows, WindowEnds, WindowSums, no_rows
from edge_agent.long_windows import LongWindows
from edge_agent.points import Points
from edge_agent.replay.rows import Chosen
from kpi.elements import HOUR_NS

_TOUCHED: Final = ("machine", "time", "shift", "shift_start")
_SHIFT: Final = ("machine", "shift_start")


class ReplayPoints:
    """Makes the outbox entries of each bite."""

    def __init__(self, compiled: CompiledPlant, points: Points, reader: JournalReader) -> None:
        def hours(start: int, end: int) -> pl.DataFrame:
            return reader.elements("hour", start, end)

        def minutes(start: int, end: int) -> pl.DataFrame:
            return reader.elements("minute", start, end)

        self._points = points
        self._read_hours = hours
        newest = (reader.span() or (0, 0))[1]
        self._minutes = KpiWindows(compiled.plant, minutes, hours, compiled.line_rules, newest)
        self._hours = KpiWindows(compiled.plant, hours, hours, compiled.line_rules, newest)
        self._long = LongWindows(self._hours, compiled.plant)
        self._ends = WindowEnds(compiled.plant)
        self._open = no_rows().select(_TOUCHED)
        self.unsaid: tuple[int, int] | None = None
        """[start, end), ns, of which weeks and months are yet to be said; None where all are."""

    def go_on(self, start: int, end: int) -> None:
        """Say weeks and months of [start, end), ns, and its last shifts: the replay that would have was ended."""
        if self._points.sends:
            self._note(start, end)
            rows = self._read_hours(end - 24 * HOUR_NS, end).select(_TOUCHED)
            self._open = rows.filter(pl.col("shift") != "").unique(_SHIFT, keep="last")

    def _open_shifts(self, touched: pl.DataFrame, said: list[WindowSums], over: int) -> list[WindowSums]:
        """Shifts that were not over at the end of the bite before, once more; those that are not over now are noted."""
        again = self._hours.touched_by(self._open.join(touched, on=_SHIFT, how="anti"))
        found = [one for one in again if one.window == "shift"]
        of_machines = [one for one in [*said, *found] if one.window == "shift" and one.level == "machine"]
        ends = [one.rows.select("machine", shift_start="time", end=self._ends.of(one)) for one in of_machines]
        still = pl.concat([self._open.select(*_SHIFT, end=pl.lit(0, pl.Int64)).clear(), *ends])
        rows = pl.concat([self._open, touched]).join(still.filter(pl.col("end") > over), on=_SHIFT, how="semi")
        self._open = rows.unique(_SHIFT, keep="last")
        return found

    def _say_again(self, over: int, *, goes_on: bool) -> None:
        """A week that is not over by now is said once more, whether or not another row of it changes."""
        before, self.unsaid = self.unsaid, None
        if goes_on and before is not None:
            self._note(over - 1, max(over, before[1]))

    def _note(self, start: int, end: int) -> None:
        self._long.note_all(start, end)
        self._leave(start, end)

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
        sums += self._open_shifts(chosen.hour_sums.select(_TOUCHED), sums, over)
        if month_over:
            sums += self._long.said()
            self._say_again(over, goes_on=goes_on)
        self._hours.forget()
        return entries + self._points.kpis(sums, over, settled_to=over)
