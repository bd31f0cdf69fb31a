"""The energy factors that are shipped: `data/energy_factors.yaml`, read once and checked.

Rule: figures are data with a date and a source; no figure stands in code.
Imports: standard library, ruamel.yaml, pydantic, kpi.plant.
"""

from __future__ import annotations

from dataclasses import field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML

FILE: Final = Path(__file__).parent / "data" / "energy_factors.yaml"


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Figure:
    """A figure of one unit of a carrier. kind, grid: of electricity only. since: None = from the beginning."""

    carrier: str
    value: float
    source: str
    verified: bool
    since: date | None = None
    kind: str | None = None
    grid: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Shipped:
    """All figures, in the file's order: kg of standard coal, and kg of CO2 equivalent."""

    kgce: tuple[Figure, ...] = field()
    kg_co2e: tuple[Figure, ...] = field()


@cache
def shipped() -> Shipped:
    """The figures of the file."""
    with FILE.open(encoding="utf-8") as file:
        made: Shipped = TypeAdapter(Shipped).validate_python(YAML(typ="safe", pure=True).load(file))
    return made


ELECTRICITY_KINDS: Final = tuple(figure.kind for figure in shipped().kgce if figure.kind)
"""How electricity can be valued as standard coal."""

GRIDS: Final = tuple(dict.fromkeys(figure.grid for figure in shipped().kg_co2e if figure.grid))
"""Grids whose electricity has a figure."""

BOUGHT: Final = ("compressed_air", "water")
"""Energy-consuming media (GB/T 2589): made with energy that is metered already, unless they are bought in."""
