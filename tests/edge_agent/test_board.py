"""The live board: what of it fits a terminal, and that no figure of the demonstration plant is cut short."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from config.compiler import compile_plant
from connectors import TextCodes
from edge_agent.board import board
from edge_agent.demo_run import demo_config
from edge_agent.figures import PlantFigures
from kpi.plant import Plant

FIGURES = {
    "oee": 0.841, "availability": 0.944, "effectiveness": 0.931, "quality_ratio": 1.0, "gq": 12345.0, "sq": 678.0,
    "energy_per_piece": 0.123, "coverage": 1.0,
}  # fmt: skip


def printed(plant: Plant, width: int) -> list[str]:
    """The board of a plant that had a good week, as lines of a terminal so wide."""
    machines = [machine.id for machine in plant.machines]
    lines = {machine.line: FIGURES for machine in plant.machines}
    now = {one: {"state": "breakdown", "product": "HSG-125", "power_kw": 17.25} for one in machines}
    out = io.StringIO()
    figures = PlantFigures(dict.fromkeys(machines, FIGURES), lines, FIGURES)
    Console(file=out, width=width).print(board(figures, now, plant))
    return out.getvalue().splitlines()


@pytest.fixture(scope="module")
def plant() -> Plant:
    """The demonstration plant."""
    return compile_plant(demo_config({}), TextCodes()).plant


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, ["cnc-01", "breakdown", "84%", "94%", "93%", "100%", "12,345", "678", "17.2", "0.123", "100%"]),
        (120, ["cnc-01", "breakdown", "HSG-125", "84.1%", "94.4%", "93.1%", "100.0%", "12,345", "678", "17.25", "0.123",
               "100.0%"]),
    ],
)  # fmt: skip
def test_the_board_shows_every_figure_whole(plant: Plant, width: int, shown: list[str]) -> None:
    lines = printed(plant, width)
    assert lines[1].split() == shown
    assert len(lines) == 1 + len(plant.machines) + 2 + 1  # a heading, machines, lines, the plant: a row each
    assert "…" not in "".join(lines)


def test_on_a_terminal_that_is_too_narrow_rows_wrap_and_nothing_is_lost(plant: Plant) -> None:
    lines = printed(plant, 66)
    assert "…" not in "".join(lines)
    assert sum(line.count("12,345") for line in lines) == len(plant.machines) + 2 + 1
