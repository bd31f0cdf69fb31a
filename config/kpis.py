"""Own KPIs, declared elements and rules of lines, from the options to what the engine's formulas take.

Rule: a formula is compiled here and now, so that what `validate` accepts is what will be computed.
Imports: standard library, pydantic, config, kpi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from config.errors import Path, suggestion
from config.kpi_options import DeclaredOptions, LineRuleOptions, OwnKpi
from config.names import RESERVED
from config.quantities import DurationOrZero, shown
from kpi.declared import DECLARED_ELEMENT, Declaration
from kpi.expressions import FormulaError
from kpi.formulas import KNOWN_ELEMENTS, KPI_IDS, FailureDenominator, Kpi, KpiBook, kpi_book
from kpi.lines import LineKind, LineRule, untold
from kpi.plant import Machine, Quantity

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

_DURATION: Final = TypeAdapter[int](DurationOrZero)


def compile_kpis(options: Mapping[str, OwnKpi], failure_denominator: str, report: Report) -> KpiBook:
    """The KPIs of the table and the plant's own; own ones with a fault are reported and left out."""
    failures = FailureDenominator(failure_denominator)
    good: list[Kpi] = []
    for id_, own in options.items():
        here = ("kpis", id_)
        if id_ in RESERVED:
            report(here, f"`{id_}` is the name of something else in boards and exports")
            continue
        try:
            kpi_book([_own(id_, own)], failures)
        except FormulaError as error:
            hint = suggestion(error.name, [*KNOWN_ELEMENTS, *KPI_IDS]) if error.name else ""
            place = f"character {error.column}: " if error.column else ""
            words = f"`{error.name}` is no element and no KPI{hint}" if error.name else error.complaint
            report((*here, "formula"), place + words)
        except ValueError as error:
            report(here, str(error))
        else:
            good.append(_own(id_, own))
    return kpi_book(good, failures)


def _own(id_: str, own: OwnKpi) -> Kpi:
    return Kpi(
        id_,
        own.name,
        own.name_zh or own.name,
        own.formula,
        own.unit,
        own.better or "",
        "the plant's own",
        low=own.low,
        high=own.high,
    )


def compile_declared(
    declared: Sequence[DeclaredOptions], time_zone: str, machines: Sequence[str], lines: Sequence[str], report: Report
) -> tuple[Declaration, ...]:
    """Declared elements. machines, lines: names that the file has, faulty ones too."""
    zone = ZoneInfo(time_zone)
    made: list[Declaration] = []
    for place, one in enumerate(declared):
        here = ("declared", place)
        for what, name, known in (("machine", one.machine, machines), ("line", one.line, lines)):
            if name is not None and name not in known:
                report((*here, what), f"unknown {what} `{name}`{suggestion(name, known)}")
        if one.machine and one.line:
            report((*here, "line"), "beside `machine`: a figure is of one or the other")
        value = _value(one, (*here, "value"), report)
        first, after = one.period
        made.append(
            Declaration(
                one.element,
                value,
                _midnight(first, zone),
                _midnight(after, zone),
                one.machine or "",
                one.line or "",
                one.note,
            )
        )
    for place, other in _overlaps(made):
        report(("declared", place, "period"), f"overlaps declaration {other + 1} of the same element and place")
    return tuple(made)


def _value(one: DeclaredOptions, path: Path, report: Report) -> float:
    """The amount in the element's unit."""
    if DECLARED_ELEMENT[one.element].unit == "s":
        try:
            return _DURATION.validate_python(one.value) / 1e9
        except ValidationError as error:
            report(path, str(error.errors(include_url=False)[0]["ctx"]["message"]))
            return 0.0
    if isinstance(one.value, str):
        report(path, f"expected a number, got {shown(one.value)}; write it without quotes and without its unit")
        return 0.0
    if not 0 <= one.value < float("inf"):
        report(path, f"expected a number of at least 0, got {shown(one.value)}")
    return float(one.value)


