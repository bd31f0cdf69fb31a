"""A whole agent on a gateway whose clock is set while it collects: the element table shows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

from connectors import ClockNs, SampleBatch
from edge_agent.agent import Agent
from edge_agent.journal import JournalReader
from edge_agent.sources import Recipe
from edge_agent.steady_clock import SteadyClock
from kpi.elements import HOUR_NS, MINUTE_NS
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, tick

TICK = 20 * SECOND
LENGTH = 30 * MINUTE_NS
"""Longer than a step that nobody refutes is doubted."""
RARELY = 1 << 62
Steps = Mapping[int, int]
"""Minute → what the gateway's clock is off by from then on, ns."""

Folder = Callable[[], Path]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return lambda: tmp_path_factory.mktemp("plant")


class Gateway:
    """A gateway and its plant. `now`: the time that a good clock shows; the sources' clocks are good."""

    def __init__(self, folder: Path, clock_of: Callable[[Gateway], ClockNs]) -> None:
        self.bench = Bench(folder)
        self.bench.edit('topic: "{machine}"', 'topic: "{machine}"\n    time: {path: ts, unit: ms}')
        self.now, self.off = NOON, 0
        self.floor = ScriptedConnector()
        recipe = Recipe(self.floor.name, "test", "test://", self.floor.again)
        self.agent = Agent(self.bench.compile, clock=clock_of(self), recipes=[recipe], refresh_ns=RARELY)
        self.settled: list[int] = []
        """How far behind the good clock minutes were settled, after each tick, ns."""

    def run(self, samples: SampleBatch, steps: Steps) -> Gateway:
        """Half an hour in ticks of 20 seconds. Samples come when they are due, whatever the gateway believes."""
        while self.now < NOON + LENGTH:
            before, self.now = self.now, self.now + TICK
            self.off = steps.get((self.now - NOON) // MINUTE_NS, self.off)
            self.floor.put(samples.where((samples.time >= before) & (samples.time < self.now)))
            asyncio.run(tick(self.agent))
            self.settled.append(self.now - self.agent.assembly.settled_to)
        self.agent.close()
        return self

    def rows(self) -> pl.DataFrame:
        with JournalReader(self.bench.path) as reader:
            return reader.elements("minute", 0, 1 << 62).sort("machine", "time", "product")

    def ledger(self) -> Mapping[str, int]:
        with JournalReader(self.bench.path) as reader:
            found: Mapping[str, int] = reader.ledger()
        return {name: count for name, count in found.items() if ":" not in name or name.startswith("refused")}


def good(gateway: Gateway) -> ClockNs:
    """A clock that nobody sets."""
    return lambda: gateway.now


def its_own(gateway: Gateway) -> ClockNs:
    """The agent's clock, over the gateway's, which is set, and the time since it was started."""
    return SteadyClock(lambda: gateway.now + gateway.off, lambda: gateway.now - NOON)


def half_an_hour(bench: Bench) -> SampleBatch:
    seconds = LENGTH // SECOND
    rows = [("floor.link", float(at), 1.0) for at in range(0, seconds, 20)]
    for machine in ("m1", "m2"):
        rows += [(f"{machine}.state.status", at + 1.0, 1.0 + (at // 300) % 2) for at in range(0, seconds, 30)]
        rows += [(f"{machine}.good", at + 2.0, float(at // 10)) for at in range(0, seconds, 10)]
    return bench.samples(*sorted(rows, key=lambda row: row[1]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    gateway = Gateway(tmp_path_factory.mktemp("undisturbed"), good)
    return gateway.run(half_an_hour(gateway.bench), {})


DAY = 24 * HOUR_NS


@pytest.mark.parametrize(
    "steps",
    [
        {8: DAY, 16: 0},
        {8: -DAY, 16: 0},
        {5: DAY, 7: -2 * HOUR_NS, 15: 5 * MINUTE_NS, 25: 0},
        {8: 3 * HOUR_NS},  # and nobody sets it back: the sources go on refuting it
    ],
    ids=["a day ahead", "a day back", "to and fro", "wrong for good"],
)
def test_a_gateways_clock_that_is_set_wrongly_leaves_no_trace(
    folder: Folder, undisturbed: Gateway, steps: Steps
) -> None:
    disturbed = Gateway(folder(), its_own)
    samples = half_an_hour(disturbed.bench)
    disturbed.run(samples, steps)
    assert disturbed.rows().equals(undisturbed.rows()), "also the same revisions: no minute was closed too early"
    assert disturbed.ledger() == undisturbed.ledger() == {"received": len(samples), "kept": len(samples)}
    assert disturbed.settled == undisturbed.settled, "nor did any wait"


def test_a_step_that_the_sources_make_too_is_followed_at_once_and_no_sample_is_refused(folder: Folder) -> None:
    """Somebody sets the clocks of the whole plant forward by two hours: the time between is a hole."""
    gateway = Gateway(folder(), its_own)
    samples = half_an_hour(gateway.bench)
    is_after = samples.time >= NOON + 10 * MINUTE_NS
    moved = SampleBatch(
        samples.tag, samples.time + 2 * HOUR_NS * is_after, samples.value, samples.quality
    )  # of the same moments, on clocks that were set
    while gateway.now < NOON + LENGTH:
        before, gateway.now = gateway.now, gateway.now + TICK
        gateway.off = 0 if before < NOON + 10 * MINUTE_NS else 2 * HOUR_NS
        due = (samples.time >= before) & (samples.time < gateway.now)
        gateway.floor.put(moved.where(due))
        asyncio.run(tick(gateway.agent))
    gateway.agent.close()
    assert gateway.ledger() == {"received": len(samples), "kept": len(samples)}
    rows = gateway.rows().filter(pl.col("machine") == "m1")
    assert rows["time"].to_list() == list(range(NOON, NOON + 2 * HOUR_NS + LENGTH, MINUTE_NS))
    hole = rows.filter(pl.col("time").is_between(NOON + 12 * MINUTE_NS, NOON + 129 * MINUTE_NS))
    assert (hole["unknown"] == MINUTE_NS).all()
    after = rows.filter(pl.col("time").is_between(NOON + 130 * MINUTE_NS, NOON + 148 * MINUTE_NS))
    assert (after["unknown"] == 0).all()
