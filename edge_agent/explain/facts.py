"""The parts of a pedigree as JSON: everything an auditor needs to add it up again, in stored integers.

Rule 1: times are ns since the epoch, durations ns, pieces millionths, energy mWh: the integers of the element table.
`per_unit` of an element says how many of them are one of what people read.
Rule 2: what is printed adds up. An element is the sum of its intervals, readings or rows as `docs/explain.md` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from edge_agent.explain.evidence import Found
from edge_agent.explain.words import Words, local
from kpi.bindings import ELECTRICITY, METERED, meters_of
from kpi.calendar import planned_times
from kpi.composition import COUNTS_IN, quantities
from kpi.counters import Verdict
from kpi.elements import ELEMENTS, Element
from kpi.explain import Count, Evidence, Measurements, Origin, Reading, Span
from kpi.formulas import KNOWN_ELEMENTS, WHOLE
from kpi.lines import EXACT_RESTS, RESTS_PER_UNIT
from kpi.plant import Calendar, Counter, Machine, Plant, Quantity

TIME: Final = frozenset(element for of in COUNTS_IN.values() for element in of) | {"fe", "uncounted"}
PIECES: Final = frozenset(quantities(())) | {"overtime_pq", "startup_sq"}
EARNED: Final = frozenset({"ideal_pq", "ideal_gq", "ideal_startup_sq", "unrated"})
_MOST_ROUNDINGS: Final = 60
"""Earned time is rounded to nanoseconds minute by minute, and an hour's row is the sum of its minutes."""

_LAID_ASIDE: Final = frozenset({"not_planned", "planned_downtime"})
"""Time elements of what the calendar takes from planned busy time."""

ENERGY: Final = frozenset(METERED) | {"energy_working", "energy_off", *(f"{one}_idle" for one in METERED)}
FACTORED: Final = frozenset({"coal_equivalent", "co2e"})

_MADE_OF: Final[Mapping[str, frozenset[str]]] = {
    "ideal_pq": frozenset({"pq"}),
    "ideal_gq": frozenset({"gq"}),
    "ideal_startup_sq": frozenset({"startup_sq"}),
    "unrated": frozenset({"apt"}),
    **{part: frozenset({whole}) for part, whole in WHOLE.items()},
    **dict.fromkeys(FACTORED, frozenset(METERED)),
    "pq_first": frozenset({"pq"}),
    "rolled_yield": frozenset({"gp", "ip", "pq", "sq", "rq"}),
}
_ORDER: Final = {element.id: place for place, element in enumerate(ELEMENTS)}
_KEYS: Final = ("time", "shift", "shift_start", "product")
_OF_REVISION: Final = ("revision", "cause")


def with_parts(elements: Collection[str]) -> frozenset[str]:
    """Elements, and those that they are made of."""
    return frozenset(elements).union(*(_MADE_OF.get(element, frozenset()) for element in elements))


_QUALITY: Final = {1: "uncertain quality", 2: "bad quality"}


def refused_facts(found: Evidence | Measurements, words: Words) -> dict[str, Any]:
    """Readings that count as nothing, and why; from when on they are held, ns."""
    return {
        "from": found.refused_from,
        "readings": [
            {
                **tag_facts(words, one.tag),
                "at": one.time,
                "value": None if one.value is None else words.value(one.tag, one.value),
                "quality": one.quality,
                "because": _QUALITY.get(one.quality, f"quality {one.quality}"),
            }
            for one in found.refused
        ],
    }


def tag_facts(words: Words, tag: int) -> dict[str, str]:
    """Name and source of a tag, empty where they are not known."""
    info = words.tag(tag)
    return {"tag": "", "source": ""} if info is None else {"tag": info.name, "source": info.source}


