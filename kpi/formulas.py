"""KPIs as formulas over summed elements: one table, read by the engine, the boards and the documents.

Rule 1: sum first, divide last. A KPI is never averaged.
Rule 2: nothing over zero is null, never 0 and never infinity.
Rule 3: time without good data is not held against a machine: planned busy time in a denominator is the part that good
data covers (`pbt - unknown`), and `coverage` says how much that is.
Earned time (PRI × pieces) weighs the quality ratio, since pieces of different cycle times must not be added
(ISO 22400-2 gives GQ / PQ for one item; for one item both are equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from kpi.elements import ELEMENT_IDS, ELEMENTS
from kpi.expressions import compile_formula


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI. formula: over element ids in their shown units. better: `up`, `down` or `` where neither is.

    unless: an element that must be zero for the KPI to have a value, else it is null.
    low, high: usual range; a value beyond `high` is shown as it is.
    """

    id: str
    name_en: str
    name_zh: str
    formula: str
    unit: str
    better: str
    source: str
    low: float | None = 0.0
    high: float | None = 1.0
    unless: str | None = None


_ISO = "ISO 22400-2:2014"

KPIS: Final[tuple[Kpi, ...]] = (
    Kpi("availability", "Availability", "可用率", "apt / (pbt - unknown)", "1", "up", f"{_ISO}, Availability"),
    Kpi(
        "effectiveness", "Effectiveness", "性能率", "ideal_pq / apt", "1", "up", f"{_ISO}, Effectiveness",
        unless="unrated",
    ),
    Kpi(
        "quality_ratio", "Quality ratio", "质量率", "first(ideal_gq / ideal_pq, gq / pq)", "1", "up",
        f"{_ISO}, Quality ratio",
    ),
    Kpi(
        "oee", "Overall equipment effectiveness index", "设备综合效率", "ideal_gq / (pbt - unknown)", "1", "up",
        f"{_ISO}, OEE index", unless="unrated",
    ),
    Kpi(
        "nee", "Net equipment effectiveness index", "设备净效率",
        "(apt + aust) / (pbt - unknown) * ideal_gq / apt", "1", "up", f"{_ISO}, NEE index", unless="unrated",
    ),
    Kpi(
        "allocation_efficiency", "Allocation efficiency", "分配效率",
        "(apt + aust + adet) / (pbt - unknown)", "1", "up", f"{_ISO}, Allocation efficiency",
    ),
    Kpi(
        "utilization_efficiency", "Utilization efficiency", "利用效率", "apt / (apt + aust + adet)", "1", "up",
        f"{_ISO}, Utilization efficiency",
    ),
    Kpi(
        "technical_efficiency", "Technical efficiency", "技术效率", "apt / (apt + adet)", "1", "up",
        f"{_ISO}, Technical efficiency",
    ),
    Kpi("setup_ratio", "Setup ratio", "准备率", "aust / (apt + aust)", "1", "down", f"{_ISO}, Setup ratio"),
    Kpi("scrap_ratio", "Scrap ratio", "废品率", "sq / pq", "1", "down", f"{_ISO}, Scrap ratio"),
    Kpi("rework_ratio", "Rework ratio", "返工率", "rq / pq", "1", "down", f"{_ISO}, Rework ratio"),
    Kpi("first_pass_yield", "First pass yield", "一次合格率", "gp / ip", "1", "up", f"{_ISO}, First pass yield"),
    Kpi(
        "energy_per_piece", "Energy per piece", "单件能耗", "energy / pq", "kWh/piece", "down",
        f"{_ISO}, Comprehensive energy consumption (electricity only)", high=None,
    ),
    Kpi("idle_energy_share", "Idle energy share", "空转能耗占比", "energy_idle / energy", "1", "down", "edge-agent"),
    Kpi(
        "mtbf", "Mean operating time between failures", "平均故障间隔运行时间", "(apt + aust) / fe / 3600", "h", "up",
        f"{_ISO}, Mean operating time between failures (over FE)", high=None,
    ),
    Kpi(
        "mttr", "Mean time to restoration", "平均修复时间", "breakdown / fe / 3600", "h", "down",
        f"{_ISO}, Mean time to restoration (over FE)", high=None,
    ),
    Kpi("power", "Mean power", "平均功率", "energy * 3600 / calendar_time", "kW", "", "edge-agent", high=None),
    Kpi("coverage", "Data coverage", "数据覆盖率", "(pbt - unknown) / pbt", "1", "up", "edge-agent"),
)  # fmt: skip

KPI_IDS: Final[tuple[str, ...]] = tuple(kpi.id for kpi in KPIS)
KPI: Final[dict[str, Kpi]] = {kpi.id: kpi for kpi in KPIS}


def in_units(elements: pl.DataFrame) -> pl.DataFrame:
    """Element columns from stored integers to Float64 in the element's unit; other columns stay as they are."""
    return elements.with_columns([(pl.col(e.id) * e.to_unit).alias(e.id) for e in ELEMENTS if e.id in elements.columns])


def evaluate(elements: pl.DataFrame) -> pl.DataFrame:
    """KPIs of each row of summed elements.

    elements: any key columns, and the Int64 columns of `kpi.elements.ELEMENT_IDS`.
    Returns the same rows with one Float64 column per KPI id added, null where the KPI has no value.
    """
    kpis = in_units(elements).select([_guarded(kpi).alias(kpi.id) for kpi in KPIS])
    return pl.concat([elements, kpis], how="horizontal")


def _guarded(kpi: Kpi) -> pl.Expr:
    value = compile_formula(kpi.formula, ELEMENT_IDS)
    return value if kpi.unless is None else pl.when(pl.col(kpi.unless) == 0).then(value)
