"""What a replay is going to do: which machines, over which time, in which bites, and what the engine is told of links.

Rule 1: files say nothing of a connection, so where they do not hold its link tag, a machine counts as connected from
its first sample on, over every silence that is shorter than the gap.
Rule 2: a longer silence is not covered: nothing is said about it, and nothing that was said is touched.
Rule 3: a bite is a local day, or as many whole hours of the journal, or minutes, as fit into memory; it ends where what
was kept of an earlier replay (`edge_agent.replay.strands`) begins or ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from config.compiled import CompiledPlant, TagTable
from connectors.replay import QUARTER_NS, Contents, HistoryTags, Run, united
from connectors.samples import Int32, Int64
from edge_agent.replay.strands import KEPT_SAMPLES, LEAST_NEAR_NS, Joint, joined
from kpi.bindings import NEVER, meters_of
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Machine, Plant, Signal

MOST_SAMPLES: Final = 2_000_000
"""Samples of one bite, unless a minute has more. Two bites are in memory: one is replayed, the next looked into."""


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
    """A stretch [start, end), ns, that is replayed in one go.

    samples: about how many it has. next_start: of the bite after it; None for the last.
    opens: whether nothing is covered just before it, so that an engine of its own begins here. is_near: whether it is
    near an edge of what is covered, so that it is kept for a replay that joins on.
    """

    start: int
    end: int
    samples: int
    opens: bool
    next_start: int | None
    is_near: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A replay before it begins.

    plant: the machines that files speak of, with links as rule 1 says. place: index in the plant by the configuration's
    machine index, -1 where it is not among them. link: tag, by the configuration's index, of the link that is made for
    it. runs: covered time of each machine of the plant, in whole minutes. bites: in order of time. joint: what was
    replayed before; it covers from before the first bite on what it covers there.
    reach_ns: how far back something that comes may still change what was said: over the longest silence of a meter.
    """

    plant: Plant
    place: Int32
    link: Int32
    runs: tuple[tuple[Run, ...], ...]
    bites: tuple[Bite, ...]
    reach_ns: int
    joint: Joint

    @property
    def span(self) -> tuple[int, int]:
        """First and last edge of what is covered, ns."""
        return self.bites[0].start, self.bites[-1].end

    @property
    def rewrites_ns(self) -> int:
        """How far back (ns) from the end of a bite a later one may say rows anew."""
        return self.reach_ns + max(bite.end - bite.start for bite in self.bites)

    def covered(self, machine: Int32, time: Int64) -> npt.NDArray[np.bool_]:
        """Whether minutes are covered, and to be written, shape (n,).

        machine: index in `plant`; time: start of the minute, ns.
        """
        inside = np.zeros(len(time), np.bool_)
        for index, runs in enumerate(self.runs):
            mine = np.flatnonzero(machine == index)
            if len(mine):
                starts = np.array([run.start for run in runs], np.int64)
                ends = np.array([run.end for run in runs], np.int64)
                at = np.searchsorted(starts, time[mine], side="right") - 1
                inside[mine] = (at >= 0) & (time[mine] < ends[at])
        return inside if self.joint.hold is None else inside & (time < self.joint.hold)


