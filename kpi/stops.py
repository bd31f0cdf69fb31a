"""What a stop is, after the fact: a pause in the cycle, a minor stop or a breakdown, by how long the whole stop took.

Rule 1: a run of STOPPED and BREAKDOWN without anything between them is one stop. Data that are missing for less than
the limit do not end it, but stay unknown themselves.
Rule 2: a stop of STOPPED alone that is shorter than the machine's cycle gap, between two stretches of production, is a
pause within the cycle, and production. Where the machine has a limit for minor stops, any other stop that took less
planned busy time is STOPPED, else BREAKDOWN: a machine that starts a minute late after the break, or after the night,
was not broken down for all of it.
Rule 3: a stop that is not over yet is judged by its length so far, and its minutes are restated when it turns out long,
or something else than production follows. A reason that has a meaning says more than the length, and decides.
Source: the TPM loss of minor stops; ISO 22400-2, ADET; OPC 40001-1 Annex C, NotExecuting outside the cycle time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kpi.bindings import NO_LIMIT, Bindings
from kpi.columns import Bool, Index, Int64, run_begins
from kpi.plant import Machine, State
from kpi.states import NO_CODE, Segments

NO_STOP: Final = 0
_NO_MEANING: Final = -1
_CAN_HAVE_REASON: Final = np.array(
    [state not in (State.UNKNOWN, State.PRODUCING, State.SETUP) for state in State], np.bool_
)


@dataclass(frozen=True, slots=True, eq=False)
class OpenStops:
    """Stops that are not over, parallel columns.

    since: int64 ns, when it began, `NO_STOP` where none is open. seen: int64 ns, up to when it was seen; data are
    missing since. lost: int64 ns, planned busy time that it took until then. worked: bool, whether it began in
    production and has been a mere pause so far; where none is open, whether the machine produces.
    """

    since: Int64
    seen: Int64
    lost: Int64
    worked: Bool

    def minor(self, limit: Int64) -> Bool:
        """Which are minor stops so far: limit int64 ns, `NO_LIMIT` where there is none."""
        minor: Bool = (self.since != NO_STOP) & (self.lost < limit)
        return minor

    def paused(self, gap: Int64) -> Bool:
        """Which are pauses within the cycle so far: gap int64 ns, `NO_LIMIT` where there is none."""
        paused: Bool = (self.since != NO_STOP) & self.worked & (self.seen - self.since < gap)
        return paused

    def unjudged(self, limit: Int64, gap: Int64) -> Bool:
        """Which may still turn out something else."""
        return self.minor(limit) | self.paused(gap)


def judged(parts: Segments, bindings: Bindings, before: OpenStops) -> tuple[Segments, OpenStops]:
    """Segments with every stop judged by its length, and the stop that is open at the end of each segment.

    before: parallel to `parts.machines`, the stop that is open at the start.
    """
    limit = bindings.stop_limit[parts.machine]
    stop = ((parts.state == State.STOPPED) | (parts.state == State.BREAKDOWN)) & (limit != NO_LIMIT)
    of_machine = np.searchsorted(parts.machines, parts.machine)
    if not stop.any() and not before.since.any():
        nothing = np.full(len(stop), NO_STOP, np.int64)
        worked = (parts.state == State.PRODUCING) & (bindings.cycle_gap[parts.machine] != NO_LIMIT)
        return parts, OpenStops(nothing, nothing, nothing, worked)
    goes_on = stop | ((parts.state == State.UNKNOWN) & (limit != NO_LIMIT))
    breaks = np.cumsum(~goes_on)
    first = parts.first[of_machine]
    since_first = breaks - (breaks - ~goes_on)[first]  # what ended a stop since the machine's first segment
    resumed = (before.since[of_machine] != NO_STOP) & (since_first == 0)

    runs = _Runs.of(parts, np.flatnonzero(stop), first, breaks, limit, resumed, before, of_machine)
    state = parts.state.copy()
    state[runs.segment] = runs.names(parts, bindings, first)

    last = np.maximum.accumulate(np.where(stop, np.arange(len(stop)), -1))
    has_last = last >= first
    place = np.searchsorted(runs.segment, last)
    place[~has_last] = 0
    since, seen, lost = before.since[of_machine], before.seen[of_machine], before.lost[of_machine]
    if len(runs.segment):
        has_last &= breaks == breaks[np.maximum(last, 0)]
        since = np.where(has_last, runs.since[place], since)
        seen = np.where(has_last, parts.end[np.maximum(last, 0)], seen)
        lost = np.where(has_last, runs.lost[place], lost)
    is_open = (has_last | resumed & (last < first)) & (stop | (goes_on & (parts.end - seen < limit)))
    worked = ~is_open & (parts.state == State.PRODUCING)
    worked[runs.segment] = runs.is_pause
    worked &= bindings.cycle_gap[parts.machine] != NO_LIMIT
    return (
        replace(parts, state=state),
        OpenStops(
            np.where(is_open, since, NO_STOP), np.where(is_open, seen, NO_STOP), np.where(is_open, lost, 0), worked
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Segments of stops, and the run that each belongs to; parallel columns but for the last two, which are by run.

    segment: index of the segment. run: number of its run. since: int64 ns, when the run began. lost: int64 ns, planned
    busy time that the run took up to here. is_pause: whether it began in production and is STOPPED alone, without a
    hole, up to here. at, until: place of each run's first and last.
    """

    segment: Index
    run: Index
    since: Int64
    lost: Int64
    is_pause: Bool
    at: Index
    until: Index

    @classmethod
    def of(
        cls,
        parts: Segments,
        segment: Index,
        first: Index,
        breaks: Int64,
        limit: Int64,
        resumed: Bool,
        before: OpenStops,
        of_machine: Index,
    ) -> _Runs:
        """first, breaks, limit, resumed, of_machine: by segment of all, as in `judged`."""
        start, end = parts.start[segment], parts.end[segment]
        machine = of_machine[segment]
        follows = np.zeros(len(segment), np.bool_)
        follows[1:] = (machine[1:] == machine[:-1]) & (breaks[segment[1:]] == breaks[segment[:-1]])
        hole = np.zeros(len(segment), np.int64)
        hole[1:] = start[1:] - end[:-1]
        resumes = resumed[segment] & ~follows & run_begins(machine)
        hole[resumes] = start[resumes] - before.seen[machine[resumes]]
        joins = (follows | resumes) & (hole < limit[segment])
        begins = ~joins | resumes
        at = np.flatnonzero(begins)
        until = np.append(at[1:], len(segment))[: len(at)] - 1
        run = np.cumsum(begins) - 1
        resumes &= joins
        since = np.where(resumes, before.since[machine], start)[at][run]
        alone = segment == first[segment]
        previous = np.where(alone, before.worked[machine], parts.state[segment - 1] == State.PRODUCING)
        previous = np.where(resumes, before.worked[machine], previous)
        spoils = (parts.state[segment] == State.BREAKDOWN) | (joins & (hole > 0))
        spoilt = np.cumsum(spoils)
        is_pause = previous[at][run] & (spoilt - (spoilt - spoils)[at][run] == 0)
        took = np.where(parts.busy[segment], end - start, 0)
        took[resumes] += before.lost[machine[resumes]]
        whole = np.cumsum(took)
        return cls(segment, run, since, whole - (whole - took)[at][run], is_pause, at, until)

    def names(self, parts: Segments, bindings: Bindings, first: Index) -> Index:
        """State of each segment of a stop."""
        if not len(self.segment):
            return self.segment
        last = self.segment[self.until]
        machine = parts.machine[last]
        length = parts.end[last] - self.since[self.at]
        following = np.minimum(last + 1, len(first) - 1)
        is_open = (following == last) | (first[following] != first[last])
        production = is_open | (parts.state[following] == State.PRODUCING)
        in_cycle = self.is_pause[self.until] & production & (length < bindings.cycle_gap[machine])
        minor = bindings.minor_stop[machine]
        name = np.where(self.lost[self.until] < minor, State.STOPPED, State.BREAKDOWN)
        said = parts.state[self.segment]
        by_length = np.where((minor == NO_LIMIT)[self.run], said, name[self.run])
        return np.where(in_cycle[self.run], State.PRODUCING, by_length)


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
