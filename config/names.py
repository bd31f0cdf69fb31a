"""Names in InfluxDB, in one place: the forwarder writes them, the boards and exports query them.

Fields of `element` and `kpi` are the ids of `kpi.elements.ELEMENTS` and `kpi.formulas.KPIS`; element fields are in the
element's shown unit (seconds, pieces, kWh). A plant's own KPIs, its declared elements and those of serial lines are
fields of `kpi` under their ids. Time is the start of the window.
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
    MEASURED = "measured"  # statistics of measured values that have limits, one point a minute
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
    WEEK = "week"
    MONTH = "month"


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
    REASON = "reason"  # why it stands, as the machine says it; empty where it says nothing


class MeasuredField(StrEnum):
    """Fields of `measured`; tag `signal` is the characteristic. Sums are of values less the nominal; they can be added
    up over minutes: mean = nominal + Σsum / Σn."""

    N = "n"
    MEAN = "mean"  # of the values themselves
    DEVIATION = "deviation"  # standard deviation of the minute's values, from two values on
    SUM = "sum"
    SUM_SQ = "sum_sq"


PROVISIONAL: Final = "provisional"
"""Boolean field of `kpi`: the window is not over yet."""

COVERAGE: Final = "coverage"
"""Field of `kpi` and `element`: share of planned busy time with good data, 0 to 1."""

REVISION: Final = "revision"
"""Integer field of `kpi` and `element`: how often a row that was said as closed has been said again; of a window, the
highest of its rows."""

CAUSE: Final = "cause"
"""Text field of `element` and `kpi`, from revision 1 on: why it was said again (`RevisionCause` of the journal); of
a window, that of its highest revision."""

ABSENT: Final = "absent"
"""Text field of `kpi`: ids of the KPIs without a value, with blanks between.

A point that is written again keeps the fields that the new one does not have, in every InfluxDB: a KPI that had a value
and lost it, as when a late sample takes away the only piece, would keep the old one. A field cannot be taken back: NaN
is no value of line protocol, deleting is another API in each version and does not survive a request that is sent twice,
and a number that stands for nothing would be averaged. So each point says which of its KPIs are absent; elements are
always there, and 0 where there is nothing."""

RESERVED: Final = frozenset(
    {*Tag, PROVISIONAL, REVISION, CAUSE, ABSENT, "time", "start", "end", "shift_start", "warnings"}
)
"""What a KPI of a plant's own cannot be called, since it stands beside it in points and exports."""
