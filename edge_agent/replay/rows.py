"""Which of the rows that a replay computes go into the journal: what is new, or with `recompute` what differs.

Rule 1: without `recompute` nothing that somebody else wrote is touched; with it, what the files cover is replaced.
Rule 2: what is there already, equal in all, is not written again. So a second replay changes nothing, and says so.
Rule 3: a row that no longer occurs among those of its machine and minute is written as zeros, like in `assembly`: its
point in the database must not be added to the new ones.
Rule 4: older than minutes are kept, only hours are written. An hour replaces one that knows of more time only if it
covers as much: half an hour of file must not take the place of an hour of plant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from edge_agent.journal import JournalReader
from edge_agent.kpi_windows import ROW_KEYS, no_rows, summed
from edge_agent.state_intervals import journal_intervals, overwriting
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS

_MINUTE: Final = ["machine", "time"]
_COLUMNS: Final = [*ROW_KEYS, *ELEMENT_IDS]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What a bite changes.

    elements: minute rows for the journal. hours: rows of hours of which it keeps no minutes. said: the minute rows of
    both. intervals: of the minutes in `said`. hour_sums: what hours sum up to after this, of every (machine, hour) that
    changes. new, replaced: machine-minutes. unsaid: (machine, time) of minutes that stay as they were.
    """

    elements: pl.DataFrame
    said: pl.DataFrame
    hours: pl.DataFrame
    intervals: pl.DataFrame
    hour_sums: pl.DataFrame
    new: int
    replaced: int
    unsaid: pl.DataFrame


