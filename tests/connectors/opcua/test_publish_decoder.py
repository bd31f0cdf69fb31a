"""The decoder of notifications against a slow twin, against asyncua, and against hostile bytes."""

from __future__ import annotations

import math
import struct
import tracemalloc
import uuid
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary, variant_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import Fault, FaultCounts, Quality, TextCodes
from connectors.opcua.binary import Cursor, DecodeError
from connectors.opcua.publish_decoder import FailedServiceError, Publish, PublishDecoder
from tests.connectors.opcua.wire import (
    RECEIVED,
    TICKS_AT_1970,
    Sent,
    data_change,
    publish_response,
    response_header,
    string,
)

NOW = TICKS_AT_1970 + 17_000_000_000_000_000
V = ua.VariantType
MOST_HANDLE = 12

RANGES = {
    V.SByte: (-(2**7), 2**7 - 1),
    V.Byte: (0, 2**8 - 1),
    V.Int16: (-(2**15), 2**15 - 1),
    V.UInt16: (0, 2**16 - 1),
    V.Int32: (-(2**31), 2**31 - 1),
    V.UInt32: (0, 2**32 - 1),
    V.Int64: (-(2**63), 2**63 - 1),
    V.UInt64: (0, 2**64 - 1),
}


class Decoded:
    """A decoder of tags 0 to MOST_HANDLE and what it counted."""

    def __init__(self, text_tags: Sequence[int] = (), namespaces: Sequence[str] = (), most_per_tag: int = 100) -> None:
        self.faults = FaultCounts()
        self.texts = TextCodes(most_per_tag=most_per_tag)
        names = {tag: f"node {tag}" for tag in range(MOST_HANDLE + 1)}
        self.decoder = PublishDecoder(names, text_tags, self.texts, self.faults, namespaces)

    def publish(self, *sent: Sent | bytes) -> Publish:
        items = [s.to_bytes() if isinstance(s, Sent) else s for s in sent]
        return self.decoder.publish(publish_response([data_change(items)]), RECEIVED)

    def value(self, sent: Sent | bytes) -> tuple[float, int]:
        samples = self.publish(sent).notification.samples
        return float(samples.value[0]), int(samples.quality[0])

    def text(self, variant: ua.Variant) -> str:
        value, quality = self.value(Sent(1, variant, source=NOW))
        assert quality == Quality.GOOD
        return self.texts.text(int(value))


def variants() -> st.SearchStrategy[ua.Variant | None]:
    whole: st.SearchStrategy[ua.Variant] = st.one_of(
        [st.integers(*RANGES[k]).map(partial(ua.Variant, VariantType=k)) for k in RANGES]
    )
    others: st.SearchStrategy[ua.Variant | None] = st.one_of(
        st.none(),
        st.booleans().map(lambda b: ua.Variant(b, V.Boolean)),
        st.floats(width=32).map(lambda x: ua.Variant(x, V.Float)),
        st.floats().map(lambda x: ua.Variant(x, V.Double)),
        st.integers(0, 2**32 - 1).map(lambda n: ua.Variant(ua.StatusCode(n), V.StatusCode)),
        st.text(max_size=5).map(lambda t: ua.Variant(t, V.String)),
        st.uuids().map(lambda u: ua.Variant(u, V.Guid)),
        st.binary(max_size=5).map(lambda b: ua.Variant(b, V.ByteString)),
        st.text(max_size=5).map(lambda t: ua.Variant(ua.LocalizedText(t, "en"), V.LocalizedText)),
        st.text(max_size=5).map(lambda t: ua.Variant(ua.QualifiedName(t, 3), V.QualifiedName)),
        st.integers(0, 2**32 - 1).map(lambda n: ua.Variant(ua.NodeId(n, 4), V.NodeId)),
        st.lists(st.floats(), max_size=3).map(lambda x: ua.Variant(x, V.Double, is_array=True)),
        st.lists(st.text(max_size=3), max_size=3).map(lambda x: ua.Variant(x, V.String, is_array=True)),
        st.just(ua.Variant(None, V.Null)),
        st.just(ua.Variant(ua.Range(1.0, 2.0), V.ExtensionObject)),
        st.just(ua.Variant(ua.DataValue(ua.Variant(1.0, V.Double)), V.DataValue)),
        st.just(ua.Variant([ua.Variant(1, V.Int16), ua.Variant("x", V.String)], V.Variant, is_array=True)),
        st.just(ua.Variant([[1, 2], [3, 4]], V.Int32, [2, 2], is_array=True)),
    )
    return whole | others


