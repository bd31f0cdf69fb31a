"""One step of the fold: the samples of a stretch of time → its element rows and state intervals.

Rule 1: everything that decides what a second counts as is in this file; states come from `states`, counts from
`counters` and `pieces`, energy from `energy`.
Rule 2: a pure function. The same samples and the same start give the same rows, to the bit; all sums are of integers.

What a second counts as (ISO 22400-2; the parts of ADET are the loss reasons that people ask for):
  producing, setup       APT, AUST, wherever they lie. Outside planned busy time they extend it: overtime is work that
                         someone decided to do, so availability cannot exceed 1. Where the machine counts overtime apart
                         it stays planned downtime or time not planned, and its pieces have an element of their own.
  planned stop or        planned downtime within planned time: it makes planned busy time shorter
  planned maintenance
  in planned busy time   starved, blocked, stopped, breakdown → ADET; idle, off → ADOT; maintenance → CMT; unknown
  planned, not busy      planned downtime, whatever the machine does
  else                   not planned
Maintenance, corrective and planned, also counts as such wherever it lies (ACMT, APMT). Where the calendar says that
maintenance is planned, a machine that does not work is maintained as planned, whatever its state says.

A failure begins with a breakdown and lasts until the machine shows that it can do its job: it works, sets up, is idle,
or waits for material. Maintenance, lost data, a machine switched off and a reset that does not help lie within it.
It counts where it first costs planned busy time, and its breakdown and maintenance in planned busy time are the time to
restore it (TTR): mean times are of failures and seconds of one base. A failure that begins and ends outside planned
busy time is none, one that spans a break is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kpi.bindings import ELECTRICITY, METERED, NEVER, Bindings
from kpi.columns import GOOD, UNCERTAIN, Bool, Columns, Float64, Index, Int32, Int64, Series, UInt8
from kpi.counters import NOTHING, Counted, Verdict, deltas
from kpi.decisions import decision_rows
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.energy import MeterEnergy, PowerEnergy
from kpi.last_sent import with_last_sent
from kpi.measured import statistics
from kpi.pieces import NO_GAP, Readings, Silence, after_gap, closed, readings, silence
from kpi.plant import EnergyFactor, Quantity, State
from kpi.standstills import Standstills, with_reasons
from kpi.states import NO_CODE, Segments, segments
from kpi.stops import NO_STOP, OpenStops, judged, reasoned
from kpi.switch import switched

Int8 = npt.NDArray[np.int8]

_MILLIONTHS: Final = 1e6

CATEGORIES: Final = (
    "apt", "aust", "starved", "blocked", "stopped", "breakdown", "adot", "cmt", "unknown",
    "pmt", "planned_downtime", "overtime", "not_planned",
    "acmt_downtime", "apmt_downtime", "acmt_not_planned", "apmt_not_planned", "overtime_downtime",
)  # fmt: skip
"""Every instant of a machine is of exactly one of these; `composed` says which elements it counts in. The last five are
maintenance, corrective and planned, in planned downtime and in time not planned, and overtime in planned downtime."""
_PRODUCTION: Final = CATEGORIES.index("apt")
_SETUP: Final = CATEGORIES.index("aust")
_BREAKDOWN: Final = CATEGORIES.index("breakdown")
_CORRECTIVE: Final = CATEGORIES.index("cmt")
_PLANNED_DOWNTIME: Final = CATEGORIES.index("planned_downtime")
_PLANNED_MAINTENANCE: Final = CATEGORIES.index("pmt")
_OVERTIME: Final = np.array([CATEGORIES.index("overtime_downtime"), CATEGORIES.index("overtime")], np.int8)
_NOT_PLANNED: Final = CATEGORIES.index("not_planned")
_MAINTAINED: Final = np.array([CATEGORIES.index("acmt_downtime"), CATEGORIES.index("acmt_not_planned")], np.int8)
_SERVICED: Final = np.array([CATEGORIES.index("apmt_downtime"), CATEGORIES.index("apmt_not_planned")], np.int8)
_DELAYS: Final = ("starved", "blocked", "stopped", "breakdown")
_BUSY: Final = CATEGORIES[: CATEGORIES.index("unknown") + 1]

_CATEGORY_OF: Final = np.array(
    [
        CATEGORIES.index(
            {
                State.UNKNOWN: "unknown",
                State.PRODUCING: "apt",
                State.SETUP: "aust",
                State.STARVED: "starved",
                State.BLOCKED: "blocked",
                State.STOPPED: "stopped",
                State.BREAKDOWN: "breakdown",
                State.IDLE: "adot",
                State.MAINTENANCE: "cmt",
                State.OFF: "adot",
                State.PLANNED_MAINTENANCE: "pmt",
                State.PLANNED_STOP: "planned_downtime",
            }[state]
        )
        for state in State
    ],
    np.int8,
)
ABLE: Final = np.isin(np.array(list(State)), [State.PRODUCING, State.SETUP, State.IDLE, State.STARVED, State.BLOCKED])
"""By state: whether it shows that the machine can do its job, so that no failure is open."""


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What machines did just before an instant, parallel columns.

    state: int32 (`State`). stop_since, stop_seen, stop_lost: int64 ns, worked: bool, the stop that is open, as
    `kpi.stops.OpenStops`. stand_since: int64 ns, stand_reason: int32, the standstill that is open, as
    `kpi.standstills.Standstills`. down: bool, whether a failure is open; failed: whether it was counted. silent: int64
    ns, production time since a piece counter rose, as `kpi.pieces.Silence.at_end`. gap: int64 ns, when data was last
    missing, `NO_GAP` where it never was; what it says tells readings apart, and changes no element.
    """

    state: Int32
    stop_since: Int64
    stop_seen: Int64
    stop_lost: Int64
    worked: Bool
    stand_since: Int64
    stand_reason: Int32
    down: Bool
    failed: Bool
    silent: Int64
    gap: Int64

    @classmethod
    def nothing(cls, machines: int) -> Before:
        """Before the beginning of all."""
        return cls(
            np.full(machines, State.UNKNOWN, np.int32),
            np.full(machines, NO_STOP, np.int64),
            np.full(machines, NO_STOP, np.int64),
            np.zeros(machines, np.int64),
            np.zeros(machines, np.bool_),
            np.full(machines, NO_STOP, np.int64),
            np.full(machines, NO_CODE, np.int32),
            np.zeros(machines, np.bool_),
            np.zeros(machines, np.bool_),
            np.zeros(machines, np.int64),
            np.full(machines, NO_GAP, np.int64),
        )

    @classmethod
    def of_columns(cls, columns: Mapping[str, npt.NDArray[np.generic]], machines: int) -> Before:
        """From columns by name, as an earlier or later version kept them.

        One that this version does not know is passed over; one that is not there has its value of the beginning, but
        an open breakdown of a version that did not say so was counted when it began.
        """
        before = cls.nothing(machines)
        found = {f.name: columns.get(f.name, getattr(before, f.name)) for f in fields(cls)}
        for name in {"failed", "down"} - columns.keys():
            found[name] = found["state"] == State.BREAKDOWN
        return cls(**{f.name: found[f.name].astype(getattr(before, f.name).dtype) for f in fields(cls)})

    @property
    def stops(self) -> OpenStops:
        """The stops that are open."""
        return OpenStops(self.stop_since, self.stop_seen, self.stop_lost, self.worked)

    @property
    def standstills(self) -> Standstills:
        """The standstills that are open."""
        return Standstills(self.stand_since, self.stand_reason)

    def of(self, machines: Int32 | Index) -> Before:
        """Of some machines only, by their place in the columns."""
        return Before(*(getattr(self, f.name)[machines] for f in fields(self)))

    def with_part(self, machines: Int32, part: Before) -> Before:
        """With the values of some machines replaced."""
        whole = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, column in whole.items():
            column[machines] = getattr(part, name)
        return Before(**whole)

    def gives_the_same(self, other: Before) -> bool:
        """Whether the same samples give the same element rows after either."""
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in _DECIDING)


