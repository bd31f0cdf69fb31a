"""The archived past folded again with an edited plant is what an engine with that plant would have said all along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import time
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings

from kpi.engine import Engine, Update
from kpi.packing import retagged
from kpi.past import Block
from kpi.plant import Plant, Shift
from tests.kpi.plants import (
    ENERGY_A,
    EVERY_DAY,
    HOUR,
    LINK,
    MINUTE,
    SECOND,
    STATE_A,
    feed,
    plant,
    samples_from,
    values_of_tags,
)
from tests.kpi.test_engine import AWAKE, END, LENGTH, START, Table
from tests.kpi.twin import Sample

FEW = 20
"""Samples in memory: nearly all blocks are packed away."""


def with_longer_breaks(of: Plant) -> Plant:
    """Another calendar: the shift begins later and its break is elsewhere."""
    shift = Shift("day", time(8, 1), time(14), EVERY_DAY, ((time(8, 3), time(8, 6)),))
    return replace(of, machines=tuple(replace(m, calendar=replace(m.calendar, shifts=(shift,))) for m in of.machines))


def with_other_rules(of: Plant) -> Plant:
    """Other limits of minor stops, ideal times and factors."""
    machines = tuple(
        replace(m, minor_stop_ns=45 * SECOND if m.minor_stop_ns is None else 3 * MINUTE, default_ideal_ns=4 * SECOND)
        for m in of.machines
    )
    return replace(of, machines=machines, factors=of.factors[:1])


class Run:
    """An engine that was fed, advanced minute by minute, and left behind table, archive, checkpoint and log."""

    def __init__(self, of: Plant, stream: list[Sample], end: int) -> None:
        self.table, self.archive, self.log = Table(), dict[int, bytes](), stream
        engine = Engine(of, horizon_ns=24 * HOUR, most_samples=FEW)
        for now in range(START + MINUTE, end + 1, MINUTE):
            feed(engine, [s for s in stream if s.time < now and (s.time >= now - MINUTE or now == START + MINUTE)])
            self.take(engine.advance(now, self.archive))
        self.keep_from, self.checkpoint = engine.keep_from, engine.checkpoint()

    def take(self, update: Update) -> None:
        self.table.take(update)
        self.archive.update(update.archive)

    def restored(self, of: Plant) -> Engine:
        engine = Engine.restore(of, self.checkpoint, horizon_ns=24 * HOUR, most_samples=FEW)
        feed(engine, [s for s in self.log if s.time >= self.keep_from])
        return engine


def awake(samples: list[Sample]) -> list[Sample]:
    return [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)]


def busy_hours(seed: int, length: int) -> list[Sample]:
    dice = Random(seed)
    stream = [AWAKE, *(Sample(LINK, START + t, 1.0) for t in range(0, length, 20 * SECOND))]
    for tag, values in values_of_tags().items():
        count = 0.0
        for t in sorted(dice.sample(range(length // SECOND), dice.randint(3, 60))):
            count += dice.randint(0, 3)
            stream.append(Sample(tag, START + t * SECOND, dice.choice(values) if values else count % 1000))
    return stream


def rows(table: Table) -> tuple[object, object, object, object]:
    return table.by_key(), table.intervals, table.measured, table.decided


@settings(max_examples=15, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_restating_with_the_same_plant_says_every_row_once_and_as_it_was(samples: list[Sample]) -> None:
    run = Run(plant(), awake(samples), END)
    before, archive = rows(run.table), dict(run.archive)
    said: list[tuple[int, int]] = []
    for update in run.restored(plant()).restate(run.archive):
        again = Table()
        again.take(update)
        assert again.rows == {key: run.table.rows[key] for key in again.rows}
        said += again.rows
        run.take(update)
    assert rows(run.table) == before
    assert sorted(said) == sorted(run.table.rows)
    assert archive.items() <= run.archive.items(), "to the bit"


def test_a_stop_that_turns_out_long_says_its_minutes_again_and_not_those_before_it() -> None:
    """The link is bad for 19 s, so there are two stops in one block; the second turns out long a block later."""
    beats = [Sample(LINK, START + t, 1.0) for t in range(0, LENGTH, 20 * SECOND)]
    stream = [*beats, Sample(LINK, START + 61 * SECOND, 1.0, 1), Sample(STATE_A, START, 2.0)]
    run = Run(plant(), stream, END)
    said = [
        (row["machine"], row["time"])
        for update in run.restored(plant()).restate(run.archive)
        for row in update.elements.to_dicts()
    ]
    assert sorted(said) == sorted(run.table.rows)


@pytest.mark.parametrize("edit", [with_longer_breaks, with_other_rules])
def test_restating_with_an_edited_plant_equals_an_engine_that_always_had_it(edit: Callable[[Plant], Plant]) -> None:
    edited = edit(plant())
    stream = busy_hours(1, 90 * MINUTE)
    end = START + 90 * MINUTE
    run = Run(plant(), stream, end)
    engine = run.restored(edited)
    for update in engine.restate(run.archive):
        run.take(update)
    fresh = Run(edited, stream, end)
    assert rows(run.table) == rows(fresh.table)
    # and it goes on as the other one would
    late = [Sample(s.tag, s.time + 1, s.value) for s in stream[::40]]
    feed(engine, late)
    run.take(engine.advance(end + MINUTE, run.archive))
    assert rows(run.table) == rows(Run(edited, [*stream, *late], end + MINUTE).table)


def test_restating_can_be_broken_off_and_begun_again() -> None:
    stream, end = busy_hours(9, HOUR // 2), START + HOUR // 2
    edited = with_other_rules(plant())
    run = Run(plant(), stream, end)
    broken_off = run.restored(edited).restate(run.archive)
    for _ in range(len(run.archive) // 2):
        run.take(next(broken_off))
    for update in run.restored(edited).restate(run.archive):
        run.take(update)
    assert rows(run.table) == rows(Run(edited, stream, end).table)


def test_samples_that_come_meanwhile_are_taken_on_afterwards() -> None:
    everything, end = busy_hours(3, HOUR), START + HOUR // 2
    stream, later = [s for s in everything if s.time < end], [s for s in everything if s.time >= end]
    run = Run(plant(), stream, end)
    engine = run.restored(plant())
    for update in engine.restate(run.archive):
        run.take(update)
        feed(engine, later[:5])
        later = later[5:]
    feed(engine, later)
    run.take(engine.advance(START + HOUR, run.archive))
    assert rows(run.table) == rows(Run(plant(), everything, START + HOUR).table)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_reading_spreads_over_all_the_minutes_closed_one_by_one_since_the_last(ahead: bool) -> None:
    """Also where it was there before its own minute was closed: the minutes before it had not seen it."""
    table, engine = Table(), Engine(plant(), horizon_ns=HOUR)
    feed(engine, [AWAKE, Sample(ENERGY_A, START, 10.0)])
    for minute in range(1, 6):
        table.take(engine.advance(START + minute * MINUTE))
    feed(engine, [Sample(ENERGY_A, START + 10 * MINUTE, 11.0)])
    for end in range(6, 12) if ahead else [11]:
        table.take(engine.advance(START + end * MINUTE))
    energy = [sum(row["energy"] for row in table.rows[0, START + m * MINUTE]) for m in range(11)]
    assert energy == [100_000] * 10 + [0]


def test_an_archived_block_is_renumbered_without_the_plant_that_it_was_made_for() -> None:
    run = Run(plant(), busy_hours(1, 10 * MINUTE), START + 10 * MINUTE)
    data = next(iter(run.archive.values()))
    engine = Engine(plant(), horizon_ns=HOUR)
    tags = np.flatnonzero(engine.uses(np.arange(40, dtype=np.int32)))
    shifted = retagged(data, {int(tag): int(tag) + 100 for tag in tags[1:]} | {int(tags[0]): -1})
    again = retagged(shifted, {int(tag) + 100: int(tag) for tag in tags[1:]})
    back, whole = (Block.unpacked(one, engine._numbering).samples.whole() for one in (again, data))
    kept = whole.tag != tags[0]
    assert back.time.tolist() == whole.time[kept].tolist()
    assert back.tag.tolist() == whole.tag[kept].tolist()
