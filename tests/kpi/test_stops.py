"""What a stop is, told by its whole length, by what surrounds it, and by the reason that is given in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import time
from math import isnan

import polars as pl
import pytest

from kpi.engine import Engine
from kpi.plant import Calendar, Machine, Plant, Shift, Signal, State, StateModel, StateRule
from tests.kpi.plants import EVERY_DAY, HOUR, MINUTE, SECOND, feed
from tests.kpi.test_engine import START, Table
from tests.kpi.twin import Sample

SAYS, REASON = 0, 1
RUN, STOP, DOWN, IDLE, SET_UP, GONE = (
    float(state) for state in (State.PRODUCING, State.STOPPED, State.BREAKDOWN, State.IDLE, State.SETUP, State.UNKNOWN)
)
LUNCH, MATERIAL, NOTE, NONE = 0.0, 1.0, 2.0, float("nan")


def machine(*, minor_stop: int | None = None, cycle_gap: int | None = None, reason_of_stop: bool = False) -> Machine:
    """One that says its state in so many words, planned from 06:00 to 14:00; lengths in seconds."""
    model = StateModel(("s",), tuple(StateRule({"s": frozenset({float(s)})}, s) for s in State))
    return Machine(
        "m", "m", "line", "area", Calendar("UTC", (Shift("day", time(6), time(14), EVERY_DAY),)), model,
        (Signal(SAYS),),
        minor_stop_ns=None if minor_stop is None else minor_stop * SECOND,
        cycle_gap_ns=None if cycle_gap is None else cycle_gap * SECOND,
        reason=Signal(REASON), reasons={int(LUNCH): State.PLANNED_STOP, int(MATERIAL): State.STARVED},
        reason_of_stop=reason_of_stop,
    )  # fmt: skip


def lived(of: Machine, end: int, state: Mapping[int, float], reason: Mapping[int, float] | None = None) -> pl.DataFrame:
    """Rows as they stand when an engine has closed each minute as it came. end, keys: seconds since 06:00."""
    said = [(SAYS, state), (REASON, reason or {})]
    stream = [
        Sample(tag, START + at * SECOND, value, 2 if isnan(value) else 0)
        for tag, line in said
        for at, value in line.items()
    ]
    engine, table = Engine(Plant("site", "UTC", (of,)), horizon_ns=24 * HOUR), Table()
    for now in range(MINUTE, end * SECOND + 1, MINUTE):
        feed(engine, [s for s in stream if now - MINUTE <= s.time - START < now])
        table.take(engine.advance(START + now))
    rows = [row for rows in table.rows.values() for row in rows]
    return pl.DataFrame(rows)


def seconds(rows: pl.DataFrame, *elements: str) -> list[int]:
    return [int(rows[element].sum()) // SECOND for element in elements]


@pytest.mark.parametrize(
    ("state", "producing", "adet"),
    [
        pytest.param({0: RUN, 50: STOP, 60: RUN}, 600, 0, id="between two cycles: production"),
        pytest.param({0: RUN, 55: STOP, 65: RUN}, 600, 0, id="over the edge of a minute"),
        pytest.param({0: RUN, 50: STOP, 80: RUN}, 570, 30, id="as long as the gap: a stop"),
        pytest.param({0: RUN, 50: STOP, 600: RUN}, 50, 550, id="and one that turns out long, from its beginning"),
        pytest.param({0: RUN, 50: STOP, 60: IDLE}, 50, 10, id="before an idle time it is none"),
        pytest.param({0: RUN, 55: STOP, 65: SET_UP}, 55, 10, id="nor before a setup, told a minute later"),
        pytest.param({0: SET_UP, 50: STOP, 60: RUN}, 540, 10, id="nor after one"),
        pytest.param({0: RUN, 50: DOWN, 60: RUN}, 590, 10, id="a fault never is"),
        pytest.param({0: RUN, 50: STOP, 55: DOWN, 60: RUN}, 590, 10, id="nor a stop with one in it"),
        pytest.param({0: RUN, 50: STOP, 55: GONE, 57: STOP, 60: RUN}, 590, 8, id="nor one with a hole in it"),
    ],
)
def test_a_short_pause_within_production_is_part_of_the_cycle(
    state: Mapping[int, float], producing: int, adet: int
) -> None:
    assert seconds(lived(machine(cycle_gap=30), 600, state), "apt", "adet") == [producing, adet]


def test_a_machine_that_stands_between_cycles_all_day_is_available() -> None:
    """Fifty seconds of work and ten of handling in every minute; one time the handling takes two minutes."""
    state = {at: RUN if at % 60 == 0 else STOP for base in range(0, 3000, 60) for at in (base, base + 50)}
    del state[1200], state[1250]
    rows = lived(machine(cycle_gap=20, minor_stop=300), 3000, state)
    assert seconds(rows, "apt", "stopped", "breakdown") == [3000 - 70, 70, 0]


@pytest.mark.parametrize(
    ("state", "stopped", "breakdown", "unknown"),
    [
        pytest.param({0: RUN, 60: DOWN, 120: GONE, 130: DOWN, 540: RUN}, 0, 470, 10, id="one stop, and a long one"),
        pytest.param({0: RUN, 60: DOWN, 80: GONE, 90: DOWN, 120: RUN}, 50, 0, 10, id="one stop, and a short one"),
        pytest.param({0: RUN, 60: DOWN, 80: GONE, 400: DOWN, 420: RUN}, 40, 0, 320, id="two, after too long a hole"),
        pytest.param({0: RUN, 60: DOWN, 80: GONE, 350: DOWN, 370: RUN}, 40, 0, 270, id="short without its hole"),
        pytest.param({0: RUN, 60: DOWN, 80: GONE, 90: RUN, 100: DOWN, 370: RUN}, 290, 0, 10, id="work ends a stop"),
    ],
)
def test_missing_data_do_not_end_a_stop(state: Mapping[int, float], stopped: int, breakdown: int, unknown: int) -> None:
    rows = lived(machine(minor_stop=300), 600, state)
    assert seconds(rows, "stopped", "breakdown", "unknown") == [stopped, breakdown, unknown]


@pytest.mark.parametrize(
    ("state", "stopped", "breakdown", "failures"),
    [
        pytest.param({0: RUN, 600: STOP, 1820: RUN}, 20, 0, 0, id="twenty seconds late after the break"),
        pytest.param({0: RUN, 600: STOP, 2100: RUN}, 0, 300, 1, id="as late as the limit: all that it cost is one"),
        pytest.param({0: RUN, 540: STOP, 1850: RUN}, 110, 0, 0, id="early into the break and late out of it"),
        pytest.param({0: RUN, 3590: STOP, 23 * 3600 + 3630: RUN}, 40, 0, 0, id="over the night"),
        pytest.param({0: RUN, 3590: STOP, 23 * 3600 + 4000: RUN}, 0, 410, 1, id="over the night, and long"),
    ],
)
def test_a_stop_is_minor_by_the_planned_time_that_it_costs(
    state: Mapping[int, float], stopped: int, breakdown: int, failures: int
) -> None:
    """Planned from 06:00 to 07:00 with a break from 06:10 to 06:30, every day."""
    shift = Shift("day", time(6), time(7), EVERY_DAY, ((time(6, 10), time(6, 30)),))
    of = replace(machine(minor_stop=300), calendar=Calendar("UTC", (shift,)))
    rows = lived(of, max(state) // 60 * 60 + 600, state)
    assert seconds(rows, "stopped", "breakdown") == [stopped, breakdown]
    assert rows["fe"].sum() == failures


@pytest.mark.parametrize(
    ("reason", "planned", "starved", "breakdown"),
    [
        pytest.param({}, 0, 0, 540, id="none"),
        pytest.param({290: MATERIAL}, 0, 240, 300, id="given late: of all of its stop, and of no other"),
        pytest.param({55: MATERIAL}, 0, 240, 300, id="given just before the stop"),
        pytest.param({30: MATERIAL}, 0, 0, 540, id="given long before: of no stop"),
        pytest.param({400: MATERIAL}, 0, 0, 540, id="given while it works: of no stop"),
        pytest.param({299: MATERIAL, 870: LUNCH}, 300, 240, 0, id="each stop has its own"),
        pytest.param({100: LUNCH, 200: MATERIAL}, 0, 240, 300, id="two in one stop: the last, which corrects"),
        pytest.param({100: MATERIAL, 200: NONE}, 0, 240, 300, id="emptied later: it was given all the same"),
        pytest.param({100: MATERIAL, 200: NOTE}, 0, 240, 300, id="one without a meaning takes none away"),
        pytest.param({100: MATERIAL, 101: NONE}, 0, 240, 300, id="a button that was pressed for a second"),
        pytest.param({70: NONE, 200: MATERIAL}, 0, 240, 300, id="emptied first, given later"),
        pytest.param({100: MATERIAL, 700: MATERIAL}, 0, 540, 0, id="the same given again"),
        pytest.param({100: NOTE}, 0, 0, 540, id="one without a meaning"),
    ],
)
def test_a_reason_is_of_the_stop_in_which_it_is_given_and_of_all_of_that(
    reason: Mapping[int, float], planned: int, starved: int, breakdown: int
) -> None:
    """Two stops, from 60 s to 300 s and from 600 s to 900 s; minutes were said before the reason came."""
    state = {0: RUN, 60: DOWN, 300: RUN, 600: DOWN, 900: RUN}
    rows = lived(machine(reason_of_stop=True), 1200, state, reason)
    assert seconds(rows, "planned_downtime", "starved", "breakdown") == [planned, starved, breakdown]


def test_a_reason_that_holds_until_it_changes_is_of_later_stops_too() -> None:
    state = {0: RUN, 60: DOWN, 300: RUN, 600: DOWN, 900: RUN}
    rows = lived(machine(), 1200, state, {180: MATERIAL})
    assert seconds(rows, "starved", "breakdown") == [120 + 300, 120]


def test_a_reason_that_is_given_after_hours_restates_the_hours() -> None:
    rows = lived(machine(reason_of_stop=True), 3 * 3600, {0: RUN, 60: DOWN, 10_000: RUN}, {9_000: LUNCH})
    assert seconds(rows, "planned_downtime", "breakdown", "fe") == [9_940, 0, 0]


def test_a_reason_that_was_emptied_is_still_that_of_its_stop_when_the_minutes_after_it_are_folded_again() -> None:
    """Two stops in three minutes; a sample of the second, which says nothing new, comes late."""
    of = machine(reason_of_stop=True)
    said = [Sample(SAYS, START + at * SECOND, state) for at, state in ((0, RUN), (10, DOWN), (90, RUN), (100, DOWN))]
    given = [(20, MATERIAL, 0), (40, NONE, 2), (80, LUNCH, 0)]
    said += [Sample(REASON, START + at * SECOND, value, quality) for at, value, quality in given]
    late = Sample(SAYS, START + 130 * SECOND, DOWN)

    def table(*parts: list[Sample]) -> Table:
        engine, found = Engine(Plant("site", "UTC", (of,)), horizon_ns=HOUR), Table()
        for part in parts:
            feed(engine, part)
            for minute in range(1, 5) if part is parts[0] else (4,):
                found.take(engine.advance(START + minute * MINUTE))
        return found

    assert table(said, [late]).by_key() == table([*said, late]).by_key()


def test_a_reason_of_a_standstill_that_began_before_all_that_can_be_corrected_is_told() -> None:
    engine = Engine(Plant("site", "UTC", (machine(reason_of_stop=True),)), horizon_ns=HOUR)
    feed(engine, [Sample(SAYS, START, RUN), Sample(SAYS, START + MINUTE, DOWN)])
    for minute in range(1, 181):
        engine.advance(START + minute * MINUTE)
    feed(engine, [Sample(REASON, START + 3 * HOUR, LUNCH)])
    update = engine.advance(START + 3 * HOUR + MINUTE)
    assert update.decisions["reason_beyond_horizon"] == 1
    assert 60 <= len(update.elements.filter(pl.col("planned_downtime") > 0)) <= 62


@pytest.mark.parametrize("hours", [20, 40])
def test_a_past_that_is_folded_again_keeps_the_reason_of_a_standstill_however_long(hours: int) -> None:
    """Its first rows are said before the reason is reached, where it is a long way off."""
    of = Plant("site", "UTC", (machine(reason_of_stop=True),))
    end = hours * HOUR + 30 * MINUTE
    said = [(SAYS, 0, RUN), (SAYS, 60, DOWN), (REASON, hours * 3600, LUNCH), (SAYS, hours * 3600 + 600, RUN)]
    stream = [Sample(tag, START + at * SECOND, value) for tag, at, value in said]
    engine, table, archive = Engine(of, horizon_ns=72 * HOUR, memory_ns=HOUR), Table(), dict[int, bytes]()
    for now in range(HOUR // 2, end + 1, HOUR // 2):
        feed(engine, [s for s in stream if now - HOUR // 2 <= s.time - START < now])
        update = engine.advance(START + now, archive)
        table.take(update)
        archive.update(update.archive)
    live = table.by_key()
    again = Engine.restore(of, engine.checkpoint(), horizon_ns=72 * HOUR, memory_ns=HOUR)
    feed(again, [s for s in stream if s.time >= engine.keep_from])
    for update in again.restate(archive):
        table.take(update)
        archive.update(update.archive)
    assert table.by_key() == live
    assert sum(row["breakdown"] for row in live.values()) == 0
