"""Writes docs/conformance.md from the table of formulas: `python -m docs.conformance`.

Rule: nothing is said here of a KPI or a signal that the code does not say. What cannot be had of which signals comes
from `kpi.derivable`, tried on typical machines; the tests come from the file of worked cases.
"""

# ruff: noqa: E501 - a row of a Markdown table is one line

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kpi.capability import CapabilityIndex
from kpi.declared import DECLARED
from kpi.derivable import MEASURED, derivable, needs
from kpi.formulas import ALL_ROWS, ISO_KPIS, KNOWN_ELEMENTS, KPI_IDS, STANDARD, Kpi
from kpi.lines import LineKind, LineRule
from kpi.plant import (
    Calendar,
    Carrier,
    Characteristic,
    Counter,
    EnergyFactor,
    Machine,
    Quantity,
    Signal,
    State,
    StateModel,
    StateRule,
)

PAGE: Final = Path(__file__).parent / "conformance.md"

_HEAD: Final = """\
# Conformance with ISO 22400-2

This page is generated from the table of formulas (`python -m docs.conformance`); a test keeps it equal to it.

The text of the standard is not quoted here, and names, formulas and order of its 34 KPIs were taken from published
secondary texts, since it was not at hand. By those the elements are in its clause 5 (time elements in 5.1, those of
maintenance in 5.1.4, the time model of work units in 5.2), the KPIs in clause 6, each in a table of its own and in this
order: a number is the place of a KPI there. Subclauses of clause 6 are not cited. It is adopted in China as
GB/T 34044.2-2017; the Chinese names are the usual terms, not compared with that text. Element ids are those of `kpi/elements.py`; `pbt - unknown` is planned busy time that good data covers.
A division by zero gives no value, and the reason is said. KPIs are formulas over sums: of every window (minute, hour,
shift, day, week, month) and level (machine, line, area, site).
"""

_LINES: Final = """\
## What the figures of a line mean

ISO 22400-2 speaks of work units. What a line's figures are is a choice, made by `lines[].rule`; areas and the site add up
their lines as the rules give them. Energy and media are always of all machines.

| `kind` | Times and failures | Pieces | Earned time | It says | It does not say |
|---|---|---|---|---|---|
| `sum` (default) | of all machines, machine hours | of all machines | of all machines | how well the planned machine hours were used | how many pieces left the line: where machines hand on, a piece counts at each |
| `constraint` | of the constraint | of the constraint | of the constraint | how well the machine was used that limits the line | anything about the others, or about scrap after it |
| `serial` | of the constraint | produced: of the first machine; good, inspected, first pass: of the last; scrap, rework: of all | the constraint's planned run time per item × those pieces | good pieces out against what the constraint could have made: an OEE of the line | in short windows, much: what was produced less good, scrap and rework is stock that grew within the line |

What no step of a serial line counts is not zero: without a step that counts scrap the line has no scrap ratio and no
quality ratio, without one that counts rework no rework ratio. Where some steps count and others do not, those have their
share of the pieces that went in, and the figure is shown with a doubt. Pieces are unjudged where the last step does not
judge them, by as many steps as do not.

Rolled throughput yield is of serial lines: the product of the machines' first-pass yields (inspected pieces where they
are counted, else all), made for each window anew; it is null where a machine produced nothing. Fall off ratio relates a
machine's scrap to what went into its serial line in the same window.

## Declared elements

What no signal says is fed in by `declared`, each with a period, a place and a note on where it is from. A declaration
is never split: it counts in windows that hold its whole period, and an element is known in a window only if declarations
cover all planned operation time of the machines concerned. A line, area or site has what is declared for it, else the
sum over its parts if all have one. Amounts add up; a stock is averaged over time.
"""

_SIGNALS_HEAD: Final = """\
Of machines that say no more than this, with a calendar, and of a plant that declares nothing. What is missing has no
value; it is never estimated. `edge-agent validate PLANT.yaml --kpis` says the same of the machines of a plant.
"""

