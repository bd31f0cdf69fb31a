"""Minute elements in, rolled-up elements of every window they touch out.

Rule 1: sums only. A window's row is the sum of minute rows; ratios are made from it, and never from ratios.
Rule 2: the journal is the truth; what is held here is a cache of it, read again when it is not held.

Two ways were weighed for the day and shift windows: sum all minutes of the day at each refresh, or keep sums of quarter
hours. Quarter hours won: every time zone is a multiple of fifteen minutes away from UTC, so a quarter never crosses
the edge of a local hour or day, and a hundred machines need 3 MB a day rather than 35. Shifts may begin at any minute,
but rows carry the shift they belong to, and a quarter keeps the rows of two shifts apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import polars as pl

from edge_agent.plant_facts import shift_end
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.plant import Plant
from kpi.rollup import Level, rollups, window_end

QUARTER_NS: Final = 15 * MINUTE_NS
_DAYS_HELD: Final = 3  # a night shift spans two days, and a correction around midnight touches a third
_QUARTERS_HELD: Final = 4

WindowName = Literal["minute", "hour", "shift", "day"]

ROW_KEYS: Final = ("machine", "time", "shift", "shift_start", "product")
"""Keys of the rows here and in the journal: machine, shift and product as text, empty where there is none."""

ReadMinutes = Callable[[int, int], pl.DataFrame]
"""Minute rows of the journal with start ≤ time < end (ns)."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowSums:
    """Summed elements of one window at one level: a row for each group and window start, as `kpi.rollup` gives them."""

    level: Level
    window: WindowName
    rows: pl.DataFrame


def no_rows() -> pl.DataFrame:
    """An empty table of element rows with text keys."""
    texts = {"machine": pl.Utf8, "shift": pl.Utf8, "product": pl.Utf8}
    columns = {key: texts.get(key, pl.Int64) for key in ROW_KEYS}
    return pl.DataFrame(schema={**columns, **dict.fromkeys(ELEMENT_IDS, pl.Int64)})


