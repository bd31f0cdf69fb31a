"""A pedigree on a terminal: the number first, then its sums, then what went into each.

Rule 1: nothing is computed here but a sum over what is printed; figures are those of the JSON, exactly, in their units.
Rule 2: nothing is cut off: long lists end in a line that says how much more there is and how to see it, and what does
not fit into a column is folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edge_agent.explain.words import clock, decimal, figure
from kpi.composition import COUNTS_IN
from kpi.formulas import KNOWN_ELEMENTS

Facts = Mapping[str, Any]

MOST_ROWS: Final = 40
"""Rows of a list that a person can still read through."""

_SECONDS: Final = 9
_MILLIONTHS: Final = 6
_DIGITS: Final = {10**_SECONDS: _SECONDS, 10**_MILLIONTHS: _MILLIONTHS}
_DASH: Final = "–"
_USUAL: Final = "counted_on"


def shown(facts: Facts, *, every: bool = False) -> RenderableType:
    """The answer of `explain` as tables. every: whole lists, however long."""
    most = None if every else MOST_ROWS
    pedigrees = [_pedigree(one, facts, most) for one in facts["pedigrees"]]
    return Group(*_head(facts), *_sums(facts), *(part for pedigree in pedigrees for part in pedigree), *_foot(facts))


# The number


def _head(facts: Facts) -> Iterator[RenderableType]:
    kpi, window = facts["kpi"], facts["window"]
    of = f"{facts['level']} {facts['place']}"
    yield Text.assemble((f"{kpi['name_en']} {kpi['name_zh']}", "bold"), f" of {of}")
    name = f"shift {window['shift']}" if window["shift"] else window["name"] or "window"
    ends = f"{_clock(window['start'], facts)} – {_clock(window['end'], facts)} {facts['timezone']}"
    yield Text(f"{name}: {ends}")
    if window["provisional"]:
        yield Text(f"provisional: said up to {_clock(window['settled_to'], facts)}", "yellow3")
    yield Text()
    value = facts["value"]
    if value is None:
        yield Text.assemble((f"{kpi['id']} has no value", "bold red3"), f": {facts['absent_because']}")
    else:
        yield Text(f"{kpi['id']} = {_value(value, kpi['unit'])}", "bold green3")
        yield Text(f"  = {facts['working']}")
    yield Text(f"  = {kpi['formula']}")
    for one in kpi["through"]:
        yield Text(f"    where {one['id']} = {one['formula']}")
    for one in (kpi, *kpi["through"]):
        if one["null_unless_zero"]:
            yield Text(f"    only where {one['null_unless_zero']} is zero", "dim")
        for name in one["null_if_zero"]:
            yield Text(f"    only where {name} is not zero", "dim")
    yield Text(f"  {kpi['source']}", "dim")
    if facts["warning"]:
        yield Text(f"  warning: {facts['warning']}", "yellow3")
    yield Text()


def _sums(facts: Facts) -> Iterator[RenderableType]:
    table = _table("Summed elements", ("Element",), right=("Amount",), then=("Unit", "What it is"))
    for one in facts["elements"]:
        symbol = f" ({one['symbol']})" if one["symbol"] else ""
        table.add_row(one["id"], _amount(one), one["unit"], f"{one['name']}{symbol}; {one['source']}")
    yield table
    yield Text(f"coverage {_ratio(facts['coverage'])}: share of planned busy time that good data covers")
    yield Text()
    for one in facts["declared"]:
        of = one["machine"] or one["line"] or "the site"
        period = f"{_clock(one['start'], facts)} – {_clock(one['end'], facts)}"
        yield Text(f"declared for {of}: {one['element']} = {one['value']:g}, {period} {one['note']}")
    if facts["lines"]:
        yield _places("Lines", "line", facts["lines"], facts)
        for one in facts["lines"]:
            yield from _rule(one)
        yield Text()
    if facts["level"] != "machine":
        yield _places("Machines", "machine", facts["machines"], facts)
        if not facts["pedigrees"]:
            yield Text("  --deep shows what went into each machine's sums", "dim")
        yield Text()


def _rule(line: Facts) -> Iterator[RenderableType]:
    steps = f"; steps {' → '.join(line['steps'])}" if line["steps"] else ""
    constraint = f"; constraint {line['constraint']}" if line["constraint"] else ""
    yield Text(f"  {line['line']}: {line['rule_means']}{steps}{constraint}", "dim")
    for one in line["earned"]:
        ideal = _DASH if one["ideal_ns"] is None else f"{decimal(one['ideal_ns'], _SECONDS)} s"
        pieces = f"{decimal(one['into'], _MILLIONTHS)} in, {decimal(one['out'], _MILLIONTHS)} good out"
        yield Text(f"    {one['product'] or 'product not known'}: {pieces}, each worth {ideal}", "dim")


def _places(title: str, key: str, places: Sequence[Facts], facts: Facts) -> Table:
    table = _table(title, (key.capitalize(),), right=("Value", "Coverage"), then=("Summed elements",))
    for one in places:
        elements = ", ".join(f"{e['id']} {_amount(e)} {e['unit']}" for e in one["elements"])
        value = _DASH if one["value"] is None else _value(one["value"], facts["kpi"]["unit"])
        why = f"; no value: {one['absent_because']}" if one["absent_because"] else ""
        table.add_row(one[key], value, _ratio(one["coverage"]), elements + why)
    return table


# One machine


def _pedigree(one: Facts, facts: Facts, most: int | None) -> list[RenderableType]:
    parts = [
        _calendar(one, facts, most),
        _intervals(one, facts, most),
        _causes("Unknown time, and why", one["unknown"]),
        _causes("Time that the formula leaves out, and why", one["left_out"]),
        _counts(one, facts, most),
        _earned(one),
        _energy(one, facts, most),
        _factors(one, facts),
        _evidence(one, facts),
    ]
    head = Text(f"machine {one['machine']}", "bold reverse")
    told = [lines for part in parts if (lines := list(part))]
    return [head, *(line for lines in told for line in (*lines, Text()))]


def _intervals(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    intervals = one["intervals"]
    if not intervals:
        yield Text("no state intervals are held of this time; the sums are those of the element rows", "yellow3")
        return
    summed = _table("Time by category", ("Counts as",), right=("Seconds", "Intervals"), then=("Which is in",))
    categories = dict.fromkeys(span["category"] for span in intervals)
    for category in (name for name in COUNTS_IN if name in categories):
        mine = [span["ns"] for span in intervals if span["category"] == category]
        summed.add_row(category, decimal(sum(mine), _SECONDS), str(len(mine)), ", ".join(COUNTS_IN[category]))
    yield summed
    fails = sum(span["begins_failure"] for span in intervals)
    if fails:
        yield Text(f"failure events: {fails}, each the first instant of a breakdown (marked *)")
    yield Text()
    table = _table("State intervals", ("From", "To"), right=("Seconds",), then=("State", "Counts as", "Because"))
    for span in _first(intervals, most):
        state = span["state"] + (" *" if span["begins_failure"] else "")
        counts = span["category"] + (f", {span['product']}" if span["product"] else "")
        table.add_row(
            _clock(span["start"], facts),
            _clock(span["end"], facts),
            decimal(span["ns"], _SECONDS),
            state,
            counts,
            _because(span, facts),
        )
    yield table
    yield from _more(intervals, most, "intervals")


def _because(span: Facts, facts: Facts) -> Text:
    said = Text(span["because"])
    origin = span["origin"]
    if origin is None:
        return said
    notes = [] if origin["rule"] is None else [f"rule {origin['rule']['number']}"]
    for signal in origin["signals"]:
        note = f"{signal['tag'] or signal['signal']}"
        if signal["at"] is not None:
            measured = "" if signal["measured"] is None else f" of {signal['measured']:g}"
            value = "nothing" if signal["value"] is None else figure(signal["value"])
            note += f" {value}{measured}"
            note += f" at {_clock(signal['at'], facts)}"
        if signal["link_at"] is not None:
            note += f", link at {_clock(signal['link_at'], facts)}"
        notes.append(note)
    return said.append(f" [{'; '.join(notes)}]", "dim")


def _causes(title: str, causes: Sequence[Facts]) -> Iterator[RenderableType]:
    if not causes:
        return
    table = _table(title, ("Category",), right=("Seconds", "Intervals"), then=("Because",))
    for one in causes:
        table.add_row(one["category"], decimal(one["ns"], _SECONDS), str(one["intervals"]), one["because"])
    yield table


def _counts(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    for count in one["counts"]:
        yield from _counter(f"Counter {count['quantity']}", "pieces", count, one["samples"]["from"], facts, most)
    if one["pieces"] and one["counts"]:
        made = ", ".join(
            f"{element} = {_made_of(of)}" for element, of in one["pieces"].items() if of and element != "overtime_pq"
        )
        yield Text(f"{made}; pieces made in overtime that is counted apart are overtime_pq", "dim")


def _made_of(of: Mapping[str, int]) -> str:
    return " ".join(f"{'-' if sign < 0 else '+'} {name}" for name, sign in of.items()).removeprefix("+ ")


def _counter(
    title: str, unit: str, count: Facts, since_ns: int, facts: Facts, most: int | None
) -> Iterator[RenderableType]:
    readings = count["readings"]
    within = decimal(sum(one["within"] for one in readings), _MILLIONTHS)
    quiet = count["readings_that_added_nothing"]
    since = _clock(since_ns, facts)
    yield Text.assemble((title, "bold"), f" {count['tag']}: {within} {unit}, counted from {since} on")
    yield Text(f"  {len(readings)} readings added something or were judged, {quiet} added nothing", "dim")
    judged = [one for one in readings if one["verdict"] != _USUAL or one["unknown_before_ns"]]
    if not judged:
        yield Text("  every reading counted on from the one before", "dim")
        return
    table = _table("", ("At",), right=("Reading", "Before", "Counted", "In window"), then=("Judged",))
    for one in _first(judged, most):
        gap = f", after {decimal(one['unknown_before_ns'], _SECONDS)} s unknown" if one["unknown_before_ns"] else ""
        table.add_row(
            _clock(one["at"], facts),
            f"{one['value']:.15g}",
            _before(one, facts),
            decimal(one["added"], _MILLIONTHS),
            decimal(one["within"], _MILLIONTHS),
            one["verdict"].replace("_", " ") + gap,
        )
    yield table
    yield from _more(judged, most, "decisions")


def _before(reading: Facts, facts: Facts) -> str:
    if reading["before"] is None:
        return _DASH
    return f"{reading['before']:.15g} at {_clock(reading['before_at'], facts)}"


def _earned(one: Facts) -> Iterator[RenderableType]:
    if not one["earned"]:
        return
    right = ("Pieces", "Good", "Planned run time", "Earned, all", "Earned, good", "Unrated")
    table = _table("Planned run time per item, by product", ("Product",), right=right, then=("From",))
    for row in one["earned"]:
        ideal = _DASH if row["ideal_ns"] is None else f"{decimal(row['ideal_ns'], _SECONDS)} s"
        amounts = [decimal(row[name], _MILLIONTHS) for name in ("pq", "gq")]
        times = [f"{decimal(row[name], _SECONDS)} s" for name in ("ideal_pq", "ideal_gq", "unrated")]
        table.add_row(row["product"] or "not known", *amounts, ideal, *times, row["ideal_of"])
    yield table


def _energy(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    for source in one["energy"]:
        if source["from"] == "meter":
            unit = KNOWN_ELEMENTS[source["element"]].unit
            yield from _counter(f"Meter of {source['element']}", unit, source, one["samples"]["from"], facts, most)
            yield from _meter_edges(source, facts)
            continue
        values = source["values"]
        if not values:
            yield Text.assemble(("Power", "bold"), f" {source['tag']}: no value held in this time")
            continue
        within = decimal(sum(value["within"] for value in values), _MILLIONTHS)
        yield Text.assemble(("Power", "bold"), f" {source['tag']}: {within} kWh of {len(values)} values")
        table = _table("", ("From", "Until"), right=("kW", "kWh in window"))
        for value in _first(values, most):
            kw = "bad: nothing" if value["kw"] is None else f"{value['kw']:.15g}"
            ends = [_clock(value[name], facts) for name in ("at", "until")]
            table.add_row(*ends, kw, decimal(value["within"], _MILLIONTHS))
        yield table
        yield from _more(values, most, "values")


def _meter_edges(source: Facts, facts: Facts) -> Iterator[RenderableType]:
    """Readings between which an edge of the window lies: only a part of what they added is in it."""
    for one in source["readings"]:
        if one["within"] != one["added"] and one["before_at"] is not None:
            ends = f"{_clock(one['before_at'], facts)} – {_clock(one['at'], facts)}"
            part = f"{decimal(one['within'], _MILLIONTHS)} of {decimal(one['added'], _MILLIONTHS)}"
            yield Text(f"  {ends}: {part} in the window, by its share of the time", "dim")


def _factors(one: Facts, facts: Facts) -> Iterator[RenderableType]:
    if not one["factors"]:
        return
    table = _table("Factors", ("Carrier", "Since"), right=("kgce", "kg CO2e"), then=("Source",))
    for factor in one["factors"]:
        since = _clock(factor["since"], facts) if factor["since"] > 0 else "always"
        table.add_row(factor["carrier"], since, f"{factor['kgce']:g}", f"{factor['kg_co2e']:g}", factor["source"])
    yield table


def _calendar(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    calendar = one["calendar"]
    table = _table(f"Calendar, {calendar['timezone']}", ("From", "To"), right=("Seconds",), then=("Shift", "What"))
    for part in _first(calendar["stretches"], most):
        ends = [_clock(part[name], facts) for name in ("start", "end")]
        table.add_row(*ends, decimal(part["end"] - part["start"], _SECONDS), part["shift"], part["what"])
    yield table
    yield from _more(calendar["stretches"], most, "stretches")


def _evidence(one: Facts, facts: Facts) -> Iterator[RenderableType]:
    """How far the evidence reaches, and whether it gives the journal's rows."""
    samples, check, revision = one["samples"], one["check"], one["revision"]
    if one["not_recorded_ns"] > 0:
        lost = decimal(one["not_recorded_ns"], _SECONDS)
        yield Text(f"{lost} s have no element rows: no agent ran, or the machine was not configured", "yellow3")
    if samples["why_not"]:
        since = "" if samples["from"] is None else f" before {_clock(samples['from'], facts)}"
        yield Text(f"no samples{since}: {samples['why_not']}", "yellow3")
    if check["agrees"]:
        ends = f"{_clock(check['start'], facts)} – {_clock(check['end'], facts)}"
        yield Text(f"the samples of {ends}, folded again, give the journal's rows exactly", "green3")
    for difference in check["differences"]:
        yield Text(
            f"{_clock(difference['time'], facts)} {difference['element']}: the journal has {difference['journal']:,}, "
            f"the samples give {difference['samples']:,}",
            "red3",
        )
    if check["differences"]:
        more = f"and {check['more']:,} more; " if check["more"] else ""
        yield Text(
            f"{more}rows and samples differ where samples came after the rows were said (ask again in a few seconds) "
            "or where the configuration was changed since",
            "yellow3",
        )
    if revision is not None:
        causes = ", ".join(f"{cause or 'first said'} {rows:,}" for cause, rows in revision["causes"].items())
        yield Text(f"{revision['rows']:,} rows, newest revision {revision['newest']}: {causes}")


