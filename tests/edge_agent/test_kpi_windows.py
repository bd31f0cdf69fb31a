"""Windows held in memory are the sums that the whole journal would give, whatever was forgotten and corrected."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.kpi_windows import ROW_KEYS, KpiWindows, PlantDays, WindowEnds, WindowSums, no_rows, summed
from edge_agent.long_windows import LONG_WINDOWS, LongWindows
from edge_agent.plant_facts import shift_end
from kpi.calendar import planned_times
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.lines import EXACT_RESTS, LineKind, LineRule
from kpi.plant import Calendar, Machine, Plant, Shift, StateModel
from kpi.rollup import rollup, rollups

EVERY_DAY = frozenset(range(7))
DAY_NS = 24 * HOUR_NS


def plant(zone: str) -> Plant:
    shifts = (Shift("day", time(6), time(18), EVERY_DAY), Shift("night", time(18), time(6), EVERY_DAY))
    calendar = Calendar(zone, shifts)
    machines = [
        Machine(name, name, line, "hall", calendar, StateModel((), ()), ())
        for name, line in (("m1", "one"), ("m2", "one"), ("m3", "two"))
    ]
    return Plant("site", zone, tuple(machines))


def instant(zone: str, text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000


def rows_of(of: Plant, minutes: list[tuple[str, int]], seed: int) -> pl.DataFrame:
    """A row for each (machine, minute) with the shift it lies in and random sums."""
    random = np.random.default_rng(seed)
    calendar = of.machines[0].calendar
    rows = []
    for machine, minute in minutes:
        planned = planned_times(calendar, minute, minute + MINUTE_NS)
        shift = int(planned.shift[0])
        keys = {
            "machine": machine,
            "time": minute,
            "shift": calendar.shifts[shift].name if shift >= 0 else "",
            "shift_start": int(planned.shift_start[0]),
            "product": str(random.choice(["", "A"])),
        }
        rows.append(keys | {element: int(random.integers(0, 1000)) for element in ELEMENT_IDS})
    return pl.DataFrame(rows, schema=no_rows().schema)


ZONES = ["Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"]


@settings(max_examples=8, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    by_hours=st.booleans(),
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.integers(0, 5 * 24 * 12)),
            min_size=1,
            max_size=8,
            unique=True,
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_every_touched_window_is_the_sum_of_all_its_minutes(
    zone: str, by_hours: bool, batches: list[list[tuple[str, int]]]
) -> None:
    """Five days over a clock change, five minutes apart, rows replaced in any order; days read by hours or minutes."""
    of = plant(zone)
    start = instant(zone, "2026-03-27T00:00")
    journal = no_rows()
    offset = start % HOUR_NS

    def read(begin: int, end: int) -> pl.DataFrame:
        return journal.filter(pl.col("time").is_between(begin, end, closed="left"))

    def read_hours(begin: int, end: int) -> pl.DataFrame:
        hour = (pl.col("time") - offset) // HOUR_NS * HOUR_NS + offset
        hours = summed(journal.with_columns(hour), list(ROW_KEYS))
        return hours.filter(pl.col("time").is_between(begin, end, closed="left"))

    windows = KpiWindows(of, read, read_hours if by_hours else None)
    for n, batch in enumerate(batches):
        fresh = rows_of(of, [(machine, start + step * 5 * MINUTE_NS) for machine, step in batch], seed=n)
        windows.take_on(fresh)
        touched = list(windows.touched_by(fresh))
        windows.forget()
        journal = pl.concat([journal.join(fresh, on=["machine", "time"], how="anti"), fresh])
        for sums in touched:
            assert_sums_of_the_journal(sums, journal, of)
        assert_nothing_is_missing(touched, fresh, of)


def assert_sums_of_the_journal(sums: WindowSums, journal: pl.DataFrame, of: Plant) -> None:
    expected = rollup(journal, of, level=sums.level, window=sums.window)
    keys = [name for name in expected.columns if name not in ELEMENT_IDS]
    same = sums.rows.select(expected.columns).join(expected, on=expected.columns, how="anti", nulls_equal=True)
    assert same.is_empty(), (sums.level, sums.window, keys, same)


def assert_nothing_is_missing(touched: list[WindowSums], fresh: pl.DataFrame, of: Plant) -> None:
    for sums in touched:
        must = rollup(fresh, of, level=sums.level, window=sums.window)
        keys = [name for name in must.columns if name not in ELEMENT_IDS]
        assert must.join(sums.rows, on=keys, how="anti", nulls_equal=True).is_empty()


def test_what_was_held_is_given_for_the_machines_and_minutes_that_are_replaced() -> None:
    of = plant("Europe/Berlin")
    noon = instant("Europe/Berlin", "2026-06-01T12:00")
    windows = KpiWindows(of, lambda _begin, _end: no_rows())
    before = rows_of(of, [("m1", noon), ("m2", noon), ("m1", noon + MINUTE_NS)], seed=1)
    windows.take_on(before)
    replaced = windows.replaced(rows_of(of, [("m1", noon)], seed=2))
    assert replaced.select(before.columns).equals(before.filter((pl.col("machine") == "m1") & (pl.col("time") == noon)))


def test_only_the_machines_that_rows_are_of_and_their_line_are_said_again() -> None:
    of = plant("Europe/Berlin")
    noon = instant("Europe/Berlin", "2026-06-01T12:00")
    windows = KpiWindows(of, lambda _begin, _end: no_rows())
    windows.take_on(rows_of(of, [("m1", noon), ("m2", noon), ("m3", noon)], seed=1))
    fresh = rows_of(of, [("m1", noon)], seed=2).with_columns(revision=pl.lit(2, pl.Int64))
    windows.take_on(fresh)
    for sums in windows.touched_by(fresh):
        assert sums.rows["revision"].to_list() == [2]
        for place, name in (("machine", "m1"), ("line", "one"), ("area", "hall")):
            assert place not in sums.rows.columns or sums.rows[place].to_list() == [name]


def test_a_shift_that_no_row_belongs_to_any_more_is_said_with_zeros() -> None:
    of = plant("Europe/Berlin")
    noon = instant("Europe/Berlin", "2026-06-01T12:00")
    windows = KpiWindows(of, lambda _begin, _end: no_rows())
    before = rows_of(of, [("m1", noon)], seed=1)
    windows.take_on(before)
    fresh = before.with_columns(shift=pl.lit(""), shift_start=pl.lit(0, pl.Int64))
    windows.take_on(fresh)
    keys = ["machine", "time", "shift", "shift_start"]
    touched = windows.touched_by(pl.concat([fresh.select(keys), before.select(keys)]))
    shifts = {sums.level: sums.rows for sums in touched if sums.window == "shift"}
    assert set(shifts) == {"machine", "line", "area", "site"}
    for rows in shifts.values():
        assert rows.select("time", "shift").rows() == [(noon - 6 * HOUR_NS, "day")]
        assert rows.select(ELEMENT_IDS).row(0) == (0,) * len(ELEMENT_IDS)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29T12:00", 23), ("2026-10-25T12:00", 25), ("2026-06-01T12:00", 24)]
)
def test_a_local_day_is_as_long_as_its_clock_says(day: str, hours: int) -> None:
    start, end = PlantDays("Europe/Berlin").day(instant("Europe/Berlin", day))
    assert end - start == hours * HOUR_NS


def test_an_hour_of_a_zone_that_is_half_an_hour_off_begins_at_the_half_hour() -> None:
    start, end = PlantDays("Asia/Kolkata").hour(instant("Asia/Kolkata", "2026-06-01T12:20"))
    assert start == instant("Asia/Kolkata", "2026-06-01T12:00")
    assert end - start == HOUR_NS
    assert start % HOUR_NS == HOUR_NS // 2


def test_a_night_shift_over_the_clock_change_is_an_hour_shorter_or_longer() -> None:
    calendar = plant("Europe/Berlin").machines[0].calendar
    for day, hours in (("2026-03-28T18:00", 11), ("2026-10-24T18:00", 13), ("2026-06-01T18:00", 12)):
        start = instant("Europe/Berlin", day)
        assert shift_end(calendar, start) - start == hours * HOUR_NS


def test_windows_end_where_the_next_one_begins() -> None:
    of = plant("Europe/Berlin")
    noon = instant("Europe/Berlin", "2026-06-01T12:00")
    row = rows_of(of, [("m1", noon)], seed=1)
    ends = WindowEnds(of)
    found = {
        sums.window: ends.of(sums).to_list()
        for sums in [
            WindowSums("site", "minute", rollup(row, of, level="site", window="minute")),
            WindowSums("site", "hour", rollup(row, of, level="site", window="hour")),
            WindowSums("site", "shift", rollup(row, of, level="site", window="shift")),
            WindowSums("site", "day", rollup(row, of, level="site", window="day")),
        ]
    }
    assert found == {
        "minute": [noon + MINUTE_NS],
        "hour": [noon + HOUR_NS],
        "shift": [noon + 6 * HOUR_NS],
        "day": [noon + 12 * HOUR_NS],
    }


SERIAL = LineRule("one", LineKind.SERIAL, "m2", ("m1", "m2"), {"A": 66_666_667}, 1_234_567_891)
_ADDED_UP = (*ELEMENT_IDS, *EXACT_RESTS.values())


@settings(max_examples=4, deadline=None)
@given(
    zone=st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/New_York"]),
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.integers(0, 12 * 24)), min_size=1, max_size=8, unique=True
        ),
        min_size=1,
        max_size=3,
    ),
    most_days=st.sampled_from([7, None]),
)
def test_weeks_and_months_are_the_sums_of_all_their_minutes_in_the_end(
    zone: str, batches: list[list[tuple[str, int]]], most_days: int | None
) -> None:
    """Twelve days over the end of a week, of a month and of summer time; rows by the hour, replaced in any order."""
    of = plant(zone)
    start = instant(zone, "2026-10-23T00:00")
    journal = no_rows()

    def read(begin: int, end: int) -> pl.DataFrame:
        return journal.filter(pl.col("time").is_between(begin, end, closed="left"))

    windows = KpiWindows(of, read, read, line_rules=[SERIAL])  # a row is of a whole hour
    long = LongWindows(windows, of)
    last: dict[tuple[str, ...], tuple[int | None, ...]] = {}
    for n, batch in enumerate(batches):
        fresh = rows_of(of, [(machine, start + hour * HOUR_NS) for machine, hour in batch], seed=n)
        windows.take_on(fresh)
        long.note(fresh)
        said = long.said(most_days)
        windows.forget()
        journal = pl.concat([journal.join(fresh, on=["machine", "time"], how="anti"), fresh])
        while True:
            for sums in said:
                for row in sums.rows.iter_rows(named=True):
                    place = [str(row[key]) for key in ("area", "line", "machine", "time") if key in row]
                    last[sums.level, sums.window, *place] = tuple(row.get(column) for column in _ADDED_UP)
            if not long.waits:
                break
            said = long.said(most_days)
    expected = {
        (level, window, *(str(row[key]) for key in ("area", "line", "machine", "time") if key in row)): tuple(
            row.get(column) for column in _ADDED_UP
        )
        for window in LONG_WINDOWS
        for level, rows in rollups(journal, of, window=window, rules=[SERIAL]).items()
        for row in rows.iter_rows(named=True)
    }
    assert last == expected


def test_a_change_at_the_first_machine_of_a_serial_line_is_one_of_all_its_machines() -> None:
    of = plant("Europe/Berlin")
    noon = instant("Europe/Berlin", "2026-06-01T12:00")
    windows = KpiWindows(of, lambda _begin, _end: no_rows(), line_rules=[SERIAL])
    windows.take_on(rows_of(of, [("m1", noon), ("m2", noon), ("m3", noon)], seed=1))
    fresh = rows_of(of, [("m1", noon)], seed=2)
    windows.take_on(fresh)
    for sums in windows.touched_by(fresh):
        if sums.level == "machine":
            assert sums.rows["machine"].to_list() == ["m1", "m2"]
            assert sums.rows["pq_first"].unique().to_list() == [int(fresh["pq"][0])]


def test_weeks_and_months_end_where_the_next_one_begins() -> None:
    of = plant("Europe/Berlin")
    row = rows_of(of, [("m1", instant("Europe/Berlin", "2026-10-28T12:00"))], seed=1)
    for window, end in (("week", "2026-11-02T00:00"), ("month", "2026-11-01T00:00")):
        sums = WindowSums("site", window, rollup(row, of, level="site", window=window))  # type: ignore[arg-type]
        assert WindowEnds(of).of(sums).to_list() == [instant("Europe/Berlin", end)]
