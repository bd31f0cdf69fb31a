"""A replay from beginning to end: read the files, plan, run the engine over them, commit bite by bite, deliver.

Rule 1: the journal is held like an agent holds it, so no agent runs beside it. Its checkpoint and its sample log are
not touched: they are of the live engine, which goes on where it was as if nothing had happened. A replay's engines are
its own, and their rows land in the same tables.
Rule 2: what the agent has not settled yet is the agent's own: it says it again when it starts. Rows from there on are
not written, and counted.
Rule 3: a bite is one transaction. Ended in the middle, what was committed is right, and the next replay goes on: what
lies just before the end may still have to be said anew, and the journal remembers that it is a replay's.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from config.compiled import CompiledPlant
from connectors import ClockNs, TextCodes
from connectors.replay import SET_ASIDE, ClockStep, Contents, History, HistoryError, HistoryFault, ReplaySettings, Role
from edge_agent.assembly import RAW_NOTHING_TO_SAY, RAW_SAME_TIME, Cause
from edge_agent.forwarder import Forwarder
from edge_agent.health import REPLAYED, Health
from edge_agent.journal import Journal, JournalReader, OutboxEntry, OutboxKind, StrandTick, Tick
from edge_agent.kpi_windows import PlantDays
from edge_agent.named_rows import Names
from edge_agent.plant_facts import plant_facts, tag_facts
from edge_agent.points import Points
from edge_agent.replay.archive import ArchiveFolder
from edge_agent.replay.feed import Fed, Feed
from edge_agent.replay.parts import Joining, Part, lanes_of, strands_of
from edge_agent.replay.plan import Plan, history_tags, plan
from edge_agent.replay.rows import Chosen, RowChooser
from edge_agent.replay.strands import Joint
from edge_agent.replay.summary import MOST_UNKNOWN_SHOWN, ReplaySummary, UnknownTag
from edge_agent.replay.uncovered import not_covered
from edge_agent.replay.unfinished import STATUS, Unfinished
from edge_agent.replay.unsettled import Said
from edge_agent.replay.windows import ReplayPoints
from kpi.elements import HOUR_NS, MINUTE_NS

Compile = Callable[[TextCodes], CompiledPlant]

DEFAULT_GAP_NS: Final = 24 * HOUR_NS
LEAST_GAP_NS: Final = HOUR_NS

NOT_SETTLED: Final = "refused:not_settled_by_the_agent"
"""Samples of a time that a live agent of this journal has yet to settle."""

_MOST_ROWS: Final = 200_000
_MOST_ROWS_SENT: Final = 50_000  # their lines are in memory at once
_OUTBOX_SHARE: Final = 4  # a replay waits when the outbox is a quarter full: the rest is the agent's
_POLL_SECONDS: Final = 0.2
_SAMPLES_OF_MINUTES: Final = pl.Schema({"machine": pl.Utf8, "time": pl.Int64, "samples": pl.Int64})
_PATIENCE_SECONDS: Final = 30.0

Progress = Callable[[str, int, int], None]
"""Called with (`reading`, `replaying` or `sending`, how much is done, of how much)."""


class NothingToReplayError(Exception):
    """No row of the files is of this plant. The text says what was found; summary has the details."""

    def __init__(self, summary: ReplaySummary) -> None:
        super().__init__("no row of the files is of a machine of this plant")
        self.summary = summary


@dataclass(frozen=True, slots=True, eq=False)
class ReplayOptions:
    """How to replay. See `connectors.replay.ReplaySettings` for how files are read.

    journal: in place of the configured one. recompute: replace what was there. scaled: values are in their units.
    gap_ns: a silence of a machine from which on nothing is known of it; at least an hour, to a quarter of one.
    changes_only: values were recorded only when they changed, so `stale_after` says nothing about them.
    raw: samples go to the database too. patience_seconds: how long to wait for a database that takes nothing.
    """

    files: tuple[Path, ...]
    journal: Path | None = None
    recompute: bool = False
    scaled: bool = False
    gap_ns: int = DEFAULT_GAP_NS
    changes_only: bool = False
    raw: bool = False
    time_zone: str | None = None
    layout: Any = "auto"
    columns: dict[Role, str] = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)
    time_format: str | None = None
    decimal: Any = "auto"
    encoding: str | None = None
    patience_seconds: float = _PATIENCE_SECONDS


def replay(
    compile_plant: Compile,
    options: ReplayOptions,
    *,
    progress: Progress = lambda *_: None,
    clock: ClockNs = time.time_ns,
) -> ReplaySummary:
    """Replay files into a journal.

    compile_plant: as of `edge_agent.agent.Agent`. clock: ns; nothing later than it is believed.
    Raises JournalError where the journal cannot be used or an agent holds it, HistoryError where a file cannot be read,
    NothingToReplayError, ValueError where an option names what the plant does not have, OSError where the disk is full.
    """
    if options.gap_ns < LEAST_GAP_NS:
        raise ValueError("the gap must be at least 1 h")
    for file in options.files:  # before a journal is made for them
        if not file.is_file():
            raise HistoryError(file, "there is no such file", "check the path")
    began = time.perf_counter()
    texts = TextCodes()
    compiled = compile_plant(texts)
    path = Path(compiled.agent.journal) if options.journal is None else options.journal
    journal = _open(path, compiled)
    try:
        if known := journal.texts():
            texts = TextCodes(known)
            compiled = compile_plant(texts)
        with JournalReader(path) as reader, _scratch(path) as folder:
            run = _Replay(compiled, options, texts, journal, reader, Path(folder), progress, clock)
            summary = run.run()
    finally:
        journal.close()
    summary.seconds = time.perf_counter() - began
    return summary


def read_settings(compiled: CompiledPlant, options: ReplayOptions, now: int) -> ReplaySettings:
    """How the files are read. now: ns; what is later is not believed."""
    return ReplaySettings(
        files=options.files,
        tags=history_tags(compiled),
        time_zone=options.time_zone or compiled.timezone,
        latest=now + compiled.agent.future_tolerance_ns,
        layout=options.layout,
        columns=options.columns,
        mapping=options.mapping,
        time_format=options.time_format,
        decimal=options.decimal,
        encoding=options.encoding,
        all_or_none=options.recompute,
    )


def planned(
    compiled: CompiledPlant,
    contents: Contents,
    options: ReplayOptions,
    *,
    sends: bool,
    hour_offset: int = 0,
    machines: Collection[str] | None = None,
    joint: Joint | None = None,
) -> Plan | None:
    """The plan for what was read; None where it is of no machine. sends: whether points go to a database.

    machines, joint: as of `edge_agent.replay.plan.plan`.
    """
    days = PlantDays(compiled.timezone)
    return plan(
        compiled,
        contents,
        gap_ns=options.gap_ns,
        changes_only=options.changes_only,
        most_rows=_MOST_ROWS_SENT if sends else _MOST_ROWS,
        hour_of=lambda at: (at - hour_offset) // HOUR_NS * HOUR_NS + hour_offset,
        day_end=lambda at: days.day(at)[1],
        machines=machines,
        joint=joint,
    )


def _open(path: Path, compiled: CompiledPlant) -> Journal:
    settings = compiled.agent
    offset = datetime.now(ZoneInfo(compiled.timezone)).utcoffset() or timedelta()
    return Journal(
        path,
        most_bytes=settings.journal_most_bytes,
        tags=[tag.name for tag in compiled.tags.tags],
        tag_facts=tag_facts(compiled),
        keep_minutes_ns=settings.keep_minutes_ns,
        keep_hours_ns=settings.keep_hours_ns,
        hour_offset_ns=-int(offset.total_seconds()) * 1_000_000_000 % HOUR_NS,
    )


def _scratch(journal: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the journal, on a disk that is known to be one; what a killed replay left goes first."""
    prefix = f".{journal.name}.replay-"
    for left in journal.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=prefix, dir=journal.absolute().parent)


