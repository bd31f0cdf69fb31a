"""Figures for people: elements of the journal as KPIs of machines, lines and the plant. Boards, status and summaries.

Rule: one calculation. Every figure shown anywhere is made by `edge_agent.plant_kpis` over sums of the journal's rows;
rounding is for the screen only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import polars as pl

from edge_agent.plant_kpis import PlantKpis
from kpi.formulas import in_units
from kpi.rollup import Level

Figures = Mapping[str, float | None]
"""KPI and element ids → value in the shown unit; None where there is no value."""

Remarks = Mapping[str, str]
"""KPI ids → words about the figure."""

T = TypeVar("T")

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
class OfPlant(Generic[T]):
    """Something of one stretch of time. machines: by id, in the plant's order. lines: by name. site: all together."""

    machines: Mapping[str, T]
    lines: Mapping[str, T]
    site: T


@dataclass(frozen=True, slots=True)
class PlantFigures(OfPlant[Figures]):
    """Figures; of KPIs, why there is none (`absent`), and what is likely wrong with an impossible one (`odd`)."""

    absent: OfPlant[Remarks] | None = None
    odd: OfPlant[Remarks] | None = None


def plant_figures(rows: pl.DataFrame, kpis: PlantKpis, start: int, end: int) -> PlantFigures:
    """Figures over element rows (minutes or hours, whatever is to be summed) of one stretch of time.

    start: a whole minute, ns; end: ns.
    """
    at_start = rows.with_columns(time=pl.lit(start, pl.Int64))
    sums = {
        level: of_level.with_columns(end=pl.lit(end, pl.Int64))
        for level, of_level in kpis.sums(at_start, "minute", ("machine", "line", "site")).items()
    }

    def figures(of_level: pl.DataFrame) -> list[Figures]:
        known = in_units(kpis.figures(of_level))
        return [*known.select(*kpis.book.ids, *(id_ for id_ in kpis.elements if id_ in known.columns)).to_dicts()]

    def remarks(made: pl.DataFrame) -> list[Remarks]:
        return [{kpi: words for kpi, words in row.items() if words is not None} for row in made.to_dicts()]

    no_figures: Figures = {}
    nothing_said: Remarks = {}
    found = _by_place(sums, kpis, figures, no_figures)
    absent = _by_place(sums, kpis, lambda of_level: remarks(kpis.absent(of_level)), nothing_said)
    odd = _by_place(sums, kpis, lambda of_level: remarks(kpis.odd(of_level)), nothing_said)
    return PlantFigures(found.machines, found.lines, found.site, absent, odd)


def _by_place(
    sums: Mapping[Level, pl.DataFrame], kpis: PlantKpis, make: Callable[[pl.DataFrame], list[T]], nothing: T
) -> OfPlant[T]:
    """What is made of the rows of each level, by machine, line and site; `nothing` where there is no row."""
    machines, lines = sums["machine"], sums["line"]
    by_machine = dict(zip(machines["machine"].to_list(), make(machines), strict=True))
    by_line = dict(zip(lines["line"].to_list(), make(lines), strict=True))
    plant = kpis.plant.machines
    return OfPlant(
        {machine.id: by_machine.get(machine.id, nothing) for machine in plant},
        {line: by_line.get(line, nothing) for line in dict.fromkeys(machine.line for machine in plant)},
        next(iter(make(sums["site"])), nothing),
    )


def summary(figures: Figures) -> dict[str, float | int | None]:
    """The figures of `SUMMARY` under names that need no standard at hand; pieces as whole numbers."""
    said: dict[str, float | int | None] = {}
    for name in SUMMARY:
        value = figures.get(_RENAMED.get(name, name))
        said[name] = round(value) if value is not None and name in _PIECES else value
    return said
