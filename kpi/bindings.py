"""The plant as arrays: which tag plays which part for which machine.

Rule: made once; everything the fold looks up per sample or per stretch of time is an array here, indexed by tag or by
machine, so that no loop runs over machines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from kpi.columns import Bool, Float64, Index, Int32, Int64
from kpi.counters import Counting
from kpi.plant import Calendar, Carrier, Machine, Plant, Quantity, StateModel
from kpi.plant import Counter as PieceCounter

NO_LIMIT = -1
"""In place of the length of a minor stop, or of a counter's silence, where a machine has none."""

ELECTRICITY = "energy"
METERED = (ELECTRICITY, *(str(carrier) for carrier in Carrier))
"""Elements that meters feed."""

NEVER = np.iinfo(np.int64).max // 4
"""A hold time that does not end within any stretch, and still adds to a time without overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Tag → machines, since one tag (a link above all) may serve many.

    first: intp, shape (tags + 1,). machine: int32; the machines of tag t are machine[first[t]:first[t + 1]].
    """

    first: Index
    machine: Int32

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]], tags: int) -> Owners:
        """From (tag, machine) pairs, indexes both; tags: how many there are."""
        unique = sorted(set(pairs))
        tag = np.array([t for t, _ in unique], np.int32)
        return cls(np.searchsorted(tag, np.arange(tags + 1)), np.array([m for _, m in unique], np.int32))

    def expand(self, tag: Int32) -> tuple[Index, Int32]:
        """For tags of shape (n,): (index into the tags, machine) of every pair."""
        count = self.first[tag + 1] - self.first[tag]
        index = np.repeat(np.arange(len(tag)), count)
        within = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        return index, self.machine[self.first[tag[index]] + within]


@dataclass(frozen=True, slots=True, eq=False)
class ModelBinding:
    """One state model and its machines. tag, link: int32, shape (machines, signals), -1 where there is none."""

    model: StateModel
    machine: Int32
    tag: Int32
    link: Int32