class _Replay:
    def __init__(
        self,
        compiled: CompiledPlant,
        options: ReplayOptions,
        texts: TextCodes,
        journal: Journal,
        reader: JournalReader,
        folder: Path,
        progress: Progress,
        clock: ClockNs,
    ) -> None:
        self._compiled = compiled
        self._options = options
        self._texts = texts
        self._journal = journal
        self._reader = reader
        self._folder = folder
        self._progress = progress
        self._now = clock()
        self._group = history_tags(compiled).group
        self._minutes_from, self._hour_offset = reader.kept()
        self._settled_to, self._live = _said_by_agent(reader)
        self._points = Points(compiled)
        self._unfinished = Unfinished.of(reader)
        self._windows = ReplayPoints(compiled, self._points, reader)
        if self._unfinished.unsaid is not None:
            self._windows.go_on(*self._unfinished.unsaid)
        self._decisions: Counter[str] = Counter()
        self._busy = self._unknown = 0
        self._not_settled = 0
        self._unbooked = pl.DataFrame(schema=_SAMPLES_OF_MINUTES)
        """Samples of minutes that are decided about later."""
        self._summary = ReplaySummary(compiled.timezone)

    def run(self) -> ReplaySummary:
        options, compiled, summary = self._options, self._compiled, self._summary
        parts, blocks = self._folder / "parts", self._folder / "blocks"
        parts.mkdir()
        blocks.mkdir()
        strands = strands_of(self._reader)
        lanes = lanes_of(compiled, strands)
        history = History(read_settings(compiled, options, self._now), self._texts, parts, lanes)
        contents = history.read(self._progress)
        self._describe(history, contents)
        self._say_what_is_missing(contents)
        joining = Joining(
            compiled, self._reader, history, contents, self._hour_of, gap_ns=options.gap_ns, recompute=options.recompute
        )
        plans = partial(planned, compiled, contents, options, sends=self._points.sends, hour_offset=self._hour_offset)
        todo = joining.parts(strands, plans)
        if not todo:
            raise NothingToReplayError(summary)
        summary.span = joining.span
        forwarder = None if compiled.influx is None else Forwarder(self._journal.path, compiled.influx)
        if forwarder is not None:
            forwarder.start()
        try:
            self._replay(history, contents, todo, blocks, forwarder)
            if forwarder is not None:
                self._drain(forwarder, down_to=0)
        finally:
            if forwarder is not None:
                forwarder.stop(5.0)
        self._conclude(contents)
        return summary

    def _hour_of(self, at: int) -> int:
        return (at - self._hour_offset) // HOUR_NS * HOUR_NS + self._hour_offset

    # Bites

    def _replay(
        self, history: History, contents: Contents, parts: Sequence[Part], blocks: Path, forwarder: Forwarder | None
    ) -> None:
        # the ledger's share of what became no sample goes with the first bite, so that every commit adds up
        ledger: Counter[str] = Counter()
        for fault in SET_ASIDE:
            ledger[f"refused:{fault}"] += contents.tally.counts[fault]
        ledger[Cause.RECEIVED] += contents.tally.set_aside
        self._minutes_from = max(self._hours_only_before(part.todo) for part in parts)
        done = 0
        for part in parts:
            archive = ArchiveFolder(blocks)
            replaced = self._summary.minutes_replaced
            feed = Feed(
                self._compiled, history, part, archive, scaled=self._options.scaled, with_shared=part is parts[0]
            )
            chooser, names = self._chooser(part), Names(part.todo.plant, self._texts.text)
            for fed in feed:
                self._commit(fed, part, chooser, names, ledger)
                ledger = Counter()
                done += len(fed.samples)
                self._progress("replaying", done, contents.samples)
                if forwarder is not None:
                    forwarder.wake()
                    self._drain(forwarder, down_to=self._compiled.agent.journal_most_bytes // _OUTBOX_SHARE)
            archive.clear()
            completed = self._summary.minutes_replaced - replaced
            self._say_how_it_joined(part, completed, came_out_the_same=feed.came_out_the_same)

    def _chooser(self, part: Part) -> RowChooser:
        return RowChooser(
            self._reader,
            part.machines,
            recompute=self._options.recompute,
            minutes_from=self._minutes_from,
            hour_offset=self._hour_offset,
            reach_ns=part.todo.rewrites_ns,
            own=[*part.own, *self._unfinished.last],
        )

    def _say_how_it_joined(self, part: Part, completed: int, *, came_out_the_same: bool) -> None:
        """completed: machine-minutes that were there and came out otherwise."""
        joint, notes = part.todo.joint, self._summary.notes
        if whom := self._joined_on_to(part, completed):
            ending = "" if self._options.recompute else f"; {completed:,} minutes completed"
            self._summary.joined.append(whom + ending)
        if joint.cut_off:
            notes.append(
                f"the files begin in the middle of what was replayed before ({self._local(part.first)}), too far from "
                "where that ends to join on, so what was known before is missing: replay all files in one command"
            )
        if joint.hold is not None and not came_out_the_same:
            notes.append(
                f"what was replayed before from {self._local(joint.hold)} on does not go on as from these "
                "files: replay what follows them again, with `--recompute`"
            )

    def _joined_on_to(self, part: Part, completed: int) -> str:
        before, after = part.todo.joint.neighbours(part.first, part.last)
        edges = [] if before is None else [f"{self._summary.local(before):%Y-%m-%d %H:%M}"]
        edges += [] if after is None else [f"what follows from {self._summary.local(after):%Y-%m-%d %H:%M}"]
        if edges:
            return "joined on to " + " and to ".join(edges)
        return "put among what was replayed before" if completed and part.todo.joint.blocks else ""

    def _local(self, at: int) -> str:
        return datetime.fromtimestamp(at // 1_000_000_000, ZoneInfo(self._compiled.timezone)).isoformat()

    def _hours_only_before(self, todo: Plan) -> int:
        """The hour before which the journal keeps no minutes once this replay is in it."""
        held = self._reader.span()
        newest = max(todo.span[1], held[1] if held else 0)
        return max(self._minutes_from, self._hour_of(newest - self._compiled.agent.keep_minutes_ns))

    def _commit(self, fed: Fed, part: Part, chooser: RowChooser, names: Names, ledger: Counter[str]) -> None:
        todo = part.todo
        over = fed.bite.next_start if fed.bite.next_start is not None else max(self._now, fed.bite.end)
        update = fed.update
        mine = self._covered(todo, update.elements["machine"], update.elements["time"])
        rows = names.elements(update.elements.filter(mine))
        start = update.intervals["start"]
        mine = self._covered(todo, update.intervals["machine"], start - start % MINUTE_NS)
        intervals = names.intervals(update.intervals.filter(mine))
        mine = self._covered(todo, update.measured["machine"], update.measured["time"])
        measured = names.measured(update.measured.filter(mine))
        begins = update.decided["time"]
        mine = self._covered(todo, update.decided["machine"], begins - begins % MINUTE_NS)
        said = Said(rows, intervals, measured, names.decisions(update.decided.filter(mine)))
        chosen = chooser.choose(said, dict(zip(part.machines, fed.settled.tolist(), strict=True)))
        following = fed.bite.next_start
        month_over = following is None or self._month(following) != self._month(fed.bite.start)
        outbox = self._windows.entries(chosen, over, month_over=month_over, goes_on=following is not None)
        outbox += self._raw(fed, ledger)
        self._book(fed, chosen, todo, ledger)
        self._count(fed, rows, chosen)
        self._summary.points_queued += sum(entry.points for entry in outbox)
        if not self._live:
            self._settled_to = max(self._settled_to, fed.bite.end)
        self._journal.commit(
            Tick(
                texts=self._texts.take_fresh(),
                outbox=outbox,
                elements=chosen.minutes,
                intervals=chosen.intervals.filter(pl.col("start") >= self._minutes_from),
                measured=chosen.measured,
                decided=chosen.decided,
                hours=chosen.hours,
                measured_hours=chosen.measured_hours,
                settled_to=None if self._live else self._settled_to,
                strands=self._kept(fed, part, chosen),
                ledger={cause: n for cause, n in ledger.items() if n},
                status=self._status(fed, part, chosen),
            )
        )

    def _kept(self, fed: Fed, part: Part, chosen: Chosen) -> list[StrandTick]:
        """What stays for a replay that joins on: nothing of a time whose rows are another's."""
        end = min(fed.bite.end, self._settled_to) if self._live else fed.bite.end
        is_ours = end == fed.bite.end and chosen.refused.is_empty()
        part.cover(end)
        is_last = fed.bite.next_start is None
        return part.keeping.ticks(fed.bite.start, fed.bite.end, fed.block if is_ours else None, is_last=is_last)

    def _month(self, at: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(at // 1_000_000_000, ZoneInfo(self._compiled.timezone))
        return local.year, local.month

    def _covered(self, todo: Plan, machine: pl.Series, minute: pl.Series) -> pl.Series:
        covered = todo.covered(machine.to_numpy(), minute.to_numpy())
        if self._live:
            covered &= minute.to_numpy() < self._settled_to
        return pl.Series(covered)

    def _raw(self, fed: Fed, ledger: Counter[str]) -> list[OutboxEntry]:
        encoded = self._points.signals(fed.samples, self._texts) if self._options.raw else None
        if encoded is None:
            return []
        ledger[RAW_SAME_TIME] += encoded.collisions
        ledger[RAW_NOTHING_TO_SAY] += encoded.without_fields
        return encoded.entries(OutboxKind.RAW)

    def _book(self, fed: Fed, chosen: Chosen, todo: Plan, ledger: Counter[str]) -> None:
        """Every sample under one cause: of the bite, but those of minutes that wait, and of those that waited."""
        decisions = fed.update.decisions
        self._decisions.update(decisions)
        count, as_before = self._decided_about(fed, chosen, todo)
        refused = int(np.count_nonzero(fed.samples.time >= self._settled_to)) if self._live else 0
        conflict = min(decisions.get("conflict", 0), count - refused)
        # links are of no machine: where no minute changed, neither did they
        known = count if chosen.said.is_empty() else as_before
        duplicate = min(known + decisions.get("duplicate", 0), count - refused - conflict)
        ledger[Cause.RECEIVED] += count
        ledger[NOT_SETTLED] += refused
        ledger[Cause.CONFLICT] += conflict
        ledger[Cause.DUPLICATE] += duplicate
        ledger[Cause.KEPT] += count - refused - conflict - duplicate
        self._summary.kept += count - refused - conflict - duplicate
        self._summary.duplicate += duplicate
        self._not_settled += refused

    def _decided_about(self, fed: Fed, chosen: Chosen, todo: Plan) -> tuple[int, int]:
        """How many samples are booked with this bite, and how many of them lie in minutes that stay as they were."""
        nothing_waits = chosen.waiting.is_empty() and self._unbooked.is_empty()
        if nothing_waits and (chosen.unsaid.is_empty() or chosen.said.is_empty()):
            return len(fed.samples), 0
        key = ["machine", "time"]
        samples = pl.concat([self._unbooked, self._by_minute(fed, todo)])
        self._unbooked = samples.join(chosen.waiting, on=key, how="semi")
        booked = samples.join(chosen.waiting, on=key, how="anti")
        as_before = booked.join(chosen.unsaid, on=key, how="semi")
        return int(booked["samples"].sum()), int(as_before["samples"].sum())

    def _by_minute(self, fed: Fed, todo: Plan) -> pl.DataFrame:
        """How many samples of the bite lie in each machine's minutes; those of no machine have none."""
        names = pl.Series([machine.id for machine in todo.plant.machines], dtype=pl.Utf8)
        place = np.where(self._group >= 0, todo.place[self._group], -1).astype(np.int32)[fed.samples.tag]
        samples = pl.DataFrame({"place": place, "time": fed.samples.time - fed.samples.time % MINUTE_NS})
        counted = samples.group_by("place", "time").agg(pl.len().cast(pl.Int64).alias("samples"))
        machine = pl.when(pl.col("place") >= 0).then(pl.lit(names).gather(pl.col("place").clip(0)))
        return counted.select(machine.alias("machine"), "time", "samples")

    def _count(self, fed: Fed, rows: pl.DataFrame, chosen: Chosen) -> None:
        summary = self._summary
        of_bite = pl.col("time").is_between(fed.bite.start, fed.bite.end, closed="left")
        summary.minutes_as_before += len(chosen.unsaid.filter(of_bite))
        waited = chosen.waited.filter(~of_bite)
        summary.minutes_as_before += len(chosen.unsaid.join(waited, on=["machine", "time"], how="semi"))
        summary.minutes_new += chosen.new
        summary.minutes_replaced += chosen.replaced
        summary.refused += len(chosen.refused)
        self._busy += int(rows["pbt"].sum())
        self._unknown += int(rows["unknown"].sum())

    def _status(self, fed: Fed, part: Part, chosen: Chosen) -> dict[str, str] | None:
        """How far this is, and what exports and boards need to know where no agent has said it."""
        end, unsaid = fed.bite.end, self._windows.unsaid
        start = min(fed.bite.start - part.todo.reach_ns, int(chosen.waiting["time"].min() or end))  # type: ignore[arg-type]
        is_end = part.is_last and fed.bite.next_start is None
        left = Unfinished.nothing() if is_end else self._unfinished.at(part.machines, start, end, unsaid)
        said: dict[str, Any] = {"plant": plant_facts(self._compiled), STATUS: left}
        if not self._live:
            agent = Health(started=self._now).snapshot(self._now)
            said["agent"] = {**agent, REPLAYED: True}
        return {name: json.dumps(value, ensure_ascii=False) for name, value in said.items()}

    # Delivery

    def _drain(self, forwarder: Forwarder, *, down_to: int) -> None:
        """Wait until the outbox holds no more than so many bytes, as long as the database takes something."""
        before = self._waiting()
        patience = time.monotonic() + self._options.patience_seconds
        while (waiting := self._waiting())[0] > down_to:
            if waiting[0] < before[0]:
                before, patience = waiting, time.monotonic() + self._options.patience_seconds
            if time.monotonic() > patience:
                if down_to == 0:
                    return
                raise DatabaseNotTakingError(forwarder.statistics().last_error)
            if down_to == 0:
                self._progress("sending", max(0, self._summary.points_queued - waiting[1]), self._summary.points_queued)
            time.sleep(_POLL_SECONDS)

    def _waiting(self) -> tuple[int, int]:
        """(bytes, points) that wait in the outbox."""
        depths = self._reader.outbox_depth().values()
        return sum(one.bytes for one in depths), sum(one.points for one in depths)

    # Words

    def _describe(self, history: History, contents: Contents) -> None:
        summary, tally = self._summary, contents.tally
        summary.files = contents.files
        summary.unread = [str(fault) for fault in contents.unread]
        summary.received, summary.samples = contents.received, contents.samples
        summary.faults = {str(fault): count for fault, count in sorted(tally.counts.items())}
        summary.examples = {str(fault): example for fault, example in tally.examples.items()}
        summary.unknown_tag_count = len(tally.unknown)
        summary.unknown_tags = [
            UnknownTag(name, rows, history.near(name)) for name, rows in tally.unknown.most_common(MOST_UNKNOWN_SHOWN)
        ]
        if contents.repeated:
            summary.notes.append(
                f"{contents.repeated:,} times lie in the hour that the clocks repeat in autumn; order told them apart"
            )
        if contents.clock_steps:
            summary.notes.append(self._about_clock_steps(contents.clock_steps))
        if tally.counts[HistoryFault.NONEXISTENT_TIME]:
            summary.notes.append(
                "some local times do not exist, as the clocks jump over them in spring: the files may be in another "
                "time zone, often UTC; `--time-zone` says which"
            )

    def _about_clock_steps(self, steps: Sequence[ClockStep]) -> str:
        step, zone = steps[0], self._options.time_zone or self._compiled.timezone
        before, after = (datetime.fromtimestamp(at // 1_000_000_000, UTC) for at in (step.before, step.after))
        files = step.file + (f" and {len(steps) - 1:,} more files" if len(steps) > 1 else "")
        return (
            f"times of {files} step back on {before:%Y-%m-%d} from {before:%H:%M:%S} to {after:%H:%M:%S}, where {zone} "
            "has no clock change: are they of another time zone? `--time-zone` says which"
        )

    def _say_what_is_missing(self, contents: Contents) -> None:
        """Machines, signals and time that the files say nothing of; before what was kept is put among them."""
        summary, gap = self._summary, self._options.gap_ns
        ids = [machine.id for machine in self._compiled.plant.machines]
        runs = {id_: contents.presence.runs(index, gap) for index, id_ in enumerate(ids)}
        heard = {id_: mine for id_, mine in runs.items() if mine}
        summary.machines = list(heard)
        summary.machines_without_history = [id_ for id_ in ids if id_ not in heard]
        summary.not_covered = not_covered(heard, gap)
        summary.silent_signals = [
            tag.name
            for tag, group, has_value in zip(
                self._compiled.tags.tags, self._group.tolist(), contents.has_value.tolist(), strict=True
            )
            if group >= 0 and ids[group] in heard and tag.signal != "link" and not has_value
        ]

    def _conclude(self, contents: Contents) -> None:
        summary, options = self._summary, self._options
        summary.decisions = {name: n for name, n in sorted(self._decisions.items()) if n}
        summary.known_share = 1 - self._unknown / self._busy if self._busy else None
        depths = self._reader.outbox_depth().values()
        summary.points_waiting = sum(one.points for one in depths)
        if summary.points_waiting:
            summary.notes.append(
                f"{summary.points_waiting:,} points wait in the journal; the agent sends them when it runs"
            )
        if self._not_settled:
            at = replace(summary, span=(self._settled_to, self._settled_to)).moments()
            summary.notes.append(
                f"{self._not_settled:,} samples are later than {at[0] if at else ''}, up to when the agent of this "
                "journal has settled its own figures; start it, stop it, and replay again"
            )
        if summary.refused:
            summary.notes.append(
                f"{summary.refused:,} minutes or hours differ from what these files say; what was there stays as it "
                "is, `--recompute` replaces it"
            )
        if not options.changes_only and summary.known_share is not None and summary.known_share < 0.5:
            summary.notes.append(
                "of more than half of the planned time nothing is known: values older than `stale_after` do not count; "
                "where the files hold changes only, say `--changes-only`"
            )


class DatabaseNotTakingError(Exception):
    """The outbox is as full as a replay may make it, and the database takes nothing."""


def _said_by_agent(reader: JournalReader) -> tuple[int, bool]:
    """Up to when figures were settled (ns), and whether a live agent said so."""
    agent = reader.status().get("agent")
    if agent is None:
        return 0, False
    settled = reader.settled_to()
    return settled - settled % MINUTE_NS, not agent.get(REPLAYED, False)
