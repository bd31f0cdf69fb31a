"""Points of what a replay changes: elements, states and KPIs, made by the same parts as a live agent's.

Rule: windows from the hour on are summed from hours, not from minutes: of a replayed year the journal keeps no minutes.
Windows of a minute are said where the journal has the minutes of all machines, as a line's sum needs them.
"""

from __future__ import annotations

from itertools import takewhile

from edge_agent.journal import JournalReader, OutboxEntry
from edge_agent.kpi_windows import KpiWindows, WindowSums
from edge_agent.points import Points
from edge_agent.replay.rows import Chosen
from kpi.plant import Plant


class ReplayPoints:
    """Makes the outbox entries of each bite. plant: all machines of the configuration."""

    def __init__(self, plant: Plant, points: Points, reader: JournalReader) -> None:
        self._points = points
        self._minutes = KpiWindows(plant, lambda start, end: reader.elements("minute", start, end))
        self._hours = KpiWindows(plant, lambda start, end: reader.elements("hour", start, end))

    def entries(self, chosen: Chosen, over: int) -> list[OutboxEntry]:
        """What goes to the database; nothing where none is configured. over: ns; what ends later will still change."""
        if not self._points.sends or chosen.said.is_empty():
            return []
        entries = [*self._points.elements(chosen.said, over), *self._points.states(chosen.intervals, over)]
        sums: list[WindowSums] = []
        if not chosen.elements.is_empty():
            self._minutes.take_on(chosen.elements)
            sums += takewhile(lambda one: one.window == "minute", self._minutes.touched_by(chosen.elements))
        self._hours.take_on(chosen.hour_sums)
        sums += (one for one in self._hours.touched_by(chosen.hour_sums) if one.window != "minute")
        entries += self._points.kpis(sums, over, settled_to=over)
        self._minutes.forget()
        self._hours.forget()
        return entries
