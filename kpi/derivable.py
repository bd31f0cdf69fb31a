"""Which KPIs a machine's signals can give, and what is missing for the others.

Rule: nothing is said of a KPI by name. What the signals give is said element by element (`SIGNALS`), and a KPI is tried
on elements that are possible for the machine: one that has no value, or always the same, cannot be had from it. So KPIs
of a plant's own are judged too.

An element may be missing in two ways. A quantity that nobody counts or meters is *not known*: a KPI over it has no
value. A state that the machine never says is *never so*: its time is part of what the machine says instead, so a KPI
over it may still mean something (allocation efficiency) or not (setup ratio); the first gets a caveat.

Capability indices (KPIs 19 to 22, and Pp and Ppk) are of measured values, not of elements: what decides is which limits
a machine's characteristics have. One that can be had of some of them has the others as caveats.
Source: the formulas of `kpi.formulas` and the time model of ISO 22400-2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from kpi.capability import CAPABILITY, CapabilityIndex
from kpi.declared import DECLARED
from kpi.elements import ELEMENT_IDS
from kpi.formulas import KNOWN_ELEMENTS, STANDARD, UNCOUNTED, Kpi, KpiBook, evaluate_in_units
from kpi.lines import LineKind, LineRule
from kpi.plant import Carrier, Characteristic, EnergyFactor, Machine, Quantity, State

_STATES: Final[Mapping[str, frozenset[State]]] = {
    "apt": frozenset({State.PRODUCING}),
    "aust": frozenset({State.SETUP}),
    "adet": frozenset({State.STARVED, State.BLOCKED, State.STOPPED, State.BREAKDOWN}),
    "adot": frozenset({State.IDLE, State.OFF}),
    "cmt": frozenset({State.MAINTENANCE}),
    "pmt": frozenset({State.PLANNED_MAINTENANCE}),
    "acmt": frozenset({State.MAINTENANCE}),
    "apmt": frozenset({State.PLANNED_MAINTENANCE}),
    "starved": frozenset({State.STARVED}),
    "blocked": frozenset({State.BLOCKED}),
    "stopped": frozenset({State.STOPPED}),
    "breakdown": frozenset({State.BREAKDOWN}),
    "fe": frozenset({State.BREAKDOWN}),
    "ttr": frozenset({State.BREAKDOWN}),
    "startup_sq": frozenset({State.SETUP}),
    "ideal_startup_sq": frozenset({State.SETUP}),
}
"""Element → states of which one must be said for it to be more than zero."""

_EITHER: Final[Mapping[str, tuple[frozenset[Quantity], ...]]] = {
    "pq": (frozenset({Quantity.TOTAL}), frozenset({Quantity.GOOD, Quantity.SCRAP})),
    "gq": (frozenset({Quantity.GOOD}), frozenset({Quantity.TOTAL, Quantity.SCRAP})),
    "sq": (frozenset({Quantity.SCRAP}), frozenset({Quantity.TOTAL, Quantity.GOOD})),
    "rq": (frozenset({Quantity.REWORK}),),
    "ip": (frozenset({Quantity.INSPECTED}),),
    "gp": (frozenset({Quantity.FIRST_PASS}),),
}
"""Element → sets of counters of which one must be there."""

_COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "overtime_pq": ("pq",),
    "ideal_pq": ("pq",),
    "ideal_gq": ("gq", "pq"),  # what nobody judges is taken as good
    "startup_sq": ("sq",),
    "ideal_startup_sq": ("sq",),
    "unjudged": ("gq",),
    "scrap_unknown": ("sq",),
    "rework_unknown": ("rq",),
    "first_pass_unknown": ("gp",),
}
"""Element → elements of which one must be known for it to be."""

_RATED: Final = ("ideal_pq", "ideal_gq", "ideal_startup_sq")
_CALENDAR: Final = "a calendar"
_UNKNOWN: Final = "unknown"
_METER: Final = "a meter of electricity, or power"
_ENERGY_BY_STATE: Final = ("energy_working", "energy_idle", "energy_off")
MEASURED: Final = "a measured value with `limits`"
"""What capability indices need."""

_IDEAL: Final = "a planned run time per item (where it is by product, also `product`)"


def _meter_of(carrier: Carrier) -> str:
    return f"a meter of {carrier.value.replace('_', ' ')}"


def _state_words(element: str) -> str:
    return "a state rule that says " + " or ".join(f"`{s.name.lower()}`" for s in sorted(_STATES[element]))


def _count_words(element: str) -> str:
    sets = [" and ".join(f"`{q.value}`" for q in Quantity if q in one) for one in _EITHER[element]]
    return f"a count of {', or of '.join(sets)}"


SIGNALS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("calendar_time", "pot", "pbt", "planned_downtime", "not_planned"), (_CALENDAR,)),
    "unknown": ("a state",),
    **{element: (_state_words(element),) for element in _STATES if element not in _COUNTED},
    "overtime": (_state_words("apt"),),
    **{element: (_count_words(element),) for element in _EITHER},
    **{
        element: (
            _count_words(counted),
            *((_IDEAL,) if element in _RATED else ()),
            *((_state_words(element),) if element in _STATES else ()),
        )
        for element, (counted, *_) in _COUNTED.items()
    },
    "uncounted": (),  # a doubt, and nothing that is needed
    "unrated": (_IDEAL,),
    "energy": (_METER,),
    **dict.fromkeys(_ENERGY_BY_STATE, (_METER, "a state")),
    **{carrier.value: (_meter_of(carrier),) for carrier in Carrier},
    **{f"{carrier.value}_idle": (_meter_of(carrier), "a state") for carrier in Carrier},
    "coal_equivalent": ("a meter of a carrier that has a coal factor",),
    "co2e": ("a meter of a carrier that has an emission factor",),
    "pq_first": ("a place in a serial line whose first machine counts pieces",),
    "rolled_yield": ("a serial line whose machines count pieces",),
    **{element.id: (f"the declared element `{element.id}`",) for element in DECLARED},
}
"""Element → what a plant must give for it."""


def needs(elements: Iterable[str]) -> tuple[str, ...]:
    """What a plant must give for all of some elements, each once."""
    return tuple(dict.fromkeys(words for element in elements for words in SIGNALS.get(element, ())))


@dataclass(frozen=True, slots=True)
class Derivation:
    """Whether one KPI can be had of one machine.

    missing: what would have to be there, empty where it can be had. caveats: what it leaves out of account then.
    """

    kpi: Kpi | CapabilityIndex
    missing: tuple[str, ...]
    caveats: tuple[str, ...]

    @property
    def derivable(self) -> bool:
        """Whether the KPI can have a value that says something."""
        return not self.missing


def derivable(
    machine: Machine,
    *,
    factors: Sequence[EnergyFactor] = (),
    declared: Collection[str] = (),
    rule: LineRule | None = None,
    book: KpiBook = STANDARD,
    unlimited: Collection[str] = (),
) -> tuple[Derivation, ...]:
    """What can be had of a machine: one entry per KPI of the book, in its order, then one per capability index.

    factors: of the plant. declared: ids of elements that are declared for the machine. rule: of its line. unlimited:
    names of its measured values that have no limits, so that they are no characteristics.
    """
    known = _known(machine, factors, declared, rule)
    states = _states(machine)
    never = {element for element, any_of in _STATES.items() if not any_of & states}
    found = _derived(known, frozenset(never | ({_UNKNOWN} if not states else set())), book)
    return (*found, *(_of_characteristics(index, machine.characteristics, unlimited) for index in CAPABILITY))


def _of_characteristics(
    index: CapabilityIndex, characteristics: Sequence[Characteristic], unlimited: Collection[str]
) -> Derivation:
    """Whether any characteristic has the limits that an index needs."""
    lacking = [one for one in characteristics if not index.has_limits(one.lower, one.upper)]
    one_sided = [f"`{one.name}` has no {_limit_that_is_missing(one)} limit" for one in lacking]
    without = [f"`{name}` has no `limits`" for name in unlimited]
    if len(lacking) < len(characteristics):
        return Derivation(index, (), (*(f"not of all: {words}" for words in (*one_sided, *without)),))
    if one_sided:
        return Derivation(index, (f"both limits of one measured value ({_few(one_sided)})",), ())
    return Derivation(index, (MEASURED if not without else f"{MEASURED} ({_few(without)})",), ())


def _limit_that_is_missing(one: Characteristic) -> str:
    return "upper" if one.upper is None else "lower"


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


@lru_cache(maxsize=256)
def _derived(known: frozenset[str], never: frozenset[str], book: KpiBook) -> tuple[Derivation, ...]:
    """What elements give; a thousand machines are of a few kinds."""
    values = _tried(known, never, book)
    # what would be said if all that can be counted, metered and declared were known: tells which of the two is to blame
    if_known = _tried(KNOWN_ELEMENTS, never, book)
    return tuple(_judged(kpi, _says(values[kpi.id]), _says(if_known[kpi.id]), known, never, book) for kpi in book.kpis)


def _says(values: pl.Series) -> bool:
    return values.null_count() == 0 and values.n_unique() > 1


def _judged(
    kpi: Kpi, says: bool, says_if_known: bool, known: Collection[str], never: Collection[str], book: KpiBook
) -> Derivation:
    used = sorted(book.elements_of(kpi))
    absent = [element for element in used if element not in known]
    unsaid = [element for element in used if element in never]
    if says:
        return Derivation(kpi, (), tuple(f"without {words}" for words in needs([*absent, *unsaid])))
    return Derivation(kpi, needs(absent if says_if_known else [*absent, *unsaid]) or ("nothing: it never changes",), ())


def _tried(known: Collection[str], never: Collection[str], book: KpiBook) -> pl.DataFrame:
    """KPIs over three sets of possible elements: any amounts where they are known, none where they are never so."""
    any_amounts = np.random.default_rng(22400)  # the same ones each time
    columns = {}
    for element in KNOWN_ELEMENTS:
        if element == "unrated" or element in UNCOUNTED.values():
            amounts: list[float | None] = [0.0] * 3
        else:
            amounts = [*map(float, any_amounts.uniform(1.0, 2.0, 3))]
        if element in never:
            amounts = [0.0] * 3
        if element not in known:
            amounts = [None] * 3
        columns[element] = pl.Series(amounts, dtype=pl.Float64)
    if _UNKNOWN in never:
        columns[_UNKNOWN] = columns["pbt"]  # without a state all of it is unknown
    return evaluate_in_units(pl.DataFrame(columns), book)


def _states(machine: Machine) -> frozenset[State]:
    """States that the machine can be in by what it says."""
    if not machine.state_signals:
        return frozenset()
    said = {rule.state for rule in machine.state_model.rules}
    if machine.reason is not None:
        said |= set(machine.reasons.values())
    if machine.minor_stop_ns is not None and said & {State.STOPPED, State.BREAKDOWN}:
        said |= {State.STOPPED, State.BREAKDOWN}
    if machine.calendar.maintenance:
        said.add(State.PLANNED_MAINTENANCE)
    return frozenset(said)


def _known(
    machine: Machine, factors: Sequence[EnergyFactor], declared: Collection[str], rule: LineRule | None
) -> frozenset[str]:
    """Elements that are known of the machine, zero or not."""
    known = set(ELEMENT_IDS) - _EITHER.keys() - _COUNTED.keys() - {"energy", *_ENERGY_BY_STATE, "unrated"}
    known -= {name for carrier in Carrier for name in (carrier.value, f"{carrier.value}_idle")}
    known -= {"coal_equivalent", "co2e"}
    known |= {element for element, either in _EITHER.items() if any(one <= machine.counters.keys() for one in either)}
    rated = machine.default_ideal_ns is not None or (machine.ideal_ns and machine.product is not None)
    known |= {
        element
        for element, any_of in _COUNTED.items()
        if (rated or element not in _RATED) and any(one in known for one in any_of)
    }
    if rated:
        known.add("unrated")
    known |= set(_of_meters(machine, factors))
    if rule is not None and rule.kind is LineKind.SERIAL and machine.id in rule.steps:
        known.add("pq_first")
    return frozenset(known | set(declared))


def _of_meters(machine: Machine, factors: Sequence[EnergyFactor]) -> Iterator[str]:
    metered: set[Carrier | None] = set(machine.media)
    if machine.energy is not None or machine.power is not None:
        metered.add(None)
        yield "energy"
        if _states(machine):
            yield from _ENERGY_BY_STATE
    yield from (carrier.value for carrier in machine.media)
    if _states(machine):
        yield from (f"{carrier.value}_idle" for carrier in machine.media)
    if any(factor.kgce and factor.carrier in metered for factor in factors):
        yield "coal_equivalent"
    if any(factor.kg_co2e and factor.carrier in metered for factor in factors):
        yield "co2e"
