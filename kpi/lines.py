"""What the figures of a line mean: one rule a line, said in the configuration.

`sum`: machines stand side by side. All elements are added up: machine hours, and pieces of all machines. The line's
    OEE is the share of its planned machine time that made good pieces. Wrong for machines that hand pieces on: the
    same piece is counted at each of them.
`constraint`: the line can do what its slowest machine can. Times, pieces, earned time and failures are those of the
    constraint machine; energy and media are of all machines. Says nothing of how well the others run, and nothing of
    what is scrapped after the constraint.
`serial`: pieces go in at the first machine and come out at the last. Produced quantity is that of the first machine,
    good quantity that of the last, scrap and rework are of all machines, inspected and first-pass pieces are of the
    last; times and failures are those of the constraint machine, and earned time is its planned run time per item ×
    those pieces, so OEE = good pieces out × the constraint's run time ÷ its planned busy time. Energy and media are
    of all machines. Produced less good, scrapped and reworked is what the stock within the line grew by, so in a
    short window the quality ratio may be above 1 (the line ran empty) or low (it filled up): read it over a shift or
    longer. Rolled throughput yield is the product of the machines' first-pass yields in the window.
Areas and the site add up their lines as these rules give them.

Two ways were weighed for the earned time of a serial line: the constraint's mean run time in the window (nothing to
configure, but hours would not add up to their day), or its configured run time by product (additive). The second won.

What nobody counts of a serial line (`UNTOLD`) is said of what went in, as the line's ratios are of that. Where none of
its steps counts scrap, that is all of it: the line has no scrap ratio, as a machine has none that does not count it.
Where some do, the steps that do not have their share of it, since every piece passes every step: the ratio is shown,
with a doubt. Rework likewise. Pieces are judged where the last step judges them; where it does not, by the steps that
do. First-pass pieces are of the last step, with what is inspected there. Who counts is what the configuration says,
like all of the rule. Two other ways were weighed: to add up what machines say (pieces of every step, which are no part
of what went in, and all of it by chance), or to compare sums of a window (a month were not the sum of its days).
Start-up loss is that of the constraint.

Earned time of a serial line is exact, so that a month is the sum of its days to the bit, also where pieces are
fractions (metres, kilograms) and run times are no whole milliseconds. Millionths of a piece × nanoseconds are 1e-15 s,
of which 64 bits hold a few hours; so it is held in two columns: what whole milliseconds of run time give is whole
nanoseconds (`ideal_pq`), and what is below them stands beside it (`EXACT_RESTS`). Both are plain sums over pieces:
however rows are cut, each column adds up, and nothing is rounded before a figure in seconds is made of the two
(`kpi.formulas.in_units`). Two other ways were weighed: to round at one grain, the minute, and to store that as elements
of machines (additive too, but a rule that is changed would not hold for what is stored already, and every plant would
store columns for a few lines), or to round rows as they come (a month then differs from its days by nanoseconds).
Pieces of a product without a run time at the constraint are added to `unrated` with the longest run time that is known
there: how long they took is not known, and less must not make them seem negligible. Where none is known all is unrated.
Source: ISO 22400-2 speaks of work units; constraint and serial lines are practice, rolled yield is Six Sigma's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kpi.elements import ELEMENTS, Element
from kpi.plant import Machine, Quantity


class LineKind(StrEnum):
    """How the elements of a line come from those of its machines."""

    SUM = "sum"
    CONSTRAINT = "constraint"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class LineRule:
    """The rule of one line; a line without one has `LineKind.SUM`.

    constraint: machine whose times are the line's. steps: machines that pieces pass and that count them, in order; the
    first and the last give the line's pieces. untold: of `UNTOLD`, the steps that do not count what it takes.
    ideal_ns: planned run time per item of the constraint by product text; default_ideal_ns where the product has none.
    All but the constraint only for `LineKind.SERIAL`.
    """

    line: str
    kind: LineKind = LineKind.SUM
    constraint: str = ""
    steps: tuple[str, ...] = ()
    ideal_ns: Mapping[str, int] = field(default_factory=dict)
    default_ideal_ns: int | None = None
    untold: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


UNTOLD: Final = ("unjudged", "scrap_unknown", "rework_unknown")
"""Parts of what went into a serial line of which nobody knows something."""


def untold(steps: Sequence[Machine]) -> dict[str, tuple[str, ...]]:
    """Which steps of a serial line, in order, do not count what each of `UNTOLD` takes; as `kpi.pieces.closed`."""
    unjudged = _without(steps, {Quantity.GOOD}, {Quantity.TOTAL, Quantity.SCRAP})
    return {
        "unjudged": unjudged if steps and steps[-1].id in unjudged else (),
        "scrap_unknown": _without(steps, {Quantity.SCRAP}, {Quantity.TOTAL, Quantity.GOOD}),
        "rework_unknown": _without(steps, {Quantity.REWORK}),
    }


def _without(steps: Sequence[Machine], *either: set[Quantity]) -> tuple[str, ...]:
    return tuple(one.id for one in steps if not any(counts <= one.counters.keys() for counts in either))


LINE_ELEMENTS: Final[tuple[Element, ...]] = (
    Element("pq_first", "PQ", "produced quantity of the serial line's first machine", "pieces", 10**6,
            "ISO 22400-2:2014, clause 5"),
    Element("rolled_yield", "", "product of the first-pass yields along the serial line", "1", 1, "Six Sigma"),
)  # fmt: skip
"""Of serial lines only, null elsewhere. pq_first (Int64): also of the machines of such a line. rolled_yield (Float64):
of lines; not additive, made for each window anew."""

EARNED: Final = ("ideal_pq", "ideal_gq")

EXACT_RESTS: Final[Mapping[str, str]] = {element: f"{element}_rest" for element in (*EARNED, *UNTOLD)}
"""Earned time, and what is untold → column (Int128, in millionths of what the element is stored in: 1e-15 s, 1e-12
pieces) of what is to be added to it: of levels that a serial line is in; null or absent is nothing."""

RESTS_PER_UNIT: Final = 10**6

OF_ALL_MACHINES: Final[frozenset[str]] = frozenset(
    e.id for e in ELEMENTS if e.unit in {"kWh", "m³", "kg", "t", "MJ", "kgce"}
)
"""What a line uses, whatever its rule: energy and media of all its machines."""
