"""The table of formulas, reasons and sums of windows; figures of the literature are in `test_cases`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.declared import DECLARED_IDS
from kpi.elements import ELEMENT, ELEMENT_IDS
from kpi.expressions import FormulaError, compile_formula, divisors, names_in
from kpi.formulas import (
    ALL_ROWS,
    KNOWN_ELEMENTS,
    KPI_IDS,
    KPIS,
    RATED,
    STANDARD,
    FailureDenominator,
    Kpi,
    KpiBook,
    evaluate,
    in_units,
    kpi_book,
)
from kpi.plant import Plant
from kpi.reasons import ZERO_DIVISORS, reasons, warnings
from kpi.rollup import rollup
from tests.kpi.plants import HOUR, MINUTE, ns, plant


def row(**amounts: float) -> dict[str, int]:
    """An element row from amounts in shown units (seconds, pieces, kWh); what is not named is 0."""
    return {e: round(amounts.get(e, 0.0) / ELEMENT[e].to_unit) for e in ELEMENT_IDS}


def kpis(*rows: dict[str, Any], book: KpiBook = STANDARD) -> dict[str, Any]:
    """KPIs of the sum of the rows."""
    return evaluate(pl.DataFrame(list(rows)).sum(), book).row(0, named=True)


def own(id_: str, formula: str) -> Kpi:
    return Kpi(id_, id_, id_, formula, "1", "up", "the plant's own", high=None)


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
        ("9" * 400 + " * apt", "larger than any"),
        ("apt * 1e999", "larger than any"),
        ("apt / (1 - 1)", "`1 - 1` is always zero"),
    ],
)
def test_what_is_not_a_formula_is_refused_with_what_may_stand_there(formula: str, complaint: str) -> None:
    with pytest.raises(FormulaError, match=complaint):
        compile_formula(formula, ELEMENT_IDS)


@pytest.mark.parametrize("formula", ["1 +" * 200 + "1", "-" * 450 + "apt", "first(" * 80 + "apt, 1" + ")" * 80])
def test_a_formula_that_is_nested_absurdly_is_refused_or_computed_and_breaks_nothing(formula: str) -> None:
    try:
        value = compile_formula(formula, ["apt"])
    except FormulaError:
        return
    assert pl.DataFrame({"apt": [1.0]}).select(value).item() is not None


def test_what_is_too_large_for_a_number_has_no_value() -> None:
    value = compile_formula("apt * 1e300 * 1e300", ["apt"])
    assert pl.DataFrame({"apt": [1.0]}).select(value).item() is None


def test_a_formula_says_where_it_is_wrong() -> None:
    with pytest.raises(FormulaError) as caught:
        compile_formula("gq / (pq + pqq)", ELEMENT_IDS)
    assert (caught.value.column, caught.value.name) == (12, "pqq")


def test_the_ids_of_kpis_and_elements_are_unique() -> None:
    ids = [*(kpi.id for kpi in ALL_ROWS), *KNOWN_ELEMENTS]
    assert len(set(ids)) == len(ids)


def test_every_divisor_of_the_table_has_a_reason_in_words() -> None:
    """Of measured elements; a declared one that is zero is named."""
    said = {divisor for divisor, _, _ in ZERO_DIVISORS}
    used = {d for kpi in KPIS for d in divisors(kpi.formula) if not names_in(d) & set(DECLARED_IDS)}
    assert used == said


def test_oee_is_availability_times_effectiveness_times_quality_and_nee_gives_setup_back() -> None:
    """Identities of ISO 22400-2."""
    k = kpis(row(pbt=450, apt=330, aust=40, adet=80, pq=300, gq=285, ideal_pq=300, ideal_gq=285))
    assert k["oee"] == pytest.approx(k["availability"] * k["effectiveness"] * k["quality_ratio"])
    assert k["nee"] == pytest.approx(k["oee"] * (330 + 40) / 330)


@given(parts=st.lists(st.integers(0, 10_000), min_size=10, max_size=10), earned=st.integers(1, 9_000))
def test_oee_and_the_losses_add_up_to_the_time_that_is_known(parts: list[int], earned: int) -> None:
    names = ("apt", "aust", "starved", "blocked", "stopped", "breakdown", "adot", "cmt", "unknown")
    times: dict[str, float] = dict(zip(names, parts, strict=False))
    adet = sum(times[name] for name in ("starved", "blocked", "stopped", "breakdown"))
    k = kpis(row(**times, adet=adet, pbt=sum(times.values()), pq=9, gq=6, ideal_pq=earned, ideal_gq=earned * 2 / 3))
    shares = [k["oee"], *(value for name, value in k.items() if name.startswith("loss_") and value is not None)]
    assert k["oee"] is None or sum(shares) == pytest.approx(1.0)


def test_a_plants_own_kpi_may_name_elements_and_kpis() -> None:
    book = kpi_book([own("inherent", "mtbf / (mtbf + mttr)")])
    k = kpis(row(apt=9 * 3600, breakdown=3600, ttr=3600, fe=1), book=book)
    assert k["inherent"] == pytest.approx(0.9)
    assert k["oee"] is None


def test_a_plants_own_kpi_may_not_take_a_name_that_is_taken() -> None:
    for taken in ("oee", "pq", "consumed", "pq_first"):
        with pytest.raises(ValueError, match="is the name of another"):
            kpi_book([own(taken, "gq / pq")])
    with pytest.raises(ValueError, match="is the name of another"):
        kpi_book([own("mine", "gq / pq"), own("mine", "gq / pq")])


def test_a_plants_own_kpi_inherits_what_the_kpis_that_it_names_need() -> None:
    """Energy of nobody's meter is not zero, also through another KPI."""
    book = kpi_book([own("per_dozen", "energy_per_piece * 12")])
    assert kpis(row(pq=12), book=book)["per_dozen"] is None
    assert kpis(row(pq=12, energy=6), book=book)["per_dozen"] == pytest.approx(6)
    told = reasons(pl.DataFrame([row(pq=12)]), book)
    assert told["per_dozen"].item() == "no energy measured"


