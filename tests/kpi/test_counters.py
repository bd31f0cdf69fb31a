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
