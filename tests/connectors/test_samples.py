"""Samples in columns, and the names of faults."""

from __future__ import annotations

import numpy as np
import pytest

from connectors import Fault, FaultCounts, Quality, SampleBatch


def test_a_batch_has_columns_of_fixed_types() -> None:
    batch = SampleBatch.of([1, 2], [10, 20], [0.5, True])
    types = [column.dtype.name for column in (batch.tag, batch.time, batch.value, batch.quality)]
    assert types == ["int32", "int64", "float64", "uint8"]
    assert batch.quality.tolist() == [Quality.GOOD, Quality.GOOD]
    assert len(batch) == 2


def test_columns_of_different_lengths_are_no_batch() -> None:
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        SampleBatch.of([1, 2], [10], [0.5, 1.0])


def test_nothing_joined_is_an_empty_batch() -> None:
    assert len(SampleBatch.concat([])) == 0
    assert SampleBatch.empty().value.dtype == np.float64


def test_batches_join_in_order() -> None:
    joined = SampleBatch.concat([SampleBatch.of([1], [10], [0.5]), SampleBatch.of([2], [5], [np.nan], [Quality.BAD])])
    assert (joined.tag.tolist(), joined.time.tolist(), joined.quality.tolist()) == ([1, 2], [10, 5], [0, 2])


def test_a_filter_keeps_the_columns_together() -> None:
    batch = SampleBatch.of([1, 2, 3], [10, 20, 30], [0.1, 0.2, 0.3])
    kept = batch.where(batch.tag != 2)
    assert (kept.tag.tolist(), kept.time.tolist(), kept.value.tolist()) == ([1, 3], [10, 30], [0.1, 0.3])


def test_faults_are_counted_under_their_names_with_the_latest_example() -> None:
    faults = FaultCounts()
    faults.add(Fault.MALFORMED_JSON, "plant/a: {")
    faults.add(Fault.MALFORMED_JSON, "plant/b: " + "x" * 1000, n=3)
    faults.add(Fault.BAD_STATUS, n=0)
    assert faults.counts == {Fault.MALFORMED_JSON: 4}
    assert len(faults.examples[Fault.MALFORMED_JSON]) == 200
    assert faults.examples[Fault.MALFORMED_JSON].startswith("plant/b")
