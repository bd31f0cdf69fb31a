"""Counters: what is counted between readings, on traces that real counters have shown."""

from __future__ import annotations

import numpy as np
import pytest

from kpi.columns import Columns
from kpi.counters import Verdict, deltas

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
    delta, _, verdict = deltas(readings, np.array([np.nan if modulus is None else modulus]))
    assert delta.tolist() == added
    assert verdict.tolist() == verdicts


def test_each_tag_has_its_own_base_and_its_own_falls() -> None:
    value = np.array([9.0, 1.0, 5.0, 6.0, 3.0, 3.0])
    readings = Columns(np.array([0, 0, 1, 1, 2, 2], np.int32), np.arange(6), value, np.zeros(6, np.uint8))
    delta, highest, _ = deltas(readings, np.array([10.0, np.nan, np.nan]))
    assert delta.tolist() == [0, 2, 0, 1, 0, 0]
    assert highest.tolist() == [9, 1, 5, 6, 3, 3]
