"""Which stretch of time a question is about.

Rule: windows are those of boards and exports, so that the number that is explained is the number that is shown there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from kpi.calendar import planned_times
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Machine
from kpi.rollup import WindowName, window_end, window_start

_LONGEST_SHIFT_NS: Final = 49 * HOUR_NS
"""No shift is longer than a day and an hour; half before an instant in it and half after."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A stretch of time, ns. window: its name, empty where it was asked for by start and end. shift: its name, where
    the window is one; its rows are those of that shift, whatever minutes they share with another."""

    window: str
    start: int
    end: int
    shift: str = ""

    def own(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of the window among element rows with text keys."""
        if self.window == "shift":
            return rows.filter(pl.col("shift") == self.shift, pl.col("shift_start") == self.start)
        return rows.filter(pl.col("time") >= self.start, pl.col("time") < self.end)


def window_at(window: WindowName, at: int, machines: Sequence[Machine], timezone: str) -> Asked:
    """The window that holds an instant (ns), by the plant's wall clock.

    Raises ValueError with what would be right where no shift of the machines holds it, or several do.
    """
    if window == "shift":
        return _shift_at(at, machines)
    start = int(pl.select(window_start(pl.lit(at, pl.Int64), window, timezone)).item())
    return Asked(window, start, window_end(start, window, timezone))


def between(start: int, end: int) -> Asked:
    """A stretch of whole minutes, ns. Raises ValueError where it is none."""
    if start % MINUTE_NS or end % MINUTE_NS:
        raise ValueError("elements are held by the minute: give whole minutes")
    if end <= start:
        raise ValueError("the end must be later than the start")
    return Asked("", start, end)


def _shift_at(at: int, machines: Sequence[Machine]) -> Asked:
    calendars = list(dict.fromkeys(machine.calendar for machine in machines))
    found = {}
    for calendar in calendars:
        plan = planned_times(calendar, at - _LONGEST_SHIFT_NS, at + _LONGEST_SHIFT_NS)
        held = int(np.searchsorted(plan.edge, at, side="right")) - 1
        if plan.shift[held] >= 0:
            start = int(plan.shift_start[held])
            own = np.flatnonzero(plan.shift_start == start)
            found[calendar.shifts[plan.shift[held]].name, start] = int(plan.edge[own[-1] + 1])
    if not found:
        raise ValueError("no shift is planned at that time; give another --at, or --window day")
    if len(found) > 1:
        names = ", ".join(sorted(name for name, _ in found))
        raise ValueError(f"several shifts are planned at that time ({names}); name a line or a machine")
    (((name, start), end),) = found.items()
    return Asked("shift", start, end, name)
