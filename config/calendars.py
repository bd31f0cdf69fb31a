"""Shifts and breaks of the file as calendars of the engine, and whether they can be.

Rule: everything by the wall clock, in minutes of a week that begins on Monday 00:00; time zones are the engine's.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from itertools import pairwise
from typing import Final

from config.calendar_options import DAYS, Break, CalendarOptions, ShiftOptions
from config.errors import Path
from kpi.plant import Calendar, Shift

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

DAY_MINUTES: Final = 1_440
WEEK_MINUTES: Final = 7 * DAY_MINUTES

AROUND_THE_CLOCK: Final = Shift("around the clock", time(0), time(0), frozenset(range(7)))
"""The one shift of a plant without a calendar."""


def compile_calendar(
    options: CalendarOptions | None,
    time_zone: str,
    path: Path,
    report: Report,
    *,
    plant_holidays: frozenset[date] = frozenset(),
) -> Calendar:
    """The calendar of the options at a path; around the clock where there are none. Faults go to `report`."""
    if options is None:
        return Calendar(time_zone, (AROUND_THE_CLOCK,), plant_holidays)
    for place, shift in enumerate(options.shifts):
        _check_breaks(shift, (*path, "shifts", place), report)
    _check_names(options.shifts, path, report)
    _check_overlap(options.shifts, path, report)
    holidays = plant_holidays if options.holidays is None else frozenset(options.holidays)
    return Calendar(time_zone, tuple(_shift(shift) for shift in options.shifts), holidays)


def _shift(shift: ShiftOptions) -> Shift:
    days = frozenset(DAYS.index(day) for day in shift.days)
    breaks = tuple((pause.start, pause.end) for pause in shift.breaks)
    return Shift(shift.name, shift.start, shift.end, days, breaks)


def _minute(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def _length(start: time, end: time) -> int:
    """Minutes from start to the next end; a whole day where they are equal."""
    return (_minute(end) - _minute(start)) % DAY_MINUTES or DAY_MINUTES


def _check_breaks(shift: ShiftOptions, path: Path, report: Report) -> None:
    length = _length(shift.start, shift.end)

    def span(pause: Break) -> tuple[int, int]:
        begins = (_minute(pause.start) - _minute(shift.start)) % DAY_MINUTES
        return begins, begins + _length(pause.start, pause.end)

    spans = []
    for place, pause in enumerate(shift.breaks):
        begins, ends = span(pause)
        if ends > length:
            within = f"the shift, {shift.start:%H:%M} to {shift.end:%H:%M}"
            message = f"{pause.start:%H:%M} to {pause.end:%H:%M} is not within {within}"
            report((*path, "breaks", place), message)
        else:
            spans.append((begins, ends, place))
    for (_, ends, _first), (begins, _, place) in pairwise(sorted(spans)):
        if begins < ends:
            report((*path, "breaks", place), "overlaps another break")


def _check_names(shifts: list[ShiftOptions], path: Path, report: Report) -> None:
    seen: set[str] = set()
    for place, shift in enumerate(shifts):
        if shift.name in seen:
            report((*path, "shifts", place, "name"), f"a second shift `{shift.name}`")
        seen.add(shift.name)


def _check_overlap(shifts: list[ShiftOptions], path: Path, report: Report) -> None:
    """Two shifts may not claim one minute; the week is a ring, so Sunday night is tried against Monday too."""
    spans = []
    for place, shift in enumerate(shifts):
        for day in {DAYS.index(name) for name in shift.days}:
            begins = day * DAY_MINUTES + _minute(shift.start)
            spans.append((begins, begins + _length(shift.start, shift.end), place, day))
    spans.sort()
    told: set[tuple[int, int]] = set()
    around = [*spans, *((begins + WEEK_MINUTES, ends + WEEK_MINUTES, place, day) for begins, ends, place, day in spans)]
    for (_, ends, first, _), (begins, _, second, day) in pairwise(around):
        pair = (min(first, second), max(first, second))
        if begins < ends and pair not in told:
            told.add(pair)
            other = shifts[pair[0]].name
            report((*path, "shifts", pair[1]), f"overlaps the shift `{other}` on {DAYS[day]}")