def _foot(facts: Facts) -> Iterator[RenderableType]:
    configuration = facts["configuration"]
    versions = [f"the agent's {configuration['journal'] or 'is not known'}"]
    if configuration["plant_file"] is not None:
        versions.append(f"the plant file's {configuration['plant_file']}")
    yield Text(f"configuration: {', '.join(versions)}; sums are of {facts['window']['rows_of']} rows")
    for note in configuration["notes"]:
        yield Text(f"note: {note}", "yellow3")


# Cells


def _table(title: str, left: Iterable[str], *, right: Iterable[str] = (), then: Iterable[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title=title or None, title_justify="left")
    table.title_style = "bold"
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", overflow="fold")
    for heading in then:
        table.add_column(heading, overflow="fold")
    return table


def _first(rows: Sequence[Facts], most: int | None) -> Sequence[Facts]:
    return rows if most is None else rows[:most]


def _more(rows: Sequence[Facts], most: int | None, what: str) -> Iterator[RenderableType]:
    if most is not None and len(rows) > most:
        yield Padding(Text(f"… and {len(rows) - most:,} more {what}: --all or --json shows them", "dim"), (0, 0, 0, 2))


def _clock(at: int, facts: Facts) -> str:
    return clock(at, facts["timezone"], facts["window"]["start"])


def _amount(element: Facts) -> str:
    amount = element["amount"]
    if amount is None:
        return _DASH
    digits = _DIGITS.get(element["per_unit"])
    return f"{amount:,.15g}" if digits is None else decimal(amount, digits)


def _ratio(value: float | None) -> str:
    return _DASH if value is None else f"{value:.2%}"


def _value(value: float, unit: str) -> str:
    return f"{value:.12g} ({value:.2%})" if unit == "1" else f"{value:.12g} {unit}"
