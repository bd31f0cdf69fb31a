"""An auditor with a pocket calculator: elements and KPIs again, from the JSON of `edge-agent explain` and nothing else.

It imports nothing of the project, and follows the words of `docs/explain.md`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from itertools import pairwise
from typing import Any

Json = Any
WORKING = {"apt", "aust", "overtime", "overtime_downtime"}
METERED = ("energy", "gas", "steam", "compressed_air", "water", "heat")


def elements(pedigree: Json, start: int) -> dict[str, int]:
    """Stored integers of every element that the pedigree tells of; start of the window, ns."""
    sums: dict[str, int] = defaultdict(int)
    told = {name for row in pedigree["rows"] for name in row["elements"]}
    add_time(sums, pedigree, told)
    since = pedigree["samples"]["from"]
    if pedigree["counts"] or pedigree["energy"]:
        assert since is not None
    # before samples are held, the rows of minutes are all there is
    older = [row for row in pedigree["rows"] if since is None or row["time"] < since]
    for name in told - {e for span in pedigree["intervals"] for e in span["counts_in"]} - {"fe", "uncounted"}:
        sums[name] += sum(row["elements"][name] for row in older)
    if since is not None:
        add_pieces(sums, pedigree)
        add_energy(sums, pedigree, since)
    add_earned(sums, pedigree, told)
    add_factored(sums, pedigree, told)
    assert start <= min((span["start"] for span in pedigree["intervals"]), default=start)
    return {name: sums[name] for name in told}


def add_time(sums: dict[str, int], pedigree: Json, told: set[str]) -> None:
    for span in pedigree["intervals"]:
        assert span["ns"] == span["end"] - span["start"]
        for element in span["counts_in"]:
            sums[element] += span["ns"]
        sums["fe"] += span["begins_failure"]
        sums["uncounted"] += span["uncounted_ns"]
    for element in told - {"fe"}:
        sums.setdefault(element, 0)


def add_pieces(sums: dict[str, int], pedigree: Json) -> None:
    for apart in (False, True):
        counted = {
            count["quantity"]: sum(one["within"] for one in count["readings"] if one["overtime"] == apart)
            for count in pedigree["counts"]
        }
        for element, made_of in pedigree["pieces"].items():
            amount = sum(sign * counted.get(quantity, 0) for quantity, sign in made_of.items())
            if not apart:
                sums[element] += amount
            elif element == "pq":
                sums["overtime_pq"] += amount
    in_setup = {
        count["quantity"]: sum(one["within"] for one in count["readings"] if one["setup"] and not one["overtime"])
        for count in pedigree["counts"]
    }
    scrap = pedigree["pieces"].get("sq", {})
    sums["startup_sq"] += sum(sign * in_setup.get(quantity, 0) for quantity, sign in scrap.items())
    for count in pedigree["counts"]:
        for one in count["readings"]:
            check_reading(one, count)


def check_reading(one: Json, count: Json) -> None:
    """What a reading added follows from the reading before it and the verdict."""
    if count["event"]:
        expected = one["value"]
    elif one["verdict"] in {"base", "step_back", "jump", "fall"}:
        expected = 0.0
    elif one["verdict"] == "reset":
        expected = max(0.0, one["value"])
    elif one["verdict"] == "excursion":
        expected = max(0.0, one["value"] - one["before"])
    elif one["verdict"] == "rollover":
        expected = one["value"] + count["rolls_over_at"] - one["before"]
    else:
        expected = one["value"] - one["before"]
    assert one["added"] == round(expected * 1e6)


def add_energy(sums: dict[str, int], pedigree: Json, since: int) -> None:
    until = max(span["end"] for span in pedigree["intervals"])
    for source in pedigree["energy"]:
        if source["from"] == "meter":
            for one in source["readings"]:
                check_reading(one, source)
                part = share(one, until) - share(one, since)
                assert one["within"] == part
                sums[source["element"]] += part
        else:
            sums["energy"] += sum(one["within"] for one in source["values"])
            for one in source["values"]:
                whole = held(one, until) - held(one, since)
                assert one["within"] == whole
    for span in pedigree["intervals"]:
        used = span["used"].get("energy", 0)
        sums["energy_working"] += used if span["category"] in WORKING else 0
        sums["energy_off"] += used if span["state"] == "off" else 0
        for carrier in METERED:
            idle = span["state"] not in {"producing", "setup", "off", "unknown"}
            sums[f"{carrier}_idle"] += span["used"].get(carrier, 0) if idle else 0


def share(one: Json, at: int) -> int:
    """What a meter had counted of a reading's amount until an instant: by its share of the time."""
    begin = one["at"] if one["before_at"] is None else one["before_at"]
    if at <= begin:
        return 0
    if at >= one["at"]:
        return int(one["added"])
    return round(int(one["added"]) * float((at - begin) / (one["at"] - begin)))


