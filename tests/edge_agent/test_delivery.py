"""What the database holds is what the journal says, point for point, after a run of the whole agent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from config.names import Measurement
from edge_agent.agent import Agent
from edge_agent.commands.demo import _keeps_both
from edge_agent.journal import JournalReader
from edge_agent.plant_facts import plant_of
from kpi.elements import ELEMENT_IDS
from kpi.formulas import KPI_IDS, evaluate, in_units
from kpi.plant import State
from kpi.rollup import LEVELS, WINDOWS, WindowName, rollups
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, tick
from tests.edge_agent.test_pipeline import producing_shift
from tests.services.delivered_demo import Delivered
from tests.services.influxdb import InfluxDb
from tests.services.process import wait_until
from tests.services.victoria_metrics import victoria_metrics

EVER = (0, 1 << 62)
Points = dict[tuple[str, ...], dict[str, Any]]
"""(time, tag=value…) → field → value."""


def held(database: InfluxDb, measurement: Measurement, tags: set[str]) -> Points:
    found: Points = {}
    for point in database.points(measurement):
        key = (str(point.pop("time")), *sorted(f"{tag}={point.pop(tag)}" for tag in tags & point.keys()))
        found[key] = point
    return found


def said(rows: pl.DataFrame, tags: list[str], fields: list[str]) -> Points:
    found: Points = {}
    for row in rows.iter_rows(named=True):
        present = sorted(f"{tag}={row[tag]}" for tag in tags if row.get(tag))
        found[str(row["time"]), *present] = {name: row[name] for name in fields if row.get(name) is not None}
    return found


def assert_equal(database: Points, journal: Points) -> None:
    assert database.keys() == journal.keys()
    for key, fields in journal.items():
        assert database[key] == pytest.approx(fields, rel=1e-12, abs=1e-9), key


def test_an_influxdb_is_not_taken_for_a_database_that_keeps_every_point(
    delivered: Delivered,
) -> None:
    assert not _keeps_both(delivered[0].url)


def test_every_minute_row_of_the_journal_is_an_element_point(delivered: Delivered) -> None:
    database, reader = delivered
    plant = plant_of(reader.status()["plant"])
    places = {machine.id: (machine.area, machine.line) for machine in plant.machines}
    rows = in_units(evaluate(reader.elements("minute", *EVER))).with_columns(
        pl.col("machine").replace_strict({m: p[0] for m, p in places.items()}).alias("area"),
        pl.col("machine").replace_strict({m: p[1] for m, p in places.items()}).alias("line"),
        pl.lit(plant.site).alias("site"),
    )
    tags = ["site", "area", "line", "machine", "shift", "product"]
    fields = [*ELEMENT_IDS, "coverage", "revision"]
    rows = rows.with_columns(pl.col("revision").clip(lower_bound=0))
    points = held(database, Measurement.ELEMENT, set(tags))
    causes = {key: fields.pop("cause", "") for key, fields in points.items()}
    assert_equal(points, said(rows, tags, fields))
    assert {cause for key, cause in causes.items() if not points[key]["revision"]} <= {""}


def test_every_state_interval_of_the_journal_is_a_state_point(delivered: Delivered) -> None:
    database, reader = delivered
    found = {
        (
            int(point["time"]),
            point["machine"],
            point["state"],
            point["code"],
            round(point["seconds"] * 1e9),
            point["reason"],
        )
        for point in database.points(Measurement.STATE)
    }
    assert found == {
        (start, machine, State(state).name.lower(), state, end - start, reason)
        for machine, start, end, state, _, reason in reader.intervals(*EVER).iter_rows()
    }


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_at_every_level_is_a_kpi_point_made_from_the_journals_rows(
    delivered: Delivered, window: WindowName
) -> None:
    database, reader = delivered
    plant = plant_of(reader.status()["plant"])
    rolled = rollups(reader.elements("minute", *EVER), plant, window=window)
    rows = pl.concat([rolled[level].with_columns(level=pl.lit(level)) for level in LEVELS], how="diagonal")
    rows = in_units(evaluate(rows)).with_columns(site=pl.lit(plant.site), window=pl.lit(window))
    tags = ["site", "area", "line", "machine", "level", "window", "shift"]
    points = {
        key: {name: value for name, value in fields.items() if name not in {"provisional", "absent"}}
        for key, fields in held(database, Measurement.KPI, set(tags)).items()
        if f"window={window}" in key
    }
    rows = rows.with_columns(pl.col("revision").clip(lower_bound=0))
    assert_equal(points, said(rows, tags, [*KPI_IDS, *ELEMENT_IDS, "revision"]))


def test_a_kpi_without_a_value_is_said_to_be_absent(delivered: Delivered) -> None:
    """The database would keep the value that an earlier version of the point had."""
    database, _ = delivered
    for point in database.points(Measurement.KPI):
        absent = set(point["absent"].split())
        assert absent.isdisjoint(point)
        assert {"oee", "availability", "quality_ratio"} <= absent | point.keys()


def test_every_raw_sample_that_was_queued_is_a_signal_point(delivered: Delivered) -> None:
    database, reader = delivered
    ledger = reader.ledger()
    assert ledger["samples:delivered"] == ledger["samples:queued"]
    # a sample that came twice, in two ticks, is one point
    assert (
        0 <= ledger["samples:queued"] - len(database.points(Measurement.SIGNAL)) <= ledger.get("thinned:duplicate", 0)
    )


def test_victoria_metrics_which_replaces_no_point_is_sent_each_point_once(tmp_path: Path) -> None:
    with victoria_metrics(tmp_path / "victoria") as database:
        bench = Bench(tmp_path, influx=database.url, overwrites=False)
        floor = ScriptedConnector()
        agent = bench.agent(floor)
        asyncio.run(deliver(agent, bench, floor))
        with JournalReader(bench.path) as reader:
            rows = in_units(reader.elements("minute", *EVER))
        for element in ("apt", "gq", "energy"):
            found = sorted(
                (series["metric"]["machine"], at * 1_000_000, value)
                for series in database.export(f'{{__name__="element_{element}"}}')
                for at, value in zip(series["timestamps"], series["values"], strict=True)
            )
            expected = sorted((row["machine"], row["time"], row[element]) for row in rows.iter_rows(named=True))
            assert [row[:2] for row in found] == [row[:2] for row in expected], "each once"
            assert [row[2] for row in found] == pytest.approx([row[2] for row in expected])
        assert (
            len({tuple(s["metric"].items()) for s in database.export('{__name__="kpi_availability",window="hour"}')})
            == 5
        )
        for series in database.export('{__name__="kpi_availability"}'):
            assert len(set(series["timestamps"])) == len(series["timestamps"]), series["metric"]
        assert _keeps_both(database.url)


async def deliver(agent: Agent, bench: Bench, floor: ScriptedConnector) -> None:
    """Ten minutes of the scripted plant in four ticks, sent."""
    samples = producing_shift(bench)
    assert agent.forwarder is not None
    agent.forwarder.start()
    for n in range(4):
        bench.clock.now = NOON + (n + 1) * 150 * SECOND
        floor.put(samples.where((samples.time >= bench.clock.now - 150 * SECOND) & (samples.time < bench.clock.now)))
        await tick(agent)
    await agent.pipeline.tick(settle_to=NOON + 600 * SECOND, final=True)
    await asyncio.to_thread(wait_until, lambda: not waiting(agent), "all points are delivered")
    await asyncio.to_thread(agent.forwarder.stop, 10.0)
    agent.close()


def waiting(agent: Agent) -> int:
    return sum(depth.points for depth in agent.reader.outbox_depth().values())
