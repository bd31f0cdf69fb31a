"""Packets cut out of a byte stream."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mqtt.wire import PacketReader, Publish, UndecodableError, pubacks

MOST = 300
PINGRESP = b"\xd0\x00"


def publish(
    topic: bytes, payload: bytes, *, qos: int = 1, packet_id: int = 7, properties: bytes | None = None
) -> bytes:
    """A PUBLISH packet; with properties, also empty ones, it is of MQTT 5.0."""
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", packet_id) if qos else b"")
    if properties is not None:
        body += variable(len(properties)) + properties
    body += payload
    return bytes([0x30 | qos << 1]) + variable(len(body)) + body


def variable(n: int) -> bytes:
    out = b""
    while True:
        n, low = divmod(n, 128)
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def read(reader: PacketReader) -> list[Publish | bytes]:
    return list(iter(reader.next, None))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bool, list[bytes], list[Publish | bytes]]:
    """A version of MQTT, packets of it, and what they mean."""
    version_5 = draw(st.booleans())
    packets: list[bytes] = []
    meaning: list[Publish | bytes] = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            packets.append(PINGRESP)
            meaning.append(PINGRESP)
            continue
        topic, payload = draw(st.binary(max_size=20)), draw(st.binary(max_size=2 * MOST))
        qos, packet_id = draw(st.integers(0, 1)), draw(st.integers(1, 65_535))
        properties = draw(st.binary(max_size=200)) if version_5 else None
        packets.append(publish(topic, payload, qos=qos, packet_id=packet_id, properties=properties))
        kept = payload if len(payload) <= MOST else None
        meaning.append(Publish(topic, kept, packet_id if qos else 0, len(payload)))
    return version_5, packets, meaning


@given(stream=streams(), sizes=st.lists(st.integers(1, 400), min_size=1))
def test_packets_do_not_depend_on_how_the_stream_was_cut(
    stream: tuple[bool, list[bytes], list[Publish | bytes]], sizes: list[int]
) -> None:
    """Byte by byte, all at once, or anything between: the same packets, those over the bound without payload."""
    version_5, packets, meaning = stream
    data = b"".join(packets)
    reader, found, at, turn = PacketReader(most_payload_bytes=MOST, version_5=version_5), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        reader.feed(data[at : at + size])
        found += read(reader)
        at, turn = at + size, turn + 1
    assert found == meaning


@given(data=st.binary(), version_5=st.booleans())
def test_any_bytes_give_packets_or_are_undecodable(data: bytes, version_5: bool) -> None:
    reader = PacketReader(most_payload_bytes=MOST, version_5=version_5)
    reader.feed(data)
    try:
        read(reader)
    except UndecodableError:
        return


def test_a_payload_over_its_bound_is_not_kept_in_memory() -> None:
    """It is told of as soon as its head is there, and its bytes go as they come."""
    reader = PacketReader(most_payload_bytes=MOST, version_5=False)
    packet = publish(b"plant/a", b"x" * 5_000_000)
    reader.feed(packet[:1000])
    assert read(reader) == [Publish(b"plant/a", None, 7, 5_000_000)]
    for at in range(1000, len(packet), 100_000):
        reader.feed(packet[at : at + 100_000])
        assert read(reader) == []
    reader.feed(PINGRESP)
    assert read(reader) == [PINGRESP]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xd0\xff\xff\xff\xff\x01", "more than four bytes"),
        (b"\x34\x07\x00\x01a\x00\x01xy", "QoS 2"),
        (b"\x32\x05\x00\x01a\x00\x00", "no packet id"),
        (b"\x32\x03\x00\x09a", "ends within its packet id"),
        (b"\x30\x01\x00", "ends within its topic"),
        (b"\x90\xff\xff\xff\x7f", "control packet of 268435455 bytes"),
    ],
)
def test_what_does_not_follow_the_protocol_is_said(data: bytes, why: str) -> None:
    reader = PacketReader(most_payload_bytes=MOST, version_5=False)
    reader.feed(data)
    with pytest.raises(UndecodableError, match=why):
        read(reader)


def test_acknowledgements_are_four_bytes_each() -> None:
    assert pubacks(np.array([1, 0x1234, 65_535], np.uint16)) == bytes.fromhex("40020001 40021234 4002ffff")
