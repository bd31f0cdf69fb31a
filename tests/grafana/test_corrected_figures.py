"""What boards show after the past was corrected: the agent's own points, in a real InfluxDB, before and after."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.journal import CAUSES, RevisionCause
from grafana.plant import CAUSE_WORDS, plant_board
from kpi.elements import HOUR_NS
from tests.edge_agent.scripted import NOON, Bench, ScriptedConnector, tick
from tests.grafana.board_queries import Row, as_table, choices, run_board, write_points
from tests.services.influxdb import DATABASE, influxdb

MS = 1_000_000
HOURS = 4
RARELY = 1 << 62


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with influxdb(tmp_path_factory.mktemp("influx")) as server:
        yield server.url


class Floor:
    """An agent whose points are written to a database as they are queued."""

    def __init__(self, folder: Path, url: str) -> None:
        self.bench = Bench(folder, influx="http://127.0.0.1:1")
        self.bench.edit("correction_horizon: 10 min", "correction_horizon: 7 d")
        self.bench.edit("link_holds: 30 s", "link_holds: 1 d")
        self._url, self._sent = url, 0
        self._connector = ScriptedConnector()
        self.agent = self.bench.agent(self._connector, refresh_ns=RARELY)

    def until(self, hours: float, *samples: tuple[str, float, float]) -> None:
        """Samples (tag, seconds after noon, value) arrive, time goes on, and what is queued is written."""
        self._connector.put(self.bench.samples(*samples))
        self.bench.clock.now = NOON + int(hours * HOUR_NS)
        asyncio.run(tick(self.agent))
        with sqlite3.connect(self.bench.path) as database:
            entries = database.execute("SELECT id, body FROM outbox WHERE id > ? ORDER BY id", (self._sent,)).fetchall()
        for number, body in entries:
            self._sent = number
            write_points(self._url, DATABASE, in_ms(gzip.decompress(body).decode().splitlines()))

    def shown(self, start: float, end: float, window: str) -> dict[tuple[str, str], list[Row]]:
        """The board from one hour after noon to another."""
        first, last = ((NOON + int(at * HOUR_NS)) // MS for at in (start, end))
        return run_board(plant_board(), self._url, DATABASE, first, last, choices("works", window=window))


def in_ms(lines: list[str]) -> list[str]:
    return [f"{line} {int(time) // MS}" for line, time in (one.rsplit(" ", 1) for one in lines)]


@pytest.fixture(scope="module")
def answers(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Boards of the hour that began an hour after noon, before and after the news that its source was out of reach."""
    floor = Floor(tmp_path_factory.mktemp("plant"), url)
    product = float(floor.agent.texts.code("A"))
    begin = [("floor.link", 0.0, 1.0), ("m1.product", 0.0, product), ("m1.state.status", 0.0, 1.0)]
    pieces = [("m1.good", 30.0 * n, float(n)) for n in range(HOURS * 120)]
    floor.until(HOURS, *begin, *pieces)
    found: dict[str, Any] = {"before": floor.shown(1, 1.99, "hour"), "day before": floor.shown(0, HOURS, "day")}
    floor.until(HOURS + 0.1, ("floor.link", 3600.0, 0.0), ("floor.link", 7200.0, 1.0))
    found |= {"after": floor.shown(1, 1.99, "hour"), "day after": floor.shown(0, HOURS, "day")}
    floor.agent.close()
    return found


def machine(rows: list[Row], name: str = "m1") -> Row:
    (found,) = [row for row in rows if row["machine"] == name]
    return found


def test_a_kpi_that_lost_its_value_by_a_correction_is_on_no_panel(answers: dict[str, Any]) -> None:
    before, after = answers["before"], answers["after"]
    assert machine(as_table(before, "Machines,"))["availability"] == 1
    row = machine(as_table(after, "Machines,"))
    assert not {"availability", "oee", "effectiveness"} & row.keys()
    assert row["coverage"] == 0, "a KPI that has a value is still there"
    for title in ("OEE of each machine", "OEE of each line"):
        (was,) = [rows for (panel, ref), rows in before.items() if panel.startswith(title) and ref == "A"]
        (now,) = [rows for (panel, ref), rows in after.items() if panel.startswith(title) and ref == "A"]
        assert len(was) > 0
        assert now == []
    ((plant_before,), (plant_after,)) = (as_table(found, "Plant,") for found in (before, after))
    assert "oee" in plant_before
    assert "oee" not in plant_after
    assert plant_after["gq"] == plant_before["gq"] > 0


def test_figures_that_were_corrected_say_how_often_and_why(answers: dict[str, Any]) -> None:
    before, after = (machine(as_table(answers[name], "Machines,")) for name in ("before", "after"))
    assert (before["revision"], before["cause"], before["provisional"]) == (0, None, False)
    assert (after["revision"], after["cause"], after["provisional"]) == (1, "late_data", False)


def test_a_window_that_is_running_says_so_corrected_or_not(answers: dict[str, Any]) -> None:
    before, after = (machine(as_table(answers[f"day {name}"], "Machines,")) for name in ("before", "after"))
    assert (before["revision"], before["cause"], before["provisional"]) == (0, None, True)
    assert (after["revision"], after["cause"], after["provisional"]) == (1, "late_data", True)


def test_every_cause_has_words_on_the_board() -> None:
    assert set(CAUSE_WORDS) == {str(cause) for cause in CAUSES if cause is not RevisionCause.NONE}
