"""What goes to the database: raw samples, elements, state intervals, KPIs and health as entries of the outbox.

Rule: which measurement, tags and fields a thing has is here, in the words of `config.names`; how a line is written is
in `line_protocol`. A plant that sends nothing encodes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import polars as pl

from config.compiled import CompiledPlant
from config.names import ABSENT, CAUSE, COVERAGE, PROVISIONAL, REVISION, MeasuredField, Measurement, StateField, Tag
from connectors import SampleBatch, TextCodes
from edge_agent.health import Health
from edge_agent.journal import OutboxEntry, OutboxKind
from edge_agent.kpi_windows import WindowEnds, WindowSums
from edge_agent.line_protocol import Encoded, SignalEncoder, encode_points
from edge_agent.plant_kpis import PlantKpis
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.formulas import KNOWN_ELEMENTS, KPI, KpiBook, divided, evaluate, in_units
from kpi.plant import State

_COVERAGE_ALONE: Final = KpiBook((KPI[COVERAGE],))
_PLACE: Final = (Tag.SITE, Tag.AREA, Tag.LINE, Tag.MACHINE)
_ELEMENT_TAGS: Final = (*_PLACE, Tag.SHIFT, Tag.PRODUCT)
_KPI_TAGS: Final = (*_PLACE, Tag.LEVEL, Tag.WINDOW, Tag.SHIFT)
_CONNECTION_FIELDS: Final = (
    "up", "configured", "accepted", "delivering", "set_aside", "reconnects", "samples", "faults",
)  # fmt: skip
_AGENT_FIELDS: Final = (
    "ticks", "samples", "last_tick_seconds", "loop_lag_seconds", "commit_failures", "restarts", "judged",
)  # fmt: skip


class Points:
    """Makes outbox entries; where no database is configured (`sends`), every method gives nothing.

    Of what is not over yet only state intervals and windows from the hour on are sent, and those only to a database
    in which the next point replaces them. Rows of minutes go once, when the minute is over.
    """

    def __init__(self, compiled: CompiledPlant) -> None:
        self.sends = compiled.influx is not None
        self._overwrites = compiled.influx is not None and compiled.influx.overwrites
        self._site = compiled.site
        self._kpis = PlantKpis.of(compiled)
        self._signals = SignalEncoder(compiled.tags, site=compiled.site)
        self._ends = WindowEnds(compiled.plant)
        machines = compiled.plant.machines
        self._places = pl.DataFrame(
            {
                Tag.MACHINE.value: [machine.id for machine in machines],
                Tag.LINE.value: [machine.line for machine in machines],
                Tag.AREA.value: [machine.area for machine in machines],
            },
            schema={Tag.MACHINE.value: pl.Utf8, Tag.LINE.value: pl.Utf8, Tag.AREA.value: pl.Utf8},
        )

    @property
    def overwrites(self) -> bool:
        """Whether a point may be sent again, since it replaces the one before."""
        return self._overwrites

    def signals(self, batch: SampleBatch, texts: TextCodes) -> Encoded | None:
        """Raw samples as lines of `signal`, to be made entries and booked; None where nothing is sent."""
        return self._signals.encode(batch, texts) if self.sends and len(batch) else None

    def elements(self, rows: pl.DataFrame, over: int) -> list[OutboxEntry]:
        """Minute rows as `element`, fields in the element's shown unit, and the row's coverage.

        over: ns; minutes that end later are not over yet.
        """
        rows = rows.filter(pl.col("time") + MINUTE_NS <= over) if self.sends else rows.clear()
        if rows.is_empty():
            return []
        table = in_units(evaluate(_versioned(rows), _COVERAGE_ALONE))
        fields = [*ELEMENT_IDS, COVERAGE, REVISION, CAUSE]
        return self._entries(OutboxKind.ELEMENT, self._placed(table), Measurement.ELEMENT, _ELEMENT_TAGS, fields)

    def measured(self, rows: pl.DataFrame, over: int) -> list[OutboxEntry]:
        """Statistics of measured values as `measured`, one point a minute. over: as of `elements`."""
        rows = rows.filter(pl.col("time") + MINUTE_NS <= over) if self.sends else rows.clear()
        if rows.is_empty():
            return []
        squares = pl.col("sum_sq") - pl.col("sum") * pl.col("sum") / pl.col("n")
        deviation = pl.when((pl.col("n") > 1) & (squares >= 0)).then((squares / (pl.col("n") - 1)).sqrt())
        table = rows.with_columns(
            pl.col("characteristic").alias(Tag.SIGNAL.value),
            (pl.col("nominal") + pl.col("sum") / pl.col("n")).alias(MeasuredField.MEAN.value),
            deviation.alias(MeasuredField.DEVIATION.value),
        )
        tags = (*_PLACE, Tag.SIGNAL)
        return self._entries(OutboxKind.ELEMENT, self._placed(table), Measurement.MEASURED, tags, list(MeasuredField))

    def states(self, intervals: pl.DataFrame, over: int) -> list[OutboxEntry]:
        """State intervals as `state`, one point at the start of each. over: as of `elements`."""
        if not self._overwrites:
            minute_end = pl.col("start") - pl.col("start") % MINUTE_NS + MINUTE_NS
            intervals = intervals.filter(minute_end <= over)
        if not self.sends or intervals.is_empty():
            return []
        names = {state.value: state.name.lower() for state in State}
        table = self._placed(intervals).select(
            Tag.MACHINE.value,
            Tag.LINE.value,
            Tag.AREA.value,
            Tag.SITE.value,
            pl.col("start").alias("time"),
            pl.col("state").alias(StateField.CODE.value),
            pl.col("state").replace_strict(names, return_dtype=pl.Utf8).alias(StateField.STATE.value),
            divided(pl.col("end") - pl.col("start"), 1_000_000_000).alias(StateField.SECONDS.value),
            pl.col("reason").alias(StateField.REASON.value),
        )
        return self._entries(OutboxKind.STATE, table, Measurement.STATE, _PLACE, list(StateField))

    def kpis(self, sums: Sequence[WindowSums], over: int, *, settled_to: int) -> list[OutboxEntry]:
        """Windows as `kpi`: KPIs, the elements they come from in shown units, whether the window is not over.

        over: as of `elements`. settled_to: ns; a window that ends later is provisional.
        """
        parts = [self._due(one, over, settled_to) for one in sums] if self.sends else []
        if not any(len(part) for part in parts):
            return []
        known = self._kpis.figures(_versioned(pl.concat(parts, how="diagonal")))
        given = frozenset(name for name in known.columns if name in KNOWN_ELEMENTS)
        could = [pl.when(pl.col(kpi).is_null()).then(pl.lit(kpi)) for kpi in _could_be(self._kpis.book, given)]
        table = in_units(known).with_columns(
            pl.lit(self._site).alias(Tag.SITE.value),
            pl.concat_str(could, separator=" ", ignore_nulls=True).alias(ABSENT),
        )
        beyond = [id_ for id_ in self._kpis.elements if id_ not in ELEMENT_IDS and id_ in given]
        said = [name for name in (*self._kpis.book.ids, *beyond) if table[name].null_count() < len(table)]
        fields = (*said, *ELEMENT_IDS, PROVISIONAL, REVISION, CAUSE, ABSENT)
        return self._entries(OutboxKind.KPI, table, Measurement.KPI, _KPI_TAGS, fields)

    def _due(self, sums: WindowSums, over: int, settled_to: int) -> pl.DataFrame:
        """The rows of a window that are to be sent now, with the tags and the field that say which window it is."""
        rows = sums.rows.with_columns(
            pl.lit(sums.level).alias(Tag.LEVEL.value),
            pl.lit(sums.window).alias(Tag.WINDOW.value),
            end=self._ends.of(sums),
        )
        if not self._overwrites or sums.window == "minute":
            rows = rows.filter(pl.col("end") <= over)
        return rows.with_columns((pl.col("end") > settled_to).alias(PROVISIONAL))

    def agent(self, health: Health, connections: Sequence[Mapping[str, Any]], now: int) -> list[OutboxEntry]:
        """Health as `agent`: one point of each connection, and one of the agent itself."""
        if not self.sends:
            return []
        of_connections = pl.DataFrame(
            [
                {
                    Tag.CONNECTION.value: one["name"],
                    "up": one["state"] == "up",
                    "set_aside": one["set_aside_count"],
                    "faults": sum(one["faults"].values()),
                    **{name: one[name] for name in ("configured", "accepted", "delivering", "reconnects", "samples")},
                }
                for one in connections
            ]
        )
        snapshot = health.snapshot(now)
        of_agent = pl.DataFrame(
            [
                {
                    **{name: snapshot[name] for name in _AGENT_FIELDS if name in snapshot and name != "restarts"},
                    "restarts": sum(snapshot["restarts"].values()),
                    "judged": sum(snapshot["faults"].values()),
                }
            ]
        )
        tags = (Tag.SITE, Tag.CONNECTION)
        entries: list[OutboxEntry] = []
        for table, fields in ((of_connections, _CONNECTION_FIELDS), (of_agent, _AGENT_FIELDS)):
            if not table.is_empty():
                stamped = table.with_columns(pl.lit(self._site).alias(Tag.SITE.value), time=pl.lit(now, pl.Int64))
                entries += self._entries(OutboxKind.AGENT, stamped, Measurement.AGENT, tags, fields)
        return entries

    def _placed(self, table: pl.DataFrame) -> pl.DataFrame:
        placed = table.join(self._places, on=Tag.MACHINE.value, how="left", maintain_order="left")
        return placed.with_columns(pl.lit(self._site).alias(Tag.SITE.value))

    def _entries(
        self,
        kind: OutboxKind,
        table: pl.DataFrame,
        measurement: Measurement,
        tags: Sequence[str],
        fields: Sequence[str],
    ) -> list[OutboxEntry]:
        return encode_points(table, measurement, tags=list(tags), fields=list(fields)).entries(kind)


def _versioned(rows: pl.DataFrame) -> pl.DataFrame:
    """With the revision, 0 where it is not over, and its cause where there is one."""
    return rows.with_columns(
        pl.col(REVISION).clip(lower_bound=0), pl.when(pl.col(CAUSE) != "").then(pl.col(CAUSE)).alias(CAUSE)
    )


@lru_cache(maxsize=16)
def _could_be(book: KpiBook, given: frozenset[str]) -> tuple[str, ...]:
    """KPIs that have a value or none, as the sums are; others never have one where these elements are all there is."""
    return tuple(kpi.id for kpi in book.kpis if book.needed_by(kpi) <= given)
