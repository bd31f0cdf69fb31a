"""Replay: the same rows as live, twice is once, recomputed is replaced, and the live engine's own is left alone."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from config.compiler import compile_plant
from config.loader import load
from connectors import SampleBatch, TextCodes
from connectors.replay import HistoryError
from edge_agent.cli import app
from edge_agent.commands.faults import BadInputError
from edge_agent.journal import JournalError, JournalReader
from edge_agent.replay import NothingToReplayError, ReplayOptions, ReplaySummary, replay
from kpi.elements import HOUR_NS, MINUTE_NS
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, run, tick
from tests.services.influxdb import influxdb
from tests.services.nginx import nginx

LATER = NOON + 400 * 24 * HOUR_NS


def stream(bench: Bench, seed: int, minutes: int, *, links: bool = True) -> SampleBatch:
    """What two machines and their connection say: states, counts that start again, products, power, a lost link."""
    random = np.random.default_rng(seed)
    rows: list[tuple[str, float, float]] = []
    for machine in ("m1", "m2"):
        at, good = 0.0, 0.0
        while at < minutes * 60:
            rows.append((f"{machine}.state.status", at, float(random.choice([1, 1, 2, 7]))))
            at += float(random.integers(1, 400))
        for at in np.arange(0.5, minutes * 60, 7.3):
            good = 0.0 if random.random() < 0.003 else good + float(random.integers(0, 3))
            rows.append((f"{machine}.good", float(at), good))
            rows.append((f"{machine}.power", float(at) + 0.25, float(random.integers(0, 9000))))
        rows += [(f"{machine}.product", float(at), float(random.integers(0, 2))) for at in range(0, minutes * 60, 610)]
    if links:
        down = range(1200, 1500)
        rows += [("floor.link", float(at), 0.0 if at in down else 1.0) for at in range(0, minutes * 60, 10)]
    batch = bench.samples(*sorted(rows, key=lambda row: row[1]))
    quality = batch.quality.copy()
    quality[random.random(len(quality)) < 0.002] = 2
    return SampleBatch(batch.tag, batch.time, np.where(quality == 2, np.nan, batch.value), quality)


def table(bench: Bench, batch: SampleBatch) -> pl.DataFrame:
    """The samples as a historian would export them: products and reasons as texts."""
    names = [tag.name for tag in bench.compiled.tags.tags]
    texts = {"product": {0.0: "A", 1.0: "B"}, "stop_reason": {0.0: "L", 1.0: "M", 2.0: "N"}}
    values = [
        None if np.isnan(value) else texts.get(names[tag].rpartition(".")[2], {}).get(value, repr(float(value)))
        for tag, value in zip(batch.tag.tolist(), batch.value.tolist(), strict=True)
    ]
    return pl.DataFrame(
        {
            "time": pl.Series(batch.time).cast(pl.Datetime("ns", "UTC")),
            "tag": [names[tag] for tag in batch.tag.tolist()],
            "value": pl.Series(values, dtype=pl.String),
        }
    )


def parquet(bench: Bench, batch: SampleBatch, name: str = "history.parquet") -> Path:
    path = bench.path.parent / name
    table(bench, batch).write_parquet(path)
    return path


def replayed(
    bench: Bench, *files: Path, journal: Path | None = None, now: int = LATER, **options: object
) -> ReplaySummary:
    path = journal or bench.path.parent / "replayed.journal"
    chosen = replace(ReplayOptions(files=files, journal=path, changes_only=True), **options)  # type: ignore[arg-type]
    return replay(bench.compile, chosen, clock=lambda: now)


def rows_of(path: Path, window: str = "minute", until: int = LATER) -> pl.DataFrame:
    with JournalReader(path) as reader:
        rows = reader.elements(window, 0, until).sort("machine", "time", "shift", "product")  # type: ignore[arg-type]
    return rows.filter(pl.col("calendar_time") != 0).drop("revision", "cause")


def intervals_of(path: Path, until: int) -> pl.DataFrame:
    with JournalReader(path) as reader:
        return reader.intervals(0, until).sort("machine", "start")


def live(bench: Bench, batch: SampleBatch, *, step: int = 149) -> int:
    """Let an agent collect the stream as it comes; returns up to when it settled everything, ns."""
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        last = int(batch.time.max())
        while bench.clock() < last + 10 * MINUTE_NS:
            bench.clock.advance(step)
            floor.put(batch.where((batch.time < bench.clock()) & (batch.time >= bench.clock() - step * SECOND)))
            await tick(agent)

    run(agent, script)
    return agent.assembly.settled_to


@pytest.mark.parametrize("seed", [1, 2])
def test_history_recorded_from_a_live_stream_gives_the_rows_of_the_live_run(tmp_path: Path, seed: int) -> None:
    """Link tag and all, so the silence of a lost connection is in the history too."""
    bench = Bench(tmp_path)
    batch = stream(bench, seed, 40)
    live(bench, batch)
    replayed(bench, parquet(bench, batch))
    end = int(batch.time.max()) // MINUTE_NS * MINUTE_NS
    path = tmp_path / "replayed.journal"
    assert len(rows_of(path, until=end)) > 70
    assert_frame_equal(rows_of(path, until=end), rows_of(bench.path, until=end))
    assert_frame_equal(intervals_of(path, end), intervals_of(bench.path, end))


def test_without_link_tags_a_machine_is_known_from_its_first_sample_on(tmp_path: Path) -> None:
    """As live with a connection that never went down."""
    bench = Bench(tmp_path)
    batch = stream(bench, 4, 30, links=False)
    up = bench.link(*range(0, 1800, 10))
    live(bench, SampleBatch.concat([up, batch]))
    replayed(bench, parquet(bench, batch))
    first, end = NOON + MINUTE_NS, int(batch.time.max()) // MINUTE_NS * MINUTE_NS
    inside = pl.col("time") >= first
    mine, theirs = rows_of(tmp_path / "replayed.journal", until=end), rows_of(bench.path, until=end)
    assert_frame_equal(mine.filter(inside), theirs.filter(inside))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), parts=st.integers(1, 4))
def test_rows_do_not_depend_on_how_history_is_ordered_and_cut_into_files(
    tmp_path_factory: pytest.TempPathFactory, seed: int, parts: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    bench = Bench(folder)
    batch = stream(bench, 5, 20)
    whole = parquet(bench, batch, "whole.parquet")
    shuffled = np.random.default_rng(seed).permutation(len(batch))
    mixed = SampleBatch(batch.tag[shuffled], batch.time[shuffled], batch.value[shuffled], batch.quality[shuffled])
    edges = np.linspace(0, len(mixed), parts + 1).astype(int)
    files = []
    for part, (first, last) in enumerate(pairwise(edges.tolist())):
        mask = np.zeros(len(mixed), np.bool_)
        mask[first:last] = True
        files.append(parquet(bench, mixed.where(mask), f"part{part}.parquet"))
    replayed(bench, whole, journal=folder / "a.journal")
    replayed(bench, *files, journal=folder / "b.journal")
    assert_frame_equal(rows_of(folder / "a.journal"), rows_of(folder / "b.journal"))


def ledger(path: Path) -> Mapping[str, int]:
    with JournalReader(path) as reader:
        return reader.ledger()


def test_running_it_twice_changes_nothing_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = parquet(bench, stream(bench, 6, 60))
    path = tmp_path / "replayed.journal"
    first = replayed(bench, file)
    before, hours, intervals = rows_of(path), rows_of(path, "hour"), intervals_of(path, LATER)
    second = replayed(bench, file)
    third = replayed(bench, file, recompute=True)
    for after in (second, third):
        assert (after.minutes_new, after.minutes_replaced) == (0, 0)
        assert after.minutes_as_before == first.minutes_new
        assert after.kept == 0
    assert_frame_equal(rows_of(path), before)
    assert_frame_equal(rows_of(path, "hour"), hours)
    assert_frame_equal(intervals_of(path, LATER), intervals)
    booked = ledger(path)
    assert booked["kept"] == first.kept
    assert booked["received"] == booked["kept"] + booked["thinned:duplicate"] == 3 * first.samples


def edited(bench: Bench, old: str, new: str) -> Bench:
    """The same plant with its configuration corrected."""
    text = bench.yaml.read_text()
    assert old in text
    bench.yaml.write_text(text.replace(old, new))
    bench.config = load(bench.yaml)
    bench.compiled = compile_plant(bench.config, TextCodes())
    return bench


def test_a_recomputation_after_a_correction_gives_what_the_corrected_plant_would_have(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = parquet(bench, stream(bench, 7, 60))
    path = tmp_path / "replayed.journal"
    replayed(bench, file)
    bench = edited(bench, "A: 10 s", "A: 12 s")
    left = replayed(bench, file)
    assert (left.minutes_new, left.minutes_replaced) == (0, 0)
    done = replayed(bench, file, recompute=True)
    assert done.minutes_new == 0
    assert done.minutes_replaced > 0
    fresh = tmp_path / "fresh.journal"
    replayed(bench, file, journal=fresh)
    assert_frame_equal(rows_of(path), rows_of(fresh))
    assert_frame_equal(rows_of(path, "hour"), rows_of(fresh, "hour"))


def test_measured_values_of_hours_without_minutes_add_up_to_those_of_the_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = "power: {path: w, unit: W}"
    bench = edited(Bench(tmp_path), power, "measured: {bore: {path: b, unit: mm, limits: {lower: 9, upper: 11}}}")
    file = tmp_path / "bore.csv"
    random = np.random.default_rng(3)
    values = random.normal(10, 0.2, 3000).round(3).tolist()
    lines = [f"{NOON // SECOND + 7 * n},m1.bore,{value}" for n, value in enumerate(values)]
    file.write_text("time,tag,value\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr("edge_agent.replay.plan.MOST_SAMPLES", 300)
    kept, summed = tmp_path / "kept.journal", tmp_path / "summed.journal"
    replayed(bench, file, journal=kept)
    bench = edited(bench, "journal: ", "keep_minutes: 1 h, journal: ")
    replayed(bench, file, journal=summed)
    replayed(bench, file, journal=summed, recompute=True)
    with JournalReader(kept) as minutes, JournalReader(summed) as hours:
        assert hours.measured("minute", 0, LATER)["n"].sum() < 1500
        sums = hours.measured("hour", 0, LATER)
        assert sums["n"].sum() == 3000
        assert sums["sum"].sum() == pytest.approx(sum(value - 10 for value in values))
        assert_frame_equal(sums, minutes.measured("hour", 0, LATER))


def lines_of(path: Path, word: str) -> list[str]:
    """Lines in the outbox that have a word in them, oldest first."""
    with sqlite3.connect(path) as database:
        bodies = [gzip.decompress(body).decode() for (body,) in database.execute("SELECT body FROM outbox ORDER BY id")]
    return [line for body in bodies for line in body.splitlines() if word in line]


def test_what_replaces_something_is_a_revision_and_a_row_that_is_no_more_is_sent_as_zeros(tmp_path: Path) -> None:
    """Its point in the database would be added to the new ones."""
    bench = Bench(tmp_path, influx="http://127.0.0.1:9")
    path = tmp_path / "replayed.journal"

    def history(product: str) -> Path:
        file = tmp_path / f"{product}.csv"
        start = NOON // SECOND
        lines = [f"{start},m1.product,{product}", f"{start},m1.state.status,1", f"{start + 100},m1.good,1"]
        file.write_text("time,tag,value\n" + "\n".join(lines) + "\n")
        return file

    replayed(bench, history("A"), patience_seconds=0)
    replayed(bench, history("B"), patience_seconds=0, recompute=True)
    with JournalReader(path) as reader:
        rows = reader.elements("minute", 0, LATER).filter(pl.col("calendar_time") > 0)
    assert set(rows["product"]) == {"B"}
    assert set(rows["revision"]) == {1}
    assert set(rows["cause"]) == {"recomputation"}
    said = [line for line in lines_of(path, "product=A") if line.startswith("element")]
    assert len(said) == 4
    assert all("calendar_time=60" in line for line in said[:2])
    assert all("calendar_time=0" in line for line in said[2:])
    again = replayed(bench, tmp_path / "B.csv", recompute=True, patience_seconds=0)
    assert (again.minutes_replaced, again.points_queued) == (0, 0)


def test_what_a_live_agent_collected_is_not_touched_unless_it_is_to_be_recomputed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    batch = stream(bench, 8, 60)
    settled = live(bench, batch)
    before = rows_of(bench.path)
    earlier = SampleBatch(batch.tag, batch.time - 2 * HOUR_NS, batch.value, batch.quality)
    file = parquet(bench, SampleBatch.concat([earlier, stream(bench, 9, 60)]))
    done = replayed(bench, file, journal=bench.path)
    assert done.minutes_new == 2 * 120
    assert done.minutes_replaced == 0
    kept = rows_of(bench.path)
    assert_frame_equal(kept.filter(pl.col("time") >= NOON), before)
    done = replayed(bench, file, journal=bench.path, recompute=True)
    assert done.minutes_replaced > 0
    assert settled > NOON


def test_the_live_engine_goes_on_after_a_replay_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Its checkpoint and the samples since stay; what it has not settled is not written."""
    bench = Bench(tmp_path)
    batch = stream(bench, 10, 30)
    settled = live(bench, batch)
    agent = bench.agent()
    recovered = agent.journal.recover()
    agent.close()
    shifted = SampleBatch(batch.tag, batch.time + 20 * MINUTE_NS, batch.value, batch.quality)
    done = replayed(bench, parquet(bench, shifted), journal=bench.path, recompute=True)
    assert int(rows_of(bench.path)["time"].max()) < settled  # type: ignore[arg-type]
    assert any("later than" in note for note in done.notes)
    booked = ledger(bench.path)
    refused = sum(n for cause, n in booked.items() if cause.startswith(("refused:", "thinned:")))
    assert booked["received"] == booked["kept"] + refused
    agent = bench.agent()
    after = agent.journal.recover()
    agent.close()
    assert after.checkpoint == recovered.checkpoint
    assert after.samples.time.tolist() == recovered.samples.time.tolist()


