"""Which of the rows that a replay computes go into the journal: what is new, or with `recompute` what differs.

Rule 1: without `recompute` nothing that somebody else wrote is touched; with it, what the files cover is replaced.
Rule 2: what is there already, equal in all, is not written again. So a second replay changes nothing, and says so.
Rule 3: what is written in place of something else is a revision, its cause a recomputation; rows that no longer occur
are said as zeros to the database, as a live agent does (`edge_agent.revisions`).
Rule 4: older than minutes are kept, only hours are written. An hour replaces one that knows of more time only if it
covers as much: half an hour of file must not take the place of an hour of plant.
Rule 5: what takes the place of something else is final; until then it waits (`edge_agent.replay.unsettled`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import polars as pl

from edge_agent.decisions import decided_otherwise, journal_decisions
from edge_agent.journal import STATISTICS, Decided, JournalReader, RevisionCause
from edge_agent.kpi_windows import REVISION, ROW_KEYS, no_rows, summed
from edge_agent.named_rows import INTERVAL_KEYS
from edge_agent.replay.unsettled import Said, Unsettled
from edge_agent.revisions import Revised, apart, differing, in_one_number, revised
from edge_agent.state_intervals import journal_intervals, overwriting
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS

FOR_GOOD: Final = 1 << 62
"""Later than any minute ends: all that is replayed is over."""

_KEY: Final = ["machine", "time"]
_COLUMNS: Final = [*ROW_KEYS, *ELEMENT_IDS]
_VERSION: Final = [REVISION, "cause"]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What a bite changes.

    minutes: element rows for the journal, with revision and cause; hours: those of which it keeps no minutes, with
    `minute_rows`. said: the minute rows of both, and zeros for rows that are no more. intervals, measured: of minutes;
    measured_hours: where no minutes are kept. decided: decisions about counters, of minutes where others are held.
    hour_sums: what hours sum up to after this, of every (machine, hour) that
    changes, with revision. new, replaced: machine-minutes. unsaid: (machine, time) of minutes that stay as they were.
    refused: (machine, time) of minutes, or hours that are kept without, that are another's and would differ.
    waiting: (machine, time) of minutes that are decided about later; waited: those that waited until now.
    """

    minutes: pl.DataFrame
    hours: pl.DataFrame
    said: pl.DataFrame
    intervals: pl.DataFrame
    measured: pl.DataFrame
    measured_hours: pl.DataFrame
    decided: Decided | None
    hour_sums: pl.DataFrame
    new: int
    replaced: int
    unsaid: pl.DataFrame
    refused: pl.DataFrame
    waiting: pl.DataFrame
    waited: pl.DataFrame


