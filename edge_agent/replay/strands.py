"""How one replay joins on to those before it, so that history in several runs gives the rows of one run over all of it.

A *strand* is a set of machines that were replayed together. The journal keeps blocks of it: samples, and what the
engine held where they begin, near the edges of what is covered (`edge_agent.journal.strands`).

Rule 1: new samples are replayed from the block on which they may change something, together with what is kept; behind
them, up to the end of the kept blocks that follow. So the first reading after an edge knows the last one before it.
Rule 2: what lies further from an edge than the correction horizon is not kept. New samples of such a time cannot be
put among those that were; this is counted and said.
Rule 3: where kept blocks end in the middle of what is covered, the rows of the last block are not written: what comes
after it is not in hand. Whether the engine came there as it did before, is found out and said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from config.compiled import CompiledPlant
from connectors.replay import QUARTER_NS, Run, united
from connectors.samples import Int64, SampleBatch
from edge_agent.journal import BlockFacts, JournalReader, StrandBlock, StrandTick
from edge_agent.plant_versions import prints_of
from kpi.bindings import NO_LIMIT
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.fold import Before
from kpi.packing import done_before, retagged
from kpi.plant import Machine
from kpi.stops import NO_STOP

Bool = npt.NDArray[np.bool_]

KEPT_SAMPLES: Final = 5_000_000
"""At an edge, at most so many samples are kept, or one bite: some fifty megabytes."""

LEAST_NEAR_NS: Final = 49 * HOUR_NS
"""What is kept at an edge is at least two bites, which are local days at most: the last block of an edge tells whether
the engine comes to its start as it did before."""

LINK: Final = "link of machine "
"""Name of the tag that a replay makes for a machine whose link is not in the files, with the machine's id behind it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What was replayed of a machine. runs: covered time. first, last: of its first and last sample, ns. made_with:
    fingerprint of its calendar and rules."""

    runs: tuple[Run, ...]
    first: int
    last: int
    made_with: str


@dataclass(frozen=True, slots=True, eq=False)
class Strand:
    """Machines that were replayed together. id: in the journal. tags: names, by the index that samples have."""

    id: int
    machines: Mapping[str, Covered]
    tags: tuple[str, ...]
    blocks: tuple[BlockFacts, ...]

    def facts(self) -> str:
        """As text for the journal, blocks apart."""
        machines = {
            name: {
                "runs": [[run.start, run.end] for run in one.runs],
                "first": one.first,
                "last": one.last,
                "made_with": one.made_with,
            }
            for name, one in self.machines.items()
        }
        return json.dumps({"machines": machines, "tags": list(self.tags)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of_facts(cls, id_: int, text: str, blocks: tuple[BlockFacts, ...]) -> Strand:
        """From what the journal holds."""
        facts: dict[str, Any] = json.loads(text)
        machines = {
            name: Covered(
                tuple(Run(start, end) for start, end in one["runs"]), one["first"], one["last"], one["made_with"]
            )
            for name, one in facts["machines"].items()
        }
        return cls(id_, machines, tuple(facts["tags"]), blocks)

    def stretches(self) -> list[Run]:
        """Time in which any of the machines is covered, ascending."""
        return united([run for one in self.machines.values() for run in one.runs])


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What new samples are put among.

    strand: None where nothing was replayed of the machines. blocks: kept ones that are replayed again, ascending.
    resumes: whether the first of them is where the replay begins. hold: ns; rows from there on are not written, None =
    all are. cut_off: whether the new samples begin in the middle of what is covered, and nothing is kept of it.
    """

    strand: Strand | None = None
    blocks: tuple[BlockFacts, ...] = ()
    resumes: bool = False
    hold: int | None = None
    cut_off: bool = False

    @property
    def start(self) -> int | None:
        """Where the replay begins, ns; None where the new samples say so."""
        return self.blocks[0].start if self.resumes else None

    @property
    def extents(self) -> list[Run]:
        """The time that the blocks cover."""
        return [Run(segment[0].start, segment[-1].end) for segment in segments(self.blocks)]

    @property
    def edges(self) -> list[int]:
        """Where blocks begin and end, ns, ascending: bites do, too."""
        return sorted({edge for one in self.blocks for edge in (one.start, one.end)})

    def covered(self, machine: str) -> Covered | None:
        """What was covered of a machine before."""
        return None if self.strand is None else self.strand.machines.get(machine)

    def neighbours(self, first: int, last: int) -> tuple[int | None, int | None]:
        """What samples from `first` to `last` (ns) join on to: the last minute before them, and the first after them.

        None where there is none, or where they lie within what is covered. At a hole, to a quarter of an hour.
        """
        stretches = [] if self.strand is None else self.strand.stretches()
        if any(run.start <= first and last < run.end for run in stretches):
            return None, None
        before = [run.end - MINUTE_NS for run in stretches if run.start <= first]
        after = [run.start for run in stretches if run.start > first]
        follows = any(after and block.start >= after[0] for block in self.blocks)
        return before[-1] if self.resumes and before else None, after[0] if follows else None

    def runs(self, machine: str) -> list[Run]:
        """Its covered time within the blocks; a run that goes on from before the first has its own start."""
        held = self.covered(machine)
        runs = []
        for extent in self.extents if held else ():
            for run in held.runs if held else ():
                start = run.start if extent.start == self.start else max(run.start, extent.start)
                if max(run.start, extent.start) < min(run.end, extent.end):
                    runs.append(Run(start, min(run.end, extent.end)))
        return runs


