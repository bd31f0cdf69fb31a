"""Runs a board's queries against an InfluxDB, the way Grafana's InfluxQL data source does, and gives plain rows.

For any test that has a database with the agent's points in it:

    answers = run_board(plant_board(), url, "factory", start_ms, end_ms, variables=CHOICES)
    rows = answers["Good pieces per hour", "A"]
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from grafana.queries import ALL, expand, queries

Row = dict[str, Any]
"""A row of an answer: `time` in ms, the tags of its series and the selected columns."""

Variables = Mapping[str, str | Sequence[str]]


def choices(
    site: str, *, window: str = "shift", line: str | Sequence[str] = ALL, machine: str | Sequence[str] = ALL
) -> Variables:
    """Values of the board's template variables; lines and machines are *All* unless said otherwise."""
    return {"site": site, "line": line, "machine": machine, "window": window}


def write_points(url: str, database: str, lines: Sequence[str]) -> None:
    """Write line protocol with times in ms to an InfluxDB 1.x."""
    body = "\n".join(lines).encode()
    with urllib.request.urlopen(f"{url}/write?db={database}&precision=ms", body, timeout=30) as response:
        assert response.status == 204


def run_query(url: str, database: str, query: str) -> list[Row]:
    """Rows of one InfluxQL query. Raises AssertionError with the server's words when it refuses the query."""
    parameters = urllib.parse.urlencode({"db": database, "q": query, "epoch": "ms"})
    try:
        with urllib.request.urlopen(f"{url}/query?{parameters}", timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code} {error.read().decode(errors='replace')} for {query}") from error
    (result,) = answer["results"]
    assert "error" not in result, f"{result['error']} for {query}"
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
        for series in result.get("series", ())
        for values in series["values"]
    ]


def as_table(answers: Mapping[tuple[str, str], Sequence[Row]], title: str) -> list[Row]:
    """Rows of all queries of the panel whose title begins so, those of the same time and place as one: what Grafana's
    transformation *merge* makes of them."""
    found: dict[tuple[Any, ...], Row] = {}
    for (panel, _), rows in answers.items():
        for row in rows if panel.startswith(title) else ():
            key = tuple(row.get(name) for name in ("time", "site", "area", "line", "machine"))
            found.setdefault(key, {}).update(row)
    return list(found.values())


def run_board(
    board: Mapping[str, Any],
    url: str,
    database: str,
    start: int,
    end: int,
    variables: Variables,
    *,
    interval: int = 20_000,
) -> dict[tuple[str, str], list[Row]]:
    """(panel title, ref id) → rows, of every query of a board for the time range start to end, ms since the epoch."""
    return {
        (found.panel, found.ref_id): run_query(url, database, expand(found.query, start, end, interval, variables))
        for found in queries(board)
    }
