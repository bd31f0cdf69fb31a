"""Counters: what is counted between readings, on traces that real counters have shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi.columns import Columns
from kpi.counters import Counting, Verdict, deltas
from kpi.plant import Counter
from tests.kpi.twin import Held, Sample, steps

UP, ROLL, RESET, BACK = Verdict.COUNTED_ON, Verdict.ROLLOVER, Verdict.RESET, Verdict.STEP_BACK
FALL, OUT = Verdict.FALL, Verdict.EXCURSION


@pytest.mark.parametrize(
    ("trace", "modulus", "added", "verdicts"),
    [
        pytest.param([5, 5, 7, 12], None, [0, 0, 2, 5], [UP] * 4, id="counts up"),
        pytest.param([998, 999, 1, 3], 1000, [0, 1, 2, 2], [UP, UP, ROLL, UP], id="rolls over"),
        pytest.param([998, 999, 1, 3], None, [0, 1, 0, 3], [UP, UP, FALL, RESET], id="no modulus: a reset"),
        pytest.param([400, 3, 5, 6], 1000, [0, 0, 5, 1], [UP, FALL, RESET, UP], id="reset far from the modulus"),
        pytest.param([100, 98, 99, 100, 101], None, [0, 0, 0, 0, 1], [UP, BACK, BACK, UP, UP], id="old readings again"),
        pytest.param([100, 0, 100, 101], None, [0, 0, 0, 1], [UP, FALL, OUT, UP], id="one reading of zero"),
        pytest.param([7], 1000, [0], [UP], id="one reading is the base"),
        pytest.param(
            [500, 510, 480, 490, 500, 510, 512],
            None,
            [0, 10, 0, 0, 0, 0, 2],
            [UP, UP, BACK, BACK, BACK, UP, UP],
            id="a gateway replays its buffer: nothing twice",
        ),
        pytest.param(
            [900, 990, 5, 940, 7, 8],
            1000,
            [0, 90, 15, 935, 0, 68],
            [UP, UP, ROLL, UP, FALL, ROLL],
            id="rolls over twice",
        ),
        pytest.param([998, 999, 0, 1], 1000, [0, 1, 1, 1], [UP, UP, ROLL, UP], id="rolls over to exactly zero"),
        pytest.param(
            [999, 498, 501], 1000, [0, 0, 502], [UP, FALL, ROLL], id="less than half the modulus is a rollover"
        ),
        pytest.param([999, 499, 501], 1000, [0, 0, 501], [UP, FALL, RESET], id="half the modulus is none"),
        pytest.param([100, 50], None, [0, 0], [UP, BACK], id="to half is a step back"),
        pytest.param([100, 49, 50], None, [0, 0, 50], [UP, FALL, RESET], id="below half is a reset, once it counts on"),
        pytest.param([10, 0, 0, 0, 3], None, [0, 0, 0, 0, 3], [UP, FALL, UP, UP, RESET], id="a reset and standstill"),
        pytest.param([5, 5, 5, 5], None, [0, 0, 0, 0], [UP] * 4, id="stands still"),
        pytest.param([1.5, 2.25, 2.25, 3.0], None, [0, 0.75, 0, 0.75], [UP] * 4, id="metres"),
        pytest.param([65_534, 3], 65_536, [0, 5], [UP, ROLL], id="16 bits"),
        pytest.param([4_294_967_290, 4], 4_294_967_296, [0, 10], [UP, ROLL], id="32 bits"),
        pytest.param(
            [32_760, -32_760, -32_758, -32_755], None, [0, 0, 0, 3], [UP, FALL, RESET, UP], id="a signed overflow"
        ),
        pytest.param([32_760, -32_760], 65_536, [0, 16], [UP, ROLL], id="and one whose modulus is known"),
        pytest.param([-5, -9, -5, 2], None, [0, 0, 0, 7], [UP, BACK, UP, UP], id="below zero nothing is a reset"),
        pytest.param([1_234_567, 0, 1_234_568], None, [0, 0, 1], [UP, FALL, OUT], id="a register read as nothing"),
        pytest.param([1_234_567.5, 0, 1_234_568.25], None, [0, 0, 0.75], [UP, FALL, OUT], id="a meter read as nothing"),
        pytest.param(
            [5_000, 0, 0, 0, 5_001, 5_002], None, [0, 0, 0, 0, 1, 1], [UP, FALL, UP, UP, OUT, UP], id="for a while"
        ),
        pytest.param([65_000, 0, 65_001], 65_536, [0, 536, 0], [UP, ROLL, BACK], id="as nothing, near its modulus"),
        pytest.param(
            [65_000, 0, 65_001, 65_535, 0, 7],
            65_536,
            [0, 536, 0, 0, 0, 7],
            [UP, ROLL, BACK, BACK, UP, UP],
            id="as nothing near its modulus: the sum is right",
        ),
        pytest.param([40_000, 0, 40_002], 65_536, [0, 0, 2], [UP, FALL, OUT], id="as nothing, far from its modulus"),
        pytest.param(
            [998, 3, 999, 5], 1000, [0, 5, 0, 2], [UP, ROLL, BACK, UP], id="an old reading after it rolled over"
        ),
        pytest.param([1000, 5, 0, 1001], None, [0, 0, 0, 1], [UP, FALL, FALL, OUT], id="two stray readings that fall"),
        pytest.param([1000, 5, 2, 4, 5], None, [0, 0, 0, 4, 1], [UP, FALL, FALL, RESET, UP], id="reset twice"),
        pytest.param([1000, 0, 950, 1001], None, [0, 0, 0, 1], [UP, FALL, OUT, UP], id="back to about its height"),
        pytest.param([1000, 0, 950, 950], None, [0, 0, 0, 0], [UP, FALL, OUT, BACK], id="and stands there"),
        pytest.param([100, 0, 60, 100], None, [0, 0, 60, 40], [UP, FALL, RESET, UP], id="a reset that is read seldom"),
        pytest.param(
            [1, 0, 1, 0, 0, 1], None, [0, 0, 1, 0, 0, 1], [UP, FALL, RESET, FALL, UP, RESET], id="of one piece"
        ),
        pytest.param([1, 0, 4], None, [0, 0, 4], [UP, FALL, RESET], id="a reset of one piece, read seldom"),
        pytest.param([10, 0, 10, 11], None, [0, 0, 0, 1], [UP, FALL, OUT, UP], id="from ten on it may be a stray one"),
        pytest.param([2, 0, 1, 2, 3], None, [0, 0, 1, 1, 1], [UP, FALL, RESET, UP, UP], id="a reset of little"),
        pytest.param([990, 0, 5], 1000, [0, 10, 5], [UP, ROLL, UP], id="a rollover is believed at once"),
    ],
)
def test_traces(trace: list[float], modulus: float | None, added: list[float], verdicts: list[Verdict]) -> None:
    n = len(trace)
    readings = Columns(
        np.zeros(n, np.int32), np.arange(n, dtype=np.int64), np.array(trace, float), np.zeros(n, np.uint8)
    )
    found = deltas(readings, Counting.of([Counter(0, modulus)], 1), 0)
    assert found.delta.tolist() == added
    assert [Verdict(v) for v in found.verdict] == verdicts


def test_each_tag_has_its_own_base_and_its_own_falls() -> None:
    value = np.array([9.0, 1.0, 5.0, 6.0, 3.0, 3.0, 9.0, 1.0, 2.0])
    tag = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3], np.int32)
    found = deltas(Columns(tag, np.arange(9), value, np.zeros(9, np.uint8)), Counting.of([Counter(0, 9.0)], 4), 0)
    assert found.delta.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert found.highest.tolist() == [9, 9, 5, 6, 3, 3, 9, 9, 2]
    assert found.stands_on.tolist() == [-1, 0, -1, -1, -1, -1, -1, 6, -1]


def counted(values: list[float], seconds: list[int], counter: Counter, start: int = 0) -> list[float]:
    """What each of one tag's readings adds; times in seconds."""
    time = np.array(seconds, np.int64) * 1_000_000_000
    readings = Columns(np.zeros(len(time), np.int32), time, np.array(values), np.zeros(len(time), np.uint8))
    return [float(d) for d in deltas(readings, Counting.of([counter], 1), start).delta]