def notifications(*, picoseconds: bool = True) -> st.SearchStrategy[Sent]:
    status = st.sampled_from([None, 0, 0x480, 0x40900000, 0x80310000, 0x408F0000, 0xC0000000]) | st.integers(
        0, 2**32 - 1
    )
    ticks = st.sampled_from([None, NOW, NOW + 1, 0, -5, 2_650_467_743_999_999_999]) | st.integers(-(2**63), 2**63 - 1)
    pico = st.none() | st.integers(0, 2**16 - 1) if picoseconds else st.none()
    return st.builds(Sent, st.integers(0, MOST_HANDLE), variants(), status, ticks, pico, ticks, pico)


def streams(*, picoseconds: bool = True) -> st.SearchStrategy[list[Sent]]:
    """Runs of equal shape, long and short, one after the other."""
    run = st.builds(
        lambda sent, n: [sent] * n, notifications(picoseconds=picoseconds), st.sampled_from([1, 1, 2, 7, 8, 9, 80])
    )
    return st.lists(run, max_size=6).map(lambda runs: [sent for one in runs for sent in one])


def test_the_worked_example_decodes_to_its_one_sample() -> None:
    """Example 10.14: handle 7, Double 1.5, Good left out, source time 133500000000000000."""
    part = bytes.fromhex("01002b03011e000000010000000700000005" + "0b000000000000f83f00c083ed8a49da01" + "ffffffff")
    assert len(part) == 39
    samples = Decoded().decoder.publish(publish_response([part]), RECEIVED).notification.samples
    assert samples.tag.tolist() == [7]
    assert samples.value.tolist() == [1.5]
    assert samples.quality.tolist() == [Quality.GOOD]
    assert samples.time.tolist() == [(133_500_000_000_000_000 - TICKS_AT_1970) * 100]


@settings(max_examples=200, deadline=None)
@given(sent=streams())
def test_samples_equal_those_of_the_slow_twin(sent: list[Sent]) -> None:
    """Every scalar type, every combination of status and times, runs of any length, in arrival order."""
    samples = Decoded().publish(*sent).notification.samples
    expected = [s.quality_and_value() for s in sent]
    assert samples.tag.tolist() == [s.handle for s in sent]
    assert samples.quality.tolist() == [quality for quality, _ in expected]
    np.testing.assert_array_equal(samples.value, [value for _, value in expected])
    assert samples.time.tolist() == [s.time() for s in sent]


@settings(max_examples=100, deadline=None)
@given(sent=streams(picoseconds=False))
def test_asyncua_reads_the_same_numbers_from_the_same_bytes(sent: list[Sent]) -> None:
    """Where asyncua is right: without picoseconds, whose place in the stream it mistakes."""
    body = publish_response([data_change([s.to_bytes() for s in sent])])
    response = struct_from_binary(ua.PublishResponse, Buffer(body))
    theirs = [
        Sent(item.ClientHandle, item.Value.Value, item.Value.StatusCode.value if item.Value.StatusCode else 0)
        for item in response.Parameters.NotificationMessage.NotificationData[0].MonitoredItems
    ]
    samples = Decoded().decoder.publish(body, RECEIVED).notification.samples
    assert samples.tag.tolist() == [t.handle for t in theirs]
    np.testing.assert_array_equal(samples.value, [t.quality_and_value()[1] for t in theirs])


def test_what_asyncua_encodes_is_read_with_its_facts() -> None:
    response = ua.PublishResponse()
    response.TypeId = ua.FourByteNodeId(ua.ObjectIds.PublishResponse_Encoding_DefaultBinary)
    response.Parameters.SubscriptionId = 9
    response.Parameters.AvailableSequenceNumbers = [3, 4]
    response.Parameters.MoreNotifications = True
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = 4
    item = ua.MonitoredItemNotification(2, ua.DataValue(ua.Variant(True, V.Boolean)))
    message.NotificationData = [
        ua.DataChangeNotification([item]),
        ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout)),
        ua.EventNotificationList([ua.EventFieldList(1, [ua.Variant("x")]), ua.EventFieldList(1, [])]),
        ua.DataChangeNotification([item, item]),
    ]
    response.Parameters.Results = [ua.StatusCode(0), ua.StatusCode(ua.StatusCodes.BadSequenceNumberUnknown)]
    publish = Decoded().decoder.publish(struct_to_binary(response), RECEIVED)
    assert (publish.subscription, publish.available, publish.more) == (9, (3, 4), True)
    assert publish.acknowledged == (0, 0x807A0000)
    notification = publish.notification
    assert (notification.sequence, notification.keep_alive, notification.events) == (4, False, 2)
    assert notification.status_changes == (0x800A0000,)
    assert notification.samples.value.tolist() == [1.0, 1.0, 1.0]
    assert notification.samples.time.tolist() == [RECEIVED] * 3


