"""Every query of the board *Plant* against a real InfluxDB, on points in the shapes that the agent writes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from config.names import CAUSE, PROVISIONAL, REVISION
from grafana.plant import COLUMNS, STATE_HOLE_MS, plant_board
from grafana.queries import expand, queries, variable_queries
from kpi.elements import ELEMENT_IDS
from kpi.formulas import KPI_IDS
from tests.grafana.board_queries import Row, as_table, choices, run_board, run_query, write_points
from tests.services.influxdb import DATABASE, influxdb

MINUTE = 60_000
HOUR = 60 * MINUTE
NOON = 1_790_078_400_000  # 2026-09-22 12:00 UTC
EARLY_SHIFT = NOON - 6 * HOUR
LATE_SHIFT = NOON + 2 * HOUR
END = NOON + 3 * HOUR + 30 * MINUTE
START = END - 6 * HOUR

LINES = {"machining": ["cnc-01", "cnc-02"], "filling": ["filler-1"]}
MACHINES = [machine for machines in LINES.values() for machine in machines]


def place(line: str | None = None, machine: str | None = None) -> str:
    tags = ",site=demo"
    if line is not None:
        tags += f",area=hall-1,line={line}"
    return tags if machine is None else f"{tags},machine={machine}"


def kpi_point(tags: str, level: str, window: str, time: int, fields: dict[str, Any]) -> str:
    absent = " ".join(kpi for kpi in KPI_IDS if kpi not in fields)
    shown = ",".join(f"{name}={value}" for name, value in fields.items())
    return f'kpi{tags},level={level},window={window} {shown},provisional=false,revision=0i,absent="{absent}" {time}'


def kpi_fields(seed: int, *, made: bool = True) -> dict[str, Any]:
    """All elements and KPIs of a window; without pieces (`made=False`) the KPIs that need them have no field."""
    elements: dict[str, Any] = {element: float(seed * 100 + index) for index, element in enumerate(ELEMENT_IDS)}
    kpis: dict[str, Any] = {"availability": 0.5 + seed / 100, "coverage": 0.9 + seed / 1000}
    if made:
        kpis |= {
            "oee": 0.4 + seed / 100,
            "effectiveness": 0.8 + seed / 100,
            "quality_ratio": 0.9 + seed / 1000,
            "first_pass_yield": 0.95,
            "energy_per_piece": 0.25 + seed / 100,
        }
    return elements | kpis


def synthetic_points() -> list[str]:
    lines: list[str] = []
    for window, times in {
        "hour": [NOON + k * HOUR for k in range(-3, 4)],
        "shift": [EARLY_SHIFT, LATE_SHIFT],
        "day": [NOON - 12 * HOUR],
    }.items():
        for k, time in enumerate(times):
            lines.append(kpi_point(place(), "site", window, time, kpi_fields(40 + k)))
            for n, (line, machines) in enumerate(LINES.items()):
                lines.append(kpi_point(place(line), "line", window, time, kpi_fields(20 + 10 * n + k)))
                for i, machine in enumerate(machines):
                    # the filler made nothing in the shift that is running
                    made = not (machine == "filler-1" and window == "shift" and time == LATE_SHIFT)
                    fields = kpi_fields(10 * n + i + k, made=made)
                    lines.append(kpi_point(place(line, machine), "machine", window, time, fields))
    for line, machines in LINES.items():
        for machine in machines:
            for minute in range(START, END, MINUTE):
                lines.append(f'state{place(line, machine)} state="producing",code=1i,seconds=42 {minute}')
                lines.append(f'state{place(line, machine)} state="starved",code=3i,seconds=18 {minute + 42_000}')
                lines.append(f"signal{place(line, machine)},signal=power value=7.5 {minute}")
                lines.append(f"signal{place(line, machine)},signal=power value=8.5 {minute + 10_000}")
    return lines


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the synthetic points in it."""
    with influxdb(tmp_path_factory.mktemp("influx")) as server:
        write_points(server.url, DATABASE, synthetic_points())
        yield server.url


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return plant_board()


def panel(answers: dict[tuple[str, str], list[Row]], title: str, ref_id: str = "A") -> list[Row]:
    (found,) = [rows for (name, ref), rows in answers.items() if name.startswith(title) and ref == ref_id]
    return found


def by_machine(rows: list[Row]) -> dict[str, Row]:
    return {row["machine"]: row for row in rows}


def test_every_query_of_the_board_is_answered_with_data(url: str, board: dict[str, Any]) -> None:
    for window in ("hour", "shift", "day"):
        answers = run_board(board, url, DATABASE, START, END, choices("demo", window=window))
        assert answers.keys() == {(q.panel, q.ref_id) for q in queries(board)}
        assert [key for key, rows in answers.items() if not rows] == []


