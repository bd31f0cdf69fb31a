"""Signals to states: what every machine was doing at every instant of a stretch of time.

Rule 1: a stretch is cut for each machine wherever anything that decides its state can change: a state signal, the link
behind it, a value going stale, the product, the calendar, the minute. Between two cuts nothing changes.
Rule 2: a rule of a state model matches, fails, or cannot be judged because a signal that it names is not known. The
first that does not fail decides; if it cannot be judged the state is UNKNOWN. Bad and uncertain quality is not known.
Rule 3: of some signals the last good value is known where others say that the machine is lost (`StateModel.last_sent`).
Source: OPC 40001-1 Annex C and ISO 22400-2 for what states mean; unknown without data is the project's own rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kpi.bindings import Bindings, ModelBinding
from kpi.calendar import PlannedTimes, planned_times
from kpi.columns import GOOD, Bool, Float64, Index, Int32, Int64, Series
from kpi.elements import MINUTE_NS
from kpi.plant import State, StateModel

NO_CODE = -1
"""In place of a product or reason that is not known."""

NO_RULE = -1
"""In place of the rule of a state model that decides, where all fail."""


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Pieces of time in which nothing changes, sorted by (machine, start); parallel columns of shape (n,).

    machine int32; start, end int64 ns; state int32 (`State`); product, reason int32 text codes or -1; operation, busy
    bool: planned operation and busy time; maintenance bool, shift int32 and shift_start int64 as in `PlannedTimes`.
    unmapped: bool, whether good signals said something that no rule covers. first: intp, index of the first piece of
    each machine of `machines`, which are all that were asked for, ascending.
    """

    machine: Int32
    start: Int64
    end: Int64
    state: Int32
    product: Int32
    reason: Int32
    operation: Bool
    busy: Bool
    maintenance: Bool
    shift: Int32
    shift_start: Int64
    unmapped: Bool
    machines: Int32
    first: Index

    def find(self, machine: Int32, time: Int64) -> Index:
        """Index of the segment of each machine (int32) that holds each time (ns), shapes (k,); both of the stretch."""
        order = np.searchsorted(self.machines, machine)
        base = int(self.start[0])
        span = int(self.end.max()) - base + 1
        own = np.searchsorted(self.machines, self.machine)
        return np.searchsorted(own * span + (self.start - base), order * span + (time - base), side="right") - 1


def segments(bindings: Bindings, series: Series, machines: Int32, start: int, end: int) -> Segments:
    """The states of some machines over [start, end), ns.

    series: sorted samples of the stretch with, for each tag, the last one before it. machines: int32, ascending, at
    least one.
    """
    plans = {
        int(c): planned_times(bindings.calendars[c], start, end) for c in np.unique(bindings.calendar_of[machines])
    }
    machine, begin = _cuts(bindings, series, machines, start, end, plans)
    finish = np.append(begin[1:], end)
    first = np.searchsorted(machine, machines)
    finish[first[1:] - 1] = end
    state, unmapped = _states(bindings, series, machine, begin)
    operation, busy, maintenance, shift, shift_start = _planned(bindings, machine, begin, plans)
    return Segments(
        machine,
        begin,
        finish,
        state,
        _held_code(series, bindings.product_tag[machine], begin),
        _held_code(series, bindings.reason_tag[machine], begin),
        operation,
        busy,
        maintenance,
        shift,
        shift_start,
        unmapped,
        machines,
        first,
    )


