"""Samples to elements: the live engine, a fold over minutes that can go back.

The past within the horizon is kept as blocks: the samples of a stretch, and what held just before it. A minute is
computed once, when the watermark passes it, for all machines in one go; a late sample folds its machines again, from
its block on, as far as it makes a difference. Two other ways were weighed: to add each interval's share as it comes and
to take it back when a late sample splits it (cheap for one late sample, but every rule needs an inverse), and to
compute open minutes at every tick (each sample many times over). Folding again keeps one rule in one place, and costs
each sample one computation.

Rule: the table depends on the samples alone. Order of arrival, cut into batches, when `advance` was called, and
restarts leave no trace in it, as long as no sample is later than the horizon. Only where time is left out, as in a hole
of more than a year, depends on the advances in it: live, an outage is told as it goes on.
"""

from __future__ import annotations

import copy
from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np
import polars as pl

from kpi.beginning import earlier_blocks, first_minute, kept, start_values, with_more
from kpi.bindings import NEVER, Bindings
from kpi.calendar import planned_times
from kpi.columns import GOOD, Bool, Columns, Float64, Int32, Int64, Series, UInt8, countable, in_order
from kpi.decisions import NO_DECISIONS, latest
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.fold import Before, Step, step, usable
from kpi.measured import MEASURED_SCHEMA
from kpi.packing import Numbering, Samples, pack, unpack
from kpi.past import Block, Past, first_from, last_of_each_tag, merged
from kpi.plant import Calendar, Plant
from kpi.restating import Unsaid
from kpi.stops import NO_STOP
from kpi.switch import decided

_ROWS_A_STEP: Final = 200_000
"""Bounds the memory of one step; more makes it no faster."""

_LONGEST_HOLE_NS: Final = 366 * 24 * HOUR_NS
"""A hole without any sample that is longer is no outage: a gateway's clock was set. It is not filled."""

_ARCHIVE_NS: Final = HOUR_NS
"""Blocks are packed away by the hour: small enough to be read for one late sample, few enough for a week of them."""

_LONGEST_UNSETTLED_NS: Final = 25 * HOUR_NS
"""Meters that are read once a day are settled within it."""

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
    {
        "machine": pl.Int32,
        "start": pl.Int64,
        "end": pl.Int64,
        "state": pl.Int32,
        "product": pl.Int32,
        "reason": pl.Int32,
    }
)

Archive = Mapping[int, bytes]
"""Start (ns) → packed block, as `Update.archive` gave it. May read when asked; only what is needed is asked for."""

