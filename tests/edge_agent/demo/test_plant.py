"""The simulation: reproducible, free of contradictions, and like a factory."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.demo.calendar import ShiftCalendar
from edge_agent.demo.events import MS, Condition, Event, Signal
from edge_agent.demo.layout import CALENDAR, LINES, MACHINES
from edge_agent.demo.plant import DemoPlant
from tests.edge_agent.demo.days import HOUR, LATE_START, SHIFT_START, late_shift, simulated

PIECES = {Signal.TOTAL, Signal.GOOD, Signal.SCRAP, Signal.REWORK}


def of(events: list[Event], signal: Signal, machine: str) -> list[Event]:
    return [event for event in events if event.signal is signal and event.machine == machine]


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, HOUR // 4), max_size=30), seed=st.integers(0, 3))
def test_the_same_seed_gives_the_same_events_whatever_the_steps(cuts: list[int], seed: int) -> None:
    whole = DemoPlant(seed, SHIFT_START).advance(SHIFT_START + HOUR // 4)
    plant = DemoPlant(seed, SHIFT_START)
    parts = [event for cut in sorted(cuts) for event in plant.advance(SHIFT_START + cut)]
    assert parts + plant.advance(SHIFT_START + HOUR // 4) == whole


def test_another_seed_gives_another_day() -> None:
    events = [DemoPlant(seed, SHIFT_START).advance(SHIFT_START + HOUR // 10) for seed in (1, 2)]
    assert events[0] != events[1]


def test_every_signal_has_its_first_value_at_the_start() -> None:
    first = {(event.machine, event.signal) for event in DemoPlant(1, SHIFT_START).advance(SHIFT_START)}
    for spec in MACHINES:
        said = {signal for machine, signal in first if machine == spec.id}
        wanted = {Signal.PRODUCT, Signal.CONDITION, Signal.POWER, Signal.ENERGY, *spec.counts}
        assert said >= wanted, spec.id


def test_events_are_in_order_and_no_signal_has_two_values_at_one_time() -> None:
    _, events = late_shift()
    assert all(before.time_ns <= after.time_ns for before, after in pairwise(events))
    keys = [(event.time_ns, event.machine, event.signal) for event in events]
    assert len(keys) == len(set(keys))
    assert all(event.time_ns % MS == 0 for event in events)


def test_a_product_is_set_while_no_piece_is_finished() -> None:
    """Before the first piece of the new product, after the last of the old one, and never in the instant of one."""
    _, events = late_shift()
    pieces = {
        (event.machine, event.time_ns) for event in events if event.signal in PIECES and event.time_ns > LATE_START
    }
    changes = {(event.machine, event.time_ns) for event in events if event.signal is Signal.PRODUCT}
    assert len(changes) > 2 * len(MACHINES)
    assert not pieces & changes


def test_counters_count_one_by_one() -> None:
    _, events = late_shift()
    readings: dict[tuple[str, Signal], list[float]] = defaultdict(list)
    for event in events:
        if event.signal in PIECES | {Signal.INSPECTED, Signal.FIRST_PASS}:
            readings[event.machine, event.signal].append(float(event.value))
    modulus = {spec.id: spec.counter_modulus for spec in MACHINES}
    for (machine, signal), values in readings.items():
        steps = {after - before for before, after in pairwise(values)}
        rolled = {1 - modulus[machine]} if modulus[machine] else set()  # type: ignore[operator]
        assert steps <= {1.0} | rolled, f"{machine} {signal}: {steps}"


def test_nobody_works_in_breaks_and_at_night() -> None:
    """From 09:50 through the morning break, and from 21:30 through the night to the next morning."""
    for start, hours in ((SHIFT_START + 3 * HOUR, 2.0), (SHIFT_START + 15 * HOUR, 11.0)):
        _, events = simulated(hours, start=start)
        for spec in MACHINES:
            conditions = of(events, Signal.CONDITION, spec.id)
            for now, after in pairwise(conditions):
                if now.value in {Condition.PRODUCING, Condition.SETUP}:
                    busy = sum(e - s for s, e in CALENDAR.busy_intervals(now.time_ns // MS, after.time_ns // MS))
                    assert busy * MS == after.time_ns - now.time_ns, spec.id
        assert any(event.value is Condition.PRODUCING for event in events)


def test_one_machine_is_left_on_at_night_and_costs_energy() -> None:
    plant, _ = simulated(11.0, start=SHIFT_START + 15 * HOUR)
    late = [SHIFT_START + 17 * HOUR, SHIFT_START + 23 * HOUR]
    watts = {spec.id: plant.truth(*late)["machines"][spec.id]["energy_kwh"] / 6 * 1000 for spec in MACHINES}
    assert watts["cnc-02"] > 2000
    assert all(value < 300 for machine, value in watts.items() if machine != "cnc-02")


def condition_at(events: list[Event], machine: str, time_ns: int) -> float | str:
    """What the machine was doing just before a time."""
    return [event.value for event in of(events, Signal.CONDITION, machine) if event.time_ns < time_ns][-1]


def test_a_line_starves_behind_a_breakdown_and_backs_up_before_it() -> None:
    """Whoever stands alone in its stage and is down for five minutes: at the end the next one waits for pieces, or
    cannot go on for a reason of its own, and somewhere the one before has run out of room."""
    _, events = late_shift()
    after: list[float | str] = []
    before: list[float | str] = []
    for line in LINES:
        alone = [stage[0].id for stage in line.stages if len(stage) == 1]
        for upstream, machine, downstream in zip(alone, alone[1:], alone[2:], strict=False):
            for failed, repaired in pairwise(of(events, Signal.CONDITION, machine)):
                long = repaired.time_ns - failed.time_ns > HOUR // 12
                if failed.value is Condition.BREAKDOWN and long and CALENDAR.busy(repaired.time_ns // MS):
                    after.append(condition_at(events, downstream, repaired.time_ns))
                    before.append(condition_at(events, upstream, repaired.time_ns))
    assert len(after) > 1
    assert Condition.PRODUCING not in after
    assert Condition.STARVED in after
    assert Condition.BLOCKED in before


def test_the_first_hour_of_the_default_seed_looks_like_a_factory() -> None:
    """OEE between 45 and 90 %, `cnc-03` the bad actor, and all that is to be shown happens."""
    plant, events = simulated(1.0)
    truth = plant.truth(SHIFT_START, SHIFT_START + HOUR)["machines"]
    oee = {machine: kpis["oee"] for machine, kpis in truth.items()}
    assert all(0.45 <= value <= 0.90 for value in oee.values()), oee
    assert min((machine for machine in oee if machine.startswith("cnc")), key=oee.__getitem__) == "cnc-03"
    shown = {condition for kpis in truth.values() for condition in kpis["seconds"]}
    assert shown == {"producing", "setup", "starved", "blocked", "stopped", "breakdown", "idle"}
    assert len({event.value for event in of(events, Signal.PRODUCT, "press-01")}) > 1
    assert sum(kpis["rework"] for kpis in truth.values()) > 0
    readings = [float(event.value) for event in of(events, Signal.ENERGY, "press-01")]
    assert sum(after < before for before, after in pairwise(readings)) == 1, "the press's meter rolls over"
    counts = [float(event.value) for event in of(events, Signal.GOOD, "labeller-01")]
    assert sum(after < before for before, after in pairwise(counts)) == 1, "the labeller's counter rolls over"


def test_a_quiet_time_has_no_event_and_news_from_every_meter() -> None:
    plant = DemoPlant(3, SHIFT_START)
    for minute in range(1, 30):
        last = plant.quiet_time(SHIFT_START + minute * HOUR // 60)
        events = plant.advance(last)
        assert last >= SHIFT_START + minute * HOUR // 60
        assert not events or events[-1].time_ns < last
        told = {event.machine: event.value for event in events if event.signal is Signal.ENERGY}
        assert all(told.get(reading.machine) != reading.value for reading in plant.readings(last))


def test_lines_have_room_between_all_stages() -> None:
    assert len(MACHINES) >= 10
    for line in LINES:
        assert len(line.buffers) == len(line.stages) - 1


def test_the_calendar_knows_shifts_breaks_and_edges() -> None:
    calendar: ShiftCalendar = CALENDAR
    start = SHIFT_START // MS
    hour = HOUR // MS
    assert not calendar.staffed(start - 1)
    assert calendar.busy(start)
    assert calendar.next_edge(start) == start + 2 * hour
    assert calendar.staffed(start + 4 * hour)
    assert not calendar.busy(start + 4 * hour)
    assert list(calendar.busy_intervals(start + 3 * hour, start + 5 * hour)) == [
        (start + 3 * hour, start + 4 * hour),
        (start + 4 * hour + hour // 2, start + 5 * hour),
    ]
    assert sum(e - s for s, e in calendar.busy_intervals(start, start + 24 * hour)) == (16 * 60 - 80) * 60_000
