"""Fingerprints of what rows depend on beside samples: to know, at a start, whose past has to be folded again.

Rule 1: of each machine two: its calendar, and all else (rules of states, counters, ideal times, factors). What does not
change a figure, such as names and addresses, is in neither.
Rule 2: tags by their names, since their indexes move whenever another signal is added. Scale and offset are not in it:
samples are kept as they were scaled when they came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from typing import Any, Final

from edge_agent.journal import RevisionCause
from kpi.plant import Plant

Prints = Mapping[str, tuple[str, str]]
"""Machine → fingerprint of its calendar, of its rules."""

_NAMES: Final = frozenset({"id", "name", "line", "area"})
_TAGS: Final = frozenset({"tag", "link"})


def prints_of(plant: Plant, tags: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Fingerprints of all machines. tags: names by index."""
    factors = _plain(plant.factors, tags)
    return {
        machine.id: (
            _print([plant.timezone, _plain(machine.calendar, tags)]),
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


def edited(before: Prints, now: Prints) -> dict[str, RevisionCause]:
    """Machines whose past is another one now, and why; those that were not there before have none."""
    causes: dict[str, RevisionCause] = {}
    for machine in before.keys() & now.keys():
        (calendar_before, rules_before), (calendar, rules) = before[machine], now[machine]
        if rules != rules_before:
            causes[machine] = RevisionCause.RECOMPUTATION
        elif calendar != calendar_before:
            causes[machine] = RevisionCause.CALENDAR_EDIT
    return causes


def _print(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
