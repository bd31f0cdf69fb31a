"""What replays keep of history, so that the next one joins on: the edges of what they covered, machines by machines.

A strand is a set of machines whose history was replayed together; its blocks are stretches near the edges of what is
covered, each with its samples and with what the engine held where it begins.

Rule 1: a block is written in the transaction of the bite that it belongs to, so rows and blocks are of one instant.
Rule 2: what a strand's facts say is the replay's own matter (`edge_agent.replay.strands`); here they are text.
Rule 3: the functions work inside the caller's transaction; they begin and end none.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.samples import SampleBatch
from edge_agent.journal import sample_log


class DamagedStrandError(ValueError):
    """The bytes of a block are not those that were written."""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """A block without its contents. start, end: ns. reaches: ns; a sample within it may change rows from there on.
    samples: how many it has."""

    start: int
    end: int
    reaches: int
    samples: int


@dataclass(frozen=True, slots=True, eq=False)
class StrandBlock:
    """A block. state: the engine's (`Engine.state`) at its start, empty where an engine of its own begins there.
    known: the last sample of each tag before it, as it came. samples: its own, scaled, in order of time; tags by the
    numbering that the strand's facts speak of."""

    facts: BlockFacts
    state: bytes
    known: SampleBatch
    samples: SampleBatch


@dataclass(frozen=True, slots=True, eq=False)
class StrandTick:
    """What a transaction changes of one strand.

    facts: None = the strand goes, with its blocks. forked_from: id of the strand whose blocks this one begins with;
    None = its own. removed: [start, end), ns: blocks that begin in one of these go. blocks: written, then.
    """

    id: int
    facts: str | None
    forked_from: int | None = None
    removed: Sequence[tuple[int, int]] = ()
    blocks: Sequence[StrandBlock] = ()


def write(database: sqlite3.Connection, ticks: Sequence[StrandTick]) -> None:
    """Write what changed."""
    for tick in ticks:
        if tick.forked_from is not None:
            database.execute(
                "INSERT INTO strand_block SELECT ?, start, end, reaches, samples, checksum, state, known, body"
                " FROM strand_block WHERE strand = ?",
                (tick.id, tick.forked_from),
            )
        gone = ((tick.id, -(2**63), 2**63 - 1),) if tick.facts is None else [(tick.id, *one) for one in tick.removed]
        database.executemany("DELETE FROM strand_block WHERE strand = ? AND start >= ? AND start < ?", gone)
        if tick.facts is None:
            database.execute("DELETE FROM strand WHERE id = ?", (tick.id,))
        else:
            database.execute("INSERT OR REPLACE INTO strand VALUES (?, ?)", (tick.id, tick.facts))
        database.executemany(
            "INSERT OR REPLACE INTO strand_block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_row(tick.id, block) for block in tick.blocks],
        )


def strands(database: sqlite3.Connection) -> Mapping[int, tuple[str, tuple[BlockFacts, ...]]]:
    """Id → facts and blocks, in order of time."""
    blocks: dict[int, list[BlockFacts]] = {}
    query = "SELECT strand, start, end, reaches, samples FROM strand_block ORDER BY strand, start"
    for id_, *facts in database.execute(query):
        blocks.setdefault(id_, []).append(BlockFacts(*facts))
    rows = database.execute("SELECT id, facts FROM strand ORDER BY id")
    return {id_: (facts, tuple(blocks.get(id_, ()))) for id_, facts in rows}


def block(database: sqlite3.Connection, strand: int, start: int) -> StrandBlock:
    """One block. Raises KeyError where there is none, DamagedStrandError."""
    row = database.execute(
        "SELECT start, end, reaches, samples, checksum, state, known, body FROM strand_block"
        " WHERE strand = ? AND start = ?",
        (strand, start),
    ).fetchone()
    if row is None:
        raise KeyError((strand, start))
    *facts, checksum, state, known, body = row
    if zlib.crc32(state + known + body) != checksum:
        raise DamagedStrandError(f"the samples that a replay kept from {start} ns on are damaged")
    return StrandBlock(
        BlockFacts(*facts),
        state,
        sample_log.unpack(known, zlib.crc32(known)),
        sample_log.unpack(body, zlib.crc32(body)),
    )


def _row(strand: int, one: StrandBlock) -> tuple[object, ...]:
    facts = one.facts
    known, _ = sample_log.pack(one.known, one.known.tag)
    body, _ = sample_log.pack(one.samples, one.samples.tag)
    checksum = zlib.crc32(one.state + known + body)
    return strand, facts.start, facts.end, facts.reaches, facts.samples, checksum, one.state, known, body
