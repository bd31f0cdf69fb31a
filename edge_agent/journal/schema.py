"""The journal as a file: its tables, how it is opened, and what is wrong with a file that cannot be.

Rule 1: a change of the tables is a new step in MIGRATIONS; a step, once released, is never edited.
Rule 2: an SQLite error leaves this package as a JournalError that says what to do, or it is a fault of ours.

Weighed: names of machines, products and shifts as text in every row, or as ids of a names table. Ids won: the key of
a minute row with three texts is some forty bytes, with ids ten, and there are millions of them.
Weighed: AUTOVACUUM none, or INCREMENTAL. INCREMENTAL won: after a long outage the file gives its space back in small
steps, where a VACUUM would stop the agent and need the space twice.
"""

# ruff: noqa: S608 - what is put into the SQL texts are names of tables and columns, constants here; values are bound
from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.journal.model import JournalError, JournalWriteError
from kpi.elements import ELEMENT_IDS

APPLICATION_ID: Final = 0x65416731
"""Says in the file's header that it is a journal of this program."""

BUSY_SECONDS: Final = 15.0
"""How long a writer waits for the other one; a transaction lasts milliseconds, a stalled disk seconds."""

PAGE_BYTES: Final = 8192
"""Large enough that an outbox body takes few overflow pages, small enough for single rows."""

CHECKPOINT_PAGES: Final = 2000
"""The write-ahead log is brought into the file each 16 MB."""

WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""A write-ahead log that a long reader let grow is cut back to this."""

_ELEMENT_KEYS: Final = """
    machine INTEGER NOT NULL, time INTEGER NOT NULL, shift_start INTEGER NOT NULL, shift INTEGER NOT NULL,
    product INTEGER NOT NULL, PRIMARY KEY (machine, time, shift_start, shift, product)"""

_FIRST: Final = f"""
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE tag_order (id INTEGER PRIMARY KEY, tags BLOB NOT NULL);
CREATE TABLE text_code (code INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE);
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1), keep_from INTEGER NOT NULL, tag_order INTEGER NOT NULL REFERENCES tag_order,
    body BLOB NOT NULL);
