"""What a journal still holds of how its elements came about: samples where they are held, else states and rows.

Rule 1: the journal is read only. What it cannot say is said to be missing, never made up.
Rule 2: with the plant file, samples say where each state and each count came from; without it, or where samples are no
longer held, states, rows and decisions about counters say what was counted, and all other reasons are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from config.compiled import CompiledPlant
from edge_agent.health import REPLAYED
from edge_agent.journal import JournalError, JournalReader
from kpi.bindings import Bindings
from kpi.columns import Columns
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.explain import Evidence, HeldSamples, Measurements, Span, evidence, held_samples, measurements, spans_of
from kpi.fold import ABLE
from kpi.plant import Machine, State

_NO_PLANT_FILE: Final = "no plant file was given, so signals and rules are not known: states, rows and decisions only"

_NOTHING_YET: Final = "the agent has kept no checkpoint yet: no minute is over"

_REPLAYED: Final = (
    "this was replayed, and a replay leaves samples in the files that they came from: states, rows and decisions only"
)

_LONGEST_FAILURE_NS: Final = 366 * 24 * HOUR_NS
"""How far back the beginning of a failure is looked for."""

_TOO_OLD: Final = (
    "samples are held as long as they can be corrected (`agent.correction_horizon`), and these are older: "
    "states, rows and decisions only"
)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What can be said of one machine and window.

    spans: in order; those before `samples_from` are of the journal's states. evidence: of the samples, from
    `samples_from` (ns) on; both None where no samples are held. why_not: why samples are missing for a part or for all;
    empty where they are held for all of it.
    """

    spans: tuple[Span, ...]
    evidence: Evidence | None
    samples_from: int | None
    why_not: str


@dataclass(frozen=True, slots=True, eq=False)
class FoundMeasured:
    """What can be said of one characteristic and window; names as of `Found`."""

    evidence: Measurements | None
    samples_from: int | None
    why_not: str


