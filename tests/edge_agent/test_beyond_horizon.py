"""Samples that come too late to correct anything are counted and kept apart: each once, to be seen and exported."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors import SampleBatch
from edge_agent.agent import Agent
from edge_agent.journal import JournalReader
from edge_agent.ledger import beyond_difference
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, run, tick
from tests.edge_agent.test_corrections import Folder, Life, bench_in, folder, history
from tests.edge_agent.test_pipeline import producing
from tests.edge_agent.test_restatement import SETUP, ticked

__all__ = ("folder",)

ROOT = Path(__file__).parents[2]
LENGTH = 1800
"""Half an hour of production, seconds: the horizon is ten minutes."""

Late = tuple[str, int, float, int]
"""Tag, seconds after noon, value, quality."""

LATE: tuple[Late, ...] = (
    *(("m1.good", at, 7.0, 0) for at in (5, 65, 66, 301)),
    *(("m1.state.status", at, 2.0, 0) for at in (61, 62, 63)),
    ("m1.state.status", 64, float("nan"), 2),
    ("m1.power", 33, 250.0, 1),
    ("floor.link", 77, 0.0, 0),
)
"""Before all that is corrected once half an hour is over; of none of these times anything is known."""


def batch(bench: Bench, late: tuple[Late, ...] | list[Late]) -> SampleBatch:
    return SampleBatch.of(
        [bench.tags[tag] for tag, *_ in late],
        [NOON + at * SECOND for _, at, *_ in late],
        [value for _, _, value, _ in late],
        [quality for *_, quality in late],
    )


def lived(bench: Bench, floor: ScriptedConnector, agent: Agent) -> None:
    """Half an hour, with a product and power from the start."""
    whole = producing(bench, LENGTH)
    first = bench.samples(("m1.product", 0, agent.texts.code("A")), ("m1.power", 0, 400.0))

    async def script() -> None:
        floor.put(first)
        for at in range(0, LENGTH, 300):
            since = NOON + at * SECOND
            floor.put(whole.where((whole.time >= since) & (whole.time < since + 300 * SECOND)))
            bench.clock.advance(300)
            await tick(agent)

    run(agent, script)


def held(bench: Bench) -> pl.DataFrame:
    with JournalReader(bench.path) as reader:
        assert beyond_difference(reader.ledger()) == 0
        found = reader.beyond_horizon(-(2**63), 1 << 62)
    assert found.damaged == 0
    return found.rows


def adds_up(bench: Bench) -> bool:
    with JournalReader(bench.path) as reader:
        booked = reader.ledger()
    refused = sum(n for cause, n in booked.items() if cause.startswith(("refused:", "thinned:")))
    return booked["received"] == booked["kept"] + refused and booked["kept"] >= 0


def as_sent(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    return [
        (tag, (time - NOON) // SECOND, value, quality)
        for tag, time, value, quality in rows.select("tag", "time", "value", "quality").sort("tag", "time").rows()
    ]


IN_UNITS = {**{tag: 1.0 for tag, *_ in LATE}, "m1.power": 1e-3}
EXPECTED = sorted(
    ((tag, at, None if quality == 2 else value * IN_UNITS[tag], quality) for tag, at, value, quality in LATE),
    key=lambda one: one[:2],
)


def test_samples_beyond_the_horizon_are_kept_once_whatever_their_order_cuts_and_kills(folder: Folder) -> None:
    """Delivered in any portions, before and behind the refresh, with the agent killed at any tick."""

    @settings(max_examples=8, deadline=None)
    @given(
        order=st.permutations(LATE),
        sizes=st.lists(st.integers(1, 5), min_size=len(LATE), max_size=len(LATE)),
        kills=st.sets(st.integers(0, len(LATE) - 1), max_size=3),
        waits=st.lists(st.sampled_from([0.0, 20.0]), min_size=len(LATE), max_size=len(LATE)),
    )
    @example(order=list(LATE), sizes=[len(LATE)] * len(LATE), kills={0}, waits=[0.0] * len(LATE))
    def kept(order: list[Late], sizes: list[int], kills: set[int], waits: list[float]) -> None:
        bench = Bench(folder())
        floor = ScriptedConnector()
        lived(bench, floor, bench.agent(floor))
        life = Life(bench)
        for turn, size in enumerate(sizes):
            life.floor.put(batch(bench, order[:size]), bench.link(LENGTH + 100 * turn))
            order = order[size:]
            bench.clock.advance(waits[turn])
            life.tick()
            if turn in kills:
                life.killed_and_begun_again()
        bench.clock.advance(60)
        life.tick()
        life.end()
        assert as_sent(held(bench)) == EXPECTED
        assert adds_up(bench)

    kept()


@pytest.mark.parametrize("kill", [False, True])
def test_samples_beyond_the_horizon_are_kept_once_also_while_the_past_is_restated(folder: Folder, kill: bool) -> None:
    bench = bench_in(folder())
    bench.edit("correction_horizon: 7 d", "correction_horizon: 3 h")
    life = Life(bench)
    whole = history(bench, 12)
    life.until(9, whole)
    bench.edit(*SETUP)
    life.killed_and_begun_again()
    assert ticked(life)
    late = [("m1.state.status", 3607, 2.0, 0), ("m1.state.status", 3608, 3.0, 0), ("m2.good", 3609, 1.0, 0)]
    life.floor.put(batch(bench, late))
    assert ticked(life)
    assert held(bench).is_empty(), "the engine that restates the past is to judge them"
    if kill:
        life.killed_and_begun_again()
    life.until(12, whole)
    life.end()
    assert as_sent(held(bench)) == sorted(late)
    assert adds_up(bench)


# --- what a user sees -----------------------------------------------------------------------------------------------


def edge_agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Half an hour, then what came too late; two products among it."""
    bench = Bench(tmp_path_factory.mktemp("plant"))
    floor = ScriptedConnector()
    lived(bench, floor, bench.agent(floor))
    agent = bench.agent(floor)

    async def script() -> None:
        texts = [("m1.product", at, float(agent.texts.code(text)), 0) for at, text in ((40, "Bügel, groß"), (41, "B"))]
        floor.put(batch(bench, [*LATE, *texts]))
        bench.clock.advance(10)
        await tick(agent)

    run(agent, script)
    return bench


