"""The faces on the wire: what plain clients of other makers see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import paho.mqtt.client as paho
from asyncua import Client, ua
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.demo.broker import EmbeddedBroker
from edge_agent.demo.events import MS, Event, Signal
from edge_agent.demo.mqtt_stations import DemoStations
from edge_agent.demo.opcua_servers import NAMESPACE, DemoOpcUaServer, datetime_of
from edge_agent.demo.plant import DemoPlant
from tests.edge_agent.demo.days import HOUR, SHIFT_START
from tests.services.process import PATIENCE_SECONDS, free_port

PROCESSED = "PRESS01.Admin.ProdProcessedCount.AccCount"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for comes from callbacks of two client libraries
            await asyncio.sleep(0.02)


class Changes:
    """All data changes of a subscription: (source timestamp, value)."""

    def __init__(self) -> None:
        self.seen: list[tuple[datetime, Any]] = []

    def datachange_notification(self, _node: Any, value: Any, data: Any) -> None:
        self.seen.append((data.monitored_item.Value.SourceTimestamp, value))


def test_an_opcua_client_sees_every_value_with_the_plants_time_and_a_restart_brings_the_values_of_the_moment() -> None:
    async def run() -> None:
        plant = DemoPlant(1, SHIFT_START)
        server = DemoOpcUaServer("packaging", SHIFT_START, port=free_port())
        await server.show(plant.advance(SHIFT_START))
        await server.start()
        events = plant.advance(SHIFT_START + HOUR // 4)
        async with Client(server.endpoint) as client:
            index = await client.get_namespace_index(NAMESPACE)
            node = client.get_node(ua.NodeId(PROCESSED, index))
            path = f"Machines/{PROCESSED.replace('.', '/')}".split("/")
            assert await client.nodes.objects.get_child([f"{index}:{name}" for name in path]) == node
            changes = Changes()
            subscription = await client.create_subscription(50, changes)
            await subscription.subscribe_data_change(node, queuesize=1000)
            await until(lambda: len(changes.seen) == 1)
            await server.show(events)
            pieces = [event for event in events if event.machine == "press-01" and event.signal is Signal.TOTAL]
            await until(lambda: len(changes.seen) == len(pieces) + 1)
            assert changes.seen[1:] == [(datetime_of(event.time_ns), event.value) for event in pieces]
            value = await node.read_data_value()
            assert value.StatusCode.is_good()
        await server.stop()
        assert not server.running
        more = plant.advance(SHIFT_START + HOUR // 2)
        await server.show(more)
        await server.start()
        async with Client(server.endpoint) as client:
            value = await client.get_node(ua.NodeId(PROCESSED, index)).read_data_value()
            last = [event for event in more if event.machine == "press-01" and event.signal is Signal.TOTAL][-1]
            assert (value.SourceTimestamp, value.Value.Value) == (datetime_of(last.time_ns), last.value)
        await server.stop()

    asyncio.run(run())


def client(port: int, messages: list[tuple[str, Any, bool]]) -> paho.Client:
    made = paho.Client(CallbackAPIVersion.VERSION2)
    made.on_connect = lambda connected, *_: connected.subscribe("demo/#", 1)
    made.on_message = lambda _c, _d, m: messages.append((m.topic, json.loads(m.payload), m.retain))
    made.connect("127.0.0.1", port)
    made.loop_start()
    return made


def test_an_mqtt_client_sees_the_latest_document_at_once_and_every_one_after() -> None:
    async def run() -> None:
        plant, stations = DemoPlant(1, SHIFT_START), DemoStations()
        broker = EmbeddedBroker(port=free_port())
        await broker.start()
        first = stations.take_on(plant.advance(SHIFT_START))
        for message in first:
            await broker.publish(*message)
        messages: list[tuple[str, Any, bool]] = []
        listener = await asyncio.to_thread(client, broker.port, messages)
        await until(lambda: len(messages) == len(first) == 5)
        assert all(retained and document["ts"] == SHIFT_START // MS for _, document, retained in messages)
        events: list[Event] = plant.advance(SHIFT_START + HOUR // 20)
        sent = stations.take_on(events)
        for message in sent:
            await broker.publish(*message)
        await until(lambda: len(messages) == len(first) + len(sent))
        assert [(topic, document) for topic, document, _ in messages[5:]] == [(t, json.loads(p)) for t, p in sent]
        good = [event for event in events if event.machine == "packer-01" and event.signal is Signal.GOOD]
        of_packer = [document for topic, document, _ in messages if topic == "demo/packaging/packer-01/status"]
        counted = [
            document["ts"]
            for one, document in pairwise(of_packer)
            if document["counts"]["good"] != one["counts"]["good"]
        ]
        assert counted == [event.time_ns // MS for event in good]
        await broker.stop()
        await broker.start()
        await broker.publish(*stations.snapshot()[0])
        await until(lambda: messages[-1][2] or len(messages) > 5 + len(sent))
        await asyncio.to_thread(listener.loop_stop)
        await broker.stop()

    asyncio.run(run())


def test_a_client_of_a_newer_mqtt_is_refused_at_once_instead_of_being_left_waiting() -> None:
    async def run() -> bytes:
        broker = EmbeddedBroker(port=free_port())
        await broker.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(bytes.fromhex("101a00044d51545405000000 0811000151802100ff 000464656d6f".replace(" ", "")))
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
        writer.close()
        await broker.stop()
        return answer

    assert asyncio.run(run()) == bytes((0x20, 2, 0, 1))
