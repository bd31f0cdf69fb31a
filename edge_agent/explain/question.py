"""The answer about a KPI of summed elements: the number as boards and exports have it, and all that went into it.

Rule 1: the number is computed as everywhere else, from the same rows by the same formula; evidence is laid beside it
and held against it, and where the two differ the answer says so.
Rule 2: the whole answer is of one instant of the journal.
Capability indices, which are of a measured characteristic, are answered by `edge_agent.explain.capability`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl

from config.compiled import CompiledPlant
from config.errors import did_you_mean
from edge_agent.explain.capability import INDICES, capability_facts
from edge_agent.explain.decisions import decision_facts
from edge_agent.explain.evidence import Found
from edge_agent.explain.facts import (
    EARNED,
    ENERGY,
    FACTORED,
    PIECES,
    TIME,
    MachineFacts,
    calendar_facts,
    element_facts,
    factor_facts,
    revision_facts,
    row_facts,
    with_parts,
)
from edge_agent.explain.subject import SCHEMA, Question, Subject, UnanswerableError
from edge_agent.explain.words import Words
from edge_agent.journal import JournalReader
from kpi.composition import without_effect
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.formulas import UNCOUNTED, WHOLE, Kpi, KpiBook, in_units
from kpi.lines import LineKind, LineRule
from kpi.plant import Machine
from kpi.rollup import Level

_MOST_DIFFERENCES: Final = 50
_COVERAGE: Final = frozenset({"pbt", "unknown"})
_NAME: Final = re.compile(r"[a-z_][a-z_0-9]*")

_SUMS: Final[Mapping[LineKind, str]] = {
    LineKind.SUM: "sum of its machines",
    LineKind.CONSTRAINT: "times, pieces and failures of its constraint machine; energy and media of all",
    LineKind.SERIAL: "pieces in at its first machine, good ones out of its last, times of its constraint machine",
}


def explain(reader: JournalReader, compiled: CompiledPlant | None, question: Question) -> dict[str, Any]:
    """The answer, ready for JSON; see `docs/explain.md` for its names.

    compiled: what the plant file says, its texts coded as `reader.texts` has them; None where only the journal is at
    hand. Raises UnanswerableError.
    """
    with reader.snapshot():
        subject = Subject(reader, compiled, question)
        if question.kpi in INDICES:
            return capability_facts(subject)
        return _Answer(subject).facts()


class _Answer:
    def __init__(self, subject: Subject) -> None:
        self._subject, self._question, self._asked = subject, subject.question, subject.asked
        kpis = subject.kpis
        self._plant = kpis.plant
        self._kpi = _known_kpi(self._question, kpis.book)
        # the few that the answer tells of; all of them together take longer than the rest of it
        wanted = {self._kpi.id, "coverage", *self._kpi.elements}
        self._book = replace(kpis.book, kpis=tuple(kpi for kpi in kpis.book.kpis if kpi.id in wanted))
        self._kpis = replace(kpis, book=self._book)
        self._machines, self._evidence = subject.machines, subject.evidence
        self._elements = self._book.elements_of(self._kpi)
        self._elements |= {whole for part, whole in WHOLE.items() if part in self._elements}
        self._parts = with_parts(self._elements | _COVERAGE)
        self._table, self._rows = subject.rows()

    # Sums

    def _rolled(self) -> dict[Level, pl.DataFrame]:
        """Sums of the window at every level."""
        at_start = self._rows.with_columns(time=pl.lit(self._asked.start, pl.Int64))
        end = pl.lit(self._asked.end, pl.Int64).alias("end")
        return {level: rows.with_columns(end) for level, rows in self._kpis.sums(at_start, "minute").items()}

    def _figures(self, sums: pl.DataFrame, elements: Collection[str]) -> list[dict[str, Any]]:
        """Value, reason, warning and elements of the KPI for each row of sums."""
        figures = self._kpis.figures(sums)
        absent, odd = self._kpis.absent(sums), self._kpis.odd(sums)
        id_ = self._kpi.id
        return [
            {
                "value": row[id_],
                "absent_because": absent[id_][place],
                "warning": odd[id_][place],
                "working": _working(self._kpi, self._book, units),
                "elements": element_facts(row, units, elements),
                "coverage": row["coverage"],
            }
            for place, (row, units) in enumerate(zip(figures.to_dicts(), in_units(figures).to_dicts(), strict=True))
        ]

    # The answer

    def facts(self) -> dict[str, Any]:
        """All of it."""
        rolled = self._rolled()
        level = self._question.level
        mine = {"machine": "machine", "line": "line"}.get(level)
        own = rolled[level] if mine is None else rolled[level].filter(pl.col(mine) == self._question.place)
        if own.is_empty():
            raise self._subject.has_nothing()
        machines = self._machine_sums(rolled["machine"])
        deep = level == "machine" or self._question.deep
        return {
            "schema": SCHEMA,
            "level": level,
            "place": self._subject.place,
            "site": self._plant.site,
            "timezone": self._plant.timezone,
            "kpi": self._kpi_facts(),
            "window": self._subject.window_facts(self._table),
            **self._figures(own, self._elements | _COVERAGE)[0],
            "declared": self._declared_facts(),
            "configuration": self._subject.configuration(),
            "lines": [] if level == "machine" else self._line_sums(rolled["line"]),
            "machines": machines,
            "revision": revision_facts(self._rows.filter(pl.col("machine").is_in([one.id for one in self._machines]))),
            "pedigrees": [self._pedigree(machine, machines) for machine in self._machines] if deep else [],
        }

    def _kpi_facts(self) -> dict[str, Any]:
        kpi = self._kpi
        return {
            "id": kpi.id,
            "name_en": kpi.name_en,
            "name_zh": kpi.name_zh,
            **_formula(kpi),
            "through": [
                {"id": name, **_formula(one)} for name, one in self._book.named().items() if name in kpi.elements
            ],
            "unit": kpi.unit,
            "source": kpi.source,
            "range": [kpi.low, kpi.high],
            "better": kpi.better,
        }

    def _declared_facts(self) -> list[dict[str, Any]]:
        """Declarations that the KPI may use, and which of them touch the window."""
        asked = self._asked
        return [
            {
                "element": one.element,
                "value": one.value,
                "start": one.start,
                "end": one.end,
                "machine": one.machine,
                "line": one.line,
                "note": one.note,
            }
            for one in self._kpis.declared
            if one.element in self._elements and one.start < asked.end and one.end > asked.start
        ]

    def _line_begins(self, machine: Machine) -> dict[str, Any] | None:
        """What went into the serial line of a machine; None where it is in none."""
        rules = (one for one in self._kpis.line_rules if one.line == machine.line and one.kind is LineKind.SERIAL)
        first = next((rule.steps[0] for rule in rules), None)
        if first is None:
            return None
        return {"machine": first, "pq": int(self._rows.filter(pl.col("machine") == first)["pq"].sum())}

    def _line_sums(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        wanted = {machine.line for machine in self._machines}
        rows = rows.filter(pl.col("line").is_in(list(wanted)))
        rules = {rule.line: rule for rule in self._kpis.line_rules}
        told = []
        for keys, figures in zip(
            rows.select("area", "line").iter_rows(named=True), self._figures(rows, self._parts), strict=True
        ):
            rule = rules.get(keys["line"], LineRule(keys["line"]))
            told.append(
                {
                    **keys,
                    "rule": str(rule.kind),
                    "rule_means": _SUMS[rule.kind],
                    "constraint": rule.constraint,
                    "steps": list(rule.steps),
                    "earned": self._earned_of(rule),
                    **figures,
                }
            )
        return told

    def _earned_of(self, rule: LineRule) -> list[dict[str, Any]]:
        """Pieces into and out of a serial line by product, and what each is worth there."""
        if rule.kind is not LineKind.SERIAL:
            return []
        of = {"into": ("pq", rule.steps[0]), "out": ("gq", rule.steps[-1])}
        pieces = [
            pl.col(element).filter(pl.col("machine") == machine).sum().alias(name)
            for name, (element, machine) in of.items()
        ]
        by_product = self._rows.group_by("product").agg(pieces).sort("product")
        return [
            {**row, "ideal_ns": rule.ideal_ns.get(row["product"], rule.default_ideal_ns)}
            for row in by_product.iter_rows(named=True)
        ]

    def _machine_sums(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        rows = rows.filter(pl.col("machine").is_in([machine.id for machine in self._machines]))
        keys = rows.select("area", "line", "machine").iter_rows(named=True)
        return [{**place, **figures} for place, figures in zip(keys, self._figures(rows, self._parts), strict=True)]

    # One machine

    def _pedigree(self, machine: Machine, sums: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        asked = self._asked
        rows = self._rows.filter(pl.col("machine") == machine.id)
        found = self._evidence.of(machine, rows, asked.start, asked.end)
        words = Words(machine, self._plant.timezone, self._evidence.texts, self._subject.compiled)
        parts = MachineFacts(words, found, rows)
        elements = self._parts
        of_pieces = bool(elements & (PIECES | EARNED))
        of_energy = bool(elements & (ENERGY | FACTORED))
        left_out = without_effect(self._kpi, self._book) if self._elements & TIME else frozenset[str]()
        return {
            "machine": machine.id,
            "figures": next((dict(one) for one in sums if one["machine"] == machine.id), None),
            "samples": {"from": found.samples_from, "why_not": found.why_not},
            "intervals": [one if of_energy else {**one, "used": {}} for one in parts.intervals()],
            "unknown": parts.time_of({"unknown"}),
            "left_out": parts.time_of(left_out),
            "not_recorded_ns": self._subject.not_recorded_ns(rows),
            "counts": parts.counts() if of_pieces else [],
            "pieces": parts.pieces() if of_pieces else {},
            "earned": parts.earned() if elements & EARNED else [],
            "energy": parts.energy() if of_energy else [],
            "decisions": self._decisions(machine, found, of_pieces=of_pieces, of_energy=of_energy),
            "refused": parts.refused(),
            "line_begins": self._line_begins(machine) if "pq_first" in elements else None,
            "factors": factor_facts(self._plant, asked.start, asked.end) if elements & FACTORED else [],
            "calendar": {
                "timezone": machine.calendar.timezone,
                "stretches": calendar_facts(machine.calendar, asked.start, asked.end),
            },
            "minor_stop_ns": machine.minor_stop_ns,
            "cycle_gap_ns": machine.cycle_gap_ns,
            "stop_reason_holds": "stop" if machine.reason_of_stop else "until_changed",
            "stuck_after_ns": machine.stuck_after_ns,
            "rows": row_facts(rows, elements),
            "revision": revision_facts(rows),
            "check": self._check(machine, rows, found),
        }

    def _decisions(self, machine: Machine, found: Found, *, of_pieces: bool, of_energy: bool) -> dict[str, Any] | None:
        """What was decided about counters before samples are held; None where readings say it."""
        if not (of_pieces or of_energy):
            return None
        asked = self._asked
        until = min(asked.end, self._evidence.settled_to) if found.samples_from is None else found.samples_from
        return decision_facts(
            self._subject.reader, machine.id, asked.start, until, of_pieces=of_pieces, of_energy=of_energy
        )

    def _check(self, machine: Machine, rows: pl.DataFrame, found: Found) -> dict[str, Any]:
        """The journal's rows against those that the samples give, minute by minute."""
        if found.evidence is None or self._table != "minute":
            return {"start": None, "end": None, "agrees": None, "differences": [], "more": 0}
        start, end = found.evidence.start, found.evidence.end
        journal = _by_minute(rows.filter(pl.col("time") > start - MINUTE_NS, pl.col("time") < end))
        given = found.evidence.elements
        if self._asked.window == "shift":
            given = given.filter(pl.col("shift_start") == self._asked.start)
        samples = _by_minute(given)
        differences = [
            {"time": minute, "element": element, "journal": held, "samples": made}
            for minute in sorted(journal.keys() | samples.keys())
            for element in ELEMENT_IDS
            if (held := journal.get(minute, {}).get(element, 0)) != (made := samples.get(minute, {}).get(element, 0))
        ]
        return {
            "start": start,
            "end": end,
            "agrees": not differences,
            "differences": differences[:_MOST_DIFFERENCES],
            "more": max(0, len(differences) - _MOST_DIFFERENCES),
        }


