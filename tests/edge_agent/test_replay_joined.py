"""History in several replays gives what one replay over all of it gives: any files, in any order, ended anywhere."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from connectors import SampleBatch
from connectors.replay import QUARTER_NS
from edge_agent.journal import JournalReader
from edge_agent.replay import ReplaySummary
from kpi.elements import HOUR_NS, MINUTE_NS
from tests.edge_agent.scripted import NOON, SECOND, Bench
from tests.edge_agent.test_replay import LATER, intervals_of, parquet, replayed, rows_of

DAY = 24 * 3600
UNREACHABLE = "http://127.0.0.1:9"


def plant(folder: Path, keep: str = "35 d", horizon: str = "7 d", influx: str | None = None) -> Bench:
    """Two machines with minor stops, an energy meter, pieces, products and a measured value; m2 is given the reason of
    its stops by people, and pauses within its cycle."""
    folder.mkdir(exist_ok=True)
    bench = Bench(folder, influx=influx)
    bench.edit("power: {path: w, unit: W}", "energy: {path: e, unit: kWh}\n    minor_stop: 5 min")
    bench.edit(
        "    ideal_cycle_time",
        "    measured: {bore: {path: b, unit: mm, limits: {lower: 9, upper: 11}}}\n    ideal_cycle_time",
    )
    bench.edit(
        "{id: m2, profile: station}",
        "{id: m2, profile: station, cycle_gap: 30 s, stop_reason: {path: r}, stop_reason_holds: stop,\n"
        "         reasons: {L: {planned: true}, M: {loss: starved}}}",
    )
    bench.edit("        - {when: {status: 2}, state: breakdown}", "        - {when: {status: 2}, state: stopped}")
    bench.edit("correction_horizon: 10 min", f"correction_horizon: {horizon}, keep_minutes: {keep}")
    return bench


def history(bench: Bench, seed: int, seconds: int, *, every: int = 97, gap: int = 0) -> SampleBatch:
    """Stops of all lengths, counters that start again, meters read now and then.

    every: seconds between two readings of a counter; of a meter nine times as many. gap: so many seconds are left out
    from a third of the time on.
    """
    random = np.random.default_rng(seed)
    rows: list[tuple[str, float, float]] = []
    for machine in ("m1", "m2"):
        at = float(random.integers(0, 500))
        while at < seconds:
            rows.append((f"{machine}.state.status", at, float(random.choice([1, 1, 2, 7]))))
            at += float(random.choice([20, 170, 400, 30 * every, 90 * every]))
        total, energy = 0.0, 100.0
        for at in np.arange(3.5, seconds, every):
            total = 0.0 if random.random() < 0.01 else total + float(random.integers(0, 3))
            rows.append((f"{machine}.good", float(at), total))
        for at in np.arange(7.5, seconds, 9 * every):
            energy += float(random.integers(0, 50)) / 8
            rows.append((f"{machine}.energy", float(at), energy))
        for at in np.arange(11.0, seconds, 12 * every):
            rows.append((f"{machine}.bore", float(at), round(float(random.normal(10, 0.2)), 3)))
        for at in random.integers(0, seconds, seconds // (40 * every)) if machine == "m2" else ():
            rows.append(("m2.stop_reason", float(at), float(random.integers(0, 3))))
        for at in range(100, seconds, 15 * 3600):
            rows.append((f"{machine}.product", float(at), float(random.integers(0, 2))))
    if gap:
        rows = [row for row in rows if not seconds // 3 <= row[1] < seconds // 3 + gap]
    return bench.samples(*sorted(rows, key=lambda row: row[1]))


def measured_of(path: Path, window: str) -> pl.DataFrame:
    with JournalReader(path) as reader:
        return reader.measured(window, 0, LATER).sort("machine", "time")  # type: ignore[arg-type]


def states_of(path: Path) -> pl.DataFrame:
    """Time in each state by minute: where a state was thought to change once, an interval stays cut."""
    keys = ["machine", "minute", "state", "product", "reason"]
    minute = (pl.col("start") // (60 * SECOND) * (60 * SECOND)).alias("minute")
    spent = (pl.col("end") - pl.col("start")).alias("spent")
    return intervals_of(path, LATER).with_columns(minute, spent).group_by(keys).agg(pl.col("spent").sum()).sort(keys)


def decisions_of(path: Path) -> pl.DataFrame:
    with JournalReader(path) as reader:
        found = reader.decisions(0, LATER)
    return found.sort(found.columns)


def assert_same_rows(path: Path, whole: Path) -> None:
    """Hours, and as many minutes as both keep."""
    assert_frame_equal(rows_of(path, "hour"), rows_of(whole, "hour"))
    assert_frame_equal(measured_of(path, "hour"), measured_of(whole, "hour"))
    kept = max(int(rows_of(one)["time"].min()) for one in (path, whole))  # type: ignore[arg-type]
    for table in (rows_of, lambda one: measured_of(one, "minute")):
        assert_frame_equal(*(table(one).filter(pl.col("time") >= kept) for one in (path, whole)))
    assert_frame_equal(*(states_of(one).filter(pl.col("minute") >= kept) for one in (path, whole)))
    assert_frame_equal(*(decisions_of(one).filter(pl.col("time") >= kept) for one in (path, whole)))


def points(path: Path) -> dict[str, dict[str, str]]:
    """What a database would hold that got the outbox: fields by series and time, the last of each, versions apart.

    A KPI that is said to be absent is none, though its field stays in the database.
    """
    held: dict[str, dict[str, str]] = {}
    with closing(sqlite3.connect(path)) as database:
        bodies = [gzip.decompress(body).decode() for (body,) in database.execute("SELECT body FROM outbox ORDER BY id")]
    for line in "".join(bodies).splitlines():
        series, rest = re.split(r"(?<!\\) ", line, maxsplit=1)
        fields, at = rest.rsplit(" ", 1)
        found = dict(re.findall(r'(\w+)=("(?:\\.|[^"\\])*"|[^,]*)', fields))
        held.setdefault(f"{series} {at}", {}).update(
            {name: value for name, value in found.items() if name not in {"revision", "cause"}}
        )
    for point in held.values():
        for kpi in point.get("absent", "").strip('"').split():
            point.pop(kpi, None)
    return held


def by_time(batch: SampleBatch, cuts: Sequence[int]) -> list[SampleBatch]:
    """cuts: seconds after NOON, ascending."""
    edges = [-(2**62), *(NOON + cut * SECOND for cut in cuts), 2**62]
    parts = [batch.where((batch.time >= first) & (batch.time < last)) for first, last in pairwise(edges)]
    return [part for part in parts if len(part)]


def one_by_one(bench: Bench, parts: Sequence[SampleBatch], journal: Path, **options: Any) -> list[ReplaySummary]:
    done = []
    for number, part in enumerate(parts):
        file = parquet(bench, part, f"{journal.stem}-{number}.parquet")
        done.append(replayed(bench, file, journal=journal, **options))
    return done


@pytest.mark.parametrize(("keep", "bite"), [("35 d", 200), ("1 h", 200), ("1 h", 2_000_000)])
def test_files_that_follow_each_other_give_the_rows_of_one_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, bite: int
) -> None:
    """What lies between the last reading of one file and the first of the next is counted; a stop goes on."""
    monkeypatch.setattr("edge_agent.replay.plan.MOST_SAMPLES", bite)
    bench = plant(tmp_path, keep)
    batch = history(bench, 1, 2 * DAY)
    whole, joined = tmp_path / "whole.journal", tmp_path / "joined.journal"
    replayed(bench, parquet(bench, batch), journal=whole)
    one_by_one(bench, by_time(batch, [30_000, 86_400 - 7200, 100_050, 100_060, 150_000]), joined)
    assert rows_of(whole, "hour")["energy"].sum() > 0
    assert_same_rows(joined, whole)


def cut_up(batch: SampleBatch, cuts: Sequence[int], way: str, tags: Mapping[str, int]) -> list[SampleBatch]:
    """By time alone, by machine and time, or at random, with what two parts have in common."""
    parts = by_time(batch, cuts)
    if way == "machine":
        of_first = np.isin(batch.tag, [i for name, i in tags.items() if name.startswith("m1")])
        parts = by_time(batch.where(of_first), cuts) + by_time(batch.where(~of_first), cuts)
    if way == "random":
        of = np.random.default_rng(7).integers(0, len(parts), len(batch))
        parts = [batch.where((of == i) | (of == i + 1)) for i in range(len(parts))]
    return parts


# a case takes a second: to shrink one would take minutes
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_files_in_any_order_give_the_rows_of_one_replay(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut by time, by machine or at random; with what two files have in common; bites and holes of any length."""
    folder = tmp_path_factory.mktemp("joined")
    bench = plant(folder, data.draw(st.sampled_from(["35 d", "1 h"]), label="keep"))
    seconds = data.draw(st.sampled_from([DAY // 2, 2 * DAY]), label="seconds")
    gap = data.draw(st.sampled_from([0, 0, DAY // 3]), label="gap")
    batch = history(bench, data.draw(st.integers(0, 99), label="seed"), seconds, gap=gap)
    cuts = sorted(data.draw(st.lists(st.integers(0, seconds), min_size=1, max_size=4), label="cuts"))
    parts = cut_up(batch, cuts, data.draw(st.sampled_from(["time", "machine", "random"]), label="way"), bench.tags)
    order = data.draw(st.permutations(range(len(parts))), label="order")
    gap_ns = data.draw(st.sampled_from([2 * HOUR_NS, 24 * HOUR_NS]), label="gap_ns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_agent.replay.plan.MOST_SAMPLES", data.draw(st.sampled_from([200, 10**6]), label="bite"))
        whole, joined = folder / "whole.journal", folder / "joined.journal"
        replayed(bench, parquet(bench, SampleBatch.concat(parts)), journal=whole, gap_ns=gap_ns)
        one_by_one(bench, [parts[i] for i in order], joined, gap_ns=gap_ns)
    assert_same_rows(joined, whole)


@pytest.mark.parametrize(
    ("what", "seed", "cuts", "keep"),
    [
        ("a meter that is not read in the bite to come", 11, [122_067, 146_740], "35 d"),
        ("a stop that is a minor one so far, in hours without minutes", 18, [8_048, 29_414], "1 h"),
        ("a stop that is open where the engine goes on", 18, [8_048, 29_414], "35 d"),
    ],
)
def test_a_part_replayed_again_changes_nothing_where_a_bite_ends_in(
    tmp_path: Path, what: str, seed: int, cuts: list[int], keep: str
) -> None:
    """No point is queued, either."""
    bench = plant(tmp_path, keep, influx=UNREACHABLE)
    parts = by_time(history(bench, seed, 2 * DAY if cuts[1] > DAY // 2 else DAY // 2), cuts)
    assert_nothing_changes_again(bench, [parts[2], parts[0], parts[1]])


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_part_replayed_again_changes_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever parts, their order, the bites and the holes: no new, no replaced minutes."""
    keep = data.draw(st.sampled_from(["35 d", "1 h"]), label="keep")
    bench = plant(tmp_path_factory.mktemp("again"), keep)
    seconds = data.draw(st.sampled_from([DAY // 2, 2 * DAY]), label="seconds")
    gap = data.draw(st.sampled_from([0, 0, DAY // 3]), label="gap")
    batch = history(bench, data.draw(st.integers(0, 99), label="seed"), seconds, gap=gap)
    cuts = sorted(data.draw(st.lists(st.integers(0, seconds), min_size=1, max_size=3), label="cuts"))
    way = data.draw(st.sampled_from(["time", "time", "machine", "random"]), label="way")
    parts = cut_up(batch, cuts, way, bench.tags)
    order = data.draw(st.permutations(range(len(parts))), label="order")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_agent.replay.plan.MOST_SAMPLES", data.draw(st.sampled_from([200, 10**6]), label="bite"))
        assert_nothing_changes_again(bench, [parts[i] for i in order])


def assert_nothing_changes_again(bench: Bench, parts: Sequence[SampleBatch]) -> None:
    options = {"gap_ns": 2 * HOUR_NS, "patience_seconds": 0}
    one_by_one(bench, parts, bench.path, **options)
    before = held_of(bench.path)
    for again in one_by_one(bench, parts, bench.path, **options):
        assert (again.minutes_new, again.minutes_replaced, again.kept, again.points_queued) == (0, 0, 0, 0)
    assert_frame_equal(held_of(bench.path), before)


def held_of(path: Path) -> pl.DataFrame:
    """Rows of hours with their revisions: those of minutes are of the highest."""
    with JournalReader(path) as reader:
        return reader.elements("hour", 0, LATER).sort("machine", "time", "product")


def test_the_summary_says_what_was_joined_on_to(tmp_path: Path) -> None:
    """What it follows, what follows it, how many rows it completed."""
    bench = plant(tmp_path)
    parts = by_time(history(bench, 1, DAY), [30_000, 60_000])
    journal = tmp_path / "joined.journal"
    last, first, inner = one_by_one(bench, [parts[2], parts[0], parts[1]], journal, gap_ns=2 * HOUR_NS)

    def minute(at: int) -> str:
        return f"{datetime.fromtimestamp(at // SECOND, ZoneInfo(bench.compiled.timezone)):%Y-%m-%d %H:%M}"

    # around a hole, what is covered is whole quarter hours
    earlier = minute(int(parts[0].time[-1]) // QUARTER_NS * QUARTER_NS + QUARTER_NS - MINUTE_NS)
    first_sample = int(parts[2].time[0])
    at_first = f"what follows from {minute(first_sample)}"
    later = f"what follows from {minute(first_sample // QUARTER_NS * QUARTER_NS)}"
    assert last.joined == []
    assert first.joined == [f"joined on to {at_first}; {first.minutes_replaced:,} minutes completed"]
    assert inner.joined == [f"joined on to {earlier} and to {later}; {inner.minutes_replaced:,} minutes completed"]
    assert inner.minutes_replaced > 0


def test_files_within_a_silence_that_counted_as_covered_are_said_to_be_put_among_it(tmp_path: Path) -> None:
    bench = plant(tmp_path)
    parts = by_time(history(bench, 1, DAY), [30_000, 60_000])
    done = one_by_one(bench, [SampleBatch.concat([parts[0], parts[2]]), parts[1]], tmp_path / "joined.journal")
    assert done[1].joined == [f"put among what was replayed before; {done[1].minutes_replaced:,} minutes completed"]


@pytest.mark.parametrize("order", [[2, 1, 0], [2, 0, 1]])
def test_of_a_long_history_only_what_is_near_an_edge_is_kept_and_files_join_all_the_same(
    tmp_path: Path, order: list[int]
) -> None:
    """What changes at an edge ends within what is kept there: the engine comes to its end as it did before."""
    bench = plant(tmp_path, "1 h", horizon="10 min")
    batch = history(bench, 3, 18 * DAY)
    whole, joined = tmp_path / "whole.journal", tmp_path / "joined.journal"
    replayed(bench, parquet(bench, batch), journal=whole)
    done = one_by_one(bench, [by_time(batch, [6 * DAY + 4711, 12 * DAY - 100])[i] for i in order], joined)
    assert_same_rows(joined, whole)
    assert [note for one in done for note in one.notes] == []
    with JournalReader(joined) as reader:
        (strand,) = reader.strands().values()
    assert sum(one.samples for one in strand[1]) < len(batch) / 2


def test_files_that_cannot_join_on_say_so(tmp_path: Path) -> None:
    """In the middle of what was replayed nothing is kept: what is there stays, or is replaced without its past."""
    bench = plant(tmp_path, "1 h", horizon="10 min")
    batch = history(bench, 3, 12 * DAY)
    journal = tmp_path / "joined.journal"
    replayed(bench, parquet(bench, batch), journal=journal)
    before = rows_of(journal, "hour")
    inner = by_time(batch, [5 * DAY, 6 * DAY])[1]
    (done,) = one_by_one(bench, [inner], journal)
    assert_frame_equal(rows_of(journal, "hour"), before)
    assert (done.minutes_new, done.minutes_replaced, done.refused > 0) == (0, 0, True)
    assert ["begin in the middle" in note for note in done.notes] == [True, False]
    assert "stays as it is, `--recompute` replaces it" in done.notes[1]


def test_a_long_history_is_recomputed_file_by_file_from_the_oldest_on(tmp_path: Path) -> None:
    """Each goes on from the one before, though the journal knew of all that time."""
    bench = plant(tmp_path, "1 h", horizon="10 min")
    batch = history(bench, 3, 15 * DAY)
    silent = (batch.time >= NOON + 5 * DAY * SECOND) & (batch.time < NOON + (5 * DAY + 1500) * SECOND)
    parts = by_time(batch.where(~silent), [5 * DAY, 10 * DAY])
    journal = tmp_path / "joined.journal"
    replayed(bench, parquet(bench, batch.where(~silent)), journal=journal)
    bench.edit("A: 10 s", "A: 12 s")
    bench.edit("minor_stop: 5 min", "minor_stop: 3 min")
    done = one_by_one(bench, parts, journal, recompute=True)
    assert [note for one in done for note in one.notes] == []
    replayed(bench, parquet(bench, batch.where(~silent)), journal=tmp_path / "fresh.journal")
    assert_same_rows(journal, tmp_path / "fresh.journal")


def test_where_what_is_known_never_comes_back_what_follows_is_said_to_be_others(tmp_path: Path) -> None:
    """A product is told once, in a file that is replayed after those that follow it."""
    bench = plant(tmp_path, "1 h", horizon="10 min")
    batch = history(bench, 3, 10 * DAY)
    products = np.isin(batch.tag, [bench.tags["m1.product"], bench.tags["m2.product"]])
    batch = batch.where(~products | (batch.time < NOON + DAY * SECOND))
    first, following = by_time(batch, [2 * DAY])
    done = one_by_one(bench, [following, first], tmp_path / "joined.journal")
    assert ["does not go on as from these files" in note for note in done[1].notes] == [True]
    again = one_by_one(bench, [following], tmp_path / "joined.journal", recompute=True)
    assert again[0].notes == []
    replayed(bench, parquet(bench, batch), journal=tmp_path / "whole.journal")
    assert_same_rows(tmp_path / "joined.journal", tmp_path / "whole.journal")


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_database_gets_the_same_figures_from_separate_replays(tmp_path: Path, order: list[int]) -> None:
    """Cut in a week that a month ends in: windows of all lengths, of machines, lines and the site."""
    joined, whole = (plant(tmp_path / name, "3 d", influx=UNREACHABLE) for name in ("joined", "whole"))
    batch = history(joined, 11, 4 * DAY, every=3600)
    late = SampleBatch(batch.tag, batch.time + 28 * DAY * SECOND, batch.value, batch.quality)
    replayed(whole, parquet(whole, late), journal=whole.path, patience_seconds=0)
    parts = by_time(late, [30 * DAY + 4321])
    one_by_one(joined, [parts[i] for i in order], joined.path, patience_seconds=0)
    assert_same_rows(joined.path, whole.path)
    mine, theirs = points(joined.path), points(whole.path)
    for measurement in ("kpi,", "element,", "measured,"):
        expected = {key: fields for key, fields in theirs.items() if key.startswith(measurement)}
        assert expected
        assert {key: mine.get(key) for key in expected} == expected
    months = [key for key in theirs if "window=month" in key]
    assert len({key.rsplit(" ", 1)[1] for key in months}) == 2
    for again in one_by_one(joined, parts, joined.path, patience_seconds=0):
        assert (again.minutes_new, again.minutes_replaced, again.kept, again.points_queued) == (0, 0, 0, 0)


def test_a_reason_that_is_given_in_a_later_bite_is_of_the_whole_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop of thirty hours, with its reason at the end of it, in bites of hours: as in one bite."""
    monkeypatch.setattr("edge_agent.replay.plan.MOST_SAMPLES", 200)
    bench = plant(tmp_path)
    hours = 3600
    beats = [("m2.good", float(at), float(at)) for at in range(0, 40 * hours, 60)]
    stop = [
        ("m2.state.status", 0.0, 1.0),
        ("m2.state.status", 2.0 * hours, 2.0),
        ("m2.state.status", 32.0 * hours, 1.0),
    ]
    batch = bench.samples(*sorted([*beats, *stop, ("m2.stop_reason", 31.5 * hours, 0.0)], key=lambda row: row[1]))
    done = replayed(bench, parquet(bench, batch))
    assert done.minutes_new == 40 * 60
    rows = rows_of(tmp_path / "replayed.journal")
    assert rows["planned_downtime"].sum() == 30 * HOUR_NS
    assert (rows["adet"].sum(), rows["fe"].sum()) == (0, 0)
