"""Decisions about counters of a journal as a file: one row for each reading that did not simply count on.

Rule: nothing is summed. A row that stands for several readings of a minute says for how many.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from edge_agent.export import Export, local
from edge_agent.journal import JournalReader
from edge_agent.plant_facts import plant_of
from kpi.bindings import METERED
from kpi.formulas import KNOWN_ELEMENTS

DECISION_COLUMNS: Final = (
    "site", "area", "line", "machine", "counter", "unit", "time", "verdict", "after_gap", "before", "reading",
    "counted", "times",
)  # fmt: skip
_MILLIONTHS: Final = 1e6
_UNITS: Final = {element: KNOWN_ELEMENTS[element].unit for element in METERED}


def read_decisions(reader: JournalReader, start: int, end: int) -> Export:
    """Decisions about counters in [start, end), ns, by time: `DECISION_COLUMNS`, as far back as minutes are kept.

    time is Datetime in the plant's zone; before, reading and counted are Float64 in the row's `unit`, the first two
    null where there is none; times Int64. Raises LookupError where no agent has written to the journal yet.
    """
    facts = reader.status()
    if "plant" not in facts:
        raise LookupError("no agent has written to the journal yet")
    plant = plant_of(facts["plant"])
    places = pl.DataFrame(
        [(machine.id, machine.line, machine.area) for machine in plant.machines],
        schema={"machine": pl.Utf8, "line": pl.Utf8, "area": pl.Utf8},
        orient="row",
    )
    rows = (
        reader.decisions(start, end)
        .join(places, on="machine", how="left", maintain_order="left")
        .with_columns(
            site=pl.lit(plant.site),
            time=local("time", plant.timezone),
            unit=pl.col("counter").replace_strict(_UNITS, default="pieces", return_dtype=pl.Utf8),
            counted=pl.col("counted") / _MILLIONTHS,
        )
        .select(DECISION_COLUMNS)
    )
    return Export(rows, None, None, {})
