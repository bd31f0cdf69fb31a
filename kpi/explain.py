"""What a machine's elements were made of: each second with what it counts as and who said so, each reading with what
it added.

Rule 1: nothing is decided here. The fold decides, and this module asks it for its working; what a second or a reading
counts as cannot be told in one way and summed in another.
Rule 2: everything that is given adds up by hand: spans to time elements, readings to pieces and energy, in the integers
of the element table.
Rule 3: names, words and local time are not the engine's; tags, codes, states and nanoseconds are given.

Two ways were weighed: to write the reasons down while the engine folds (they are there when asked for, and every minute
of every machine pays for a question that is hardly ever asked), or to fold the samples again when somebody asks. The
second won; what it costs is that reasons last as long as samples are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kpi.bindings import Bindings, ModelBinding, meters_of
from kpi.calendar import planned_times
from kpi.columns import GOOD, Bool, Columns, Float64, Index, Int32, Int64, Series, countable, in_order
from kpi.composition import COUNTS_IN
from kpi.counters import Verdict
from kpi.elements import MINUTE_NS
from kpi.fold import (
    CATEGORIES,
    Before,
    Failures,
    Int8,
    Working,
    categories,
    energy_sources,
    metered,
    step,
    usable,
    working,
)
from kpi.measured import statistics
from kpi.packing import Numbering, unpack
from kpi.past import Block, Past, first_from, first_of_each_tag, last_of_each_tag
from kpi.plant import Calendar, Quantity, State
from kpi.states import NO_CODE, NO_RULE, Segments, deciding_rules, signal_values
from kpi.stops import NO_STOP

_MILLIONTHS: Final = 1e6
_PRODUCTION: Final = CATEGORIES.index("apt")

Archive = Mapping[int, bytes]
"""Start (ns) → packed block, as `kpi.engine.Update` gave it."""


class NotKnown(StrEnum):
    """Why nobody can say what a signal was. In order: the first that holds is the cause."""

    NO_LINK = "no sign of life of the connection yet"
    LINK_DOWN = "connection down"
    LINK_SILENT = "no sign of life of the connection for too long"
    NO_SAMPLE = "no value yet"
    BAD_QUALITY = "bad or uncertain quality"
    STALE = "no new value for too long"


_CAUSES: Final = (None, *NotKnown)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a state signal said when a span began.

    signal: its name in the state model; tag, link: -1 where there is none. value: as the rules take it, None where
    there is no sample; since: ns, when that sample was taken; quality: of that sample. reading: the measured value that
    a switch made on or off of; None where it is no switch, or where only its decision is kept. link_since: ns, the last
    sign of the link, up or down. not_known: None where the rules could go by the value; of a signal that is bad or old,
    too, where it counts as it was last sent.
    """

    signal: str
    tag: int
    value: float | None
    since: int | None
    quality: int | None
    reading: float | None
    link: int
    link_since: int | None
    not_known: NotKnown | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the state of a span came from.

    said: by the rules of the state model; by_length: after stops were judged by their length. rule: index of the first
    rule that does not fail, None where all do; matches: whether it matches, else it cannot be judged. heard: all
    signals of the model. stop_since: ns, when the stop began that the span is part of; None where none is.
    """

    said: State
    by_length: State
    rule: int | None
    matches: bool
    heard: tuple[Heard, ...]
    stop_since: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, ns, in which nothing changed that decides what it counts as.

    category: of `kpi.fold.CATEGORIES`; elements: all time elements that it counts in. product, reason: text codes, None
    where there is none. operation, busy: planned operation and busy time. shift: index in the calendar, None outside
    any; shift_start: ns, 0 outside any. fails: whether a failure counts at its start. uncounted: ns of it in which a
    piece counter stood still for too long. used: what meters and power say was used in
    it, stored integers by element. origin: None where samples are no longer held.
    """

    start: int
    end: int
    state: State
    category: str
    elements: tuple[str, ...]
    product: int | None
    reason: int | None
    operation: bool
    busy: bool
    shift: int | None
    shift_start: int
    fails: bool
    uncounted: int
    used: Mapping[str, int]
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a counter or meter, and what it added.

    time, value: of the reading. before_time, before: the reading before it, and the highest so far, or the lower one
    that it counts on from; None where it is the first. added: what it counts for, in millionths. within: the part of it
    that lies in the window; readings of counters lie in it whole. product: text code that the machine named then, None
    where none; overtime: whether it was made in overtime that is counted apart; setup: while the machine was set up.
    unknown_ns: how long nobody knew the machine's state between the two; after_gap: whether it is a rise after a time
    without data.
    """

    time: int
    value: float
    before_time: int | None
    before: float | None
    verdict: Verdict
    added: int
    within: int
    product: int | None
    overtime: bool
    setup: bool
    unknown_ns: int
    after_gap: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A value of power and how long it held, ns. kw: None where it is bad, and counts as nothing. within: mWh in the
    window."""

    time: int
    until: int
    kw: float | None
    within: int


