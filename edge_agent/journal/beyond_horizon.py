"""Samples beyond the correction horizon: they came too late to correct anything, and are kept apart for who asks.

Rule 1: bounded by `MOST_BYTES`; those that were kept first go first, and what goes is booked in the ledger. With what
is held, the bookings add up to all that were ever counted.
Rule 2: no figure is made of them, so they are the first to go where the journal reaches its size.
Rule 3: the functions work inside the caller's transaction; they begin and end none.

Weighed: to keep them in the sample log (one table, but a restart would have to tell them from what the engine needs,
and each checkpoint to spare them), or in a table of their own. The latter won.
Weighed for the bound: a time, a number, or bytes. A device whose clock is wrong sends for weeks, and a run of one
sample takes half as much as one of fifty, so bytes won.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from connectors.samples import Int32, SampleBatch
from edge_agent.journal import outbox, sample_log
from edge_agent.ledger import BEYOND_HORIZON_HELD, BEYOND_HORIZON_JOURNAL_FULL, BEYOND_HORIZON_TOO_MANY

MOST_BYTES: Final = 32 * 1024 * 1024
"""What is kept at most: 2 million samples that came in bursts, 34,000 that each came alone."""

ROW_BYTES: Final = 128
"""What a row takes in the file beside its body; many small rows are bounded too."""

RUN: Final = 100_000
"""Samples of a row at most, so that the bound never has to take more than these at once."""

BEYOND_HORIZON_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "tag": pl.Utf8(),
    "machine": pl.Utf8(),
    "signal": pl.Utf8(),
    "unit": pl.Utf8(),
    "time": pl.Int64(),
    "value": pl.Float64(),
    "text": pl.Utf8(),
    "quality": pl.UInt8(),
    "kept_at": pl.Int64(),
}
"""Samples with names in place of indexes. value: in the unit, null where there is none, or where it is a text; text:
null where it is none. quality: as of `connectors.Quality`. kept_at: ns, by the agent's clock, when they were put here.
"""


class PackedRun(NamedTuple):
    """A row without its time. size: of the body, bytes. checksum: CRC-32 of the body."""

    samples: int
    size: int
    checksum: int
    body: bytes


class TagFacts(NamedTuple):
    """What a sample says without its configuration. machine: id, or the connection's name of a link. unit: of its
    values. coded: whether they are codes of texts."""

    machine: str
    unit: str
    coded: bool


@dataclass(frozen=True, slots=True)
class BeyondFacts:
    """How many samples are kept apart. bytes: on disk, about. since: when the first of them was kept, ns; None where
    there are none."""

    samples: int
    bytes: int
    since: int | None


@dataclass(frozen=True, slots=True, eq=False)
class BeyondHorizon:
    """Samples that are kept apart. rows: `BEYOND_HORIZON_SCHEMA`, by time and tag. damaged: how many samples are left
    out, since what the disk gave back is not what was written."""

    rows: pl.DataFrame
    damaged: int


def packed(batch: SampleBatch, tag: Int32) -> list[PackedRun]:
    """Rows of a batch. tag: ids in the file, in place of its own tags."""
    rows = []
    for first in range(0, len(batch), RUN):
        part = np.s_[first : first + RUN]
        run = SampleBatch(tag[part], batch.time[part], batch.value[part], batch.quality[part])
        body, checksum = sample_log.pack(run, run.tag)
        rows.append(PackedRun(len(run), len(body), checksum, body))
    return rows


def append(database: sqlite3.Connection, rows: Sequence[PackedRun], *, now: int) -> None:
    """Keep what `packed` made, and let go of the oldest where the bound is passed. now: ns."""
    database.executemany(
        "INSERT INTO beyond_horizon (kept_at, samples, bytes, checksum, body) VALUES (?, ?, ?, ?, ?)",
        [(now, *row) for row in rows],
    )
    excess = facts(database).bytes - MOST_BYTES
    outbox.book(database, {BEYOND_HORIZON_TOO_MANY: _drop_oldest(database, excess)[0]})


def free(database: sqlite3.Connection, excess: int) -> int:
    """Let go of the oldest until so many bytes are free, as the journal is full; returns how many bytes are."""
    samples, freed = _drop_oldest(database, excess)
    outbox.book(database, {BEYOND_HORIZON_JOURNAL_FULL: samples})
    return freed


def _drop_oldest(database: sqlite3.Connection, excess: int) -> tuple[int, int]:
    """Remove the oldest rows until so many bytes are free; returns how many samples and bytes went."""
    samples = freed = last = 0
    rows = database.execute("SELECT id, samples, bytes FROM beyond_horizon ORDER BY id")
    while freed < excess and (row := rows.fetchone()) is not None:
        last = row[0]
        samples += row[1]
        freed += row[2] + ROW_BYTES
    rows.close()
    if freed:
        database.execute("DELETE FROM beyond_horizon WHERE id <= ?", (last,))
    return samples, freed


def facts(database: sqlite3.Connection) -> BeyondFacts:
    """How many there are; no body is read."""
    row = database.execute(
        "SELECT coalesce(sum(samples), 0), coalesce(sum(bytes), 0) + ? * count(*), min(kept_at) FROM beyond_horizon",
        (ROW_BYTES,),
    ).fetchone()
    return BeyondFacts(*row)


def totals(database: sqlite3.Connection) -> dict[str, int]:
    """What is held, as the ledger shows it: counted, not booked, so that the sum can be checked against it."""
    return {BEYOND_HORIZON_HELD: facts(database).samples}


def describe(database: sqlite3.Connection, tags: Mapping[str, TagFacts]) -> None:
    """Remember what the configuration says of tags, by name, for when it says it no longer."""
    database.executemany(
        "UPDATE tag SET machine = ?, unit = ?, coded = ?"
        " WHERE name = ? AND NOT (machine IS ? AND unit IS ? AND coded IS ?)",
        [(*one, name, *one) for name, one in tags.items()],
    )


def read(database: sqlite3.Connection, start: int, end: int) -> BeyondHorizon:
    """Samples of [start, end), ns by their own time."""
    damaged = 0
    runs: list[SampleBatch] = []
    kept: list[int] = []
    for samples, checksum, body, kept_at in database.execute(
        "SELECT samples, checksum, body, kept_at FROM beyond_horizon ORDER BY id"
    ):
        try:
            run = sample_log.unpack(body, checksum)
        except sample_log.DamagedRunError:
            damaged += samples
            continue
        runs.append(run)
        kept.append(kept_at)
    batch = SampleBatch.concat(runs)
    columns = {"id": batch.tag, "time": batch.time, "value": batch.value, "quality": batch.quality}
    when = np.repeat(np.array(kept, np.int64), np.array([len(run) for run in runs], np.intp))
    rows = pl.DataFrame({**columns, "kept_at": when}).filter(pl.col("time") >= start, pl.col("time") < end)
    return BeyondHorizon(_named(database, rows), damaged)


def _named(database: sqlite3.Connection, rows: pl.DataFrame) -> pl.DataFrame:
    tags = pl.DataFrame(list(_tags(database)), schema=dict(_TAGS), orient="row")
    texts = pl.DataFrame(
        [
            (code, text.decode("utf-8", "replace"))
            for code, text in database.execute("SELECT code, text FROM text_code")
        ],
        schema={"code": pl.Int64, "text": pl.Utf8},
        orient="row",
    )
    code = pl.when("coded").then("value").cast(pl.Int64)
    named = (
        rows.with_columns(pl.col("value").fill_nan(None))
        .join(tags, on="id", how="left")
        .with_columns(code=code, value=pl.when(~pl.col("coded")).then("value"))
        .join(texts, on="code", how="left")
    )
    return named.select(BEYOND_HORIZON_SCHEMA.keys()).sort("time", "tag", "kept_at", maintain_order=True)


_TAGS: Final[Mapping[str, pl.DataType]] = {
    "id": pl.Int32(),
    "tag": pl.Utf8(),
    "machine": pl.Utf8(),
    "signal": pl.Utf8(),
    "unit": pl.Utf8(),
    "coded": pl.Boolean(),
}


def _tags(database: sqlite3.Connection) -> Iterator[tuple[int, str, str, str, str, bool]]:
    """Id, name, machine, signal, unit and whether it is coded, of all tags that there ever were."""
    for id_, name, machine, unit, coded in database.execute("SELECT id, name, machine, unit, coded FROM tag"):
        # a tag that went before its machine was written beside it: a machine's id seldom has a dot
        mine = name.partition(".")[0] if machine is None else machine
        yield id_, name, mine, name[len(mine) + 1 :], unit, bool(coded)
