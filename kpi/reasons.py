"""Why a KPI has no value, and what is likely wrong where it has an impossible one.

Rule 1: a reason is about the figures of the row, not about the configuration; what a machine's signals can never give
is said by `kpi.derivable`.
Rule 2: a warning changes nothing. The value stays as computed, and the warning names the likely cause.
Rule 3: a warning of what no figure tells, such as pieces that nobody judges, stands as long as the plant is as it is;
`warnings` leaves it out where asked to.
Rule 4: pieces count when they are finished. In a window that begins within a cycle, effectiveness above 100 % by no
more than one piece is no sign of anything, and is not warned of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import polars as pl

from kpi.declared import DECLARED_ELEMENT, Found, Gap
from kpi.expressions import compile_condition, compile_formula, divisors, names_in, names_without_which
from kpi.formulas import (
    KNOWN_ELEMENTS,
    RATED,
    STANDARD,
    UNCOUNTED,
    WHOLE,
    Kpi,
    KpiBook,
    evaluate,
    in_units,
    is_all,
    known_only,
)

ZERO_DIVISORS: Final[tuple[tuple[str, str, str], ...]] = (
    ("pbt - unknown", "pbt", "no planned busy time"),
    ("pbt - unknown", "", "no good data in planned busy time"),
    ("pbt", "", "no planned busy time"),
    ("pot", "", "no planned operation time"),
    ("calendar_time", "", "no time in the window"),
    ("apt", "", "no production time"),
    ("apt + aust", "", "neither production nor setup"),
    ("apt + adet", "", "neither production nor delay"),
    ("apt + aust + adet", "", "no order ran: neither production nor setup nor delay"),
    ("ideal_pq", "", "nothing produced"),
    ("pq", "", "nothing produced"),
    ("pq + overtime_pq", "", "nothing produced"),
    ("ip", "", "nothing inspected"),
    ("pq_first", "", "nothing went into the line"),
    ("fe", "", "no failure"),
    ("energy", "", "no energy measured"),
    ("compressed_air", "", "no compressed air measured"),
    ("acmt + apmt", "", "no maintenance"),
)
"""What it means that a divisor is zero: divisor as its formula has it, element that is then zero too (empty = whatever
is), words. The first that fits holds."""

_NOT_MEASURED: Final[Mapping[str, str]] = {
    "energy": "no energy measured",
    "coal_equivalent": "nothing measured of a carrier that has a coal factor",
    "co2e": "nothing measured of a carrier that has an emission factor",
}
_NOBODY: Final[Mapping[str, str]] = {
    "unjudged": "nobody judges the pieces",
    "scrap_unknown": "nobody counts scrap",
    "rework_unknown": "nobody counts rework",
    "first_pass_unknown": "nobody counts which pieces are good at first pass",
}
"""Part of the pieces → what it means that it is all of it."""

_PARTLY: Final[Mapping[str, str]] = {
    "unjudged": "{} of {} pieces are judged by nobody, and taken as good",
    "scrap_unknown": "scrap of {} of {} pieces is not counted",
    "rework_unknown": "rework of {} of {} pieces is not counted",
    "first_pass_unknown": "of {} of {} inspected pieces it is not counted which are good at first pass",
}
"""Part of the pieces → what it means that it is a part of it."""

_STUCK: Final = "piece counters stood still for {} s of production: stuck, not wired, or nothing was made"
_PASSED_OVER: Final = "{} s of production are without a planned run time per item: what they made is left out"
_UNRATED: Final = "no planned run time per item, or no piece count, for a part of the production time"
_NO_LINE: Final = "only of a serial line (`lines[].rule`)"
_NO_STEP: Final = "a figure of the whole serial line, and only where each of its machines produced"
_NO_VALUE: Final = "no value"
_WHILE_UNKNOWN: Final = "pieces were counted while the state was not known"
_NO_CAUSE: Final = "it cannot be; look at the elements"
_TOLERANCE: Final = 1e-9
_NO_GAPS: Final[Mapping[str, Sequence[Found]]] = {}


def reasons(
    elements: pl.DataFrame, book: KpiBook = STANDARD, gaps: Mapping[str, Sequence[Found]] = _NO_GAPS
) -> pl.DataFrame:
    """Why KPIs have no value.

    elements: as for `kpi.formulas.evaluate`. gaps: what `kpi.declared.declared_in` gave for these rows.
    Returns one Utf8 column per KPI of the book, a row for each row, null where the KPI has a value.
    """
    told = {
        f"gap {name}": pl.Series([str(one) if isinstance(one, Gap) else None for one in found], dtype=pl.Utf8)
        for name, found in gaps.items()
    }
    rows = _with_kpis(elements, book).with_columns(**told)
    return rows.select(_reasons(book, frozenset(gaps)))


def warnings(elements: pl.DataFrame, book: KpiBook = STANDARD, *, standing: bool = True) -> pl.DataFrame:
    """What is likely wrong where a KPI is beyond its range, or in doubt.

    elements: as for `kpi.formulas.evaluate`. standing: with what a plant's signals never tell.
    Returns one Utf8 column per KPI of the book, a row for each row, null where there is nothing to say.
    """
    return _with_kpis(elements, book).select(_warnings(book, standing))


def _with_kpis(elements: pl.DataFrame, book: KpiBook) -> pl.DataFrame:
    """Every element that a formula may name, in shown units and null where it is not given, and every KPI."""
    evaluated = in_units(evaluate(elements, book))
    absent = [pl.lit(None, pl.Float64).alias(name) for name in KNOWN_ELEMENTS if name not in elements.columns]
    known = [
        known_only(name).alias(name)
        for name, part in UNCOUNTED.items()
        if {name, part, WHOLE[part]} <= {*elements.columns}
    ]
    return evaluated.with_columns(absent).with_columns(known).select(*KNOWN_ELEMENTS, *book.ids)


@lru_cache(maxsize=32)
def _reasons(book: KpiBook, gaps: frozenset[str]) -> list[pl.Expr]:
    return [_reason(kpi, book, gaps) for kpi in book.kpis]


@lru_cache(maxsize=32)
def _warnings(book: KpiBook, standing: bool) -> list[pl.Expr]:
    return [_warning(kpi, standing) for kpi in book.kpis]


def _reason(kpi: Kpi, book: KpiBook, gaps: frozenset[str]) -> pl.Expr:
    absent = pl.col(kpi.id).is_null()
    found = [pl.when(absent & holds).then(words) for holds, words in _causes(kpi, book, gaps)]
    return pl.coalesce(*found, pl.when(absent).then(pl.lit(_NO_VALUE))).alias(kpi.id)


def _causes(kpi: Kpi, book: KpiBook, gaps: frozenset[str]) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """(condition, words) of everything that takes a value from the KPI, the most telling first."""
    table = book.named()
    names = sorted(names_without_which(kpi.formula))
    for name in (name for name in names if name not in table):
        if name in gaps:
            yield pl.col(f"gap {name}").is_not_null(), pl.col(f"gap {name}")
        yield from _missing(name)
    if kpi.unless is not None:
        yield compile_condition(kpi.unless, KNOWN_ELEMENTS), pl.lit(_UNRATED)
    for name in kpi.needs:
        yield pl.col(name) == 0, pl.lit(_NOT_MEASURED.get(name, f"`{name}` is zero"))
    for name in kpi.void:
        yield is_all(name), pl.lit(_NOBODY[name])
    for name in (name for name in names if name in table):
        yield from _causes(table[name], book, gaps)
    for divisor in divisors(kpi.formula):
        if names_in(divisor) <= KNOWN_ELEMENTS.keys():
            yield from _zero(divisor)
    for name in sorted(names_in(kpi.formula) & UNCOUNTED.keys() - set(names)):  # alternatives, of which none is there
        yield from _missing(name)


def _missing(name: str) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """Why an element is not there at all."""
    absent = pl.col(name).is_null()
    if name == "rolled_yield":
        yield absent & pl.col("pq_first").is_not_null(), pl.lit(_NO_STEP)
    if name in UNCOUNTED:
        yield absent & is_all(UNCOUNTED[name]), pl.lit(_NOBODY[UNCOUNTED[name]])
    if name in DECLARED_ELEMENT:
        declared = DECLARED_ELEMENT[name]
        yield absent, pl.lit(f"needs the declared element `{name}`: {declared.name}")
    else:
        yield absent, pl.lit(_NO_LINE if name in {"pq_first", "rolled_yield"} else f"`{name}` is not there")


def _zero(divisor: str) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """What it means that a divisor is zero."""
    zero = compile_formula(divisor, KNOWN_ELEMENTS) == 0
    for text, element, words in ZERO_DIVISORS:
        if text == divisor:
            yield (zero & (pl.col(element) == 0) if element else zero), pl.lit(words)
    yield zero, pl.lit(f"`{divisor}` is zero")


def _warning(kpi: Kpi, standing: bool) -> pl.Expr:
    value = pl.col(kpi.id)
    nothing = pl.lit(None, pl.Utf8)
    sides = (
        (kpi.low, value < (kpi.low or 0.0) - _TOLERANCE, "below", kpi.below),
        (kpi.high, value > (kpi.high or 0.0) + _TOLERANCE, "above", kpi.beyond or _NO_CAUSE),
    )
    found = [
        pl.when(_too_fast() & is_out if cause == RATED else is_out).then(_out_of_range(kpi, limit, side, cause))
        for limit, is_out, side, cause in sides
        if limit is not None
    ]
    if "uncounted" in kpi.doubts:
        stood = pl.format(_STUCK, pl.col("uncounted").round(0).cast(pl.Int64))
        found.append(pl.when(value.is_not_null() & (pl.col("uncounted") > 0)).then(stood))
    if "unrated" in kpi.doubts:
        left_out = pl.format(_PASSED_OVER, pl.col("unrated").round(0).cast(pl.Int64))
        found.append(pl.when(value.is_not_null() & (pl.col("unrated") > 0)).then(left_out))
    if standing:
        found += [pl.when(value.is_not_null()).then(_partly(part)) for part in _PARTLY if part in kpi.elements]
    return pl.coalesce(*found, nothing).alias(kpi.id)


def _too_fast() -> pl.Expr:
    """Whether more was earned than produced in, by more than the piece that may have been begun before the window."""
    return pl.col("ideal_pq") - pl.col("apt") > pl.col("ideal_pq") / pl.col("pq")


def _out_of_range(kpi: Kpi, limit: float, side: str, cause: str) -> pl.Expr:
    """Which limit a value is beyond, and the likely cause."""
    words = f"{side} {_limit(kpi, limit)}: "
    if cause != RATED:
        return pl.lit(words + cause)
    # Pieces that came in time that nobody knows of earn time, and that time is no production time.
    unknown = pl.col("unknown") >= pl.col("ideal_pq") - pl.col("apt")
    return pl.when(unknown).then(pl.lit(words + _WHILE_UNKNOWN)).otherwise(pl.lit(words + cause))


def _partly(part: str) -> pl.Expr:
    """How many of the pieces are such; null where none is."""
    pieces, all_pieces = (pl.col(name).round(0).cast(pl.Int64) for name in (part, WHOLE[part]))
    some = pl.format(_PARTLY[part], pieces, all_pieces)
    return (
        pl.when(is_all(part)).then(pl.lit(f"{_NOBODY[part]}: all are taken as good")).when(pl.col(part) != 0).then(some)
    )


def _limit(kpi: Kpi, limit: float) -> str:
    if limit == 0:
        return "zero"
    return f"{limit:.0%}" if kpi.unit == "1" else f"{limit:g} {kpi.unit}"
