"""The plant's own book: it closes, and it says what the events say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.demo.book import APT
from edge_agent.demo.events import MS, Outcome, Signal
from edge_agent.demo.layout import MACHINES, METER_MODULUS_KWH
from tests.edge_agent.demo.days import HOUR, LATE_HOURS, LATE_START, late_shift

IDS = [spec.id for spec in MACHINES]
instants = st.integers(0, int(LATE_HOURS * HOUR)).map(lambda offset: LATE_START + offset)


@settings(max_examples=60, deadline=None)
@given(machine=st.sampled_from(IDS), times=st.tuples(instants, instants))
def test_the_categories_of_time_add_up_to_the_elapsed_time(machine: str, times: tuple[int, int]) -> None:
    plant, _ = late_shift()
    start, end = (time // MS * MS for time in sorted(times))
    sums = plant.book.sums(machine, start, end)
    assert sum(sums["ms"].values()) == sums["pbt"]
    assert sum(sums["ms"].values()) + sum(sums["ms_unplanned"].values()) == (end - start) // MS


@settings(max_examples=60, deadline=None)
@given(machine=st.sampled_from(IDS), times=st.tuples(instants, instants, instants))
def test_two_windows_add_up_to_the_one_that_holds_both(machine: str, times: tuple[int, int, int]) -> None:
    plant, _ = late_shift()
    start, cut, end = sorted(times)
    parts = [plant.book.sums(machine, *window) for window in ((start, cut), (cut, end))]
    whole = plant.book.sums(machine, start, end)
    for name in ("pbt", "millijoules", "inspected", "first_pass", "earned", "earned_good"):
        assert parts[0][name] + parts[1][name] == whole[name], name
    for condition, ms in whole["ms"].items():
        assert parts[0]["ms"][condition] + parts[1]["ms"][condition] == ms


@pytest.mark.parametrize("spec", MACHINES, ids=IDS)
def test_the_counters_say_what_the_book_says(spec: object) -> None:
    plant, events = late_shift()
    machine = spec.id  # type: ignore[attr-defined]
    truth = plant.book.truth(machine, LATE_START, plant.now_ns)
    wanted = {
        Signal.GOOD: truth["good"],
        Signal.SCRAP: truth["scrap"],
        Signal.REWORK: truth["rework"],
        Signal.TOTAL: truth["good"] + truth["scrap"] + truth["rework"],
        Signal.INSPECTED: truth["inspected"],
        Signal.FIRST_PASS: truth["first_pass"],
    }
    for signal in spec.counts:  # type: ignore[attr-defined]
        steps = [event for event in events if event.machine == machine and event.signal is signal]
        assert len(steps) - 1 == wanted[signal], f"{machine} {signal}"
    assert sum(sum(counts.values()) for counts in truth["pieces"].values()) == wanted[Signal.TOTAL]


@pytest.mark.parametrize("machine", IDS)
def test_the_meter_readings_are_the_integral_of_the_power_across_roll_overs(machine: str) -> None:
    plant, events = late_shift()
    readings = [event for event in events if event.machine == machine and event.signal is Signal.ENERGY]
    readings += [reading for reading in plant.readings(plant.now_ns) if reading.machine == machine]
    kwh = sum((float(b.value) - float(a.value)) % METER_MODULUS_KWH for a, b in pairwise(readings))
    power = [event for event in events if event.machine == machine and event.signal is Signal.POWER]
    edges = [event.time_ns for event in power] + [plant.now_ns]
    integral = sum(float(p.value) * (b - a) for p, (a, b) in zip(power, pairwise(edges), strict=True)) / 3.6e15
    booked = plant.book.truth(machine, LATE_START, plant.now_ns)["energy_kwh"]
    assert kwh == pytest.approx(booked, abs=2e-6)
    assert integral == pytest.approx(booked, rel=1e-9)


def test_the_ratios_of_the_plant_are_ratios_of_its_sums() -> None:
    plant, _ = late_shift()
    window = (LATE_START, LATE_START + 8 * HOUR)
    machines = [plant.book.sums(machine, *window) for machine in IDS]
    truth = plant.book.plant_truth(*window)
    apt = sum(one["ms"][condition] for one in machines for condition in APT)
    assert truth["availability"] == apt / sum(one["pbt"] for one in machines)
    assert truth["effectiveness"] == sum(one["earned"] for one in machines) / apt
    good, made = (sum(one[name] for one in machines) for name in ("earned_good", "earned"))
    assert truth["quality_ratio"] == good / made
    assert truth["oee"] == pytest.approx(good / sum(one["pbt"] for one in machines))
    assert truth["good"] == sum(by_outcome[Outcome.GOOD] for one in machines for by_outcome in one["pieces"].values())


def test_nothing_over_nothing_is_none() -> None:
    plant, _ = late_shift()
    night = plant.book.truth("press-01", LATE_START + int(8.2 * HOUR), LATE_START + int(8.4 * HOUR))
    assert [night[kpi] for kpi in ("availability", "effectiveness", "quality_ratio", "oee")] == [None] * 4
    assert night["energy_kwh"] > 0


def test_planned_time_without_a_piece_has_an_oee_of_zero_as_the_agent_says() -> None:
    plant, _ = late_shift()
    first = plant.book.truth("cnc-01", LATE_START, LATE_START + HOUR // 360)
    assert (first["good"], first["scrap"], first["pbt_s"]) == (0, 0, 10.0)
    assert (first["quality_ratio"], first["oee"]) == (None, 0.0)


def test_the_book_refuses_what_was_before_it() -> None:
    plant, _ = late_shift()
    with pytest.raises(ValueError, match="the book begins at"):
        plant.book.truth("press-01", LATE_START - HOUR, LATE_START)
