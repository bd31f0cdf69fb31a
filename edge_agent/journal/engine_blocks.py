"""The engine's past beyond what it keeps in memory: packed blocks, so that a sample of days ago can still correct.

Rule 1: a block is written in the transaction of the tick that packed it, so checkpoint and blocks are of one instant.
Rule 2: a block is read when it is asked for; what there is, is known without reading the file.
Rule 3: the functions work inside the caller's transaction; they begin and end none.

Weighed for a tag table that has changed: renumber all blocks at the start, or each one when it is read. When it is read
won: a week of blocks is gigabytes that a start would have to write twice, nearly none of them is ever asked for again,
and a tag that comes back has its samples again.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from connectors.samples import Int32
from edge_agent.journal.recovery import indexes_now
from edge_agent.ledger import ARCHIVE_BLOCKS_JOURNAL_FULL
from kpi.packing import retagged


class DamagedBlockError(ValueError):
    """The bytes of a block are not those that were written. start: of the block, ns."""

    def __init__(self, start: int) -> None:
        super().__init__(f"the archived samples from {start} ns on are damaged")
        self.start = start


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """How much of the past is archived. since: start of the oldest block, ns; None where there is none. dropped: blocks
    that went because the journal was full, since it was made."""

    blocks: int
    bytes: int
    since: int | None
    dropped: int = 0


class EngineBlocks:
    """Blocks by their start. Knows which there are; the file is the truth, and is asked again after a rollback."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._bytes: dict[int, int] = {}
        self.reload()

    def reload(self) -> None:
        """What the file says."""
        rows = self._database.execute("SELECT start, bytes FROM engine_block ORDER BY start")
        self._bytes = dict(rows.fetchall())

    @property
    def starts(self) -> list[int]:
        """Starts of all blocks, ns."""
        return list(self._bytes)

    def facts(self) -> ArchiveFacts:
        """How much there is."""
        row = self._database.execute(
            "SELECT total FROM ledger WHERE cause = ?", (ARCHIVE_BLOCKS_JOURNAL_FULL,)
        ).fetchone()
        dropped = int(row[0]) if row else 0
        return ArchiveFacts(len(self._bytes), sum(self._bytes.values()), min(self._bytes, default=None), dropped)

    def put(self, blocks: Mapping[int, bytes], tag_order: int) -> None:
        """Write blocks; each replaces the one of the same start. tag_order: id of the order that they speak of."""
        self._database.executemany(
            "INSERT OR REPLACE INTO engine_block (start, tag_order, bytes, checksum, body) VALUES (?, ?, ?, ?, ?)",
            [(start, tag_order, len(body), zlib.crc32(body), body) for start, body in blocks.items()],
        )
        self._bytes |= {start: len(body) for start, body in blocks.items()}

    def forget_before(self, time: int) -> None:
        """Remove the blocks that end at or before a time; the last one that begins before it reaches past it."""
        self._remove([start for start in self._bytes if start <= time], keep_last=True)

    def forget_from(self, time: int) -> None:
        """Remove the blocks that begin at or after a time: they are in the engine's memory again."""
        self._remove([start for start in self._bytes if start >= time], keep_last=False)

    def free(self, excess: int) -> int:
        """Remove the oldest blocks until at least so many bytes are free; returns how many blocks went."""
        gone: list[int] = []
        for start in sorted(self._bytes):
            if excess <= 0:
                break
            excess -= self._bytes[start]
            gone.append(start)
        self._remove(gone, keep_last=False)
        return len(gone)

    def free_up_to(self, start: int) -> None:
        """Remove a block and all before it."""
        self._remove([one for one in self._bytes if one <= start], keep_last=False)

    def _remove(self, starts: list[int], *, keep_last: bool) -> None:
        if keep_last and starts:
            starts.remove(max(starts))
        if starts:
            self._database.executemany("DELETE FROM engine_block WHERE start = ?", [(start,) for start in starts])
            for start in starts:
                del self._bytes[start]


def block_of(database: sqlite3.Connection, start: int, tag_ids: Int32) -> bytes:
    """A block, in the numbering of the caller's tags. tag_ids: as of `recovery.recovery`.

    Raises KeyError where there is none of this start, DamagedBlockError.
    """
    row = database.execute(
        "SELECT body, checksum, tags FROM engine_block JOIN tag_order ON tag_order.id = engine_block.tag_order"
        " WHERE start = ?",
        (start,),
    ).fetchone()
    if row is None:
        raise KeyError(start)
    body, checksum, order = row
    if zlib.crc32(body) != checksum:
        raise DamagedBlockError(start)
    if order == tag_ids.tobytes():
        return bytes(body)
    now = indexes_now(database, tag_ids)[np.frombuffer(order, np.int32)]
    return retagged(body, dict(enumerate(now.tolist())))


class Archive(Mapping[int, bytes]):
    """Start (ns) → packed block, read when asked for; what there is, is asked at every use."""

    def __init__(self, starts: Callable[[], list[int]], read: Callable[[int], bytes]) -> None:
        self._starts = starts
        self._read = read

    def __getitem__(self, start: int) -> bytes:
        return self._read(start)

    def __iter__(self) -> Iterator[int]:
        return iter(self._starts())

    def __len__(self) -> int:
        return len(self._starts())

    def __contains__(self, start: object) -> bool:
        return start in self._starts()
