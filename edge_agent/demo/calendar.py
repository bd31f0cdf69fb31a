"""When the demonstration plant is staffed: two shifts a day with breaks, by the plant's wall clock.

Rule: the plant and its book keep this calendar themselves and use nothing of `kpi`; that two independent calendars
give the same planned busy time is part of what the demonstration shows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift within one day: (start, end) and its breaks by the wall clock."""

    name: str
    start: time
    end: time
    breaks: tuple[tuple[time, time], ...]


@dataclass(frozen=True, slots=True)
class ShiftCalendar:
    """The same shifts on all days of the week. time_zone: IANA name. All times in ms since the epoch, UTC."""

    time_zone: str
    shifts: tuple[Shift, ...]

    def staffed(self, at: int) -> bool:
        """Whether a shift is on, break or not."""
        return any(start <= at < end for start, end in self._near(at, "shifts"))

    def busy(self, at: int) -> bool:
        """Whether work is planned: a shift is on and it is no break."""
        return any(start <= at < end for start, end in self._near(at, "busy"))

    def next_edge(self, at: int) -> int:
        """The first time after `at` at which a shift or a break begins or ends."""
        day = self._day(at)
        for offset in range(3):
            edges = _edges(self, day + timedelta(days=offset))
            found = bisect_right(edges, at)
            if found < len(edges):
                return edges[found]
        raise AssertionError("a calendar without shifts")

    def busy_intervals(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The planned busy time between start and end, as (start, end) in order, clipped."""
        day = self._day(start) - timedelta(days=1)
        while day <= self._day(end):
            for begins, ends in _intervals(self, day)["busy"]:
                if max(begins, start) < min(ends, end):
                    yield max(begins, start), min(ends, end)
            day += timedelta(days=1)

    def latest_shift_start(self, at: int) -> int:
        """The start of the first shift of a day, the latest that is not after `at`."""
        day = self._day(at)
        starts = [_intervals(self, day - timedelta(days=back))["shifts"][0][0] for back in range(2)]
        return next(start for start in starts if start <= at)

    def _day(self, at: int) -> date:
        return datetime.fromtimestamp(at / 1000, ZoneInfo(self.time_zone)).date()

    def _near(self, at: int, kind: str) -> list[tuple[int, int]]:
        return _intervals(self, self._day(at))[kind]


@lru_cache(maxsize=64)
def _intervals(calendar: ShiftCalendar, day: date) -> dict[str, list[tuple[int, int]]]:
    zone = ZoneInfo(calendar.time_zone)

    def at(wall: time) -> int:
        return (datetime.combine(day, wall, zone) - _EPOCH) // _MILLISECOND

    busy = []
    for shift in calendar.shifts:
        begins = at(shift.start)
        for break_start, break_end in shift.breaks:
            busy.append((begins, at(break_start)))
            begins = at(break_end)
        busy.append((begins, at(shift.end)))
    return {"shifts": [(at(shift.start), at(shift.end)) for shift in calendar.shifts], "busy": busy}


@lru_cache(maxsize=64)
def _edges(calendar: ShiftCalendar, day: date) -> list[int]:
    return sorted({edge for interval in _intervals(calendar, day)["busy"] for edge in interval})
