"""Signals of which the last good value counts on: what a machine sent last, before it or its connection was lost.

Rule: a sample that is not good carries the last good value of its tag in place of its own, and stays not good. So the
last sample of a tag tells both, and a later stretch starts from it alone, as with the decisions of `kpi.switch`. Before
the first good value there is none, NaN; what a tag starts with, of which nothing is known before, is what it sent last,
good or not.

Two ways were weighed: to keep the last good sample of such a tag beside its last one (then whatever keeps the past, and
finds whether a stretch starts as it did, must know of two), and this.
Source: OPC 40001-1 Annex C, "last sent".
"""

from __future__ import annotations

import numpy as np

from kpi.columns import GOOD, Bool, Columns, run_begins


def with_last_sent(samples: Columns, last_sent: Bool, start: int) -> Columns:
    """Samples of some tags with the last good value in place of a value that is not good.

    samples: sorted by (tag, time). last_sent: by tag, which. start: ns; samples before it carry theirs already.
    """
    mine = np.flatnonzero(last_sent[samples.tag])
    if not len(mine):
        return samples
    tag = samples.tag[mine]
    sent = (samples.quality[mine] == GOOD) | (samples.time[mine] < start)
    first = run_begins(tag)
    last = np.maximum.accumulate(np.where(sent | first, np.arange(len(mine)), 0))
    value = samples.value.copy()
    value[mine] = np.where(sent[last], samples.value[mine[last]], np.nan)
    return Columns(samples.tag, samples.time, value, samples.quality)
