"""Warnings about figures in the log: an effectiveness above 100 %, a counter that went below zero or stands still.

Rule 1: judged are whole hours of machines; minutes are too short for that.
Rule 2: a machine and KPI is warned of once a local day, with the first hour of it that was odd; what casts doubt on
several KPIs that are within their ranges is told with the first of them.
Rule 3: what signals never tell, such as pieces that nobody judges, is said by `validate` and at the start, not daily.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from edge_agent.kpi_windows import PlantDays, ReadRows
from edge_agent.logs import Events
from edge_agent.plant_kpis import PlantKpis
from kpi.elements import HOUR_NS

_log = Events("kpis")
_MOST_HOURS: Final = 48
"""Hours looked at in one go: after a long outage of the agent, the last ones say enough."""


class KpiWarnings:
    """Looks at each local hour once, when it is over. read_hours: reads the journal's hours."""

    def __init__(self, kpis: PlantKpis, read_hours: ReadRows) -> None:
        self._kpis = kpis
        self._read = read_hours
        self._calendar = PlantDays(kpis.plant.timezone)
        self._zone = ZoneInfo(kpis.plant.timezone)
        self._from: int | None = None  # start of the first hour that was not looked at
        self._day = 0
        self._said: set[tuple[str, str]] = set()  # machine and KPI, of this day
        self._told: set[tuple[int, str, str]] = set()  # hour, machine and cause, of this day

    def look(self, settled_to: int) -> None:
        """Warn of the hours that are over. settled_to: ns; what is settled and committed."""
        hour, _ = self._calendar.hour(settled_to)
        if self._from is None or hour - self._from > _MOST_HOURS * HOUR_NS:
            self._from = hour - HOUR_NS
        if hour > self._from:
            rows = self._read(self._from, hour)
            self._from = hour
            if len(rows):
                self._warn(self._kpis.sums(rows, "hour", ("machine",))["machine"])

    def _warn(self, sums: pl.DataFrame) -> None:
        sums = sums.with_columns(end=pl.col("time") + HOUR_NS).sort("time", "machine")
        odd = self._kpis.odd(sums, standing=False)
        figures = self._kpis.figures(sums)
        for kpi in (name for name in odd.columns if odd[name].null_count() < len(odd)):
            for row, words in enumerate(odd[kpi].to_list()):
                if words is not None:
                    self._say(int(sums["time"][row]), sums["machine"][row], kpi, figures[kpi][row], words)

    def _say(self, hour: int, machine: str, kpi: str, value: float, words: str) -> None:
        day, _ = self._calendar.day(hour)
        if day > self._day:
            self._day = day
            self._said.clear()
            self._told.clear()
        if day == self._day and (machine, kpi) not in self._said:
            self._said.add((machine, kpi))
            in_range = self._is_in_range(kpi, value)
            if in_range and (hour, machine, words) in self._told:
                return
            self._told.add((hour, machine, words))
            at = datetime.fromtimestamp(hour // 1_000_000_000, UTC).astimezone(self._zone)
            _log.warning(
                "figure_in_doubt" if in_range else "figure_beyond_its_range",
                machine=machine,
                kpi=kpi,
                value=round(value, 6),
                hour=at.isoformat(timespec="minutes"),
                reason=words,
            )

    def _is_in_range(self, kpi: str, value: float) -> bool:
        usual = self._kpis.book.named()[kpi]
        return (usual.low is None or value >= usual.low) and (usual.high is None or value <= usual.high)
