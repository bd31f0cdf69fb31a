"""What time a journal holds rows of, as people ask for it: from when on, up to when, and from when on by the minute.

Rule: it is said of what is there, not of when somebody wrote it last: a replay writes years in a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from edge_agent.journal import JournalReader
from kpi.elements import HOUR_NS, MINUTE_NS


@dataclass(frozen=True, slots=True)
class HeldRange:
    """start, end: of the first and of the last window held, ns. minutes_from: start of the first minute, ns; None
    where only hours are held."""

    start: int
    end: int
    minutes_from: int | None

    @classmethod
    def of(cls, reader: JournalReader, machines: Sequence[str] | None = None) -> HeldRange | None:
        """What a journal holds of machines (ids; None for all); None where it holds nothing of them."""
        hours, minutes = reader.span("hour", machines), reader.span("minute", machines)
        if minutes is None:
            return None if hours is None else cls(hours[0], hours[1] + HOUR_NS, None)
        first, end = minutes[0], minutes[1] + MINUTE_NS
        # hours are the sums of minutes, kept for longer; in the first of all there may be nothing before its minutes
        if hours is not None and hours[0] + HOUR_NS <= first:
            return cls(hours[0], end, first)
        return cls(first, end, first)

    def words(self, timezone: str) -> str:
        """The range on the plant's wall clock, for a message."""
        by_minute = "" if self.minutes_from == self.start else ", only hours"
        if self.minutes_from is not None and by_minute:
            by_minute = f", minutes from {wall_clock(self.minutes_from, timezone)}"
        return f"{wall_clock(self.start, timezone)} – {wall_clock(self.end, timezone)}{by_minute}"


def wall_clock(at: int, timezone: str) -> str:
    """A time (ns) on the plant's wall clock, to the minute, for a message."""
    return f"{datetime.fromtimestamp(at // 1_000_000_000, UTC).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"
