"""Thresholds with hysteresis decide the same however their samples are cut."""

from __future__ import annotations

from itertools import product

import numpy as np

from kpi.columns import Columns
from kpi.switch import switched

ON, OFF = np.array([5.0]), np.array([2.0])
VALUES = [0.0, 3.0, 6.0]


def decisions(values: list[float], quality: list[int], start: int) -> list[float]:
    count = len(values)
    samples = Columns(np.zeros(count, np.int32), np.arange(count), np.array(values), np.array(quality, np.uint8))
    decided: list[float] = switched(samples, ON, OFF, start).value.tolist()
    return decided


def test_between_the_thresholds_the_last_good_decision_stands() -> None:
    assert decisions([3, 6, 3, 2, 3], [0] * 5, 0) == [0, 1, 1, 0, 0]
    assert decisions([6, 0, 3], [0, 1, 0], 0) == [1, 1, 1], "a bad value decides nothing"


def test_a_decision_that_is_carried_stands_as_if_nothing_had_been_cut() -> None:
    """Every trace of four samples, good and bad, cut at every place: on, bad, in between was off once."""
    for trace in product(product(VALUES, (0, 1)), repeat=4):
        values, quality = [value for value, _ in trace], [q for _, q in trace]
        whole = decisions(values, quality, 0)
        for cut in range(1, 4):
            carried = [*whole[:cut], *values[cut:]]
            assert decisions(carried, quality, cut)[cut:] == whole[cut:], (trace, cut)
            last = [whole[cut - 1], *values[cut:]]
            count = len(last)
            samples = Columns(
                np.zeros(count, np.int32), np.arange(cut - 1, 4), np.array(last), np.array(quality[cut - 1 :], np.uint8)
            )
            assert switched(samples, ON, OFF, cut).value.tolist()[1:] == whole[cut:], (trace, cut)
