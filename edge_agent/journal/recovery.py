"""What the journal holds for a restart: the engine's checkpoint and the samples since. A reader may see the same.

Rule: nothing is written, and no transaction begun; the caller has one where it needs one.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import numpy as np

from connectors.samples import Int32, SampleBatch
from edge_agent.journal import sample_log
from edge_agent.journal.model import Recovery

SETTLED_TO: Final = "settled_to"
"""Setting: up to when (ns) rows say everything; of the same instant as they are."""

FOLDED_TO: Final = "folded_to"
"""Setting: id of the last run of the sample log that the engine had taken on when it last looked at its past."""


def recovery(database: sqlite3.Connection, tag_ids: Int32) -> Recovery:
    """Checkpoint and samples. tag_ids: id in the file of each tag of the caller by index, -1 where it has none."""
    row = database.execute(
        "SELECT body, keep_from, tags FROM checkpoint JOIN tag_order ON tag_order.id = checkpoint.tag_order"
    ).fetchone()
    body, keep_from, order = (None, -(2**63), b"") if row is None else row
    now = indexes_now(database, tag_ids)
    samples, damaged = _samples_since(database, keep_from, now)
    return Recovery(body, keep_from, samples, now[np.frombuffer(order, np.int32)], damaged)


def indexes_now(database: sqlite3.Connection, tag_ids: Int32) -> Int32:
    """Index of each of the caller's tags by its id in the file, -1 where there is none; shape (greatest id + 1,)."""
    greatest = database.execute("SELECT coalesce(max(id), 0) FROM tag").fetchone()[0]
    now = np.full(greatest + 1, -1, np.int32)
    there = np.flatnonzero(tag_ids >= 0)
    now[tag_ids[there]] = there
    return now


def _samples_since(database: sqlite3.Connection, keep_from: int, now: Int32) -> tuple[SampleBatch, int]:
    """Samples at or after keep_from, and older ones that the engine had not looked at when the agent ended."""
    looked_at = database.execute("SELECT value FROM setting WHERE name = ?", (FOLDED_TO,)).fetchone()
    folded_to = looked_at[0] if looked_at else 0
    runs: list[SampleBatch] = []
    damaged = 0
    for id_, body, checksum in database.execute("SELECT id, body, checksum FROM sample_log ORDER BY id"):
        try:
            run = sample_log.unpack(body, checksum)
        except sample_log.DamagedRunError:
            damaged += 1
            continue
        run = SampleBatch(now[run.tag], run.time, run.value, run.quality)
        runs.append(run.where((run.tag >= 0) & ((run.time >= keep_from) | (id_ > folded_to))))
    return SampleBatch.concat(runs), damaged
