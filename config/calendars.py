"""Shifts and breaks of the file as calendars of the engine, and whether they can be.

Rule 1: everything by the wall clock, in minutes of a week that begins on Monday 00:00; time zones are the engine's.
Only planned stops, which have a date, become instants here.
Rule 2: a calendar takes over from the one above it (machine, line, plant) what it does not say itself.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from config.calendar_options import DAYS, Break, CalendarOptions, PlannedStop, ShiftOptions
from config.errors import Path, suggestion
from kpi.plant import Calendar, Shift

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

Warn = Callable[[str], None]
"""Takes what is allowed, but perhaps not meant."""

DAY_MINUTES: Final = 1_440
WEEK_MINUTES: Final = 7 * DAY_MINUTES

AROUND_THE_CLOCK: Final = Shift("around the clock", time(0), time(0), frozenset(range(7)))
"""The one shift of a plant without a calendar."""


@dataclass(frozen=True, slots=True)
class Planning:
    """When work is planned, and what work outside of that is."""

    calendar: Calendar
    overtime_apart: bool = False


def always(time_zone: str) -> Planning:
    """Around the clock: the planning of a plant without a calendar."""
    return Planning(Calendar(time_zone, (AROUND_THE_CLOCK,)))


def compile_calendar(
    options: CalendarOptions | None, above: Planning, path: Path, report: Report, warn: Warn
) -> Planning:
    """The planning of the options at a path. above: what it takes over. Faults go to `report`."""
    if options is None:
        return above
    if not options.model_fields_set:
        names = ", ".join(f"`{name}`" for name in CalendarOptions.model_fields)
        report(path, f"says nothing; give one of {names}")
    inherited = above.calendar
    shifts = inherited.shifts if options.shifts is None else _shifts(options.shifts, path, report)
    holidays = inherited.holidays if options.holidays is None else frozenset(options.holidays)
    of_above = inherited.exceptions if options.shifts is None else ()
    own = _exceptions(options.exceptions or {}, shifts, path, report)
    stops = [*_planned_stops(options.planned_stops or [], ZoneInfo(inherited.timezone), path, report)]
    calendar = Calendar(
        inherited.timezone,
        shifts,
        holidays,
        tuple(sorted({**dict(of_above), **own}.items())),
        tuple(sorted({*inherited.planned_stops, *(stop for _, stop in stops)})),
        tuple(sorted({*inherited.maintenance, *(stop for kind, stop in stops if kind == "maintenance")})),
    )
    _check_exceptions(calendar, own, path, report)
    if options.shifts is not None:
        _warn_of(calendar, warn)
    apart = above.overtime_apart if options.overtime is None else options.overtime == "apart"
    return Planning(calendar, apart)


def _shifts(options: list[ShiftOptions], path: Path, report: Report) -> tuple[Shift, ...]:
    shifts = tuple(_shift(shift) for shift in options)
    for place, shift in enumerate(options):
        _check_breaks(shift, (*path, "shifts", place), report)
        if shift.valid_from and shift.valid_until and shift.valid_until < shift.valid_from:
            report((*path, "shifts", place, "valid_until"), f"is before `valid_from`, {shift.valid_from}")
    _check_names(shifts, path, report)
    _check_overlap(shifts, path, report)
    return shifts


def _shift(shift: ShiftOptions) -> Shift:
    days = frozenset(DAYS.index(day) for day in shift.days)
    breaks = tuple((pause.start, pause.end) for pause in shift.breaks)
    return Shift(shift.name, shift.start, shift.end, days, breaks, shift.valid_from, shift.valid_until)


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


# Validity

_EVER: Final = (date.min, date.max)


def _validity(shift: Shift) -> tuple[date, date]:
    return shift.valid_from or _EVER[0], shift.valid_until or _EVER[1]


def _is_valid(shift: Shift, day: date) -> bool:
    first, last = _validity(shift)
    return first <= day <= last


def _can_meet(first: Shift, second: Shift, day: int, days_later: int) -> bool:
    """Whether `first` can start on some date with the weekday `day`, and `second` so many days later."""
    begins = max(_validity(first)[0], _shifted(_validity(second)[0], -days_later))
    ends = min(_validity(first)[1], _shifted(_validity(second)[1], -days_later))
    if begins > ends:
        return False
    return (day - begins.weekday()) % 7 <= (ends - begins).days


def _shifted(day: date, days: int) -> date:
    """A date some days away; the ends of time stay where they are."""
    return day if day in _EVER else date.fromordinal(day.toordinal() + days)


def _check_names(shifts: Sequence[Shift], path: Path, report: Report) -> None:
    """A name may come again for another time, as of a shift whose hours change."""
    seen: dict[str, list[Shift]] = {}
    for place, shift in enumerate(shifts):
        first, last = _validity(shift)
        before = seen.setdefault(shift.name, [])
        if any(_validity(other)[0] <= last and first <= _validity(other)[1] for other in before):
            report((*path, "shifts", place, "name"), f"a second shift `{shift.name}`")
        before.append(shift)


def _check_overlap(shifts: Sequence[Shift], path: Path, report: Report) -> None:
    """Two shifts may not claim one minute; the week is a ring, so Sunday night is tried against Monday too."""
    spans = []
    for place, shift in enumerate(shifts):
        for day in shift.days:
            begins = day * DAY_MINUTES + _minute(shift.start)
            spans.append((begins, begins + _length(shift.start, shift.end), place, day))
    spans.sort()
    told: set[int] = set()
    around = [*spans, *((begins + WEEK_MINUTES, ends + WEEK_MINUTES, place, day) for begins, ends, place, day in spans)]
    for at, (begins, ends, first, day) in enumerate(around[: len(spans)]):
        for later in range(at + 1, len(around)):
            begins_later, _, second, day_later = around[later]
            if begins_later >= ends:
                break
            days_later = begins_later // DAY_MINUTES - begins // DAY_MINUTES
            pair = (min(first, second), max(first, second))
            if pair[1] not in told and _can_meet(shifts[first], shifts[second], day, days_later):
                told.add(pair[1])
                report((*path, "shifts", pair[1]), f"overlaps the shift `{shifts[pair[0]].name}` on {DAYS[day_later]}")


# Exceptions


def _exceptions(
    options: dict[date, list[str]], shifts: Sequence[Shift], path: Path, report: Report
) -> dict[date, tuple[int, ...]]:
    """Date → indexes of the shifts that start on it."""
    made: dict[date, tuple[int, ...]] = {}
    names = list(dict.fromkeys(shift.name for shift in shifts))
    for day, wanted in options.items():
        indexes = []
        for place, name in enumerate(wanted):
            here = (*path, "exceptions", day.isoformat(), place)
            index = _named(name, shifts, day)
            if index is None:
                report(here, f"unknown shift `{name}`{suggestion(name, names)}")
            elif index in indexes:
                report(here, f"the shift `{name}` is named twice")
            else:
                indexes.append(index)
        made[day] = tuple(indexes)
    return made


def _named(name: str, shifts: Sequence[Shift], day: date) -> int | None:
    """The shift of a name; of several, the one that is valid on the day."""
    known = [index for index, shift in enumerate(shifts) if shift.name == name]
    return next((index for index in known if _is_valid(shifts[index], day)), known[0] if known else None)


def _check_exceptions(calendar: Calendar, own: dict[date, tuple[int, ...]], path: Path, report: Report) -> None:
    """The shifts of an excepted date may overlap neither each other nor those of the days around it."""
    for day, indexes in own.items():
        around = sorted(
            (*_span(calendar.shifts[index], offset), index)
            for offset in (-1, 0, 1)
            for index in _starting(calendar, day, offset)
        )
        for (_, ends, first), (begins, _, second) in pairwise(around):
            if begins < ends and {first, second} & set(indexes):
                names = f"`{calendar.shifts[first].name}` and `{calendar.shifts[second].name}`"
                report((*path, "exceptions", day.isoformat()), f"the shifts {names} overlap")
                break


def _span(shift: Shift, offset: int) -> tuple[int, int]:
    begins = offset * DAY_MINUTES + _minute(shift.start)
    return begins, begins + _length(shift.start, shift.end)


def _starting(calendar: Calendar, excepted: date, offset: int) -> Iterator[int]:
    """Indexes of the shifts that start some days from an excepted date."""
    if not 0 < excepted.toordinal() + offset <= date.max.toordinal():
        return
    day = excepted + timedelta(days=offset)
    exceptions = dict(calendar.exceptions)
    if day in exceptions:
        yield from exceptions[day]
    elif day not in calendar.holidays:
        yield from (i for i, s in enumerate(calendar.shifts) if day.weekday() in s.days and _is_valid(s, day))


# Planned stops


def _planned_stops(
    options: list[PlannedStop], zone: ZoneInfo, path: Path, report: Report
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Kind, and (start, end) in ns, of each planned stop."""
    for place, stop in enumerate(options):
        here = (*path, "planned_stops", place)
        start, end = (_instant(getattr(stop, name), zone, (*here, name), report) for name in ("start", "end"))
        if stop.end <= stop.start:
            report((*here, "end"), f"expected a time after the start, {stop.start:%Y-%m-%d %H:%M}")
        elif start is not None and end is not None:
            yield stop.kind, (start, end)


def _instant(local: datetime, zone: ZoneInfo, path: Path, report: Report) -> int | None:
    """ns since the epoch of a wall-clock time; where the clock shows it twice, of the earlier."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local:
        report(path, f"{local:%Y-%m-%d %H:%M} does not exist in {zone.key}: the clock jumps over it")
        return None
    return int(instant.timestamp()) * 1_000_000_000


def _warn_of(calendar: Calendar, warn: Warn) -> None:
    named = {index for _, indexes in calendar.exceptions for index in indexes}
    for index, shift in enumerate(calendar.shifts):
        if not shift.days and index not in named:
            warn(f"shift `{shift.name}` has no days and is in no exception: it never starts")
    last = max((_validity(shift)[1] for shift in calendar.shifts), default=date.max)
    if last != date.max:
        warn(f"no shift is valid after {last}: nothing is planned from then on")
