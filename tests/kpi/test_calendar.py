"""Planned times by the plant's wall clock, on ordinary days and on the two odd nights."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.calendar import NO_SHIFT, planned_times
from kpi.plant import Calendar, Shift
from tests.kpi.plants import CHANGES, EVERY_DAY, HOUR, MINUTE, SECOND, ns
from tests.kpi.walked_calendar import Planned, planned

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


SPANS = {
    **CHANGES,
    "Europe/Berlin, summer": ("Europe/Berlin", ns(2026, 6, 1, 6)),
    "Asia/Kolkata": ("Asia/Kolkata", ns(2026, 3, 28, 18, 30)),
    "America/Havana, midnight never comes": ("America/Havana", ns(2026, 3, 8, 5)),
    "America/Havana, midnight comes twice": ("America/Havana", ns(2026, 11, 1, 5)),
    "Pacific/Apia, a day never comes": ("Pacific/Apia", ns(2011, 12, 30, 10)),
}
"""Zone, and the instant around which calendars are looked at."""


@st.composite
def calendars(draw: st.DrawFn, timezone: str, around: int) -> Calendar:
    """Any calendar: shifts that overlap, run past midnight or a whole day, with breaks anywhere, and many exceptions.

    Half of its times are within two hours of what the clock shows at an instant.
    """
    shown = datetime.fromtimestamp(around // SECOND, ZoneInfo(timezone)).replace(tzinfo=None)
    near = st.integers(-120, 120).map(lambda minutes: (shown + timedelta(minutes=minutes)).time())
    quarters = st.integers(0, 95).map(lambda n: time(n // 4, 15 * (n % 4)))
    times = st.one_of(near, near.map(lambda at: at.replace(minute=at.minute // 15 * 15)), quarters)
    days = st.integers(-3, 3).map(lambda n: shown.date() + timedelta(days=n))
    shifts = st.lists(
        st.builds(
            Shift,
            st.just("shift"),
            times,
            times,
            st.one_of(st.just(EVERY_DAY), st.frozensets(st.integers(0, 6))),
            st.lists(st.tuples(times, times), max_size=3).map(tuple),
            st.one_of(st.none(), st.none(), days),
            st.one_of(st.none(), st.none(), days),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple)
    worked = draw(shifts)
    some = st.lists(st.sampled_from(range(len(worked))), unique=True).map(tuple)
    instants = st.one_of(
        st.integers(-48 * 60, 48 * 60).map(lambda n: around + n * MINUTE),
        st.integers(-HOUR, HOUR).map(lambda n: around + n),
    )
    stops = st.lists(st.tuples(instants, st.integers(1, 5 * HOUR)), max_size=2).map(
        lambda drawn: tuple((begin, begin + length) for begin, length in drawn)
    )
    return Calendar(
        timezone,
        worked,
        draw(st.frozensets(days, max_size=2)),
        tuple(draw(st.dictionaries(days, some, max_size=2)).items()),
        draw(stops),
    )


def stretches(calendar: Calendar, start: int, end: int) -> list[tuple[int, Planned]]:
    """(edge, what is planned) as the engine says it; of edges at which nothing changes, none."""
    plan = planned_times(calendar, start, end)
    assert plan.edge[0] == start
    assert all(a < b for a, b in pairwise([*plan.edge.tolist(), end]))
    columns = (plan.operation, plan.busy, plan.shift, plan.shift_start)
    said = [Planned(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return changes(list(zip(plan.edge.tolist(), said, strict=True)))


def changes(rows: list[tuple[int, Planned]]) -> list[tuple[int, Planned]]:
    return [row for n, row in enumerate(rows) if n == 0 or rows[n - 1][1] != row[1]]


@pytest.mark.parametrize("span", SPANS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_planned_times_are_those_of_who_walks_along_and_looks_at_the_clock(span: str, data: st.DataObject) -> None:
    """Any calendar, over hours or days around a change of the clock: the same edges, shifts, breaks and stops."""
    timezone, around = SPANS[span]
    calendar = data.draw(calendars(timezone, around))
    start = around + data.draw(st.integers(-40 * 3600, 3600)) * SECOND
    end = start + data.draw(st.one_of(st.integers(1, 4 * 3600), st.integers(1, 96 * 3600))) * SECOND
    assert stretches(calendar, start, end) == changes(list(planned(calendar, start, end)))


@pytest.mark.parametrize(
    ("zone", "meet", "at"),
    [
        ("Europe/Berlin", time(2, 30), ns(2026, 10, 25, 0, 30)),
        ("America/New_York", time(1, 30), ns(2026, 11, 1, 5, 30)),
        ("Australia/Lord_Howe", time(1, 45), ns(2026, 4, 4, 14, 45)),
    ],
)
def test_shifts_that_meet_in_the_hour_that_comes_twice_meet_the_first_time(zone: str, meet: time, at: int) -> None:
    """Nobody is planned twice, and no one is missing: the second half past belongs to the shift that has begun."""
    calendar = Calendar(zone, (Shift("late", time(18), meet, EVERY_DAY), Shift("early", meet, time(8), EVERY_DAY)))
    plan = planned_times(calendar, at - HOUR, at + 2 * HOUR)
    assert plan.edge.tolist() == [at - HOUR, at]
    assert [calendar.shifts[s].name for s in plan.shift.tolist()] == ["late", "early"]
    assert plan.shift_start.tolist()[1] == at


def test_shifts_that_meet_in_the_hour_that_never_comes_meet_where_the_clock_jumps() -> None:
    meet, jump = time(2, 30), ns(2026, 3, 29, 1)
    calendar = Calendar(
        "Europe/Berlin", (Shift("late", time(18), meet, EVERY_DAY), Shift("early", meet, time(8), EVERY_DAY))
    )
    assert hours(calendar, jump - HOUR, jump + HOUR) == [(0.0, "late"), (1.0, "early")]


def test_a_break_out_of_the_hour_that_comes_twice_lasts_as_long_as_the_clock_takes() -> None:
    """From the first 02:45 to 03:15 are 90 minutes."""
    shift = Shift("night", time(22), time(6), EVERY_DAY, ((time(2, 45), time(3, 15)),))
    stretch = hours(Calendar("Europe/Berlin", (shift,)), ns(2026, 10, 25), ns(2026, 10, 25, 4))
    assert stretch == [(0.0, "night"), (0.75, "night break"), (2.25, "night")]


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
