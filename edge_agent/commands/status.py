"""`edge-agent status`: how an agent is doing, from its journal, whether it runs or not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edge_agent.commands.faults import WorkFailedError
from edge_agent.commands.source import JournalOption, Source, open_journal
from edge_agent.commands.terminal import console

_FRESH_SECONDS = 30.0


def status(
    source: Source = None,
    *,
    journal: JournalOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help=f"Fail unless the agent's last tick is under {_FRESH_SECONDS:g} s old.")
    ] = False,
) -> None:
    """Show connections, outbox, last tick and the latest KPIs of a running or stopped agent."""
    from edge_agent.status import read_status, shown

    with open_journal(source, journal) as reader:
        found = read_status(reader)
    if as_json:
        typer.echo(json.dumps(found.facts(), ensure_ascii=False))
    else:
        console().print(shown(found))
    age = found.seconds_since_tick
    if check and (age is None or age > _FRESH_SECONDS):
        said = "never ticked" if age is None else f"last ticked {age:,.0f} s ago"
        raise WorkFailedError(f"the agent {said}")
