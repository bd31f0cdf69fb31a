"""Which reason a standstill has, where a reason is of the standstill in which it is given.

A standstill lasts from where the machine ceases to work until it works again, produces or sets up; missing data do not
end it. For machines whose reasons are of one stop, a reason that was given in an earlier standstill says nothing of
this one, and the first that is given in it is the reason of all of it up to then: people type it in when they get to
it. Minutes that were said before are restated when it comes.

Rule: a sample is a reason given, also where it is the same as before; one that is bad or empty takes it away from then
on. A reason that came up to ten seconds before the standstill is of it: a controller writes both in one cycle, and they
are sampled apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from kpi.bindings import Bindings
from kpi.columns import GOOD, Bool, Index, Int32, Int64, Series
from kpi.plant import State
from kpi.states import NO_CODE, Segments
from kpi.stops import NO_STOP

_BEFORE_NS: Final = 10_000_000_000


def with_reasons(parts: Segments, series: Series, bindings: Bindings, since_before: Int64) -> tuple[Segments, Int64]:
    """Segments with the reason of their standstill, and when the standstill began that each is in.

    parts: stops judged by their length. since_before: int64 ns, parallel to `parts.machines`: when the standstill began
    that is open at the start, `NO_STOP` where none is. Returns int64 ns by segment, `NO_STOP` where the machine works
    or its reasons hold until they change.
    """
    mine = bindings.reason_of_stop[parts.machine]
    since = np.full(len(mine), NO_STOP, np.int64)
    if not mine.any():
        return parts, since
    stands = mine & (parts.state != State.PRODUCING) & (parts.state != State.SETUP)
    since, until = _standstills(parts, stands, since_before)
    reason = parts.reason.copy()
    reason[mine & ~stands] = NO_CODE
    at = np.flatnonzero(stands)
    reason[at] = _reasons(parts, series, bindings, at, since[at], until[at])
    return replace(parts, reason=reason), since


def _standstills(parts: Segments, stands: Bool, since_before: Int64) -> tuple[Int64, Int64]:
    """When the standstill of each segment began, `NO_STOP` where the machine works, and when it ends; ns."""
    first = np.zeros(len(stands), np.bool_)
    first[parts.first] = True
    begins = stands & (first | ~np.append(False, stands[:-1]))
    ends = stands & np.append(first[1:] | ~stands[1:], True)
    start = parts.start.copy()
    open_before = since_before != NO_STOP
    start[parts.first[open_before]] = since_before[open_before]
    since, until = np.full(len(stands), NO_STOP, np.int64), np.full(len(stands), NO_STOP, np.int64)
    run = np.cumsum(begins)[stands] - 1
    since[stands], until[stands] = start[begins][run], parts.end[ends][run]
    return since, until


def _reasons(parts: Segments, series: Series, bindings: Bindings, at: Index, since: Int64, until: Int64) -> Int32:
    """Reason of the segments at an index, of standstills that began at `since` and last until then, ns."""
    samples = series.samples
    tag = bindings.reason_tag[parts.machine[at]]
    good = np.flatnonzero((samples.quality == GOOD) & bindings.is_reason[samples.tag])
    given = series.of(good)
    last = given.at(tag, parts.start[at])
    was_given = last >= 0
    was_given[was_given] = samples.time[good[last[was_given]]] >= since[was_given] - _BEFORE_NS
    following = np.where(last >= 0, last + 1, np.searchsorted(samples.tag[good], tag))
    comes = (following < len(good)) & ~was_given
    comes[comes] = samples.tag[good[following[comes]]] == tag[comes]
    comes[comes] = samples.time[good[following[comes]]] < until[comes]
    reason: Int32 = np.where(was_given, parts.reason[at], np.int32(NO_CODE)).astype(np.int32)
    reason[comes] = samples.value[good[following[comes]]].astype(np.int32)
    return reason
