"""One calculation for every figure: what the configuration says of KPIs reaches exports, status, points and the log."""

from __future__ import annotations

import gzip
import io
import json
import logging
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from config.compiler import compile_plant
from config.loader import load
from connectors import TextCodes
from edge_agent.export import exported, read_export, write
from edge_agent.figures import plant_figures
from edge_agent.journal import JournalReader
from edge_agent.kpi_warnings import KpiWarnings
from edge_agent.plant_facts import kpis_of, plant_facts
from edge_agent.plant_kpis import PlantKpis
from edge_agent.status import read_status, shown
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.formulas import STANDARD
from kpi.rollup import WINDOWS, WindowName
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, run
from tests.edge_agent.test_cli import called
from tests.edge_agent.test_replay import parquet, replayed

_OWN = """
kpis:
  pieces_per_hour: {name: Pieces per hour, formula: gq / apt * 3600, unit: pieces/h}
declared:
  - {element: epc, value: 1000, period: 2026-10-01, machine: m1}
"""
_RULE = "    rule: {kind: serial, constraint: m2}\n"
DAY_NS = 24 * HOUR_NS


class Works(Bench):
    """The small plant as a serial line, with an own KPI, a declared element and another base of mean times."""

    def __init__(self, folder: Path, *, influx: str | None = None) -> None:
        super().__init__(folder, influx=influx)
        text = self.yaml.read_text().replace("    area: hall\n", "    area: hall\n" + _RULE)
        text = text.replace("site: works,", "site: works, failure_denominator: failures_plus_one,")
        self.yaml.write_text(text + _OWN)
        self.config = load(self.yaml)
        self.compiled = compile_plant(self.config, TextCodes())

    def run(self) -> list[str]:
        """Ten minutes of product A: m1 makes 200 pieces, three seconds each where ten are planned, and m2 90 of them.

        Returns the lines of the outbox.
        """
        floor = ScriptedConnector()
        agent = self.agent(floor)
        code = float(agent.texts.code("A"))
        rows = [(f"{machine}.{signal}", 0.0, value) for machine in ("m1", "m2")
                for signal, value in (("state.status", 1.0), ("product", code), ("good", 0.0))]  # fmt: skip
        rows += [("m1.good", 3.0 * n, float(n)) for n in range(1, 200)]
        rows += [("m2.good", 6.0 * n, float(n)) for n in range(1, 91)]
        rows += [("floor.link", float(at), 1.0) for at in range(0, 601, 20)]
        floor.put(self.samples(*sorted(rows, key=lambda row: row[1])))
        self.clock.advance(605)
        run(agent, lambda: agent.pipeline.tick(settle_to=NOON + 600 * SECOND, final=True))
        with sqlite3.connect(self.path) as database:
            bodies = [body for (body,) in database.execute("SELECT body FROM outbox")]
        return [line for body in bodies for line in gzip.decompress(body).decode().splitlines()]


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Works:
    made = Works(tmp_path_factory.mktemp("works"), influx="http://127.0.0.1:1")
    made.lines = made.run()  # type: ignore[attr-defined]
    return made


def test_the_journals_facts_make_the_same_figures_as_the_configuration(works: Works) -> None:
    facts = json.loads(json.dumps(plant_facts(works.compiled)))
    kept, told = kpis_of(facts), PlantKpis.of(works.compiled)
    assert kept.book.kpis == told.book.kpis
    assert kept.book.failures is told.book.failures
    assert (kept.declared, kept.line_rules) == (told.declared, told.line_rules)
    assert [m.calendar for m in kept.plant.machines] == [m.calendar for m in told.plant.machines]


def test_facts_of_an_older_program_are_those_of_a_plant_without_kpis_of_its_own(works: Works) -> None:
    facts = plant_facts(works.compiled)
    for name in ("own_kpis", "mean_times_over", "declared", "line_rules"):
        del facts[name]
    kept = kpis_of(facts)
    assert (kept.book, kept.declared, kept.line_rules) == (STANDARD, (), ())


@pytest.mark.parametrize(("counts", "scrap"), [("good: {path: g}, scrap: {path: x}", 0.05), ("total: {path: g}", None)])
def test_a_replayed_serial_line_is_exported_without_a_scrap_ratio_where_no_machine_counts_scrap(
    tmp_path: Path, counts: str, scrap: float | None
) -> None:
    bench = Works(tmp_path)
    bench.edit("good: {path: g}, scrap: {path: x}", counts)
    name = counts.split(":", maxsplit=1)[0]
    signals = [(f"{machine}.{name}", 100.0) for machine in ("m1", "m2")]
    if scrap is not None:
        signals = [(f"{machine}.{name}", 95.0) for machine in ("m1", "m2")] + [("m1.scrap", 5.0), ("m2.scrap", 0.0)]
    rows = [(f"{machine}.state.status", at, 1.0) for machine in ("m1", "m2") for at in (0.0, 590.0)]
    rows += [(signal, at, pieces * (at > 1)) for signal, pieces in signals for at in (1.0, 300.0)]
    file = parquet(bench, bench.samples(*sorted(rows, key=lambda row: row[1])))
    replayed(bench, file, journal=bench.path)
    code = called("export", bench.path, "--window", "day", "--from", "2026-10-01", "--out", tmp_path / "days.parquet")
    assert code == 0
    found = pl.read_parquet(tmp_path / "days.parquet")
    line = found.filter(pl.col("level") == "line").row(0, named=True)
    assert line["pq"] == 100
    assert line["scrap_ratio"] == scrap
    assert line["scrap_unknown"] == (100 if scrap is None else 0)


