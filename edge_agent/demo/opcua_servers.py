"""The plant's OPC UA servers: asyncua servers that show the faces of the machines.

Rules: every value is written with the plant's time as source timestamp, so what a client reads is exact however late
it reads. A server that is stopped forgets its sessions like one that lost power; the machines behind it go on, and
started again it shows the values of the moment.

Two ways were weighed to make three servers quickly: one address space pickled and loaded thrice, or each built anew
with the garbage collector paused. Building won: as fast (about 1 s each on one core, most of it asyncua's standard
nodes) and without asyncua's internals.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncua import Server, ua

from edge_agent.demo.events import Event
from edge_agent.demo.faces import Face, Point, PointType, Value, faces
from edge_agent.demo.ports import free_port, require_free

NAMESPACE: Final = "urn:edge-agent:demo"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD: Final = ua.StatusCode(ua.StatusCodes.Good)


class DemoOpcUaServer:
    """One server on a port of its own.

    name: one of `faces.SERVERS`. at_ns: plant time of the first values. port 0 = any free one, known after `start`.
    """

    def __init__(self, name: str, at_ns: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._faces: dict[str, list[Face]] = faces(name)
        self._points: dict[str, Point] = {
            point.node: point for shown in self._faces.values() for face in shown for point in face.points()
        }
        self._values: dict[str, tuple[Value, int]] = {
            node: (point.first, at_ns) for node, point in self._points.items()
        }
        self._server: Any = None
        self._node_ids: dict[str, Any] = {}

    @property
    def running(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"opc.tcp://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen, with the values of the moment. Raises OSError where the port is taken."""
        if self.running:
            return
        self.port = self.port or free_port(self.host)
        require_free(self.host, self.port)
        server = Server()
        with _collector_paused():
            await server.init()
        await server.set_application_uri(f"{NAMESPACE}:{self.name}")
        server.set_server_name(f"Demo plant, {self.name}")
        server.set_endpoint(self.endpoint)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self._make_nodes(server)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Drop all sessions and close the port."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def show(self, events: list[Event]) -> int:
        """Take on events, in order of time, and write what they change; returns the number of writes."""
        writes = 0
        instant: dict[str, Value] = {}
        at = events[0].time_ns if events else 0
        for event in events:
            if event.time_ns != at:
                writes += await self._write(at, instant)
                instant, at = {}, event.time_ns
            for face in self._faces.get(event.machine, ()):
                instant.update(face.writes(event))
        return writes + await self._write(at, instant)

    async def _write(self, at: int, instant: dict[str, Value]) -> int:
        """Write the values of one instant, where they differ from what is there."""
        writes = 0
        for node, value in instant.items():
            if value == self._values[node][0]:
                continue
            self._values[node] = (value, at)
            writes += 1
            if self._server is not None:
                await self._server.iserver.write_attribute_value(self._node_ids[node], self._data_value(node))
        return writes

    async def _make_nodes(self, server: Any) -> None:
        index = await server.register_namespace(NAMESPACE)
        folders: dict[tuple[str, ...], Any] = {}
        machines = await server.nodes.objects.add_folder(ua.NodeId("Machines", index), f"{index}:Machines")
        for point in self._points.values():
            parent = machines
            for depth in range(1, len(point.path)):
                path = point.path[:depth]
                if path not in folders:
                    node_id = ua.NodeId(".".join(("Machines", *path)), index)
                    folders[path] = await parent.add_object(node_id, f"{index}:{path[-1]}")
                parent = folders[path]
            node_id = ua.NodeId(point.node, index)
            # A state's number lies below the state's own variable, which comes before it in the list of points.
            name = f"{index}:{point.path[-1]}"
            folders[point.path] = await parent.add_variable(node_id, name, self._variant(point.node))
            self._node_ids[point.node] = node_id
            await server.iserver.write_attribute_value(node_id, self._data_value(point.node))

    def _variant(self, node: str) -> Any:
        value, type_ = self._values[node][0], self._points[node].type
        if type_ is PointType.LOCALIZED_TEXT:
            return ua.Variant(ua.LocalizedText(str(value), "en"), ua.VariantType.LocalizedText)
        return ua.Variant(value, ua.VariantType[type_.value])

    def _data_value(self, node: str) -> Any:
        at = datetime_of(self._values[node][1])
        return ua.DataValue(self._variant(node), _GOOD, SourceTimestamp=at, ServerTimestamp=at)


def datetime_of(time_ns: int) -> datetime:
    """An aware datetime, exact to the microsecond; the simulation's times are whole milliseconds."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """The standard nodes are half a million objects that stay; looking for garbage among them doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


async def start_all(servers: list[DemoOpcUaServer]) -> None:
    """Start servers, then move what they hold out of the garbage collector's sight.

    In a loop of its own process that is the difference between a few and a hundred milliseconds a collection.
    """
    await asyncio.gather(*(server.start() for server in servers))
    gc.collect()
    gc.freeze()