_CHOICES: Final = """\
## Where the standard leaves a choice

| Question | Here |
|---|---|
| Work outside planned busy time | extends it, so availability stays within 100 %; counted apart if so configured |
| Time without good data | neither lost nor productive: left out of the base, shown as `coverage` |
| Quality ratio over several products | of earned time; of pieces where no planned run time is known |
| Mean times to, between and of failures | over FE, the number of failures; FE + 1 as an option of the plant |
| Failure (FE) | a breakdown that costs planned busy time, counted where it first does; one across a break is one, one outside planned busy time none. It lasts until the machine shows that it can do its job (works, sets up, is idle, waits for material): maintenance, lost data or a reset within it make no second one |
| Pieces that nobody judges | no quality, scrap or rework ratio; OEE, NEE, OOE and TEEP take them as good, and say so |
| Start-up loss | scrap counted in setup, where none is declared |
| Shift rows of lines, areas and the site | of the machines that have a shift of that name and start: where calendars differ, or machines work outside shifts, shifts do not add up to the day |
| Operating time between failures (TBF) | production and setup |
| Time to failure (TTF) | planned busy time in which the unit was able to work, whether it did or not (IEC 60050-191) |
| Time to restoration (TTR) | breakdown, and the corrective maintenance within a failure, in planned busy time alone: the same base as FE. Maintenance without a failure is none |
| Corrective maintenance ratio | ACMT / (ACMT + APMT), of maintenance wherever it lies, as the draft of edition 2 names it: many plants maintain in breaks and after the shift. It counts as what the machine, or a stop reason, says; a planned stop of the calendar is planned maintenance where its `kind` says so, while the machine does not work |
| Idle shares of energy and media | what is used switched on without producing or setting up |
| Minor stops | delay, so availability, as the standard has it; TPM counts them as performance. The OEE is the same |
| Capability Cm, Cmk | plain deviation of the values in the window; the choice of a short run is the plant's |
| Capability of a line or site | there is none: several machines are several processes, and a deviation of all their values is that of none |
| Capability of one-sided limits | Cmk, Cpk, Ppk of that side; Cm, Cp, Pp need both |
| Comprehensive energy | all carriers by their standard coal coefficients, 1 kgce = 29.3076 MJ |
| Work units of an order (KPIs 2, 3, 13) | what a window and level hold; choose them to be the order's |
"""


def page(tests: Mapping[str, Sequence[str]]) -> str:
    """The page. tests: KPI → ids of the worked cases that hold it to a figure."""
    parts = [
        _HEAD,
        "## The 34 KPIs\n",
        _kpi_table(ISO_KPIS, tests, numbered=True),
        "## Companions\n",
        _kpi_table(
            [row for row in ALL_ROWS if row.number is None],
            tests,
            numbered=False,
        ),
        _CHOICES,
        _LINES,
        "## Elements\n",
        _element_table(),
        "## What cannot be had from which signals\n",
        _SIGNALS_HEAD,
        *(_machine_section(title, machine, rule) for title, machine, rule in _typical_machines()),
        "### Measured values\n",
        _measured_table(),
    ]
    return "\n".join(parts)


