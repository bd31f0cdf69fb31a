"""Minute elements in, rolled-up elements of every window they touch out.

Rule 1: sums only. A window's row is the sum of minute rows; ratios are made from it, and never from ratios.
Rule 2: the journal is the truth; what is held here is a cache of it, read again when it is not held.

Two ways were weighed for the day and shift windows: sum all minutes of the day at each refresh, or keep sums of quarter
hours. Quarter hours won: every time zone is a multiple of fifteen minutes away from UTC, so a quarter never crosses
the edge of a local hour or day, and a hundred machines need 3 MB a day rather than 35. Shifts may begin at any minute,
but rows carry the shift they belong to, and a quarter keeps the rows of two shifts apart. Where the journal's hours are
those of the zone, a day is held by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from edge_agent.plant_facts import shift_end
from edge_agent.revisions import apart, in_one_number
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.lines import LineKind, LineRule
from kpi.plant import Plant
from kpi.rollup import Level, WindowName, rollups, window_end, window_start

QUARTER_NS: Final = 15 * MINUTE_NS
_DAYS_HELD: Final = 3  # a night shift spans two days, and a correction around midnight touches a third
_QUARTERS_HELD: Final = 4

ROW_KEYS: Final = ("machine", "time", "shift", "shift_start", "product")
"""Keys of the rows here and in the journal: machine, shift and product as text, empty where there is none."""

REVISION: Final = "revision"
"""Column of rows: how often what was said as closed was said again; below 0 of what is not over. Of rows held here,
that and its cause in one number (`edge_agent.revisions.in_one_number`)."""

ReadRows = Callable[[int, int], pl.DataFrame]
"""Rows of the journal, of minutes or of hours, with start ≤ time < end (ns)."""


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
    read_hours: reads its hours likewise; a day of which no minute is held is then read by them, sixty times as cheap.
    line_rules: of the lines that are not plain sums of their machines. newest: start (ns) of the newest minute that the
    journal may hold, where that is later than what will be taken on.
    Rows may have `revision` and `cause`; those of a window are of the highest revision of its rows.
    """

    def __init__(
        self,
        plant: Plant,
        read_minutes: ReadRows,
        read_hours: ReadRows | None = None,
        line_rules: Sequence[LineRule] = (),
        newest: int = 0,
    ) -> None:
        self._plant = plant
        self._rules = line_rules
        self._serial = [rule.line for rule in line_rules if rule.kind is LineKind.SERIAL]
        self._read = read_minutes
        self._read_hours = read_hours
        self._calendar = PlantDays(plant.timezone)
        self._minutes: dict[int, pl.DataFrame] = {}  # start of a quarter → its minute rows
        self._days: dict[int, _Day] = {}  # by the start of the local day
        self._newest = newest
        self._places = pl.DataFrame(
            [(machine.id, machine.line, machine.area) for machine in plant.machines],
            schema={"machine": pl.Utf8, "line": pl.Utf8, "area": pl.Utf8},
            orient="row",
        )

    def replaced(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows held so far of each (machine, time) that occurs in `rows`: keys, elements, revision and cause."""
        keys = rows.select("machine", "time").unique()
        held = [self._minute_rows(quarter) for quarter in _quarters(rows)]
        return apart(pl.concat([_nothing(), *held]).join(keys, on=["machine", "time"], how="semi"))

    def take_on(self, rows: pl.DataFrame, *, summing: bool = True) -> None:
        """Take on minute rows, which replace all rows of the same (machine, time).

        rows: text keys `ROW_KEYS` and Int64 elements. summing: False where nobody asks for windows: then the journal is
        not read for their sums.
        """
        rows = _of_use(rows)
        for quarter in _quarters(rows):
            self._newest = max(self._newest, quarter)
            mine = rows.filter(pl.col("time").is_between(quarter, quarter + QUARTER_NS, closed="left"))
            self._replace(quarter, mine, summing=summing)

    def touched_by(self, rows: pl.DataFrame) -> Iterator[WindowSums]:
        """The windows of the machines of rows, taken on before, and of their lines and areas; those that did not change
        are left out.

        rows: `machine`, `time`, `shift` and `shift_start` of what came, and of what it replaced where that was in
        another shift. A shift that no row belongs to any more is given with zeros.
        """
        quarters = _quarters(rows)
        if not quarters:
            return
        touched = rows.select("machine", "time", "shift", "shift_start").unique()
        yield from self.changed("minute", self._touched_minutes(rows, quarters), touched)
        yield from self.changed("hour", self._between({self._calendar.hour(quarter) for quarter in quarters}), touched)
        yield from self.changed("shift", self._touched_shifts(rows), touched)
        yield from self.changed("day", self._between({self._calendar.day(quarter) for quarter in quarters}), touched)

    def holds(self, day: int) -> bool:
        """Whether the local day that starts at `day` (ns) is held, so that nothing has to be read for it."""
        return day in self._days

    def day_rows(self, start: int, end: int) -> pl.DataFrame:
        """Rows of a local day, summed by parts of it. A day that is not held is read, and let go of."""
        return (self._days.get(start) or self._by_hours(start, end) or self._by_quarters(start, end)).rows

    def forget(self) -> None:
        """Let go of what is no longer likely to change; it is read again if it does."""
        for start in sorted(self._minutes)[:-_QUARTERS_HELD]:
            del self._minutes[start]
        for start in sorted(self._days)[:-_DAYS_HELD]:
            del self._days[start]

    def changed(self, window: WindowName, rows: pl.DataFrame, touched: pl.DataFrame) -> Iterator[WindowSums]:
        """The sums at each level of those windows and groups that touched rows belong to.

        rows: all of the windows. touched: as the rows of `touched_by`.
        """
        if window == "shift":
            starts = touched.filter(pl.col("shift") != "").with_columns(time=pl.col("shift_start"))
        else:
            starts = touched.with_columns(time=window_start(pl.col("time"), window, self._plant.timezone))
        groups = starts.join(self._places, on="machine", how="inner")
        # what machines of a serial line are measured by went into its first one
        of_serial = groups.filter(pl.col("line").is_in(self._serial)).drop("machine")
        others = of_serial.join(self._places, on=["area", "line"]).select(groups.columns)
        for level, sums in rollups(rows, self._plant, window=window, rules=self._rules).items():
            keys = [key for key in (*_PLACES_OF[level], "time", "shift") if key in sums.columns]
            mine = groups.select(keys).unique()
            wider = pl.concat([mine, others.select(keys)])
            changed = sums.join(wider, on=keys, how="semi", maintain_order="left")
            if window == "shift":
                gone = mine.join(sums, on=keys, how="anti")
                zeros = [pl.lit(0, pl.Int64).alias(column) for column in (*ELEMENT_IDS, REVISION)]
                changed = pl.concat([changed, gone.with_columns(zeros)], how="diagonal")
            yield WindowSums(level, window, apart(changed))

    def _minute_rows(self, quarter: int) -> pl.DataFrame:
        held = self._minutes.get(quarter)
        if held is None:
            held = self._minutes[quarter] = _of_use(self._read(quarter, quarter + QUARTER_NS))
        return held

    def _replace(self, quarter: int, rows: pl.DataFrame, *, summing: bool) -> None:
        day = self._day(*self._calendar.day(quarter)) if summing else None
        held = self._minute_rows(quarter)
        others = held.join(rows, on=["machine", "time"], how="anti")
        gone = held.join(rows, on=["machine", "time"], how="semi")
        self._minutes[quarter] = pl.concat([others, rows])
        if day is not None:
            # whole numbers: to take out what was and to add what is now gives the sum of all
            day.exchange(quarter, gone, rows)

    def _day(self, start: int, end: int) -> _Day:
        held = self._days.get(start)
        if held is None:
            held = self._days[start] = self._by_hours(start, end) or self._by_quarters(start, end)
        return held

    def _by_hours(self, start: int, end: int) -> _Day | None:
        """A day by the journal's hours; None where they are not the day's: a zone may be half an hour off."""
        if self._read_hours is None or (end - start) % HOUR_NS:
            return None
        rows = _of_use(self._read_hours(start - HOUR_NS + 1, end))
        if ((rows["time"] - start) % HOUR_NS != 0).any():
            return None
        return _Day(start, HOUR_NS, pl.concat([_nothing(), rows]))

    def _by_quarters(self, start: int, end: int) -> _Day:
        # an hour at a time, so that a day of a hundred machines is never in memory minute by minute
        hours = [self._read(hour, min(hour + HOUR_NS, end)) for hour in range(start, end, HOUR_NS)]
        quarter = pl.col("time") - pl.col("time") % QUARTER_NS
        parts = [_added_up(_of_use(rows).with_columns(quarter)) for rows in hours]
        return _Day(start, QUARTER_NS, pl.concat([_nothing(), *parts]))

    def _touched_minutes(self, rows: pl.DataFrame, quarters: list[int]) -> pl.DataFrame:
        # all machines of a touched minute: the sums of a line need those that did not change too
        touched = rows.select("time").unique()
        held = pl.concat([self._minute_rows(quarter) for quarter in quarters])
        return held.join(touched, on="time", how="semi")

    def _between(self, spans: set[tuple[int, int]]) -> pl.DataFrame:
        parts = []
        for start, end in sorted(spans):
            inside = pl.col("time").is_between(start, end, closed="left")
            parts.append(self._day(*self._calendar.day(start)).rows.filter(inside))
        return pl.concat([_nothing(), *parts])

    def _touched_shifts(self, rows: pl.DataFrame) -> pl.DataFrame:
        parts = []
        for shift_start in rows.filter(pl.col("shift") != "")["shift_start"].unique().sort():
            belongs = (pl.col("shift_start") == shift_start) & (pl.col("shift") != "")
            first, next_day = self._calendar.day(shift_start)
            parts.append(self._day(first, next_day).rows.filter(belongs))
            if next_day <= self._newest:  # a shift is shorter than a day, so it ends on the next one at the latest
                parts.append(self._day(*self._calendar.day(next_day)).rows.filter(belongs))
        return pl.concat([_nothing(), *parts])


@dataclass(slots=True)
class _Day:
    """A local day: rows summed by quarter hours, or by hours. grain_ns: which of them; their start is `time`."""

    start: int
    grain_ns: int
    rows: pl.DataFrame

    def exchange(self, moment: int, gone: pl.DataFrame, came: pl.DataFrame) -> None:
        """Take out rows of minutes near a moment, and add others."""
        part = moment - (moment - self.start) % self.grain_ns
        here = pl.col("time") == part
        delta = pl.concat([came, gone.with_columns(-pl.col(ELEMENT_IDS))]).with_columns(time=pl.lit(part, pl.Int64))
        summed_up = _added_up(pl.concat([self.rows.filter(here), delta]))
        is_left = pl.any_horizontal(pl.col(ELEMENT_IDS) != 0)
        self.rows = pl.concat([self.rows.filter(~here), summed_up.filter(is_left)])


_PLACES_OF: Final[dict[Level, tuple[str, ...]]] = {
    "machine": ("area", "line", "machine"),
    "line": ("area", "line"),
    "area": ("area",),
    "site": (),
}


@cache
def _nothing() -> pl.DataFrame:
    return no_rows().with_columns(pl.lit(0, pl.Int64).alias(REVISION))


def _of_use(rows: pl.DataFrame) -> pl.DataFrame:
    """Keys, elements and version in one number; that of the first word where nobody says it."""
    first_word = {REVISION: pl.lit(0, pl.Int64), "cause": pl.lit("")}
    rows = rows.with_columns(**{name: value for name, value in first_word.items() if name not in rows.columns})
    return in_one_number(rows).select(*ROW_KEYS, *ELEMENT_IDS, REVISION)


def _added_up(rows: pl.DataFrame) -> pl.DataFrame:
    by = rows.group_by(ROW_KEYS, maintain_order=True)
    return by.agg(pl.col(ELEMENT_IDS).sum(), pl.col(REVISION).max())


def _quarters(rows: pl.DataFrame) -> list[int]:
    return (rows["time"] - rows["time"] % QUARTER_NS).unique().sort().to_list()
