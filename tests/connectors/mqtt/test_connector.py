"""The connector on a real mosquitto: values, bad input, outages, acknowledgement, bounds."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from amqtt.broker import Broker

from connectors import ConnectionState, Fault, Link, Quality, TextCodes
from connectors.mqtt import MqttConnector, MqttItem
from connectors.mqtt import broker as broker_module
from tests.connectors.mqtt.certificates import Authority
from tests.connectors.mqtt.rig import LINK, TAG, Rig, rig, settings
from tests.services.mosquitto import Mosquitto, Publisher, mosquitto
from tests.services.process import ServerProcess, free_port, running

__all__ = ["mosquitto"]

VALUE = MqttItem(TAG, "plant/a", "json", "v", "ts", "ms")


def message(value: float, ts: int = 1_772_000_000_000, topic: str = "plant/a") -> tuple[str, str]:
    return topic, json.dumps({"v": value, "ts": ts})


async def published(port: int, *messages: tuple[str, str | bytes], retain: bool = False) -> None:
    """Publish, and come back when the broker has everything; the event loop goes on meanwhile."""

    def publish() -> None:
        with Publisher(port) as publisher:
            publisher.publish(*messages, retain=retain)

    await asyncio.to_thread(publish)


async def until_up(running_rig: Rig) -> None:
    health = running_rig.connector.health
    await running_rig.until(lambda: health().state is ConnectionState.UP and health().accepted > 0, "connected")


async def until_down(running_rig: Rig) -> None:
    await running_rig.until(lambda: running_rig.connector.health().state is ConnectionState.DOWN, "down")


def test_values_texts_and_times_arrive_as_their_devices_sent_them(mosquitto: Mosquitto) -> None:
    items = (
        VALUE,
        MqttItem(2, "plant/a", "json", "state", "ts", "ms", text=True),
        MqttItem(3, "plant/b", "plain"),
        MqttItem(4, "plant/c", "json", "m[0].v", "at", "iso"),
    )

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, *items)) as it:
            assert it.connector.health().state is ConnectionState.STARTING
            await it.until_accepted()
            await published(
                mosquitto.port,
                ("plant/a", '{"v": 12.5, "state": "RUN", "ts": 1772000000123}'),
                ("plant/b", "true"),
                ("plant/c", '{"m": [{"v": 7}], "at": "2026-03-02T06:00:00.000000001+08:00"}'),
            )
            await it.until(lambda: it.connector.health().delivering == 4, "four items deliver")
            assert it.values(1) == [12.5]
            assert it.of(1).time.tolist() == [1_772_000_000_123_000_000]
            assert it.texts.texts(int(code) for code in it.values(2)) == ["RUN"]
            assert it.values(3) == [1.0]
            assert it.of(4).time.tolist() == [1_772_402_400_000_000_001]
            health = it.connector.health()
            assert (health.configured, health.accepted, health.delivering) == (4, 4, 4)
            assert (health.samples, health.faults, health.protocol) == (4, {}, "mqtt")
        assert it.connector.health().state is ConnectionState.STOPPED

    asyncio.run(scenario())


def test_bad_input_is_counted_by_name_while_a_good_topic_flows(mosquitto: Mosquitto) -> None:
    """Each kind of bad input of the field between two good messages; 10 MB among them."""
    bad: list[tuple[tuple[str, str | bytes], Fault]] = [
        (("plant/a", b"{v: 1}"), Fault.MALFORMED_JSON),
        (("plant/a", b'{"v": 1, "ts"'), Fault.TRUNCATED_JSON),
        (("plant/a", b'{"v": "\xff\xfe"}'), Fault.INVALID_UTF8),
        (("plant/a", b'{"v": 1, "x": "' + b"x" * 10_000_000 + b'"}'), Fault.PAYLOAD_TOO_LARGE),
        (("plant/stranger", b"1"), Fault.UNKNOWN_TOPIC),
        (("plant/a", b'{"ts": 1772000000000}'), Fault.MISSING_PATH),
        (("plant/a", b'{"v": null, "ts": 1772000000000}'), Fault.WRONG_TYPE),
        (("plant/a", b'{"v": [1], "ts": 1772000000000}'), Fault.WRONG_TYPE),
        (("plant/a", b'{"v": "12.5", "ts": 1772000000000}'), Fault.NOT_A_NUMBER),
        (("plant/a", b'{"v": NaN, "ts": 1772000000000}'), Fault.NOT_FINITE),
        (("plant/a", b'{"v": 1e999, "ts": 1772000000000}'), Fault.NOT_FINITE),
        (("plant/a", b'{"v": 1, "ts": "yesterday"}'), Fault.BAD_TIMESTAMP),
        (("plant/a", b"[" * 100_000), Fault.MALFORMED_JSON),
    ]
    good = MqttItem(2, "plant/good", "plain")

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE, good)) as it:
            await it.until_accepted()
            stream: list[tuple[str, str | bytes]] = [("plant/good", "0")]
            for n, (sent, _) in enumerate(bad, start=1):
                stream += [sent, ("plant/good", str(n))]
            await published(mosquitto.port, *stream)
            await it.until(lambda: len(it.values(2)) == len(bad) + 1, "every good message")
            assert it.values(2) == list(range(len(bad) + 1))
            expected = {fault: sum(f is fault for _, f in bad) for _, fault in bad}
            health = it.connector.health()
            assert health.faults == expected
            assert set(health.fault_examples) == set(expected)
            assert health.fault_examples[Fault.UNKNOWN_TOPIC] == "plant/stranger"
            assert (health.state, health.reconnects) == (ConnectionState.UP, 0)
            bad_samples = it.of(TAG).where(it.of(TAG).quality == Quality.BAD)
            assert len(bad_samples) == 5
            assert np.isnan(bad_samples.value).all()

    asyncio.run(scenario())


def test_a_message_that_cannot_be_read_is_acknowledged_too(mosquitto: Mosquitto) -> None:
    """A poison message that came again for ever would in the end fill the broker's window."""

    async def scenario() -> None:
        wanted = settings(mosquitto.port, VALUE)
        async with rig(wanted) as it:
            await it.until_accepted()
            await published(mosquitto.port, ("plant/a", b"{"), ("plant/a", b"x" * 2_000_000))
            await it.until(lambda: len(it.connector.health().faults) == 2, "both counted")
            await it.tick()
        async with rig(wanted) as again:
            await again.until_accepted()
            await published(mosquitto.port, message(1))
            await again.until(lambda: again.values() == [1], "the good message")
            assert again.connector.health().faults == {}

    asyncio.run(scenario())


