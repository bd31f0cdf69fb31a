"""A slow, obvious twin of the decoder: encodes notifications field by field and says what samples they must become."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from connectors import Quality

TICKS_AT_1970 = 116_444_736_000_000_000
RECEIVED = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Sent:
    """One MonitoredItemNotification; None = the field is left out."""

    handle: int
    variant: ua.Variant | None
    status: int | None = None
    source: int | None = None
    source_picoseconds: int | None = None
    server: int | None = None
    server_picoseconds: int | None = None

    def to_bytes(self) -> bytes:
        """The notification, fields in the order of Part 6, 5.2.2.17."""
        fields = [
            (0x02, "<I", self.status),
            (0x04, "<q", self.source),
            (0x10, "<H", self.source_picoseconds),
            (0x08, "<q", self.server),
            (0x20, "<H", self.server_picoseconds),
        ]
        mask = sum(bit for bit, _, value in fields if value is not None) | (self.variant is not None)
        value = b"" if self.variant is None else variant_to_binary(self.variant)
        tail = b"".join(struct.pack(code, value) for _, code, value in fields if value is not None)
        return struct.pack("<IB", self.handle, mask) + value + tail

    def quality_and_value(self) -> tuple[Quality, float]:
        """What a number tag must make of it."""
        severity = (self.status or 0) >> 30
        quality = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[severity]
        number = as_number(self.variant)
        if quality is Quality.BAD or not math.isfinite(number):
            return Quality.BAD, math.nan
        return quality, number

    def time(self) -> int:
        """The first credible of source time, server time, receive time, in ns since the epoch."""
        if credible(self.source):
            assert self.source is not None
            return (self.source - TICKS_AT_1970) * 100 + min(self.source_picoseconds or 0, 9_999) // 100
        if credible(self.server):
            assert self.server is not None
            return (self.server - TICKS_AT_1970) * 100
        return RECEIVED


def credible(ticks: int | None) -> bool:
    """Between the years 2000 and 2200."""
    return ticks is not None and 946_684_800 <= (ticks - TICKS_AT_1970) / 1e7 < 7_258_118_400


def as_number(variant: ua.Variant | None) -> float:
    """The number that a scalar is; NaN for all else."""
    if variant is None or variant.is_array:
        return math.nan
    value: Any = variant.Value
    if isinstance(value, ua.StatusCode):
        return float(value.value)
    return float(value) if isinstance(value, (bool, int, float)) else math.nan


def string(raw: bytes | None) -> bytes:
    """A String or ByteString."""
    return struct.pack("<i", -1) if raw is None else struct.pack("<i", len(raw)) + raw


def data_change(items: Sequence[bytes]) -> bytes:
    """A DataChangeNotification as an ExtensionObject."""
    body = struct.pack("<i", len(items)) + b"".join(items) + struct.pack("<i", -1)
    return bytes.fromhex("01002b0301") + string(body)


def publish_response(
    parts: Sequence[bytes],
    *,
    sequence: int = 5,
    subscription: int = 77,
    more: bool = False,
    available: Sequence[int] = (),
    results: Sequence[int] = (),
) -> bytes:
    """A PublishResponse from its type id on."""
    return (
        bytes.fromhex("01003d03")
        + response_header()
        + struct.pack("<I", subscription)
        + struct.pack(f"<i{len(available)}I", len(available), *available)
        + struct.pack("<?IqI", more, sequence, TICKS_AT_1970 + 7, len(parts))
        + b"".join(parts)
        + struct.pack(f"<i{len(results)}I", len(results), *results)
        + struct.pack("<i", -1)
    )


def response_header(result: int = 0) -> bytes:
    """A ResponseHeader without diagnostics."""
    return struct.pack("<qIIBi", TICKS_AT_1970, 3, result, 0, -1) + b"\x00\x00\x00"
