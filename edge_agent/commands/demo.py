"""`edge-agent demo`: the demonstration plant, an agent, a live board, and how the agent's numbers compare."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from edge_agent.commands.faults import BadInputError, WorkFailedError
from edge_agent.commands.run import LogLevelOption, on_signal
from edge_agent.commands.simulate import Seed
from edge_agent.commands.terminal import console
from edge_agent.logs import LogLevel, configure

if TYPE_CHECKING:
    from config.compiled import InfluxSettings
    from edge_agent.demo_run import DemoOptions, DemoResult, Picture


_PROBE_SECONDS = 3.0


def demo(
    *,
    speed: Annotated[
        float, typer.Option("--speed", min=0.1, max=600, help="How much faster than wall time the plant's clock runs.")
    ] = 60.0,
    duration: Annotated[
        float | None, typer.Option("--duration", min=1, help="Seconds; without it, until Ctrl-C.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="No board; one JSON object on standard output at the end.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep journal, log and plant file in a new folder in DIR.", show_default=False
        ),
    ] = None,
    influx: Annotated[
        str | None,
        typer.Option(
            "--influx",
            metavar="URL",
            help="Send to this InfluxDB too; INFLUX_BUCKET (factory), INFLUX_ORG (demo) and INFLUX_TOKEN say how.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = None,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Run a demonstration plant, collect from it over OPC UA and MQTT, and show its KPIs as they come.

    The plant is a simulation behind real servers, in a process of its own, and keeps its own book. At the end the
    agent's figures are compared with that book, over exactly the same time.
    """
    from edge_agent.board import comparison
    from edge_agent.demo.process import DEFAULT_SEED, DemoPlantError
    from edge_agent.demo_run import DemoOptions
    from edge_agent.journal import JournalError

    target = None if influx is None else _influx(influx)
    options = DemoOptions(_folder(keep), DEFAULT_SEED if seed is None else seed, speed, duration, target)
    log = options.folder / "demo.log"
    with log.open("a", encoding="utf-8") as stream:
        configure(log_level, stream)
        try:
            result = asyncio.run(_run(options, board_on=None if as_json else console()))
        except (DemoPlantError, JournalError) as fault:
            raise WorkFailedError(f"{fault}; the log is {log}") from fault
    if as_json:
        typer.echo(json.dumps(result.facts(), ensure_ascii=False))
    else:
        console().print(comparison(result.figures, result.truth, result.plant))
    _say_where(result, options, log)


_STARTING = "Starting the plant: three OPC UA servers, an MQTT broker, twelve machines …"
_ENDING = "Ending: the plant stands still, the last samples are on their way. The comparison follows in some seconds."


async def _run(options: DemoOptions, *, board_on: Console | None) -> DemoResult:
    from rich.live import Live

    from edge_agent.board import board, framed
    from edge_agent.demo_run import DemoRun

    stop = asyncio.Event()
    run = DemoRun(options)
    if board_on is None or not board_on.is_terminal:
        on_signal(stop.set)
        return await run.run(stop)
    with Live(_STARTING, console=board_on, screen=True, auto_refresh=False) as live:

        def end() -> None:
            stop.set()
            live.update(_ENDING, refresh=True)

        on_signal(end)
        live.refresh()

        def show(picture: Picture) -> None:
            table = board(picture.figures, picture.now, picture.plant)
            live.update(framed(table, plant=picture.plant, clock=picture.clock, notes=_notes(picture)), refresh=True)

        return await run.run(stop, show)


def _notes(picture: Picture) -> list[str]:
    rate = picture.samples / picture.seconds if picture.seconds else 0.0
    connections = f"{picture.connections_up} of {picture.connections} connections up"
    return [
        f"{connections} · {picture.samples:,} values, {rate:,.0f} a second · figures since the start",
        "Ctrl-C ends it with a comparison to the plant's own book",
    ]


def _folder(keep: Path | None) -> Path:
    """A folder of this demonstration's own: clocks of two demonstrations may overlap, so journals must not."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="edge-agent-demo-"))
    folder = keep / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True)
    except OSError as fault:
        raise BadInputError(f"--keep {keep}: cannot make {folder}: {fault.strerror or fault}") from fault
    return folder


def _influx(url: str) -> InfluxSettings:
    from config.compiled import InfluxSettings

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInputError(f"--influx: expected an address such as http://localhost:8086, got {url!r}")
    return InfluxSettings(
        url=url.rstrip("/"),
        overwrites=not _keeps_both(url.rstrip("/")),
        bucket=os.environ.get("INFLUX_BUCKET", "factory"),
        org=os.environ.get("INFLUX_ORG", "demo"),
        token=os.environ.get("INFLUX_TOKEN", ""),
    )


def _keeps_both(url: str) -> bool:
    """Whether the server is a VictoriaMetrics, which does not replace a point by the next of its series and time.

    It answers as Prometheus does where InfluxDB has no page; a server that cannot be reached now is taken for an
    InfluxDB, and the forwarder says what is wrong.
    """
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status/buildinfo", timeout=_PROBE_SECONDS) as answer:  # noqa: S310
            found = json.load(answer)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("status") == "success"


def _say_where(result: DemoResult, options: DemoOptions, log: Path) -> None:
    lines = [
        f"{result.samples:,} values in {result.seconds:.1f} s",
        f"journal {options.journal}   (edge-agent status {options.journal})",
        f"log {log}",
        f"plant file {options.plant_file}   (edge-agent explain oee {options.plant_file} --machine cnc-01)",
    ]
    if options.influx is not None:
        waiting = f"{result.waiting:,} points not yet taken by" if result.waiting else "all points are with"
        lines.append(f"{waiting} {options.influx.url}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))