def test_fe_plus_one_changes_the_mean_times_and_nothing_else() -> None:
    plus_one = kpi_book(failures=FailureDenominator.FE_PLUS_ONE)
    changed = [a.id for a, b in zip(KPIS, plus_one.kpis, strict=True) if a.formula != b.formula]
    assert changed == ["mtbf", "mttf", "mttr"]
    quiet = row(pbt=36_000, apt=36_000)
    assert (kpis(quiet)["mtbf"], kpis(quiet, book=plus_one)["mtbf"]) == (None, pytest.approx(10))


def test_columns_that_are_not_there_give_null_and_a_reason_and_no_error() -> None:
    rows = pl.DataFrame({"pbt": [10**9], "unknown": [0], "apt": [10**9]})
    k = evaluate(rows).row(0, named=True)
    assert (k["availability"], k["oee"]) == (1.0, None)
    assert reasons(rows)["oee"].item() == "`ideal_gq` is not there"


@given(values=st.lists(st.integers(-5, 10**12), min_size=len(ELEMENT_IDS), max_size=len(ELEMENT_IDS)))
@settings(max_examples=30, deadline=None)
def test_a_kpi_is_a_number_or_has_a_reason_and_never_both(values: list[int]) -> None:
    rows = pl.DataFrame([dict(zip(ELEMENT_IDS, values, strict=True))])
    found, told = evaluate(rows).row(0, named=True), reasons(rows).row(0, named=True)
    for id_ in KPI_IDS:
        assert (found[id_] is None) == (told[id_] is not None), id_
        assert found[id_] is None or math.isfinite(found[id_])


def test_one_piece_more_than_the_time_allows_is_not_warned_of_and_many_are() -> None:
    """A piece that is finished in a minute may have been begun in the one before."""
    one_more = row(apt=60, pbt=60, pq=2, gq=2, ideal_pq=90, ideal_gq=90)
    many = row(apt=3600, pbt=3600, pq=100, gq=100, ideal_pq=4500, ideal_gq=4500)
    told = warnings(pl.DataFrame([one_more, many]))
    assert told["effectiveness"].to_list() == [None, f"above 100%: {RATED}"]
    assert told["loss_speed"].to_list() == [None, f"below zero: {RATED}"]


def test_pieces_that_were_counted_while_the_state_was_not_known_are_the_cause_and_not_the_planned_run_time() -> None:
    lost = row(pbt=3600, unknown=3000, apt=600, pq=300, gq=300, ideal_pq=3000, ideal_gq=3000)
    told = warnings(pl.DataFrame([lost])).row(0, named=True)
    assert told["oee"] == told["effectiveness"] == "above 100%: pieces were counted while the state was not known"


def test_the_quality_ratio_is_of_pieces_where_a_product_earns_no_time() -> None:
    mixed = row(pq=718, gq=538, sq=180, apt=7180, unrated=3590, ideal_pq=3590, ideal_gq=3590)
    assert kpis(mixed)["quality_ratio"] == pytest.approx(538 / 718)


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


def test_amounts_in_units_are_the_shortest_exact_ones() -> None:
    """Many of them: polars has ways of its own to divide a column by a number."""
    stored = np.random.default_rng(0).integers(0, 10**14, 5000)
    shown = in_units(pl.DataFrame({"apt": [7_239_924_000_000, *stored], "pq": [1_990_000, *stored]}))
    assert shown["apt"].to_list() == [7239.924, *(int(amount) / 10**9 for amount in stored)]
    assert shown["pq"].to_list() == [1.99, *(int(amount) / 10**6 for amount in stored)]
