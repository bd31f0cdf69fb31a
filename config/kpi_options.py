"""Options about figures: a plant's own KPIs, declared elements, and what the figures of a line mean.

Imports: standard library, pydantic, config, and kpi for the names of declared elements and kinds of lines.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from config.options import Identifier, Options, Title, choice
from config.quantities import Real, fault, shown
from kpi.declared import DECLARED_IDS
from kpi.lines import LineKind

LINE_KINDS = tuple(kind.value for kind in LineKind)

_KPI_ID = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\Z")
_WEEK = re.compile(r"([0-9]{4})-W([0-9]{2})\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_PERIODS = (
    "a month (`2026-09`), a week (`2026-W37`), a day (`2026-09-14`) or its first and last day (`2026-09-14/2026-09-20`)"
)


def _kpi_id(text: str) -> str:
    if not _KPI_ID.match(text):
        raise fault("expected a name of small letters, digits and `_`, since formulas and boards use it")
    return text


def _period(value: object) -> tuple[date, date]:
    """First day and the day after the last."""
    try:
        found = _days(str(value)) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found[0] >= found[1]:
        raise fault(f"expected {_PERIODS}, got {shown(value)}")
    return found


def _days(text: str) -> tuple[date, date] | None:
    if month := _MONTH.match(text):
        year, number = int(month[1]), int(month[2])
        return date(year, number, 1), date(year + number // 12, number % 12 + 1, 1)
    if week := _WEEK.match(text):
        monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
        return monday, monday + timedelta(days=7)
    first, _, last = text.partition("/")
    if _DAY.match(first) and (not last or _DAY.match(last)):
        return date.fromisoformat(first), date.fromisoformat(last or first) + timedelta(days=1)
    return None


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(
            f"expected a number, or a duration such as `1520 h` where the element is a time, got {shown(value)}"
        )
    return value


Period = Annotated[
    tuple[date, date],
    PlainValidator(_period),
    PlainSerializer(lambda value: f"{value[0]}/{value[1] - timedelta(days=1)}", return_type=str),
    WithJsonSchema({"type": "string", "examples": ["2026-09", "2026-W37", "2026-09-14", "2026-09-14/2026-09-20"]}),
]
"""First day and the day after the last, of the plant's calendar."""

KpiId = Annotated[str, AfterValidator(_kpi_id)]
Amount = Annotated[Any, BeforeValidator(_amount), WithJsonSchema({"type": ["number", "string"]})]


class OwnKpi(Options):
    """A KPI of the plant's own; its key is its id, under which boards and exports have it."""

    name: Title = Field(description="Name as the boards show it.")
    name_zh: Title | None = Field(None, description="Name in Chinese; `name` where left out.")
    formula: str = Field(
        min_length=1,
        description="Made of element and KPI ids, numbers, `+ - * /`, brackets, `first(a, b)` (the first that has a "
        "value) and `unless(a > b, c)` (`c`, and no value where `a > b`); computed from sums.",
    )
    unit: str = Field("1", max_length=30, description="Unit of the result; `1` is a plain ratio.")
    better: Annotated[str, *choice("a direction", "up", "down")] | None = Field(
        None, description="Whether more (`up`) or less (`down`) is better; neither where left out."
    )
    low: Real | None = Field(None, description="Lowest usual value.")
    high: Real | None = Field(None, description="Highest usual value; a value above is shown, with a warning.")


class DeclaredOptions(Options):
    """A figure that no signal gives, over a period: hours worked, material, stocks, capacity, planned scrap."""

    element: Annotated[str, *choice("a declared element", *DECLARED_IDS)] = Field(description="What is declared.")
    value: Amount = Field(description="Amount over the period, or mean level of a stock; a time with its unit.")
    period: Period = Field(description=f"The period: {_PERIODS}. It is not split.")
    machine: str | None = Field(None, description="Machine that it is of; the line's or site's where left out.")
    line: str | None = Field(None, description="Line that it is of; the site's where left out.")
    note: str = Field("", max_length=500, description="Where the figure is from, for whoever has to show evidence.")


class LineRuleOptions(Options):
    """What the figures of a line mean."""

    kind: Annotated[str, *choice("a kind of line", *LINE_KINDS)] = Field(
        description="`sum` of machines side by side; `constraint`: those of the slowest machine; `serial`: pieces in "
        "at the first machine, good ones out at the last."
    )
    constraint: Identifier | None = Field(None, description="Machine whose times are the line's.")
    steps: Annotated[list[Identifier], Field(min_length=1)] | None = Field(
        None, description="`serial`: machines that pieces pass, in order; all that count pieces where left out."
    )
