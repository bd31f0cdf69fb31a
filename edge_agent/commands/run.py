"""`edge-agent run`: the agent, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.commands.faults import BadInputError, WorkFailedError
from edge_agent.commands.plant_file import read_plant
from edge_agent.logs import LogLevel, configure

if TYPE_CHECKING:
    from edge_agent.agent import Agent

LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="How much the log says.")]


def run(
    plant: Annotated[Path, typer.Argument(metavar="PLANT.yaml", help="The plant's configuration.", show_default=False)],
    *,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there.", show_default=False),
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Collect from the plant's machines until SIGTERM or SIGINT (Ctrl-C).

    Either ends it in order: the last samples are committed and acknowledged, sources are disconnected, and what could
    not be sent yet stays in the journal. Logs go to standard error: for people on a terminal, JSON lines otherwise.
    """
    from config.compiler import compile_plant
    from edge_agent.agent import Agent
    from edge_agent.journal import JournalError

    configure(log_level)
    config, _ = read_plant(plant)
    address = None if metrics is None else _address(metrics)
    try:
        agent = Agent(partial(compile_plant, config))
        if address is not None:
            _serve_metrics(agent, *address)
        asyncio.run(_until_signal(agent))
    except JournalError as fault:
        raise WorkFailedError(str(fault)) from fault


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise BadInputError(f"--metrics: expected an address such as 127.0.0.1:9100, got {text!r}")
    return host.strip("[]"), int(port)


def _serve_metrics(agent: Agent, host: str, port: int) -> None:
    from edge_agent.metrics import serve

    try:
        serve(host, port, lambda: agent.pipeline.shown)
    except OSError as fault:
        agent.close()
        raise WorkFailedError(f"--metrics {host}:{port}: {fault.strerror or fault}") from fault


async def _until_signal(agent: Agent) -> None:
    stop = asyncio.Event()
    on_signal(stop.set)
    await agent.run(stop)


def on_signal(end: Callable[[], None]) -> None:
    """Call `end` at the first SIGTERM or SIGINT; a second one ends the process the hard way."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        for one in signals:
            loop.remove_signal_handler(one)
        end()

    for one in signals:
        loop.add_signal_handler(one, first)
