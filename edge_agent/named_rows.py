"""The engine's tables with names for numbers: machines, shifts, products, reasons and characteristics as text."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from edge_agent.journal import DECISION_SCHEMA, STATISTICS
from kpi.bindings import makes_produced, meters_of
from kpi.decisions import ALL_COUNTERS
from kpi.elements import ELEMENT_IDS
from kpi.plant import Machine, Plant

INTERVAL_KEYS = ("machine", "start", "end", "state", "product", "reason")


class Names:
    """Turns indexes and codes of the engine's tables into names.

    text: the text of a code, as `TextCodes.text` gives it.
    """

    def __init__(self, plant: Plant, text: Callable[[int], str]) -> None:
        self._machines = pl.Series([machine.id for machine in plant.machines], dtype=pl.Utf8)
        self._shifts = pl.DataFrame(
            [
                (index, shift, named.name)
                for index, machine in enumerate(plant.machines)
                for shift, named in enumerate(machine.calendar.shifts)
            ],
            schema={"machine": pl.Int32, "shift": pl.Int32, "shift_name": pl.Utf8},
            orient="row",
        )
        self._characteristics = pl.DataFrame(
            [
                (index, number, one.name, one.nominal)
                for index, machine in enumerate(plant.machines)
                for number, one in enumerate(machine.characteristics)
            ],
            schema={"machine": pl.Int32, "characteristic": pl.Int32, "name": pl.Utf8, "nominal": pl.Float64},
            orient="row",
        )
        self._counters = pl.DataFrame(
            [
                (index, tag, ", ".join(names))
                for index, machine in enumerate(plant.machines)
                for tag, names in _counters(machine).items()
            ],
            schema={"machine": pl.Int32, "tag": pl.Int32, "counter": pl.Utf8},
            orient="row",
        )
        self._text = text

    def elements(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Element rows with text keys, empty text where there is no shift or product; order is kept.

        rows: keys `kpi.elements.KEYS` as numbers, and Int64 elements.
        """
        named = rows.join(self._shifts, on=["machine", "shift"], how="left", maintain_order="left")
        return named.select(
            self._machine(named["machine"]),
            "time",
            pl.col("shift_name").fill_null("").alias("shift"),
            "shift_start",
            self._coded(named["product"]),
            *ELEMENT_IDS,
        )

    def intervals(self, rows: pl.DataFrame) -> pl.DataFrame:
        """State intervals with text machine, product and reason, empty where there is none; order is kept."""
        return rows.select(
            self._machine(rows["machine"]),
            "start",
            "end",
            "state",
            self._coded(rows["product"]),
            self._coded(rows["reason"]),
        )

    def measured(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Statistics of measured values with text machine and characteristic, and the nominal that sums are less of."""
        named = rows.join(self._characteristics, on=["machine", "characteristic"], how="left", maintain_order="left")
        return named.select(
            self._machine(named["machine"]), "time", pl.col("name").alias("characteristic"), "nominal", *STATISTICS
        )

    def decisions(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Decisions about counters with text machine and counter: its quantities, or the element that it meters."""
        named = rows.join(self._counters, on=["machine", "tag"], how="left", maintain_order="left")
        return named.with_columns(self._machine(named["machine"])).select(DECISION_SCHEMA.keys())

    def _machine(self, index: pl.Series) -> pl.Series:
        return self._machines.gather(index).alias("machine")

    def _coded(self, code: pl.Series) -> pl.Series:
        if code.is_empty():
            return code.cast(pl.Utf8)
        codes = code.unique().to_list()
        texts = ["" if one < 0 else self._text(one) for one in codes]
        return code.replace_strict(codes, texts, return_dtype=pl.Utf8)


def _counters(machine: Machine) -> dict[int, list[str]]:
    """Tag → what it counts of a machine; `ALL_COUNTERS` stands for those that produced quantity is made of."""
    named: dict[int, list[str]] = {ALL_COUNTERS: [str(q) for q in machine.counters if q in makes_produced(machine)]}
    for quantity, counter in machine.counters.items():
        named.setdefault(counter.tag, []).append(str(quantity))
    for element, meter in meters_of(machine).items():
        named.setdefault(meter.tag, []).append(element)
    return named
