"""A pedigree on a terminal: the number first, then its sums, then what went into each.

Rule: nothing is computed here but a sum over what is printed; figures are those of the JSON, exactly, in their units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.explain import capability_tables
from edge_agent.explain.decisions import decisions_of
from edge_agent.explain.layout import Facts, clock_of, first_of, listed, table_of
from edge_agent.explain.words import clock, decimal, figure
from kpi.composition import COUNTS_IN
from kpi.declared import DECLARED_ELEMENT
from kpi.elements import HOUR_NS
from kpi.formulas import KNOWN_ELEMENTS, UNCOUNTED, WHOLE
from kpi.lines import RESTS_PER_UNIT

MOST_ROWS: Final = 40
"""Rows of a list that a person can still read through."""

_LONGEST_DAY_NS: Final = 25 * HOUR_NS
"""The day on which the clock is set back."""

_SECONDS: Final = 9
_MILLIONTHS: Final = 6
_DIGITS: Final = {10**_SECONDS: _SECONDS, 10**_MILLIONTHS: _MILLIONTHS, 10**_SECONDS * RESTS_PER_UNIT: 15}
_DASH: Final = "–"
_USUAL: Final = "counted_on"


def shown(facts: Facts, *, every: bool = False, deep: bool = False) -> RenderableType:
    """The answer of `explain` as tables. every: whole lists, however long.

    deep: the beginning of each list of single intervals, readings and stretches, however long the window is; else the
    text of a window longer than a day only says how many there are.
    """
    window = facts["window"]
    is_brief = window["end"] - window["start"] > _LONGEST_DAY_NS and not deep
    most = None if every else 0 if is_brief else MOST_ROWS
    if "characteristic" in facts:
        return Group(*_head(facts), *_of_characteristic(facts, most), *_foot(facts))
    pedigrees = [_pedigree(one, facts, most) for one in facts["pedigrees"]]
    return Group(*_head(facts), *_sums(facts), *(part for pedigree in pedigrees for part in pedigree), *_foot(facts))


# The number


def _head(facts: Facts) -> Iterator[RenderableType]:
    kpi, window = facts["kpi"], facts["window"]
    of = f"{facts['level']} {facts['place']}"
    if "characteristic" in facts:
        of = f"{facts['characteristic']['name']} of {of}"
    names = " ".join(dict.fromkeys((kpi["name_en"], kpi["name_zh"])))  # a plant's own KPI may have but one
    yield Text.assemble((names, "bold"), f" of {of}")
    name = f"shift {window['shift']}" if window["shift"] else window["name"] or "window"
    ends = f"{clock(window['start'], facts['timezone'])} – {clock_of(window['end'], facts)} {facts['timezone']}"
    yield Text(f"{name}: {ends}")
    if window["provisional"]:
        yield Text(f"provisional: said up to {clock_of(window['settled_to'], facts)}", "yellow3")
    yield Text()
    value = facts["value"]
    if value is None:
        yield Text.assemble((f"{kpi['id']} has no value", "bold red3"), f": {facts['absent_because']}")
    else:
        shown_value = f"{value:.12g}" if "characteristic" in facts else _value(value, kpi["unit"])
        yield Text(f"{kpi['id']} = {shown_value}", "bold green3")
        yield Text(f"  = {facts['working']}")
    yield Text(f"  = {kpi['formula']}")
    through = kpi.get("through", ())
    for one in through:
        yield Text(f"    where {one['id']} = {one['formula']}")
    for one in (kpi, *through):
        if one.get("null_where"):
            yield Text(f"    no value where {one['null_where']}", "dim")
        for name in one.get("null_if_zero", ()):
            yield Text(f"    only where {name} is not zero", "dim")
        for name in one.get("null_if_all_pieces", ()):
            yield Text(f"    only where {name} is not all of pq", "dim")
        for name, part in one.get("not_known_if_all_pieces", {}).items():
            yield Text(f"    {name} is known only where {part} is not all of {WHOLE[part]}", "dim")
    yield Text(f"  {kpi['source']}", "dim")
    if facts["warning"]:
        yield Text(f"  warning: {facts['warning']}", "yellow3")
    yield Text()


def _sums(facts: Facts) -> Iterator[RenderableType]:
    table = table_of("Summed elements", ("Element",), right=("Amount",), then=("Unit", "What it is"))
    for one in facts["elements"]:
        symbol = f" ({one['symbol']})" if one["symbol"] else ""
        table.add_row(one["id"], _amount(one), one["unit"], f"{one['name']}{symbol}; {one['source']}")
    yield table
    yield _coverage(facts)
    yield Text()
    for one in facts["declared"]:
        of = one["machine"] or one["line"] or "the site"
        ends = [clock(one[name], facts["timezone"]) for name in ("start", "end")]
        note = f" ({one['note']})" if one["note"] else ""
        yield Text(f"declared for {of}: {one['element']} = {_declared(one)}, {' – '.join(ends)}{note}")
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


def _declared(one: Facts) -> str:
    """A declared amount as people declare it: times in hours."""
    unit = DECLARED_ELEMENT[one["element"]].unit
    return f"{one['value'] / 3600:,.12g} h" if unit == "s" else f"{one['value']:,.12g} {unit}"


def _coverage(facts: Facts) -> Text:
    return Text(f"coverage {_ratio(facts['coverage'])}: share of planned busy time that good data covers")


def _of_characteristic(facts: Facts, most: int | None) -> Iterator[RenderableType]:
    """What a capability index is made of."""
    yield from capability_tables.limits_of(facts)
    yield from capability_tables.statistics_of(facts)
    yield _coverage(facts)
    yield Text()
    for one in facts["pedigrees"]:
        yield from capability_tables.values_of(one, facts, most)
        yield Text()
        yield from _refused(one, facts, most)
        yield from capability_tables.differences_of(one["check"], facts, most)
        yield from _evidence({**one, "check": {**one["check"], "differences": []}}, facts)
        yield Text()


def _refused(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    """Readings that count as nothing, and why."""
    refused = one["refused"]
    if refused is None:
        return
    if refused["from"] > facts["window"]["start"]:
        yield Text(f"readings left out are held from {clock_of(refused['from'], facts)} on", "dim")
    if not refused["readings"]:
        return
    table = table_of("Readings that count as nothing, and why", ("At", "Signal"), right=("Value",), then=("Because",))
    for reading in first_of(refused["readings"], most):
        value = _DASH if reading["value"] is None else figure(reading["value"])
        table.add_row(clock_of(reading["at"], facts), reading["tag"], value, reading["because"])
    yield from listed(table, refused["readings"], most, "readings")


def _rule(line: Facts) -> Iterator[RenderableType]:
    steps = f"; steps {' → '.join(line['steps'])}" if line["steps"] else ""
    constraint = f"; constraint {line['constraint']}" if line["constraint"] else ""
    yield Text(f"  {line['line']}: {line['rule_means']}{steps}{constraint}", "dim")
    for one in line["earned"]:
        ideal = _DASH if one["ideal_ns"] is None else f"{decimal(one['ideal_ns'], _SECONDS)} s"
        pieces = f"{decimal(one['into'], _MILLIONTHS)} in, {decimal(one['out'], _MILLIONTHS)} good out"
        yield Text(f"    {one['product'] or 'product not known'}: {pieces}, each worth {ideal}", "dim")


def _places(title: str, key: str, places: Sequence[Facts], facts: Facts) -> Table:
    table = table_of(title, (key.capitalize(),), right=("Value", "Coverage"), then=("Summed elements",))
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
        decisions_of(one, facts, most),
        _earned(one),
        _energy(one, facts, most),
        _refused(one, facts, most),
        _line_begins(one),
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
    summed = table_of("Time by category", ("Counts as",), right=("Seconds", "Intervals"), then=("Which is in",))
    categories = dict.fromkeys(span["category"] for span in intervals)
    for category in (name for name in COUNTS_IN if name in categories):
        mine = [span["ns"] for span in intervals if span["category"] == category]
        summed.add_row(category, decimal(sum(mine), _SECONDS), str(len(mine)), ", ".join(COUNTS_IN[category]))
    yield summed
    fails = sum(span["begins_failure"] for span in intervals)
    stuck = sum(span["uncounted_ns"] for span in intervals)
    if stuck:
        limit = decimal(one["stuck_after_ns"] or 0, _SECONDS)
        what = f"s of production, after {limit} s of it without a rise of a piece counter"
        yield Text(f"uncounted: {decimal(stuck, _SECONDS)} {what}", "yellow3")
    if fails:
        yield Text(f"failure events: {fails}, each where a breakdown first cost planned busy time (marked *)")
    yield Text()
    table = table_of("State intervals", ("From", "To"), right=("Seconds",), then=("State", "Counts as", "Because"))
    for span in first_of(intervals, most):
        state = span["state"] + (" *" if span["begins_failure"] else "")
        counts = span["category"] + (f", {span['product']}" if span["product"] else "")
        table.add_row(
            clock_of(span["start"], facts),
            clock_of(span["end"], facts),
            decimal(span["ns"], _SECONDS),
            state,
            counts,
            _because(span, facts),
        )
    yield from listed(table, intervals, most, "intervals")


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
            note += f" at {clock_of(signal['at'], facts)}"
        if signal["link_at"] is not None:
            note += f", link at {clock_of(signal['link_at'], facts)}"
        notes.append(note)
    return said.append(f" [{'; '.join(notes)}]", "dim")


def _causes(title: str, causes: Sequence[Facts]) -> Iterator[RenderableType]:
    if not causes:
        return
    table = table_of(title, ("Category",), right=("Seconds", "Intervals"), then=("Because",))
    for one in causes:
        table.add_row(one["category"], decimal(one["ns"], _SECONDS), str(one["intervals"]), one["because"])
    yield table


def _counts(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    for count in one["counts"]:
        yield from _counter(f"Counter {count['quantity']}", "pieces", count, one["samples"]["from"], facts, most)
    if one["pieces"] and one["counts"]:
        made = ", ".join(
            f"{element} = {_made_of(of)}"
            for element, of in one["pieces"].items()
            if of and element not in {"overtime_pq", *UNCOUNTED.values()}
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
    since = clock_of(since_ns, facts)
    yield Text.assemble((title, "bold"), f" {count['tag']}: {within} {unit}, counted from {since} on")
    yield Text(f"  {len(readings)} readings added something or were judged, {quiet} added nothing", "dim")
    judged = [one for one in readings if one["verdict"] != _USUAL or one["unknown_before_ns"]]
    if not judged:
        yield Text("  every reading counted on from the one before", "dim")
        return
    table = table_of("", ("At",), right=("Reading", "Before", "Counted", "In window"), then=("Judged",))
    for one in first_of(judged, most):
        gap = f", after {decimal(one['unknown_before_ns'], _SECONDS)} s unknown" if one["unknown_before_ns"] else ""
        gap += ": a rise after a gap" if one["after_gap"] else ""
        table.add_row(
            clock_of(one["at"], facts),
            f"{one['value']:.15g}",
            _before(one, facts),
            decimal(one["added"], _MILLIONTHS),
            decimal(one["within"], _MILLIONTHS),
            one["verdict"].replace("_", " ") + gap,
        )
    yield from listed(table, judged, most, "decisions")


def _before(reading: Facts, facts: Facts) -> str:
    if reading["before"] is None:
        return _DASH
    return f"{reading['before']:.15g} at {clock_of(reading['before_at'], facts)}"


def _earned(one: Facts) -> Iterator[RenderableType]:
    if not one["earned"]:
        return
    right = ("Pieces", "Good", "Planned run time", "Earned, all", "Earned, good", "Unrated")
    table = table_of("Planned run time per item, by product", ("Product",), right=right, then=("From",))
    for row in one["earned"]:
        amounts = [decimal(row[name], _MILLIONTHS) for name in ("pq", "gq")]
        ideal, since = _planned_time(row)
        times = [f"{decimal(row[name], _SECONDS)} s" for name in ("ideal_pq", "ideal_gq", "unrated")]
        table.add_row(row["product"] or "not known", *amounts, ideal, *times, row["ideal_of"] + since)
    yield table


def _planned_time(row: Facts) -> tuple[str, str]:
    """The planned run time per item that the earned time is of, and a note where the plant file says another now."""
    now = _DASH if row["ideal_ns"] is None else f"{decimal(row['ideal_ns'], _SECONDS)} s"
    if row["ideal_agrees"] is not False:
        return now, ""
    of_rows = "none" if not row["ideal_of_rows_ns"] else f"{row['ideal_of_rows_ns'] / 10**_SECONDS:.9g} s"
    return (
        of_rows,
        f"; changed since, the plant file has {now}: `edge-agent replay --recompute` or a restart applies it",
    )


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
        table = table_of("", ("From", "Until"), right=("kW", "kWh in window"))
        for value in first_of(values, most):
            kw = "bad: nothing" if value["kw"] is None else f"{value['kw']:.15g}"
            ends = [clock_of(value[name], facts) for name in ("at", "until")]
            table.add_row(*ends, kw, decimal(value["within"], _MILLIONTHS))
        yield from listed(table, values, most, "values")


def _meter_edges(source: Facts, facts: Facts) -> Iterator[RenderableType]:
    """Readings between which an edge of the window lies: only a part of what they added is in it."""
    for one in source["readings"]:
        if one["within"] != one["added"] and one["before_at"] is not None:
            ends = f"{clock_of(one['before_at'], facts)} – {clock_of(one['at'], facts)}"
            part = f"{decimal(one['within'], _MILLIONTHS)} of {decimal(one['added'], _MILLIONTHS)}"
            yield Text(f"  {ends}: {part} in the window, by its share of the time", "dim")


def _line_begins(one: Facts) -> Iterator[RenderableType]:
    if one["line_begins"] is not None:
        first = one["line_begins"]
        yield Text(f"pq_first: {decimal(first['pq'], _MILLIONTHS)} pieces went into the line at {first['machine']}")


def _factors(one: Facts, facts: Facts) -> Iterator[RenderableType]:
    if not one["factors"]:
        return
    table = table_of("Factors", ("Carrier", "Since"), right=("kgce", "kg CO2e"), then=("Source",))
    for factor in one["factors"]:
        since = clock_of(factor["since"], facts) if factor["since"] > 0 else "always"
        table.add_row(factor["carrier"], since, f"{factor['kgce']:g}", f"{factor['kg_co2e']:g}", factor["source"])
    yield table


def _calendar(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    calendar = one["calendar"]
    table = table_of(f"Calendar, {calendar['timezone']}", ("From", "To"), right=("Seconds",), then=("Shift", "What"))
    for part in first_of(calendar["stretches"], most):
        ends = [clock_of(part[name], facts) for name in ("start", "end")]
        table.add_row(*ends, decimal(part["end"] - part["start"], _SECONDS), part["shift"], part["what"])
    yield from listed(table, calendar["stretches"], most, "stretches")


def _evidence(one: Facts, facts: Facts) -> Iterator[RenderableType]:
    """How far the evidence reaches, and whether it gives the journal's rows."""
    samples, check, revision = one["samples"], one["check"], one["revision"]
    if one["not_recorded_ns"] > 0:
        lost = decimal(one["not_recorded_ns"], _SECONDS)
        yield Text(f"{lost} s have no element rows: no agent ran, or the machine was not configured", "yellow3")
    if samples["why_not"]:
        since = "" if samples["from"] is None else f" before {clock_of(samples['from'], facts)}"
        yield Text(f"no samples{since}: {samples['why_not']}", "yellow3")
    if check["agrees"]:
        ends = f"{clock_of(check['start'], facts)} – {clock_of(check['end'], facts)}"
        yield Text(f"the samples of {ends}, folded again, give the journal's rows exactly", "green3")
    for difference in check["differences"]:
        at = clock_of(difference["time"], facts)
        yield Text(
            f"{at} {difference['element']}: the journal has {difference['journal']:,}, the samples give "
            f"{difference['samples']:,}",
            "red3",
        )
    if check["differences"]:
        more = f"and {check['more']:,} more; " if check["more"] else ""
        yield Text(
            f"{more}rows and samples differ where samples came after the rows were said (ask again in a few seconds) "
            "or where the configuration was changed since",
            "yellow3",
        )
    yield from _revision(revision)


def _revision(revision: Facts | None) -> Iterator[RenderableType]:
    """Which version of the rows this is."""
    if revision is None:
        return
    causes = ", ".join(f"{cause or 'first said'} {rows:,}" for cause, rows in revision["causes"].items())
    is_open = f"; {revision['open_rows']:,} not over yet" if revision["open_rows"] else ""
    yield Text(f"element rows {revision['rows']:,}, newest revision {revision['newest']}: {causes}{is_open}")


def _foot(facts: Facts) -> Iterator[RenderableType]:
    configuration = facts["configuration"]
    versions = [f"the agent's {configuration['journal'] or 'is not known'}"]
    if configuration["plant_file"] is not None:
        versions.append(f"the plant file's {configuration['plant_file']}")
    if facts["level"] != "machine":
        yield from _revision(facts["revision"])
    yield Text(f"configuration: {', '.join(versions)}; sums are of {facts['window']['rows_of']} rows")
    for note in configuration["notes"]:
        yield Text(f"note: {note}", "yellow3")


# Cells


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
