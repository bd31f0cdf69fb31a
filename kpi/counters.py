"""Counter readings → what was counted between them.

The rules, for a reading x after the highest reading h so far:
  x ≥ h                      counted on: x − h
  x < h, modulus M known and x + M − h < M / 2
                             rolled over: x + M − h
  x < h / 2, h > 0           reset, and counted on from 0: x; nothing where x is below 0 (a signed register overflowed)
  else                       stepped back (an old reading again, or a correction): nothing, and h stays, so that what
                             was counted once is not counted again
A rise that is faster than the counter can be, where that is known, is a jump: nothing is counted, and it counts on from
there. The first reading of all is the base: nothing is counted at it. A tag of events does not count up: each sample is
so many pieces of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from kpi.columns import Bool, Columns, Float64, UInt8
from kpi.plant import Counter


class Verdict(IntEnum):
    """How a reading was judged."""

    COUNTED_ON = 0
    ROLLOVER = 1
    RESET = 2
    STEP_BACK = 3
    JUMP = 4


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


def deltas(readings: Columns, counting: Counting, start: int) -> tuple[Float64, Float64, UInt8]:
    """What each reading adds.

    readings: good readings only, sorted by (tag, time), one a time. start: ns; what is before it was counted before.
    Returns (delta, highest, verdict), shapes (n,): delta and the highest reading so far in the readings' unit, verdict
    uint8 (`Verdict`); the first reading of a tag has delta 0.
    """
    value = readings.value
    verdict = np.zeros(len(readings), np.uint8)
    if not len(readings):
        return value.copy(), value.copy(), verdict
    first = np.ones(len(readings), np.bool_)
    first[1:] = readings.tag[1:] != readings.tag[:-1]
    delta = np.zeros(len(readings))
    delta[1:] = value[1:] - value[:-1]
    delta[first] = 0.0
    highest = value.copy()
    event = counting.event[readings.tag]
    delta[event] = np.where(readings.time[event] >= start, value[event], 0.0)
    if ((delta < 0) & ~event).any():
        _judge_falls(readings, counting.modulus, first | event, delta, highest, verdict)
    most = counting.most_per_second[readings.tag]
    if not np.isnan(most).all():
        elapsed = np.diff(readings.time, prepend=readings.time[0]) / 1e9
        jump = ~event & ~first & (delta > most * elapsed + counting.most_at_once[readings.tag])
        delta[jump] = 0.0
        verdict[jump] = Verdict.JUMP
    return delta, highest, verdict


def _judge_falls(
    readings: Columns,
    modulus: Float64,
    first: Bool,
    delta: Float64,
    highest: Float64,
    verdict: UInt8,
) -> None:
    """Go through the tags that fell, reading by reading; falls are rare, so a loop is cheap enough."""
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(readings))
    group = np.cumsum(first) - 1
    for which in np.unique(group[delta < 0]):
        begin, end = int(begins[which]), int(ends[which])
        wrap = float(modulus[readings.tag[begin]])
        high = float(readings.value[begin])
        for i in range(begin + 1, end):
            x = float(readings.value[i])
            delta[i], high, verdict[i] = _judge(x, high, wrap)
            highest[i] = high


def _judge(x: float, high: float, modulus: float) -> tuple[float, float, Verdict]:
    """(delta, new highest reading, verdict) of one reading."""
    if x >= high:
        return x - high, x, Verdict.COUNTED_ON
    if x + modulus - high < modulus / 2:  # never true where the modulus is NaN
        return x + modulus - high, x, Verdict.ROLLOVER
    if x < high / 2 and high > 0:
        return max(x, 0.0), x, Verdict.RESET
    return 0.0, high, Verdict.STEP_BACK
