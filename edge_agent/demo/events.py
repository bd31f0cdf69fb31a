"""What the simulated plant says: the words that machines, the book and the servers share.

Times inside the simulation are whole milliseconds since the epoch: exact in OPC UA (100 ns) and in a JSON number.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

MS: Final = 1_000_000
"""Nanoseconds in the simulation's smallest step of time."""


class Condition(IntEnum):
    """What a machine is doing."""

    PRODUCING = 1
    SETUP = 2
    STARVED = 3
    BLOCKED = 4
    STOPPED = 5
    BREAKDOWN = 6
    IDLE = 7
    OFF = 8


class Phase(IntEnum):
    """How far a machine is within its condition; PackML shows it as acting and wait states."""

    ENTERING = 0
    WITHIN = 1
    LEAVING = 2


class Outcome(StrEnum):
    """What became of a piece."""

    GOOD = "good"
    SCRAP = "scrap"
    REWORK = "rework"


class Signal(StrEnum):
    """What an event is about."""

    PRODUCT = "product"
    CONDITION = "condition"
    PHASE = "phase"
    TOTAL = "total"
    GOOD = "good"
    SCRAP = "scrap"
    REWORK = "rework"
    INSPECTED = "inspected"
    FIRST_PASS = "first_pass"  # noqa: S105 - parts good at first pass
    POWER = "power"  # W
    ENERGY = "energy"  # kWh, starts again from 0 at the meter's modulus
    TEMPERATURE = "temperature"  # °C, spindle


class Event(NamedTuple):
    """One signal of one machine took a value. time_ns: since the epoch, UTC, a multiple of `MS`."""

    time_ns: int
    machine: str
    signal: Signal
    value: float | str