class RowChooser:
    """Decides bite by bite, in order of time.

    machines: ids of those that are replayed. minutes_from: ns; hours before it are kept without their minutes.
    hour_offset: where hours start within an hour of UTC, ns. reach_ns: how far back a later bite may say something
    again. own: (machine ids, start, end in ns) of what earlier replays wrote and this one may write again.
    """

    def __init__(
        self,
        reader: JournalReader,
        machines: Sequence[str],
        *,
        recompute: bool,
        minutes_from: int,
        hour_offset: int,
        reach_ns: int,
        own: Sequence[tuple[Sequence[str], int, int]] = (),
    ) -> None:
        self._reader = reader
        self._machines = list(machines)
        self._causes = dict.fromkeys(machines, RevisionCause.RECOMPUTATION)
        self._recompute = recompute
        self._is_young = pl.col("time") >= minutes_from
        self._hour_offset = hour_offset
        self._reach = reach_ns + HOUR_NS
        self._own = own
        self._mine = no_rows().select(_KEY)  # minutes and hours that this replay wrote and may write again
        self._recent = no_rows()  # minute rows of hours whose minutes the journal does not keep
        self._recent_measured: pl.DataFrame | None = None
        self._unsettled = Unsettled()
        self._read_intervals = journal_intervals(reader)
        self._read_decisions = journal_decisions(reader)

    def choose(self, said: Said, settled: Mapping[str, int]) -> Chosen:
        """Decide about what was said of one bite. settled: machine → ns; rows before do not change any more."""
        let = self._unsettled.final(replace(said, rows=said.rows.select(_COLUMNS)), partial(self._waits, settled))
        rows, measured = let.said.rows, let.said.measured
        is_young = self._is_young
        young = self._of_minutes(rows.filter(is_young))
        old = self._of_hours(rows.filter(~is_young))
        allowed = pl.concat([young.allowed, old.allowed])
        chosen = Chosen(
            minutes=young.rows,
            hours=old.rows,
            said=pl.concat([young.rows, young.gone, old.minutes]),
            intervals=self._intervals(
                let.said.intervals, allowed if self._recompute else pl.concat([young.allowed, old.changed])
            ),
            measured=self._measured(measured.filter(is_young), young.allowed),
            measured_hours=self._measured_hours(measured.filter(~is_young), old.allowed),
            decided=self._decided(let.said.decisions, young.allowed),
            hour_sums=pl.concat([young.sums, old.sums]),
            new=young.new + old.new,
            replaced=young.replaced + old.replaced,
            unsaid=pl.concat([young.unsaid, old.unsaid]),
            refused=pl.concat([young.refused, old.refused]),
            waiting=let.waiting,
            waited=let.waited,
        )
        self._forget(rows)
        return chosen

    def _waits(self, settled: Mapping[str, int], minutes: pl.DataFrame) -> pl.DataFrame:
        """Those of the (machine, time) that are not final, and of which somebody else's rows are there.

        An hour that is kept without its minutes waits as a whole.
        """
        until = pl.col("machine").replace_strict(dict(settled), return_dtype=pl.Int64)
        open_ = minutes.with_columns(until=until - until % MINUTE_NS)
        young, old = (open_.filter(one) for one in (self._is_young, ~self._is_young))
        young = young.filter(pl.col("time") >= pl.col("until"))
        old = old.with_columns(hour=self._hour(pl.col("time"))).filter(pl.col("hour") >= self._hour(pl.col("until")))
        return pl.concat(
            [
                young.select(_KEY).join(self._others("minute", young.select(_KEY)), on=_KEY, how="semi"),
                old.join(
                    self._others("hour", old.select("machine", time="hour").unique()),
                    left_on=["machine", "hour"],
                    right_on=_KEY,
                    how="semi",
                ).select(_KEY),
            ]
        )

    def _others(self, window: Literal["minute", "hour"], keys: pl.DataFrame) -> pl.DataFrame:
        """Those of the (machine, time) of which the journal holds rows that are not of this replay."""
        return self._held(window, keys).select(_KEY).unique().join(self._mine, on=_KEY, how="anti")

    def _held(self, window: Literal["minute", "hour"], keys: pl.DataFrame) -> pl.DataFrame:
        """What the journal holds of these (machine, time), with revision; time is the start of the window."""
        if keys.is_empty():
            return no_rows().with_columns(pl.lit(0, pl.Int64).alias(REVISION), pl.lit("").alias("cause"))
        first, last = int(keys["time"].min()), int(keys["time"].max())  # type: ignore[arg-type]
        held = self._reader.elements(window, first, last + 1, self._machines)
        return held.select(*_COLUMNS, *_VERSION).join(keys, on=_KEY, how="semi")

    def _may(self, keys: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        """Those of the (machine, time) that this replay may write."""
        if self._recompute or held.is_empty():
            return keys
        others = held.select(_KEY).unique().join(self._mine, on=_KEY, how="anti")
        for machines, start, end in self._own:
            mine = pl.col("machine").is_in(machines) & pl.col("time").is_between(start, end, closed="left")
            others = others.filter(~mine)
        return keys.join(others, on=_KEY, how="anti")

    def _revised(self, fresh: pl.DataFrame, held: pl.DataFrame) -> Revised:
        if held.is_empty():  # of a past that nobody spoke of, every row is a first word
            return Revised(_versioned(fresh), _versioned(fresh.clear()))
        held = held.join(fresh.select(_KEY).unique(), on=_KEY, how="semi")
        return revised(fresh, held, closed_to=FOR_GOOD, causes=self._causes)

    def _written(self, rows: pl.DataFrame) -> pl.DataFrame:
        """(machine, time) of rows to be written that this replay did not write before; they are its own from now on."""
        first = rows.select(_KEY).unique().join(self._mine, on=_KEY, how="anti")
        self._mine = pl.concat([self._mine, first])
        return first

    # Minutes

    def _of_minutes(self, rows: pl.DataFrame) -> _Decided:
        keys = rows.select(_KEY).unique()
        held = self._held("minute", keys)
        allowed = self._may(keys, held)
        made = self._revised(rows.join(allowed, on=_KEY, how="semi", maintain_order="left"), held)
        first = self._written(made.rows)
        replaced = len(first.join(held, on=_KEY, how="semi"))
        return _Decided(
            rows=made.rows.select(*_COLUMNS, *_VERSION),
            gone=made.gone.select(*_COLUMNS, *_VERSION),
            minutes=_versioned(rows.clear()),
            sums=self._sums_of_hours(made, held),
            allowed=allowed,
            changed=made.rows.select(_KEY).unique(),
            unsaid=keys.join(made.rows, on=_KEY, how="anti"),
            refused=_differing(rows, held, keys.join(allowed, on=_KEY, how="anti")),
            new=len(first) - replaced,
            replaced=replaced,
        )

    def _sums_of_hours(self, made: Revised, held: pl.DataFrame) -> pl.DataFrame:
        """What the hours of revised minutes sum up to, once those replace the held ones."""
        came = self._in_hours(made.rows)
        went = self._in_hours(held.join(made.rows.select(_KEY).unique(), on=_KEY, how="semi"))
        before = self._held("hour", came.select(_KEY).unique())
        parts = (before, came, went.with_columns(-pl.col(ELEMENT_IDS)))
        sums = summed(pl.concat([part.select(_COLUMNS) for part in parts]), list(ROW_KEYS))
        versions = pl.concat([in_one_number(part.select(*_KEY, *_VERSION)) for part in (before, came)])
        highest = apart(versions.group_by(_KEY).agg(pl.col(REVISION).max()))
        return sums.join(highest, on=_KEY, how="left", maintain_order="left").select(*_COLUMNS, *_VERSION)

    def _in_hours(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(self._hour(pl.col("time")))

    def _hour(self, time: pl.Expr) -> pl.Expr:
        return (time - self._hour_offset) // HOUR_NS * HOUR_NS + self._hour_offset

    # Hours without minutes

    def _of_hours(self, rows: pl.DataFrame) -> _Decided:
        self._recent = pl.concat([self._recent.join(rows, on=_KEY, how="anti"), rows])
        touched = self._in_hours(rows).select(_KEY).unique()
        placed = self._recent.with_columns(hour=self._in_hours(self._recent)["time"])
        placed = placed.join(touched.rename({"time": "hour"}), on=["machine", "hour"], how="semi")
        hours = (
            placed.with_columns(time="hour")
            .group_by(list(ROW_KEYS), maintain_order=True)
            .agg(pl.len().cast(pl.Int64).alias("minute_rows"), pl.col(ELEMENT_IDS).sum())
        )
        held = self._held("hour", touched)
        free = self._may(touched, held)
        allowed = _whole_enough(hours, held).join(free, on=_KEY, how="semi")
        made = self._revised(hours.join(allowed, on=_KEY, how="semi", maintain_order="left"), held)
        first = self._written(made.rows)
        versions = made.rows.select("machine", *_VERSION, hour="time").unique()
        minutes = placed.join(versions, on=["machine", "hour"], how="inner", maintain_order="left")
        of_first = minutes.join(first.rename({"time": "hour"}), on=["machine", "hour"], how="semi")
        of_first = of_first.select(*_KEY, "hour").unique()
        replaced = len(of_first.join(held.select("machine", hour="time"), on=["machine", "hour"], how="semi"))
        keys = placed.select(*_KEY, "hour").unique()
        return _Decided(
            rows=made.rows.join(hours.select(*ROW_KEYS, "minute_rows"), on=list(ROW_KEYS), maintain_order="left"),
            gone=made.gone,
            minutes=minutes.select(*_COLUMNS, *_VERSION),
            sums=pl.concat([part.select(*_COLUMNS, *_VERSION) for part in (made.rows, made.gone)]),
            changed=minutes.select(_KEY).unique(),
            allowed=keys.join(allowed.rename({"time": "hour"}), on=["machine", "hour"], how="semi").select(_KEY),
            unsaid=keys.select(_KEY).join(minutes, on=_KEY, how="anti"),
            refused=_differing(hours, held, touched.join(free, on=_KEY, how="anti")),
            new=len(of_first) - replaced,
            replaced=replaced,
        )

    # What goes with minutes

    def _intervals(self, intervals: pl.DataFrame, allowed: pl.DataFrame) -> pl.DataFrame:
        minute = (pl.col("start") - pl.col("start") % MINUTE_NS).alias("time")
        mine = intervals.with_columns(minute).join(allowed, on=_KEY, how="semi").select(INTERVAL_KEYS)
        held = self._read_intervals(mine)
        if held.is_empty():
            return mine
        return differing(overwriting(mine, held), held, time="start")

    def _measured(self, measured: pl.DataFrame, allowed: pl.DataFrame) -> pl.DataFrame:
        mine = measured.join(allowed, on=_KEY, how="semi")
        if mine.is_empty():
            return mine
        first, last = int(mine["time"].min()), int(mine["time"].max())  # type: ignore[arg-type]
        held = self._reader.measured("minute", first, last + 1, self._machines)
        held = held.join(mine, on=_KEY, how="semi").select(mine.columns)
        return differing(mine, held, time="time")

    def _decided(self, decisions: pl.DataFrame, allowed: pl.DataFrame) -> Decided | None:
        minutes = allowed.select(_KEY).unique()
        if minutes.is_empty():
            return None
        held = self._read_decisions(minutes).filter(pl.col("machine").is_in(self._machines))
        return decided_otherwise(minutes, decisions, held)

    def _measured_hours(self, measured: pl.DataFrame, allowed: pl.DataFrame) -> pl.DataFrame:
        """Statistics of whole hours, of all hours that anything is known of again."""
        before = measured.clear() if self._recent_measured is None else self._recent_measured
        recent = pl.concat([before.join(measured, on=_KEY, how="anti"), measured])
        self._recent_measured = recent
        touched = self._in_hours(allowed).unique()
        by_hour = self._in_hours(recent).join(touched, on=_KEY, how="semi")
        sums = by_hour.group_by("machine", "time", "characteristic", "nominal", maintain_order=True)
        return sums.agg(pl.col(*STATISTICS).sum()).select(measured.columns)

    def _forget(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        oldest = int(rows["time"].max()) - self._reach  # type: ignore[arg-type]
        oldest = (oldest - self._hour_offset) // HOUR_NS * HOUR_NS + self._hour_offset
        young = pl.col("time") >= oldest
        self._mine = self._mine.filter(young)
        self._recent = self._recent.filter(young)
        if self._recent_measured is not None:
            self._recent_measured = self._recent_measured.filter(young)


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """What was decided of one kind of rows; see `Chosen`.

    rows: for the journal. gone: rows that are no more, as zeros. minutes: minute rows of hours. sums: of hours that
    change. allowed, changed: (machine, time) of the minutes that may be written, and of those that are; of an hour that
    is kept without its minutes all.
    """

    rows: pl.DataFrame
    gone: pl.DataFrame
    minutes: pl.DataFrame
    sums: pl.DataFrame
    allowed: pl.DataFrame
    changed: pl.DataFrame
    unsaid: pl.DataFrame
    refused: pl.DataFrame
    new: int
    replaced: int


def _differing(rows: pl.DataFrame, held: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Those of the (machine, time) at which any row is another than the held one."""
    parts = [part.select(_COLUMNS).join(keys, on=_KEY, how="semi") for part in (rows, held)]
    odd = [parts[one].join(parts[1 - one], on=_COLUMNS, how="anti", nulls_equal=True) for one in (0, 1)]
    return pl.concat(odd).select(_KEY).unique()


def _versioned(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*_COLUMNS, pl.lit(0, pl.Int64).alias(REVISION), pl.lit("").alias("cause"))


def _whole_enough(hours: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """(machine, hour) that know of at least as much time as what is held."""
    mine = hours.group_by(_KEY).agg(pl.col("calendar_time").sum())
    theirs = held.group_by(_KEY).agg(pl.col("calendar_time").sum().alias("held_time"))
    known = mine.join(theirs, on=_KEY, how="left")
    return known.filter(pl.col("calendar_time") >= pl.col("held_time").fill_null(0)).select(_KEY)
