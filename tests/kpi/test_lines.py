"""Rollups by the rule of a line, and windows of weeks and months."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.elements import ELEMENT_IDS
from kpi.formulas import evaluate, in_units
from kpi.lines import EXACT_RESTS, RESTS_PER_UNIT, UNTOLD, LineKind, LineRule, untold
from kpi.plant import Calendar, Counter, Machine, Plant, Quantity, StateModel
from kpi.reasons import reasons, warnings
from kpi.rollup import LEVELS, WINDOWS, Level, rollup, rollups, window_end, window_start
from tests.kpi.plants import HOUR, MINUTE, SECOND, ns
from tests.kpi.test_formulas import row

START = ns(2026, 6, 1, 6)
SERIAL = LineRule("press", LineKind.SERIAL, "b", ("a", "b", "c"), {"X": 20 * SECOND}, 30 * SECOND)
CONSTRAINT = LineRule("press", LineKind.CONSTRAINT, "b")


def plant(timezone: str = "Europe/Berlin") -> Plant:
    calendar = Calendar(timezone, ())
    lines = {"a": "press", "b": "press", "c": "press", "d": "weld"}
    return Plant(
        "works", timezone, tuple(Machine(m, m, li, "hall", calendar, StateModel((), ()), ()) for m, li in lines.items())
    )


def said(machine: str, time: int = START, product: str = "X", **amounts: float) -> dict[str, Any]:
    return {"machine": machine, "time": time, "shift": "", "shift_start": 0, "product": product, **row(**amounts)}


def line_of(rows: list[dict[str, Any]], rule: LineRule, window: Any = "hour") -> dict[str, Any]:
    found = rollup(pl.DataFrame(rows), plant(), level="line", window=window, rules=[rule])
    return found.filter(pl.col("line") == "press").row(0, named=True)


def test_a_serial_line_earns_the_constraints_time_by_product_of_what_goes_in_and_comes_out() -> None:
    rows = [
        said("a", pq=10, gq=10),
        said("a", product="Y", pq=4, gq=3, sq=1),
        said("b", pbt=3600, apt=900, pq=12, gq=12, ideal_pq=999),
        said("c", pbt=3600, apt=100, pq=9, gq=8, sq=1, ip=9, gp=7),
    ]
    found = line_of(rows, SERIAL)
    assert found["ideal_pq"] == (10 * 20 + 4 * 30) * SECOND
    assert found["ideal_gq"] == 8 * 20 * SECOND
    assert (found["pq"], found["gq"], found["sq"]) == (14_000_000, 8_000_000, 2_000_000)
    assert (found["ip"], found["gp"]) == (9_000_000, 7_000_000)
    assert (found["pbt"], found["apt"], found["pq_first"]) == (3600 * SECOND, 900 * SECOND, 14_000_000)


def test_a_product_without_a_run_time_at_the_constraint_leaves_a_serial_line_unrated() -> None:
    rule = LineRule("press", LineKind.SERIAL, "b", ("a", "c"), {"X": 20 * SECOND})
    rows = [said("a", pq=1), said("b", pbt=60, apt=60), said("c", product="Y", pq=1, gq=1)]
    found = line_of(rows, rule)
    assert found["unrated"] == 20 * SECOND  # the piece that came out, as long as the longest that is known
    assert evaluate(pl.DataFrame([found]))["oee"].item() is None


def test_the_rolled_yield_is_not_zero_where_a_step_only_counts_what_it_inspects() -> None:
    rows = [said("a", pq=10, gq=10, sq=1), said("c", pq=10, gq=10, ip=10, first_pass_unknown=10)]
    assert line_of(rows, LineRule("press", LineKind.SERIAL, "a", ("a", "c")))["rolled_yield"] == 0.9


def counting(name: str, *quantities: Quantity) -> Machine:
    counters = {quantity: Counter(tag) for tag, quantity in enumerate(quantities)}
    return Machine(name, name, "press", "hall", Calendar("UTC", ()), StateModel((), ()), (), counters=counters)


SCRAP_OF = [said("a", pq=30, gq=30, sq=3), said("b", pq=30, gq=30, pbt=60), said("c", pq=30, gq=27)]


@pytest.mark.parametrize(
    ("without", "scrap", "reason", "doubt"),
    [
        ((), 0.1, None, None),
        (("b",), 0.1, None, "scrap of 10 of 30 pieces is not counted"),
        (("a", "b", "c"), None, "nobody counts scrap", None),
    ],
)
def test_a_serial_line_has_a_scrap_ratio_where_any_step_counts_it_and_a_doubt_where_one_does_not(
    without: tuple[str, ...], scrap: float | None, reason: str | None, doubt: str | None
) -> None:
    rule = replace(SERIAL, untold={"scrap_unknown": without, "rework_unknown": without})
    found = rollup(pl.DataFrame(SCRAP_OF), plant(), level="line", window="hour", rules=[rule])
    found = found.filter(pl.col("line") == "press")
    assert evaluate(found)["scrap_ratio"].item() == scrap
    assert reasons(found)["scrap_ratio"].item() == reason
    assert warnings(found)["scrap_ratio"].item() == doubt
    assert (evaluate(found)["rework_ratio"].item() is None) == (len(without) == 3)
    assert evaluate(found)["oee"].item() is not None


def test_a_serial_line_is_unjudged_where_its_last_step_does_not_judge_and_as_far_as_none_does() -> None:
    total, scrap, good = Quantity.TOTAL, Quantity.SCRAP, Quantity.GOOD
    steps = [counting("a", total), counting("b", total, scrap), counting("c", total)]
    assert untold(steps) == {
        "unjudged": ("a", "c"),
        "scrap_unknown": ("a", "c"),
        "rework_unknown": ("a", "b", "c"),
    }
    assert untold([*steps, counting("d", good)])["unjudged"] == ()
    found = line_of(SCRAP_OF, replace(SERIAL, untold={"unjudged": ("a", "b", "c")}))
    assert reasons(pl.DataFrame([found]))["quality_ratio"].item() == "nobody judges the pieces"


def test_energy_of_a_line_is_that_of_all_its_machines_whatever_its_rule() -> None:
    rows = [said("a", energy=1, gas=1), said("b", energy=2), said("c", energy=4, co2e=3)]
    for rule in (SERIAL, CONSTRAINT, LineRule("press")):
        found = line_of(rows, rule)
        assert (found["energy"], found["gas"], found["co2e"]) == (7_000_000, 1_000_000, 3_000_000)


def test_a_constraint_line_is_its_constraint() -> None:
    rows = [said("a", pbt=60, pq=9), said("b", pbt=50, apt=40, fe=1, pq=5, gq=4), said("c", pbt=60, pq=4)]
    found = line_of(rows, CONSTRAINT)
    assert (found["pbt"], found["apt"], found["fe"], found["pq"]) == (50 * SECOND, 40 * SECOND, 1, 5_000_000)


def test_a_window_in_which_the_constraint_says_nothing_has_no_time_of_the_line() -> None:
    found = line_of([said("a", pbt=60, pq=9, energy=1)], CONSTRAINT)
    assert (found["pbt"], found["pq"], found["energy"]) == (0, 0, 1_000_000)


def test_areas_and_the_site_add_up_lines_as_their_rules_give_them() -> None:
    rows = [said("a", pq=9), said("b", pbt=60, pq=8), said("c", pq=7, gq=7), said("d", pbt=60, pq=100, gq=90)]
    found = rollups(pl.DataFrame(rows), plant(), window="hour", rules=[SERIAL])
    for level in ("area", "site"):
        only = found[level].row(0, named=True)
        assert (only["pq"], only["gq"], only["pbt"]) == (109_000_000, 97_000_000, 120 * SECOND)


def test_rolled_yield_is_none_where_a_step_produced_nothing() -> None:
    rows = [said("a", pq=10, gq=9, sq=1), said("b", pq=10, gq=10), said("c", pbt=60)]
    assert line_of(rows, SERIAL)["rolled_yield"] is None
    assert line_of([*rows, said("c", pq=4, gq=2, sq=2)], SERIAL)["rolled_yield"] == pytest.approx(0.9 * 0.5)


def test_machines_of_other_lines_have_no_first_step() -> None:
    found = rollup(
        pl.DataFrame([said("a", pq=2), said("c", sq=1), said("d", pq=1)]), plant(), level="machine", window="hour",
        rules=[SERIAL],
    )  # fmt: skip
    assert dict(found.select("machine", "pq_first").rows()) == {"a": 2_000_000, "c": 2_000_000, "d": None}


amounts = st.integers(0, 50).map(float)
rows_of_a_day = st.lists(
    st.builds(
        lambda m, minute, product, pq, gq, sq, apt: said(
            m, START + minute * MINUTE, product, pbt=60, apt=apt, pq=pq, gq=gq, sq=sq, energy=pq / 8
        ),
        st.sampled_from("abcd"), st.integers(0, 600), st.sampled_from(["X", "Y", ""]),
        amounts, amounts, amounts, amounts,
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


run_times = st.one_of(st.integers(1, 10**12), st.just(66_666_667))
no_steps_or_some = st.sampled_from([(), ("b",), ("a", "c"), ("a", "b", "c")])
rules_of_run_times = st.builds(
    lambda x, default, *parts: LineRule(
        "press", LineKind.SERIAL, "b", ("a", "b", "c"), {"X": x}, default, dict(zip(UNTOLD, parts, strict=True))
    ),
    run_times, st.none() | run_times, no_steps_or_some, no_steps_or_some, no_steps_or_some,
)  # fmt: skip
millionths = st.integers(-5_000_000, 10**10)
rows_of_two_months = st.lists(
    st.builds(
        lambda m, minute, product, shift, stored: {
            **said(m, START + minute * MINUTE, product), **dict.fromkeys(ELEMENT_IDS, 1), **stored,
            "shift": "early" if shift else "", "shift_start": (START + minute * MINUTE - 30 * MINUTE) * shift,
        },
        st.sampled_from("abcd"), st.integers(0, 61 * 24 * 60), st.sampled_from(["X", "Y", ""]), st.integers(0, 1),
        st.fixed_dictionaries(dict.fromkeys(("pq", "gq", "sq", "pbt", "apt", "unrated", "energy"), millionths)),
    ),
    min_size=1,
    max_size=20,
)  # fmt: skip


def totals(rows: pl.DataFrame, window: Any, rule: LineRule, by: Any = None) -> dict[Level, list[Any]]:
    """Every additive column of each level, added up over the windows `by` that its windows begin in, or over all."""
    whole = pl.lit(0) if by is None else window_start(pl.col("time"), by, "Europe/Berlin")
    found = rollups(rows, plant(), window=window, rules=[rule])
    columns = [*ELEMENT_IDS, *EXACT_RESTS.values()]
    return {
        level: sums.group_by(whole.alias("whole"))
        .agg(pl.col(c).sum() for c in columns if c in sums)
        .sort("whole")
        .rows()
        for level, sums in found.items()
    }


@settings(max_examples=15, deadline=None)
@given(rows=rows_of_two_months, rule=rules_of_run_times)
def test_windows_add_up_to_longer_ones_to_the_bit_whatever_the_rule(rows: list[dict[str, Any]], rule: LineRule) -> None:
    """Fractions of pieces, run times to the nanosecond, pieces taken back: a month is the sum of its days, every
    element of every level, and a day that of its hours, an hour that of its minutes."""
    table = pl.DataFrame(rows)
    in_shifts = table.filter(pl.col("shift") != "")
    for one in (rule, CONSTRAINT):
        for short, long in (("minute", "hour"), ("hour", "day"), ("day", "week"), ("day", "month")):
            assert totals(table, short, one, by=long) == totals(table, long, one, by=long)
        assert totals(in_shifts, "shift", one) == totals(in_shifts, "minute", one)


@settings(max_examples=25, deadline=None)
@given(rows=rows_of_two_months, rule=rules_of_run_times)
def test_earned_time_of_a_serial_line_is_run_time_times_pieces_and_nothing_is_rounded(
    rows: list[dict[str, Any]], rule: LineRule
) -> None:
    """In 1e-15 s, against whole numbers of any size; in seconds it is the number next to it."""
    found = rollup(pl.DataFrame(rows), plant(), level="line", window="month", rules=[rule])
    found = found.filter(pl.col("line") == "press")
    for element, machine, pieces in (("ideal_pq", "a", "pq"), ("ideal_gq", "c", "gq")):
        default = rule.default_ideal_ns or 0
        run_time = {row["product"]: rule.ideal_ns.get(row["product"], default) for row in rows}
        exact = sum(row[pieces] * run_time[row["product"]] for row in rows if row["machine"] == machine)
        assert int(found[element].sum()) * RESTS_PER_UNIT + int(found[EXACT_RESTS[element]].sum()) == exact
        assert sum(in_units(found)[element]) == pytest.approx(exact / 10**15, rel=1e-15)


@settings(max_examples=15, deadline=None)
@given(rows=rows_of_a_day)
def test_minutes_summed_by_machine_and_product_before_give_the_same_line(rows: list[dict[str, Any]]) -> None:
    """What callers may keep in place of minutes: sums that still know the product. Order of rows does not matter."""
    table = pl.DataFrame(rows)
    keys = ["machine", "time", "shift", "shift_start", "product"]
    kept = table.group_by(keys).agg(pl.col(ELEMENT_IDS).sum())
    expected = rollups(table, plant(), window="day", rules=[SERIAL])
    found = rollups(kept.sample(fraction=1.0, shuffle=True, seed=1), plant(), window="day", rules=[SERIAL])
    for level in LEVELS:
        assert found[level].equals(expected[level])


@cache
def clock_changes(zone: str) -> list[int]:
    """The hours (s since the epoch) of four years after which the clock is another."""
    hours = range(ns(2023, 1, 1) // SECOND, ns(2027, 1, 1) // SECOND, 3600)
    offsets = [datetime.fromtimestamp(hour, ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hour for hour, one, next_ in zip(hours, offsets, offsets[1:], strict=False) if one != next_]


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berlin",
        "Asia/Shanghai",
        "Asia/Kolkata",
        "Africa/Cairo",
        "America/Havana",
        "Atlantic/Azores",
        "Asia/Beirut",
    ],
)
@settings(max_examples=20, deadline=None)
@given(moment=st.integers(ns(2023, 1, 1) // SECOND, ns(2027, 1, 1) // SECOND), data=st.data())
def test_a_window_holds_its_moment_and_the_next_begins_where_it_ends(
    zone: str, moment: int, data: st.DataObject
) -> None:
    """At any time, and around the changes of the clock: in some zones midnight comes twice or never on such a day."""
    if changes := clock_changes(zone):
        moment = data.draw(
            st.sampled_from([moment, *(data.draw(st.sampled_from(changes)) + moment % 9000 for _ in "ab")])
        )
    time = moment * SECOND
    for window in WINDOWS:
        if window != "shift":
            start = pl.select(window_start(pl.lit(time), window, zone)).item()
            end = window_end(start, window, zone)
            assert start <= time < end
            assert pl.select(window_start(pl.lit(end), window, zone)).item() == end
            assert pl.select(window_start(pl.lit(end - 1), window, zone)).item() == start


def test_weeks_begin_on_monday_and_months_on_their_first_day_by_the_wall_clock() -> None:
    sunday_night = int(datetime(2026, 3, 1, 23, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND
    for window, expected in (("week", datetime(2026, 2, 23)), ("month", datetime(2026, 3, 1))):  # noqa: DTZ001
        start = pl.select(window_start(pl.lit(sunday_night), window, "Europe/Berlin")).item()  # type: ignore[arg-type]
        local = datetime.fromtimestamp(start // SECOND, UTC).astimezone(ZoneInfo("Europe/Berlin"))
        assert local.replace(tzinfo=None) == expected


def test_the_month_of_a_clock_change_is_an_hour_shorter_or_longer() -> None:
    march = int(datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND
    assert window_end(march, "month", "Europe/Berlin") - march == (31 * 24 - 1) * HOUR