_DECIDING: Final = tuple(f.name for f in fields(Before) if f.name != "gap")
"""Columns of `Before` on which element rows depend."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one step gives.

    elements, intervals, measured: as `kpi.engine.Update`. carried: the samples as a later stretch starts from them:
    those of counters with the highest reading so far in place of the value, but after a fall that is not judged yet as
    it is. stands_on: intp, parallel to them: the sample that is to be carried beside it, -1 where none is. before: at
    each edge asked for, what was just before it. decisions: counts by name; decided: those about counters, as
    `kpi.decisions`.
    """

    elements: pl.DataFrame
    intervals: pl.DataFrame
    measured: pl.DataFrame
    carried: Columns
    stands_on: Index
    before: list[Before]
    decisions: Counter[str]
    decided: pl.DataFrame


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
    found = working(bindings, samples, machines, before, start, end)
    row, keys = _rows(found.parts)
    count = len(keys.machine)
    columns = _times(found, row, count)
    columns["fe"] = np.bincount(row[found.failures.begins], minlength=count).astype(np.int64)
    lasts = np.where(found.failures.costs, found.parts.end - found.parts.start, 0)
    columns["ttr"] = _summed(row, lasts, count)
    in_production = found.category == _PRODUCTION
    columns["uncounted"] = _summed(row[in_production], found.silence.uncounted[in_production], count)
    columns |= _pieces(bindings, found, row, count, keys)
    columns |= _earned(bindings, keys, columns, _not_read(bindings, found.samples, keys))
    columns |= {element: _summed(row, used, count) for element, used in metered(bindings, found, start, end).items()}
    columns |= _equivalents(bindings.plant.factors, keys.time, columns)
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
    return Step(
        elements,
        _intervals(found.parts),
        statistics(bindings, found.samples, machines, start, end),
        _carried(found),
        found.stands_on,
        _before(found, edges),
        _decisions(bindings, found, machines, count_from),
        decision_rows(bindings, found, machines, start, end),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """Of each segment, bool, shape (n,).

    begins: whether a failure first costs planned busy time here. costs: whether it is breakdown or maintenance of a
    failure in planned busy time. is_open: whether a failure is open in it; counted: whether that one has begun to cost.
    """

    begins: Bool
    costs: Bool
    is_open: Bool
    counted: Bool

    @classmethod
    def of(cls, parts: Segments, category: Int8, down_before: Bool, counted_before: Bool) -> Failures:
        """category: of each segment. down_before, counted_before: parallel to `parts.machines`, as in `Before`."""
        down = parts.state == State.BREAKDOWN
        if not down.any() and not down_before.any():
            return cls(down, down, down, down)
        is_open = _open_failures(parts, down, down_before)
        begun = is_open.copy()
        begun[1:] &= ~is_open[:-1]
        begun[parts.first] = is_open[parts.first]
        costs = is_open & ((category == _BREAKDOWN) | (category == _CORRECTIVE))
        before = np.cumsum(costs) - costs
        base = before.copy()
        base[parts.first] -= counted_before & down_before  # one that was counted before is one more since it began
        before -= base[np.maximum.accumulate(np.where(begun, np.arange(len(down)), 0))]
        return cls(costs & (before == 0), costs, is_open, is_open & (before + costs > 0))


def _open_failures(parts: Segments, down: Bool, down_before: Bool) -> Bool:
    """In which segments a failure is open: since a breakdown, until the machine shows that it can work."""
    decides = down | ABLE[parts.state]
    decides[parts.first] = True
    is_down = down.copy()
    is_down[parts.first] |= down_before & ~ABLE[parts.state[parts.first]]
    return is_down[np.maximum.accumulate(np.where(decides, np.arange(len(down)), 0))]


@dataclass(frozen=True, slots=True, eq=False)
class Working:
    """What a stretch was, before it is added up: what every second and every reading counts as.

    samples: as given, with 1 and 0 for values of switches. series: the same, to be asked. said, judged, parts: the
    segments as the signals say, then with stops judged by their length, then as the reasons say; they differ in the
    state and the reason only. Parallel to segments: stops and standstills, those that are open at its end; category
    int8, index in `CATEGORIES`; failures; silence, how long counters stood still; gap int64 ns, when data was last
    missing by the segment's end.
    Parallel to samples: highest, with the highest reading so far in place of counters' values; delta float64, what each
    reading adds; verdict uint8 (`Verdict`); stands_on intp, as `kpi.counters.Counted`.
    readings: of each quantity, those that added something, and where they count. after_gap: indexes of samples that
    are rises after a gap; gap_machine: of which machine each is.
    """

    samples: Columns
    series: Series
    said: Segments
    judged: Segments
    parts: Segments
    stops: OpenStops
    standstills: Standstills
    category: Int8
    failures: Failures
    silence: Silence
    gap: Int64
    highest: Columns
    delta: Float64
    verdict: UInt8
    stands_on: Index
    after_gap: Index
    gap_machine: Int32
    readings: Mapping[Quantity, Readings]


def working(bindings: Bindings, samples: Columns, machines: Int32, before: Before, start: int, end: int) -> Working:
    """What the stretch [start, end) was; arguments as for `step`."""
    samples = switched(samples, bindings.switch_on, bindings.switch_off, start)
    samples = with_last_sent(samples, bindings.last_sent, start)
    series = Series(samples, start, end, bindings.tags)
    said = segments(bindings, series, machines, start, end)
    by_length, stops = judged(said, bindings, before.stops)
    by_length, standstills = with_reasons(by_length, series, bindings, before.standstills)
    parts = reasoned(by_length, bindings.plant.machines)
    category = categories(parts, bindings.overtime_apart)
    highest, up = _count_up(bindings, samples, start)
    counted = readings(bindings, samples, up.delta, parts, start, end)
    is_after, gap_machine, gap = after_gap(bindings, samples, up, parts, counted, before.gap)
    return Working(
        samples,
        series,
        said,
        by_length,
        parts,
        stops,
        standstills,
        category,
        Failures.of(parts, category, before.down, before.failed),
        silence(bindings, samples, parts, counted, before.silent),
        gap,
        highest,
        up.delta,
        up.verdict,
        up.stands_on,
        is_after,
        gap_machine,
        counted,
    )


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


def _works(parts: Segments) -> Bool:
    works: Bool = (parts.state == State.PRODUCING) | (parts.state == State.SETUP)
    return works


def categories(parts: Segments, overtime_apart: Bool) -> Int8:
    """What each segment counts as, index in `CATEGORIES`. overtime_apart: by machine index."""
    works = _works(parts)
    category: Int8 = np.where(
        parts.busy | works,
        _CATEGORY_OF[parts.state],
        np.where(parts.operation, np.int8(_PLANNED_DOWNTIME), np.int8(_NOT_PLANNED)),
    )
    aside = ~parts.busy
    apart = works & aside & overtime_apart[parts.machine]
    category[apart] = np.where(parts.operation[apart], *_OVERTIME)
    for state, (in_downtime, not_planned) in (
        (State.MAINTENANCE, _MAINTAINED),
        (State.PLANNED_MAINTENANCE, _SERVICED),
    ):
        mine = aside & (parts.state == state)
        category[mine] = np.where(parts.operation[mine], in_downtime, not_planned)
    serviced = aside & parts.maintenance & ~works
    category[serviced] = np.where(parts.operation[serviced], _PLANNED_MAINTENANCE, _SERVICED[1])
    return category


def _times(found: Working, row: Index, count: int) -> dict[str, Int64]:
    """Seconds (as ns) by category, and the planned times that contain them."""
    kinds = len(CATEGORIES)
    # Sums of nanoseconds of a minute stay far below 2**53, so floats hold them exactly.
    summed = np.bincount(
        row * kinds + found.category, weights=found.parts.end - found.parts.start, minlength=count * kinds
    )
    by_kind = summed.reshape(count, kinds).astype(np.int64)
    return composed({name: by_kind[:, k] for k, name in enumerate(CATEGORIES)})


def composed(times: Mapping[str, Int64]) -> dict[str, Int64]:
    """All time elements from the times of the categories, columns of one shape."""
    nothing = np.zeros_like(times[CATEGORIES[0]])
    whole = dict(times)
    whole["adet"] = sum((times[name] for name in _DELAYS), start=nothing)
    whole["pbt"] = sum((times[name] for name in _BUSY), start=nothing)
    repaired = {name: whole.pop(f"acmt_{name}") for name in ("downtime", "not_planned")}
    serviced = {name: whole.pop(f"apmt_{name}") for name in ("downtime", "not_planned")}
    whole["acmt"] = times["cmt"] + sum(repaired.values(), start=nothing)
    whole["apmt"] = times["pmt"] + sum(serviced.values(), start=nothing)
    whole["planned_downtime"] = times["planned_downtime"] + times["pmt"] + repaired["downtime"] + serviced["downtime"]
    in_downtime = whole.pop("overtime_downtime")
    whole["overtime"] = times["overtime"] + in_downtime
    whole["planned_downtime"] += in_downtime
    whole["not_planned"] = times["not_planned"] + times["overtime"] + repaired["not_planned"] + serviced["not_planned"]
    whole["pot"] = whole["pbt"] + whole["planned_downtime"]
    whole["calendar_time"] = whole["pot"] + whole["not_planned"]
    return whole


def _count_up(bindings: Bindings, samples: Columns, start: int) -> tuple[Columns, Counted]:
    """Samples with the highest reading so far in place of counters' values, and what each counts for."""
    counts = np.flatnonzero(bindings.is_counter[samples.tag] | bindings.is_meter[samples.tag])
    found = deltas(samples.take(counts), bindings.counting, start)
    value, delta, verdict = samples.value.copy(), np.zeros(len(samples)), np.zeros(len(samples), np.uint8)
    value[counts], delta[counts], verdict[counts] = found.highest, found.delta, found.verdict
    stands_on = np.full(len(samples), NOTHING)
    fallen = np.flatnonzero(found.stands_on != NOTHING)
    stands_on[counts[fallen]] = counts[found.stands_on[fallen]]
    return Columns(samples.tag, samples.time, value, samples.quality), Counted(delta, value, verdict, stands_on)


def _carried(found: Working) -> Columns:
    """Samples as a later stretch starts from them."""
    fallen = found.stands_on != NOTHING
    if not fallen.any():
        return found.highest
    value = np.where(fallen, found.samples.value, found.highest.value)
    return Columns(found.samples.tag, found.samples.time, value, found.samples.quality)


def _decisions(bindings: Bindings, found: Working, machines: Int32, count_from: int) -> Counter[str]:
    """How often what was decided."""
    judged = np.flatnonzero((found.verdict != 0) & (found.samples.time >= count_from))
    judged = judged[_first_owned(bindings, found.samples.tag[judged], machines)]
    tally = np.bincount(found.verdict[judged], minlength=len(Verdict))
    decisions = Counter({f"counter_{v.name.lower()}": int(tally[v]) for v in Verdict if v and tally[v]})
    new_part = found.parts.start >= count_from
    of_others = {
        "counter_after_gap": found.samples.time[found.after_gap] >= count_from,
        "counter_stuck": found.silence.begins & new_part,
        "unmapped_state": found.parts.unmapped & new_part,
        "power_hole": _power_holes(bindings, found.samples, machines, count_from),
    }
    decisions.update({name: n for name, mask in of_others.items() if (n := int(np.count_nonzero(mask)))})
    return decisions


def _power_holes(bindings: Bindings, samples: Columns, machines: Int32, count_from: int) -> Bool:
    """Which values of power end a time of which nothing is added up, since the value before was longer ago."""
    gap = bindings.power_gap[samples.tag[1:]]
    holes = bindings.is_power[samples.tag[1:]] & (samples.tag[1:] == samples.tag[:-1])
    holes &= (samples.time[1:] - samples.time[:-1] > gap) & (samples.time[1:] >= count_from)
    after = np.flatnonzero(holes) + 1
    return _first_owned(bindings, samples.tag[after], machines)


def _first_owned(bindings: Bindings, tag: Int32, machines: Int32) -> Bool:
    """Of which tags the first machine that has them is one of these: a counter of several is counted with it alone,
    since machines are folded apart."""
    owned: Bool = np.isin(bindings.owners.machine[bindings.owners.first[tag]], machines)
    return owned


def _pieces(bindings: Bindings, found: Working, row: Index, count: int, keys: _Keys) -> dict[str, Int64]:
    """Pieces (as millionths) by quantity element; what has no counter follows from what has."""
    # by where they were made: in setup, in overtime that is counted apart, and else
    place = np.zeros(len(row), np.intp)
    place[found.category == _SETUP] = 1
    place[np.isin(found.category, _OVERTIME)] = 2
    place = place * count + row
    nothing = np.zeros((3, count), np.int64)
    counted = dict.fromkeys(Quantity, nothing)
    for quantity, of in found.readings.items():
        millionths = np.rint(found.delta[of.sample] * _MILLIONTHS)
        counted[quantity] = _summed(place[of.part], millionths, 3 * count).reshape(3, count)
    has = {quantity: bindings.has_counter[quantity][keys.machine] for quantity in Quantity}
    made = closed(counted, has)
    whole = {name: pieces[0] + pieces[1] for name, pieces in made.items()}
    return whole | {"startup_sq": made["sq"][1], "overtime_pq": made["pq"][2]}


def _summed(row: Index, amount: Float64 | Int64, count: int) -> Int64:
    """Whole amounts added up by row."""
    return np.bincount(row, weights=amount, minlength=count).astype(np.int64)


def _not_read(bindings: Bindings, samples: Columns, keys: _Keys) -> Bool:
    """Which rows end before a counter of all or of good pieces was first read: nobody knows their pieces."""
    first = samples.first_of(np.unique(bindings.rating_tag))
    begins = np.full(bindings.tags, NEVER, np.int64)
    begins[first.tag] = first.time
    read_from = np.zeros(bindings.machines, np.int64)
    np.maximum.at(read_from, bindings.rating_machine, begins[bindings.rating_tag])
    not_read: Bool = read_from[keys.machine] >= keys.time + MINUTE_NS
    return not_read


def _earned(bindings: Bindings, keys: _Keys, columns: dict[str, Int64], not_read: Bool) -> dict[str, Int64]:
    """Earned time of all and of good pieces, and the production time for which none can be had."""
    pairs, where = np.unique(keys.machine.astype(np.int64) << 32 | (keys.product + 1), return_inverse=True)
    ideal = np.array([ideal_ns(bindings, int(p >> 32), int(p & 0xFFFFFFFF) - 1) for p in pairs])[where]
    rated = ~np.isnan(ideal) & ~not_read
    ideal = np.where(rated, ideal, 0.0)
    return {
        "ideal_pq": np.rint(columns["pq"] * (ideal / _MILLIONTHS)).astype(np.int64),
        "ideal_gq": np.rint(columns["gq"] * (ideal / _MILLIONTHS)).astype(np.int64),
        "ideal_startup_sq": np.rint(columns["startup_sq"] * (ideal / _MILLIONTHS)).astype(np.int64),
        "unrated": np.where(rated, 0, columns["apt"]),
    }


def ideal_ns(bindings: Bindings, machine: int, product: int) -> float:
    """Planned run time per item, ns; NaN where there is none, or where nothing counts the machine's pieces."""
    unit = bindings.plant.machines[machine]
    if not {Quantity.TOTAL, Quantity.GOOD} & unit.counters.keys():
        return float("nan")
    ideal = unit.ideal_ns.get(product, unit.default_ideal_ns)
    return float("nan") if ideal is None else float(ideal)


def metered(bindings: Bindings, found: Working, start: int, end: int) -> dict[str, Int64]:
    """Energy (mWh) and media (millionths of their unit) of each segment, and their parts by what the machine did.

    Energy is from power where there is no meter.
    """
    parts = found.parts
    meters, powers = energy_sources(bindings, found, start, end)
    used = {element: _used(meters, bindings.meter_tag[element], parts) for element in METERED}
    energy = used[ELECTRICITY] + _used(powers, bindings.power_tag, parts)
    is_off = parts.state == State.OFF
    idles = ~_works(parts) & ~is_off & (parts.state != State.UNKNOWN)
    whole = used | {ELECTRICITY: energy}
    idle = {f"{element}_idle": amount * idles for element, amount in whole.items()}
    return whole | idle | {"energy_working": energy * _works(parts), "energy_off": energy * is_off}


def energy_sources(bindings: Bindings, found: Working, start: int, end: int) -> tuple[MeterEnergy, PowerEnergy]:
    """What can say how much was used until any instant of the stretch [start, end)."""
    samples = found.samples
    readings = bindings.is_meter[samples.tag]
    powered = bindings.is_power[samples.tag] & (samples.time < end)
    return (
        MeterEnergy(Series(found.highest.take(readings), start, end, bindings.tags), found.delta[readings]),
        PowerEnergy(Series(samples.take(powered), start, end, bindings.tags), bindings.power_gap),
    )


def _used(source: MeterEnergy | PowerEnergy, tag_of: Int32, parts: Segments) -> Int64:
    """What each segment's machine used in it."""
    used = np.zeros(len(parts.machine), np.int64)
    mine = tag_of[parts.machine] >= 0
    if mine.any():
        tag = tag_of[parts.machine[mine]].astype(np.intp)
        used[mine] = source.until(tag, parts.end[mine]) - source.until(tag, parts.start[mine])
    return used


def _intervals(parts: Segments) -> pl.DataFrame:
    """State intervals: segments joined where only the calendar cuts them."""
    minute = parts.start // MINUTE_NS
    new = np.ones(len(parts.start), np.bool_)
    new[1:] = np.logical_or.reduce(
        [c[1:] != c[:-1] for c in (parts.machine, minute, parts.state, parts.product, parts.reason)]
    )
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(new)) - 1
    return pl.DataFrame(
        {
            "machine": parts.machine[begins],
            "start": parts.start[begins],
            "end": parts.end[ends],
            "state": parts.state[begins],
            "product": parts.product[begins],
            "reason": parts.reason[begins],
        }
    )


