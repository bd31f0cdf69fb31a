"""Where the table begins, and what the sources said before it.

The table begins with the minute in which a link was first heard of; where the plant has no links, with that of the
first sample. What came before is what the tags start with. It is also kept as it is, since a sample of an older minute
may still come, and the table then begins there, as it would have if that one had come first. Weighed: to decide it
once, at the first advance, which is simpler, but then the order of arrival shows in the table.

Rule: what is decided here depends on the samples alone.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kpi.bindings import Bindings
from kpi.columns import Columns, in_order
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.fold import Before
from kpi.past import Block, last_of_each_tag
from kpi.switch import decided

MOST_KEPT = 100_000
"""Samples from before the table that are kept at most, the newest: a source may hand over days of what it buffered."""


def first_minute(bindings: Bindings, samples: Columns) -> int | None:
    """The minute (ns) that a table of these samples begins with; None where they do not let one begin."""
    times = samples.time[bindings.is_link[samples.tag]] if bindings.is_link.any() else samples.time
    return int(times.min()) // MINUTE_NS * MINUTE_NS if len(times) else None


def start_values(bindings: Bindings, samples: Columns) -> Columns:
    """What tags start with after sorted samples: the last of each, alone."""
    return decided(last_of_each_tag(samples), bindings.switch_on, bindings.switch_off)


def kept(samples: Columns) -> Columns:
    """Sorted samples from before the table, without the oldest where they are too many, but the last of each tag."""
    excess = len(samples) - MOST_KEPT
    if excess <= 0:
        return samples
    newer = samples.take(samples.time > np.partition(samples.time, excess - 1)[excess - 1])
    last = last_of_each_tag(samples)
    return in_order(Columns.concat([newer, last.take(~np.isin(last.tag, newer.tag))]))[0]


def earlier_blocks(bindings: Bindings, foreword: Columns, begin: int, end: int) -> list[Block]:
    """Blocks of [begin, end), by the hour, of a past that begins earlier than it did; yet to be folded.

    foreword: sorted samples from before `end`. Only the first block says what held before it.
    """
    edges = [begin, *range(begin - begin % HOUR_NS + HOUR_NS, end, HOUR_NS), end]
    nothing = Before.nothing(bindings.machines)
    carry = start_values(bindings, foreword.take(foreword.time < begin))
    blocks = []
    for start, until in pairwise(edges):
        inside = (foreword.time >= start) & (foreword.time < until)
        blocks.append(Block(start, until, foreword.take(inside), carry, nothing))
        carry = Columns.empty()
    return blocks


def with_more(foreword: Columns, more: Columns) -> Columns:
    """A foreword with more samples from before the table."""
    return kept(in_order(Columns.concat([foreword, more]))[0])
