"""Decisions about counters beside what the journal holds of them: which minutes are to be written again.

Rule: decisions of a minute stand or go together; a minute of which the journal holds the same is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from edge_agent.journal import DECISION_SCHEMA, Decided, JournalReader
from edge_agent.state_intervals import spans_of_minutes
from kpi.elements import MINUTE_NS

_KEY: Final = ["machine", "time"]
_COLUMNS: Final = list(DECISION_SCHEMA)
_MINUTE: Final = (pl.col("time") - pl.col("time") % MINUTE_NS).alias("time")


def decided_otherwise(minutes: pl.DataFrame, fresh: pl.DataFrame, held: pl.DataFrame) -> Decided | None:
    """Of minutes that were folded, those whose decisions are not the held ones; None where there are none.

    minutes: machine, time (start, ns), one row each. fresh: decisions in them. held: what the journal holds, at least
    of these minutes.
    """
    if fresh.is_empty() and held.is_empty():
        return None
    fresh, held = (part.select(_COLUMNS) for part in (fresh, held))
    odd = [one.join(other, on=_COLUMNS, how="anti", nulls_equal=True) for one, other in ((fresh, held), (held, fresh))]
    touched = minutes.join(pl.concat(odd).select("machine", _MINUTE).unique(), on=_KEY, how="semi")
    return None if touched.is_empty() else Decided(touched.select(_KEY), in_minutes(fresh, touched))


def in_minutes(decisions: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """Decisions in some minutes: machine, time (start, ns)."""
    keyed = decisions.with_columns(minute=pl.col("time") - pl.col("time") % MINUTE_NS)
    wanted = minutes.select("machine", minute="time")
    return keyed.join(wanted, on=["machine", "minute"], how="semi", maintain_order="left").drop("minute")


def journal_decisions(journal: JournalReader) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Reads decisions of minutes (column `time`) from a journal, a span of neighbouring minutes at a time."""

    def read(minutes: pl.DataFrame) -> pl.DataFrame:
        held = [journal.decisions(start, end) for start, end in spans_of_minutes(minutes["time"])]
        return pl.concat([pl.DataFrame(schema=dict(DECISION_SCHEMA)), *held])

    return read
