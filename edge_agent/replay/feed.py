"""History into engines: bite by bite in order of time, with links, and with what was known before a hole.

Rule: an engine sees every sample once, in order of time, so nothing is ever late. The one thing that reaches back is a
meter, whose interval is known only with its next reading: that is looked up in the bite to come and given ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from config.compiled import CompiledPlant
from connectors.replay import History
from connectors.samples import Float64, Int64, SampleBatch, UInt8
from edge_agent.replay.archive import ArchiveFolder
from edge_agent.replay.plan import Bite, Plan, history_tags
from kpi.engine import Engine, Update

_NONE: Final = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """A bite, its samples in their units, and what they changed."""

    bite: Bite
    samples: SampleBatch
    update: Update


class Feed:
    """Runs the engine over a plan. scaled: values are in their units already."""

    def __init__(
        self, compiled: CompiledPlant, history: History, plan: Plan, archive: ArchiveFolder, *, scaled: bool
    ) -> None:
        tags = history_tags(compiled)
        self._history = history
        self._plan = plan
        self._archive = archive
        self._scale = None if scaled else compiled.tags.scale
        self._offset = compiled.tags.offset
        self._meter = tags.meter
        self._place = np.where(tags.group >= 0, plan.place[tags.group], -1).astype(np.int32)
        self._link = plan.link[plan.place >= 0]
        count = len(tags.names)
        self._last_time: Int64 = np.zeros(count, np.int64)
        self._last_value: Float64 = np.zeros(count)
        self._last_quality: UInt8 = np.zeros(count, np.uint8)
        self._holds = np.array([tag.signal != "link" for tag in compiled.tags.tags], np.bool_)
        self._engine = self._fresh()

    def __iter__(self) -> Iterator[Fed]:
        bites = self._plan.bites
        now = self._take(bites[0])
        for index, bite in enumerate(bites):
            following = bites[index + 1] if index + 1 < len(bites) else None
            if bite.opens:
                self._begin()
            coming = SampleBatch.empty() if following is None else self._take(following)
            ahead = np.zeros(len(coming), np.bool_)
            if following is not None and not following.opens:
                ahead = self._first_of_meters(coming)
            self._add(now, bite)
            self._give(coming.where(ahead))
            update = self._engine.advance(bite.end, self._archive)
            self._archive.keep(update.archive, bite.end - self._plan.reach_ns)
            self._note(now)
            yield Fed(bite, now, update)
            self._given = ahead
            now = coming

    def _take(self, bite: Bite) -> SampleBatch:
        batch = self._history.until(bite.end)
        if self._scale is None or not len(batch):
            return batch
        value = batch.value * self._scale[batch.tag] + self._offset[batch.tag]
        return SampleBatch(batch.tag, batch.time, value, batch.quality)

    def _fresh(self) -> Engine:
        self._given = np.empty(0, np.bool_)
        return Engine(self._plan.plant, horizon_ns=self._plan.reach_ns)

    def _begin(self) -> None:
        """An engine of its own after a hole; what was known of each tag goes on to hold."""
        self._archive.clear()
        self._engine = self._fresh()
        known = np.flatnonzero((self._last_time > _NONE) & self._holds).astype(np.int32)
        self._give(SampleBatch(known, self._last_time[known], self._last_value[known], self._last_quality[known]))

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

    def _links(self, samples: SampleBatch, bite: Bite) -> SampleBatch:
        """A machine's link comes up with its first sample after a silence, and goes down at the end of its run."""
        tag: list[int] = []
        time: list[int] = []
        value: list[float] = []
        openings: list[tuple[int, int]] = []
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
        while openings:
            since = np.full(len(self._plan.runs), np.iinfo(np.int64).max)
            of_each = dict(openings)  # a machine may open twice in a bite; then once in each turn
            since[list(of_each)] = list(of_each.values())
            machine = self._place[samples.tag]
            mine = (machine >= 0) & (samples.time >= since[machine])
            table = pl.DataFrame({"machine": machine[mine], "time": samples.time[mine]})
            yield from table.group_by("machine").agg(pl.col("time").min()).sort("machine").iter_rows()
            openings = [one for one in openings if of_each[one[0]] != one[1]]

    def _note(self, samples: SampleBatch) -> None:
        # in order of time the last assignment to a tag stands
        self._last_time[samples.tag] = samples.time
        self._last_value[samples.tag] = samples.value
        self._last_quality[samples.tag] = samples.quality