def write(tests: Mapping[str, Sequence[str]]) -> None:
    """Write the page beside this file."""
    PAGE.write_text(page(tests), encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _kpi_table(rows: Iterable[Kpi | CapabilityIndex], tests: Mapping[str, Sequence[str]], *, numbered: bool) -> str:
    head = ["No."] if numbered else []
    head += ["Id", "Name", "名称", "Formula", "Unit", "Range", "Better", "Needs", "Worked cases"]
    if not numbered:
        head.insert(3, "Source")
    made = []
    for row in rows:
        cases = list(tests.get(row.id, ()))
        shown = ", ".join(cases[:2]) + (f" and {len(cases) - 2} more" if len(cases) > 2 else "")
        facts = _facts(row)
        first = [str(row.number)] if numbered else []
        line = [*first, f"`{row.id}`", row.name_en, row.name_zh, f"`{row.formula}`", *facts, shown]
        if not numbered:
            line.insert(3, row.source)
        made.append(line)
    return _table(head, made)


def _facts(row: Kpi | CapabilityIndex) -> list[str]:
    """Unit, range, better, needs."""
    if isinstance(row, CapabilityIndex):
        both = "" if row.is_critical else ", both of them"
        return [row.unit, _range(row), row.better, f"{MEASURED}{both}"]
    needed = needs(sorted(STANDARD.elements_of(row)))
    return [row.unit, _range(row), row.better or "–", "; ".join(needed)]


def _range(kpi: Kpi | CapabilityIndex) -> str:
    is_share = kpi.unit == "1" and isinstance(kpi, Kpi)
    low, high = (
        None if limit is None else (f"{limit:.0%}" if is_share else f"{limit:g}") for limit in (kpi.low, kpi.high)
    )
    if low is None:
        return f"up to {high}" if high else "any"
    return f"{low} – {high}" if high else f"from {low}"


def _element_table() -> str:
    declared = {element.id for element in DECLARED}
    rows = [
        [
            f"`{e.id}`",
            e.symbol or "–",
            e.name,
            e.unit,
            "declared" if e.id in declared else "; ".join(needs([e.id])) or "–",
        ]
        for e in KNOWN_ELEMENTS.values()
    ]
    return _table(["Id", "Symbol", "Element", "Unit", "Comes from"], rows)


def _machine_section(title: str, machine: Machine, rule: LineRule | None) -> str:
    found = derivable(machine, factors=_FACTORS, rule=rule)
    declared = {kpi for kpi in KPI_IDS if STANDARD.elements_of(STANDARD.named()[kpi]) & {e.id for e in DECLARED}}
    missing = [one for one in found if not one.derivable and one.kpi.id not in declared]
    can = [one.kpi.id for one in found if one.derivable]
    lines = [f"### {title}\n", f"Can be had: {', '.join(f'`{kpi}`' for kpi in can) or 'nothing'}.\n"]
    if missing:
        by_reason: dict[str, list[str]] = {}
        for one in missing:
            by_reason.setdefault("; ".join(one.missing), []).append(f"`{one.kpi.id}`")
        lines.append(_table(["Cannot be had", "For want of"], ([", ".join(k), why] for why, k in by_reason.items())))
    return "\n".join(lines)


def _measured_table() -> str:
    """Which capability indices follow from which limits."""
    kinds = {
        "both limits": Characteristic("diameter", 1, 0.0, 1.0),
        "a lower limit (strength)": Characteristic("strength", 1, lower=0.0),
        "an upper limit (roughness)": Characteristic("roughness", 1, upper=1.0),
    }
    rows = []
    for what, one in kinds.items():
        machine = replace(_machine(set()), characteristics=(one,))
        found = [derivation for derivation in derivable(machine) if isinstance(derivation.kpi, CapabilityIndex)]
        can = ", ".join(f"`{derivation.kpi.id}`" for derivation in found if derivation.derivable)
        cannot = ", ".join(f"`{derivation.kpi.id}`" for derivation in found if not derivation.derivable)
        rows.append([what, can, cannot or "–"])
    return _table(["A measured value with", "Can be had", "Cannot be had"], rows)


_FACTORS: Final = (
    EnergyFactor(None, 0, 0.1229, 0.5306, "GB/T 2589-2020; grid factor of 2023"),
    EnergyFactor(Carrier.GAS, 0, 1.33, 2.1, "GB/T 2589-2020"),
)


def _typical_machines() -> Iterator[tuple[str, Machine, LineRule | None]]:
    run, fault = {State.PRODUCING, State.IDLE}, {State.PRODUCING, State.BREAKDOWN, State.IDLE}
    full = set(State) - {State.UNKNOWN, State.PLANNED_STOP}
    ideal = 60_000_000_000
    yield "A counter alone (good pieces)", _machine(set(), Quantity.GOOD, ideal=ideal), None
    yield "A run bit alone", _machine(run), None
    yield "A run bit, and a counter of all pieces", _machine(run, Quantity.TOTAL, ideal=ideal), None
    yield "A run bit, and a counter of good pieces", _machine(run, Quantity.GOOD, ideal=ideal), None
    yield "A run bit and a fault bit, good and scrap", _machine(fault, Quantity.GOOD, Quantity.SCRAP, ideal=ideal), None
    yield (
        "The same without a planned run time per item",
        _machine(fault, Quantity.GOOD, Quantity.SCRAP),
        None,
    )
    yield "Power with a threshold, and nothing else", _machine(run, power=True), None
    yield (
        "PackML or OPC UA Machinery states, all counters, product, a meter; place in a serial line",
        _machine(full, *Quantity, ideal=ideal, power=True),
        LineRule("line", LineKind.SERIAL, "machine", ("machine",), {}, ideal),
    )


def _machine(states: set[State], *counted: Quantity, ideal: int | None = None, power: bool = False) -> Machine:
    model = StateModel(("state",), tuple(StateRule({"state": frozenset({float(s)})}, s) for s in sorted(states)))
    return Machine(
        "machine",
        "machine",
        "line",
        "area",
        Calendar("UTC", ()),
        model,
        (Signal(0),),
        counters={quantity: Counter(1) for quantity in counted},
        default_ideal_ns=ideal,
        power=Signal(2) if power else None,
    )


if __name__ == "__main__":
    from tests.kpi.worked_cases import cases_by_kpi

    write(cases_by_kpi())
