"""What was said is corrected days later, through the journal and any restart: late samples, edited calendars and rules.

The twin of each test is an agent that had it all from the start: but for revisions the journals are the same.
"""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from connectors import SampleBatch
from edge_agent.agent import Agent
from edge_agent.export import exported
from edge_agent.journal import JournalReader
from edge_agent.measured_export import read_measured
from kpi.elements import HOUR_NS, MINUTE_NS
from kpi.rollup import WindowName
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, tick

RARELY = 1 << 62
KEYS = ["machine", "time", "shift", "shift_start", "product"]

Folder = Callable[[], Path]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return lambda: tmp_path_factory.mktemp("plant")


def bench_in(folder: Path, *, influx: str | None = None) -> Bench:
    bench = Bench(folder, influx=influx)
    bench.edit("correction_horizon: 10 min", "correction_horizon: 7 d")
    bench.edit("link_holds: 30 s", "link_holds: 1 h")
    return bench


def history(bench: Bench, hours: int) -> SampleBatch:
    """Two machines that change state every few minutes, and count."""
    chance = np.random.default_rng(3)
    rows = [("floor.link", at, 1.0) for at in range(0, hours * 3600, 1800)]
    for machine in ("m1", "m2"):
        good = 0
        for at in range(0, hours * 3600, 400):
            good += int(chance.integers(0, 30))
            rows.append((f"{machine}.state.status", at, float(chance.integers(1, 4))))
            rows.append((f"{machine}.good", at + 100, float(good)))
    return bench.samples(*sorted(rows, key=lambda row: row[1]))


