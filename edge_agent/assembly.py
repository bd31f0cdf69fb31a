"""Samples of one tick in, one transaction out: scaling, judging, the engine, windows, and points on their way.

Rule 1: no I/O but reading the journal for a window that is not held in memory; committing is the pipeline's.
Rule 2: every sample ends in the ledger once, under its worst outcome; `received` is the sum of all the others.
Rule 3: elements are said up to the watermark only, also those of the open minute. What came in the last seconds may
still change when a slower connection delivers, so nothing is said about them, and next to nothing is taken back.

Weighed for the open minute: rows up to the clock, or up to the watermark. The clock is fresher by a few seconds, but a
state or product that turns up a second late would take back what was written; the watermark won.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from config.compiled import CompiledPlant
from connectors import Fault, SampleBatch, TextCodes
from edge_agent.changes import ChangeFinder, Changes, of_both
from edge_agent.journal import Decided, OutboxEntry, OutboxKind, RevisionCause, Tick
from edge_agent.kpi_warnings import KpiWarnings
from edge_agent.kpi_windows import KpiWindows
from edge_agent.ledger import REFUSED_BEYOND_HORIZON
from edge_agent.long_windows import LongWindows
from edge_agent.plant_versions import Prints
from edge_agent.points import Points
from edge_agent.restatement import Restatement
from kpi.columns import Columns
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.engine import Engine, Update
from kpi.plant import State

_NO_ARCHIVE: Final[Mapping[int, bytes]] = {}
_NO_CAUSES: Final[Mapping[str, RevisionCause]] = {}

_LONGEST_STEP_NS: Final = 6 * HOUR_NS
"""Minutes closed in one tick at most: after days without power the agent catches up in bites that fit into memory."""


_KPIS_EVERY: Final = 3
"""Refreshes of the open minute for one of the open hour, shift and day: their points are most of what is written, and
half a minute changes an hour by less than a hundredth."""

_LONG_EVERY_NS: Final = 5 * MINUTE_NS
"""Wall time between two sayings of weeks and months: minutes change them by less than a thousandth."""

_DAYS_READ: Final = 2
"""Days that weeks and months may read in one refresh: a day of a hundred machines takes 0.15 s."""

_ALL_DAYS: Final = 1 << 30

_LONGEST_CORRECTION_NS: Final = 31 * 24 * HOUR_NS
"""How far back weeks and months are said anew after a start."""

_FOR_GOOD: Final = 1 << 62
"""Later than any minute ends."""


class Cause(StrEnum):
    """Where a sample that was received ended. The sum of all others is `received`."""

    RECEIVED = "received"
    KEPT = "kept"
    FUTURE = f"refused:{Fault.FUTURE_TIMESTAMP}"
    BEYOND_HORIZON = REFUSED_BEYOND_HORIZON  # and kept apart
    CONFLICT = "refused:conflict"
    DUPLICATE = "thinned:duplicate"


_BY_VERDICT: Final = {
    "beyond_horizon": Cause.BEYOND_HORIZON,
    "conflict": Cause.CONFLICT,
    "duplicate": Cause.DUPLICATE,
}
"""The engine's decisions that end a sample; its others are about samples that it uses."""

_REFUSED: Final = (Cause.FUTURE, *_BY_VERDICT.values())

RAW_SAME_TIME: Final = "raw:same_time"
RAW_NOTHING_TO_SAY: Final = "raw:nothing_to_say"
"""Raw samples that became no line: a later one of the tag has the same time, or there is neither value nor verdict.
With `samples:queued` they are the raw samples that were to be sent."""


