"""KPIs and elements of a journal as a file, for people who just want data.

Rule 1: every window that begins in the asked time is written whole, and only such windows.
Rule 2: columns keep their names and order for ever; new ones come at the end. Units are in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import polars as pl

from edge_agent.journal import JournalReader
from edge_agent.kpi_windows import WindowEnds, WindowName, WindowSums
from edge_agent.plant_facts import plant_of
from kpi.elements import ELEMENT_IDS, ELEMENTS, HOUR_NS
from kpi.formulas import KPI_IDS, KPIS, evaluate, in_units
from kpi.rollup import rollups

_LONGEST_WINDOW_NS: Final = 25 * HOUR_NS  # the day on which the clocks are put back

UNITS: Final[Mapping[str, str]] = {**{kpi.id: kpi.unit for kpi in KPIS}, **{e.id: e.unit for e in ELEMENTS}}
"""Unit of each figure column; `1` is a plain ratio."""

_PLACES: Final = ("level", "site", "area", "line", "machine", "shift")
COLUMNS: Final = (*_PLACES, "start", "end", "provisional", *KPI_IDS, *ELEMENT_IDS)


def moment(text: str, timezone: str) -> int:
    """A point in time (ns) from an ISO 8601 text; without an offset it is the plant's wall clock.

    Raises ValueError with what was expected where the text is no such time.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        examples = "2026-10-01, 2026-10-01T06:00 or 2026-10-01T06:00+08:00"
        raise ValueError(f"expected a time such as {examples}, got {text!r}") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(timezone))
    return int(parsed.timestamp()) * 1_000_000_000


def exported(reader: JournalReader, window: WindowName, start: int, end: int) -> pl.DataFrame:
    """KPIs and elements of every hour, shift or day that begins in [start, end): each machine, line, area, the site.

    Returns `COLUMNS`: texts (null where a level has none), start and end as Datetime in the plant's zone, `provisional`
    true where the window is not over yet, KPIs and elements as Float64 in `UNITS`, null where a KPI has no value.
    Raises LookupError where no agent has written to the journal yet.
    """
    facts = reader.status()
    if "plant" not in facts:
        raise LookupError("no agent has written to the journal yet")
    plant = plant_of(facts["plant"])
    hours = reader.elements("hour", start - HOUR_NS, end + _LONGEST_WINDOW_NS)
    ends = WindowEnds(plant)
    parts = []
    for level, rolled in rollups(hours, plant, window=window).items():
        sums = WindowSums(level, window, rolled)
        parts.append(evaluate(rolled).with_columns(level=pl.lit(level), end=ends.of(sums)))
    rows = in_units(pl.concat(parts, how="diagonal")).filter(pl.col("time").is_between(start, end, closed="left"))
    missing = [pl.lit(None, pl.Utf8).alias(place) for place in _PLACES if place not in {*rows.columns, "site"}]
    return rows.with_columns(
        *missing,
        pl.lit(plant.site).alias("site"),
        start=_local("time", plant.timezone),
        end=_local("end", plant.timezone),
        provisional=pl.col("end") > int(facts["agent"]["settled_to"]),
    ).select(COLUMNS)  # in order of level, place and start: `rollup` sorts, and levels follow each other


def _local(column: str, zone: str) -> pl.Expr:
    return pl.from_epoch(column, time_unit="ns").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


def write(rows: pl.DataFrame, path: Path, form: Literal["csv", "json", "parquet"]) -> None:
    """Write exported rows to a file, whole or not at all.

    CSV has the unit in the heading (`energy [kWh]`), JSON an object `units` beside `rows`, Parquet metadata `units`.
    Raises OSError where the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            if form == "csv":
                headings = {name: f"{name} [{unit}]" for name, unit in UNITS.items() if unit != "1"}
                rows.rename(headings).write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%S%:z")
            elif form == "json":
                text = rows.with_columns(pl.col("start", "end").dt.strftime("%Y-%m-%dT%H:%M:%S%:z"))
                document = {"units": dict(UNITS), "rows": text.to_dicts()}
                file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())
            else:
                rows.write_parquet(file, metadata={"units": json.dumps(dict(UNITS), ensure_ascii=False)})
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
