"""Piece counters beside what the machine was doing: where readings count, what nobody judges, gaps, and counters that
stand still.

Rule 1: a reading counts whole in the segment that it lies in, also after a gap: when its pieces were made nobody knows.
Rule 2: a rise is *after a gap* where the machine's data was missing (link down, value stale or bad, not merely a value
without a rule) at any time since the reading before it; since the one before the fall, where it ends one. It counts as
any other; that it is one is told.
Rule 3: a piece counter is *stuck* once the machine has produced for `stuck_after` without a rise of any counter that
its produced quantity is made of. Counted is production time alone: a machine that stands, or is not heard, says nothing
about its counter. (Two ways were weighed: wall time since the last rise or the start of production, which takes a
machine that stutters for healthy; and production time, which costs one number a machine. The second won.) Production
time beyond the limit is uncounted time, until a counter rises again.
Rule 4: what nobody counts is not zero. Pieces that nobody judges are taken as good and said to be unjudged; those of a
machine whose scrap or rework nobody counts are said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kpi.bindings import NEVER, NO_LIMIT, Bindings
from kpi.columns import Bool, Columns, Float64, Index, Int32, Int64, run_begins
from kpi.counters import Counted
from kpi.plant import Quantity, State
from kpi.states import Segments

AT_LEAST_STUCK_AFTER: Final = 60_000_000_000
"""Shortest `stuck_after`, ns. No segment is longer than a minute, so rises within one are never too far apart."""

NO_GAP: Final = 0
"""In place of when data last was missing, where it never was."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings that added something, parallel columns: index of the sample, index of the segment it counts in."""

    sample: Index
    part: Index


def readings(
    bindings: Bindings, samples: Columns, delta: Float64, parts: Segments, start: int, end: int
) -> dict[Quantity, Readings]:
    """The readings of each quantity's counters over [start, end) that added something, for each machine that has it.

    delta: parallel to the samples, what each adds.
    """
    inside = np.flatnonzero((delta != 0) & bindings.is_counter[samples.tag] & (samples.time < end))
    wanted = np.zeros(bindings.machines, np.bool_)
    wanted[parts.machines] = True
    tag, time = samples.tag[inside], np.maximum(samples.time[inside], start)
    found: dict[Quantity, Readings] = {}
    for quantity, owners in bindings.counter_owners.items():
        if len(owners.machine):
            index, machine = owners.expand(tag)
            mine = wanted[machine]
            index, machine = index[mine], machine[mine]
            found[quantity] = Readings(inside[index], parts.find(machine, time[index]))
    return found


def after_gap(
    bindings: Bindings,
    samples: Columns,
    counted: Counted,
    parts: Segments,
    found: Mapping[Quantity, Readings],
    gap_before: Int64,
) -> tuple[Index, Int32, Int64]:
    """Which readings are rises after a gap, and when data was last missing by the end of each segment.

    counted: parallel to the samples. gap_before: int64 ns, parallel to `parts.machines`: when data was last missing
    before the stretch.
    Returns indexes of samples, one for each counter that a machine has, the machine of each, and int64 ns, parallel to
    the segments, `NO_GAP` where it never was.
    """
    none = np.zeros(0, np.intp)
    missing = (parts.state == State.UNKNOWN) & ~parts.unmapped
    first = np.zeros(len(missing), np.bool_)
    first[parts.first] = True
    ends = np.where(missing, parts.end, 0)
    ends[parts.first] = np.maximum(ends[parts.first], gap_before)
    last = ends[np.maximum.accumulate(np.where(missing | first, np.arange(len(missing)), 0))]
    if not last.any():
        return none, none.astype(np.int32), last
    is_after, machine = [none], [none.astype(np.int32)]
    entering = np.empty_like(last)
    entering[1:] = last[:-1]
    entering[parts.first] = gap_before
    for of in found.values():
        # only the first reading in a segment can have a gap outside it since the one before
        new = run_begins(of.part)
        new |= missing[of.part]
        new &= ~bindings.counting.event[samples.tag[of.sample]]
        sample, part = of.sample[new], of.part[new]
        time = samples.time[sample]
        within = missing[part] & (time > parts.start[part])
        since = np.where(within, time, entering[part])
        after = since > samples.time[counted.counts_from(sample)]
        is_after.append(sample[after])
        machine.append(parts.machine[part[after]])
    return np.concatenate(is_after), np.concatenate(machine), last


