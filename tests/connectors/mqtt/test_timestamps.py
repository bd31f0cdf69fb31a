"""Timestamps of devices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mqtt.timestamps import NS_OF_UNIT, TimeUnit, UnreadableTimeError, to_ns


@given(number=st.integers(-(2**63), 2**63), unit=st.sampled_from(["s", "ms", "us", "ns"]))
def test_integers_are_exact(number: int, unit: TimeUnit) -> None:
    ns = number * NS_OF_UNIT[unit]
    if abs(ns) < 2**63:
        assert to_ns(number, unit) == ns
        assert to_ns(str(number), unit) == ns
    else:
        with pytest.raises(UnreadableTimeError):
            to_ns(number, unit)


@pytest.mark.parametrize(
    ("value", "unit", "ns"),
    [
        (1718000000.123, "s", 1_718_000_000_123_000_000),
        (1718000000123.456, "ms", 1_718_000_000_123_456_000),
        (1718000000123.0, "ms", 1_718_000_000_123_000_000),
        ("1718000000.123456789", "s", 1_718_000_000_123_456_789),
        (1.5, "ns", 1),
        (0, "ms", 0),
        ("1970-01-01T00:00:00Z", "iso", 0),
        ("2024-06-10T14:13:20.123456789+08:00", "iso", 1_718_000_000_123_456_789),
        ("2024-06-10 06:13:20.1Z", "iso", 1_718_000_000_100_000_000),
        ("2024-06-10t06:13z", "iso", 1_717_999_980_000_000_000),
        ("2024-06-10T03:43:20,5-0230", "iso", 1_718_000_000_500_000_000),
        ("1969-12-31T23:59:59.999999999Z", "iso", -1),
        ("2016-12-31T23:59:60Z", "iso", 1_483_228_800_000_000_000),
    ],
)
def test_a_timestamp_is_what_its_sender_wrote(value: Any, unit: TimeUnit, ns: int) -> None:
    assert to_ns(value, unit) == ns


@given(
    moment=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001  # the offset is drawn beside it
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_iso_agrees_with_the_standard_library(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    assert to_ns(aware.isoformat(), "iso") == ns


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (None, "ms"),
        (True, "ms"),
        ([1], "ms"),
        ("soon", "ms"),
        ("1_000", "ms"),
        ("", "ms"),
        ("1e400", "ms"),
        ("NaN", "ms"),
        (float("nan"), "s"),
        (float("inf"), "s"),
        (1e300, "s"),
        (10**400, "ns"),
        (1718000000, "iso"),
        ("2024-06-10T06:13:20", "iso"),
        ("2024-02-30T06:13:20Z", "iso"),
        ("2024-06-10T24:00:00Z", "iso"),
        ("9999-06-10T06:13:20Z", "iso"),
        ("٢٠٢٤-06-10T06:13:20Z", "iso"),
    ],
)
def test_what_is_no_timestamp_is_unreadable(value: Any, unit: TimeUnit) -> None:
    with pytest.raises(UnreadableTimeError):
        to_ns(value, unit)
