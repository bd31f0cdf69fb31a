"""InfluxQL for boards: how a query is written, found again in a board, and expanded as Grafana would.

Rule 1: names of measurements, tags and fields come from `config.names` and `kpi`, never typed here.
Rule 2: no query averages a ratio. Ratios are read from points that the agent has already rolled up by sums.
Rule 3: values of template variables go in as anchored regular expressions, so one, several and *All* work alike.

Two ways of showing "now" were weighed: `last(field)`, which finds the latest *value*, or the latest *point* of a
series. The point won: `last` would show a figure of the shift before wherever the present one has none yet.

A point that is written again keeps the fields that the new one does not have, so a KPI that lost its value by a
correction still has the old one in the database; the point's field `absent` names it. Weighed: markers for each KPI
that arithmetic turns into null, or a query for each KPI that leaves out points which name it. The query won: it says
what it means, and elements, which are never absent, stay together in one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from config.names import ABSENT, CAUSE, PROVISIONAL, REVISION, Level, Measurement, SignalField, Tag, Window
from kpi.formulas import KPI

DATASOURCE_VARIABLE: Final = "datasource"
SITE: Final = "site"
LINE: Final = "line"
MACHINE: Final = "machine"
WINDOW: Final = "window"
ALL: Final = ".*"
"""What the variables for lines and machines stand for when *All* is chosen."""

LATEST_WITHIN: Final = "32d"
"""How far back the latest window of a series may have begun: a month is found on its last day."""

VERSION: Final = (PROVISIONAL, REVISION, CAUSE)
"""Which version of a window a point is: still running, corrected how often, and why."""

ALIVE_WITHIN: Final = "5m"
"""A state older than this is not shown as the present one; the agent writes one a minute at least."""


def quoted(name: str) -> str:
    """An InfluxQL identifier."""
    return f'"{name}"'


def fields(names: Iterable[str]) -> str:
    """A select list."""
    return ", ".join(quoted(name) for name in names)


def matches(tag: Tag, variable: str) -> str:
    """Condition that a tag has one of the values chosen in a template variable."""
    return f"{quoted(tag)} =~ /^${{{variable}:regex}}$/"


def places(level: Level) -> list[str]:
    """Conditions that keep to the site, lines and machines chosen on the board, as far down as the level has tags."""
    conditions = [matches(Tag.SITE, SITE)]
    if level in (Level.LINE, Level.MACHINE):
        conditions.append(matches(Tag.LINE, LINE))
    if level is Level.MACHINE:
        conditions.append(matches(Tag.MACHINE, MACHINE))
    return conditions


def _kpi_conditions(level: Level, window: Window | None) -> list[str]:
    chosen = window if window is not None else f"${{{WINDOW}}}"
    return [f"{quoted(Tag.LEVEL)} = '{level}'", f"{quoted(Tag.WINDOW)} = '{chosen}'", *places(level)]


def _before_end(within: str) -> str:
    return f"time <= ${{__to}}ms AND time > ${{__to}}ms - {within}"


_LATEST: Final = " ORDER BY time DESC LIMIT 1"


def _select(what: str, measurement: Measurement, conditions: Sequence[str], rest: str = "") -> str:
    where = " AND ".join(conditions)
    return f"SELECT {what} FROM {quoted(measurement)} WHERE {where}{rest}"  # noqa: S608 - names of ours, no input


def _group_by(tags: Sequence[Tag]) -> str:
    return f" GROUP BY {fields(tags)}" if tags else ""


def has_value(kpi: str) -> str:
    """Condition that a `kpi` point does not name the KPI as absent."""
    return f"{quoted(ABSENT)} !~ /(^| ){kpi}( |$)/"


def latest_windows(names: Sequence[str], level: Level, by: Sequence[Tag], window: Window | None = None) -> str:
    """The latest `kpi` point of each series at the end of the board's time range, whole, one row each.

    names: fields that a point never loses: elements and `VERSION`. window: None = the one chosen on the board.
    """
    conditions = [*_kpi_conditions(level, window), _before_end(LATEST_WITHIN)]
    return _select(fields(names), Measurement.KPI, conditions, f"{_group_by(by)}{_LATEST}")


def latest_kpi(kpi: str, level: Level, by: Sequence[Tag], window: Window | None = None) -> str:
    """A KPI of the very points of `latest_windows`; no row where the point says that it is absent."""
    point = latest_windows((kpi, ABSENT), level, by, window)
    return f"SELECT {quoted(kpi)} FROM ({point}) WHERE {has_value(kpi)}{_group_by(by)} ORDER BY time DESC"  # noqa: S608


def windows(name: str, level: Level, by: Sequence[Tag], window: Window | None = Window.HOUR) -> str:
    """One field of the `kpi` points of the board's time range, a series for each group."""
    present = [has_value(name)] if name in KPI else []
    conditions = [*_kpi_conditions(level, window), *present, "$timeFilter"]
    return _select(quoted(name), Measurement.KPI, conditions, _group_by(by))


