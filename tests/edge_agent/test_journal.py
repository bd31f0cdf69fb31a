"""The journal: what was committed is there, what was not is not, and every sample and point is accounted for."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from connectors import SampleBatch
from edge_agent.journal import (
    BEYOND_HORIZON_SCHEMA,
    DECISION_SCHEMA,
    ELEMENT_SCHEMA,
    INTERVAL_SCHEMA,
    MEASURED_SCHEMA,
    OPEN,
    ArchiveFacts,
    BeyondFacts,
    DeadLetter,
    Decided,
    Journal,
    JournalError,
    JournalReader,
    JournalWriteError,
    OutboxEntry,
    OutboxKind,
    TagFacts,
    Tick,
)
from edge_agent.journal.outbox import ENTRY_BYTES, MOST_DEAD_LETTERS, oldest, settle
from edge_agent.journal.schema import SCHEMA, connect, transaction
from edge_agent.ledger import (
    ARCHIVE_BLOCKS_JOURNAL_FULL,
    BEYOND_HORIZON_JOURNAL_FULL,
    BEYOND_HORIZON_TOO_MANY,
    ELEMENT_ROWS_TOO_OLD,
    Unit,
    beyond_difference,
    difference,
)
from kpi.columns import Columns
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.fold import Before
from kpi.packing import Numbering, pack
from kpi.past import Block

H0 = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
DAY_NS = 24 * HOUR_NS
TAGS = ("press.state", "press.good", "filler.state")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal goes."""
    return tmp_path / "plant.journal"


def opened(path: Path, *, tags: Sequence[str] = TAGS, most_bytes: int = 10**9, **options: Any) -> closing[Journal]:
    """The journal, closed on leaving."""
    return closing(Journal(path, most_bytes=most_bytes, tags=tags, **options))


def rows(
    *minutes: tuple[str, int, int], shift: str = "early", product: str = "P", revision: int = 0, cause: str = ""
) -> pl.DataFrame:
    """Element rows of (machine, time, amount), the amount in every element."""
    version = {"revision": revision, "cause": cause}
    return pl.DataFrame(
        [
            {"machine": m, "time": t, "shift": shift, "shift_start": H0, "product": product}
            | dict.fromkeys(ELEMENT_IDS, amount)
            | version
            for m, t, amount in minutes
        ],
        schema=dict(ELEMENT_SCHEMA),
    )


def intervals(*known: tuple[str, int, int, int]) -> pl.DataFrame:
    """Intervals of (machine, start, end, state)."""
    return pl.DataFrame([(*interval, "", "jam") for interval in known], schema=dict(INTERVAL_SCHEMA), orient="row")


def entry(kind: OutboxKind, points: int = 1, size: int = 100) -> OutboxEntry:
    """An outbox entry with a body of `size` bytes."""
    return OutboxEntry(kind, points, points if kind is OutboxKind.RAW else 0, b"x" * size)


def columns(batch: SampleBatch) -> list[tuple[int, int, float, int]]:
    """The batch's samples, one after the other."""
    return list(zip(batch.tag.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True))


# --- what a restart begins with -------------------------------------------------------------------------------------


def test_a_new_journal_recovers_nothing(path: Path) -> None:
    with opened(path) as journal:
        recovery = journal.recover()
        assert recovery.checkpoint is None
        assert len(recovery.samples) == 0
        assert recovery.same_tags
        assert journal.texts() == {}


def test_samples_since_the_checkpoint_come_back_in_order(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0, 1, 2], [10, 20, 30], [1.0, 2.0, 3.0], [0, 1, 2])))
        journal.commit(Tick(samples=SampleBatch.of([1, 0], [25, 5], [4.0, 5.0]), checkpoint=(b"state", 20)))
        journal.commit(Tick(samples=SampleBatch.of([2], [15], [6.0])))
    with opened(path) as journal:
        recovery = journal.recover()
    assert (recovery.checkpoint, recovery.keep_from, recovery.damaged) == (b"state", 20, 0)
    late = (2, 15, 6.0, 0)  # the engine had not taken it on when the agent ended
    assert columns(recovery.samples) == [(1, 20, 2.0, 1), (2, 30, 3.0, 2), (1, 25, 4.0, 0), late]


def test_late_samples_that_the_engine_has_not_taken_on_come_back_after_others_that_it_has(path: Path) -> None:
    """A run of late samples alone goes with the next checkpoint; the one after it is another, and not taken on yet."""
    with opened(path) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0], [30], [1.0]), checkpoint=(b"", 20)))
        for time in (5, 6, 7):
            journal.commit(Tick(samples=SampleBatch.of([1], [time], [2.0]), checkpoint=(b"", 20)))
        journal.commit(Tick(samples=SampleBatch.of([1], [8], [3.0])))
        journal.commit(Tick(samples=SampleBatch.of([1], [9], [4.0])))
    with opened(path) as journal:
        assert columns(journal.recover().samples) == [(0, 30, 1.0, 0), (1, 8, 3.0, 0), (1, 9, 4.0, 0)]


def test_values_that_are_no_number_come_back_as_they_were(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0, 0, 0], [1, 2, 3], [np.nan, -0.0, np.inf], [2, 0, 2])))
        assert str(columns(journal.recover().samples)) == "[(0, 1, nan, 2), (0, 2, -0.0, 0), (0, 3, inf, 2)]"


def test_rows_of_the_log_that_the_checkpoint_covers_are_gone(path: Path) -> None:
    with opened(path) as journal:
        for time in range(10):
            journal.commit(Tick(samples=SampleBatch.of([0], [time], [0.0])))
        journal.commit(Tick(checkpoint=(b"", 7)))
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT count(*), min(last_time) FROM sample_log").fetchone() == (3, 7)