class JournalEvidence:
    """Asks a journal, within one snapshot of it.

    compiled: what the plant file says now, texts coded as in the journal; None where there is none. machines: those
    that will be asked about; their samples are read line by line, since a week of a large plant does not fit into
    memory.
    """

    def __init__(self, reader: JournalReader, compiled: CompiledPlant | None, machines: Sequence[Machine]) -> None:
        self._reader = reader
        self._compiled = compiled
        self._bindings = None if compiled is None else Bindings(compiled.plant)
        self._index = {} if compiled is None else {m.id: i for i, m in enumerate(compiled.plant.machines)}
        self.codes = reader.texts()
        self.settled_to = reader.settled_to()
        self._machines = machines
        self._samples_of: tuple[str, HeldSamples | None, str] | None = None

    @property
    def texts(self) -> Mapping[int, str]:
        """Code → text."""
        return {code: text for text, code in self.codes.items()}

    def of(self, machine: Machine, rows: pl.DataFrame, start: int, end: int) -> Found:
        """The evidence for one machine over [start, end), ns. rows: its element rows of that time."""
        index = self._index.get(machine.id)
        held, why_not = self._samples(machine.line)
        end = min(end, self.settled_to)
        if end <= start:
            return Found((), None, None, why_not)
        if held is None or index is None or self._bindings is None or held.start >= end:
            return Found(self._spans(machine, rows, start, end), None, None, why_not or _TOO_OLD)
        first = max(start, held.start)
        try:
            found = evidence(self._bindings, held, index, first, end)
        except (ValueError, JournalError) as fault:
            return Found(self._spans(machine, rows, start, end), None, None, f"{fault}")
        if first == start:
            return Found(found.spans, found, start, "")
        older = self._spans(machine, rows, start, first)
        return Found((*older, *found.spans), found, first, _TOO_OLD)

    def measured(self, machine: Machine, characteristic: int, start: int, end: int) -> FoundMeasured:
        """The values of one characteristic over [start, end), ns; characteristic: index in the plant file's machine."""
        index = self._index.get(machine.id)
        held, why_not = self._samples(machine.line)
        end = min(end, self.settled_to)
        if held is None or index is None or self._bindings is None or end <= max(start, held.start):
            return FoundMeasured(None, None, why_not or (_TOO_OLD if end > start else ""))
        first = max(start, held.start)
        try:
            found = measurements(self._bindings, held, index, characteristic, first, end)
        except (ValueError, JournalError) as fault:
            return FoundMeasured(None, None, f"{fault}")
        return FoundMeasured(found, first, "" if first == start else _TOO_OLD)

    def _samples(self, line: str) -> tuple[HeldSamples | None, str]:
        """Samples of the machines of a line that will be asked about; why there are none."""
        if self._samples_of is None or self._samples_of[0] != line:
            self._samples_of = (line, *self._read_samples(line))
        return self._samples_of[1:]

    def _read_samples(self, line: str) -> tuple[HeldSamples | None, str]:
        compiled = self._compiled
        if compiled is None or self._bindings is None:
            return None, _NO_PLANT_FILE
        tags = [tag.name for tag in compiled.tags.tags]
        recovery = self._reader.recover(tags)
        if recovery.checkpoint is None:
            replayed = self._reader.status().get("agent", {}).get(REPLAYED, False)
            return None, _REPLAYED if replayed else _NOTHING_YET
        tag_map = None if recovery.same_tags else dict(enumerate(recovery.old_to_new.tolist()))
        since = recovery.samples
        samples = Columns(since.tag, since.time, since.value, since.quality)
        machines = np.array(sorted(self._index[one.id] for one in self._machines if one.line == line), np.int32)
        try:
            held = held_samples(
                self._bindings,
                recovery.checkpoint,
                samples,
                self._reader.archive(tags),
                self.settled_to,
                tag_map,
                machines,
            )
        except ValueError as fault:
            return None, f"the samples cannot be read: {fault}"
        if held is None:
            return None, "the journal holds no samples"
        return held, ""

    def _spans(self, machine: Machine, rows: pl.DataFrame, start: int, end: int) -> tuple[Span, ...]:
        """Spans of the journal's state intervals."""
        held = self._reader.intervals(start, end, [machine.id])
        inside = held.filter(pl.col("end") > start).select(
            pl.col("start").clip(lower_bound=start),
            pl.col("end").clip(upper_bound=end),
            "state",
            self._coded(held, "product"),
            self._coded(held, "reason"),
        )
        # Where the plant file is not at hand: work outside planned busy time was counted apart if any was.
        apart = machine.overtime_apart or bool((rows["overtime"] != 0).any())
        down, counted = self._failure_before(machine, start)
        return spans_of(
            inside, machine.calendar, start, end, overtime_apart=apart, down_before=down, counted_before=counted
        )

    def _failure_before(self, machine: Machine, start: int) -> tuple[bool, bool]:
        """Whether a failure is open at the start, and whether it was counted before."""
        reach, at = MINUTE_NS, start
        while True:
            held = self._reader.intervals(start - reach, start, [machine.id]).filter(pl.col("start") < start)
            for begin, end, state in held.select("start", "end", "state").reverse().iter_rows():
                if end < at or ABLE[state]:
                    break
                at = min(at, begin)
            else:
                if len(held) and at < start and reach <= _LONGEST_FAILURE_NS:
                    reach *= 4
                    continue
            break
        nothing = pl.lit(-1, pl.Int32)
        since = held.filter(pl.col("start") >= at).with_columns(product=nothing, reason=nothing)
        spans = spans_of(since, machine.calendar, at, start, overtime_apart=False)
        return any(span.state is State.BREAKDOWN for span in spans), any("ttr" in span.elements for span in spans)

    def _coded(self, held: pl.DataFrame, column: str) -> pl.Expr:
        if column not in held.columns:
            return pl.lit(-1, pl.Int32).alias(column)
        return pl.col(column).replace_strict(self.codes, default=-1, return_dtype=pl.Int32).alias(column)


def sums(rows: pl.DataFrame) -> dict[str, int]:
    """Stored integers of all elements, added up."""
    return {
        element: int(amount) for element, amount in rows.select(pl.col(ELEMENT_IDS).sum()).row(0, named=True).items()
    }
