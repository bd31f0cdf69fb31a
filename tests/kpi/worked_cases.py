"""Reads `cases/cases.yaml`, whose head says what may stand in it, and computes each case: by formulas, by lines' rules,
by statistics, or through the whole engine, from measured values or a timeline, with the factors of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl
from ruamel.yaml import YAML

from config.errors import Path as ConfigPath
from config.factor_options import FactorOptions
from config.factors import compile_factors
from kpi.capability import CAPABILITY, STATISTICS, capability, why_absent
from kpi.declared import DECLARED_IDS
from kpi.elements import ELEMENT, ELEMENT_IDS
from kpi.engine import Engine
from kpi.formulas import FailureDenominator, Kpi, KpiBook, evaluate, kpi_book
from kpi.lines import LineKind, LineRule
from kpi.plant import (
    Calendar,
    Carrier,
    Characteristic,
    Counter,
    EnergyFactor,
    Machine,
    Plant,
    Quantity,
    Shift,
    Signal,
    State,
    StateModel,
    StateRule,
)
from kpi.reasons import reasons, warnings
from kpi.rollup import rollups
from tests.kpi.plants import HOUR, MINUTE, SECOND, feed, ns
from tests.kpi.twin import Sample

FILE: Final = Path(__file__).parent / "cases" / "cases.yaml"

_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_COUNTS: Final = ("good", "scrap", "rework", "total", "inspected", "first_pass")
_STATE, _PRODUCT, _ENERGY, _VALUE, _FIRST_COUNT = 0, 1, 2, 3, 4
_MEDIA: Final = {carrier: _FIRST_COUNT + len(_COUNTS) + place for place, carrier in enumerate(Carrier)}
_CLOCK_WINDOWS: Final = ("day", "week")


@dataclass(frozen=True)
class Printed:
    """A value as it was printed: what rounds to it is equal to it."""

    text: str

    def matches(self, value: float | None) -> bool:
        """Whether a value prints as this one does."""
        if value is None:
            return False
        number = self.text.removesuffix("%").strip()
        decimals = len(number.partition(".")[2])
        factor = 100.0 if self.text.endswith("%") else 1.0
        return abs(value * factor - float(number)) <= 0.5000001 * 10.0**-decimals


@dataclass(frozen=True)
class Answer:
    """KPIs of one row with the reasons and warnings about them."""

    values: Mapping[str, float | None]
    reasons: Mapping[str, str | None]
    warnings: Mapping[str, str | None]


@cache
def cases() -> dict[str, dict[str, Any]]:
    """All cases by id."""
    listed = YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))
    by_id = {case["id"]: case for case in listed}
    assert len(by_id) == len(listed), "two cases have one id"
    return by_id


def kpis_of(case: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the KPIs that a case expects something of."""
    expected = case["expect"]
    groups = expected.values() if "timeline" in case else [expected, *case.get("expect_rows", ())]
    groups = [*groups, *case.get("expect_machines", {}).values()]
    yield from dict.fromkeys(kpi for group in groups for kpi in group)


@cache
def answers_of(case: str) -> tuple[tuple[str, Mapping[str, Any], Answer], ...]:
    """(what it is of, what is expected, what is computed) of every row of a case."""
    return tuple(_answers_of(cases()[case]))


def _answers_of(case: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Answer]]:
    if "statistics" in case:
        yield "statistics", case["expect"], _of_statistics(case["statistics"])
    elif "measured" in case:
        yield "measured", case["expect"], _of_measured(case["measured"])
    elif "line" in case:
        yield from _of_line(case)
    elif "timeline" in case:
        yield from _of_timeline(case)
    else:
        rows, book = element_rows(case["rows"]), _book(case)
        yield "sum", case["expect"], _answers(rows.sum(), book)[0]
        for place, (expected, answer) in enumerate(
            zip(case.get("expect_rows", ()), _answers(rows, book), strict=False)
        ):
            yield f"row {place}", expected, answer


