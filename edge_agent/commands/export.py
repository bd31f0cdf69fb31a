"""`edge-agent export`: KPIs and elements of a journal as a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from edge_agent.commands.choices import choice
from edge_agent.commands.faults import BadInputError, WorkFailedError
from edge_agent.commands.source import JournalOption, Source, open_journal

if TYPE_CHECKING:
    from edge_agent.journal import JournalReader


_EARLIEST = -(2**63)

_OF_OTHERS = frozenset({"xls", "xlsx", "ods", "feather", "xml", "html", "db", "sqlite"})
"""Endings of forms that are not written; any other name is one of CSV."""


class Window(StrEnum):
    """Length of the exported windows."""

    HOUR = "hour"
    SHIFT = "shift"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Format(StrEnum):
    """Format of the exported file."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def export(
    source: Source = None,
    *,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="First window start, ISO 8601; without offset by the plant's clock. Default: all."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Windows that start before this, ISO 8601. Default: now.")
    ] = None,
    window: Annotated[
        Window, typer.Option("--window", **choice("--window", Window), help="Length of the windows.")
    ] = Window.HOUR,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            **choice("--format", Format),
            help="Format of the file. Default: by the name's ending, else CSV.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write.", show_default=False)],
    measured: Annotated[
        bool, typer.Option("--measured", help="Measured values with limits, and their capability, in place of KPIs.")
    ] = False,
    decisions: Annotated[
        bool,
        typer.Option(
            "--decisions", help="Readings of counters that were judged (reset, rollover, ...), in place of KPIs."
        ),
    ] = False,
    beyond_horizon: Annotated[
        bool,
        typer.Option("--beyond-horizon", help="Samples that came too late to correct anything, in place of KPIs."),
    ] = False,
    journal: JournalOption = None,
) -> None:
    """Write the KPIs and elements of a journal to a file: machines, lines, areas and the site, one row a window.

    Every window that begins in the asked time is written whole. Units are in the headings (CSV), in `units` (JSON) or
    in the file's metadata (Parquet). JSON also says why a KPI has no value, and warns of impossible ones.
    Decisions about counters, and samples beyond the horizon, are written one by one, not by windows; a file without
    rows says that there were none, as far back as they are kept.
    """
    from edge_agent.beyond_export import read_beyond_horizon
    from edge_agent.decisions_export import read_decisions
    from edge_agent.export import read_export, write
    from edge_agent.measured_export import read_measured

    if measured + decisions + beyond_horizon > 1:
        raise BadInputError("give one of --measured, --decisions and --beyond-horizon")
    chosen = _format_of(out, form)
    with open_journal(source, journal) as reader:
        first, last = _asked(reader, begin, end)
        if decisions:
            found = read_decisions(reader, first, last)
            _say_since(reader, None if begin is None else first)
        elif beyond_horizon:  # a device whose clock is wrong may be of any time
            found = read_beyond_horizon(reader, _EARLIEST if begin is None else first, last)
        else:
            found = (read_measured if measured else read_export)(reader, window.value, first, last)
    if found.rows.is_empty() and not (decisions or beyond_horizon):
        raise WorkFailedError("the journal has no data in the asked time; `edge-agent status` shows what it has")
    try:
        write(found, out, chosen.value)
    except OSError as fault:
        raise WorkFailedError(f"{out} cannot be written: {fault.strerror or fault}") from fault
    typer.echo(f"{len(found.rows)} rows written to {out}", err=True)
    if found.damaged:
        typer.echo(f"{found.damaged} samples are damaged in the journal and left out; check the disk", err=True)


def _say_since(reader: JournalReader, first: int | None) -> None:
    """That decisions are kept from a later time on than was asked for; first: ns, None = for all."""
    from edge_agent.held_range import HeldRange, wall_clock

    since, held = reader.decisions_from(), HeldRange.of(reader)
    if held is None or since <= max(held.start, first or held.start):
        return
    at = wall_clock(since, str(reader.status()["plant"]["timezone"]))
    typer.echo(f"decisions are kept from {at} on; of the time before nothing is known", err=True)


def _format_of(out: Path, form: Format | None) -> Format:
    """The asked format, or that of the file's ending. Raises BadInputError where the two are not the same."""
    ending = out.suffix.lower().removeprefix(".")
    named = Format(ending) if ending in set(Format) else None
    if form is None and ending in _OF_OTHERS:
        raise BadInputError(f"{out.name} would hold CSV; give --format, or a name that ends in {', '.join(Format)}")
    if form is not None and named is not None and form is not named:
        raise BadInputError(
            f"--format {form.value} would be written into a file that ends in {out.suffix}: name it "
            f"{out.with_suffix(f'.{form.value}').name}, or leave --format out"
        )
    return form or named or Format.CSV


def _asked(reader: JournalReader, begin: str | None, end: str | None) -> tuple[int, int]:
    from edge_agent.export import moment

    facts = reader.status()
    if "plant" not in facts:
        raise WorkFailedError("no agent has written to this journal yet")
    zone = str(facts["plant"]["timezone"])
    try:
        first = 0 if begin is None else moment(begin, zone)
        last = int(facts["agent"]["time"]) + 1 if end is None else moment(end, zone)
    except ValueError as fault:
        raise BadInputError(str(fault)) from fault
    if last <= first:
        shown = [
            (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at // 1000)).astimezone(ZoneInfo(zone))
            for at in (first, last)
        ]
        raise BadInputError(
            f"--to ({shown[1]:%Y-%m-%dT%H:%M%z}) must be later than --from ({shown[0]:%Y-%m-%dT%H:%M%z})"
        )
    return first, last
