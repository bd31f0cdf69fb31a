"""The plant as the engine sees it: machines, what their signals mean, and when they are planned to work.

Rule: plain frozen values, made once from the configuration. Signals are tag indexes; texts are already codes; all
times are int64 nanoseconds since the epoch, UTC, and durations are nanoseconds.
Source: ISA-95 for the levels, ISO 22400-2 for states and quantities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import IntEnum, StrEnum


class State(IntEnum):
    """What a machine is doing, as people on the floor would say. Boards show these names."""

    UNKNOWN = 0  # no good data: silent, bad quality, connection down, or a value without a rule
    PRODUCING = 1
    SETUP = 2
    STARVED = 3  # waits for material from upstream
    BLOCKED = 4  # cannot hand on to downstream
    STOPPED = 5  # short stop within an order
    BREAKDOWN = 6
    IDLE = 7  # able to work, no order
    MAINTENANCE = 8  # corrective: it was not planned for this time
    OFF = 9
    PLANNED_MAINTENANCE = 10
    PLANNED_STOP = 11  # a stop that planning wanted: not planned busy time


class Quantity(StrEnum):
    """What a piece counter counts (ISO 22400-2 quantity elements)."""

    TOTAL = "total"  # PQ
    GOOD = "good"  # GQ
    SCRAP = "scrap"  # SQ
    REWORK = "rework"  # RQ
    INSPECTED = "inspected"  # IP
    FIRST_PASS = "first_pass"  # noqa: S105 - GP, parts good at first pass


class Carrier(StrEnum):
    """What a meter other than the electricity meter measures, and in which unit its readings must come."""

    GAS = "gas"  # m³
    STEAM = "steam"  # kg
    COMPRESSED_AIR = "compressed_air"  # m³
    WATER = "water"  # t
    HEAT = "heat"  # MJ


@dataclass(frozen=True, slots=True)
class Switch:
    """A threshold with hysteresis: a value becomes 1 at or above `on`, 0 at or below `off`, and stays between them."""

    on: float
    off: float


@dataclass(frozen=True, slots=True)
class Signal:
    """A tag whose value holds until its next sample.

    link: tag that is 1 while the connection behind `tag` is up; None where that is not known.
    link_holds_ns: how long one such 1 holds. stale_after_ns: how long a value holds without a new sample; None = for
    as long as the link is up. switch: makes a measured value (power, current) an on or off; None = the value as it is.
    """

    tag: int
    link: int | None = None
    link_holds_ns: int = 30_000_000_000
    stale_after_ns: int | None = None
    switch: Switch | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """A tag that counts up.

    modulus: the reading at which it starts again from 0, in the scaled unit; None = never. most_per_second: a rise that
    is faster than that, and more than most_at_once above it, is not believed and not counted; None = every rise is.
    event: the tag does not count up: each sample is so many pieces of its own.
    """

    tag: int
    modulus: float | None = None
    most_per_second: float | None = None
    most_at_once: float = 1.0
    event: bool = False


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A measured value that has limits: dimension, torque, fill weight.

    lower, upper: specification limits (LSL, USL) in the tag's unit, None where there is none. nominal: the value that
    is aimed at; sums are taken from it.
    """

    name: str
    tag: int
    lower: float | None = None
    upper: float | None = None
    nominal: float = 0.0


@dataclass(frozen=True, slots=True)
class StateRule:
    """The machine is in `state` when every named signal has one of its values. First match wins."""

    when: Mapping[str, frozenset[float]]
    state: State


