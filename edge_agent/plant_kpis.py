"""How the figures of a plant are made, in one place: rows of minutes or hours → sums → KPIs, reasons and warnings.

Rule: whoever shows, sends or exports a figure makes it here, so that the same number comes out everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from config.compiled import CompiledPlant
from kpi.declared import DECLARED_IDS, Declaration, declared_in, with_declared
from kpi.elements import ELEMENT_IDS
from kpi.formulas import KNOWN_ELEMENTS, STANDARD, KpiBook, evaluate
from kpi.lines import LINE_ELEMENTS, LineKind, LineRule
from kpi.plant import Plant
from kpi.reasons import reasons, warnings
from kpi.rollup import LEVELS, Level, WindowName, rollups

_BEYOND_THE_ENGINES: Final = (*(element.id for element in LINE_ELEMENTS), *DECLARED_IDS)


@dataclass(frozen=True, slots=True, eq=False)
class PlantKpis:
    """A plant with its KPIs, declared elements, and rules of lines.

    Rows of sums, below, are those of `sums`, also of several levels and windows one below the other (null where a level
    has no such place), with `end` (Int64 ns) of each row's window where declared elements are asked for.
    """

    plant: Plant
    book: KpiBook = STANDARD
    declared: tuple[Declaration, ...] = ()
    line_rules: tuple[LineRule, ...] = ()

    @classmethod
    def of(cls, compiled: CompiledPlant) -> PlantKpis:
        """As the configuration has them."""
        return cls(compiled.plant, compiled.kpis, compiled.declared, compiled.line_rules)

    @property
    def serial_lines(self) -> frozenset[str]:
        """Lines in which the figures of a machine depend on another one."""
        return frozenset(rule.line for rule in self.line_rules if rule.kind is LineKind.SERIAL)

    @property
    def elements(self) -> tuple[str, ...]:
        """Ids of all elements that rows of sums can have: the engine's, those of serial lines, declared ones."""
        declared = {one.element for one in self.declared}
        beyond = [id_ for id_ in _BEYOND_THE_ENGINES if id_ in declared or (self.serial_lines and id_ in _OF_LINES)]
        return (*ELEMENT_IDS, *beyond)

    @property
    def units(self) -> dict[str, str]:
        """Units of all KPIs and elements by id; `1` is a plain ratio."""
        elements = {id_: KNOWN_ELEMENTS[id_].unit for id_ in self.elements}
        return {**{kpi.id: kpi.unit for kpi in self.book.kpis}, **elements}

    def sums(
        self, rows: pl.DataFrame, window: WindowName, levels: Sequence[Level] = LEVELS
    ) -> dict[Level, pl.DataFrame]:
        """Element rows summed by window, as `kpi.rollup.rollups`."""
        return rollups(rows, self.plant, window=window, rules=self.line_rules, levels=levels)

    def figures(self, sums: pl.DataFrame) -> pl.DataFrame:
        """Rows of sums with declared elements and KPIs; elements stay in stored integers."""
        return evaluate(self._with_declared(sums), self.book)

    def absent(self, sums: pl.DataFrame) -> pl.DataFrame:
        """Why KPIs have no value: a Utf8 column of each, null where it has one."""
        gaps = declared_in(sums, self.declared, self.plant, sums["end"]) if self.declared else {}
        return reasons(self._with_declared(sums), self.book, gaps)

    def odd(self, sums: pl.DataFrame, *, standing: bool = True) -> pl.DataFrame:
        """What is likely wrong where a KPI is beyond its range, or in doubt: a Utf8 column of each, null where nothing.

        standing: with what the plant's signals never tell.
        """
        return warnings(self._with_declared(sums), self.book, standing=standing)

    def _with_declared(self, sums: pl.DataFrame) -> pl.DataFrame:
        return with_declared(sums, self.declared, self.plant, sums["end"]) if self.declared else sums


_OF_LINES: Final = frozenset(element.id for element in LINE_ELEMENTS)
