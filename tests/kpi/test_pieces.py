"""Counters beside what the machine was doing: gaps, counters that stand still, pieces nobody judges, start-up scrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from kpi.columns import Columns
from kpi.engine import Engine, Update
from kpi.fold import Before
from kpi.formulas import evaluate
from kpi.packing import Numbering, pack, unpack
from kpi.plant import Calendar, Counter, Machine, Plant, Quantity, Shift, Signal, State, StateModel, StateRule
from kpi.reasons import reasons, warnings
from tests.kpi import twin
from tests.kpi.plants import EVERY_DAY, HOUR, LINK, MINUTE, SECOND, feed, plant, samples_from
from tests.kpi.test_engine import AWAKE, END, LENGTH, START
from tests.kpi.test_formulas import row
from tests.kpi.twin import Sample

SAYS, PIECES, OTHERS = 0, 1, 2
RUN, STOP, DOWN, SET_UP, GONE, SERVED, OFF, SHORT = (float(s) for s in (1, 7, 6, 2, 0, 8, 9, 5))


def machine(*counted: Quantity, stuck_after: int | None = None, event: bool = False) -> Machine:
    """One that says its state in so many words, planned from 06:00 to 07:00 with a break from 06:10 to 06:20."""
    shift = Shift("day", time(6), time(7), EVERY_DAY, ((time(6, 10), time(6, 20)),))
    model = StateModel(("s",), tuple(StateRule({"s": frozenset({float(s)})}, s) for s in State))
    tags = dict(zip(counted, (PIECES, OTHERS), strict=False))
    counters = {quantity: Counter(tag, event=event) for quantity, tag in tags.items()}
    return Machine(
        "m", "m", "line", "area", Calendar("UTC", (shift,)), model, (Signal(SAYS),), counters=counters,
        default_ideal_ns=10 * SECOND, stuck_after_ns=stuck_after,
    )  # fmt: skip


def told(of: Machine, minutes: float, **said: Mapping[int, float]) -> Update:
    """What an engine says of a time line; state, pieces and others by minute since 06:00."""
    tags = {"state": SAYS, "pieces": PIECES, "others": OTHERS}
    stream = [
        Sample(tags[name], START + round(at * MINUTE), value, 2 if isnan(value) else 0)
        for name, line in said.items()
        for at, value in line.items()
    ]
    engine = Engine(Plant("site", "UTC", (of,)), horizon_ns=HOUR)
    feed(engine, stream)
    return engine.advance(START + round(minutes * MINUTE))


def total(update: Update, element: str) -> int:
    return int(update.elements[element].sum())


# A failure counts where its breakdown first costs planned busy time


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({0: RUN, 2: DOWN, 4: RUN, 5: DOWN, 6: RUN}, [2, 5], id="each breakdown of the shift once"),
        pytest.param({0: RUN, 9: DOWN, 22: RUN}, [9], id="across a break once"),
        pytest.param({0: RUN, 12: DOWN, 18: RUN}, [], id="within the break: it costs nothing"),
        pytest.param({0: RUN, 12: DOWN, 25: RUN}, [20], id="from within the break: when the shift goes on"),
        pytest.param({0: RUN, 12: DOWN, 14: STOP, 15: DOWN, 25: RUN}, [20], id="two in the break, of which one costs"),
        pytest.param({0: RUN, 58: DOWN, 62: RUN}, [58], id="over the end of the shift"),
        pytest.param({0: RUN, 62: DOWN, 64: RUN}, [], id="after the shift"),
        pytest.param({0: DOWN, 9: GONE, 11: DOWN, 21: RUN}, [0], id="the same one after data was missing"),
        pytest.param({0: RUN, 2: DOWN, 4: SERVED, 6: DOWN, 7: RUN}, [2], id="the same one after maintenance"),
        pytest.param({0: RUN, 2: DOWN, 4: OFF, 6: SHORT, 7: DOWN, 8: RUN}, [2], id="the same one while nothing works"),
        pytest.param({0: RUN, 2: DOWN, 4: STOP, 6: DOWN, 7: RUN}, [2, 6], id="another one after it could have worked"),
        pytest.param({0: RUN, 12: DOWN, 15: SERVED, 25: RUN}, [20], id="with maintenance that costs planned time"),
        pytest.param({0: RUN, 2: SERVED, 9: RUN}, [], id="maintenance alone is none"),
    ],
)
def test_a_failure_counts_once_where_it_first_costs_planned_busy_time(
    state: Mapping[int, float], expected: Sequence[int]
) -> None:
    at_once = told(machine(), 70, state=state)
    fails = at_once.elements.filter(pl.col("fe") > 0)
    assert [(t - START) // MINUTE for t in fails["time"]] == expected
    assert fails["fe"].to_list() == [1] * len(expected)
    assert all(fails["ttr"] > 0), "in the minute whose seconds it takes"


@pytest.mark.parametrize(
    ("state", "minutes"),
    [
        pytest.param({0: RUN, 2: DOWN, 4: SERVED, 7: RUN}, 5, id="breakdown and the maintenance that ends it"),
        pytest.param({0: RUN, 2: SERVED, 4: RUN}, 0, id="not maintenance without a failure"),
        pytest.param({0: RUN, 2: DOWN, 4: RUN, 5: SERVED, 7: RUN}, 2, id="not maintenance after it worked again"),
        pytest.param({0: RUN, 2: DOWN, 4: GONE, 6: DOWN, 7: RUN}, 3, id="not time that nobody knows of"),
        pytest.param({0: RUN, 8: DOWN, 21: RUN}, 3, id="not the break"),
        pytest.param({0: RUN, 58: DOWN, 61: SERVED, 65: RUN}, 2, id="not after the shift"),
    ],
)
def test_time_to_restore_is_of_failures_and_of_planned_busy_time(state: Mapping[int, float], minutes: int) -> None:
    assert total(told(machine(), 70, state=state), "ttr") == minutes * MINUTE


# A counter is stuck by production time


@pytest.mark.parametrize(
    ("state", "pieces", "uncounted", "begins"),
    [
        pytest.param({0: RUN}, {0: 0, 1: 1, 9: 2}, 3, 1, id="a limit of 5 min: from 6 to 9"),
        pytest.param({0: RUN}, {0: 0, 1: 1, 6: 2}, 0, 0, id="exactly the limit is none"),
        pytest.param({0: RUN}, {0: 0, 1: 1, 7: 1, 9: 2}, 3, 1, id="a reading that does not rise is none"),
        pytest.param({0: RUN}, {0: 0, 1: 1}, 4, 1, id="never again"),
        pytest.param({0: RUN, 2: STOP, 6: RUN}, {0: 0, 1: 1}, 0, 0, id="while it stands nothing is expected"),
        pytest.param({0: RUN, 2: STOP, 4: RUN}, {0: 0, 1: 1}, 2, 1, id="production adds up over a stop"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1}, 2, 1, id="and over time that nobody knows"),
        pytest.param({0: RUN}, {0: 0, 6: 1, 13: 2}, 1, 1, id="from the beginning on"),
        pytest.param({0: RUN}, {0: 9, 1: 10, 6: 2, 7: 3}, 1, 1, id="a reset that counts on is a rise"),
        pytest.param({0: RUN}, {0: 9, 1: 10, 7: 8}, 4, 1, id="a step back is none"),
        pytest.param({0: RUN, 7: STOP, 8: RUN}, {0: 0, 1: 1}, 3, 1, id="one that goes on after a stop began once"),
    ],
)
def test_a_counter_that_stands_still_while_its_machine_produces_is_stuck(
    state: Mapping[int, float], pieces: Mapping[int, float], uncounted: float, begins: int
) -> None:
    update = told(machine(Quantity.GOOD, stuck_after=5 * MINUTE), 10, state=state, pieces=pieces)
    assert total(update, "uncounted") == uncounted * MINUTE
    assert update.decisions.get("counter_stuck", 0) == begins
    assert total(told(machine(Quantity.GOOD), 10, state=state, pieces=pieces), "uncounted") == 0, "no limit, no word"


def test_the_counters_that_make_produced_quantity_are_those_that_are_waited_for() -> None:
    """Good ones rise while the counter of all pieces is stuck: the figures stand on the stuck one."""
    lines = {"state": {0: RUN}, "pieces": {0: 0.0}, "others": {m: float(m) for m in range(10)}}
    of = machine(Quantity.TOTAL, Quantity.GOOD, stuck_after=5 * MINUTE)
    assert total(told(of, 10, **lines), "uncounted") == 5 * MINUTE
    either = machine(Quantity.GOOD, Quantity.SCRAP, stuck_after=5 * MINUTE)
    assert total(told(either, 10, **lines), "uncounted") == 0, "scrap alone is production too"


def test_a_stuck_counter_casts_doubt_on_what_is_made_of_pieces_and_takes_no_value() -> None:
    rows = pl.DataFrame(
        [
            row(
                calendar_time=3600,
                pot=3600,
                pbt=3600,
                apt=3600,
                pq=9,
                gq=9,
                ideal_pq=1800,
                ideal_gq=1800,
                uncounted=1500,
            )
        ]
    )
    said = warnings(rows).row(0, named=True)
    words = "piece counters stood still for 1500 s of production: stuck, not wired, or nothing was made"
    assert {kpi for kpi, told in said.items() if told == words} == {
        "oee", "nee", "effectiveness", "ooe", "teep", "loss_speed",
    }  # fmt: skip
    assert evaluate(rows)["oee"].item() == pytest.approx(0.5)


# A rise after a gap


@pytest.mark.parametrize(
    ("state", "pieces", "after_gap"),
    [
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1, 5: 4}, 1, id="a gap between two readings"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1, 3: 4, 5: 5}, 2, id="within it, and over its end"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1, 5: 1}, 0, id="that adds nothing"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1, 4: 1, 5: 4}, 0, id="a reading at its end closes it"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 0, 1: 1, 2: 4}, 0, id="one that comes as it begins"),
        pytest.param({0: RUN, 2: GONE, 4: RUN}, {0: 5, 1: 9, 5: 2, 6: 3}, 1, id="a reset over it"),
        pytest.param({0: RUN, 2: 99.0, 4: RUN}, {0: 0, 1: 1, 5: 4}, 0, id="a state without a rule is no gap"),
        pytest.param({0: RUN, 2: STOP, 4: RUN}, {0: 0, 1: 1, 5: 4}, 0, id="nor is a stop"),
    ],
)
def test_a_rise_over_time_without_data_is_told_apart_and_counts_as_any_other(
    state: Mapping[int, float], pieces: Mapping[int, float], after_gap: int
) -> None:
    bad = {at: float("nan") if value == GONE else value for at, value in state.items()}
    update = told(machine(Quantity.GOOD), 8, state=bad, pieces=pieces)
    assert update.decisions.get("counter_after_gap", 0) == after_gap
    held = told(machine(Quantity.GOOD), 8, state={0: RUN}, pieces=pieces)
    assert total(update, "gq") == total(held, "gq")


def test_an_event_is_never_after_a_gap() -> None:
    state = {0: RUN, 2: float("nan"), 4: RUN}
    update = told(machine(Quantity.GOOD, event=True), 8, state=state, pieces={0: 1, 5: 1})
    assert "counter_after_gap" not in update.decisions


@settings(max_examples=100, deadline=None)
@given(samples=samples_from(START, LENGTH))
def test_what_is_decided_of_counters_is_what_the_slow_twin_decides(samples: list[Sample]) -> None:
    """At once, and minute by minute as samples come: the same counts."""
    stream = [AWAKE, *(s for s in samples if s.tag != LINK or s.time >= START)]
    expected = twin.decisions(plant(), stream, START, END)
    at_once, by_minute = Engine(plant(), horizon_ns=HOUR), Engine(plant(), horizon_ns=HOUR)
    feed(at_once, stream)
    found = [at_once.advance(END)]
    for updates in (found, _by_minute(by_minute, stream)):
        counts = {
            name: sum(update.decisions.get(name, 0) for update in updates)
            for name in ("counter_after_gap", "counter_stuck")
        }
        assert counts == {name: expected[name] for name in counts}


def _by_minute(engine: Engine, stream: list[Sample]) -> list[Update]:
    updates = []
    for now in range(START + MINUTE, END + 1, MINUTE):
        feed(engine, [s for s in stream if s.time < now and (s.time >= now - MINUTE or now == START + MINUTE)])
        updates.append(engine.advance(now))
    return updates


# Pieces that nobody judges, and start-up scrap


@pytest.mark.parametrize(
    ("counted", "absent"),
    [
        ("total", {"quality_ratio": "nobody judges the pieces", "scrap_ratio": "nobody counts scrap"}),
        ("good", {"quality_ratio": "nobody counts scrap", "scrap_ratio": "nobody counts scrap"}),
        ("scrap", {"quality_ratio": "nobody judges the pieces", "scrap_ratio": "nobody judges the pieces"}),
        ("total good", {}),
        ("total scrap", {}),
        ("good scrap", {}),
        ("total rework", {"quality_ratio": "nobody judges the pieces", "scrap_ratio": "nobody counts scrap"}),
    ],
)
def test_ratios_of_pieces_that_nobody_judges_are_absent_and_not_100_percent(
    counted: str, absent: Mapping[str, str]
) -> None:
    of = machine(*(Quantity(name) for name in counted.split()))
    up = {0: 0.0, 5: 10.0}
    update = told(of, 10, state={0: RUN}, pieces=up, others=up)
    sums = update.elements.select(pl.exclude("machine", "time", "shift", "shift_start", "product").sum())
    why = reasons(sums).row(0, named=True)
    assert {kpi: why[kpi] for kpi in ("quality_ratio", "scrap_ratio") if why[kpi]} == absent
    expected = None if "rework" in counted else "nobody counts rework"
    assert why["rework_ratio"] == expected
    assert (why["oee"] is None) == (counted != "scrap")
    doubt = (
        "nobody judges the pieces: all are taken as good"
        if counted.split(maxsplit=1)[0] == "total" and absent
        else None
    )
    assert warnings(sums)["oee"].item() == doubt
    assert warnings(sums, standing=False)["oee"].item() is None


def test_some_pieces_that_nobody_judges_are_said_to_be_so() -> None:
    rows = pl.DataFrame([row(pbt=60, apt=60, pq=100, gq=90, sq=10, unjudged=12, ideal_pq=60, ideal_gq=54)])
    assert evaluate(rows)["quality_ratio"].item() == pytest.approx(0.9)
    assert warnings(rows)["quality_ratio"].item() == "12 of 100 pieces are judged by nobody, and taken as good"


@pytest.mark.parametrize("counted", [(Quantity.GOOD, Quantity.SCRAP), (Quantity.TOTAL, Quantity.GOOD)])
def test_scrap_that_is_counted_in_setup_is_start_up_loss(counted: tuple[Quantity, Quantity]) -> None:
    """Three of five scrapped pieces are trial pieces, of 10 s each; the hour has 50 minutes of planned busy time."""
    scrap, all_pieces = {0: 0, 2: 3, 8: 5}, {0: 0, 2: 3, 8: 15}
    good = {0: 0, 2: 0, 8: 10}
    lines = (good, scrap) if Quantity.SCRAP in counted else (all_pieces, good)
    update = told(machine(*counted), 10, state={0: SET_UP, 4: RUN}, pieces=lines[0], others=lines[1])
    assert (total(update, "sq"), total(update, "startup_sq")) == (5_000_000, 3_000_000)
    assert total(update, "ideal_startup_sq") == 30 * SECOND
    sums = update.elements.select(pl.exclude("machine", "time", "shift", "shift_start", "product").sum())
    k = evaluate(sums).row(0, named=True)
    assert (k["loss_startup"], k["loss_defects"]) == (pytest.approx(30 / 600), pytest.approx(20 / 600))
    declared = evaluate(sums.with_columns(startup_lost=pl.lit(6.0))).row(0, named=True)
    assert (declared["loss_startup"], declared["loss_defects"]) == (pytest.approx(6 / 600), pytest.approx(44 / 600))


def test_start_up_loss_of_a_machine_whose_scrap_nobody_counts_is_not_zero() -> None:
    rows = pl.DataFrame([row(pbt=60, apt=60, pq=9, gq=9, unjudged=9, scrap_unknown=9, ideal_pq=30, ideal_gq=30)])
    assert reasons(rows)["loss_startup"].item() == "nobody counts scrap"
    assert reasons(rows)["loss_defects"].item() == "nobody judges the pieces"


def test_first_pass_yield_of_a_machine_that_only_counts_what_is_inspected_is_not_zero() -> None:
    update = told(machine(Quantity.INSPECTED), 8, state={0: RUN}, pieces={0: 0, 1: 4, 5: 9})
    made = update.elements.sum()
    assert (made["ip"].item(), made["first_pass_unknown"].item()) == (9_000_000, 9_000_000)
    rows = pl.DataFrame([row(ip=9, first_pass_unknown=9), row(ip=9, gp=7), row(ip=18, gp=7, first_pass_unknown=9)])
    assert evaluate(rows)["first_pass_yield"].to_list() == [None, 7 / 9, 7 / 18]
    assert reasons(rows)["first_pass_yield"].to_list() == [
        "nobody counts which pieces are good at first pass", None, None,
    ]  # fmt: skip
    assert warnings(rows)["first_pass_yield"].to_list()[1:] == [
        None, "of 9 of 18 inspected pieces it is not counted which are good at first pass",
    ]  # fmt: skip


# What an earlier version kept


def test_what_machines_did_before_is_read_whatever_version_wrote_it() -> None:
    """Without the columns of today a machine begins anew in them; an open breakdown was counted when it began."""
    state = np.array([State.BREAKDOWN, State.PRODUCING], np.int32)
    since = np.array([START, 0], np.int64)
    before = Before.of_columns({"state": state, "stop_since": since, "of tomorrow": state}, 2)
    assert before.state.tolist() == [State.BREAKDOWN, State.PRODUCING]
    assert before.stop_since.tolist() == [START, 0]
    assert (before.down.tolist(), before.failed.tolist()) == ([True, False], [True, False])
    assert (before.silent.tolist(), before.gap.tolist()) == ([0, 0], [0, 0])


def test_what_machines_did_before_is_packed_whole() -> None:
    column = np.array([5, 7], np.int64)
    yes = np.array([False, True])
    state = column.astype(np.int32)
    before = Before(state, column, column + 3, column + 5, yes, column + 4, state, yes, ~yes, column + 1, column + 2)
    numbering = Numbering(["b", "a"], np.zeros(1, np.bool_))
    _, found, _ = unpack(pack({}, before, [Columns.empty()], ["a", "b"]), numbering)
    assert found.gives_the_same(before.of(np.array([1, 0])))
    assert found.gap.tolist() == [9, 7]
