"""The connector against node-opcua, a server with habits of its own: small limits, picoseconds, its own numbering."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors import ConnectionState, Fault, Quality
from tests.connectors.opcua.collecting import LINK, Collecting, item, run
from tests.services.opcua_servers import OpcUaServer, node_opcua_server

SOURCE_TIME = 1_704_164_645_678_000_000
"""2024-01-02T03:04:05.678Z"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcUaServer]:
    started = node_opcua_server(tmp_path_factory.mktemp("opcua"))
    started.start()
    yield started
    started.kill()


def test_values_and_times_of_node_opcua_are_read(server: OpcUaServer) -> None:
    async def test() -> None:
        numbers = {"Running": 1.0, "Count": -7.0, "Level": 1.5, "V3": 3.0, "Started": 1_704_164_645.678, "Precise": 2.5}
        items = [item(tag, name) for tag, name in enumerate(numbers, 1)]
        items += [item(11, "Product", text=True), item(12, "State", text=True)]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: plant.health.delivering == len(items), "all deliver")
            assert [plant.last(tag) for tag in range(1, 7)] == [(value, Quality.GOOD) for value in numbers.values()]
            assert (plant.text(11), plant.text(12)) == ("HSG-100", "Executing")
            times = {tag: at for tag, at, *_ in plant.samples()}
            assert times[4] == times[11] == SOURCE_TIME
            assert times[6] == SOURCE_TIME + 4  # 4200 ps
            assert plant.health.faults == {}
            assert plant.health.detail.startswith("8 items in 1 subscription")

    run(test)


def test_calls_are_split_by_the_limits_that_the_server_states(server: OpcUaServer) -> None:
    """The server takes 7 monitored items and 50 reads in one call; a hundred items of one type share a subscription."""

    async def test() -> None:
        items = [item(tag + 1, f"V{tag}") for tag in range(100)] + [item(200, "Running"), item(201, "Nowhere")]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: plant.health.delivering == 101, "all deliver")
            assert plant.health.detail == "101 items in 2 subscriptions"
            assert [aside.fault for aside in plant.health.set_aside] == [Fault.UNKNOWN_NODE]

    run(test)


def test_node_opcua_is_collected_from_in_sequence_and_survives_a_pause(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V1"), request_timeout_ns=500_000_000) as plant:
            await plant.until_value(1, 1.0)
            for value in range(10, 30):
                server.set("V1", float(value))
            await plant.until_value(1, 29.0)
            server.set("V1", 1.0, status=1)
            await plant.until(lambda: plant.last(1)[1] is Quality.BAD, "bad status")
            server.pause()
            await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "noticed")
            server.go_on()
            server.set("V1", 31.0)
            await plant.until(lambda: plant.health.state is ConnectionState.UP, "up again")
            await plant.until_value(1, 31.0)
            assert plant.health.faults == {Fault.BAD_STATUS: 1}
            assert plant.values(LINK).count(0.0) == 1

    run(test)