def _overlaps(made: Sequence[Declaration]) -> Iterator[tuple[int, int]]:
    """(declaration, earlier one) that speak of the same."""
    before: dict[tuple[str, str, str], list[int]] = {}
    for index, one in enumerate(made):
        same = before.setdefault((one.element, one.machine, one.line), [])
        yield from ((index, i) for i in same if made[i].start < one.end and one.start < made[i].end)
        same.append(index)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp()) * 1_000_000_000


def compile_line_rule(
    options: LineRuleOptions,
    line: str,
    machines: Sequence[Machine],
    named: Sequence[str],
    ideal_of: Callable[[str], Mapping[str, int]],
    path: Path,
    report: Report,
    warn: Callable[[str], None],
) -> LineRule:
    """The rule of a line.

    machines: of the line, in order, those with faults left out. named: ids of all of them. ideal_of: machine → planned
    run time per item by product. Faults go to `report`, what cannot be had from it to `warn`.
    """
    kind = LineKind(options.kind)
    for option in ("constraint", "steps"):
        if getattr(options, option) is not None and not _means(kind, option):
            report((*path, option), f"has no meaning for the kind `{kind.value}`")
    if kind is LineKind.SUM:
        return LineRule(line)
    steps = options.steps or [m.id for m in machines if _counts(m)]
    _check_machines(options, kind, named, path, report)
    by_id = {machine.id: machine for machine in machines}
    for place, step in enumerate(options.steps or ()):
        if step in by_id and not _counts(by_id[step]):
            report((*path, "steps", place), f"`{step}` counts neither `total` nor `good`")
    constraint = by_id.get(options.constraint or "")
    if kind is LineKind.CONSTRAINT or constraint is None:
        return LineRule(line, kind, options.constraint or "", ())
    if not steps:
        report(path, "no machine of the line counts `total` or `good`, which a serial line needs")
        return LineRule(line)
    rule = LineRule(
        line,
        kind,
        constraint.id,
        tuple(steps),
        dict(ideal_of(constraint.id)),
        constraint.default_ideal_ns,
        untold([by_id[step] for step in steps if step in by_id]),
    )
    _warn_of(rule, [by_id[step] for step in (steps[0], steps[-1]) if step in by_id], warn)
    return rule


def _means(kind: LineKind, option: str) -> bool:
    return kind is LineKind.SERIAL or (kind is LineKind.CONSTRAINT and option == "constraint")


def _counts(machine: Machine) -> bool:
    return bool({Quantity.TOTAL, Quantity.GOOD} & machine.counters.keys())


def _check_machines(options: LineRuleOptions, kind: LineKind, named: Sequence[str], path: Path, report: Report) -> None:
    if options.constraint is None:
        report((*path, "constraint"), f"is missing: `{kind.value}` needs the machine whose times are the line's")
    wanted: list[tuple[Path, Any]] = [((*path, "constraint"), options.constraint)]
    wanted += [((*path, "steps", place), step) for place, step in enumerate(options.steps or ())]
    for here, name in wanted:
        if name is not None and name not in named:
            report(here, f"no machine `{name}` in this line{suggestion(name, named)}")
    if options.steps is not None and len(set(options.steps)) < len(options.steps):
        report((*path, "steps"), "names a machine twice")


def _warn_of(rule: LineRule, ends: Sequence[Machine], warn: Callable[[str], None]) -> None:
    if rule.default_ideal_ns is not None:
        return
    if not rule.ideal_ns:
        warn(f"line `{rule.line}`: no ideal cycle time of `{rule.constraint}`: its effectiveness and OEE cannot be had")
    for machine in ends:
        if rule.ideal_ns and machine.product is None:
            warn(
                f"line `{rule.line}`: `{machine.id}` does not tell the product and `{rule.constraint}` has no "
                "`default_ideal_cycle_time`: effectiveness and OEE of the line cannot be had"
            )
