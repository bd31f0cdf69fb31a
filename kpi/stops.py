"""Minor stops told from breakdowns, after the fact: by how long the whole stop took.

Rule: a run of STOPPED and BREAKDOWN without anything between them is one stop. Where the machine has a limit, a stop
shorter than that is STOPPED, any other BREAKDOWN; a stop that is not over yet is judged by its length so far, and its
minutes are restated when it turns out long. A reason that has a meaning says more than the length, and decides.
Source: the TPM loss of minor stops; ISO 22400-2, ADET.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from kpi.bindings import NO_LIMIT
from kpi.columns import Int64
from kpi.plant import Machine, State
from kpi.states import NO_CODE, Segments

NO_STOP: Final = 0
_NO_MEANING: Final = -1
_CAN_HAVE_REASON: Final = np.array(
    [state not in (State.UNKNOWN, State.PRODUCING, State.SETUP) for state in State], np.bool_
)


def judged(parts: Segments, limit: Int64, since_before: Int64) -> tuple[Segments, Int64]:
    """Segments with every stop judged by its length.

    limit: int64 ns by machine index, `NO_LIMIT` where stops stay as the signals say. since_before: int64 ns, parallel
    to `parts.machines`: when the stop began that is open at the start, `NO_STOP` where none is.
    Returns the segments and, for each, when its stop began (int64 ns; `NO_STOP` where there is none, or no limit).
    """
    stop = (parts.state == State.STOPPED) | (parts.state == State.BREAKDOWN)
    stop &= limit[parts.machine] != NO_LIMIT
    since = np.full(len(stop), NO_STOP, np.int64)
    if not stop.any():
        return parts, since
    first = np.zeros(len(stop), np.bool_)
    first[parts.first] = True
    begins = stop.copy()
    begins[1:] &= ~stop[:-1] | first[1:]
    ends = stop.copy()
    ends[:-1] &= ~stop[1:] | first[1:]
    open_before = _per_segment(parts, since_before)
    start = np.where(first & (open_before != NO_STOP), open_before, parts.start)
    start, end = start[begins], parts.end[ends]
    run = np.cumsum(begins)[stop] - 1
    since[stop] = start[run]
    long = (end - start)[run] >= limit[parts.machine[stop]]
    state = parts.state.copy()
    state[stop] = np.where(long, State.BREAKDOWN, State.STOPPED)
    return replace(parts, state=state), since


def reasoned(parts: Segments, machines: Sequence[Machine]) -> Segments:
    """Segments in which a stop is what its reason says, where the machine gives a reason that has a meaning."""
    given = np.flatnonzero((parts.reason != NO_CODE) & _CAN_HAVE_REASON[parts.state])
    if not len(given):
        return parts
    pair = parts.machine[given].astype(np.int64) << 32 | parts.reason[given]
    pairs, where = np.unique(pair, return_inverse=True)
    meant = [machines[int(p >> 32)].reasons.get(int(p & 0xFFFFFFFF), _NO_MEANING) for p in pairs]
    meaning = np.array(meant, np.int32)[where]
    state = parts.state.copy()
    state[given] = np.where(meaning == _NO_MEANING, state[given], meaning)
    return replace(parts, state=state)


def _per_segment(parts: Segments, of_machine: Int64) -> Int64:
    """A value of each machine, for each of its segments."""
    return of_machine[np.searchsorted(parts.machines, parts.machine)]
