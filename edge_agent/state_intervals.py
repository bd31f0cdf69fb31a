"""State intervals that overwrite what was written before: no point of an older opinion stays behind.

An interval is a point at its start. When a late sample moves a change of state from 10:00:10 to 10:00:05, the point at
10:00:10 would stay in the database for ever. Two ways were weighed: delete it there, or write over it. Deleting needs
another API of each database and is not idempotent with a re-sent batch; so the corrected interval is cut at the old
start, and the point there says what is now known to hold. Seconds still add up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from edge_agent.journal import JournalReader
from edge_agent.named_rows import INTERVAL_KEYS
from kpi.elements import MINUTE_NS

_NEIGHBOURS: Final = 10  # minutes: reading nine too many costs less than another query

ReadIntervals = Callable[[pl.DataFrame], pl.DataFrame]
"""The intervals that the journal holds of the minutes that the given ones lie in."""


def overwriting(fresh: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The fresh intervals, cut at every start that was written before and is no longer one.

    fresh, before: columns machine (text), start, end (Int64 ns), state, product; fresh ones do not overlap.
    Returns the same columns, sorted by machine and start. An old start that no fresh interval covers is left out.
    """
    fresh = fresh.select(INTERVAL_KEYS).sort("machine", "start")
    stale = before.select("machine", "start").join(fresh, on=["machine", "start"], how="anti").unique()
    if stale.is_empty() or fresh.is_empty():
        return fresh
    covered = (
        stale.sort("machine", "start")
        .join_asof(
            fresh.rename({"start": "covering"}).with_columns(start=pl.col("covering")),
            on="start",
            by="machine",
            strategy="backward",
            check_sortedness=False,
        )
        .filter(pl.col("start") < pl.col("end"))
        .select(INTERVAL_KEYS)
    )
    cut = pl.concat([fresh, covered]).sort("machine", "start")
    following = pl.col("start").shift(-1).over("machine")
    return cut.with_columns(end=pl.min_horizontal("end", following))


def journal_intervals(journal: JournalReader) -> ReadIntervals:
    """Reads the intervals of touched minutes from a journal, a span of neighbouring minutes at a time."""

    def read(fresh: pl.DataFrame) -> pl.DataFrame:
        machines = fresh["machine"].unique().to_list()
        held = [journal.intervals(start, end, machines) for start, end in spans_of_minutes(fresh["start"])]
        return pl.concat([fresh.clear(), *(part.select(INTERVAL_KEYS) for part in held)])

    return read


def spans_of_minutes(time: pl.Series) -> list[tuple[int, int]]:
    """Start and end (ns) of the minutes that times lie in, neighbouring ones as one span."""
    minutes = (time // MINUTE_NS).unique().sort().to_list()
    spans: list[list[int]] = []
    for minute in minutes:
        if spans and minute - spans[-1][1] <= _NEIGHBOURS:
            spans[-1][1] = minute
        else:
            spans.append([minute, minute])
    return [(first * MINUTE_NS, (last + 1) * MINUTE_NS) for first, last in spans]
