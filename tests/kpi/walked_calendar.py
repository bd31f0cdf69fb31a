"""The slow, obvious twin of the calendar: walks along the time line and looks at the clock on the wall.

The rule, in the words of the calendar: shift and break times are read on the wall clock of their day; a time that the
clock leaves out is the instant at which it jumped, one that it shows twice is the earlier. In other words, and that is
all that is done here: **a time of day has come when the wall clock of the plant first shows it, or a later one.** So
nothing is known of offsets, folds or jumps; `zoneinfo` tells what the clock shows, one minute after the other.

Shares no code with the engine but the plant's dataclasses.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kpi.plant import Calendar

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE


class Planned(NamedTuple):
    """What is planned at an instant. shift: index in the calendar's shifts, -1 outside any; shift_start: ns, else 0."""

    operation: bool
    busy: bool
    shift: int
    shift_start: int


NOTHING = Planned(False, False, -1, 0)


class Turn(NamedTuple):
    """One shift of one day, in ns; in order of which wins where several cover an instant."""

    begin: int
    finish: int
    shift: int
    day: date

    def covers(self, instant: int) -> bool:
        return self.begin <= instant < self.finish


def planned_at(calendar: Calendar, instant: int) -> Planned:
    """What is planned at an instant (ns): by the shift that started first of those that cover it."""
    today = _shown(instant, calendar.timezone).date()
    covering = [turn for turn in _turns(calendar, today, today) if turn.covers(instant)]
    if not covering:
        return NOTHING
    turn = min(covering)
    pauses = [*_pauses(calendar, turn), *calendar.planned_stops]
    return Planned(True, not any(begin <= instant < end for begin, end in pauses), turn.shift, turn.begin)


@lru_cache(maxsize=256)
def planned(calendar: Calendar, start: int, end: int) -> tuple[tuple[int, Planned], ...]:
    """(edge, what is planned from there to the next) from start to end, ns."""
    first, last = (_shown(instant, calendar.timezone).date() for instant in (start, end))
    edges = {start}
    for turn in _turns(calendar, first, last):
        for stretch in ((turn.begin, turn.finish), *_pauses(calendar, turn)):
            edges |= set(stretch)
    for stop in calendar.planned_stops:
        edges |= set(stop)
    return tuple((edge, planned_at(calendar, edge)) for edge in sorted(edges) if start <= edge < end)


def _turns(calendar: Calendar, first: date, last: date) -> list[Turn]:
    """Shifts that may cover an instant of the days: no shift is longer than a day by the wall clock."""
    return [
        Turn(*_stretch(calendar, day, calendar.shifts[index].start, calendar.shifts[index].end), index, day)
        for day in _days(first - timedelta(days=2), last + timedelta(days=1))
        for index in _starting(calendar, day)
    ]


def _starting(calendar: Calendar, day: date) -> list[int]:
    """Shifts that start on a day: an exception says so, whatever else does; then a holiday; then the shift itself."""
    for exception, indexes in calendar.exceptions:
        if exception == day:
            return list(indexes)
    if day in calendar.holidays:
        return []
    return [
        index
        for index, shift in enumerate(calendar.shifts)
        if day.weekday() in shift.days
        and not (shift.valid_from and day < shift.valid_from)
        and not (shift.valid_until and day > shift.valid_until)
    ]


def _pauses(calendar: Calendar, turn: Turn) -> list[tuple[int, int]]:
    """Breaks of a shift; one whose time is before the shift's start comes after midnight."""
    shift = calendar.shifts[turn.shift]
    return [
        _stretch(calendar, turn.day + timedelta(days=begin < shift.start), begin, end) for begin, end in shift.breaks
    ]


def _stretch(calendar: Calendar, day: date, begin: time, end: time) -> tuple[int, int]:
    """From a time of the day to the next such time as `end`, which may be on the next day."""
    until = day if end > begin else day + timedelta(days=1)
    return _comes(calendar.timezone, day, begin), _comes(calendar.timezone, until, end)


@cache
def _comes(timezone: str, day: date, at: time) -> int:
    """The first instant (ns) at which the wall clock shows a time of a day, or a later one."""
    return next(instant for instant, shown in _walk(timezone, day) if shown >= datetime.combine(day, at))


@cache
def _walk(timezone: str, day: date) -> list[tuple[int, datetime]]:
    """(instant, what the wall clock shows) of every minute that may belong to a day, and then some."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * SECOND
    return [(instant, _shown(instant, timezone)) for instant in range(noon - 2 * DAY, noon + 2 * DAY, MINUTE)]


def _shown(instant: int, timezone: str) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, ZoneInfo(timezone)).replace(tzinfo=None)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)
