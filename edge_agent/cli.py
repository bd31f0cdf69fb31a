"""The command line: which commands there are, and what the shell is told when one does not succeed.

Rule: a fault of the operator's or of the world is a sentence on standard error and an exit code; a traceback is a fault
of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from edge_agent.commands import demo, explain, export, replay, run, schema, simulate, status, validate
from edge_agent.commands.faults import BadInputError, ExitCode, WorkFailedError
from edge_agent.commands.grafana import grafana

app = typer.Typer(
    name="edge-agent",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Collects from OPC UA and MQTT machines and computes ISO 22400-2 KPIs at the edge.",
    epilog="Start with: edge-agent demo",
)
app.command(epilog="Example: edge-agent run plant.yaml")(run.run)
app.command(epilog="Example: edge-agent validate plant.yaml")(validate.validate)
app.command(epilog="Example: edge-agent schema > plant.schema.json")(schema.schema)
app.command(epilog="Example: edge-agent demo --speed 60 --duration 60 --json")(demo.demo)
app.command(epilog="Example: edge-agent simulate --mqtt-port 18830")(simulate.simulate)
app.command(
    epilog="Example: edge-agent export plant.yaml --from 2026-10-01 --to 2026-11-01 --window shift --out october.csv"
)(export.export)
app.command(epilog="Example: edge-agent replay plant.yaml 2025-*.parquet")(replay.replay)
app.command(epilog="Example: edge-agent explain oee plant.yaml --machine cnc-01 --window shift")(explain.explain)
app.add_typer(grafana, name="grafana", epilog="Example: edge-agent grafana export provisioning")
app.command(epilog="Example: edge-agent status plant.yaml")(status.status)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edge-agent {version('edge-agent')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Nothing: options of the program itself, not of a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code: 0 good, 1 failed at work, 2 bad input."""
    try:
        app(args=None if arguments is None else list(arguments))
    except BadInputError as fault:
        _end(str(fault), ExitCode.BAD_INPUT)
    except WorkFailedError as fault:
        _end(str(fault), ExitCode.FAILED)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        sys.exit(ExitCode.GOOD)
    except KeyboardInterrupt:
        _end("interrupted", ExitCode.FAILED)


def _end(sentence: str, code: ExitCode) -> None:
    sys.stderr.write(f"edge-agent: {sentence}\n")
    sys.exit(code)
