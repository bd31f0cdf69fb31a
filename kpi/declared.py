"""Declared elements: what no signal of a machine says, and a plant feeds in (hours worked, material, stocks, plans).

Rule 1: a declaration is an amount of a period, and is never split: it counts in windows that hold the whole period.
Rule 2: an element that is declared for a part of a window is not known for it. The declared periods must cover every
instant of the window in which one of the machines concerned is in planned operation time; where they do not, or where
one reaches over an edge of the window, the element is null there, and `gaps` says how much is missing.
Rule 3: an element of a line, area or site is what is declared for it, else the sum over its parts if all have one.

Two ways were weighed for a period that is longer than the window: to spread it over time (every window has a figure,
and nearly all are invented), or to say nothing for the shorter windows. Silence won: a month's material balance says
nothing about a Tuesday.
Source: ISO 22400-2, elements of orders, personnel, material and stocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from kpi.calendar import planned_times
from kpi.plant import Calendar, Machine, Plant


@dataclass(frozen=True, slots=True)
class DeclaredElement:
    """An element that is fed in. stock: a level, averaged over time; else an amount, which is added up."""

    id: str
    symbol: str
    name: str
    unit: str
    source: str
    stock: bool = False


_ISO: Final = "ISO 22400-2:2014, clause 5"

DECLARED: Final[tuple[DeclaredElement, ...]] = (
    DeclaredElement("apwt", "APWT", "actual personnel work time on orders", "s", _ISO),
    DeclaredElement("apat", "APAT", "actual personnel attendance time, without breaks", "s", _ISO),
    DeclaredElement("aoet", "AOET", "actual order execution time, order end − order start, over orders", "s", _ISO),
    DeclaredElement("psq", "PSQ", "scrap that planning expects", "pieces", _ISO),
    DeclaredElement("epc", "EPC", "equipment production capacity in the period, rated or maximum", "pieces", _ISO),
    DeclaredElement("consumed", "CM", "consumed material, in the unit in which good ones are counted", "units", _ISO),
    DeclaredElement("igq", "IGQ", "integrated good quantity: all grades, in the unit of CM", "units", _ISO),
    DeclaredElement("pl", "PL", "quantity lost in production, in the unit of CM", "units", _ISO),
    DeclaredElement("stl", "STL", "quantity lost in storage and transport, in the unit of CM", "units", _ISO),
    DeclaredElement("ol", "OL", "quantity lost in extraordinary events, in the unit of CM", "units", _ISO),
    DeclaredElement("th", "TH", "throughput quantity over the inventory period", "units", _ISO),
    DeclaredElement("inventory", "RMI … FGI", "stock in the unit of TH; name the stocks", "units", _ISO, stock=True),
    DeclaredElement("startup_lost", "", "earned time of pieces lost while starting up", "s", "TPM, six big losses"),
)  # fmt: skip

DECLARED_IDS: Final[tuple[str, ...]] = tuple(element.id for element in DECLARED)
DECLARED_ELEMENT: Final[Mapping[str, DeclaredElement]] = {element.id: element for element in DECLARED}


@dataclass(frozen=True, slots=True)
class Declaration:
    """A value of a declared element over start ≤ time < end (ns), in the element's unit.

    machine or line: what it is of; both empty = the site. note: where the figure is from, for who has to show it.
    """

    element: str
    value: float
    start: int
    end: int
    machine: str = ""
    line: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a declared element has no value in a window although something is declared.

    missing_ns: planned operation time that no declaration covers. cut: declarations that reach over an edge of the
    window.
    """

    element: str
    missing_ns: int
    cut: int

    def __str__(self) -> str:
        if self.cut:
            return f"`{self.element}` is declared for a period that reaches beyond this window, and is not split"
        return f"`{self.element}` is not declared for {self.missing_ns / 3.6e12:.1f} h of planned operation time"


Found = float | Gap | None
"""A value; why there is none although something is declared; None where nothing is."""