def _cuts(
    bindings: Bindings, series: Series, machines: Int32, start: int, end: int, plans: Mapping[int, PlannedTimes]
) -> tuple[Int32, Int64]:
    """(machine, time) of every cut, sorted, each once."""
    edges = [_grid(machines, start, end)]
    for c, plan in plans.items():
        own = machines[bindings.calendar_of[machines] == c]
        edges.append((np.repeat(own, len(plan.edge)), np.tile(plan.edge, len(own))))
    tag, time = _state_changes(bindings, series)
    index, owner = bindings.state_owners.expand(tag)
    edges.append((owner, time[index]))
    for is_code, owners in (
        (bindings.is_product, bindings.product_owners),
        (bindings.is_reason, bindings.reason_owners),
    ):
        tag, time = _code_changes(series, is_code)
        index, owner = owners.expand(tag)
        edges.append((owner, time[index]))

    machine = np.concatenate([m for m, _ in edges])
    at = np.concatenate([t for _, t in edges])
    wanted = np.zeros(bindings.machines, np.bool_)
    wanted[machines] = True
    inside = (at >= start) & (at < end) & wanted[machine]
    span = end - start
    key = np.sort(machine[inside].astype(np.int64) * span + (at[inside] - start))
    key = key[np.diff(key, prepend=-1) > 0]
    return (key // span).astype(np.int32), key % span + start


def _grid(machines: Int32, start: int, end: int) -> tuple[Int32, Int64]:
    """The start and every minute edge of the stretch, for every machine."""
    first = start - start % MINUTE_NS + MINUTE_NS
    edge = np.append(np.int64(start), np.arange(first, end, MINUTE_NS, dtype=np.int64))
    return np.repeat(machines, len(edge)), np.tile(edge, len(machines))


def _state_changes(bindings: Bindings, series: Series) -> tuple[Int32, Int64]:
    """(tag, time) where a state or link tag changes its value, or its value goes stale."""
    samples = series.samples
    mine = np.flatnonzero(bindings.is_state[samples.tag] | bindings.is_link[samples.tag])
    tag, time, value, quality = samples.tag[mine], samples.time[mine], samples.value[mine], samples.quality[mine]
    if not len(mine):
        return tag, time
    stale = time + bindings.holds[tag]
    same_tag = tag[1:] == tag[:-1]
    changed = np.ones(len(mine), np.bool_)
    equal = (value[1:] == value[:-1]) | ((quality[1:] != GOOD) & (quality[:-1] != GOOD))
    held = time[1:] < stale[:-1]
    changed[1:] = ~(same_tag & equal & ((quality[1:] == GOOD) == (quality[:-1] == GOOD)) & held)
    expires = np.ones(len(mine), np.bool_)
    expires[:-1] = ~(same_tag & held)
    return np.concatenate([tag[changed], tag[expires]]), np.concatenate([time[changed], stale[expires]])


def _code_changes(series: Series, is_code: Bool) -> tuple[Int32, Int64]:
    """(tag, time) where a product or reason tag names another one than before, or none any more."""
    samples = series.samples
    mine = np.flatnonzero(is_code[samples.tag])
    tag, value = samples.tag[mine], np.where(samples.quality[mine] == GOOD, samples.value[mine], NO_CODE)
    changed = np.ones(len(mine), np.bool_)
    changed[1:] = (tag[1:] != tag[:-1]) | (value[1:] != value[:-1])
    return tag[changed], samples.time[mine[changed]]


def _states(bindings: Bindings, series: Series, machine: Int32, time: Int64) -> tuple[Int32, Bool]:
    state = np.full(len(machine), State.UNKNOWN, np.int32)
    row_of = np.full(bindings.machines, -1, np.int32)
    unmapped = np.zeros(len(machine), np.bool_)
    for binding in bindings.models:
        row_of[:] = -1
        row_of[binding.machine] = np.arange(len(binding.machine), dtype=np.int32)
        mine = np.flatnonzero(row_of[machine] >= 0)
        if not len(mine):
            continue
        value, known = signal_values(bindings, series, binding, row_of[machine[mine]], time[mine])
        state[mine], unmapped[mine] = apply_rules(binding.model, value, known, len(mine))
    return state, unmapped


def signal_values(
    bindings: Bindings, series: Series, binding: ModelBinding, row: Int32, time: Int64
) -> tuple[list[Float64], list[Bool]]:
    """Value of each of the model's signals at each time, and whether it is known.

    series: samples as `kpi.last_sent` has them. row: int32, index in the binding's machines; time: int64 ns; shapes
    (n,). Returns columns of shape (n,) by signal.
    """
    values, knowns = [], []
    for k in range(len(binding.model.signals)):
        value, known = held(bindings, series, binding.tag[row, k], time)
        link = binding.link[row, k]
        up, link_known = held(bindings, series, link, time)
        values.append(value)
        knowns.append(known & ((link < 0) | (link_known & (up == 1.0))))
    return values, _with_last_sent(binding.model, values, knowns)


def _with_last_sent(model: StateModel, value: list[Float64], known: list[Bool]) -> list[Bool]:
    """What is known, with signals of which the last good value counts just then. Columns by signal, shape (n,)."""
    place = {name: k for k, name in enumerate(model.signals)}
    found = list(known)
    for name, when in model.last_sent.items():
        lost = ~np.isnan(value[place[name]])
        for other, values in when.items():
            lost &= known[place[other]] & np.isin(value[place[other]], list(values))
        found[place[name]] = known[place[name]] | lost
    return found


def held(bindings: Bindings, series: Series, tag: Int32, time: Int64) -> tuple[Float64, Bool]:
    """The value that each tag (-1 = none) holds at each time (ns), NaN where none does, and whether that is good and
    fresh; shapes (k,)."""
    samples = series.samples
    at = series.at(tag, time)
    if not len(samples):
        return np.full(len(time), np.nan), np.zeros(len(time), np.bool_)
    fresh = time < samples.time[at] + bindings.holds[np.maximum(tag, 0)]
    return np.where(at >= 0, samples.value[at], np.nan), (at >= 0) & (samples.quality[at] == GOOD) & fresh


def apply_rules(model: StateModel, value: list[Float64], known: list[Bool], count: int) -> tuple[Int32, Bool]:
    """States by the model's rules, in order.

    value, known: per signal of the model, columns of shape (n,); count: n. Returns (state int32, unmapped bool), shapes
    (n,); unmapped where all signals are known and no rule covers them.
    """
    rule, matches = deciding_rules(model, value, known, count)
    of_rule = np.array([*(one.state for one in model.rules), State.UNKNOWN], np.int32)  # the last is of NO_RULE
    all_known = np.logical_and.reduce(known) if known else np.zeros(count, np.bool_)
    return np.where(matches, of_rule[rule], np.int32(State.UNKNOWN)), (rule == NO_RULE) & all_known


def deciding_rules(model: StateModel, value: list[Float64], known: list[Bool], count: int) -> tuple[Int32, Bool]:
    """The first rule that does not fail, by its index, `NO_RULE` where all do; and whether it matches.

    value, known, count: as for `apply_rules`. A rule that neither fails nor matches cannot be judged.
    """
    deciding = np.full(count, NO_RULE, np.int32)
    decided = np.zeros(count, np.bool_)
    place = {name: k for k, name in enumerate(model.signals)}
    for index, rule in enumerate(model.rules):
        matches = np.ones(count, np.bool_)
        possible = np.ones(count, np.bool_)
        for name, wanted in rule.when.items():
            k = place[name]
            hit = np.isin(value[k], list(wanted)) & known[k]
            matches &= hit
            possible &= hit | ~known[k]
        first = possible & (deciding == NO_RULE)
        deciding[first] = index
        decided |= first & matches
    return deciding, decided


def _held_code(series: Series, tag: Int32, time: Int64) -> Int32:
    """Product or reason at each time: the last one that the machine named, none where that sample is bad."""
    at = series.at(tag, time)
    code = np.full(len(tag), NO_CODE, np.int32)
    known = at >= 0
    known[known] = series.samples.quality[at[known]] == GOOD
    code[known] = series.samples.value[at[known]].astype(np.int32)
    return code


def _planned(
    bindings: Bindings, machine: Int32, time: Int64, plans: Mapping[int, PlannedTimes]
) -> tuple[Bool, Bool, Bool, Int32, Int64]:
    count = len(machine)
    operation, busy, maintenance = (np.zeros(count, np.bool_) for _ in range(3))
    shift, shift_start = np.zeros(count, np.int32), np.zeros(count, np.int64)
    calendar = bindings.calendar_of[machine]
    for c, plan in plans.items():
        mine = calendar == c
        at = np.searchsorted(plan.edge, time[mine], side="right") - 1
        operation[mine], busy[mine], maintenance[mine] = plan.operation[at], plan.busy[at], plan.maintenance[at]
        shift[mine], shift_start[mine] = plan.shift[at], plan.shift_start[at]
    return operation, busy, maintenance, shift, shift_start
