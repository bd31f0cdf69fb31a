"""The element table is a pure function of the samples: whatever their order, cut, lateness, and restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from itertools import pairwise
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.elements import ELEMENT_IDS, KEYS
from kpi.engine import Engine, Update
from kpi.formulas import evaluate
from kpi.plant import Calendar, Plant, Shift
from tests.kpi import twin
from tests.kpi.plants import (
    DEPTH_D,
    ENERGY_A,
    GAS_A,
    GOOD_A,
    HOUR,
    IN_JUNE,
    ITEM_B,
    LINK,
    MINUTE,
    MODE_B,
    POWER_B,
    PRODUCT_A,
    REASON_A,
    SCRAP_A,
    SECOND,
    STATE_A,
    STATUS_C,
    TOTAL_B,
    WIDTH_D,
    Scene,
    feed,
    ns,
    plant,
    plant_in,
    samples_from,
    scenes,
    values_of_tags,
)
from tests.kpi.twin import Sample

START = IN_JUNE.start
LENGTH = 8 * MINUTE
END = START + LENGTH
AWAKE = Sample(LINK, START, 1.0)


class Table:
    """What a database that lets rows replace rows would hold after some updates."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.measured: dict[tuple[int, int, int], dict[str, Any]] = {}
        self.intervals: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.decided: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def take(self, update: Update) -> None:
        for key in update.elements.select("machine", "time").unique().iter_rows():
            self.rows[key] = update.elements.filter(
                (pl.col("machine") == key[0]) & (pl.col("time") == key[1])
            ).to_dicts()
            self.intervals[key] = []
            self.decided[key] = []
        for row in update.measured.to_dicts():
            self.measured[row["machine"], row["time"], row["characteristic"]] = row
        for interval in update.intervals.to_dicts():
            minute = interval["start"] - interval["start"] % MINUTE
            self.intervals[interval["machine"], minute].append(interval)
        for decision in update.decided.to_dicts():
            self.decided[decision["machine"], decision["time"] - decision["time"] % MINUTE].append(decision)

    def by_key(self) -> dict[twin.Key, dict[str, int]]:
        return {
            (r["machine"], r["time"], r["shift_start"], r["product"]): {e: r[e] for e in ELEMENT_IDS}
            for rows in self.rows.values()
            for r in rows
        }


def engine(horizon: int = HOUR) -> Engine:
    return Engine(plant(), horizon_ns=horizon)


def all_at_once(samples: list[Sample], end: int = END, works: Plant | None = None) -> Table:
    table, fold = Table(), Engine(works or plant(), horizon_ns=HOUR)
    feed(fold, samples)
    table.take(fold.advance(end))
    return table


def later(samples: list[Sample], by: int) -> list[Sample]:
    return [s._replace(time=s.time + by) for s in samples]


@settings(max_examples=150, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_the_table_is_that_of_the_slow_twin(samples: list[Sample]) -> None:
    """Plain Python, one cut at a time, gives the same integers."""
    stream = [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)]
    assert all_at_once(stream).by_key() == twin.table(plant(), stream, START, END)


