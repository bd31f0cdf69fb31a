"""Decisions about counters are told with what they rest on: which reading, after which, and what it counted."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from kpi.decisions import ALL_COUNTERS, MOST_A_MINUTE, NO_DECISIONS
from kpi.engine import Update
from tests.kpi.plants import GOOD_A, LINK, MINUTE, PIECE_D, SCRAP_A, SECOND, STATE_A, TOTAL_B, feed, samples_from
from tests.kpi.test_engine import AWAKE, END, LENGTH, START, engine
from tests.kpi.twin import Sample


def told(*samples: Sample, minutes: int = 4) -> Update:
    """What an engine says of some samples, its link always up."""
    fold = engine()
    feed(fold, [*(Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 60 * minutes, 10)), *samples])
    return fold.advance(START + minutes * MINUTE)


def readings(tag: int, *values: float, every: int = 10) -> list[Sample]:
    """A reading at the start and then at equal intervals, seconds."""
    return [Sample(tag, START + every * n * SECOND, value) for n, value in enumerate(values)]


def test_a_reading_that_was_judged_is_told_with_the_highest_before_and_what_it_counted() -> None:
    rows = told(*readings(GOOD_A, 995.0, 998.0, 3.0, 5.0), *readings(SCRAP_A, 40.0, 41.0, 39.0, 42.0)).decided
    found = [row for row in rows.to_dicts() if row["verdict"] in {"rollover", "step_back"}]
    at = START + 20 * SECOND
    assert [{key: row[key] for key in ("machine", "time", "tag", "verdict")} for row in found] == [
        {"machine": 0, "time": at, "tag": GOOD_A, "verdict": "rollover"},
        {"machine": 0, "time": at, "tag": SCRAP_A, "verdict": "step_back"},
    ]
    assert [(row["before"], row["reading"], row["counted"], row["times"]) for row in found] == [
        (998.0, 3.0, 5_000_000, 1),
        (41.0, 39.0, 0, 1),
    ]


def test_a_counter_of_several_machines_is_told_of_each() -> None:
    rows = told(*readings(TOTAL_B, 40.0, 41.0, 39.0, 42.0)).decided
    assert rows.filter(rows["verdict"] == "step_back")["machine"].to_list() == [1, 4, 5]


def test_a_rise_after_a_gap_is_told_of_the_machine_whose_data_was_missing() -> None:
    heard = [Sample(LINK, START + s * SECOND, 1.0) for s in (*range(0, 60, 10), *range(150, 240, 10))]
    fold = engine()
    feed(fold, [*heard, Sample(STATE_A, START, 1.0), *readings(GOOD_A, 1.0, 4.0, every=180)])
    (row,) = fold.advance(START + 4 * MINUTE).decided.filter(verdict="after_gap").to_dicts()
    assert (row["machine"], row["tag"], row["after_gap"], row["counted"]) == (0, GOOD_A, True, 3_000_000)


def test_a_stuck_counter_is_told_where_it_begins_to_be() -> None:
    """`stuck_after` of machine a is 80 s of production."""
    update = told(Sample(STATE_A, START, 1.0), *readings(GOOD_A, 1.0, 2.0))
    (row,) = update.decided.filter((update.decided["verdict"] == "stuck") & (update.decided["machine"] == 0)).to_dicts()
    assert (row["time"], row["tag"], row["reading"], row["counted"]) == (START + 90 * SECOND, ALL_COUNTERS, None, 0)


def test_where_all_counts_on_nothing_is_said() -> None:
    producing = Sample(STATE_A, START, 1.0)
    update = told(producing, *readings(GOOD_A, 1.0, 2.0, 3.0), *readings(PIECE_D, 1.0, 1.0), minutes=1)
    assert update.decided.equals(NO_DECISIONS)


def test_a_counter_that_is_judged_at_every_reading_takes_a_few_rows_a_minute() -> None:
    """And their sums are those of all."""
    values = [50.0 - 0.125 * (n % 2) for n in range(120)]
    rows = told(*readings(SCRAP_A, *values, every=1)).decided.filter(verdict="step_back")
    assert len(rows) == 2 * MOST_A_MINUTE
    assert rows["times"].sum() == 60


@settings(max_examples=60, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_what_is_told_is_what_was_counted(samples: list[Sample]) -> None:
    """Each verdict as often as the tally of decisions has it."""
    fold = engine()
    feed(fold, [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)])
    update = fold.advance(END)
    tally: Counter[str] = Counter()
    for row in update.decided.unique(["tag", "time", "verdict"]).to_dicts():  # some counters are of several machines
        if row["tag"] != ALL_COUNTERS and row["verdict"] != "after_gap":
            tally[f"counter_{row['verdict']}"] += row["times"]
    of_machines = {"counter_after_gap", "counter_stuck"}
    counted = {
        name: n for name, n in update.decisions.items() if name.startswith("counter_") and name not in of_machines
    }
    assert tally == counted
    assert len(update.decided.filter(verdict="stuck")) == update.decisions.get("counter_stuck", 0)
