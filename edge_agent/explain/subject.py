"""A question about one number, and what it is about: machines, window, and the versions of what is known of them.

Rule: everything is of one instant of the journal; what the question names and nobody knows is said with what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from config.compiled import CompiledPlant
from config.errors import did_you_mean
from edge_agent.explain.evidence import JournalEvidence
from edge_agent.explain.window import Asked, between, window_at
from edge_agent.explain.words import local
from edge_agent.held_range import HeldRange
from edge_agent.journal import JournalReader
from edge_agent.plant_facts import kpis_of, plant_facts
from edge_agent.plant_kpis import PlantKpis
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Machine
from kpi.rollup import Level, WindowName

SCHEMA: Final = 1
"""Version of the answer's JSON: names that it has keep their meaning, new ones may come."""


_MOST_NAMES: Final = 20
"""Machines or lines that a message lists."""


class UnanswerableError(ValueError):
    """The question cannot be answered. The text says why, and what can be asked instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which number. kpi: its id. place: id of a machine or name of a line, empty for the site.

    window, at: the window that holds an instant, ns; None = the newest that the journal knows. start, end: in their
    place, whole minutes, ns. deep: pedigrees of the machines, too, where the number is of a line or the site.
    characteristic: name of the measured value that a capability index is of; empty = the machine's only one.
    """

    kpi: str
    level: Level
    place: str = ""
    window: WindowName = "day"
    at: int | None = None
    start: int | None = None
    end: int | None = None
    deep: bool = False
    characteristic: str = ""


class Subject:
    """Machines, window and versions that a question is about.

    compiled: what the plant file says, its texts coded as `reader.texts` has them; None where only the journal is at
    hand. Raises UnanswerableError.
    """

    def __init__(self, reader: JournalReader, compiled: CompiledPlant | None, question: Question) -> None:
        self.reader, self.compiled, self.question = reader, compiled, question
        self.said = reader.status()
        if compiled is None and "plant" not in self.said:
            raise UnanswerableError("no agent has written to this journal yet")
        self.plant_facts = self.said["plant"] if compiled is None else plant_facts(compiled)
        self.kpis = kpis_of(self.plant_facts) if compiled is None else PlantKpis.of(compiled)
        self.plant = self.kpis.plant
        self.machines = self._asked_machines()
        self.evidence = JournalEvidence(reader, compiled, self.machines)
        self.asked = self._asked_window()

    @property
    def place(self) -> str:
        """What the number is of, by its name."""
        return self.question.place or self.plant.site

    def rows(self) -> tuple[str, pl.DataFrame]:
        """(table, element rows) of the window, of all machines that the number may depend on."""
        lines = {machine.line for machine in self.machines}
        ids = [machine.id for machine in self.plant.machines if machine.line in lines]
        table, first = self.grain()
        if table == "minute":
            return table, self.asked.own(self.reader.elements("minute", first, self.asked.end, ids))
        return table, self.asked.own(self.reader.elements("hour", first, self.asked.end, ids))

    def grain(self) -> tuple[str, int]:
        """(table, from when on to read it, ns) that the window is summed from: minutes as long as they are kept."""
        asked = self.asked
        minutes_from, hour_offset = self.reader.kept()
        if asked.start >= minutes_from:
            return "minute", asked.start - asked.start % MINUTE_NS
        first = asked.start - (asked.start - hour_offset) % HOUR_NS
        if asked.window != "shift" and (first != asked.start or (asked.end - hour_offset) % HOUR_NS):
            raise UnanswerableError("of that time only whole hours are still held: ask for whole hours, or a shift")
        return "hour", first

    def has_nothing(self) -> UnanswerableError:
        """What to raise where nothing is held of the window."""
        held = HeldRange.of(self.reader, [machine.id for machine in self.machines])
        if held is None:
            return UnanswerableError(f"the journal has nothing of {self.place} at all")
        zone = self.plant.timezone
        return UnanswerableError(
            f"the journal has nothing of {self.place} in that time; it holds {held.words(zone)} ({zone})"
        )

    def window_facts(self, table: str) -> dict[str, Any]:
        """The window as JSON. table: whose rows are summed."""
        asked, zone = self.asked, self.plant.timezone
        settled = self.evidence.settled_to
        return {
            "name": asked.window,
            "shift": asked.shift,
            "start": asked.start,
            "end": asked.end,
            "from": local(asked.start, zone).isoformat(),
            "to": local(asked.end, zone).isoformat(),
            "settled_to": settled,
            "provisional": asked.end > settled,
            "rows_of": table,
        }

    def configuration(self) -> dict[str, Any]:
        """Versions of the configuration as JSON."""
        of_journal = self.said.get("plant", {}).get("version")
        of_file = None if self.compiled is None else self.compiled.version
        notes = []
        if of_file is not None and of_journal is not None and of_file != of_journal:
            notes.append("the plant file has been changed since the agent last started with it")
        if self.compiled is None:
            notes.append("without the plant file, signals, rules of states and planned run times are not known")
        return {"journal": of_journal, "plant_file": of_file, "notes": notes}

    def not_recorded_ns(self, rows: pl.DataFrame) -> int:
        """Time of the window, as far as it is over, without any row of a machine. rows: its element rows."""
        until = min(self.asked.end, self.evidence.settled_to)
        return until - self.asked.start - int(rows["calendar_time"].sum())

    def _asked_machines(self) -> tuple[Machine, ...]:
        level, place = self.question.level, self.question.place
        machines = self.plant.machines
        if level not in {"machine", "line"}:
            return machines
        name = "id" if level == "machine" else "line"
        found = tuple(machine for machine in machines if getattr(machine, name) == place)
        if not found:
            known = list(dict.fromkeys(getattr(machine, name) for machine in machines))
            more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
            alike = did_you_mean(place, known) or f"; known are {', '.join(known[:_MOST_NAMES])}{more}"
            raise UnanswerableError(f"there is no {level} {place!r}{alike}")
        return found

    def _asked_window(self) -> Asked:
        asked = self.question
        try:
            if asked.start is not None and asked.end is not None:
                return between(asked.start, asked.end)
            newest = max(0, self.evidence.settled_to - 1)
            at = newest if asked.at is None else asked.at
            return window_at(asked.window, at, self.machines, self.plant.timezone)
        except ValueError as fault:
            raise UnanswerableError(str(fault)) from None