@settings(max_examples=150, deadline=None)
@given(scene=st.one_of(st.just(IN_JUNE), scenes()), samples=samples_from(0, LENGTH), data=st.data())
def test_the_table_does_not_depend_on_order_cuts_advances_or_restarts(
    scene: Scene, samples: list[Sample], data: st.DataObject
) -> None:
    """Shuffled, cut anywhere, advanced at any time, restarted from a checkpoint at any tick: the same rows.

    On a day in June, and in the nights in which the clock is changed. The first sign of life may be the last to arrive:
    the table then begins earlier than it did.
    """
    works, start, end = plant_in(scene), scene.start, scene.start + LENGTH
    stream = [AWAKE._replace(time=start), *later(samples, start)]
    expected = all_at_once(stream, end, works)

    shuffled = data.draw(st.permutations(stream))
    few = data.draw(st.sampled_from([5, 1_000_000]))  # samples in memory: with 5 nearly all blocks are packed away
    table, log, archive = Table(), list[Sample](), dict[int, bytes]()
    fold = Engine(works, horizon_ns=HOUR, most_samples=few)
    position = 0

    def advance(to: int) -> None:
        update = fold.advance(to, archive)
        table.take(update)
        archive.update(update.archive)

    while position < len(shuffled):
        size = data.draw(st.integers(1, 12))
        feed(fold, shuffled[position : position + size])
        log += shuffled[position : position + size]
        position += size
        if data.draw(st.booleans()):
            advance(start + data.draw(st.integers(-5 * MINUTE, LENGTH)))
            if data.draw(st.booleans()):
                fold = Engine.restore(works, fold.checkpoint(), horizon_ns=HOUR, most_samples=few)
                feed(fold, log)
        if data.draw(st.booleans()):
            fold.provisional(start + data.draw(st.integers(0, LENGTH)))
    advance(end)
    assert table.by_key() == expected.by_key()
    assert table.intervals == expected.intervals
    assert table.measured == expected.measured
    assert table.decided == expected.decided


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_half_hour_with_late_samples_is_the_half_hour_without(seed: int) -> None:
    """Closed minute by minute, one sample in twelve up to twenty minutes late, most blocks packed away: the same."""
    dice, half_hour = Random(seed), 30 * MINUTE
    stream = [AWAKE, *(Sample(LINK, START + t, 1.0) for t in range(0, half_hour, 20 * SECOND))]
    for tag, values in values_of_tags().items():
        times = sorted(dice.sample(range(half_hour // SECOND), dice.randint(5, 120)))
        count = 0.0
        for t in times:
            count += dice.randint(0, 3)
            value = dice.choice(values) if values else count % 1000
            stream.append(Sample(tag, START + t * SECOND, value))
    arrivals = [(s.time + (dice.randint(0, 20 * MINUTE) if dice.random() < 1 / 12 else 0), s) for s in stream]
    table, archive = Table(), dict[int, bytes]()
    fold = Engine(plant(), horizon_ns=HOUR, most_samples=150)
    for minute in range(1, 51):
        now = START + minute * MINUTE
        feed(fold, [s for at, s in arrivals if now - MINUTE <= at < now])
        update = fold.advance(now, archive)
        table.take(update)
        archive.update(update.archive)
    whole = all_at_once(stream, START + 50 * MINUTE)
    assert table.by_key() == whole.by_key()
    assert table.intervals == whole.intervals
    assert table.measured == whole.measured
    assert table.decided == whole.decided


@settings(max_examples=60, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_statistics_of_measured_values_are_those_of_the_values(samples: list[Sample]) -> None:
    """Summed over all minutes they give the mean and the deviations of the plain values."""
    held = twin.one_a_time(s for s in samples if s.quality == 0)
    stream = [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)]
    measured = list(all_at_once(stream).measured.values())
    for number, (tag, nominal) in enumerate(((WIDTH_D, 10.0), (DEPTH_D, 0.0))):
        mine = [r for r in measured if r["characteristic"] == number]
        before = [s.value for s in held[tag].samples if s.time < START][-1:]
        values = [s.value for s in held[tag].samples if s.time >= START]
        ranges = [abs(b - a) for a, b in pairwise([*before, *values])]
        assert sum(r["n"] for r in mine) == len(values)
        assert sum(r["sum"] for r in mine) == pytest.approx(sum(v - nominal for v in values))
        assert sum(r["sum_sq"] for r in mine) == pytest.approx(sum((v - nominal) ** 2 for v in values))
        assert sum(r["moving_range_n"] for r in mine) == len(ranges)
        assert sum(r["moving_range_sum"] for r in mine) == pytest.approx(sum(ranges))


@settings(max_examples=60, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_time_categories_add_up_to_the_calendar(samples: list[Sample]) -> None:
    """RT = planned busy + planned downtime + not planned; planned busy = what the machine did in it, or unknown."""
    for row in all_at_once([AWAKE, *samples]).by_key().values():
        assert row["calendar_time"] == row["pot"] + row["not_planned"]
        assert row["pot"] == row["pbt"] + row["planned_downtime"]
        parts = ("apt", "aust", "adet", "adot", "cmt", "unknown")
        assert row["pbt"] == sum(row[p] for p in parts)
        assert row["planned_downtime"] >= row["pmt"]
        assert row["cmt"] <= row["acmt"] <= row["cmt"] + row["planned_downtime"] + row["not_planned"]
        assert row["pmt"] <= row["apmt"] <= row["planned_downtime"] + row["not_planned"]
        assert 0 <= row["energy_working"] + row["energy_idle"] + row["energy_off"] <= row["energy"]
        assert row["not_planned"] + row["planned_downtime"] >= row["overtime"]
        assert row["adet"] == row["starved"] + row["blocked"] + row["stopped"] + row["breakdown"]


@settings(max_examples=100, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_intervals_cover_every_minute_without_hole_or_overlap(samples: list[Sample]) -> None:
    table = all_at_once([AWAKE, *samples])
    assert set(table.intervals) == set(table.rows)
    for (_, minute), intervals in table.intervals.items():
        edges = [minute, *(i["end"] for i in intervals)]
        assert [i["start"] for i in intervals] == edges[:-1]
        assert edges[-1] == minute + MINUTE


@settings(max_examples=150, deadline=None)
@given(scene=scenes(), samples=samples_from(0, LENGTH))
def test_the_table_is_that_of_the_slow_twin_in_the_nights_of_a_clock_change(
    scene: Scene, samples: list[Sample]
) -> None:
    """With shift edges and breaks in the hour that comes twice, in that which never comes, and beside them."""
    works, end = plant_in(scene), scene.start + LENGTH
    begins = AWAKE._replace(time=scene.start)
    stream = [begins, *(s for s in later(samples, scene.start) if s.tag != LINK or s.time >= scene.start)]
    assert all_at_once(stream, end, works).by_key() == twin.table(works, stream, scene.start, end)


def test_provisional_rows_grow_into_the_closed_ones() -> None:
    stream = [AWAKE, Sample(STATE_A, START, 1.0), Sample(GOOD_A, START, 5.0), Sample(GOOD_A, START + 30 * SECOND, 8.0)]
    fold = engine()
    feed(fold, stream)
    fold.advance(START)
    half = fold.provisional(START + 35 * SECOND).elements.filter(pl.col("machine") == 0).row(0, named=True)
    assert (half["calendar_time"], half["apt"], half["gq"]) == (35 * SECOND, 35 * SECOND, 3_000_000)
    whole = fold.advance(START + MINUTE).elements.filter(pl.col("machine") == 0).row(0, named=True)
    # The link's word of START holds for 40 s and was not renewed: 20 s of the minute are unknown.
    assert (whole["calendar_time"], whole["apt"], whole["unknown"]) == (MINUTE, 40 * SECOND, 20 * SECOND)


def test_a_machine_is_unknown_while_its_link_is_down_and_not_idle() -> None:
    beats = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 120, 10)]
    down = Sample(LINK, START + 115 * SECOND, 0.0)
    up = [Sample(LINK, START + s * SECOND, 1.0) for s in range(180, 300, 10)]
    rows = all_at_once([*beats, down, *up, Sample(STATE_A, START - HOUR, 1.0)], START + 2 * MINUTE).by_key()
    assert sum(r["unknown"] for k, r in rows.items() if k[0] == 0) == 5 * SECOND
    assert sum(r["adot"] for k, r in rows.items() if k[0] == 0) == 0


def test_a_silent_machine_without_a_link_is_unknown_after_its_limit() -> None:
    rows = all_at_once([AWAKE, Sample(STATUS_C, START, 1.0)], START + 3 * MINUTE).by_key()
    states = [(k[1], r["apt"], r["unknown"]) for k, r in sorted(rows.items()) if k[0] == 2]
    assert states[:2] == [(START, MINUTE, 0), (START + MINUTE, 30 * SECOND, 30 * SECOND)]


def test_a_meter_read_every_quarter_hour_is_spread_over_it() -> None:
    """The reading comes after the minutes were closed: they are restated."""
    table, fold = Table(), engine()
    feed(fold, [AWAKE, Sample(ENERGY_A, START, 10.0)])
    table.take(fold.advance(START + 4 * MINUTE))
    feed(fold, [Sample(ENERGY_A, START + 5 * MINUTE, 10.5)])
    table.take(fold.advance(START + 6 * MINUTE))
    energy = [sum(r["energy"] for r in table.rows[0, START + m * MINUTE]) for m in range(6)]
    assert energy == [100_000] * 5 + [0]


def test_a_hole_in_power_is_counted_since_nothing_is_added_up_in_it() -> None:
    """Machine b takes values for 70 s: of ten minutes with one each two minutes nearly half is missing."""
    fold = engine()
    feed(fold, [AWAKE, *(Sample(POWER_B, START + minute * MINUTE, 6.0) for minute in (0, 1, 3, 5, 7))])
    decisions = [fold.advance(START + minute * MINUTE).decisions.get("power_hole", 0) for minute in (2, 4, 6, 8)]
    assert decisions == [0, 1, 1, 1]


def test_what_a_meter_counted_before_all_that_can_be_corrected_is_lost_and_told() -> None:
    """Read after three hours, with a horizon of one: two thirds of it belong to minutes that are said for good."""
    engine = Engine(plant(), horizon_ns=HOUR)
    feed(engine, [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 3 * 3600, 30)])
    feed(engine, [Sample(ENERGY_A, START, 10.0)])
    table = Table()
    for minute in range(1, 181):
        table.take(engine.advance(START + minute * MINUTE))
    feed(engine, [Sample(ENERGY_A, START + 3 * HOUR, 13.0)])
    update = engine.advance(START + 3 * HOUR + MINUTE)
    table.take(update)
    assert update.decisions["meter_beyond_horizon"] == 1
    energy = sum(row["energy"] for (machine, _), rows in table.rows.items() if machine == 0 for row in rows)
    assert energy / 1e6 == pytest.approx(1.0, abs=0.05)
    feed(engine, [Sample(ENERGY_A, START + 3 * HOUR + 5 * MINUTE, 14.0)])
    assert not engine.advance(START + 3 * HOUR + 6 * MINUTE).decisions.get("meter_beyond_horizon")


def test_a_stop_that_turns_out_long_makes_its_minutes_anew() -> None:
    """Twenty seconds of the first minute look like a minor stop until the stop has lasted 75 s."""
    table, fold = Table(), engine()
    beats = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 300, 10)]
    feed(fold, [*beats, Sample(STATE_A, START, 1.0), Sample(STATE_A, START + 40 * SECOND, 2.0)])

    def stops() -> list[tuple[int, int, int]]:
        rows = [table.rows[0, START + m * MINUTE][0] for m in range(2) if (0, START + m * MINUTE) in table.rows]
        return [(r["stopped"] // SECOND, r["breakdown"] // SECOND, r["fe"]) for r in rows]

    table.take(fold.advance(START + MINUTE))
    assert stops() == [(20, 0, 0)]
    table.take(fold.advance(START + 2 * MINUTE))
    assert stops() == [(0, 20, 1), (0, 60, 0)]


def test_of_two_values_at_one_time_before_the_first_row_the_rule_decides_and_not_which_came_first() -> None:
    """A bad state, then a good one of the same time, before the link came up."""
    before = START - MINUTE
    fold, table = engine(), Table()
    feed(fold, [AWAKE, Sample(STATE_A, before, float("nan"), 2), Sample(PRODUCT_A, before, 0.0)])
    table.take(fold.advance(START + MINUTE))
    feed(fold, [Sample(STATE_A, before, 1.0), Sample(PRODUCT_A, before, 1.0)])
    table.take(fold.advance(START + 3 * MINUTE))
    both = [Sample(STATE_A, before, float("nan"), 2), Sample(STATE_A, before, 1.0)]
    named = [Sample(PRODUCT_A, before, 0.0), Sample(PRODUCT_A, before, 1.0)]
    assert table.rows == all_at_once([AWAKE, *both, *named], START + 3 * MINUTE).rows


@pytest.mark.parametrize("first", [1, 2], ids=["uncertain first", "bad first"])
@pytest.mark.parametrize("together", [False, True])
def test_of_a_bad_and_an_uncertain_product_at_one_time_the_bad_one_counts(first: int, *, together: bool) -> None:
    """One that is uncertain says nothing, so it cannot hide that there is none any more, whichever comes first."""
    named = [AWAKE, Sample(PRODUCT_A, START, 1.0)]
    pair = [Sample(PRODUCT_A, START + 90 * SECOND, float("nan"), quality) for quality in (first, 3 - first)]
    fold, table = engine(), Table()
    for part in ([*named, *pair],) if together else ([*named, pair[0]], [pair[1]]):
        feed(fold, part)
        table.take(fold.advance(START + 3 * MINUTE))
    assert table.rows == all_at_once([*named, *pair], START + 3 * MINUTE).rows
    assert {row["product"] for row in table.rows[0, START + 2 * MINUTE]} == {-1}


def test_a_meter_reading_to_come_that_turns_out_another_one_restates_its_interval() -> None:
    """Read ahead of what is closed; then the same time with a larger value, which is the one that holds."""
    fold, table = engine(), Table()
    ahead = [Sample(ENERGY_A, START, 10.0), Sample(ENERGY_A, START + 8 * MINUTE, 11.0)]
    feed(fold, [AWAKE, *ahead])
    table.take(fold.advance(START + 5 * MINUTE))
    other = Sample(ENERGY_A, START + 8 * MINUTE, 12.0)
    feed(fold, [other])
    table.take(fold.advance(START + 9 * MINUTE))
    assert table.rows == all_at_once([AWAKE, *ahead, other], START + 9 * MINUTE).rows


def test_a_machine_whose_pieces_were_never_read_has_no_earned_time_and_not_none_made() -> None:
    """Producing without a reading of its counter: how much it made is not known, so its OEE is not zero."""
    fold, table = engine(), Table()
    feed(fold, [Sample(tag, START + s * SECOND, 1.0) for s in range(0, 240, 10) for tag in (LINK, STATE_A)])
    feed(fold, [Sample(PRODUCT_A, START, 0.0)])
    feed(fold, [Sample(GOOD_A, START + 150 * SECOND, 5.0), Sample(GOOD_A, START + 170 * SECOND, 7.0)])
    table.take(fold.advance(START + 4 * MINUTE))
    rows = [table.rows[0, START + m * MINUTE][0] for m in range(4)]
    assert [row["unrated"] == row["apt"] > 0 for row in rows] == [True, True, False, False]
    assert [row["gq"] for row in rows] == [0, 0, 2_000_000, 0]


@pytest.mark.parametrize("value", [3.4e38, -1e300, float("inf"), float("nan")])
def test_a_value_that_no_counter_can_have_is_bad_and_told_and_hides_no_other_of_its_time(value: float) -> None:
    """What some controllers write in place of no value; it came with good quality."""
    readings = [Sample(GOOD_A, START, 5.0), Sample(GOOD_A, START + 30 * SECOND, 7.0)]
    fold, table = engine(), Table()
    feed(fold, [AWAKE, *readings])
    table.take(fold.advance(START + MINUTE))
    feed(fold, [Sample(tag, START + 30 * SECOND, value) for tag in (GOOD_A, ENERGY_A, PRODUCT_A)])
    update = fold.advance(START + 2 * MINUTE)
    table.take(update)
    assert update.decisions["value_too_large"] == 3
    assert table.rows == all_at_once([AWAKE, *readings], START + 2 * MINUTE).rows


def test_a_product_that_is_taken_back_holds_no_longer_and_an_uncertain_one_says_nothing() -> None:
    """An empty name comes as bad: the one before must not go on. Uncertain is no news."""
    table, fold = Table(), engine()
    named = [Sample(PRODUCT_A, START, 0.0), Sample(PRODUCT_A, START + MINUTE, 1.0, 1)]
    feed(fold, [AWAKE, *named, Sample(PRODUCT_A, START + 2 * MINUTE, float("nan"), 2)])
    table.take(fold.advance(START + 4 * MINUTE))
    assert [[r["product"] for r in table.rows[0, START + m * MINUTE]] for m in range(4)] == [[0], [0], [-1], [-1]]


def test_pieces_are_rated_by_the_product_of_their_moment() -> None:
    stream = [
        AWAKE,
        Sample(PRODUCT_A, START - HOUR, 0.0),
        Sample(GOOD_A, START, 0.0),
        Sample(GOOD_A, START + 10 * SECOND, 2.0),
        Sample(PRODUCT_A, START + 20 * SECOND, 1.0),
        Sample(GOOD_A, START + 30 * SECOND, 5.0),
        Sample(SCRAP_A, START, 0.0),
        Sample(SCRAP_A, START + 31 * SECOND, 1.0),
    ]
    rows = [r for (m, *_), r in all_at_once(stream, START + MINUTE).by_key().items() if m == 0]
    assert sum(r["ideal_gq"] for r in rows) == (2 * 5 + 3 * 7) * SECOND
    assert sum(r["ideal_pq"] for r in rows) == (2 * 5 + 4 * 7) * SECOND


def test_maintenance_is_known_as_such_wherever_it_lies() -> None:
    """08:00 to 08:08 in Berlin with a break from 08:02 to 08:04: a is serviced, b repaired, all the time."""
    signs = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, LENGTH // SECOND, 20)]
    modes = [Sample(MODE_B, at, 1.0) for at in range(START, END, 40 * SECOND)]
    said = [Sample(STATE_A, START, 0.0), Sample(REASON_A, START, 2.0), *modes]
    rows = all_at_once([*signs, *said]).by_key()
    of = {m: {e: sum(r[e] for k, r in rows.items() if k[0] == m) // MINUTE for e in ELEMENT_IDS} for m in (0, 1)}
    assert (of[0]["apmt"], of[0]["acmt"], of[0]["pmt"], of[0]["planned_downtime"], of[0]["pbt"]) == (8, 0, 6, 8, 0)
    assert (of[1]["apmt"], of[1]["acmt"], of[1]["cmt"], of[1]["planned_downtime"], of[1]["pbt"]) == (0, 8, 6, 2, 6)


def test_what_is_used_is_split_by_what_the_machine_did() -> None:
    """A minute each of work, standing still and switched off; what is left is of the time before anything was said."""
    signs = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, LENGTH // SECOND, 20)]
    said = [Sample(STATE_A, START + m * MINUTE, state) for m, state in ((1, 1.0), (2, 0.0), (3, 4.0))]
    meters = [Sample(tag, START + m * MINUTE, float(m)) for tag in (ENERGY_A, GAS_A) for m in range(5)]
    rows = [r for k, r in all_at_once([*signs, *said, *meters], START + 4 * MINUTE).by_key().items() if k[0] == 0]
    names = ("energy", "energy_working", "energy_idle", "energy_off", "gas", "gas_idle")
    assert [sum(r[name] for r in rows) // 10**6 for name in names] == [4, 1, 1, 1, 4, 1]


def test_a_sample_beyond_the_horizon_is_counted_and_changes_nothing_closed() -> None:
    fold = engine(horizon=2 * MINUTE)
    beats = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 600, 10)]
    feed(fold, [*beats, Sample(STATE_A, START, 1.0), Sample(STATE_A, START + 3 * MINUTE, 0.0)])
    for minute in range(9):
        fold.advance(START + minute * MINUTE)
    feed(fold, [Sample(STATE_A, START + MINUTE, 2.0)])
    update = fold.advance(START + 8 * MINUTE)
    assert update.decisions["beyond_horizon"] == 1
    assert update.elements.is_empty()


TOO_LATE = [
    Sample(tag, START + at * SECOND, float(at % 7), quality)
    for tag, quality in ((STATE_A, 0), (GOOD_A, 0), (ENERGY_A, 0), (MODE_B, 2), (LINK, 0))
    for at in (61, 95, 96, 185, 200)
]
"""Five samples a tag, before all that can be corrected; of none of these times is a sample known."""


def beyond_of(update: Update) -> list[Sample]:
    """The samples that an update gives out as too late; as many as it counts."""
    columns = update.beyond
    assert len(columns) == update.decisions.get("beyond_horizon", 0)
    parts = (columns.tag, columns.time, columns.value, columns.quality)
    return [Sample(*one) for one in zip(*(part.tolist() for part in parts), strict=True)]


def ten_minutes(archive: dict[int, bytes]) -> Engine:
    """An engine that has closed ten minutes and corrects four of them, most of these packed away."""
    fold = Engine(plant(), horizon_ns=4 * MINUTE, most_samples=20)
    beats = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 600, 10)]
    known = [Sample(tag, START + at * SECOND, 1.0) for tag in (STATE_A, GOOD_A, ENERGY_A, MODE_B) for at in (0, 210)]
    feed(fold, [*beats, *known])
    for minute in range(1, 11):
        archive.update(fold.advance(START + minute * MINUTE, archive).archive)
    assert archive
    return fold


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(TOO_LATE), cuts=st.lists(st.integers(1, 8), min_size=25), looks=st.booleans())
def test_samples_beyond_the_horizon_are_given_out_one_by_one_whatever_the_order_and_the_cuts(
    order: list[Sample], cuts: list[int], looks: bool
) -> None:
    archive: dict[int, bytes] = {}
    fold, found = ten_minutes(archive), list[Sample]()
    for size in cuts:
        feed(fold, order[:size])
        order = order[size:]
        if looks:
            assert not len(fold.provisional(START + 10 * MINUTE + SECOND).beyond), "that is for the advance to say"
        update = fold.advance(START + 10 * MINUTE, archive)
        archive.update(update.archive)
        found += beyond_of(update)
    assert sorted(found) == sorted(TOO_LATE)
    assert not beyond_of(fold.advance(START + 11 * MINUTE, archive))