def test_an_empty_message_is_a_keep_alive() -> None:
    publish = Decoded().decoder.publish(publish_response([], sequence=8), RECEIVED)
    assert publish.notification.keep_alive
    assert publish.notification.sequence == 8
    assert len(publish.notification.samples) == 0


def test_a_body_without_its_length_is_read_to_the_end_of_its_fields() -> None:
    items = struct.pack("<i", 1) + Sent(3, ua.Variant(2.5, V.Double), source=NOW).to_bytes() + struct.pack("<i", 0)
    part = bytes.fromhex("01002b0301") + struct.pack("<i", -1) + items
    publish = Decoded().decoder.publish(publish_response([part, part], results=(0,)), RECEIVED)
    assert publish.notification.samples.value.tolist() == [2.5, 2.5]
    assert publish.acknowledged == (0,)


def test_a_missing_time_falls_back_to_the_server_and_then_to_the_clock() -> None:
    decoded = Decoded()
    one = ua.Variant(1.0, V.Double)
    samples = decoded.publish(
        Sent(0, one, source=NOW, server=NOW + 10),
        Sent(0, one, server=NOW + 10),
        Sent(0, one, source=0, server=NOW + 10),
        Sent(0, one, source=2_650_467_743_999_999_999, server=NOW + 10),
        Sent(0, one, source=0, server=0),
    ).notification.samples
    now = (NOW - TICKS_AT_1970) * 100
    assert samples.time.tolist() == [now, now + 1000, now + 1000, now + 1000, RECEIVED]
    assert decoded.faults.counts == {Fault.BAD_TIMESTAMP: 1}
    assert set(samples.quality.tolist()) == {Quality.GOOD}


def test_each_kind_of_bad_value_is_counted_under_its_own_name() -> None:
    decoded = Decoded()
    samples = decoded.publish(
        Sent(0, ua.Variant(1.0, V.Double), 0x80310000, NOW),
        Sent(1, ua.Variant(math.nan, V.Double), None, NOW),
        Sent(2, ua.Variant(math.inf, V.Float), None, NOW),
        Sent(3, ua.Variant([1.0], V.Double, is_array=True), None, NOW),
        Sent(4, ua.Variant("12", V.String), None, NOW),
        Sent(5, None, None, NOW),
        Sent(6, ua.Variant(4.0, V.Double), 0x480, NOW),
        Sent(7, ua.Variant(5.0, V.Double), 0x40900000, NOW),
        Sent(8, ua.Variant("12", V.String), 0x80310000, NOW),
    ).notification.samples
    bad, good, uncertain = Quality.BAD, Quality.GOOD, Quality.UNCERTAIN
    assert samples.quality.tolist() == [bad] * 6 + [good, uncertain, bad]
    np.testing.assert_array_equal(samples.value, [math.nan] * 6 + [4.0, 5.0, math.nan])
    assert decoded.faults.counts == {
        Fault.BAD_STATUS: 2,
        Fault.NOT_FINITE: 2,
        Fault.WRONG_TYPE: 2,
        Fault.NOT_A_NUMBER: 1,
        Fault.QUEUE_OVERFLOW: 1,
    }
    assert decoded.faults.examples[Fault.BAD_STATUS] == "node 0: 0x80310000"
    assert decoded.faults.examples[Fault.NOT_A_NUMBER] == "node 4"


