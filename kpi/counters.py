"""Counter readings → what was counted between them.

The rules, for a reading x after the highest reading h so far:
  x ≥ h                      counted on: x − h
  x < h, modulus M known and x + M − h < M / 16
                             rolled over: x + M − h (a register that was beyond M does not roll over)
  x − h > M − M / 16         stepped back over the rollover (an old reading again): nothing, and h stays
  x < h / 2, h > 0           a fall: nothing yet, and h stays; what it was is judged at what comes next
  else                       stepped back: nothing yet, and h stays, so that what was counted once is not counted again
The rules for a reading x after a fall to p, tried in this order:
  rolled over                as above
  x ≥ 9/10 h, h ≥ 10         an excursion (a register read as 0, a stray reading): x − h, nothing where x is below h
  x > p                      the low reading is confirmed, since it counts on from there. Where M is known and
                             p + M − h < M / 2 it rolled over: x + M − h. Else it was reset and counted on from 0: x;
                             nothing where x is below 0 (a signed register overflowed)
  x = p                      stands still and says nothing; it costs nothing to wait
  x < p                      a fall again
The rules for a reading x after a step back to p, where none of those above holds but x < h:
  x < p                      stepped back again, to x
  x > p, and p is 15 min ago lowered: it has counted on from p for too long to be old readings again: x − p
  else                       nothing: old readings again, or a count that was corrected; what is counted once more until
                             it is back at h was counted before
A rise that is faster than the counter can be, where that is known, is a jump: nothing is counted, and it counts on from
there; the time it had is since the last reading, after a fall or a step back since the last one before it. The first
reading of all is the base: nothing is counted at it. A tag of events does not count up: each sample is so many pieces
of its own.

How far the rules go. One low reading, or a low one that stands still for however long, adds nothing. Two old readings
that count on from each other, both below half the height, look like a reset: they and the way back are counted, but
for what is a jump, where the most that the counter can make is known. Old readings above half the height that take
longer than 15 min to come again look like a lowered counter. A counter that leaps from its reset to nine tenths of its
old height between two readings looks like an excursion, but not one that did not reach 10: the scrap of a shift is a
piece or two, and 1, 0, 1 is two of them. Three other ways were weighed: to believe every fall (one reading of 0 then
counts the whole register), to believe no step back however long it stays (a counter that goes on with an earlier
order, at 600 after 1000, then counts nothing for 400 pieces), and to take back what was counted once a reset turns out
to be none (pieces and energy of a minute would be negative, or closed minutes change without a late sample).

Rule: what a reading adds depends on it and those before it, and all of those is known by one carried sample, by two or
by three: the last reading; after a step back also that one; and after it or a fall the highest reading before
(`Counted.stands_on`). Judged again, these give the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np

from kpi.columns import Bool, Columns, Float64, Index, UInt8, run_begins
from kpi.plant import Counter


class Verdict(IntEnum):
    """How a reading was judged."""

    COUNTED_ON = 0
    ROLLOVER = 1
    RESET = 2
    STEP_BACK = 3
    JUMP = 4
    FALL = 5
    EXCURSION = 6
    LOWERED = 7


_NEAR: Final = 1 / 16
"""Part of the modulus within which it is crossed, forth or back, at the first reading."""

_ABOUT: Final = 0.9
"""Part of the old height that a reading has to be at least, to have returned to it."""

_STAYS_NS: Final = 15 * 60 * 1_000_000_000
"""For how long a counter has to count on from where it stepped back to, until that is believed. A buffer that is sent
again comes in a burst; a corrected count is soon back at its height."""

_LITTLE: Final = 10.0
"""A height from which on a fall may be a stray reading."""

NOTHING: Final = -1
"""In place of the sample that another one stands on."""


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """How each tag counts, columns of shape (tags,): modulus and most_per_second float64, NaN where there is none;
    event bool."""

    modulus: Float64
    most_per_second: Float64
    most_at_once: Float64
    event: Bool

    @classmethod
    def of(cls, counters: Iterable[Counter], tags: int) -> Counting:
        """From the counters of a plant."""
        counting = cls(np.full(tags, np.nan), np.full(tags, np.nan), np.ones(tags), np.zeros(tags, np.bool_))
        for counter in counters:
            if counter.modulus is not None:
                counting.modulus[counter.tag] = counter.modulus
            if counter.most_per_second is not None:
                counting.most_per_second[counter.tag] = counter.most_per_second
            counting.most_at_once[counter.tag] = counter.most_at_once
            counting.event[counter.tag] = counter.event
        return counting


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What readings count for, columns of shape (n,), parallel to them.

    delta: float64, what each adds, in the readings' unit; 0 for the first of a tag. highest: float64, the highest
    reading so far. verdict: uint8 (`Verdict`). stands_on: intp, the index of the reading that has to be known beside
    this one: of a fall or step back the last reading before it, of those that come after a step back that one, else -1.
    """

    delta: Float64
    highest: Float64
    verdict: UInt8
    stands_on: Index

    def counts_from(self, reading: Index) -> Index:
        """The readings that some are counted on from: each one's last before it, and where a fall or step back is open
        what that stands on."""
        before = reading - 1
        fallen: Index = self.stands_on[before]
        return np.where(fallen == NOTHING, before, fallen)


