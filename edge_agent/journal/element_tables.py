"""Minute and hour elements, measured values and state intervals, as the journal holds them; decisions go with them.

Rule 1: an hour's rows are the sums of its minutes' rows, in the transaction that changes a minute.
Rule 2: the tables read no clock; "old" is measured from the newest minute they hold.
Rule 3: the functions work inside the caller's transaction; they begin and end none.

Weighed: sum an hour's minutes again whenever one of them changes, or take the old rows of that minute out of the hour
and add the new ones. Summing again took 28 ms for a hundred machines at the end of an hour, at every refresh of the
open minute; exchanging rows takes 3 ms. It won, as both are exact: elements are integers. An hour's row counts the rows
of minutes in it, and goes when the last of them goes. Statistics of measured values are floats, whose sums depend on
their order: their hours are summed again, from few and narrow rows.

An hour's revision is the highest of the minutes that were ever added to it or taken out: it never goes back.
"""

# ruff: noqa: S608 - what is put into the SQL texts are names of tables and columns, constants here; values are bound
from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, Literal

import polars as pl

from edge_agent.journal import decisions
from edge_agent.journal.decisions import Decided
from edge_agent.journal.model import CAUSES, OPEN
from edge_agent.journal.outbox import book
from edge_agent.ledger import ELEMENT_ROWS_TOO_OLD
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS

Window = Literal["minute", "hour"]
HeldTable = Literal["minute", "hour", "interval", "measured_minute", "measured_hour"]

_COLUMNS: Final = (
    "machine", "time", "shift_start", "shift", "product", "revision", "cause", *ELEMENT_IDS,
)  # fmt: skip
_MARKS: Final = ", ".join("?" * len(_COLUMNS))
_INSERT_MINUTE: Final = f"INSERT INTO minute ({', '.join(_COLUMNS)}) VALUES ({_MARKS})"
_INSERT_HOUR: Final = f"INSERT INTO hour (minute_rows, {', '.join(_COLUMNS)}) VALUES (?, {_MARKS})"
_GROWS: Final = ", ".join(
    [
        "cause = CASE WHEN excluded.revision > revision THEN excluded.cause ELSE cause END",
        "revision = max(revision, excluded.revision)",
        *(f"{column} = {column} + excluded.{column}" for column in ("minute_rows", *ELEMENT_IDS)),
    ]
)


def _to_hour(sign: str) -> str:
    """Adds the rows of one minute to its hour, or takes them out.

    Bound: hour, revision and cause of what comes in, machine, minute.
    """
    signed = ", ".join(f"{sign}{element}" for element in ELEMENT_IDS)
    return (
        "INSERT INTO hour (machine, time, shift_start, shift, product, revision, cause, minute_rows,"
        f" {', '.join(ELEMENT_IDS)})"
        f" SELECT machine, ?, shift_start, shift, product, ?, ?, {sign}1, {signed} FROM minute"
        f" WHERE machine = ? AND time = ?"
        f" ON CONFLICT (machine, time, shift_start, shift, product) DO UPDATE SET {_GROWS}"
    )


STATISTICS: Final = ("n", "sum", "sum_sq", "moving_range_n", "moving_range_sum", "within_df", "within_ss")
"""Columns of measured values that are added up."""

_MEASURED: Final = ("machine", "time", "characteristic", "nominal", *STATISTICS)
_INSERT_MEASURED: Final = (
    f"INSERT INTO measured_minute ({', '.join(_MEASURED)}) VALUES ({', '.join('?' * len(_MEASURED))})"
)
_INSERT_MEASURED_HOUR: Final = _INSERT_MEASURED.replace("measured_minute", "measured_hour")
_SUM_MEASURED: Final = (
    f"INSERT INTO measured_hour ({', '.join(_MEASURED)}) SELECT machine, ?, characteristic, nominal,"
    f" {', '.join(f'sum({column})' for column in STATISTICS)} FROM measured_minute"
    " WHERE machine = ? AND time >= ? AND time < ? GROUP BY characteristic, nominal"
)


_ADD_TO_HOUR: Final = _to_hour("+")
_TAKE_FROM_HOUR: Final = _to_hour("-")

PRUNE_STEP: Final = 60
"""Windows that one step of pruning removes at most of one machine in one table."""

HOUR_OFFSET: Final = "hour_offset"
"""Setting: where hours start within an hour of UTC, ns."""

MINUTES_FROM: Final = "minutes_from"
"""Setting: minutes before this time (ns) may have been removed, so an hour before it cannot be corrected."""


