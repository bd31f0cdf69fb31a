"""Counter readings → what was counted between them.

The rules, for a reading x after the highest reading h so far:
  x ≥ h                      counted on: x − h
  x < h, modulus M known and x + M − h < M / 2
                             rolled over: x + M − h
  x < h / 2                  reset, and counted on from 0: x
  else                       stepped back (an old reading again, or a correction): nothing, and h stays, so that what
                             was counted once is not counted again
The first reading of all is the base: nothing is counted at it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from kpi.columns import Bool, Columns, Float64, UInt8


class Verdict(IntEnum):
    """How a reading was judged."""

    COUNTED_ON = 0
    ROLLOVER = 1
    RESET = 2
    STEP_BACK = 3


def deltas(readings: Columns, modulus: Float64) -> tuple[Float64, Float64, UInt8]:
    """What each reading adds.

    readings: good readings only, sorted by (tag, time), one a time. modulus: by tag, NaN = never rolls over.
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
    if (delta < 0).any():
        _judge_falls(readings, modulus, first, delta, highest, verdict)
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
    if x < high / 2:
        return x, x, Verdict.RESET
    return 0.0, high, Verdict.STEP_BACK