def test_a_rise_that_no_machine_can_make_is_not_counted_and_counts_on_from_there() -> None:
    counter = Counter(0, most_per_second=0.5)
    assert counted([10, 12, 90_000, 90_001], [0, 4, 8, 12], counter) == [0, 2, 0, 1]


def test_a_rise_in_one_go_is_believed_up_to_what_may_come_at_once() -> None:
    counter = Counter(0, most_per_second=0.5, most_at_once=500)
    assert counted([10, 400, 901, 70_000], [0, 4, 8, 12], counter) == [0, 390, 501, 0]


def test_a_slow_rise_over_a_long_gap_is_believed() -> None:
    assert counted([10, 500], [0, 3600], Counter(0, most_per_second=0.5)) == [0, 490]


def test_every_event_is_so_many_pieces_and_those_before_the_stretch_were_counted() -> None:
    assert counted([1, 1, 4, 1], [0, 10, 11, 12], Counter(0, event=True), start=5_000_000_000) == [0, 1, 4, 1]


def test_old_readings_that_look_like_a_reset_add_nothing_where_the_most_is_known() -> None:
    """Without it they, and the way back, are counted: nothing tells them from a reset and a quick machine."""
    trace, times = [1000.0, 1001.0, 400.0, 401.0, 1002.0, 1003.0], [0, 10, 20, 30, 40, 50]
    assert counted(trace, times, Counter(0, most_per_second=0.5)) == [0, 1, 0, 0, 0, 1]
    assert counted(trace, times, Counter(0)) == [0, 1, 0, 401, 601, 1]


