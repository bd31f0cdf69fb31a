"""One step of the fold: the samples of a stretch of time → its element rows and state intervals.

Rule 1: everything that decides what a second counts as is in this file; states come from `states`, counts from
`counters`, energy from `energy`.
Rule 2: a pure function. The same samples and the same start give the same rows, to the bit; all sums are of integers.

What a second counts as (ISO 22400-2; the parts of ADET are the loss reasons that people ask for):
  producing, setup       APT, AUST, wherever they lie. Outside planned busy time they extend it: overtime is work that
                         someone decided to do, so availability cannot exceed 1.
  in planned busy time   starved, blocked, stopped, breakdown → ADET; idle, off → ADOT; maintenance; unknown
  planned, not busy      planned downtime, whatever the machine does
  else                   not planned
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from kpi.bindings import Bindings
from kpi.columns import GOOD, Bool, Columns, Float64, Index, Int32, Int64, Series
from kpi.counters import Verdict, deltas
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.energy import MeterEnergy, PowerEnergy
from kpi.plant import Quantity, State
from kpi.states import Segments, segments
from kpi.stops import NO_STOP, judged

_MILLIONTHS: Final = 1e6

_CATEGORIES: Final = (
    "apt", "aust", "starved", "blocked", "stopped", "breakdown", "adot", "maintenance", "unknown",
    "planned_downtime", "not_planned",
)  # fmt: skip
_PLANNED_DOWNTIME: Final = _CATEGORIES.index("planned_downtime")
_NOT_PLANNED: Final = _CATEGORIES.index("not_planned")
_DELAYS: Final = ("starved", "blocked", "stopped", "breakdown")
_BUSY: Final = _CATEGORIES[: _CATEGORIES.index("unknown") + 1]

_CATEGORY_OF: Final = np.array(
    [
        _CATEGORIES.index(
            {
                State.UNKNOWN: "unknown",
                State.PRODUCING: "apt",
                State.SETUP: "aust",
                State.STARVED: "starved",
                State.BLOCKED: "blocked",
                State.STOPPED: "stopped",
                State.BREAKDOWN: "breakdown",
                State.IDLE: "adot",
                State.MAINTENANCE: "maintenance",
                State.OFF: "adot",
            }[state]
        )
        for state in State
    ],
    np.int8,
)


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What machines did just before an instant, parallel columns: state int32 (`State`); stop_since int64 ns, when the
    stop began that is open, `NO_STOP` where none is."""

    state: Int32
    stop_since: Int64

    @classmethod
    def nothing(cls, machines: int) -> Before:
        """Before the beginning of all."""
        return cls(np.full(machines, State.UNKNOWN, np.int32), np.full(machines, NO_STOP, np.int64))

    def of(self, machines: Int32) -> Before:
        """Of some machines only."""
        return Before(self.state[machines], self.stop_since[machines])

    def with_part(self, machines: Int32, part: Before) -> Before:
        """With the values of some machines replaced."""
        state, stop_since = self.state.copy(), self.stop_since.copy()
        state[machines], stop_since[machines] = part.state, part.stop_since
        return Before(state, stop_since)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one step gives.

    elements, intervals: as `kpi.engine.Update`. highest: the readings with, for counters, the highest reading so far in
    place of the value: what a later stretch starts from. before: at each edge asked for, what was just before it.
    decisions: counts by name.
    """

    elements: pl.DataFrame
    intervals: pl.DataFrame
    highest: Columns
    before: list[Before]
    decisions: Counter[str]


def step(
    bindings: Bindings,
    samples: Columns,
    machines: Int32,
    before: Before,
    start: int,
    end: int,
    edges: Int64,
    count_from: int,
) -> Step:
    """Fold the samples of some machines over [start, end).

    samples: sorted by (tag, time), one a time, scaled; with the last sample of each tag before the start where there is
    one, and for meters the first after the end where there is one already. No bad samples of counters and products.
    machines: int32, ascending. before: parallel to machines, just before the start.
    edges: int64 ns within (start, end]: where `before` is asked for. count_from: ns; decisions before it were counted
    by an earlier step.
    """
    series = Series(samples, start, end, bindings.tags)
    parts = segments(bindings, series, machines, start, end)
    parts, stop_since = judged(parts, bindings.minor_stop, before.stop_since)
    row, keys = _rows(parts)
    count = len(keys.machine)
    columns = _times(parts, row, count)
    columns["fe"] = _failures(parts, row, count, before.state)
    highest, delta, decisions = _count_up(bindings, samples, count_from)
    unmapped = int(np.count_nonzero(parts.unmapped & (parts.start >= count_from)))
    if unmapped:
        decisions["unmapped_state"] = unmapped
    columns |= _pieces(bindings, parts, row, count, keys, highest, delta, start, end)
    columns |= _earned(bindings, keys, columns)
    columns |= _energy(bindings, parts, row, count, samples, highest, delta, start, end)
    elements = pl.DataFrame(
        {
            "machine": keys.machine,
            "time": keys.time,
            "shift": keys.shift,
            "shift_start": keys.shift_start,
            "product": keys.product,
            **{name: columns[name] for name in ELEMENT_IDS},
        }
    )
    return Step(elements, _intervals(parts), highest, _before(parts, stop_since, edges), decisions)


@dataclass(frozen=True, slots=True, eq=False)
class _Keys:
    """Key columns of the element rows."""

    machine: Int32
    time: Int64
    shift: Int32
    shift_start: Int64
    product: Int32


def _rows(parts: Segments) -> tuple[Index, _Keys]:
    """The row that each segment belongs to, and the rows' keys."""
    minute = parts.start - parts.start % MINUTE_NS
    order = np.lexsort((parts.product, parts.shift_start, minute, parts.machine))
    new = np.ones(len(order), np.bool_)
    new[1:] = np.logical_or.reduce(
        [
            column[order[1:]] != column[order[:-1]]
            for column in (parts.machine, minute, parts.shift_start, parts.product)
        ]
    )
    row = np.empty(len(order), np.intp)
    row[order] = np.cumsum(new) - 1
    at = order[new]
    return row, _Keys(parts.machine[at], minute[at], parts.shift[at], parts.shift_start[at], parts.product[at])


