"""Measured values of a journal as a file: statistics and capability of each characteristic and window.

Rule: sums first. Statistics of the minutes or hours of a window are added up, capability follows from the sums.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from edge_agent.export import Export, local
from edge_agent.journal import JournalReader
from edge_agent.kpi_windows import WindowEnds, WindowSums
from edge_agent.measured_sums import at_nominal, summed, with_capability
from edge_agent.plant_facts import limits_of, plant_of
from kpi.calendar import planned_times
from kpi.capability import CAPABILITY
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Plant
from kpi.rollup import WindowName, window_start

_LONGEST_NS: Final = 32 * 24 * HOUR_NS
_KEYS: Final = ["machine", "characteristic", "time"]
_PLACES: Final = ("site", "area", "line", "machine", "characteristic")
_IN_UNIT: Final = ("mean", "deviation", "deviation_within", "lower", "upper", "nominal")
MEASURED_COLUMNS: Final = (
    *_PLACES, "unit", "start", "end", "provisional", "n", *_IN_UNIT, *(index.id for index in CAPABILITY),
)  # fmt: skip


def read_measured(reader: JournalReader, window: WindowName, start: int, end: int) -> Export:
    """Capability of every characteristic and window from the hour on that begins in [start, end), ns.

    Rows have `MEASURED_COLUMNS`: n whole, the others Float64, `_IN_UNIT` in the row's `unit`, null where there is no
    value. Shifts are summed from minutes, and only there are as long as the journal keeps those.
    Raises LookupError where no agent has written to the journal yet.
    """
    facts = reader.status()
    if "plant" not in facts:
        raise LookupError("no agent has written to the journal yet")
    plant, limits = plant_of(facts["plant"]), limits_of(facts["plant"])
    grain = "minute" if window == "shift" else "hour"
    held = reader.measured("minute" if grain == "minute" else "hour", start - HOUR_NS, end + _LONGEST_NS)
    sums = summed(_windowed(at_nominal(held, limits), plant, window), _KEYS)
    sums = sums.filter(pl.col("time").is_between(start, end, closed="left")).sort(_KEYS)
    ends = WindowEnds(plant).of(WindowSums("machine", window, sums)) if len(sums) else sums["time"]
    known = with_capability(sums, limits)
    places = pl.DataFrame(
        [(machine.id, machine.line, machine.area) for machine in plant.machines],
        schema={"machine": pl.Utf8, "line": pl.Utf8, "area": pl.Utf8},
        orient="row",
    )
    found = (
        known.with_columns(end=ends)
        .join(places, on="machine", how="left", maintain_order="left")
        .with_columns(
            site=pl.lit(plant.site),
            start=local("time", plant.timezone),
            provisional=pl.col("end") > reader.settled_to(),
        )
        .with_columns(end=local("end", plant.timezone))
        .select(MEASURED_COLUMNS)
    )
    no_remarks = found.select(pl.lit(None, pl.Utf8).alias(index.id) for index in CAPABILITY)
    return Export(found, no_remarks, no_remarks, {})


def _windowed(rows: pl.DataFrame, plant: Plant, window: WindowName) -> pl.DataFrame:
    """Rows with the start of their window as `time`; those outside any shift have no window `shift`."""
    if window != "shift":
        return rows.with_columns(time=window_start(pl.col("time"), window, plant.timezone))
    parts = [rows.clear()]
    for machine in plant.machines:
        mine = rows.filter(pl.col("machine") == machine.id)
        if mine.is_empty():
            continue
        first, last = int(mine["time"].min()), int(mine["time"].max())  # type: ignore[arg-type]
        planned = planned_times(machine.calendar, first, last + MINUTE_NS)
        at = pl.Series(planned.edge).search_sorted(mine["time"], side="right").cast(pl.Int64) - 1
        starts = pl.Series(planned.shift_start).gather(at)
        parts.append(mine.with_columns(starts.alias("time")).filter(pl.col("time") != 0))
    return pl.concat(parts)
