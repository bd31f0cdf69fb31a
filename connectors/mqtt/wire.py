"""MQTT packets cut out of a byte stream, PUBLISH packets taken apart, PUBACK packets made: bytes in, bytes out.

Rule 1: no socket, no clock, no callbacks; feed it byte by byte and it gives the same packets.
Rule 2: a payload over its bound is never held in memory: its head says topic and packet id, the rest is let through.
Rule 3: whatever is not PUBLISH is handed on whole, for the MQTT client library to read.

Source: MQTT 3.1.1 and 5.0 (OASIS), 1.5.5 variable byte integers, 2.1 fixed header, 3.3 PUBLISH, 3.4 PUBACK.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PUBLISH = 0x30
PINGREQ = b"\xc0\x00"
MOST_CONTROL_BYTES = 1_000_000
"""No acknowledgement of any kind comes near it; a longer one is a stream out of step."""
_HEAD_BYTES = 2 * 65_540
"""Topic and properties of a PUBLISH that is over its bound must end within this, or are not looked for further."""


class UndecodableError(ValueError):
    """The bytes do not follow the protocol; the connection cannot go on."""


class Publish(NamedTuple):
    """One message.

    packet_id: 0 at QoS 0, which is never acknowledged. payload: None where it was over the bound.
    size: bytes of the payload, also of one that was not kept.
    """

    topic: bytes
    payload: bytes | None
    packet_id: int
    size: int


class PacketReader:
    """The packets of one connection, in order."""

    def __init__(self, *, most_payload_bytes: int, version_5: bool) -> None:
        self._most_payload = most_payload_bytes
        self._version_5 = version_5
        self._bytes = b""
        self._at = 0
        self._later: list[bytes] = []
        self._later_bytes = 0
        self._needed = 2  # bytes from `_at` on before another look is worth it
        self._skip = 0  # bytes of a payload over the bound that are still to come

    def feed(self, data: bytes) -> None:
        """Take on what the socket gave."""
        if self._skip:
            dropped = min(self._skip, len(data))
            self._skip -= dropped
            data = data[dropped:]
        self._later.append(data)
        self._later_bytes += len(data)

    def next(self) -> Publish | bytes | None:
        """The next message, the next whole packet of another kind, or None until more is fed.

        Raises UndecodableError where the bytes do not follow the protocol.
        """
        while True:
            have = len(self._bytes) - self._at
            if have >= self._needed:
                found = self._look()
                if found is not None:
                    self._needed = 2
                    return found
                have = len(self._bytes) - self._at
            if not self._later_bytes or have + self._later_bytes < self._needed:
                return None
            self._bytes = b"".join((self._bytes[self._at :], *self._later))
            self._at, self._later_bytes = 0, 0
            self._later.clear()

    def _look(self) -> Publish | bytes | None:
        """The packet at hand; where it is not all there, None, and `_needed` says how much to wait for."""
        data, start = self._bytes, self._at
        length, at = data[start + 1], start + 2
        if length > 0x7F:
            long = _variable_integer(data, start + 1)
            if long is None:
                self._needed = len(data) - start + 1
                return None
            length, at = long
        end = at + length
        if end > len(data):
            return self._wait(data[start], at, end)
        self._at = end
        if data[start] & 0xF0 != PUBLISH:
            return data[start:end]
        topic, packet_id, payload_at = self._head(data[start], at, end)
        size = end - payload_at
        return Publish(topic, data[payload_at:end] if size <= self._most_payload else None, packet_id, size)

    def _wait(self, first: int, at: int, end: int) -> Publish | None:
        """Wait for the rest of a packet, unless its head says already that it is a message over the bound."""
        length = end - at
        self._needed = end - self._at
        if first & 0xF0 != PUBLISH:
            if length > MOST_CONTROL_BYTES:
                raise UndecodableError(f"a control packet of {length} bytes")
            return None
        if length <= self._most_payload:
            return None
        try:
            topic, packet_id, payload_at = self._head(first, at, len(self._bytes))
        except UndecodableError:
            if len(self._bytes) - at >= _HEAD_BYTES:
                raise
            self._needed = len(self._bytes) - self._at + 1
            return None
        size = end - payload_at
        if size <= self._most_payload:
            return None
        self._let_through(end)
        return Publish(topic, None, packet_id, size)

    def _let_through(self, end: int) -> None:
        """Forget the bytes up to `end`, those that have come and those that are still to come."""
        waiting = b"".join(self._later)
        beyond = end - len(self._bytes)
        self._bytes, self._at = waiting[beyond:], 0
        self._skip = max(0, beyond - len(waiting))
        self._later.clear()
        self._later_bytes = 0

    def _head(self, first: int, at: int, end: int) -> tuple[bytes, int, int]:
        """Topic, packet id and where the payload begins."""
        data = self._bytes
        qos = first >> 1 & 3
        if qos > 1:
            raise UndecodableError(f"a message of QoS {qos}, but QoS 1 was asked for")
        if at + 2 > end:
            raise UndecodableError("a PUBLISH packet ends within its topic")
        topic_at = at + 2
        at = topic_at + (data[at] << 8 | data[at + 1])
        topic = data[topic_at:at]
        packet_id = 0
        if qos:
            if at + 2 > end:
                raise UndecodableError("a PUBLISH packet ends within its packet id")
            packet_id = data[at] << 8 | data[at + 1]
            at += 2
            if not packet_id:
                raise UndecodableError("a PUBLISH packet of QoS 1 has no packet id")
        if self._version_5:
            if at >= end:
                raise UndecodableError("a PUBLISH packet ends before its properties")
            properties = _variable_integer(data, at)
            if properties is None:
                raise UndecodableError("a PUBLISH packet ends within its properties")
            at = properties[1] + properties[0]
        if at > end:
            raise UndecodableError("a PUBLISH packet is shorter than its parts")
        return topic, packet_id, at


def _variable_integer(data: bytes, at: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends; None where it is not all there. Raises UndecodableError."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            return None
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise UndecodableError("a length of more than four bytes")


def pubacks(packet_ids: npt.NDArray[np.uint16]) -> bytes:
    """PUBACK packets for messages taken on, shape (n,), in order: four bytes each, the same in MQTT 3.1.1 and 5.0."""
    packets = np.empty((len(packet_ids), 4), np.uint8)
    packets[:, 0] = 0x40
    packets[:, 1] = 2
    packets[:, 2] = packet_ids >> 8
    packets[:, 3] = packet_ids & 0xFF
    return packets.tobytes()
