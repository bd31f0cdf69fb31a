"""The signals of one machine: options of the file as what the engine reads, each with its tag.

Rule: units are converted here, readings and what they are compared with alike.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from config.collection import Collection
from config.machines import PlacedMachine, Said
from config.quantities import ENERGY, MEDIA, POWER, SECOND_NS
from kpi import plant as engine

MQTT_STATE_STALE_NS: Final = 60 * SECOND_NS
"""How long a state over MQTT holds where nothing is said: a broker does not tell that a machine went silent."""


@dataclass(frozen=True, slots=True)
class MachineSignals:
    """Makes the engine's signals of one machine, and tags with them. start: how many tags there were before."""

    machine: PlacedMachine
    collection: Collection
    start: int

    def state(self, name: str, said: Said, *, text: bool) -> engine.Signal:
        """A signal that tells what the machine is doing."""
        tag = self.collection.add(self.machine, f"state.{name}", said, unit="", factor=1.0, text=text)
        otherwise = MQTT_STATE_STALE_NS if self.collection.over_mqtt(tag) else None
        held = self._held(tag, said.value.stale_after or self.machine.value("stale_after"), otherwise)
        switch = said.value.switch
        return held if switch is None else replace(held, switch=engine.Switch(switch.on, switch.off))

    def power(self, said: Said) -> engine.Signal:
        """Electrical power, kW."""
        tag = self.collection.add(self.machine, "power", said, unit="kW", factor=POWER[said.value.unit], text=False)
        return self._held(tag, said.value.stale_after or self.machine.value("stale_after"))

    def text(self, role: str, said: Said) -> engine.Signal:
        """A signal whose values are texts."""
        tag = self.collection.add(self.machine, role, said, unit="", factor=1.0, text=True)
        return self._held(tag, said.value.stale_after)

    def pieces(self, quantity: str, said: Said) -> engine.Counter:
        """A counter of pieces, or messages that each tell of some."""
        cycle = said.value.fastest_cycle
        counter = self._counter(quantity, said, "pieces", 1.0, None if cycle is None else SECOND_NS / cycle)
        if said.value.event:
            self._check_event(said, counter.tag)
        return replace(counter, event=said.value.event)

    def _check_event(self, said: Said, tag: int) -> None:
        for option in ("rolls_over_at", "fastest_cycle"):
            if getattr(said.value, option) is not None:
                self.collection.report(
                    (*said.path, option), "has no meaning beside `event: true`: nothing counts up", ""
                )
        if not self.collection.over_mqtt(tag) and self.collection.tags[tag].source:
            message = "belongs to MQTT: OPC UA tells changes only, so two equal pieces in a row would be one"
            self.collection.report((*said.path, "event"), message, "")

    def energy(self, said: Said) -> engine.Counter:
        """A meter of electrical energy, kWh."""
        most = said.value.rated_power
        return self._counter("energy", said, "kWh", ENERGY[said.value.unit], None if most is None else most / 3_600)

    def medium(self, carrier: str, said: Said) -> engine.Counter:
        """A meter of another carrier, in the engine's unit of it."""
        units, most = MEDIA[carrier], said.value.rated_flow
        unit = next(name for name, worth in units.items() if worth == 1.0)
        return self._counter(carrier, said, unit, units[said.value.unit], None if most is None else most / 3_600)

    def _counter(
        self, role: str, said: Said, unit: str, factor: float, most_per_second: float | None
    ) -> engine.Counter:
        """rolls_over_at is a reading in the signal's own unit, so it is converted like the reading."""
        tag = self.collection.add(self.machine, role, said, unit=unit, factor=factor, text=False)
        self.collection.link(tag)
        reading = said.value.rolls_over_at
        return engine.Counter(tag, None if reading is None else reading * factor, most_per_second)

    def measured(self, name: str, said: Said) -> engine.Characteristic | None:
        """A measured value; a characteristic where it has limits."""
        tag = self.collection.add(self.machine, name, said, unit=said.value.unit, factor=1.0, text=said.value.text)
        self.collection.link(tag)
        limits = said.value.limits
        if limits is None:
            return None
        self._check_limits(said)
        given = [limit for limit in (limits.lower, limits.upper) if limit is not None]
        nominal = limits.nominal if limits.nominal is not None else sum(given) / max(len(given), 1)
        return engine.Characteristic(name, tag, limits.lower, limits.upper, nominal)

    def _check_limits(self, said: Said) -> None:
        limits, here = said.value.limits, (*said.path, "limits")
        if said.value.text:
            self.collection.report(here, "a text has no limits; take out `text: true`", "")
        if limits.lower is None and limits.upper is None:
            self.collection.report(here, "gives no limit: `lower`, `upper` or both", "")
        elif limits.lower is not None and limits.upper is not None and limits.lower >= limits.upper:
            message = f"expected more than `lower`, {limits.lower:g}, got {limits.upper:g}"
            self.collection.report((*here, "upper"), message, "")

    def link(self) -> engine.Signal | None:
        """The link of the machine's first signal, as a signal; None where that has no connection, or there is none."""
        if len(self.collection.tags) == self.start:
            return None
        link, holds = self.collection.link(self.start)
        return None if link is None else engine.Signal(link, link, holds)

    def _held(self, tag: int, stale_after: int | str | None, otherwise: int | None = None) -> engine.Signal:
        link, holds = self.collection.link(tag)
        stale = otherwise if stale_after is None else stale_after
        return engine.Signal(tag, link, holds, stale if isinstance(stale, int) else None)