def test_texts_of_every_kind_become_codes() -> None:
    decoded = Decoded(text_tags=[1], namespaces=["http://opcfoundation.org/UA/", "urn:server", "urn:maker"])
    some = uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63")
    assert decoded.text(ua.Variant("läuft", V.String)) == "läuft"
    assert decoded.text(ua.Variant(None, V.String)) == ""
    assert decoded.text(ua.Variant(ua.LocalizedText("Executing", "en"), V.LocalizedText)) == "Executing"
    assert decoded.text(ua.Variant(ua.LocalizedText(None, "en"), V.LocalizedText)) == ""
    assert decoded.text(ua.Variant(ua.QualifiedName("Run", 2), V.QualifiedName)) == "Run"
    assert decoded.text(ua.Variant(ua.NodeId(5006, 2), V.NodeId)) == "nsu=urn:maker;i=5006"
    assert decoded.text(ua.Variant(ua.NodeId(85), V.NodeId)) == "i=85"
    assert decoded.text(ua.Variant(ua.NodeId("a;b", 9), V.NodeId)) == "ns=9;s=a;b"
    assert decoded.text(ua.Variant(ua.NodeId(some, 2), V.NodeId)) == f"nsu=urn:maker;g={some}"
    assert decoded.text(ua.Variant(some, V.Guid)) == str(some)
    assert decoded.text(ua.Variant(1001.0, V.Double)) == "1001"
    assert decoded.text(ua.Variant(-3, V.Int16)) == "-3"
    assert decoded.faults.counts == {}


def test_an_expanded_node_id_keeps_the_uri_it_names() -> None:
    raw = bytes([0x80 | 2]) + struct.pack("<HI", 0, 7) + string(b"urn:other")
    decoded = Decoded(text_tags=[1])
    value, _ = decoded.value(struct.pack("<IBB", 1, 0x01, 18) + raw)
    assert decoded.texts.text(int(value)) == "nsu=urn:other;i=7"


def test_texts_that_cannot_be_taken_are_bad_and_counted() -> None:
    decoded = Decoded(text_tags=[1], most_per_tag=1)
    assert decoded.value(struct.pack("<IBB", 1, 0x01, 12) + string(b"\xff\xfe"))[1] == Quality.BAD
    assert decoded.value(struct.pack("<IBB", 1, 0x01, 12) + string(b"x" * 5000))[1] == Quality.BAD
    assert decoded.text(ua.Variant("first", V.String)) == "first"
    assert decoded.value(Sent(1, ua.Variant("second", V.String)))[1] == Quality.BAD
    assert decoded.value(Sent(1, ua.Variant(2.0, V.Double)))[1] == Quality.BAD
    counts = dict(decoded.faults.counts)
    counts.pop(Fault.BAD_TIMESTAMP)
    assert counts == {Fault.INVALID_UTF8: 1, Fault.PAYLOAD_TOO_LARGE: 1, Fault.TOO_MANY_TEXTS: 2}


def test_a_date_is_its_seconds_since_the_epoch_and_a_null_date_no_value() -> None:
    decoded = Decoded()
    raw = struct.pack("<IBBq", 1, 0x01, 13, TICKS_AT_1970 + 25_000_000)
    assert decoded.value(raw)[0] == 2.5
    assert decoded.value(struct.pack("<IBBq", 1, 0x01, 13, 0))[1] == Quality.BAD
    assert decoded.faults.counts[Fault.WRONG_TYPE] == 1


def test_an_unknown_client_handle_is_left_out_and_counted() -> None:
    decoded = Decoded()
    one = ua.Variant(1.0, V.Double)
    samples = decoded.publish(Sent(MOST_HANDLE + 1, one), Sent(3, one), Sent(2**32 - 1, one)).notification.samples
    assert samples.tag.tolist() == [3]
    assert decoded.faults.counts[Fault.UNDECODABLE] == 2


def test_a_republished_message_and_a_read_give_samples_alike() -> None:
    decoded = Decoded()
    sent = [Sent(tag, ua.Variant(tag * 1.5, V.Double), 0, NOW, None, NOW) for tag in range(10)]
    head = struct.pack("<IqI", 6, NOW, 1)
    body = bytes.fromhex("01004303") + response_header() + head + data_change([s.to_bytes() for s in sent])
    republished = decoded.decoder.republish(body, RECEIVED)
    assert republished.sequence == 6
    values = b"".join(s.to_bytes()[4:] for s in sent)
    read = bytes.fromhex("01007a02") + response_header() + struct.pack("<i", len(sent)) + values + struct.pack("<i", -1)
    samples = decoded.decoder.read(read, np.arange(10, dtype=np.int32), RECEIVED)
    for column in ("tag", "time", "value", "quality"):
        np.testing.assert_array_equal(getattr(samples, column), getattr(republished.samples, column))
    with pytest.raises(DecodeError, match="10 values where 9 were read"):
        decoded.decoder.read(read, np.arange(9, dtype=np.int32), RECEIVED)


