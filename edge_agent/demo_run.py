"""The main job on the embedded default: a demonstration plant, an agent that collects from it, and the comparison.

Rule 1: the agent meets the plant on the wire only. What the plant's own book says is asked for after the last sample.
Rule 2: both sides speak of the same time. The plant's clock stands until every tag has its first value, so collection
is complete from `start`; at the end the plant freezes at T, and the agent is given time to receive all before T.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import numpy as np

from config.compiled import CompiledPlant, InfluxSettings
from config.compiler import compile_plant
from config.loader import load
from config.models import PlantConfig
from connectors import ConnectionState, TextCodes
from edge_agent.agent import Agent
from edge_agent.demo.process import DemoProcess, default_start, lively_start
from edge_agent.figures import PlantFigures, plant_figures, summary
from edge_agent.journal import JournalReader
from edge_agent.ledger import Cause as OutboxCause
from edge_agent.ledger import Unit, account
from edge_agent.logs import Events
from edge_agent.plant_kpis import PlantKpis
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.plant import Plant

_log = Events("demo")

_REFRESH_NS: Final = 500_000_000  # the board is looked at all the time, and a demonstration has few machines
_CLOSE_AFTER_SECONDS: Final = 2.0  # of wall time: everything is on one machine, nothing takes longer
_HORIZON_SECONDS: Final = 600.0
_CONNECT_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 15.0
_QUIET_SECONDS: Final = 1.5  # three publishing intervals without anything new, and a sign of life of every source
_SILENT_SECONDS: Final = 3.0  # the same of a source whose keep-alive is rarer than that
_POLL_SECONDS: Final = 0.1
_EXPRESSION: Final = re.compile(r"\$\{(\w+):-([^{}]*)\}")
_LOSSES: Final = (account(Unit.SAMPLES, OutboxCause.JOURNAL_FULL), account(Unit.SAMPLES, OutboxCause.REJECTED))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run. folder: for journal, log and plant file. duration: wall seconds of collection; None = until told to
    stop."""

    folder: Path
    seed: int
    speed: float = 1.0
    duration: float | None = None
    influx: InfluxSettings | None = None

    @property
    def journal(self) -> Path:
        """Where the journal lies."""
        return self.folder / "demo.journal"

    @property
    def plant_file(self) -> Path:
        """Where the configuration lies that the agent ran with: what `edge-agent explain` needs for its reasons."""
        return self.folder / "demo.yaml"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a board shows at one moment. now: by machine, as in the status. clock: the plant's, ns."""

    plant: Plant
    figures: PlantFigures
    now: Mapping[str, Mapping[str, Any]]
    clock: int
    samples: int
    seconds: float
    connections_up: int
    connections: int


