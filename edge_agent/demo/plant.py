"""The demonstration plant: a seeded discrete-event simulation of a small factory.

Rule: no I/O and no clock. The same seed and start give the same events to the millisecond, whatever the steps in which
it is advanced. Between two events nothing is computed, so an hour of the plant costs a fraction of a second.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from edge_agent.demo.agenda import Agenda
from edge_agent.demo.book import Book
from edge_agent.demo.calendar import ShiftCalendar
from edge_agent.demo.events import MS, Condition, Event, Outcome, Phase, Signal
from edge_agent.demo.layout import CALENDAR, LINES, MACHINES, Device, MachineSpec
from edge_agent.demo.line import Line
from edge_agent.demo.machine import Machine
from edge_agent.demo.meter import Meter

READING_INTERVAL_MS: Final = 10_000


class _Floor:
    """Whether people are at work; `busy` is that without breaks."""

    def __init__(self, calendar: ShiftCalendar, at: int) -> None:
        self._calendar = calendar
        self.staffed = self.busy = False
        self.look(at)

    def look(self, at: int) -> None:
        self.staffed, self.busy = self._calendar.staffed(at), self._calendar.busy(at)


class _Told:
    """What a machine has said of itself so far; only what differs is said again."""

    def __init__(self, spec: MachineSpec) -> None:
        self.product = ""
        self.condition: Condition | None = None
        self.phase: Phase | None = None
        self.watts = 0
        self.energy = -1.0
        self.count = dict.fromkeys(spec.counts, spec.made_so_far)
        scrapped = round(spec.made_so_far * spec.scrap)
        self.count |= {signal: scrapped for signal in (Signal.SCRAP, Signal.REWORK) if signal in self.count}
        if Signal.FIRST_PASS in self.count:
            self.count[Signal.FIRST_PASS] = round(spec.made_so_far * (1 - spec.fails_first_test))


class DemoPlant:
    """Two lines, twelve machines.

    seed: of everything random. start_ns: since the epoch, UTC; rounded down to a whole millisecond. calendar: when the
    plant is staffed.
    """

    def __init__(self, seed: int, start_ns: int, calendar: ShiftCalendar = CALENDAR) -> None:
        self._now = start_ns // MS
        self._calendar = calendar
        self._agenda = Agenda()
        self._floor = _Floor(calendar, self._now)
        self._lines = [Line(spec, self._floor, self._agenda, str(seed)) for spec in LINES]
        self._machines: list[Machine] = [machine for line in self._lines for machine in line.machines]
        self._meters = {
            spec.id: Meter(spec, self._now, Random(f"{seed}/{spec.id}/meter"))  # noqa: S311 - reproducible, no secrets
            for spec in MACHINES
        }
        self._told = {spec.id: _Told(spec) for spec in MACHINES}
        self._events: list[Event] = []
        self._read_now: set[str] = set()
        self.book = Book(MACHINES, calendar, self._now)
        self._begin()

    @property
    def now_ns(self) -> int:
        """How far the plant has been advanced."""
        return self._now * MS

    def advance(self, until_ns: int) -> list[Event]:
        """All events up to and including `until_ns` that were not returned yet, in order of time.

        The first call also returns the first value of every signal, at the start.
        """
        until = until_ns // MS
        while self._agenda.next <= until:
            self._do(self._agenda.next)
        self._now = max(self._now, until)
        events, self._events = self._events, []
        return events

    def quiet_time(self, from_ns: int) -> int:
        """The first millisecond at or after `from_ns` at which nothing happens and every meter has moved on.

        A good time to stop: no piece lies on the edge, and a last reading of every meter is news to a client that is
        told of changes only. The plant is advanced up to it; events on the way are kept for `advance`.
        """
        at = max(-(-from_ns // MS), self._now)
        while True:
            while self._agenda.next <= at:
                due = self._agenda.next
                self._do(due)
                at += due == at
            if all(meter.reading(at) != self._told[id_].energy for id_, meter in self._meters.items()):
                self._now = at
                return at * MS
            at += 1

    def readings(self, at_ns: int) -> list[Event]:
        """The reading of every energy meter at `at_ns`, which is not before `now_ns`; changes nothing."""
        at = at_ns // MS
        return [Event(at * MS, id_, Signal.ENERGY, meter.reading(at)) for id_, meter in self._meters.items()]

    def truth(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        """The book of all machines and of the plant: `{"machines": {id: …}, "plant": …}`."""
        machines = {spec.id: self.book.truth(spec.id, from_ns, to_ns) for spec in MACHINES}
        return {"machines": machines, "plant": self.book.plant_truth(from_ns, to_ns)}

    def _begin(self) -> None:
        at = self._now
        cold = self._floor.busy and not self._calendar.staffed(at - 1)
        for number, machine in enumerate(self._machines):
            machine.switch_on(at, cold=cold)
            first = at + READING_INTERVAL_MS * (number + 1) // len(self._machines)
            self._agenda.plan(first, lambda now, machine=machine: self._read(machine, now))  # type: ignore[misc]
        self._agenda.plan(self._calendar.next_edge(at), self._change_shift)
        self._read_now = set(self._meters)
        self._end_instant(at)
        for machine in self._machines:
            for signal, count in self._told[machine.spec.id].count.items():
                self._say(at, machine, signal, self._shown(machine.spec, count))

    def _do(self, at: int) -> None:
        self._now = at
        self._agenda.do_all_at(at)
        self._end_instant(at)

    def _change_shift(self, at: int) -> None:
        self._floor.look(at)
        for machine in self._machines:
            machine.change_shift(at)
        self._agenda.plan(self._calendar.next_edge(at), self._change_shift)

    def _read(self, machine: Machine, at: int) -> None:
        """Every so often the load has moved, and the meter is read."""
        self._meters[machine.spec.id].wander(at, READING_INTERVAL_MS / 1000)
        self._read_now.add(machine.spec.id)
        self._agenda.plan(at + READING_INTERVAL_MS, lambda now: self._read(machine, now))

    def _end_instant(self, at: int) -> None:
        """Let the lines settle, then say and book what has changed."""
        for line in self._lines:
            line.settle(at)
        for machine in self._machines:
            told = self._told[machine.spec.id]
            if machine.product != told.product:
                told.product = machine.product
                self._say(at, machine, Signal.PRODUCT, machine.product)
            if machine.condition is not told.condition:
                told.condition = machine.condition
                self._meters[machine.spec.id].follow(machine.condition, at)
                self.book.note_condition(machine.spec.id, at, machine.condition)
                self._say(at, machine, Signal.CONDITION, machine.condition)
            if machine.phase is not told.phase:
                told.phase = machine.phase
                self._say(at, machine, Signal.PHASE, machine.phase)
            if machine.completed is not None:
                self._count(at, machine)
            self._say_readings(at, machine)
        self._read_now.clear()

    def _count(self, at: int, machine: Machine) -> None:
        piece, machine.completed = machine.completed, None
        assert piece is not None
        self.book.note_piece(machine.spec.id, at, piece)
        outcome = {Outcome.GOOD: Signal.GOOD, Outcome.SCRAP: Signal.SCRAP, Outcome.REWORK: Signal.REWORK}
        counted = {Signal.TOTAL, outcome[piece.outcome]}
        counted |= {Signal.INSPECTED} if piece.inspected else set()
        counted |= {Signal.FIRST_PASS} if piece.first_pass else set()
        count = self._told[machine.spec.id].count
        for signal in machine.spec.counts:
            if signal in counted:
                count[signal] += 1
                self._say(at, machine, signal, self._shown(machine.spec, count[signal]))

    def _say_readings(self, at: int, machine: Machine) -> None:
        """Power whenever it has changed; all readings when it is time for them."""
        meter, told = self._meters[machine.spec.id], self._told[machine.spec.id]
        if meter.watts != told.watts:
            told.watts = meter.watts
            self.book.note_watts(machine.spec.id, at, meter.watts)
            self._say(at, machine, Signal.POWER, meter.watts)
        if machine.spec.id in self._read_now:
            told.energy = meter.reading(at)
            self._say(at, machine, Signal.ENERGY, told.energy)
            if machine.spec.device is Device.MACHINE_TOOL:
                self._say(at, machine, Signal.TEMPERATURE, round(meter.temperature, 1))

    def _shown(self, spec: MachineSpec, count: int) -> int:
        return count if spec.counter_modulus is None else count % spec.counter_modulus

    def _say(self, at: int, machine: Machine, signal: Signal, value: float | str) -> None:
        self._events.append(Event(at * MS, machine.spec.id, signal, value))
