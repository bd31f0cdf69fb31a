"""`edge-agent replay`: history from files through the engine into the journal and the database."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge_agent.commands.choices import choice
from edge_agent.commands.faults import BadInputError, WorkFailedError
from edge_agent.commands.plant_file import read_plant

if TYPE_CHECKING:
    from rich.table import Table

    from connectors.replay import Role
    from edge_agent.replay import Progress, ReplaySummary

_MOST_SHOWN: Final = 20
"""Of signals, and of times that are not covered, as many are shown; `--json` has all."""

_DAY_NS: Final = 86_400_000_000_000


class Layout(StrEnum):
    """How the files are laid out."""

    AUTO = "auto"
    LONG = "long"
    WIDE = "wide"


class Decimal(StrEnum):
    """The decimal sign."""

    AUTO = "auto"
    POINT = "."
    COMMA = ","


def replay(
    plant: Annotated[Path, typer.Argument(metavar="PLANT.yaml", help="The plant's configuration.", show_default=False)],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES…", help="Parquet or CSV (also .gz), together one history.")
    ],
    *,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Replace what was there for the time and machines of the files.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option("--journal", help="The journal, in place of the one in PLANT.yaml.", show_default=False),
    ] = None,
    gap: Annotated[
        str, typer.Option("--gap", help="A longer silence of a machine is not covered: nothing is said about it.")
    ] = "1 d",
    changes_only: Annotated[
        bool, typer.Option("--changes-only", help="The files hold changes only: `stale_after` does not apply.")
    ] = False,
    scaled: Annotated[
        bool, typer.Option("--scaled", help="Values are in the plant's units already: no scale, no offset.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send the samples to InfluxDB too, not only what follows.")
    ] = False,
    layout: Annotated[
        Layout,
        typer.Option("--layout", **choice("--layout", Layout), help="A row is one value (long) or one time (wide)."),
    ] = (Layout.AUTO),
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="ROLE=NAME: time, date, tag, machine, signal, value, quality.", show_default=False
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", help="CSV with two columns: name in the files, machine.signal.", show_default=False),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option("--time-zone", help="Of times without one. Default: the plant's.", show_default=False),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option("--time-format", help="Such as '%d/%m/%Y %H:%M:%S'. Default: found out.", show_default=False),
    ] = None,
    decimal: Annotated[
        Decimal, typer.Option("--decimal", **choice("--decimal", Decimal), help="Decimal sign of text files.")
    ] = Decimal.AUTO,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Of text files. Default: found out.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run history from files through the engine at full speed: a baseline year, or the past computed anew.

    What is there already is left as it is, so a second run changes nothing; with --recompute it is replaced. Files that
    follow what was replayed before join on to it. No agent may run on the journal meanwhile. Nothing is changed before
    all files have been read.
    """
    from config import compile_plant
    from connectors.replay import HistoryError
    from edge_agent.journal import JournalError
    from edge_agent.logs import LogLevel, configure
    from edge_agent.replay import DatabaseNotTakingError, NothingToReplayError, ReplayOptions
    from edge_agent.replay import replay as run

    configure(LogLevel.ERROR)
    config, compiled = read_plant(plant)
    try:
        options = ReplayOptions(
            files=tuple(files),
            journal=journal,
            recompute=recompute,
            scaled=scaled,
            gap_ns=_duration(gap),
            changes_only=changes_only,
            raw=raw,
            time_zone=_zone(time_zone),
            layout=layout.value,
            columns=_columns(column or []),
            mapping={} if mapping is None else _mapping(mapping),
            time_format=time_format,
            decimal=decimal.value,
            encoding=encoding,
        )
        with _bar() as progress:
            summary = run(partial(compile_plant, config), options, progress=progress)
    except HistoryError as fault:
        raise BadInputError(str(fault)) from fault
    except NothingToReplayError as fault:
        _show(fault.summary, compiled.timezone, as_json=as_json)
        raise BadInputError(f"{fault}; {_what_to_say(fault.summary)}") from fault
    except ValueError as fault:
        raise BadInputError(str(fault)) from fault
    except JournalError as fault:
        raise WorkFailedError(str(fault)) from fault
    except DatabaseNotTakingError as fault:
        raise WorkFailedError(
            f"InfluxDB takes nothing ({fault}) and the journal holds as much for it as it may; what was replayed so "
            "far is in the journal; run the command again when the database is back"
        ) from fault
    except OSError as fault:
        raise WorkFailedError(
            f"{fault.strerror or fault}: {fault.filename or 'disk'}; make room and run again"
        ) from fault
    _show(summary, compiled.timezone, as_json=as_json)
    if summary.unread:
        raise BadInputError(
            f"{len(summary.unread)} of {len(files)} files could not be read, or not to their end; the others were "
            "replayed: " + "; ".join(summary.unread)
        )


def _what_to_say(summary: ReplaySummary) -> str:
    """What the operator can do where nothing was found."""
    if not summary.received:
        return "below their headings they hold no rows"
    fault, count = max(summary.faults.items(), key=lambda one: one[1])
    if fault == "bad_timestamp" and count * 2 > summary.received:
        return f"times cannot be read (as in {summary.examples[fault]}); say how they are written with --time-format"
    return "name tags `machine.signal`, or give a mapping with --map"


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on standard error; nothing where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        tasks = {name: bar.add_task(name, total=None, start=False, visible=False) for name in _STAGES}

        def show(stage: str, done: int, total: int) -> None:
            task = tasks[stage]
            if not bar.tasks[task].started:
                bar.start_task(task)
            bar.update(task, completed=done, total=max(1, total), visible=True)

        yield show


