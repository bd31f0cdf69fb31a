"""What of an update is to be written and sent: what differs from what the journal holds.

Rule: the engine's tables in, named rows out; reading the journal is the only I/O, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from edge_agent.decisions import decided_otherwise, journal_decisions
from edge_agent.journal import Decided, JournalReader, RevisionCause
from edge_agent.kpi_windows import KpiWindows
from edge_agent.named_rows import Names
from edge_agent.revisions import differing, revised
from edge_agent.state_intervals import journal_intervals, overwriting, spans_of_minutes
from kpi.decisions import in_place_of
from kpi.elements import HOUR_NS
from kpi.engine import Update

_NO_BEGINS: Final[Mapping[str, int]] = {}

_RECENT_NS: Final = HOUR_NS
"""Rows that are younger than the newest by no more than this are likely held in memory; older ones are read, and only
those of the machines that are looked at: a late sample concerns one of them, and a block is an hour."""

ReadRows = Callable[[pl.DataFrame], pl.DataFrame]
"""What the journal holds of the minutes of the given rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Rows that are new or differ, with names.

    rows: elements with `revision` and `cause`; gone: keys that are no more, with zeros. intervals, measured: of the
    minutes of which any differs. decided: of minutes about whose counters something else is decided; None where there
    are none. states: all intervals of the update, for what machines do now.
    """

    rows: pl.DataFrame
    gone: pl.DataFrame
    intervals: pl.DataFrame
    measured: pl.DataFrame
    decided: Decided | None
    states: pl.DataFrame

    @property
    def corrected(self) -> int:
        """How many rows are another word on a minute that was over."""
        return sum(int((part["revision"] > 0).sum()) for part in (self.rows, self.gone))

    def windows(self) -> pl.DataFrame:
        """Where rows changed, and where they went from: what `KpiWindows.touched_by` takes."""
        keys = ["machine", "time", "shift", "shift_start"]
        return pl.concat([self.rows.select(keys), self.gone.select(keys)]).unique()


class ChangeFinder:
    """Compares updates with the journal. windows: holds the rows of recent minutes.

    begins: machine → the minute (ns) that it begins with; what an update has of it before is left out.
    """

    def __init__(
        self,
        names: Names,
        windows: KpiWindows,
        read_rows: ReadRows,
        read_intervals: ReadRows,
        read_measured: ReadRows,
        read_decisions: ReadRows,
        begins: Mapping[str, int] = _NO_BEGINS,
    ) -> None:
        self._begins = pl.DataFrame(
            {"machine": list(begins), "begin": list(begins.values())}, schema={"machine": pl.Utf8, "begin": pl.Int64}
        )
        self._names = names
        self._windows = windows
        self._read_rows = read_rows
        self._read_intervals = read_intervals
        self._read_measured = read_measured
        self._read_decisions = read_decisions

    def of(self, update: Update, *, closed_to: int, causes: Mapping[str, RevisionCause]) -> Changes:
        """What an update changes. closed_to: ns; what ends later is not over. causes: by machine, why closed rows
        differ; of other machines because something was known later."""
        fresh = self._begun(self._names.elements(update.elements), "time")
        rows = revised(fresh, self._held(fresh), closed_to=closed_to, causes=causes)
        intervals = self._begun(self._names.intervals(update.intervals), "start")
        held = self._read_intervals(intervals)
        intervals = overwriting(intervals, held)
        measured = self._begun(self._names.measured(update.measured), "time")
        if not measured.is_empty():
            measured = differing(measured, self._read_measured(measured), time="time")
        minutes = fresh.select("machine", "time").unique()
        decisions = self._begun(self._names.decisions(update.decided), "time")
        decided = decided_otherwise(minutes, decisions, self._read_decisions(minutes))
        return Changes(rows.rows, rows.gone, differing(intervals, held, time="start"), measured, decided, intervals)

    def _begun(self, rows: pl.DataFrame, time: str) -> pl.DataFrame:
        if self._begins.is_empty():
            return rows
        begin = pl.col("begin").fill_null(pl.col(time))
        with_begin = rows.join(self._begins, on="machine", how="left", maintain_order="left")
        return with_begin.filter(pl.col(time) >= begin).drop("begin")

    def _held(self, fresh: pl.DataFrame) -> pl.DataFrame:
        is_recent = pl.col("time") >= pl.col("time").max() - _RECENT_NS
        recent, old = fresh.filter(is_recent), fresh.filter(~is_recent)
        held = self._windows.replaced(recent)
        if old.is_empty():
            return held
        keys = old.select("machine", "time").unique()
        return pl.concat([held, self._read_rows(old).select(held.columns).join(keys, on=keys.columns, how="semi")])


def of_both(closed: Update, opened: Update) -> Update:
    """One update of what was closed and what is open: that may reach back into minutes just closed, when a stop turns
    long or a meter is read, and then says them anew."""
    return Update(
        in_place_of(closed.elements, opened.elements, opened.elements, "time"),
        in_place_of(closed.intervals, opened.intervals, opened.intervals, "start"),
        in_place_of(closed.measured, opened.measured, opened.measured, "time"),
        closed.decisions,
        closed.archive,
        in_place_of(closed.decided, opened.elements, opened.decided),
        closed.beyond,
    )


def change_finder(
    names: Names, windows: KpiWindows, journal: JournalReader, begins: Mapping[str, int] = _NO_BEGINS
) -> ChangeFinder:
    """One that reads a journal. begins: as of `ChangeFinder`."""

    def measured(rows: pl.DataFrame) -> pl.DataFrame:
        held = [journal.measured("minute", start, end) for start, end in spans_of_minutes(rows["time"])]
        return pl.concat([rows.clear(), *(part.select(rows.columns) for part in held)])

    def elements(rows: pl.DataFrame) -> pl.DataFrame:
        machines = rows["machine"].unique().to_list()
        return pl.concat(
            journal.elements("minute", start, end, machines) for start, end in spans_of_minutes(rows["time"])
        )

    return ChangeFinder(
        names, windows, elements, journal_intervals(journal), measured, journal_decisions(journal), begins
    )
