"""Counter readings → what was counted between them.

The rules, for a reading x after the highest reading h so far:
  x ≥ h                      counted on: x − h
  x < h, modulus M known and x + M − h < M / 16
                             rolled over: x + M − h (a register that was beyond M does not roll over)
  x − h > M − M / 16         stepped back over the rollover (an old reading again): nothing, and h stays
  x < h / 2, h > 0           a fall: nothing yet, and h stays; what it was is judged at what comes next
  else                       stepped back (an old reading again, or a correction): nothing, and h stays, so that what
                             was counted once is not counted again
The rules for a reading x after a fall to p, tried in this order:
  rolled over                as above
  x ≥ 9/10 h                 an excursion (a register read as 0, a stray reading): x − h, nothing where x is below h
  x > p                      the low reading is confirmed, since it counts on from there. Where M is known and
                             p + M − h < M / 2 it rolled over: x + M − h. Else it was reset and counted on from 0: x;
                             nothing where x is below 0 (a signed register overflowed)
  x = p                      stands still and says nothing; it costs nothing to wait
  x < p                      a fall again
A rise that is faster than the counter can be, where that is known, is a jump: nothing is counted, and it counts on from
there; the time it had is since the last reading, after a fall since the last one before it. The first reading of all
is the base: nothing is counted at it. A tag of events does not count up: each sample is so many pieces of its own.

How far the rules go. One low reading, or a low one that stands still for however long, adds nothing. Two old readings
that count on from each other, both below half the height, look like a reset: they and the way back are counted, but
for what is a jump, where the most that the counter can make is known. A counter that leaps from its reset to nine
tenths of its old height between two readings looks like an excursion. Two other ways were weighed: to believe every
fall (one reading of 0 then counts the whole register), and to take back what was counted once a reset turns out to be
none (pieces and energy of a minute would be negative, or closed minutes change without a late sample).

Rule: what a reading adds depends on it and those before it, and all of those is known by one carried sample, or by two:
the last reading, after a fall with the highest reading before it (`Counted.stands_on`). Judged again, these give the
same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np

from kpi.columns import Bool, Columns, Float64, Index, UInt8
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


_NEAR: Final = 1 / 16
"""Part of the modulus within which it is crossed, forth or back, at the first reading."""

_ABOUT: Final = 0.9
"""Part of the old height that a reading has to be at least, to have returned to it."""

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
    reading so far. verdict: uint8 (`Verdict`). stands_on: intp, after a fall that is not judged yet the index of the
    last reading before it, else -1.
    """

    delta: Float64
    highest: Float64
    verdict: UInt8
    stands_on: Index

    def counts_from(self, reading: Index) -> Index:
        """The readings that some are counted on from: each one's last before it, before the fall where one is open."""
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
    first = np.ones(len(readings), np.bool_)
    first[1:] = readings.tag[1:] != readings.tag[:-1]
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


def _judge_odd(readings: Columns, modulus: Float64, first: Bool, odd: Bool, counted: Counted) -> None:
    """Go through the tags that fell or leapt, reading by reading; such are rare, so a loop is cheap enough.

    A run of equal readings is judged once: the rest of it adds nothing.
    """
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(readings))
    group = np.cumsum(first) - 1
    changes = np.ones(len(readings), np.bool_)
    changes[1:] = readings.value[1:] != readings.value[:-1]
    for which in np.unique(group[odd]).tolist():
        begin, end = int(begins[which]), int(ends[which])
        wrap = float(modulus[readings.tag[begin]])
        runs = [begin, *(begin + 1 + np.flatnonzero(changes[begin + 1 : end])).tolist(), end]
        high, low, stands_on = float(readings.value[begin]), None, NOTHING
        for i, until in pairwise(runs[1:]):
            x = float(readings.value[i])
            fallen = low is not None
            counted.delta[i], high, low, verdict = _judge(x, high, low, wrap)
            stands_on = NOTHING if low is None else stands_on if fallen else i - 1
            counted.verdict[i] = verdict
            counted.delta[i + 1 : until] = 0.0
            counted.verdict[i + 1 : until] = Verdict.COUNTED_ON if x in (high, low) else Verdict.STEP_BACK
            counted.highest[i:until] = high
            counted.stands_on[i:until] = stands_on


def _judge(x: float, high: float, low: float | None, modulus: float) -> tuple[float, float, float | None, Verdict]:
    """(delta, new highest reading, low reading that is not confirmed, verdict) of one reading."""
    if x < high and 0 <= x + modulus - high < _NEAR * modulus:  # never true where the modulus is NaN
        return x + modulus - high, x, None, Verdict.ROLLOVER
    if low is not None and x < _ABOUT * high:
        return _judge_after_fall(x, high, low, modulus)
    if x - high > (1 - _NEAR) * modulus:
        return 0.0, high, None, Verdict.STEP_BACK
    if low is not None:
        return max(x - high, 0.0), max(x, high), None, Verdict.EXCURSION
    if x >= high:
        return x - high, x, None, Verdict.COUNTED_ON
    fell = x < high / 2 and high > 0
    return 0.0, high, x if fell else None, Verdict.FALL if fell else Verdict.STEP_BACK


def _judge_after_fall(x: float, high: float, low: float, modulus: float) -> tuple[float, float, float | None, Verdict]:
    """As `_judge`, of a reading that did not return to the old height."""
    if x <= low:
        return 0.0, high, x, Verdict.COUNTED_ON if x == low else Verdict.FALL
    if 0 <= low + modulus - high < modulus / 2:
        return x + modulus - high, x, None, Verdict.ROLLOVER
    return max(x, 0.0), x, None, Verdict.RESET