def test_a_journal_that_an_agent_holds_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = parquet(bench, stream(bench, 11, 5))
    agent = bench.agent()
    try:
        with pytest.raises(JournalError, match="in use by another agent"):
            replayed(bench, file, journal=bench.path)
    finally:
        agent.close()


def test_a_long_silence_is_not_covered_and_a_short_one_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    early, late = stream(bench, 12, 20, links=False), stream(bench, 13, 20, links=False)
    shifted = SampleBatch(late.tag, late.time + 6 * HOUR_NS, late.value, late.quality)
    file = parquet(bench, SampleBatch.concat([early, shifted]))
    short, long = tmp_path / "short.journal", tmp_path / "long.journal"
    replayed(bench, file, journal=short, gap_ns=24 * HOUR_NS)
    replayed(bench, file, journal=long, gap_ns=2 * HOUR_NS)
    times = rows_of(short)["time"].unique().sort()
    assert (times.diff().drop_nulls() == MINUTE_NS).all()
    silent = pl.col("time").is_between(NOON + HOUR_NS, NOON + 5 * HOUR_NS)
    assert rows_of(long).filter(silent).is_empty()
    assert rows_of(long)["calendar_time"].sum() < 60 * 2 * MINUTE_NS
    after = pl.col("time") >= NOON + 6 * HOUR_NS + MINUTE_NS
    assert_frame_equal(rows_of(long).filter(after), rows_of(short).filter(after))


