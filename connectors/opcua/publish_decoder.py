"""From the bytes of a PublishResponse to columns of samples; no object per value where the type has a fixed width.

A run of MonitoredItemNotifications with equal mask byte and equal scalar type is an array of fixed stride (34 bytes for
a Double with status and both times), so one `numpy.frombuffer` with a structured type reads it. Where a run ends is
found by comparing two bytes at the stride: notification i + 1 begins one stride after notification i because i has
that shape, so the first difference is the first byte that may be misread, and nothing behind it is touched.

Rule 1: the order of fields is that of the stream, not of the mask's bits: SourceTimestamp, SourcePicoseconds,
    ServerTimestamp, ServerPicoseconds (Part 6, 5.2.2.17).
Rule 2: what a sample is worth (quality, time, fault) is decided in one place, `_judge`, for all shapes alike.
Rule 3: bytes that do not follow the protocol raise DecodeError and nothing else; memory stays in proportion to them.

Two ways were weighed for values that stand alone between others of a different shape: a `struct` call each, or to
collect their offsets and gather each shape at once. Gathering won: a Python loop then only measures lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from connectors.faults import Fault, FaultCounts
from connectors.opcua.binary import TAIL_WIDTH, VARIANT_WIDTH, Cursor, DecodeError
from connectors.opcua.wire_texts import NodeIdText, TextError, text_of_number, text_of_value
from connectors.samples import Float64, Int32, Int64, Quality, SampleBatch, UInt8
from connectors.texts import TextCodes, TooManyTextsError

TICKS_AT_1970: Final = 116_444_736_000_000_000
"""DateTime of the Unix epoch: 100 ns since 1601-01-01 UTC."""
FIRST_CREDIBLE: Final = TICKS_AT_1970 + 946_684_800 * 10_000_000
"""2000-01-01: OPC UA is of 2006, so a clock that says less has not been set."""
LAST_CREDIBLE: Final = TICKS_AT_1970 + 7_258_118_400 * 10_000_000
"""2200-01-01: `DateTime.MaxValue` and the like mean "none", and int64 ns end in 2262."""

_FIRST_NS: Final = (FIRST_CREDIBLE - TICKS_AT_1970) * 100

_PUBLISH_RESPONSE: Final = 829
_REPUBLISH_RESPONSE: Final = 835
_READ_RESPONSE: Final = 634
_DATA_CHANGE: Final = 811
_STATUS_CHANGE: Final = 820
_EVENT_LIST: Final = 916

_NULL: Final = 0
_BOOLEAN: Final = 1
_STRING: Final = 12
_DATE_TIME: Final = 13
_GUID: Final = 14

_I32 = struct.Struct("<i").unpack_from

_OVERFLOW_MASK: Final = 0x0C80
_OVERFLOW: Final = 0x0480
"""InfoType 01 (DataValue) with the overflow bit (Part 4, 7.39)."""

_PROBE: Final = 8
"""A run of so many is read at its stride; what is shorter is gathered."""

_SEVERITY: Final = np.array([Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD], np.uint8)

_NUMBER, _TEXT, _WRONG_TYPE, _NOT_A_NUMBER, _TOO_MANY_TEXTS, _INVALID_UTF8, _TOO_LARGE = range(7)
_FAULT_OF_KIND: Final = {
    _WRONG_TYPE: Fault.WRONG_TYPE,
    _NOT_A_NUMBER: Fault.NOT_A_NUMBER,
    _TOO_MANY_TEXTS: Fault.TOO_MANY_TEXTS,
    _INVALID_UTF8: Fault.INVALID_UTF8,
    _TOO_LARGE: Fault.PAYLOAD_TOO_LARGE,
}

_VALUE_TYPE: Final = {
    1: "u1", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
    13: "<i8", 19: "<u4",
}  # fmt: skip
"""numpy type of the scalars that are numbers, by Variant type id."""


_Result = TypeVar("_Result")


class FailedServiceError(DecodeError):
    """A response that says no more than that its service failed with `status`."""

    def __init__(self, status: int, at: int) -> None:
        super().__init__(f"the service failed with 0x{status:08X}", at)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class Notification:
    """One NotificationMessage.

    sequence: its number; of a keep-alive, the next one. publish_time: DateTime ticks. keep_alive: it held nothing.
    samples: what its data changes said. status_changes: StatusCodes of the subscription itself. events: how many.
    """

    sequence: int
    publish_time: int
    keep_alive: bool
    samples: SampleBatch
    status_changes: tuple[int, ...] = ()
    events: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Publish:
    """One PublishResponse.

    available: sequence numbers that the server still holds for Republish. acknowledged: a StatusCode for each
    acknowledgement of the request, in its order.
    """

    subscription: int
    available: tuple[int, ...]
    more: bool
    notification: Notification
    acknowledged: tuple[int, ...]


class _Shape(NamedTuple):
    """Bytes of equal notifications: their length and how numpy reads them."""

    size: int
    dtype: np.dtype[np.void]
    variant: int | None


@lru_cache(maxsize=4096)
def _shape(mask: int, variant: int, prefix: int) -> _Shape:
    """The shape of a notification with this mask and scalar type; prefix: 4 with a client handle, 0 without."""
    names, formats, offsets = [], [], []
    at = prefix + 1
    if prefix:
        names, formats, offsets = ["handle"], ["<u4"], [0]
    if mask & 0x01:
        at += 1
        if variant in _VALUE_TYPE:
            names.append("value")
            formats.append(_VALUE_TYPE[variant])
            offsets.append(at)
        at += VARIANT_WIDTH[variant]
    for bit, name, kind, width in _TAIL:
        if mask & bit:
            names.append(name)
            formats.append(kind)
            offsets.append(at)
            at += width
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": at})
    return _Shape(at, dtype, variant if mask & 0x01 else None)


_TAIL: Final = (
    (0x02, "status", "<u4", 4),
    (0x04, "source", "<i8", 8),
    (0x10, "source_picoseconds", "<u2", 2),
    (0x08, "server", "<i8", 8),
    (0x20, "server_picoseconds", "<u2", 2),
)


@lru_cache(maxsize=256)
def _tail_dtype(mask: int) -> np.dtype[np.void]:
    """How numpy reads what stands behind a value."""
    return np.dtype([(name, kind) for bit, name, kind, _ in _TAIL if mask & bit])


@dataclass(slots=True, eq=False)
class _Columns:
    """Fields of n notifications as they were sent; kind: number, text code, or why it is neither."""

    handle: npt.NDArray[np.uint32]
    value: Float64
    status: npt.NDArray[np.uint32]
    source: Int64
    server: Int64
    kind: UInt8 | None = None
    picoseconds: Int64 | None = None

    @classmethod
    def of_length(cls, n: int) -> _Columns:
        return cls(
            np.zeros(n, np.uint32), np.empty(n), np.zeros(n, np.uint32), np.zeros(n, np.int64), np.zeros(n, np.int64)
        )

    def kinds(self) -> UInt8:
        if self.kind is None:
            self.kind = np.zeros(len(self.handle), np.uint8)
        return self.kind

    def sub_ticks(self) -> Int64:
        if self.picoseconds is None:
            self.picoseconds = np.zeros(len(self.handle), np.int64)
        return self.picoseconds

    def fill(self, where: slice | Int64, records: npt.NDArray[Any], variant: int | None) -> None:
        """Copy the fields of equal notifications to their places."""
        self.fill_facts(where, records)
        if variant is None or variant == _NULL:
            self.value[where] = np.nan
            self.kinds()[where] = _WRONG_TYPE
        elif variant == _BOOLEAN:
            self.value[where] = records["value"] != 0
        elif variant == _DATE_TIME:
            ticks = records["value"]
            self.value[where] = np.where(ticks > 0, (ticks - TICKS_AT_1970) / 10_000_000, np.nan)
            self.kinds()[where] = np.where(ticks > 0, _NUMBER, _WRONG_TYPE)
        else:
            self.value[where] = records["value"]

    def fill_facts(self, where: slice | Int64, records: npt.NDArray[Any]) -> None:
        """Copy all but the values."""
        names = records.dtype.names or ()
        if "handle" in names:
            self.handle[where] = records["handle"]
        if "status" in names:
            self.status[where] = records["status"]
        if "source" in names:
            self.source[where] = records["source"]
        if "server" in names:
            self.server[where] = records["server"]
        if "source_picoseconds" in names:
            # 10 ps units; above 9 999 means 9 999 (Part 6, 5.2.2.17)
            self.sub_ticks()[where] = np.minimum(records["source_picoseconds"], 9_999) // 100


@dataclass(slots=True)
class _Lone:
    """Notifications of one shape that stand between others: their places in the message and in the bytes."""

    shape: _Shape
    size: int = field(init=False)
    places: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = self.shape.size


@dataclass(slots=True)
class _Odd:
    """Notifications with one mask whose values have no fixed width, in lists: these are made one by one."""

    places: list[int] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)


class PublishDecoder:
    """Decodes notifications into samples. The client handle of an item is its tag.

    tags: tag → name of its node, for examples of faults. text_tags: those whose values become text codes.
    faults: where faults are counted. namespaces: of the session, so that a NodeId's text names its URI.
    """

    def __init__(
        self,
        tags: Mapping[int, str],
        text_tags: Iterable[int],
        texts: TextCodes,
        faults: FaultCounts,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._names = dict(tags)
        # The last place stays False: it stands for every handle that is too large.
        self._known = np.zeros(max(self._names, default=-1) + 2, np.bool_)
        self._known[list(self._names)] = True
        self._text_tags = frozenset(text_tags)
        self._text = np.zeros(len(self._known), np.bool_)
        self._text[list(self._text_tags)] = True
        self._codes: dict[bytes, float] = {}
        self._texts = texts
        self._faults = faults
        self.namespaces = tuple(namespaces)

    def publish(self, body: bytes, received: int) -> Publish:
        """Decode a PublishResponse from its type id on. received: ns since the epoch, the last resort as a time.

        Raises DecodeError, which is counted as UNDECODABLE; faults of the values before it are counted too.
        """
        return self._guarded(lambda: self._publish(body, received))

    def republish(self, body: bytes, received: int) -> Notification:
        """Decode a RepublishResponse, as `publish` does."""
        return self._guarded(lambda: self._republish(body, received))

    def read(self, body: bytes, tags: Int32, received: int) -> SampleBatch:
        """Decode a ReadResponse to the values of nodes whose tags are given, in the order they were asked for.

        Raises DecodeError, also where the response holds another number of values.
        """
        return self._guarded(lambda: self._read(body, tags, received))

    def _guarded(self, decode: Callable[[], _Result]) -> _Result:
        try:
            return decode()
        except FailedServiceError:
            raise
        except DecodeError as error:
            self._faults.add(Fault.UNDECODABLE, str(error))
            raise

    def _publish(self, body: bytes, received: int) -> Publish:
        at = Cursor(body)
        _response_header(at, _PUBLISH_RESPONSE)
        subscription = at.u32()
        available = _u32_array(at)
        more = at.u8() != 0
        notification = self._notification(at, received)
        acknowledged = _u32_array(at)
        for _ in range(at.count(1)):
            at.skip_diagnostic_info()
        return Publish(subscription, available, more, notification, acknowledged)

    def _republish(self, body: bytes, received: int) -> Notification:
        at = Cursor(body)
        _response_header(at, _REPUBLISH_RESPONSE)
        return self._notification(at, received)

    def _read(self, body: bytes, tags: Int32, received: int) -> SampleBatch:
        at = Cursor(body)
        _response_header(at, _READ_RESPONSE)
        columns = self._items(at, 0, lambda place: int(tags[place]) if place < len(tags) else -1)
        if len(columns.handle) != len(tags):
            raise DecodeError(f"{len(columns.handle)} values where {len(tags)} were read", at.pos)
        columns.handle = tags.astype(np.uint32)
        return self._judge(columns, received)

    def _notification(self, at: Cursor, received: int) -> Notification:
        sequence = at.u32()
        publish_time = at.i64()
        parts = at.count(3)
        batches: list[SampleBatch] = []
        status_changes: list[int] = []
        events = 0
        for _ in range(parts):
            kind, inner, has_length = _extension_object(at)
            if kind == _DATA_CHANGE:
                batches.append(self._judge(self._items(inner, 4, None), received))
                _skip_diagnostics(inner)
            elif kind == _STATUS_CHANGE:
                status_changes.append(inner.u32())
                if inner.pos < inner.end:
                    inner.skip_diagnostic_info()
            elif kind == _EVENT_LIST:
                events += inner.count(1)
            if not has_length:
                at.pos = inner.pos
        return Notification(
            sequence, publish_time, parts == 0, SampleBatch.concat(batches), tuple(status_changes), events
        )

    def _items(self, at: Cursor, prefix: int, tag_at: Callable[[int], int] | None) -> _Columns:
        """An array of DataValues, each with `prefix` bytes of client handle before it.

        tag_at: the tag by place, for values without a client handle.
        """
        count = at.count(prefix + 1)
        columns = _Columns.of_length(count)
        lone: dict[int, _Lone] = {}
        odd: dict[int, _Odd] = {}
        data, last = at.data, at.end
        pos, place = at.pos, 0
        key = _key(data, pos + prefix) if count else 0
        while place < count:
            group = lone.get(key)
            if group is None:
                if _has_no_fixed_width(key):
                    at.pos = pos
                    pos = self._odd(odd, place, at, prefix, tag_at)
                    place += 1
                    key = _key(data, pos + prefix) if place < count else 0
                    continue
                group = lone[key] = _Lone(_shape(key >> 8, key & 0xFF, prefix))
            size = group.size
            behind = pos + size
            if behind > last:
                raise DecodeError(f"notification {place} of {count} is cut short", pos)
            if place + 1 == count:
                next_key = 0
            else:
                next_key = _key(data, behind + prefix)
                most = min(count - place, (last - pos) // size)
                if next_key == key and most >= _PROBE:
                    run = _run_length(data, pos + prefix, size, key, most)
                    if run < _PROBE:
                        group.places.extend(range(place, place + run))
                        group.starts.extend(range(pos, pos + run * size, size))
                    else:
                        records = np.frombuffer(data, group.shape.dtype, run, pos)
                        columns.fill(slice(place, place + run), records, group.shape.variant)
                    pos += run * size
                    place += run
                    key = _key(data, pos + prefix) if place < count else 0
                    continue
            group.places.append(place)
            group.starts.append(pos)
            pos, place, key = behind, place + 1, next_key
        _gather(columns, lone, data)
        _place(columns, odd)
        at.pos = pos
        return columns

    def _odd(
        self, odd: dict[int, _Odd], place: int, at: Cursor, prefix: int, tag_at: Callable[[int], int] | None
    ) -> int:
        """One notification whose value has no fixed width: a text, or an array or structure, which no tag can take.

        Returns the position behind it.
        """
        data = at.data
        handle = at.u32() if prefix else 0
        tag = handle if tag_at is None else tag_at(place)
        mask, variant = data[at.pos], data[at.pos + 1]
        value_at = at.pos + 2
        code: float | None = None
        at.pos += 1
        if variant == _STRING and tag in self._text_tags and value_at + 4 <= at.end:
            # The same text again, as nearly always: known by its bytes.
            behind = value_at + 4 + int(_I32(data, value_at)[0])
            code = self._codes.get(data[value_at + 4 : behind]) if behind >= value_at + 4 else None
        if code is None:
            at.skip_variant()
        else:
            at.pos = behind
        behind = at.pos
        at.skip(TAIL_WIDTH[mask])
        kind = _TEXT
        if mask & 0x02 and data[behind + 3] & 0x80:
            kind, code = _NUMBER, np.nan  # a bad status says it all
        elif code is None:
            kind, code = self._code(Cursor(data, value_at), variant, tag)
            if kind == _TEXT and variant == _STRING:
                self._codes[data[value_at + 4 : behind]] = code
        group = odd.get(mask) or odd.setdefault(mask, _Odd())
        group.places.append(place)
        group.handles.append(handle)
        group.kinds.append(kind)
        group.values.append(code)
        group.tails.append(data[behind : at.pos])
        return at.pos

    def _code(self, at: Cursor, variant: int, tag: int) -> tuple[int, float]:
        """What a value of variable width becomes: a text code, or a fault."""
        if tag not in self._names:
            return _NUMBER, np.nan
        try:
            text = text_of_value(at, variant, self._node_id_text)
        except TextError as error:
            return {Fault.INVALID_UTF8: _INVALID_UTF8, Fault.PAYLOAD_TOO_LARGE: _TOO_LARGE}[error.fault], np.nan
        if text is None:
            return _WRONG_TYPE, np.nan
        if tag not in self._text_tags:
            return _NOT_A_NUMBER, np.nan
        try:
            return _TEXT, float(self._texts.code(text, tag))
        except TooManyTextsError:
            return _TOO_MANY_TEXTS, np.nan

    def _node_id_text(self, node: NodeIdText) -> str:
        return node.text(self.namespaces)

    def _judge(self, columns: _Columns, received: int) -> SampleBatch:
        """Samples from what was sent: tag, time, quality and faults (rule 2 of this module)."""
        columns = self._of_known_tags(columns)
        n = len(columns.handle)
        if not n:
            return SampleBatch.empty()
        tag = columns.handle.view(np.int32)
        quality = self._quality(tag, columns.status)
        value = columns.value
        if self._text_tags:
            self._code_numbers(columns, tag, quality)
        if columns.kind is not None:
            self._count_kinds(columns.kind, tag, quality)
        finite = np.isfinite(value)
        if not finite.all():
            odd = ~finite & (quality != Quality.BAD)
            self._count(Fault.NOT_FINITE, odd, tag)
            quality[odd] = Quality.BAD
        if quality.any():
            value[quality == Quality.BAD] = np.nan
        return SampleBatch(tag, self._times(columns, tag, received), value, quality)

    def _of_known_tags(self, columns: _Columns) -> _Columns:
        handle = columns.handle
        keep = self._known.take(handle, mode="clip")
        if keep.all():
            return columns
        stranger = int(handle[~keep][0])
        self._faults.add(Fault.UNDECODABLE, f"client handle {stranger} belongs to no item", int((~keep).sum()))
        return _Columns(
            handle[keep],
            columns.value[keep],
            columns.status[keep],
            columns.source[keep],
            columns.server[keep],
            None if columns.kind is None else columns.kind[keep],
            None if columns.picoseconds is None else columns.picoseconds[keep],
        )

    def _quality(self, tag: Int32, status: npt.NDArray[np.uint32]) -> UInt8:
        if not status.any():
            return np.zeros(len(tag), np.uint8)
        quality: UInt8 = _SEVERITY[status >> 30]
        bad = quality == Quality.BAD
        if bad.any():
            first = int(status[bad][0])
            self._count(Fault.BAD_STATUS, bad, tag, f": 0x{first:08X}")
        overflow = (status & _OVERFLOW_MASK) == _OVERFLOW
        if overflow.any():
            self._count(Fault.QUEUE_OVERFLOW, overflow, tag)
        return quality

    def _code_numbers(self, columns: _Columns, tag: Int32, quality: UInt8) -> None:
        """Numbers of tags that want texts: the text of the number."""
        wanted = self._text[tag] & (quality != Quality.BAD) & np.isfinite(columns.value)
        if columns.kind is not None:
            wanted &= columns.kind == _NUMBER
        for place in np.flatnonzero(wanted).tolist():
            try:
                text = text_of_number(float(columns.value[place]))
                columns.value[place] = self._texts.code(text, int(tag[place]))
            except TooManyTextsError:
                columns.kinds()[place] = _TOO_MANY_TEXTS
                columns.value[place] = np.nan

    def _count_kinds(self, kind: UInt8, tag: Int32, quality: UInt8) -> None:
        for code, fault in _FAULT_OF_KIND.items():
            odd = (kind == code) & (quality != Quality.BAD)
            if odd.any():
                self._count(fault, odd, tag)
                quality[odd] = Quality.BAD

    def _times(self, columns: _Columns, tag: Int32, received: int) -> Int64:
        source = columns.source
        time = source - FIRST_CREDIBLE
        # As unsigned numbers, those before the first are beyond the last: one comparison for both.
        if int(time.view(np.uint64).max()) < LAST_CREDIBLE - FIRST_CREDIBLE:
            time *= 100
            time += _FIRST_NS
            if columns.picoseconds is not None:
                time += columns.picoseconds
            return time
        time = _nanoseconds(source)
        known = time != 0
        if columns.picoseconds is not None:
            time[known] += columns.picoseconds[known]
        time[~known] = _nanoseconds(columns.server[~known])
        lost = time == 0
        if lost.any():
            self._count(Fault.BAD_TIMESTAMP, lost, tag)
            time[lost] = received
        return time

    def _count(self, fault: Fault, odd: npt.NDArray[np.bool_], tag: Int32, detail: str = "") -> None:
        count = int(odd.sum())
        if count:
            self._faults.add(fault, self._names[int(tag[int(odd.argmax())])] + detail, count)


def _nanoseconds(ticks: Int64) -> Int64:
    """ns since the epoch, UTC; 0 where the DateTime is null or cannot be believed."""
    credible = (ticks >= FIRST_CREDIBLE) & (ticks < LAST_CREDIBLE)
    return np.where(credible, np.where(credible, ticks, TICKS_AT_1970) - TICKS_AT_1970, 0) * 100


def _key(data: bytes, at: int) -> int:
    """Mask byte and Variant type byte of the DataValue at `at`, which together are its shape."""
    try:
        mask = data[at]
        return mask << 8 | data[at + 1] if mask & 0x01 else mask << 8
    except IndexError:
        raise DecodeError("a value is missing", len(data)) from None


def _has_no_fixed_width(key: int) -> bool:
    """Whether a value must be walked over: a text, an array (type byte above 63), a structure."""
    variant = key & 0xFF
    return variant > 63 or VARIANT_WIDTH[variant] < 0 or variant == _GUID


def _run_length(data: bytes, first: int, size: int, key: int, most: int) -> int:
    """How many notifications from the one whose mask byte is at `first` on have its shape, at most `most`.

    Looks at windows that grow, so that a short run costs as little as it is short.
    """
    run, window = 0, 64
    while run < most:
        ahead = min(window, most - run)
        start = first + run * size
        stop = start + ahead * size
        alike = _leading(data[start:stop:size], key >> 8)
        if key & 0x100 and alike:
            alike = min(alike, _leading(data[start + 1 : stop + 1 : size], key & 0xFF))
        run += alike
        if alike < ahead:
            break
        window *= 16
    return run


def _leading(column: bytes, byte: int) -> int:
    """How many bytes at the start are `byte`."""
    alike = bytes((byte,))
    if column == alike * len(column):
        return len(column)
    return len(column) - len(column.lstrip(alike))


def _gather(columns: _Columns, lone: Mapping[int, _Lone], data: bytes) -> None:
    """Read the notifications of each shape from wherever they stand."""
    octets = np.frombuffer(data, np.uint8)
    for group in lone.values():
        if not group.places:
            continue
        starts = np.array(group.starts, np.int64)
        records = octets[starts[:, None] + np.arange(group.size)].reshape(-1).view(group.shape.dtype)
        columns.fill(np.array(group.places, np.int64), records, group.shape.variant)


def _place(columns: _Columns, odd: Mapping[int, _Odd]) -> None:
    """Put what was made one by one to its places."""
    for mask, group in odd.items():
        where = np.array(group.places, np.int64)
        columns.handle[where] = group.handles
        columns.value[where] = group.values
        columns.kinds()[where] = group.kinds
        if TAIL_WIDTH[mask]:
            columns.fill_facts(where, np.frombuffer(b"".join(group.tails), _tail_dtype(mask)))


def _response_header(at: Cursor, expected: int) -> None:
    """The type id and ResponseHeader of a response. Raises DecodeError for another type or a failed service."""
    if at.end - at.pos >= _PLAIN_HEADER.size:
        type_id, result, diagnostics, strings, additional = _PLAIN_HEADER.unpack_from(at.data, at.pos)
        if (
            type_id == 1 | expected << 16
            and not result >> 31
            and not diagnostics
            and strings in (0, -1)
            and additional == _NOTHING
        ):
            at.pos += _PLAIN_HEADER.size
            return
    kind = _type_id(at)
    if kind != expected:
        raise DecodeError(f"response of type i={kind} where i={expected} belongs", 0)
    at.skip(12)  # timestamp, request handle
    result = at.u32()
    at.skip_diagnostic_info()
    for _ in range(at.count(4)):
        at.skip_raw()
    at.skip_extension_object()
    if result >> 31:
        raise FailedServiceError(result, at.pos)


_PLAIN_HEADER: Final = struct.Struct("<I12xIBi3s")
"""A response header as nearly every server sends it: no diagnostics, no strings, no additional header."""
_NOTHING: Final = b"\x00\x00\x00"
"""The ExtensionObject that holds nothing."""


def _type_id(at: Cursor) -> int:
    """Number of a type in namespace 0; 0 where it is another kind of NodeId, which no type of the protocol has."""
    start = at.pos
    at.skip_node_id()
    data = at.data
    if data[start] == 1 and data[start + 1] == 0:
        return int.from_bytes(data[start + 2 : start + 4], "little")
    if data[start] == 2 and data[start + 1] == data[start + 2] == 0:
        return int.from_bytes(data[start + 3 : start + 7], "little")
    return 0


def _extension_object(at: Cursor) -> tuple[int, Cursor, bool]:
    """Type of an ExtensionObject, a cursor over its body, and whether its length was given.

    Servers of old leave out the length (−1): the body then ends where its fields do.
    """
    kind = _type_id(at)
    encoding = at.u8()
    if encoding == 0:
        return kind, Cursor(b""), True
    length = at.i32()
    start = at.pos
    if length == -1 and encoding == 1:
        return kind, Cursor(at.data, start, at.end), False
    at.skip(length)
    return (kind if encoding == 1 else 0), Cursor(at.data, start, at.pos), True


def _skip_diagnostics(at: Cursor) -> None:
    """DiagnosticInfos behind the items; some servers leave the array out."""
    if at.pos == at.end:
        return
    for _ in range(at.count(1)):
        at.skip_diagnostic_info()


def _u32_array(at: Cursor) -> tuple[int, ...]:
    count = at.count(4)
    start = at.pos
    at.skip(4 * count)
    return struct.unpack_from(f"<{count}I", at.data, start)
