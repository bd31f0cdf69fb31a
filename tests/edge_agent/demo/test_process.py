"""The plant in a process of its own, by its handle."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from asyncua import Client, ua

from edge_agent.demo.clock import PlantClock
from edge_agent.demo.events import MS
from edge_agent.demo.layout import CALENDAR, MACHINES
from edge_agent.demo.opcua_servers import NAMESPACE, datetime_of
from edge_agent.demo.plant import DemoPlant
from edge_agent.demo.process import DemoPlantError, DemoProcess, default_start, lively_start
from tests.edge_agent.demo.days import HOUR, SHIFT_START
from tests.services.process import listens

SPEED = 60


def test_a_plant_runs_freezes_and_tells_the_truth() -> None:
    async def run() -> None:
        async with DemoProcess(seed=5, start_ns=SHIFT_START, speed=SPEED) as plant:
            ports = {name: int(port) for name, port in plant.endpoints.items() if name.endswith("_PORT")}
            assert len(ports) == 4
            assert all([await asyncio.to_thread(listens, port) for port in ports.values()])
            assert plant.environment["DEMO_LINK_HOLDS"] == "1800 s"
            assert plant.clock() == SHIFT_START
            await plant.begin()
            await plant.stop_server("packaging")
            assert not await asyncio.to_thread(listens, ports["DEMO_PACKAGING_PORT"])
            await plant.start_server("packaging")
            assert await asyncio.to_thread(listens, ports["DEMO_PACKAGING_PORT"])
            await plant.stop_server("broker")
            await plant.start_server("broker")
            with pytest.raises(DemoPlantError, match="KeyError"):
                await plant.stop_server("nowhere")
            last = await plant.freeze()
            assert plant.clock() == last > SHIFT_START
            for spec, reading in zip(MACHINES, await last_readings(ports["DEMO_METERS_PORT"]), strict=True):
                assert reading.SourceTimestamp == datetime_of(last), spec.id
            truth = await plant.truth(SHIFT_START, last)
        twin = DemoPlant(5, SHIFT_START)
        twin.advance(last)
        assert truth == twin.truth(SHIFT_START, last)
        assert not await asyncio.to_thread(listens, ports["DEMO_MACHINING_PORT"])

    asyncio.run(run())


async def last_readings(port: int) -> list[Any]:
    async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
        index = await client.get_namespace_index(NAMESPACE)
        nodes = [client.get_node(ua.NodeId(f"EM-{spec.device_name}.ActiveEnergy", index)) for spec in MACHINES]
        return [await node.read_data_value() for node in nodes]


def test_a_port_that_is_taken_is_said() -> None:
    async def run() -> None:
        taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        with pytest.raises(DemoPlantError, match=f"cannot start: port {port} of 127.0.0.1 cannot be used"):
            async with DemoProcess(start_ns=SHIFT_START, ports={"broker": port}):
                pass
        taken.close()

    asyncio.run(run())


def test_the_clock_stands_runs_and_stands_again() -> None:
    clock = PlantClock(1_000, 50)
    assert clock() == clock() == 1_000
    clock.run(time.monotonic_ns() - 1_000_000)
    before = clock()
    assert before >= 1_000 + 50_000_000
    clock.stop_at(before)
    assert clock() == clock() == before


def test_a_fast_plant_starts_with_a_shift_and_ends_in_the_past() -> None:
    now = SHIFT_START + 3 * HOUR
    assert default_start(1, now_ns=now) == now
    assert default_start(60, 60, now_ns=now) == SHIFT_START
    assert default_start(60, 4 * 60, now_ns=now) == SHIFT_START - 24 * HOUR
    assert default_start(60, now_ns=now) + 24 * HOUR <= now


def test_a_plant_at_real_speed_is_lively_whenever_it_is_started() -> None:
    for minutes in range(0, 24 * 60, 7):
        now = SHIFT_START + minutes * HOUR // 60
        start = lively_start(now)
        assert start <= now
        assert all(CALENDAR.busy((start + ahead * HOUR // 60) // MS) for ahead in range(30))
