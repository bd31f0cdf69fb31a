"""Samples to elements: the live engine, a fold over minutes that can go back.

The past within the horizon is kept as blocks: the samples of a stretch, and what held just before it. A minute is
computed once, when the watermark passes it, for all machines in one go; a late sample folds its machines again from its
block on. Two other ways were weighed: to add each interval's share as it comes and to take it back when a late sample
splits it (cheap for one late sample, but every rule needs an inverse), and to compute open minutes at every tick (each
sample many times over). Folding again keeps one rule in one place, and costs each sample one computation.

Rule: the table depends on the samples alone. Order of arrival, cut into batches, when `advance` was called, and
restarts leave no trace in it, as long as no sample is later than the horizon.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from kpi.bindings import Bindings
from kpi.checkpoint import Checkpoint
from kpi.columns import Bool, Columns, Float64, Int32, Int64, Series, UInt8, in_order
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.fold import Before, Step, step, usable
from kpi.plant import Plant
from kpi.stops import NO_STOP

_ROWS_A_STEP: Final = 200_000
"""Bounds the memory of one step; more makes it no faster."""

ELEMENT_SCHEMA: Final = pl.Schema(
    {
        "machine": pl.Int32,
        "time": pl.Int64,
        "shift": pl.Int32,
        "shift_start": pl.Int64,
        "product": pl.Int32,
        **dict.fromkeys(ELEMENT_IDS, pl.Int64),
    }
)
INTERVAL_SCHEMA: Final = pl.Schema(
    {"machine": pl.Int32, "start": pl.Int64, "end": pl.Int64, "state": pl.Int32, "product": pl.Int32}
)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What an advance changed.

    elements: key columns `kpi.elements.KEYS` and one Int64 column per element id; rows replace rows of the same
        (machine, time): all rows of each (machine, time) that occurs are given anew.
    intervals: machine Int32, start Int64, end Int64, state Int32 (`State`), product Int32; state intervals cut at
        minute edges; they replace all intervals of each (machine, minute) that occurs in `elements`.
    decisions: count of each engine decision since the last update: `duplicate`, `conflict` (two values at one time),
        `out_of_order`, `late` (corrected a closed minute), `beyond_horizon` (came too late to), `counter_reset`,
        `counter_rollover`, `counter_step_back`, `unmapped_state` (stretches with good signals and no rule).
    """

    elements: pl.DataFrame
    intervals: pl.DataFrame
    decisions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, steps: list[Step], decisions: Mapping[str, int]) -> Update:
        """What several steps changed."""
        if not steps:
            return cls(pl.DataFrame(schema=ELEMENT_SCHEMA), pl.DataFrame(schema=INTERVAL_SCHEMA), dict(decisions))
        return cls(pl.concat([s.elements for s in steps]), pl.concat([s.intervals for s in steps]), dict(decisions))


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A stretch that was folded. samples: sorted. carry: the last sample of each tag before the start, counters with
    their highest reading. before: what every machine did just before the start."""

    start: int
    end: int
    samples: Columns
    carry: Columns
    before: Before


class Engine:
    """Minute elements of all machines, from samples in any order.

    horizon_ns: how far behind the watermark a sample may be and still correct what was said. most_samples: how many
    samples the engine keeps for that at most; where they are more, the horizon is shorter.
    """

    def __init__(self, plant: Plant, *, horizon_ns: int, most_samples: int = 3_000_000) -> None:
        self._bindings = Bindings(plant)
        self._horizon = horizon_ns
        self._most_samples = most_samples
        self._blocks: list[_Block] = []
        self._closed: int | None = None
        self._began = 0
        self._carry = Columns.empty()
        self._before = Before.nothing(self._bindings.machines)
        self._arrived: list[Columns] = []
        self._waiting = Columns.empty()
        self._settled = np.zeros(self._bindings.tags, np.int64)
        self._count_from = 0

    def uses(self, tag: Int32) -> Bool:
        """Which of the tags, shape (n,), the engine needs: only these are to be kept for a restart."""
        known = tag < self._bindings.tags
        return known & self._bindings.used[np.where(known, tag, 0)]

    def add(self, tag: Int32, time: Int64, value: Float64, quality: UInt8) -> None:
        """Take on samples, parallel columns of shape (n,), in any order; values are scaled. Cheap.

        Samples of tags that the engine does not use are passed over.
        """
        if self._bindings.machines:
            mine = self.uses(tag)
            columns = Columns(tag, time, value, quality)
            self._arrived.append(columns if mine.all() else columns.take(mine))

    def advance(self, watermark: int) -> Update:
        """Close all minutes that end at or before the watermark (ns); correct closed ones that late samples touch."""
        return self._advance(watermark - watermark % MINUTE_NS)

    def provisional(self, now: int) -> Update:
        """All rows that are not closed, or not right yet, as they stand at `now` (ns); changes nothing.

        The row of a minute that is not over holds the time until now.
        """
        self._settle_arrivals()
        twin = copy.copy(self)
        twin._blocks = list(self._blocks)
        twin._settled = self._settled.copy()
        return twin._advance(now)

    @property
    def closed(self) -> int | None:
        """The end (ns) of the last closed minute; None before the first."""
        return self._closed

    @property
    def keep_from(self) -> int:
        """Samples before this time (ns) are in the checkpoint; those at or after it must be added again on restart."""
        return self._blocks[0].start if self._blocks else self._closed or 0

    def checkpoint(self) -> bytes:
        """The state at `keep_from`; restored and given the samples since, an engine goes on as this one would.

        To be taken right after `advance`, before anything else is added.
        """
        first = self._blocks[0] if self._blocks else None
        before = first.before if first else self._before
        return Checkpoint(
            start=self.keep_from,
            began=self._began,
            closed=self._closed or 0,
            carry=first.carry if first else self._carry,
            machines=[m.id for m in self._bindings.plant.machines],
            state=before.state,
            stop_since=before.stop_since,
        ).pack()

    @classmethod
    def restore(
        cls,
        plant: Plant,
        checkpoint: bytes,
        *,
        horizon_ns: int,
        most_samples: int = 3_000_000,
        tag_map: Mapping[int, int] | None = None,
    ) -> Engine:
        """An engine from a checkpoint.

        tag_map: old tag index → new, where the tag table has changed; tags that it does not name are gone.
        Raises ValueError where the checkpoint cannot be read.
        """
        engine = cls(plant, horizon_ns=horizon_ns, most_samples=most_samples)
        held = Checkpoint.unpack(checkpoint)
        if held.start:
            engine._closed = held.start
            engine._began = held.began
            engine._count_from = held.closed
            carry = held.carry if tag_map is None else _renamed(held.carry, tag_map)
            engine._carry, _ = in_order(carry.take(engine.uses(carry.tag)))
            index = {machine.id: i for i, machine in enumerate(plant.machines)}
            old = np.array([i for i, name in enumerate(held.machines) if name in index], np.int32)
            new = np.array([index[name] for name in held.machines if name in index], np.int32)
            engine._before = engine._before.with_part(new, Before(held.state, held.stop_since).of(old))
        return engine

    def _advance(self, end: int) -> Update:
        decisions = self._settle_arrivals()
        if self._closed is None and not self._begin(end):
            return Update.of([], decisions)
        assert self._closed is not None
        most = max(1, _ROWS_A_STEP // max(1, self._bindings.machines)) * MINUTE_NS
        steps: list[Step] = []
        while True:
            until = min(end, self._closed + most)
            steps += self._step(until, decisions)
            if self._closed >= end:
                break
        self._forget(end)
        return Update.of(steps, decisions)

    def _settle_arrivals(self) -> Counter[str]:
        """Sort what arrived into what waits."""
        if not self._arrived:
            return Counter()
        self._waiting, decisions = in_order(Columns.concat([self._waiting, *self._arrived]))
        self._arrived = []
        self._waiting = usable(self._bindings, self._waiting)
        return decisions

    def _begin(self, end: int) -> bool:
        """Where it all starts: the minute in which a link first came up; where there is none, of the first sample.

        What the sources say of the time before is what they start with.
        """
        links = self._waiting.time[self._bindings.is_link[self._waiting.tag]]
        times = links if len(links) else self._waiting.time
        if not len(times):
            return False
        begin = int(times.min())
        begin -= begin % MINUTE_NS
        if begin >= end:
            return False
        before = self._waiting.time < begin
        self._carry = _last_of_each_tag(self._waiting.take(before))
        self._waiting = self._waiting.take(~before)
        self._closed = self._began = begin
        return True

    def _step(self, end: int, decisions: Counter[str]) -> list[Step]:
        """Fold on to `end`, and again from where late samples and meters reach back to."""
        assert self._closed is not None
        closed = self._closed
        late = self._waiting.time < closed
        again = self._put_back(self._waiting.take(late), decisions) if late.any() else {}
        end = max(end, closed)
        now = self._waiting.take((self._waiting.time >= closed) & (self._waiting.time < end))
        later = self._waiting.take(self._waiting.time >= end)
        for found in (self._unsettled(now), self._stops_turned_long(end), self._stops_reached(again)):
            for machine, block in found.items():
                again[machine] = min(again.get(machine, block), block)
        ahead = _first_of_each_tag(later.take(self._bindings.is_energy[later.tag]))
        steps = self._fold(now, ahead, again, end, decisions)
        self._settled[ahead.tag] = ahead.time
        self._waiting = later
        self._count_from = max(self._count_from, end)
        return steps

    def _put_back(self, late: Columns, decisions: Counter[str]) -> dict[int, int]:
        """Put late samples into their blocks. Returns machine → index of the first block to fold again."""
        again: dict[int, int] = {}
        starts = np.array([b.start for b in self._blocks], np.int64)
        which = np.searchsorted(starts, late.time, side="right") - 1
        for index in np.unique(which).tolist():
            mine = late.take(which == index)
            fresh = self._put_before(mine, decisions) if index < 0 else self._put_into(index, mine, decisions)
            _, machines = self._bindings.owners.expand(fresh.tag)
            for machine in np.unique(machines).tolist():
                again[machine] = min(again.get(machine, max(index, 0)), max(index, 0))
            for machine, block in self._meters_back(fresh, max(index, 0)).items():
                again[machine] = min(again[machine], block)
        return again

    def _put_into(self, index: int, late: Columns, decisions: Counter[str]) -> Columns:
        """Late samples into a block that is still kept; returns those that are new to it."""
        block = self._blocks[index]
        fresh = late.take(~_held_already(block.samples, late, block.start, block.end, self._bindings.tags))
        decisions["duplicate"] += len(late) - len(fresh)
        decisions["late"] += len(fresh)
        merged, judged = in_order(Columns.concat([block.samples, fresh]))
        decisions["conflict"] += judged["conflict"]
        self._blocks[index] = replace(block, samples=merged)
        return fresh

    def _put_before(self, late: Columns, decisions: Counter[str]) -> Columns:
        """Samples from before all blocks: the newest of each tag is what it held when the blocks start.

        Before the beginning of all there is nothing to correct. Later, what they would change before the blocks stays
        as it is and is counted, and readings of counters count at the start of the blocks.
        """
        late = _last_of_each_tag(late)
        first = self._blocks[0] if self._blocks else None
        carry = first.carry if first else self._carry
        start = first.start if first else self._closed or 0
        held = Series(carry, start, start + MINUTE_NS, self._bindings.tags).at(
            late.tag, np.full(len(late), start, np.int64)
        )
        known = held >= 0
        newer = ~known
        newer[known] = late.time[known] > carry.time[held[known]]
        same = known.copy()
        same[known] = late.time[known] == carry.time[held[known]]
        decisions["duplicate"] += int(np.count_nonzero(same))
        reading = np.zeros(len(late), np.bool_)
        if start > self._began:
            decisions["beyond_horizon"] += int(np.count_nonzero(known & ~same))
            counts = self._bindings.is_counter[late.tag] | self._bindings.is_energy[late.tag]
            reading = newer & known & counts
        adopted = late.take(newer & ~reading)
        merged, _ = in_order(Columns.concat([carry.take(~np.isin(carry.tag, adopted.tag)), adopted]))
        moved = late.take(reading)
        moved = Columns(moved.tag, np.full(len(moved), start, np.int64), moved.value, moved.quality)
        if first:
            samples, _ = in_order(Columns.concat([first.samples, moved]))
            self._blocks[0] = replace(first, carry=merged, samples=samples)
        else:
            self._carry = merged
            self._waiting, _ = in_order(Columns.concat([self._waiting, moved]))
        return late.take(newer)

    def _meters_back(self, fresh: Columns, index: int) -> dict[int, int]:
        """Machines whose meters' late readings reach back to an earlier block: their interval began there."""
        meters = np.unique(fresh.tag[self._bindings.is_energy[fresh.tag]])
        return self._blocks_since(meters, self._blocks[index].carry) if self._blocks else {}

    def _unsettled(self, now: Columns) -> dict[int, int]:
        """Machines with a meter whose last interval was not complete when its blocks were folded."""
        first = _first_of_each_tag(now.take(self._bindings.is_energy[now.tag]))
        meters = first.tag[first.time != self._settled[first.tag]]
        return self._blocks_since(meters, self._carry)

    def _stops_turned_long(self, end: int) -> dict[int, int]:
        """Machines whose open stop has been a minor one so far, and need not be any more."""
        if not self._blocks:
            return {}
        since = self._before.stop_since
        long_at = since + self._bindings.minor_stop
        turned = (since != NO_STOP) & (long_at > self._blocks[-1].end) & (long_at <= end)
        return {m: self._block_of(int(since[m])) for m in np.flatnonzero(turned).tolist()}

    def _stops_reached(self, again: Mapping[int, int]) -> dict[int, int]:
        """Machines to be folded again from within a stop: its earlier part may be judged anew."""
        since = {m: int(self._blocks[b].before.stop_since[m]) for m, b in again.items() if b < len(self._blocks)}
        return {m: self._block_of(s) for m, s in since.items() if s != NO_STOP}

    def _block_of(self, time: int) -> int:
        """Index of the block that holds a time; the first where it lies before all."""
        return max(0, sum(block.start <= time for block in self._blocks) - 1)

    def _blocks_since(self, meters: Int32, carry: Columns) -> dict[int, int]:
        """Machine → index of the block of each meter's last reading in the carry."""
        held = carry.take(np.isin(carry.tag, meters))
        if not len(held) or not self._blocks:
            return {}
        starts = np.array([b.start for b in self._blocks], np.int64)
        block = np.maximum(np.searchsorted(starts, held.time, side="right") - 1, 0)
        index, machine = self._bindings.owners.expand(held.tag)
        back: dict[int, int] = {}
        for m, b in zip(machine.tolist(), block[index].tolist(), strict=True):
            back[m] = min(back.get(m, b), b)
        return back

    def _fold(
        self, now: Columns, ahead: Columns, again: Mapping[int, int], end: int, decisions: Counter[str]
    ) -> list[Step]:
        """Fold the new stretch for all machines, and for those of `again` from their block on."""
        closed = self._closed
        assert closed is not None
        kept = list(self._blocks)
        if end > closed:
            kept.append(_Block(closed, end, now, self._carry, self._before))
        if not kept:
            return []
        groups: dict[int, list[int]] = defaultdict(list)
        for machine, block in again.items():
            groups[block].append(machine)
        if end > closed:
            rest = np.ones(self._bindings.machines, np.bool_)
            rest[list(again)] = False
            groups[len(kept) - 1] += np.flatnonzero(rest).tolist()
        carries = [block.carry for block in kept[1:]] + [self._carry]
        befores = [block.before for block in kept[1:]] + [self._before]
        steps = []
        for index, members in sorted(groups.items()):
            if members:
                steps.append(self._fold_group(kept, index, members, ahead, end, carries, befores))
                decisions.update(steps[-1].decisions)
        for i in range(1, len(kept)):
            kept[i] = replace(kept[i], carry=carries[i - 1], before=befores[i - 1])
        self._blocks, self._carry, self._before, self._closed = kept, carries[-1], befores[-1], end
        return steps

    def _fold_group(
        self,
        kept: list[_Block],
        index: int,
        members: list[int],
        ahead: Columns,
        end: int,
        carries: list[Columns],
        befores: list[Before],
    ) -> Step:
        """Fold some machines from a block on; their part of what later blocks start with is replaced."""
        machines = np.array(sorted(members), np.int32)
        mine = self._bindings.tags_of(machines)
        parts = [kept[index].carry, *(block.samples for block in kept[index:]), ahead]
        if not mine.all():
            parts = [part.take(mine[part.tag]) for part in parts]
        samples, _ = in_order(Columns.concat(parts))
        edges = np.array([block.end for block in kept[index:]], np.int64)
        start = kept[index].start
        done = step(
            self._bindings, samples, machines, kept[index].before.of(machines), start, end, edges, self._count_from
        )
        held = Series(done.highest, start, end, self._bindings.tags)
        tags = np.flatnonzero(mine).astype(np.int32)
        for offset, edge in enumerate(edges.tolist()):
            at = held.at(tags, np.full(len(tags), edge - 1, np.int64))
            fresh = done.highest.take(at[at >= 0])
            old = carries[index + offset]
            old = old.take(~mine[old.tag])
            carries[index + offset] = fresh if not len(old) else in_order(Columns.concat([old, fresh]))[0]
            befores[index + offset] = befores[index + offset].with_part(machines, done.before[offset])
        return done

    def _forget(self, watermark: int) -> None:
        """Drop blocks that lie behind the horizon, or are more than may be kept."""
        kept = sum(len(block.samples) for block in self._blocks)
        first = 0
        while first < len(self._blocks) - 1 and (
            self._blocks[first].end <= watermark - self._horizon or kept > self._most_samples
        ):
            kept -= len(self._blocks[first].samples)
            first += 1
        self._blocks = self._blocks[first:]


def _held_already(held: Columns, samples: Columns, start: int, end: int, tags: int) -> Bool:
    """Whether each sample is already there, equal in all."""
    at = Series(held, start, end, tags).at(samples.tag, samples.time)
    found = at >= 0
    i = at[found]
    found[found] = (
        (held.time[i] == samples.time[found])
        & (held.quality[i] == samples.quality[found])
        & ((held.value[i] == samples.value[found]) | (np.isnan(held.value[i]) & np.isnan(samples.value[found])))
    )
    return found


def _last_of_each_tag(samples: Columns) -> Columns:
    last = np.ones(len(samples), np.bool_)
    last[:-1] = samples.tag[1:] != samples.tag[:-1]
    return samples.take(last)


def _first_of_each_tag(samples: Columns) -> Columns:
    first = np.ones(len(samples), np.bool_)
    first[1:] = samples.tag[1:] != samples.tag[:-1]
    return samples.take(first)


def _renamed(samples: Columns, tag_map: Mapping[int, int]) -> Columns:
    kept = np.isin(samples.tag, list(tag_map))
    samples = samples.take(kept)
    tag = np.array([tag_map[t] for t in samples.tag.tolist()], np.int32)
    return Columns(tag, samples.time, samples.value, samples.quality)
