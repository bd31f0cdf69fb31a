"""The connector against asyncua's server: values of all kinds, bad nodes, losses of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import socket
import struct
import time
from collections.abc import Iterator
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import pytest

from connectors import ConnectionState, Fault, Link, Quality, TextCodes
from connectors.opcua import OpcUaConnector, OpcUaItem, OpcUaSettings
from tests.connectors.opcua.collecting import LINK, Collecting, item, run
from tests.services.opcua_servers import Identity, OpcUaServer, asyncua_server
from tests.services.process import free_port

DOUBLES = 2000


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    """Who there is: the server, the agent, and somebody else."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: Identity.make(folder, name) for name in ("server", "agent", "other")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Identity]) -> Iterator[OpcUaServer]:
    started = asyncua_server(tmp_path_factory.mktemp("opcua"), DOUBLES, keys["server"])
    started.start()
    yield started
    started.kill()


@pytest.fixture
def printed() -> Iterator[list[logging.LogRecord]]:
    """Records that reach the root logger; pytest's own `caplog` also sees those that do not."""
    handler = BufferingHandler(1000)
    logging.getLogger().addHandler(handler)
    yield handler.buffer
    logging.getLogger().removeHandler(handler)


def test_values_of_every_kind_arrive_with_their_source_time(server: OpcUaServer) -> None:
    async def test() -> None:
        names = ["Running", "Count", "Level", "V3"]
        texts = ["Product", "State", "StateId"]
        items = [item(tag, name) for tag, name in enumerate(names, 1)]
        items += [item(tag, name, text=True) for tag, name in enumerate(texts, 11)]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: plant.health.delivering == 7, "all deliver")
            assert [plant.last(tag) for tag in range(1, 5)] == [(v, Quality.GOOD) for v in (1.0, 7.0, 1.5, 3.0)]
            assert [plant.text(tag) for tag in range(11, 14)] == ["HSG-100", "Executing", "nsu=urn:test:press;i=5006"]
            server.set("V3", 3.5)
            await plant.until_value(4, 3.5)
            server.set("Product", "HSG-200", "String")
            await plant.until(lambda: plant.text(11) == "HSG-200", "the new product")
            health = plant.health
            assert (health.state, health.configured, health.accepted) == (ConnectionState.UP, 7, 7)
            assert health.faults == {}
            assert health.samples >= 9
            server.set("V3", 3.0)
            server.set("Product", "HSG-100", "String")

    run(test)


def test_bad_values_arrive_as_bad_and_are_counted(server: OpcUaServer) -> None:
    async def test() -> None:
        items = [item(1, "Broken"), item(2, "Many"), item(3, "Product"), item(4, "V4")]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: len({tag for tag, *_ in plant.samples()} - {LINK}) == 4, "all came once")
            server.set("V4", 4.0, status=0x80310000)
            await plant.until(lambda: plant.last(4)[1] is Quality.BAD, "bad status")
            server.set("V4", 4.0, status=0x40900000)
            await plant.until(lambda: plant.last(4) == (4.0, Quality.UNCERTAIN), "uncertain")
            for tag in (1, 2, 3):
                assert plant.last(tag)[1] is Quality.BAD
                assert math.isnan(plant.last(tag)[0])
            assert plant.health.faults == {
                Fault.NOT_FINITE: 1,
                Fault.WRONG_TYPE: 1,
                Fault.NOT_A_NUMBER: 1,
                Fault.BAD_STATUS: 1,
            }
            assert plant.health.fault_examples[Fault.NOT_FINITE] == "nsu=urn:test:press;s=Press.Broken"
            assert plant.health.delivering == 1
            server.set("V4", 4.0)

    run(test)


def test_two_thousand_items_deliver(server: OpcUaServer) -> None:
    async def test() -> None:
        items = [item(tag + 1, f"V{tag}") for tag in range(DOUBLES)]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: plant.health.delivering == DOUBLES, "all deliver")
            assert plant.health.accepted == DOUBLES
            initial = {tag: value for tag, _, value, _ in plant.samples() if tag != LINK}
            assert initial == {tag + 1: float(tag) for tag in range(DOUBLES)}

    run(test)