CREATE TABLE sample_log (
    id INTEGER PRIMARY KEY, last_time INTEGER NOT NULL, samples INTEGER NOT NULL, checksum INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX sample_log_by_last_time ON sample_log (last_time);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, points INTEGER NOT NULL, samples INTEGER NOT NULL,
    bytes INTEGER NOT NULL, queued_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX outbox_by_kind ON outbox (kind, id, points, samples, bytes, queued_at);
CREATE TABLE outbox_depth (
    kind INTEGER PRIMARY KEY, entries INTEGER NOT NULL DEFAULT 0, points INTEGER NOT NULL DEFAULT 0,
    samples INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
INSERT INTO outbox_depth (kind) VALUES (0), (1), (2), (3), (4);
CREATE TRIGGER outbox_grows AFTER INSERT ON outbox BEGIN
    UPDATE outbox_depth SET entries = entries + 1, points = points + new.points, samples = samples + new.samples,
        bytes = bytes + new.bytes WHERE kind = new.kind;
END;
CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox BEGIN
    UPDATE outbox_depth SET entries = entries - 1, points = points - old.points, samples = samples - old.samples,
        bytes = bytes - old.bytes WHERE kind = old.kind;
END;
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rejected_at INTEGER NOT NULL, kind INTEGER NOT NULL, points INTEGER NOT NULL,
    status INTEGER NOT NULL, words TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE ledger (cause TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE status (name TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE minute ({_ELEMENT_KEYS}) WITHOUT ROWID;
CREATE TABLE hour (minute_rows INTEGER NOT NULL, {_ELEMENT_KEYS}) WITHOUT ROWID;
CREATE TABLE interval (
    machine INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, state INTEGER NOT NULL,
    product INTEGER NOT NULL, PRIMARY KEY (machine, start)) WITHOUT ROWID;
"""

_STATISTICS: Final = """
    machine INTEGER NOT NULL, time INTEGER NOT NULL, characteristic INTEGER NOT NULL, nominal REAL NOT NULL,
    n INTEGER NOT NULL, sum REAL NOT NULL, sum_sq REAL NOT NULL, moving_range_n INTEGER NOT NULL,
    moving_range_sum REAL NOT NULL, within_df INTEGER NOT NULL, within_ss REAL NOT NULL,
    PRIMARY KEY (machine, time, characteristic, nominal)"""

_SECOND: Final = f"""
CREATE TABLE engine_block (
    start INTEGER PRIMARY KEY, tag_order INTEGER NOT NULL REFERENCES tag_order, bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX engine_block_bytes ON engine_block (start, bytes);
CREATE TABLE folded_with (machine TEXT PRIMARY KEY, calendar TEXT NOT NULL, rules TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE measured_minute ({_STATISTICS}) WITHOUT ROWID;
CREATE TABLE measured_hour ({_STATISTICS}) WITHOUT ROWID;
ALTER TABLE minute ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE minute ADD COLUMN cause INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hour ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hour ADD COLUMN cause INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN reason INTEGER;
"""

_THIRD: Final = """
CREATE TABLE strand (id INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE strand_block (
    strand INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, reaches INTEGER NOT NULL,
    samples INTEGER NOT NULL, checksum INTEGER NOT NULL, state BLOB NOT NULL, known BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (strand, start));
"""

_FOURTH: Final = """
CREATE TABLE decision (
    time INTEGER NOT NULL, machine INTEGER NOT NULL, counter INTEGER NOT NULL, verdict INTEGER NOT NULL,
    after_gap INTEGER NOT NULL, before REAL, reading REAL, counted INTEGER NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (time, machine, counter, verdict)) WITHOUT ROWID;
WITH RECURSIVE held (machine) AS (
    SELECT min(machine) FROM minute
    UNION ALL SELECT (SELECT min(machine) FROM minute WHERE machine > held.machine) FROM held
    WHERE held.machine IS NOT NULL)
INSERT INTO setting SELECT 'decisions_from', newest + 60000000000 FROM (
    SELECT max((SELECT max(time) FROM minute WHERE minute.machine = held.machine)) AS newest FROM held)
WHERE newest IS NOT NULL;
"""

_FIFTH: Final = """
CREATE TABLE beyond_horizon (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kept_at INTEGER NOT NULL, samples INTEGER NOT NULL, bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX beyond_horizon_samples ON beyond_horizon (id, kept_at, samples, bytes);
ALTER TABLE tag ADD COLUMN machine TEXT;
ALTER TABLE tag ADD COLUMN unit TEXT NOT NULL DEFAULT '';
ALTER TABLE tag ADD COLUMN coded INTEGER NOT NULL DEFAULT 0;
INSERT INTO ledger SELECT 'beyond_horizon:not_kept', total FROM ledger WHERE cause = 'refused:beyond_horizon';
"""

MIGRATIONS: Final = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
"""Step i brings a journal of schema i to schema i + 1. Element columns are added apart: they follow `kpi.elements`."""

SCHEMA: Final = len(MIGRATIONS)


def connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """A connection that writes. synchronous: FULL where a commit is a promise, NORMAL where losing it does no harm."""
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    return database


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a running agent or without one.

    Raises JournalError where the file does not exist or is no journal of this schema.
    """
    if not path.is_file():
        raise JournalError(path, "there is no such file", "check the path, or start the agent once to make it")
    with errors_explained(path):
        try:
            return _connect_to_read(path, "mode=ro")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
                raise
            # No agent runs, and this reader may not make the shared-memory file of a write-ahead log beside the file.
            return _connect_to_read(path, "mode=ro&immutable=1")


def _connect_to_read(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _check_identity(path, database)
        schema: int = database.execute("PRAGMA user_version").fetchone()[0]
        if schema == 0:
            raise JournalError(path, "an agent is just making it", "try again in a moment")
        if schema < SCHEMA:
            reason = f"it was written by an older edge-agent (schema {schema}; this one knows {SCHEMA})"
            raise JournalError(path, reason, "start this agent once: it brings the journal up to date")
    except BaseException:
        database.close()
        raise
    return database


def open_to_write(path: Path) -> sqlite3.Connection:
    """The agent's connection: makes the journal where there is none, brings an older one up to this schema.

    Raises JournalError where the file is not a journal, is damaged, or was written by a newer program.
    """
    with errors_explained(path):
        database = connect(path, synchronous="FULL")
        try:
            if _is_new(database):
                database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                database.execute("PRAGMA auto_vacuum = INCREMENTAL")
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _check_identity(path, database)
            _check_structure(path, database)
            database.execute("PRAGMA journal_mode = WAL")
            _migrate(database)
        except BaseException:
            database.close()
            raise
    return database


def _is_new(database: sqlite3.Connection) -> bool:
    tables: int = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    identity: int = database.execute("PRAGMA application_id").fetchone()[0]
    return tables == 0 and identity == 0


def _check_identity(path: Path, database: sqlite3.Connection) -> None:
    identity: int = database.execute("PRAGMA application_id").fetchone()[0]
    schema: int = database.execute("PRAGMA user_version").fetchone()[0]
    if identity != APPLICATION_ID:
        raise JournalError(path, "this is an SQLite file, but not a journal", "give `agent.journal` another path")
    if schema > SCHEMA:
        raise JournalError(
            path,
            f"it was written by a newer edge-agent (schema {schema}; this one knows {SCHEMA})",
            "update edge-agent, or give `agent.journal` another path",
        )


def _check_structure(path: Path, database: sqlite3.Connection) -> None:
    """Read through the small tables that a start depends on; a full check would read gigabytes."""
    present = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for table in ("name", "tag", "text_code", "checkpoint", "outbox_depth", "ledger", "setting", "status"):
        if table in present:
            verdict: str = database.execute(f"PRAGMA quick_check({table})").fetchone()[0]
            if verdict != "ok":
                raise _damaged(path, verdict)


def _migrate(database: sqlite3.Connection) -> None:
    schema: int = database.execute("PRAGMA user_version").fetchone()[0]
    steps = "".join(f"{MIGRATIONS[step]} PRAGMA user_version = {step + 1};" for step in range(schema, SCHEMA))
    # One transaction for all: a kill in the middle leaves the old schema.
    database.executescript(f"BEGIN IMMEDIATE; {steps}")
    for table in ("minute", "hour"):
        columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for element in ELEMENT_IDS:
            if element not in columns:
                database.execute(f"ALTER TABLE {table} ADD COLUMN {element} INTEGER NOT NULL DEFAULT 0")
    database.execute("COMMIT")


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing. Takes the right to write at once, so that it cannot be refused later."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


_RETRYABLE: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room on the disk; nothing was lost, the agent tries again"),
    sqlite3.SQLITE_IOERR: ("a read or write failed", "check the disk; the agent tries again"),
    sqlite3.SQLITE_BUSY: ("another program holds it", "close the program that has it open; the agent tries again"),
    sqlite3.SQLITE_LOCKED: ("another program holds it", "close the program that has it open; the agent tries again"),
}


@contextlib.contextmanager
def errors_explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into JournalErrors that the operator can act on; faults of ours pass as they are."""
    try:
        yield
    except sqlite3.Error as error:
        explained = _explain(path, error)
        if explained is None:
            raise
        raise explained from error


def _explain(path: Path, error: sqlite3.Error) -> JournalError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    primary = code & 0xFF  # the rest of an extended code tells which kind of read or write it was
    if primary in _RETRYABLE:
        reason, hint = _RETRYABLE[primary]
        return JournalWriteError(path, f"{reason} ({error})", hint)
    if primary == sqlite3.SQLITE_NOTADB:
        return JournalError(path, "this is not a journal", "give `agent.journal` another path, or move the file away")
    if primary == sqlite3.SQLITE_CORRUPT:
        return _damaged(path, str(error))
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return JournalError(
            path, f"it cannot be opened ({error})", "check that the folder exists and that the agent may write to it"
        )
    return None


def _damaged(path: Path, detail: str) -> JournalError:
    return JournalError(
        path,
        f"it is damaged ({detail})",
        f"move {path.name}, {path.name}-wal and {path.name}-shm away together and start again; "
        "`sqlite3 FILE .recover` can save what it still holds",
    )
