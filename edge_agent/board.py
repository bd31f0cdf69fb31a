"""The live board in the terminal: what every machine is doing, how well it does, and the plant's totals.

Rule 1: it shows figures that were made elsewhere; a value that is not known is a dash, never a zero.
Rule 2: no figure is ever cut short. A terminal of 80 columns gets the table without products and decimals of percents;
what is too wide even so wraps.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from edge_agent.figures import Figures, PlantFigures, summary
from kpi.plant import Plant, State

STATE_STYLES: Final[Mapping[State, str]] = {
    State.UNKNOWN: "white on grey37",
    State.PRODUCING: "black on green3",
    State.SETUP: "black on sky_blue1",
    State.STARVED: "black on khaki1",
    State.BLOCKED: "black on light_goldenrod3",
    State.STOPPED: "black on orange1",
    State.BREAKDOWN: "white on red3",
    State.IDLE: "black on grey70",
    State.MAINTENANCE: "white on medium_purple3",
    State.OFF: "grey70 on grey15",
    State.PLANNED_MAINTENANCE: "white on medium_purple4",
    State.PLANNED_STOP: "grey70 on grey30",
}

_RATIOS: Final = ("oee", "availability", "effectiveness", "quality_ratio")
_HEADINGS: Final = (
    "Machine", "State", "Product", "OEE", "Avail.", "Effect.", "Quality", "Good", "Scrap", "kW", "kWh/pc", "Coverage",
)  # fmt: skip
_NARROW: Final = ("Machine", "State", "OEE", "Avl", "Eff", "Qual", "Good", "Scrap", "kW", "kWh/pc", "Data")
_LOW, _HIGH = 0.6, 0.85  # OEE below the one is shown red, from the other on green: figures that the trade goes by
_DASH: Final = "–"

MachinesNow = Mapping[str, Mapping[str, Any]]
"""By machine id: `state`, `product`, `power_kw`, as the status `machines` of a journal has them."""


class FittingTable:
    """The first of some tables, widest first, that the terminal is wide enough for."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        endless = options.update(max_width=1000)
        for table in self._tables[:-1]:
            if Measurement.get(console, endless, table).maximum <= options.max_width:
                yield table
                return
        yield self._tables[-1]


def board(figures: PlantFigures, now: MachinesNow, plant: Plant) -> FittingTable:
    """One row a machine, one a line below its machines, one for the plant."""
    return FittingTable(
        _table(figures, now, plant, narrow=False),
        _table(figures, now, plant, narrow=True),
    )


def _table(figures: PlantFigures, now: MachinesNow, plant: Plant, *, narrow: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0) if narrow else (0, 1), header_style="bold", pad_edge=not narrow)
    for heading in _NARROW if narrow else _HEADINGS:
        right = heading not in {"Machine", "State", "Product"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=not narrow, overflow="fold")

    def add(name: str, of: Figures, power: float | None, *what: str | Text, style: str = "") -> None:
        table.add_row(Text(name, "bold" if style else ""), *what, *_cells(of, power, narrow=narrow), style=style)

    nothing = ("",) if narrow else ("", "")
    for line, line_figures in figures.lines.items():
        machines = [machine for machine in plant.machines if machine.line == line]
        for machine in machines:
            doing = now.get(machine.id, {})
            state = _state(doing, narrow=narrow)
            what = (state,) if narrow else (state, str(doing.get("product", "")))
            add(machine.id, figures.machines[machine.id], doing.get("power_kw"), *what)
        power = _power_of([machine.id for machine in machines], now)
        add(f"line {line}", line_figures, power, *nothing, style="on grey11")
    everything = _power_of([machine.id for machine in plant.machines], now)
    table.add_section()
    add(f"plant {plant.site}", figures.site, everything, *nothing, style="bold")
    return table