def _times(parts: Segments, row: Index, count: int) -> dict[str, Int64]:
    """Seconds (as ns) by category, and the planned times that contain them."""
    category = _CATEGORY_OF[parts.state]
    works = (parts.state == State.PRODUCING) | (parts.state == State.SETUP)
    category = np.where(parts.busy | works, category, np.where(parts.operation, _PLANNED_DOWNTIME, _NOT_PLANNED))
    kinds = len(_CATEGORIES)
    # Sums of nanoseconds of a minute stay far below 2**53, so floats hold them exactly.
    summed = np.bincount(row * kinds + category, weights=parts.end - parts.start, minlength=count * kinds)
    by_kind = summed.reshape(count, kinds).astype(np.int64)
    times = {name: by_kind[:, k] for k, name in enumerate(_CATEGORIES)}
    times["adet"] = sum((times[name] for name in _DELAYS), start=np.zeros(count, np.int64))
    times["pbt"] = sum((times[name] for name in _BUSY), start=np.zeros(count, np.int64))
    times["pot"] = times["pbt"] + times["planned_downtime"]
    times["calendar_time"] = times["pot"] + times["not_planned"]
    return times


def _failures(parts: Segments, row: Index, count: int, state_before: Int32) -> Int64:
    """How often each row's machine broke down, by the first instant of the breakdown."""
    down = parts.state == State.BREAKDOWN
    was_down = np.empty(len(down), np.bool_)
    was_down[1:] = down[:-1]
    was_down[parts.first] = state_before == State.BREAKDOWN
    return np.bincount(row[down & ~was_down], minlength=count).astype(np.int64)


def _count_up(bindings: Bindings, samples: Columns, count_from: int) -> tuple[Columns, Float64, Counter[str]]:
    """Samples with the highest reading so far in place of counters' values, what each adds, and how it was judged."""
    counts = bindings.is_counter[samples.tag] | bindings.is_energy[samples.tag]
    delta = np.zeros(len(samples))
    value = samples.value.copy()
    readings = samples.take(counts)
    delta[counts], value[counts], verdict = deltas(readings, bindings.modulus)
    tally = np.bincount(verdict[readings.time >= count_from], minlength=len(Verdict))
    decisions = Counter({f"counter_{v.name.lower()}": int(tally[v]) for v in Verdict if v and tally[v]})
    return Columns(samples.tag, samples.time, value, samples.quality), delta, decisions


def _pieces(
    bindings: Bindings,
    parts: Segments,
    row: Index,
    count: int,
    keys: _Keys,
    samples: Columns,
    delta: Float64,
    start: int,
    end: int,
) -> dict[str, Int64]:
    """Pieces (as millionths) by quantity element; what has no counter follows from what has."""
    counted: dict[Quantity, Int64] = {}
    inside = (delta != 0) & bindings.is_counter[samples.tag] & (samples.time < end)
    wanted = np.zeros(bindings.machines, np.bool_)
    wanted[parts.machines] = True
    tag, time, delta = samples.tag[inside], samples.time[inside], delta[inside]
    for quantity in Quantity:
        index, machine = bindings.counter_owners[quantity].expand(tag)
        index, machine = index[wanted[machine]], machine[wanted[machine]]
        at = row[parts.find(machine, np.maximum(time[index], start))]
        millionths = np.rint(delta[index] * _MILLIONTHS)
        counted[quantity] = np.bincount(at, weights=millionths, minlength=count).astype(np.int64)
    has = {quantity: bindings.has_counter[quantity][keys.machine] for quantity in Quantity}
    return _closed(counted, has)