def test_what_a_tag_starts_with_is_not_given_out_as_too_late_and_what_came_before_it_is() -> None:
    fold = ten_minutes({})
    feed(fold, [Sample(PRODUCT_A, START + at * SECOND, float(at)) for at in (70, 61, 65)])
    update = fold.advance(START + 10 * MINUTE)
    assert sorted(sample.time for sample in beyond_of(update)) == [START + 61 * SECOND, START + 65 * SECOND]
    feed(fold, [Sample(PRODUCT_A, START + at * SECOND, float(at)) for at in (70, 65, 80)])
    update = fold.advance(START + 10 * MINUTE)
    assert sorted(sample.time for sample in beyond_of(update)) == [START + 65 * SECOND, START + 80 * SECOND]
    assert update.decisions["duplicate"] == 1, "the one that it starts with came again"


def test_samples_beyond_the_horizon_are_given_out_once_also_over_a_restart_and_when_the_past_is_restated() -> None:
    archive: dict[int, bytes] = {}
    fold = ten_minutes(archive)
    checkpoint = fold.checkpoint()
    since = [Sample(LINK, time, 1.0) for time in range(fold.keep_from, START + 10 * MINUTE, 10 * SECOND)]
    for how in ("restored", "restated"):
        fold = Engine.restore(plant(), checkpoint, horizon_ns=4 * MINUTE, most_samples=20)
        feed(fold, [*since, *TOO_LATE])
        updates = []
        for update in fold.restate(archive) if how == "restated" else ():
            archive.update(update.archive)
            updates.append(update)
        updates += [fold.advance(START + minute * MINUTE, archive) for minute in (10, 11)]
        assert sorted(one for update in updates for one in beyond_of(update)) == sorted(TOO_LATE), how


