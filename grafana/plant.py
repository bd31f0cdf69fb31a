"""The board *Plant*: what every machine does now, what it made, how well, and at what cost in energy.

For whoever stands in front of it, from the top: the plant as figures, the machines as lamps, lines and machines as
tables, the states over time, pieces by the hour, losses, energy, and last how far the figures can be trusted.
Rule: every panel names its unit in the title and its formula in the description; formulas come from `kpi.formulas`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import barchart, dashboard, stat, statetimeline, statushistory, table, timeseries
from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from config.names import CAUSE, PROVISIONAL, REVISION, Level, StateField, Tag, Window
from grafana import datasource, looks, queries
from grafana.queries import InfluxQl
from kpi.elements import ELEMENT
from kpi.formulas import KPI
from kpi.plant import State

UID: Final = "edge-agent-plant"
TITLE: Final = "Plant"
TAG: Final = "edge-agent"

POWER_SIGNAL: Final = "power"  # role of the signal in the configuration; kW
STATE_HOLE_MS: Final = 120_000  # intervals are cut at minute edges: two minutes without one is a hole in the data

_DATASOURCE: Final = model.DataSourceRef(type_val="influxdb", uid=f"${{{queries.DATASOURCE_VARIABLE}}}")
_LINK: Final = (
    f"/d/{UID}?${{__url_time_range}}&${{{queries.DATASOURCE_VARIABLE}:queryparam}}&${{{queries.WINDOW}:queryparam}}"
)


class Column(NamedTuple):
    """A figure of a table or of the row of tiles: field, heading, Grafana's unit, decimals."""

    field: str
    heading: str
    unit: str
    decimals: int


COLUMNS: Final[tuple[Column, ...]] = (
    Column("oee", "OEE", "percentunit", 1),
    Column("availability", "Availability", "percentunit", 1),
    Column("effectiveness", "Effectiveness", "percentunit", 1),
    Column("quality_ratio", "Quality ratio", "percentunit", 1),
    Column("gq", "Good", "locale", 0),
    Column("sq", "Scrap", "locale", 0),
    Column("first_pass_yield", "First pass", "percentunit", 1),
    Column("energy", "Energy", "kwatth", 1),
    Column("energy_per_piece", "kWh per piece", "none", 3),
    Column("coverage", "Coverage", "percentunit", 1),
)


class TimePart(NamedTuple):
    """A time element that planned busy time is made of: id, name in the legend, colour as of the state."""

    element: str
    shown: str
    colour: str


TIME_PARTS: Final[tuple[TimePart, ...]] = (
    TimePart("apt", "Producing", looks.STATE_COLOURS[State.PRODUCING]),
    TimePart("aust", "Setup", looks.STATE_COLOURS[State.SETUP]),
    TimePart("starved", "Starved", looks.STATE_COLOURS[State.STARVED]),
    TimePart("blocked", "Blocked", looks.STATE_COLOURS[State.BLOCKED]),
    TimePart("stopped", "Short stops", looks.STATE_COLOURS[State.STOPPED]),
    TimePart("breakdown", "Breakdown", looks.STATE_COLOURS[State.BREAKDOWN]),
    TimePart("cmt", "Maintenance", looks.STATE_COLOURS[State.MAINTENANCE]),
    TimePart("adot", "Idle or off", looks.STATE_COLOURS[State.IDLE]),
    TimePart("unknown", "No data", looks.STATE_COLOURS[State.UNKNOWN]),
)
_FIELDS: Final = tuple(column.field for column in COLUMNS)
_SUMS_SHOWN: Final = tuple(field for field in _FIELDS if field not in KPI)
_KPIS_SHOWN: Final = tuple(field for field in _FIELDS if field in KPI)
_RATIOS: Final = ("oee", "availability", "effectiveness", "quality_ratio")


