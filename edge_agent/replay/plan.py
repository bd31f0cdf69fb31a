"""What a replay is going to do: which machines, over which time, in which bites, and what the engine is told of links.

Rule 1: files say nothing of a connection, so where they do not hold its link tag, a machine counts as connected from
its first sample on, over every silence that is shorter than the gap.
Rule 2: a longer silence is not covered: nothing is said about it, and nothing that was said is touched.
Rule 3: a bite ends on a whole hour of the journal, and where it can on the end of a local day; it is small enough for
memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from config.compiled import CompiledPlant, TagTable
from connectors.replay import Contents, HistoryTags, Run, united
from connectors.samples import Int32, Int64
from kpi.bindings import NEVER, meters_of
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Machine, Plant, Signal

MOST_SAMPLES: Final = 2_000_000
"""Samples of one bite, unless an hour has more."""

LEAST_REACH_NS: Final = 2 * HOUR_NS


def history_tags(compiled: CompiledPlant) -> HistoryTags:
    """The plant's tags as files may name them: `machine.signal`, or the node or topic where that is of one tag only."""
    tags = compiled.tags.tags
    machines = {machine.id: index for index, machine in enumerate(compiled.plant.machines)}
    sources: dict[str, list[int]] = {}
    for index, tag in enumerate(tags):
        if tag.source and not _is_link(compiled.tags, index):
            sources.setdefault(tag.source, []).append(index)
    meter = np.zeros(len(tags), np.bool_)
    meter[[one.tag for machine in compiled.plant.machines for one in meters_of(machine).values()]] = True
    return HistoryTags(
        names=tuple(tag.name for tag in tags),
        text=np.array([tag.text for tag in tags], np.bool_),
        group=np.array(
            [-1 if _is_link(compiled.tags, i) else machines.get(tag.machine, -1) for i, tag in enumerate(tags)],
            np.int32,
        ),
        meter=meter,
        aliases={source: found[0] for source, found in sources.items() if len(found) == 1},
    )


def _is_link(tags: TagTable, index: int) -> bool:
    return tags.tags[index].signal == "link" and tags.tags[index].machine == tags.tags[index].connection