def element_facts(row: Mapping[str, Any], units: Mapping[str, Any], elements: Collection[str]) -> list[dict[str, Any]]:
    """Elements of a row of sums: what they are, how much, and in which unit. Those that are not there are null.

    row: stored integers, declared elements in their units. units: the same in shown units.
    """
    found = []
    for id_ in sorted(elements, key=lambda id_: (_ORDER.get(id_, len(_ORDER)), id_)):
        element = KNOWN_ELEMENTS[id_]
        amount: int | float | None = row.get(id_)
        per_unit = element.per_unit if isinstance(element, Element) else 1
        rest = row.get(EXACT_RESTS.get(id_, ""))
        if rest and amount is not None:
            amount, per_unit = amount * RESTS_PER_UNIT + rest, per_unit * RESTS_PER_UNIT
        found.append(
            {
                "id": id_,
                "symbol": element.symbol,
                "name": element.name,
                "source": element.source,
                "unit": element.unit,
                "amount": amount,
                "per_unit": per_unit,
                "value": units.get(id_),
            }
        )
    return found


def row_facts(rows: pl.DataFrame, elements: Collection[str]) -> list[dict[str, Any]]:
    """Element rows with the elements asked for; with revision and cause where the journal has them."""
    ids = [id_ for id_ in rows.columns if id_ in elements]
    keys = [key for key in (*_KEYS, *_OF_REVISION) if key in rows.columns]
    return [
        {**{key: row[key] for key in keys}, "elements": {id_: row[id_] for id_ in ids}}
        for row in rows.sort("time", "shift_start", "product").iter_rows(named=True)
    ]