def with_declared(
    sums: pl.DataFrame, declarations: Sequence[Declaration], plant: Plant, ends: pl.Series
) -> pl.DataFrame:
    """Rows of summed elements with the declared elements of their windows.

    sums: rows as `kpi.rollup` gives them: area, line, machine (those of its level), time (Int64 ns). ends: Int64 ns,
        shape (rows,): the windows' ends.
    Returns the same rows with one Float64 column for each element that is declared at all, null where not known.
    """
    found = declared_in(sums, declarations, plant, ends)
    columns = {
        element: [value if isinstance(value, float) else None for value in values] for element, values in found.items()
    }
    return sums.with_columns(pl.Series(name, values, pl.Float64) for name, values in columns.items())


def declared_in(
    sums: pl.DataFrame, declarations: Sequence[Declaration], plant: Plant, ends: pl.Series
) -> dict[str, list[Found]]:
    """Declared elements by id, one entry a row of `sums`, a gap where one cannot be told; see `with_declared`."""
    book = _Declared(plant, declarations)
    columns = [c if c in sums.columns else None for c in ("area", "line", "machine")]
    places = list(zip(*(sums[c].to_list() if c else [None] * len(sums) for c in columns), strict=True))
    windows = list(zip(sums["time"].to_list(), ends.to_list(), strict=True))
    return {
        element: [book.at(element, place, window) for place, window in zip(places, windows, strict=True)]
        for element in dict.fromkeys(declaration.element for declaration in declarations)
    }


Place = tuple[str | None, str | None, str | None]
"""Area, line, machine; None from the level down at which the row does not say."""

Window = tuple[int, int]


class _Declared:
    """Declarations by what they are of."""

    def __init__(self, plant: Plant, declarations: Iterable[Declaration]) -> None:
        self._machines = plant.machines
        self._of: dict[tuple[str, str, str], list[Declaration]] = {}
        for one in declarations:
            self._of.setdefault((one.element, one.line, one.machine), []).append(one)

    def at(self, element: str, place: Place, window: Window) -> Found:
        area, line, machine = place
        mine = [
            m
            for m in self._machines
            if (area is None or m.area == area) and (line is None or m.line == line) and machine in {None, m.id}
        ]
        if machine is not None:
            return self._own(element, "", machine, mine, window)
        if line is not None:
            own = self._own(element, line, "", mine, window)
            return own if own is not None else _total([self._own(element, "", m.id, [m], window) for m in mine])
        own = None if area is not None else self._own(element, "", "", mine, window)
        lines = dict.fromkeys((m.area, m.line) for m in mine)
        return own if own is not None else _total([self.at(element, (*one, None), window) for one in lines])

    def _own(self, element: str, line: str, machine: str, mine: Sequence[Machine], window: Window) -> Found:
        start, end = window
        touching = [d for d in self._of.get((element, line, machine), ()) if d.start < end and d.end > start]
        if not touching:
            return None
        cut = sum(d.start < start or d.end > end for d in touching)
        missing = _uncovered([(d.start, d.end) for d in touching], {m.calendar for m in mine}, window)
        if cut or missing:
            return Gap(element, missing, cut)
        if DECLARED_ELEMENT[element].stock:
            return sum(d.value * (d.end - d.start) for d in touching) / sum(d.end - d.start for d in touching)
        return float(sum(d.value for d in touching))


def _total(found: Sequence[Found]) -> Found:
    gaps = [one for one in found if isinstance(one, Gap)]
    if gaps:
        return gaps[0]
    values = [one for one in found if isinstance(one, float)]
    return float(sum(values)) if values and len(values) == len(found) else None


def _uncovered(periods: Sequence[Window], calendars: Collection[Calendar], window: Window) -> int:
    """Planned operation time (ns) of the window that no period covers, of the calendar that lacks most."""
    return max((_uncovered_of(calendar, tuple(sorted(periods)), *window) for calendar in calendars), default=0)


@lru_cache(maxsize=4_096)
def _uncovered_of(calendar: Calendar, periods: tuple[Window, ...], start: int, end: int) -> int:
    planned = planned_times(calendar, start, end)
    edges = np.unique(np.concatenate([planned.edge, np.array(periods, np.int64).ravel().clip(start, end), [end]]))
    begin, finish = edges[:-1], edges[1:]
    operation = planned.operation[np.searchsorted(planned.edge, begin, side="right") - 1]
    covered = np.zeros(len(begin), np.bool_)
    for first, last in periods:
        covered |= (begin >= first) & (finish <= last)
    return int((finish - begin)[operation & ~covered].sum())