def test_the_broker_goes_and_comes_back_and_nothing_is_lost(mosquitto: Mosquitto) -> None:
    """Link 1, then 0 at the last sign of life, then 1 again; what was published meanwhile waits in our session."""

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE)) as it:
            await it.until_accepted()
            await published(mosquitto.port, message(1))
            await it.until(lambda: it.values() == [1], "the first message")
            await asyncio.to_thread(mosquitto.stop)
            await until_down(it)
            await it.tick()
            link = it.of(LINK)
            assert link.value.tolist()[0] == 1
            assert link.value.tolist()[-1] == 0
            assert link.time[-1] > link.time[-2]
            assert (it.connector.health().accepted, it.connector.health().delivering) == (0, 0)
            await asyncio.to_thread(mosquitto.start)
            await until_up(it)
            await published(mosquitto.port, message(2))
            await it.until(lambda: it.values() == [1, 2], "the second message")
            assert it.of(LINK).value.tolist()[-1] == 1
            assert (np.diff(it.of(LINK).time) > 0).all()
            assert it.connector.health().reconnects == 1
            assert it.connector.health().detail == "MQTT 5.0, session resumed"

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_messages_published_while_the_agent_is_away_arrive_when_it_returns(mosquitto: Mosquitto, version: str) -> None:
    async def scenario() -> None:
        wanted = settings(mosquitto.port, VALUE, version=version)
        async with rig(wanted) as it:
            await it.until_accepted()
        await published(mosquitto.port, *(message(n) for n in range(300)))
        await asyncio.to_thread(mosquitto.stop)
        await asyncio.to_thread(mosquitto.start)
        async with rig(wanted) as again:
            await again.until(lambda: len(again.distinct()) == 300, "all 300 messages")
            assert again.connector.health().detail == f"MQTT {version}, session resumed"

    asyncio.run(scenario())


def test_what_was_not_acknowledged_is_delivered_again(mosquitto: Mosquitto) -> None:
    """The program dies between take and commit: the broker sends those messages again, and only those."""

    async def scenario() -> None:
        wanted = settings(mosquitto.port, VALUE)
        async with rig(wanted) as it:
            await it.until_accepted()
            await published(mosquitto.port, message(1), message(2))
            await it.until(lambda: it.distinct() == {1, 2}, "two messages")
            await published(mosquitto.port, message(3), message(4))
            await it.until(lambda: it.distinct() == {1, 2, 3, 4}, "two more", acknowledging=False)
        async with rig(wanted) as again:
            await published(mosquitto.port, message(5))
            await again.until(lambda: 5 in again.distinct(), "the last message")
            assert again.distinct() == {3, 4, 5}

    asyncio.run(scenario())