def revision_facts(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Which revision of rows this is; None where the journal has no such columns."""
    if "revision" not in rows.columns or rows.is_empty():
        return None
    cause = pl.col("cause") if "cause" in rows.columns else pl.lit("")
    by_cause = rows.group_by(cause.alias("cause")).len().sort("cause")
    return {
        "newest": max(0, int(rows["revision"].max())),  # type: ignore[arg-type]  # of an Int64 column
        "rows": len(rows),
        "open_rows": int((rows["revision"] < 0).sum()),
        "corrected_rows": int((rows["revision"] > 0).sum()),
        "causes": {str(one): count for one, count in by_cause.iter_rows()},
    }


@dataclass(frozen=True, slots=True, eq=False)
class MachineFacts:
    """Makes the parts of one machine's pedigree. rows: its element rows of the window."""

    words: Words
    found: Found
    rows: pl.DataFrame

    @property
    def machine(self) -> Machine:
        """The machine."""
        return self.words.machine

    # Time

    def intervals(self) -> list[dict[str, Any]]:
        """Every span of time with what it counts in and where its state came from."""
        return [self._interval(span) for span in self.found.spans]

    def _interval(self, span: Span) -> dict[str, Any]:
        return {
            "start": span.start,
            "end": span.end,
            "ns": span.end - span.start,
            "state": span.state.name.lower(),
            "category": span.category,
            "counts_in": list(span.elements),
            "planned": "busy" if span.busy else "operation" if span.operation else "",
            "shift": "" if span.shift is None else self.machine.calendar.shifts[span.shift].name,
            "shift_start": span.shift_start,
            "product": self.words.text(span.product),
            "reason": self.words.text(span.reason),
            "reason_means": self._reason(span),
            "begins_failure": span.fails,
            "uncounted_ns": span.uncounted,
            "used": {element: amount for element, amount in span.used.items() if amount},
            "because": self.words.because(span),
            "origin": None if span.origin is None else self._origin(span.origin),
        }

    def _reason(self, span: Span) -> dict[str, Any] | None:
        reason = self.words.reason(span.reason)
        if reason is None:
            return None
        state = None if reason.state is None else reason.state.name.lower()
        return {"name": reason.name, "group": list(reason.group), "planned": reason.planned, "state": state}

    def _origin(self, origin: Origin) -> dict[str, Any]:
        rule = None
        if origin.rule is not None:
            state = self.machine.state_model.rules[origin.rule].state
            rule = {"number": origin.rule + 1, "when": self.words.rule(origin.rule), "state": state.name.lower()}
        return {
            "said": origin.said.name.lower(),
            "by_length": origin.by_length.name.lower(),
            "stop_since": origin.stop_since,
            "rule": rule,
            "rule_matches": origin.matches,
            "signals": [
                {
                    "signal": one.signal,
                    **tag_facts(self.words, one.tag),
                    "value": None if one.value is None else self.words.value(one.tag, one.value),
                    "measured": one.reading,
                    "at": one.since,
                    "quality": one.quality,
                    "link_at": one.link_since,
                    "not_known": None if one.not_known is None else str(one.not_known),
                }
                for one in origin.heard
            ],
        }

    def time_of(self, categories: Collection[str]) -> list[dict[str, Any]]:
        """Time of some categories, by category and cause."""
        found: dict[tuple[str, str], list[int]] = {}
        for span in self.found.spans:
            if span.category in categories:
                for because, ns in self._because(span):
                    found.setdefault((span.category, because), []).append(ns)
        return [
            {"category": category, "because": because, "ns": sum(parts), "intervals": len(parts)}
            for (category, because), parts in sorted(found.items())
        ]

    def _because(self, span: Span) -> Iterator[tuple[str, int]]:
        if "overtime" in span.elements:
            yield "work outside planned busy time, counted apart", span.end - span.start
        elif _LAID_ASIDE & {*span.elements} and not span.busy:
            for part in calendar_facts(self.machine.calendar, span.start, span.end):
                yield part["what"], part["end"] - part["start"]
        else:
            yield self.words.because(span), span.end - span.start

    # Pieces and earned time

    def counts(self) -> list[dict[str, Any]]:
        """What each counter counted, reading by reading."""
        evidence = self.found.evidence
        if evidence is None:
            return []
        told = []
        for quantity, count in evidence.counts.items():
            counter = self.machine.counters[quantity]
            told.append({"quantity": str(quantity), **self._counted(counter, count)})
        return told

    def _counted(self, counter: Counter, count: Count) -> dict[str, Any]:
        return {
            **tag_facts(self.words, count.tag),
            "event": count.event,
            "rolls_over_at": counter.modulus,
            "most_per_second": counter.most_per_second,
            "most_at_once": counter.most_at_once,
            "readings": [self._reading(one) for one in count.readings],
            "readings_that_added_nothing": count.others,
        }

    def _reading(self, one: Reading) -> dict[str, Any]:
        return {
            "at": one.time,
            "value": one.value,
            "before_at": one.before_time,
            "before": one.before,
            "verdict": _verdict(one),
            "added": one.added,
            "within": one.within,
            "product": self.words.text(one.product),
            "overtime": one.overtime,
            "setup": one.setup,
            "after_gap": one.after_gap,
            "unknown_before_ns": one.unknown_ns,
        }

    def pieces(self) -> dict[str, dict[str, int]]:
        """Which counters make each quantity element, and with which sign; pieces in overtime make `overtime_pq`."""
        counters: dict[Quantity, Counter] = dict(self.machine.counters)
        return {element: {str(q): sign for q, sign in of.items()} for element, of in quantities(counters).items()}

    def earned(self) -> list[dict[str, Any]]:
        """Pieces by product, and the planned run time per item that they were worth."""
        amounts = pl.col("pq", "gq", "ideal_pq", "ideal_gq", "startup_sq", "ideal_startup_sq", "unrated")
        by_product = self.rows.group_by("product").agg(amounts.sum(), rows=pl.len())
        told = []
        for row in by_product.sort("product").iter_rows(named=True):
            rows = row.pop("rows")
            if any(row[name] for name in ("pq", "gq", "ideal_pq", "unrated")):
                ideal_ns = self._ideal(row["product"])
                ideal = {"ideal_ns": ideal_ns, "ideal_of": self._ideal_of(row["product"])}
                told.append({**row, **ideal, **_ideal_of_rows(row, ideal_ns, rows)})
        return told

    def _ideal(self, product: str) -> int | None:
        """What the plant file says now; None where there is none, or no plant file."""
        return self.machine.ideal_ns.get(self._code(product), self.machine.default_ideal_ns)

    def _ideal_of(self, product: str) -> str:
        if self.words.compiled is None:
            return "not known without the plant file"
        if self._code(product) in self.machine.ideal_ns:
            return "product"
        return "none" if self.machine.default_ideal_ns is None else "default"

    def _code(self, product: str) -> int:
        return next((code for code, text in self.words.texts.items() if text == product), -1)

    def refused(self) -> dict[str, Any] | None:
        """Readings that count as nothing; None where no samples are held."""
        return None if self.found.evidence is None else refused_facts(self.found.evidence, self.words)

    # Energy

    def energy(self) -> list[dict[str, Any]]:
        """Meter readings, or values of power, and what of them lies in the window."""
        evidence = self.found.evidence
        if evidence is None:
            return []
        told: list[dict[str, Any]] = []
        meters = meters_of(self.machine)
        for element, count in evidence.meters.items():
            told.append({"element": element, "from": "meter", **self._counted(meters[element], count)})
        if evidence.power is not None and self.machine.power is not None:
            values = [{"at": p.time, "until": p.until, "kw": p.kw, "within": p.within} for p in evidence.power]
            gap = {"longest_gap_ns": self.machine.most_power_gap_ns}
            told.append(
                {
                    "element": ELECTRICITY,
                    "from": "power",
                    **tag_facts(self.words, self.machine.power.tag),
                    **gap,
                    "values": values,
                }
            )
        return told


def _ideal_of_rows(row: Mapping[str, Any], ideal_ns: int | None, rows: int) -> dict[str, Any]:
    """The planned run time per item that the earned time of some rows is of, ns, and whether it is what is known now.

    Both None where there are no pieces; the second also where nothing is known now.
    """
    pieces = row["pq"] / 10**6
    if not pieces:
        return {"ideal_of_rows_ns": None, "ideal_agrees": None}
    rounded = rows * _MOST_ROUNDINGS
    agrees = None if ideal_ns is None else abs(row["ideal_pq"] - ideal_ns * pieces) <= rounded
    return {"ideal_of_rows_ns": row["ideal_pq"] / pieces, "ideal_agrees": agrees}


def factor_facts(plant: Plant, start: int, end: int) -> list[dict[str, Any]]:
    """Factors that are in force within a window."""
    told = []
    for carrier in dict.fromkeys(factor.carrier for factor in plant.factors):
        dated = sorted((f for f in plant.factors if f.carrier is carrier and f.since < end), key=lambda f: f.since)
        in_force = [
            f for f, after in zip(dated, [*dated[1:], None], strict=True) if after is None or after.since > start
        ]
        told += [
            {
                "carrier": ELECTRICITY if f.carrier is None else str(f.carrier),
                "since": f.since,
                "kgce": f.kgce,
                "kg_co2e": f.kg_co2e,
                "source": f.source,
            }
            for f in in_force
        ]
    return told


def calendar_facts(calendar: Calendar, start: int, end: int) -> list[dict[str, Any]]:
    """What was planned over [start, end), ns: shifts, breaks, planned stops, and time outside any shift."""
    plan = planned_times(calendar, start, end)
    stops = [edge for stop in calendar.planned_stops for edge in stop if start < edge < end]
    edges = np.unique(np.concatenate([plan.edge, np.array(stops, np.int64)]))
    told: list[dict[str, Any]] = []
    for begin, finish in zip(edges.tolist(), [*edges[1:].tolist(), end], strict=True):
        at = int(np.searchsorted(plan.edge, begin, side="right")) - 1
        shift = int(plan.shift[at])
        one = {
            "start": begin,
            "end": finish,
            "what": _planned(
                calendar, begin, bool(plan.operation[at]), bool(plan.busy[at]), maintenance=bool(plan.maintenance[at])
            ),
            "planned": "busy" if plan.busy[at] else "operation" if plan.operation[at] else "",
            "shift": "" if shift < 0 else calendar.shifts[shift].name,
            "shift_start": int(plan.shift_start[at]),
        }
        if told and all(told[-1][key] == one[key] for key in ("what", "planned", "shift", "shift_start")):
            told[-1]["end"] = finish
        else:
            told.append(one)
    return told


def _planned(calendar: Calendar, at: int, operation: bool, busy: bool, *, maintenance: bool) -> str:
    if busy:
        return "shift"
    if maintenance:
        return "planned maintenance" if operation else "planned maintenance outside any shift"
    if operation:
        in_stop = any(begin <= at < end for begin, end in calendar.planned_stops)
        return "planned stop" if in_stop else "break"
    day = local(at, calendar.timezone).date()
    if any(day == exception for exception, _ in calendar.exceptions):
        return "outside the shifts of an exceptional day"
    return "holiday" if day in calendar.holidays else "outside any shift"


def _verdict(one: Reading) -> str:
    if one.before_time is None and one.verdict is Verdict.COUNTED_ON and not one.added:
        return "base"
    return one.verdict.name.lower()