@dataclass(frozen=True, slots=True)
class MachineNow:
    """What a board shows of a machine at this moment. power_kw: None where no good value is known."""

    state: State
    since: int
    product: str
    power_kw: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """A transaction ready to be committed, and what the pipeline has to say about it.

    closed_to: the watermark that elements are settled to, ns. behind: more minutes wait to be closed, at once.
    """

    tick: Tick
    verdicts: Mapping[str, int]
    closed_to: int
    behind: bool

    @property
    def worth_committing(self) -> bool:
        """Whether there is anything in it."""
        tick = self.tick
        return bool(
            len(tick.samples)
            or tick.texts
            or tick.outbox
            or tick.elements is not None
            or tick.intervals is not None
            or tick.decided is not None
            or len(tick.beyond)
            or tick.checkpoint is not None
            or tick.archive
            or tick.status
            or tick.ledger
        )


class Assembly:
    """Makes the transaction of each tick. Not thread-safe: one tick after the other, each committed before the next.

    archive: what the engine packed away, as the last commit left it. restatement: folds the past again, since rules or
    a calendar are others than those that it was folded with; a block of the archive in each tick that has nothing else
    to do. folded_with: what to remember then; None = nothing is new. warnings: looks at the hours that are over.
    """

    def __init__(
        self,
        compiled: CompiledPlant,
        *,
        engine: Engine,
        texts: TextCodes,
        windows: KpiWindows,
        points: Points,
        changes: ChangeFinder,
        refresh_ns: int,
        archive: Mapping[int, bytes] = _NO_ARCHIVE,
        restatement: Restatement | None = None,
        folded_with: Prints | None = None,
        warnings: KpiWarnings | None = None,
    ) -> None:
        tags = compiled.tags
        self._settings = compiled.agent
        self._engine = engine
        self._texts = texts
        self._windows = windows
        self._points = points
        self._changes = changes
        self._archive = archive
        self._restatement = restatement
        self._restated: dict[str, Any] | None = None  # how it ended
        self._said_live = False  # in the last tick: live figures and the past take turns
        self._folded_with = folded_with
        self._refresh_ns = refresh_ns
        self._scale, self._offset = tags.scale, tags.offset
        self._scaled = bool((tags.scale != 1).any() or (tags.offset != 0).any())
        every_tag = np.arange(len(tags), dtype=np.int32)
        self._uses = np.asarray(engine.uses(every_tag), np.bool_)
        self._uses_all = bool(self._uses.all())
        self._sends_raw = compiled.agent.raw
        self._latest = np.full(len(tags), np.nan)
        self._latest_time = np.zeros(len(tags), np.int64)
        self._power = {machine.id: machine.power.tag for machine in compiled.plant.machines if machine.power}
        self._now: dict[str, tuple[State, int, str]] = {}
        self._closed_to = engine.closed or 0
        self._refreshed = 0
        self._kpis_said = 0
        self._unsaid: list[pl.DataFrame] = []  # where rows changed since KPIs were last made of them
        self._warnings = warnings
        self._long = LongWindows(windows, compiled.plant)
        self._long_said = 0
        if points.overwrites and self._closed_to:
            # what was corrected shortly before the stop may not have reached its week and month
            reach_ns = min(compiled.agent.correction_horizon_ns, _LONGEST_CORRECTION_NS)
            self._long.note_all(self._closed_to - reach_ns, self._closed_to)

    @property
    def engine(self) -> Engine:
        """The engine that live figures come from; another one after the past was restated."""
        return self._engine

    def restating(self) -> dict[str, Any] | None:
        """How far the past is restated, or what that came to, ready for JSON; None where it was not since the start."""
        return self._restated if self._restatement is None else self._restatement.progress().facts()

    @property
    def settled_to(self) -> int:
        """Up to when everything was said, ns; what lies before it changes only by late samples."""
        return self._closed_to

    def watermark(self, now: int) -> int:
        """Up to when samples can be expected to have arrived, ns, when the clock shows `now`."""
        return now - self._settings.close_after_ns

    @property
    def refusals(self) -> tuple[str, ...]:
        """The causes in the ledger under which a sample can end unused."""
        return tuple(str(cause) for cause in _REFUSED)

    @property
    def latest_time(self) -> npt.NDArray[np.int64]:
        """The time of the sample of each tag that arrived last, ns; 0 where none did. int64, shape (tags,)."""
        return self._latest_time

    def machines_now(self) -> dict[str, MachineNow]:
        """What each machine is doing, by id; only machines of which something was said."""
        return {
            machine: MachineNow(state, since, product, self._power_now(machine))
            for machine, (state, since, product) in self._now.items()
        }

    def _power_now(self, machine: str) -> float | None:
        tag = self._power.get(machine)
        value = float("nan") if tag is None else float(self._latest[tag])
        return None if np.isnan(value) else value

    def assemble(
        self,
        batch: SampleBatch,
        *,
        now: int,
        wall: int,
        texts: Mapping[str, int],
        status: Mapping[str, str] | None = None,
        agent_points: Sequence[OutboxEntry] = (),
        settle_to: int | None = None,
        final: bool = False,
    ) -> Assembled:
        """The transaction of one tick.

        batch: samples as connectors delivered them. now: the agent's clock, ns; wall: ns of a steady clock, which says
        when a refresh is due. texts: fresh codes that the batch may use. settle_to: say everything up to this time
        now; None = as the watermark and the refresh allow. final: nothing will follow, so what is not over is sent too.
        """
        ledger: Counter[str] = Counter({Cause.RECEIVED: len(batch)})
        verdicts: Counter[str] = Counter()
        batch = self._judged(self._in_units(batch), now, ledger, verdicts)
        used = batch if self._uses_all else batch.where(self._uses[batch.tag])
        self._latest[batch.tag] = batch.value
        self._latest_time[batch.tag] = batch.time
        if len(used):
            self._engine.add(used.tag, used.time, used.value, used.quality)
            if self._restatement is not None:
                self._restatement.engine.add(used.tag, used.time, used.value, used.quality)
        outbox = [*agent_points, *self._raw_samples(batch, ledger)]
        settled = self._settle(now, wall, settle_to, verdicts, outbox, final=final)
        for verdict, cause in _BY_VERDICT.items():
            ledger[cause] += verdicts[verdict]
        # a verdict may be of samples of an earlier tick, which were kept then: this corrects the sum, also below zero
        ledger[Cause.KEPT] += ledger[Cause.RECEIVED] - sum(ledger[cause] for cause in _REFUSED)
        tick = Tick(
            samples=used,
            texts=texts,
            outbox=outbox,
            elements=settled.elements,
            intervals=settled.intervals,
            measured=settled.measured,
            decided=settled.decided,
            beyond=settled.beyond,
            checkpoint=settled.checkpoint,
            archive=settled.archive,
            archive_from=settled.archive_from,
            folded=settled.folded,
            folded_with=settled.folded_with,
            settled_to=None if settled.changes is None else self._closed_to,
            ledger={str(cause): n for cause, n in ledger.items() if n},
            status=status,
        )
        return Assembled(tick, verdicts, self._closed_to, settled.behind)

    def _in_units(self, batch: SampleBatch) -> SampleBatch:
        if not self._scaled or not len(batch):
            return batch
        value = batch.value * self._scale[batch.tag] + self._offset[batch.tag]
        return SampleBatch(batch.tag, batch.time, value, batch.quality)

    def _judged(self, batch: SampleBatch, now: int, ledger: Counter[str], verdicts: Counter[str]) -> SampleBatch:
        latest = now + self._settings.future_tolerance_ns
        if not len(batch) or batch.time.max() <= latest:
            return batch
        keep = batch.time <= latest
        refused = len(batch) - int(keep.sum())
        ledger[Cause.FUTURE] += refused
        verdicts[Fault.FUTURE_TIMESTAMP] += refused
        return batch.where(keep)

    def _raw_samples(self, batch: SampleBatch, ledger: Counter[str]) -> list[OutboxEntry]:
        encoded = self._points.signals(batch, self._texts) if self._sends_raw else None
        if encoded is None:
            return []
        ledger[RAW_SAME_TIME] += encoded.collisions
        ledger[RAW_NOTHING_TO_SAY] += encoded.without_fields
        return encoded.entries(OutboxKind.RAW)

    def _settle(
        self,
        now: int,
        wall: int,
        settle_to: int | None,
        verdicts: Counter[str],
        outbox: list[OutboxEntry],
        *,
        final: bool,
    ) -> _Settled:
        target = self.watermark(now) if settle_to is None else settle_to
        watermark = target if not self._closed_to else min(target, self._closed_to + _LONGEST_STEP_NS)
        is_due = watermark >= self._closed_to and (
            self._closes(watermark) or settle_to is not None or self._refresh_due(wall)
        )
        if self._restatement is not None and settle_to is None and (self._said_live or not is_due):
            self._said_live = False
            past = self._restatement.step()
            if past is not None:
                return self._restate(self._restatement, past, verdicts, outbox)
            watermark = max(watermark, self._closed_to)
            return self._settle_live(watermark, wall, verdicts, outbox, caught_up=True)
        if not is_due:
            return _Settled()
        self._said_live = True
        settled = self._settle_live(watermark, wall, verdicts, outbox, asked=settle_to is not None, final=final)
        return replace(settled, behind=settled.behind or watermark < target)

    def _closes(self, watermark: int) -> bool:
        return watermark // MINUTE_NS > self._closed_to // MINUTE_NS

    def _settle_live(
        self,
        watermark: int,
        wall: int,
        verdicts: Counter[str],
        outbox: list[OutboxEntry],
        *,
        asked: bool = False,
        final: bool = False,
        caught_up: bool = False,
    ) -> _Settled:
        """Close minutes and say what is open. asked: somebody wants all of it now. caught_up: the past was restated."""
        closes = self._closes(watermark) or caught_up
        restatement = self._restatement
        if restatement is not None and caught_up:
            self._engine, self._restatement = restatement.engine, None
        self._refreshed = wall
        if self._warnings is not None:
            self._warnings.look(self._closed_to)
        self._closed_to = watermark
        # what is not in memory waits for the engine that restates it
        archive = self._archive if self._restatement is None else _NO_ARCHIVE
        update = of_both(self._engine.advance(watermark, archive), self._engine.provisional(watermark))
        beyond = SampleBatch.empty()
        if self._restatement is None:
            verdicts.update(update.decisions)
            beyond = _batch(update.beyond)
        else:
            update = self._restatement.left_to_it(update)
        closed_to = self._engine.closed or 0
        causes = restatement.causes if restatement is not None and caught_up else _NO_CAUSES
        changes = self._changes.of(update, closed_to=closed_to, causes=causes)
        self._note_now(changes.states)
        over = _FOR_GOOD if final else watermark
        self._unsaid.append(changes.windows())
        due = closes or final or wall - self._kpis_said >= _KPIS_EVERY * self._refresh_ns
        if due:
            self._kpis_said = wall
        days = _ALL_DAYS if final else _DAYS_READ if asked or self._long_due(wall) else 0
        if days:
            self._long_said = wall
        outbox += self._said(changes, over, settled_to=watermark, windows=due, days=days)
        if self._restatement is not None:  # which judges the samples, too
            return _Settled(changes, behind=True)
        if restatement is not None:
            self._restated = restatement.finished(changes.corrected).facts()
        # blocks in the archive and the checkpoint have to be of one instant: what is in the one is not in the other
        checkpoint = (self._engine.checkpoint(), self._engine.keep_from) if closes or update.archive else None
        folded_with, self._folded_with = self._folded_with, None
        return _Settled(
            changes,
            beyond,
            checkpoint=checkpoint,
            archive=update.archive,
            archive_from=closed_to - self._settings.correction_horizon_ns,
            folded=True,
            folded_with=folded_with,
        )

    def _restate(
        self, restatement: Restatement, update: Update, verdicts: Counter[str], outbox: list[OutboxEntry]
    ) -> _Settled:
        """What a part of the past is under the rules of today. No checkpoint: ended here, it is begun again."""
        verdicts.update(update.decisions)
        changes = self._changes.of(update, closed_to=_FOR_GOOD, causes=restatement.causes)
        restatement.note(changes.corrected)
        self._unsaid.append(changes.windows())
        outbox += self._said(changes, _FOR_GOOD, settled_to=max(self._closed_to, restatement.until), windows=True)
        return _Settled(changes, _batch(update.beyond), archive=update.archive, behind=True)

    def _long_due(self, wall: int) -> bool:
        return self._long.waits or wall - self._long_said >= _LONG_EVERY_NS

    def _said(self, changes: Changes, over: int, *, settled_to: int, windows: bool, days: int = 0) -> list[OutboxEntry]:
        """Points of what changed; of windows where they are due, and of weeks and months where days may be read."""
        rows = changes.rows
        outbox = [
            *self._points.elements(pl.concat([rows, changes.gone]), over),
            *self._points.states(changes.intervals, over),
            *self._points.measured(changes.measured, over),
        ]
        self._windows.take_on(rows, summing=self._points.sends)
        if not self._points.sends:
            self._unsaid.clear()
        elif windows:
            touched = list(self._windows.touched_by(pl.concat(self._unsaid)))
            self._unsaid.clear()
            outbox += self._points.kpis(touched, over, settled_to=settled_to)
        if self._points.sends:
            self._long.note(changes.windows())
            if days:
                outbox += self._points.kpis(self._long.said(days), over, settled_to=settled_to)
        self._windows.forget()
        return outbox

    def _refresh_due(self, wall: int) -> bool:
        return wall - self._refreshed >= self._refresh_ns

    def _note_now(self, intervals: pl.DataFrame) -> None:
        changed = (pl.col("state") != pl.col("state").shift().over("machine")).fill_null(value=True)
        runs = intervals.sort("machine", "start").with_columns(run=changed.cum_sum().over("machine"))
        newest = runs.filter(pl.col("run") == pl.col("run").max().over("machine"))
        for machine, run, since, code, product in (
            newest.group_by("machine")
            .agg(pl.col("run").first(), pl.col("start").first(), pl.col("state").first(), pl.col("product").last())
            .iter_rows()
        ):
            state, before = State(code), self._now.get(machine)
            goes_on = run == 1 and before is not None and before[0] is state
            self._now[machine] = (state, before[1] if goes_on and before is not None else since, product)

    def status(self) -> dict[str, Any]:
        """What each machine does now, ready for JSON."""
        return {
            machine: {
                "state": one.state.name.lower(),
                "since": one.since,
                "product": one.product,
                "power_kw": None if one.power_kw is None else round(one.power_kw, 3),
            }
            for machine, one in self.machines_now().items()
        }


