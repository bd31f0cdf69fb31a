"""`edge-agent grafana`: data source, folder and board, into a running Grafana or as files for one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.commands.faults import BadInputError, WorkFailedError

grafana = typer.Typer(no_args_is_help=True, help="Set up Grafana: data source, folder and the board Plant.")

InfluxUrl = Annotated[str, typer.Option(help="InfluxDB as Grafana reaches it.")]
Database = Annotated[str, typer.Option(help="Database (InfluxDB 1.x), or bucket (2.x).")]


@grafana.command(epilog="Example: edge-agent grafana apply --url http://localhost:3000 --token $GRAFANA_TOKEN")
def apply(
    *,
    url: Annotated[str, typer.Option(help="Grafana's address.", show_default=False)],
    token: Annotated[str, typer.Option(envvar="GRAFANA_TOKEN", help="Token of a service account.", show_default=False)],
    influx_url: InfluxUrl = "http://localhost:8086",
    database: Database = "factory",
    influx_token: Annotated[
        str, typer.Option(envvar="INFLUX_TOKEN", help="Token with which Grafana reads.", show_default=False)
    ] = "",
    username: Annotated[str, typer.Option(help="User name, for InfluxDB 1.x.", show_default=False)] = "",
    password: Annotated[
        str, typer.Option(envvar="INFLUX_PASSWORD", help="Its password, for InfluxDB 1.x.", show_default=False)
    ] = "",
) -> None:
    """Put the data source, a folder and the board into a running Grafana; what is there and equal is left alone."""
    from grafana.apply import ApplyError
    from grafana.apply import apply as apply_to
    from grafana.datasource import InfluxSource

    try:
        # a user name is for 1.x, which knows no tokens; INFLUX_TOKEN may be set for the agent all the same
        source = InfluxSource(influx_url, database, "" if username else influx_token, username, password)
        done = apply_to(url, token, influx=source)
    except ApplyError as fault:
        raise WorkFailedError(str(fault)) from fault
    except ValueError as fault:
        raise BadInputError(str(fault)) from fault
    typer.echo(f"data source {done.datasource}, folder {done.folder}, board {done.board}: {done.board_url}")


@grafana.command(epilog="Example: edge-agent grafana export provisioning --influx-url http://influxdb:8086")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.", show_default=False)],
    *,
    influx_url: InfluxUrl = "http://localhost:8086",
    database: Database = "factory",
    token_variable: Annotated[
        str,
        typer.Option(help="Variable in Grafana's environment that holds the token to read with.", show_default=False),
    ] = "",
    username: Annotated[str, typer.Option(help="User name, for InfluxDB 1.x.", show_default=False)] = "",
    password_variable: Annotated[
        str, typer.Option(help="Variable in Grafana's environment that holds its password.", show_default=False)
    ] = "",
    boards_path: Annotated[
        str | None, typer.Option(help="DIR/boards as the Grafana server sees it.", show_default=False)
    ] = None,
) -> None:
    """Write the files for Grafana's own provisioning: data source, board provider and board. No secret is in them."""
    from grafana.provisioning import write_files

    try:
        written = write_files(
            folder,
            influx_url,
            database,
            token_variable=token_variable,
            username=username,
            password_variable=password_variable,
            boards_path=boards_path,
        )
    except ValueError as fault:
        raise BadInputError(str(fault)) from fault
    except OSError as fault:
        raise WorkFailedError(f"{folder} cannot be written to: {fault.strerror or fault}") from fault
    for path in written:
        typer.echo(str(path))