def plan(
    compiled: CompiledPlant,
    contents: Contents,
    *,
    gap_ns: int,
    changes_only: bool,
    most_rows: int,
    hour_of: Callable[[int], int],
    day_end: Callable[[int], int],
    machines: Collection[str] | None = None,
    joint: Joint | None = None,
) -> Plan | None:
    """The plan for what was read; None where no file speaks of any machine.

    changes_only: values were recorded only when they changed, so none of them gets stale. most_rows: machine-minutes of
    a bite. hour_of: start of the journal's hour that a time lies in; day_end: end of its local day; all ns. machines:
    ids of those that are asked about, None = all. joint: what was replayed of them before; `contents` know of its
    samples.
    """
    joint = joint or Joint()
    every = compiled.plant.machines
    asked = [index for index, one in enumerate(every) if machines is None or one.id in machines]
    heard = [index for index in asked if contents.presence.runs(index, gap_ns)]
    if not heard:
        return None
    group = history_tags(compiled).group
    place = np.full(len(every), -1, np.int32)
    place[heard] = np.arange(len(heard), dtype=np.int32)
    link = len(compiled.tags) + np.arange(len(every), dtype=np.int32)
    plant = replace(
        compiled.plant,
        machines=tuple(_linked(every[i], int(link[i]), contents.count, changes_only=changes_only) for i in heard),
    )
    runs = tuple(
        tuple(
            _exact(
                _runs(index, every[index].id, contents, joint, gap_ns), contents, group == index, joint, every[index].id
            )
        )
        for index in heard
    )
    first = min(mine[0].start for mine in runs) if joint.start is None else joint.start
    last = max(mine[-1].end for mine in runs) if joint.hold is None else joint.edges[-1]
    stretches = united(
        [Run(max(run.start, first), min(run.end, last)) for mine in runs for run in mine if run.end > first]
    )
    cut = _Cut(contents, max(1, most_rows // len(heard)) * MINUTE_NS, hour_of, day_end, joint.edges)
    return Plan(
        plant=plant,
        place=place,
        link=link,
        runs=runs,
        bites=tuple(_bites(stretches, cut, near_ns(compiled), joint)),
        reach_ns=_reach(compiled, contents, plant),
        joint=joint,
    )


def _runs(index: int, machine: str, contents: Contents, joint: Joint, gap_ns: int) -> list[Run]:
    """In whole quarter hours."""
    return joined([*contents.presence.runs(index, gap_ns), *joint.runs(machine)], gap_ns)


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


def _exact(runs: list[Run], contents: Contents, mine: npt.NDArray[np.bool_], joint: Joint, machine: str) -> list[Run]:
    """Runs that begin and end with the machine's first and last minute, not with quarter hours."""
    mine = mine & (contents.count > 0)
    first, last = int(contents.first[mine].min()), int(contents.last[mine].max())
    if (before := joint.covered(machine)) is not None:
        first, last = min(first, before.first), max(last, before.last)
    first -= first % MINUTE_NS
    last += MINUTE_NS - last % MINUTE_NS
    return [Run(max(run.start, first), min(run.end, last)) for run in runs]


def _reach(compiled: CompiledPlant, contents: Contents, plant: Plant) -> int:
    silence = contents.meter_silence()
    horizon = compiled.agent.correction_horizon_ns
    if any(machine.reason_of_stop or machine.minor_stop_ns is not None for machine in plant.machines):
        return horizon  # a stop that is still to be judged may last through nights and weekends
    # a pause within the cycle, and a hole in it, are both shorter than the gap
    return max(min(silence, horizon), 2 * max((machine.cycle_gap_ns or 0 for machine in plant.machines), default=0))


def _bites(stretches: list[Run], cut: _Cut, near: int, joint: Joint) -> list[Bite]:
    bites: list[Bite] = []
    for stretch in stretches:
        start, opens = stretch.start, True
        mine: list[Bite] = []
        while start < stretch.end:
            end = cut.end(start, stretch.end)
            mine.append(Bite(start, end, cut.samples(start, end), opens, None))
            start, opens = end, False
        kept = _near(mine[::-1], near)
        if stretch.start != joint.start:
            kept |= _near(mine, near)
        bites += [replace(bite, is_near=bite.start in kept) for bite in mine]
    return [
        replace(bite, next_start=following.start if following else None)
        for bite, following in zip(bites, [*bites[1:], None], strict=True)
    ]


def near_ns(compiled: CompiledPlant) -> int:
    """How far from an edge of what is covered samples are kept."""
    return max(LEAST_NEAR_NS, compiled.agent.correction_horizon_ns)


def _near(bites: Sequence[Bite], near_ns: int) -> set[int]:
    """Starts of the bites that are near the one edge of the first: by time, and as many as may be kept."""
    near: set[int] = set()
    samples = time = 0
    for bite in bites:
        samples += bite.samples
        if len(near) > 1 and (samples > KEPT_SAMPLES or time >= near_ns):
            break
        near.add(bite.start)
        time += bite.end - bite.start
    return near


class _Cut:
    """Where bites end. longest_ns: what rows allow; samples of a quarter hour count as spread over it evenly.

    edges: where one has to end in any case, ns, ascending.
    """

    def __init__(
        self,
        contents: Contents,
        longest_ns: int,
        hour_of: Callable[[int], int],
        day_end: Callable[[int], int],
        edges: Sequence[int],
    ) -> None:
        self._edges = edges
        self._quarters, counts = contents.presence.counts()
        self._before = np.append(0, np.cumsum(counts))
        self._longest = longest_ns
        self._hour_of = hour_of
        self._day_end = day_end

    def samples(self, start: int, end: int) -> int:
        """About how many samples there are in [start, end), ns."""
        return self._until(end) - self._until(start)

    def _until(self, at: int) -> int:
        whole = bisect_right(self._quarters, at) - 1
        if whole < 0:
            return 0
        share = min(at - int(self._quarters[whole]), QUARTER_NS) / QUARTER_NS
        return int(self._before[whole] + share * (self._before[whole + 1] - self._before[whole]))

    def end(self, start: int, limit: int) -> int:
        """The end of the bite that begins at `start`: of the day, else on an hour, else on a minute."""
        following = bisect_right(self._edges, start)
        limit = min([limit, *self._edges[following : following + 1]])
        for end in (self._day_end(start), *self._hours(start), *self._minutes(start)):
            if self._fits(start, min(end, limit)):
                return min(end, limit)
        return min(start - start % MINUTE_NS + MINUTE_NS, limit)

    def _fits(self, start: int, end: int) -> bool:
        return end > start and end - start <= self._longest and self.samples(start, end) <= MOST_SAMPLES

    def _hours(self, start: int) -> Iterable[int]:
        last = self._hour_of(self._day_end(start))
        return range(last, self._hour_of(start), -HOUR_NS)

    @staticmethod
    def _minutes(start: int) -> Iterable[int]:
        minute = start - start % MINUTE_NS
        return range(minute + 59 * MINUTE_NS, minute, -MINUTE_NS)
