"""What a perfect agent would collect of the demonstration plant, without a network in between.

Benchmarks and tests feed the engine with it: hours of the plant in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from config.compiled import CompiledPlant
from connectors import TextCodes
from edge_agent.demo.events import Event
from edge_agent.demo.faces import SERVERS, faces
from edge_agent.demo.mqtt_stations import DemoStations


def recorded(
    compiled: CompiledPlant, texts: TextCodes, events: Sequence[Event], stations: DemoStations | None = None
) -> Iterator[tuple[int, int, float]]:
    """(tag, time in ns, value as sent) of all events, by the plant's faces and documents; links are always up.

    stations: what the MQTT stations said so far, where the events continue earlier ones; None = nothing yet.
    """
    by_node = {item.node.partition(";s=")[2]: item for server in compiled.opcua for item in server.items}
    shown = [faces(name) for name in SERVERS]
    stations = stations or DemoStations()
    for time, instant in groupby(events, key=lambda event: event.time_ns):
        changes = list(instant)
        writes = [
            write
            for server in shown
            for event in changes
            for face in server.get(event.machine, ())
            for write in face.writes(event)
        ]
        for node, value in dict(writes).items():
            if node in by_node:
                item = by_node[node]
                yield item.tag, time, float(texts.code(str(value)) if item.text else value)
        for topic, payload in stations.take_on(changes):
            document = json.loads(payload)
            document |= {f"counts.{name}": count for name, count in document["counts"].items()}
            for tag in (tag for tag in compiled.mqtt[0].items if tag.topic == topic):
                value = document[tag.value_path]
                yield tag.tag, document["ts"] * 1_000_000, float(texts.code(value) if tag.text else value)
    for link in {server.link.tag for server in compiled.opcua} | {broker.link.tag for broker in compiled.mqtt}:
        for time in range(events[0].time_ns, events[-1].time_ns, 10_000_000_000):
            yield link, time, 1.0
