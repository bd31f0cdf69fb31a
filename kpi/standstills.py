"""Which reason a standstill has, where a reason is of the standstill in which it is given.

A standstill lasts from where the machine ceases to work until it works again, produces or sets up; missing data do not
end it. For machines whose reasons are of one stop, a reason that was given in an earlier standstill says nothing of
this one, and the last that is given in it is the reason of all of it: people type it in when they get to it, and
correct it. Minutes that were said before are restated when it comes. One that the machine's reasons give no meaning
does not stand in place of one that has a meaning: terminals write `0` or `NONE` when somebody has seen to it.

Rule: a sample is a reason given, also where it is the same as before; one that is bad or empty is none. A reason that
came up to ten seconds before the standstill is of it: a controller writes both in one cycle, and they are sampled
apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kpi.bindings import Bindings
from kpi.columns import GOOD, Bool, Columns, Index, Int32, Int64, Series
from kpi.plant import Machine, State
from kpi.states import NO_CODE, Segments
from kpi.stops import NO_STOP

_BEFORE_NS: Final = 10_000_000_000
"""How long before a standstill a reason may come that is of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Standstills:
    """Standstills that are not over, parallel columns.

    since: int64 ns, when it began, `NO_STOP` where the machine works or its reasons hold until they change. reason:
    int32, text code of the reason that was given in it so far, `NO_CODE` where none was.
    """

    since: Int64
    reason: Int32


def with_reasons(
    parts: Segments, series: Series, bindings: Bindings, before: Standstills
) -> tuple[Segments, Standstills]:
    """Segments with the reason of their standstill, and the standstill that is open at the end of each segment.

    parts: stops judged by their length. before: parallel to `parts.machines`, the standstill that is open at the start.
    """
    mine = bindings.reason_of_stop[parts.machine]
    found = Standstills(np.full(len(mine), NO_STOP, np.int64), np.full(len(mine), NO_CODE, np.int32))
    if not mine.any():
        return parts, found
    reason = parts.reason.copy()
    reason[mine] = NO_CODE
    stands = mine & (parts.state != State.PRODUCING) & (parts.state != State.SETUP)
    begins, ends = _runs(parts, stands)
    samples = series.samples.take(bindings.is_reason[series.samples.tag] & (series.samples.quality == GOOD))
    order = np.searchsorted(parts.machines, parts.machine[begins])
    resumes = (begins == parts.first[order]) & (before.since[order] != NO_STOP)
    since = np.where(resumes, before.since[order], parts.start[begins])
    first = np.where(resumes, before.reason[order], np.int32(NO_CODE))
    run = np.repeat(np.arange(len(begins)), ends - begins)
    at = np.flatnonzero(stands)
    found.since[at], found.reason[at] = since[run], first[run]
    reason[at] = first[run]
    for number in np.flatnonzero(_are_given(samples, bindings, parts, begins, ends, since)).tolist():
        begin, end = int(begins[number]), int(ends[number])
        machine = bindings.plant.machines[int(parts.machine[begin])]
        given = _given(samples, machine, int(since[number]), int(parts.end[end - 1]))
        told = _so_far(given, machine, int(first[number]))
        reason[begin:end] = told[-1]
        found.reason[begin:end] = told[np.searchsorted(given.time, parts.end[begin:end])]
    return replace(parts, reason=reason), found


def _runs(parts: Segments, stands: Bool) -> tuple[Index, Index]:
    """(first segment, last + 1) of every standstill."""
    first = np.zeros(len(stands) + 1, np.bool_)
    first[parts.first] = True
    first[-1] = True
    begins = stands & (first[:-1] | ~np.append(False, stands[:-1]))
    ends = stands & (first[1:] | ~np.append(stands[1:], False))
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _are_given(
    samples: Columns,
    bindings: Bindings,
    parts: Segments,
    begins: Index,
    ends: Index,
    since: Int64,
) -> Bool:
    """Whether there is a sample of a reason in each standstill, or just before it."""
    if not len(samples):
        return np.zeros(len(begins), np.bool_)
    tag = bindings.reason_tag[parts.machine[begins]].astype(np.int64)
    base = int(samples.time.min()) - 1
    span = int(samples.time.max()) - base + 2
    key = samples.tag.astype(np.int64) * span + (samples.time - base)
    low = np.searchsorted(key, tag * span + np.clip(since - _BEFORE_NS - base, 0, span - 1))
    high = np.searchsorted(key, tag * span + np.clip(parts.end[ends - 1] - base, 0, span - 1))
    return high > low


def _given(samples: Columns, machine: Machine, since: int, until: int) -> Columns:
    """The reasons that a machine is given in a standstill, in order of time."""
    assert machine.reason is not None
    mine = samples.of_tags(np.array([machine.reason.tag], np.int32))
    return mine.take((mine.time >= since - _BEFORE_NS) & (mine.time < until))


def _so_far(given: Columns, machine: Machine, before: int) -> Int32:
    """The reason after none of the samples, after the first, and so on; shape (n + 1,)."""
    told = [before]
    for value in given.value.tolist():
        means = int(value) in machine.reasons or told[-1] not in machine.reasons
        told.append(int(value) if means else told[-1])
    return np.array(told, np.int32)
