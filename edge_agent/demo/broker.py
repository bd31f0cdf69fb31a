"""The plant's own MQTT broker: amqtt in this process, behind a door that speaks for it where it is silent.

amqtt knows MQTT 3.1.1 only, and reads the CONNECT of a newer client as if it were one of its own: with properties in
it, it waits for bytes that never come and says nothing. The door reads the protocol level first and refuses another
one as MQTT-3.1.2-2 wants it, so that a client can fall back at once. Two ways were weighed: to document the limit, or
this door. The door won: a demonstration that any client can connect to must not hang any.

Publishing goes through the broker's own queue, which spares a client and a socket. Retained messages and sessions live
in memory and go with the broker when it is stopped, as with one that lost power.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker

from edge_agent.demo.ports import free_port, require_free

QOS: Final = 1
_LISTENER: Final = "default"
_MQTT_3_1_1: Final = 4
_UNACCEPTABLE_VERSION: Final = bytes((0x20, 2, 0, 1))  # CONNACK of MQTT 3.1.1, 3.2
_CONNECT_SECONDS: Final = 10.0


class EmbeddedBroker:
    """A broker on a port of its own; port 0 = any free one, known after `start`. Clients need no password."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._broker: Any = None
        self._door: asyncio.Server | None = None
        self._guests: set[asyncio.StreamWriter] = set()

    @property
    def running(self) -> bool:
        """Whether clients can connect."""
        return self._broker is not None

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        if self.running:
            return
        self.port = self.port or free_port(self.host)
        require_free(self.host, self.port)
        broker = Broker(
            {
                "listeners": {_LISTENER: {"type": "external"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        self._door = await asyncio.start_server(self._receive, self.host, self.port)
        await broker.start()
        self._broker = broker

    async def stop(self) -> None:
        """Drop all clients, sessions and retained messages, and close the port."""
        broker, self._broker = self._broker, None
        door, self._door = self._door, None
        if door is not None:
            door.close()
        for guest in self._guests:
            guest.transport.abort()
        if broker is not None:
            await broker.shutdown()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send to the clients with QoS 1 and retain; while the broker is stopped the message is lost."""
        if self._broker is not None:
            await self._broker.retain_message(None, topic, payload, QOS)
            await self._broker.internal_message_broadcast(topic, payload, QOS)

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests.add(writer)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                head, level = await _protocol_level(reader)
            if level != _MQTT_3_1_1:
                writer.write(_UNACCEPTABLE_VERSION)
                await writer.drain()
            elif self._broker is not None:
                await self._broker.external_connected(_Reread(reader, head), _QuietWriter(writer), _LISTENER)
        except (OSError, EOFError, TimeoutError):
            pass  # gone before it said what it wants
        finally:
            self._guests.discard(writer)
            writer.close()


async def _protocol_level(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """What was read, and the protocol level that a CONNECT names (MQTT 3.1.1, 3.1.2.2); -1 for another packet."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    name_at = len(head) + 2
    head += await reader.readexactly(2)
    name_length = int.from_bytes(head[-2:], "big")
    if head[0] >> 4 != 1 or name_length not in {4, 6}:
        return head, -1
    head += await reader.readexactly(name_length + 1)
    return head, head[name_at + name_length]


class _Reread(StreamReaderAdapter):  # type: ignore[misc]
    """A reader that first gives what was read already."""

    def __init__(self, reader: asyncio.StreamReader, head: bytes) -> None:
        super().__init__(reader)
        self._head = head

    async def read(self, n: int = -1) -> bytes:
        head = self._head if n < 0 else self._head[:n]
        self._head = self._head[len(head) :]
        if len(head) == n:
            return head
        rest: bytes = await super().read(n if n < 0 else n - len(head))
        return head + rest


class _QuietWriter(StreamWriterAdapter):  # type: ignore[misc]
    """A writer that may be closed when its client has gone."""

    async def close(self) -> None:
        with contextlib.suppress(OSError):
            await super().close()
