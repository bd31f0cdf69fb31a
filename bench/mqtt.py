"""MQTT from a real broker: messages a second, and CPU of the connector per message, printed as JSON.

A connector takes JSON messages of six values at QoS 1 from mosquitto, commits nothing, and acknowledges at each tick of
500 ms, as the agent does. `burst` is MQTT 5.0, sent as fast as the broker takes it. In MQTT 3.1.1 mosquitto lets only
20 unacknowledged messages through: with `hurry` the taker comes early, without it waits for its tick.
`paho_alone` is the client on its own loop, nothing parsed; `extraction` is parser and columns without a network.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from connectors import FaultCounts, Link, TextCodes  # noqa: E402
from connectors.mqtt import MqttConnector, MqttItem, MqttSettings  # noqa: E402
from connectors.mqtt.columns import Columns  # noqa: E402
from connectors.mqtt.extract import TopicPlan  # noqa: E402
from tests.services.mosquitto import Mosquitto, Publisher  # noqa: E402
from tests.services.process import running, wait_until  # noqa: E402

MACHINES = 50
TICK_SECONDS = 0.5
PATHS = ("state", "counts.good", "counts.scrap", "power", "energy", "temperature")


def items(topic: str, first_tag: int) -> list[MqttItem]:
    """Six values of a machine's message, one of them a text."""
    return [
        MqttItem(first_tag + n, topic, "json", path, "ts", "ms", text=path == "state") for n, path in enumerate(PATHS)
    ]


def payload(n: int) -> bytes:
    """A message of a machine, about 130 bytes."""
    return json.dumps(
        {
            "ts": 1_772_000_000_000 + n,
            "state": "RUN" if n % 7 else "IDLE",
            "counts": {"good": n, "scrap": n // 50},
            "power": 3.25 + n % 10 / 8,
            "energy": 1234.5 + n / 16,
            "temperature": 41.5,
        }
    ).encode()


def cpu_seconds() -> float:
    """CPU time of this process, user and system: the publisher is another."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def send(port: int, n: int) -> None:
    """Publish n messages, evenly over the machines."""
    with Publisher(port) as publisher:
        publisher.publish(*((f"plant/m{i % MACHINES}", payload(i)) for i in range(n)))


def publish(port: int, n: int) -> SpawnProcess:
    """Start to send n messages in a process of its own."""
    sender = multiprocessing.get_context("spawn").Process(target=send, args=(port, n))
    sender.start()
    return sender


async def collect(
    port: int, n: int, *, version: Literal["auto", "3.1.1"] = "auto", early: bool = True
) -> dict[str, float]:
    """Messages a second from the first take that had any to the last, and CPU per message."""
    wanted = tuple(item for m in range(MACHINES) for item in items(f"plant/m{m}", 1 + m * len(PATHS)))
    hurried = asyncio.Event()
    settings = MqttSettings(
        name="bench",
        host="127.0.0.1",
        port=port,
        link=Link(0, 30_000_000_000),
        items=wanted,
        subscribe=("plant/#",),
        client_id="bench",
        version=version,
    )
    connector = MqttConnector(settings, TextCodes(), time.time_ns, hurry=hurried.set if early else None)
    await connector.start()
    await asyncio.to_thread(wait_until, lambda: connector.health().accepted == len(wanted), "all items accepted")
    sender = publish(port, n)
    came, cpu, began = 0, cpu_seconds(), 0.0
    while came < n * len(PATHS):
        try:
            async with asyncio.timeout(TICK_SECONDS):
                await hurried.wait()
        except TimeoutError:
            pass
        hurried.clear()
        delivery = connector.take()
        came += int((delivery.batch.tag != 0).sum())
        began = began or (time.perf_counter() if came else 0.0)
        await connector.acknowledge(delivery.receipt)
    took, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    sender.join()
    await connector.stop()
    return {"messages_per_second": round(n / took), "cpu_us_per_message": round(cpu / n * 1e6, 2)}


def paho_alone(port: int, n: int) -> dict[str, float]:
    """paho's own loop with automatic acknowledgement and a callback that counts: nothing parsed, nothing kept."""
    came = 0

    def on_message(_client: paho.Client, _data: Any, _message: paho.MQTTMessage) -> None:
        nonlocal came
        came += 1

    subscribed = False

    def on_subscribe(*_: Any) -> None:
        nonlocal subscribed
        subscribed = True

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="paho-alone", protocol=paho.MQTTv5)
    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.connect("127.0.0.1", port)
    client.subscribe("plant/#", qos=1)
    while not subscribed:
        client.loop(0.1)
    sender = publish(port, n)
    cpu, began = cpu_seconds(), 0.0
    while came < n:
        client.loop(0.1)
        began = began or (time.perf_counter() if came else 0.0)
    took, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    sender.join()
    client.disconnect()
    return {"messages_per_second": round(n / took), "cpu_us_per_message": round(cpu / n * 1e6, 2)}


def extraction(n: int) -> float:
    """Microseconds to parse a message and write its six values into the columns."""
    plan = TopicPlan("plant/m0", items("plant/m0", 1), TextCodes(), FaultCounts())
    columns, made = Columns(), [payload(i) for i in range(n)]
    began = time.perf_counter()
    for each in made:
        plan.extract(each, 0, columns)
    return round((time.perf_counter() - began) / n * 1e6, 2)


def on_broker(measure: Callable[[int], dict[str, float]], *lines: str) -> dict[str, float]:
    """Measure on a fresh mosquitto with these lines in its configuration."""
    with tempfile.TemporaryDirectory() as folder, running(Mosquitto(Path(folder), lines=lines)) as broker:
        return measure(broker.port)


def main() -> None:
    figures = {
        "payload_bytes": len(payload(1)),
        "values_per_message": len(PATHS),
        "tick_seconds": TICK_SECONDS,
        "burst": on_broker(lambda port: asyncio.run(collect(port, 60_000))),
        "mqtt_3_1_1_early_takes": on_broker(lambda port: asyncio.run(collect(port, 2_000, version="3.1.1"))),
        "mqtt_3_1_1_ticks_only": on_broker(
            lambda port: asyncio.run(collect(port, 2_000, version="3.1.1", early=False))
        ),
        "paho_alone": on_broker(lambda port: paho_alone(port, 60_000)),
        "extraction_us_per_message": extraction(50_000),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