_STAGES = ("reading", "replaying", "sending")


def _duration(text: str) -> int:
    from pydantic_core import PydanticCustomError

    from config.quantities import read_duration

    try:
        return read_duration(text)
    except PydanticCustomError as fault:
        raise BadInputError(f"--gap: {fault}") from fault


def _zone(name: str | None) -> str | None:
    from zoneinfo import ZoneInfo

    try:
        return None if name is None else ZoneInfo(name).key
    except (KeyError, ValueError, OSError) as fault:
        raise BadInputError(f"--time-zone: expected a name such as Europe/Berlin or UTC, got {name!r}") from fault


def _columns(told: list[str]) -> dict[Role, str]:
    from connectors.replay import Role

    roles: dict[Role, str] = {}
    for one in told:
        role, equals, name = one.partition("=")
        if not equals or not name or role not in set(Role):
            raise BadInputError(f"--column: expected ROLE=NAME with one of {', '.join(Role)}, got {one!r}")
        roles[Role(role)] = name
    return roles


def _mapping(path: Path) -> dict[str, str]:
    """Name in the files → `machine.signal`, from a CSV file of two columns, with or without headings."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInputError(f"--map: {path} cannot be read as a text file: {fault}") from fault
    separator = ";" if text.partition("\n")[0].count(";") else "\t" if "\t" in text.partition("\n")[0] else ","
    found: dict[str, str] = {}
    for number, row in enumerate(csv.reader(text.splitlines(), delimiter=separator), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and "." not in cells[-1]):  # headings: every tag has a point
            continue
        if len(cells) != 2 or not all(cells):
            raise BadInputError(f"--map: line {number} of {path}: expected `name in the files,machine.signal`")
        found[cells[0]] = cells[1]
    return found


def _show(summary: ReplaySummary, timezone: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.facts(), ensure_ascii=False, indent=2))
        return
    from rich.text import Text

    from edge_agent.commands.terminal import console

    out = console()
    out.print(_files(summary))
    for line in _what_was_odd(summary):
        out.print(Text(line, "yellow3"))
    for line in _what_was_done(summary, timezone):
        out.print(Text(line))
    for line in summary.notes:
        out.print(Text(f"note: {line}", "yellow3"))


def _files(summary: ReplaySummary) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("File", "Read as", "Layout"):
        table.add_column(heading)
    for heading in ("Rows", "Samples"):
        table.add_column(heading, justify="right")
    for note in summary.files:
        columns = ", ".join(f"{role}: {name}" for role, name in note.columns.items())
        table.add_row(note.path, note.form, f"{note.layout} ({columns})", f"{note.rows:,}", f"{note.samples:,}")
    return table


def _what_was_odd(summary: ReplaySummary) -> Iterator[str]:
    for name, count in summary.faults.items():
        example = summary.examples.get(name, "")
        yield f"{name}: {count:,}" + (f", the first in {example}" if example else "")
    for one in summary.unknown_tags:
        yield f"unknown tag `{one.name}`, {one.rows:,} rows{one.hint}"
    more = summary.unknown_tag_count - len(summary.unknown_tags)
    if more:
        yield f"and {more:,} more unknown tags"
    if summary.machines and summary.machines_without_history:
        yield "no history of " + ", ".join(summary.machines_without_history)
    if summary.silent_signals:
        yield "configured signals without any value in the files: " + _bounded(summary.silent_signals)
    yield from _not_covered(summary)


def _not_covered(summary: ReplaySummary) -> Iterator[str]:
    """The longest of them, in order of time."""
    longest = sorted(summary.not_covered, key=lambda one: one.start - one.end)[:_MOST_SHOWN]
    for one in (one for one in summary.not_covered if one in longest):
        whose = f" of {_bounded(one.machines)}" if one.machines else ""
        first, last = (f"{summary.local(edge):%Y-%m-%d %H:%M}" for edge in (one.start, one.end))
        days = (one.end - one.start) / _DAY_NS
        yield f"not covered{whose} by these files: {first} – {last} ({days:.1f} d)"
    if more := len(summary.not_covered) - len(longest):
        yield f"and {more:,} shorter times that are not covered"


def _bounded(names: Sequence[str]) -> str:
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _what_was_done(summary: ReplaySummary, timezone: str) -> Iterator[str]:
    moments = summary.moments()
    if moments is None:
        return
    machines = f"{len(summary.machines)} machine{'' if len(summary.machines) == 1 else 's'}"
    yield f"{machines}, {moments[0]} to {moments[1]} ({timezone})"
    yield (
        f"minutes of machines: {summary.minutes_new:,} new, {summary.minutes_replaced:,} replaced, "
        f"{summary.minutes_as_before:,} as before"
    )
    yield from summary.joined
    yield f"samples: {summary.kept:,} used, {summary.duplicate:,} known already"
    decisions = ", ".join(f"{name} {count:,}" for name, count in summary.decisions.items())
    if decisions:
        yield f"decided: {decisions}"
    if summary.known_share is not None:
        yield f"known: {summary.known_share:.1%} of planned busy time in what is covered"
    speed = f"{summary.samples_per_second:,.0f} samples a second"
    yield f"{summary.samples:,} samples in {summary.seconds:,.1f} s, {speed}"