def summed(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Element rows added up by key columns, in order of first appearance."""
    return rows.group_by(by, maintain_order=True).agg(pl.col(ELEMENT_IDS).sum())


class PlantDays:
    """Local days and hours of the plant, for times in ns since the epoch."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._days: dict[int, tuple[int, int]] = {}

    def day(self, moment: int) -> tuple[int, int]:
        """Start and end (ns) of the local day that holds a moment."""
        hour = moment - moment % QUARTER_NS
        known = self._days.get(hour)
        if known is None:
            if len(self._days) > 1000:  # about ten days of quarters: a bound, not a tuned size
                self._days.clear()
            local = datetime.fromtimestamp(hour // 1_000_000_000, UTC).astimezone(self._zone).date()
            known = self._days[hour] = (self._midnight(local), self._midnight(local + timedelta(days=1)))
        return known

    def _midnight(self, local: date) -> int:
        return int(datetime.combine(local, time(), self._zone).timestamp()) * 1_000_000_000

    def hour(self, moment: int) -> tuple[int, int]:
        """Start and end (ns) of the local clock hour that holds a moment; zones half an hour off have their own."""
        seconds = moment // 1_000_000_000
        offset = datetime.fromtimestamp(seconds, UTC).astimezone(self._zone).utcoffset() or timedelta()
        start = moment - (moment + int(offset.total_seconds()) * 1_000_000_000) % HOUR_NS
        return start, start + HOUR_NS


class WindowEnds:
    """When windows end: the other edge of what `kpi.rollup` gives the start of."""

    def __init__(self, plant: Plant) -> None:
        self._timezone = plant.timezone
        calendars = {repr(machine.calendar): machine.calendar for machine in plant.machines}
        self._calendars = list(calendars.values())
        self._shifts: dict[int, int] = {}

    def of(self, sums: WindowSums) -> pl.Series:
        """End of each row's window, Int64 ns. Where machines of several calendars share a shift, the latest."""
        time = sums.rows["time"]
        ends = {start: self._end(start, sums.window) for start in time.unique().to_list()}
        return time.replace_strict(ends, return_dtype=pl.Int64) if ends else time

    def _end(self, start: int, window: WindowName) -> int:
        if window != "shift":
            return window_end(start, window, self._timezone)
        if start not in self._shifts:
            if len(self._shifts) > 1000:  # a year of three shifts: a bound, not a tuned size
                self._shifts.clear()
            self._shifts[start] = max(shift_end(calendar, start) for calendar in self._calendars)
        return self._shifts[start]


class KpiWindows:
    """Sums of the windows that are open or being corrected.

    plant: for the lines, areas and shifts of its machines. read_minutes: reads the journal as it was last committed.
    """

    def __init__(self, plant: Plant, read_minutes: ReadMinutes) -> None:
        self._plant = plant
        self._read = read_minutes
        self._calendar = PlantDays(plant.timezone)
        self._minutes: dict[int, pl.DataFrame] = {}  # start of a quarter → its minute rows
        self._days: dict[int, pl.DataFrame] = {}  # start of a local day → its quarters, summed
        self._newest = 0  # start of the newest minute seen

    def replaced(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows held so far of each (machine, time) that occurs in `rows`, keys and elements."""
        keys = rows.select("machine", "time").unique()
        held = [self._minute_rows(quarter) for quarter in _quarters(rows)]
        return pl.concat(held).join(keys, on=["machine", "time"], how="semi") if held else no_rows()

    def take_on(self, rows: pl.DataFrame) -> None:
        """Take on minute rows, which replace all rows of the same (machine, time).

        rows: text keys `ROW_KEYS` and Int64 elements.
        """
        rows = rows.select(*ROW_KEYS, *ELEMENT_IDS)
        for quarter in _quarters(rows):
            self._newest = max(self._newest, quarter)
            self._replace(quarter, rows.filter(pl.col("time").is_between(quarter, quarter + QUARTER_NS, closed="left")))

    def touched_by(self, rows: pl.DataFrame) -> Iterator[WindowSums]:
        """The windows that rows, taken on before, lie in: every level of each.

        A group that did not change may be among them, as the sums of its window are.
        """
        quarters = _quarters(rows)
        if not quarters:
            return
        yield from self._sums("minute", self._touched_minutes(rows, quarters))
        yield from self._sums("hour", self._between({self._calendar.hour(quarter) for quarter in quarters}))
        yield from self._sums("shift", self._touched_shifts(rows))
        yield from self._sums("day", self._between({self._calendar.day(quarter) for quarter in quarters}))

    def forget(self) -> None:
        """Let go of what is no longer likely to change; it is read again if it does."""
        for held, most in ((self._minutes, _QUARTERS_HELD), (self._days, _DAYS_HELD)):
            for start in sorted(held)[:-most]:
                del held[start]

    def _sums(self, window: WindowName, rows: pl.DataFrame) -> Iterator[WindowSums]:
        if rows.is_empty():
            return
        for level, sums in rollups(rows, self._plant, window=window).items():
            yield WindowSums(level, window, sums)

    def _minute_rows(self, quarter: int) -> pl.DataFrame:
        held = self._minutes.get(quarter)
        if held is None:
            read = self._read(quarter, quarter + QUARTER_NS).select(*ROW_KEYS, *ELEMENT_IDS)
            held = self._minutes[quarter] = read
        return held

    def _replace(self, quarter: int, rows: pl.DataFrame) -> None:
        day, day_end = self._calendar.day(quarter)
        quarters = self._day_rows(day, day_end)
        others = self._minute_rows(quarter).join(rows, on=["machine", "time"], how="anti")
        self._minutes[quarter] = minutes = pl.concat([others, rows])
        fresh = self._quarter_sums(minutes)
        self._days[day] = pl.concat([quarters.filter(pl.col("time") != quarter), fresh])

    def _quarter_sums(self, minutes: pl.DataFrame) -> pl.DataFrame:
        by_quarter = minutes.with_columns(pl.col("time") - pl.col("time") % QUARTER_NS)
        return summed(by_quarter, list(ROW_KEYS))

    def _day_rows(self, day: int, day_end: int) -> pl.DataFrame:
        held = self._days.get(day)
        if held is None:
            # an hour at a time, so that a day of a hundred machines is never in memory minute by minute
            hours = [
                self._quarter_sums(self._read(start, min(start + HOUR_NS, day_end)).select(*ROW_KEYS, *ELEMENT_IDS))
                for start in range(day, day_end, HOUR_NS)
            ]
            held = self._days[day] = pl.concat([no_rows(), *hours])
        return held

    def _touched_minutes(self, rows: pl.DataFrame, quarters: list[int]) -> pl.DataFrame:
        # all machines of a touched minute: the sums of a line need those that did not change too
        touched = rows.select("time").unique()
        held = pl.concat([self._minute_rows(quarter) for quarter in quarters])
        return held.join(touched, on="time", how="semi")

    def _between(self, spans: set[tuple[int, int]]) -> pl.DataFrame:
        parts = []
        for start, end in sorted(spans):
            day, day_end = self._calendar.day(start)
            inside = pl.col("time").is_between(start, end, closed="left")
            parts.append(self._day_rows(day, day_end).filter(inside))
        return pl.concat([no_rows(), *parts])

    def _touched_shifts(self, rows: pl.DataFrame) -> pl.DataFrame:
        parts = []
        for shift_start in rows.filter(pl.col("shift") != "")["shift_start"].unique().sort():
            belongs = (pl.col("shift_start") == shift_start) & (pl.col("shift") != "")
            first, next_day = self._calendar.day(shift_start)
            parts.append(self._day_rows(first, next_day).filter(belongs))
            if next_day <= self._newest:  # a shift is shorter than a day, so it ends on the next one at the latest
                parts.append(self._day_rows(*self._calendar.day(next_day)).filter(belongs))
        return pl.concat([no_rows(), *parts])


def _quarters(rows: pl.DataFrame) -> list[int]:
    return (rows["time"] - rows["time"] % QUARTER_NS).unique().sort().to_list()
