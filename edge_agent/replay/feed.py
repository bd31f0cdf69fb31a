"""History into engines: bite by bite in order of time, with links, and with what was known before a hole.

Rule 1: an engine sees every sample once, in order of time, so nothing is ever late. The one thing that reaches back is
a meter, whose interval is known only with its next reading: that is looked up in the bite to come and given ahead.
Where the bite to come has none, and where a stop is open, rows are said anew by a later bite: up to when they are
final is said with each bite (`Fed.settled`).
Rule 2: what was kept of an earlier replay goes in again among the samples of the files, and is not of this count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from config.compiled import CompiledPlant
from connectors.replay import History
from connectors.samples import Float64, Int64, Quality, SampleBatch, UInt8
from edge_agent.journal import BlockFacts, StrandBlock
from edge_agent.replay.archive import ArchiveFolder
from edge_agent.replay.parts import Part
from edge_agent.replay.plan import Bite, history_tags
from edge_agent.replay.strands import KeptSamples, in_order_of_time, without_known
from kpi.bindings import NEVER, meters_of
from kpi.engine import Engine, Update
from kpi.plant import stop_limit_ns

_NONE: Final = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """A bite, the samples of the files in their units, and what they changed.

    block: the bite as it is kept for a replay that joins on; None where it is not near an edge. settled: int64 ns by
    machine of the plan; rows before it do not change any more.
    """

    bite: Bite
    samples: SampleBatch
    update: Update
    block: StrandBlock | None
    settled: Int64


class Feed:
    """Runs the engine over a part. scaled: values are in their units already. with_shared: whether samples that are of
    no machine are of this feed's count: where there are several, they are of one."""

    def __init__(
        self,
        compiled: CompiledPlant,
        history: History,
        part: Part,
        archive: ArchiveFolder,
        *,
        scaled: bool,
        with_shared: bool = True,
    ) -> None:
        tags = history_tags(compiled)
        plan = part.todo
        self._history = history
        self._plan = plan
        self._archive = archive
        self._lane = part.lane
        self._kept = part.kept
        self._kept_samples = KeptSamples(() if part.kept is None else part.kept.samples())
        self._counted = tags.group >= (-1 if with_shared else 0)
        is_scaled = scaled or bool((compiled.tags.scale == 1).all() and (compiled.tags.offset == 0).all())
        self._scale = None if is_scaled else compiled.tags.scale
        self._offset = compiled.tags.offset
        self._meter = tags.meter
        self._place = np.where(tags.group >= 0, plan.place[tags.group], -1).astype(np.int32)
        self._link = plan.link[plan.place >= 0]
        count = len(tags.names)
        self._last_time: Int64 = np.zeros(count, np.int64)
        self._last_value: Float64 = np.zeros(count)
        self._last_quality: UInt8 = np.zeros(count, np.uint8)
        self._holds = np.array([tag.signal != "link" for tag in compiled.tags.tags], np.bool_)
        self._longest_stop = max((stop_limit_ns(machine) for machine in plan.plant.machines), default=0)
        owned = [(i, one.tag) for i, machine in enumerate(plan.plant.machines) for one in meters_of(machine).values()]
        self._meter_machine = np.array([machine for machine, _ in owned], np.int32)
        self._meter_tag = np.array([tag for _, tag in owned], np.int32)
        self._last_reading: Int64 = np.zeros(count, np.int64)
        self._horizon = compiled.agent.correction_horizon_ns
        self._unheard: list[tuple[int, int]] = []
        """(machine, start) of runs that have begun, and no sample of them has come yet: bites may be short."""
        self._engine = self._fresh()
        self.came_out_the_same = True
        """Whether the engine came to where rows are held back (`Joint.hold`) as it did before."""

    def __iter__(self) -> Iterator[Fed]:
        bites = self._plan.bites
        now, all_now = self._take(bites[0])
        if self._kept is not None and self._plan.joint.resumes:
            self._note(self._kept.known())
        for index, bite in enumerate(bites):
            following = bites[index + 1] if index + 1 < len(bites) else None
            if bite.opens:
                self._begin(bite)
            self._compare(bite)
            block = self._block(bite, all_now)
            coming = all_coming = SampleBatch.empty()
            if following is not None:
                coming, all_coming = self._take(following)
            ahead = np.zeros(len(all_coming), np.bool_)
            if following is not None and not following.opens:
                ahead = self._first_of_meters(all_coming)
            self._add(all_now, bite)
            self._give(all_coming.where(ahead))
            update = self._engine.advance(bite.end, self._archive)
            self._archive.keep(update.archive, bite.end - self._plan.reach_ns)
            self._note(all_now)
            is_open = following is not None and not following.opens
            settled = (
                self._settled(bite.end, all_coming.where(ahead))
                if is_open
                else np.full(len(self._plan.plant.machines), NEVER, np.int64)
            )
            yield Fed(bite, now, update, block, settled)
            self._given = ahead
            now, all_now = coming, all_coming

    def _take(self, bite: Bite) -> tuple[SampleBatch, SampleBatch]:
        """Samples of the files in a bite, and those with the kept ones."""
        fresh = self._history.until(bite.end, self._lane)
        if self._scale is not None and len(fresh):
            value = fresh.value * self._scale[fresh.tag] + self._offset[fresh.tag]
            fresh = SampleBatch(fresh.tag, fresh.time, value, fresh.quality)
        counted = fresh if self._counted.all() else fresh.where(self._counted[fresh.tag])
        kept = self._kept_samples.until(bite.end)
        if not len(kept):
            return counted, fresh
        return counted, in_order_of_time(SampleBatch.concat([fresh, without_known(fresh, kept)]))

    def _fresh(self) -> Engine:
        self._given = np.empty(0, np.bool_)
        return Engine(self._plan.plant, horizon_ns=self._plan.reach_ns)

    def _begin(self, bite: Bite) -> None:
        """Go on from what was kept; after a hole an engine of its own: what was known of each tag holds on."""
        self._archive.clear()
        self._engine = self._fresh()
        goes_on = self._kept is not None and bite.start == self._plan.joint.start
        if self._kept is not None and goes_on and (state := self._kept.state_at(bite.start)):
            self._engine = Engine.restore(self._plan.plant, state, horizon_ns=self._plan.reach_ns)
            self._give(self._cut_links(bite))
            return
        self._give(self._known().where(self._holds[self._known().tag]))

    def _cut_links(self, bite: Bite) -> SampleBatch:
        """The links of machines that are not covered where the engine goes on: down until they are heard again."""
        down = [i for i, runs in enumerate(self._plan.runs) if not any(r.start < bite.start < r.end for r in runs)]
        return SampleBatch.of(self._link[down].tolist(), [bite.start] * len(down), [0.0] * len(down))

    def _known(self) -> SampleBatch:
        """The last sample of each tag so far."""
        known = np.flatnonzero(self._last_time > _NONE).astype(np.int32)
        return SampleBatch(known, self._last_time[known], self._last_value[known], self._last_quality[known])

    def _block(self, bite: Bite, samples: SampleBatch) -> StrandBlock | None:
        """The bite as it is kept; before anything of it was given to the engine."""
        if not bite.is_near:
            return None
        known = self._known()
        readings = known.time[self._meter[known.tag] & (known.time >= bite.start - self._horizon)]
        since = [] if self._engine.closed is None else self._engine.judged_to.tolist()
        reaches = min([bite.start - 2 * self._longest_stop, *since, *readings.tolist()])
        state = b"" if self._engine.closed is None else self._engine.state()
        return StrandBlock(BlockFacts(bite.start, bite.end, reaches, len(samples)), state, known, samples)

    def _compare(self, bite: Bite) -> None:
        if self._kept is not None and bite.start == self._plan.joint.hold:
            state = self._kept.state_at(bite.start)
            machines = [machine.id for machine in self._plan.plant.machines]
            self.came_out_the_same = bool(state) and self._engine.goes_on_like(state, machines, self._link)

    def _add(self, samples: SampleBatch, bite: Bite) -> None:
        self._give(samples.where(~self._given) if len(self._given) and self._given.any() else samples)
        self._give(self._links(samples, bite))

    def _give(self, batch: SampleBatch) -> None:
        if len(batch):
            self._engine.add(batch.tag, batch.time, batch.value, batch.quality)

    def _first_of_meters(self, samples: SampleBatch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which samples are the first reading of their meter, all of one time if there are several."""
        first = np.zeros(len(samples), np.bool_)
        readings = np.flatnonzero(self._meter[samples.tag])
        if len(readings):
            tag = samples.tag[readings]
            _, at = np.unique(tag, return_index=True)
            first_time = np.full(len(self._meter), np.iinfo(np.int64).max)
            first_time[tag[at]] = samples.time[readings[at]]
            first[readings] = samples.time[readings] == first_time[tag]
        return first

    def _settled(self, end: int, ahead: SampleBatch) -> Int64:
        """Up to when (ns) rows of each machine do not change any more by what comes after `end`, shape (machines,).

        ahead: readings of meters after the end that the engine has.
        """
        settled = self._engine.judged_to
        last = np.where(self._history.contents.last >= end, self._last_reading, 0)
        last[ahead.tag[ahead.quality == Quality.GOOD]] = 0
        last = last[self._meter_tag]
        known = last > _NONE
        np.minimum.at(settled, self._meter_machine[known], last[known])
        return np.maximum(settled, end - self._plan.rewrites_ns)

    def _links(self, samples: SampleBatch, bite: Bite) -> SampleBatch:
        """A machine's link comes up with its first sample after a silence, and goes down at the end of its run."""
        tag: list[int] = []
        time: list[int] = []
        value: list[float] = []
        openings = self._unheard
        for machine, runs in enumerate(self._plan.runs):
            for run, following in zip(runs, [*runs[1:], None], strict=True):
                if bite.start <= run.start < bite.end:
                    openings.append((machine, run.start))
                if following is not None and bite.start < run.end <= bite.end:
                    tag.append(int(self._link[machine]))
                    time.append(run.end)
                    value.append(0.0)
        for machine, first in self._firsts(samples, openings):
            tag.append(int(self._link[machine]))
            time.append(first)
            value.append(1.0)
        return SampleBatch.of(tag, time, value)

    def _firsts(self, samples: SampleBatch, openings: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """(machine, time of its first sample from then on) of each (machine, time) at which a run opens."""
        self._unheard = []
        while openings:
            since = np.full(len(self._plan.runs), np.iinfo(np.int64).max)
            of_each = dict(openings)  # a machine may open twice in a bite; then once in each turn
            since[list(of_each)] = list(of_each.values())
            machine = self._place[samples.tag]
            mine = (machine >= 0) & (samples.time >= since[machine])
            table = pl.DataFrame({"machine": machine[mine], "time": samples.time[mine]})
            yield from table.group_by("machine").agg(pl.col("time").min()).sort("machine").iter_rows()
            heard = set(table["machine"].to_list())
            self._unheard += [(machine, start) for machine, start in of_each.items() if machine not in heard]
            openings = [one for one in openings if of_each[one[0]] != one[1]]

    def _note(self, samples: SampleBatch) -> None:
        # in order of time the last assignment to a tag stands
        self._last_time[samples.tag] = samples.time
        self._last_value[samples.tag] = samples.value
        self._last_quality[samples.tag] = samples.quality
        readings = samples.where(self._meter[samples.tag] & (samples.quality == Quality.GOOD))
        self._last_reading[readings.tag] = readings.time