def _known_kpi(question: Question, book: KpiBook) -> Kpi:
    known = book.named()
    if question.kpi not in known:
        ids = sorted({*known, *INDICES})
        alike = did_you_mean(question.kpi, ids) or f"; known are {', '.join(ids)}"
        raise UnanswerableError(f"there is no KPI {question.kpi!r}{alike}")
    if question.characteristic:
        raise UnanswerableError(
            f"{question.kpi} is not of a characteristic; {', '.join(INDICES)} are: leave out --characteristic"
        )
    return known[question.kpi]


def _formula(kpi: Kpi) -> dict[str, Any]:
    """The formula, and the elements on which it depends whether it has a value."""
    return {
        "formula": kpi.formula,
        "null_where": kpi.unless,
        "null_if_zero": list(kpi.needs),
        "null_if_all_pieces": list(kpi.void),
        "not_known_if_all_pieces": {name: part for name, part in UNCOUNTED.items() if name in kpi.elements},
    }


def _by_minute(rows: pl.DataFrame) -> dict[int, dict[str, int]]:
    summed = rows.group_by("time").agg(pl.col(ELEMENT_IDS).sum())
    return {row.pop("time"): row for row in summed.iter_rows(named=True)}


def _working(kpi: Kpi, book: KpiBook, units: Mapping[str, Any]) -> str:
    """The formula with figures in place of names; KPIs in it are put in with their own formulas."""
    table = book.named()

    def figure(match: re.Match[str]) -> str:
        name = match[0]
        if name in table and name != kpi.id:
            return f"({_working(table[name], book, units)})"
        if name not in units and name == "first":
            return name
        value = units.get(name)
        return "none" if value is None else f"{value:.15g}"

    return _NAME.sub(figure, kpi.formula)