class Bindings:
    """All arrays of a plant. `tags` is one more than the largest tag that the engine uses."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        machines = plant.machines
        self.machines = len(machines)
        self.tags = 1 + max((tag for m in machines for tag in _tags(m)), default=-1)
        self.used = self._mask(_tags)
        self.owners = self._owners(_tags)
        by_machine = ((index, tag) for index, m in enumerate(machines) for tag in _tags(m))
        self._tags_of = Owners.of(by_machine, self.machines)  # the same the other way round

        self.is_state = self._mask(lambda m: (s.tag for s in m.state_signals))
        self.is_link = self._mask(lambda m: (s.link for s in m.state_signals if s.link is not None))
        self.state_owners = self._owners(
            lambda m: (tag for s in m.state_signals for tag in (s.tag, s.link) if tag is not None)
        )
        self.is_product = self._mask(lambda m: (m.product.tag for _ in (0,) if m.product))
        self.product_owners = self._owners(lambda m: (m.product.tag for _ in (0,) if m.product))
        self.counters = [
            (index, quantity, counter.tag)
            for index, m in enumerate(machines)
            for quantity, counter in m.counters.items()
        ]
        self.counter_owners = {
            quantity: Owners.of(((tag, m) for m, q, tag in self.counters if q is quantity), self.tags)
            for quantity in Quantity
        }
        self.has_counter = {
            quantity: np.array([quantity in m.counters for m in machines], np.bool_) for quantity in Quantity
        }
        self.makes_produced = {
            quantity: np.array([quantity in makes_produced(m) for m in machines], np.bool_) for quantity in Quantity
        }
        self.rating_machine, self.rating_tag = self._rating()
        self.is_counter = self._mask(lambda m: (c.tag for c in m.counters.values()))
        self.is_meter = self._mask(lambda m: (meter.tag for meter in meters_of(m).values()))
        self.meter_tag = {
            element: np.array(
                [meters_of(m)[element].tag if element in meters_of(m) else -1 for m in machines], np.int32
            )
            for element in METERED
        }
        self._bind_stops(machines)
        self.characteristic_machine = np.full(self.tags, -1, np.int32)
        self.characteristic_index = np.full(self.tags, -1, np.int32)
        self.characteristic_nominal = np.zeros(self.tags)
        for index, m in enumerate(machines):
            for number, one in enumerate(m.characteristics):
                self.characteristic_machine[one.tag] = index
                self.characteristic_index[one.tag] = number
                self.characteristic_nominal[one.tag] = one.nominal
        self.is_code = self.is_product | self.is_reason
        self.needs_good = self.is_counter | self.is_meter
        self.needs_good |= self.characteristic_machine >= 0
        self.overtime_apart = np.array([m.overtime_apart for m in machines], np.bool_)
        self.is_power = self._mask(lambda m: (m.power.tag for _ in (0,) if m.power and not m.energy))
        counters = [c for m in machines for c in (*m.counters.values(), *meters_of(m).values())]
        self.counting = Counting.of(counters, self.tags)
        self.counting_owners = self._owners(lambda m: (c.tag for c in (*m.counters.values(), *meters_of(m).values())))
        self.piece_owners = self._owners(lambda m: (c.tag for c in m.counters.values()))
        self.switch_on, self.switch_off = self._switches()
        self.last_sent = self._mask(_last_sent) & np.isnan(self.switch_on)  # a switch keeps its last decision anyway
        self.product_tag = np.array([m.product.tag if m.product else -1 for m in machines], np.int32)
        self.power_tag = np.array([m.power.tag if m.power and not m.energy else -1 for m in machines], np.int32)
        self.power_gap = self._power_gaps()
        self.stuck_after = np.array(
            [NO_LIMIT if m.stuck_after_ns is None or not makes_produced(m) else m.stuck_after_ns for m in machines],
            np.int64,
        )
        self.holds = self._holds()
        self.models = _model_bindings(machines)
        self.calendars, self.calendar_of = _calendars(machines)

    def tags_of(self, machines: Int32) -> Bool:
        """Which tags some machines (int32 indexes) need, bool, shape (tags,); links that they share too."""
        mask = np.zeros(self.tags, np.bool_)
        mask[self._tags_of.expand(machines)[1]] = True
        return mask

    def _bind_stops(self, machines: tuple[Machine, ...]) -> None:
        """What stops are judged by: their reasons, and their lengths in ns by machine."""
        self.is_reason = self._mask(lambda m: (m.reason.tag for _ in (0,) if m.reason))
        self.reason_owners = self._owners(lambda m: (m.reason.tag for _ in (0,) if m.reason))
        self.reason_tag = np.array([m.reason.tag if m.reason else -1 for m in machines], np.int32)
        self.minor_stop, self.cycle_gap = (
            np.array([NO_LIMIT if one is None else one for one in limits], np.int64)
            for limits in ([m.minor_stop_ns for m in machines], [m.cycle_gap_ns for m in machines])
        )
        self.stop_limit = np.maximum(self.minor_stop, self.cycle_gap)
        self.reason_of_stop = np.array([m.reason is not None and m.reason_of_stop for m in machines], np.bool_)

    def _rating(self) -> tuple[Int32, Int32]:
        """(machine, tag) of the counters of all and of good pieces: once read, it is known what a machine makes."""
        counters = [
            (index, tag)
            for index, quantity, tag in self.counters
            if quantity in {Quantity.TOTAL, Quantity.GOOD} and not self.plant.machines[index].counters[quantity].event
        ]
        return np.array([index for index, _ in counters], np.int32), np.array([tag for _, tag in counters], np.int32)

    def _mask(self, tags_of: Callable[[Machine], Iterable[int]]) -> Bool:
        mask = np.zeros(self.tags, np.bool_)
        mask[[tag for m in self.plant.machines for tag in tags_of(m)]] = True
        return mask

    def _owners(self, tags_of: Callable[[Machine], Iterable[int]]) -> Owners:
        return Owners.of(((tag, index) for index, m in enumerate(self.plant.machines) for tag in tags_of(m)), self.tags)

    def _switches(self) -> tuple[Float64, Float64]:
        """Thresholds by tag, NaN where there is none."""
        on, off = np.full(self.tags, np.nan), np.full(self.tags, np.nan)
        for m in self.plant.machines:
            for signal in m.state_signals:
                if signal.switch is not None:
                    on[signal.tag], off[signal.tag] = signal.switch.on, signal.switch.off
        return on, off

    def _power_gaps(self) -> Int64:
        """How long a sample of each tag of power counts at most, ns."""
        gaps = np.zeros(self.tags, np.int64)
        for m in self.plant.machines:
            if m.power:
                gaps[m.power.tag] = m.most_power_gap_ns
        return gaps

    def _holds(self) -> Int64:
        """How long a sample of each state or link tag holds, ns; where machines disagree the shortest counts."""
        holds = np.full(self.tags, NEVER, np.int64)
        for m in self.plant.machines:
            for signal in m.state_signals:
                if signal.stale_after_ns is not None:
                    holds[signal.tag] = min(holds[signal.tag], signal.stale_after_ns)
                if signal.link is not None:
                    holds[signal.link] = min(holds[signal.link], signal.link_holds_ns)
        return holds


def makes_produced(machine: Machine) -> frozenset[Quantity]:
    """The counters that produced quantity is made of: that of all pieces, else those of the kinds of pieces."""
    kinds = {Quantity.GOOD, Quantity.SCRAP, Quantity.REWORK}
    return frozenset(machine.counters.keys() & ({Quantity.TOTAL} if Quantity.TOTAL in machine.counters else kinds))


def meters_of(machine: Machine) -> dict[str, PieceCounter]:
    """The meters of a machine by the element that they feed."""
    electricity = {} if machine.energy is None else {ELECTRICITY: machine.energy}
    return electricity | {str(carrier): meter for carrier, meter in machine.media.items()}


def _tags(machine: Machine) -> list[int]:
    """Every tag that the engine needs of a machine."""
    signals = [*machine.state_signals, *(s for s in (machine.product, machine.power, machine.reason) if s)]
    counters = [*machine.counters.values(), *meters_of(machine).values()]
    links = [s.link for s in machine.state_signals if s.link is not None]
    measured = [one.tag for one in machine.characteristics]
    return [*(s.tag for s in signals), *(c.tag for c in counters), *links, *measured]


def _last_sent(machine: Machine) -> list[int]:
    """Tags of which the last good value counts on."""
    named = zip(machine.state_model.signals, machine.state_signals, strict=False)  # without a model there are no names
    return [signal.tag for name, signal in named if name in machine.state_model.last_sent]


def _model_bindings(machines: tuple[Machine, ...]) -> list[ModelBinding]:
    by_model: dict[int, list[int]] = defaultdict(list)
    for index, machine in enumerate(machines):
        by_model[id(machine.state_model)].append(index)
    return [
        ModelBinding(
            machines[members[0]].state_model,
            np.array(members, np.int32),
            np.array([[s.tag for s in machines[i].state_signals] for i in members], np.int32),
            np.array(
                [[-1 if s.link is None else s.link for s in machines[i].state_signals] for i in members], np.int32
            ),
        )
        for members in by_model.values()
    ]


def _calendars(machines: tuple[Machine, ...]) -> tuple[list[Calendar], Int32]:
    """The different calendars, and each machine's index into them."""
    calendars: dict[Calendar, int] = {}
    of = [calendars.setdefault(m.calendar, len(calendars)) for m in machines]
    return list(calendars), np.array(of, np.int32)
