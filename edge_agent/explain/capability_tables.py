"""A pedigree of a capability index on a terminal: the number, its deviation, the sums, then every value.

Rule: figures are those of the JSON; long lists end in a line that says how much more there is, as in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from edge_agent.explain.layout import Facts, clock_of, first_of, listed, more_of, table_of

_STATISTICS: Final[Mapping[str, str]] = {
    "n": "values",
    "sum": "Σ(x − nominal)",
    "sum_sq": "Σ(x − nominal)²",
    "within_df": "Σ(nᵢ − 1) over subgroups of a minute",
    "within_ss": "Σ of squares about the subgroups' means",
    "moving_range_n": "number of moving ranges",
    "moving_range_sum": "Σ|xᵢ − xᵢ₋₁|",
}
_SQUARED: Final = frozenset({"sum_sq", "within_ss"})
_WHOLE: Final = frozenset({"n", "within_df", "moving_range_n"})
_WITHIN: Final = {
    "subgroups": "σ̂ = √(within_ss / within_df), pooled over subgroups of a minute",
    "moving_ranges": "σ̂ = moving_range_sum / moving_range_n / d₂: minutes have fewer than two values on average",
    None: "σ̂: there is none",
}


def limits_of(facts: Facts) -> Iterator[RenderableType]:
    """The characteristic with its limits, and the deviations."""
    one, deviations = facts["characteristic"], facts["deviations"]
    unit = f" {one['unit']}" if one["unit"] else ""
    given = [(name, one[key]) for name, key in (("LSL", "lower"), ("USL", "upper"), ("nominal", "nominal"))]
    limits = ", ".join(f"{name} {'none' if value is None else _figure(value) + unit}" for name, value in given)
    yield Text.assemble((f"Characteristic {one['name']}", "bold"), f": {limits}")
    if one["tag"]:
        yield Text(f"  {one['tag']}, {one['source']}", "dim")
    yield Text(f"  x̄ = {_maybe(deviations['mean'])}{unit} = nominal + sum / n")
    yield Text(f"  s = {_maybe(deviations['deviation'])}{unit} = √((sum_sq − sum² / n) / (n − 1))")
    within = _WITHIN[deviations["within_of"]]
    yield Text(f"  σ̂ = {_maybe(deviations['deviation_within'])}{unit}; {within}, d₂ = {deviations['d2']}")
    yield Text()


def statistics_of(facts: Facts) -> Iterator[RenderableType]:
    """The summed statistics."""
    unit = facts["characteristic"]["unit"]
    table = table_of("Summed statistics", ("Statistic",), right=("Amount",), then=("Unit", "What it is"))
    for name, words in _STATISTICS.items():
        of = "" if name in _WHOLE else f"({unit})²" if name in _SQUARED and unit else unit
        table.add_row(name, f"{facts['statistics'][name]:.15g}", of, words)
    yield table


def values_of(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    """The values that went into each minute; where samples are not held, the journal's rows."""
    if not one["subgroups"]:
        yield from _rows(one, facts, most)
        return
    if one["before"] is not None:
        at, value = one["before"]
        yield Text(f"the first moving range is taken from {_figure(value)} at {clock_of(at, facts)}", "dim")
    right, then = ("n", "Σ(x − nominal)", "Σ(x − nominal)²", "Squares within"), ("Values",)
    table = table_of("Values, by minute", ("Minute",), right=right, then=then)
    for group in first_of(one["subgroups"], most):
        values = ", ".join(_figure(value) for _, value in group["values"])
        amounts = [_figure(group[name]) for name in ("n", "sum", "sum_sq", "within_ss")]
        table.add_row(clock_of(group["time"], facts), *amounts, values)
    yield from listed(table, one["subgroups"], most, "minutes")


def _rows(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    names = tuple(_STATISTICS)
    grain = facts["window"]["rows_of"]
    table = table_of(f"Rows of the journal, by {grain}", (grain.capitalize(),), right=("Nominal", *names))
    for row in first_of(one["rows"], most):
        table.add_row(clock_of(row["time"], facts), *(_figure(row[name]) for name in ("nominal", *names)))
    yield from listed(table, one["rows"], most, "rows")


def differences_of(check: Mapping[str, Any], facts: Facts, most: int | None) -> Iterator[RenderableType]:
    """Minutes in which the journal's rows and the samples differ."""
    for one in first_of(check["differences"], most):
        told = [
            "nothing" if of is None else ", ".join(f"{name} {_figure(value)}" for name, value in of.items())
            for of in (one["journal"], one["samples"])
        ]
        yield Text(f"{clock_of(one['time'], facts)}: the journal has {told[0]}; the samples give {told[1]}", "red3")
    yield from more_of(check["differences"], most, "minutes that differ")


def _maybe(value: float | None) -> str:
    return "–" if value is None else _figure(value)


def _figure(value: float) -> str:
    return f"{value:.12g}"