def element_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Element rows as the engine stores them; declared elements in their unit, null where a row does not name them."""
    declared = [name for name in DECLARED_IDS if any(name in row for row in rows)]
    stored = [
        {
            **{e: round(_amount(row.get(e, 0)) / ELEMENT[e].to_unit) for e in ELEMENT_IDS},
            **{name: _amount(row[name]) if name in row else None for name in declared},
        }
        for row in rows
    ]
    schema = {**dict.fromkeys(ELEMENT_IDS, pl.Int64), **dict.fromkeys(declared, pl.Float64)}
    for row in rows:
        assert set(row) <= set(schema), f"unknown elements {set(row) - set(schema)}"
    return pl.DataFrame(stored, schema=schema)


def _amount(given: object) -> float:
    if isinstance(given, str):
        number, unit = given.split()
        return float(number) * _UNITS[unit]
    assert isinstance(given, int | float)
    return float(given)


def _book(case: Mapping[str, Any]) -> KpiBook:
    own = [Kpi(id_, id_, id_, formula, "1", "", "") for id_, formula in case.get("own", {}).items()]
    return kpi_book(own, FailureDenominator(case.get("failure_denominator", "failures")))


def _answers(rows: pl.DataFrame, book: KpiBook) -> list[Answer]:
    values = evaluate(rows, book).select(book.ids).to_dicts()
    whys, beyond = reasons(rows, book).to_dicts(), warnings(rows, book).to_dicts()
    return [Answer(*three) for three in zip(values, whys, beyond, strict=True)]


def _of_statistics(given: Mapping[str, float]) -> Answer:
    n, mean, deviation, within = (float(given[k]) for k in ("n", "mean", "deviation", "deviation_within"))
    row = {
        "n": n,
        "sum": n * mean,
        "sum_sq": (n - 1) * deviation**2 + n * mean**2,
        "within_ss": (n - 1) * within**2,
        "within_df": n - 1,
    }
    return _capability(pl.DataFrame([row]), given)


def _of_measured(given: Mapping[str, Any]) -> Answer:
    """Values through the engine, a minute's values spread over it; then capability of the sum of its minutes."""
    nominal = given.get("nominal", 0.0)
    one = Characteristic("value", _VALUE, given.get("lower"), given.get("upper"), nominal)
    plant = Plant("site", "UTC", (replace(_bare("machine", Calendar("UTC", ())), characteristics=(one,)),))
    minutes = [values if isinstance(values, list) else [values] for values in given["minutes"]]
    begin = ns(2026, 6, 1, 6)
    engine = Engine(plant, horizon_ns=48 * HOUR)
    feed(
        engine,
        [
            Sample(_VALUE, begin + minute * MINUTE + place * MINUTE // len(values), value)
            for minute, values in enumerate(minutes)
            for place, value in enumerate(values)
        ],
    )
    rows = engine.advance(begin + len(minutes) * MINUTE).measured
    assert len(rows) == len(minutes)
    return _capability(rows.select(pl.col(*STATISTICS).sum(), shift=pl.lit(nominal, pl.Float64)), given)


def _capability(statistics: pl.DataFrame, given: Mapping[str, Any]) -> Answer:
    """Capability of one row of statistics against the limits of a case, with the reasons for what is missing."""
    limits = {name: pl.lit(given.get(name), pl.Float64) for name in ("lower", "upper")}
    found = capability(statistics.with_columns(**limits)).row(0, named=True)
    return Answer(found, {index.id: why_absent(index, found) for index in CAPABILITY}, {})


def _of_line(case: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Answer]]:
    given = case["line"]
    said = given["rule"]
    ideal = said.get("ideal")
    rule = LineRule(
        "line",
        LineKind(said["kind"]),
        said.get("constraint", ""),
        tuple(said.get("steps", ())),
        default_ideal_ns=None if ideal is None else round(_amount(ideal) * SECOND),
    )
    names = list(given["machines"])
    rows = element_rows(list(given["machines"].values())).with_columns(
        machine=pl.Series(names), time=pl.lit(0, pl.Int64), product=pl.lit("")
    )
    calendar = Calendar("UTC", ())
    plant = Plant("site", "UTC", tuple(_bare(name, calendar) for name in names))
    found = rollups(rows, plant, window="hour", rules=[rule])
    yield "line", case["expect"], _answers(found["line"], _book(case))[0]
    of_machines = dict(zip(found["machine"]["machine"].to_list(), _answers(found["machine"], _book(case)), strict=True))
    for name, expected in case.get("expect_machines", {}).items():
        yield name, expected, of_machines[name]


def _bare(name: str, calendar: Calendar) -> Machine:
    return Machine(name, name, "line", "area", calendar, StateModel((), ()), ())


