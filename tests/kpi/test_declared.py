"""Declared elements: never split, never of a part, of a place or of all its parts."""

from __future__ import annotations

from datetime import time
from typing import Any

import polars as pl

from kpi.declared import Declaration, declared_in, with_declared
from kpi.formulas import evaluate
from kpi.plant import Calendar, Machine, Plant, Shift, StateModel
from kpi.reasons import reasons
from tests.kpi.plants import EVERY_DAY, HOUR, ns
from tests.kpi.test_formulas import row

DAY = ns(2026, 6, 1)
NEXT = DAY + 24 * HOUR
WEEKDAYS = frozenset(range(5))


def plant() -> Plant:
    early = Calendar("UTC", (Shift("early", time(6), time(14), WEEKDAYS),))
    always = Calendar("UTC", (Shift("all", time(0), time(0), EVERY_DAY),))
    made = [("a", "one", early), ("b", "one", early), ("c", "two", always)]
    return Plant("works", "UTC", tuple(Machine(m, m, line, "hall", c, StateModel((), ()), ()) for m, line, c in made))


def found(place: dict[str, str], *declared: Declaration, start: int = DAY, end: int = NEXT) -> Any:
    sums = pl.DataFrame([{**place, "time": start, **row()}])
    return declared_in(sums, declared, plant(), pl.Series([end]))["consumed"][0]


def consumed(value: float, start: int = DAY, end: int = NEXT, **of: str) -> Declaration:
    return Declaration("consumed", value, start, end, **of)


LINE = {"area": "hall", "line": "one"}
MACHINE = {**LINE, "machine": "a"}


def test_a_declaration_counts_in_the_window_that_it_fills() -> None:
    assert found(MACHINE, consumed(7, machine="a")) == 7.0
    assert found(MACHINE, consumed(7, machine="b")) is None


def test_shorter_periods_add_up_to_a_window() -> None:
    noon = DAY + 12 * HOUR
    assert found(LINE, consumed(3, end=noon, line="one"), consumed(4, start=noon, line="one")) == 7.0


def test_a_stock_is_averaged_over_time_and_not_added_up() -> None:
    sums = pl.DataFrame([{"time": DAY, **row()}])
    stocks = [
        Declaration("inventory", 10, DAY, DAY + 6 * HOUR),
        Declaration("inventory", 30, DAY + 6 * HOUR, NEXT),
    ]
    assert with_declared(sums, stocks, plant(), pl.Series([NEXT]))["inventory"].item() == 25.0


def test_a_longer_period_is_not_split_and_the_reason_says_so() -> None:
    gap = found(MACHINE, consumed(700, end=DAY + 7 * 24 * HOUR, machine="a"))
    assert str(gap) == "`consumed` is declared for a period that reaches beyond this window, and is not split"


def test_a_part_of_the_planned_time_is_not_enough_and_time_that_is_not_planned_need_not_be_covered() -> None:
    gap = found(LINE, consumed(7, end=DAY + 12 * HOUR, line="one"))
    assert str(gap) == "`consumed` is not declared for 2.0 h of planned operation time"
    assert found(LINE, consumed(7, start=DAY + 6 * HOUR, end=DAY + 14 * HOUR, line="one")) == 7.0


def test_a_week_is_covered_by_its_working_days() -> None:
    days = [consumed(1, DAY + d * 24 * HOUR, DAY + (d + 1) * 24 * HOUR, line="one") for d in range(5)]
    assert found(LINE, *days, end=DAY + 7 * 24 * HOUR) == 5.0


def test_a_line_or_site_is_what_is_declared_for_it_or_the_sum_of_all_its_parts() -> None:
    a, b, two = consumed(1, machine="a"), consumed(2, machine="b"), consumed(4, line="two")
    assert found(LINE, a, b) == 3.0
    assert found(LINE, a) is None
    assert found(LINE, a, b, consumed(9, line="one")) == 9.0
    assert found({}, a, b, two) == 7.0
    assert found({"area": "hall"}, a, b, two) == 7.0
    assert found({}, consumed(70)) == 70.0
    assert found({}, a, b) is None


def test_declared_elements_make_kpis_and_gaps_are_their_reasons() -> None:
    rows = [{**LINE, "time": DAY, **row(gq=90)}, {**LINE, "time": NEXT, **row(gq=90)}]
    sums, ends = pl.DataFrame(rows), pl.Series([NEXT, NEXT + 24 * HOUR])
    declared = [consumed(100, line="one"), consumed(100, NEXT, NEXT + 7 * HOUR, line="one")]
    with_columns = with_declared(sums, declared, plant(), ends)
    assert evaluate(with_columns)["finished_goods_ratio"].to_list() == [0.9, None]
    told = reasons(with_columns, gaps=declared_in(sums, declared, plant(), ends))["finished_goods_ratio"]
    assert told.to_list() == [None, "`consumed` is not declared for 7.0 h of planned operation time"]