def _batch(samples: Columns) -> SampleBatch:
    return SampleBatch(samples.tag, samples.time, samples.value, samples.quality)


@dataclass(frozen=True, slots=True, eq=False)
class _Settled:
    """What the engine said in a tick; nothing where it was not asked."""

    changes: Changes | None = None
    beyond: SampleBatch = field(default_factory=SampleBatch.empty)
    checkpoint: tuple[bytes, int] | None = None
    archive: Mapping[int, bytes] = field(default_factory=dict)
    archive_from: int | None = None
    folded: bool = False
    folded_with: Prints | None = None
    behind: bool = False

    @property
    def elements(self) -> pl.DataFrame | None:
        """Rows for the journal, if there are any."""
        return self.changes.rows if self.changes is not None and len(self.changes.rows) else None

    @property
    def intervals(self) -> pl.DataFrame | None:
        """Intervals for the journal, if there are any."""
        return self.changes.intervals if self.changes is not None and len(self.changes.intervals) else None

    @property
    def measured(self) -> pl.DataFrame | None:
        """Statistics for the journal, if there are any."""
        return self.changes.measured if self.changes is not None and len(self.changes.measured) else None

    @property
    def decided(self) -> Decided | None:
        """Decisions for the journal, if there are any."""
        return None if self.changes is None else self.changes.decided
