"""The journal for those who only look: status, exports, boards. Safe beside a running agent, and without one.

Rule: every call is one short read; nothing here holds the write-ahead log open, but `snapshot` for a moment.
"""

# ruff: noqa: S608 - what is put into the SQL texts are names of tables and columns, constants here; values are bound
from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from connectors.samples import Int32
from edge_agent.journal import beyond_horizon, decisions, outbox, strands
from edge_agent.journal.beyond_horizon import BeyondFacts, BeyondHorizon
from edge_agent.journal.decisions import DECISIONS_FROM, DecisionCount
from edge_agent.journal.element_tables import HOUR_OFFSET, MINUTES_FROM, STATISTICS, HeldTable, Window, machines_of
from edge_agent.journal.engine_blocks import Archive, DamagedBlockError, block_of
from edge_agent.journal.model import CAUSES, JournalError, OutboxKind, Recovery
from edge_agent.journal.outbox import DeadLetter, Depth
from edge_agent.journal.recovery import SETTLED_TO, recovery
from edge_agent.journal.schema import connect_to_read, errors_explained
from edge_agent.journal.strands import BlockFacts, DamagedStrandError, StrandBlock
from kpi.elements import ELEMENT_IDS, MINUTE_NS

ELEMENT_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "machine": pl.Utf8(),
    "time": pl.Int64(),
    "shift": pl.Utf8(),
    "shift_start": pl.Int64(),
    "product": pl.Utf8(),
    **{element: pl.Int64() for element in ELEMENT_IDS},
    "revision": pl.Int64(),
    "cause": pl.Utf8(),
}
"""Columns of an element table with names in place of indexes: what `Tick.elements` takes and `elements` returns."""

INTERVAL_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "machine": pl.Utf8(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "state": pl.Int32(),
    "product": pl.Utf8(),
    "reason": pl.Utf8(),
}
"""Columns of `Tick.intervals` and of what `intervals` returns."""

MEASURED_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "machine": pl.Utf8(),
    "time": pl.Int64(),
    "characteristic": pl.Utf8(),
    "nominal": pl.Float64(),
    **{name: pl.Int64() if name in {"n", "moving_range_n", "within_df"} else pl.Float64() for name in STATISTICS},
}
"""Columns of `Tick.measured` and of what `measured` returns: statistics as `kpi.measured`, sums of values less the
nominal that is beside them."""