@dataclass(frozen=True, slots=True)
class Count:
    """What one counter or meter gave. readings: those that added something or were judged; others: how many did not.

    event: every sample is so many pieces of its own.
    """

    tag: int
    event: bool
    readings: tuple[Reading, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that counts as nothing, since its quality is not good. time: ns. value: None where there is none."""

    tag: int
    time: int
    value: float | None
    quality: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the elements of one machine over [start, end), ns, were made of.

    counts: by quantity. meters: by element. power: None where the machine's energy is not made of power.
    refused: readings of counters, meters, products and reasons that were not good; those before refused_from, ns, are
    no longer held.
    elements: the element rows that the samples give, as of `kpi.engine.Update`, of the minutes of the window.
    """

    start: int
    end: int
    spans: tuple[Span, ...]
    counts: Mapping[Quantity, Count]
    meters: Mapping[str, Count]
    power: tuple[Held, ...] | None
    refused: tuple[Refused, ...]
    refused_from: int
    elements: pl.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """The values of one characteristic over [start, end), ns, and what they add up to.

    values: those that count, in order of time. before: the value before them, from which the first moving range is
    taken; none or one. refused, refused_from: as of `Evidence`. statistics: a row a minute, as
    `kpi.measured.MEASURED_SCHEMA`.
    """

    start: int
    end: int
    values: Columns
    before: Columns
    refused: tuple[Refused, ...]
    refused_from: int
    statistics: pl.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class HeldSamples:
    """The samples that are still held. past: blocks up to `end`, ns. ahead: sorted samples after that. refused: sorted
    samples that count as nothing, of those since the checkpoint, which reaches back to refused_from, ns."""

    past: Past
    ahead: Columns
    refused: Columns
    refused_from: int

    @property
    def start(self) -> int:
        """From when on samples are held, ns."""
        return int(self.past.starts[0])

    @property
    def end(self) -> int:
        """Up to when samples are folded, ns."""
        return self.past[len(self.past) - 1].end


def held_samples(
    bindings: Bindings,
    checkpoint: bytes,
    samples: Columns,
    archive: Archive,
    end: int,
    tag_map: Mapping[int, int] | None = None,
    machines: Int32 | None = None,
) -> HeldSamples | None:
    """The samples that an engine would be restarted from, and those that it packed away before.

    machines: int32, ascending: those that evidence will be asked of, which keeps memory small; None = all.
    samples: all since the checkpoint, scaled, in any order. archive: in the numbering of the plant. end: ns, up to when
    elements were said. tag_map: as for `kpi.engine.Engine.restore`. None where nothing was folded yet.
    Raises ValueError where the checkpoint cannot be read.
    """
    used = bindings.used if machines is None else bindings.used & bindings.tags_of(machines)
    numbering = Numbering([machine.id for machine in bindings.plant.machines], used)
    facts, before, (carry, *_) = unpack(checkpoint, replace(numbering, tag_map=tag_map))
    start = facts["start"]
    if not start:
        return None
    known = samples.take((samples.tag < bindings.tags) & (samples.time >= start))
    every = countable(known.take(used[known.tag]))[0]
    given, ordered = (in_order(one)[0] for one in (every, usable(bindings, every)))
    refused = given.take(bindings.needs_good[given.tag] & (given.quality != GOOD))
    inside = ordered.time < end
    newest = [Block(start, end, ordered.take(inside), carry.whole(), before)] if end > start else []
    past = Past(archive, newest, 0, max(start, end), numbering)
    ahead = first_of_each_tag(ordered.take(~inside))
    return HeldSamples(past, ahead, refused, start) if len(past) else None


def evidence(bindings: Bindings, held: HeldSamples, machine: int, start: int, end: int) -> Evidence:
    """What a machine's elements over [start, end) were made of, from the samples.

    machine: index in the plant. start, end: ns, within what is held.
    Raises ValueError where the samples of the window are not held, are damaged, or are too long for one stretch.
    """
    past = held.past
    if not held.start <= start < end <= held.end:
        raise ValueError("the samples of the window are not held")
    first, last = past.index_of(start), past.index_of(end - 1)
    while True:
        stretch = _Stretch.of(bindings, held, machine, first, last)
        # a stop that is open at the end takes its name from its whole length: go on until that is known
        if last + 1 == len(past) or not stretch.stop_is_open:
            return stretch.evidence(held, start, end)
        last = min(len(past) - 1, 2 * last - first + 1)


def measurements(
    bindings: Bindings, held: HeldSamples, machine: int, characteristic: int, start: int, end: int
) -> Measurements:
    """What the statistics of one characteristic over [start, end) were made of, from the samples.

    machine: index in the plant; characteristic: index in the machine's `characteristics`. start, end: ns, whole minutes
    within what is held. Raises ValueError where the samples of the window are not held, or are damaged.
    """
    past = held.past
    if not held.start <= start < end <= held.end:
        raise ValueError("the samples of the window are not held")
    first, last = past.index_of(start), past.index_of(end - 1)
    blocks = [past[index] for index in range(first, last + 1)]
    tags = np.array([bindings.plant.machines[machine].characteristics[characteristic].tag], np.int32)
    parts = [blocks[0].carry, *(block.samples for block in blocks)]
    samples = in_order(usable(bindings, Columns.concat([part.of_tags(tags) for part in parts])))[0]
    return Measurements(
        start,
        end,
        samples.take((samples.time >= start) & (samples.time < end)),
        last_of_each_tag(samples.take(samples.time < start)),
        _refused(held, np.isin(held.refused.tag, tags), start, end),
        held.refused_from,
        statistics(bindings, samples, np.array([machine], np.int32), start, end),
    )


def _refused(held: HeldSamples, wanted: Bool, start: int, end: int) -> tuple[Refused, ...]:
    samples = held.refused
    mine = samples.take(wanted & (samples.time >= start) & (samples.time < end))
    values = (None if np.isnan(value) else float(value) for value in mine.value)
    return tuple(
        Refused(tag, time, value, quality)
        for tag, time, value, quality in zip(
            mine.tag.tolist(), mine.time.tolist(), values, mine.quality.tolist(), strict=True
        )
    )


class _Stretch:
    """The samples of one machine over some blocks, folded."""

    def __init__(
        self, bindings: Bindings, machine: int, samples: Columns, before: Before, start: int, end: int
    ) -> None:
        self.bindings, self.machine = bindings, machine
        self.samples, self.before = samples, before
        self.start, self.end = start, end
        self.machines = np.array([machine], np.int32)
        self.found = working(bindings, samples, self.machines, before, start, end)
        self.meters, self.powers = energy_sources(bindings, self.found, start, end)

    @classmethod
    def of(cls, bindings: Bindings, held: HeldSamples, machine: int, first: int, last: int) -> _Stretch:
        machines = np.array([machine], np.int32)
        mine = bindings.tags_of(machines)
        blocks = [held.past[index] for index in range(first, last + 1)]
        to_come = first_from(held.past, last + 1, mine & bindings.is_meter, held.ahead)
        parts = [blocks[0].carry, *(block.samples for block in blocks), to_come]
        tags = np.flatnonzero(mine).astype(np.int32)
        samples, _ = in_order(Columns.concat([part.of_tags(tags) for part in parts]))
        return cls(bindings, machine, samples, blocks[0].before.of(machines), blocks[0].start, blocks[-1].end)

    @property
    def stop_is_open(self) -> bool:
        """Whether a stop reaches to the end whose length, or whose reason to come, may still turn it into another."""
        since = self.found.standstills.since
        limit, gap = (
            np.full(len(since), one[self.machine]) for one in (self.bindings.minor_stop, self.bindings.cycle_gap)
        )
        return bool(self.found.stops.unjudged(limit, gap)[-1]) or bool(since[-1] != NO_STOP)

    def evidence(self, held: HeldSamples, start: int, end: int) -> Evidence:
        plant_machine = self.bindings.plant.machines[self.machine]
        power = plant_machine.power if plant_machine.energy is None else None
        return Evidence(
            start,
            end,
            tuple(self._spans(start, end)),
            {quantity: self._count(one.tag, start, end) for quantity, one in plant_machine.counters.items()},
            {element: self._metered(one.tag, start, end) for element, one in meters_of(plant_machine).items()},
            None if power is None else tuple(self._powered(power.tag, start, end)),
            _refused(held, self._own(held.refused.tag), start, end),
            held.refused_from,
            self._elements(start, end),
        )

    def _own(self, tag: Int32) -> Bool:
        """Which tags make elements of the machine."""
        own = self.bindings.tags_of(self.machines) & (self.bindings.characteristic_machine < 0)
        mine: Bool = own[tag]
        return mine

    def _elements(self, start: int, end: int) -> pl.DataFrame:
        edges = np.array([self.end], np.int64)
        whole = step(
            self.bindings, self.samples, self.machines, self.before, self.start, self.end, edges, self.end
        ).elements
        return whole.filter(pl.col("time") > start - MINUTE_NS, pl.col("time") < end)

    # Spans

    def _spans(self, start: int, end: int) -> Iterator[Span]:
        found = self.found
        parts = found.parts
        used = metered(self.bindings, found, self.start, self.end)
        origins = _Origins.of(self.bindings, found, self.samples, self.machine)
        keys: list[npt.NDArray[Any]] = [
            *_keys(parts, found.category, found.failures),
            found.said.state,
            found.judged.state,
            found.stops.since,
            parts.start < start,  # the edges of the window are edges of spans
            parts.start < end,
            *origins.keys,
        ]
        inside = (parts.start < end) & (parts.end > start)
        for begin, finish in _runs(keys):
            if inside[begin]:
                amounts = {element: int(amount[begin:finish].sum()) for element, amount in used.items()}
                still = int(found.silence.uncounted[begin:finish].sum()) if found.category[begin] == _PRODUCTION else 0
                yield _span(parts, found.category, found.failures, begin, finish, still, amounts, origins.at(begin))

    # Readings

    def _count(self, tag: int, start: int, end: int) -> Count:
        samples = self.found.samples
        mine = np.flatnonzero((samples.tag == tag) & (samples.time >= start) & (samples.time < end))
        return self._told(tag, mine, np.rint(self.found.delta[mine] * _MILLIONTHS).astype(np.int64))

    def _metered(self, tag: int, start: int, end: int) -> Count:
        """Readings whose interval, from the reading before, has a part in the window."""
        samples = self.found.samples
        of_tag = np.flatnonzero(samples.tag == tag)
        time = samples.time[of_tag]
        begins = np.append(time[:1], time[:-1])
        touching = (time >= start) & (begins < end)
        mine, tags = of_tag[touching], np.full(int(touching.sum()), tag, np.intp)
        until = [self.meters.until(tags, edge.clip(start, end)) for edge in (begins[touching], time[touching])]
        return self._told(tag, mine, until[1] - until[0])

    def _told(self, tag: int, mine: Index, within: Int64) -> Count:
        found, samples = self.found, self.found.samples
        event = bool(self.bindings.counting.event[tag])
        added = np.rint(found.delta[mine] * _MILLIONTHS).astype(np.int64)
        alone = (mine == 0) | (samples.tag[mine - 1] != tag) | event
        tell = (added != 0) | (found.verdict[mine] != 0) | (alone & (not event))
        mine, added, within, alone = mine[tell], added[tell], within[tell], alone[tell]
        time, before = samples.time[mine], samples.time[mine - 1]
        at = found.parts.find(np.full(len(mine), self.machine, np.int32), time.clip(self.start, self.end - 1))
        overtime = np.isin(found.category[at], [CATEGORIES.index("overtime"), CATEGORIES.index("overtime_downtime")])
        setup = found.category[at] == CATEGORIES.index("aust")
        after_gap = np.isin(mine, found.after_gap)
        unknown = np.where(alone, 0, self._unknown_until(time) - self._unknown_until(before))
        readings = tuple(
            Reading(
                int(time[k]),
                float(samples.value[i]),
                None if alone[k] else int(before[k]),
                None if alone[k] else _counted_from(found, i),
                Verdict(int(found.verdict[i])),
                int(added[k]),
                int(within[k]),
                _code(found.parts.product[at[k]]),
                bool(overtime[k]),
                bool(setup[k]),
                int(unknown[k]),
                bool(after_gap[k]),
            )
            for k, i in enumerate(mine.tolist())
        )
        return Count(tag, event, readings, int(len(tell) - tell.sum()))

    def _unknown_until(self, time: Int64) -> Int64:
        """How long the state was unknown from the start of the stretch until each time."""
        parts = self.found.parts
        unknown = parts.state == State.UNKNOWN
        until_start = np.cumsum(np.append(0, (parts.end - parts.start) * unknown))
        time = time.clip(self.start, self.end)
        at = np.searchsorted(parts.start, time, side="right") - 1
        until: Int64 = until_start[at] + (time - parts.start[at]) * unknown[at]
        return until

    def _powered(self, tag: int, start: int, end: int) -> Iterator[Held]:
        samples = self.found.samples
        mine = np.flatnonzero((samples.tag == tag) & (samples.time < self.end))
        time = samples.time[mine]
        until = np.minimum(np.append(time[1:], self.end), time + self.bindings.power_gap[tag])
        inside = (until > start) & (time < end)
        mine, time, until = mine[inside], time[inside], until[inside]
        tags = np.full(len(mine), tag, np.intp)
        used = [self.powers.until(tags, edge.clip(start, end)) for edge in (time, until)]
        for i, begin, finish, part in zip(
            mine.tolist(), time.tolist(), until.tolist(), (used[1] - used[0]).tolist(), strict=True
        ):
            good = samples.quality[i] == GOOD and not np.isnan(samples.value[i])
            yield Held(begin, finish, float(samples.value[i]) if good else None, part)


@dataclass(frozen=True, slots=True, eq=False)
class _Origins:
    """Where the state of each segment came from. rule, matches: as of `deciding_rules`, columns over segments. signals:
    one after the other, as the state model names them."""

    found: Working
    names: tuple[str, ...]
    rule: Int32
    matches: Bool
    signals: tuple[_Signal, ...]

    @classmethod
    def of(cls, bindings: Bindings, found: Working, as_given: Columns, machine: int) -> _Origins:
        binding, row = _binding(bindings, machine)
        time = found.parts.start
        rows = np.full(len(time), row, np.int32)
        value, known = signal_values(bindings, found.series, binding, rows, time)
        rule, matches = deciding_rules(binding.model, value, known, len(time))
        signals = tuple(
            _Signal.of(
                bindings, found.series, as_given, int(binding.tag[row, k]), int(binding.link[row, k]), time, known[k]
            )
            for k in range(len(binding.model.signals))
        )
        return cls(found, binding.model.signals, rule, matches, signals)

    @property
    def keys(self) -> list[npt.NDArray[Any]]:
        """What makes one segment differ from the next."""
        of_signals = [key for signal in self.signals for key in (signal.value, signal.quality, signal.cause)]
        return [self.rule, self.matches, *of_signals]

    def at(self, segment: int) -> Origin:
        """Of one segment."""
        found, rule = self.found, int(self.rule[segment])
        since = int(found.stops.since[segment])
        return Origin(
            State(int(found.said.state[segment])),
            State(int(found.judged.state[segment])),
            None if rule == NO_RULE else rule,
            bool(self.matches[segment]),
            tuple(signal.heard(name, segment) for name, signal in zip(self.names, self.signals, strict=True)),
            None if since == NO_STOP else since,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Signal:
    """One state signal of one machine, columns over segments: index of the sample of it and of its link that held, -1
    where none did; its value, quality, and why it is not known, index in `_CAUSES`. readings: measured values of a
    switch, parallel to the samples; None where it is none."""

    samples: Columns
    readings: Float64 | None
    start: int
    tag: int
    link: int
    at: Index
    link_at: Index
    value: Float64
    quality: npt.NDArray[np.int16]
    cause: Int8

    @classmethod
    def of(
        cls, bindings: Bindings, series: Series, as_given: Columns, tag: int, link: int, time: Int64, known: Bool
    ) -> _Signal:
        samples, holds = series.samples, bindings.holds
        count = len(time)
        at, link_at = (series.at(np.full(count, one, np.int32), time) for one in (tag, link))
        quality = np.full(count, -1, np.int16)
        value = np.full(count, np.inf)  # stands for none, and equals itself
        there = at >= 0
        if there.any():
            quality[there] = samples.quality[at[there]]
            value[there] = np.nan_to_num(samples.value[at[there]], nan=-np.inf)
        cause = np.zeros(count, np.int8)
        for not_known, holds_so in (  # the first in order is written last
            (NotKnown.STALE, there & (time >= _time(samples, at) + holds[max(tag, 0)])),
            (NotKnown.BAD_QUALITY, there & (quality != GOOD)),
            (NotKnown.NO_SAMPLE, ~there),
            *_link_causes(bindings, samples, link, link_at, time),
        ):
            cause[holds_so] = _CAUSES.index(not_known)
        cause[known] = _CAUSES.index(None)  # also of one that is bad or old, and counts as it was last sent
        is_switch = tag >= 0 and not np.isnan(bindings.switch_on[tag])
        readings = as_given.value if is_switch else None
        return cls(samples, readings, int(time[0]), tag, link, at, link_at, value, quality, cause)

    def heard(self, name: str, segment: int) -> Heard:
        """What it said at one segment."""
        at, link_at, samples = int(self.at[segment]), int(self.link_at[segment]), self.samples
        there = at >= 0 and not np.isnan(samples.value[at])
        reading = None
        if self.readings is not None and there and samples.time[at] >= self.start and not np.isnan(self.readings[at]):
            reading = float(self.readings[at])
        return Heard(
            name,
            self.tag,
            float(samples.value[at]) if there else None,
            int(samples.time[at]) if at >= 0 else None,
            int(samples.quality[at]) if at >= 0 else None,
            reading,
            self.link,
            int(samples.time[link_at]) if link_at >= 0 else None,
            _CAUSES[int(self.cause[segment])],
        )


def _link_causes(
    bindings: Bindings, samples: Columns, link: int, at: Index, time: Int64
) -> Iterator[tuple[NotKnown, Bool]]:
    if link < 0 or not len(samples):
        yield NotKnown.NO_LINK, np.full(len(time), link >= 0, np.bool_)
        return
    there = at >= 0
    yield NotKnown.LINK_SILENT, there & (time >= _time(samples, at) + bindings.holds[link])
    yield NotKnown.LINK_DOWN, there & ((samples.value[at] != 1.0) | (samples.quality[at] != GOOD))
    yield NotKnown.NO_LINK, ~there


def _time(samples: Columns, at: Index) -> Int64:
    """Times of samples; of none, the beginning of all."""
    if not len(samples):
        return np.zeros(len(at), np.int64)
    return np.where(at >= 0, samples.time[at], 0)


def _binding(bindings: Bindings, machine: int) -> tuple[ModelBinding, int]:
    for binding in bindings.models:
        row = np.flatnonzero(binding.machine == machine)
        if len(row):
            return binding, int(row[0])
    raise ValueError(f"there is no machine {machine}")


def _counted_from(found: Working, reading: int) -> float:
    """The highest reading before one, or the lower one that it was found to count on from."""
    if found.verdict[reading] == Verdict.LOWERED:
        return float(found.samples.value[reading] - found.delta[reading])
    return float(found.highest.value[reading - 1])


def spans_of(
    intervals: pl.DataFrame,
    calendar: Calendar,
    start: int,
    end: int,
    *,
    overtime_apart: bool,
    down_before: bool = False,
    counted_before: bool = False,
) -> tuple[Span, ...]:
    """Spans of one machine from its state intervals alone, without where the states came from.

    intervals: start, end (Int64 ns, ascending, within [start, end)), state (Int32), product and reason (Int32 codes, -1
    = none). down_before: whether a failure is open at the start; counted_before: whether that one was counted. What no
    interval covers is left out.
    """
    if intervals.is_empty():
        return ()
    plan = planned_times(calendar, start, end)
    begins, ends = intervals["start"].to_numpy(), intervals["end"].to_numpy()
    edge = np.unique(np.concatenate([begins, plan.edge]))
    which = np.searchsorted(begins, edge, side="right") - 1
    edge, which = edge[which >= 0], which[which >= 0]
    finish = np.minimum(ends[which], np.append(edge[1:], end))
    covered = finish > edge
    edge, which, finish = edge[covered], which[covered], finish[covered]
    at = np.searchsorted(plan.edge, edge, side="right") - 1
    nothing = np.zeros(len(edge), np.int32)
    parts = Segments(
        nothing,
        edge,
        finish,
        intervals["state"].to_numpy()[which].astype(np.int32),
        intervals["product"].to_numpy()[which].astype(np.int32),
        intervals["reason"].to_numpy()[which].astype(np.int32),
        plan.operation[at],
        plan.busy[at],
        plan.maintenance[at],
        plan.shift[at],
        plan.shift_start[at],
        np.zeros(len(edge), np.bool_),
        np.zeros(1, np.int32),
        np.zeros(1, np.intp),
    )
    category = categories(parts, np.array([overtime_apart]))
    failures = Failures.of(parts, category, np.array([down_before]), np.array([counted_before]))
    holes = np.cumsum(np.append(False, finish[:-1] != edge[1:]))
    return tuple(
        _span(parts, category, failures, first, last, 0, {}, None)
        for first, last in _runs([*_keys(parts, category, failures), holes])
    )


def _keys(parts: Segments, category: Int8, failures: Failures) -> list[npt.NDArray[Any]]:
    plan = (parts.operation, parts.busy, parts.shift_start)
    return [parts.state, parts.product, parts.reason, *plan, category, failures.costs]


def _runs(keys: list[npt.NDArray[Any]]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of every run of segments that are equal in all keys."""
    new = np.ones(len(keys[0]), np.bool_)
    new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    begins = np.flatnonzero(new)
    yield from zip(begins.tolist(), np.append(begins[1:], len(new)).tolist(), strict=True)


def _span(
    parts: Segments,
    category: Int8,
    failures: Failures,
    first: int,
    last: int,
    uncounted: int,
    used: Mapping[str, int],
    origin: Origin | None,
) -> Span:
    """Segments from first until last as one."""
    kind = CATEGORIES[category[first]]
    shift = int(parts.shift[first])
    return Span(
        int(parts.start[first]),
        int(parts.end[last - 1]),
        State(int(parts.state[first])),
        kind,
        COUNTS_IN[kind] + (("ttr",) if failures.costs[first] else ()),
        _code(parts.product[first]),
        _code(parts.reason[first]),
        bool(parts.operation[first]),
        bool(parts.busy[first]),
        None if shift < 0 else shift,
        int(parts.shift_start[first]),
        bool(failures.begins[first]),
        uncounted,
        used,
        origin,
    )


def _code(value: np.int32) -> int | None:
    return None if value == NO_CODE else int(value)
