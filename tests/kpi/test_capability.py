"""Capability from sums is capability from values; figures of the literature are in `test_cases`."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.capability import D2_OF_TWO, STATISTICS, capability

INDICES = ("cm", "cmk", "cp", "cpk", "pp", "ppk")
LOWER, UPPER = 9.0, 11.0


def statistics(values: list[float], size: int = 0, shift: float = 0.0) -> dict[str, float]:
    """Sums of values; of subgroups of `size`, or moving ranges where that is 0."""
    shifted = [value - shift for value in values]
    groups = [values[i : i + size] for i in range(0, len(values), size)] if size else []
    ranges = [] if size else [abs(b - a) for a, b in pairwise(values)]
    within = [sum((x - fmean(group)) ** 2 for x in group) for group in groups]
    of = (len(values), sum(shifted), sum(x * x for x in shifted), sum(ranges), len(ranges), sum(within))
    return dict(zip(STATISTICS, (*of, sum(len(group) - 1 for group in groups)), strict=True)) | {"shift": shift}


def indices(row: dict[str, Any], lower: float | None = LOWER, upper: float | None = UPPER) -> dict[str, Any]:
    limits = {"lower": lower, "upper": upper}
    schema = {"lower": pl.Float64, "upper": pl.Float64}
    return capability(pl.DataFrame([{**row, **limits}], schema_overrides=schema)).row(0, named=True)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(9_000, 11_000).map(lambda x: x / 1000), min_size=2, max_size=30),
    shift=st.sampled_from([0.0, 10.0]),
)
def test_indices_from_sums_are_those_from_values(values: list[float], shift: float) -> None:
    found = indices(statistics(values, shift=shift))
    spread, mean = stdev(values), fmean(values)
    if spread < 1e-6:
        assert all(found[name] is None for name in ("cm", "cmk", "pp", "ppk"))
        return
    assert found["mean"] == pytest.approx(mean)
    assert found["pp"] == found["cm"] == pytest.approx((UPPER - LOWER) / 6 / spread, rel=1e-6)
    assert found["ppk"] == pytest.approx(min(UPPER - mean, mean - LOWER) / 3 / spread, rel=1e-6, abs=1e-9)


def test_sums_of_two_windows_give_the_indices_of_all_values() -> None:
    """Additive: Σ over windows, then divide."""
    early, late = [9.9, 10.0, 10.1, 10.3], [10.2, 9.8, 10.0, 10.4]
    a, b = statistics(early, 4), statistics(late, 4)
    together = {name: a[name] + b[name] for name in STATISTICS}
    whole = indices(statistics([*early, *late], 4))
    assert indices(together)["cpk"] == pytest.approx(whole["cpk"])
    assert indices(together)["ppk"] == pytest.approx(whole["ppk"])


def test_individual_values_use_the_mean_moving_range() -> None:
    values = [10.0, 10.2, 9.9, 10.1]
    within = (0.2 + 0.3 + 0.2) / 3 / D2_OF_TWO
    assert indices(statistics(values))["cp"] == pytest.approx((UPPER - LOWER) / 6 / within)


def test_subgroups_are_pooled_and_come_before_moving_ranges() -> None:
    values = [10.0, 10.2, 9.9, 10.1]
    row = {**statistics(values, 2), "moving_range_sum": 99.0, "moving_range_n": 3}
    assert indices(row)["cp"] == pytest.approx((UPPER - LOWER) / 6 / math.sqrt((0.02 + 0.02) / 2))


def test_a_few_pairs_among_single_values_do_not_stand_for_all_of_them() -> None:
    """A piece a minute, and now and then two: the ranges between neighbours say more than those pairs."""
    row = {**statistics([10.0, 10.2, 9.9, 10.1]), "within_ss": 9.0, "within_df": 1}
    within = (0.2 + 0.3 + 0.2) / 3 / D2_OF_TWO
    assert indices(row)["cp"] == pytest.approx((UPPER - LOWER) / 6 / within)


def test_values_that_do_not_vary_have_no_capability_and_not_an_endless_one() -> None:
    found = indices(statistics([1000.1] * 40))
    assert [found[name] for name in INDICES] == [None] * 6


@pytest.mark.parametrize("values", [[], [10.0]])
def test_fewer_than_two_values_have_no_capability(values: list[float]) -> None:
    assert [indices(statistics(values))[name] for name in INDICES] == [None] * 6


def test_a_mean_outside_the_limits_is_negative() -> None:
    assert indices(statistics([12.0, 12.2, 11.9]))["ppk"] < 0


def test_without_limits_there_is_nothing() -> None:
    found = indices(statistics([9.9, 10.1]), None, None)
    assert [found[name] for name in INDICES] == [None] * 6


def test_key_columns_stay_and_missing_statistics_count_as_none() -> None:
    rows = pl.DataFrame(
        {"machine": ["a"], "n": [2], "sum": [20.0], "sum_sq": [200.02], "lower": [9.0], "upper": [11.0]}
    )
    found = capability(rows)
    assert found["machine"].to_list() == ["a"]
    assert (found["cp"].item(), found["pp"].is_not_null().item()) == (None, True)