def year(bench: Bench, days: int) -> SampleBatch:
    """A sample of each signal every ten minutes."""
    at = np.arange(0, days * 86400, 600.0)
    rows: list[tuple[str, float, float]] = []
    for n, second in enumerate(at.tolist()):
        rows += [("m1.state.status", second, 1.0), ("m1.good", second, float(n)), ("m1.product", second, 0.0)]
    return bench.samples(*rows)


def test_of_a_year_the_journal_keeps_hours_and_of_its_end_minutes_and_a_correction_reaches_all(tmp_path: Path) -> None:
    bench = edited(Bench(tmp_path), "journal: ", "keep_minutes: 2 d, journal: ")
    file = parquet(bench, year(bench, 8))
    path = tmp_path / "replayed.journal"
    done = replayed(bench, file)
    minutes, hours = rows_of(path), rows_of(path, "hour")
    assert hours["calendar_time"].sum() == done.minutes_new * MINUTE_NS
    assert hours["pq"].sum() == (8 * 144 - 1) * 1_000_000
    assert 0 < len(minutes) < 3.2 * 1440
    assert replayed(bench, file).minutes_new == 0
    bench = edited(bench, "A: 10 s", "A: 12 s")
    again = replayed(bench, file, recompute=True)
    assert again.minutes_replaced > 0
    fresh = tmp_path / "fresh.journal"
    replayed(bench, file, journal=fresh)
    assert_frame_equal(rows_of(path, "hour"), rows_of(fresh, "hour"))
    both = rows_of(path).join(rows_of(fresh), on=["machine", "time"], how="semi")
    assert_frame_equal(both, rows_of(fresh).join(both, on=["machine", "time"], how="semi"))


