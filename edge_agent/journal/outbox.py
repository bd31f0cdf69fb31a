"""The outbox: points on their way to the database, in order, bounded, and each accounted for.

Rule 1: an entry that goes in or out is booked in the ledger in the same transaction, under the cause.
Rule 2: the functions here work inside the caller's transaction; they begin and end none.

Ids only ever count up, so an entry that was dropped while it was on the wire cannot be mistaken for a newer one.
Depths are kept by triggers: no path of the code can change the queue without them.
"""

# ruff: noqa: S608 - what is put into the SQL texts are names of tables and columns, constants here; values are bound
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.journal.model import DROP_ORDER, OutboxEntry, OutboxKind
from edge_agent.ledger import Cause, Unit, account

ENTRY_BYTES: Final = 128
"""What an entry takes in the file beside its body; many small entries are bounded too."""

MOST_DEAD_LETTERS: Final = 10_000
MOST_DEAD_LETTER_BYTES: Final = 64 * 1024 * 1024
"""Bounds of the dead letters: the oldest go first. They stay booked as rejected."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Points that the database refused for good. rejected_at: ns. words: the server's own, shortened. body: gzip."""

    rejected_at: int
    kind: OutboxKind
    points: int
    status: int
    words: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    """How much of one kind waits. bytes: of the bodies. oldest: when the first of it was queued, ns; None if empty."""

    entries: int
    points: int
    samples: int
    bytes: int
    oldest: int | None


def book(database: sqlite3.Connection, amounts: Mapping[str, int]) -> None:
    """Add to the totals of the ledger."""
    database.executemany(
        "INSERT INTO ledger (cause, total) VALUES (?, ?)"
        " ON CONFLICT (cause) DO UPDATE SET total = total + excluded.total",
        [(cause, int(amount)) for cause, amount in amounts.items() if amount],
    )


def _book_outbox(database: sqlite3.Connection, cause: Cause, points: int, samples: int) -> None:
    book(database, {account(Unit.POINTS, cause): points, account(Unit.SAMPLES, cause): samples})


def append(database: sqlite3.Connection, entries: Sequence[OutboxEntry], *, now: int) -> None:
    """Put entries at the end of the queue."""
    database.executemany(
        "INSERT INTO outbox (kind, points, samples, bytes, queued_at, body) VALUES (?, ?, ?, ?, ?, ?)",
        [(int(e.kind), e.points, e.samples, len(e.body), now, e.body) for e in entries],
    )
    _book_outbox(database, Cause.QUEUED, sum(e.points for e in entries), sum(e.samples for e in entries))


def keep_within(database: sqlite3.Connection, most_bytes: int) -> int:
    """Drop entries until the rest fits, the least important kind first and the oldest of it first; returns how many."""
    dropped = 0
    excess = _bytes_held(database) - most_bytes
    for kind in DROP_ORDER:
        if excess <= 0:
            break
        freed, entries = _drop_oldest(database, kind, excess)
        excess -= freed
        dropped += entries
    return dropped


def _bytes_held(database: sqlite3.Connection) -> int:
    held: int = database.execute(f"SELECT sum(bytes) + {ENTRY_BYTES} * sum(entries) FROM outbox_depth").fetchone()[0]
    return held


def _drop_oldest(database: sqlite3.Connection, kind: OutboxKind, excess: int) -> tuple[int, int]:
    freed = points = samples = entries = last = 0
    rows = database.execute("SELECT id, points, samples, bytes FROM outbox WHERE kind = ? ORDER BY id", (int(kind),))
    for row in rows:
        if freed >= excess:
            break
        last = row[0]
        points += row[1]
        samples += row[2]
        freed += row[3] + ENTRY_BYTES
        entries += 1
    rows.close()
    if entries:
        database.execute("DELETE FROM outbox WHERE kind = ? AND id <= ?", (int(kind), last))
        _book_outbox(database, Cause.JOURNAL_FULL, points, samples)
    return freed, entries


def oldest(database: sqlite3.Connection) -> OutboxEntry | None:
    """The entry that has waited longest; None where nothing waits."""
    row = database.execute("SELECT kind, points, samples, body, id FROM outbox ORDER BY id LIMIT 1").fetchone()
    return None if row is None else OutboxEntry(OutboxKind(row[0]), row[1], row[2], row[3], row[4])


def settle(database: sqlite3.Connection, entry: OutboxEntry, rejected: Sequence[DeadLetter]) -> None:
    """Take an entry out: what the database refused goes to the dead letters, the rest is delivered.

    Does nothing where the entry was dropped meanwhile: then that is what became of it in the ledger.
    """
    gone = database.execute("DELETE FROM outbox WHERE id = ?", (entry.id,)).rowcount == 0
    if gone:
        return
    points = min(entry.points, sum(letter.points for letter in rejected))
    # A sample is one line; an entry of computed points stands for no samples.
    samples = min(entry.samples, points)
    _book_outbox(database, Cause.DELIVERED, entry.points - points, entry.samples - samples)
    _book_outbox(database, Cause.REJECTED, points, samples)
    if rejected:
        _bury(database, rejected)


def _bury(database: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    database.executemany(
        "INSERT INTO dead_letter (rejected_at, kind, points, status, words, body) VALUES (?, ?, ?, ?, ?, ?)",
        [(m.rejected_at, int(m.kind), m.points, m.status, m.words, m.body) for m in letters],
    )
    held = database.execute("SELECT id, length(body) + length(words) FROM dead_letter ORDER BY id DESC").fetchall()
    size = 0
    for place, (identifier, weight) in enumerate(held):
        size += weight
        if place >= MOST_DEAD_LETTERS or size > MOST_DEAD_LETTER_BYTES:
            database.execute("DELETE FROM dead_letter WHERE id <= ?", (identifier,))
            break


def dead_letters(database: sqlite3.Connection, most: int) -> list[DeadLetter]:
    """The latest dead letters, newest first."""
    rows = database.execute(
        "SELECT rejected_at, kind, points, status, words, body FROM dead_letter ORDER BY id DESC LIMIT ?", (most,)
    )
    return [DeadLetter(row[0], OutboxKind(row[1]), *row[2:]) for row in rows]


def depths(database: sqlite3.Connection) -> dict[OutboxKind, Depth]:
    """How much of each kind waits."""
    rows = database.execute(
        "SELECT kind, entries, points, samples, bytes,"
        " (SELECT queued_at FROM outbox WHERE outbox.kind = outbox_depth.kind ORDER BY id LIMIT 1) FROM outbox_depth"
    )
    return {OutboxKind(row[0]): Depth(*row[1:]) for row in rows}


def totals(database: sqlite3.Connection) -> dict[str, int]:
    """The ledger, with what waits in the outbox counted."""
    held: dict[str, int] = dict(database.execute("SELECT cause, total FROM ledger").fetchall())
    waiting = depths(database).values()
    held[account(Unit.POINTS, Cause.WAITING)] = sum(depth.points for depth in waiting)
    held[account(Unit.SAMPLES, Cause.WAITING)] = sum(depth.samples for depth in waiting)
    return held