def deltas(readings: Columns, counting: Counting, start: int) -> Counted:
    """What each reading adds.

    readings: good readings only, sorted by (tag, time), one a time. start: ns; what is before it was counted before.
    """
    value = readings.value
    counted = Counted(
        np.zeros(len(readings)), value.copy(), np.zeros(len(readings), np.uint8), np.full(len(readings), NOTHING)
    )
    if not len(readings):
        return counted
    delta, verdict = counted.delta, counted.verdict
    first = run_begins(readings.tag)
    delta[1:] = value[1:] - value[:-1]
    delta[first] = 0.0
    event = counting.event[readings.tag]
    delta[event] = np.where(readings.time[event] >= start, value[event], 0.0)
    odd = (delta < 0) & ~event
    if not np.isnan(counting.modulus).all():
        odd |= (delta > (1 - _NEAR) * counting.modulus[readings.tag]) & ~event
    if odd.any():
        _judge_odd(readings, counting.modulus, first | event, odd, counted)
    most = counting.most_per_second[readings.tag]
    if not np.isnan(most).all():
        elapsed = (readings.time - readings.time[counted.counts_from(np.arange(len(readings)))]) / 1e9
        jump = ~event & ~first & (delta > most * elapsed + counting.most_at_once[readings.tag])
        delta[jump] = 0.0
        verdict[jump] = Verdict.JUMP
    return counted


@dataclass(slots=True)
class _State:
    """What is known of one counter. high: the highest reading, at: index of the last one that was believed.

    low: a reading below it that is not judged yet, None where there is none; low_at its index, since its time; fell:
    whether that was a fall and not a step back.
    """

    high: float
    at: int
    low: float | None = None
    low_at: int = NOTHING
    since: int = 0
    fell: bool = False


def _judge_odd(readings: Columns, modulus: Float64, first: Bool, odd: Bool, counted: Counted) -> None:
    """Go through the tags that fell or leapt, reading by reading; such are rare, so a loop is cheap enough.

    A run of equal readings is judged once: the rest of it adds nothing, but for what a step back that stays comes to.
    """
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(readings))
    group = np.cumsum(first) - 1
    changes = run_begins(readings.value)
    for which in np.unique(group[odd]).tolist():
        begin, end = int(begins[which]), int(ends[which])
        wrap = float(modulus[readings.tag[begin]])
        runs = [begin, *(begin + 1 + np.flatnonzero(changes[begin + 1 : end])).tolist(), end]
        state = _State(float(readings.value[begin]), runs[1] - 1)
        for i, until in pairwise(runs[1:]):
            again = i
            while again < until:
                _judge_run(readings, again, until, state, wrap, counted)
                again = _next_judged(readings, again, until, state)


