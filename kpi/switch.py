"""Measured values to on and off: thresholds with hysteresis.

Rule: between the thresholds the last decision stands, so a decision is carried like a counter's highest reading. With
nothing before it, a value between the thresholds is off.
"""

from __future__ import annotations

import numpy as np

from kpi.columns import GOOD, Columns, Float64, run_begins


def switched(samples: Columns, on: Float64, off: Float64, start: int) -> Columns:
    """Samples with 1 or 0 in place of the values of switched tags.

    samples: sorted by (tag, time). on, off: by tag, NaN where a tag is not switched. start: ns; values of samples
    before it are decisions already.
    """
    mine = np.flatnonzero(~np.isnan(on[samples.tag]))
    if not len(mine):
        return samples
    tag, value = samples.tag[mine], samples.value[mine]
    good = samples.quality[mine] == GOOD
    decided = samples.time[mine] < start
    # What a bad sample carries is the decision that stood when it came, and it still stands.
    turns_on = np.where(decided, value == 1.0, (value >= on[tag]) & good)
    turns_off = np.where(decided, value == 0.0, (value <= off[tag]) & good)
    first = run_begins(tag)
    # The last sample that decided anything; a tag's first one decides in any case.
    last = np.maximum.accumulate(np.where(turns_on | turns_off | first, np.arange(len(mine)), 0))
    result = samples.value.copy()
    result[mine] = turns_on[last]
    return Columns(samples.tag, samples.time, result, samples.quality)


def decided(samples: Columns, on: Float64, off: Float64) -> Columns:
    """Single samples, of which nothing is known before, as decisions."""
    return switched(samples, on, off, np.iinfo(np.int64).min)
