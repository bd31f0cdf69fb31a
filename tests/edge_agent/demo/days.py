"""Simulated days that several tests look at."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from edge_agent.demo.events import MS, Event
from edge_agent.demo.layout import CALENDAR
from edge_agent.demo.plant import DemoPlant
from edge_agent.demo.process import DEFAULT_SEED

HOUR: Final = 3_600_000_000_000
SHIFT_START: Final = CALENDAR.latest_shift_start(1_760_000_000_000) * MS
"""06:00 in Shanghai, on a day in October 2025."""


@lru_cache(maxsize=4)
def simulated(hours: float, *, start: int = SHIFT_START, seed: int = DEFAULT_SEED) -> tuple[DemoPlant, list[Event]]:
    """A plant that has run for so long, to a quiet time, and all its events. Not to be advanced further."""
    plant = DemoPlant(seed, start)
    last = plant.quiet_time(start + int(hours * HOUR))
    return plant, plant.advance(last)


LATE_START: Final = SHIFT_START + 8 * HOUR
"""14:00 of that day."""

LATE_HOURS: Final = 9.0
"""Until 23:00: a whole shift with its breaks, and the beginning of the night."""


def late_shift() -> tuple[DemoPlant, list[Event]]:
    """The plant from 14:00 to 23:00."""
    return simulated(LATE_HOURS, start=LATE_START)