def states(name: str) -> str:
    """One field of all state intervals of the board's time range, a series for each machine."""
    conditions = [*places(Level.MACHINE), "$timeFilter"]
    return _select(quoted(name), Measurement.STATE, conditions, _group_by([Tag.MACHINE]))


def state_now(name: str) -> str:
    """The latest state of each machine that reported one within `ALIVE_WITHIN` of the end of the time range."""
    conditions = [*places(Level.MACHINE), _before_end(ALIVE_WITHIN)]
    what = f"last({quoted(name)}) AS {quoted(name)}"
    return _select(what, Measurement.STATE, conditions, _group_by([Tag.MACHINE]))


def mean_signal(signal: str) -> str:
    """Mean of a raw signal's samples in each step of the plot, a series for each machine."""
    conditions = [f"{quoted(Tag.SIGNAL)} = '{signal}'", *places(Level.MACHINE), "$timeFilter"]
    group = f" GROUP BY time($__interval), {quoted(Tag.MACHINE)} fill(none)"
    return _select(f"mean({quoted(SignalField.VALUE)})", Measurement.SIGNAL, conditions, group)


def tag_values(tag: Tag, *, within: Sequence[str] = ()) -> str:
    """Query of a template variable: the values of a tag in the `kpi` measurement."""
    where = f" WHERE {' AND '.join(within)}" if within else ""
    return f"SHOW TAG VALUES FROM {quoted(Measurement.KPI)} WITH KEY = {quoted(tag)}{where}"


@dataclass(frozen=True, slots=True)
class InfluxQl:
    """A query of a panel, in the shape that Grafana's InfluxDB data source reads.

    table: one table of all series, tags as columns; otherwise a time series for each group, named by `alias`
    (`$tag_machine` stands for the tag's value). The foundation SDK has no model of this data source, so this is one:
    it has the `build` that its panels call and the `to_json` that its encoder calls.
    """

    ref_id: str
    query: str
    alias: str = ""
    table: bool = False

    def build(self) -> InfluxQl:
        """Itself: it is complete."""
        return self

    def to_json(self) -> dict[str, object]:
        """Grafana's form."""
        shown: dict[str, object] = {"resultFormat": "table"} if self.table else {"resultFormat": "time_series"}
        if self.alias:
            shown["alias"] = self.alias
        return {
            "refId": self.ref_id,
            "datasource": {"type": "influxdb", "uid": f"${{{DATASOURCE_VARIABLE}}}"},
            "rawQuery": True,
            "query": self.query,
            **shown,
        }


def as_json(board: object) -> dict[str, Any]:
    """A board of the foundation SDK as the plain JSON object that Grafana stores."""
    plain: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    return plain


class PanelQuery(NamedTuple):
    """A query as it stands in a board."""

    panel: str
    ref_id: str
    query: str


def queries(board: Mapping[str, Any]) -> list[PanelQuery]:
    """All queries of a board's panels, in their order, with macros and variables as they stand; rows are opened."""
    found: list[PanelQuery] = []
    for panel in board.get("panels", ()):
        found += queries(panel)
        found += [PanelQuery(panel["title"], t["refId"], t["query"]) for t in panel.get("targets") or ()]
    return found


def variable_queries(board: Mapping[str, Any]) -> dict[str, str]:
    """Name → query of the template variables that ask the database."""
    return {v["name"]: v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"}


_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<bare>\w+)")
_REGEX_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")


def expand(
    query: str, start: int, end: int, interval: int, variables: Mapping[str, str | Sequence[str]] | None = None
) -> str:
    """A query as Grafana would send it.

    start, end: the board's time range, ms since the epoch. interval: `$__interval`, ms.
    variables: name → value, or values where several are chosen. `ALL` stands for *All* and is not escaped.
    Raises KeyError with the name of a variable that has no value.
    """
    known: dict[str, str | Sequence[str]] = {
        "timeFilter": f"time >= {start}ms and time <= {end}ms",
        "__from": str(start),
        "__to": str(end),
        "__interval": _duration(interval),
        "__interval_ms": str(interval),
        **(variables or {}),
    }

    def value(match: re.Match[str]) -> str:
        chosen = known[match["braced"] or match["bare"]]
        return _as_regex(chosen) if match["format"] == "regex" else _as_text(chosen)

    return _VARIABLE.sub(value, query)


def _as_text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ",".join(value)


def _as_regex(value: str | Sequence[str]) -> str:
    if value == ALL:
        return ALL
    values = [value] if isinstance(value, str) else value
    escaped = [_REGEX_SPECIAL.sub(r"\\\g<0>", v) for v in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _duration(milliseconds: int) -> str:
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"
