"""Planned times by the plant's wall clock, on ordinary days and on the two odd nights."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

from kpi.calendar import NO_SHIFT, planned_times
from kpi.plant import Calendar, Shift
from tests.kpi.plants import EVERY_DAY, HOUR, ns

EARLY = Shift("early", time(6), time(14), EVERY_DAY, ((time(9), time(9, 30)),))
NIGHT = Shift("night", time(22), time(6), EVERY_DAY, ((time(1), time(1, 30)),))
BERLIN = Calendar("Europe/Berlin", (EARLY, NIGHT))


def hours(calendar: Calendar, start: int, end: int) -> list[tuple[float, str]]:
    """(hours since the start, what begins) for every stretch."""
    plan = planned_times(calendar, start, end)
    names = [
        "-" if s == NO_SHIFT else calendar.shifts[s].name + ("" if busy else " break")
        for s, busy in zip(plan.shift.tolist(), plan.busy.tolist(), strict=True)
    ]
    return [((edge - start) / HOUR, name) for edge, name in zip(plan.edge.tolist(), names, strict=True)]


def test_a_day_of_shifts_breaks_and_free_time() -> None:
    assert hours(BERLIN, ns(2026, 6, 1, 4), ns(2026, 6, 2, 4)) == [
        (0.0, "early"),
        (3.0, "early break"),
        (3.5, "early"),
        (8.0, "-"),
        (16.0, "night"),
        (19.0, "night break"),
        (19.5, "night"),
    ]


def test_the_night_shift_of_the_spring_change_is_seven_hours() -> None:
    assert hours(BERLIN, ns(2026, 3, 28, 21), ns(2026, 3, 29, 5)) == [
        (0.0, "night"),
        (3.0, "night break"),
        (3.5, "night"),
        (7.0, "early"),
    ]


def test_the_night_shift_of_the_autumn_change_is_nine_hours() -> None:
    stretch = hours(BERLIN, ns(2026, 10, 24, 20), ns(2026, 10, 25, 6))
    assert stretch[-1] == (9.0, "early")


def test_a_break_in_the_hour_that_does_not_exist_takes_no_time() -> None:
    shift = Shift("night", time(22), time(6), EVERY_DAY, ((time(2, 15), time(2, 45)),))
    stretch = hours(Calendar("Europe/Berlin", (shift,)), ns(2026, 3, 28, 21), ns(2026, 3, 29, 4))
    assert stretch == [(0.0, "night")]


def test_no_shift_starts_on_a_holiday_but_the_one_before_runs_out() -> None:
    calendar = Calendar("Europe/Berlin", (EARLY, NIGHT), frozenset({date(2026, 6, 2)}))
    stretch = hours(calendar, ns(2026, 6, 1, 20), ns(2026, 6, 3, 20))
    assert (
        stretch
        == [
            (0.0, "night"),
            (3.0, "night break"),
            (3.5, "night"),
            (8.0, "-"),
            (32.0, "early"),
            (35.0, "early break"),
            (35.5, "early"),
            (40.0, "-"),
            (48.0, "night"),
        ][:-1]
    )


def test_a_stretch_within_a_break_starts_in_it() -> None:
    assert hours(BERLIN, ns(2026, 6, 1, 7, 10), ns(2026, 6, 1, 7, 20)) == [(0.0, "early break")]


def test_planned_maintenance_is_known_within_shifts_and_outside_and_apart_from_a_stop_that_it_touches() -> None:
    stop, maintenance = (ns(2026, 6, 1, 10), ns(2026, 6, 1, 11)), (ns(2026, 6, 1, 11), ns(2026, 6, 1, 14))
    calendar = replace(BERLIN, planned_stops=(stop, maintenance), maintenance=(maintenance,))
    start = ns(2026, 6, 1, 9)
    plan = planned_times(calendar, start, ns(2026, 6, 1, 16))
    columns = (plan.operation.tolist(), plan.busy.tolist(), plan.maintenance.tolist())
    assert [((edge - start) / HOUR, *row) for edge, *row in zip(plan.edge.tolist(), *columns, strict=True)] == [
        (0.0, True, True, False),
        (1.0, True, False, False),
        (2.0, True, False, True),
        (3.0, False, False, True),  # the shift is over
        (5.0, False, False, False),
    ]
    inside = planned_times(calendar, ns(2026, 6, 1, 13), ns(2026, 6, 1, 13, 30))
    assert (len(inside.edge), inside.maintenance.tolist()) == (1, [True])
