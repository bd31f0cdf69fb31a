"""KPIs against the worked examples of the literature, to the precision that they print."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from kpi.elements import ELEMENT, ELEMENT_IDS
from kpi.expressions import FormulaError, compile_formula
from kpi.formulas import KNOWN_ELEMENTS, KPIS, evaluate
from kpi.plant import Plant
from kpi.rollup import rollup
from tests.kpi.plants import HOUR, MINUTE, ns, plant


def row(**amounts: float) -> dict[str, int]:
    """An element row from amounts in shown units (seconds, pieces, kWh); what is not named is 0."""
    return {e: round(amounts.get(e, 0.0) / ELEMENT[e].to_unit) for e in ELEMENT_IDS}


def kpis(*rows: dict[str, int]) -> dict[str, Any]:
    """KPIs of the sum of the rows."""
    return evaluate(pl.DataFrame(list(rows)).sum()).row(0, named=True)


def minutes(**amounts: float) -> dict[str, float]:
    return {name: amount * 60 for name, amount in amounts.items()}


def machine_of_example_10_3(ideal: float, made: int, scrap: int, down: float) -> dict[str, int]:
    times = minutes(pbt=455, apt=455 - down, adet=down)
    return row(**times, pq=made, gq=made - scrap, sq=scrap, ideal_pq=ideal * made, ideal_gq=ideal * (made - scrap))


def test_vorne_preferred_calculation() -> None:
    """oee.com: 480 min shift, 60 breaks, 47 stops, 1.0 s ideal, 19 271 made, 423 rejected."""
    times = minutes(pbt=420, apt=373, adet=47)
    k = kpis(row(**times, pq=19271, gq=18848, sq=423, ideal_pq=19271, ideal_gq=18848))
    assert k["availability"] == pytest.approx(0.8881, abs=5e-5)
    assert k["effectiveness"] == pytest.approx(0.8611, abs=5e-5)
    assert k["quality_ratio"] == pytest.approx(0.9780, abs=5e-5)
    assert k["oee"] == pytest.approx(0.747937, abs=5e-7)


def test_three_machines_roll_up_by_sums() -> None:
    """versalytics.org, December 2008: different cycle times, so the quality ratio weighs earned time."""
    machines = [
        machine_of_example_10_3(10, 2240, 50, 32),
        machine_of_example_10_3(45, 450, 25, 18),
        machine_of_example_10_3(70, 229, 11, 22),
    ]
    assert [round(kpis(m)["oee"], 4) for m in machines] == [0.8022, 0.7005, 0.5590]
    total = kpis(*machines)
    assert total["availability"] == pytest.approx(0.9473, abs=5e-5)
    assert total["effectiveness"] == pytest.approx(0.7564, abs=5e-5)
    assert total["quality_ratio"] == pytest.approx(0.9592, abs=5e-5)
    assert total["oee"] == pytest.approx(0.6872, abs=5e-5)


def test_a_rolled_up_oee_is_not_the_mean_of_oees() -> None:
    long = row(pbt=480, apt=480, pq=432, gq=432, ideal_pq=432, ideal_gq=432)
    short = row(pbt=120, apt=120, pq=36, gq=36, ideal_pq=36, ideal_gq=36)
    assert (kpis(long)["oee"], kpis(short)["oee"]) == pytest.approx((0.9, 0.3))
    assert kpis(long, short)["oee"] == pytest.approx(0.78)


def test_constructed_iso_shift() -> None:
    times = minutes(pot=480, pbt=450, apt=330, aust=40, adet=45, adot=35, planned_downtime=30, calendar_time=480)
    k = kpis(row(**times, pq=300, gq=285, sq=9, rq=6, ideal_pq=300 * 60, ideal_gq=285 * 60, energy=150))
    expected = {
        "availability": 0.7333, "effectiveness": 0.9091, "quality_ratio": 0.9500, "oee": 0.6333, "nee": 0.7101,
        "allocation_efficiency": 0.9222, "utilization_efficiency": 0.7952, "technical_efficiency": 0.8800,
        "setup_ratio": 0.1081, "scrap_ratio": 0.0300, "rework_ratio": 0.0200, "energy_per_piece": 0.5,
        "power": 18.75, "coverage": 1.0,
    }  # fmt: skip
    assert {name: round(k[name], 4) for name in expected} == expected


def test_nothing_produced_gives_no_quality_ratio_and_never_zero_over_zero() -> None:
    k = kpis(row(**minutes(pbt=60, adot=60)))
    assert k["quality_ratio"] is None
    assert k["effectiveness"] is None
    assert k["energy_per_piece"] is None
    assert (k["availability"], k["oee"]) == (0.0, 0.0)


def test_an_unplanned_hour_has_no_kpi_at_all() -> None:
    k = kpis(row(**minutes(calendar_time=60, not_planned=60), energy=1.0))
    assert all(k[name] is None for name in ("availability", "oee", "coverage", "quality_ratio"))


def test_all_scrap_is_a_quality_ratio_of_zero() -> None:
    k = kpis(row(pbt=100, apt=100, pq=10, sq=10, ideal_pq=100))
    assert (k["quality_ratio"], k["oee"], k["scrap_ratio"]) == (0.0, 0.0, 1.0)


def test_unknown_time_lowers_coverage_and_not_availability() -> None:
    k = kpis(row(pbt=100, apt=40, unknown=50, adet=10))
    assert (k["availability"], k["coverage"]) == (0.8, 0.5)


def test_without_a_planned_run_time_there_is_no_effectiveness_and_no_oee() -> None:
    k = kpis(row(pbt=100, apt=100, unrated=100, pq=5, gq=4, sq=1))
    assert (k["effectiveness"], k["oee"], k["quality_ratio"]) == (None, None, 0.8)


def test_a_planned_run_time_that_is_too_long_shows_as_more_than_one() -> None:
    assert kpis(row(pbt=100, apt=100, pq=20, gq=20, ideal_pq=120, ideal_gq=120))["effectiveness"] == pytest.approx(1.2)


def test_every_formula_is_made_of_elements() -> None:
    for kpi in KPIS:
        assert kpi.elements <= set(KNOWN_ELEMENTS), kpi.id


@pytest.mark.parametrize(
    ("formula", "complaint"),
    [
        ("apt / pbd", "`pbd` is not an element"),
        ("__import__('os').system('true')", "may not stand in a formula"),
        ("apt.__class__", "may not stand in a formula"),
        ("apt if pbt else 0", "may not stand in a formula"),
        ("apt ** 9", "may not stand in a formula"),
        ("first()", "may not stand in a formula"),
        ("'apt'", "may not stand in a formula"),
        ("apt /", "is not a formula"),
        ("(" * 500 + "apt" + ")" * 500, "is not a formula"),
    ],
)
def test_what_is_not_a_formula_is_refused_with_what_may_stand_there(formula: str, complaint: str) -> None:
    with pytest.raises(FormulaError, match=complaint):
        compile_formula(formula, ELEMENT_IDS)


def labelled(machine: str, time: int, shift_start: int = 0, **amounts: float) -> dict[str, Any]:
    shift = "day" if shift_start else ""
    return {"machine": machine, "time": time, "shift": shift, "shift_start": shift_start, **row(**amounts)}


def sums(rows: list[dict[str, Any]], of: Plant, level: Any, window: Any) -> list[tuple[Any, ...]]:
    table = rollup(pl.DataFrame(rows), of, level=level, window=window)
    keys = [c for c in ("area", "line", "machine", "time", "shift") if c in table.columns]
    return table.select(*keys, "gq").rows()


def test_levels_are_sums_of_the_machines_below_them() -> None:
    t = ns(2026, 6, 1, 6)
    rows = [labelled("a", t, gq=1), labelled("b", t, gq=2), labelled("c", t, gq=4), labelled("gone", t, gq=8)]
    assert sums(rows, plant(), "machine", "hour") == [
        ("north", "one", "a", t, 1_000_000),
        ("north", "one", "b", t, 2_000_000),
        ("north", "two", "c", t, 4_000_000),
    ]
    assert sums(rows, plant(), "line", "hour") == [("north", "one", t, 3_000_000), ("north", "two", t, 4_000_000)]
    assert sums(rows, plant(), "area", "hour") == [("north", t, 7_000_000)]
    assert sums(rows, plant(), "site", "hour") == [(t, 7_000_000)]


def test_days_begin_at_midnight_of_the_plant_and_a_shift_is_one_window_across_it() -> None:
    midnight = ns(2026, 5, 31, 22)  # in Berlin
    shift = midnight - HOUR
    rows = [labelled("a", shift, shift, gq=1), labelled("a", midnight + MINUTE, shift, gq=2)]
    days = [(midnight - 24 * HOUR, 1_000_000), (midnight, 2_000_000)]
    assert [r[-2:] for r in sums(rows, plant(), "site", "day")] == days
    assert sums(rows, plant(), "site", "shift") == [(shift, "day", 3_000_000)]


def test_hours_of_a_zone_with_half_an_hour_begin_on_its_own_clock() -> None:
    rows = [labelled("a", ns(2026, 6, 1, 6, 29), gq=1), labelled("a", ns(2026, 6, 1, 6, 30), gq=1)]
    hours = [r[0] for r in sums(rows, plant("Asia/Kolkata"), "site", "hour")]
    assert hours == [ns(2026, 6, 1, 5, 30), ns(2026, 6, 1, 6, 30)]


def test_the_day_of_the_clock_change_is_23_or_25_hours_long() -> None:
    rows = [labelled("a", ns(2026, 10, 24, 22) + h * HOUR, gq=1) for h in range(26)]
    assert [r[-1] for r in sums(rows, plant(), "site", "day")] == [25_000_000, 1_000_000]