def test_tables_show_the_window_that_is_running_as_it_was_rolled_up(url: str, board: dict[str, Any]) -> None:
    answers = run_board(board, url, DATABASE, START, END, choices("demo"))
    (plant,) = as_table(answers, "Plant,")
    assert {c.field: plant[c.field] for c in COLUMNS} == {c.field: kpi_fields(41)[c.field] for c in COLUMNS}
    lines = {row["line"]: row for row in as_table(answers, "Lines,")}
    assert lines.keys() == LINES.keys()
    assert lines["filling"]["oee"] == kpi_fields(31)["oee"]
    machines = by_machine(as_table(answers, "Machines,"))
    assert machines.keys() == set(MACHINES)
    assert machines["cnc-02"] == {
        "time": LATE_SHIFT,
        "line": "machining",
        "machine": "cnc-02",
        **{c.field: kpi_fields(2)[c.field] for c in COLUMNS},
        PROVISIONAL: False,
        REVISION: 0,
        CAUSE: None,
    }


def test_a_machine_without_pieces_in_this_shift_shows_no_figure_of_the_last_one(
    url: str, board: dict[str, Any]
) -> None:
    answers = run_board(board, url, DATABASE, START, END, choices("demo"))
    (filler,) = [row for row in as_table(answers, "Machines,") if row["machine"] == "filler-1"]
    assert filler["time"] == LATE_SHIFT
    assert "oee" not in filler
    assert filler["availability"] == kpi_fields(11)["availability"]


def test_a_time_range_in_the_past_shows_the_window_that_ran_then(url: str, board: dict[str, Any]) -> None:
    answers = run_board(board, url, DATABASE, NOON - HOUR, NOON + HOUR, choices("demo"))
    assert {row["time"] for row in panel(answers, "Machines,")} == {EARLY_SHIFT}


def test_choosing_a_line_or_machines_narrows_every_panel_but_the_plants_own(url: str, board: dict[str, Any]) -> None:
    for chosen in (choices("demo", line="machining"), choices("demo", machine=["cnc-01", "cnc-02"])):
        answers = run_board(board, url, DATABASE, START, END, chosen)
        seen = {row["machine"] for rows in answers.values() for row in rows if "machine" in row}
        assert seen == {"cnc-01", "cnc-02"}
        assert len(panel(answers, "Plant,")) == 1


def test_names_with_characters_of_regular_expressions_are_found_literally(url: str) -> None:
    write_points(
        url, DATABASE, ['state,site=s,area=a,line=l,machine=press.(7)/b state="off",code=9i,seconds=60 ' + str(NOON)]
    )
    query = 'SELECT "state" FROM "state" WHERE "machine" =~ /^${machine:regex}$/ AND $timeFilter GROUP BY "machine"'
    (row,) = run_query(url, DATABASE, expand(query, NOON - 1, NOON + 1, 1000, {"machine": ["press.(7)/b", "none"]}))
    assert row["state"] == "off"


def test_hourly_bars_are_the_points_of_the_hours(url: str, board: dict[str, Any]) -> None:
    answers = run_board(board, url, DATABASE, START, END, choices("demo"))
    good = [row for row in panel(answers, "Good pieces") if row["machine"] == "cnc-01"]
    hours = [NOON + k * HOUR for k in range(-3, 4)]
    expected = [(t, kpi_fields(k)["gq"]) for k, t in enumerate(hours) if START <= t <= END]
    assert [(row["time"], row["gq"]) for row in good] == expected
    assert len(panel(answers, "Data coverage")) == len(expected) * len(MACHINES)


def test_the_state_timeline_has_no_hole_while_a_state_lasts(url: str, board: dict[str, Any]) -> None:
    answers = run_board(board, url, DATABASE, START, END, choices("demo"))
    for machine in MACHINES:
        rows = [row for row in panel(answers, "States") if row["machine"] == machine]
        times = [START, *(row["time"] for row in rows), END]
        assert max(b - a for a, b in pairwise(times)) < STATE_HOLE_MS
        assert {row["state"] for row in rows} == {"producing", "starved"}


def test_lamps_show_the_last_state_and_go_out_when_nothing_is_written(url: str, board: dict[str, Any]) -> None:
    now = run_board(board, url, DATABASE, START, END, choices("demo"))
    assert {m: row["code"] for m, row in by_machine(panel(now, "Machines now")).items()} == dict.fromkeys(MACHINES, 3)
    later = run_board(board, url, DATABASE, START, END + HOUR, choices("demo"))
    assert panel(later, "Machines now") == []


def test_power_is_the_mean_of_its_samples_in_each_step(url: str, board: dict[str, Any]) -> None:
    answers = run_board(board, url, DATABASE, START, END, choices("demo"), interval=MINUTE)
    rows = [row for row in panel(answers, "Electrical power") if row["machine"] == "cnc-01"]
    assert len(rows) == (END - START) // MINUTE
    assert {row["mean"] for row in rows} == {8.0}


def test_the_choices_of_the_board_are_found_in_the_database(url: str, board: dict[str, Any]) -> None:
    asked = variable_queries(board)
    found = {
        name: [row["value"] for row in run_query(url, DATABASE, expand(query, START, END, 1000, choices("demo")))]
        for name, query in asked.items()
    }
    assert found == {"site": ["demo"], "line": sorted(LINES), "machine": sorted(MACHINES)}
    within = expand(asked["machine"], START, END, 1000, choices("demo", line="filling"))
    assert [row["value"] for row in run_query(url, DATABASE, within)] == ["filler-1"]
