"""The plant's clock: wall time, made faster.

Two ways were weighed: each process keeps its own clock and they are compared, or both compute the time from one
anchor of the system's monotonic clock. The anchor won: the agent and the plant, in two processes, read the same time
to the nanosecond and nothing has to be sent.
"""

from __future__ import annotations

import time


class PlantClock:
    """Nanoseconds since the epoch, UTC, by the plant's clock; a `connectors.ClockNs`.

    Stands at `start_ns` until `run`; then goes `speed` times as fast as wall time; stands again at `stop_at`. It never
    goes back. The anchor is a reading of `time.monotonic_ns`, which on Linux, macOS and Windows counts from the start
    of the system and so means the same in another process of the same machine.
    """

    def __init__(self, start_ns: int, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, got {speed:g}")
        self.start_ns = start_ns
        self.speed = speed
        self._anchor: int | None = None
        self._last: int | None = None

    def __call__(self) -> int:
        """The time now."""
        if self._anchor is None:
            return self.start_ns
        elapsed = max(0, time.monotonic_ns() - self._anchor)
        now = self.start_ns + int(elapsed * self.speed)
        return now if self._last is None else min(now, self._last)

    @property
    def running(self) -> bool:
        """Whether the clock has been started."""
        return self._anchor is not None

    def run(self, anchor: int | None = None) -> int:
        """Start the clock, as if it had stood at its start at `anchor` (of `time.monotonic_ns`; None = now).

        Returns the anchor, for a clock in another process.
        """
        self._anchor = time.monotonic_ns() if anchor is None else anchor
        return self._anchor

    def stop_at(self, last_ns: int) -> None:
        """Let the clock stand once it reaches `last_ns`."""
        self._last = last_ns

    def wall_seconds_until(self, at_ns: int) -> float:
        """How long by wall time until the clock shows `at_ns`; 0 when it does already. The clock must run."""
        return max(0.0, (at_ns - self()) / self.speed / 1e9)
