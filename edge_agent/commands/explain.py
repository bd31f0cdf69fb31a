"""`edge-agent explain`: one number's pedigree."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.commands.choices import choice
from edge_agent.commands.faults import BadInputError
from edge_agent.commands.plant_file import read_plant
from edge_agent.commands.source import JournalOption, is_plant_file, open_journal
from edge_agent.commands.terminal import console

if TYPE_CHECKING:
    from config import CompiledPlant
    from edge_agent.journal import JournalReader
    from kpi.rollup import Level


class Window(StrEnum):
    """Windows of a number."""

    MINUTE = "minute"
    HOUR = "hour"
    SHIFT = "shift"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def explain(
    kpi: Annotated[str, typer.Argument(metavar="KPI", help="Id of the KPI, such as oee.", show_default=False)],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="PLANT.yaml, which says where each state and count came from, or a journal alone.", show_default=False
        ),
    ] = None,
    *,
    machine: Annotated[str | None, typer.Option("--machine", help="Of this machine.", show_default=False)] = None,
    line: Annotated[str | None, typer.Option("--line", help="Of this line.", show_default=False)] = None,
    site: Annotated[bool, typer.Option("--site", help="Of the whole site.")] = False,
    characteristic: Annotated[
        str | None,
        typer.Option(
            "--characteristic",
            metavar="NAME",
            help="Of cm, cmk, cp, cpk, pp and ppk: the measured value with limits. Default: the machine's only one.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        Window, typer.Option("--window", **choice("--window", Window), help="Length of the window.")
    ] = Window.DAY,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="A time in the window, ISO 8601; without offset by the plant's clock. Default: the newest."
        ),
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Start, in place of --window: a whole minute.", show_default=False)
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End, with --from.", show_default=False)] = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Of a line or the site: every machine's pedigree too. Of more than a day: each interval, too.",
        ),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Whole lists, however long.")] = False,
    journal: JournalOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what a number was made of: formula, sums, states and their signals, counters' readings, calendar.

    Everything shown can be added up by hand, and is held against the journal's rows. Signals and rules need PLANT.yaml,
    and samples that are still held; of older time, states and sums are shown.
    """
    from edge_agent.explain import Question, UnanswerableError, shown
    from edge_agent.explain import explain as answer

    level, place = _place(machine, line, site=site)
    plant, reader = _opened(source, journal)
    with reader:
        try:
            times = _times(plant, reader, at, begin, end)
            asked = Question(kpi, level, place, window.value, **times, deep=deep, characteristic=characteristic or "")
            facts = answer(reader, plant, asked)
        except UnanswerableError as fault:
            raise BadInputError(str(fault)) from fault
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        console().print(shown(facts, every=every, deep=deep))


def _place(machine: str | None, line: str | None, *, site: bool) -> tuple[Level, str]:
    if [machine is not None, line is not None, site].count(True) != 1:
        raise BadInputError("say of what: one of --machine M, --line L and --site")
    if machine is not None:
        return "machine", machine
    return ("site", "") if line is None else ("line", line)


def _opened(source: Path | None, journal: Path | None) -> tuple[CompiledPlant | None, JournalReader]:
    """What the plant file says, in the codes of the journal, and the journal."""
    if source is None or not is_plant_file(source):
        return None, open_journal(source, journal)
    from config import compile_plant
    from connectors import TextCodes

    config, compiled = read_plant(source)
    reader = open_journal(None, journal or Path(compiled.agent.journal))
    return compile_plant(config, TextCodes(reader.texts())), reader


def _times(
    plant: CompiledPlant | None, reader: JournalReader, at: str | None, begin: str | None, end: str | None
) -> dict[str, int | None]:
    from edge_agent.export import moment

    if (begin is None) != (end is None) or (at is not None and begin is not None):
        raise BadInputError("give --at, or both --from and --to")
    zone = "UTC" if plant is None else plant.timezone
    if plant is None:
        zone = str(reader.status().get("plant", {}).get("timezone", zone))
    try:
        asked = {"at": at, "start": begin, "end": end}
        return {name: None if text is None else moment(text, zone) for name, text in asked.items()}
    except ValueError as fault:
        raise BadInputError(str(fault)) from fault