def test_what_is_not_there_is_set_aside_by_name_while_the_rest_runs(server: OpcUaServer) -> None:
    async def test() -> None:
        unknown = item(2, "Prodct")
        nowhere = OpcUaItem(3, "nsu=urn:test:pres;s=Press.V1")
        path = OpcUaItem(4, "/nsu=urn:test:press;Press/nsu=urn:test:press;V1")
        wrong_path = OpcUaItem(5, "/nsu=urn:test:press;Press/nsu=urn:test:press;Cuont")
        folder = OpcUaItem(6, "nsu=urn:test:press;s=Press")
        index = OpcUaItem(7, "ns=99;i=1")
        items = [item(1, "V1"), unknown, nowhere, path, wrong_path, folder, index]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until_value(1, 1.0)
            await plant.until_value(4, 1.0)
            assert (plant.health.configured, plant.health.accepted) == (7, 2)
            aside = {one.item: one for one in plant.health.set_aside}
            assert aside[unknown.node].fault is Fault.UNKNOWN_NODE
            assert aside[unknown.node].reason.startswith("BadNodeIdUnknown")
            assert aside[unknown.node].hint == "did you mean `nsu=urn:test:press;s=Press.Product`?"
            assert aside[nowhere.node].hint == "did you mean `urn:test:press`?"
            assert aside[wrong_path.node].hint == "`2:Cuont` is not there; did you mean `2:Count`?"
            assert aside[folder.node].fault is Fault.REFUSED_ITEM
            assert aside[folder.node].hint == "name the variable below this node"
            assert aside[index.node].hint.startswith("it has 0 to 2")
            assert plant.health.faults == {Fault.UNKNOWN_NODE: 4, Fault.REFUSED_ITEM: 1}

    run(test)


def test_a_server_that_fails_whole_calls_loses_only_the_item_that_it_cannot_take(server: OpcUaServer) -> None:
    """It takes five items a call though it states no limit, trips over one node, and is full after sixty items."""

    async def test() -> None:
        server.tell("turn_hostile", most_items=5, poison="V7", room=60)
        items = [item(tag + 1, f"V{tag}") for tag in range(70)]
        async with Collecting(server.endpoint, *items) as plant:
            await plant.until(lambda: plant.health.delivering == 60, "those that fit deliver")
            aside = {one.item.rpartition(".")[2]: one for one in plant.health.set_aside}
            assert len(aside) == 10
            assert aside["V7"].reason.startswith("BadInternalError")
            assert aside["V69"].reason.startswith("BadTooManyMonitoredItems")
            assert "monitor fewer" in aside["V69"].hint
            server.tell("turn_friendly")
            await plant.until(lambda: plant.health.delivering == 70, "the rest is taken on later")

    try:
        run(test)
    finally:
        server.tell("turn_friendly")


def test_a_server_that_holds_one_publish_request_is_sent_one_at_a_time(server: OpcUaServer) -> None:
    async def test() -> None:
        server.tell("limit_publish_requests", most=1)
        async with Collecting(server.endpoint, item(1, "V12")) as plant:
            await plant.until_value(1, 12.0)
            for value in (120.0, 121.0, 122.0, 12.0):
                server.set("V12", value)
                await plant.until_value(1, value)
            assert plant.health.reconnects == 0
            assert plant.health.faults == {}

    try:
        run(test)
    finally:
        server.tell("turn_friendly")


def test_stopping_does_not_wait_for_a_server_that_hangs(server: OpcUaServer) -> None:
    async def test() -> None:
        plant = Collecting(server.endpoint, item(1, "V1"))
        async with plant:
            await plant.until_value(1, 1.0)
            server.pause()
        assert plant.health.state is ConnectionState.STOPPED
        assert (await plant.take()).value.tolist()[-1] == 0.0

    try:
        run(test)
    finally:
        server.go_on()


