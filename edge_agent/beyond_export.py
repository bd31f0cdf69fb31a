"""Samples beyond the correction horizon as a file: what came too late to correct anything, one row a sample.

Rule: samples one by one, in their unit; what the figures would be with them is not said.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from connectors import Quality
from edge_agent.export import Export, local
from edge_agent.journal import JournalReader

BEYOND_COLUMNS: Final = ("time", "machine", "signal", "tag", "value", "unit", "quality", "kept_at")
_QUALITIES: Final = {one.value: one.name.lower() for one in Quality}


def read_beyond_horizon(reader: JournalReader, start: int, end: int) -> Export:
    """Samples of [start, end), ns by their own time, that are kept apart, by time and tag: `BEYOND_COLUMNS`.

    time, kept_at (when the agent found it too late) are Datetime in the plant's zone, the others Utf8: machine is the
    connection of a link, value a number or the text that was sent, null where there is none.
    Raises LookupError where no agent has written to the journal yet.
    """
    facts = reader.status()
    if "plant" not in facts:
        raise LookupError("no agent has written to the journal yet")
    zone = facts["plant"]["timezone"]
    found = reader.beyond_horizon(start, end)
    rows = found.rows.with_columns(
        time=local("time", zone),
        kept_at=local("kept_at", zone),
        value=pl.coalesce("text", pl.col("value").cast(pl.Utf8)),
        quality=pl.col("quality").replace_strict(_QUALITIES, return_dtype=pl.Utf8),
    )
    return Export(rows.select(BEYOND_COLUMNS), None, None, {}, found.damaged)
