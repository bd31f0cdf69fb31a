"""The link tag of a connection: 1 at signs of life, 0 at the last one when the connection is lost."""

from __future__ import annotations

import time
from typing import Final

from connectors.contract import ClockNs, Link
from connectors.samples import SampleBatch

SIGN_SECONDS: Final = 1.0
"""At most one sign of life a second of real time becomes a sample,"""
SIGNS_WHILE_ONE_HOLDS: Final = 3
"""unless the agent's clock runs so fast that the one before would lose its force."""


class LinkSignal:
    """Turns signs of life into samples of the link tag."""

    def __init__(self, link: Link, clock: ClockNs) -> None:
        self._link = link
        self._clock = clock
        self._times: list[int] = []
        self._values: list[float] = []
        self._last_sign: int | None = None
        self._delivered: tuple[float, int] | None = None

    def alive(self) -> int:
        """Note a sign of life. Returns its time by the agent's clock."""
        now = self._last_sign = self._clock()
        real = time.monotonic()
        if (
            self._delivered is None
            or real - self._delivered[0] >= SIGN_SECONDS
            or now - self._delivered[1] >= self._link.holds_ns // SIGNS_WHILE_ONE_HOLDS
        ):
            self._delivered = real, now
            self._add(now, 1.0)
        return now

    def lost(self) -> None:
        """Note that the connection is lost since its last sign of life; nothing if it was not up."""
        if self._last_sign is None or self._delivered is None:
            return
        # One nanosecond later where that sign was delivered itself: two values at one time would be a conflict.
        self._add(self._last_sign + (self._last_sign == self._delivered[1]), 0.0)
        self._last_sign = self._delivered = None

    def take(self) -> SampleBatch:
        """The samples since the last call."""
        batch = SampleBatch.of([self._link.tag] * len(self._times), self._times, self._values)
        self._times, self._values = [], []
        return batch

    def _add(self, at: int, value: float) -> None:
        self._times.append(at)
        self._values.append(value)
