"""Element rows of minutes or hours, machines → rows of longer windows and higher levels.

Rule 1: always sums, nothing else; what is summed for a line is said by its rule (`kpi.lines`). Every column but
`rolled_yield` adds up, to the bit: a month is the sum of its days, the site that of its lines.
Rule 2: windows are cut by the plant's wall clock; a week begins on Monday (ISO 8601), a month on its first day.
Rule 3: a line's row is made from its machines' rows of the same window, an area's and the site's from the lines'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from operator import mul
from typing import Final, Literal
from zoneinfo import ZoneInfo

import polars as pl

from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.expressions import compile_formula
from kpi.lines import EARNED, EXACT_RESTS, OF_ALL_MACHINES, RESTS_PER_UNIT, UNTOLD, LineKind, LineRule
from kpi.plant import Plant

Level = Literal["machine", "line", "area", "site"]
WindowName = Literal["minute", "hour", "shift", "day", "week", "month"]
ClockWindow = Literal["minute", "hour", "day", "week", "month"]

LEVELS: Final[tuple[Level, ...]] = ("machine", "line", "area", "site")
WINDOWS: Final[tuple[WindowName, ...]] = ("minute", "hour", "shift", "day", "week", "month")

STEP_YIELD: Final = "first(unless(first_pass_unknown, gp / ip), (pq - sq - rq) / pq)"
"""Yield of one step of a serial line: of inspected pieces where they are counted, else of all."""

_GROUPS: Final[dict[Level, list[str]]] = {
    "machine": ["area", "line", "machine"],
    "line": ["area", "line"],
    "area": ["area"],
    "site": [],
}
_TRUNCATED: Final[Mapping[ClockWindow, str]] = {"day": "1d", "week": "1w", "month": "1mo"}
_OF_CONSTRAINT: Final = [e for e in ELEMENT_IDS if e not in OF_ALL_MACHINES]
_LOST: Final = ["sq", "startup_sq", "rq"]
_OUT: Final = ["gq", "ip", "gp", "first_pass_unknown"]
_OF_SERIAL: Final = ["pq", "overtime_pq", *_OUT, *_LOST, *UNTOLD, "ideal_pq", "ideal_gq", "unrated"]
_RESTS: Final = list(EXACT_RESTS.values())


def rollup(
    elements: pl.DataFrame, plant: Plant, *, level: Level, window: WindowName, rules: Sequence[LineRule] = ()
) -> pl.DataFrame:
    """One row per group and window of one level; see `rollups`."""
    return rollups(elements, plant, window=window, rules=rules, levels=(level,))[level]


def rollups(
    elements: pl.DataFrame,
    plant: Plant,
    *,
    window: WindowName,
    rules: Sequence[LineRule] = (),
    levels: Sequence[Level] = LEVELS,
) -> dict[Level, pl.DataFrame]:
    """Element rows summed to one row per group and window, for several levels at once.

    elements: rows of minutes or hours with machine (text id), time (Int64 ns), shift (text name, empty outside any),
        shift_start (Int64 ns), product (text; only serial lines need it) and the Int64 element columns. Rows of hours
        serve every window from the hour on.
    rules: of the lines that are not plain sums of their machines.
    Returns columns area, line, machine (those that the level has), `time` (Int64 ns, start of the window by the plant's
        wall clock), `shift` for window `shift`, and the summed elements, sorted; with serial lines also the columns of
        `kpi.lines.LINE_ELEMENTS`, and above machines those of `kpi.lines.EXACT_RESTS`. Rows outside any shift have no
        window `shift`. Rows of machines that the plant does not have are left out. A column `revision` (Int64) is kept:
        the highest of the rows summed.
    """
    rules = [rule for rule in rules if rule.kind is not LineKind.SUM]
    serial = [rule for rule in rules if rule.kind is LineKind.SERIAL]
    windowed = _windowed(elements, plant, window)
    keys = ["time", "shift"] if window == "shift" else ["time"]
    machines = _summed(windowed, [*_GROUPS["machine"], *keys])
    pieces = _serial_pieces(windowed, machines, serial, keys)
    found: dict[Level, pl.DataFrame] = {}
    if "machine" in levels:
        found["machine"] = _with_first(machines, pieces, keys) if serial else machines
    if set(levels) == {"machine"}:
        return found
    lines = _lines(machines, pieces, rules, keys)
    for level in levels:
        if level == "line":
            found[level] = lines
        elif level != "machine":
            found[level] = _summed(lines, [*_GROUPS[level], *keys])
    return found


def window_start(time: pl.Expr, window: ClockWindow, timezone: str) -> pl.Expr:
    """Start (Int64 ns) of the minute, hour, day, week or month that holds each time, by the zone's wall clock.

    On a day of a clock change a day is 23 or 25 hours long; the repeated hour is an hour of its own. A day begins with
    the first instant of its date, where midnight comes twice or never, too.
    """
    if window == "minute":
        return time - time % MINUTE_NS
    local = pl.from_epoch(time, time_unit="ns").dt.replace_time_zone("UTC").dt.convert_time_zone(timezone)
    if window == "hour":
        return local.dt.truncate("1h").dt.timestamp("ns")
    midnight = local.dt.replace_time_zone(None).dt.truncate(_TRUNCATED[window])
    first = [
        instant.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        for instant in (midnight, midnight.dt.offset_by("1h"))
    ]
    return pl.coalesce(first).dt.timestamp("ns")


def window_end(start: int, window: ClockWindow, timezone: str) -> int:
    """End (ns) of the window that starts at `start` (ns), by the zone's wall clock."""
    if window in {"minute", "hour"}:
        return start + (MINUTE_NS if window == "minute" else HOUR_NS)
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(start // 1_000_000_000, UTC).astimezone(zone).date()
    if window == "month":
        following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    else:
        following = day + timedelta(days=7 if window == "week" else 1)
    return int(datetime.combine(following, time(), zone).timestamp()) * 1_000_000_000


def _windowed(elements: pl.DataFrame, plant: Plant, window: WindowName) -> pl.DataFrame:
    """Rows of the plant's machines, with their places and the start of their window as `time`."""
    places = pl.DataFrame(
        {
            "machine": [m.id for m in plant.machines],
            "line": [m.line for m in plant.machines],
            "area": [m.area for m in plant.machines],
        },
        schema={"machine": pl.Utf8, "line": pl.Utf8, "area": pl.Utf8},
    )
    rows = elements.drop("line", "area", strict=False).join(places, on="machine", how="inner")
    if window == "shift":
        return rows.filter(pl.col("shift") != "").with_columns(time=pl.col("shift_start"))
    return rows.with_columns(time=window_start(pl.col("time"), window, plant.timezone))


def _summed(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    versions = [column for column in ("revision",) if column in rows.columns]
    rests = [column for column in _RESTS if column in rows.columns]
    by = rows.group_by(keys)
    return by.agg(pl.col(*ELEMENT_IDS, *rests).sum(), *(pl.col(c).max() for c in versions)).sort(keys)


def _lines(machines: pl.DataFrame, pieces: pl.DataFrame, rules: Sequence[LineRule], keys: list[str]) -> pl.DataFrame:
    """Rows of lines, each by its rule. machines: rows of machines. pieces: see `_serial_pieces`."""
    group = [*_GROUPS["line"], *keys]
    lines = _summed(machines, group)
    if not rules:
        return lines
    constraint = {rule.line: rule.constraint for rule in rules}
    mine = pl.col("machine") == pl.col("line").replace_strict(constraint, default=None, return_dtype=pl.Utf8)
    of_constraint = machines.filter(mine).select(*group, *_OF_CONSTRAINT)
    # a window in which the constraint has no row is one in which the line has no time: it counts nothing
    ruled = pl.col("line").is_in(list(constraint))
    zeros = lines.filter(ruled).select(*group).join(of_constraint, on=group, how="left").fill_null(0)
    lines = _replaced(lines, zeros, group)
    if not any(rule.kind is LineKind.SERIAL for rule in rules):
        return lines
    return _replaced(lines, pieces, group)


def _replaced(rows: pl.DataFrame, others: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """Rows with the values of `others` in place of their own where it has any for the same group."""
    fresh = [c for c in others.columns if c not in group]
    joined = rows.join(others, on=group, how="left", suffix=" of rule", maintain_order="left")
    put_in = [pl.coalesce(f"{c} of rule", c).alias(c) for c in fresh if c in rows.columns]
    return joined.with_columns(put_in).select(*rows.columns, *(c for c in fresh if c not in rows.columns))


def _serial_pieces(
    windowed: pl.DataFrame, machines: pl.DataFrame, rules: Sequence[LineRule], keys: list[str]
) -> pl.DataFrame:
    """Pieces, earned time and rolled yield of serial lines: a row for each line and window."""
    group = [*_GROUPS["line"], *keys]
    nothing = machines.head(0).select(
        *group,
        *_OF_SERIAL,
        pq_first=pl.col("pq"),
        rolled_yield=pl.lit(None, pl.Float64),
        **dict.fromkeys(_RESTS, pl.lit(None, pl.Int128)),
    )
    parts = [_pieces_of(rule, windowed, machines, group) for rule in rules]
    return pl.concat([nothing, *(part.select(nothing.columns) for part in parts)])


def _pieces_of(rule: LineRule, windowed: pl.DataFrame, machines: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    line = machines.filter(pl.col("line") == rule.line)
    first, last = rule.steps[0], rule.steps[-1]
    at = {name: pl.col("machine") == name for name in (first, last, rule.constraint)}
    pieces = line.group_by(group).agg(
        pl.col("pq", "overtime_pq").filter(at[first]).sum(),
        pl.col(_OUT).filter(at[last]).sum(),
        pl.col(_LOST).sum(),
        pl.col("unrated" if _has_run_times(rule) else "apt").filter(at[rule.constraint]).sum().alias("unrated"),
    )
    earned = _earned(rule, windowed, group)
    yields = _rolled_yield(rule.steps, line, group)
    return (
        pieces.join(earned, on=group, how="left", maintain_order="left")
        .join(yields, on=group, how="left", maintain_order="left")
        .with_columns(pl.col(*EARNED, *(EXACT_RESTS[one] for one in EARNED), "unrated_pieces").fill_null(0))
        .with_columns(*(part for name in UNTOLD for part in _untold(rule, name)))
        .with_columns(pq_first=pl.col("pq"), unrated=pl.col("unrated") + pl.col("unrated_pieces"))
    )


def _has_run_times(rule: LineRule) -> bool:
    return bool(rule.ideal_ns) or rule.default_ideal_ns is not None


def _untold(rule: LineRule, name: str) -> tuple[pl.Expr, pl.Expr]:
    """The part of what went in of which nobody counts something: its whole, and what is below (`EXACT_RESTS`)."""
    without = len(set(rule.untold.get(name, ())) & {*rule.steps})
    is_all = without == len(rule.steps)
    share = 0 if is_all else RESTS_PER_UNIT * without // len(rule.steps)
    whole = pl.col("pq") if is_all else pl.lit(0, pl.Int64)
    return whole.alias(name), (pl.col("pq").cast(pl.Int128) * share).alias(EXACT_RESTS[name])


def _earned(rule: LineRule, windowed: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """Earned time of what went in and came out, and the pieces among it that have no planned run time per item."""
    first, last = rule.steps[0], rule.steps[-1]
    product = pl.col("product") if "product" in windowed.columns else pl.lit("")
    ideal = product.replace_strict(dict(rule.ideal_ns), default=rule.default_ideal_ns, return_dtype=pl.Int64)
    into = pl.when(pl.col("machine") == first).then(pl.col("pq")).otherwise(0)
    out = pl.when(pl.col("machine") == last).then(pl.col("gq")).otherwise(0)
    ends = windowed.filter((pl.col("line") == rule.line) & pl.col("machine").is_in([first, last]))
    pieces = ends.with_columns(ideal=ideal, ideal_pq=into, ideal_gq=out)
    whole, rest = pl.col("ideal") // RESTS_PER_UNIT, (pl.col("ideal") % RESTS_PER_UNIT).cast(pl.Int128)
    longest = max((one for one in (*rule.ideal_ns.values(), rule.default_ideal_ns) if one), default=0)
    unrated = pl.when(pl.col("ideal").is_null()).then(max(1, longest // RESTS_PER_UNIT)).otherwise(0)
    # every column is a plain sum over pieces, so that nothing depends on how the rows were summed before
    return pieces.group_by(group).agg(
        *((pl.col(earned) * whole).sum().alias(earned) for earned in EARNED),
        *((pl.col(earned).cast(pl.Int128) * rest).sum().alias(EXACT_RESTS[earned]) for earned in EARNED),
        unrated_pieces=(pl.sum_horizontal(*EARNED) * unrated).sum(),
    )


def _rolled_yield(steps: Iterable[str], line: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    """Product of the steps' yields; null in a window in which one of them has none."""
    step_yield = compile_formula(STEP_YIELD, ELEMENT_IDS)
    of_step = [step_yield.filter(pl.col("machine") == step).first() for step in steps]
    return line.group_by(group).agg(rolled_yield=reduce(mul, of_step))


def _with_first(machines: pl.DataFrame, pieces: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Rows of machines with what went into their serial line in the same window."""
    group = [*_GROUPS["line"], *keys]
    return machines.join(pieces.select(*group, "pq_first"), on=group, how="left", maintain_order="left")
