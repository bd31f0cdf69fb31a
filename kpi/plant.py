"""The plant as the engine sees it: machines, what their signals mean, and when they are planned to work.

Rule: plain frozen values, made once from the configuration. Signals are tag indexes; texts are already codes; all
times are int64 nanoseconds since the epoch, UTC, and durations are nanoseconds.
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
    MAINTENANCE = 8
    OFF = 9


class Quantity(StrEnum):
    """What a piece counter counts (ISO 22400-2 quantity elements)."""

    TOTAL = "total"  # PQ
    GOOD = "good"  # GQ
    SCRAP = "scrap"  # SQ
    REWORK = "rework"  # RQ
    INSPECTED = "inspected"  # IP
    FIRST_PASS = "first_pass"  # noqa: S105 - GP, parts good at first pass


@dataclass(frozen=True, slots=True)
class Signal:
    """A tag whose value holds until its next sample.

    link: tag that is 1 while the connection behind `tag` is up; None where that is not known.
    link_holds_ns: how long one such 1 holds. stale_after_ns: how long a value holds without a new sample; None = for
    as long as the link is up.
    """

    tag: int
    link: int | None = None
    link_holds_ns: int = 30_000_000_000
    stale_after_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """A tag that counts up. modulus: the reading at which it starts again from 0, in the scaled unit; None = never."""

    tag: int
    modulus: float | None = None


@dataclass(frozen=True, slots=True)
class StateRule:
    """The machine is in `state` when every named signal has one of its values. First match wins."""

    when: Mapping[str, frozenset[float]]
    state: State


@dataclass(frozen=True, slots=True)
class StateModel:
    """How machines of one kind say what they do: names of their state signals, and the rules over their values."""

    signals: tuple[str, ...]
    rules: tuple[StateRule, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift by the plant's wall clock. end ≤ start = ends on the next day. days: 0 = Monday, of the shift's start.

    breaks: (start, end) within the shift, by the wall clock: planned operation time, not planned busy time.
    """

    name: str
    start: time
    end: time
    days: frozenset[int]
    breaks: tuple[tuple[time, time], ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """When work is planned. holidays: dates on which no shift starts. timezone: IANA name."""

    timezone: str
    shifts: tuple[Shift, ...]
    holidays: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Machine:
    """One work unit.

    state_signals: parallel to `state_model.signals`. ideal_ns: planned run time per item (PRI) by product code;
    default_ideal_ns where the product is unknown or has none; None = effectiveness cannot be had.
    energy: meter reading in kWh. power: kW, integrated where there is no energy counter; a hole longer than
    most_power_gap_ns is a hole. minor_stop_ns: a stop shorter than that is a minor stop, a longer one a breakdown;
    None = as the signals say.
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


@dataclass(frozen=True, slots=True)
class Plant:
    """All machines of one site, in configuration order: a machine's index here is its key in the element table."""

    site: str
    timezone: str
    machines: tuple[Machine, ...]
