"""What was decided about counters, to be kept: each reading that did not simply count on, and each counter that stood
still, beside what was counted.

Rule 1: nothing is judged here; `counters` and `pieces` judge, and this writes down what they found.
Rule 2: a pure function of the samples, cut by minutes like the elements: rows of a machine and minute stand or go
together with its element rows.
Rule 3: bounded. A counter that is judged at every reading must not fill a disk: beyond `MOST_A_MINUTE` rows of one kind
the last one stands for several, and says for how many. Sums over rows stay exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kpi.bindings import Bindings
from kpi.columns import Bool, Index, Int32, Int64
from kpi.counters import Verdict
from kpi.elements import MINUTE_NS

if TYPE_CHECKING:
    from kpi.fold import Working

MOST_A_MINUTE: Final = 10
"""Rows of one counter, verdict and minute."""

AFTER_GAP: Final = "after_gap"
"""A reading that counted on from one before a time without data."""

STUCK: Final = "stuck"
"""A machine's counters stood still for too long, from here on."""

ALL_COUNTERS: Final = -1
"""In place of a tag, where it is not of one counter."""

DECISION_SCHEMA: Final = pl.Schema(
    {
        "machine": pl.Int32,
        "time": pl.Int64,
        "tag": pl.Int32,
        "verdict": pl.Utf8,
        "after_gap": pl.Boolean,
        "before": pl.Float64,
        "reading": pl.Float64,
        "counted": pl.Int64,
        "times": pl.Int64,
    }
)
"""machine: index; time: of the reading, or since when counters are stuck, ns; tag: of the counter or meter, or
`ALL_COUNTERS`; verdict: name of a `Verdict` in small letters, `AFTER_GAP` or `STUCK`; after_gap: whether it is a rise
after a time without data; before: the highest reading so far, reading: this one, in their unit, null where there is
none; counted: millionths, what it added; times: for how many readings of the minute the row stands, itself and those
after it: `counted` is of all of them."""

NO_DECISIONS: Final = pl.DataFrame(schema=DECISION_SCHEMA)

_COLUMNS: Final = DECISION_SCHEMA.names()
_MILLIONTHS: Final = 1e6
_NAMES: Final = (AFTER_GAP, *(verdict.name.lower() for verdict in Verdict if verdict is not Verdict.COUNTED_ON), STUCK)
_NAME_OF: Final = {verdict: _NAMES.index(verdict.name.lower()) for verdict in Verdict if verdict}


def decision_rows(bindings: Bindings, found: Working, machines: Int32, start: int, end: int) -> pl.DataFrame:
    """Decisions about the counters and meters of some machines over [start, end), ns: `DECISION_SCHEMA`.

    In order of machine, time and tag. Costs next to nothing where all readings counted on.
    """
    judged = np.flatnonzero(found.verdict)
    stuck = np.flatnonzero(found.silence.begins)
    if not len(judged) and not len(found.after_gap) and not len(stuck):
        return NO_DECISIONS
    samples = found.samples
    judged = judged[(samples.time[judged] >= start) & (samples.time[judged] < end)]
    sample, machine, is_after = _pairs(bindings, found, judged, machines)
    name = np.zeros(len(sample), np.intp)
    for verdict, place in _NAME_OF.items():
        name[found.verdict[sample] == verdict] = place
    alone = (
        (sample == 0) | (samples.tag[sample - 1] != samples.tag[sample]) | bindings.counting.event[samples.tag[sample]]
    )
    parts = found.parts
    none = np.full(len(stuck), np.nan)
    machine = np.append(machine, parts.machine[stuck]).astype(np.int32)
    time = np.append(samples.time[sample], found.silence.begins_at[stuck])
    tag = np.append(samples.tag[sample], np.full(len(stuck), ALL_COUNTERS, np.int32))
    lowered = found.verdict[sample] == Verdict.LOWERED
    base = np.where(lowered, samples.value[sample] - found.delta[sample], found.highest.value[sample - 1])
    before = np.append(np.where(alone, np.nan, base), none)
    counted = np.append(np.rint(found.delta[sample] * _MILLIONTHS), np.zeros(len(stuck)))
    name = np.append(name, np.full(len(stuck), _NAMES.index(STUCK)))
    order = np.lexsort((tag, time, machine))
    rows = pl.DataFrame(
        [
            pl.Series("machine", machine[order]),
            pl.Series("time", time[order]),
            pl.Series("tag", tag[order]),
            pl.Series("verdict", [_NAMES[one] for one in name[order].tolist()], pl.Utf8),
            pl.Series("after_gap", np.append(is_after, np.zeros(len(stuck), np.bool_))[order]),
            pl.Series("before", before[order], nan_to_null=True),
            pl.Series("reading", np.append(samples.value[sample], none)[order], nan_to_null=True),
            pl.Series("counted", counted[order].astype(np.int64)),
        ]
    )
    if _is_crowded(tag, time):
        return _bounded(rows)
    return rows.insert_column(len(rows.columns), pl.Series("times", np.ones(len(rows), np.int64))).select(_COLUMNS)


