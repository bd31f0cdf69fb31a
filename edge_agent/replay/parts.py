"""Which machines are replayed together: those of a strand of earlier replays, and those that are of none.

Rule 1: a machine joins on to what was kept of it. Machines that were replayed together so far go on together, others
one part after the other, each with an engine of its own: their history ends at different times.
Rule 2: with `recompute` the files take the place of what was kept of their time; else they add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import numpy as np

from config.compiled import CompiledPlant
from connectors.replay import Contents, History
from connectors.samples import Int32, Int64
from edge_agent.journal import BlockFacts, JournalReader
from edge_agent.replay.plan import Plan, history_tags, near_ns
from edge_agent.replay.strands import Joint, Keeping, Kept, Strand, fingerprints, joint_of, names_of, stops_are_judged
from kpi.elements import MINUTE_NS
from kpi.plant import stop_limit_ns

_NEVER: Final = np.iinfo(np.int64).max

Span = tuple[int, int]
"""First and last sample, ns."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Machines that are replayed together.

    lane: of the history. spans: samples of the files by machine. kept: what is put among them, None = nothing. own:
    (machine ids, start, end in ns) of rows that earlier replays wrote and this one may write again. is_last: of all
    parts of a replay.
    """

    lane: int
    spans: Mapping[str, Span]
    todo: Plan
    kept: Kept | None
    keeping: Keeping
    own: list[tuple[list[str], int, int]]
    is_last: bool = True

    @property
    def machines(self) -> list[str]:
        """Their ids, by the index that they have in the plan."""
        return [machine.id for machine in self.todo.plant.machines]

    @property
    def first(self) -> int:
        """The first sample of the files, ns."""
        return min(first for first, _ in self.spans.values())

    @property
    def last(self) -> int:
        """The last sample of the files, ns."""
        return max(last for _, last in self.spans.values())

    def cover(self, until: int) -> None:
        """Note that the machines are covered up to `until`, ns."""
        for machine, runs in zip(self.machines, self.todo.runs, strict=True):
            self.keeping.cover(machine, runs, until, *self.spans[machine])


class Plans(Protocol):
    """Makes the plan of some machines (ids) that join on to a joint; None where nothing is to be done."""

    def __call__(self, *, machines: Sequence[str], joint: Joint) -> Plan | None: ...


def strands_of(reader: JournalReader) -> list[Strand]:
    """What earlier replays kept."""
    return [Strand.of_facts(id_, *held) for id_, held in reader.strands().items()]


def lanes_of(compiled: CompiledPlant, strands: Sequence[Strand]) -> Int32:
    """By tag, the place of its machine's strand; that behind the last for machines of none, -1 for tags of none."""
    of = {machine: place for place, strand in enumerate(strands) for machine in strand.machines}
    lane = np.array([of.get(machine.id, len(strands)) for machine in compiled.plant.machines], np.int32)
    group = history_tags(compiled).group
    return np.where(group >= 0, lane[group], -1).astype(np.int32)


class Joining:
    """Puts what was read and what was kept together. hour_of: start of the journal's hour of a time, ns. gap_ns: as of
    `edge_agent.replay.run.ReplayOptions`."""

    def __init__(
        self,
        compiled: CompiledPlant,
        reader: JournalReader,
        history: History,
        contents: Contents,
        hour_of: Callable[[int], int],
        *,
        gap_ns: int,
        recompute: bool,
    ) -> None:
        self._compiled = compiled
        self._reader = reader
        self._history = history
        self._hour_of = hour_of
        self._gap_ns = gap_ns
        self._recompute = recompute
        self._group = history_tags(compiled).group
        self._spans: dict[int, Span] = {}
        for index in range(len(compiled.plant.machines)):
            mine = (self._group == index) & (contents.count > 0)
            if mine.any():
                self._spans[index] = int(contents.first[mine].min()), int(contents.last[mine].max())

    @property
    def span(self) -> Span | None:
        """First and last edge of the minutes that the files speak of, ns; None where they do not."""
        if not self._spans:
            return None
        first, last = min(one for one, _ in self._spans.values()), max(one for _, one in self._spans.values())
        return first - first % MINUTE_NS, last - last % MINUTE_NS + MINUTE_NS

    def parts(self, strands: Sequence[Strand], plans: Plans) -> list[Part]:
        """What is to be replayed, in the order of strands."""
        lanes = lanes_of(self._compiled, strands)
        fresh_id = max((strand.id for strand in strands), default=0) + 1
        parts = []
        for lane, strand in enumerate([*strands, None]):
            mine = {
                index: span for index, span in self._spans.items() if lanes[np.argmax(self._group == index)] == lane
            }
            if mine:
                parts.append(self._part(lane, strand, mine, plans, fresh_id + lane))
        return [replace(part, is_last=part is parts[-1]) for part in parts]

    def _part(self, lane: int, strand: Strand | None, spans: Mapping[int, Span], plans: Plans, fresh_id: int) -> Part:
        joint, kept = Joint(), None
        if strand is not None:
            first, last = min(one for one, _ in spans.values()), max(one for _, one in spans.values())
            bridged = self._gap_ns if self._recompute else 0
            settled = partial(self._begins_settled, strand, spans)
            joint = joint_of(strand, first, last, self._hour_of, bridged, settled)
            if joint.blocks:
                kept = self._kept(joint, spans)
        ids = {index: self._compiled.plant.machines[index].id for index in spans}
        todo = plans(machines=list(ids.values()), joint=joint)
        assert todo is not None, "machines with samples have a plan"
        is_whole = strand is not None and strand.machines.keys() <= set(ids.values())
        id_ = strand.id if strand is not None and is_whole else fresh_id
        return Part(
            lane,
            {ids[index]: span for index, span in spans.items()},
            todo,
            kept,
            Keeping(strand, id_, frozenset(ids.values()), self._compiled, near_ns(self._compiled)),
            [] if strand is None else self._own(strand, joint),
        )

    def _begins_settled(self, strand: Strand, spans: Mapping[int, Span], block: BlockFacts) -> bool:
        machines = [self._compiled.plant.machines[index] for index in spans]
        if not any(stop_limit_ns(one) or one.reason_of_stop for one in machines):
            return True
        return stops_are_judged(self._reader.strand_block(strand.id, block.start).state, machines)

    def _kept(self, joint: Joint, spans: Mapping[int, Span]) -> Kept:
        wanted = np.isin(self._group, [-1, *spans])
        wanted = np.append(wanted, np.zeros(len(self._compiled.plant.machines), np.bool_))
        replaced = self._replaced(spans) if self._recompute else None
        kept = Kept(self._reader, joint, names_of(self._compiled), wanted, replaced)
        for batch in kept.samples():
            self._history.note_kept(batch)
        if joint.resumes:
            self._history.note_known(kept.known())
        return kept

    def _replaced(self, spans: Mapping[int, Span]) -> tuple[Int64, Int64]:
        """By tag, the time of which the files take the place of what was kept, ns."""
        first = np.full(len(self._group), _NEVER)
        last = np.full(len(self._group), -_NEVER)
        for index, span in spans.items():
            first[self._group == index], last[self._group == index] = span
        return first, last

    def _own(self, strand: Strand, joint: Joint) -> list[tuple[list[str], int, int]]:
        """Rows near where this joins on, of machines whose rules and calendar are as they were; hours as a whole."""
        now = fingerprints(self._compiled)
        same = [name for name, one in strand.machines.items() if one.made_with == now.get(name)]
        return [(same, self._hour_of(extent.start), extent.end) for extent in joint.extents]
