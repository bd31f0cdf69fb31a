"""A server and the broker go away and come back while an agent collects from the plant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from config import CompiledPlant, load_and_compile
from connectors import ConnectionState, TextCodes
from edge_agent.agent import Agent
from edge_agent.demo.layout import MACHINES, Device
from edge_agent.demo.process import DemoProcess
from edge_agent.figures import Figures, plant_figures
from edge_agent.journal import JournalReader
from edge_agent.plant_kpis import PlantKpis
from tests.edge_agent.demo.days import HOUR, SHIFT_START
from tests.services.process import PATIENCE_SECONDS

FILE: Final = Path(__file__).parents[3] / "config" / "examples" / "demo-plant.yaml"
SPEED: Final = 60
AWAY: Final = {"packaging", "stations"}
START: Final = SHIFT_START + HOUR // 2
"""In the middle of a shift: everything runs."""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - facts of other tasks, which set no event
            await asyncio.sleep(0.02)


def impatient(texts: TextCodes, environment: Mapping[str, str]) -> CompiledPlant:
    """The shipped configuration, with an agent that tries to reconnect twice a second."""
    plant = load_and_compile(FILE, texts, environment)
    soon = 500_000_000
    opcua = tuple(replace(one, backoff_most_ns=soon) for one in plant.opcua)
    return replace(plant, opcua=opcua, mqtt=tuple(replace(one, backoff_most_ns=soon) for one in plant.mqtt))


async def run(folder: Path) -> tuple[Mapping[str, Figures], dict[str, Any]]:
    """Minutes of plant time: good, three without the packaging server and the broker, good again. Figures and truth."""
    async with DemoProcess(seed=4, start_ns=START, speed=SPEED) as plant:
        environment = {**plant.environment, "DEMO_JOURNAL": str(folder / "demo.journal"), "DEMO_CLOSE_AFTER": "60 s"}
        agent = Agent(lambda texts: impatient(texts, environment), clock=plant.clock)
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))

        def down() -> set[str]:
            return {one.name for one in agent.sources.health() if one.state is not ConnectionState.UP}

        async def minutes(count: int) -> None:
            end = plant.clock() + count * 60_000_000_000
            await until(lambda: plant.clock() >= end)

        await until(lambda: bool((agent.assembly.latest_time > 0).all()))
        await plant.begin()
        await minutes(3)
        await asyncio.gather(plant.stop_server("packaging"), plant.stop_server("broker"))
        await until(lambda: down() == AWAY)
        await minutes(3)
        await asyncio.gather(plant.start_server("packaging"), plant.start_server("broker"))
        await until(lambda: not down())
        await minutes(3)
        last = await plant.freeze()
        tags = [n for n, tag in enumerate(agent.compiled.tags.tags) if tag.signal == "energy"]
        await until(lambda: bool((agent.assembly.latest_time[tags] >= last).all()))
        reconnects = {one.name: one.reconnects for one in agent.sources.health()}
        assert {name for name, times in reconnects.items() if times} == AWAY
        agent.pipeline.settle_at_end = last
        stop.set()
        await running
        truth = await plant.truth(START, last)
    with JournalReader(agent.path) as reader:
        figures = plant_figures(reader.elements("minute", START, last), PlantKpis.of(agent.compiled), START, last)
    return figures.machines, truth["machines"]


def test_an_outage_is_missing_coverage_of_its_machines_and_nothing_to_the_others(tmp_path: Path) -> None:
    """The gap is neither idle nor down time: no kind of time is longer than it really was, and the rest is unknown."""
    machines, truths = asyncio.run(run(tmp_path))
    for spec in MACHINES:
        figures, truth = machines[spec.id], truths[spec.id]
        found = {
            name: float(figures[name] or 0) for name in ("apt", "aust", "adet", "adot", "unknown", "pbt", "energy")
        }
        assert abs(found["energy"] / truth["energy_kwh"] - 1) < 0.005, f"{spec.id}: the meters were never away"
        assert abs(found["pbt"] - truth["pbt_s"]) < 0.001
        if spec.device is Device.MACHINE_TOOL:
            assert figures["coverage"] == 1.0
            assert figures["gq"] == truth["good"]
            assert abs(found["apt"] - truth["apt_s"]) < 0.001
            continue
        for kind in ("apt", "aust", "adet", "adot"):
            assert found[kind] <= truth[f"{kind}_s"] + 0.001, f"{spec.id}: {kind} is longer than it was"
        assert found["unknown"] >= 150.0, spec.id
        assert 0.2 < float(figures["coverage"] or 0) < 0.8, spec.id
        assert figures["gq"] == truth["good"], f"{spec.id}: its counter went on meanwhile"