@dataclass(frozen=True, slots=True)
class Bite:
    """A stretch [start, end), ns, that is replayed in one go. next_start: of the bite after it; None for the last.

    opens: whether nothing is covered just before it, so that an engine of its own begins here.
    """

    start: int
    end: int
    samples: int
    opens: bool
    next_start: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A replay before it begins.

    plant: the machines that files speak of, with links as rule 1 says. place: index in the plant by the configuration's
    machine index, -1 where it is not among them. link: tag, by the configuration's index, of the link that is made for
    it. runs: covered time of each machine of the plant, in whole minutes. bites: in order of time.
    reach_ns: how far back something that comes may still change what was said: over the longest silence of a meter.
    """

    plant: Plant
    place: Int32
    link: Int32
    runs: tuple[tuple[Run, ...], ...]
    bites: tuple[Bite, ...]
    reach_ns: int

    @property
    def span(self) -> tuple[int, int]:
        """First and last edge of what is covered, ns."""
        return min(runs[0].start for runs in self.runs), max(runs[-1].end for runs in self.runs)

    def covered(self, machine: Int32, time: Int64) -> npt.NDArray[np.bool_]:
        """Whether minutes are covered, shape (n,). machine: index in `plant`; time: start of the minute, ns."""
        inside = np.zeros(len(time), np.bool_)
        for index, runs in enumerate(self.runs):
            mine = np.flatnonzero(machine == index)
            if len(mine):
                starts = np.array([run.start for run in runs], np.int64)
                ends = np.array([run.end for run in runs], np.int64)
                at = np.searchsorted(starts, time[mine], side="right") - 1
                inside[mine] = (at >= 0) & (time[mine] < ends[at])
        return inside


def plan(
    compiled: CompiledPlant,
    contents: Contents,
    *,
    gap_ns: int,
    changes_only: bool,
    most_rows: int,
    hour_of: Callable[[int], int],
    day_end: Callable[[int], int],
) -> Plan | None:
    """The plan for what was read; None where no file speaks of any machine.

    changes_only: values were recorded only when they changed, so none of them gets stale. most_rows: machine-minutes of
    a bite. hour_of: start of the journal's hour that a time lies in; day_end: end of its local day; all ns.
    """
    machines = compiled.plant.machines
    group = history_tags(compiled).group
    heard = [index for index in range(len(machines)) if contents.presence.runs(index, gap_ns)]
    if not heard:
        return None
    place = np.full(len(machines), -1, np.int32)
    place[heard] = np.arange(len(heard), dtype=np.int32)
    link = len(compiled.tags) + np.arange(len(machines), dtype=np.int32)
    plant = replace(
        compiled.plant,
        machines=tuple(_linked(machines[i], int(link[i]), contents.count, changes_only=changes_only) for i in heard),
    )
    runs = [contents.presence.runs(index, gap_ns) for index in heard]
    covered = tuple(tuple(_exact(mine, contents, group == index)) for index, mine in zip(heard, runs, strict=True))
    return Plan(
        plant=plant,
        place=place,
        link=link,
        runs=covered,
        bites=tuple(
            _bites(united([run for mine in runs for run in mine]), contents, len(heard), most_rows, hour_of, day_end)
        ),
        reach_ns=_reach(compiled, contents, plant),
    )


def _linked(machine: Machine, own: int, count: Int64, *, changes_only: bool) -> Machine:
    """The machine with a link of its own in place of each that the files do not hold."""

    def of(signal: Signal) -> Signal:
        stale = None if changes_only else signal.stale_after_ns
        known = signal.link is not None and count[signal.link] > 0
        if known:
            return replace(signal, stale_after_ns=stale)
        tag = own if signal.tag == signal.link else signal.tag  # a machine without a state has its link as signal
        return replace(signal, tag=tag, link=own, link_holds_ns=NEVER, stale_after_ns=stale)

    return replace(machine, state_signals=tuple(of(signal) for signal in machine.state_signals))


def _exact(runs: list[Run], contents: Contents, mine: npt.NDArray[np.bool_]) -> list[Run]:
    """Runs that begin and end with the machine's first and last minute, not with quarter hours."""
    mine = mine & (contents.count > 0)
    first, last = int(contents.first[mine].min()), int(contents.last[mine].max())
    first -= first % MINUTE_NS
    last += MINUTE_NS - last % MINUTE_NS
    return [Run(max(run.start, first), min(run.end, last)) for run in runs]


def _reach(compiled: CompiledPlant, contents: Contents, plant: Plant) -> int:
    meters = len(np.flatnonzero(history_tags(compiled).meter))
    silence = max((contents.meters.longest_silence(meter) for meter in range(meters)), default=0)
    stop = max((machine.minor_stop_ns or 0 for machine in plant.machines), default=0)
    return max(LEAST_REACH_NS, min(silence, compiled.agent.correction_horizon_ns), 2 * stop)


def _bites(
    stretches: list[Run],
    contents: Contents,
    machines: int,
    most_rows: int,
    hour_of: Callable[[int], int],
    day_end: Callable[[int], int],
) -> list[Bite]:
    quarters, counts = contents.presence.counts()
    before = np.append(0, np.cumsum(counts))
    longest = max(1, most_rows // machines * MINUTE_NS // HOUR_NS) * HOUR_NS

    def samples(start: int, end: int) -> int:
        first, last = bisect_left(quarters, start), bisect_left(quarters, end)
        return int(before[last] - before[first])

    bites: list[Bite] = []
    for stretch in stretches:
        start, opens = hour_of(stretch.start), True
        while start < stretch.end:
            day = day_end(start)
            last = min(day, start + longest)
            last = last if hour_of(last) == last else hour_of(last) + HOUR_NS  # a day need not end with an hour
            end = start + HOUR_NS
            while end < last and end < stretch.end and samples(start, end + HOUR_NS) <= MOST_SAMPLES:
                end += HOUR_NS
            bites.append(Bite(start, end, samples(start, end), opens, None))
            start, opens = end, False
    return [
        replace(bite, next_start=following.start if following else None)
        for bite, following in zip(bites, [*bites[1:], None], strict=True)
    ]
