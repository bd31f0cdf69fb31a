"""A connector that delivers what a test tells it to, and a small plant for it: two machines on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from config.compiled import CompiledPlant
from config.compiler import compile_plant
from config.loader import load
from connectors import ConnectionHealth, ConnectionState, Delivery, SampleBatch, TextCodes
from edge_agent.agent import Agent
from edge_agent.sources import Recipe
from kpi.elements import MINUTE_NS

SECOND = 1_000_000_000
NOON = 1_790_827_200 * SECOND - 1_790_827_200 % 60 * SECOND
"""A whole minute, 2026-10-01 in the morning, UTC; the plant works around the clock."""

_YAML = """
plant: {{enterprise: Test, site: works, time_zone: Europe/Berlin}}
agent: {{journal: {journal}, tick: 20 ms, close_after: 5 s, correction_horizon: 10 min, future_tolerance: 1 min}}
calendar:
  shifts:
    - {{name: day, start: "06:00", end: "18:00"}}
    - {{name: night, start: "18:00", end: "06:00"}}
connections:
  floor: {{type: mqtt, host: 127.0.0.1, port: 1, subscribe: ["#"], link_holds: 30 s}}
products: {{A: {{}}, B: {{}}}}
profiles:
  station:
    connection: floor
    topic: "{{machine}}"
    stale_after: never
    state:
      signals: {{status: {{path: s}}}}
      rules:
        - {{when: {{status: 1}}, state: producing}}
        - {{when: {{status: 2}}, state: breakdown}}
    counts: {{good: {{path: g}}, scrap: {{path: x}}}}
    product: {{path: p}}
    power: {{path: w, unit: W}}
    ideal_cycle_time: {{A: 10 s, B: 20 s}}
lines:
  - name: one
    area: hall
    machines:
      - {{id: m1, profile: station}}
      - {{id: m2, profile: station}}
"""


class Clock:
    """A clock that stands until a test moves it on."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Bench:
    """The small plant with a journal in a folder; makes agents that take from scripted connectors."""

    def __init__(self, folder: Path, *, influx: str | None = None, overwrites: bool = True) -> None:
        self.path = folder / "plant.journal"
        text = _YAML.format(journal=self.path)
        if influx is not None:
            text += f"influx: {{url: {influx}, bucket: factory, org: test, overwrites: {str(overwrites).lower()}}}\n"
        self.yaml = folder / "plant.yaml"
        self.yaml.write_text(text)
        self.clock = Clock()
        self._load()

    def _load(self) -> None:
        self.config = load(self.yaml)
        self.compiled = compile_plant(self.config, TextCodes())
        self.tags: Mapping[str, int] = {tag.name: i for i, tag in enumerate(self.compiled.tags.tags)}

    def edit(self, old: str, new: str) -> None:
        """Replace a text of the file, as an engineer would; agents made from now on have it so."""
        text = self.yaml.read_text()
        assert old in text, old
        self.yaml.write_text(text.replace(old, new))
        self._load()

    def compile(self, texts: TextCodes) -> CompiledPlant:
        return compile_plant(self.config, texts)

    def agent(self, *connectors: ScriptedConnector, refresh_ns: int = 0) -> Agent:
        recipes = [Recipe(one.name, "test", "test://", one.again) for one in connectors]
        return Agent(self.compile, clock=self.clock, recipes=recipes, refresh_ns=refresh_ns)

    def samples(self, *rows: tuple[str, float, float]) -> SampleBatch:
        """A batch of (tag name, seconds after NOON, value)."""
        return SampleBatch.of(
            [self.tags[name] for name, _, _ in rows],
            [NOON + int(at * SECOND) for _, at, _ in rows],
            [value for _, _, value in rows],
        )

    def link(self, *seconds: float) -> SampleBatch:
        """Signs of life of the connection."""
        return self.samples(*(("floor.link", at, 1.0) for at in seconds))


class ScriptedConnector:
    """Delivers batches that a test puts in; notes what is acknowledged. fails: raise in the method of this name."""

    def __init__(self, name: str = "floor") -> None:
        self.name = name
        self.waiting: list[SampleBatch] = []
        self.taken: list[int] = []
        self.acknowledged: list[int] = []
        self.on_acknowledge: Callable[[], None] = lambda: None
        self.fails: str | None = None
        self.made = 0
        self.started = asyncio.Event()
        self.stops = 0
        self.state = ConnectionState.STARTING

    def again(self) -> ScriptedConnector:
        """Itself, as if made anew."""
        self.made += 1
        return self

    def put(self, *batches: SampleBatch) -> None:
        self.waiting += batches

    async def start(self) -> None:
        self._may_fail("start")
        self.started.set()
        self.state = ConnectionState.UP

    def take(self) -> Delivery:
        self._may_fail("take")
        batch = SampleBatch.concat(self.waiting)
        self.waiting = []
        if not len(batch):
            return Delivery(batch)
        self.taken.append(len(batch))
        return Delivery(batch, receipt=len(self.taken) - 1)

    async def acknowledge(self, receipt: object) -> None:
        self._may_fail("acknowledge")
        assert isinstance(receipt, int)
        self.on_acknowledge()
        self.acknowledged.append(receipt)

    async def stop(self) -> None:
        self.stops += 1
        self.state = ConnectionState.STOPPED

    def health(self) -> ConnectionHealth:
        return ConnectionHealth(self.name, "test", "test://", self.state, 0, 1, 1, 1)

    def _may_fail(self, method: str) -> None:
        if self.fails == method:
            raise RuntimeError(f"{method} is broken")


async def tick(agent: Agent, times: int = 1) -> None:
    """Let the agent tick, sources started already."""
    for _ in range(times):
        while await agent.pipeline.tick():
            pass


def run(agent: Agent, script: Callable[[], object]) -> None:
    """Start the sources of an agent, run an async script, and close the agent's files as a kill would."""

    async def go() -> None:
        await agent.sources.start()
        try:
            await script()  # type: ignore[misc]
        finally:
            await agent.sources.stop()

    try:
        asyncio.run(go())
    finally:
        agent.close()


def minutes(first: int, last: int) -> tuple[int, int]:
    """Start and end (ns) of minutes counted from NOON."""
    return NOON + first * MINUTE_NS, NOON + last * MINUTE_NS


__all__: Sequence[str] = ("NOON", "SECOND", "Bench", "Clock", "ScriptedConnector", "minutes", "run", "tick")
