"""The board *Plant* on a database that the agent itself filled: every query finds data, and shows what the journal
says."""

from __future__ import annotations

from typing import Any

import pytest

from config.names import Level, Window
from edge_agent.kpi_windows import PlantDays
from edge_agent.plant_facts import plant_of
from grafana.plant import plant_board
from grafana.queries import VERSION, expand, variable_queries
from kpi.elements import MINUTE_NS
from kpi.formulas import evaluate, in_units
from kpi.plant import State
from kpi.rollup import rollup
from tests.grafana.board_queries import Row, as_table, choices, run_board, run_query
from tests.services.delivered_demo import Delivered
from tests.services.influxdb import DATABASE

MS = 1_000_000
Answers = dict[tuple[str, str], list[Row]]


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return plant_board()


def time_range(delivered: Delivered) -> tuple[int, int]:
    """From the hour in which the demonstration began to its end, ms."""
    span = delivered.reader.span()
    assert span is not None
    plant = plant_of(delivered.reader.status()["plant"])
    hour, _ = PlantDays(plant.timezone).hour(span[0])
    return hour // MS, (span[1] + MINUTE_NS) // MS


@pytest.fixture(scope="module", params=[window for window in Window if window is not Window.MINUTE])
def window(request: pytest.FixtureRequest) -> Window:
    """What is chosen on the board."""
    chosen: Window = request.param
    return chosen


@pytest.fixture(scope="module")
def answers(delivered: Delivered, board: dict[str, Any], window: Window) -> Answers:
    start, end = time_range(delivered)
    return run_board(board, delivered.database.url, DATABASE, start, end, choices("demo", window=window))


def panel(answers: Answers, title: str, ref_id: str = "A") -> list[Row]:
    (found,) = [rows for (name, ref), rows in answers.items() if name.startswith(title) and ref == ref_id]
    return found


def of_journal(delivered: Delivered, window: Window, level: Level) -> dict[tuple[int, ...], Row]:
    """KPIs and elements in shown units by start (ms) and machine or line, rolled up from the journal's hours."""
    start, end = time_range(delivered)
    reader = delivered.reader
    plant = plant_of(reader.status()["plant"])
    rows = rollup(reader.elements("hour", start * MS, end * MS), plant, level=level.value, window=window.value)
    found = {}
    for row in in_units(evaluate(rows)).iter_rows(named=True):
        key = (row["time"] // MS, *([row[level.value]] if level is not Level.SITE else []))
        found[key] = row
    return found


def test_every_query_of_the_board_finds_data(answers: Answers) -> None:
    assert answers
    assert [key for key, rows in answers.items() if not rows] == []


@pytest.mark.parametrize(
    ("title", "field"),
    [
        ("OEE of each machine", "oee"),
        ("Good pieces", "gq"),
        ("Scrap", "sq"),
        ("Energy per piece", "energy_per_piece"),
        ("Data coverage", "coverage"),
    ],
)
def test_hours_of_each_machine_are_the_journals(delivered: Delivered, answers: Answers, title: str, field: str) -> None:
    shown = {(row["time"], row["machine"]): row[field] for row in panel(answers, title)}
    expected = {key: row[field] for key, row in of_journal(delivered, Window.HOUR, Level.MACHINE).items()}
    expected = {key: value for key, value in expected.items() if value is not None}
    assert any(expected.values())
    assert shown == pytest.approx(expected)


@pytest.mark.parametrize(
    ("title", "level"), [("Plant,", Level.SITE), ("Lines,", Level.LINE), ("Machines,", Level.MACHINE)]
)
def test_tables_of_the_window_that_is_running_are_the_journals(
    delivered: Delivered, answers: Answers, window: Window, title: str, level: Level
) -> None:
    expected = of_journal(delivered, window, level)
    rows = as_table(answers, title)
    assert len(rows) == len({key[1:] for key in expected}) > 0
    for row in rows:
        key = (row["time"], *([row[level.value]] if level is not Level.SITE else []))
        for field, value in row.items():
            if field not in ("time", "line", "machine", *VERSION):
                assert value == pytest.approx(expected[key][field]), (key, field)


def test_the_state_timeline_and_the_lamps_are_the_journals_intervals(delivered: Delivered, answers: Answers) -> None:
    start, end = time_range(delivered)
    intervals = delivered.reader.intervals(start * MS, end * MS)
    expected = {
        (at // MS, machine, State(state).name.lower())
        for machine, at, state in intervals.select("machine", "start", "state").iter_rows()
    }
    assert {(row["time"], row["machine"], row["state"]) for row in panel(answers, "States")} == expected
    latest = dict(intervals.sort("start").select("machine", "state").iter_rows())
    assert {row["machine"]: row["code"] for row in panel(answers, "Machines now")} == latest


def test_the_choices_of_the_board_are_the_plants_lines_and_machines(
    delivered: Delivered, board: dict[str, Any]
) -> None:
    start, end = time_range(delivered)
    plant = plant_of(delivered.reader.status()["plant"])
    found = {
        name: {
            row["value"]
            for row in run_query(delivered.database.url, DATABASE, expand(query, start, end, 1000, choices("demo")))
        }
        for name, query in variable_queries(board).items()
    }
    assert found == {
        "site": {"demo"},
        "line": {machine.line for machine in plant.machines},
        "machine": {machine.id for machine in plant.machines},
    }