def plant_board(*, datasource_uid: str = datasource.UID) -> dict[str, Any]:
    """The board as the JSON object that Grafana stores. datasource_uid: the data source chosen at first."""
    board = (
        dashboard.Dashboard(TITLE)
        .uid(UID)
        .description("States, pieces, OEE and energy of a plant, as edge-agent computes them (ISO 22400-2).")
        .tags([TAG])
        .editable()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("10s")
        .timepicker(dashboard.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
        .variables(_variables(datasource_uid))
        .link(
            dashboard.DashboardLink("edge-agent boards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
            .tooltip("Other boards of edge-agent, with the same time range and filters")
        )
    )
    number = 0
    for title, panels in _sections():
        number += 1
        board.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            board.with_panel(panel.id(number))
    return queries.as_json(board.build())


def _sections() -> list[tuple[str, list[Any]]]:
    return [
        ("Now", [_tiles(), _lamps()]),
        ("Lines and machines", [_lines_table(), _machines_table()]),
        ("States", [_state_timeline(), _time_use()]),
        ("Pieces", [_good_pieces(), _scrap_pieces()]),
        ("Effectiveness over time", [_line_oee(), _machine_oee()]),
        ("Energy", [_power(), _energy_by_hour(), _energy_per_piece()]),
        ("Trust in the figures", [_coverage()]),
    ]


# --- template variables --------------------------------------------------------------------------------------------


def _variables(datasource_uid: str) -> list[Any]:
    site = [queries.matches(Tag.SITE, queries.SITE)]
    line = [*site, queries.matches(Tag.LINE, queries.LINE)]
    return [
        dashboard.DatasourceVariable(queries.DATASOURCE_VARIABLE)
        .label("Data source")
        .type("influxdb")
        .current(model.VariableOption(selected=True, text=datasource_uid, value=datasource_uid)),
        _query_variable(queries.SITE, "Site", queries.tag_values(Tag.SITE)),
        _choice_of_many(_query_variable(queries.LINE, "Line", queries.tag_values(Tag.LINE, within=site))),
        _choice_of_many(_query_variable(queries.MACHINE, "Machine", queries.tag_values(Tag.MACHINE, within=line))),
        dashboard.CustomVariable(queries.WINDOW)
        .label("Figures of the")
        .description("Window of the tiles and tables: the one that is running at the end of the time range")
        .values(", ".join(f"{w.capitalize()} : {w}" for w in Window if w is not Window.MINUTE))
        .current(model.VariableOption(selected=True, text="Shift", value=Window.SHIFT.value)),
    ]


def _query_variable(name: str, label: str, query: str) -> Any:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_DATASOURCE)
        .query({"query": query, "refId": "InfluxVariableQueryEditor-VariableQuery"})  # as Grafana 11 stores it
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
    )


def _choice_of_many(variable: Any) -> Any:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(queries.ALL).current(everything)


# --- now -----------------------------------------------------------------------------------------------------------


