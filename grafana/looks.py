"""How things look on every board: colours of states, thresholds of KPIs, units, legends and tooltips.

Rule: one colour, one meaning, on all boards. Thresholds are data: a table that a plant edits in Grafana or here.
Imports: kpi, for the names of states and KPIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import dashboard as board_build
from grafana_foundation_sdk.models import common, dashboard

from kpi.plant import State

GREEN: Final = "#56A64B"
YELLOW: Final = "#F2CC0C"
ORANGE: Final = "#FF780A"
RED: Final = "#E02F44"
PURPLE: Final = "#A352CC"
BLUE: Final = "#3274D9"
LIGHT_BLUE: Final = "#8AB8FF"
TEAL: Final = "#37A2A2"
GREY: Final = "#8E8E8E"
DARK: Final = "#4A4E55"
PALE: Final = "#C7D0D9"

STATE_COLOURS: Final[dict[State, str]] = {
    State.PRODUCING: GREEN,
    State.SETUP: BLUE,
    State.STARVED: YELLOW,
    State.BLOCKED: ORANGE,
    State.STOPPED: "#FFA6B0",
    State.BREAKDOWN: RED,
    State.MAINTENANCE: PURPLE,
    State.PLANNED_MAINTENANCE: "#CA95E5",
    State.PLANNED_STOP: TEAL,
    State.IDLE: LIGHT_BLUE,
    State.OFF: DARK,
    State.UNKNOWN: PALE,
}
"""Colour of each state, in the order in which they are listed."""


class Limits(NamedTuple):
    """A KPI is poor below `fair`, fair below `good`, good from there on; beyond `most` its input is wrong."""

    fair: float
    good: float
    most: float | None = None


KPI_LIMITS: Final[dict[str, Limits]] = {
    "oee": Limits(0.60, 0.85, 1.02),
    "availability": Limits(0.75, 0.90),
    "effectiveness": Limits(0.80, 0.95, 1.02),
    "quality_ratio": Limits(0.95, 0.99),
    "first_pass_yield": Limits(0.90, 0.98),
    "coverage": Limits(0.90, 0.99),
}
"""Starting points, not targets: 0.85 is the figure that OEE is commonly measured against. More than 2 % above 1 means
that the planned run time per item is too long or a counter counts too much; it is shown, never capped."""


def kpi_thresholds(kpi: str) -> Any:
    """Red, yellow and green at the limits of a KPI, purple where its input must be wrong."""
    limits = KPI_LIMITS[kpi]
    steps = [(None, RED), (limits.fair, YELLOW), (limits.good, GREEN)]
    if limits.most is not None:
        steps.append((limits.most, PURPLE))
    return thresholds(steps)


def thresholds(steps: list[tuple[float | None, str]]) -> Any:
    """Absolute thresholds; the first step has no value."""
    made = [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    return board_build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def plain_thresholds(colour: str) -> Any:
    """One colour for every value."""
    return thresholds([(None, colour)])


def state_mappings(*, by_code: bool) -> list[Any]:
    """Value mappings that show a state's number (`by_code`) or its name in words and in its colour."""
    options = {
        str(int(state)) if by_code else state.name.lower(): dashboard.ValueMappingResult(
            text=state.name.replace("_", " ").capitalize(), color=colour, index=index
        )
        for index, (state, colour) in enumerate(STATE_COLOURS.items())
    }
    return [dashboard.ValueMap(options=options)]


def words(texts: Mapping[str, str]) -> list[Any]:
    """Value mappings that show texts in place of values, in the form that an override takes."""
    options = {value: {"text": text, "index": index} for index, (value, text) in enumerate(texts.items())}
    return [{"type": "value", "options": options}]


def legend(*calcs: str, right: bool = False) -> Any:
    """A legend below the plot or, as a table, at its right, with the given calculations."""
    made = build.VizLegendOptions().show_legend(True).calcs(list(calcs))
    if right:
        return made.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)
    return made.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)


def tooltip(*, every_series: bool = True) -> Any:
    """A tooltip of all series at the pointer, largest first, or of the one below it."""
    mode = common.TooltipDisplayMode.MULTI if every_series else common.TooltipDisplayMode.SINGLE
    return build.VizTooltipOptions().mode(mode).sort(common.SortOrder.DESCENDING)


def stacked() -> Any:
    """Series on top of each other."""
    return build.StackingConfig().mode(common.StackingMode.NORMAL).group("A")


def fixed_colour(colour: str) -> Any:
    """One colour, whatever the value."""
    return board_build.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color(colour)


def palette_by_name() -> Any:
    """A colour for each series by its name, so that a machine has the same one in every panel."""
    return board_build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def colour_by_thresholds() -> Any:
    """The colour of the threshold that the value has reached."""
    return board_build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)


def override(id_: str, value: object) -> Any:
    """One property of a field override."""
    return dashboard.DynamicConfigValue(id_val=id_, value=value)