@pytest.mark.parametrize("window", ["hour", "shift", "day", "week", "month"])
def test_a_line_is_exported_by_its_rule_and_with_own_kpis_in_every_window(works: Works, window: WindowName) -> None:
    with JournalReader(works.path) as reader:
        rows = exported(reader, window, NOON - 31 * DAY_NS, NOON + DAY_NS)
        figures = plant_figures(reader.elements("hour", 0, 1 << 62), PlantKpis.of(works.compiled), NOON, NOON + HOUR_NS)
    line = rows.filter(pl.col("level") == "line").row(0, named=True)
    assert (line["pq"], line["gq"], line["pq_first"]) == (199, 90, 199)
    assert line["ideal_gq"] == 900
    assert line["pieces_per_hour"] == pytest.approx(540)
    assert {name: line[name] for name in ("oee", "gq", "pieces_per_hour")} == pytest.approx(
        {name: figures.lines["one"][name] for name in ("oee", "gq", "pieces_per_hour")}
    )
    machine = rows.filter(pl.col("machine") == "m1").row(0, named=True)
    assert (machine["equipment_load_ratio"] is not None) == (window == "day"), "declared for that day alone"


def test_every_window_from_the_minute_to_the_month_is_sent_with_own_kpis(works: Works) -> None:
    lines = [line for line in works.lines if line.startswith("kpi,")]  # type: ignore[attr-defined]
    for window in WINDOWS:
        mine = [line for line in lines if f"window={window}" in line and "level=line" in line]
        assert mine, window
        assert any("pieces_per_hour=" in line and "pq_first=" in line for line in mine), window
    day = next(line for line in lines if "window=day" in line and "machine=m1" in line)
    assert "equipment_load_ratio=0.199" in day
    assert "epc=1000" in day
    assert "worker_efficiency" not in day, "nobody declares it, so it is no field"


def test_json_says_why_a_kpi_is_absent_and_what_is_odd(works: Works, tmp_path: Path) -> None:
    with JournalReader(works.path) as reader:
        write(read_export(reader, "hour", NOON - DAY_NS, NOON + DAY_NS), tmp_path / "out.json", "json")
        status = read_status(reader)
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["units"]["pieces_per_hour"] == "pieces/h"
    row = next(row for row in document["rows"] if row["machine"] == "m1")
    assert row["absent"]["worker_efficiency"].startswith("needs the declared element `apat`")
    assert "is declared for a period that reaches beyond this window" in row["absent"]["equipment_load_ratio"]
    assert row["warnings"]["effectiveness"].startswith("above 100%: planned run time per item too long")
    assert not row["absent"].keys() & {kpi for kpi, value in row.items() if value is not None}
    facts = status.facts()
    assert facts["kpi_today_warnings"]["machines"]["m1"]["effectiveness"] == row["warnings"]["effectiveness"]
    assert facts["kpi_today_absent"]["site"]["worker_efficiency"] == row["absent"]["worker_efficiency"]
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(shown(status))
    assert "effectiveness: above 100%" in console.export_text()


def test_figures_are_the_shortest_exact_ones(works: Works) -> None:
    with JournalReader(works.path) as reader:
        rows = exported(reader, "hour", NOON - DAY_NS, NOON + DAY_NS)
    for element in ELEMENT_IDS:
        assert all(float(f"{value:.9f}") == value for value in rows[element]), element


def test_the_log_warns_of_a_machine_and_kpi_once_a_day(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    with JournalReader(works.path) as reader:
        hour = reader.elements("hour", 0, 1 << 62)

    def odd_hours(start: int, end: int) -> pl.DataFrame:
        """The first hour of the run, again and again."""
        return pl.concat([hour.with_columns(time=pl.lit(at, pl.Int64)) for at in range(start, end, HOUR_NS)])

    warnings = KpiWarnings(PlantKpis.of(works.compiled), odd_hours)
    start = int(hour["time"][0]) // DAY_NS * DAY_NS
    with caplog.at_level(logging.WARNING):
        for at in range(49):
            warnings.look(start + at * HOUR_NS)
            warnings.look(start + at * HOUR_NS + MINUTE_NS)
    facts = [record.facts for record in caplog.records if record.message == "figure_beyond_its_range"]  # type: ignore[attr-defined]
    of_m1 = [one for one in facts if (one["machine"], one["kpi"]) == ("m1", "effectiveness")]
    assert len({one["hour"][:10] for one in of_m1}) == len(of_m1) == 3
    assert all(one["value"] > 1 and one["reason"].startswith("above 100%") for one in of_m1)
    assert {(one["machine"], one["kpi"]) for one in facts} >= {("m2", "oee")}
