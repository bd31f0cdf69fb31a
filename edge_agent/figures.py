"""Figures for people: elements of the journal as KPIs of machines, lines and the plant. Boards, status and summaries.

Rule: one calculation. Every figure shown anywhere is `kpi.formulas` over sums of the journal's rows; rounding is for
the screen only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from kpi.elements import ELEMENT_IDS
from kpi.formulas import KPI_IDS, evaluate, in_units
from kpi.plant import Plant

Figures = Mapping[str, float | None]
"""KPI and element ids → value in the shown unit; None where there is no value."""

_RENAMED: Final = {
    "good": "gq",
    "scrap": "sq",
    "rework": "rq",
    "total": "pq",
    "inspected": "ip",
    "first_pass": "gp",
    "energy_kwh": "energy",
}
"""Names that need no standard at hand → the element."""

_PIECES: Final = frozenset(_RENAMED) - {"energy_kwh"}

SUMMARY: Final = (
    "availability", "effectiveness", "quality_ratio", "oee", "good", "scrap", "rework", "total", "inspected",
    "first_pass", "first_pass_yield", "scrap_ratio", "energy_kwh", "energy_per_piece", "coverage",
)  # fmt: skip
"""What a summary says of a machine or of the plant, in this order."""


@dataclass(frozen=True, slots=True)
class PlantFigures:
    """Figures of one stretch of time. machines: by id, in the plant's order. lines: by name. site: all together."""

    machines: Mapping[str, Figures]
    lines: Mapping[str, Figures]
    site: Figures


def plant_figures(rows: pl.DataFrame, plant: Plant) -> PlantFigures:
    """Figures over element rows (minutes or hours, whatever is to be summed) of the machines of a plant."""
    lines = {machine.id: machine.line for machine in plant.machines}
    of_plant = rows.filter(pl.col("machine").is_in(list(lines)))
    of_lines = of_plant.with_columns(line=pl.col("machine").replace_strict(lines, return_dtype=pl.Utf8))
    by_machine = _by(of_plant, "machine")
    by_line = _by(of_lines, "line")
    nothing: Figures = {}
    return PlantFigures(
        {machine: by_machine.get(machine, nothing) for machine in lines},
        {line: by_line.get(line, nothing) for line in dict.fromkeys(lines.values())},
        _figures(of_plant.select(pl.col(ELEMENT_IDS).sum()))[0],
    )


def _by(rows: pl.DataFrame, key: str) -> dict[str, Figures]:
    sums = rows.group_by(key).agg(pl.col(ELEMENT_IDS).sum())
    return dict(zip(sums[key].to_list(), _figures(sums), strict=True))


def _figures(sums: pl.DataFrame) -> list[Figures]:
    found = in_units(evaluate(sums)).select(*KPI_IDS, *ELEMENT_IDS)
    return [*found.to_dicts()]


def summary(figures: Figures) -> dict[str, float | int | None]:
    """The figures of `SUMMARY` under names that need no standard at hand; pieces as whole numbers."""
    said: dict[str, float | int | None] = {}
    for name in SUMMARY:
        value = figures.get(_RENAMED.get(name, name))
        said[name] = round(value) if value is not None and name in _PIECES else value
    return said
