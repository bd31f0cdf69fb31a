"""Capability of a machine or process from additive statistics of one measured characteristic: KPIs 19 to 22.

Rule 1: indices are made from summed statistics, and never averaged; what is summed must be one characteristic with one
pair of limits.
Rule 2: Cm, Cmk, Pp and Ppk use the deviation of all values, s; Cp and Cpk use the deviation within subgroups, σ̂: pooled
over subgroups (the minutes) where they hold two values or more on average, else from moving ranges: few subgroups that
happen to hold two values would say less than all the ranges between neighbours. Cm and Cmk are Pp and Ppk of a short
run on one machine (commonly 50 pieces in a row): the formula is the same, the choice of pieces makes the difference.
Rule 3: a deviation of zero, fewer than two values, or no limit gives null. A one-sided limit gives only the critical
index of its side. None of these says whether the process is stable: look at the chart before the figure.

Σx² − (Σx)²/n loses digits when the mean is large against the deviation, so values may be summed less an offset
(`shift`, as a rule the nominal); a deviation below a ten-millionth of the root mean square of what was summed is zero.
Source: ISO 22400-2 (KPIs 19 to 22), ISO 22514-2; d₂ from the tables of statistical quality control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

D2_OF_TWO: Final = 1.128
"""Mean range of two values, in standard deviations: turns a mean moving range into a deviation."""

STATISTICS: Final[tuple[str, ...]] = (
    "n",
    "sum",
    "sum_sq",
    "moving_range_sum",
    "moving_range_n",
    "within_ss",
    "within_df",
)
"""Additive columns: count, Σ(x − shift), Σ(x − shift)²; Σ and count of |xᵢ − xᵢ₋₁|; Σ of squares about the subgroups'
means, and their degrees of freedom, Σ(nᵢ − 1)."""

_NOISE: Final = 1e-14

_FEW: Final = 50
"""Values of a short run by ISO 22514-3; of fewer, an index is hardly more than chance."""


@dataclass(frozen=True, slots=True)
class CapabilityIndex:
    """One index, a plain number. better: `up`. low, high: its range. number: place among the 34 KPIs of ISO
    22400-2:2014, None where it is not one of them."""

    id: str
    name_en: str
    name_zh: str
    formula: str
    source: str
    number: int | None = None
    unit: str = "1"
    better: str = "up"
    high: None = None

    @property
    def low(self) -> float | None:
        """The least that it can be; None for a critical index, which is below zero where the mean is beyond a limit."""
        return None if self.is_critical else 0.0

    @property
    def elements(self) -> frozenset[str]:
        """The additive statistics, of `STATISTICS`, that it is made of."""
        within = {"within_ss", "within_df", "moving_range_sum", "moving_range_n"}
        return frozenset({"n", "sum"} | (within if self.is_within else {"sum_sq"}))

    @property
    def is_within(self) -> bool:
        """Whether it is over the deviation within subgroups, σ̂; else over that of all values, s."""
        return "σ̂" in self.formula

    @property
    def is_critical(self) -> bool:
        """Whether it is of the nearer limit, so that one limit is enough; else of both."""
        return self.formula.startswith("min")

    def has_limits(self, lower: float | None, upper: float | None) -> bool:
        """Whether a characteristic with these limits can have it."""
        given = [limit for limit in (lower, upper) if limit is not None]
        return len(given) >= (1 if self.is_critical else 2)


_ISO: Final = "ISO 22400-2:2014"

CAPABILITY: Final[tuple[CapabilityIndex, ...]] = (
    CapabilityIndex("cm", "Machine capability index", "机器能力指数", "(USL − LSL) / 6s", _ISO, 19),
    CapabilityIndex(
        "cmk", "Critical machine capability index", "临界机器能力指数", "min(USL − x̄, x̄ − LSL) / 3s", _ISO, 20
    ),
    CapabilityIndex("cp", "Process capability index", "过程能力指数", "(USL − LSL) / 6σ̂", _ISO, 21),
    CapabilityIndex(
        "cpk", "Critical process capability index", "临界过程能力指数", "min(USL − x̄, x̄ − LSL) / 3σ̂", _ISO, 22
    ),
    CapabilityIndex("pp", "Process performance index", "过程性能指数", "(USL − LSL) / 6s", "ISO 22514-2"),
    CapabilityIndex(
        "ppk", "Critical process performance index", "临界过程性能指数", "min(USL − x̄, x̄ − LSL) / 3s", "ISO 22514-2"
    ),
)  # fmt: skip


def capability(statistics: pl.DataFrame) -> pl.DataFrame:
    """Capability of each row of summed statistics.

    statistics: any key columns; `STATISTICS` (n, moving_range_n, within_df whole numbers, the others in the unit of the
        characteristic or its square; those that are missing count as 0); lower, upper: limits, null where there is
        none; shift: what was taken off every value before it was summed, 0 where the column is missing.
    Returns the same rows with Float64 columns mean, deviation (s), deviation_within (σ̂), cm, cmk, cp, cpk, pp, ppk,
        null where there is no value.
    """
    given = set(statistics.columns)
    missing = [pl.lit(0.0).alias(c) for c in (*STATISTICS, "shift") if c not in given]
    rows = statistics.with_columns(missing).select(
        mean=pl.when(pl.col("n") > 0).then(pl.col("sum") / pl.col("n") + pl.col("shift")),
        deviation=_deviation(),
        deviation_within=_within(),
        lower=pl.col("lower").cast(pl.Float64),
        upper=pl.col("upper").cast(pl.Float64),
    )
    rows = rows.with_columns(
        **{f"{name}_spread": _spread(d) for name, d in (("all", "deviation"), ("within", "deviation_within"))},
        **{f"{name}_critical": _critical(d) for name, d in (("all", "deviation"), ("within", "deviation_within"))},
    )
    indices = rows.select(
        "mean",
        "deviation",
        "deviation_within",
        cm="all_spread",
        cmk="all_critical",
        cp="within_spread",
        cpk="within_critical",
        pp="all_spread",
        ppk="all_critical",
    )
    return pl.concat([statistics, indices], how="horizontal")


def why_absent(index: CapabilityIndex, row: Mapping[str, float | None]) -> str | None:
    """Why a row that `capability` gave has no such index; None where it has one. row: names of columns → values."""
    n, lower, upper = row["n"] or 0, row["lower"], row["upper"]
    if row[index.id] is not None:
        return None
    if n == 0:
        return "no good value in the window"
    if not index.has_limits(lower, upper):
        if lower is None and upper is None:
            return "the characteristic has no limit"
        missing = "upper limit (USL)" if upper is None else "lower limit (LSL)"
        return f"the characteristic has no {missing}, so only the critical indices of its other side"
    if n < 2:
        return "one good value only: no deviation"
    return "the values do not vary within subgroups" if index.is_within else "the values do not vary"


def within_of(row: Mapping[str, float | None]) -> str | None:
    """What the deviation within of a row that `capability` gave is of: `subgroups`, `moving_ranges`, or nothing."""
    if row["deviation_within"] is None:
        return None
    return "subgroups" if 2 * (row["within_df"] or 0) >= (row["n"] or 0) else "moving_ranges"


def caution(row: Mapping[str, float | None]) -> str | None:
    """What takes weight from the indices of a row; None where nothing does."""
    n = row["n"] or 0
    return f"of {n:.0f} values: of fewer than {_FEW}, an index is hardly more than chance" if 0 < n < _FEW else None


def _deviation() -> pl.Expr:
    """Standard deviation of all values."""
    squares = pl.col("sum_sq") - pl.col("sum") * pl.col("sum") / pl.col("n")
    noise = pl.col("sum_sq").abs() * _NOISE
    return pl.when((pl.col("n") > 1) & (squares > noise)).then((squares / (pl.col("n") - 1)).sqrt())


def _within() -> pl.Expr:
    """Deviation within subgroups: pooled where they are worth it, else from moving ranges."""
    pooled = (pl.col("within_ss") / pl.col("within_df")).sqrt()
    moving = pl.col("moving_range_sum") / pl.col("moving_range_n") / D2_OF_TWO
    found = (
        pl.when((pl.col("within_df") > 0) & (2 * pl.col("within_df") >= pl.col("n")))
        .then(pooled)
        .when(pl.col("moving_range_n") > 0)
        .then(moving)
    )
    return pl.when(found > 0).then(found)


def _spread(deviation: str) -> pl.Expr:
    return (pl.col("upper") - pl.col("lower")) / (6 * pl.col(deviation))


def _critical(deviation: str) -> pl.Expr:
    """The nearer limit; null only where there is none."""
    nearest = pl.min_horizontal(pl.col("upper") - pl.col("mean"), pl.col("mean") - pl.col("lower"))
    return nearest / (3 * pl.col(deviation))