class Names:
    """Ids of machines, products and shifts, in memory and in the file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._ids: dict[str, int] = {}
        self.reload()

    def reload(self) -> None:
        """What the file says: after a rollback some ids in memory were never kept."""
        self._ids = {text: id_ for id_, text in self._database.execute("SELECT id, text FROM name")}

    def ids(self, column: pl.Series) -> list[int]:
        """The id of every text of the column, new ones for new texts."""
        texts: list[str] = column.to_list()
        for text in texts:
            if text not in self._ids:
                cursor = self._database.execute("INSERT INTO name (text) VALUES (?)", (text,))
                assert cursor.lastrowid is not None
                self._ids[text] = cursor.lastrowid
        return [self._ids[text] for text in texts]


class ElementTables:
    """The writing side.

    hour_offset_ns: where the plant's hours start within an hour of UTC (30 min in India). A journal keeps the one that
        it was made with: a minute has to be taken out of the very hour that it was added to.
    """

    def __init__(
        self, database: sqlite3.Connection, *, hour_offset_ns: int, keep_minutes_ns: int, keep_hours_ns: int
    ) -> None:
        self._database = database
        self._names = Names(database)
        database.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", (HOUR_OFFSET, hour_offset_ns))
        self._hour_offset_ns: int = self._setting(HOUR_OFFSET, hour_offset_ns)
        self._keep = {
            "minute": keep_minutes_ns,
            "interval": keep_minutes_ns,
            "measured_minute": keep_minutes_ns,
            "hour": keep_hours_ns,
            "measured_hour": keep_hours_ns,
        }
        self._to_prune: list[int] = []

    def forget_uncommitted(self) -> None:
        """To be called after a rollback."""
        self._names.reload()

    def hour_of(self, time: int) -> int:
        """Start of the hour that a time lies in, ns."""
        return (time - self._hour_offset_ns) // HOUR_NS * HOUR_NS + self._hour_offset_ns

    def replace(
        self,
        elements: pl.DataFrame | None,
        intervals: pl.DataFrame | None,
        measured: pl.DataFrame | None = None,
        decided: Decided | None = None,
    ) -> None:
        """Rows replace rows: see `Tick`; hours follow their minutes."""
        if elements is not None and not elements.is_empty():
            self._replace_minutes(elements)
        if intervals is not None and not intervals.is_empty():
            self._replace_intervals(intervals)
        if measured is not None and not measured.is_empty():
            self._replace_measured(measured)
        if decided is not None:
            decisions.replace(self._database, self._names, decided, self._minutes_from())

    def _replace_minutes(self, elements: pl.DataFrame) -> None:
        fresh = elements.filter(pl.col("time") >= self._minutes_from())
        book(self._database, {ELEMENT_ROWS_TOO_OLD: len(elements) - len(fresh)})
        machine = self._names.ids(fresh["machine"])
        time = fresh["time"].to_list()
        revision, cause = _versions(fresh)
        versions = dict(zip(zip(machine, time, strict=True), zip(revision, cause, strict=True), strict=True))
        in_hours = [
            (self.hour_of(time), max(0, revision), cause, machine, time)
            for (machine, time), (revision, cause) in versions.items()
        ]
        self._database.executemany(_TAKE_FROM_HOUR, in_hours)
        self._database.executemany("DELETE FROM minute WHERE machine = ? AND time = ?", versions)
        columns: list[Iterable[int]] = [
            machine,
            time,
            fresh["shift_start"].to_list(),
            self._names.ids(fresh["shift"]),
            self._names.ids(fresh["product"]),
            revision,
            cause,
        ]
        columns += [fresh[element].to_list() for element in ELEMENT_IDS]
        self._database.executemany(_INSERT_MINUTE, zip(*columns, strict=True))
        self._database.executemany(_ADD_TO_HOUR, in_hours)
        self._database.executemany(
            "DELETE FROM hour WHERE machine = ? AND time = ? AND minute_rows = 0",
            {(machine, hour) for hour, _, _, machine, _ in in_hours},
        )

    def _replace_measured(self, measured: pl.DataFrame) -> None:
        fresh = measured.filter(pl.col("time") >= self._minutes_from())
        machine, time = self._names.ids(fresh["machine"]), fresh["time"].to_list()
        characteristic = self._names.ids(fresh["characteristic"])
        self._database.executemany(
            "DELETE FROM measured_minute WHERE machine = ? AND time = ? AND characteristic = ?",
            zip(machine, time, characteristic, strict=True),
        )
        columns = [fresh[name].to_list() for name in ("nominal", *STATISTICS)]
        self._database.executemany(_INSERT_MEASURED, zip(machine, time, characteristic, *columns, strict=True))
        hours = {(one, self.hour_of(minute)) for one, minute in zip(machine, time, strict=True)}
        self._database.executemany("DELETE FROM measured_hour WHERE machine = ? AND time = ?", hours)
        self._database.executemany(_SUM_MEASURED, [(hour, one, hour, hour + HOUR_NS) for one, hour in hours])

    def _replace_intervals(self, intervals: pl.DataFrame) -> None:
        machine = self._names.ids(intervals["machine"])
        start = intervals["start"].to_list()
        touched = {(m, s // MINUTE_NS * MINUTE_NS) for m, s in zip(machine, start, strict=True)}
        self._database.executemany(
            "DELETE FROM interval WHERE machine = ? AND start >= ? AND start < ?",
            [(m, minute, minute + MINUTE_NS) for m, minute in touched],
        )
        reason = intervals["reason"] if "reason" in intervals.columns else pl.Series([""] * len(intervals))
        self._database.executemany(
            "INSERT INTO interval (machine, start, end, state, product, reason) VALUES (?, ?, ?, ?, ?, ?)",
            zip(
                machine,
                start,
                intervals["end"].to_list(),
                intervals["state"].to_list(),
                self._names.ids(intervals["product"]),
                self._names.ids(reason.fill_null("")),
                strict=True,
            ),
        )

    def replace_hours(self, hours: pl.DataFrame) -> None:
        """Hours whose minutes are not kept replace those held; see `Tick.hours`."""
        if hours.is_empty():
            return
        machine = self._names.ids(hours["machine"])
        time = hours["time"].to_list()
        whole = {(m, start, start + HOUR_NS) for m, start in zip(machine, time, strict=True)}
        for table, column in (("hour", "time"), ("minute", "time"), ("interval", "start")):
            self._database.executemany(
                f"DELETE FROM {table} WHERE machine = ? AND {column} >= ? AND {column} < ?", whole
            )
        decisions.remove(self._database, sorted(whole))
        columns: list[Iterable[int]] = [
            hours["minute_rows"].to_list(),
            machine,
            time,
            hours["shift_start"].to_list(),
            self._names.ids(hours["shift"]),
            self._names.ids(hours["product"]),
            *_versions(hours),
        ]
        columns += [hours[element].to_list() for element in ELEMENT_IDS]
        self._database.executemany(_INSERT_HOUR, zip(*columns, strict=True))
        limit = max(time) + HOUR_NS
        if limit > self._minutes_from():
            self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (MINUTES_FROM, limit))

    def replace_measured_hours(self, measured: pl.DataFrame) -> None:
        """Statistics of hours whose minutes are not kept replace those held; see `Tick.hours`."""
        machine, time = self._names.ids(measured["machine"]), measured["time"].to_list()
        hours = {(m, start, start + HOUR_NS) for m, start in zip(machine, time, strict=True)}
        for table in ("measured_hour", "measured_minute"):
            self._database.executemany(f"DELETE FROM {table} WHERE machine = ? AND time >= ? AND time < ?", hours)
        characteristic = self._names.ids(measured["characteristic"])
        columns = [measured[name].to_list() for name in ("nominal", *STATISTICS)]
        self._database.executemany(_INSERT_MEASURED_HOUR, zip(machine, time, characteristic, *columns, strict=True))

    def _minutes_from(self) -> int:
        return self._setting(MINUTES_FROM, -(2**63))

    def _setting(self, name: str, default: int) -> int:
        row = self._database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return default if row is None else int(row[0])

    def prune(self, newest: int) -> None:
        """Remove what is older than it is kept, of one machine, in a small step. newest: the newest minute, ns.

        Minutes go by whole hours, so that an hour's sum never loses a part of its minutes.
        """
        decisions.prune(self._database, self.hour_of(newest - self._keep["minute"]), PRUNE_STEP * MINUTE_NS)
        if not self._to_prune:
            self._to_prune = machines_of(self._database, "hour")
        if not self._to_prune:
            return
        machine = self._to_prune.pop()
        for table, time, window_ns in (
            ("minute", "time", MINUTE_NS),
            ("interval", "start", MINUTE_NS),
            ("measured_minute", "time", MINUTE_NS),
            ("hour", "time", HOUR_NS),
            ("measured_hour", "time", HOUR_NS),
        ):
            limit = self.hour_of(newest - self._keep[table])
            first = self._first(table, time, machine)
            if first is None or first >= limit:
                continue
            if table == "minute" and limit > self._minutes_from():
                self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (MINUTES_FROM, limit))
            self._database.execute(
                f"DELETE FROM {table} WHERE machine = ? AND {time} < ?",
                (machine, min(limit, first + PRUNE_STEP * window_ns)),
            )

    def _first(self, table: str, time: str, machine: int) -> int | None:
        query = f"SELECT min({time}) FROM {table} WHERE machine = ?"
        first: int | None = self._database.execute(query, (machine,)).fetchone()[0]
        return first


def _versions(rows: pl.DataFrame) -> tuple[list[int], list[int]]:
    """Revision and number of the cause of each row; what nobody says is the first word."""
    if "revision" not in rows.columns:
        return [0] * len(rows), [0] * len(rows)
    causes = rows["cause"] if "cause" in rows.columns else pl.Series([""] * len(rows), dtype=pl.Utf8)
    texts = [cause.value for cause in CAUSES]
    numbers = causes.fill_null("").replace_strict(texts, range(len(texts)), return_dtype=pl.Int64)
    return rows["revision"].fill_null(0).clip(lower_bound=OPEN).to_list(), numbers.to_list()


def machines_of(database: sqlite3.Connection, table: HeldTable) -> list[int]:
    """Ids of the machines that a table has rows of, by stepping from one to the next in its key."""
    rows = database.execute(
        f"WITH RECURSIVE held (machine) AS (SELECT min(machine) FROM {table}"
        f" UNION ALL SELECT (SELECT min(machine) FROM {table} WHERE machine > held.machine) FROM held"
        " WHERE held.machine IS NOT NULL) SELECT machine FROM held WHERE machine IS NOT NULL"
    )
    return [row[0] for row in rows]