class RowChooser:
    """Decides bite by bite, in order of time.

    minutes_from: ns; hours before it are kept without their minutes. hour_offset: where hours start within an hour of
    UTC, ns. reach_ns: how far back a later bite may say something again.
    """

    def __init__(
        self,
        reader: JournalReader,
        *,
        recompute: bool,
        minutes_from: int,
        hour_offset: int,
        reach_ns: int,
    ) -> None:
        self._reader = reader
        self._recompute = recompute
        self._minutes_from = minutes_from
        self._hour_offset = hour_offset
        self._reach = reach_ns + HOUR_NS
        self._mine = no_rows().select(_MINUTE)  # minutes that this replay wrote and may write again
        self._recent = no_rows()  # minute rows of hours whose minutes the journal does not keep
        self._read_intervals = journal_intervals(reader)

    def choose(self, rows: pl.DataFrame, intervals: pl.DataFrame) -> Chosen:
        """Decide about the rows of one bite. rows: minute rows with text keys; intervals: with text machine."""
        rows = rows.select(_COLUMNS)
        young = self._minutes(rows.filter(pl.col("time") >= self._minutes_from))
        old = self._hours(rows.filter(pl.col("time") < self._minutes_from))
        said = pl.concat([young.fresh, old.fresh])
        intervals = _of_minutes(intervals, said)
        if young.held_any or old.held_any:
            intervals = overwriting(intervals, self._read_intervals(intervals))
        elements = pl.concat([young.fresh, young.zeros])
        self._forget(rows)
        return Chosen(
            elements=elements,
            said=pl.concat([elements, old.fresh]),
            hours=old.hours,
            intervals=intervals,
            hour_sums=pl.concat([young.sums, old.sums]),
            new=young.new + old.new,
            replaced=young.replaced + old.replaced,
            unsaid=pl.concat([young.unsaid, old.unsaid]),
        )

    # Minutes

    def _minutes(self, rows: pl.DataFrame) -> _Decided:
        if rows.is_empty():
            return _Decided.nothing(rows)
        held = self._held("minute", rows)
        keys = rows.select(_MINUTE).unique()
        differing, first = self._differing(rows, held, keys)
        fresh = rows.join(differing, on=_MINUTE, how="semi")
        before = held.join(differing, on=_MINUTE, how="semi")
        replaced = len(first.join(held, on=_MINUTE, how="semi"))
        return _Decided(
            fresh=fresh,
            zeros=_zeros(before.join(fresh, on=list(ROW_KEYS), how="anti")),
            hours=_Decided.nothing(rows.clear()).hours,
            sums=self._hour_sums(fresh, before),
            unsaid=keys.join(differing, on=_MINUTE, how="anti"),
            new=len(first) - replaced,
            replaced=replaced,
            held_any=not held.is_empty(),
        )

    def _differing(
        self, rows: pl.DataFrame, held: pl.DataFrame, keys: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(machine, time) of `keys` that are to be written, and those of them that this replay did not write before.

        held: of the same windows as rows.
        """
        if not held.is_empty():
            if not self._recompute:
                others = held.select(_MINUTE).unique().join(self._mine, on=_MINUTE, how="anti")
                keys = keys.join(others, on=_MINUTE, how="anti")
            known = held.filter(pl.col("calendar_time") != 0)  # a row of zeros stands for one that is no more
            gone = known.join(rows, on=_COLUMNS, how="anti").select(_MINUTE)
            came = rows.join(known, on=_COLUMNS, how="anti").select(_MINUTE)
            keys = keys.join(pl.concat([gone, came]).unique(), on=_MINUTE, how="semi")
        first = keys.join(self._mine, on=_MINUTE, how="anti")
        self._mine = pl.concat([self._mine, first])
        return keys, first

    def _held(self, window: str, rows: pl.DataFrame) -> pl.DataFrame:
        """What the journal holds of the (machine, time) of the rows; time is the start of the window."""
        machines = rows["machine"].unique().to_list()
        first, last = int(rows["time"].min()), int(rows["time"].max())  # type: ignore[arg-type]
        held = self._reader.elements("minute" if window == "minute" else "hour", first, last + 1, machines)
        return held.select(_COLUMNS).join(rows.select(_MINUTE).unique(), on=_MINUTE, how="semi")

    def _hour_sums(self, fresh: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
        """What the hours of fresh minutes sum up to, once they replace those before."""
        if fresh.is_empty():
            return fresh.select(_COLUMNS)
        came, went = self._in_hours(fresh), self._in_hours(before).with_columns(-pl.col(ELEMENT_IDS))
        held = self._held("hour", came)
        return summed(pl.concat([held, went, came]), list(ROW_KEYS))

    def _in_hours(self, rows: pl.DataFrame) -> pl.DataFrame:
        offset = self._hour_offset
        return rows.with_columns((pl.col("time") - offset) // HOUR_NS * HOUR_NS + offset)

    # Hours without minutes

    def _hours(self, rows: pl.DataFrame) -> _Decided:
        if rows.is_empty():
            return _Decided.nothing(rows)
        rows = pl.concat([self._recent.join(rows, on=_MINUTE, how="anti"), rows])
        self._recent = rows
        in_hours = self._in_hours(rows)
        hours = (
            in_hours.group_by(list(ROW_KEYS), maintain_order=True)
            .agg(pl.len().cast(pl.Int64).alias("minute_rows"), pl.col(ELEMENT_IDS).sum())
            .select("minute_rows", *_COLUMNS)
        )
        held = self._held("hour", hours)
        differing, first = self._differing(hours.select(_COLUMNS), held, self._whole_enough(hours, held))
        hours = hours.join(differing, on=_MINUTE, how="semi")
        before = held.join(differing, on=_MINUTE, how="semi")
        zeros = _zeros(before.join(hours, on=list(ROW_KEYS), how="anti"))
        minutes = rows.select(_MINUTE).with_columns(hour=in_hours["time"]).unique(_MINUTE)
        fresh = _in(minutes, differing)
        of_first = _in(minutes, first)
        replaced = len(_in(of_first, held.select(_MINUTE)))
        return _Decided(
            fresh=rows.join(fresh, on=_MINUTE, how="semi"),
            zeros=rows.clear(),
            hours=hours,
            sums=pl.concat([hours.select(_COLUMNS), zeros]),
            unsaid=minutes.join(fresh, on=_MINUTE, how="anti").select(_MINUTE),
            new=len(of_first) - replaced,
            replaced=replaced,
            held_any=False,
        )

    def _whole_enough(self, hours: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        """(machine, hour) that know of at least as much time as what is held."""
        mine = hours.group_by(_MINUTE).agg(pl.col("calendar_time").sum())
        if held.is_empty():
            return mine.select(_MINUTE)
        theirs = held.group_by(_MINUTE).agg(pl.col("calendar_time").sum().alias("held_time"))
        known = mine.join(theirs, on=_MINUTE, how="left")
        return known.filter(pl.col("calendar_time") >= pl.col("held_time").fill_null(0)).select(_MINUTE)

    def _forget(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        oldest = int(rows["time"].max()) - self._reach  # type: ignore[arg-type]
        oldest = (oldest - self._hour_offset) // HOUR_NS * HOUR_NS + self._hour_offset
        self._mine = self._mine.filter(pl.col("time") >= oldest)
        self._recent = self._recent.filter(pl.col("time") >= oldest)


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """What was decided of one kind of rows; see `Chosen`. fresh: minute rows; zeros: those that are no more; sums: of
    hours that change. held_any: whether the journal held anything of these minutes."""

    fresh: pl.DataFrame
    zeros: pl.DataFrame
    hours: pl.DataFrame
    sums: pl.DataFrame
    unsaid: pl.DataFrame
    new: int
    replaced: int
    held_any: bool

    @classmethod
    def nothing(cls, rows: pl.DataFrame) -> _Decided:
        """Of no rows."""
        hours = rows.with_columns(minute_rows=pl.lit(0, pl.Int64)).select("minute_rows", *_COLUMNS)
        return cls(rows, rows, hours, rows, rows.select(_MINUTE), 0, 0, held_any=False)


def _zeros(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*ROW_KEYS, *(pl.lit(0, pl.Int64).alias(element) for element in ELEMENT_IDS))


def _in(minutes: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Minutes (machine, time, hour) of the hours (machine, time)."""
    return minutes.join(hours.rename({"time": "hour"}), on=["machine", "hour"], how="semi")


def _of_minutes(intervals: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    minute = (pl.col("start") - pl.col("start") % MINUTE_NS).alias("time")
    keys = rows.select(_MINUTE).unique()
    return intervals.with_columns(minute).join(keys, on=_MINUTE, how="semi").drop("time")