def segments(blocks: Sequence[BlockFacts]) -> list[list[BlockFacts]]:
    """Blocks in runs without a hole."""
    found: list[list[BlockFacts]] = []
    for block in blocks:
        if found and found[-1][-1].end == block.start:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def joint_of(
    strand: Strand,
    first: int,
    last: int,
    hour_of: Callable[[int], int],
    bridged_ns: int,
    begins_settled: Callable[[BlockFacts], bool],
) -> Joint:
    """Where new samples from `first` to `last` (ns) join on.

    hour_of: start of the journal's hour of a time. bridged_ns: over so much covered time of which nothing is kept new
    samples join on to what lies before it: where they take its place, they say that nothing was heard in it.
    begins_settled: whether an engine that goes on from a block says the same as one that came there
    (`stops_are_judged`).
    """
    covered = strand.stretches()
    kept = segments(strand.blocks)
    before = [segment for segment in kept if segment[0].start <= first]
    after = [segment for segment in kept if segment[0].start > first]
    resumed: list[BlockFacts] = []
    end = before[-1][-1].end if before else first
    if before and (first - end < bridged_ns or _nothing_between(covered, end, first)):
        resumed = _from_where_it_matters(before[-1], first, hour_of, begins_settled)
    reached = max(last, resumed[-1].end if resumed else last)
    blocks = list(resumed)
    for segment in after:
        if segment[0].start <= last or _nothing_between(covered, reached, segment[0].start):
            blocks += segment
            reached = max(reached, segment[-1].end)
    final = segments(blocks)[-1] if blocks else []
    is_inner = bool(final) and any(run.start < final[-1].end < run.end for run in covered)
    return Joint(
        strand,
        tuple(blocks),
        resumes=bool(resumed),
        hold=final[-1].start if is_inner and final[-1].end > last else None,
        cut_off=not resumed and any(run.start < first < run.end for run in covered),
    )


def _nothing_between(covered: Iterable[Run], start: int, end: int) -> bool:
    """Whether nothing is covered from `start` to `end`, of which the minute that `end` lies in is not asked about."""
    return not any(max(run.start, start) < min(run.end, end - end % MINUTE_NS) for run in covered)


def _from_where_it_matters(
    segment: list[BlockFacts], first: int, hour_of: Callable[[int], int], begins_settled: Callable[[BlockFacts], bool]
) -> list[BlockFacts]:
    reaches = [block for block in segment if block.start <= first][-1].reaches
    whole = [i for i, block in enumerate(segment) if i == 0 or hour_of(block.start) == block.start]
    early = [i for i in whole if i == 0 or segment[i].start <= reaches]
    # an engine that begins within a stop that turns out long would count its failure where it begins, once more
    return segment[next((i for i in reversed(early) if begins_settled(segment[i])), 0) :]


def stops_are_judged(state: bytes, machines: Sequence[Machine]) -> bool:
    """Whether no stop is open where a block begins whose length, or whose reason to come, may still change what it is.

    state: of the block, empty where an engine of its own begins there.
    """
    if not state:
        return True
    before = done_before(state)
    return not any(_is_unjudged(before[one.id], one) for one in machines if one.id in before)