def test_what_was_made_during_an_excursion_is_believed_by_the_time_it_took() -> None:
    assert counted([1000, 0, 0, 1030, 1031], [0, 2, 3598, 3600, 3602], Counter(0, most_per_second=0.01)) == [
        0,
        0,
        0,
        30,
        1,
    ]


LOWERED = Verdict.LOWERED


@pytest.mark.parametrize(
    ("trace", "minutes", "added", "verdicts"),
    [
        pytest.param(
            [1000, 600, 601, 615, 616], [0, 1, 2, 16, 17], [0, 0, 0, 15, 1], [UP, BACK, BACK, LOWERED, UP],
            id="a counter goes on with an earlier order: believed after a quarter of an hour, nothing lost",
        ),
        pytest.param(
            [1000, 600, 700, 1000, 1001], [0, 1, 2, 3, 4], [0, 0, 0, 0, 1], [UP, BACK, BACK, UP, UP],
            id="a buffer that is sent again is over sooner",
        ),
        pytest.param(
            [1000, 990, 995, 1005], [0, 1, 8, 15], [0, 0, 0, 5], [UP, BACK, BACK, UP],
            id="a count that was corrected takes back what was counted too much",
        ),
        pytest.param(
            [1000, 600, 600, 601], [0, 1, 60, 61], [0, 0, 0, 1], [UP, BACK, BACK, LOWERED], id="after standing still"
        ),
        pytest.param(
            [1000, 800, 600, 601, 616], [0, 1, 15, 17, 31], [0, 0, 0, 0, 16], [UP, BACK, BACK, BACK, LOWERED],
            id="from the last step back on",
        ),
        pytest.param(
            [1000, 600, 620, 300, 301, 302], [0, 1, 30, 31, 32, 33], [0, 0, 20, 0, 301, 1],
            [UP, BACK, LOWERED, FALL, RESET, UP], id="then a reset",
        ),
        pytest.param(
            [1000, 0, 950, 951, 970], [0, 1, 2, 3, 18], [0, 0, 0, 0, 20], [UP, FALL, OUT, BACK, LOWERED],
            id="back to about its height, and on from there",
        ),
    ],
)  # fmt: skip
def test_a_step_back_that_stays_is_where_it_counts_on_from(
    trace: list[float], minutes: list[int], added: list[float], verdicts: list[Verdict]
) -> None:
    time = np.array(minutes, np.int64) * 60 * 10**9
    readings = Columns(np.zeros(len(time), np.int32), time, np.array(trace, float), np.zeros(len(time), np.uint8))
    found = deltas(readings, Counting.of([Counter(0)], 1), 0)
    assert found.delta.tolist() == added
    assert [Verdict(v) for v in found.verdict] == verdicts