class Life:
    """An agent on a bench, life after life, with everything that it was given."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.agent = self._begin()

    def _begin(self) -> Agent:
        self.floor = ScriptedConnector()
        return self.bench.agent(self.floor, refresh_ns=RARELY)

    def until(self, hours: float, samples: SampleBatch, *, step: float = 2.0) -> None:
        """Time goes on to `hours` after NOON; samples arrive when they are due."""
        while self.bench.clock.now < NOON + hours * HOUR_NS:
            before = self.bench.clock.now
            self.bench.clock.now = min(before + int(step * HOUR_NS), NOON + int(hours * HOUR_NS))
            self.floor.put(samples.where((samples.time >= before) & (samples.time < self.bench.clock.now)))
            self.tick()

    def tick(self) -> None:
        asyncio.run(tick(self.agent))

    def killed_and_begun_again(self) -> None:
        self.agent.close()
        self.agent = self._begin()

    def end(self) -> None:
        self.agent.close()


def rows(bench: Bench, window: Any = "minute") -> pl.DataFrame:
    with JournalReader(bench.path) as reader:
        return reader.elements(window, 0, 1 << 62).sort(KEYS)


def without_versions(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("revision", "cause")


def lines(bench: Bench, after: int = 0) -> list[str]:
    """Lines in the outbox, oldest first. after: id of an entry."""
    with sqlite3.connect(bench.path) as database:
        bodies = database.execute("SELECT body FROM outbox WHERE id > ? ORDER BY id", (after,)).fetchall()
    return [line for (body,) in bodies for line in gzip.decompress(body).decode().splitlines()]


def last_entry(bench: Bench) -> int:
    with sqlite3.connect(bench.path) as database:
        return int(database.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchone()[0])


def test_samples_two_days_late_correct_their_minutes_and_hours_through_restarts(folder: Folder) -> None:
    on_time, late = Life(bench_in(folder())), Life(bench_in(folder(), influx="http://127.0.0.1:1"))
    whole = history(on_time.bench, 50)
    # a stretch of one machine's states, as from a station that was out of reach
    is_late = (whole.tag == on_time.bench.tags["m1.state.status"]) & (whole.time >= NOON + HOUR_NS)
    is_late &= whole.time < NOON + 90 * MINUTE_NS
    on_time.until(50, whole)
    on_time.end()
    late.until(30, whole.where(~is_late))
    late.killed_and_begun_again()
    late.until(50, whole.where(~is_late))
    before, queued = rows(late.bench), last_entry(late.bench)
    # committed, but the agent is killed before the engine has looked at them
    late.bench.clock.now -= 1
    late.floor.put(whole.where(is_late))
    late.tick()
    assert rows(late.bench).equals(before)
    late.killed_and_begun_again()
    late.bench.clock.now += 1
    late.tick()
    late.end()
    assert without_versions(rows(late.bench)).equals(without_versions(rows(on_time.bench)))
    assert without_versions(rows(late.bench, "hour")).equals(without_versions(rows(on_time.bench, "hour")))
    changed = rows(late.bench).filter(pl.col("revision") > 0)
    assert set(changed["machine"]) == {"m1"}
    assert set(changed.select("revision", "cause").rows()) == {(1, "late_data")}
    assert NOON + HOUR_NS <= min(changed["time"]) <= max(changed["time"]) < NOON + 100 * MINUTE_NS
    hours = rows(late.bench, "hour").filter(pl.col("revision") > 0)
    assert {*hours["time"]} == {one - one % HOUR_NS for one in changed["time"]}
    said = [line for line in lines(late.bench, queued) if not line.startswith(("agent", "signal"))]
    elements = [line for line in said if line.startswith("element")]
    assert len(elements) == len(changed)
    assert all("machine=m2" not in line for line in said), "only what changed, and what it is summed into"
    corrected_days = [line for line in said if "window=day" in line and "level=machine" in line]
    assert corrected_days
    assert all("revision=1i" in line and "provisional=false" in line for line in corrected_days[:1])


def test_a_restart_says_nothing_again_that_was_said(folder: Folder) -> None:
    life = Life(bench_in(folder(), influx="http://127.0.0.1:1"))
    whole = history(life.bench, 8)
    life.until(8, whole)
    before, queued = rows(life.bench), last_entry(life.bench)
    life.killed_and_begun_again()
    life.agent.pipeline._status_at = 1 << 62  # no health points
    asyncio.run(life.agent.pipeline.tick(settle_to=life.bench.clock.now - 5 * SECOND))
    life.end()
    assert rows(life.bench).equals(before)
    assert [line for line in lines(life.bench, queued) if not line.startswith("agent")] == []


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('end: "18:00"}', 'end: "18:00", breaks: [{start: "09:30", end: "10:15"}]}', "calendar_edit"),
        ("A: 10 s", "A: 12 s", None),  # nobody said which product is made: nothing changes
        ("{status: 2}, state: breakdown", "{status: 2}, state: setup", "recomputation"),
    ],
)
def test_an_edit_restates_the_archived_past_and_no_more_than_it_touches(
    folder: Folder, old: str, new: str, cause: str | None
) -> None:
    edited, always = Life(bench_in(folder())), bench_in(folder())
    always.edit(old, new)
    whole = history(always, 12)
    edited.until(9, whole)
    before = rows(edited.bench)
    edited.bench.edit(old, new)
    edited.killed_and_begun_again()
    for _ in range(3):  # ended in the middle, and begun again
        asyncio.run(edited.agent.pipeline.tick())
    edited.killed_and_begun_again()
    edited.until(12, whole)
    fresh = Life(always)
    fresh.until(12, whole)
    fresh.end()
    edited.killed_and_begun_again()
    edited.tick()
    edited.end()
    now = rows(edited.bench)
    assert without_versions(now).equals(without_versions(rows(always)))
    assert without_versions(rows(edited.bench, "hour")).equals(without_versions(rows(always, "hour")))
    was = without_versions(before).filter(pl.col("time") < NOON + 9 * HOUR_NS - MINUTE_NS)
    touched = now.join(was, on=was.columns, how="anti").filter(pl.col("time") < NOON + 9 * HOUR_NS - MINUTE_NS)
    assert touched.is_empty() == (cause is None)
    revised = now.filter(pl.col("revision") > 0)
    assert revised.select(KEYS).equals(touched.select(KEYS))
    assert set(revised.select("revision", "cause").rows()) == ({(1, cause)} if cause else set())


def test_a_late_sample_finds_its_tag_after_the_tags_were_renumbered(folder: Folder) -> None:
    moved, always = Life(bench_in(folder())), bench_in(folder())
    extra = "measured: {width: {path: d, limits: {lower: 1, upper: 3}}}\n    power: {path: w, unit: W}"
    whole = history(always, 6)
    late = always.samples(("m2.state.status", 3600, 2.0), ("m2.good", 3601, 3.0))
    moved.until(5, whole)
    moved.bench.edit("power: {path: w, unit: W}", extra)
    moved.bench.edit("- {id: m1", "- {id: m0, profile: station}\n      - {id: m1")
    assert moved.bench.tags["m2.state.status"] != always.tags["m2.state.status"]
    moved.killed_and_begun_again()
    moved.floor.put(moved.bench.samples(("m2.state.status", 3600, 2.0), ("m2.good", 3601, 3.0)))
    moved.until(6, renumbered(whole, always, moved.bench))
    moved.end()
    fresh = Life(always)
    fresh.floor.put(late)
    fresh.until(6, whole)
    fresh.end()
    mine = rows(moved.bench).filter(pl.col("machine") != "m0")
    assert without_versions(mine).equals(without_versions(rows(always)))


def renumbered(batch: SampleBatch, before: Bench, now: Bench) -> SampleBatch:
    names = {index: name for name, index in before.tags.items()}
    tag = np.array([now.tags[names[one]] for one in batch.tag.tolist()], np.int32)
    return SampleBatch(tag, batch.time, batch.value, batch.quality)


def test_measured_values_and_reasons_reach_journal_and_database(folder: Folder) -> None:
    bench = bench_in(folder(), influx="http://127.0.0.1:1")
    bench.edit(
        "power: {path: w, unit: W}",
        "stop_reason: {path: r}\n    measured: {width: {path: d, limits: {lower: 9.5, upper: 10.5, nominal: 10}}}",
    )
    life = Life(bench)
    values = [10.1, 9.8, 10.25, 10.0]
    jam = float(life.agent.texts.code("jam"))
    life.floor.put(
        bench.link(0),
        bench.samples(*(("m1.width", 10 * i, value) for i, value in enumerate(values))),
        bench.samples(("m1.state.status", 0, 2.0), ("m1.stop_reason", 20, jam)),
    )
    life.bench.clock.advance(130)
    life.tick()
    life.bench.clock.advance(60)
    life.floor.put(bench.samples(("m1.width", 15, 9.9)))
    life.tick()
    life.end()
    with JournalReader(bench.path) as reader:
        measured = reader.measured("minute", 0, 1 << 62)
        hours = reader.measured("hour", 0, 1 << 62)
        intervals = reader.intervals(NOON, NOON + MINUTE_NS, ["m1"]).filter(pl.col("start") >= NOON)
    deviations = np.array([*values, 9.9]) - 10
    row = measured.row(0, named=True)
    assert (row["machine"], row["time"], row["characteristic"], row["nominal"], row["n"]) == (
        "m1", NOON, "width", 10.0, 5,
    )  # fmt: skip
    assert row["sum"] == pytest.approx(deviations.sum())
    assert row["sum_sq"] == pytest.approx((deviations**2).sum())
    assert hours.drop("time").equals(measured.drop("time"))
    assert intervals["reason"].to_list() == ["", "jam"]
    points = [line for line in lines(bench) if line.startswith("measured,")]
    assert [("n=4i" in line, "n=5i" in line) for line in points] == [(True, False), (False, True)]
    assert "signal=width" in points[0]
    assert "mean=10.01" in points[1]
    states = [line for line in lines(bench) if line.startswith("state,") and "machine=m1" in line]
    assert any(f'reason="jam" {NOON + 20 * SECOND}' in line for line in states)
    assert any(f'reason="" {NOON}' in line for line in states)
    with JournalReader(bench.path) as reader:
        windows: tuple[WindowName, ...] = ("hour", "shift", "day")
        for window in windows:
            (found,) = read_measured(reader, window, 0, 1 << 62).rows.to_dicts()
            assert (found["machine"], found["characteristic"], found["n"]) == ("m1", "width", 5)
            assert found["mean"] == pytest.approx(10 + deviations.mean())
            assert found["cp"] == pytest.approx(1 / (6 * deviations.std(ddof=1)))
            assert found["pp"] == pytest.approx(found["cp"]), "one subgroup"
            assert found["cpk"] == pytest.approx((0.5 - abs(deviations.mean())) / (3 * deviations.std(ddof=1)))
            assert found["provisional"]


def test_an_edited_nominal_moves_the_sums_of_the_past_to_it(folder: Folder) -> None:
    bench = bench_in(folder())
    limits = "limits: {lower: 9.5, upper: 10.5, nominal: 10}"
    bench.edit("power: {path: w, unit: W}", f"measured: {{width: {{path: d, {limits}}}}}")
    life = Life(bench)
    life.floor.put(bench.link(0), bench.samples(("m1.width", 5, 10.1), ("m1.width", 15, 9.8)))
    life.bench.clock.advance(70)
    life.tick()
    with JournalReader(bench.path) as reader:
        before = read_measured(reader, "hour", 0, 1 << 62).rows
    bench.edit(limits, "limits: {lower: 9.5, upper: 10.5, nominal: 9}")
    life.agent.close()
    other = bench.agent(ScriptedConnector(), refresh_ns=RARELY)  # has not said anything yet
    other.pipeline._status_at = 0
    asyncio.run(other.pipeline.tick())
    other.close()
    with JournalReader(bench.path) as reader:
        after = read_measured(reader, "hour", 0, 1 << 62).rows
    assert after["nominal"].to_list() == [9.0]
    assert after["mean"].to_list() == pytest.approx(before["mean"].to_list())
    assert after["cpk"].to_list() == pytest.approx(before["cpk"].to_list())


def test_an_export_says_which_version_it_shows(folder: Folder) -> None:
    life = Life(bench_in(folder()))
    life.until(4, history(life.bench, 4))
    life.floor.put(life.bench.samples(("m1.state.status", 3700, 2.0)))
    life.bench.clock.advance(60)
    life.tick()
    life.agent.pipeline._status_at = 0
    life.tick()
    life.end()
    with JournalReader(life.bench.path) as reader:
        found = exported(reader, "hour", 0, 1 << 62)
    corrected = found.filter(pl.col("revision") > 0)
    assert set(corrected["start"].dt.timestamp("ms")) == {(NOON // HOUR_NS * HOUR_NS + HOUR_NS) // 1_000_000}
    assert sorted(corrected["level"]) == ["area", "line", "machine", "site"]
    assert set(corrected["cause"]) == {"late_data"}
    assert set(found.filter(pl.col("revision") == 0)["cause"]) == {""}


def test_status_says_how_far_back_samples_still_correct(folder: Folder) -> None:
    life = Life(bench_in(folder()))
    life.until(6, history(life.bench, 6))
    life.agent.pipeline._status_at = 0
    life.tick()
    said = life.agent.pipeline.shown["corrections"]
    life.end()
    assert said["since"] == NOON
    assert said["horizon_ns"] == 7 * 24 * HOUR_NS
    assert said["archive_blocks"] >= 2
    assert not said["shortened"]