@dataclass(frozen=True, slots=True, eq=False)
class Silence:
    """How long counters stood still, parallel to segments.

    uncounted: int64 ns, production time beyond the limit. begins: bool, whether a counter is first stuck in it;
    begins_at: int64 ns, since when, where it is. at_end: int64 ns, production time since the last rise at its end;
    beyond the limit no more is added up.
    """

    uncounted: Int64
    begins: Bool
    begins_at: Int64
    at_end: Int64


def silence(
    bindings: Bindings, samples: Columns, parts: Segments, found: Mapping[Quantity, Readings], before: Int64
) -> Silence:
    """Production time without a rise of the counters that produced quantity is made of.

    before: int64 ns, parallel to `parts.machines`: as `Silence.at_end` just before the stretch.
    """
    limit = bindings.stuck_after[parts.machine]
    watched = limit != NO_LIMIT
    if not watched.any():
        nothing = np.zeros(len(limit), np.int64)
        return Silence(nothing, watched, nothing, nothing)
    produces = watched & (parts.state == State.PRODUCING)
    made = np.where(produces, parts.end - parts.start, 0)
    # One clock of production time for all machines, one after the other, each set back by what it had before.
    lead = made.copy()
    lead[parts.first] += before
    until = np.cumsum(lead)
    since = until - made
    first, last = _rises(bindings, samples, parts, found)
    rises = last >= 0
    first_rise = since + np.where(rises & produces, first - parts.start, 0)
    last_rise = since + np.where(rises & produces, last - parts.start, 0)
    heard = np.zeros(len(made), np.int64)
    heard[1:] = np.where(rises, last_rise, 0)[:-1]
    heard[parts.first] = since[parts.first] - before
    heard = np.maximum.accumulate(heard)
    stuck_from = heard + limit
    uncounted = np.maximum(np.where(rises, first_rise, until) - np.maximum(since, stuck_from), 0)
    uncounted[~watched] = 0
    at_end = np.where(watched, np.minimum(until - np.where(rises, last_rise, heard), limit + 1), 0)
    begins = (uncounted > 0) & (stuck_from >= since)
    return Silence(uncounted, begins, parts.start + np.where(begins, stuck_from - since, 0), at_end)


def _rises(
    bindings: Bindings, samples: Columns, parts: Segments, found: Mapping[Quantity, Readings]
) -> tuple[Int64, Int64]:
    """When counters that produced quantity is made of first and last rose in each segment, ns; last -1: none did."""
    first = np.full(len(parts.machine), NEVER, np.int64)
    last = np.full(len(parts.machine), -1, np.int64)
    for quantity, of in found.items():
        if not bindings.makes_produced[quantity].any() or not len(of.part):
            continue
        cut = np.flatnonzero(of.part[1:] != of.part[:-1]) + 1
        begins, ends = np.append(0, cut), np.append(cut, len(of.part)) - 1
        mine = bindings.makes_produced[quantity][parts.machine[of.part[begins]]]
        begins, ends = begins[mine], ends[mine]
        np.minimum.at(first, of.part[begins], samples.time[of.sample[begins]])
        np.maximum.at(last, of.part[ends], samples.time[of.sample[ends]])
    return first, last


def closed(counted: Mapping[Quantity, Int64], has: Mapping[Quantity, Bool]) -> dict[str, Int64]:
    """Quantities that close: GQ + SQ + RQ = PQ, as far as the counters of the machine allow; and what they do not tell.

    Total and good give scrap, total and scrap give good, good and scrap give the total. Counters that are read at
    different times may give a negative part in one minute and the same more in the next: their sum is right.
    counted: what the counters of each quantity counted, 0 where there is none. has: whether there is one. Columns of
    one shape.
    """
    total, good, scrap, rework = (counted[q] for q in (Quantity.TOTAL, Quantity.GOOD, Quantity.SCRAP, Quantity.REWORK))
    has_total, has_good, has_scrap = (has[q] for q in (Quantity.TOTAL, Quantity.GOOD, Quantity.SCRAP))
    pq = np.where(has_total, total, good + scrap + rework)
    gq = np.where(has_good, good, pq - scrap - rework)
    sq = np.where(has_total & has_good & ~has_scrap, pq - gq - rework, scrap)
    return {
        "pq": pq,
        "gq": gq,
        "sq": sq,
        "rq": rework,
        "ip": counted[Quantity.INSPECTED],
        "gp": counted[Quantity.FIRST_PASS],
        "unjudged": np.where(has_good | (has_total & has_scrap), 0, pq),
        "scrap_unknown": np.where(has_scrap | (has_total & has_good), 0, pq),
        "rework_unknown": np.where(has[Quantity.REWORK], 0, pq),
        "first_pass_unknown": np.where(has[Quantity.FIRST_PASS], 0, counted[Quantity.INSPECTED]),
    }