def traces(least: int) -> st.SearchStrategy[list[tuple[float, int]]]:
    """Readings and how many minutes each comes after the one before."""
    values = st.sampled_from([0, 1, 3, 9, 9.5, 40, 45, 50, 60, 61, 70, 90, 91, 94, 96, 99, 100, 101, -2]).map(float)
    return st.lists(st.tuples(values, st.sampled_from([1, 2, 8, 15])), min_size=least, max_size=12)


@settings(max_examples=500, deadline=None)
@given(trace=traces(1), modulus=st.sampled_from([None, 102.0]), most=st.sampled_from([None, 0.02]))
def test_what_readings_add_is_what_the_slow_twin_says(
    trace: list[tuple[float, int]], modulus: float | None, most: float | None
) -> None:
    counter = Counter(0, modulus, most_per_second=most)
    time = np.cumsum([minutes for _, minutes in trace]) * 60 * 10**9
    value = np.array([x for x, _ in trace])
    found = deltas(
        Columns(np.zeros(len(time), np.int32), time, value, np.zeros(len(time), np.uint8)), Counting.of([counter], 1), 0
    )
    said = [Sample(0, int(t), float(x)) for t, x in zip(time, value, strict=True)]
    assert found.delta[1:].tolist() == [added for _, _, _, added in steps(counter, Held(said), 0)]


@settings(max_examples=500, deadline=None)
@given(
    said=traces(1),
    modulus=st.sampled_from([None, 102.0]),
    most=st.sampled_from([None, 0.02]),
    data=st.data(),
)
def test_what_is_carried_gives_what_the_whole_trace_gives(
    said: list[tuple[float, int]], modulus: float | None, most: float | None, data: st.DataObject
) -> None:
    """Cut anywhere, and judged on from the last reading, or from it, the one that it stands on, and what that does."""
    trace = [x for x, _ in said]
    n, counting = len(trace), Counting.of([Counter(0, modulus, most_per_second=most)], 1)
    time = np.cumsum([minutes for _, minutes in said]) * 60 * 10**9
    whole = Columns(np.zeros(n, np.int32), time, np.array(trace, float), np.zeros(n, np.uint8))
    found = deltas(whole, counting, 0)
    cut = data.draw(st.integers(1, n))
    carried = [cut - 1]
    while found.stands_on[carried[0]] >= 0:
        carried.insert(0, int(found.stands_on[carried[0]]))
    assert len(carried) <= 3
    value = [float(found.highest[carried[0]]), *(trace[k] for k in carried[1:])]
    held = Columns(np.zeros(len(value), np.int32), time[carried], np.array(value), np.zeros(len(value), np.uint8))
    again = deltas(Columns.concat([held, whole.take(slice(cut, n))]), counting, int(time[cut - 1]) + 1)
    for name in ("delta", "highest", "verdict"):
        assert getattr(again, name)[len(value) :].tolist() == getattr(found, name)[cut:].tolist()
    assert not again.delta[: len(value)].any()