def test_status_says_how_many_samples_are_kept_apart_and_since_when(told: Bench, tmp_path: Path) -> None:
    shown = " ".join(edge_agent("status", told.yaml).stdout.split())
    count = len(LATE) + 2
    assert f"{count} samples that came too late to correct anything, since 2026-10-01 06:30:10" in shown
    assert "--beyond-horizon" in shown
    said = json.loads(edge_agent("status", told.yaml, "--json").stdout)
    assert said["beyond_horizon"]["samples"] == said["ledger"]["beyond_horizon:held"] == count
    assert said["beyond_horizon"]["since"] == NOON + (LENGTH + 10) * SECOND
    bench = Bench(tmp_path)
    bench.agent().close()
    assert "too late" not in edge_agent("status", bench.yaml).stdout
    assert json.loads(edge_agent("status", bench.yaml, "--json").stdout)["beyond_horizon"]["since"] is None


def test_samples_beyond_the_horizon_are_written_to_a_file_one_by_one(told: Bench, tmp_path: Path) -> None:
    out = {form: tmp_path / f"out.{form}" for form in ("csv", "json", "parquet")}
    for file in out.values():
        done = edge_agent("export", told.yaml, "--beyond-horizon", "--out", file)
        assert (done.returncode, done.stderr) == (0, f"{len(LATE) + 2} rows written to {file}\n")
    with out["csv"].open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0]) == ["time", "machine", "signal", "tag", "value", "unit", "quality", "kept_at"]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    by_time = {row["time"]: row for row in rows}
    kept_at = "2026-10-01T06:30:10+02:00"
    assert list(by_time["2026-10-01T06:00:40+02:00"].values())[1:] == [
        "m1", "product", "m1.product", "Bügel, groß", "", "good", kept_at,
    ]  # fmt: skip
    assert list(by_time["2026-10-01T06:00:33+02:00"].values())[1:] == [
        "m1", "power", "m1.power", "0.25", "kW", "uncertain", kept_at,
    ]  # fmt: skip
    assert list(by_time["2026-10-01T06:01:04+02:00"].values())[1:] == [
        "m1", "state.status", "m1.state.status", "", "", "bad", kept_at,
    ]  # fmt: skip
    assert list(by_time["2026-10-01T06:01:17+02:00"].values())[1:] == [
        "floor", "link", "floor.link", "0.0", "", "good", kept_at,
    ]  # fmt: skip
    as_json = json.loads(out["json"].read_text())["rows"]
    assert [{name: value or "" for name, value in row.items()} for row in as_json] == rows
    as_parquet = pl.read_parquet(out["parquet"])
    assert as_parquet["time"].dt.epoch("ns").to_list() == held(told)["time"].to_list()
    assert as_parquet["value"].fill_null("").to_list() == [row["value"] for row in rows]


def test_only_samples_of_the_asked_time_are_written_and_a_file_without_any_says_so(told: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    asked = ("--from", "2026-10-01T06:01:01", "--to", "2026-10-01T06:01:03")
    assert edge_agent("export", told.yaml, "--beyond-horizon", *asked, "--out", out).returncode == 0
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == [
        "2026-10-01T06:01:01+02:00",
        "2026-10-01T06:01:02+02:00",
    ]
    asked = ("--from", "2026-09-01", "--to", "2026-09-02")
    assert edge_agent("export", told.yaml, "--beyond-horizon", *asked, "--out", out).returncode == 0
    assert out.read_text() == "time,machine,signal,tag,value,unit,quality,kept_at\n"


def test_an_export_is_of_one_thing(told: Bench, tmp_path: Path) -> None:
    done = edge_agent("export", told.yaml, "--beyond-horizon", "--decisions", "--out", tmp_path / "out.csv")
    assert done.returncode == 2
    assert "give one of --measured, --decisions and --beyond-horizon" in done.stderr


def test_an_export_says_what_is_damaged_and_writes_the_others(told: Bench, tmp_path: Path) -> None:
    copy, out = tmp_path / "copy.journal", tmp_path / "out.csv"
    with closing(sqlite3.connect(told.path)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE beyond_horizon SET body = zeroblob(9)")
    done = edge_agent("export", copy, "--beyond-horizon", "--out", out)
    assert done.returncode == 0
    assert f"{len(LATE) + 2} samples are damaged in the journal and left out; check the disk" in done.stderr
