"""Packed samples answer as unpacked ones do, whatever the cut into pieces."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi import packed_columns
from kpi.columns import Columns, in_order
from kpi.fold import Before
from kpi.packed_columns import PackedColumns
from kpi.packing import Numbering, pack, unpack

TAGS = 12
Rows = list[tuple[int, int, float, int]]

values = st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(), st.just(float("nan")))
rows = st.lists(st.tuples(st.integers(0, TAGS - 1), st.integers(-5, 40), values, st.sampled_from([0, 1])), max_size=60)
scales = st.sampled_from([1, 100, 1_000_000, 86_400 * 10**9])


def columns(some: Rows, scale: int = 1) -> Columns:
    tag, time, value, quality = zip(*some, strict=True) if some else ((), (), (), ())
    samples = Columns(
        np.array(tag, np.int32),
        np.array(time, np.int64) * scale,
        np.array(value, np.float64),
        np.array(quality, np.uint8),
    )
    return in_order(samples)[0]


def listed(samples: Columns) -> Rows:
    value = samples.value.view(np.int64).tolist()
    return list(zip(samples.tag.tolist(), samples.time.tolist(), value, samples.quality.tolist(), strict=True))


def in_small_pieces(samples: Columns) -> PackedColumns:
    with patch.object(packed_columns, "_PIECE", 4):
        return PackedColumns.of(samples)


@given(some=rows, scale=scales)
def test_what_is_packed_comes_back_to_the_bit(some: Rows, scale: int) -> None:
    samples = columns(some, scale)
    packed = in_small_pieces(samples)
    assert listed(packed.whole()) == listed(samples)
    assert len(packed) == len(samples)
    assert listed(PackedColumns.of(samples).whole()) == listed(samples)


@given(some=rows, asked=st.sets(st.integers(0, TAGS + 2)))
def test_a_few_tags_are_given_as_from_unpacked_samples(some: Rows, asked: set[int]) -> None:
    samples, tags = columns(some), np.array(sorted(asked), np.int32)
    mine = samples.take(np.isin(samples.tag, tags))
    packed = in_small_pieces(samples)
    assert listed(packed.of_tags(tags)) == listed(samples.of_tags(tags)) == listed(mine)
    first = [next(row for row in listed(mine) if row[0] == tag) for tag in sorted(set(mine.tag.tolist()))]
    assert listed(packed.first_of(tags)) == listed(samples.first_of(tags)) == first


@given(some=rows, late=rows)
def test_late_samples_go_to_their_places(some: Rows, late: Rows) -> None:
    """As if all had come together; what was there already is not new, and of two values at one time one wins."""
    samples, more = columns(some), columns(late)
    together, decisions = in_order(Columns.concat([samples, more]))
    there = {(tag, time): (value, quality) for tag, time, value, quality in listed(samples)}
    new = [row for row in listed(more) if not _same(there.get(row[:2]), row[2:])]
    for held in (samples, in_small_pieces(samples)):
        with patch.object(packed_columns, "_PIECE", 4):
            merged, fresh, conflicts = held.put_in(more)
        assert listed(merged.whole()) == listed(together)
        assert listed(fresh) == new
        assert conflicts == decisions["conflict"]


def _same(held: tuple[float, int] | None, row: tuple[float, int]) -> bool:
    """Bits of values and qualities: all NaNs are one, and both zeros are."""
    if held is None or held[1] != row[1]:
        return False
    one, other = (np.array(bits).view(np.float64) for bits in (held[0], row[0]))
    return bool(one == other or (np.isnan(one) and np.isnan(other)))


def test_only_the_pieces_of_the_tags_that_are_asked_for_are_unpacked() -> None:
    samples = columns([(tag, time, 1.0, 0) for tag in range(TAGS) for time in range(4)])
    packed = in_small_pieces(samples)
    damaged = PackedColumns([p if p.first == 5 else replace(p, body=b"rubbish") for p in packed.pieces])
    assert len(damaged.of_tags(np.array([5], np.int32))) == 4
    with pytest.raises(ValueError, match="damaged"):
        damaged.whole()


def test_tags_that_are_not_used_are_passed_over() -> None:
    samples = columns([(tag, 0, 1.0, 0) for tag in range(4)])
    packed = PackedColumns(PackedColumns.of(samples).pieces, np.array([True, False, True]))
    assert packed.whole().tag.tolist() == [0, 2]


def test_a_pack_of_a_version_that_knew_less_of_machines_is_read() -> None:
    """A column that it does not have is as at the beginning; one that nobody knows any more is passed over."""
    before = Before.nothing(2)
    data = pack({"start": 60}, before, [Columns.empty()], ["a", "b"])
    size = int.from_bytes(data[8:12], "little")
    header, _ = json.JSONDecoder().raw_decode(zlib.decompress(data[12 : 12 + size]).decode("latin-1"))
    header["before"] = {"mood": "<i8", "state": before.state.dtype.str}
    columns_of_old = np.array([7, 7], np.int64).tobytes() + np.array([3, 1], before.state.dtype).tobytes()
    head = zlib.compress(json.dumps(header).encode() + columns_of_old)
    old = data[:8] + len(head).to_bytes(4, "little") + head + data[12 + size :]
    facts, held, _ = unpack(old, Numbering(["b", "a"], np.ones(1, np.bool_)))
    assert facts == {"start": 60}
    assert held.state.tolist() == [1, 3]
    assert held.stop_since.tolist() == before.stop_since.tolist()


@given(data=st.data())
def test_a_damaged_pack_is_told(data: st.DataObject) -> None:
    whole = pack({"start": 60}, Before.nothing(2), [columns([(1, 2, 3.0, 0)]), columns([])], ["a", "b"])
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="checkpoint"):
        unpack(whole[:cut], Numbering(["a", "b"], np.ones(4, np.bool_)))
