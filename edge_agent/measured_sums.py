"""Statistics of measured values from a journal, and what capability follows from them, for whoever shows it.

Rule: limits and nominal are those of today's configuration. What was summed less another nominal is moved to that of
today, exactly but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from edge_agent.journal import STATISTICS
from edge_agent.plant_facts import Limits
from kpi.capability import capability

_CHARACTERISTIC = ["machine", "characteristic"]


def at_nominal(rows: pl.DataFrame, limits: Sequence[Limits]) -> pl.DataFrame:
    """Statistics of today's characteristics, summed less today's nominal; of others there is none.

    rows: the columns of `edge_agent.journal.MEASURED_SCHEMA`. Returns them without `nominal`.
    """
    today = _table(limits).select(*_CHARACTERISTIC, pl.col("nominal").alias("now"))
    off = pl.col("nominal") - pl.col("now")
    return (
        rows.join(today, on=_CHARACTERISTIC, maintain_order="left")
        .with_columns(sum_sq=pl.col("sum_sq") + 2 * off * pl.col("sum") + pl.col("n") * off * off)
        .with_columns(sum=pl.col("sum") + pl.col("n") * off)
        .drop("nominal", "now")
    )


def summed(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Statistics added up."""
    return rows.group_by(by).agg(pl.col(STATISTICS).sum())


def with_capability(sums: pl.DataFrame, limits: Sequence[Limits]) -> pl.DataFrame:
    """Sums of `at_nominal` with unit, lower, upper, nominal and the columns of `kpi.capability.capability`."""
    known = sums.join(_table(limits), on=_CHARACTERISTIC, maintain_order="left")
    return capability(known.with_columns(shift=pl.col("nominal")))


def _table(limits: Sequence[Limits]) -> pl.DataFrame:
    return pl.DataFrame(
        limits,
        schema={
            "machine": pl.Utf8, "characteristic": pl.Utf8, "unit": pl.Utf8, "lower": pl.Float64, "upper": pl.Float64,
            "nominal": pl.Float64,
        },
        orient="row",
    )  # fmt: skip
