"""`edge-agent run`: the agent, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from config.compiler import compile_plant
from config.loader import load
from edge_agent.agent import Agent
from edge_agent.logs import LogLevel, configure

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
    configure(log_level)
    config = load(plant)
    agent = Agent(lambda texts: compile_plant(config, texts))
    asyncio.run(until_signal(agent))


async def until_signal(agent: Agent, stop: asyncio.Event | None = None) -> None:
    """Run the agent until SIGTERM, SIGINT, or `stop`; a second signal ends the process the hard way."""
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        stop.set()
        for one in signals:
            loop.remove_signal_handler(one)

    for one in signals:
        loop.add_signal_handler(one, end)
    await agent.run(stop)