def _judge_run(readings: Columns, i: int, until: int, state: _State, modulus: float, counted: Counted) -> None:
    """Judge the first of a run of equal readings, and let the rest of it add nothing."""
    x = float(readings.value[i])
    counted.delta[i], counted.verdict[i] = _judge(x, int(readings.time[i]), i, state, modulus)
    counted.delta[i + 1 : until] = 0.0
    stands = x == state.high or (state.fell and x == state.low)
    counted.verdict[i + 1 : until] = Verdict.COUNTED_ON if stands else Verdict.STEP_BACK
    counted.highest[i:until] = state.high
    counted.stands_on[i:until] = NOTHING
    if state.low is None:
        state.at = until - 1
    else:
        counted.stands_on[i:until] = state.at if state.fell else state.low_at
        counted.stands_on[state.low_at] = state.at


def _next_judged(readings: Columns, i: int, until: int, state: _State) -> int:
    """The reading of the run at which it is known that a step back stays; the run's end where it is none."""
    if state.low is None or state.fell or float(readings.value[i]) <= state.low:
        return until
    stays = i + int(np.searchsorted(readings.time[i:until], state.since + _STAYS_NS))
    return max(stays, i + 1)


def _judge(x: float, time: int, index: int, state: _State, modulus: float) -> tuple[float, Verdict]:
    """(delta, verdict) of one reading; the state is then the one after it."""
    high, fell = state.high, state.fell
    if x < high and 0 <= x + modulus - high < _NEAR * modulus:  # never true where the modulus is NaN
        return _believe(state, x, x + modulus - high, Verdict.ROLLOVER)
    if fell and (x < _ABOUT * high or high < _LITTLE):
        return _judge_after_fall(x, time, index, state, modulus)
    if x - high > (1 - _NEAR) * modulus:
        return _believe(state, high, 0.0, Verdict.STEP_BACK)
    if x >= high:
        return _believe(state, x, x - high, Verdict.EXCURSION if fell else Verdict.COUNTED_ON)
    return _judge_below(x, time, index, state)


def _judge_below(x: float, time: int, index: int, state: _State) -> tuple[float, Verdict]:
    """As `_judge`, of a reading below the highest, which is no rollover and does not follow a fall."""
    if not state.fell and x < state.high / 2 and state.high > 0:
        return _wait(state, x, time, index, Verdict.FALL)
    if state.fell or state.low is None or x < state.low:
        return _wait(state, x, time, index, Verdict.EXCURSION if state.fell else Verdict.STEP_BACK)
    if x > state.low and time - state.since >= _STAYS_NS:
        return _believe(state, x, x - state.low, Verdict.LOWERED)
    return 0.0, Verdict.STEP_BACK


def _judge_after_fall(x: float, time: int, index: int, state: _State, modulus: float) -> tuple[float, Verdict]:
    """As `_judge`, of a reading that did not return to the old height."""
    assert state.low is not None
    if x <= state.low:
        stands = x == state.low
        return _wait(state, x, time, index, Verdict.FALL)[0], Verdict.COUNTED_ON if stands else Verdict.FALL
    if 0 <= state.low + modulus - state.high < modulus / 2:
        return _believe(state, x, x + modulus - state.high, Verdict.ROLLOVER)
    return _believe(state, x, max(x, 0.0), Verdict.RESET)


def _believe(state: _State, high: float, delta: float, verdict: Verdict) -> tuple[float, Verdict]:
    state.high, state.low, state.low_at, state.fell = high, None, NOTHING, False
    return delta, verdict


def _wait(state: _State, low: float, time: int, index: int, verdict: Verdict) -> tuple[float, Verdict]:
    state.low, state.since, state.low_at, state.fell = low, time, index, verdict is Verdict.FALL
    return 0.0, verdict
