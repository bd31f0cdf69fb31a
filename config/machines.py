"""What is said of a machine: its own words first, then its profile's, with the place of each.

Rule: who says what, and where; what it means is the compiler's.
Imports: standard library, config.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from config.errors import Path
from config.models import Equipment, Line, MachineOptions, PlantConfig
from config.placeholders import expand, placeholders
from config.signal_options import TimeSource

GIVEN = ("machine", "line", "area", "site", "enterprise")
"""Placeholders that every machine has a value for, from its place in the plant."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that says something of a machine."""

    path: Path
    says: Equipment


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of an option, and where."""

    value: Any
    path: Path


@dataclass(frozen=True, slots=True)
class PlacedMachine:
    """A machine in its line, with all that is said of it.

    layers: the machine, then its profile. values: placeholder → value.
    """

    path: Path
    line: Line
    options: MachineOptions
    layers: tuple[Layer, ...]
    values: dict[str, str] = field(default_factory=dict)

    def first(self, option: str) -> Said | None:
        """What is said of an option, the machine's own words first."""
        for layer in self.layers:
            said = getattr(layer.says, option)
            if said is not None:
                return Said(said, (*layer.path, option))
        return None

    def value(self, option: str) -> Any:
        """The same, without its place; None where nothing is said."""
        found = self.first(option)
        return None if found is None else found.value

    def named(self, option: str) -> Iterator[tuple[str, Said]]:
        """All entries of a mapping; the machine's own hides its profile's of the same name."""
        seen: set[str] = set()
        for layer in self.layers:
            said = getattr(layer.says, option) or {}
            entries = said.items() if isinstance(said, dict) else iter(said)
            for name, entry in entries:
                if entry is not None and name not in seen:
                    seen.add(name)
                    yield name, Said(entry, (*layer.path, option, name))

    def expand(self, text: str) -> str:
        """The text with this machine's values. Raises PlaceholderError."""
        return expand(text, self.values, self.options.id)


def place(config: PlantConfig, path: Path, line: Line, options: MachineOptions) -> PlacedMachine:
    """The machine with its profile, which must exist if one is named."""
    layers = [Layer(path, options)]
    if options.profile is not None:
        layers.append(Layer(("profiles", options.profile), config.profiles[options.profile]))
    of_place = (options.id, line.name, line.area, config.plant.site, config.plant.enterprise)
    given = {name: value for name, value in zip(GIVEN, of_place, strict=True) if value is not None}
    return PlacedMachine(path, line, options, tuple(layers), {**options.values, **given})


def placeholders_of(machine: PlacedMachine) -> set[str]:
    """All placeholders in the texts that the machine and its profile hold."""
    return {name for layer in machine.layers for text in _texts(layer.says) for name in placeholders(text)}


def _texts(said: Any) -> Iterator[str]:
    """Node, topic and path texts anywhere within options."""
    if isinstance(said, dict):
        for entry in said.values():
            yield from _texts(entry)
        return
    for name in ("node", "topic", "path"):
        text = getattr(said, name, None)
        if isinstance(text, str):
            yield text
    if isinstance(said, TimeSource):
        return
    for name in type(said).model_fields if hasattr(type(said), "model_fields") else ():
        entry = getattr(said, name)
        if isinstance(entry, dict) or hasattr(type(entry), "model_fields"):
            yield from _texts(entry)
