"""What counts in what: categories of time in time elements, counters in quantity elements, and either in a KPI.

Rule: nothing is said here that the fold or a formula says. They are asked, with one unit of each thing in turn, and
what comes out is the answer.
Source: ISO 22400-2, nesting of time elements and closure of quantities.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kpi.elements import ELEMENT_IDS
from kpi.fold import CATEGORIES, composed
from kpi.formulas import KNOWN_ELEMENTS, STANDARD, Kpi, KpiBook, evaluate_in_units
from kpi.pieces import closed
from kpi.plant import Quantity


def _counts_in() -> dict[str, tuple[str, ...]]:
    """Category → time elements that its time counts in, by asking the fold with one unit of each."""
    count = len(CATEGORIES)
    whole = composed({name: np.arange(count) == k for k, name in enumerate(CATEGORIES)})
    order = {element: place for place, element in enumerate(ELEMENT_IDS)}
    return {
        name: tuple(sorted((e for e, counts in whole.items() if counts[k]), key=order.__getitem__))
        for k, name in enumerate(CATEGORIES)
    }


COUNTS_IN: Final[Mapping[str, tuple[str, ...]]] = _counts_in()
"""Category → all time elements that its time counts in."""


def quantities(counters: Collection[Quantity]) -> dict[str, dict[Quantity, int]]:
    """Which counters make each quantity element of a machine, and with which sign. counters: those it has."""
    unit = np.identity(len(Quantity), np.int64)
    has = {quantity: np.full(len(Quantity), quantity in counters) for quantity in Quantity}
    made = closed({q: unit[k] * (q in counters) for k, q in enumerate(Quantity)}, has)
    return {
        element: {q: int(amount[k]) for k, q in enumerate(Quantity) if amount[k]} for element, amount in made.items()
    }


def without_effect(kpi: Kpi, book: KpiBook = STANDARD) -> frozenset[str]:
    """Categories of time that the KPI does not depend on: what it leaves out.

    Told by the formula itself: at a point where no two elements cancel by chance, a second more of the category changes
    nothing. Elements that are not of time are held constant.
    """
    times = np.array([1_000.0 + 137.0 * k * k for k in range(len(CATEGORIES))])
    # row 0 as it is, row 1 + k with a second more of category k
    points = times + np.vstack([np.zeros(len(times)), np.identity(len(times))])
    elements = composed({name: points[:, k] for k, name in enumerate(CATEGORIES)})
    amounts: dict[str, npt.NDArray[np.float64]] = {
        name: np.full(len(points), 11.0 + 0.7 * place) for place, name in enumerate(KNOWN_ELEMENTS)
    }
    amounts |= {name: column.astype(np.float64) for name, column in elements.items()}
    amounts["unrated"] = np.zeros(len(points))
    value = evaluate_in_units(pl.DataFrame(amounts), book)[kpi.id].to_numpy()
    same = np.abs(value[1:] - value[0]) <= 1e-12 * abs(value[0])
    return frozenset(name for name, unchanged in zip(CATEGORIES, same, strict=True) if unchanged)
