"""The past folded again after the configuration was edited, by an engine of its own beside the live one.

Rule 1: live figures do not wait for it. The second engine starts from the same checkpoint and hears the same samples;
when it has caught up it takes the place of the first, so the outcome is that of an engine that had done nothing else.
Rule 2: what it archives is stored; what the first one would is not. Nothing is checkpointed meanwhile: ended in the
middle, all of it is begun again.

Weighed: to let samples wait until the past is done (one engine, but minutes without a figure), or to hand the live
engine corrected starts (no second one, but a third way into its past). The second engine won: it costs the memory of
half an hour of samples while it runs, and its law is that of a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from edge_agent.journal import RevisionCause
from edge_agent.logs import Events
from edge_agent.plant_versions import Edit
from kpi.engine import Engine, Update
from kpi.plant import Plant

_log = Events("restatement")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. since, reached, until: ns; rows of [since, reached) are right, those until then still to come.
    rows: closed rows that came out otherwise so far."""

    since: int
    reached: int
    until: int
    rows: int

    @property
    def percent(self) -> int:
        """Share of the time that is done, whole percent, 100 only at the end."""
        whole = self.until - self.since
        return 100 if self.reached >= self.until else 100 * (self.reached - self.since) // whole

    def facts(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "since": self.since,
            "reached": self.reached,
            "until": self.until,
            "percent": self.percent,
            "changed_rows": self.rows,
        }


class Restatement:
    """Folds the archived past again, a block a step. engine: just restored, with the samples since its checkpoint.

    archive: packed blocks, as the last commit left them. edits: by machine; others are left as they are.
    """

    def __init__(self, plant: Plant, engine: Engine, archive: Mapping[int, bytes], edits: Mapping[str, Edit]) -> None:
        self.engine = engine
        self.causes: Mapping[str, RevisionCause] = {machine: edit.cause for machine, edit in edits.items()}
        self._machines = [index for index, machine in enumerate(plant.machines) if machine.id in edits]
        self.until = engine.reached or 0
        oldest = min(archive, default=engine.closed or 0)
        self._since = min(self.until, max(oldest, min(edit.since for edit in edits.values())))
        self._at = self._since
        self._updates = engine.restate(archive, self._since)
        self.rows = 0
        self._zone = ZoneInfo(plant.timezone)
        self._logged = 0
        _log.info(
            "past_will_be_restated",
            machines=len(edits),
            first=min(edits),
            causes=sorted(set(self.causes.values())),
            since=self._words(self._since),
            until=self._words(self.until),
            hint="figures of that time change as it goes on; live figures do not wait",
        )

    def step(self) -> Update | None:
        """What the next stretch of the past is under the rules of today; None = the engine has caught up.

        Of the archive only edited machines; of what follows all, since samples may have come late meanwhile.
        """
        update = next(self._updates, None)
        if update is None:
            return None
        reached = self.engine.closed or 0
        is_last = reached >= self.until
        self._at = min(reached, self.until - 1)
        return update if is_last else self._without(update, edited=False, before=1 << 62)

    def left_to_it(self, update: Update) -> Update:
        """An update of the live engine, without what this will say."""
        return self._without(update, edited=True, before=self.until)

    def _without(self, update: Update, *, edited: bool, before: int) -> Update:
        """Without rows of edited machines, or of the others, that begin before a time."""
        is_edited = pl.col("machine").is_in(self._machines)
        gone = is_edited if edited else ~is_edited
        return replace(
            update,
            elements=update.elements.filter(~(gone & (pl.col("time") < before))),
            intervals=update.intervals.filter(~(gone & (pl.col("start") < before))),
            measured=update.measured.filter(~(gone & (pl.col("time") < before))),
            decided=update.decided.filter(~(gone & (pl.col("time") < before))),
        )

    def note(self, rows: int) -> None:
        """Count rows that came out otherwise; the log says every tenth of the way."""
        self.rows += rows
        now = self.progress()
        if now.percent // 10 > self._logged:
            self._logged = now.percent // 10
            _log.info("past_is_being_restated", percent=now.percent, reached=self._words(now.reached), rows=self.rows)

    def finished(self, rows: int) -> Progress:
        """All was said, with the last rows that came out otherwise."""
        self.rows += rows
        self._at = self.until
        _log.info("past_is_restated", rows=self.rows, since=self._words(self._since), until=self._words(self.until))
        return self.progress()

    def _words(self, time: int) -> str:
        return datetime.fromtimestamp(time // 1_000_000_000, self._zone).isoformat(timespec="minutes")

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._since, self._at, self.until, self.rows)