_NO_ARCHIVE: Final[Archive] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What an advance changed.

    elements: key columns `kpi.elements.KEYS` and one Int64 column per element id; rows replace rows of the same
        (machine, time): all rows of each (machine, time) that occurs are given anew.
    intervals: machine Int32, start Int64, end Int64, state Int32 (`State`), product and reason Int32 (text codes, -1 =
        none); state intervals cut at minute edges; they replace all intervals of each (machine, minute) that occurs in
        `elements`.
    measured: statistics of measured values as `kpi.measured.MEASURED_SCHEMA`, a row for each characteristic and minute
        that has values; rows replace rows of the same (machine, time, characteristic).
    decisions: count of each engine decision since the last update: `duplicate`, `conflict` (two values at one time),
        `out_of_order`, `late` (corrected a closed minute), `beyond_horizon` (came too late to), `before_begin` (older
        than the first row, so it can only be what a tag starts with), `began_again` (after more than a year of
        nothing), `value_too_large` (taken as bad), `meter_beyond_horizon` (a meter was read whose reading before is
        older than what can be corrected: its share of the time until then is in no minute), `counter_reset`,
        `counter_rollover`, `counter_step_back`, `counter_jump`, `counter_fall` (not judged yet), `counter_excursion` (a
        fall that was none), `counter_lowered` (counts on from where it stepped back to), `counter_after_gap` (a rise
        after time without data), `reason_beyond_horizon` (a reason of a standstill that began before what can be
        corrected), `counter_stuck` (stood still for too long), `unmapped_state` (good signals and no
        rule), `power_hole` (a value of power after a time of which nothing was added up).
    archive: start (ns) → packed block, to be kept until it is older than the horizon; a block replaces the one of the
        same start.
    decided: decisions about counters, `kpi.decisions.DECISION_SCHEMA`; they replace all of each (machine, minute) that
        occurs in `elements`.
    beyond: the samples that `decisions` counts as `beyond_horizon`, shape (that count,), each said once; in no order.
    """

    elements: pl.DataFrame
    intervals: pl.DataFrame
    measured: pl.DataFrame
    decisions: Mapping[str, int] = field(default_factory=dict)
    archive: Archive = field(default_factory=dict)
    decided: pl.DataFrame = field(default_factory=lambda: NO_DECISIONS)
    beyond: Columns = field(default_factory=Columns.empty)

    @classmethod
    def of(
        cls, steps: Sequence[Sequence[Step]], decisions: Mapping[str, int], archive: Mapping[int, bytes] = _NO_ARCHIVE
    ) -> Update:
        """What several steps changed, one after the other; a later one's rows stand in place of an earlier one's."""
        minute = pl.col("start") - pl.col("start") % MINUTE_NS
        return cls(
            _latest([[s.elements for s in part] for part in steps], ELEMENT_SCHEMA, pl.col("time")),
            _latest([[s.intervals for s in part] for part in steps], INTERVAL_SCHEMA, minute),
            _latest([[s.measured for s in part] for part in steps], MEASURED_SCHEMA, pl.col("time")),
            dict(decisions),
            dict(archive),
            latest([[(s.elements, s.decided) for s in part] for part in steps]),
        )


def _latest(steps: list[list[pl.DataFrame]], schema: pl.Schema, minute: pl.Expr) -> pl.DataFrame:
    """Rows of all steps; of each machine and minute only those of the last step that has any."""
    numbered = [(number, part) for number, parts in enumerate(steps) for part in parts if not part.is_empty()]
    if not numbered:
        return pl.DataFrame(schema=schema)
    if len({number for number, _ in numbered}) == 1:
        return pl.concat([part for _, part in numbered])
    rows = pl.concat([part.with_columns(step=pl.lit(number, pl.Int32)) for number, part in numbered])
    return rows.filter(pl.col("step") == pl.col("step").max().over("machine", minute)).drop("step")


class Engine:
    """Minute elements of all machines, from samples in any order.

    horizon_ns: how far behind the watermark a sample may be and still correct what was said. memory_ns: how much of
    that is kept in memory, about; the rest is packed away by the hour in `Update.archive`, and asked for from the
    archive that is handed to `advance`. most_samples: how many samples are kept in memory at most.
    """

    def __init__(
        self,
        plant: Plant,
        *,
        horizon_ns: int,
        memory_ns: int | None = None,
        most_samples: int = 3_000_000,
    ) -> None:
        self._bindings = Bindings(plant)
        self._numbering = Numbering([m.id for m in plant.machines], self._bindings.used)
        self._horizon = horizon_ns
        self._memory = horizon_ns if memory_ns is None else memory_ns
        self._most_samples = most_samples
        self._blocks: list[Block] = []
        self._closed: int | None = None
        self._began = 0
        self._foreword = Columns.empty()
        self._carry = Columns.empty()
        self._before = Before.nothing(self._bindings.machines)
        self._arrived: list[Columns] = []
        self._waiting = Columns.empty()
        self._late = Columns.empty()
        self._decisions: Counter[str] = Counter()
        self._beyond: list[Columns] = []  # as of `Update.beyond`, until the advance that found them is done
        self._meters = np.flatnonzero(self._bindings.is_meter).astype(np.int32)
        self._settled = np.zeros(self._bindings.tags, np.int64)
        self._settled_value = np.full(self._bindings.tags, np.nan)
        self._count_from = 0

    def uses(self, tag: Int32) -> Bool:
        """Which of the tags, shape (n,), the engine needs: only these are to be kept for a restart."""
        known = tag < self._bindings.tags
        return known & self._bindings.used[np.where(known, tag, 0)] if self._bindings.tags else known

    def add(self, tag: Int32, time: Int64, value: Float64, quality: UInt8) -> None:
        """Take on samples, parallel columns of shape (n,), in any order; values are scaled. Cheap.

        Samples of tags that the engine does not use are passed over.
        """
        mine = self.uses(tag)
        columns = Columns(tag, time, value + 0.0, quality)  # −0 is 0
        columns, wild = countable(columns if mine.all() else columns.take(mine))
        self._arrived.append(columns)
        if wild:
            self._decisions["value_too_large"] += wild

    def advance(self, watermark: int, archive: Archive = _NO_ARCHIVE) -> Update:
        """Close all minutes that end at or before the watermark (ns); correct closed ones that late samples touch."""
        return self._advance(watermark - watermark % MINUTE_NS, archive)

    def restate(self, archive: Archive, since: int | None = None) -> Iterator[Update]:
        """Fold the archived past again, block by block, with this plant: after its rules or its calendar were edited.

        since: ns; the edit touches nothing before it, so blocks that end by then stay as they are. None = all.

        To be begun right after `restore`, once the samples since the checkpoint were added, and run to its end before
        the next `advance`; samples may be added meanwhile. What an update archives is to be stored before the next one
        is asked for, since it is read again. Everything that was closed is said anew, each row once it is final: a
        row with a stop or a meter's interval still open is held back until its end is known, for a day at most.
        Broken off, it is begun again from the same checkpoint, with the archive as far as it came.
        """
        if self._closed is None:
            return
        until, closed = self._closed, max(self._closed, self._count_from)
        oldest = closed - self._horizon
        past = self._past(archive, oldest)
        starts: list[int] = past.starts.tolist()
        if since is not None:
            starts = starts[past.index_of(since) :] if since < until else []
        unsaid = Unsaid()
        if starts:
            first = self._archived(archive, starts[0])
            self._closed, self._carry, self._before = first.start, first.carry.whole(), first.before
            self._waiting = first.samples.whole()
        for end in [*starts[1:], until][: len(starts)]:
            if end < until:  # what follows is looked at, so that a meter's interval is complete
                ahead = self._archived(archive, end).samples.whole()
                self._waiting, _ = in_order(Columns.concat([self._waiting, ahead]))
            update = self._restate_to(end, archive, oldest, is_last=end == until)
            yield unsaid.final(update, self._settled_to(), self.judged_to)
        self._settle_arrivals(closed)
        late = len(self._late) > 0
        update = self._advance(closed, archive)
        everything = np.full(self._bindings.machines, NEVER, np.int64)
        yield unsaid.final(update, everything, everything, late=late)

    def _archived(self, archive: Archive, start: int) -> Block:
        block = Block.unpacked(archive[start], self._numbering)
        samples, carry = (usable(self._bindings, part.whole()) for part in (block.samples, block.carry))
        return replace(block, samples=samples, carry=carry)

    def _restate_to(self, end: int, archive: Archive, oldest: int, *, is_last: bool) -> Update:
        """Fold one block of the archive; it stays in memory while the next is folded, and is packed then."""
        assert self._closed is not None
        steps: list[list[Step]] = []
        changed: dict[int, bytes] = {}
        held = ChainMap(changed, archive)  # type: ignore[arg-type]  # as in `_advance`
        before = len(self._blocks)
        while self._closed < end:
            past = self._past(held, oldest)
            steps.append(self._step(min(end, self._closed + self._longest_step), past, Counter()))
            self._blocks = past.in_memory
            changed |= past.changes()
        self._blocks = [*self._blocks[:before], merged(self._blocks[before:])]
        done = len(self._blocks) if is_last else before
        changed |= {block.start: block.packed(list(self._numbering.machines)) for block in self._blocks[:done]}
        self._blocks = self._blocks[done:]
        return Update.of(steps, {}, changed)

    def _settled_to(self) -> Int64:
        """Up to when (ns) no row of each machine changes by what comes next, late samples apart; shape (machines,).

        Not further back than `_LONGEST_UNSETTLED_NS`: a meter that is never read again must not hold everything back.
        """
        assert self._closed is not None
        settled = self.judged_to
        meters = last_of_each_tag(self._carry.take(self._bindings.is_meter[self._carry.tag]))
        meters = meters.take(self._settled[meters.tag] < self._closed)
        index, machine = self._bindings.owners.expand(meters.tag)
        np.minimum.at(settled, machine, meters.time[index])
        return np.maximum(settled, self._closed - _LONGEST_UNSETTLED_NS)

    def provisional(self, now: int) -> Update:
        """All rows that are not closed, or not right yet, as they stand at `now` (ns); changes nothing.

        The row of a minute that is not over holds the time until now. What is decided of samples is said by `advance`.
        """
        self._settle_arrivals(now)
        twin = copy.copy(self)
        twin._blocks = list(self._blocks)
        twin._settled, twin._settled_value = self._settled.copy(), self._settled_value.copy()
        twin._decisions, twin._beyond = Counter(), []
        return replace(twin._advance(now, _NO_ARCHIVE), decisions={}, beyond=Columns.empty())

    @property
    def closed(self) -> int | None:
        """The end (ns) of the last closed minute; None before the first."""
        return self._closed

    @property
    def reached(self) -> int | None:
        """How far (ns) this engine had closed, or the one whose checkpoint it was restored from; None before all."""
        return None if self._closed is None else max(self._closed, self._count_from)

    @property
    def judged_to(self) -> Int64:
        """Up to when (ns) no row of each machine changes by how a stop or standstill that is open goes on, int64, shape
        (machines,)."""
        before, closed = self._before, self._closed or 0
        judged = np.full(self._bindings.machines, closed, np.int64)
        is_open = before.stops.unjudged(self._bindings.minor_stop, self._bindings.cycle_gap)
        judged[is_open] = before.stop_since[is_open]
        return np.where(before.stand_since == NO_STOP, judged, np.minimum(judged, before.stand_since))

    @property
    def keep_from(self) -> int:
        """Samples before this time (ns) are in the checkpoint; those at or after it must be added again on restart."""
        return self._blocks[0].start if self._blocks else self._closed or 0

    def checkpoint(self) -> bytes:
        """The state at `keep_from`; restored and given the samples since, an engine goes on as this one would.

        To be taken right after `advance`, before anything else is added.
        """
        carry, before = (self._blocks[0].carry, self._blocks[0].before) if self._blocks else (self._carry, self._before)
        closed = max(self._closed or 0, self._count_from)
        facts = {"start": self.keep_from, "began": self._began, "closed": closed}
        return pack(facts, before, [carry, self._foreword], self._numbering.machines)

    def state(self) -> bytes:
        """The state at `closed`: an engine restored from it goes on from there, but corrects nothing before it.

        To be taken right after `advance`.
        """
        closed = self._closed or 0
        facts = {"start": closed, "began": self._began, "closed": closed}
        return pack(facts, self._before, [self._carry], self._numbering.machines)

    def goes_on_like(self, state: bytes, machines: Sequence[str], but: Int32) -> bool:
        """Whether from `closed` on the same samples give the same rows as from a `state` of this plant.

        machines: ids of those that are asked about. but: tags whose last sample does not matter.
        """
        _, before, (carry,) = unpack(state, self._numbering)
        asked = np.flatnonzero(np.isin(self._numbering.machines, machines)).astype(np.int32)
        matters = self._bindings.tags_of(asked)
        matters[but[but < len(matters)]] = False
        mine, theirs = self._before.of(asked), before.of(asked)
        names = [one.name for one in fields(mine) if one.name != "gap"]  # which changes no element
        pairs = [(getattr(mine, name), getattr(theirs, name)) for name in names]
        held = [part.take(matters[part.tag]) for part in (self._carry, carry.whole())]
        pairs += [(getattr(held[0], one.name), getattr(held[1], one.name)) for one in fields(held[0])]
        same = all(np.array_equal(*pair, equal_nan=pair[0].dtype.kind == "f") for pair in pairs)
        return same and self._tell_gaps_alike(mine, theirs, asked, held[1])

    @classmethod
    def restore(
        cls,
        plant: Plant,
        checkpoint: bytes,
        *,
        horizon_ns: int,
        memory_ns: int | None = None,
        most_samples: int = 3_000_000,
        tag_map: Mapping[int, int] | None = None,
    ) -> Engine:
        """An engine from a checkpoint.

        tag_map: old tag index → new, where the tag table has changed since the checkpoint; tags that it does not name
            are gone. An archive is to be in the new numbering: `kpi.packing.retagged`.
        Raises ValueError where the checkpoint cannot be read.
        """
        engine = cls(plant, horizon_ns=horizon_ns, memory_ns=memory_ns, most_samples=most_samples)
        facts, before, (carry, *foreword) = unpack(checkpoint, replace(engine._numbering, tag_map=tag_map))
        if facts["start"]:
            engine._closed, engine._began, engine._count_from = facts["start"], facts["began"], facts["closed"]
            engine._carry, engine._before = carry.whole(), before
            engine._foreword = Columns.concat([usable(engine._bindings, part.whole()) for part in foreword])
        return engine

    def _advance(self, end: int, archive: Archive) -> Update:
        self._settle_arrivals(end)
        if self._closed is None and not self._begin(end):
            return Update.of([], {})
        self._leap(end)
        decisions, self._decisions = self._decisions, Counter()
        assert self._closed is not None
        if end <= self._closed and not len(self._late):
            return Update.of([], decisions)
        if self._began <= end - self._horizon:
            self._foreword = Columns.empty()
        steps: list[list[Step]] = []
        changed: dict[int, bytes] = {}
        held = ChainMap(changed, archive)  # type: ignore[arg-type]  # only the first of its maps is ever written to
        while True:
            past = self._past(held, end - self._horizon)
            steps.append(self._step(min(end, self._closed + self._longest_step), past, decisions))
            self._blocks = past.in_memory
            changed |= past.changes()
            changed |= self._pack_away(end)
            if self._closed >= end:
                beyond, self._beyond = Columns.concat(self._beyond), []
                return replace(Update.of(steps, decisions, changed), beyond=beyond)

    @property
    def _longest_step(self) -> int:
        return max(1, _ROWS_A_STEP // max(1, self._bindings.machines)) * MINUTE_NS

    def _past(self, archive: Archive, oldest: int) -> Past:
        return Past(archive, self._blocks, oldest, self._closed or 0, self._numbering)

    def _settle_arrivals(self, end: int) -> None:
        """Sort what arrived: what is late apart; what waits only when something is to be made of it."""
        if self._closed is not None and self._arrived:
            arrived = Columns.concat(self._arrived)
            late = arrived.time < self._closed
            self._arrived = [arrived.take(~late)] if late.any() else [arrived]
            self._late, judged = in_order(Columns.concat([self._late, usable(self._bindings, arrived.take(late))]))
            self._decisions += judged
        if self._arrived and (self._closed is None or end > self._closed):
            # judged one by one before they are put in order: of two at one time one must not hide the other first
            arrived = usable(self._bindings, Columns.concat(self._arrived))
            self._waiting, judged = in_order(Columns.concat([self._waiting, arrived]))
            self._arrived = []
            self._decisions += judged

    def _begin(self, end: int) -> bool:
        """Where it all starts; what the sources say of the time before is what they start with."""
        begin = first_minute(self._bindings, self._waiting)
        if begin is None or begin >= end:
            return False
        before = self._waiting.time < begin
        self._foreword = kept(self._waiting.take(before))
        self._carry = start_values(self._bindings, self._foreword)
        self._decisions["before_begin"] += int(np.count_nonzero(before)) - len(self._carry)
        self._waiting = self._waiting.take(~before)
        self._closed = self._began = begin
        return True

    def _begin_earlier(self, late: Columns, past: Past, again: _Again) -> None:
        """Where late samples are of a time before the table: keep them, and let it begin there if they make it."""
        start = int(past.starts[0]) if past else self._closed
        early = late.take(late.time < self._began)
        if start != self._began or self._began <= past.oldest or not len(early):
            return
        begin, began = first_minute(self._bindings, early.take(early.time >= past.oldest)), self._began
        if begin is not None and begin < began:
            blocks = earlier_blocks(self._bindings, self._foreword, begin, began)
            self._began = begin
            self._foreword = self._foreword.take(self._foreword.time < begin)
            if past:
                past.prepend(blocks)
                every = range(self._bindings.machines)
                again.reach(every, 0)
                again.reach(every, len(blocks) - 1)
            else:  # right after a restart: all is folded from here on
                self._closed, self._carry, self._before = begin, blocks[0].carry.whole(), blocks[0].before
                inside = [block.samples.whole() for block in blocks]
                self._waiting, _ = in_order(Columns.concat([*inside, self._waiting]))
        self._foreword = with_more(self._foreword, early.take(early.time < self._began))

    def _leap(self, end: int) -> None:
        """Begin again after a hole that is too long to be one."""
        assert self._closed is not None
        if end - self._closed <= _LONGEST_HOLE_NS:
            return
        to_come = self._waiting.time[self._waiting.time >= self._closed]
        first = int(to_come.min()) if len(to_come) else end
        if first - self._closed > _LONGEST_HOLE_NS:
            self._blocks, self._foreword = [], Columns.empty()
            self._closed = self._began = first - first % MINUTE_NS
            self._decisions["began_again"] += 1

    def _step(self, end: int, past: Past, decisions: Counter[str]) -> list[Step]:
        """Fold on to `end`, and again from where late samples, meters and stops reach back to."""
        assert self._closed is not None
        late, self._late = self._late, Columns.empty()
        again = _Again(past, self._bindings)
        if len(late):
            self._begin_earlier(late, past, again)
            self._put_back(late, past, again, decisions)
        closed = self._closed
        end = max(end, closed)
        now, later = self._waiting_until(end)
        if len(past):
            unsettled = self._unsettled()
            decisions["meter_beyond_horizon"] += self._out_of_reach(unsettled, past)
            again.reach_long_stops(self._before, closed, end)
            decisions["reason_beyond_horizon"] += again.reach_reasons(self._before, now)
            again.reach_stops()
            # what a meter says changes no stop, so it does not reach back to where one began
            again.reach_meters(unsettled, self._carry)
            again.reach_onwards(unsettled)
        if end > closed:
            past.append(Block(closed, end, now, self._carry, self._before))
        ahead = later.first_of(self._meters)
        steps = self._fold(past, again, ahead, new_block=end > closed)
        for done in steps:
            decisions.update(done.decisions)
        self._settled[ahead.tag], self._settled_value[ahead.tag] = ahead.time, ahead.value
        self._waiting, self._closed = later, end
        self._count_from = max(self._count_from, end)
        return steps

    def _waiting_until(self, end: int) -> tuple[Columns, Columns]:
        """What waits of the stretch from what is closed to `end`, and what waits for later."""
        if end == self._closed:  # only late samples are put back: what waits may be many times as much
            return Columns.empty(), self._waiting
        now = self._waiting.time < end
        return self._waiting.take(now), self._waiting.take(~now)

    def _put_back(self, late: Columns, past: Past, again: _Again, decisions: Counter[str]) -> None:
        """Put late samples into their blocks."""
        if not len(past):
            inside = late.time >= (self._closed or 0)
            self._waiting, judged = in_order(Columns.concat([self._waiting, late.take(inside)]))
            decisions.update(judged)
            self._put_before(late.take(~inside), None, decisions)
            return
        which = np.searchsorted(past.starts, late.time, side="right") - 1
        for index in np.unique(which).tolist():
            mine = late.take(which == index)
            if index < 0:
                fresh = self._put_before(mine, past, decisions)
            else:
                fresh = self._put_into(past, index, mine, decisions)
            again.reach_owners(fresh.tag, max(index, 0))
            meters = np.unique(fresh.tag[self._bindings.is_meter[fresh.tag]])
            again.reach_meters(meters, past[max(index, 0)].carry)

    def _put_into(self, past: Past, index: int, late: Columns, decisions: Counter[str]) -> Columns:
        """Late samples into a block of the past; returns those that are new to it."""
        block = past[index]
        samples, fresh, conflicts = block.samples.put_in(late)
        decisions.update(duplicate=len(late) - len(fresh), late=len(fresh), conflict=conflicts)
        if len(fresh):
            past[index] = replace(block, samples=samples)
        return fresh

    def _put_before(self, late: Columns, past: Past | None, decisions: Counter[str]) -> Columns:
        """Samples from before all blocks: the newest of each tag is what it held when the blocks start.

        Before the beginning of all there is nothing to correct. Later, what they would change before the blocks stays
        as it is and is counted, and readings of counters count at the start of the blocks.
        Returns those that are new.
        """
        every, late = late, last_of_each_tag(late)
        first = past[0] if past else None
        carry = first.carry.whole() if first else self._carry
        start = first.start if first else self._closed or 0
        instant = np.full(len(late), start, np.int64)
        held = Series(carry, start, start + MINUTE_NS, self._bindings.tags).at(late.tag, instant)
        known = held >= 0
        newer, same = ~known, known.copy()
        newer[known] = late.time[known] > carry.time[held[known]]
        same[known] = late.time[known] == carry.time[held[known]]
        if start == self._began and same.any():  # of two at one time the rule decides, whichever came first
            newer[same] = _wins(self._decided(late).take(same), carry.take(held[same]))
            same &= ~newer
        decisions["duplicate"] += int(np.count_nonzero(same))
        reading = np.zeros(len(late), np.bool_)
        if start > self._began:
            self._note_beyond(every, late, known & ~same, carry.take(held[known]), decisions)
            counts = self._bindings.is_counter[late.tag] | self._bindings.is_meter[late.tag]
            reading = newer & known & counts
        else:
            decisions["before_begin"] += int(np.count_nonzero(known & ~same))
        adopted = self._decided(late.take(newer & ~reading))
        carry, _ = in_order(Columns.concat([carry.take(~np.isin(carry.tag, adopted.tag)), adopted]))
        moved = Columns(late.tag[reading], instant[reading], late.value[reading], late.quality[reading])
        if past and first:
            samples, _ = in_order(Columns.concat([first.samples.whole(), moved]))
            past[0] = replace(first, carry=carry, samples=samples)
        else:
            self._carry = carry
            self._waiting, _ = in_order(Columns.concat([self._waiting, moved]))
        return late.take(newer)

    def _note_beyond(
        self, every: Columns, newest: Columns, too_late: Bool, held: Columns, decisions: Counter[str]
    ) -> None:
        """Count what corrects nothing any more, and give it out: of the newest samples of each tag those that are too
        late, and all before them but those of the time of the one that is held."""
        at = np.searchsorted(newest.tag, every.tag)
        is_newest = every.time == newest.time[at]
        again = ~is_newest & np.isin(every.tag, held.tag)
        again[again] = every.time[again] == held.time[np.searchsorted(held.tag, every.tag[again])]
        beyond = every.take(np.where(is_newest, too_late[at], ~again))
        decisions.update(duplicate=int(np.count_nonzero(again)), beyond_horizon=len(beyond))
        self._beyond.append(beyond)

    def _decided(self, samples: Columns) -> Columns:
        return decided(samples, self._bindings.switch_on, self._bindings.switch_off)

    def _unsettled(self) -> Int32:
        """Meters whose last interval was not complete when its blocks were folded, and now is."""
        first = self._waiting.first_of(self._meters)
        settled = (first.time == self._settled[first.tag]) & (first.value == self._settled_value[first.tag])
        unsettled: Int32 = first.tag[~settled]
        return unsettled

    def _out_of_reach(self, meters: Int32, past: Past) -> int:
        """How many of the meters were last read before all that can be corrected: what they counted until then is
        not said of any minute."""
        if int(past.starts[0]) <= self._began:
            return 0
        return int(np.count_nonzero(last_of_each_tag(self._carry.of_tags(meters)).time < past.starts[0]))

    def _fold(self, past: Past, again: _Again, ahead: Columns, *, new_block: bool) -> list[Step]:
        """Fold again what has to be, as far as it makes a difference, and the new block for all machines."""
        steps: list[Step] = []
        rest = np.ones(self._bindings.machines, np.bool_)
        newest = len(past) - 1
        for first, least, machines in again.groups(_ROWS_A_STEP):
            reached = self._fold_until_the_same(past, first, least, machines, ahead, steps)
            if new_block and reached == newest:
                rest[machines] = False
        if new_block and rest.any():
            machines = np.flatnonzero(rest).astype(np.int32)
            self._fold_range(past, newest, newest, machines, ahead, steps)
        return steps

    def _fold_until_the_same(
        self, past: Past, first: int, least: int, machines: Int32, ahead: Columns, steps: list[Step]
    ) -> int:
        """Fold machines from a block to `least`, and on until what follows starts as it did; returns the last one."""
        count = least - first + 1
        while True:
            last = min(first + count, len(past)) - 1
            if self._fold_range(past, first, last, machines, ahead, steps):
                return last
            count *= 2

    def _fold_range(
        self, past: Past, first: int, last: int, machines: Int32, ahead: Columns, steps: list[Step]
    ) -> bool:
        """Fold machines over some blocks. Returns whether the blocks after them start as before.

        If they do, or there are none after them, the blocks' own starts are set to what came out; else nothing changes.
        """
        blocks = [past[i] for i in range(first, last + 1)]
        mine = self._bindings.tags_of(machines)
        to_come = first_from(past, last + 1, mine & self._bindings.is_meter, ahead)
        # What held before and what comes after is little: it is put in, which is cheaper than to sort all of it again.
        around = _of_tags([blocks[0].carry, to_come], mine)
        samples, _, _ = _of_tags([block.samples for block in blocks], mine).put_in(around)
        start, end = blocks[0].start, blocks[-1].end
        edges = np.array([block.end for block in blocks], np.int64)
        done = step(
            self._bindings, samples, machines, blocks[0].before.of(machines), start, end, edges, self._count_from
        )
        carries = self._carries(done, mine, start, end, edges)
        at_end = last + 1 == len(past)
        if not at_end and not self._starts_the_same(past, last + 1, machines, mine, carries[-1], done.before[-1]):
            return False
        for index, carry, before in zip(range(first + 1, last + 1), carries, done.before, strict=False):
            past[index] = replace(
                past[index],
                carry=_replaced(past[index].carry.whole(), mine, carry),
                before=past[index].before.with_part(machines, before),
            )
        if at_end:
            self._carry = _replaced(self._carry, mine, carries[-1])
            self._before = self._before.with_part(machines, done.before[-1])
        steps.append(done)
        return True

    def _carries(self, done: Step, mine: Bool, start: int, end: int, edges: Int64) -> list[Columns]:
        """The last sample of each tag before each edge, what it stands on, and what that does."""
        held = Series(done.carried, start, end, self._bindings.tags)
        tags = np.flatnonzero(mine).astype(np.int32)
        carries = []
        for edge in edges.tolist():
            at = held.at(tags, np.full(len(tags), edge - 1, np.int64))
            at = at[at >= 0]
            beside = done.stands_on[at]
            beside = beside[beside >= 0]
            below = done.stands_on[beside]
            carries.append(done.carried.take(np.unique(np.concatenate([at, beside, below[below >= 0]]))))
        return carries

    def _starts_the_same(
        self, past: Past, index: int, machines: Int32, mine: Bool, carry: Columns, before: Before
    ) -> bool:
        """Whether a block starts as it did, and no stop that is still to be judged is open across its start."""
        old = past[index].before.of(machines)
        if not old.gives_the_same(before):
            return False
        limit, gap = self._bindings.minor_stop[machines], self._bindings.cycle_gap[machines]
        if before.stops.unjudged(limit, gap).any() or before.stand_since.any():
            return False
        held = past.carry_at_first(index).of_tags(np.flatnonzero(mine).astype(np.int32))
        return (
            np.array_equal(held.tag, carry.tag)
            and np.array_equal(held.time, carry.time)
            and np.array_equal(held.value, carry.value, equal_nan=True)
            and np.array_equal(held.quality, carry.quality)
            and self._tell_gaps_alike(old, before, machines, carry)
        )

    def _tell_gaps_alike(self, one: Before, other: Before, machines: Int32, carry: Columns) -> bool:
        """Whether the next reading of each piece counter is after a gap after both, or after neither.

        one, other: parallel to machines (ascending). carry: the last sample of each tag.
        """
        if np.array_equal(one.gap, other.gap):
            return True
        index, machine = self._bindings.piece_owners.expand(carry.tag)
        mine = np.isin(machine, machines)
        time, place = carry.time[index[mine]], np.searchsorted(machines, machine[mine])
        return bool(((one.gap[place] > time) == (other.gap[place] > time)).all())

    def _pack_away(self, watermark: int) -> dict[int, bytes]:
        """Take blocks that are old, or too many, out of memory; by the hour, and packed, up to the horizon."""
        packed: dict[int, bytes] = {}
        while len(self._blocks) > 1 and self._blocks[0].end <= watermark - self._horizon:
            del self._blocks[0]
        kept = sum(len(block.samples) for block in self._blocks)
        while len(self._blocks) > 1:
            first = self._blocks[0].start
            until = first - first % _ARCHIVE_NS + _ARCHIVE_NS
            full = kept > self._most_samples
            if not full and until > watermark - self._memory:
                break
            old = [block for block in self._blocks[:-1] if block.end <= until] or self._blocks[:1]
            if full:
                old = old[:1]
            block = merged(old)
            kept -= len(block.samples)
            packed[block.start] = block.packed(list(self._numbering.machines))
            self._blocks = self._blocks[len(old) :]
        return packed


class _Again:
    """Which machines have to be folded again, from which block on, and up to which at least."""

    def __init__(self, past: Past, bindings: Bindings) -> None:
        self._past = past
        self._bindings = bindings
        self._from: dict[int, int] = {}
        self._to: dict[int, int] = {}

    def reach(self, machines: Iterable[int], index: int) -> None:
        """These machines, from this block on, or from an earlier one that was reached already."""
        for machine in machines:
            self._from[machine] = min(self._from.get(machine, index), index)
            self._to[machine] = max(self._to.get(machine, index), index)

    def reach_owners(self, tag: Int32, index: int) -> None:
        """The machines that need these tags, from this block on."""
        self.reach(np.unique(self._bindings.owners.expand(tag)[1]).tolist(), index)

    def reach_meters(self, meters: Int32, carry: Samples) -> None:
        """The machines of meters (ascending), from the block of each meter's last reading: its interval began there."""
        held = last_of_each_tag(carry.of_tags(meters))
        for tag, time in zip(held.tag, held.time.tolist(), strict=True):
            self.reach_owners(tag.reshape(1), self._past.index_of(time))

    def reach_onwards(self, meters: Int32) -> None:
        """The machines of meters that are reached, on to the newest block: nothing within an interval tells its end."""
        for machine in np.unique(self._bindings.owners.expand(meters)[1]).tolist():
            if machine in self._from:
                self.reach((machine,), len(self._past) - 1)

    def reach_long_stops(self, before: Before, closed: int, end: int) -> None:
        """Machines whose open stop has been a minor one, or a pause within the cycle, and need not be any more.

        closed, end: ns; the stretch that is folded next.
        """
        limit = self._bindings.minor_stop
        turned = before.stops.paused(self._bindings.cycle_gap)
        near = before.stops.minor(limit) & ~turned & (before.stop_lost + (end - closed) >= limit)
        busy = {
            int(one): _busy(self._bindings.calendars[one], closed, end)
            for one in np.unique(self._bindings.calendar_of[near])
        }
        for machine in np.flatnonzero(near).tolist():
            lost = int(before.stop_lost[machine]) + busy[int(self._bindings.calendar_of[machine])]
            turned[machine] = lost >= limit[machine]
        for machine in np.flatnonzero(turned).tolist():
            self.reach((machine,), self._past.index_of(int(before.stop_since[machine])))

    def reach_reasons(self, before: Before, samples: Columns) -> int:
        """Machines that are given a reason for the standstill that is open: it is of all of that.

        Returns of how many that began before all that can be corrected, so that its first part stays as it is.
        """
        if not before.stand_since.any():
            return 0
        given = np.unique(samples.tag[self._bindings.is_reason[samples.tag] & (samples.quality == GOOD)])
        beyond = 0
        for machine in np.unique(self._bindings.reason_owners.expand(given)[1]).tolist():
            if (since := int(before.stand_since[machine])) != NO_STOP:
                self.reach((machine,), self._past.index_of(since))
                beyond += since < int(self._past.starts[0])
        return beyond

    def reach_stops(self) -> None:
        """From within a stop or standstill, back to the block where it began: its earlier part may be judged anew."""
        for machine, index in list(self._from.items()):
            before = self._past[index].before
            for since in (int(before.stop_since[machine]), int(before.stand_since[machine])):
                if since != NO_STOP:
                    self.reach((machine,), self._past.index_of(since))

    def groups(self, most_rows: int) -> Iterator[tuple[int, int, Int32]]:
        """(first block, last block that has to be reached, machines) in order of time; of most_rows minutes, about."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for machine, index in self._from.items():
            groups[index, self._to[machine]].append(machine)
        for first, least in sorted(groups):
            minutes = (self._past[least].end - self._past[first].start) // MINUTE_NS
            machines = np.array(sorted(groups[first, least]), np.int32)
            at_once = max(1, most_rows // max(1, minutes))
            for part in range(0, len(machines), at_once):
                yield first, least, machines[part : part + at_once]


def _busy(calendar: Calendar, start: int, end: int) -> int:
    """Planned busy time in [start, end), ns."""
    plan = planned_times(calendar, start, end)
    return int(np.diff(np.append(plan.edge, end))[plan.busy].sum())


def _wins(one: Columns, other: Columns) -> Bool:
    """Of pairs of samples of one tag and time, whether the first is the one that holds; see `kpi.columns`."""
    mine, theirs = (np.where(np.isnan(c.value), -np.inf, c.value) for c in (one, other))
    wins: Bool = (one.quality < other.quality) | ((one.quality == other.quality) & (mine > theirs))
    return wins


def _of_tags(parts: Sequence[Samples], wanted: Bool) -> Columns:
    """Of sorted parts, the samples of some tags, in order."""
    tags = np.flatnonzero(wanted).astype(np.int32)
    taken = [part.whole() if wanted.all() else part.of_tags(tags) for part in parts]
    return in_order(Columns.concat(taken))[0]


def _replaced(columns: Columns, tags: Bool, part: Columns) -> Columns:
    """Columns with the samples of some tags replaced."""
    rest = columns.take(~tags[columns.tag])
    return part if not len(rest) else in_order(Columns.concat([rest, part]))[0]
