"""The energy meter of a machine: a power that follows what the machine does, and its exact integral.

Rule: power is a step function, in whole watts, that changes only when the meter says so; so energy is a sum of whole
millijoules, the reading is exact to a millionth of a kWh, and the simulation's book can be exact too.
"""

from __future__ import annotations

from random import Random
from typing import Final

from edge_agent.demo.events import Condition
from edge_agent.demo.layout import METER_MODULUS_KWH, MachineSpec

MILLIJOULES_PER_KWH: Final = 3_600_000_000
_STEPS_PER_KWH: Final = 1_000_000  # smallest step of the reading: 1 µkWh = 3.6 J
_MODULUS: Final = METER_MODULUS_KWH * _STEPS_PER_KWH


class Meter:
    """Power in W and energy of one machine. Times in ms."""

    def __init__(self, spec: MachineSpec, at: int, random: Random) -> None:
        self._spec = spec
        self._random = random
        self._condition = Condition.OFF
        self._load = 0.0  # how far the load is from its mean, a slow random walk
        self._since = at
        self._energy = 0  # mJ since the start
        self._first = round(spec.meter_kwh * _STEPS_PER_KWH)
        self.watts = spec.power[Condition.OFF]
        self.temperature = 21.0

    def follow(self, condition: Condition, at: int) -> None:
        """The machine does something else from now on."""
        self._condition = condition
        self._set(at)

    def wander(self, at: int, seconds: float) -> None:
        """Time for a reading: load and temperature have moved since the last, `seconds` ago."""
        self._load = 0.8 * self._load + self._random.gauss(0.0, 0.6)
        target = {Condition.PRODUCING: 52.0, Condition.SETUP: 33.0, Condition.OFF: 21.0}.get(self._condition, 38.0)
        self.temperature += (target - self.temperature) * min(1.0, seconds / 600) + self._random.gauss(0.0, 0.15)
        self._set(at)

    def reading(self, at: int) -> float:
        """The reading at `at`, which is not before the last change, in kWh."""
        energy = self._energy + self.watts * (at - self._since)
        return (self._first + energy * _STEPS_PER_KWH // MILLIJOULES_PER_KWH) % _MODULUS / _STEPS_PER_KWH

    def _set(self, at: int) -> None:
        self._energy += self.watts * (at - self._since)
        self._since = at
        spread = {Condition.PRODUCING: 0.10, Condition.SETUP: 0.08, Condition.OFF: 0.02}.get(self._condition, 0.03)
        self.watts = max(1, round(self._spec.power[self._condition] * (1 + spread * max(-3.0, min(3.0, self._load)))))