def _before(found: Working, edges: Int64) -> list[Before]:
    """What the machines did just before each edge."""
    parts = found.parts
    at = [parts.find(parts.machines, np.full(len(parts.machines), edge - 1, np.int64)) for edge in edges.tolist()]
    stops, failures = found.stops, found.failures
    whole = Before(
        parts.state,
        stops.since,
        stops.seen,
        stops.lost,
        stops.worked,
        found.standstills.since,
        found.standstills.reason,
        failures.is_open,
        failures.counted,
        found.silence.at_end,
        found.gap,
    )
    return [whole.of(i) for i in at]


def _equivalents(factors: tuple[EnergyFactor, ...], time: Int64, columns: dict[str, Int64]) -> dict[str, Int64]:
    """All carriers as standard coal and CO2 equivalent, by the factors of each row's time."""
    coal, co2 = np.zeros(len(time)), np.zeros(len(time))
    for element in METERED:
        dated = sorted((f for f in factors if (f.carrier or ELECTRICITY) == element), key=lambda f: f.since)
        if dated:
            at = np.searchsorted(np.array([f.since for f in dated], np.int64), time, side="right") - 1
            amount = np.where(at >= 0, columns[element], 0)
            coal += np.rint(amount * np.array([f.kgce for f in dated])[at])
            co2 += np.rint(amount * np.array([f.kg_co2e for f in dated])[at])
    return {"coal_equivalent": coal.astype(np.int64), "co2e": co2.astype(np.int64)}


def usable(bindings: Bindings, samples: Columns) -> Columns:
    """Samples without what can never count: readings of counters and meters that are not good.

    A product or reason that is bad, as an empty one is, counts: from then on none is known. One that is uncertain says
    nothing new.
    """
    if not samples.quality.any():
        return samples
    drop = bindings.needs_good[samples.tag] & (samples.quality != GOOD)
    drop |= bindings.is_code[samples.tag] & (samples.quality == UNCERTAIN)
    return samples.take(~drop) if drop.any() else samples