@dataclass(frozen=True, slots=True)
class StateModel:
    """How machines of one kind say what they do: names of their state signals, and the rules over their values.

    last_sent: signal → the values of others with which it counts as what it was at last. While each of those is known
    to have one of its values, the last good value of the signal is known too, however bad or old it is, and whether or
    not its link is up.
    """

    signals: tuple[str, ...]
    rules: tuple[StateRule, ...]
    last_sent: Mapping[str, Mapping[str, frozenset[float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift by the plant's wall clock. end ≤ start = ends on the next day. days: 0 = Monday, of the shift's start.

    breaks: (start, end) within the shift, by the wall clock: planned operation time, not planned busy time.
    valid_from, valid_until: first and last date on which the shift may start; None = without bound.
    """

    name: str
    start: time
    end: time
    days: frozenset[int]
    breaks: tuple[tuple[time, time], ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """When work is planned.

    timezone: IANA name. holidays: dates on which no shift starts. exceptions: (date, indexes of `shifts`) that start on
    that date, whatever their days, validity and holidays say. planned_stops: (start, end) in ns, within which shifts
    are planned operation time and not planned busy time, like breaks. maintenance: (start, end) in ns of those that are
    planned maintenance, of which it is also so outside shifts.
    """

    timezone: str
    shifts: tuple[Shift, ...]
    holidays: frozenset[date] = frozenset()
    exceptions: tuple[tuple[date, tuple[int, ...]], ...] = ()
    planned_stops: tuple[tuple[int, int], ...] = ()
    maintenance: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """One work unit.

    state_signals: parallel to `state_model.signals`. ideal_ns: planned run time per item (PRI) by product code;
    default_ideal_ns where the product is unknown or has none; None = effectiveness cannot be had.
    energy: meter reading in kWh. power: kW, integrated where there is no energy counter; a hole longer than
    most_power_gap_ns is a hole. minor_stop_ns: a stop shorter than that is a minor stop, a longer one a breakdown;
    None = as the signals say. cycle_gap_ns: a stop within production that is shorter is part of the cycle, and
    production; None = none is. reason: text code of why the machine stands; reasons: what it then is, by code, in
    place of what its signals say of a stop; reason_of_stop: whether a reason is of the standstill in which it is given,
    and of all of that; else it holds until it changes. media: meters of other carriers. overtime_apart: work outside
    planned busy time is counted in elements of its own; else it extends planned busy time. stuck_after_ns: production
    time without a rise of a piece counter after which it is stuck, at least a minute; None = it never is.
    """

    id: str
    name: str
    line: str
    area: str
    calendar: Calendar
    state_model: StateModel
    state_signals: tuple[Signal, ...]
    counters: Mapping[Quantity, Counter] = field(default_factory=dict)
    product: Signal | None = None
    ideal_ns: Mapping[int, int] = field(default_factory=dict)
    default_ideal_ns: int | None = None
    energy: Counter | None = None
    power: Signal | None = None
    most_power_gap_ns: int = 300_000_000_000
    minor_stop_ns: int | None = None
    cycle_gap_ns: int | None = None
    stuck_after_ns: int | None = None
    reason: Signal | None = None
    reasons: Mapping[int, State] = field(default_factory=dict)
    reason_of_stop: bool = False
    media: Mapping[Carrier, Counter] = field(default_factory=dict)
    overtime_apart: bool = False
    characteristics: tuple[Characteristic, ...] = ()


def stop_limit_ns(machine: Machine) -> int:
    """How long a stop may be until its length decides nothing any more; 0 where it never does."""
    return max(machine.minor_stop_ns or 0, machine.cycle_gap_ns or 0)


@dataclass(frozen=True, slots=True)
class EnergyFactor:
    """What one unit of a carrier stands for, from a time on.

    carrier: None = electricity (kWh). since: ns. kgce: kg of standard coal; kg_co2e: kg of CO2 equivalent. source:
    where the figures are from.
    """

    carrier: Carrier | None
    since: int
    kgce: float
    kg_co2e: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Plant:
    """All machines of one site, in configuration order: a machine's index here is its key in the element table.

    factors: for coal equivalent and CO2e; a carrier without a factor at a time counts as nothing.
    """

    site: str
    timezone: str
    machines: tuple[Machine, ...]
    factors: tuple[EnergyFactor, ...] = ()
