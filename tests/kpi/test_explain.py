"""What is printed as evidence adds up, by hand, to the elements that the engine gave."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.bindings import Bindings
from kpi.columns import Columns
from kpi.composition import COUNTS_IN, quantities, without_effect
from kpi.counters import Verdict
from kpi.elements import ELEMENT_IDS
from kpi.engine import Engine
from kpi.explain import Evidence, HeldSamples, NotKnown, Span, evidence, held_samples, spans_of
from kpi.fold import CATEGORIES
from kpi.formulas import KPI
from kpi.plant import Machine, Quantity, State
from tests.kpi.plants import (
    CURRENT_D,
    GOOD_A,
    HOUR,
    LINK,
    MINUTE,
    PRODUCT_A,
    SECOND,
    STATE_A,
    STATUS_C,
    feed,
    ns,
    plant,
    samples_from,
)
from tests.kpi.twin import Sample

START = ns(2026, 6, 1, 6)  # 08:00 in Berlin: within the shift, two minutes before the break
LENGTH = 8 * MINUTE
END = START + LENGTH
AWAKE = Sample(LINK, START, 1.0)


@cache
def bindings() -> Bindings:
    return Bindings(plant())


class Kept:
    """What a journal would hold: element rows, the last checkpoint, the samples since, and packed blocks."""

    def __init__(self, most_samples: int = 1_000_000) -> None:
        self.engine = Engine(plant(), horizon_ns=HOUR, most_samples=most_samples)
        self.archive: dict[int, bytes] = {}
        self.log: list[Sample] = []
        self.rows: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.intervals: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def take(self, samples: list[Sample], until: int) -> None:
        feed(self.engine, samples)
        self.log += samples
        update = self.engine.advance(until, self.archive)
        self.archive |= update.archive
        for key in update.elements.select("machine", "time").unique().iter_rows():
            self.rows[key], self.intervals[key] = [], []
        for row in update.elements.to_dicts():
            self.rows[row["machine"], row["time"]].append(row)
        for one in update.intervals.to_dicts():
            self.intervals[one["machine"], one["start"] - one["start"] % MINUTE].append(one)

    def held(self) -> HeldSamples | None:
        log = Columns(
            np.array([s.tag for s in self.log], np.int32),
            np.array([s.time for s in self.log], np.int64),
            np.array([s.value for s in self.log], np.float64),
            np.array([s.quality for s in self.log], np.uint8),
        )
        end = self.engine.closed or 0
        return held_samples(bindings(), self.engine.checkpoint(), log, self.archive, end)

    def sums(self, machine: int, start: int, end: int) -> dict[str, int]:
        rows = [row for (m, time), of in self.rows.items() if m == machine and start <= time < end for row in of]
        return {element: sum(row[element] for row in rows) for element in ELEMENT_IDS}


def by_hand(found: Evidence, machine: Machine) -> dict[str, int]:
    """Elements from the printed evidence alone, in plain Python."""
    sums = {e: sum(s.end - s.start for s in found.spans if e in s.elements) for e in COUNTS_IN["apt"]}
    for category in CATEGORIES:
        for element in COUNTS_IN[category]:
            sums[element] = sum(s.end - s.start for s in found.spans if element in s.elements)
    sums["fe"] = sum(s.fails for s in found.spans)
    made = quantities(machine.counters)
    for element, of in made.items():
        sums[element] = sum(sign * counted(found, q, overtime=False) for q, sign in of.items())
    sums["startup_sq"] = sum(sign * counted(found, q, overtime=False, setup=True) for q, sign in made["sq"].items())
    sums["uncounted"] = sum(s.uncounted for s in found.spans)
    sums["overtime_pq"] = sum(sign * counted(found, q, overtime=True) for q, sign in made["pq"].items())
    for element, meter in found.meters.items():
        sums[element] = sum(reading.within for reading in meter.readings)
    if found.power is not None:
        sums["energy"] = sum(one.within for one in found.power)
    working = ("apt", "aust", "overtime", "overtime_downtime")
    sums["energy_working"] = sum(s.used["energy"] for s in found.spans if s.category in working)
    return sums


def counted(found: Evidence, quantity: Quantity, *, overtime: bool, setup: bool = False) -> int:
    if quantity not in found.counts:
        return 0
    readings = found.counts[quantity].readings
    return sum(one.within for one in readings if one.overtime == overtime and (one.setup or not setup))


@settings(max_examples=60, deadline=None)
@given(samples=samples_from(START, LENGTH), data=st.data())
def test_evidence_adds_up_to_the_elements_whatever_is_packed_away(samples: list[Sample], data: st.DataObject) -> None:
    """Any machine, any whole minutes; some blocks in the archive, some after the checkpoint, some samples late."""
    stream = [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)]
    kept = Kept(data.draw(st.sampled_from([5, 1_000_000])))
    half = data.draw(st.integers(0, len(stream)))
    kept.take([AWAKE, *stream[:half]], START + data.draw(st.integers(1, 7)) * MINUTE)
    kept.take(stream[half:], END)
    held = kept.held()
    assert held is not None
    first = data.draw(st.integers((held.start - START) // MINUTE, 7))
    start, end = START + first * MINUTE, START + data.draw(st.integers(first + 1, 8)) * MINUTE
    for index, machine in enumerate(plant().machines):
        found = evidence(bindings(), held, index, start, end)
        expected = kept.sums(index, start, end)
        sums = by_hand(found, machine)
        assert sums == {element: expected[element] for element in sums}
        assert found.elements.sort("time", "product").to_dicts() == [
            row
            for minute in range(start, end, MINUTE)
            for row in sorted(kept.rows[index, minute], key=lambda row: (row["time"], row["product"]))
        ]
        assert_spans_follow_each_other(found.spans, start, end)
        assert_states_follow_from_what_was_heard(found.spans, machine)


def assert_spans_follow_each_other(spans: tuple[Span, ...], start: int, end: int) -> None:
    edges = [start, *(span.end for span in spans)]
    assert [span.start for span in spans] == edges[:-1]
    assert edges[-1] == end


def assert_states_follow_from_what_was_heard(spans: tuple[Span, ...], machine: Machine) -> None:
    """The printed signals under the printed rule give the printed state."""
    for span in spans:
        origin = span.origin
        assert origin is not None
        heard = {one.signal: one.value if one.not_known is None else None for one in origin.heard}
        said, deciding = State.UNKNOWN, None
        for number, rule in enumerate(machine.state_model.rules):
            judged = [None if heard[n] is None else heard[n] in wanted for n, wanted in rule.when.items()]
            if False not in judged:
                said, deciding = (rule.state if all(judged) else State.UNKNOWN), number
                break
        assert (origin.said, origin.rule) == (said, deciding)
        for one in origin.heard:
            if one.reading is not None and one.quality == 0:
                switch = machine.state_signals[0].switch
                assert switch is not None
                assert one.reading < switch.on or one.value == 1.0


@settings(max_examples=30, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_spans_of_intervals_alone_give_the_same_time_elements(samples: list[Sample]) -> None:
    """Where samples are no longer held, states and calendar say as much about seconds."""
    kept = Kept()
    kept.take([AWAKE, *samples], END)
    for index, machine in enumerate(plant().machines):
        own = [one for minute in range(START, END, MINUTE) for one in kept.intervals.get((index, minute), [])]
        if not own:
            continue
        start = own[0]["start"]
        spans = spans_of(pl.DataFrame(own), machine.calendar, start, END, overtime_apart=machine.overtime_apart)
        expected = kept.sums(index, start, END)
        for element in {"ttr", *(e for of in COUNTS_IN.values() for e in of)}:
            assert sum(s.end - s.start for s in spans if element in s.elements) == expected[element], element
        assert sum(span.fails for span in spans) == expected["fe"]


def only(spans: tuple[Span, ...], at: int) -> Span:
    return next(span for span in spans if span.start <= at < span.end)


def explained(samples: list[Sample], machine: int = 0) -> Evidence:
    kept = Kept()
    kept.take([AWAKE, *samples], END)
    held = kept.held()
    assert held is not None
    return evidence(bindings(), held, machine, START, END)


def test_unknown_time_names_the_first_cause() -> None:
    """A down connection says more than the old value that came over it."""
    signs = [Sample(LINK, START + second * SECOND, 1.0) for second in range(0, 120, 30)]
    found = explained(
        [
            *signs,
            Sample(STATE_A, START + 10 * SECOND, 1.0),
            Sample(STATE_A, START + 20 * SECOND, float("nan"), 2),
            Sample(STATE_A, START + 30 * SECOND, 1.0),
            Sample(LINK, START + 100 * SECOND, 0.0),
            Sample(LINK, START + 110 * SECOND, 1.0),
        ]
    )
    assert [cause(found, second) for second in (5, 15, 25, 35, 105, 115, 200)] == [
        NotKnown.NO_SAMPLE,
        None,
        NotKnown.BAD_QUALITY,
        None,
        NotKnown.LINK_DOWN,
        None,
        NotKnown.LINK_SILENT,
    ]
    assert cause(explained([Sample(STATUS_C, START, 1.0)], machine=2), 90) is NotKnown.STALE


def cause(found: Evidence, second: int) -> NotKnown | None:
    origin = only(found.spans, START + second * SECOND).origin
    assert origin is not None
    return origin.heard[0].not_known


def test_a_stop_says_what_the_signals_said_and_what_its_length_made_of_it() -> None:
    """Signals say breakdown (run = 2); twenty seconds of it are a minor stop; what decides is when it is over."""
    signs = [Sample(LINK, START + second * SECOND, 1.0) for second in range(0, 480, 30)]
    run = [Sample(STATE_A, START, 1.0), Sample(STATE_A, START + 40 * SECOND, 2.0)]
    short = explained([*signs, *run, Sample(STATE_A, START + 60 * SECOND, 1.0)])
    stop = only(short.spans, START + 50 * SECOND)
    assert (stop.state, stop.category, stop.fails) == (State.STOPPED, "stopped", False)
    assert stop.origin is not None
    assert stop.origin.said is State.BREAKDOWN
    assert stop.origin.stop_since == START + 40 * SECOND


def test_a_stop_that_is_over_only_after_the_window_is_judged_by_its_whole_length() -> None:
    """The window ends within a stop; blocks after it are read until the stop is over or long."""
    signs = [Sample(LINK, START + second * SECOND, 1.0) for second in range(0, 480, 30)]
    kept = Kept(most_samples=3)
    run = [Sample(STATE_A, START, 1.0), Sample(STATE_A, START + 100 * SECOND, 2.0)]
    for minute in range(8):
        begin, end = START + minute * MINUTE, START + (minute + 1) * MINUTE
        kept.take([s for s in [*signs, *run] if begin <= s.time < end], end)
    held = kept.held()
    assert held is not None
    assert len(held.past) > 3
    found = evidence(bindings(), held, 0, START, START + 2 * MINUTE)
    assert found.spans[-1].state is State.BREAKDOWN
    assert sum(s.fails for s in found.spans) == kept.sums(0, START, START + 2 * MINUTE)["fe"] == 1


def test_readings_say_what_was_before_them_and_how_long_nothing_was_known() -> None:
    """A reading after a gap counts at once; a reset counts from nothing once it is
    confirmed; a step back and a reading of nothing count nothing."""
    signs = [Sample(LINK, START + second * SECOND, 1.0) for second in (0, 30, 60, 300, 330, 360, 390, 420, 450)]
    found = explained(
        [
            *signs,
            Sample(STATE_A, START, 1.0),
            Sample(PRODUCT_A, START, 1.0),
            Sample(GOOD_A, START + 5 * SECOND, 100.0),
            Sample(GOOD_A, START + 20 * SECOND, 110.0),
            Sample(GOOD_A, START + 300 * SECOND, 160.0),
            Sample(GOOD_A, START + 310 * SECOND, 155.0),
            Sample(GOOD_A, START + 320 * SECOND, 3.0),
            Sample(GOOD_A, START + 330 * SECOND, 4.0),
            Sample(GOOD_A, START + 340 * SECOND, 0.0),
            Sample(GOOD_A, START + 350 * SECOND, 6.0),
        ]
    )
    told = [
        (r.value, r.before, r.verdict, r.added // 1_000_000, r.unknown_ns // SECOND)
        for r in found.counts[Quantity.GOOD].readings
    ]
    assert told == [
        (100.0, None, Verdict.COUNTED_ON, 0, 0),
        (110.0, 100.0, Verdict.COUNTED_ON, 10, 0),
        (160.0, 110.0, Verdict.COUNTED_ON, 50, 200),
        (155.0, 160.0, Verdict.STEP_BACK, 0, 0),
        (3.0, 160.0, Verdict.FALL, 0, 0),
        (4.0, 160.0, Verdict.RESET, 4, 0),
        (0.0, 4.0, Verdict.FALL, 0, 0),
        (6.0, 4.0, Verdict.RESET, 6, 0),
    ]
    assert {r.product for r in found.counts[Quantity.GOOD].readings} == {1}


def test_a_switch_shows_the_value_that_it_was_made_of() -> None:
    signs = [Sample(LINK, START + second * SECOND, 1.0) for second in range(0, 480, 30)]
    found = explained([*signs, Sample(CURRENT_D, START, 9.0), Sample(CURRENT_D, START + 60 * SECOND, 3.0)], machine=3)
    for at, reading in ((0, 9.0), (70, 3.0)):
        origin = only(found.spans, START + at * SECOND).origin
        assert origin is not None
        assert (origin.heard[0].value, origin.heard[0].reading) == (1.0, reading)


def test_a_window_that_is_not_held_is_refused() -> None:
    kept = Kept()
    kept.take([AWAKE], END)
    held = kept.held()
    assert held is not None
    with pytest.raises(ValueError, match="not held"):
        evidence(bindings(), held, 0, START - MINUTE, END)


def test_nothing_is_held_before_the_first_minute_is_closed() -> None:
    assert Kept().held() is None


@pytest.mark.parametrize(
    ("kpi", "left_out", "kept"),
    [
        ("availability", {"unknown", "planned_downtime", "not_planned", "overtime", "pmt"}, {"starved", "adot"}),
        ("technical_efficiency", {"adot", "cmt", "unknown"}, {"apt", "breakdown"}),
        ("coverage", {"not_planned"}, {"unknown", "apt"}),
        ("teep", set(), {"unknown", "not_planned"}),
    ],
)
def test_the_formula_itself_says_what_it_leaves_out(kpi: str, left_out: set[str], kept: set[str]) -> None:
    found = without_effect(KPI[kpi])
    assert left_out <= found
    assert not kept & found


def test_quantities_close_with_the_counters_that_there_are() -> None:
    assert quantities({Quantity.TOTAL, Quantity.GOOD})["sq"] == {Quantity.TOTAL: 1, Quantity.GOOD: -1}
    assert quantities({Quantity.GOOD, Quantity.SCRAP})["pq"] == {Quantity.GOOD: 1, Quantity.SCRAP: 1}


def test_a_machine_without_a_state_model_is_unknown_and_hears_nothing() -> None:
    silent = replace(plant().machines[0], state_model=replace(plant().machines[0].state_model, signals=(), rules=()))
    own = Bindings(replace(plant(), machines=(silent,)))
    engine = Engine(own.plant, horizon_ns=HOUR)
    feed(engine, [AWAKE, Sample(GOOD_A, START + SECOND, 5.0)])
    engine.advance(END)
    held = held_samples(own, engine.checkpoint(), Columns.empty(), {}, END)
    assert held is not None
    found = evidence(own, held, 0, START, END)
    assert {span.state for span in found.spans} == {State.UNKNOWN}
    assert {span.origin.heard for span in found.spans if span.origin} == {()}
