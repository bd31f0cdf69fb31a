"""The last good value of a signal counts on where others say that the machine is lost, however samples are cut."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.columns import Columns
from kpi.elements import ELEMENT_IDS
from kpi.engine import Engine
from kpi.last_sent import with_last_sent
from kpi.plant import State
from tests.kpi import twin
from tests.kpi.plants import HOUR, ITEM_B, LINK, MINUTE, MODE_B, SECOND, feed, ns, plant
from tests.kpi.twin import Sample

START = ns(2026, 6, 1, 6)
LENGTH = 5 * MINUTE
END = START + LENGTH
NAN = float("nan")
MACHINE_B = 1
LOST, EXECUTING, PROCESSING, SETUP = 0.0, 3.0, 3.0, 2.0
ALIVE = [Sample(LINK, at, 1.0) for at in range(START, END, 20 * SECOND)]


def sent(values: list[float], quality: list[int], start: int, first: int = 0) -> list[float]:
    """Values of one tag as they are carried; the first sample was taken at `first`."""
    count = len(values)
    samples = Columns(
        np.zeros(count, np.int32), np.arange(first, first + count), np.array(values), np.array(quality, np.uint8)
    )
    found: list[float] = with_last_sent(samples, np.array([True]), start).value.tolist()
    return found


def same(one: list[float], other: list[float]) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def test_a_sample_that_is_not_good_carries_the_last_good_value() -> None:
    assert same(sent([3, NAN, 7, 2], [0, 2, 1, 0], 0), [3, 3, 3, 2])
    assert same(sent([7, NAN, 2], [1, 2, 0], 0), [NAN, NAN, 2]), "before the first good one there is none"


def test_a_value_that_is_carried_counts_as_if_nothing_had_been_cut() -> None:
    """Every trace of four samples, cut at every place: what follows from the last sample alone is the same."""
    kinds = [(3.0, 0), (2.0, 0), (7.0, 1), (NAN, 2)]
    for trace in product(kinds, repeat=4):
        values, quality = [value for value, _ in trace], [q for _, q in trace]
        whole = sent(values, quality, 0)
        for cut in range(1, 4):
            rest = sent([whole[cut - 1], *values[cut:]], quality[cut - 1 :], cut, first=cut - 1)
            assert same(rest[1:], whole[cut:]), (trace, cut)


def test_other_tags_keep_their_values() -> None:
    samples = Columns(
        np.array([0, 0, 1, 1], np.int32), np.arange(4), np.array([3, 7, 3, 7.0]), np.array([0, 1, 0, 1], np.uint8)
    )
    assert with_last_sent(samples, np.array([False, True]), 0).value.tolist() == [3, 7, 3, 3]
    assert with_last_sent(samples, np.array([False, False]), 0) is samples


def states(samples: list[Sample], *, step: int = LENGTH) -> list[State]:
    """States of machine b, each once, in order of time; closed step by step."""
    fold = Engine(plant(), horizon_ns=HOUR)
    feed(fold, samples)
    parts = [fold.advance(at).intervals for at in range(START + step, END + 1, step)]
    found = [row["state"] for part in parts for row in part.to_dicts() if row["machine"] == MACHINE_B]
    return [State(state) for n, state in enumerate(found) if n == 0 or found[n - 1] != state]


def at(tag: int, second: int, value: float, quality: int = 0) -> Sample:
    return Sample(tag, START + second * SECOND, value, quality)


RUNS = [*ALIVE, at(ITEM_B, 0, EXECUTING), at(MODE_B, 0, PROCESSING)]


@pytest.mark.parametrize("step", [LENGTH, MINUTE])
def test_a_machine_that_is_lost_keeps_the_mode_in_which_it_was_lost(step: int) -> None:
    """A bad mode in every minute, and each minute closed on its own: none of them hides the last good one."""
    lost = [at(ITEM_B, 30, LOST), *(at(MODE_B, second, NAN, 2) for second in range(30, 290, 60))]
    assert states([*RUNS, *lost], step=step) == [State.PRODUCING, State.STOPPED]


def test_a_mode_that_went_stale_or_turned_uncertain_counts_as_it_was_sent() -> None:
    """It holds for 50 s."""
    assert states([*RUNS, at(ITEM_B, 40, LOST)]) == [State.PRODUCING, State.STOPPED]
    assert states([*RUNS, at(ITEM_B, 40, LOST), at(MODE_B, 40, 9.0, 1)]) == [State.PRODUCING, State.STOPPED]


def test_a_new_good_mode_takes_the_place_of_the_one_before() -> None:
    samples = [*RUNS, at(ITEM_B, 40, LOST), at(MODE_B, 60, NAN, 2), at(MODE_B, 90, SETUP), at(MODE_B, 100, NAN, 2)]
    assert states(samples) == [State.PRODUCING, State.STOPPED, State.OFF]


def test_a_bad_mode_is_not_known_while_the_item_says_anything_else() -> None:
    assert states([*RUNS, at(MODE_B, 40, NAN, 2)]) == [State.PRODUCING, State.UNKNOWN]


def test_a_mode_that_was_never_good_is_not_known() -> None:
    assert states([*ALIVE, at(ITEM_B, 0, LOST), at(MODE_B, 0, NAN, 2)]) == [State.UNKNOWN]


@pytest.mark.parametrize(
    "end", [at(ITEM_B, 90, NAN, 2), at(ITEM_B, 90, LOST, 1), at(LINK, 281, 0.0)], ids=["bad", "uncertain", "link down"]
)
def test_the_item_must_be_good_and_the_link_up(end: Sample) -> None:
    found = states([*RUNS, at(ITEM_B, 40, LOST), at(MODE_B, 40, NAN, 2), end])
    assert found == [State.PRODUCING, State.STOPPED, State.UNKNOWN]


def streams() -> st.SearchStrategy[list[Sample]]:
    """Item states and modes, half of the modes not good, some from before the start."""
    seconds = st.integers(-30, LENGTH // SECOND - 1)
    items = st.builds(
        at, st.just(ITEM_B), seconds, st.sampled_from([0.0, 0.0, 3.0, 4.0]), st.sampled_from([0, 0, 0, 2])
    )
    modes = st.builds(at, st.just(MODE_B), seconds, st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0, 0, 1, 2]))
    nothing = modes.map(lambda s: s._replace(value=NAN) if s.quality == 2 else s)
    return st.lists(st.one_of(items, nothing), min_size=2, max_size=14).map(lambda drawn: [*ALIVE, *drawn])


@settings(max_examples=200, deadline=None)
@given(samples=streams(), data=st.data())
def test_the_twin_agrees_whatever_the_order_the_cuts_and_the_restarts(
    samples: list[Sample], data: st.DataObject
) -> None:
    """A mode is carried over every edge of a block, put back by late samples, and packed into checkpoints."""
    expected = twin.table(plant(), samples, START, END)
    shuffled = data.draw(st.permutations(samples))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=3))), len(samples)]
    fold = Engine(plant(), horizon_ns=HOUR)
    feed(fold, [Sample(LINK, START, 1.0)])
    rows: dict[tuple[int, int], list[dict[str, int]]] = {}
    log: list[Sample] = [Sample(LINK, START, 1.0)]
    for n, (first, last) in enumerate(pairwise(edges)):
        feed(fold, shuffled[first:last])
        log += shuffled[first:last]
        final = n == len(edges) - 2
        update = fold.advance(END if final else START + data.draw(st.integers(0, LENGTH // MINUTE)) * MINUTE)
        for key in update.elements.select("machine", "time").unique().iter_rows():
            rows[key] = []
        for row in update.elements.to_dicts():
            rows[row["machine"], row["time"]].append(row)
        if not final and data.draw(st.booleans()):
            fold = Engine.restore(plant(), fold.checkpoint(), horizon_ns=HOUR)
            feed(fold, [s for s in log if s.time >= fold.keep_from])
    assert {
        (row["machine"], row["time"], row["shift_start"], row["product"]): {e: row[e] for e in ELEMENT_IDS}
        for minute in rows.values()
        for row in minute
    } == expected
