"""Options of calendars: when work is planned.

Imports: standard library, pydantic, config.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.options import Options, Title, choice
from config.quantities import Day, EndOfDay, TimeOfDay

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Break(Options):
    """A planned break: planned operation time, but not planned busy time."""

    start: TimeOfDay = Field(description="Start by the plant's wall clock.")
    end: EndOfDay = Field(description="End by the plant's wall clock.")


class ShiftOptions(Options):
    """A shift that starts on certain days of the week."""

    name: Title = Field(description="Name as the boards show it.")
    start: TimeOfDay = Field(description="Start by the plant's wall clock.")
    end: EndOfDay = Field(description="End by the plant's wall clock; not after `start` means on the next day.")
    days: Annotated[list[Annotated[str, *choice("a day of the week", *DAYS)]], Field(min_length=1)] = Field(
        list(DAYS), description="Days of the week on which it starts; every day where left out."
    )
    breaks: list[Break] = Field([], description="Planned breaks within the shift.")


class CalendarOptions(Options):
    """When work is planned; without one a machine is planned around the clock."""

    shifts: Annotated[list[ShiftOptions], Field(min_length=1)] = Field(description="Shifts, which may not overlap.")
    holidays: list[Day] | None = Field(
        None, description="Dates on which no shift starts; a line's own calendar without them uses the plant's."
    )