def test_a_sample_of_hours_ago_corrects_its_minutes_and_no_others() -> None:
    """The hour is packed away by then: it is read, corrected, and packed again."""
    stream = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 4 * 3600, 30)]
    stream += [Sample(STATE_A, START + m * MINUTE, float(m % 2)) for m in range(0, 240, 3)]
    late = Sample(STATE_A, START + 21 * MINUTE + 30 * SECOND, 3.0)
    fold, archive = Engine(plant(), horizon_ns=24 * HOUR, memory_ns=HOUR // 2), dict[int, bytes]()
    feed(fold, stream)
    for minute in range(1, 4 * 60 + 1):
        archive.update(fold.advance(START + minute * MINUTE, archive).archive)
    assert len(archive) == 3
    feed(fold, [late])
    update = fold.advance(START + 4 * HOUR, archive)
    assert list(update.archive) == [START]
    corrected = update.elements.filter(pl.col("aust") > 0)
    assert corrected["time"].unique().sort().to_list() == [START + m * MINUTE for m in (21, 22, 23)]
    whole = all_at_once([*stream, late], START + 4 * HOUR)
    table = Table()
    table.take(update)
    assert table.rows == {key: whole.rows[key] for key in table.rows}


def test_decisions_about_counters_are_counted_once_even_when_minutes_are_restated() -> None:
    fold = engine()
    feed(fold, [AWAKE, *(Sample(GOOD_A, START + i * SECOND, v) for i, v in enumerate([900.0, 990.0, 5.0, 4.0]))])
    first = fold.advance(START + MINUTE)
    assert first.decisions["counter_rollover"] == 1
    assert first.decisions["counter_step_back"] == 1
    feed(fold, [Sample(SCRAP_A, START + 3 * SECOND, 0.0), Sample(STATE_A, START, 1.0)])
    again = fold.advance(START + 2 * MINUTE)
    assert "counter_rollover" not in again.decisions
    assert again.decisions["late"] == 2


def test_a_decision_about_a_counter_of_several_machines_is_counted_once() -> None:
    """b, e and f count from one tag; b is folded again on its own, since only it has the second counter."""
    fold = engine()
    signs = [Sample(LINK, START + s * SECOND, 1.0) for s in range(0, 180, 20)]
    feed(fold, [*signs, *(Sample(TOTAL_B, START + s * SECOND, v) for s, v in ((0, 90.0), (10, 0.0), (20, 91.0)))])
    first = fold.advance(START + MINUTE).decisions
    assert (first["counter_fall"], first["counter_excursion"]) == (1, 1)
    feed(
        fold, [Sample(ITEM_B, START + 30 * SECOND, 3.0), *(Sample(TOTAL_B, START + s * SECOND, 0.0) for s in (70, 80))]
    )
    assert fold.advance(START + 2 * MINUTE).decisions["counter_fall"] == 1


def test_a_tag_that_moved_in_the_table_is_found_again_after_a_restart() -> None:
    fold = engine()
    feed(fold, [AWAKE, Sample(STATE_A, START, 1.0), Sample(UNUSED_BEFORE, START, 2.0)])
    fold.advance(START + MINUTE)
    swapped = {STATE_A: STATE_A, LINK: LINK}
    restored = Engine.restore(plant(), fold.checkpoint(), horizon_ns=HOUR, tag_map=swapped)
    assert restored.keep_from == fold.keep_from


UNUSED_BEFORE = 14


def test_damaged_checkpoints_are_refused_by_name() -> None:
    fold = engine()
    feed(fold, [AWAKE, Sample(STATE_A, START, 1.0)])
    fold.advance(START + MINUTE)
    whole = fold.checkpoint()
    for damaged in (b"", b"not one", whole[:10], whole[:-3]):
        with pytest.raises(ValueError, match="checkpoint"):
            Engine.restore(plant(), damaged, horizon_ns=HOUR)


def test_a_leap_of_years_is_not_filled_with_unknown_minutes() -> None:
    """A gateway without a battery starts in the past, and its clock is set a minute later."""
    fold, year = engine(), 366 * 24 * HOUR
    feed(fold, [AWAKE, Sample(STATE_A, START, 1.0)])
    fold.advance(START + MINUTE)
    feed(fold, [Sample(LINK, START + 25 * year, 1.0), Sample(STATE_A, START + 25 * year, 1.0)])
    update = fold.advance(START + 25 * year + MINUTE)
    assert update.decisions["began_again"] == 1
    assert update.elements["time"].unique().to_list() == [START + 25 * year]


def test_no_samples_give_no_rows() -> None:
    update = engine().advance(END)
    assert update.elements.is_empty()
    assert set(KEYS) < set(update.elements.columns)


def test_time_that_the_calendar_plans_for_maintenance_is_maintenance_unless_the_machine_works() -> None:
    """Maintenance from 13:50 to 14:10, the shift ends at 14:00.

    13:50      13:52          13:56          14:00   14:08      14:10
      produces   breakdown      off            off     produces
      APT        PMT, APMT      PMT, APMT      APMT    APT
    """
    begin = ns(2026, 6, 1, 11, 50)
    stop = (begin, begin + 20 * MINUTE)
    shift = Shift("day", time(6), time(14), frozenset(range(7)))
    calendar = Calendar("Europe/Berlin", (shift,), planned_stops=(stop,), maintenance=(stop,))
    machine = replace(plant().machines[0], minor_stop_ns=None, calendar=calendar)
    fold = Engine(Plant("works", "Europe/Berlin", (machine,)), horizon_ns=HOUR)
    said = [(0, 1.0), (2, 2.0), (6, 4.0), (18, 1.0)]
    feed(fold, [Sample(STATE_A, begin + minute * MINUTE, value) for minute, value in said])
    feed(fold, [Sample(LINK, begin + at * SECOND, 1.0) for at in range(0, 1200, 20)])
    elements = fold.advance(stop[1]).elements
    minutes = {"calendar_time": 20, "apt": 4, "pbt": 4, "pot": 12, "planned_downtime": 8, "pmt": 8, "apmt": 16}
    minutes |= {"not_planned": 8, "breakdown": 0, "fe": 0, "acmt": 0, "unknown": 0}
    assert {name: int(elements[name].sum()) / MINUTE for name in minutes} == minutes
    assert evaluate(elements.select(pl.col(ELEMENT_IDS).sum()))["corrective_maintenance_ratio"].item() == 0
