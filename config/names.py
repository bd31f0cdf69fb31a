"""Names in InfluxDB, in one place: the forwarder writes them, the boards and exports query them.

Fields of `element` and `kpi` are the ids of `kpi.elements.ELEMENTS` and `kpi.formulas.KPIS`; element fields are in the
element's shown unit (seconds, pieces, kWh). Time is the start of the window.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Measurement(StrEnum):
    """What a point is about."""

    SIGNAL = "signal"  # raw samples
    STATE = "state"  # state intervals, cut at minute edges
    ELEMENT = "element"  # minute elements
    KPI = "kpi"  # KPIs with the elements they come from, one point a window
    AGENT = "agent"  # health of connections


class Tag(StrEnum):
    """Tags: few and bounded."""

    SITE = "site"
    AREA = "area"
    LINE = "line"
    MACHINE = "machine"
    LEVEL = "level"
    WINDOW = "window"
    SIGNAL = "signal"
    SHIFT = "shift"
    PRODUCT = "product"
    CONNECTION = "connection"


class Level(StrEnum):
    """ISA-95 level of a `kpi` point. A level above `machine` leaves out the tags below it."""

    MACHINE = "machine"
    LINE = "line"
    AREA = "area"
    SITE = "site"


class Window(StrEnum):
    """Length of the window of a `kpi` point."""

    MINUTE = "minute"
    HOUR = "hour"
    SHIFT = "shift"
    DAY = "day"


class SignalField(StrEnum):
    """Fields of `signal`: `value` or `text`, and `quality` (0 good, 1 uncertain, 2 bad) where it is not good."""

    VALUE = "value"
    TEXT = "text"
    QUALITY = "quality"


class StateField(StrEnum):
    """Fields of `state`, at the start of each interval."""

    STATE = "state"  # lower-case name of `kpi.plant.State`
    CODE = "code"  # its number
    SECONDS = "seconds"


PROVISIONAL: Final = "provisional"
"""Boolean field of `kpi`: the window is not over yet."""

COVERAGE: Final = "coverage"
"""Field of `kpi` and `element`: share of planned busy time with good data, 0 to 1."""
