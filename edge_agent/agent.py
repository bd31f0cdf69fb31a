"""The agent put together: connectors, engine, journal, forwarder, and the pipeline that joins them.

Rule: composition only. What a part does is in its own module; what happens each tick is in `pipeline`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypedDict
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from config.compiled import CompiledPlant
from connectors import ClockNs, SampleBatch, TextCodes
from connectors.mqtt import MqttConnector
from connectors.opcua import OpcUaConnector
from edge_agent.assembly import Assembly
from edge_agent.changes import change_finder
from edge_agent.corrections import correction_facts
from edge_agent.forwarder import Forwarder
from edge_agent.health import Health
from edge_agent.journal import Journal, JournalReader, Recovery
from edge_agent.kpi_warnings import KpiWarnings
from edge_agent.kpi_windows import KpiWindows
from edge_agent.logs import Events
from edge_agent.named_rows import Names
from edge_agent.pipeline import Pipeline
from edge_agent.plant_facts import plant_facts, tag_facts
from edge_agent.plant_kpis import PlantKpis
from edge_agent.plant_versions import begins, edited, versions_of
from edge_agent.points import Points
from edge_agent.restatement import Restatement
from edge_agent.sources import Recipe, Sources
from edge_agent.steady_clock import SteadyClock
from kpi.elements import HOUR_NS
from kpi.engine import Engine

_log = Events("agent")

REFRESH_NS: Final = 10_000_000_000
"""How often KPIs of open windows are said anew, ns of wall time: boards are refreshed that often, and it is cheap."""

ENGINE_MEMORY_NS: Final = 30 * 60 * 1_000_000_000
"""How much of its past the engine keeps in memory, about: most late samples are late by minutes."""

ENGINE_SAMPLES: Final = 2_000_000
"""How many samples it keeps in memory at most: 42 MB."""

_FORWARDER_STOP_SECONDS: Final = 5.0

Compile = Callable[[TextCodes], CompiledPlant]
"""Compiles the configuration; texts of its rules get their codes from the given dictionary."""


class _Bounds(TypedDict):
    horizon_ns: int
    memory_ns: int
    most_samples: int


class Agent:
    """One agent of one plant. Constructing opens the journal and recovers; `run` connects and ticks.

    compile_plant: called once, and again with the journal's own texts where it holds any.
    clock: ns since the epoch, UTC; None = the gateway's, whose steps are not believed blindly.
    journal: path in place of the configured one. refresh_ns: wall time between two sayings of open windows.
    recipes: connectors in place of those of the configuration.
    Raises JournalError where the journal cannot be used, ValueError where a connector's settings are wrong.
    """

    def __init__(
        self,
        compile_plant: Compile,
        *,
        clock: ClockNs | None = None,
        journal: Path | None = None,
        refresh_ns: int = REFRESH_NS,
        recipes: Sequence[Recipe] | None = None,
    ) -> None:
        self.clock: ClockNs = SteadyClock() if clock is None else clock
        self.texts = TextCodes()
        self.compiled = compile_plant(self.texts)
        self.path = Path(self.compiled.agent.journal) if journal is None else journal
        self.journal = self._open_journal()
        try:
            known = self.journal.texts()
            if known:
                self.texts = TextCodes(known)
                self.compiled = compile_plant(self.texts)
            self._compose(refresh_ns, recipes)
        except BaseException:
            self.journal.close()
            raise

    def _open_journal(self) -> Journal:
        settings = self.compiled.agent
        offset = datetime.now(ZoneInfo(self.compiled.timezone)).utcoffset() or timedelta()
        return Journal(
            self.path,
            most_bytes=settings.journal_most_bytes,
            tags=[tag.name for tag in self.compiled.tags.tags],
            tag_facts=tag_facts(self.compiled),
            keep_minutes_ns=settings.keep_minutes_ns,
            keep_hours_ns=settings.keep_hours_ns,
            hour_offset_ns=-int(offset.total_seconds()) * 1_000_000_000 % HOUR_NS,
            clock=self.clock,
        )

    def _compose(self, refresh_ns: int, recipes: Sequence[Recipe] | None) -> None:
        compiled = self.compiled
        self.reader = JournalReader(self.path)
        self._plant_facts = plant_facts(compiled)
        self.health = Health(started=self.clock())
        self.sources = Sources(self._recipes() if recipes is None else recipes)
        self.forwarder = None if compiled.influx is None else Forwarder(self.path, compiled.influx, clock=self.clock)
        points = Points(compiled)
        recovery = self.journal.recover()
        if recovery.damaged:
            _log.error("sample_log_damaged", rows=recovery.damaged, hint="check the disk; what was readable is used")
        engine = self._engine(recovery)
        if len(recovery.samples) or recovery.checkpoint is not None:
            _log.info("recovered", samples=len(recovery.samples), checkpoint=recovery.checkpoint is not None)

        def read_hours(start: int, end: int) -> pl.DataFrame:
            return self.reader.elements("hour", start, end)

        windows = KpiWindows(
            compiled.plant,
            lambda start, end: self.reader.elements("minute", start, end),
            read_hours,
            compiled.line_rules,
        )
        before = self.journal.folded_with()
        begin = begins(before, compiled.plant, self.clock())
        now = versions_of(compiled.plant, [tag.name for tag in compiled.tags.tags], begin)
        archive = self.journal.archive()
        oldest = min(archive, default=engine.closed or 0)
        edits = edited(before, now, oldest, engine.reached or 0) if engine.reached else {}
        restatement = Restatement(compiled.plant, self._engine(recovery), archive, edits) if edits else None
        self.assembly = Assembly(
            compiled,
            engine=engine,
            texts=self.texts,
            windows=windows,
            points=points,
            changes=change_finder(Names(compiled.plant, self.texts.text), windows, self.reader, begin),
            refresh_ns=refresh_ns,
            archive=archive,
            restatement=restatement,
            folded_with=now if now != before else None,
            warnings=KpiWarnings(PlantKpis.of(compiled), read_hours),
        )
        self.pipeline = Pipeline(
            sources=self.sources,
            assembly=self.assembly,
            journal=self.journal,
            texts=self.texts,
            clock=self.clock,
            health=self.health,
            tick_ns=compiled.agent.tick_ns,
            sink=self.forwarder,
            facts=self._facts,
            agent_points=points.agent if compiled.influx is not None else None,
            witness=self._witness(),
        )

    def _witness(self) -> Callable[[SampleBatch], None] | None:
        """Lets the clock hear the timestamps that sources made; those that the agent made itself say nothing new."""
        clock = self.clock
        if not isinstance(clock, SteadyClock):
            return None
        of_source = np.array([tag.signal != "link" for tag in self.compiled.tags.tags], np.bool_)
        for broker in self.compiled.mqtt:
            of_source[[item.tag for item in broker.items if item.time_path is None]] = False

        def hear(batch: SampleBatch) -> None:
            times = batch.time[of_source[batch.tag]]
            if len(times):
                # Not the newest: that could be of a single source whose own clock is wrong.
                clock.hear(int(np.median(times)))

        return hear

    def _recipes(self) -> list[Recipe]:
        opcua = [
            Recipe(one.name, "opcua", one.endpoint, lambda one=one: OpcUaConnector(one, self.texts, self.clock))  # type: ignore[misc]
            for one in self.compiled.opcua
        ]
        mqtt = [
            Recipe(
                one.name,
                "mqtt",
                f"mqtt://{one.host}:{one.port}",
                lambda one=one: MqttConnector(one, self.texts, self.clock, hurry=self._hurry),  # type: ignore[misc]
            )
            for one in self.compiled.mqtt
        ]
        return [*opcua, *mqtt]

    def _hurry(self) -> None:
        self.pipeline.hurry()

    def _engine(self, recovery: Recovery) -> Engine:
        """The engine as it was before the restart, or a new one."""
        plant = self.compiled.plant
        bounds = _Bounds(
            horizon_ns=self.compiled.agent.correction_horizon_ns,
            memory_ns=min(ENGINE_MEMORY_NS, self.compiled.agent.correction_horizon_ns),
            most_samples=ENGINE_SAMPLES,
        )
        engine = Engine(plant, **bounds)
        if recovery.checkpoint is not None:
            tag_map = None if recovery.same_tags else dict(enumerate(recovery.old_to_new.tolist()))
            try:
                engine = Engine.restore(plant, recovery.checkpoint, tag_map=tag_map, **bounds)
            except ValueError as fault:
                # what was written stays; held values are learned anew from the sources, until then time is unknown
                _log.warning("engine_starts_anew", reason=str(fault))
                self.journal.drop_archive()
                return engine
        samples = recovery.samples
        engine.add(samples.tag, samples.time, samples.value, samples.quality)
        return engine

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"plant": self._plant_facts, "corrections": self._corrections()}
        if self.forwarder is not None:
            facts["forwarder"] = asdict(self.forwarder.statistics())
        return facts

    def _corrections(self) -> dict[str, Any]:
        """How far back samples still correct what was said, and what that takes."""
        engine, settings = self.assembly.engine, self.compiled.agent
        return correction_facts(
            self.journal.archive_facts(),
            closed=engine.closed or 0,
            keep_from=engine.keep_from,
            horizon_ns=settings.correction_horizon_ns,
            most_bytes=settings.journal_most_bytes,
            journal_bytes=self.path.stat().st_size,
            restating=self.assembly.restating(),
        )

    def close(self) -> None:
        """Let go of the journal, with nothing said or committed any more; for an agent that is not run to its end."""
        self.reader.close()
        self.journal.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set; end in order: last transaction, sources, forwarder, journal.

            recipes: connectors in place of those of the configuration.
        Raises JournalError where the journal fails for good.
        """
        compiled = self.compiled
        _log.info(
            "agent_started",
            site=compiled.site,
            machines=len(compiled.plant.machines),
            tags=len(compiled.tags),
            connections=len(compiled.opcua) + len(compiled.mqtt),
            journal=str(self.path),
            configuration=compiled.version,
        )
        if self.forwarder is not None:
            self.forwarder.start()
        try:
            await self.pipeline.run(stop)
        finally:
            if self.forwarder is not None:
                await asyncio.to_thread(self.forwarder.stop, _FORWARDER_STOP_SECONDS)
            self.close()
        _log.info("agent_stopped", samples=self.health.samples, ticks=self.health.ticks)