class JournalReader:
    """Reads a journal. Raises JournalError where there is none, or none of this schema. Any thread may call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._database = connect_to_read(path)

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._database.close()

    def elements(self, window: Window, start: int, end: int, machines: Sequence[str] | None = None) -> pl.DataFrame:
        """Element rows of the windows that begin in [start, end), ns, ordered by machine id, time, shift.

        machines: ids; None for all. Returns the columns of `ELEMENT_SCHEMA`; `revision` is `OPEN` in minutes that are
        not over, and in hours the highest of their minutes'.
        """
        columns = ", ".join(f"t.{element}" for element in ELEMENT_IDS)
        query = (
            f"SELECT m.text, t.time, s.text, t.shift_start, p.text, {columns}, t.revision, t.cause FROM {window} t"
            " JOIN name m ON m.id = t.machine JOIN name s ON s.id = t.shift JOIN name p ON p.id = t.product"
            " WHERE t.machine = ? AND t.time >= ? AND t.time < ? ORDER BY t.time, t.shift_start"
        )
        rows = self._of_machines(window, query, (start, end), machines, {**ELEMENT_SCHEMA, "cause": pl.Int64()})
        cause = pl.col("cause").replace_strict(dict(enumerate(map(str, CAUSES))), return_dtype=pl.Utf8)
        return rows.with_columns(cause)

    def measured(self, window: Window, start: int, end: int, machines: Sequence[str] | None = None) -> pl.DataFrame:
        """Statistics of measured values, of the windows that begin in [start, end), ns, by machine id and time.

        machines: ids; None for all. Returns the columns of `MEASURED_SCHEMA`.
        """
        table: HeldTable = "measured_minute" if window == "minute" else "measured_hour"
        query = (
            f"SELECT m.text, t.time, c.text, t.nominal, {', '.join(f't.{name}' for name in STATISTICS)} FROM {table} t"
            " JOIN name m ON m.id = t.machine JOIN name c ON c.id = t.characteristic"
            " WHERE t.machine = ? AND t.time >= ? AND t.time < ? ORDER BY t.time, c.text"
        )
        return self._of_machines(table, query, (start, end), machines, MEASURED_SCHEMA)

    def decisions(
        self,
        start: int,
        end: int,
        machines: Sequence[str] | None = None,
        *,
        counters: Sequence[str] | None = None,
        newest: int | None = None,
    ) -> pl.DataFrame:
        """Decisions about counters in [start, end), ns, in order of time; held as long as minutes are.

        machines: ids; counters: names; newest: no more than so many, the newest. None for all. Returns the columns of
        `DECISION_SCHEMA`.
        """
        with self._reading():
            return decisions.rows(self._database, start, end, machines, counters, newest)

    def decision_counts(self, start: int, end: int, machines: Sequence[str] | None = None) -> tuple[DecisionCount, ...]:
        """How often what was decided of which counter in [start, end), ns. machines: ids; None for all."""
        with self._reading():
            return decisions.counts(self._database, start, end, machines)

    def decisions_from(self) -> int:
        """The time (ns) from which on decisions are held: before it minutes are gone, or an earlier version ran."""
        with self._reading():
            settings: dict[str, int] = dict(self._database.execute("SELECT name, value FROM setting"))
        return max(settings.get(MINUTES_FROM, -(2**63)), settings.get(DECISIONS_FROM, -(2**63)))

    def beyond_horizon(self, start: int, end: int) -> BeyondHorizon:
        """Samples of [start, end), ns, that came too late to correct anything: those that are still kept apart."""
        with self._reading():
            return beyond_horizon.read(self._database, start, end)

    def beyond_horizon_facts(self) -> BeyondFacts:
        """How many samples are kept apart, and since when."""
        with self._reading():
            return beyond_horizon.facts(self._database)

    def archive(self, tags: Sequence[str]) -> Mapping[int, bytes]:
        """The engine's past beyond its memory: start (ns) → packed block, read when it is asked for.

        tags: as of `recover`. Use it within `snapshot` where blocks have to fit to a checkpoint. A block that is
        damaged raises JournalError.
        """

        def starts() -> list[int]:
            with self._reading():
                return [row[0] for row in self._database.execute("SELECT start FROM engine_block ORDER BY start")]

        def read(start: int) -> bytes:
            with self._reading():
                try:
                    return block_of(self._database, start, self._tag_ids(tags))
                except DamagedBlockError as fault:
                    raise JournalError(self.path, str(fault), "check the disk") from fault

        return Archive(starts, read)

    def strands(self) -> Mapping[int, tuple[str, tuple[BlockFacts, ...]]]:
        """What replays kept of history: id → facts and blocks; see `edge_agent.journal.strands`."""
        with self._reading():
            return strands.strands(self._database)

    def strand_block(self, strand: int, start: int) -> StrandBlock:
        """One block of a strand. Raises KeyError where there is none; JournalError where it is damaged."""
        with self._reading():
            try:
                return strands.block(self._database, strand, start)
            except DamagedStrandError as fault:
                raise JournalError(self.path, str(fault), "check the disk") from fault

    def intervals(self, start: int, end: int, machines: Sequence[str] | None = None) -> pl.DataFrame:
        """State intervals that overlap [start, end), ns, as they are: cut at minute edges, not at start and end.

        machines: ids; None for all. Returns the columns of `INTERVAL_SCHEMA`, ordered by machine id and start.
        """
        query = (
            "SELECT m.text, t.start, t.end, t.state, p.text, coalesce(r.text, '') FROM interval t"
            " JOIN name m ON m.id = t.machine JOIN name p ON p.id = t.product LEFT JOIN name r ON r.id = t.reason"
            " WHERE t.machine = ? AND t.start >= ? AND t.start < ? AND t.end > ? ORDER BY t.start"
        )
        # No interval is longer than a minute, so none that reaches into the window begins earlier than this.
        return self._of_machines("interval", query, (start - MINUTE_NS, end, start), machines, INTERVAL_SCHEMA)

    def span(self, window: Window = "minute", machines: Sequence[str] | None = None) -> tuple[int, int] | None:
        """Starts of the first and the last minute or hour held, ns; None where there is none.

        machines: ids; None for all.
        """
        query = f"SELECT min(time), max(time) FROM {window} WHERE machine = ?"
        with self._reading():
            found = [
                self._database.execute(query, (machine,)).fetchone() for machine in self._machine_ids(window, machines)
            ]
        edges = [edge for edge in found if edge[0] is not None]
        return (min(edge[0] for edge in edges), max(edge[1] for edge in edges)) if edges else None

    def kept(self) -> tuple[int, int]:
        """(time before which only hours are sure to be kept, where hours start within an hour of UTC), ns."""
        with self._reading():
            settings = dict(self._database.execute("SELECT name, value FROM setting"))
        return settings.get(MINUTES_FROM, -(2**63)), settings.get(HOUR_OFFSET, 0)

    def settled_to(self) -> int:
        """Up to when everything was said, ns, as of the last commit; what lies before changes only by late samples.

        Of a journal of an earlier version: up to the newest minute that is held. 0 where there is none.
        """
        with self._reading():
            found = self._database.execute("SELECT value FROM setting WHERE name = ?", (SETTLED_TO,)).fetchone()
        if found is not None:
            return int(found[0])
        held = self.span()
        return 0 if held is None else held[1]

    def ledger(self) -> dict[str, int]:
        """Cause → total since the journal was made; see `edge_agent.ledger`."""
        with self._reading():
            return outbox.totals(self._database) | beyond_horizon.totals(self._database)

    def status(self) -> dict[str, Any]:
        """Name → what the agent said of itself in its last commit."""
        with self._reading():
            said = self._database.execute("SELECT name, json FROM status").fetchall()
        try:
            return {name: json.loads(body) for name, body in said}
        except (TypeError, ValueError) as error:
            reason = f"what the agent last said of itself is damaged ({error})"
            raise JournalError(self.path, reason, "check the disk; a running agent says it anew") from error

    def texts(self) -> dict[str, int]:
        """Text → code, of all texts that samples speak of by code."""
        with self._reading():
            rows = self._database.execute("SELECT text, code FROM text_code ORDER BY code")
            return {text.decode("utf-8", "surrogatepass"): code for text, code in rows}

    def recover(self, tags: Sequence[str]) -> Recovery:
        """What an agent would start from: the engine's checkpoint and the samples since.

        tags: names of the tags by the indexes that the samples are to have; those that the journal does not know have
        no samples.
        """
        with self._reading():
            return recovery(self._database, self._tag_ids(tags))

    def _tag_ids(self, tags: Sequence[str]) -> Int32:
        ids = dict(self._database.execute("SELECT name, id FROM tag").fetchall())
        return np.array([ids.get(tag, -1) for tag in tags], np.int32)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All calls within see the journal as it was at one instant. For a moment: the write-ahead log waits for it."""
        with self._reading():
            yield

    def outbox_depth(self) -> dict[OutboxKind, Depth]:
        """How much of each kind waits for the database."""
        with self._reading():
            return outbox.depths(self._database)

    def dead_letters(self, most: int = 100) -> list[DeadLetter]:
        """What the database refused for good, newest first."""
        with self._reading():
            return outbox.dead_letters(self._database, most)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One snapshot for all reads of a call, or of all calls within `snapshot`."""
        with self._turn, errors_explained(self.path):
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN")
            try:
                yield
            finally:
                self._database.execute("COMMIT")

    def _of_machines(
        self,
        table: HeldTable,
        query: str,
        bounds: tuple[int, ...],
        machines: Sequence[str] | None,
        schema: Mapping[str, pl.DataType],
    ) -> pl.DataFrame:
        rows: list[tuple[Any, ...]] = []
        with self._reading():
            for machine in self._machine_ids(table, machines):
                rows += self._database.execute(query, (machine, *bounds)).fetchall()
        return pl.DataFrame(rows, schema=dict(schema), orient="row")

    def _machine_ids(self, table: HeldTable, machines: Sequence[str] | None) -> list[int]:
        if machines is None:
            return machines_of(self._database, table)
        marks = ", ".join("?" * len(machines))
        return [
            row[0] for row in self._database.execute(f"SELECT id FROM name WHERE text IN ({marks})", tuple(machines))
        ]