def held(one: Json, at: int) -> int:
    """mWh of a value of power until an instant."""
    ns: int = max(0, min(at, one["until"]) - one["at"])
    return round(float(one["kw"] or 0.0) * ns * (1e6 / 3.6e12))


def add_earned(sums: dict[str, int], pedigree: Json, told: set[str]) -> None:
    """Planned run time × pieces, row by row."""
    ideal = {one["product"]: one["ideal_ns"] for one in pedigree["earned"]}
    for of, element in (("pq", "ideal_pq"), ("gq", "ideal_gq"), ("startup_sq", "ideal_startup_sq")):
        if element in told:
            rows = pedigree["rows"]
            each = [round(row["elements"][of] * ((ideal.get(row["product"]) or 0) / 1e6)) for row in rows]
            sums[element] = sum(each)
    if "unrated" in told:
        unrated = (row["elements"]["apt"] for row in pedigree["rows"] if ideal.get(row["product"], 0) is None)
        sums["unrated"] = sum(unrated)


def add_factored(sums: dict[str, int], pedigree: Json, told: set[str]) -> None:
    """Carriers × factors in force, row by row."""
    for element, figure in (("coal_equivalent", "kgce"), ("co2e", "kg_co2e")):
        if element not in told:
            continue
        sums[element] = 0
        for row in pedigree["rows"]:
            for carrier in METERED:
                dated = [f for f in pedigree["factors"] if f["carrier"] == carrier and f["since"] <= row["time"]]
                if dated:
                    factor = max(dated, key=lambda f: f["since"])
                    sums[element] += round(row["elements"][carrier] * factor[figure])


STATISTICS = ("n", "sum", "sum_sq", "moving_range_n", "moving_range_sum", "within_df", "within_ss")


def statistics(facts: Json) -> dict[str, float]:
    """Sums over the window: of the values of each minute where they are held, before that of the journal's rows."""
    pedigree, nominal = facts["pedigrees"][0], facts["characteristic"]["nominal"]
    since = pedigree["samples"]["from"]
    of_rows = [at_nominal(row, nominal) for row in pedigree["rows"] if since is None or row["time"] < since]
    before = None if pedigree["before"] is None else pedigree["before"][1]
    of_values = []
    for group in pedigree["subgroups"]:
        values = [value for _, value in group["values"]]
        made = of_one_minute(values, before, nominal)
        assert made == {name: group[name] for name in STATISTICS}
        of_values.append(made)
        before = values[-1]
    return {name: sum(float(one[name]) for one in (*of_rows, *of_values)) for name in STATISTICS}


def at_nominal(row: Json, nominal: float) -> dict[str, float]:
    """A row that was summed less another nominal, summed less this one."""
    off = row["nominal"] - nominal
    moved = {name: row[name] for name in STATISTICS}
    moved["sum_sq"] += 2 * off * row["sum"] + row["n"] * off * off
    moved["sum"] += row["n"] * off
    return moved