def _is_unjudged(before: Before, machine: Machine) -> bool:
    limits = (NO_LIMIT if one is None else one for one in (machine.minor_stop_ns, machine.cycle_gap_ns))
    is_open = before.stops.unjudged(*(np.array([one], np.int64) for one in limits)).any()
    return bool(is_open) or (machine.reason_of_stop and bool((before.stand_since != NO_STOP).any()))


def joined(runs: Iterable[Run], gap_ns: int) -> list[Run]:
    """Runs as quarter hours, those together between which less than the gap is silent."""
    whole: list[Run] = []
    quarters = [Run(run.start // QUARTER_NS * QUARTER_NS, -(-run.end // QUARTER_NS) * QUARTER_NS) for run in runs]
    for run in sorted(quarters, key=lambda one: one.start):
        if whole and run.start - whole[-1].end < gap_ns:
            whole[-1] = Run(whole[-1].start, max(whole[-1].end, run.end))
        else:
            whole.append(run)
    return whole


def names_of(compiled: CompiledPlant) -> tuple[str, ...]:
    """Names of all tags that a replay's samples may have, by index: the plant's, and a link of each machine."""
    tags = [tag.name for tag in compiled.tags.tags]
    return (*tags, *(LINK + machine.id for machine in compiled.plant.machines))


def fingerprints(compiled: CompiledPlant) -> dict[str, str]:
    """Machine → what its rows depend on beside samples, in short."""
    return {
        name: "-".join(prints)
        for name, prints in prints_of(compiled.plant, [t.name for t in compiled.tags.tags]).items()
    }


class Keeping:
    """Says after each bite what of its strand is to be kept.

    strand: as it was, None where there was none. id: of the strand from now on; another one where only some of its
    machines are replayed. machines: ids. compiled: the plant as it is now. near_ns: how far from an edge is kept.
    """

    def __init__(
        self, strand: Strand | None, id_: int, machines: frozenset[str], compiled: CompiledPlant, near_ns: int
    ) -> None:
        self._strand = strand
        self._id = id_
        self._near_ns = near_ns
        self._made_with = fingerprints(compiled)
        held = {} if strand is None else strand.machines
        self._machines = {name: one for name, one in held.items() if name in machines}
        self._left = {name: one for name, one in held.items() if name not in machines}
        self._begun = False
        self._blocks = {} if strand is None else {one.start: one for one in strand.blocks}
        # blocks that stay as they are keep their numbering of tags, so new names go behind the old ones
        names = names_of(compiled)
        old = () if strand is None else strand.tags
        known = set(old)
        self._tags = (*old, *(name for name in names if name not in known))
        index = {name: i for i, name in enumerate(self._tags)}
        self._index = np.array([index[name] for name in names], np.int32)

    def cover(self, machine: str, runs: Iterable[Run], until: int, first: int, last: int) -> None:
        """A machine is covered in runs, as far as they lie before `until`; first, last: of its samples, ns."""
        before = self._machines.get(machine)
        came = [Run(run.start, min(run.end, until)) for run in runs if run.start < until]
        last = min(last, until - 1)
        if before is not None:
            first, last = min(first, before.first), max(last, before.last)
        held = () if before is None else before.runs
        self._machines[machine] = Covered(tuple(united([*held, *came])), first, last, self._made_with[machine])

    def ticks(self, start: int, end: int, block: StrandBlock | None, *, is_last: bool) -> list[StrandTick]:
        """What goes into the journal with the bite [start, end), ns. block: to be kept of it."""
        removed = [(start, end)]
        self._blocks = {at: one for at, one in self._blocks.items() if not start <= at < end}
        if block is not None:
            self._blocks[block.facts.start] = block.facts
        now = Strand(self._id, self._machines, self._tags, tuple(self._blocks.values()))
        if is_last:
            far = self._far(now, end)
            removed += [(at, at + 1) for at in far]
            block = None if block is not None and block.facts.start in far else block
        parts = self._parting()
        forked = None if not parts or self._strand is None else self._strand.id
        blocks = [] if block is None else [self._numbered(block)]
        return [*parts, StrandTick(self._id, now.facts(), forked, removed, blocks)]

    def _parting(self) -> list[StrandTick]:
        """At first, where other machines of the strand stay behind: without those that go."""
        is_first, self._begun = not self._begun, True
        if self._strand is None or not is_first or self._id == self._strand.id:
            return []
        return [StrandTick(self._strand.id, replace(self._strand, machines=self._left).facts())]

    def _far(self, now: Strand, end: int) -> set[int]:
        """Starts of the blocks that are near no edge, and not near where this replay ends."""
        edges = [edge for run in now.stretches() for edge in (run.start, run.end)]
        near = [Run(edge - self._near_ns, edge + self._near_ns) for edge in [*edges, end]]
        return {
            one.start for one in now.blocks if not any(one.start < zone.end and one.end > zone.start for zone in near)
        }

    def _numbered(self, block: StrandBlock) -> StrandBlock:
        def of(samples: SampleBatch) -> SampleBatch:
            return SampleBatch(self._index[samples.tag], samples.time, samples.value, samples.quality)

        state = retagged(block.state, dict(enumerate(self._index.tolist()))) if block.state else block.state
        return replace(block, state=state, known=of(block.known), samples=of(block.samples))


class Kept:
    """Blocks of a joint as today's plant has them. wanted: bool by today's tag; samples of others are left out.

    replaced: by tag, [first, last], ns: kept samples of that time are left out, since others take their place.
    """

    def __init__(
        self,
        reader: JournalReader,
        joint: Joint,
        tags: Sequence[str],
        wanted: Bool,
        replaced: tuple[Int64, Int64] | None = None,
    ) -> None:
        assert joint.strand is not None
        self._reader = reader
        self._strand = joint.strand
        self._blocks = joint.blocks
        index = {name: i for i, name in enumerate(tags)}
        self._now = np.array([index.get(name, -1) for name in joint.strand.tags], np.int32)
        self._wanted = wanted
        self._replaced = replaced

    def known(self) -> SampleBatch:
        """The last sample of each tag before the first block."""
        return self._of_now(self._block(self._blocks[0].start).known)

    def state_at(self, start: int) -> bytes:
        """The engine's state where a block begins; empty where an engine of its own begins there."""
        state = self._block(start).state
        return retagged(state, dict(enumerate(self._now.tolist()))) if state else state

    def samples(self) -> Iterator[SampleBatch]:
        """Those of the blocks, one after the other."""
        for one in self._blocks:
            batch = self._of_now(self._block(one.start).samples)
            if self._replaced is not None:
                first, last = self._replaced
                batch = batch.where((batch.time < first[batch.tag]) | (batch.time > last[batch.tag]))
            yield batch

    def _block(self, start: int) -> StrandBlock:
        return self._reader.strand_block(self._strand.id, start)

    def _of_now(self, samples: SampleBatch) -> SampleBatch:
        tag = self._now[samples.tag]
        known = tag >= 0
        known[known] = self._wanted[tag[known]]
        return SampleBatch(tag, samples.time, samples.value, samples.quality).where(known)


class KeptSamples:
    """Samples of kept blocks, stretch by stretch. blocks: in order of time; taken when they are needed."""

    def __init__(self, blocks: Iterable[SampleBatch]) -> None:
        self._blocks = iter(blocks)
        self._ahead: SampleBatch | None = None

    def until(self, end: int) -> SampleBatch:
        """All samples before `end` (ns) that were not given yet, in order of time."""
        found = []
        while (batch := self._ahead or next(self._blocks, None)) is not None:
            cut = int(np.searchsorted(batch.time, end))
            found.append(batch.where(np.arange(len(batch)) < cut))
            self._ahead = batch.where(np.arange(len(batch)) >= cut)
            if len(self._ahead):
                break
            self._ahead = None
        return SampleBatch.concat(found)


def without_known(fresh: SampleBatch, kept: SampleBatch) -> SampleBatch:
    """The kept samples that are not among the fresh ones."""
    columns = ("tag", "time", "value", "quality")
    tables = [pl.DataFrame({name: getattr(batch, name) for name in columns}) for batch in (kept, fresh)]
    at = tables[0].with_row_index().join(tables[1], on=list(columns), how="anti")["index"].to_numpy()
    mask = np.zeros(len(kept), np.bool_)
    mask[at] = True
    return kept.where(mask)


def in_order_of_time(batch: SampleBatch) -> SampleBatch:
    """The same samples; those of one time in the order that they have."""
    order = np.argsort(batch.time, kind="stable")
    return SampleBatch(batch.tag[order], batch.time[order], batch.value[order], batch.quality[order])