def test_tags_are_found_again_by_name_when_the_configuration_changes(path: Path) -> None:
    with opened(path, tags=("a", "b", "c")) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0, 1, 2], [1, 2, 3], [0.0, 1.0, 2.0]), checkpoint=(b"1", 0)))
    with opened(path, tags=("c", "new", "a")) as journal:
        recovery = journal.recover()
        assert columns(recovery.samples) == [(2, 1, 0.0, 0), (0, 3, 2.0, 0)]
        assert recovery.old_to_new.tolist() == [2, -1, 0]
        assert not recovery.same_tags
        journal.commit(Tick(samples=SampleBatch.of([1], [4], [9.0])))
    with opened(path, tags=("c", "new", "a")) as journal:
        # Until the next checkpoint the old one still speaks of the old indexes.
        assert journal.recover().old_to_new.tolist() == [2, -1, 0]
        journal.commit(Tick(checkpoint=(b"2", 0)))
    with opened(path, tags=("c", "new", "a")) as journal:
        recovery = journal.recover()
        assert recovery.same_tags
        assert columns(recovery.samples) == [(2, 1, 0.0, 0), (0, 3, 2.0, 0), (1, 4, 9.0, 0)]


def test_a_tag_that_was_away_for_a_while_has_its_samples_again(path: Path) -> None:
    with opened(path, tags=("a", "b")) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0, 1], [1, 1], [0.0, 1.0])))
    with opened(path, tags=("a",)) as journal:
        assert len(journal.recover().samples) == 1
    with opened(path, tags=("b", "a")) as journal:
        assert columns(journal.recover().samples) == [(1, 1, 0.0, 0), (0, 1, 1.0, 0)]


def test_text_codes_come_back_even_those_that_are_no_unicode(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(texts={"RUN": 0, "停止": 1}))
        journal.commit(Tick(texts={"\ud800": 2, "": 3, "a\0b": 4}))
    with opened(path) as journal:
        assert journal.texts() == {"RUN": 0, "停止": 1, "\ud800": 2, "": 3, "a\0b": 4}


@pytest.mark.parametrize("damage", ["body = zeroblob(length(body))", "body = 7", "body = ''", "checksum = 'x'"])
def test_a_damaged_row_of_the_log_is_left_out_and_counted(path: Path, damage: str) -> None:
    with opened(path) as journal:
        journal.commit(Tick(samples=SampleBatch.of([0], [1], [1.0])))
        journal.commit(Tick(samples=SampleBatch.of([0], [2], [2.0])))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE sample_log SET {damage} WHERE id = 1")
    with opened(path) as journal:
        recovery = journal.recover()
    assert (recovery.damaged, columns(recovery.samples)) == (1, [(0, 2, 2.0, 0)])


# --- elements and intervals -----------------------------------------------------------------------------------------


def test_minutes_and_their_hour_are_read_as_they_were_committed(path: Path) -> None:
    minutes = pl.concat([rows(("press", H0, 1), ("press", H0 + MINUTE_NS, 2)), rows(("filler", H0, 5), product="Q")])
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(elements=minutes))
        assert_frame_equal(reader.elements("minute", H0, H0 + HOUR_NS), minutes, check_row_order=False)
        hours = reader.elements("hour", H0, H0 + HOUR_NS, ["press"])
        assert_frame_equal(hours, rows(("press", H0, 3)))
        assert reader.elements("minute", H0, H0 + MINUTE_NS, ["press"])["fe"].to_list() == [1]
        assert reader.elements("minute", H0, H0 + HOUR_NS, ["nobody"]).is_empty()
        assert reader.span() == (H0, H0 + MINUTE_NS)


def test_rows_of_a_minute_replace_all_rows_of_that_minute(path: Path) -> None:
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(elements=pl.concat([rows(("press", H0, 1)), rows(("press", H0, 2), product="Q")])))
        journal.commit(Tick(elements=rows(("press", H0, 7), product="R")))
        assert reader.elements("minute", H0, H0 + HOUR_NS)["product"].to_list() == ["R"]
        assert reader.elements("hour", H0, H0 + HOUR_NS)["product"].to_list() == ["R"]


def test_hours_begin_where_the_plants_hours_begin(path: Path) -> None:
    half = HOUR_NS // 2
    with opened(path, hour_offset_ns=half) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(elements=rows(("press", H0, 1), ("press", H0 + half, 10))))
        assert reader.elements("hour", H0 - HOUR_NS, H0 + HOUR_NS)["time"].to_list() == [H0 - half, H0 + half]
    with opened(path, hour_offset_ns=0) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(elements=rows(("press", H0, 5))))
        hours = reader.elements("hour", H0 - HOUR_NS, H0 + HOUR_NS)
        assert hours.select("time", "fe").rows() == [(H0 - half, 5), (H0 + half, 10)], "a journal keeps its hours"


updates = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(("a", "b")), st.integers(0, 150), st.sampled_from(("P", "Q", "")), st.integers(-5, 10**12)
        ),
        max_size=12,
        unique_by=lambda row: row[:3],
    ),
    max_size=6,
)