def test_a_failed_service_is_told_apart_from_bad_bytes() -> None:
    decoded = Decoded()
    with pytest.raises(FailedServiceError) as failure:
        decoded.decoder.publish(bytes.fromhex("01003d03") + response_header(0x80780000), RECEIVED)
    assert failure.value.status == 0x80780000
    assert decoded.faults.counts == {}


def samples_of_all_kinds() -> bytes:
    """A message with a run, lone values, texts, an array, a structure and an event list."""
    one = ua.Variant(1.0, V.Double)
    sent = [Sent(1, one, 0, NOW, 3, NOW, 4)] * 10
    sent += [Sent(2, ua.Variant(True, V.Boolean), source=NOW), Sent(1, ua.Variant("läuft", V.String), 0)]
    sent += [
        Sent(3, ua.Variant([1.0, 2.0], V.Double, is_array=True)),
        Sent(3, ua.Variant(ua.Range(1.0, 2.0), V.ExtensionObject)),
    ]
    sent += [Sent(4, ua.Variant(ua.LocalizedText("Run", "en"), V.LocalizedText), None, NOW)]
    events = bytes.fromhex("0100940301") + string(struct.pack("<iIi", 1, 1, 0))
    return publish_response([data_change([s.to_bytes() for s in sent]), events], available=(4, 5), results=(0, 0))


def test_a_message_cut_at_any_byte_is_refused_and_counted() -> None:
    whole = samples_of_all_kinds()
    decoded = Decoded(text_tags=[1])
    decoded.decoder.publish(whole, RECEIVED)
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            decoded.decoder.publish(whole[:length], RECEIVED)
    assert decoded.faults.counts[Fault.UNDECODABLE] == len(whole)


@settings(max_examples=300, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_bytes_raise_nothing_but_the_declared_error(places: list[tuple[int, int]]) -> None:
    mutated = bytearray(samples_of_all_kinds())
    for place, byte in places:
        mutated[place % len(mutated)] = byte
    decoded = Decoded(text_tags=[1])
    try:
        samples = decoded.decoder.publish(bytes(mutated), RECEIVED).notification.samples
    except DecodeError:
        return
    assert np.isnan(samples.value[samples.quality == Quality.BAD]).all()
    assert np.isfinite(samples.value[samples.quality != Quality.BAD]).all()


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=300))
def test_noise_raises_nothing_but_the_declared_error(noise: bytes) -> None:
    decoded = Decoded(text_tags=[1])
    for body in (noise, publish_response([data_change([noise])]), publish_response([noise])):
        try:
            decoded.decoder.publish(body, RECEIVED)
        except DecodeError:
            continue


@pytest.mark.parametrize("count", [2**31 - 1, -2, -(2**31), 10_000_000])
def test_a_length_that_cannot_be_allocates_nothing(count: int) -> None:
    """Of items, of an array of nulls, of a string, of dimensions."""
    length = struct.pack("<i", count)
    value = struct.pack("<IB", 1, 0x01)
    bodies = [
        publish_response([bytes.fromhex("01002b0301") + string(length)]),
        *(
            publish_response([data_change([value + bytes([kind]) + length])])
            for kind in (12, 0x80 | 11, 0x80 | 12, 0x80 | 24)
        ),
        publish_response([data_change([value + bytes([0xC0 | 6]) + struct.pack("<i", 0) + length])]),
    ]
    tracemalloc.start()
    try:
        for body in bodies:
            with pytest.raises(DecodeError):
                Decoded().decoder.publish(body, RECEIVED)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_array_of_nulls_costs_nothing_however_long_it_says_it_is() -> None:
    raw = struct.pack("<IBBi", 1, 0x01, 0x80, 2**31 - 1)
    assert Decoded().value(raw)[1] == Quality.BAD


def test_values_within_each_other_have_a_bottom() -> None:
    with pytest.raises(DecodeError, match="within each other"):
        Cursor(bytes([24]) * 5000).skip_variant()


@settings(max_examples=200, deadline=None)
@given(variant=variants().filter(lambda v: v is not None))
def test_stepping_over_a_value_ends_where_asyncua_encodes_its_end(variant: ua.Variant) -> None:
    raw = variant_to_binary(variant)
    at = Cursor(raw + b"\xaa" * 9)
    at.skip_variant()
    assert at.pos == len(raw)
