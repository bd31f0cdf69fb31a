"""Samples in columns, sorted by tag and time: the one form that everything in the engine reads.

Rule: at one time a tag has one value. Of several, the best quality wins, then the largest value: a rule that does not
depend on the order of arrival. Two equal ones are a duplicate, two different ones a conflict; both are counted.
Source: the project's own; no standard says what holds of two values at one time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

GOOD = 0
UNCERTAIN = 1
BAD = 2

MOST = 1e12
"""The largest value that can be counted with: millionths of a few of them still fit 63 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Parallel columns of shape (n,): tag int32, time int64 ns, value float64 (scaled), quality uint8 (0 = good)."""

    tag: Int32
    time: Int64
    value: Float64
    quality: UInt8

    def __len__(self) -> int:
        return len(self.tag)

    @classmethod
    def empty(cls) -> Columns:
        """No samples."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8))

    @classmethod
    def concat(cls, parts: Sequence[Columns]) -> Columns:
        """All samples of the parts, columns of shape (n,), one part after the other."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls.empty()
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([p.tag for p in parts]),
            np.concatenate([p.time for p in parts]),
            np.concatenate([p.value for p in parts]),
            np.concatenate([p.quality for p in parts]),
        )

    def take(self, index: Index | Bool | slice) -> Columns:
        """The samples at an index, shape (m,), or for which a mask, shape (n,), is true; a slice shares memory."""
        return Columns(self.tag[index], self.time[index], self.value[index], self.quality[index])

    def of_tags(self, tags: Int32) -> Columns:
        """Of sorted samples, those of some tags, int32 shape (k,), ascending; costs what it gives."""
        begin, end = (np.searchsorted(self.tag, tags, side=side) for side in ("left", "right"))
        count = end - begin
        if (begin[1:] == end[:-1]).all():
            return self.take(slice(int(begin[0]), int(end[-1]))) if len(tags) else self.take(slice(0))
        return self.take(np.repeat(begin - (np.cumsum(count) - count), count) + np.arange(count.sum()))

    def whole(self) -> Columns:
        """All samples, shape (n,); as `kpi.packed_columns.PackedColumns` answers."""
        return self

    def first_of(self, tags: Int32) -> Columns:
        """Of sorted samples, the first of each of some tags (int32, ascending) that has any; k at most."""
        at = np.searchsorted(self.tag, tags)
        has = at < len(self)
        has[has] = self.tag[at[has]] == tags[has]
        return self.take(at[has])

    def put_in(self, more: Columns) -> tuple[Columns, Columns, int]:
        """Sorted samples with a few more, which of those are new, and how many of them are in conflict.

        more: sorted, one a time, shape (m,). What is there already, equal in all, is not new.
        """
        place, there = _places(self, more)
        i = place[there] - 1
        value, held = more.value[there], self.value[i]
        equal = there.copy()
        equal[there] = (self.quality[i] == more.quality[there]) & ((held == value) | (np.isnan(held) & np.isnan(value)))
        new = more.take(~equal)
        conflicts = int(np.count_nonzero(there & ~equal))
        if conflicts:
            return in_order(Columns.concat([self, new]))[0], new, conflicts
        place = place[~equal]
        merged = Columns(
            np.insert(self.tag, place, new.tag),
            np.insert(self.time, place, new.time),
            np.insert(self.value, place, new.value),
            np.insert(self.quality, place, new.quality),
        )
        return merged, new, 0


def run_begins(column: npt.NDArray[np.generic]) -> Bool:
    """Where a run of equal values begins, bool, shape (n,)."""
    begins = np.ones(len(column), np.bool_)
    begins[1:] = column[1:] != column[:-1]
    return begins


def countable(samples: Columns) -> tuple[Columns, int]:
    """The samples with those as bad that no number of pieces, kilowatts or codes can be, and how many those are.

    Some controllers say that they have no value with the largest number that they can write. To be asked before samples
    are put in order, since of two values at one time the larger one holds.
    """
    wild = (samples.quality == GOOD) & ~(np.abs(samples.value) <= MOST)
    if not wild.any():
        return samples, 0
    value, quality = samples.value.copy(), samples.quality.copy()
    value[wild], quality[wild] = np.nan, BAD
    return Columns(samples.tag, samples.time, value, quality), int(np.count_nonzero(wild))


def in_order(samples: Columns) -> tuple[Columns, Counter[str]]:
    """Columns of shape (n,) sorted by (tag, time) with one value a time, and how many samples were `duplicate`,
    `conflict`, `out_of_order`.

    Cheap where each tag's samples already come in the order of their time: then one stable sort by tag is all.
    """
    decisions: Counter[str] = Counter()
    if len(samples) < 2:
        return samples, decisions
    if (samples.tag[1:] < samples.tag[:-1]).any():
        samples = samples.take(_by_tag(samples.tag))
    same_tag = samples.tag[1:] == samples.tag[:-1]
    step = samples.time[1:] - samples.time[:-1]
    backwards = int(np.count_nonzero(same_tag & (step < 0)))
    if backwards:
        decisions["out_of_order"] = backwards
        samples = samples.take(np.lexsort((samples.time, samples.tag)))
        same_tag = samples.tag[1:] == samples.tag[:-1]
        step = samples.time[1:] - samples.time[:-1]
    again = same_tag & (step == 0)
    if again.any():
        samples = _one_a_time(samples, decisions)
    return samples, decisions


def _by_tag(tag: Int32) -> Index:
    """A stable order by tag; on 16 bits numpy sorts by radix, which is several times as fast."""
    small = tag.astype(np.uint16) if len(tag) and tag.max() < 1 << 16 else tag
    return np.argsort(small, kind="stable")


def _one_a_time(samples: Columns, decisions: Counter[str]) -> Columns:
    """One value for each (tag, time): best quality, then largest value."""
    value = np.where(np.isnan(samples.value), -np.inf, samples.value)
    samples = samples.take(np.lexsort((value, -samples.quality.astype(np.int16), samples.time, samples.tag)))
    again = (samples.tag[1:] == samples.tag[:-1]) & (samples.time[1:] == samples.time[:-1])
    equal = (samples.quality[1:] == samples.quality[:-1]) & (
        (samples.value[1:] == samples.value[:-1]) | (np.isnan(samples.value[1:]) & np.isnan(samples.value[:-1]))
    )
    decisions["duplicate"] += int(np.count_nonzero(again & equal))
    decisions["conflict"] += int(np.count_nonzero(again & ~equal))
    last = np.append(~again, True)
    return samples.take(last)


class Series:
    """Sorted samples that answer: which sample of this tag held at this time?

    samples: sorted by (tag, time), one a time. start, end: ns; the times that are asked for lie in [start, end].
    tags: how many tags there are. Samples before the start count as the values that the stretch starts with, those
    after the end are never found by a time of the stretch. Raises ValueError where tags × stretch does not fit 63 bits.
    """

    def __init__(self, samples: Columns, start: int, end: int, tags: int) -> None:
        self.samples = samples
        self._base = start
        self._span = end - start + 3
        if self._span * (tags + 1) > np.iinfo(np.int64).max:
            raise ValueError(f"{tags} tags over {(end - start) / 3.6e12:.0f} h do not fit one stretch")
        offset = np.clip(samples.time - start, -1, self._span - 2) + 1
        self._key = samples.tag.astype(np.int64) * self._span + offset
        self._first = np.searchsorted(samples.tag, np.arange(tags + 1, dtype=np.int32))

    def of(self, index: Index) -> Series:
        """The samples at an index, ascending, asked for the same times."""
        part = copy(self)
        part.samples, part._key = self.samples.take(index), self._key[index]
        part._first = np.searchsorted(part.samples.tag, np.arange(len(self._first), dtype=np.int32))
        return part

    def at(self, tag: npt.NDArray[np.signedinteger], time: Int64) -> Index:
        """Index of the last sample of each tag at or before each time (ns); -1 where there is none or the tag is -1.

        tag, time: shapes (k,). Returns intp, shape (k,).
        """
        key = tag.astype(np.int64) * self._span + (time - self._base + 1)
        index = np.searchsorted(self._key, key, side="right") - 1
        index[(tag < 0) | (index < self._first[np.maximum(tag, 0)])] = -1
        return index


def _places(samples: Columns, more: Columns) -> tuple[Index, Bool]:
    """Where each sample belongs: behind all of its tag that are not later; and whether the one before is of its time.

    Halves the run of each tag until it is found: for a few samples among very many, it looks at hardly any of those.
    """
    first = np.searchsorted(samples.tag, more.tag)
    low, high = first.copy(), np.searchsorted(samples.tag, more.tag, side="right")
    while (unsure := np.flatnonzero(low < high)).size:
        middle = (low[unsure] + high[unsure]) // 2
        not_later = samples.time[middle] <= more.time[unsure]
        low[unsure] = np.where(not_later, middle + 1, low[unsure])
        high[unsure] = np.where(not_later, high[unsure], middle)
    there = low > first
    there[there] = samples.time[low[there] - 1] == more.time[there]
    return low, there
