"""What goes into the journal and comes out of it: one tick, one outbox entry, one recovery, and what can go wrong.

Rule: plain values; nothing here knows SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final

import polars as pl

from connectors.samples import Int32, SampleBatch
from edge_agent.journal.decisions import Decided
from edge_agent.journal.strands import StrandTick


class JournalError(Exception):
    """The journal cannot be used, and the operator has to do something.

    path: the file. reason: what is wrong. hint: what the operator can do about it.
    """

    def __init__(self, path: Path, reason: str, hint: str) -> None:
        super().__init__(f"journal {path}: {reason}; {hint}")
        self.path = path
        self.reason = reason
        self.hint = hint


class JournalWriteError(JournalError):
    """Nothing of this transaction was kept, the journal is as before it: the same commit may be tried again.

    Raised when the disk is full, when a write fails, or when another program holds the file for too long.
    """


class RevisionCause(StrEnum):
    """Why a row that was said as closed was said again."""

    NONE = ""  # it was not
    LATE_DATA = "late_data"  # something became known later: a sample, a meter's next reading, how long a stop took
    RECOMPUTATION = "recomputation"  # the same samples under other rules, or a replay of history
    CALENDAR_EDIT = "calendar_edit"  # the same samples under another calendar


CAUSES: Final = tuple(RevisionCause)
"""A cause's place here is its number in the file: new ones go to the end."""

OPEN: Final = -1
"""Revision of a row of a minute that is not over: it is not said as closed yet."""


class OutboxKind(IntEnum):
    """What the points of an outbox entry are about; `DROP_ORDER` says what goes first when the outbox is full."""

    KPI = 0
    ELEMENT = 1
    STATE = 2
    RAW = 3
    AGENT = 4


DROP_ORDER: Final = (OutboxKind.RAW, OutboxKind.AGENT, OutboxKind.STATE, OutboxKind.ELEMENT, OutboxKind.KPI)
"""From what is dropped first to what is dropped last; within a kind the oldest goes first."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Points on their way to the database: one request.

    points: lines in the body. samples: samples that they stand for, 0 for computed points.
    body: gzip-compressed line protocol, exactly as it will be sent. id: its place in the queue, 0 before it has one.
    """

    kind: OutboxKind
    points: int
    samples: int
    body: bytes = field(repr=False)
    id: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tick:
    """One transaction of the agent: all of it is kept, or nothing.

    samples: those that the engine uses, scaled, kept for a restart; tag is the index in the journal's `tags`.
    texts: fresh text codes. outbox: points to send.
    elements: rows of minutes: machine, shift, product Utf8 ("" where there is none), time and shift_start Int64 (ns),
        and an Int64 column for each element id. All rows of each (machine, time) that occurs replace those held; the
        rows of their hours follow in the same transaction. May have `revision` (Int64: 0 = first said as closed, `OPEN`
        while the minute is not over) and `cause` (Utf8, a `RevisionCause`), equal in all rows of a machine and minute.
    intervals: machine Utf8, start and end Int64 (ns), state Int32, product Utf8, cut at minute edges; may have `reason`
        (Utf8). They replace all intervals of each (machine, minute) that occurs in themselves.
    measured: statistics of measured values by minute: the columns of `MEASURED_SCHEMA`. A row replaces that of the same
        machine, minute and characteristic; hours follow in the same transaction.
    decided: decisions about counters, with the minutes of which they replace all that is held.
    beyond: samples that came too late to correct anything, scaled, to be kept apart; tag as of `samples`. The ledger
        has as many under `refused:beyond_horizon`.
    hours: rows of hours whose minutes are not kept, as a replay of the past gives them: the columns of `elements`,
        `time` being the hour's start, and `minute_rows` (Int64), how many minute rows each is the sum of. All rows of
        each (machine, hour) that occurs replace those held; minutes and intervals of the hour go, and minutes before
        its end are no longer taken.
    measured_hours: statistics of such hours: the columns of `measured`. All of each (machine, hour) that occurs replace
        those held.
    checkpoint: the engine's checkpoint and its `keep_from` (ns): samples before it are no longer needed.
    archive: start (ns) → block that the engine packed away; replaces the one of the same start.
    archive_from: ns; blocks that end before it can go. None = none can.
    folded: whether the engine has taken on all samples so far; a checkpoint says so too.
    folded_with: machine → (fingerprint of its calendar, of its rules) that all rows are now folded with; None = as
        before.
    settled_to: up to when (ns) all is said with this tick; None = as before.
    strands: what a replay keeps of history for the next one.
    ledger: cause → number of samples, added to the totals. Causes are the caller's own; see `edge_agent.ledger`.
    status: name → JSON document, replaced by name.
    """

    samples: SampleBatch = field(default_factory=SampleBatch.empty)
    texts: Mapping[str, int] = field(default_factory=dict)
    outbox: Sequence[OutboxEntry] = ()
    elements: pl.DataFrame | None = None
    intervals: pl.DataFrame | None = None
    hours: pl.DataFrame | None = None
    measured: pl.DataFrame | None = None
    decided: Decided | None = None
    beyond: SampleBatch = field(default_factory=SampleBatch.empty)
    measured_hours: pl.DataFrame | None = None
    checkpoint: tuple[bytes, int] | None = None
    archive: Mapping[int, bytes] = field(default_factory=dict)
    archive_from: int | None = None
    folded: bool = False
    folded_with: Mapping[str, tuple[str, str]] | None = None
    settled_to: int | None = None
    strands: Sequence[StrandTick] = ()
    ledger: Mapping[str, int] = field(default_factory=dict)
    status: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """What a restarted agent begins with.

    checkpoint: None where none was ever kept. keep_from: ns; the checkpoint holds all before it.
    samples: all at or after keep_from, and older ones that the engine had not taken on yet, in the order of their
        commits, tag being the index in the `tags` of this start; samples of tags that are gone are left out.
    old_to_new: int32, shape (tags at the time of the checkpoint,): index of that tag now, -1 where it is gone. The
        checkpoint speaks of tags by their old index.
    damaged: rows of the sample log whose checksum was wrong, left out; more than 0 means a failing disk.
    """

    checkpoint: bytes | None
    keep_from: int
    samples: SampleBatch
    old_to_new: Int32
    damaged: int = 0

    @property
    def same_tags(self) -> bool:
        """Whether every tag of the checkpoint still has the index it had."""
        return bool((self.old_to_new == range(len(self.old_to_new))).all()) if len(self.old_to_new) else True