def framed(table: RenderableType, *, plant: Plant, clock: int, notes: list[str]) -> Group:
    """The board under a head line with the plant's time, above notes of one line each."""
    moment = datetime.fromtimestamp(clock / 1e9, UTC).astimezone(ZoneInfo(plant.timezone))
    head = Text(f"{plant.site}  {moment:%a %Y-%m-%d %H:%M:%S} {plant.timezone}", "bold")
    return Group(head, Text(), table, Text(), *(Text(note, "dim") for note in notes))


def _cells(figures: Figures, power_kw: float | None, *, narrow: bool) -> list[Text]:
    good, scrap = figures.get("gq"), figures.get("sq")
    energy, coverage = figures.get("energy_per_piece"), figures.get("coverage")
    return [
        *(_ratio(figures.get(name), graded=name == "oee", narrow=narrow) for name in _RATIOS),
        Text(_DASH if good is None else f"{good:,.0f}"),
        Text(_DASH if scrap is None else f"{scrap:,.0f}", "" if not scrap else "red3"),
        Text(_DASH if power_kw is None else f"{power_kw:,.{1 if narrow else 2}f}"),
        Text(_DASH if energy is None else f"{energy:.3f}"),
        Text(_percent(coverage, narrow=narrow), "red3" if coverage is not None and coverage < 1 else ""),
    ]


def _ratio(value: float | None, *, graded: bool, narrow: bool) -> Text:
    style = ""
    if graded and value is not None:
        style = "green3" if value >= _HIGH else "red3" if value < _LOW else "yellow3"
    return Text(_percent(value, narrow=narrow), style)


def _percent(value: float | None, *, narrow: bool) -> str:
    return _DASH if value is None else f"{value:.{0 if narrow else 1}%}"


def _state(doing: Mapping[str, Any], *, narrow: bool) -> Text:
    name = str(doing.get("state", "unknown"))
    words = name.replace("_", " ")
    return Text(f" {words:<9} " if narrow else f" {words:<12} ", STATE_STYLES[State[name.upper()]])


def _power_of(machines: list[str], now: MachinesNow) -> float | None:
    known = [power for one in machines if (power := now.get(one, {}).get("power_kw")) is not None]
    return sum(known) if known else None


_COMPARED: Final = (
    ("oee", "OEE"),
    ("availability", "Avail."),
    ("effectiveness", "Effect."),
    ("quality_ratio", "Quality"),
    ("good", "Good"),
    ("scrap", "Scrap"),
    ("energy_kwh", "kWh"),
    ("coverage", "Coverage"),
)


def comparison(figures: PlantFigures, truth: Mapping[str, Any], plant: Plant) -> Table:
    """What the agent computed, and below it what the plant's own book says where that looks different."""
    table = Table(
        box=None, padding=(0, 1), header_style="bold", title="Agent, and the plant's own book where it differs"
    )
    table.add_column("Machine", no_wrap=True)
    for _, heading in _COMPARED:
        table.add_column(heading, justify="right", no_wrap=True)
    for machine in plant.machines:
        said = summary(figures.machines[machine.id])
        _compare(table, machine.id, said, truth["machines"][machine.id])
    table.add_section()
    _compare(table, f"plant {plant.site}", summary(figures.site), truth["plant"])
    return table


def _compare(table: Table, name: str, said: Mapping[str, Any], book: Mapping[str, Any]) -> None:
    ours = [_figure(kpi, said.get(kpi)) for kpi, _ in _COMPARED]
    theirs = [_figure(kpi, book.get(kpi)) for kpi, _ in _COMPARED]
    table.add_row(name, *ours)
    if ours != theirs:
        differing = [their if their != our else "" for our, their in zip(ours, theirs, strict=True)]
        table.add_row("  by the book", *differing, style="yellow3")


def _figure(kpi: str, value: float | None) -> str:
    if value is None:
        return _DASH
    if kpi in {"good", "scrap"}:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if kpi == "energy_kwh" else f"{value:.1%}"
