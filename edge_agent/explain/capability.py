"""The answer about a capability index: limits, deviation, summed statistics, and every value that went into them.

Rule 1: the number is that of `edge-agent export --measured`: sums of the same rows, by the same formula.
Rule 2: an index is of one characteristic of one machine. Several machines are several processes: added up, their values
would have a deviation that none of them has, so there is no index of a line or the site, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from edge_agent.explain.evidence import FoundMeasured
from edge_agent.explain.facts import calendar_facts, refused_facts, revision_facts
from edge_agent.explain.subject import SCHEMA, Subject, UnanswerableError
from edge_agent.explain.words import Words
from edge_agent.journal import STATISTICS
from edge_agent.measured_sums import at_nominal, summed, with_capability
from edge_agent.plant_facts import Limits, limits_of
from kpi.capability import CAPABILITY, D2_OF_TWO, CapabilityIndex, caution, why_absent, within_of
from kpi.elements import MINUTE_NS

INDICES: Final[Mapping[str, CapabilityIndex]] = {index.id: index for index in CAPABILITY}
"""Ids of the indices → what they are."""

_KEYS: Final = ("machine", "characteristic")


def capability_facts(subject: Subject) -> dict[str, Any]:
    """The answer, ready for JSON; see `docs/explain.md` for its names. Raises UnanswerableError."""
    return _Answer(subject).facts()


class _Answer:
    def __init__(self, subject: Subject) -> None:
        self._subject, self._asked = subject, subject.asked
        self._index = INDICES[subject.question.kpi]
        self._limits = self._asked_limits()
        self._machine = subject.machines[0]
        self._table, rows = subject.rows()
        self._element_rows = rows.filter(pl.col("machine") == self._machine.id)
        self._rows = self._read_rows()

    def _asked_limits(self) -> Limits:
        """Limits of the characteristic that is asked about."""
        asked = self._subject.question
        known = limits_of(self._subject.plant_facts)
        if asked.level != "machine":
            machines = {machine.id for machine in self._subject.machines}
            some = [f"--machine {one.machine} --characteristic {one.characteristic}" for one in known]
            some = [text for text, one in zip(some, known, strict=True) if one.machine in machines]
            instead = f"ask for one, such as {some[0]}" if some else "and none here has a measured value with limits"
            raise UnanswerableError(
                f"{asked.kpi} is of one characteristic of one machine: values of several machines are not of one "
                f"process and have no common deviation; {instead}"
            )
        mine = {one.characteristic: one for one in known if one.machine == asked.place}
        names = ", ".join(mine)
        if not mine:
            raise UnanswerableError(f"{asked.kpi} needs a measured value with `limits`, and {asked.place} has none")
        if asked.characteristic:
            if asked.characteristic not in mine:
                raise UnanswerableError(
                    f"{asked.place} has no characteristic {asked.characteristic!r} with limits; known are {names}"
                )
            return mine[asked.characteristic]
        if len(mine) > 1:
            raise UnanswerableError(f"{asked.place} has several characteristics: say --characteristic, one of {names}")
        return mine[names]

    def _read_rows(self) -> pl.DataFrame:
        """The journal's statistics of the window, as they are."""
        asked = self._asked
        if self._table == "hour" and asked.window == "shift":
            raise UnanswerableError("of that time only hours of measured values are held: ask for an hour or a day")
        reader = self._subject.reader
        held = reader.measured(
            "minute" if self._table == "minute" else "hour", asked.start, asked.end, [self._limits.machine]
        )
        return held.filter(pl.col("characteristic") == self._limits.characteristic)

    # The answer

    def facts(self) -> dict[str, Any]:
        """All of it."""
        if self._element_rows.is_empty() and self._rows.is_empty():
            raise self._subject.has_nothing()
        row = self._summed()
        return {
            "schema": SCHEMA,
            "level": "machine",
            "place": self._subject.place,
            "site": self._subject.plant.site,
            "timezone": self._subject.plant.timezone,
            "kpi": self._kpi_facts(),
            "window": self._subject.window_facts(self._table),
            "value": row[self._index.id],
            "absent_because": why_absent(self._index, row),
            "warning": caution(row),
            "working": self._working(row),
            "characteristic": self._characteristic_facts(),
            "statistics": {name: row[name] for name in STATISTICS},
            "deviations": {
                "mean": row["mean"],
                "deviation": row["deviation"],
                "deviation_within": row["deviation_within"],
                "within_of": within_of(row),
                "d2": D2_OF_TWO,
            },
            "coverage": self._coverage(),
            "configuration": self._subject.configuration(),
            "pedigrees": [self._pedigree()],
        }

    def _summed(self) -> dict[str, Any]:
        """The window's sums with limits, deviations and indices; zeros where it has no row."""
        sums = summed(at_nominal(self._rows, [self._limits]), _KEYS)
        if sums.is_empty():
            keys = {name: [getattr(self._limits, name)] for name in _KEYS}
            nothing = {name: pl.Series([0], dtype=sums.schema[name]) for name in STATISTICS}
            sums = pl.DataFrame({**keys, **nothing})
        return with_capability(sums, [self._limits]).row(0, named=True)

    def _kpi_facts(self) -> dict[str, Any]:
        index = self._index
        number = "" if index.number is None else f", clause 6, KPI {index.number}"
        return {
            "id": index.id,
            "name_en": index.name_en,
            "name_zh": index.name_zh,
            "formula": index.formula,
            "unit": "1",
            "source": f"{index.source}{number}",
            "range": [None, None],
            "better": "up",
        }

    def _working(self, row: Mapping[str, Any]) -> str:
        """The formula with figures in place of names."""
        spread = row["deviation_within" if self._index.is_within else "deviation"]
        lower, upper, mean, over = (_figure(one) for one in (row["lower"], row["upper"], row["mean"], spread))
        if not self._index.is_critical:
            return f"({upper} - {lower}) / (6 * {over})"
        sides = [f"{upper} - {mean}"] * (row["upper"] is not None) + [f"{mean} - {lower}"] * (row["lower"] is not None)
        nearest = f"min({', '.join(sides)})" if len(sides) > 1 else f"({''.join(sides)})"
        return f"{nearest} / (3 * {over})"

    def _characteristic_facts(self) -> dict[str, Any]:
        limits = self._limits
        tag = next((one for one in self._tags() if one.signal == limits.characteristic), None)
        return {
            "name": limits.characteristic,
            "unit": limits.unit,
            "lower": limits.lower,
            "upper": limits.upper,
            "nominal": limits.nominal,
            "tag": "" if tag is None else tag.name,
            "source": "" if tag is None else tag.source,
        }

    def _tags(self) -> Sequence[Any]:
        compiled = self._subject.compiled
        return () if compiled is None else [tag for tag in compiled.tags.tags if tag.machine == self._limits.machine]

    def _coverage(self) -> float | None:
        busy, unknown = (int(self._element_rows[name].sum()) for name in ("pbt", "unknown"))
        return (busy - unknown) / busy if busy else None

    # What went into it

    def _pedigree(self) -> dict[str, Any]:
        asked, subject = self._asked, self._subject
        found = self._found()
        words = Words(self._machine, subject.plant.timezone, subject.evidence.texts, subject.compiled)
        return {
            "machine": self._machine.id,
            "characteristic": self._limits.characteristic,
            "samples": {"from": found.samples_from, "why_not": found.why_not},
            "before": _before(found),
            "subgroups": _subgroups(found),
            "refused": None if found.evidence is None else refused_facts(found.evidence, words),
            "not_recorded_ns": subject.not_recorded_ns(self._element_rows),
            "calendar": {
                "timezone": self._machine.calendar.timezone,
                "stretches": calendar_facts(self._machine.calendar, asked.start, asked.end),
            },
            "rows": [_statistics(row, "time", "nominal") for row in self._rows.sort("time").iter_rows(named=True)],
            "revision": revision_facts(self._element_rows),
            "check": self._check(found),
        }

    def _found(self) -> FoundMeasured:
        names = [one.name for one in self._machine.characteristics]
        number = names.index(self._limits.characteristic) if self._limits.characteristic in names else 0
        return self._subject.evidence.measured(self._machine, number, self._asked.start, self._asked.end)

    def _check(self, found: FoundMeasured) -> dict[str, Any]:
        """The journal's rows against those that the samples give, minute by minute."""
        if found.evidence is None or self._table != "minute":
            return {"start": None, "end": None, "agrees": None, "differences": []}
        start, end = found.evidence.start, found.evidence.end
        inside = self._rows.filter(pl.col("time") >= start, pl.col("time") < end)
        journal = {row["time"]: _statistics(row, "nominal") for row in inside.iter_rows(named=True)}
        nominal = self._limits.nominal
        samples = {one["time"]: {"nominal": nominal, **_statistics(one)} for one in _subgroups(found)}
        differences = [
            {"time": minute, "journal": journal.get(minute), "samples": samples.get(minute)}
            for minute in sorted(journal.keys() | samples.keys())
            if journal.get(minute) != samples.get(minute)
        ]
        return {"start": start, "end": end, "agrees": not differences, "differences": differences}


def _subgroups(found: FoundMeasured) -> list[dict[str, Any]]:
    """The values of each minute, as [time, value], and what they add up to."""
    if found.evidence is None:
        return []
    values = found.evidence.values
    by_minute: dict[int, list[tuple[int, float]]] = {}
    for time, value in zip(values.time.tolist(), values.value.tolist(), strict=True):
        by_minute.setdefault(time - time % MINUTE_NS, []).append((time, value))
    rows = {row["time"]: row for row in found.evidence.statistics.iter_rows(named=True)}
    return [
        {"time": minute, "values": [list(one) for one in held], **_statistics(rows[minute])}
        for minute, held in by_minute.items()
    ]


def _before(found: FoundMeasured) -> list[Any] | None:
    """The value before the first one, as [time, value]: its moving range is taken from there."""
    if found.evidence is None or not len(found.evidence.before):
        return None
    before = found.evidence.before
    return [int(before.time[0]), float(before.value[0])]


def _statistics(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {name: row[name] for name in (*keys, *STATISTICS)}


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.15g}"
