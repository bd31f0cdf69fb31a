"""`edge-agent run`: the agent, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.commands.faults import WorkFailedError
from edge_agent.commands.plant_file import read_plant
from edge_agent.logs import LogLevel, configure

if TYPE_CHECKING:
    from edge_agent.agent import Agent

LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="How much the log says.")]


def run(
    plant: Annotated[Path, typer.Argument(metavar="PLANT.yaml", help="The plant's configuration.", show_default=False)],
    *,
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
    try:
        agent = Agent(partial(compile_plant, config))
        asyncio.run(_until_signal(agent))
    except JournalError as fault:
        raise WorkFailedError(str(fault)) from fault


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
