"""Weeks and months that are open or being corrected: sums of their days.

Rule 1: a day is read once, and then held as a row of each machine and product; only days that changed are summed anew.
Rule 2: what one call costs is bounded: it reads so many days at most, and leaves windows that want more for the next.
So a month is there some minutes after a start, and nothing waits for it meanwhile.

Two ways were weighed for what is held: sums of the weeks and months themselves, from which what was is taken out and to
which what is now is added, or sums of days. Days won: two months of a hundred machines are 7 MB, a correction needs one
day and not the rows that it replaces, and weeks and months, which do not nest, are made from the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from edge_agent.kpi_windows import QUARTER_NS, KpiWindows, PlantDays, WindowSums
from kpi.elements import ELEMENT_IDS
from kpi.plant import Plant
from kpi.rollup import ClockWindow, window_end, window_start

LONG_WINDOWS: Final[tuple[ClockWindow, ...]] = ("week", "month")
_DAYS_HELD: Final = 100
"""A month and its weeks before the present ones, and what is yet to come of those."""


class LongWindows:
    """Weeks and months over the days of `KpiWindows`, which takes on rows before they are noted here."""

    def __init__(self, windows: KpiWindows, plant: Plant) -> None:
        self._windows = windows
        self._timezone = plant.timezone
        self._machines = pl.Series("machine", [machine.id for machine in plant.machines], pl.Utf8)
        self._calendar = PlantDays(plant.timezone)
        self._days: dict[int, pl.DataFrame] = {}  # by the start of the local day
        self._unsaid = {window: _no_days() for window in LONG_WINDOWS}
        """Machine and day, of what changed since the window was last said."""
        self.waits = False
        """Whether windows are left for which another day has to be read."""

    def note(self, rows: pl.DataFrame) -> None:
        """Windows of rows (`machine`, `time`) are to be said again."""
        quarters = (rows["time"] - rows["time"] % QUARTER_NS).rename("time")
        days = {quarter: self._calendar.day(quarter)[0] for quarter in quarters.unique().to_list()}
        for day in set(days.values()):
            self._days.pop(day, None)
        starts = quarters.replace_strict(days, return_dtype=pl.Int64) if days else quarters
        touched = pl.DataFrame({"machine": rows["machine"], "time": starts}, schema=_no_days().schema)
        for window, unsaid in self._unsaid.items():
            self._unsaid[window] = pl.concat([unsaid, touched]).unique(maintain_order=True)

    def note_all(self, start: int, end: int) -> None:
        """Windows that touch start ≤ time < end (ns) are to be said again, of all machines."""
        days = []
        while start < end:
            days.append(start)
            start = self._calendar.day(start)[1]
        self.note(pl.DataFrame({"time": pl.Series(days, dtype=pl.Int64)}).join(self._machines.to_frame(), how="cross"))

    def said(self, most_days: int | None = None) -> list[WindowSums]:
        """Sums of the windows to be said again, of the groups that changed; None = read as many days as it takes."""
        left = _Reads(most_days)
        self.waits = False
        found = [sums for window in LONG_WINDOWS for sums in self._said(window, left)]
        for day in sorted(self._days)[:-_DAYS_HELD]:
            del self._days[day]
        return found

    def _said(self, window: ClockWindow, left: _Reads) -> Iterator[WindowSums]:
        unsaid = self._unsaid[window].with_columns(start=window_start(pl.col("time"), window, self._timezone))
        for start in unsaid["start"].unique().sort(descending=True).to_list():
            rows = self._rows(start, window_end(start, window, self._timezone), left)
            if rows is None:
                self.waits = True
            else:
                mine = unsaid.filter(pl.col("start") == start)
                unsaid = unsaid.filter(pl.col("start") != start)
                touched = mine.select("machine", "time", shift=pl.lit(""), shift_start=pl.lit(0, pl.Int64)).unique()
                yield from self._windows.changed(window, rows, touched)
        self._unsaid[window] = unsaid.drop("start")

    def _rows(self, start: int, end: int, left: _Reads) -> pl.DataFrame | None:
        """Rows of all days of a window; None where more would have to be read than may be."""
        days: list[tuple[int, int]] = []
        while start < end:
            days.append((start, self._calendar.day(start)[1]))
            start = days[-1][1]
        for day, day_end in days:
            if day not in self._days and (self._windows.holds(day) or left.take()):
                self._days[day] = self._of_day(day, day_end)
        held = [self._days[day] for day, _ in days if day in self._days]
        return pl.concat(held) if len(held) == len(days) else None

    def _of_day(self, start: int, end: int) -> pl.DataFrame:
        rows = self._windows.day_rows(start, end)
        versions = [pl.col(name).max() for name in ("revision",) if name in rows.columns]
        summed = rows.group_by("machine", "product").agg(pl.col(ELEMENT_IDS).sum(), *versions)
        return summed.with_columns(time=pl.lit(start, pl.Int64), shift=pl.lit(""), shift_start=pl.lit(0, pl.Int64))


class _Reads:
    """How many days may still be read; None = any number."""

    def __init__(self, most: int | None) -> None:
        self._left = most

    def take(self) -> bool:
        """Whether another one may be read; it counts."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0


def _no_days() -> pl.DataFrame:
    return pl.DataFrame(schema={"machine": pl.Utf8, "time": pl.Int64})