def test_a_node_that_appears_later_is_picked_up(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V1"), item(2, "Late")) as plant:
            await plant.until_accepted(1)
            server.tell("add", name="Late", value=42)
            await plant.until_value(2, 42.0)
            assert plant.health.set_aside == ()
            assert plant.health.accepted == 2

    run(test)


def test_messages_are_acknowledged_only_after_they_are_safe(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V5")) as plant:
            plant.acknowledging = False
            for value in (50.0, 51.0, 52.0):
                server.set("V5", value)
                await plant.until_value(1, value)
            held = max(server.tell("subscriptions"))
            assert held >= 3
            plant.acknowledging = True
            server.set("V5", 5.0)
            await plant.until(
                lambda: max(server.tell("subscriptions"), default=0) <= held, "what came later is acknowledged"
            )

    run(test)


def test_a_hole_in_the_sequence_is_filled_by_republish(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V6")) as plant:
            await plant.until_value(1, 6.0)
            server.tell("set_and_lose", name="V6", values=[60, 61, 62], keep=True)
            server.set("V6", 63.0)
            await plant.until(lambda: {60.0, 61.0, 62.0, 63.0} <= set(plant.values(1)), "all arrive")
            assert plant.health.faults == {}
            server.set("V6", 6.0)

    run(test)


def test_a_hole_that_cannot_be_filled_is_counted_and_the_values_of_now_are_read(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V7"), item(2, "V8")) as plant:
            await plant.until_value(2, 8.0)
            server.tell("set_and_lose", name="V7", values=[70, 71], keep=False)
            await plant.until(lambda: plant.health.faults.get(Fault.SEQUENCE_GAP) == 2, "the gap is counted")
            await plant.until(lambda: plant.values(2).count(8.0) >= 2, "read again")
            assert plant.last(1)[0] == 71.0
            server.set("V7", 7.0)

    run(test)


def test_a_subscription_that_the_server_ends_is_made_again(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V9")) as plant:
            await plant.until_value(1, 9.0)
            server.tell("end_subscriptions")
            await plant.until(lambda: plant.health.reconnects == 1, "connected again")
            server.set("V9", 90.0)
            await plant.until_value(1, 90.0)
            server.set("V9", 9.0)

    run(test)


def test_a_full_buffer_holds_the_server_back_instead_of_dropping(server: OpcUaServer) -> None:
    async def test() -> None:
        plant = Collecting(server.endpoint, item(1, "V1"), item(2, "V2"), most_buffered=2)
        async with plant:
            await plant.until_value(2, 2.0)
            for value in range(100, 140):
                server.set("V1", float(value))
                await asyncio.sleep(0.01)
            waiting = plant.connector._waiting
            await plant.until_value(1, 139.0)
            assert waiting < 40
            assert [v for v in plant.values(1) if v >= 100] == [float(v) for v in range(100, 140)]
            assert plant.health.faults == {}
            server.set("V1", 1.0)

    run(test)


def test_a_user_name_opens_the_session_and_a_wrong_password_is_a_fact(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V1"), username="agent", password="secret") as plant:
            await plant.until_value(1, 1.0)
        async with Collecting(server.endpoint, item(1, "V1"), username="agent", password="no-such-word") as plant:
            await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "refused")
            assert "Bad" in plant.health.detail
            assert "no-such-word" not in repr(plant.health) + repr(plant.settings)

    run(test)


def test_signed_and_encrypted_values_arrive_and_the_server_is_the_pinned_one(
    server: OpcUaServer, keys: dict[str, Identity]
) -> None:
    """Without a pinned certificate the health shows the fingerprint; with another one there is no session."""
    secure = {
        "security": "Basic256Sha256,SignAndEncrypt",
        "certificate": str(keys["agent"].certificate),
        "private_key": str(keys["agent"].key),
        "username": "agent",
        "password": "secret",
    }

    async def test() -> None:
        pinned = str(keys["server"].certificate)
        async with Collecting(server.endpoint, item(1, "V1"), **secure, server_certificate=pinned) as plant:
            await plant.until_value(1, 1.0)
            assert plant.health.detail == "1 items in 1 subscription"
        async with Collecting(server.endpoint, item(1, "V1"), **secure) as plant:
            await plant.until_value(1, 1.0)
            assert hashlib.sha256(keys["server"].certificate.read_bytes()).hexdigest() in plant.health.detail
        wrong = str(keys["other"].certificate)
        async with Collecting(server.endpoint, item(1, "V1"), **secure, server_certificate=wrong) as plant:
            await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "refused")
            assert plant.values(1) == []

    run(test)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"security": "Basic256Sha256"}, "expected `None` or a policy and a mode"),
        ({"security": "Basic256Sha256,Sign"}, "needs `certificate` and `private_key`"),
        ({"security": "Basic256Sha256,Sign", "certificate": "a", "private_key": "b"}, "there is no file a"),
        ({"endpoint": "http://127.0.0.1"}, "expected an address such as"),
        ({"items": (OpcUaItem(1, "i=1"), OpcUaItem(1, "i=2"))}, "different tags"),
        ({"items": (OpcUaItem(1, "Press.State"),)}, "Press.State"),
    ],
)
def test_settings_that_cannot_work_are_the_operators_fault(wrong: dict[str, Any], says: str) -> None:
    """Found before any network is touched."""
    usual: dict[str, Any] = {"endpoint": "opc.tcp://127.0.0.1:4840", "items": (OpcUaItem(1, "i=2258"),)}
    settings = OpcUaSettings(name="press", link=Link(0, 1), **{**usual, **wrong})
    with pytest.raises(ValueError, match=says):
        OpcUaConnector(settings, TextCodes(), time.time_ns)


