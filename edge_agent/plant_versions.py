"""What rows depend on beside samples: to know, at a start, whose past has to be folded again, and from when on.

Rule 1: of each machine two: its calendar, and a fingerprint of all else (rules of states, counters, ideal times,
factors). What does not change a figure, such as names and addresses, is in neither.
Rule 2: tags by their names, since their indexes move whenever another signal is added. Scale and offset are not in it:
samples are kept as they were scaled when they came.
Rule 3: a calendar is kept whole, so that two can be laid side by side: an edit that is valid from next month touches no
row, and one that is valid from yesterday none before. Of rules nobody can say from when on they make a difference.
Rule 4: a machine that is added to a plant begins in the minute in which an agent first started with it. The engine
knows of no time before which it was not there, and would call that unknown; what was sent before is for a replay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple

from edge_agent.journal import RevisionCause
from edge_agent.plant_facts import calendar_facts, calendar_of
from kpi.calendar import planned_times
from kpi.elements import MINUTE_NS
from kpi.plant import Calendar, Plant

Prints = Mapping[str, tuple[str, str]]
"""Machine → its calendar and when it begins, or the fingerprint of its calendar; fingerprint of its rules."""

_BEGINS: Final = "begins"

_ALL_FROM_THE_START: Final[Mapping[str, int]] = {}
_NAMES: Final = frozenset({"id", "name", "line", "area"})
_TAGS: Final = frozenset({"tag", "link"})


class Edit(NamedTuple):
    """That rows of a machine may be others. since: ns; none before it is."""

    cause: RevisionCause
    since: int


def versions_of(
    plant: Plant, tags: Sequence[str], begins: Mapping[str, int] = _ALL_FROM_THE_START
) -> dict[str, tuple[str, str]]:
    """Calendars of all machines as JSON, and fingerprints of their rules. tags: names by index. begins: of `begins`."""
    factors = _plain(plant.factors, tags)
    return {
        machine.id: (
            _json(
                {
                    "plant": plant.timezone,
                    **calendar_facts(machine.calendar),
                    **({_BEGINS: begins[machine.id]} if machine.id in begins else {}),
                }
            ),
            _print(
                [
                    factors,
                    {
                        field.name: _plain(getattr(machine, field.name), tags)
                        for field in fields(machine)
                        if field.name not in _NAMES and field.name != "calendar"
                    },
                ]
            ),
        )
        for machine in plant.machines
    }


def begins(before: Prints, plant: Plant, now: int) -> dict[str, int]:
    """Machine → the minute (ns) that it begins with, of those that were added to a plant that was there before.

    before: as of `versions_of`; empty of a plant that is new itself. now: ns.
    """
    found: dict[str, int] = {}
    for machine in plant.machines if before else ():
        if machine.id not in before:
            found[machine.id] = now - now % MINUTE_NS
        else:
            known = _begins_with(before[machine.id][0])
            found |= {} if known is None else {machine.id: known}
    return found


def _begins_with(calendar: str) -> int | None:
    try:
        found: int | None = json.loads(calendar).get(_BEGINS)
    except (AttributeError, ValueError):
        return None
    return found


def prints_of(plant: Plant, tags: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Fingerprints of calendars and rules of all machines, a few letters each. tags: names by index."""
    return {machine: (_print(calendar), rules) for machine, (calendar, rules) in versions_of(plant, tags).items()}


def edited(before: Prints, now: Prints, start: int, end: int) -> dict[str, Edit]:
    """Machines whose rows within [start, end), ns, may be others now; those that were not there before have none.

    before, now: as of `versions_of`; what an older program wrote of a calendar counts as another one.
    """
    touched = cache(lambda old, new: _first_touched(old, new, start, end))  # plants have few calendars
    edits: dict[str, Edit] = {}
    for machine in before.keys() & now.keys():
        (calendar_before, rules_before), (calendar, rules) = before[machine], now[machine]
        since = touched(calendar_before, calendar)
        if rules != rules_before:
            edits[machine] = Edit(RevisionCause.RECOMPUTATION, start)
        elif since is not None:
            edits[machine] = Edit(RevisionCause.CALENDAR_EDIT, since)
    return edits


def _first_touched(before: str, now: str, start: int, end: int) -> int | None:
    """From when on (ns) planned times are others; None where they are the same."""
    if before == now:
        return None
    facts = json.loads(now)
    try:
        facts_before = json.loads(before)
        calendar_before = calendar_of(facts_before)
        if facts_before["plant"] != facts["plant"]:
            return start
    except (KeyError, TypeError, ValueError):
        return start
    old, new = (_planned(calendar, start, end) for calendar in (calendar_before, calendar_of(facts)))
    differing = [(a[0], b[0]) for a, b in zip([*old, (end,)], [*new, (end,)], strict=False) if a != b]
    return min(differing[0]) if differing else None


def _planned(calendar: Calendar, start: int, end: int) -> list[tuple[Any, ...]]:
    """What holds from each edge on: (edge, operation, busy, shift's name, its start, maintenance), where it is not as
    before."""
    planned = planned_times(calendar, start, end)
    names = [calendar.shifts[shift].name if shift >= 0 else "" for shift in planned.shift.tolist()]
    columns = (
        planned.operation.tolist(),
        planned.busy.tolist(),
        names,
        planned.shift_start.tolist(),
        planned.maintenance.tolist(),
    )
    found: list[tuple[Any, ...]] = []
    for edge, *what in zip(planned.edge.tolist(), *columns, strict=True):
        if not found or found[-1][1:] != tuple(what):
            found.append((edge, *what))
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _print(value: Any) -> str:
    return hashlib.sha256(_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(value: Any, tags: Sequence[str]) -> Any:
    """The same in lists and texts, in an order that is the same in every process."""
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _tag(one, tags) if name in _TAGS else _plain(one, tags) for name, one in named.items()}
    if isinstance(value, Mapping):
        return sorted(([_plain(key, tags), _plain(one, tags)] for key, one in value.items()), key=json.dumps)
    if isinstance(value, frozenset | set):
        return sorted((_plain(one, tags) for one in value), key=json.dumps)
    if isinstance(value, list | tuple):
        return [_plain(one, tags) for one in value]
    if isinstance(value, date | time):
        return value.isoformat()
    return value.name if isinstance(value, Enum) else value


def _tag(index: int | None, tags: Sequence[str]) -> str | None:
    return None if index is None else tags[index]