def _is_crowded(tag: Int32, time: Int64) -> bool:
    """Whether a counter may have more decisions in a minute than are told one by one."""
    minute = time // MINUTE_NS
    least, first = int(minute.min(initial=0)), int(tag.min(initial=0))
    key = np.sort((tag - np.int64(first)) * (int(minute.max(initial=0)) - least + 1) + (minute - least))
    return bool((key[MOST_A_MINUTE:] == key[:-MOST_A_MINUTE]).any())


def _pairs(bindings: Bindings, found: Working, judged: Index, machines: Int32) -> tuple[Index, Int32, Bool]:
    """(sample, machine, whether after a gap) of all readings to be told of; a counter may be of several machines."""
    index, owner = bindings.counting_owners.expand(found.samples.tag[judged])
    mine = np.isin(owner, machines)
    count = len(found.samples)
    # one number for both, in order of machine and sample
    is_judged: Int64 = owner[mine].astype(np.int64) * count + judged[index[mine]]
    is_after: Int64 = found.gap_machine.astype(np.int64) * count + found.after_gap
    pairs = np.union1d(is_judged, is_after)
    return (pairs % count).astype(np.intp), (pairs // count).astype(np.int32), np.isin(pairs, is_after)


def _bounded(rows: pl.DataFrame) -> pl.DataFrame:
    """At most so many rows of each counter, verdict and minute; the last one stands for those that are left out."""
    of = ["machine", "minute", "tag", "verdict", "after_gap"]
    place = pl.int_range(pl.len()).over(of).clip(upper_bound=MOST_A_MINUTE - 1)
    return (
        rows.with_columns(minute=pl.col("time") // MINUTE_NS)
        .with_columns(place=place)
        .group_by(*of, "place", maintain_order=True)
        .agg(
            pl.col("time", "before", "reading").first(),
            pl.col("counted").sum(),
            pl.len().cast(pl.Int64).alias("times"),
        )
        .select(_COLUMNS)
    )


def latest(steps: list[list[tuple[pl.DataFrame, pl.DataFrame]]]) -> pl.DataFrame:
    """Decisions of several steps: of each machine and minute those of the last step that folded it.

    steps: of each step, (element rows, decisions) of its parts.
    """
    if all(decisions.is_empty() for parts in steps for _, decisions in parts):
        return NO_DECISIONS
    whole = NO_DECISIONS
    for parts in steps:
        for elements, decisions in parts:
            whole = in_place_of(whole, elements, decisions)
    return whole


def in_place_of(held: pl.DataFrame, folded: pl.DataFrame, fresh: pl.DataFrame, time: str = "time") -> pl.DataFrame:
    """Held rows, without those of machines and minutes of which there are rows in `folded`, and the fresh ones.

    time: the column of the tables that says when a row begins, ns.
    """
    if held.is_empty():
        return fresh
    minute = (pl.col(time) - pl.col(time) % MINUTE_NS).alias("minute")
    anew = folded.select("machine", minute).unique()
    kept = held.with_columns(minute).join(anew, on=["machine", "minute"], how="anti", maintain_order="left")
    return pl.concat([kept.drop("minute"), fresh])