def of_one_minute(values: list[float], before: float | None, nominal: float) -> dict[str, float]:
    off = [value - nominal for value in values]
    mean = sum(off) / len(off)
    in_a_row = off if before is None else [before - nominal, *off]
    ranges = [abs(b - a) for a, b in pairwise(in_a_row)]
    amounts = (
        len(off), sum(off), sum(x * x for x in off), len(ranges), sum(ranges), len(off) - 1,
        sum((x - mean) * (x - mean) for x in off),
    )  # fmt: skip
    return dict(zip(STATISTICS, amounts, strict=True))


def capability(index: str, facts: Json, sums: dict[str, float]) -> dict[str, float]:
    """Mean, both deviations and the index from the sums and the limits."""
    limits = facts["characteristic"]
    n = sums["n"]
    mean = limits["nominal"] + sums["sum"] / n
    s = ((sums["sum_sq"] - sums["sum"] ** 2 / n) / (n - 1)) ** 0.5
    if 2 * sums["within_df"] >= n:
        within = (sums["within_ss"] / sums["within_df"]) ** 0.5
    else:
        within = sums["moving_range_sum"] / sums["moving_range_n"] / 1.128
    over = within if index in {"cp", "cpk"} else s
    if index.endswith("k"):
        sides = ((1, limits["upper"]), (-1, limits["lower"]))
        index_is = min(sign * (limit - mean) for sign, limit in sides if limit is not None) / (3 * over)
    else:
        index_is = (limits["upper"] - limits["lower"]) / (6 * over)
    return {"mean": mean, "s": s, "within": within, "value": index_is}


def value(facts: Json, amounts: dict[str, int | None]) -> float | None:
    """The KPI by its formula over stored integers; None where it has no value."""
    kpi = facts["kpi"]
    units = {one["id"]: one["per_unit"] for one in facts["elements"]}
    named: dict[str, float | None] = {
        name: None if amount is None else amount / units[name] for name, amount in amounts.items() if name in units
    }
    for one in kpi["through"]:
        named[one["id"]] = guarded(one, named)
    return guarded(kpi, named)


def guarded(formula: Json, named: dict[str, float | None]) -> float | None:
    """A formula that has a value only where one element is zero, and others are not."""
    if formula["null_where"] and computed(f"unless({formula['null_where']}, 1)", named) is None:
        return None
    if any(named[part] and named[part] == named["pq"] for part in formula["null_if_all_pieces"]):
        return None
    not_known = formula["not_known_if_all_pieces"].items()
    whole = {part: named["ip" if part == "first_pass_unknown" else "pq"] for _, part in not_known}
    named = named | {name: None for name, part in not_known if named[part] and named[part] == whole[part]}
    if any(not named[name] for name in formula["null_if_zero"]):
        return None
    return computed(formula["formula"], named)


def computed(formula: str, named: dict[str, float | None]) -> float | None:
    """A formula of + - * /, names, numbers, first(a, b) and unless(a > b, c)."""

    def of(node: ast.expr) -> float | None:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return named.get(name)
            case ast.Call(func=ast.Name(id="unless"), args=[ast.Compare(left=left, comparators=[right]), value]):
                small, large = of(left), of(right)
                return of(value) if small is not None and large is not None and small <= large else None
            case ast.Call(func=ast.Name(id="unless"), args=[guard, value]):
                return of(value) if of(guard) == 0 else None
            case ast.Call(args=args):
                return next((found for arg in args if (found := of(arg)) is not None), None)
            case ast.BinOp(left=left, op=op, right=right):
                return of_both(of(left), op, of(right))
        raise AssertionError(ast.dump(node))

    def of_both(a: float | None, op: ast.operator, b: float | None) -> float | None:
        if a is None or b is None:
            return None
        if isinstance(op, ast.Div):
            return a / b if b else None
        return a + b if isinstance(op, ast.Add) else a - b if isinstance(op, ast.Sub) else a * b

    return of(ast.parse(formula, mode="eval").body)
