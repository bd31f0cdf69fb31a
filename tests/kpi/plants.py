"""A small plant with one machine of every kind, and streams of samples that could come from it or worse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cache
from math import isnan
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from kpi.engine import Engine
from kpi.plant import (
    Calendar,
    Carrier,
    Characteristic,
    Counter,
    EnergyFactor,
    Machine,
    Plant,
    Quantity,
    Shift,
    Signal,
    State,
    StateModel,
    StateRule,
    Switch,
)
from tests.kpi.twin import Sample

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
LINK, STATE_A, GOOD_A, SCRAP_A, PRODUCT_A, ENERGY_A = 0, 1, 2, 3, 4, 5
ITEM_B, MODE_B, TOTAL_B, GOOD_B, POWER_B = 6, 7, 8, 9, 10
STATUS_C, FIRST_C, INSPECTED_C = 11, 12, 13
REASON_A, GAS_A, CURRENT_D, PIECE_D, SCRAP_D = 14, 15, 16, 17, 18
WIDTH_D, DEPTH_D = 19, 20
STRAY, RESET = -1.0, -2.0
"""In place of what a counter counts: it is read as nothing, or set back to nothing."""
EVERY_DAY = frozenset(range(7))


def ns(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """A UTC time as ns since the epoch."""
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * SECOND


def rule(state: State, **when: float | tuple[float, ...]) -> StateRule:
    """A state rule from names and values."""
    return StateRule({n: frozenset(v) if isinstance(v, tuple) else frozenset({v}) for n, v in when.items()}, state)


ONE_SIGNAL = StateModel(
    ("run",),
    (
        rule(State.PRODUCING, run=1),
        rule(State.BREAKDOWN, run=2),
        rule(State.SETUP, run=3),
        rule(State.IDLE, run=0),
        rule(State.OFF, run=4),
        rule(State.STOPPED, run=5),
    ),
)
TWO_SIGNALS = StateModel(
    ("item", "mode"),
    (
        rule(State.MAINTENANCE, mode=1),
        rule(State.PRODUCING, item=3, mode=3),
        rule(State.STARVED, item=2),
        rule(State.BREAKDOWN, item=1),
        rule(State.STOPPED, item=(0, 4), mode=3),
        rule(State.OFF, item=(0, 4)),
    ),
    last_sent={"mode": {"item": frozenset({0.0, 4.0})}},
)


@dataclass(frozen=True)
class Scene:
    """Where the plant is, the instant (ns) from which it is watched, and the shifts that are worked then.

    day: of a, b, d and f. night: of c and e. Shorter planned stops and new energy factors come within minutes of the
    start, too.
    """

    timezone: str
    start: int
    day: tuple[Shift, ...]
    night: tuple[Shift, ...]


IN_JUNE = Scene(
    "Europe/Berlin",
    ns(2026, 6, 1, 6),  # 08:00 in Berlin: within the shift, two minutes before the break
    (Shift("day", time(6), time(14), EVERY_DAY, ((time(8, 2), time(8, 4)),)),),
    (Shift("night", time(22), time(8, 5), EVERY_DAY),),
)

CHANGES = {
    "Europe/Berlin, spring": ("Europe/Berlin", ns(2026, 3, 29, 1)),
    "Europe/Berlin, autumn": ("Europe/Berlin", ns(2026, 10, 25, 1)),
    "America/New_York, spring": ("America/New_York", ns(2026, 3, 8, 7)),
    "America/New_York, autumn": ("America/New_York", ns(2026, 11, 1, 6)),
    "Australia/Lord_Howe, spring": ("Australia/Lord_Howe", ns(2026, 10, 3, 15, 30)),  # by half an hour
    "Australia/Lord_Howe, autumn": ("Australia/Lord_Howe", ns(2026, 4, 4, 15)),
}
"""Zone, and an instant at which its clock is changed."""


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Minutes before, at or after a change of the clock, or in a zone without one, and shifts with edges in them.

    Edges and breaks are times that the clock shows in those minutes, would show had it not been changed, or would have
    shown had it been changed before: so they lie in the hour that comes twice, in that which never comes, or beside it.
    """
    timezone, change = draw(st.sampled_from([*CHANGES.values(), ("Asia/Kolkata", ns(2026, 6, 1, 2, 30))]))
    start = change + draw(st.sampled_from([-64, -34, -4, 0, 26, 56])) * MINUTE
    offsets = [
        datetime.fromtimestamp(instant // SECOND, ZoneInfo(timezone)).utcoffset() for instant in (change - 1, change)
    ]

    def shown(minute: int, offset: timedelta) -> time:
        return (datetime.fromtimestamp(start // SECOND + 60 * minute, UTC) + offset).time()

    near = st.builds(shown, st.integers(-1, 9), st.sampled_from([o for o in offsets if o is not None]))
    pauses = st.lists(st.tuples(near, near).filter(lambda p: p[0] < p[1]), max_size=2).map(tuple)
    meet = draw(near)
    return Scene(
        timezone,
        start,
        (
            Shift("late", time(18), meet, EVERY_DAY, draw(pauses)),
            Shift("early", meet, time(12), EVERY_DAY, draw(pauses)),
        ),
        (Shift("night", time(22), draw(near), EVERY_DAY, draw(pauses)),),
    )


@cache
def plant(timezone: str = "Europe/Berlin") -> Plant:
    """The plant of June, by the clock of a zone."""
    return plant_in(replace(IN_JUNE, timezone=timezone))


def plant_in(scene: Scene) -> Plant:
    """Six machines.

    a: meters, products, reasons, minor stops. b: two state signals, one of which may count as it was last sent, power,
    overtime apart. c: stale after 90 s and no link. d: switched by current, pieces as events, a planned stop, planned
    maintenance. e: b's counter of all pieces and no other, maintenance beyond the shift. f: sets up, overtime apart,
    scrap from b's two counters, reasons of one stop. a, b, d, e, f:
    counters that may be stuck.
    """
    calendar, night = (Calendar(scene.timezone, shifts) for shifts in (scene.day, scene.night))
    a = Machine(
        "a", "A", "one", "north", calendar, ONE_SIGNAL, (Signal(STATE_A, LINK, 40 * SECOND),),
        counters={Quantity.GOOD: Counter(GOOD_A, 1000.0), Quantity.SCRAP: Counter(SCRAP_A)},
        product=Signal(PRODUCT_A), ideal_ns={0: 5 * SECOND, 1: 7 * SECOND}, energy=Counter(ENERGY_A, 100.0),
        minor_stop_ns=75 * SECOND, stuck_after_ns=80 * SECOND, reason=Signal(REASON_A), cycle_gap_ns=25 * SECOND,
        media={Carrier.GAS: Counter(GAS_A)},
        reasons={0: State.PLANNED_STOP, 1: State.STARVED, 2: State.PLANNED_MAINTENANCE},
    )  # fmt: skip
    b = Machine(
        "b", "B", "one", "north", calendar, TWO_SIGNALS,
        (Signal(ITEM_B, LINK, 40 * SECOND), Signal(MODE_B, LINK, 40 * SECOND, stale_after_ns=50 * SECOND)),
        counters={Quantity.TOTAL: Counter(TOTAL_B), Quantity.GOOD: Counter(GOOD_B)},
        default_ideal_ns=3 * SECOND, power=Signal(POWER_B), most_power_gap_ns=70 * SECOND, overtime_apart=True,
        stuck_after_ns=2 * MINUTE,
    )  # fmt: skip
    c = Machine(
        "c", "C", "two", "north", night, ONE_SIGNAL, (Signal(STATUS_C, None, stale_after_ns=90 * SECOND),),
        counters={Quantity.FIRST_PASS: Counter(FIRST_C), Quantity.INSPECTED: Counter(INSPECTED_C)},
        minor_stop_ns=2 * MINUTE,
    )  # fmt: skip
    minutes = [scene.start + minute * MINUTE for minute in range(7)]
    stops = ((minutes[1], minutes[3]), (minutes[5], minutes[6]))
    beyond = ((minutes[4], minutes[6] + 30 * SECOND),)
    d = Machine(
        "d", "D", "two", "north", replace(calendar, planned_stops=stops, maintenance=stops[1:]), ONE_SIGNAL,
        (Signal(CURRENT_D, LINK, 40 * SECOND, switch=Switch(on=5.0, off=2.0)),),
        counters={Quantity.GOOD: Counter(PIECE_D, event=True), Quantity.SCRAP: Counter(SCRAP_D, most_per_second=0.2)},
        default_ideal_ns=SECOND, stuck_after_ns=MINUTE,
        characteristics=(
            Characteristic("width", WIDTH_D, 9.9, 10.1, 10.0), Characteristic("depth", DEPTH_D, None, 2.0),
        ),
    )  # fmt: skip
    e = Machine(
        "e", "E", "two", "north", replace(night, planned_stops=beyond, maintenance=beyond), ONE_SIGNAL,
        (Signal(STATE_A, LINK, 40 * SECOND),),
        counters={Quantity.TOTAL: Counter(TOTAL_B)}, default_ideal_ns=2 * SECOND, stuck_after_ns=61 * SECOND,
    )  # fmt: skip
    f = replace(
        e, id="f", name="F", calendar=calendar, overtime_apart=True, minor_stop_ns=MINUTE,
        counters={Quantity.TOTAL: Counter(TOTAL_B), Quantity.GOOD: Counter(GOOD_B)},
        reason=Signal(REASON_A), reasons={0: State.STARVED, 1: State.PLANNED_STOP, 3: State.SETUP}, reason_of_stop=True,
    )  # fmt: skip
    factors = (
        EnergyFactor(None, 0, 0.1229, 0.5366), EnergyFactor(None, minutes[3], 0.1229, 0.5306),
        EnergyFactor(Carrier.GAS, minutes[4], 1.33, 2.1),
    )  # fmt: skip
    return Plant("works", scene.timezone, (a, b, c, d, e, f), factors)


def samples_from(start: int, length: int) -> st.SearchStrategy[list[Sample]]:
    """Samples of every tag within [start − 5 min, start + length), in any order, some of them bad, equal or odd."""
    states = st.sampled_from([0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 9.0])
    counts = st.one_of(
        st.integers(0, 30).map(float), st.integers(900, 999).map(float), st.sampled_from([0.5, 2.25, -3.0])
    )
    values = {
        LINK: st.sampled_from([1.0, 1.0, 1.0, 0.0]),
        **dict.fromkeys((STATE_A, ITEM_B, MODE_B, STATUS_C), states),
        **dict.fromkeys((GOOD_A, SCRAP_A, SCRAP_D, TOTAL_B, GOOD_B, FIRST_C, INSPECTED_C), counts),
        PRODUCT_A: st.sampled_from([0.0, 1.0, 2.0]),
        ENERGY_A: st.floats(0, 100, width=32),
        GAS_A: st.floats(0, 100, width=32),
        REASON_A: st.sampled_from([0.0, 1.0, 2.0, 3.0]),
        CURRENT_D: st.sampled_from([0.0, 2.0, 3.0, 5.0, 9.0]),
        WIDTH_D: st.floats(9.5, 10.5, width=32),
        DEPTH_D: st.floats(0, 3, width=32),
        PIECE_D: st.sampled_from([1.0, 1.0, 3.0]),
        POWER_B: st.floats(0, 50, width=32),
    }
    times = st.one_of(
        st.integers(-5 * 60, length // SECOND - 1).map(lambda s: start + s * SECOND),
        st.integers(-MINUTE, length - 1).map(lambda n: start + n),
    )
    quality = st.sampled_from([0, 0, 0, 0, 0, 1, 2])

    def sample(tag: int) -> st.SearchStrategy[Sample]:
        return st.builds(lambda t, v, q: Sample(tag, t, float("nan") if q == 2 else v, q), times, values[tag], quality)

    anything = st.lists(st.sampled_from(sorted(values)).flatmap(sample), max_size=60)
    return st.tuples(anything, plausible(start, length)).map(lambda two: [*two[0], *two[1]])


def plausible(start: int, length: int) -> st.SearchStrategy[list[Sample]]:
    """What a plant at work says: signs of life with a hole, machines that mostly produce, counters that mostly rise."""
    end = start + length

    def steps(
        tag: int, gaps: tuple[int, ...], values: st.SearchStrategy[float], up: bool
    ) -> st.SearchStrategy[list[Sample]]:
        def run(drawn: list[tuple[int, float]]) -> list[Sample]:
            time, count, found = start, 0.0, []
            for gap, value in drawn:
                count = 0.0 if value == RESET else count + value if up and value != STRAY else count if up else value
                found.append(Sample(tag, time, 0.0 if value == STRAY else count, 2 if isnan(count) else 0))
                time += gap * SECOND
            return [s for s in found if s.time < end]

        return st.lists(st.tuples(st.sampled_from(gaps), values), max_size=12).map(run)

    def beats(hole: tuple[int, int]) -> list[Sample]:
        times = range(start, end, 20 * SECOND)
        return [Sample(LINK, t, 1.0) for t in times if not hole[0] <= (t - start) // SECOND < hole[1]]

    holes = st.tuples(st.integers(0, length // SECOND), st.integers(0, length // SECOND))
    said = st.sampled_from([1.0, 1.0, 1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 5.0])
    items, modes = st.sampled_from([3.0, 0.0, 0.0, 2.0]), st.sampled_from([3.0, 2.0, float("nan"), float("nan")])
    counted = st.sampled_from([0.0, 1.0, 1.0, 2.0, 40.0, STRAY, RESET])
    slow, quick = (10, 20, 70, 130, 200), (5, 30, 90, 150)
    parts = [
        holes.map(beats),
        steps(STATE_A, slow, said, up=False),
        steps(ITEM_B, slow, items, up=False),
        steps(MODE_B, slow, modes, up=False),
        *(steps(tag, quick, counted, up=True) for tag in (GOOD_A, SCRAP_A, TOTAL_B, GOOD_B, ENERGY_A, GAS_A)),
        steps(CURRENT_D, slow, st.sampled_from([9.0, 9.0, 0.0]), up=False),
        steps(PIECE_D, quick, st.just(1.0), up=False),
    ]
    whole = st.tuples(*parts).map(lambda found: [s for part in found for s in part])
    return st.one_of(st.just([]), whole)


def values_of_tags() -> dict[int, list[float]]:
    """Tag → values it may have, of all tags but the link; none for those that count up."""
    states, codes, power = [0.0, 1.0, 2.0, 3.0, 5.0, 9.0], [0.0, 1.0, 2.0], [0.0, 2.5, 7.25]
    counting = (GOOD_A, SCRAP_A, SCRAP_D, TOTAL_B, GOOD_B, FIRST_C, INSPECTED_C, ENERGY_A, GAS_A)
    return {
        **dict.fromkeys((STATE_A, ITEM_B, MODE_B, STATUS_C), states),
        **{tag: [] for tag in counting},
        **dict.fromkeys((PRODUCT_A, REASON_A), codes),
        **dict.fromkeys((POWER_B, CURRENT_D), power),
        PIECE_D: [1.0, 2.0],
        WIDTH_D: [9.75, 10.0, 10.125],
        DEPTH_D: [1.5, 1.75],
    }


def feed(engine: Engine, samples: list[Sample]) -> None:
    """Samples into an engine, as columns."""
    engine.add(
        np.array([s.tag for s in samples], np.int32),
        np.array([s.time for s in samples], np.int64),
        np.array([s.value for s in samples], np.float64),
        np.array([s.quality for s in samples], np.uint8),
    )
