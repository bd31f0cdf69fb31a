"""Which column of a file is what: told by the operator, or guessed from how historians name their columns.

Rule 1: what the operator says is taken as it is; guesses fill the rest.
Rule 2: a guess that could be wrong in silence is not made: then the error shows the columns and how to name them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from connectors.replay.settings import HistoryError, ReplaySettings, Role

GUESSES: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.TIME: (
        "time", "timestamp", "ts", "datetime", "timestamputc", "utc", "timeutc", "utctime", "sourcetimestamp",
        "eventtime", "eventtimestamp", "recordtime", "localtime", "zeitstempel", "zeit", "uhrzeit", "datumzeit",
        "datumuhrzeit", "horodatage", "时间", "时间戳", "采集时间", "日期时间",
    ),
    Role.DATE: ("date", "datum", "day", "日期"),
    Role.TAG: (
        "tag", "tagname", "tagid", "name", "point", "pointname", "pointid", "item", "itemid", "itemname", "variable",
        "variablename", "channel", "series", "node", "nodeid", "topic", "sensor", "messstelle", "variablenname",
        "点名", "位号", "标签", "测点", "变量",
    ),
    Role.MACHINE: (
        "machine", "machineid", "machinename", "asset", "assetid", "equipment", "equipmentid", "device", "deviceid",
        "unit", "workunit", "maschine", "anlage", "设备", "设备编号", "机台", "机床",
    ),
    Role.SIGNAL: ("signal", "signalname", "parameter", "attribute", "property", "field", "kanal", "信号", "参数"),
    Role.VALUE: (
        "value", "val", "v", "vt", "vvalue", "pvalue", "reading", "tagvalue", "wert", "messwert", "valeur", "值",
        "数值", "测量值",
    ),
    Role.QUALITY: (
        "quality", "status", "q", "statuscode", "opcquality", "qualitydetail", "qualitat", "qualität", "质量", "状态",
    ),
}  # fmt: skip
"""Names of columns as historians, InfluxDB, Excel users and gateways write them, without case and punctuation."""

LayoutKind = Literal["long", "wide"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out.

    long: a row is one value. tag: the column of tag names, or those of machine and signal. value, quality: columns.
    wide: a row is a time, tags: column → index of the tag whose values it has. unknown: columns that are no tag.
    """

    kind: LayoutKind
    time: str
    date: str | None = None
    tag: tuple[str, ...] = ()
    value: str = ""
    quality: str | None = None
    tags: tuple[tuple[str, int], ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that have to be read."""
        named = [self.time, self.date, *self.tag, self.value, self.quality, *(column for column, _ in self.tags)]
        return list(dict.fromkeys(column for column in named if column))


class TagNames:
    """Finds the tag that a name in a file means: as it is, by the mapping, or without regard to case and unit."""

    def __init__(self, settings: ReplaySettings) -> None:
        tags = settings.tags
        self._names = {**tags.aliases, **{name: index for index, name in enumerate(tags.names)}}
        strangers = sorted({tag for tag in settings.mapping.values() if tag not in self._names})
        if strangers:
            hint = self.near(strangers[0])
            raise ValueError(f"the mapping names {strangers[0]!r}, which the plant does not have{hint}")
        self._names |= {name: self._names[tag] for name, tag in settings.mapping.items()}
        self._folded: dict[str, int] = {}
        for name, index in self._names.items():
            # two names that differ in case only mean nothing without it
            self._folded[name.casefold()] = index if self._folded.get(name.casefold(), index) == index else -1

    def find(self, name: str | None) -> int:
        """Index of the tag, -1 where there is none."""
        if not name:
            return -1
        plain = name.strip()
        for candidate in (plain, re.sub(r"\s*[\[(][^\])]*[\])]$", "", plain)):
            index = self._names.get(candidate, -1)
            if index < 0:
                index = self._folded.get(candidate.casefold(), -1)
            if index >= 0:
                return index
        return -1

    def near(self, name: str) -> str:
        """`, did you mean …?`, or nothing."""
        found = difflib.get_close_matches(name.casefold(), [known.casefold() for known in self._names], 1, 0.6)
        by_folded = {known.casefold(): known for known in self._names}
        return f", did you mean `{by_folded[found[0]]}`?" if found else ""


def layout_of(path: Path, columns: Sequence[str], settings: ReplaySettings, names: TagNames) -> Layout:
    """How a file with these columns is laid out. Raises HistoryError where that cannot be told."""
    roles = _roles(path, columns, settings.columns)
    time = roles.get(Role.TIME) or roles.get(Role.DATE)
    if time is None:
        raise HistoryError(path, f"no column is known to be the time{_listed(columns)}", "say it: `--column time=NAME`")
    date = roles.get(Role.DATE) if Role.TIME in roles else None
    tag = _tag_columns(roles)
    if settings.layout != "wide" and tag and Role.VALUE in roles:
        return Layout("long", time, date, tag, roles[Role.VALUE], roles.get(Role.QUALITY))
    rest = [column for column in columns if column not in {time, date}]
    found = {column: names.find(column) for column in rest}
    if settings.layout != "long" and any(index >= 0 for index in found.values()):
        tags = tuple((column, index) for column, index in found.items() if index >= 0)
        twice = [column for place, (column, index) in enumerate(tags) if index in {i for _, i in tags[:place]}]
        if twice:
            raise HistoryError(path, f"two columns are the same tag, the second is `{twice[0]}`", "map one elsewhere")
        return Layout("wide", time, date, tags=tags, unknown=tuple(c for c, index in found.items() if index < 0))
    raise _untold(path, columns, settings, roles, names, rest)


def _untold(
    path: Path,
    columns: Sequence[str],
    settings: ReplaySettings,
    roles: Mapping[Role, str],
    names: TagNames,
    rest: Sequence[str],
) -> HistoryError:
    if settings.layout != "wide" and (_tag_columns(roles) or Role.VALUE in roles):
        missing = "the value" if Role.VALUE not in roles else "the tag"
        role = "value" if Role.VALUE not in roles else "tag"
        return HistoryError(
            path, f"no column is known to be {missing}{_listed(columns)}", f"say it: `--column {role}=NAME`"
        )
    near = next((f"`{column}`{names.near(column)}" for column in rest if names.near(column)), "")
    return HistoryError(
        path,
        f"no column is a signal of the plant{_listed(columns)}" + (f"; {near}" if near else ""),
        "name columns `machine.signal`, give a mapping with `--map`, or say where tags and values are: "
        "`--column tag=NAME --column value=NAME`",
    )


def _roles(path: Path, columns: Sequence[str], told: Mapping[Role, str]) -> dict[Role, str]:
    for role, column in told.items():
        if column not in columns:
            raise HistoryError(
                path, f"it has no column `{column}` for the {role}{_listed(columns)}", "check `--column`"
            )
    roles = dict(told)
    taken = set(told.values())
    for role, guesses in GUESSES.items():
        if role in roles or (role is Role.DATE and Role.TIME in told):
            continue
        by_name = {_plain(column): column for column in reversed(columns) if column not in taken}
        found = next((by_name[guess] for guess in guesses if guess in by_name), None)
        if found is not None:
            roles[role] = found
            taken.add(found)
    return roles


def _tag_columns(roles: Mapping[Role, str]) -> tuple[str, ...]:
    if Role.MACHINE in roles and Role.SIGNAL in roles:
        return (roles[Role.MACHINE], roles[Role.SIGNAL])
    return (roles[Role.TAG],) if Role.TAG in roles else ()


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(f"`{column}`" for column in columns[:8])
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    return f" (columns: {shown}{more})"
