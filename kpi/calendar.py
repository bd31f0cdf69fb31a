"""When work is planned: shifts by the plant's wall clock → edges in UTC.

Rule: shift and break times are read on the wall clock of their day, so a night shift over a clock change is an hour
longer or shorter. A wall-clock time that does not exist is the instant at which the clock jumped; one that exists twice
is the earlier, so that a shift begins where the one before it ends.
Source: ISO 22400-2, POT and PBT; hours that the clock repeats or leaves out are the project's own rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from kpi.plant import Calendar, Shift

NO_SHIFT: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class PlannedTimes:
    """Stretches of planned time, parallel columns of shape (n,): each holds from its edge to the next.

    edge: int64 ns, strictly increasing; the first is the start that was asked for.
    operation, busy: whether the stretch is planned operation time (POT), planned busy time (PBT). maintenance: whether
    maintenance is planned in it.
    shift: int32 index in the calendar's shifts, `NO_SHIFT` outside any. shift_start: int64 ns, 0 outside any.
    """

    edge: npt.NDArray[np.int64]
    operation: npt.NDArray[np.bool_]
    busy: npt.NDArray[np.bool_]
    shift: npt.NDArray[np.int32]
    shift_start: npt.NDArray[np.int64]
    maintenance: npt.NDArray[np.bool_]


def planned_times(calendar: Calendar, start: int, end: int) -> PlannedTimes:
    """The planned times from start to end (ns since the epoch, UTC).

    Where shifts overlap the one that started first wins. Source: ISO 22400-2, POT and PBT.
    """
    zone = ZoneInfo(calendar.timezone)
    first = _local_date(start, zone) - timedelta(days=2)
    last = _local_date(end, zone) + timedelta(days=1)
    rows: list[tuple[int, bool, bool, int, int]] = [(start, False, False, NO_SHIFT, 0)]
    free_from = np.iinfo(np.int64).min
    for begin, finish, index, day in _shifts(calendar, zone, first, last):
        begin_free = max(begin, int(free_from))
        if begin_free >= finish:
            continue
        rows.append((begin_free, True, True, index, begin))
        pauses = [*_breaks(calendar.shifts[index], day, zone), *calendar.planned_stops]
        for pause_begin, pause_end in _joined(pauses):
            if max(pause_begin, begin_free) < min(pause_end, finish):
                rows.append((max(pause_begin, begin_free), True, False, index, begin))
                rows.append((min(pause_end, finish), True, True, index, begin))
        rows.append((finish, False, False, NO_SHIFT, 0))
        free_from = finish
    times = _clipped(rows, start, end)
    if not calendar.maintenance:
        return times
    times = _with_edges(times, (edge for stop in calendar.maintenance for edge in stop if edge < end))
    return replace(times, maintenance=_in_maintenance(calendar, times.edge))


def _in_maintenance(calendar: Calendar, time: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether maintenance is planned at each time (ns), shape (n,); within a shift or outside."""
    stops = np.array(_joined([*calendar.maintenance]), np.int64).reshape(-1, 2)
    at = np.searchsorted(stops[:, 0], time, side="right") - 1
    inside: npt.NDArray[np.bool_] = at >= 0
    inside[inside] = time[inside] < stops[at[inside], 1]
    return inside


def _with_edges(times: PlannedTimes, at: Iterable[int]) -> PlannedTimes:
    """The same with more edges, of which those before the first are left out."""
    edge = np.union1d(times.edge, np.array([one for one in at if one > times.edge[0]], np.int64))
    held = np.searchsorted(times.edge, edge, side="right") - 1
    return PlannedTimes(
        edge,
        times.operation[held],
        times.busy[held],
        times.shift[held],
        times.shift_start[held],
        times.maintenance[held],
    )


def _clipped(rows: list[tuple[int, bool, bool, int, int]], start: int, end: int) -> PlannedTimes:
    """Rows in time order; of several at one edge, or before the start, the last holds."""
    held: dict[int, tuple[int, bool, bool, int, int]] = {}
    for row in sorted(rows[1:], key=lambda r: r[0]):
        if row[0] < end:
            held[max(row[0], start)] = row
    if start not in held:
        held = {start: rows[0], **held}
    _, operation, busy, shift, shift_start = zip(*held.values(), strict=True)
    return PlannedTimes(
        np.array(list(held), np.int64),
        np.array(operation, np.bool_),
        np.array(busy, np.bool_),
        np.array(shift, np.int32),
        np.array(shift_start, np.int64),
        np.zeros(len(held), np.bool_),
    )


def _shifts(calendar: Calendar, zone: ZoneInfo, first: date, last: date) -> list[tuple[int, int, int, date]]:
    """(start, end, index, date) of every shift that starts in the days, in order of their start."""
    found = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        for index in _starting(calendar, day):
            shift = calendar.shifts[index]
            found.append((*_stretch(day, shift.start, shift.end, zone), index, day))
    return sorted(found)


def _starting(calendar: Calendar, day: date) -> Iterable[int]:
    """Indexes of the shifts that start on a day."""
    for exception, indexes in calendar.exceptions:
        if exception == day:
            return indexes
    if day in calendar.holidays:
        return ()
    return [index for index, shift in enumerate(calendar.shifts) if _works(shift, day)]


def _works(shift: Shift, day: date) -> bool:
    return (
        day.weekday() in shift.days
        and (shift.valid_from is None or shift.valid_from <= day)
        and (shift.valid_until is None or day <= shift.valid_until)
    )


def _joined(pauses: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pauses in order, those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, finish in sorted(pauses):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], finish))
        else:
            joined.append((begin, finish))
    return joined


def _breaks(shift: Shift, day: date, zone: ZoneInfo) -> list[tuple[int, int]]:
    """(start, end) of the breaks of the shift that starts on the day; those before its start are after midnight."""
    found = []
    for begin, finish in shift.breaks:
        break_day = day + timedelta(days=1) if begin < shift.start else day
        found.append(_stretch(break_day, begin, finish, zone))
    return sorted(found)


def _stretch(day: date, begin: time, finish: time, zone: ZoneInfo) -> tuple[int, int]:
    until = day + timedelta(days=1) if finish <= begin else day
    return _instant(day, begin, zone), _instant(until, finish, zone)


def _instant(day: date, at: time, zone: ZoneInfo) -> int:
    """ns since the epoch of a wall-clock time."""
    wall = datetime.combine(day, at, tzinfo=zone)
    early, late = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    # Where the time does not exist, the two folds name instants on both sides of the jump, in reverse.
    exact = _jump(late, early, zone) if early > late else early
    return int(exact.timestamp()) * 1_000_000_000 + exact.microsecond * 1_000


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the zone's offset changes between two instants."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _local_date(instant: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(instant // 1_000_000_000, tz=UTC).astimezone(zone).date()