def _of_timeline(case: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Answer]]:
    zone = ZoneInfo(case.get("time_zone", "UTC"))
    day = case.get("day", date(2026, 6, 1))
    products = list(case.get("ideal", {}))
    plant = Plant("site", zone.key, (_machine(case, zone.key, products),), _factors(case, zone.key))
    samples = list(_samples(case["timeline"], day, zone, products))
    engine = Engine(plant, horizon_ns=48 * HOUR)
    feed(engine, samples)
    end = max(sample.time for sample in samples) + HOUR
    elements = engine.advance(end).elements
    shifts = {i: shift.name for i, shift in enumerate(plant.machines[0].calendar.shifts)}
    named = elements.with_columns(
        machine=pl.lit("machine"),
        product=pl.lit(""),
        shift=pl.col("shift").replace_strict(shifts, default="", return_dtype=pl.Utf8),
    )
    for window, expected in case["expect"].items():
        if window in _CLOCK_WINDOWS:
            rows = rollups(named, plant, window=window)["machine"]
        else:
            rows = rollups(named, plant, window="shift")["machine"].filter(pl.col("shift") == window)
        assert len(rows) == 1, f"{len(rows)} windows {window}"
        yield window, expected, _answers(rows, _book(case))[0]


def _factors(case: Mapping[str, Any], zone: str) -> tuple[EnergyFactor, ...]:
    """What the configuration makes of the case's `factors`."""

    def refuse(path: ConfigPath, message: str) -> None:
        raise AssertionError(f"{path}: {message}")

    return compile_factors(FactorOptions.model_validate(case["factors"]), zone, refuse) if "factors" in case else ()


def _machine(case: Mapping[str, Any], zone: str, products: Sequence[str]) -> Machine:
    shifts = tuple(
        Shift(
            one["name"],
            time.fromisoformat(one["start"]),
            time.fromisoformat(one["end"]),
            frozenset(range(7)),
            tuple((time.fromisoformat(a), time.fromisoformat(b)) for a, b in one.get("breaks", ())),
        )
        for one in case["shifts"]
    )
    said = {name for step in case["timeline"] for name in step}
    counts = {Quantity(n): Counter(_FIRST_COUNT + i) for i, n in enumerate(_COUNTS) if n in said}
    ideal = {name: round(_amount(length) * SECOND) for name, length in case.get("ideal", {}).items()}
    minor = case.get("minor_stop")
    return Machine(
        "machine", "machine", "line", "area", Calendar(zone, shifts), _SAYS_STATES, (Signal(_STATE),),
        counters=counts, product=Signal(_PRODUCT) if "product" in said else None,
        ideal_ns={products.index(name): length for name, length in ideal.items() if name and length},
        default_ideal_ns=ideal.get(""), energy=Counter(_ENERGY) if "energy" in said else None,
        media={carrier: Counter(tag) for carrier, tag in _MEDIA.items() if carrier in said},
        minor_stop_ns=None if minor is None else round(_amount(minor) * SECOND),
        overtime_apart=case.get("overtime_apart", False),
    )  # fmt: skip


_SAYS_STATES: Final = StateModel(
    ("state",), tuple(StateRule({"state": frozenset({float(state)})}, state) for state in State)
)


def _samples(
    timeline: Sequence[Mapping[str, Any]], day: date, zone: ZoneInfo, products: Sequence[str]
) -> Iterator[Sample]:
    for step in timeline:
        days, _, clock = step["at"].rpartition(" ")
        local = datetime.combine(day + timedelta(days=int(days or 0)), time.fromisoformat(clock), zone)
        at = int(local.timestamp()) * SECOND
        if "state" in step:
            yield Sample(_STATE, at, float(State[step["state"].upper()]))
        if "product" in step:
            yield Sample(_PRODUCT, at, float(products.index(step["product"])))
        if "energy" in step:
            yield Sample(_ENERGY, at, float(step["energy"]))
        for carrier, tag in _MEDIA.items():
            if carrier in step:
                yield Sample(tag, at, float(step[carrier]))
        for place, name in enumerate(_COUNTS):
            if name in step:
                yield Sample(_FIRST_COUNT + place, at, float(step[name]))


def cases_by_kpi() -> dict[str, list[str]]:
    """KPI → ids of the cases that expect something of it."""
    found: dict[str, list[str]] = {}
    for id_, case in cases().items():
        for kpi in kpis_of(case):
            found.setdefault(kpi, []).append(id_)
    return found
