"""KPIs and elements of a journal as a file, for people who just want data.

Rule 1: every window that begins in the asked time is written whole, and only such windows.
Rule 2: columns keep their names and order for ever; new ones come at the end. Units are in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import polars as pl
import polars.selectors as cs

from edge_agent.journal import JournalReader
from edge_agent.kpi_windows import WindowEnds, WindowSums
from edge_agent.plant_facts import kpis_of
from edge_agent.plant_kpis import PlantKpis
from edge_agent.revisions import apart, in_one_number
from kpi.elements import ELEMENT_IDS, HOUR_NS
from kpi.formulas import KPI_IDS, in_units
from kpi.rollup import WindowName

_LONGEST_NS: Final[Mapping[WindowName, int]] = {"month": 31 * 24 * HOUR_NS, "week": 7 * 24 * HOUR_NS}
"""Days, and what the clocks are put back by, come on top."""

_TIME: Final = "%Y-%m-%dT%H:%M:%S%.f%:z"
"""ISO 8601; parts of a second only where there are any."""

_DOTTED: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[T ](\d{1,2})(:.+))?\Z")
"""Day, month, year; hour, and the rest of the time of day."""

_PLACES: Final = ("level", "site", "area", "line", "machine", "shift")
COLUMNS: Final = (*_PLACES, "start", "end", "provisional", *KPI_IDS, *ELEMENT_IDS)
"""What every export has; a plant's own KPIs, its declared elements, those of serial lines and the version follow."""

VERSION: Final = ("revision", "cause")
"""How often what was said of any minute of the window was said again, and why the last time (`RevisionCause`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """Exported windows. rows: `COLUMNS` and the plant's own figures; KPIs and elements Float64 in `units`.

    absent, odd: Utf8 columns of all KPIs, beside the rows: why there is no value, and what is likely wrong with one;
    None where the rows are not of KPIs. damaged: how many samples are left out, since the disk did not give them back.
    """

    rows: pl.DataFrame
    absent: pl.DataFrame | None
    odd: pl.DataFrame | None
    units: Mapping[str, str]
    damaged: int = 0


def moment(text: str, timezone: str) -> int:
    """A point in time (ns) from ISO 8601, or as `25.10.2026 06:00`; without an offset it is the plant's wall clock.

    Raises ValueError with what was expected where the text is no such time.
    """
    dotted = _DOTTED.match(text)
    try:
        # the form of many archives, which `edge-agent replay` reads: the day comes first wherever dots divide
        parsed = datetime.fromisoformat(text if dotted is None else _iso(dotted))
    except ValueError:
        examples = "2026-10-01, 2026-10-01T06:00, 2026-10-01T06:00+08:00 or 01.10.2026 06:00"
        raise ValueError(f"expected a time such as {examples}, got {text!r}") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(timezone))
    return int(parsed.timestamp()) * 1_000_000_000


def _iso(dotted: re.Match[str]) -> str:
    day, month, year, hour, rest = dotted.groups("")
    return f"{year}-{month:0>2}-{day:0>2}" + (f"T{hour:0>2}{rest}" if hour else "")


def exported(reader: JournalReader, window: WindowName, start: int, end: int) -> pl.DataFrame:
    """The rows of `read_export`."""
    return read_export(reader, window, start, end).rows


def read_export(reader: JournalReader, window: WindowName, start: int, end: int) -> Export:
    """KPIs and elements of every window from the hour on that begins in [start, end): machines, lines, areas, the site.

    In the rows, texts are null where a level has none, start and end are Datetime in the plant's zone, `provisional` is
    true where the window is not over yet, and KPIs are null where they have no value.
    Raises LookupError where no agent has written to the journal yet.
    """
    facts = reader.status()
    if "plant" not in facts:
        raise LookupError("no agent has written to the journal yet")
    kpis = kpis_of(facts["plant"])
    plant = kpis.plant
    # the longest day has 25 hours, and a shift over midnight is no longer
    hours = reader.elements("hour", start - HOUR_NS, end + _LONGEST_NS.get(window, 0) + 25 * HOUR_NS)
    hours = in_one_number(hours.with_columns(pl.col("revision").clip(lower_bound=0)))
    sums = _sums(hours, kpis, window).filter(pl.col("time").is_between(start, end, closed="left"))
    rows = in_units(kpis.figures(sums))
    missing = [pl.lit(None, pl.Utf8).alias(place) for place in _PLACES if place not in {*rows.columns, "site"}]
    further = [name for name in (*kpis.elements, *kpis.book.ids) if name not in COLUMNS and name in rows.columns]
    rows = rows.with_columns(
        *missing,
        pl.lit(plant.site).alias("site"),
        start=local("time", plant.timezone),
        end=local("end", plant.timezone),
        provisional=pl.col("end") > reader.settled_to(),
    )
    rows = apart(rows).select(*COLUMNS, *further, *VERSION)
    return Export(rows, kpis.absent(sums), kpis.odd(sums), {n: u for n, u in kpis.units.items() if n in rows.columns})


def _sums(hours: pl.DataFrame, kpis: PlantKpis, window: WindowName) -> pl.DataFrame:
    """Sums with the ends of their windows, in order of level, place and start."""
    ends = WindowEnds(kpis.plant)
    parts = [
        rows.with_columns(level=pl.lit(level), end=ends.of(WindowSums(level, window, rows)))
        for level, rows in kpis.sums(hours, window).items()
    ]
    return pl.concat(parts, how="diagonal")


def local(column: str, zone: str) -> pl.Expr:
    """Times in ns as Datetime in a zone."""
    return pl.from_epoch(column, time_unit="ns").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


def write(found: Export, path: Path, form: Literal["csv", "json", "parquet"]) -> None:
    """Write exported windows to a file, whole or not at all.

    CSV has the unit in the heading (`energy [kWh]`), JSON an object `units` beside `rows`, Parquet metadata `units`.
    Rows of JSON also have `absent`, KPI → why it has no value, and `warnings`, KPI → what is likely wrong with it.
    Raises OSError where the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    units = dict(found.units)
    try:
        with beside.open("wb") as file:
            if form == "csv":
                headings = {name: f"{name} [{unit}]" for name, unit in units.items() if unit != "1"}
                found.rows.rename(headings).write_csv(file, datetime_format=_TIME)
            elif form == "json":
                file.write(
                    json.dumps({"units": units, "rows": _json_rows(found)}, ensure_ascii=False, indent=1).encode()
                )
            else:
                found.rows.write_parquet(file, metadata={"units": json.dumps(units, ensure_ascii=False)})
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _json_rows(found: Export) -> list[dict[str, Any]]:
    text = found.rows.with_columns(cs.datetime().dt.strftime(_TIME))
    if found.absent is None or found.odd is None:
        return text.to_dicts()
    remarks = zip(found.absent.to_dicts(), found.odd.to_dicts(), strict=True)
    return [
        {**row, "absent": _said(absent), "warnings": _said(odd)}
        for row, (absent, odd) in zip(text.to_dicts(), remarks, strict=True)
    ]


def _said(remarks: Mapping[str, str | None]) -> dict[str, str]:
    return {kpi: words for kpi, words in remarks.items() if words is not None}