def test_a_server_that_comes_back_is_collected_from_again(tmp_path: Path) -> None:
    """After an orderly end and after SIGKILL: the link says 1, then 0 at the last sign of life, then 1 again."""
    mortal = asyncua_server(tmp_path)

    async def test() -> None:
        async with Collecting(mortal.endpoint, item(1, "V1"), item(2, "Product", text=True)) as plant:
            await plant.until(lambda: plant.health.delivering == 2, "both deliver")
            for times, end in enumerate([mortal.stop, mortal.kill], 1):
                end()
                await plant.until(lambda: "refused" in plant.health.detail, "the reason")
                assert (plant.health.state, plant.health.accepted) == (ConnectionState.DOWN, 0)
                assert plant.values(LINK)[-1] == 0.0
                mortal.start()
                mortal.set("V1", 10.0 + times)
                await plant.until_value(1, 10.0 + times)
                await plant.until(lambda: plant.health.delivering == 2, "both deliver again")
                assert plant.values(LINK)[-1] == 1.0
                assert plant.values(LINK).count(0.0) == times
                assert plant.health.reconnects == times
            link = [at for tag, at, *_ in plant.samples() if tag == LINK]
            assert link == sorted(set(link))

    mortal.start()
    try:
        run(test)
    finally:
        mortal.kill()


def test_a_server_that_is_connected_and_silent_is_left_and_resumed(server: OpcUaServer) -> None:
    """What changed in the silence is delivered by the old session; nothing is missed, nothing counted as lost."""

    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V10"), request_timeout_ns=500_000_000) as plant:
            await plant.until_value(1, 10.0)
            server.pause()
            await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "noticed")
            assert "silent" in plant.health.detail
            server.go_on()
            server.set("V10", 11.0)
            server.set("V10", 12.0)
            await plant.until(lambda: plant.health.state is ConnectionState.UP, "up again")
            await plant.until_value(1, 12.0)
            assert plant.values(1) == [10.0, 11.0, 12.0]
            assert plant.health.faults == {}
            server.set("V10", 10.0)

    run(test)


def test_keep_alives_alone_keep_the_link_up(server: OpcUaServer) -> None:
    async def test() -> None:
        async with Collecting(server.endpoint, item(1, "V11")) as plant:
            await plant.until_value(1, 11.0)
            await plant.until(lambda: plant.values(LINK).count(1.0) >= 2, "signs of life")
            assert plant.values(1) == [11.0]

    run(test)


def test_a_server_that_is_not_there_is_a_fact_and_stopping_is_quick(printed: list[logging.LogRecord]) -> None:
    async def test() -> None:
        async with Collecting(f"opc.tcp://127.0.0.1:{free_port()}", item(1, "V1")) as plant:
            await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "down")
            assert plant.health.detail.startswith("connection refused; next attempt in")
            assert plant.values(LINK) == []
        assert plant.health.state is ConnectionState.STOPPED

    run(test)
    assert [record.getMessage() for record in printed] == ["connection_down"]


ACKNOWLEDGE = b"ACKF" + struct.pack("<6I", 28, 0, 65535, 65535, 0, 0)
STRANGE_ANSWERS = {
    "silence": [],
    "another protocol": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "a message without an end": [b"ACKF\xff\xff\xff\x7f"],
    "a message of no type": [ACKNOWLEDGE, b"XXXF" + struct.pack("<3I", 16, 0, 0)],
    "an error": [b"ERRF" + struct.pack("<2Ii", 16, 0x80550000, -1)],
    "no answer to the channel": [ACKNOWLEDGE],
}


@pytest.mark.parametrize("answers", STRANGE_ANSWERS.values(), ids=STRANGE_ANSWERS.keys())
def test_a_server_that_does_not_speak_opc_ua_is_a_fact(answers: list[bytes], printed: list[logging.LogRecord]) -> None:
    """Stated in the health in a sentence; of asyncua's tracebacks nothing is printed."""

    async def test() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                for one in answers:
                    await reader.read(1000)
                    writer.write(one)
                await reader.read()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", family=socket.AF_INET) as listening:
            endpoint = f"opc.tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with Collecting(endpoint, item(1, "V1"), request_timeout_ns=200_000_000) as plant:
                await plant.until(lambda: plant.health.state is ConnectionState.DOWN, "down")
                assert "next attempt in" in plant.health.detail

    run(test)
    assert [record.getMessage() for record in printed] == ["connection_down"]
