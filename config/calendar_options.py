"""Options of calendars: when work is planned.

Imports: standard library, pydantic, config.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.options import Options, Title, choice
from config.quantities import Day, EndOfDay, LocalTime, TimeOfDay

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
    days: list[Annotated[str, *choice("a day of the week", *DAYS)]] = Field(
        list(DAYS),
        description="Days of the week on which it starts; every day where left out. Empty: only by `exceptions`.",
    )
    breaks: list[Break] = Field([], description="Planned breaks within the shift.")
    valid_from: Day | None = Field(None, description="First date on which it may start.")
    valid_until: Day | None = Field(None, description="Last date on which it may start.")


class PlannedStop(Options):
    """A time in which planning wants no work, as a plant shutdown or a maintenance: planned, but not busy time."""

    start: LocalTime = Field(description="Start by the plant's wall clock.")
    end: LocalTime = Field(description="End by the plant's wall clock.")
    kind: Annotated[str, *choice("a kind of planned stop", "stop", "maintenance")] = Field(
        "stop",
        description="A `stop`, or `maintenance`, which is counted as such while the machine does not work, in shifts "
        "and outside.",
    )


class CalendarOptions(Options):
    """When work is planned. What a machine's calendar does not say is its line's, and then the plant's."""

    shifts: Annotated[list[ShiftOptions], Field(min_length=1)] | None = Field(
        None, description="Shifts, which may not overlap; around the clock where no calendar names any."
    )
    holidays: list[Day] | None = Field(None, description="Dates on which no shift starts.")
    exceptions: dict[Day, list[str]] | None = Field(
        None,
        description="Date → names of the shifts that start on it, whatever their days and the holidays say; none where "
        "empty. They belong to the shifts beside them: with shifts of its own a calendar has its own only.",
    )
    planned_stops: list[PlannedStop] | None = Field(
        None, description="Times in which planning wants no work; they add to those of the line and the plant."
    )
    overtime: Annotated[str, *choice("a rule for overtime", "extends", "apart")] | None = Field(
        None,
        description="What work outside planned busy time is: it `extends` that time (so where left out), or is counted "
        "`apart`.",
    )
