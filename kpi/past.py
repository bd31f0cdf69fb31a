"""The past that can still be corrected: blocks in order of time, the older ones packed away.

Rule: a block knows what held just before it, so any stretch of blocks can be folded again without those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kpi.columns import Bool, Columns, Int64, in_order, run_begins
from kpi.fold import Before
from kpi.packing import Numbering, Samples, pack, unpack


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A stretch that was folded. samples: sorted. carry: the last sample of each tag before the start, counters with
    their highest reading, and after a fall with two (`kpi.counters`). Both are still packed where the block was.
    before: what every machine did just before the start."""

    start: int
    end: int
    samples: Samples
    carry: Samples
    before: Before

    def packed(self, machines: list[str]) -> bytes:
        """As bytes. machines: ids by index."""
        return pack({"start": self.start, "end": self.end}, self.before, [self.carry, self.samples], machines)

    @classmethod
    def unpacked(cls, data: bytes, numbering: Numbering) -> Block:
        """From bytes. Raises ValueError where they are damaged."""
        facts, before, (carry, samples) = unpack(data, numbering)
        return cls(facts["start"], facts["end"], samples, carry, before)


def merged(blocks: list[Block]) -> Block:
    """Consecutive blocks as one."""
    samples, _ = in_order(Columns.concat([block.samples.whole() for block in blocks]))
    first = blocks[0]
    return Block(first.start, blocks[-1].end, samples, first.carry, first.before)


class Past:
    """All blocks from the horizon to now, by index. Packed ones are read when asked for, and said when changed.

    archive: start (ns) → packed block; those that end before `oldest` are not used. kept: the blocks in memory, which
    follow the packed ones without a hole. closed: where the past ends, ns.
    """

    oldest: int

    def __init__(
        self, archive: Mapping[int, bytes], kept: list[Block], oldest: int, closed: int, numbering: Numbering
    ) -> None:
        self.oldest = oldest
        self._archive = archive
        self._numbering = numbering
        first = kept[0].start if kept else closed
        packed = sorted(start for start in archive if start < first)
        # A packed block reaches to the start of the next one.
        ends = [after for _, after in pairwise([*packed, first])]
        self._packed = [start for start, end in zip(packed, ends, strict=True) if end > oldest]
        self._blocks: list[Block | None] = [None] * len(self._packed) + list(kept)
        self._changed: set[int] = set()
        self._carry_at_first: dict[int, Samples] = {}
        self.starts: Int64 = np.array([*self._packed, *(block.start for block in kept)], np.int64)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> Block:
        block = self._blocks[index]
        if block is None:
            block = Block.unpacked(self._archive[self._packed[index]], self._numbering)
            self._blocks[index] = block
        return block

    def __setitem__(self, index: int, block: Block) -> None:
        self._carry_at_first.setdefault(index, self[index].carry)
        self._blocks[index] = block
        if index < len(self._packed):
            self._changed.add(index)

    def carry_at_first(self, index: int) -> Samples:
        """What a block, by index, started with before any change: machines of one link are folded after each other."""
        return self._carry_at_first.get(index, self[index].carry)

    def append(self, block: Block) -> None:
        """One more block after the last."""
        self._blocks.append(block)
        self.starts = np.append(self.starts, block.start)

    def index_of(self, time: int) -> int:
        """Index of the block that holds a time (ns); the first where it lies before all."""
        return max(0, int(np.searchsorted(self.starts, time, side="right")) - 1)

    def prepend(self, blocks: Sequence[Block]) -> None:
        """Blocks before the first, where the past turns out to begin earlier; packed, where the first one is."""
        more = len(blocks)
        self._blocks = [*blocks, *self._blocks]
        self._changed = {index + more for index in self._changed}
        self._carry_at_first = {index + more: carry for index, carry in self._carry_at_first.items()}
        if self._packed:
            self._packed = [*(block.start for block in blocks), *self._packed]
            self._changed |= set(range(more))
        self.starts = np.append(np.array([block.start for block in blocks], np.int64), self.starts)

    @property
    def in_memory(self) -> list[Block]:
        """The blocks that are kept."""
        return [block for block in self._blocks[len(self._packed) :] if block is not None]

    def changes(self) -> dict[int, bytes]:
        """Start (ns) → packed block, of the packed ones that were changed."""
        machines = list(self._numbering.machines)
        return {self[index].start: self[index].packed(machines) for index in sorted(self._changed)}


def first_from(past: Past, index: int, wanted: Bool, ahead: Columns) -> Columns:
    """The first sample of each wanted tag from a block on, in the blocks that follow or in what lies ahead of them.

    wanted: by tag. ahead: sorted samples, one of each tag at most, after the last block.
    """
    found = []
    tags = np.flatnonzero(wanted).astype(np.int32)
    while len(tags) and index < len(past):
        first = past[index].samples.first_of(tags)
        found.append(first)
        tags = np.setdiff1d(tags, first.tag, assume_unique=True)
        index += 1
    return Columns.concat([*found, ahead.of_tags(tags)])


def first_of_each_tag(samples: Columns) -> Columns:
    """Of samples sorted by (tag, time), the first of each tag, as columns."""
    return samples.take(run_begins(samples.tag))


def last_of_each_tag(samples: Columns) -> Columns:
    """Of samples sorted by (tag, time), the last of each tag, as columns."""
    last = np.ones(len(samples), np.bool_)
    last[:-1] = samples.tag[1:] != samples.tag[:-1]
    return samples.take(last)
