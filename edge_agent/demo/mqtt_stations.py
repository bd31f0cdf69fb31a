"""The plant's stations: what they publish, and the broker they publish to.

Every station sends one JSON document on each change and at least with every reading (10 s of plant time):

    demo/packaging/packer-01/status
    {"ts": 1760047200000, "state": "RUN", "product": "LUB-060", "counts": {"good": 1, …}, "power_w": 1873}

`ts` is the plant's time in ms, exact. QoS 1, retained: who subscribes late sees the latest document of each station.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.demo.broker import QOS
from edge_agent.demo.events import MS, Condition, Event, Signal
from edge_agent.demo.faces import STATION_STATES
from edge_agent.demo.layout import LINES, Device

TOPIC_ROOT: Final = "demo"


class Publisher(Protocol):
    """Takes a station's documents."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send with QoS 1, retained."""


class DemoStations:
    """The documents of all stations. Feed it events, send what comes out."""

    def __init__(self) -> None:
        self._topics: dict[str, str] = {}
        self._documents: dict[str, dict[str, Any]] = {}
        for line in LINES:
            for spec in line.machines:
                if spec.device is Device.STATION:
                    self._topics[spec.id] = f"{TOPIC_ROOT}/{line.id}/{spec.id}/status"
                    counts = dict.fromkeys((str(signal) for signal in spec.counts), 0)
                    self._documents[spec.id] = {
                        "ts": 0,
                        "state": STATION_STATES[Condition.OFF],
                        "product": "",
                        "counts": counts,
                        "power_w": 0,
                    }

    def take_on(self, events: Iterable[Event]) -> list[tuple[str, bytes]]:
        """Events in order of time → (topic, payload), one document for each station and instant that has any."""
        messages: list[tuple[str, bytes]] = []
        changed: dict[str, None] = {}
        at = 0
        for event in events:
            if event.time_ns != at:
                messages += self._encode(changed)
                changed, at = {}, event.time_ns
            document = self._documents.get(event.machine)
            if document is not None:
                document["ts"] = at // MS
                _enter(document, event)
                changed[event.machine] = None
        return messages + self._encode(changed)

    def snapshot(self) -> list[tuple[str, bytes]]:
        """The latest document of every station, as sent before."""
        return self._encode(self._documents)

    def _encode(self, machines: Iterable[str]) -> list[tuple[str, bytes]]:
        return [
            (self._topics[machine], json.dumps(self._documents[machine], separators=(",", ":")).encode())
            for machine in machines
        ]


def _enter(document: dict[str, Any], event: Event) -> None:
    if event.signal is Signal.CONDITION:
        document["state"] = STATION_STATES[Condition(int(event.value))]
    elif event.signal is Signal.PRODUCT:
        document["product"] = event.value
    elif event.signal is Signal.POWER:
        document["power_w"] = event.value
    elif event.signal in document["counts"]:
        document["counts"][str(event.signal)] = event.value


class ExternalBroker:
    """A broker that someone else runs, by URL (`mqtt://[user:password@]host[:port]`, `mqtts://…`).

    paho connects and reconnects in a thread of its own and keeps what it could not send. Raises ValueError for a URL
    of another kind.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("the broker's URL must be like mqtt://host:1883 or mqtts://host:8883")
        tls = parts.scheme == "mqtts"
        self.host = parts.hostname
        self.port = parts.port or (8883 if tls else 1883)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="")
        if parts.username:
            self._client.username_pw_set(parts.username, parts.password)
        if tls:
            self._client.tls_set()

    @property
    def running(self) -> bool:
        """Whether the broker is connected."""
        return bool(self._client.is_connected())

    async def start(self) -> None:
        """Begin to connect; what is published before goes out then."""
        self._client.connect_async(self.host, self.port, keepalive=30)
        self._client.loop_start()

    async def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send with QoS 1, retained."""
        self._client.publish(topic, payload, qos=QOS, retain=True)