Show = Callable[[Picture], None]
Meanwhile = Callable[[DemoProcess, Agent], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """How it went. start, end: ns of plant time, what both sides speak of. truth: the plant's book over the same time.

    dropped: samples by cause, all causes there are. waiting: points that no database has taken yet.
    """

    plant: Plant
    figures: PlantFigures
    truth: Mapping[str, Any]
    start: int
    end: int
    samples: int
    seconds: float
    dropped: Mapping[str, int]
    waiting: int

    def facts(self) -> dict[str, Any]:
        """The result as `demo --json` prints it."""
        machines = [
            {"machine": machine, "kpi": summary(figures), "truth": self.truth["machines"][machine]}
            for machine, figures in self.figures.machines.items()
        ]
        return {
            "machines": machines,
            "plant": {"kpi": summary(self.figures.site), "truth": self.truth["plant"]},
            "samples": self.samples,
            "duration_s": round(self.seconds, 3),
            "values_per_second": round(self.samples / self.seconds, 1) if self.seconds else 0.0,
            "dropped": dict(self.dropped),
        }


class DemoRun:
    """One demonstration, from the start of the plant to the comparison."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options

    async def run(
        self, stop: asyncio.Event, show: Show | None = None, *, meanwhile: Meanwhile | None = None
    ) -> DemoResult:
        """Run for the duration, or until `stop` is set.

        show: called about twice a second. meanwhile: what happens to the plant while the agent collects, such as an
        outage; the plant is not frozen before it is over.
        Raises DemoPlantError where the plant does not start, JournalError where the folder cannot be written to.
        """
        options = self._options
        async with DemoProcess(seed=options.seed, speed=options.speed, start_ns=_start(options)) as plant:
            agent = Agent(self._compile(plant), clock=plant.clock, refresh_ns=_REFRESH_NS)
            end_agent = asyncio.Event()
            running = asyncio.create_task(agent.run(end_agent), name="demo.agent")
            try:
                await _until(lambda: bool((agent.assembly.latest_time > 0).all()), _CONNECT_SECONDS, running)
                await plant.begin()
                began = time.monotonic()
                _log.info("plant_began", speed=options.speed, seed=options.seed)
                trouble = (
                    None if meanwhile is None else asyncio.create_task(meanwhile(plant, agent), name="demo.meanwhile")
                )
                await self._collect(agent, running, stop, show, began)
                if trouble is not None:
                    await trouble
                last = await plant.freeze()
                seconds = time.monotonic() - began
                _log.info("plant_frozen", seconds=round(seconds, 1))
                await _drain(agent, running, last)
                _log.info("drained", seconds=round(time.monotonic() - began - seconds, 1))
                agent.pipeline.settle_at_end = last
            finally:
                end_agent.set()
                await running
            truth = await plant.truth(plant.start_ns, last)
        return self._result(agent, truth, plant.start_ns, last, seconds)

    def _compile(self, plant: DemoProcess) -> Callable[[TextCodes], CompiledPlant]:
        options = self._options
        pace = max(1.0, options.speed)
        environment = {
            **os.environ,
            **plant.environment,
            "DEMO_JOURNAL": str(options.journal),
            "DEMO_CLOSE_AFTER": f"{_CLOSE_AFTER_SECONDS * pace:g} s",
            "DEMO_CORRECTION_HORIZON": f"{_HORIZON_SECONDS * pace:g} s",
        }
        config = demo_config(environment)
        options.plant_file.write_text(_filled_in(environment), encoding="utf-8")

        def compiled(texts: TextCodes) -> CompiledPlant:
            return replace(compile_plant(config, texts), influx=options.influx)

        return compiled

    async def _collect(
        self, agent: Agent, running: asyncio.Task[None], stop: asyncio.Event, show: Show | None, began: float
    ) -> None:
        ends = None if self._options.duration is None else began + self._options.duration
        first_hour = agent.clock() // HOUR_NS * HOUR_NS
        while not stop.is_set() and not running.done():
            pause = _REFRESH_NS / 1e9 if ends is None else min(_REFRESH_NS / 1e9, ends - time.monotonic())
            if pause <= 0:
                return
            try:
                async with asyncio.timeout(pause):
                    await stop.wait()
            except TimeoutError:
                if show is not None:
                    show(await asyncio.to_thread(_picture, agent, first_hour, time.monotonic() - began))

    def _result(self, agent: Agent, truth: Mapping[str, Any], start: int, end: int, seconds: float) -> DemoResult:
        kpis = PlantKpis.of(agent.compiled)
        with JournalReader(agent.path) as reader:
            figures = plant_figures(reader.elements("minute", start, end), kpis, start, end)
            ledger = reader.ledger()
            waiting = sum(depth.points for depth in reader.outbox_depth().values())
        causes = [*agent.assembly.refusals, *_LOSSES]
        dropped = {cause: ledger.get(cause, 0) for cause in causes}
        return DemoResult(kpis.plant, figures, truth, start, end, agent.health.samples, seconds, dropped, waiting)


def demo_config(environment: Mapping[str, str]) -> PlantConfig:
    """The configuration of the demonstration plant, as it is shipped."""
    with as_file(files("config") / "examples" / "demo-plant.yaml") as path:
        return load(path, environment)


def _filled_in(environment: Mapping[str, str]) -> str:
    """The same as a text, with what the environment says in it."""
    text = (files("config") / "examples" / "demo-plant.yaml").read_text(encoding="utf-8")
    return _EXPRESSION.sub(lambda found: environment.get(found[1], found[2]), text)


def _start(options: DemoOptions) -> int:
    """When the plant's clock starts: at a whole minute, so that no row has a part that nobody collected."""
    start = lively_start() if options.speed == 1 else default_start(options.speed, options.duration)
    return start - start % MINUTE_NS


def _picture(agent: Agent, first_hour: int, seconds: float) -> Picture:
    clock = agent.clock()
    health = agent.sources.health()
    rows = agent.reader.elements("hour", first_hour, clock + HOUR_NS)
    return Picture(
        plant=agent.compiled.plant,
        figures=plant_figures(rows, PlantKpis.of(agent.compiled), first_hour, clock),
        now=agent.assembly.status(),
        clock=clock,
        samples=agent.health.samples,
        seconds=seconds,
        connections_up=sum(one.state is ConnectionState.UP for one in health),
        connections=len(health),
    )


async def _until(holds: Callable[[], bool], patience: float, running: asyncio.Task[None]) -> bool:
    """Wait until it holds, patience ends, or the agent does (its error is raised later). Returns whether it holds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline or running.done():
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def _drain(agent: Agent, running: asyncio.Task[None], last: int) -> None:
    """Wait until everything up to `last` has arrived.

    A sensor that did not change says nothing, so no reading can be waited for. But the clock stands at `last` now: a
    sign of life stamped with it came after the end, and whatever was published before it is here soon after. A source
    that has nothing to say gives one every five seconds or so; twice the silence stands in for it.
    """
    is_link = np.array([tag.signal == "link" for tag in agent.compiled.tags.tags], np.bool_)
    latest = agent.assembly.latest_time
    seen = latest[~is_link].copy()
    quiet_since = time.monotonic()

    def drained() -> bool:
        nonlocal seen, quiet_since
        now = latest[~is_link].copy()
        alive = bool((latest[is_link] >= last).all())
        if not np.array_equal(now, seen):
            seen, quiet_since = now, time.monotonic()
        return time.monotonic() - quiet_since >= (_QUIET_SECONDS if alive else _SILENT_SECONDS)

    if not await _until(drained, _DRAIN_SECONDS, running):
        _log.warning("drain_gave_up", waited_seconds=_DRAIN_SECONDS)
