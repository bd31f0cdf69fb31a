"""Energy factors of a plant: the shipped figures that it chooses, and its own before them.

What counts, decided here: the carriers that a plant takes in. Compressed air and water take energy to make, which the
plant's electricity meter has counted already; so they count only where they are bought in. Electricity is valued in one
way for the whole plant.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from config.energy_factors import BOUGHT, Figure, shipped
from config.errors import Path
from config.factor_options import CARRIERS, ELECTRICITY, FactorOptions
from kpi.plant import Carrier, EnergyFactor

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

ALWAYS = date.min


@dataclass(frozen=True, slots=True)
class _Dated:
    """A figure from a date on."""

    since: date
    value: float
    source: str


def compile_factors(options: FactorOptions, time_zone: str, report: Report) -> tuple[EnergyFactor, ...]:
    """The factors that the options choose; contradictions go to `report`. Dates begin at midnight of the plant."""
    _check_own(options, report)
    zone = ZoneInfo(time_zone)
    factors = []
    for carrier in CARRIERS:
        if carrier in BOUGHT and carrier not in options.bought_media:
            continue
        coal = _chosen(options, carrier, "kgce", shipped().kgce)
        co2 = _chosen(options, carrier, "kg_co2e", shipped().kg_co2e)
        for since in sorted({one.since for one in (*coal, *co2)}):
            kgce, kg_co2e = _at(coal, since), _at(co2, since)
            sources = dict.fromkeys(one.source for one in (kgce, kg_co2e) if one is not None)
            factors.append(
                EnergyFactor(
                    carrier=None if carrier == ELECTRICITY else Carrier(carrier),
                    since=_midnight(since, zone),
                    kgce=kgce.value if kgce else 0.0,
                    kg_co2e=kg_co2e.value if kg_co2e else 0.0,
                    source="; ".join(sources),
                )
            )
    return tuple(factors)


def _chosen(options: FactorOptions, carrier: str, quantity: str, figures: Iterable[Figure]) -> list[_Dated]:
    """The figures of a carrier and quantity in order of their date: shipped ones until the plant's own begin."""
    own = sorted(
        (
            _Dated(one.since or ALWAYS, value, one.source)
            for one in options.own
            if one.carrier == carrier and (value := getattr(one, quantity)) is not None
        ),
        key=lambda one: one.since,
    )
    fitting = [
        figure
        for figure in figures
        if figure.carrier == carrier
        and (figure.kind is None or figure.kind == options.electricity)
        and (carrier != ELECTRICITY or quantity == "kgce" or figure.grid == options.grid)
    ]
    given = [
        _Dated(ALWAYS if place == 0 else figure.since or ALWAYS, figure.value, figure.source)
        for place, figure in enumerate(sorted(fitting, key=lambda figure: figure.since or ALWAYS))
    ]
    return [*(one for one in given if not own or one.since < own[0].since), *own]


def _at(figures: list[_Dated], day: date) -> _Dated | None:
    """The figure that holds on a day."""
    held = [one for one in figures if one.since <= day]
    return held[-1] if held else None


def _midnight(day: date, zone: ZoneInfo) -> int:
    """ns since the epoch of the beginning of a day; nothing is older than the epoch."""
    if day == ALWAYS:
        return 0
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000_000


def _check_own(options: FactorOptions, report: Report) -> None:
    seen: set[tuple[str, date, str]] = set()
    for place, one in enumerate(options.own):
        path: Path = ("factors", "own", place)
        given = [name for name in ("kgce", "kg_co2e") if getattr(one, name) is not None]
        if not given:
            report(path, "gives no figure: `kgce`, `kg_co2e` or both")
        if one.carrier in BOUGHT and one.carrier not in options.bought_media:
            message = f"`{one.carrier}` does not count, because it is not in `bought_media`"
            report((*path, "carrier"), message)
        for name in given:
            key = (one.carrier, one.since or ALWAYS, name)
            if key in seen:
                report((*path, name), f"a second figure of `{one.carrier}` from the same date")
            seen.add(key)
