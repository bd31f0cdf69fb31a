"""Element rows of minutes or hours, machines → rows of longer windows and higher levels. Always sums, nothing else."""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.plant import Plant

Level = Literal["machine", "line", "area", "site"]
WindowName = Literal["minute", "hour", "shift", "day"]

_GROUPS: Final[dict[Level, list[str]]] = {
    "machine": ["area", "line", "machine"],
    "line": ["area", "line"],
    "area": ["area"],
    "site": [],
}


def rollup(elements: pl.DataFrame, plant: Plant, *, level: Level, window: WindowName) -> pl.DataFrame:
    """Sum element rows to one row per group and window.

    elements: rows of minutes or hours with machine (text id), time (Int64 ns), shift (text name, empty outside any),
        shift_start (Int64 ns) and the Int64 element columns. Rows of hours serve hours, shifts and days.
    Returns columns area, line, machine (those that the level has), `time` (Int64 ns, start of the window; hours and
        days by the plant's wall clock), `shift` for window `shift`, and the summed elements, sorted. Rows outside any
        shift have no window `shift`. Rows of machines that the plant does not have are left out.
    """
    places = pl.DataFrame(
        {
            "machine": [m.id for m in plant.machines],
            "line": [m.line for m in plant.machines],
            "area": [m.area for m in plant.machines],
        },
        schema={"machine": pl.Utf8, "line": pl.Utf8, "area": pl.Utf8},
    )
    keys = [*_GROUPS[level], "time"]
    rows = elements.join(places, on="machine", how="inner")
    if window == "shift":
        keys.append("shift")
        rows = rows.filter(pl.col("shift") != "").with_columns(time=pl.col("shift_start"))
    else:
        rows = rows.with_columns(time=window_start(pl.col("time"), window, plant.timezone))
    return rows.group_by(keys).agg([pl.col(e).sum() for e in ELEMENT_IDS]).sort(keys)


def window_start(time: pl.Expr, window: Literal["minute", "hour", "day"], timezone: str) -> pl.Expr:
    """Start (Int64 ns) of the minute, hour or day that holds each time, by the wall clock of the time zone.

    On a day of a clock change a day is 23 or 25 hours long; the repeated hour is an hour of its own.
    """
    if window == "minute":
        return time - time % MINUTE_NS
    every = {"hour": "1h", "day": "1d"}[window]
    local = pl.from_epoch(time, time_unit="ns").dt.replace_time_zone("UTC").dt.convert_time_zone(timezone)
    return local.dt.truncate(every).dt.timestamp("ns")