@settings(max_examples=12, deadline=None)
@given(updates=updates)
def test_an_hour_is_the_sum_of_its_minutes_whatever_was_corrected(
    updates: list[list[tuple[str, int, str, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against a slow twin: a dictionary of rows, replaced minute by minute."""
    path = tmp_path_factory.mktemp("hours") / "plant.journal"
    twin: dict[tuple[str, int], dict[str, int]] = {}
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        for update in updates:
            for machine, minute in {(m, t) for m, t, *_ in update}:
                twin[machine, minute] = {p: n for m, t, p, n in update if (m, t) == (machine, minute)}
            tables = [rows((m, H0 + t * MINUTE_NS, n), product=p) for m, t, p, n in update]
            journal.commit(Tick(elements=pl.concat(tables) if tables else None))
        held = reader.elements("hour", H0, H0 + 3 * HOUR_NS)
    expected: Counter[tuple[str, int, str]] = Counter()
    for (machine, minute), amounts in twin.items():
        for product, amount in amounts.items():
            expected[machine, H0 + minute // 60 * HOUR_NS, product] += amount
    for element in ELEMENT_IDS:
        found = zip(held["machine"], held["time"], held["product"], held[element], strict=True)
        assert {(m, t, p): n for m, t, p, n in found} == expected


def test_intervals_replace_those_of_their_minutes(path: Path) -> None:
    second = MINUTE_NS // 60
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(
            Tick(
                elements=rows(("press", H0, 1), ("press", H0 + MINUTE_NS, 1)),
                intervals=intervals(
                    ("press", H0, H0 + second, 1),
                    ("press", H0 + second, H0 + MINUTE_NS, 2),
                    ("press", H0 + MINUTE_NS, H0 + 2 * MINUTE_NS, 1),
                ),
            )
        )
        journal.commit(Tick(elements=rows(("press", H0, 1)), intervals=intervals(("press", H0, H0 + MINUTE_NS, 9))))
        assert reader.intervals(H0, H0 + HOUR_NS)["state"].to_list() == [9, 1]
        # One that began before the window reaches into it.
        assert reader.intervals(H0 + 30 * second, H0 + MINUTE_NS)["state"].to_list() == [9]
        assert reader.intervals(H0 + MINUTE_NS, H0 + HOUR_NS)["state"].to_list() == [1]
        assert reader.intervals(H0, H0 + HOUR_NS, ["nobody"]).is_empty()


def test_minutes_are_kept_for_weeks_and_hours_for_years(path: Path) -> None:
    with (
        opened(path, keep_minutes_ns=2 * DAY_NS, keep_hours_ns=10 * DAY_NS) as journal,
        closing(JournalReader(path)) as reader,
    ):
        for day in range(14):
            minutes = rows(*((m, H0 + day * DAY_NS + i * MINUTE_NS, 1) for m in ("a", "b") for i in range(120)))
            states = intervals(("a", H0 + day * DAY_NS, H0 + day * DAY_NS + MINUTE_NS, 1))
            journal.commit(Tick(elements=minutes, intervals=states))
        newest = H0 + 13 * DAY_NS + 119 * MINUTE_NS
        for step in range(100):
            journal.commit(Tick(elements=rows(("a", newest, step))))
        minutes = reader.elements("minute", 0, newest + 1)
        hours = reader.elements("hour", 0, newest + 1)
        assert minutes["time"].min() == H0 + 11 * DAY_NS + HOUR_NS
        assert reader.intervals(0, newest)["start"].min() == H0 + 12 * DAY_NS
        assert hours["time"].min() == H0 + 3 * DAY_NS + HOUR_NS
        assert set(hours.filter(pl.col("time") < newest - DAY_NS)["fe"]) == {60}


def test_a_correction_of_an_hour_whose_minutes_are_gone_is_refused_and_counted(path: Path) -> None:
    with opened(path, keep_minutes_ns=DAY_NS) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(elements=rows(*(("a", H0 + i * MINUTE_NS, 1) for i in range(60)))))
        journal.commit(Tick(elements=rows(("a", H0 + 3 * DAY_NS, 1))))
        journal.commit(Tick(elements=rows(("a", H0 + MINUTE_NS, 1000), ("a", H0 + 3 * DAY_NS, 2))))
        assert reader.elements("hour", H0, H0 + HOUR_NS)["fe"].to_list() == [60]
        assert reader.ledger()[ELEMENT_ROWS_TOO_OLD] == 1


def test_an_hour_knows_the_highest_revision_that_ever_changed_it(path: Path) -> None:
    first, second = H0, H0 + MINUTE_NS
    with opened(path) as journal, closing(JournalReader(path)) as reader:

        def versions(window: Any) -> list[tuple[str, int, str]]:
            held = reader.elements(window, H0, H0 + HOUR_NS)
            return [(r["product"], r["revision"], r["cause"]) for r in held.sort("time", "product").to_dicts()]

        journal.commit(Tick(elements=rows(("press", first, 1))))
        journal.commit(Tick(elements=rows(("press", second, 1), revision=OPEN)))
        assert versions("minute") == [("P", 0, ""), ("P", OPEN, "")]
        assert versions("hour") == [("P", 0, "")]
        journal.commit(Tick(elements=rows(("press", second, 1))))
        journal.commit(Tick(elements=rows(("press", first, 2), product="Q", revision=3, cause="late_data")))
        assert versions("hour") == [("P", 3, "late_data"), ("Q", 3, "late_data")], "both sums are other ones now"
        journal.commit(Tick(elements=rows(("press", second, 1), revision=1, cause="calendar_edit")))
        assert versions("hour") == [("P", 3, "late_data"), ("Q", 3, "late_data")]
        assert versions("minute") == [("Q", 3, "late_data"), ("P", 1, "calendar_edit")]


def measured(*rows: tuple[str, int, str, float, int, float]) -> pl.DataFrame:
    """Statistics of (machine, time, characteristic, nominal, n, amount), the amount in every sum."""
    return pl.DataFrame(
        [(m, t, c, nominal, n, x, x, n, x, n, x) for m, t, c, nominal, n, x in rows],
        schema=dict(MEASURED_SCHEMA),
        orient="row",
    )


def test_measured_values_replace_those_of_their_minute_and_hours_are_summed_again(path: Path) -> None:
    second = H0 + MINUTE_NS
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        told = measured(("press", H0, "width", 10.0, 2, 0.5), ("press", H0, "depth", 0.0, 1, 4.0))
        journal.commit(Tick(measured=pl.concat([told, measured(("press", second, "width", 10.0, 1, 0.25))])))
        assert_frame_equal(reader.measured("minute", H0, second), told, check_row_order=False)
        journal.commit(Tick(measured=measured(("press", H0, "width", 10.0, 3, 1.0))))
        hours = reader.measured("hour", H0, H0 + HOUR_NS, ["press"]).select("characteristic", "n", "sum", "within_df")
        assert sorted(hours.rows()) == [("depth", 1, 4.0, 1), ("width", 4, 1.25, 4)]
        # another nominal: its sums are not to be added to those of the old one
        journal.commit(Tick(measured=measured(("press", second, "width", 12.0, 1, -1.75))))
        hours = reader.measured("hour", H0, H0 + HOUR_NS).select("characteristic", "nominal", "n", "sum")
        assert sorted(hours.rows()) == [("depth", 0.0, 1, 4.0), ("width", 10.0, 3, 1.0), ("width", 12.0, 1, -1.75)]


def test_the_reason_of_a_stop_is_kept_with_its_interval(path: Path) -> None:
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(intervals=intervals(("press", H0, H0 + MINUTE_NS, 6))))
        assert reader.intervals(H0, H0 + HOUR_NS)["reason"].to_list() == ["jam"]


def decided(minutes: Sequence[tuple[str, int]], *told: tuple[str, int, str, str, int]) -> Decided:
    """Decisions of (machine, time, counter, verdict, counted) in place of what is held of some minutes."""
    return Decided(
        pl.DataFrame(list(minutes), schema={"machine": pl.Utf8, "time": pl.Int64}, orient="row"),
        pl.DataFrame(
            [(m, t, c, v, False, 9.5, None if v == "stuck" else 1.0, n, 1) for m, t, c, v, n in told],
            schema=dict(DECISION_SCHEMA),
            orient="row",
        ),
    )


def test_decisions_about_counters_stand_or_go_with_their_minutes(path: Path) -> None:
    second = H0 + MINUTE_NS
    first = decided(
        [("press", H0), ("saw", H0), ("press", second)],
        ("press", H0 + 5, "good", "reset", 1_000_000),
        ("press", second, "", "stuck", 0),
        ("saw", H0 + 7, "energy", "rollover", 2_000_000),
    )
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(decided=first))
        assert_frame_equal(reader.decisions(H0, second + 1), first.rows.sort("time", "machine"))
        journal.commit(Tick(decided=decided([("press", H0)])))
        assert reader.decisions(H0, second)["machine"].to_list() == ["saw"]
        assert reader.decisions(H0, second + 1, ["press"])["verdict"].to_list() == ["stuck"]
        assert reader.decisions(H0, second + 1, newest=1)["verdict"].to_list() == ["stuck"]
        assert [(c.machine, c.counter, c.times, c.counted) for c in reader.decision_counts(H0, second)] == [
            ("saw", "energy", 1, 2_000_000)
        ]


def test_decisions_about_counters_are_kept_as_long_as_minutes(path: Path) -> None:
    with opened(path, keep_minutes_ns=2 * DAY_NS) as journal, closing(JournalReader(path)) as reader:
        for day in range(9):
            at = H0 + day * DAY_NS
            tick = decided([("a", at)], ("a", at + 1, "good", "reset", 0))
            journal.commit(Tick(elements=rows(("a", at, 1), ("b", at, 1)), decided=tick))
        for _ in range(20):
            journal.commit(Tick(elements=rows(("a", H0 + 8 * DAY_NS, 1))))
        assert reader.decisions(0, H0 + 9 * DAY_NS)["time"].min() == H0 + 6 * DAY_NS + 1
        journal.commit(Tick(decided=decided([("a", H0)], ("a", H0, "good", "reset", 0))))
        assert reader.decisions(0, H0 + DAY_NS).is_empty(), "of minutes that are gone nothing is kept"


# --- the engine's archived past -------------------------------------------------------------------------------------


def test_archived_blocks_are_there_after_a_restart_and_replaced_by_their_start(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(archive={10: b"old", 20: b"b"}, checkpoint=(b"", 30)))
        archive = journal.archive()
        journal.commit(Tick(archive={10: b"a"}))
        assert dict(archive) == {10: b"a", 20: b"b"}, "a mapping shows what the last commit left"
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        assert dict(journal.archive()) == dict(reader.archive(TAGS)) == {10: b"a", 20: b"b"}
        assert journal.archive_facts() == ArchiveFacts(2, 2, 10)
        with pytest.raises(KeyError):
            journal.archive()[30]


def test_blocks_behind_the_horizon_go_but_the_one_that_reaches_over_it(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(archive={10: b"a", 20: b"b", 30: b"c"}, checkpoint=(b"", 40)))
        journal.commit(Tick(archive_from=25))
        assert list(journal.archive()) == [20, 30]
        journal.commit(Tick(archive_from=30))
        assert list(journal.archive()) == [30]


def test_blocks_that_a_restart_has_in_its_log_are_not_in_the_archive(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(archive={10: b"a", 20: b"b"}, checkpoint=(b"", 20)))
        assert list(journal.archive()) == [10]


def test_the_oldest_of_the_archive_goes_first_when_the_journal_is_full(path: Path) -> None:
    room = 3_000_000
    with opened(path, most_bytes=room) as journal, closing(JournalReader(path)) as reader:
        for start in range(10):
            journal.commit(Tick(archive={start: bytes([start]) * 500_000}, outbox=[entry(OutboxKind.RAW)]))
        held = list(journal.archive())
        assert held == list(range(10 - len(held), 10))
        assert len(held) in {4, 5}
        assert reader.ledger()[ARCHIVE_BLOCKS_JOURNAL_FULL] == 10 - len(held)
        assert len(held_kinds(path)) == 10, "what waits for the database is worth more"
        journal.commit(Tick(outbox=[entry(OutboxKind.RAW, size=2_900_000)]))
        assert list(journal.archive()) == []
        assert len(held_kinds(path)) == 11


def test_a_block_speaks_of_the_tags_of_today_whatever_they_were_when_it_was_packed(path: Path) -> None:
    def block(*tags: int) -> bytes:
        samples = Columns(
            np.array(tags, np.int32), np.arange(len(tags)), np.array(tags, np.float64), np.zeros(len(tags), np.uint8)
        )
        return pack({"start": 0, "end": 1}, Before.nothing(0), [Columns.empty(), samples], [])

    def held(tags: Sequence[str]) -> list[tuple[str, float]]:
        with opened(path, tags=tags) as journal:
            numbering = Numbering([], np.ones(len(tags), np.bool_))
            samples = Block.unpacked(journal.archive()[0], numbering).samples.whole()
            return [(tags[tag], value) for tag, value in zip(samples.tag.tolist(), samples.value.tolist(), strict=True)]

    with opened(path, tags=("a", "b", "c")) as journal:
        journal.commit(Tick(archive={0: block(0, 1, 2)}, checkpoint=(b"", 5)))
    assert held(("c", "new", "a")) == [("c", 2.0), ("a", 0.0)]
    with opened(path, tags=("c", "new", "a")) as journal:
        journal.commit(Tick(archive={1: block(0, 1, 2)}, checkpoint=(b"", 5)))
    assert held(("a", "b", "c")) == [("a", 0.0), ("b", 1.0), ("c", 2.0)], "a tag that is back has its samples again"


def test_a_damaged_block_goes_with_all_before_it_and_the_operator_is_told(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(archive={10: b"a", 20: b"b", 30: b"c"}, checkpoint=(b"", 40)))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE engine_block SET body = zeroblob(1) WHERE start = 20")
    with opened(path) as journal:
        with pytest.raises(JournalError, match="check the disk"):
            journal.archive()[20]
        assert dict(journal.archive()) == {30: b"c"}


def test_a_journal_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(elements=rows(("press", H0, 1)), intervals=intervals(("press", H0, H0 + MINUTE_NS, 1))))
    with closing(sqlite3.connect(path)) as database:
        for table in (
            "engine_block",
            "folded_with",
            "measured_minute",
            "measured_hour",
            "strand",
            "strand_block",
            "decision",
            "beyond_horizon",
        ):
            database.execute(f"DROP TABLE {table}")
        for table in ("minute", "hour"):
            for column in ("revision", "cause"):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("ALTER TABLE interval DROP COLUMN reason")
        for column in ("machine", "unit", "coded"):
            database.execute(f"ALTER TABLE tag DROP COLUMN {column}")
        database.execute("INSERT INTO ledger VALUES ('refused:beyond_horizon', 3)")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    with pytest.raises(JournalError, match="start this agent once"):
        JournalReader(path)
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        assert_frame_equal(reader.elements("minute", H0, H0 + HOUR_NS), rows(("press", H0, 1)))
        assert reader.intervals(H0, H0 + HOUR_NS)["reason"].to_list() == [""]
        journal.commit(Tick(folded_with={"press": ("a", "b")}))
        assert journal.folded_with() == {"press": ("a", "b")}
        assert reader.decisions_from() == H0 + MINUTE_NS, "the version that wrote that minute kept no decisions"
        assert reader.beyond_horizon_facts() == BeyondFacts(0, 0, None)
        assert beyond_difference(reader.ledger()) == 0, "that version kept no samples apart"


# --- samples beyond the horizon -------------------------------------------------------------------------------------


def too_late(*samples: tuple[int, int, float], quality: int = 0, **more: Any) -> Tick:
    """A tick with samples of (tag, time, value) that came too late, counted as such."""
    tag, time, value = zip(*samples, strict=True)
    batch = SampleBatch.of(tag, time, value, [quality] * len(tag))
    return Tick(beyond=batch, ledger={"refused:beyond_horizon": len(batch)}, **more)


def test_samples_beyond_the_horizon_are_kept_apart_with_their_names_and_texts(path: Path) -> None:
    facts = {
        "press.a.state": TagFacts("press.a", "", coded=True),
        "press.a.good": TagFacts("press.a", "bar", coded=False),
    }
    with opened(path, tags=list(facts), tag_facts=facts, clock=lambda: 77) as journal:
        journal.commit(too_late((1, 30, 2.5), (0, 20, 4.0), texts={"Störung": 4}))
        journal.commit(too_late((1, 10, np.nan), (0, 40, np.nan), quality=2))
        assert len(journal.recover().samples) == 0, "a restart does not begin with them"
    with opened(path, tags=["press.b.good"]), closing(JournalReader(path)) as reader:
        found = reader.beyond_horizon(10, 40)
        assert found.rows.rows() == [
            ("press.a.good", "press.a", "good", "bar", 10, None, None, 2, 77),
            ("press.a.state", "press.a", "state", "", 20, None, "Störung", 0, 77),
            ("press.a.good", "press.a", "good", "bar", 30, 2.5, None, 0, 77),
        ], "as they were called when they came"
        assert dict(found.rows.schema) == dict(BEYOND_HORIZON_SCHEMA)
        assert found.damaged == 0
        assert (reader.beyond_horizon_facts().samples, reader.beyond_horizon_facts().since) == (4, 77)
        assert beyond_difference(reader.ledger()) == 0


def test_of_too_many_samples_beyond_the_horizon_the_oldest_go_and_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.journal.beyond_horizon.MOST_BYTES", 10_000)
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        for time in range(30):
            journal.commit(too_late((0, time, 1.0), (1, time, 1.0)))
            assert reader.beyond_horizon_facts().bytes <= 10_000
            assert beyond_difference(reader.ledger()) == 0
        kept = reader.beyond_horizon(0, 30).rows["time"].to_list()
        assert kept == sorted([*range(30 - len(kept) // 2, 30)] * 2)
        assert 0 < reader.ledger()[BEYOND_HORIZON_TOO_MANY] == 60 - len(kept) < 60


def test_one_tick_with_more_samples_beyond_the_horizon_than_are_kept_leaves_the_last_of_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.journal.beyond_horizon.MOST_BYTES", 10_000)
    monkeypatch.setattr("edge_agent.journal.beyond_horizon.RUN", 10)
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(too_late(*((0, time, 1.0) for time in range(1005))))
        kept = reader.beyond_horizon(0, 2000).rows["time"].to_list()
        assert kept == list(range(1005 - len(kept), 1005))
        assert len(kept) > 20
        assert beyond_difference(reader.ledger()) == 0


def test_samples_beyond_the_horizon_are_the_first_to_go_when_the_journal_is_full(path: Path) -> None:
    dice = np.random.default_rng(1)
    block = dice.bytes(100_000)
    with opened(path, most_bytes=1_300_000) as journal, closing(JournalReader(path)) as reader:
        for n in range(80):
            values = dice.normal(size=2000)
            journal.commit(too_late(*((0, n, float(value)) for value in values)))
            assert beyond_difference(reader.ledger()) == 0
        assert 0 < reader.ledger()[BEYOND_HORIZON_JOURNAL_FULL] < 160_000
        for n in range(12):
            journal.commit(Tick(archive={n: block}))
            held = reader.beyond_horizon_facts().samples
            assert held == 0 or len(journal.archive()) == n + 1, "what still corrects figures stays longer"
        assert reader.beyond_horizon_facts().samples == 0
        assert reader.ledger()[BEYOND_HORIZON_JOURNAL_FULL] == 160_000
        assert beyond_difference(reader.ledger()) == 0


@pytest.mark.parametrize("damage", ["zeroblob(8)", "NULLIF(1, 1) || ''", "'text'", "substr(body, 2)"])
def test_damaged_samples_beyond_the_horizon_are_left_out_and_counted(path: Path, damage: str) -> None:
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        for time in range(3):
            journal.commit(too_late((0, time, 1.0), (1, time, 1.0)))
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"UPDATE beyond_horizon SET body = coalesce({damage}, 0) WHERE id = 2")
        found = reader.beyond_horizon(0, 3)
        assert (found.rows["time"].to_list(), found.damaged) == ([0, 0, 2, 2], 2)
        assert beyond_difference(reader.ledger()) == 0


# --- outbox and ledger ----------------------------------------------------------------------------------------------


def adds_up(reader: JournalReader) -> bool:
    """Whether the ledger accounts for every point and sample, and the depths are those of the rows."""
    ledger = reader.ledger()
    with closing(sqlite3.connect(reader.path)) as database:
        held = database.execute(
            "SELECT kind, count(*), sum(points), sum(samples), sum(bytes) FROM outbox GROUP BY kind"
        )
        counted = {OutboxKind(kind): tuple(sums) for kind, *sums in held}
    depths = {k: (d.entries, d.points, d.samples, d.bytes) for k, d in reader.outbox_depth().items() if d.entries}
    return difference(ledger, Unit.POINTS) == difference(ledger, Unit.SAMPLES) == 0 and depths == counted


def held_kinds(path: Path) -> list[OutboxKind]:
    """Kinds of the entries in the outbox, oldest first."""
    with closing(sqlite3.connect(path)) as database:
        return [OutboxKind(row[0]) for row in database.execute("SELECT kind FROM outbox ORDER BY id")]


def test_what_was_queued_waits_in_order(path: Path) -> None:
    with opened(path, clock=lambda: 77) as journal, closing(JournalReader(path)) as reader:
        journal.commit(
            Tick(outbox=[entry(OutboxKind.RAW, 5), entry(OutboxKind.KPI, 2, size=10)], ledger={"received": 5})
        )
        depth = reader.outbox_depth()[OutboxKind.RAW]
        assert (depth.entries, depth.points, depth.samples, depth.bytes, depth.oldest) == (1, 5, 5, 100, 77)
        assert reader.outbox_depth()[OutboxKind.STATE].oldest is None
        assert reader.ledger()["received"] == 5
        assert adds_up(reader)
        assert held_kinds(path) == [OutboxKind.RAW, OutboxKind.KPI]


def test_a_full_outbox_drops_raw_first_oldest_first_and_kpis_last(path: Path) -> None:
    room = 4 * (100 + ENTRY_BYTES)
    gone = []
    with opened(path, most_bytes=room) as journal, closing(JournalReader(path)) as reader:
        order = (OutboxKind.KPI, OutboxKind.ELEMENT, OutboxKind.STATE, OutboxKind.AGENT)
        journal.commit(Tick(outbox=[entry(kind, points=10 + kind) for kind in order]))
        for kind in (OutboxKind.RAW, *[OutboxKind.KPI] * 4):
            before = Counter(held_kinds(path)) + Counter([kind])
            journal.commit(Tick(outbox=[entry(kind)]))
            gone += list((before - Counter(held_kinds(path))).elements())
            assert adds_up(reader)
        assert gone == [OutboxKind.RAW, OutboxKind.AGENT, OutboxKind.STATE, OutboxKind.ELEMENT, OutboxKind.KPI]
        assert reader.ledger()["points:journal_full"] == 1 + 14 + 12 + 11 + 10
        assert reader.ledger()["samples:journal_full"] == 1


@settings(max_examples=12, deadline=None)
@given(
    ticks=st.lists(
        st.lists(st.tuples(st.sampled_from(OutboxKind), st.integers(0, 50), st.integers(0, 2000)), max_size=6),
        max_size=12,
    ),
    deliver=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_the_ledger_adds_up_and_the_bound_holds_whatever_happens(
    ticks: list[list[tuple[OutboxKind, int, int]]], deliver: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "plant.journal"
    with (
        opened(path, most_bytes=5000) as journal,
        closing(JournalReader(path)) as reader,
        closing(connect(path, synchronous="NORMAL")) as forwarder,
    ):
        for tick, deliver_one in zip(ticks, deliver, strict=False):
            on_the_wire = oldest(forwarder)
            journal.commit(Tick(outbox=[entry(*one) for one in tick]))
            if on_the_wire is not None and deliver_one:
                letters = [DeadLetter(0, on_the_wire.kind, min(1, on_the_wire.points), 400, "no", b"")]
                with transaction(forwarder):
                    settle(forwarder, on_the_wire, letters)
            assert adds_up(reader)
            assert sum(d.bytes + d.entries * ENTRY_BYTES for d in reader.outbox_depth().values()) <= 5000


def test_an_entry_dropped_while_on_the_wire_is_accounted_for_once(path: Path) -> None:
    with (
        opened(path, most_bytes=300) as journal,
        closing(JournalReader(path)) as reader,
        closing(connect(path, synchronous="NORMAL")) as forwarder,
    ):
        journal.commit(Tick(outbox=[entry(OutboxKind.RAW, 3)]))
        on_the_wire = oldest(forwarder)
        assert on_the_wire is not None
        journal.commit(Tick(outbox=[entry(OutboxKind.RAW, 4)]))
        with transaction(forwarder):
            settle(forwarder, on_the_wire, [])
        ledger = reader.ledger()
        assert (ledger["points:journal_full"], ledger.get("points:delivered", 0), ledger["points:waiting"]) == (3, 0, 4)


def test_dead_letters_are_bounded_and_stay_booked(path: Path) -> None:
    with (
        opened(path) as journal,
        closing(JournalReader(path)) as reader,
        closing(connect(path, synchronous="NORMAL")) as forwarder,
    ):
        count = MOST_DEAD_LETTERS + 10
        journal.commit(Tick(outbox=[entry(OutboxKind.RAW, count)]))
        on_the_wire = oldest(forwarder)
        assert on_the_wire is not None
        with transaction(forwarder):
            settle(forwarder, on_the_wire, [DeadLetter(i, OutboxKind.RAW, 1, 400, "no", b"") for i in range(count)])
        letters = reader.dead_letters(most=count)
        assert (len(letters), letters[0].rejected_at) == (MOST_DEAD_LETTERS, count - 1)
        assert reader.ledger()["points:rejected"] == count


def test_a_drained_outbox_gives_its_space_back(path: Path) -> None:
    with opened(path) as journal, closing(connect(path, synchronous="NORMAL")) as forwarder:
        for _ in range(12):
            journal.commit(Tick(outbox=[entry(OutboxKind.RAW, size=5_000_000)]))
        while (waiting := oldest(forwarder)) is not None:
            with transaction(forwarder):
                settle(forwarder, waiting, [])
        for _ in range(20):
            journal.commit(Tick(ledger={"received": 1}))
        forwarder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < 30_000_000


# --- status, readers ------------------------------------------------------------------------------------------------


def test_status_is_replaced_by_name(path: Path) -> None:
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        journal.commit(Tick(status={"agent": '{"ticks": 1}', "connections": "[]"}))
        journal.commit(Tick(status={"agent": '{"ticks": 2}'}))
        assert reader.status() == {"agent": {"ticks": 2}, "connections": []}


def test_a_reader_sees_a_tick_as_a_whole(path: Path) -> None:
    """Outbox, elements and ledger are of one instant for a reader, whenever it looks."""
    done = threading.Event()
    torn = []

    def look() -> None:
        with JournalReader(path) as reader:
            while not done.is_set():
                ledger = reader.ledger()
                torn.append(ledger.get("received", 0) != ledger["points:waiting"])

    with opened(path) as journal:
        watcher = threading.Thread(target=look)
        watcher.start()
        for _ in range(200):
            journal.commit(Tick(ledger={"received": 1}, outbox=[entry(OutboxKind.RAW)]))
        done.set()
        watcher.join()
    assert torn
    assert not any(torn)


def test_the_journal_of_a_stopped_agent_can_be_read_without_the_right_to_write(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(ledger={"received": 3}))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        script = f"""
            import os
            from pathlib import Path
            from edge_agent.journal import JournalReader
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            print(JournalReader(Path({str(path)!r})).ledger()["received"])
        """
        for folder in path.parents[:4]:  # one more where test files run side by side
            if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", "popen-", "test_")):
                folder.chmod(folder.stat().st_mode | 0o055)
        assert python(script).strip() == "3"
    finally:
        path.parent.chmod(0o755)


def python(script: str) -> str:
    """What a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- files that are not to be used ----------------------------------------------------------------------------------


def not_sqlite(path: Path) -> None:
    path.write_text("plant: {site: demo}\n" * 1000)


def another_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (id INTEGER)")


def newer_schema(path: Path) -> None:
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")


def damaged_pages(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(texts={f"text {i}": i for i in range(5000)}, outbox=[entry(OutboxKind.RAW, size=100_000)]))
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 8192):
        content[page * 8192 : page * 8192 + 64] = b"\xa5" * 64
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(texts={f"text {i}": i for i in range(5000)}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "reason", "hint"),
    [
        (not_sqlite, "this is not a journal", "another path"),
        (another_sqlite, "not a journal", "another path"),
        (newer_schema, f"newer edge-agent (schema {SCHEMA + 1}; this one knows {SCHEMA})", "update edge-agent"),
        (damaged_pages, "it is damaged", "move plant.journal, plant.journal-wal"),
        (cut_short, "it is damaged", "move plant.journal, plant.journal-wal"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_what_to_do(
    path: Path, spoil: Callable[[Path], None], reason: str, hint: str
) -> None:
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        Journal(path, most_bytes=10**6, tags=TAGS)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before, "a file that is not ours is left as it is"


def test_a_refused_file_can_be_opened_once_it_is_mended(path: Path) -> None:
    another_sqlite(path)
    with pytest.raises(JournalError):
        Journal(path, most_bytes=10**6, tags=TAGS)
    path.unlink()
    with opened(path) as journal:
        journal.commit(Tick())


@pytest.mark.parametrize("spoil", [not_sqlite, another_sqlite, newer_schema])
def test_a_reader_refuses_what_is_no_journal(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    with pytest.raises(JournalError):
        JournalReader(path)


@pytest.mark.parametrize("damage", ["'{\"up\": 1'", "x'00ff'", "'\n'"])
def test_a_damaged_status_is_said_and_is_no_traceback(path: Path, damage: str) -> None:
    with opened(path) as journal:
        journal.commit(Tick(status={"agent": "{}"}))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE status SET json = {damage}")
    with JournalReader(path) as reader, pytest.raises(JournalError, match="said of itself is damaged"):
        reader.status()


def test_a_reader_of_a_file_that_does_not_exist_says_so_and_makes_none(path: Path) -> None:
    with pytest.raises(JournalError, match="no such file"):
        JournalReader(path)
    assert not path.exists()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="make the folder"):
        Journal(tmp_path / "nowhere" / "plant.journal", most_bytes=10**6, tags=TAGS)


def test_a_second_agent_is_told_who_has_the_journal(path: Path) -> None:
    holder = f"""
        import sys
        from pathlib import Path
        from edge_agent.journal import Journal
        journal = Journal(Path({str(path)!r}), most_bytes=10**6, tags=["a"])
        print("open", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(holder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(JournalError, match=rf"in use by another agent \(process {other.pid}\); stop that agent"):
            Journal(path, most_bytes=10**6, tags=TAGS)
        other.kill()
    with opened(path) as journal:
        journal.commit(Tick())


def test_a_closed_journal_may_be_closed_again_and_opened_again(path: Path) -> None:
    journal = Journal(path, most_bytes=10**6, tags=TAGS)
    journal.close()
    journal.close()
    with opened(path):
        pass


def test_tags_must_have_names_of_their_own(path: Path) -> None:
    with pytest.raises(ValueError, match="unique"):
        Journal(path, most_bytes=10**6, tags=("a", "a"))


def test_a_new_element_is_a_new_column_of_an_old_journal(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(Tick(elements=rows(("press", H0, 1))))
    with closing(sqlite3.connect(path)) as database:
        for table in ("minute", "hour"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN energy")
    with opened(path), JournalReader(path) as reader:
        assert reader.elements("minute", H0, H0 + HOUR_NS).select("fe", "energy").rows() == [(1, 0)]


# --- writes that fail -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Lets files of this process grow no further than some bytes; lifted at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most if most >= 0 else soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_nothing_of_the_tick_and_the_next_try_keeps_all(
    path: Path, small_disk: Callable[[int], None]
) -> None:
    with opened(path) as journal, closing(JournalReader(path)) as reader:
        tick = Tick(
            samples=SampleBatch.of([0], [5], [1.0]),
            texts={"RUN": 0},
            outbox=[entry(OutboxKind.RAW, 3, size=1_000_000)],
            elements=rows(("new machine", H0, 1)),
            ledger={"received": 3},
        )
        journal.commit(Tick(ledger={"received": 1}))
        small_disk(600_000)
        for _ in range(2):
            with pytest.raises(JournalWriteError) as caught:
                journal.commit(tick)
            assert caught.value.hint
            assert reader.ledger()["received"] == 1
            assert reader.elements("minute", 0, 2**62).is_empty()
            assert journal.texts() == {}
        small_disk(-1)
        journal.commit(tick)
        assert reader.ledger()["received"] == 4
        assert reader.elements("minute", 0, 2**62)["machine"].to_list() == ["new machine"]
        assert adds_up(reader)
    with opened(path) as journal:
        assert len(journal.recover().samples) == 1


@pytest.mark.skipif(shutil.which("mount") is None or not Path("/proc/self/uid_map").exists(), reason="needs Linux")
def test_a_device_without_space_is_told_from_other_faults(tmp_path: Path) -> None:
    """On a file system of 2 MB in a mount namespace of its own, where the system allows that."""
    script = f"""
        import ctypes, os, sys
        from pathlib import Path
        libc = ctypes.CDLL(None, use_errno=True)
        CLONE_NEWNS, CLONE_NEWUSER, MS_PRIVATE_REC = 0x20000, 0x10000000, 0x44000
        if libc.unshare(CLONE_NEWNS | (0 if os.geteuid() == 0 else CLONE_NEWUSER)):
            sys.exit(print("not allowed"))
        libc.mount(None, b"/", None, MS_PRIVATE_REC, None)
        if libc.mount(b"small", {str(tmp_path)!r}.encode(), b"tmpfs", 0, b"size=2m"):
            sys.exit(print("not allowed"))
        from edge_agent.journal import Journal, JournalReader, JournalWriteError, OutboxEntry, OutboxKind, Tick
        path = Path({str(tmp_path)!r}) / "plant.journal"
        journal = Journal(path, most_bytes=10**9, tags=[])
        kept = 0
        try:
            while True:
                journal.commit(Tick(outbox=[OutboxEntry(OutboxKind.RAW, 1, 1, os.urandom(100_000))]))
                kept += 1
        except JournalWriteError as error:
            print(error.reason)
        assert JournalReader(path).ledger()["points:waiting"] == kept > 3
    """
    said = python(script)
    if "not allowed" in said:
        pytest.skip("this system lets no test mount a small disk")
    assert "the disk is full" in said


def test_a_writer_that_holds_the_file_too_long_is_an_error_that_can_be_retried(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.journal.schema.BUSY_SECONDS", 0.05)
    with opened(path) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalWriteError, match="another program holds it"):
            journal.commit(Tick(ledger={"received": 1}))
        other.execute("COMMIT")
        journal.commit(Tick(ledger={"received": 1}))