def _tiles() -> Any:
    panel = (
        stat.Panel()
        .title("Plant, ${window} so far: OEE and its factors, pieces, energy")
        .description(
            "The whole site in the window that is running: elements of all machines added up, then divided. "
            f"Lines and machines chosen above do not narrow it.\n\n{_formulas(_FIELDS)}\n\n{_THRESHOLDS}"
        )
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .orientation(common.VizOrientation.VERTICAL)
        .reduce_options(build.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .thresholds(looks.plain_thresholds(looks.LIGHT_BLUE))
    )
    return _sized(_with_columns(_with_figures(panel, Level.SITE, (), shown=_FIELDS)), width=24, height=4)


def _lamps() -> Any:
    return _sized(
        stat.Panel()
        .title("Machines now: state")
        .description(
            "What each machine does at the end of the time range. *Unknown*: the machine is silent, its connection is "
            "down or it sends a value that no rule names; it is not counted as idle. A machine that is missing "
            "altogether: the agent has written nothing for five minutes."
        )
        .with_target(InfluxQl("A", queries.state_now(StateField.CODE), alias=f"$tag_{Tag.MACHINE}"))
        .mappings(looks.state_mappings(by_code=True))
        .color_scheme(looks.colour_by_thresholds())
        .thresholds(looks.plain_thresholds(looks.PALE))
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .reduce_options(build.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .no_value("No machine has reported for five minutes")
        .data_links([_link("Only ${__field.labels.machine}", queries.MACHINE, "${__field.labels.machine}")]),
        width=24,
        height=4,
    )


# --- tables --------------------------------------------------------------------------------------------------------


def _lines_table() -> Any:
    return _table(
        "Lines, ${window} so far: OEE and its factors (%), pieces, energy (kWh)",
        "Each line's elements added up over its machines, then divided: never a mean of the machines' ratios. Pieces "
        "are those of all its machines: in a chain of machines the same piece counts at each of them.",
        Level.LINE,
        (Tag.LINE,),
        height=6,
    )


def _machines_table() -> Any:
    return _table(
        "Machines, ${window} so far: OEE and its factors (%), pieces, energy (kWh)",
        "A bar that is purple is above 100 %: the planned run time per item is too long, or a counter counts too much.",
        Level.MACHINE,
        (Tag.LINE, Tag.MACHINE),
        height=12,
    )


def _table(title: str, what: str, level: Level, keys: Sequence[Tag], *, height: int) -> Any:
    panel = (
        table.Panel()
        .title(title)
        .description(
            f"{what}\n\nAn empty cell: nothing was planned or made. *Since* is where the window began.\n\n"
            f"{_VERSIONS}\n\n{_formulas(_FIELDS)}\n\n{_THRESHOLDS}"
        )
        .show_header(True)
        .cell_height(common.TableCellHeight.SM)
        .sort_by([build.TableSortByFieldState().display_name(key.capitalize()).desc(False) for key in keys])
        .no_value("–")
    )
    for key in keys:
        panel.override_by_name(
            key,
            [
                looks.override("displayName", key.capitalize()),
                looks.override("custom.width", 150),
                looks.override("links", [_link_json("Only ${__value.raw}", key, "${__value.raw}")]),
            ],
        )
    panel.override_by_name(
        "Time",
        [
            looks.override("displayName", "Since"),
            looks.override("unit", "time:MM-DD HH:mm"),
            looks.override("custom.width", 110),
        ],
    )
    for name, heading, mappings in (
        (PROVISIONAL, "Window", looks.words({"true": "running", "false": "over"})),
        (REVISION, "Revision", looks.words({"0": "–"})),
        (CAUSE, "Corrected by", looks.words({str(cause): words for cause, words in CAUSE_WORDS.items()})),
    ):
        panel.override_by_name(
            name,
            [
                looks.override("displayName", heading),
                looks.override("mappings", mappings),
                looks.override("custom.width", 110),
            ],
        )
    figures = _with_figures(panel, level, keys, shown=(*keys, *_FIELDS, "Time", *queries.VERSION))
    return _sized(_with_columns(figures, gauges=_RATIOS), width=24, height=height)


# --- states --------------------------------------------------------------------------------------------------------


def _state_timeline() -> Any:
    return _sized(
        statetimeline.Panel()
        .title("States of the machines over time")
        .description(
            "One row a machine, drawn from closed intervals that the agent writes at least once a minute, so a state "
            "that does not change leaves no hole. A hole is a time of which nothing was written: the agent was off."
        )
        .with_target(InfluxQl("A", queries.states(StateField.STATE), alias=f"$tag_{Tag.MACHINE}"))
        .mappings(looks.state_mappings(by_code=False))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.85)
        .line_width(0)
        .fill_opacity(90)
        .align_value(common.TimelineValueAlignment.LEFT)
        .legend(looks.legend())
        .tooltip(looks.tooltip(every_series=False))
        .override_by_field_type("string", [looks.override("custom.insertNulls", STATE_HOLE_MS)])
        .no_value("No states in this time range"),
        width=16,
        height=12,
    )


def _time_use() -> Any:
    names = tuple(part.element for part in TIME_PARTS)
    panel = (
        barchart.Panel()
        .title("Where planned time went, ${window} so far (%)")
        .description(
            "Planned busy time (PBT) of each machine, split into the time elements of ISO 22400-2: "
            + ", ".join(f"{part.shown} ({ELEMENT[part.element].name})" for part in TIME_PARTS)
            + ". Breaks and time outside the shifts are not part of it."
        )
        .with_target(InfluxQl("A", queries.latest_windows(names, Level.MACHINE, (Tag.MACHINE,)), table=True))
        .with_transformation(_ordered((Tag.MACHINE, *names)))
        .x_field(Tag.MACHINE)
        .orientation(common.VizOrientation.HORIZONTAL)
        .stacking(common.StackingMode.PERCENT)
        .show_value(common.VisibilityMode.NEVER)
        .bar_width(0.85)
        .line_width(0)
        .fill_opacity(90)
        .unit("s")
        .decimals(0)
        .legend(looks.legend())
        .tooltip(looks.tooltip())
        .no_value("–")
    )
    for element, shown, colour in TIME_PARTS:
        panel.override_by_name(
            element,
            [
                looks.override("displayName", shown),
                looks.override("color", {"mode": "fixed", "fixedColor": colour}),
            ],
        )
    return _sized(panel, width=8, height=12)


# --- pieces --------------------------------------------------------------------------------------------------------


def _good_pieces() -> Any:
    return _hourly_bars(
        "Good pieces per hour",
        f"{_element('gq')}, by the plant's clock hours; the last bar is the hour that is running.",
        "gq",
        "locale",
        0,
    )


def _scrap_pieces() -> Any:
    return _hourly_bars(
        "Scrapped pieces per hour",
        f"{_element('sq')}, by the plant's clock hours; the last bar is the hour that is running.",
        "sq",
        "locale",
        0,
    )


def _hourly_bars(title: str, description: str, field: str, unit: str, decimals: int, *, width: int = 12) -> Any:
    query = queries.windows(field, Level.MACHINE, (Tag.MACHINE,))
    return _sized(
        _series_panel(title, description, unit, decimals)
        .with_target(InfluxQl("A", query, alias=f"$tag_{Tag.MACHINE}"))
        .draw_style(common.GraphDrawStyle.BARS)
        .bar_alignment(common.BarAlignment.AFTER)
        .bar_width_factor(0.9)
        .fill_opacity(75)
        .line_width(0)
        .stacking(looks.stacked())
        .min(0)
        .legend(looks.legend("sum", right=True)),
        width=width,
        height=9,
    )


# --- effectiveness over time ---------------------------------------------------------------------------------------


def _line_oee() -> Any:
    panel = (
        _series_panel("OEE of each line by the hour (%)", f"{_formulas(['oee'])}\n\n{_SUMS}", "percentunit", 1)
        .with_target(InfluxQl("A", queries.windows("oee", Level.LINE, (Tag.LINE,)), alias=f"$tag_{Tag.LINE}"))
        .with_target(InfluxQl("B", queries.windows("oee", Level.SITE, ()), alias="Plant"))
        .draw_style(common.GraphDrawStyle.LINE)
        .line_interpolation(common.LineInterpolation.STEP_AFTER)
        .line_width(2)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .axis_soft_min(0)
        .axis_soft_max(1)
        .legend(looks.legend("lastNotNull", right=True))
        .override_by_name(
            "Plant",
            [
                looks.override("color", {"mode": "fixed", "fixedColor": looks.GREY}),
                looks.override("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
                looks.override("custom.fillOpacity", 0),
            ],
        )
    )
    return _sized(panel, width=12, height=10)


def _machine_oee() -> Any:
    return _history("OEE of each machine by the hour (%)", f"{_formulas(['oee'])}\n\n{_SUMS}", "oee", width=12)


def _coverage() -> Any:
    return _history(
        "Data coverage of each machine by the hour (%)",
        f"{_formulas(['coverage'])}\n\nThe share of planned busy time of which good data tells what the machine did. "
        "Time without good data is left out of the other KPIs: with low coverage they speak of part of the time only.",
        "coverage",
        width=24,
    )


def _history(title: str, description: str, field: str, *, width: int) -> Any:
    query = queries.windows(field, Level.MACHINE, (Tag.MACHINE,))
    return _sized(
        statushistory.Panel()
        .title(title)
        .description(f"{description}\n\n{_THRESHOLDS}")
        .with_target(InfluxQl("A", query, alias=f"$tag_{Tag.MACHINE}"))
        .interval("1h")
        .unit("percentunit")
        .decimals(0)
        .color_scheme(looks.colour_by_thresholds())
        .thresholds(looks.kpi_thresholds(field))
        .row_height(0.9)
        .col_width(0.95)
        .line_width(0)
        .fill_opacity(80)
        .show_value(common.VisibilityMode.AUTO)
        .legend(looks.legend())
        .tooltip(looks.tooltip(every_series=False))
        .no_value("–"),
        width=width,
        height=10,
    )


# --- energy --------------------------------------------------------------------------------------------------------


def _power() -> Any:
    return _sized(
        _series_panel(
            "Electrical power (kW)",
            "Mean of the samples of each machine's power signal in each step of the plot. Only machines with such a "
            "signal, and only while the agent sends raw samples (`agent: {raw: true}`).",
            "kwatt",
            1,
        )
        .with_target(InfluxQl("A", queries.mean_signal(POWER_SIGNAL), alias=f"$tag_{Tag.MACHINE}"))
        .interval("5s")
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .min(0)
        .legend(looks.legend("lastNotNull", "max", right=True)),
        width=12,
        height=9,
    )


def _energy_by_hour() -> Any:
    return _hourly_bars(
        "Electrical energy per hour (kWh)",
        f"{_element('energy')}, from the meters' counters or, where there is none, from power over time.",
        "energy",
        "kwatth",
        1,
    )


def _energy_per_piece() -> Any:
    query = queries.windows("energy_per_piece", Level.MACHINE, (Tag.MACHINE,))
    return _sized(
        _series_panel(
            "Energy per piece by the hour (kWh)",
            f"{_formulas(['energy_per_piece'])}\n\nNo value in an hour without a piece. {_SUMS}",
            "none",
            3,
        )
        .with_target(InfluxQl("A", query, alias=f"$tag_{Tag.MACHINE}"))
        .draw_style(common.GraphDrawStyle.LINE)
        .line_interpolation(common.LineInterpolation.STEP_AFTER)
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .min(0)
        .axis_label("kWh per piece")
        .legend(looks.legend("lastNotNull", right=True)),
        width=24,
        height=9,
    )


# --- what panels have in common ------------------------------------------------------------------------------------

_SUMS: Final = (
    "Each point is the rolled-up window: elements are added up first and divided last. A piece counts when it is "
    "finished, so in the first minutes of a window a figure may be far from what it will be."
)
_THRESHOLDS: Final = (
    "Colours are starting points: "
    + ", ".join(
        f"{KPI[kpi].name_en} green from {limits.good:.0%}, red below {limits.fair:.0%}"
        for kpi, limits in looks.KPI_LIMITS.items()
    )
    + "."
)


_VERSIONS: Final = (
    "*Window* says whether it is still running; *Revision* how often minutes of it were corrected after they had been "
    "said as over, and *Corrected by* why the last time: late data, another calendar, or other rules."
)
CAUSE_WORDS: Final = {
    "late_data": "late data",
    "recomputation": "other rules",
    "calendar_edit": "other calendar",
}
"""Values of the field `cause`, which the agent writes, in words."""


def _formulas(names: Iterable[str]) -> str:
    """A list of KPIs with their formulas and of elements with their names, in Markdown."""
    return "\n".join(f"- {_kpi(name) if name in KPI else _element(name)}" for name in names)


def _kpi(name: str) -> str:
    kpi = KPI[name]
    return f"**{kpi.name_en}** = `{kpi.formula}` ({kpi.source})"


def _element(name: str) -> str:
    element = ELEMENT[name]
    return f"**{element.name.capitalize()}** ({element.symbol}), {element.unit}"


def _series_panel(title: str, description: str, unit: str, decimals: int) -> Any:
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .decimals(decimals)
        .color_scheme(looks.palette_by_name())
        .tooltip(looks.tooltip())
        .no_value("–")
    )


def _with_figures(panel: Any, level: Level, keys: Sequence[Tag], *, shown: Sequence[str]) -> Any:
    """Figures of the latest windows, a query of sums and versions and one of each KPI, as one table.

    shown: its columns in their order; Time only where it is named.
    """
    elements = queries.latest_windows((*_SUMS_SHOWN, *queries.VERSION), level, keys)
    asked = [elements, *(queries.latest_kpi(kpi, level, keys) for kpi in _KPIS_SHOWN)]
    for ref_id, query in zip(ascii_uppercase, asked, strict=False):
        panel.with_target(InfluxQl(ref_id, query, table=True))
    hidden = tuple(name for name in ("Time", *queries.VERSION) if name not in shown)
    merge = model.DataTransformerConfig(id_val="merge", options={})  # rows of the same time, line and machine
    return panel.with_transformation(merge).with_transformation(_ordered(shown, hidden=hidden))


def _with_columns(panel: Any, *, gauges: Sequence[str] = ()) -> Any:
    """Headings, units and colours of the columns; those in `gauges` are drawn as bars from 0 to 100 %."""
    for column in COLUMNS:
        properties = [
            looks.override("displayName", column.heading),
            looks.override("unit", column.unit),
            looks.override("decimals", column.decimals),
        ]
        if column.field in looks.KPI_LIMITS:
            properties.append(looks.override("thresholds", looks.kpi_thresholds(column.field).build()))
            properties.append(looks.override("color", {"mode": "thresholds"}))
        if column.field in gauges:
            properties += [
                looks.override("min", 0),
                looks.override("max", 1),
                looks.override("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
                looks.override("custom.minWidth", 130),
            ]
        elif gauges and column.field in looks.KPI_LIMITS:
            properties.append(looks.override("custom.cellOptions", {"type": "color-text"}))
        panel.override_by_name(column.field, properties)
    return panel


def _ordered(names: Sequence[str], *, hidden: Sequence[str] = ("Time",)) -> Any:
    """Columns in this order: Grafana gives the tags of a table in no particular one."""
    options: Mapping[str, object] = {
        "indexByName": {name: index for index, name in enumerate(names)},
        "excludeByName": dict.fromkeys(hidden, True),
        "renameByName": {},
    }
    return model.DataTransformerConfig(id_val="organize", options=options)


def _link(title: str, variable: str, value: str) -> Any:
    return dashboard.DashboardLink(title).url(f"{_LINK}&var-{variable}={value}")


def _link_json(title: str, variable: str, value: str) -> dict[str, object]:
    return {"title": title, "url": f"{_LINK}&var-{variable}={value}"}


def _sized(panel: Any, *, width: int, height: int) -> Any:
    return panel.datasource(_DATASOURCE).span(width).height(height)
