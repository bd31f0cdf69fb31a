"""Counters: what is counted between readings, on traces that real counters have shown."""

from __future__ import annotations

import numpy as np
import pytest

from kpi.columns import Columns
from kpi.counters import Counting, Verdict, deltas
from kpi.plant import Counter

UP, ROLL, RESET, BACK = Verdict.COUNTED_ON, Verdict.ROLLOVER, Verdict.RESET, Verdict.STEP_BACK


@pytest.mark.parametrize(
    ("trace", "modulus", "added", "verdicts"),
    [
        pytest.param([5, 5, 7, 12], None, [0, 0, 2, 5], [UP] * 4, id="counts up"),
        pytest.param([998, 999, 1, 3], 1000, [0, 1, 2, 2], [UP, UP, ROLL, UP], id="rolls over"),
        pytest.param([998, 999, 1, 3], None, [0, 1, 1, 2], [UP, UP, RESET, UP], id="no modulus: a reset"),
        pytest.param([400, 3, 5], 1000, [0, 3, 2], [UP, RESET, UP], id="reset far from the modulus"),
        pytest.param([100, 98, 99, 100, 101], None, [0, 0, 0, 0, 1], [UP, BACK, BACK, UP, UP], id="old readings again"),
        pytest.param([100, 0, 100, 101], None, [0, 0, 100, 1], [UP, RESET, UP, UP], id="reset to zero, then a jump"),
        pytest.param([7], 1000, [0], [UP], id="one reading is the base"),
        pytest.param(
            [500, 510, 480, 490, 500, 510, 512],
            None,
            [0, 10, 0, 0, 0, 0, 2],
            [UP, UP, BACK, BACK, BACK, UP, UP],
            id="a gateway replays its buffer: nothing twice",
        ),
        pytest.param(
            [900, 990, 5, 995, 7], 1000, [0, 90, 15, 990, 12], [UP, UP, ROLL, UP, ROLL], id="rolls over twice"
        ),
        pytest.param([998, 999, 0, 1], 1000, [0, 1, 1, 1], [UP, UP, ROLL, UP], id="rolls over to exactly zero"),
        pytest.param([999, 498], 1000, [0, 499], [UP, ROLL], id="less than half the modulus is a rollover"),
        pytest.param([999, 499], 1000, [0, 499], [UP, RESET], id="half the modulus is none"),
        pytest.param([100, 50], None, [0, 0], [UP, BACK], id="to half is a step back"),
        pytest.param([100, 49], None, [0, 49], [UP, RESET], id="below half is a reset"),
        pytest.param([10, 0, 0, 0, 3], None, [0, 0, 0, 0, 3], [UP, RESET, UP, UP, UP], id="a reset and standstill"),
        pytest.param([5, 5, 5, 5], None, [0, 0, 0, 0], [UP] * 4, id="stands still"),
        pytest.param([1.5, 2.25, 2.25, 3.0], None, [0, 0.75, 0, 0.75], [UP] * 4, id="metres"),
        pytest.param([65_534, 3], 65_536, [0, 5], [UP, ROLL], id="16 bits"),
        pytest.param([4_294_967_290, 4], 4_294_967_296, [0, 10], [UP, ROLL], id="32 bits"),
        pytest.param([32_760, -32_760, -32_758], None, [0, 0, 2], [UP, RESET, UP], id="a signed register overflows"),
        pytest.param([32_760, -32_760], 65_536, [0, 16], [UP, ROLL], id="and one whose modulus is known"),
        pytest.param([-5, -9, -5, 2], None, [0, 0, 0, 7], [UP, BACK, UP, UP], id="below zero nothing is a reset"),
    ],
)
def test_traces(trace: list[float], modulus: float | None, added: list[float], verdicts: list[Verdict]) -> None:
    n = len(trace)
    readings = Columns(
        np.zeros(n, np.int32), np.arange(n, dtype=np.int64), np.array(trace, float), np.zeros(n, np.uint8)
    )
    delta, _, verdict = deltas(readings, Counting.of([Counter(0, modulus)], 1), 0)
    assert delta.tolist() == added
    assert verdict.tolist() == verdicts


def test_each_tag_has_its_own_base_and_its_own_falls() -> None:
    value = np.array([9.0, 1.0, 5.0, 6.0, 3.0, 3.0])
    readings = Columns(np.array([0, 0, 1, 1, 2, 2], np.int32), np.arange(6), value, np.zeros(6, np.uint8))
    delta, highest, _ = deltas(readings, Counting.of([Counter(0, 10.0)], 3), 0)
    assert delta.tolist() == [0, 2, 0, 1, 0, 0]
    assert highest.tolist() == [9, 1, 5, 6, 3, 3]


def counted(values: list[float], seconds: list[int], counter: Counter, start: int = 0) -> list[float]:
    """What each of one tag's readings adds; times in seconds."""
    time = np.array(seconds, np.int64) * 1_000_000_000
    readings = Columns(np.zeros(len(time), np.int32), time, np.array(values), np.zeros(len(time), np.uint8))
    delta, _, _ = deltas(readings, Counting.of([counter], 1), start)
    return [float(d) for d in delta]


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