def test_a_receipt_of_an_earlier_connection_acknowledges_nothing(mosquitto: Mosquitto) -> None:
    """Packet ids belong to a connection; the broker has sent the messages again by the time the commit is through."""

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE)) as it:
            await it.until_accepted()
            await published(mosquitto.port, message(1))
            deliveries = []
            while not it.values():
                deliveries.append(it.take())
                await asyncio.sleep(0.005)
            await asyncio.to_thread(mosquitto.stop)
            await until_down(it)
            await asyncio.to_thread(mosquitto.start)
            await until_up(it)
            for late in deliveries:
                await it.connector.acknowledge(late.receipt)
            await it.until(lambda: it.values() == [1, 1], "the message again")

    asyncio.run(scenario())


def test_twenty_thousand_messages_in_a_burst_all_arrive_once(mosquitto: Mosquitto) -> None:
    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE)) as it:
            await it.until_accepted()
            sending = asyncio.create_task(published(mosquitto.port, *(message(n, n) for n in range(20_000))))
            await it.until(lambda: sum(map(len, it.batches)) >= 20_000 and len(it.distinct()) == 20_000, "all of them")
            await sending
            found = it.of(TAG)
            assert sorted(found.value.tolist()) == list(range(20_000))
            assert np.array_equal(found.time, found.value.astype(np.int64) * 1_000_000)
            assert it.connector.health().faults == {}

    asyncio.run(scenario())


def test_a_full_buffer_stops_reading_until_it_is_taken(mosquitto: Mosquitto) -> None:
    """What does not fit waits with the broker: nothing is dropped, and the memory has a bound."""

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE, most_buffered=50)) as it:
            await it.until_accepted()
            await published(mosquitto.port, *(message(n) for n in range(2_000)))
            await it.until(lambda: len(it.distinct()) == 2_000, "all messages, fifty by fifty")
            assert max(len(batch) for batch in it.batches) <= 52

    asyncio.run(scenario())


def test_a_broker_that_waits_for_acknowledgements_asks_to_be_taken_early(mosquitto: Mosquitto) -> None:
    """In MQTT 3.1.1 mosquitto lets twenty messages through; more come only after an acknowledgement."""

    async def scenario() -> None:
        hurried = asyncio.Event()
        async with rig(settings(mosquitto.port, VALUE, version="3.1.1"), hurry=hurried.set) as it:
            await it.until_accepted()
            await published(mosquitto.port, *(message(n) for n in range(200)))
            while len(it.distinct()) < 200:
                await asyncio.wait_for(hurried.wait(), 30)
                hurried.clear()
                await it.tick()

    asyncio.run(scenario())


def test_keep_alives_alone_are_signs_of_life(mosquitto: Mosquitto) -> None:
    """Nothing is published; the broker answers our pings, also by an agent's clock that runs faster than the wall's."""
    began = time.monotonic_ns()

    def fast_clock() -> int:
        return (time.monotonic_ns() - began) * 60

    async def scenario() -> None:
        wanted = settings(mosquitto.port, VALUE, link=Link(LINK, 90_000_000_000))
        async with rig(wanted, clock=fast_clock) as it:
            await it.until_accepted()
            await it.until(lambda: len(it.of(LINK)) >= 3, "three signs of life")
            assert set(it.values(LINK)) == {1.0}
            assert (np.diff(it.of(LINK).time) >= 60 * 900_000_000).all()

    asyncio.run(scenario())


class SilentBroker:
    """Says yes to CONNECT and SUBSCRIBE and then nothing, as a half-open connection does."""

    def __init__(self) -> None:
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read(1000)
        writer.write(bytes.fromhex("20 03 00 00 00"))
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
        while await reader.read(1000):
            pass
        writer.close()


async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> tuple[int, asyncio.Server]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1], server


def test_a_half_open_connection_is_found_by_its_silence() -> None:
    async def scenario() -> None:
        silent = SilentBroker()
        port, server = await serving(silent)
        async with server, rig(settings(port, VALUE, keep_alive_ns=1_000_000_000)) as it:
            await it.until_accepted()
            await until_down(it)
            assert "silent" in it.connector.health().detail
            await it.tick()
            link = it.of(LINK)
            assert link.value.tolist() == [1, 0]
            assert link.time[1] - link.time[0] < 1_000_000_000, "dated back to the last sign of life"
            await it.until(lambda: silent.connections > 1, "another attempt")

    asyncio.run(scenario())