def shift(bench: Bench) -> SampleBatch:
    """Half a day of a machine with stops of all lengths and a meter that is read now and then, but not at night."""
    random = np.random.default_rng(21)
    rows: list[tuple[str, float, float]] = []
    at = 0.0
    while at < 12 * 3600:
        rows.append(("m1.state.status", at, float(random.choice([1, 2]))))
        at += float(random.choice([20, 70, 100, 900]))
    read = [at for at in range(0, 12 * 3600, 900) if not 4 * 3600 < at < 9 * 3600]
    rows += [("m1.energy", at + 7.5, 100.0 + at / 700) for at in read]
    rows += [("m1.good", float(at), at // 40) for at in range(0, 12 * 3600, 40)]
    return bench.samples(*sorted(rows, key=lambda row: row[1]))


def with_meter(folder: Path) -> Bench:
    bench = edited(Bench(folder), "power: {path: w, unit: W}", "energy: {path: e, unit: kWh}\n    minor_stop: 2 min")
    bench.tags = {tag.name: i for i, tag in enumerate(bench.compiled.tags.tags)}
    return edited(bench, "correction_horizon: 10 min", "correction_horizon: 1 d")


def test_rows_do_not_depend_on_the_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops and the intervals of meters reach over their edges."""
    bench = with_meter(tmp_path)
    file = parquet(bench, shift(bench))
    whole, bitten = tmp_path / "whole.journal", tmp_path / "bitten.journal"
    replayed(bench, file, journal=whole)
    monkeypatch.setattr("edge_agent.replay.plan.MOST_SAMPLES", 200)
    replayed(bench, file, journal=bitten)
    assert rows_of(whole)["energy"].sum() == pytest.approx((42_300 / 700) * 1e6, abs=30)
    assert_frame_equal(rows_of(bitten), rows_of(whole))
    assert_frame_equal(rows_of(bitten, "hour"), rows_of(whole, "hour"))


@pytest.mark.parametrize("keep", ["35 d", "1 h"])
def test_a_replay_that_was_ended_in_the_middle_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    bench = edited(with_meter(tmp_path), "journal: ", f"keep_minutes: {keep}, journal: ")
    file = parquet(bench, shift(bench))
    whole, ended = tmp_path / "whole.journal", tmp_path / "ended.journal"
    replayed(bench, file, journal=whole)
    monkeypatch.setattr("edge_agent.replay.plan.MOST_SAMPLES", 200)

    def end_at(limit: int) -> None:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == "replaying" and done > total * limit // 10:
                raise KeyboardInterrupt

        options = ReplayOptions(files=(file,), journal=ended, changes_only=True)
        with pytest.raises(KeyboardInterrupt):
            replay(bench.compile, options, clock=lambda: LATER, progress=progress)

    end_at(2)
    end_at(6)
    replayed(bench, file, journal=ended)
    assert_frame_equal(rows_of(ended, "hour"), rows_of(whole, "hour"))
    held = rows_of(ended)
    assert_frame_equal(
        held, rows_of(whole).join(held.select("machine", "time").unique(), on=["machine", "time"], how="semi")
    )


def test_points_go_into_the_outbox_like_those_of_a_live_agent(tmp_path: Path) -> None:
    """Nothing takes them here, so they wait in the journal, and a second replay adds none."""
    bench = Bench(tmp_path, influx="http://127.0.0.1:9")
    file = parquet(bench, stream(bench, 14, 30))
    first = replayed(bench, file, patience_seconds=0.1)
    assert first.points_queued == first.points_waiting > 100
    second = replayed(bench, file, patience_seconds=0.1)
    assert second.points_queued == 0


def test_after_a_recomputation_the_database_holds_what_a_fresh_one_would(tmp_path: Path) -> None:
    """A day of hours alone and one of minutes: elements, states and KPIs of all windows, revisions apart."""
    with (
        influxdb(tmp_path / "influxdb") as server,
        nginx(tmp_path / "nginx", upstream=server.port, most_body_bytes=10**8) as proxy,
    ):
        server.query("CREATE DATABASE fresh")
        bench = edited(Bench(tmp_path, influx=proxy.url), "journal: ", "keep_minutes: 1 d, journal: ")
        file = parquet(bench, year(bench, 2))
        assert replayed(bench, file).points_waiting == 0
        bench = edited(bench, "A: 10 s", "A: 12 s")
        assert replayed(bench, file, recompute=True).points_waiting == 0
        edited(bench, "bucket: factory", "bucket: fresh")
        assert replayed(bench, file, journal=tmp_path / "fresh.journal").points_waiting == 0

        def held(measurement: str, database: str) -> list[dict[str, object]]:
            points = server.points(measurement, database=database)
            for point in points:
                point.pop("revision", None)
                point.pop("cause", None)
            return sorted(points, key=lambda point: (str(point.get("level")), str(sorted(point.items()))))

        for measurement in ("element", "state", "kpi"):
            assert held(measurement, "factory") == held(measurement, "fresh")
        days = server.query("SELECT pq, provisional FROM kpi WHERE \"window\" = 'day' AND level = 'site'")
        assert sum(row[1] for row in days[0]["values"]) == 2 * 144 - 1
        assert {row[2] for row in days[0]["values"]} == {False}


def test_with_a_database_twice_is_once_and_recomputed_is_replaced_with_weeks_months_and_measured_values(
    tmp_path: Path,
) -> None:
    """Capability too: of a corrected scale, what the database holds is what a fresh one would."""
    with (
        influxdb(tmp_path / "influxdb") as server,
        nginx(tmp_path / "nginx", upstream=server.port, most_body_bytes=10**8) as proxy,
    ):
        server.query("CREATE DATABASE fresh")
        bench = edited(Bench(tmp_path, influx=proxy.url), "journal: ", "keep_minutes: 1 d, journal: ")
        bench = edited(
            bench, "power: {path: w, unit: W}", "measured: {bore: {path: b, unit: mm, limits: {lower: 9, upper: 11}}}"
        )
        start = NOON // SECOND + 29 * 86400  # into November
        random = np.random.default_rng(3)
        bores = random.normal(10, 0.2, 400).round(3).tolist()
        lines = [f"{start + 600 * n},m1.bore,{bore}\n{start + 600 * n},m1.good,{n}" for n, bore in enumerate(bores)]
        file = tmp_path / "history.csv"
        file.write_text("time,tag,value\n" + "\n".join([f"{start},m1.state.status,1", *lines]) + "\n")
        assert replayed(bench, file).points_waiting == 0

        def held(database: str) -> dict[str, list[str]]:
            return {
                name: sorted(
                    str(sorted((key, value) for key, value in point.items() if key not in {"revision", "cause"}))
                    for point in server.points(name, database=database)
                )
                for name in ("element", "state", "measured", "kpi")
            }

        first = held("factory")
        assert all(first.values())
        again = replayed(bench, file)
        assert (again.points_queued, again.kept) == (0, 0)
        assert held("factory") == first
        bench = edited(bench, "{path: b, unit: mm,", "{path: b, unit: mm, offset: 0.1,")
        assert replayed(bench, file, recompute=True).points_waiting == 0
        edited(bench, "bucket: factory", "bucket: fresh")
        assert replayed(bench, file, journal=tmp_path / "fresh.journal").points_waiting == 0
        assert held("factory") == held("fresh")
        assert held("factory")["measured"] != first["measured"]
        windows = server.query("SELECT count(pq) FROM kpi WHERE level = 'site' GROUP BY \"window\"")
        assert {one["tags"]["window"] for one in windows} == {"hour", "shift", "day", "week", "month", "minute"}


def test_files_without_a_row_of_the_plant_end_it_with_what_was_found(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = tmp_path / "other.csv"
    file.write_text("time,tag,value\n2025-01-01T00:00:00Z,m1.god,1\n")
    with pytest.raises(NothingToReplayError) as caught:
        replayed(bench, file)
    assert [(one.name, one.hint) for one in caught.value.summary.unknown_tags] == [
        ("m1.god", ", did you mean `m1.good`?")
    ]


def test_a_file_that_is_no_history_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    good = parquet(bench, stream(bench, 15, 5))
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(good.read_bytes()[:500])
    with pytest.raises(HistoryError, match=r"bad\.parquet"):
        replayed(bench, bad)
    with pytest.raises(HistoryError, match=r"bad\.parquet"):
        replayed(bench, good, bad, recompute=True)
    assert rows_of(tmp_path / "replayed.journal").is_empty()
    assert not list(tmp_path.glob(".*replay*"))


def test_a_file_that_is_no_history_does_not_stop_the_others_unless_it_might_take_something_away(tmp_path: Path) -> None:
    """With `--recompute` rows would be replaced without what the file holds."""
    bench = Bench(tmp_path)
    good = parquet(bench, stream(bench, 15, 5))
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(good.read_bytes()[:500])
    result = CliRunner().invoke(app, ["replay", str(bench.yaml), str(bad), str(good), "--json"])
    assert isinstance(result.exception, BadInputError)
    assert str(result.exception).startswith(
        "1 of 2 files could not be read, or not to their end; the others were replayed"
    )
    assert "bad.parquet: it cannot be read" in str(result.exception)
    facts = json.loads(result.stdout)
    assert facts["unread"] != []
    assert facts["minutes"]["new"] > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,tag,value\n", "below their headings they hold no rows"),
        (
            "time,tag,value\nsoon,m1.good,1\n",
            r"times cannot be read \(as in history.csv, line 2, column `time`: soon\)",
        ),
        ("time,tag,value\n2025-01-01T00:00:00Z,m9.x,1\n", "name tags `machine.signal`"),
    ],
)
def test_where_nothing_is_found_it_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    bench = Bench(tmp_path)
    file = tmp_path / "history.csv"
    file.write_text(text)
    result = CliRunner().invoke(app, ["replay", str(bench.yaml), str(file)])
    assert isinstance(result.exception, BadInputError)
    assert re.search(said, str(result.exception))


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = tmp_path / "history.csv"
    start = NOON // SECOND
    lines = [f"{start + 10 * n};point-7;{n},5" for n in range(100)]
    file.write_text("ts;name;val\n" + "\n".join(lines) + "\nlater;point-7;1\n")
    mapping = tmp_path / "map.csv"
    mapping.write_text("name,tag\npoint-7,m1.good\n")
    arguments = ["replay", str(bench.yaml), str(file), "--map", str(mapping), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["samples"] == 100
    assert facts["faults"]["bad_timestamp"]["count"] == 1
    assert facts["machines"] == ["m1"]
    result = CliRunner().invoke(app, arguments[:-1])
    assert result.exit_code == 0
    assert "0 new, 0 replaced, 17 as before" in result.stdout


def test_a_signal_without_any_value_in_the_files_is_named_and_links_are_not(tmp_path: Path) -> None:
    """A column that was forgotten, or that holds nothing; machines without any history are said as such."""
    bench = Bench(tmp_path)
    batch = stream(bench, 16, 20, links=False)
    of_first = np.isin(batch.tag, [i for name, i in bench.tags.items() if name.startswith("m1.")])
    batch = batch.where(of_first & (batch.tag != bench.tags["m1.good"]))
    empty = batch.tag == bench.tags["m1.power"]
    value = np.where(empty, np.nan, batch.value)
    batch = SampleBatch(batch.tag, batch.time, value, np.where(empty, 2, batch.quality).astype(np.uint8))
    summary = replayed(bench, parquet(bench, batch))
    assert summary.machines_without_history == ["m2"]
    assert {"m1.good", "m1.power"} <= set(summary.silent_signals)
    assert not {"m1.state.status", "m1.product"} & set(summary.silent_signals)
    assert not [name for name in summary.silent_signals if name.startswith("m2.") or name.endswith(".link")]


def test_time_that_no_file_covers_is_said_and_known_is_of_the_rest(tmp_path: Path) -> None:
    """Of all machines, and of one of them: from its last sample on, or up to its first."""
    bench = Bench(tmp_path)
    early, late = stream(bench, 17, 60, links=False), stream(bench, 18, 60, links=False)
    of_first = np.isin(late.tag, [i for name, i in bench.tags.items() if name.startswith("m1.")])

    def after(batch: SampleBatch, days: int) -> SampleBatch:
        return SampleBatch(batch.tag, batch.time + days * 24 * HOUR_NS, batch.value, batch.quality)

    whole = SampleBatch.concat([early, after(late, 15), after(late.where(of_first), 16)])
    file = parquet(bench, whole)
    summary = replayed(bench, file)
    found = [(one.machines, (one.end - one.start) / HOUR_NS) for one in summary.not_covered]
    assert found == [((), 15 * 24 - 1), (("m2",), 24)]
    result = CliRunner().invoke(app, ["replay", str(bench.yaml), str(file), "--changes-only"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "not covered by these files: " in said
    assert "(15.0 d)" in said
    assert "of planned busy time in what is covered" in said


def test_files_in_the_local_time_of_another_zone_are_asked_about(tmp_path: Path) -> None:
    """Berlin's night of 25 October, read as UTC: an hour of it is there twice."""
    bench = Bench(tmp_path)
    file = tmp_path / "history.csv"
    lines = [f"25.10.2026 0{h}:{m:02}:00;m1.good;{n}" for n, (h, m) in enumerate(product([1, 2, 2, 3], range(60)))]
    file.write_text("time;tag;value\n" + "\n".join(lines))
    summary = replayed(bench, file, time_zone="UTC")
    (note,) = summary.notes
    assert note.startswith(
        "times of history.csv step back on 2026-10-25 from 02:59:00 to 02:00:00, where UTC has no clock"
    )
    assert note.endswith("are they of another time zone? `--time-zone` says which")
    assert summary.decisions["conflict"] == 60
    assert ["clock change" in note for note in replayed(bench, file, journal=tmp_path / "own").notes] == [False]
