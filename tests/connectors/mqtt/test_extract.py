"""Payloads to samples: every value, and every name under which bad input is counted."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import Fault, FaultCounts, Quality, SampleBatch, TextCodes
from connectors.mqtt.columns import Columns
from connectors.mqtt.extract import TopicPlan
from connectors.mqtt.json_text import PayloadError, parse_json
from connectors.mqtt.paths import MISSING, parse_path, value_at
from connectors.mqtt.settings import MqttItem

RECEIVED = 1_772_000_000_000_000_000


class Topic:
    """A plan with its columns and faults."""

    def __init__(self, *items: MqttItem, most_texts: int = 100) -> None:
        self.texts = TextCodes(most_per_tag=most_texts)
        self.faults = FaultCounts()
        self.columns = Columns()
        self.plan = TopicPlan("plant/a", items, self.texts, self.faults)

    def send(self, payload: bytes | str) -> SampleBatch:
        self.plan.extract(payload.encode() if isinstance(payload, str) else payload, RECEIVED, self.columns)
        return self.columns.take(lambda tag, value: self.faults.add(Fault.NOT_FINITE, f"{tag} {value}"))


def number(tag: int = 1, path: str = "v", **more: Any) -> MqttItem:
    return MqttItem(tag, "plant/a", "json", path, **more)


def test_one_message_gives_the_values_of_all_its_items_at_its_own_time() -> None:
    topic = Topic(
        number(1, "counts.good", time_path="ts"),
        number(2, "counts.scrap", time_path="ts"),
        number(3, "axes[1].load"),
        number(4, '["dotted.key"]'),
        number(5, "running"),
    )
    batch = topic.send(
        '{"ts": 1718000000123, "counts": {"good": 7, "scrap": 2}, "axes": [{}, {"load": 0.5}],'
        ' "dotted.key": -1e3, "running": true}'
    )
    assert dict(zip(batch.tag.tolist(), batch.value.tolist(), strict=True)) == {1: 7, 2: 2, 3: 0.5, 4: -1000, 5: 1}
    times = dict(zip(batch.tag.tolist(), batch.time.tolist(), strict=True))
    assert times[1] == times[2] == 1_718_000_000_123_000_000
    assert times[3] == times[4] == times[5] == RECEIVED
    assert topic.faults.counts == {}


def test_texts_become_codes_and_numbers_in_their_place_become_texts() -> None:
    topic = Topic(number(text=True))
    sent = ['"RUN"', '"压机"', "4711", "true", "12.0", '"RUN"']
    codes = [int(topic.send(f'{{"v": {each}}}').value[0]) for each in sent]
    assert topic.texts.texts(codes) == ["RUN", "压机", "4711", "true", "12.0", "RUN"]


@pytest.mark.parametrize(
    ("payload", "value"), [("12.5", 12.5), (" 7\n", 7), ("true", 1), ("FALSE", 0), ("-1e-3", -0.001)]
)
def test_a_plain_payload_is_one_number(payload: str, value: float) -> None:
    assert Topic(MqttItem(1, "plant/a", "plain")).send(payload).value.tolist() == [value]


def test_a_plain_payload_may_be_a_text() -> None:
    topic = Topic(MqttItem(1, "plant/a", "plain", text=True))
    assert topic.texts.text(int(topic.send("RUN").value[0])) == "RUN"


BAD_VALUES = [
    ('{"v": null}', Fault.WRONG_TYPE),
    ('{"v": [1, 2]}', Fault.WRONG_TYPE),
    ('{"v": {"a": 1}}', Fault.WRONG_TYPE),
    ('{"v": "12.5"}', Fault.NOT_A_NUMBER),
    ('{"v": ""}', Fault.NOT_A_NUMBER),
    ('{"v": NaN}', Fault.NOT_FINITE),
    ('{"v": -Infinity}', Fault.NOT_FINITE),
    ('{"v": 1e999}', Fault.NOT_FINITE),
    (f'{{"v": 1{"0" * 400}}}', Fault.NOT_FINITE),
]


@pytest.mark.parametrize(("payload", "fault"), BAD_VALUES)
def test_a_value_that_is_none_is_delivered_as_bad_and_counted(payload: str, fault: Fault) -> None:
    topic = Topic(number(1, "v"), number(2, "w"))
    batch = topic.send(payload[:-1] + ', "w": 3}')
    assert topic.faults.counts == {fault: 1}
    assert topic.faults.examples[fault]
    assert (batch.tag.tolist(), batch.quality.tolist()) == ([1, 2], [Quality.BAD, Quality.GOOD])
    assert math.isnan(batch.value[0])
    assert batch.value[1] == 3


@pytest.mark.parametrize("value", ["null", "[]", "{}", f'"{"x" * 501}"', f"1{'0' * 200}"])
def test_a_text_that_is_none_is_delivered_as_bad(value: str) -> None:
    topic = Topic(number(text=True))
    assert topic.send(f'{{"v": {value}}}').quality.tolist() == [Quality.BAD]
    assert topic.faults.counts == {Fault.WRONG_TYPE: 1}


def test_a_text_that_cannot_be_stored_as_utf8_is_delivered_as_bad() -> None:
    topic = Topic(number(text=True))
    assert topic.send('{"v": "\\ud800"}').quality.tolist() == [Quality.BAD]
    assert topic.faults.counts == {Fault.INVALID_UTF8: 1}
    topic.faults.examples[Fault.INVALID_UTF8].encode()


def test_more_texts_than_a_tag_may_send_are_bad() -> None:
    topic = Topic(number(text=True), most_texts=1)
    assert [int(topic.send(f'{{"v": "{each}"}}').quality[0]) for each in "aab"] == [0, 0, Quality.BAD]
    assert topic.faults.counts == {Fault.TOO_MANY_TEXTS: 1}


NO_DOCUMENTS = [
    (b"{a: 1}", Fault.MALFORMED_JSON),
    (b'{"v": 1,}', Fault.MALFORMED_JSON),
    (b'{"v": 1} x', Fault.MALFORMED_JSON),
    (b'{"v": 01}', Fault.MALFORMED_JSON),
    (b"RUN", Fault.MALFORMED_JSON),
    (b"[" * 200_000 + b"]" * 200_000, Fault.MALFORMED_JSON),
    (b'{"v": ' + b"9" * 5000 + b"}", Fault.MALFORMED_JSON),
    (b'{"v": 1', Fault.TRUNCATED_JSON),
    (b"", Fault.TRUNCATED_JSON),
    (b'{"v": "\xe5\x8e', Fault.TRUNCATED_JSON),
    (b'{"v": "\xff"}', Fault.INVALID_UTF8),
    ('{"v": 1}'.encode("utf-16"), Fault.INVALID_UTF8),
]


@pytest.mark.parametrize(("payload", "fault"), NO_DOCUMENTS)
def test_what_is_no_document_is_counted_by_name_and_delivers_nothing(payload: bytes, fault: Fault) -> None:
    topic = Topic(number())
    assert len(topic.send(payload)) == 0
    assert topic.faults.counts == {fault: 1}
    assert topic.faults.examples[fault].startswith("plant/a: ")


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ("RUN", Fault.NOT_A_NUMBER),
        ("1_0", Fault.NOT_A_NUMBER),
        ("", Fault.NOT_A_NUMBER),
        ("inf", Fault.NOT_FINITE),
        (b"\xff", Fault.INVALID_UTF8),
    ],
)
def test_a_plain_payload_that_is_no_number_is_bad(payload: str | bytes, fault: Fault) -> None:
    topic = Topic(MqttItem(1, "plant/a", "plain"))
    assert topic.send(payload).quality.tolist() == [Quality.BAD]
    assert topic.faults.counts == {fault: 1}


def test_a_message_that_leaves_a_path_out_is_counted_and_delivers_the_rest() -> None:
    """Devices that send only what changed are common."""
    topic = Topic(number(1, "v"), number(2, "w.x[3]"), number(3, "w[0]"), number(4, "v[0]"))
    assert topic.send('{"v": 1, "w": {"x": [1, 2]}}').tag.tolist() == [1]
    assert topic.faults.counts == {Fault.MISSING_PATH: 3}


@pytest.mark.parametrize("time", ['"soon"', "null", "[]", "1e300", "true"])
def test_an_unreadable_time_is_counted_and_the_time_of_receipt_taken(time: str) -> None:
    topic = Topic(number(time_path="ts"))
    assert topic.send(f'{{"v": 1, "ts": {time}}}').time.tolist() == [RECEIVED]
    assert topic.send('{"v": 1}').time.tolist() == [RECEIVED]
    assert topic.faults.counts == {Fault.BAD_TIMESTAMP: 2}


def test_a_byte_order_mark_is_no_fault() -> None:
    topic = Topic(number())
    assert topic.send(b'\xef\xbb\xbf{"v": 1}').value.tolist() == [1]


def test_of_a_key_that_occurs_twice_the_last_value_counts() -> None:
    assert Topic(number()).send('{"v": 1, "v": 2}').value.tolist() == [2]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("vwtsab"), inner, max_size=4),
    max_leaves=12,
)
WATCHED = (
    number(1, "v", time_path="t"),
    number(2, "w.v", time_path="t", time_unit="iso"),
    number(3, "v[0]", text=True),
    number(4, ""),
    number(5, "s", text=True, time_path="w.t", time_unit="s"),
    MqttItem(6, "plant/a", "plain"),
    MqttItem(7, "plant/a", "plain", text=True),
)


def fates(topic: Topic, batch: SampleBatch) -> int:
    """Items accounted for: delivered, or left out by name; a document that cannot be read stands for its five."""
    counts = topic.faults.counts
    unread = sum(counts.get(f, 0) for f in (Fault.MALFORMED_JSON, Fault.TRUNCATED_JSON))
    return len(batch) + counts.get(Fault.MISSING_PATH, 0) + 5 * unread


@given(payload=st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_payload_is_delivered_or_counted_and_never_raises(payload: bytes) -> None:
    topic = Topic(*WATCHED)
    batch = topic.send(payload)
    assert set(batch.quality.tolist()) <= {Quality.GOOD, Quality.BAD}
    assert all((q == Quality.BAD) == math.isnan(v) for q, v in zip(batch.quality, batch.value, strict=True))
    if topic.faults.counts.get(Fault.INVALID_UTF8, 0) == 0:
        assert fates(topic, batch) == len(WATCHED)
    bad = int((batch.quality == Quality.BAD).sum())
    assert sum(topic.faults.counts.values()) >= bad
    assert all(example.encode() for example in topic.faults.examples.values())


@given(document=JSON, data=st.data())
def test_a_mutated_document_never_raises(document: Any, data: st.DataObject) -> None:
    payload = bytearray(json.dumps(document, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    topic = Topic(*WATCHED)
    batch = topic.send(bytes(payload))
    assert len(batch) or topic.faults.counts


@given(document=st.lists(JSON, max_size=4) | st.dictionaries(st.text(max_size=5), JSON, max_size=4), data=st.data())
def test_every_beginning_of_a_document_is_called_truncated(document: Any, data: st.DataObject) -> None:
    payload = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    with pytest.raises(PayloadError) as raised:
        parse_json(cut)
    assert raised.value.fault is Fault.TRUNCATED_JSON


@given(document=JSON)
def test_a_good_document_is_what_the_standard_library_reads(document: Any) -> None:
    text = json.dumps(document)
    assert repr(parse_json(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a.b[0][1].c-d", ("a", "b", 0, 1, "c-d")),
        ("[2].x", (2, "x")),
        ('["a.b"]["c\\"d"].e', ("a.b", 'c"d', "e")),
        ("压机.温度", ("压机", "温度")),
    ],
)
def test_a_path_is_keys_and_indexes(path: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(path) == steps


@pytest.mark.parametrize("path", [".a", "a.", "a..b", "a[", "a[-1]", "a[x]", "a b", "a.[0]", '["a"]b', "a]"])
def test_what_is_no_path_says_where(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be read from character"):
        parse_path(path)


def test_an_index_into_a_text_is_no_path() -> None:
    assert value_at({"v": "RUN"}, ("v", 0)) is MISSING


def test_columns_forget_what_a_failed_message_began() -> None:
    columns = Columns()
    columns.add(1, 10, 0.5)
    columns.add_bad(2, 20)
    columns.value.append(3.0)
    columns.cut(1)
    batch = columns.take(lambda tag, value: None)
    assert (batch.tag.tolist(), batch.quality.tolist()) == ([1], [Quality.GOOD])
