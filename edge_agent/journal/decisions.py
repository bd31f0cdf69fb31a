"""Decisions about counters, as the journal holds them: what a figure rests on, after its samples are gone.

Rule 1: kept as long as minutes are, and bounded: the engine gives a few rows a minute of one kind at most.
Rule 2: they stand or go with the minutes that they belong to, in the transaction that changes those.
Rule 3: the functions work inside the caller's transaction; they begin and end none.

Weighed: a key by machine and time as of the element tables, or by time and machine. Time first won: there are few rows
and mostly none, so that one look at the newest end of the key serves a tick of a thousand machines.
"""

# ruff: noqa: S608 - what is put into the SQL texts are marks for values, which are bound
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kpi.elements import MINUTE_NS

if TYPE_CHECKING:
    from edge_agent.journal.element_tables import Names

DECISION_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "machine": pl.Utf8(),
    "time": pl.Int64(),
    "counter": pl.Utf8(),
    "verdict": pl.Utf8(),
    "after_gap": pl.Boolean(),
    "before": pl.Float64(),
    "reading": pl.Float64(),
    "counted": pl.Int64(),
    "times": pl.Int64(),
}
"""Columns of decisions with names in place of indexes: `kpi.decisions.DECISION_SCHEMA`; counter: the quantities or the
element that the counter or meter is of."""

DECISIONS_FROM: Final = "decisions_from"
"""Setting: of minutes before this time (ns) an earlier version kept no decisions."""

_COLUMNS: Final = ("machine", "time", "counter", "verdict", "after_gap", "before", "reading", "counted", "times")


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions of some minutes. minutes: machine (Utf8) and time (Int64 ns, start); all that is held of each is
    replaced by rows, which have the columns of `DECISION_SCHEMA`."""

    minutes: pl.DataFrame
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class DecisionCount:
    """How often a verdict was given to a counter, and what all of these counted, millionths."""

    machine: str
    counter: str
    verdict: str
    times: int
    counted: int


def replace(database: sqlite3.Connection, names: Names, decided: Decided, minutes_from: int) -> None:
    """Put decisions in place of those held. minutes_from: ns; of minutes before it nothing is kept."""
    young = pl.col("time") >= minutes_from
    minutes, rows = decided.minutes.filter(young), decided.rows.filter(young)
    database.executemany(
        "DELETE FROM decision WHERE time >= ? AND time < ? AND machine = ?",
        [
            (time, time + MINUTE_NS, machine)
            for machine, time in zip(names.ids(minutes["machine"]), minutes["time"].to_list(), strict=True)
        ],
    )
    columns = [rows[name].to_list() for name in _COLUMNS]
    for place in (0, 2, 3):
        columns[place] = names.ids(rows[_COLUMNS[place]])
    database.executemany(
        f"INSERT INTO decision ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
        zip(*columns, strict=True),
    )


def remove(database: sqlite3.Connection, stretches: Sequence[tuple[int, int, int]]) -> None:
    """Remove what is held of (machine id, start, end in ns)."""
    database.executemany(
        "DELETE FROM decision WHERE machine = ? AND time >= ? AND time < ?",
        stretches,
    )


def prune(database: sqlite3.Connection, limit: int, most_ns: int) -> None:
    """Remove what is older than a time (ns), a small step of so many ns at most."""
    first = database.execute("SELECT min(time) FROM decision").fetchone()[0]
    if first is not None and first < limit:
        database.execute("DELETE FROM decision WHERE time < ?", (min(limit, first + most_ns),))


def rows(
    database: sqlite3.Connection,
    start: int,
    end: int,
    machines: Sequence[str] | None,
    counters: Sequence[str] | None,
    newest: int | None,
) -> pl.DataFrame:
    """Decisions in [start, end), ns, by time, machine and counter; newest: no more than so many, the newest."""
    where, bound = _where(start, end, machines, counters)
    limit = "" if newest is None else " LIMIT ?"
    found = database.execute(
        "SELECT m.text, d.time, c.text, v.text, d.after_gap, d.before, d.reading, d.counted, d.times"
        f" FROM {_NAMED} WHERE {where} ORDER BY d.time DESC, m.text DESC, c.text DESC, v.text DESC{limit}",
        [*bound, *(() if newest is None else (newest,))],
    ).fetchall()
    found.reverse()
    schema = {**DECISION_SCHEMA, "after_gap": pl.Int64()}
    return pl.DataFrame(found, schema=schema, orient="row").with_columns(pl.col("after_gap").cast(pl.Boolean))


def counts(
    database: sqlite3.Connection, start: int, end: int, machines: Sequence[str] | None
) -> tuple[DecisionCount, ...]:
    """How often what was decided of which counter in [start, end), ns."""
    where, bound = _where(start, end, machines, None)
    found = database.execute(
        f"SELECT m.text, c.text, v.text, sum(d.times), sum(d.counted) FROM {_NAMED} WHERE {where}"
        " GROUP BY m.text, c.text, v.text ORDER BY m.text, c.text, v.text",
        bound,
    )
    return tuple(DecisionCount(*row) for row in found)


_NAMED: Final = (
    "decision d JOIN name m ON m.id = d.machine JOIN name c ON c.id = d.counter JOIN name v ON v.id = d.verdict"
)


def _where(
    start: int, end: int, machines: Sequence[str] | None, counters: Sequence[str] | None
) -> tuple[str, list[Any]]:
    where = "d.time >= ? AND d.time < ?"
    bound: list[Any] = [start, end]
    for column, texts in (("m", machines), ("c", counters)):
        if texts is not None:
            where += f" AND {column}.text IN ({', '.join('?' * len(texts))})"
            bound += texts
    return where, bound