def test_bytes_that_are_no_mqtt_end_the_connection_and_not_the_agent() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\x36\xff\xff\xff\xff\xff HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read(1000)
        writer.close()

    async def scenario() -> None:
        port, server = await serving(garbage)
        async with server, rig(settings(port, VALUE)) as it:
            await until_down(it)
            assert "does not follow the protocol" in it.connector.health().detail

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("port", "host", "said"),
    [(None, "127.0.0.1", "nothing listens on"), (1883, "no-such-host.invalid", "cannot be resolved")],
)
def test_a_broker_that_is_not_there_is_a_fact_in_the_health(port: int | None, host: str, said: str) -> None:
    async def scenario() -> None:
        async with rig(settings(port or free_port(), VALUE, host=host)) as it:
            await until_down(it)
            health = it.connector.health()
            assert said in health.detail
            assert re.search(r"next attempt in \d+\.\d s", health.detail)
            assert (health.configured, health.accepted, health.delivering) == (1, 0, 0)
            assert len(it.all) == 0

    asyncio.run(scenario())


def test_a_broker_that_only_speaks_3_1_1_is_spoken_to_in_3_1_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """amqtt, the demonstration plant's broker, is one of them: it makes nothing of a CONNECT of MQTT 5.0."""
    monkeypatch.setattr(broker_module, "ANSWER_SECONDS", 0.3)

    async def scenario() -> None:
        port = free_port()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        try:
            async with rig(settings(port, VALUE)) as it:
                await it.until_accepted()
                assert it.connector.health().detail.startswith("MQTT 3.1.1")
                # amqtt forgets what a publisher sent when that disconnects at once: it stays until all has come.
                publisher = await asyncio.to_thread(Publisher, port)
                await asyncio.to_thread(publisher.publish, *(message(n) for n in range(100)))
                await it.until(lambda: len(it.distinct()) == 100, "all messages")
                await asyncio.to_thread(publisher.close)
        finally:
            await broker.shutdown()

    asyncio.run(scenario())


