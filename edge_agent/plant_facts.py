"""The plant as the journal remembers it: machines, places, calendars; enough to roll up and to show without the YAML.

Exports and `status` work on a journal alone, also on one that was copied from the gateway; so the agent writes these
facts beside its figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from config.compiled import CompiledPlant
from kpi.calendar import planned_times
from kpi.elements import HOUR_NS
from kpi.plant import Calendar, Machine, Plant, Shift, StateModel


def plant_facts(compiled: CompiledPlant) -> dict[str, Any]:
    """The facts, ready for JSON. Equal calendars are written once."""
    calendars = list(dict.fromkeys(_key(machine.calendar) for machine in compiled.plant.machines))
    by_key = {_key(machine.calendar): machine.calendar for machine in compiled.plant.machines}
    return {
        "enterprise": compiled.enterprise,
        "site": compiled.site,
        "timezone": compiled.timezone,
        "version": compiled.version,
        "calendars": [_calendar_facts(by_key[key]) for key in calendars],
        "machines": [
            {
                "id": machine.id,
                "name": machine.name,
                "line": machine.line,
                "area": machine.area,
                "calendar": calendars.index(_key(machine.calendar)),
            }
            for machine in compiled.plant.machines
        ],
    }


def plant_of(facts: Mapping[str, Any]) -> Plant:
    """The plant of the facts: enough for sums and windows; it has no signals, so not for an engine."""
    calendars = [_calendar_of(one) for one in facts["calendars"]]
    machines = [
        Machine(one["id"], one["name"], one["line"], one["area"], calendars[one["calendar"]], StateModel((), ()), ())
        for one in facts["machines"]
    ]
    return Plant(facts["site"], facts["timezone"], tuple(machines))


def shift_end(calendar: Calendar, start: int) -> int:
    """When the shift that starts at `start` ends; both ns since the epoch, UTC."""
    planned = planned_times(calendar, start, start + 49 * HOUR_NS)  # no shift is longer than a day and an hour
    others = planned.edge[planned.shift_start != start]
    return int(others[0]) if len(others) else start + 24 * HOUR_NS


def _key(calendar: Calendar) -> str:
    return repr(calendar)


def _calendar_facts(calendar: Calendar) -> dict[str, Any]:
    return {
        "timezone": calendar.timezone,
        "holidays": sorted(day.isoformat() for day in calendar.holidays),
        "shifts": [
            {
                "name": shift.name,
                "start": shift.start.isoformat(),
                "end": shift.end.isoformat(),
                "days": sorted(shift.days),
                "breaks": [[begin.isoformat(), end.isoformat()] for begin, end in shift.breaks],
            }
            for shift in calendar.shifts
        ],
    }


def _calendar_of(facts: Mapping[str, Any]) -> Calendar:
    shifts = tuple(
        Shift(
            one["name"],
            time.fromisoformat(one["start"]),
            time.fromisoformat(one["end"]),
            frozenset(one["days"]),
            tuple((time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in one["breaks"]),
        )
        for one in facts["shifts"]
    )
    return Calendar(facts["timezone"], shifts, frozenset(date.fromisoformat(day) for day in facts["holidays"]))