def _closed(counted: dict[Quantity, Int64], has: dict[Quantity, Bool]) -> dict[str, Int64]:
    """Quantities that close: GQ + SQ + RQ = PQ, as far as the counters of the machine allow.

    Total and good give scrap, total and scrap give good, good and scrap give the total. Counters that are read at
    different times may give a negative part in one minute and the same more in the next: their sum is right.
    """
    total, good, scrap, rework = (counted[q] for q in (Quantity.TOTAL, Quantity.GOOD, Quantity.SCRAP, Quantity.REWORK))
    pq = np.where(has[Quantity.TOTAL], total, good + scrap + rework)
    gq = np.where(has[Quantity.GOOD], good, pq - scrap - rework)
    from_rest = has[Quantity.TOTAL] & has[Quantity.GOOD] & ~has[Quantity.SCRAP]
    sq = np.where(from_rest, pq - gq - rework, scrap)
    return {
        "pq": pq,
        "gq": gq,
        "sq": sq,
        "rq": rework,
        "ip": counted[Quantity.INSPECTED],
        "gp": counted[Quantity.FIRST_PASS],
    }


def _earned(bindings: Bindings, keys: _Keys, columns: dict[str, Int64]) -> dict[str, Int64]:
    """Earned time of all and of good pieces, and the production time for which none can be had."""
    pairs, where = np.unique(keys.machine.astype(np.int64) << 32 | (keys.product + 1), return_inverse=True)
    ideal = np.array([_ideal(bindings, int(p >> 32), int(p & 0xFFFFFFFF) - 1) for p in pairs])[where]
    rated = ~np.isnan(ideal)
    ideal = np.nan_to_num(ideal)
    return {
        "ideal_pq": np.rint(columns["pq"] * (ideal / _MILLIONTHS)).astype(np.int64),
        "ideal_gq": np.rint(columns["gq"] * (ideal / _MILLIONTHS)).astype(np.int64),
        "unrated": np.where(rated, 0, columns["apt"]),
    }


def _ideal(bindings: Bindings, machine: int, product: int) -> float:
    """Planned run time per item, ns; NaN where there is none, or where nothing counts the machine's pieces."""
    unit = bindings.plant.machines[machine]
    if not {Quantity.TOTAL, Quantity.GOOD, Quantity.SCRAP} & unit.counters.keys():
        return float("nan")
    ideal = unit.ideal_ns.get(product, unit.default_ideal_ns)
    return float("nan") if ideal is None else float(ideal)


def _energy(
    bindings: Bindings,
    parts: Segments,
    row: Index,
    count: int,
    samples: Columns,
    highest: Columns,
    delta: Float64,
    start: int,
    end: int,
) -> dict[str, Int64]:
    """Energy (mWh) of each row, from meters where there are any, else from power; in all and by what it went into."""
    metered = bindings.is_energy[samples.tag]
    meters = MeterEnergy(Series(highest.take(metered), start, end, bindings.tags), delta[metered])
    powered = bindings.is_power[samples.tag] & (samples.time < end)
    powers = PowerEnergy(Series(samples.take(powered), start, end, bindings.tags), bindings.power_gap)
    energy = np.zeros(len(parts.machine), np.int64)
    for source, tag_of in ((meters, bindings.energy_tag), (powers, bindings.power_tag)):
        tag = tag_of[parts.machine].astype(np.intp)
        mine = tag >= 0
        tag = tag[mine]
        energy[mine] = source.until(tag, parts.end[mine]) - source.until(tag, parts.start[mine])
    works = (parts.state == State.PRODUCING) | (parts.state == State.SETUP)
    idles = ~works & (parts.state != State.OFF) & (parts.state != State.UNKNOWN)
    return {
        "energy": np.bincount(row, weights=energy, minlength=count).astype(np.int64),
        "energy_working": np.bincount(row, weights=energy * works, minlength=count).astype(np.int64),
        "energy_idle": np.bincount(row, weights=energy * idles, minlength=count).astype(np.int64),
    }


def _intervals(parts: Segments) -> pl.DataFrame:
    """State intervals: segments joined where only the calendar cuts them."""
    minute = parts.start // MINUTE_NS
    new = np.ones(len(parts.start), np.bool_)
    new[1:] = np.logical_or.reduce([c[1:] != c[:-1] for c in (parts.machine, minute, parts.state, parts.product)])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(new)) - 1
    return pl.DataFrame(
        {
            "machine": parts.machine[begins],
            "start": parts.start[begins],
            "end": parts.end[ends],
            "state": parts.state[begins],
            "product": parts.product[begins],
        }
    )


def _before(parts: Segments, stop_since: Int64, edges: Int64) -> list[Before]:
    """What the machines did just before each edge."""
    at = [parts.find(parts.machines, np.full(len(parts.machines), edge - 1, np.int64)) for edge in edges.tolist()]
    return [Before(parts.state[i], stop_since[i]) for i in at]


def usable(bindings: Bindings, samples: Columns) -> Columns:
    """Samples without what can never count: bad readings of counters, meters and products."""
    needs_good = bindings.is_counter[samples.tag] | bindings.is_energy[samples.tag] | bindings.is_product[samples.tag]
    drop = needs_good & (samples.quality != GOOD)
    return samples.take(~drop) if drop.any() else samples