def test_wrong_credentials_are_said_with_a_hint_and_without_the_password(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    # Made by mosquitto_passwd for the user `agent`; its password is in no test.
    passwords.write_text("agent:$7$101$YWJjZGVmZ2hpamts$" + "A" * 86 + "==\n")
    passwords.chmod(0o600)
    lines = ["allow_anonymous false", f"password_file {passwords}"]

    async def scenario(port: int) -> None:
        async with rig(settings(port, VALUE, username="agent", password="not-the-one")) as it:
            await until_down(it)
            detail = it.connector.health().detail
            assert "refuses the connection: Not authorized" in detail
            assert "check `username` and `password`" in detail
            assert "not-the-one" not in detail + repr(it.connector.health())

    with running(Mosquitto(tmp_path / "mosquitto", lines=lines)) as broker:
        asyncio.run(scenario(broker.port))


def test_a_filter_that_the_broker_refuses_sets_its_items_aside_by_name(tmp_path: Path) -> None:
    """The rest runs; when the broker grants it after all, the items come back."""
    plugin = next(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"), None)
    if plugin is None:
        pytest.skip("mosquitto's dynamic security plugin is not installed")
    tmp_path.joinpath("mosquitto").mkdir()
    rules = tmp_path / "mosquitto" / "rules.json"

    def allow(*filters: str) -> None:
        allowed = [{"acltype": "subscribePattern", "topic": each, "priority": 0, "allow": True} for each in filters]
        rules.write_text(
            json.dumps(
                {
                    "defaultACLAccess": {
                        "publishClientSend": True,
                        "publishClientReceive": True,
                        "subscribe": False,
                        "unsubscribe": True,
                    },
                    "anonymousGroup": "all",
                    "groups": [{"groupname": "all", "roles": [{"rolename": "all"}]}],
                    "roles": [{"rolename": "all", "acls": allowed}],
                }
            )
        )

    allow("plant/a")
    lines = [f"plugin {plugin}", f"plugin_opt_config_file {rules}"]
    secret = MqttItem(2, "plant/secret", "plain")

    async def scenario(broker: ServerProcess) -> None:
        wanted = settings(broker.port, VALUE, secret, subscribe=("plant/a", "plant/secret"))
        async with rig(wanted) as it:
            await until_up(it)
            await it.until(lambda: len(it.connector.health().set_aside) == 1, "one item set aside")
            health = it.connector.health()
            aside = health.set_aside[0]
            assert (aside.item, aside.fault) == ("plant/secret", Fault.REFUSED_ITEM)
            assert "plant/secret: Not authorized" in aside.reason
            assert "access list" in aside.hint
            assert (health.configured, health.accepted, health.state) == (2, 1, ConnectionState.UP)
            await published(broker.port, message(1))
            await it.until(lambda: it.values() == [1], "the other item delivers")
            await asyncio.to_thread(broker.stop)
            allow("plant/a", "plant/secret")
            await asyncio.to_thread(broker.start)
            await it.until_accepted()
            assert it.connector.health().set_aside == ()

    with running(Mosquitto(tmp_path / "mosquitto", lines=lines)) as broker:
        asyncio.run(scenario(broker))


def test_a_retained_message_is_delivered_at_the_first_connection(mosquitto: Mosquitto) -> None:
    """The last state of a machine that has said nothing since."""

    async def scenario() -> None:
        await published(mosquitto.port, message(5), retain=True)
        async with rig(settings(mosquitto.port, VALUE)) as it:
            await it.until(lambda: it.values() == [5], "the retained message")

    asyncio.run(scenario())


def test_a_message_of_an_earlier_configuration_is_named_as_such(mosquitto: Mosquitto) -> None:
    """A session keeps subscriptions that the configuration no longer has; the broker cannot be asked for them."""

    async def scenario() -> None:
        async with rig(settings(mosquitto.port, VALUE)) as it:
            await it.until_accepted()
        other = MqttItem(TAG, "hall/a", "json", "v")
        async with rig(settings(mosquitto.port, other, subscribe=("hall/#",))) as it:
            await it.until_accepted()
            await published(mosquitto.port, message(1), message(2, topic="hall/a"))
            await it.until(lambda: it.values() == [2], "the new topic")
            assert "earlier configuration" in it.connector.health().fault_examples[Fault.UNKNOWN_TOPIC]

    asyncio.run(scenario())


def test_constructing_says_everything_that_cannot_work_and_touches_no_network() -> None:
    wanted = settings(
        1883,
        MqttItem(1, "plant/+/status"),
        MqttItem(2, "hall/a"),
        MqttItem(3, "plant/b", "plain", "v"),
        MqttItem(4, "plant/c", "json", "a..b"),
        subscribe=("plant/#", "plant/a#"),
        password="x",
        ca_certificate="ca.pem",
    )
    with pytest.raises(ValueError, match="connection floor") as raised:
        MqttConnector(wanted, TextCodes(), time.time_ns)
    for said in (
        "`plant/a#` is not a topic filter",
        "topic `plant/+/status`: must be the literal topic",
        "topic `hall/a`: none of the filters",
        "topic `plant/b`: a plain payload has no paths",
        "topic `plant/c`: path `a..b` cannot be read",
        "password: MQTT sends none without a username",
        "tls is off",
    ):
        assert said in str(raised.value)


def test_a_certificate_that_is_not_there_is_the_operators_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ca_certificate .*ca\.pem: cannot be read: No such file"):
        MqttConnector(
            settings(8883, VALUE, tls=True, ca_certificate=str(tmp_path / "ca.pem")), TextCodes(), time.time_ns
        )


@pytest.mark.parametrize("known", [True, False])
def test_tls_asks_for_and_shows_certificates(tmp_path: Path, known: bool) -> None:
    """A certificate of our authority is trusted on both sides; a broker of a stranger's is not."""
    ours, strangers = Authority("ours"), Authority("a stranger's")
    ca, certificate, key = ours.write(tmp_path, "server", "127.0.0.1")
    client = ours.write(tmp_path, "agent", "127.0.0.1")
    trusted = ca if known else strangers.write(tmp_path, "other", "127.0.0.1")[0]
    lines = [f"cafile {ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]

    async def scenario(port: int) -> None:
        wanted = settings(
            port,
            VALUE,
            tls=True,
            ca_certificate=str(trusted),
            client_certificate=str(client[1]),
            client_key=str(client[2]),
        )
        async with rig(wanted) as it:
            if known:
                await it.until_accepted()
                assert it.connector.health().endpoint == f"mqtts://127.0.0.1:{port}"
            else:
                await until_down(it)
                assert "is not trusted" in it.connector.health().detail
                assert "ca_certificate" in it.connector.health().detail

    with running(Mosquitto(tmp_path / "mosquitto", lines=lines)) as broker:
        asyncio.run(scenario(broker.port))
