"""The plant as the journal remembers it: machines, places, calendars, its KPIs, declared elements and rules of lines.

Exports and `status` work on a journal alone, also on one that was copied from the gateway; so the agent writes these
facts beside its figures. What is missing in a journal of an older program is as if nobody had configured it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, time
from typing import Any, NamedTuple

from config.compiled import CompiledPlant
from edge_agent.journal import TagFacts
from edge_agent.plant_kpis import PlantKpis
from kpi.calendar import planned_times
from kpi.declared import Declaration
from kpi.elements import HOUR_NS
from kpi.formulas import FailureDenominator, Kpi, kpi_book
from kpi.lines import LineKind, LineRule
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
        "calendars": [calendar_facts(by_key[key]) for key in calendars],
        "machines": [
            {
                "id": machine.id,
                "name": machine.name,
                "line": machine.line,
                "area": machine.area,
                "calendar": calendars.index(_key(machine.calendar)),
                "limits": [
                    {
                        "name": one.name,
                        "unit": compiled.tags.tags[one.tag].unit,
                        "lower": one.lower,
                        "upper": one.upper,
                        "nominal": one.nominal,
                    }
                    for one in machine.characteristics
                ],
            }
            for machine in compiled.plant.machines
        ],
        "own_kpis": [asdict(kpi) for kpi in compiled.kpis.own],
        "mean_times_over": compiled.kpis.failures,
        "declared": [asdict(one) for one in compiled.declared],
        "line_rules": [asdict(rule) for rule in compiled.line_rules],
    }


def tag_facts(compiled: CompiledPlant) -> dict[str, TagFacts]:
    """What the journal remembers of each tag, by name: samples may be kept for longer than a signal is configured."""
    return {tag.name: TagFacts(tag.machine, tag.unit, tag.text) for tag in compiled.tags.tags}


def _frozen(value: Any) -> Any:
    """JSON has lists where a KPI has tuples."""
    return tuple(value) if isinstance(value, list) else value


def kpis_of(facts: Mapping[str, Any]) -> PlantKpis:
    """How the figures of the plant of the facts are made.

    Raises kpi.expressions.FormulaError where an own formula is of a program that knows more elements.
    """
    own = [Kpi(**{name: _frozen(value) for name, value in one.items()}) for one in facts.get("own_kpis", ())]
    rules = [
        LineRule(
            **{
                **one,
                "kind": LineKind(one["kind"]),
                "steps": tuple(one["steps"]),
                "untold": {part: tuple(steps) for part, steps in one.get("untold", {}).items()},
            }
        )
        for one in facts.get("line_rules", ())
    ]
    return PlantKpis(
        plant_of(facts),
        kpi_book(own, FailureDenominator(facts.get("mean_times_over", FailureDenominator.FE))),
        tuple(Declaration(**one) for one in facts.get("declared", ())),
        tuple(rules),
    )


class Limits(NamedTuple):
    """Of a measured value: limits (None where there is none) and nominal, in its unit."""

    machine: str
    characteristic: str
    unit: str
    lower: float | None
    upper: float | None
    nominal: float


def limits_of(facts: Mapping[str, Any]) -> list[Limits]:
    """Limits of the measured values that have any."""
    return [
        Limits(machine["id"], one["name"], one["unit"], one["lower"], one["upper"], one["nominal"])
        for machine in facts["machines"]
        for one in machine.get("limits", ())
    ]


def plant_of(facts: Mapping[str, Any]) -> Plant:
    """The plant of the facts: enough for sums and windows; it has no signals, so not for an engine."""
    calendars = [calendar_of(one) for one in facts["calendars"]]
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


def calendar_facts(calendar: Calendar) -> dict[str, Any]:
    """A calendar, ready for JSON."""
    return {
        "timezone": calendar.timezone,
        "holidays": sorted(day.isoformat() for day in calendar.holidays),
        "exceptions": [[day.isoformat(), list(shifts)] for day, shifts in calendar.exceptions],
        "planned_stops": [list(stop) for stop in calendar.planned_stops],
        # left out where there is none: what an earlier version kept of a calendar is what it is now
        **({"maintenance": [list(stop) for stop in calendar.maintenance]} if calendar.maintenance else {}),
        "shifts": [
            {
                "name": shift.name,
                "start": shift.start.isoformat(),
                "end": shift.end.isoformat(),
                "days": sorted(shift.days),
                "breaks": [[begin.isoformat(), end.isoformat()] for begin, end in shift.breaks],
                "valid_from": None if shift.valid_from is None else shift.valid_from.isoformat(),
                "valid_until": None if shift.valid_until is None else shift.valid_until.isoformat(),
            }
            for shift in calendar.shifts
        ],
    }


def calendar_of(facts: Mapping[str, Any]) -> Calendar:
    """The calendar of the facts. Raises KeyError, TypeError or ValueError where they are of another program."""
    shifts = tuple(
        Shift(
            one["name"],
            time.fromisoformat(one["start"]),
            time.fromisoformat(one["end"]),
            frozenset(one["days"]),
            tuple((time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in one["breaks"]),
            _date(one.get("valid_from")),
            _date(one.get("valid_until")),
        )
        for one in facts["shifts"]
    )
    return Calendar(
        facts["timezone"],
        shifts,
        frozenset(date.fromisoformat(day) for day in facts["holidays"]),
        tuple((date.fromisoformat(day), tuple(shifts)) for day, shifts in facts.get("exceptions", ())),
        tuple((begin, end) for begin, end in facts.get("planned_stops", ())),
        tuple((begin, end) for begin, end in facts.get("maintenance", ())),
    )


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
