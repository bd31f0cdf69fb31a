"""The agent's clock on a gateway whose own may be set: a step is not believed before something confirms it.

Rule: while a step is in doubt, time goes on as before, by the steady clock of the machine. Timestamps of sources that
agree with the new time confirm it at once; those that agree with the old one refute it for as long as they come. Where
no source says anything, the new time holds after a while: somebody set the clock on purpose.

Weighed: to follow the gateway's clock whatever it does. A glitch of a day then writes a day of unknown time for good,
and a clock that is set back refuses everything the sources send as from the future.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_agent.logs import Events

_log = Events("clock")

TOLERANCE_NS: Final = 60_000_000_000
"""A step up to this is taken as it comes: time servers make such, and the correction horizon covers them."""

ACCEPT_AFTER_NS: Final = 600_000_000_000


def boot_time_ns() -> int:
    """ns since the machine started, through sleep too where the system can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


@dataclass(slots=True)
class _Doubt:
    """A step that is not believed yet. step: ns, new time minus old. since: steady ns."""

    step: int
    since: int


class SteadyClock:
    """ns since the epoch, UTC. wall: the gateway's clock. steady: never set, same pace; any zero."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = boot_time_ns) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()
        self._doubt: _Doubt | None = None

    def __call__(self) -> int:
        """The time that holds."""
        steady = self._steady()
        step = self._wall() - steady - self._offset
        if abs(step) <= TOLERANCE_NS:
            if self._doubt is not None:
                _log.info("clock_came_back", seconds=round(self._doubt.step / 1e9))
            self._follow(step)
            return steady + self._offset
        if self._doubt is None or abs(step - self._doubt.step) > TOLERANCE_NS:
            self._doubt = _Doubt(step, steady)
            _log.warning("clock_stepped", seconds=round(step / 1e9), hint="held back until the sources confirm it")
        elif steady - self._doubt.since >= ACCEPT_AFTER_NS:
            self._accept(step, by="time")
        return steady + self._offset

    def hear(self, source_time: int) -> None:
        """Take the newest timestamp that sources sent, ns, as a witness."""
        self()  # a step that nobody has looked at yet: these samples would be judged by the time before it
        doubt = self._doubt
        if doubt is None:
            return
        steady = self._steady()
        old = steady + self._offset
        if abs(source_time - old - doubt.step) <= TOLERANCE_NS:
            self._accept(doubt.step, by="sources")
        elif abs(source_time - old) <= TOLERANCE_NS:
            doubt.since = steady

    def _accept(self, step: int, *, by: str) -> None:
        _log.warning("clock_step_accepted", seconds=round(step / 1e9), by=by)
        self._follow(step)

    def _follow(self, step: int) -> None:
        self._offset += step
        self._doubt = None
