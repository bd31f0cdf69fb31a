"""Timestamps of devices to nanoseconds, exactly: integers stay integers, fractions are taken as they were written.

Two ways were weighed for fractions such as 1718000000.123 s: multiply the float (fast, and off by up to 200 ns, so that
the same instant sent twice may differ), or go through its shortest decimal form, which is what the sender wrote. The
second won; it costs a microsecond and only where a fraction is sent.
"""

from __future__ import annotations

import functools
import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]

NS_OF_UNIT: Final[dict[str, int]] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_MOST_NS: Final = 2**63 - 1
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_ISO: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,18}))?)?(?:([Zz])|([+-])(\d{2}):?(\d{2})?)",
    re.ASCII,
)


class UnreadableTimeError(ValueError):
    """Not a timestamp of the configured unit, or outside 1677 to 2262, which is what int64 nanoseconds hold."""


def to_ns(value: Any, unit: TimeUnit) -> int:
    """Nanoseconds since the epoch, UTC, of a timestamp as JSON gave it.

    A number of the unit, or the same as a text of decimal digits; for `iso` an RFC 3339 text with its offset. A text
    without an offset is not read: whose local time it is, nobody said. Digits beyond the nanosecond are cut off.
    Raises UnreadableTimeError.
    """
    if unit == "iso":
        if type(value) is not str:
            raise UnreadableTimeError("a text was expected")
        ns = _from_iso(value)
    elif type(value) is int:
        ns = value * NS_OF_UNIT[unit]
    elif type(value) is float or type(value) is str:
        ns = _from_decimal(str(value), NS_OF_UNIT[unit])
    else:
        raise UnreadableTimeError("a number was expected")
    if not -_MOST_NS <= ns <= _MOST_NS:
        raise UnreadableTimeError("out of range; is the unit right?")
    return ns


def _from_decimal(text: str, ns_of_unit: int) -> int:
    if len(text) > 40 or not text.isascii() or "_" in text:
        raise UnreadableTimeError("a number was expected")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UnreadableTimeError("a number was expected") from None
    if not number.is_finite() or number.adjusted() > 20:
        raise UnreadableTimeError("out of range")
    return int(number * ns_of_unit)


def _from_iso(text: str) -> int:
    read = _ISO.fullmatch(text.strip())
    if read is None:
        raise UnreadableTimeError("not an RFC 3339 timestamp with its offset, as 2026-03-02T06:00:00.5+08:00")
    day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = read.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    # A leap second is counted as the first second of the next minute, as POSIX time does.
    if hours > 23 or minutes > 59 or seconds > 60:
        raise UnreadableTimeError("no such time of day")
    total = _midnight(day) + hours * 3600 + minutes * 60 + seconds
    if sign is not None:
        offset = int(offset_hours) * 3600 + int(offset_minutes or 0) * 60
        total += offset if sign == "-" else -offset
    return total * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))


@functools.lru_cache(maxsize=64)
def _midnight(day: str) -> int:
    try:
        return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86_400
    except ValueError:
        raise UnreadableTimeError("no such day") from None
