"""A corrected interval overwrites every point that was written before, and no second is lost or counted twice."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.state_intervals import overwriting

SCHEMA = {
    "machine": pl.Utf8,
    "start": pl.Int64,
    "end": pl.Int64,
    "state": pl.Int32,
    "product": pl.Utf8,
    "reason": pl.Utf8,
}


def intervals(machine: str, starts: list[int], states: list[int], end: int) -> pl.DataFrame:
    count = len(starts)
    rows = list(zip([machine] * count, starts, [*starts, end][1:], states, ["A"] * count, ["jam"] * count, strict=True))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def states_by_second(rows: pl.DataFrame) -> dict[tuple[str, int], int]:
    held: dict[tuple[str, int], int] = {}
    for machine, start, end, state, *_ in rows.iter_rows():
        for second in range(start, end):
            assert (machine, second) not in held
            held[machine, second] = state
    return held


starts = st.sets(st.integers(0, 59), min_size=1, max_size=8)


@given(
    fresh=st.dictionaries(st.sampled_from("ab"), starts, min_size=1),
    before=st.dictionaries(st.sampled_from("abc"), starts),
)
def test_the_same_states_hold_at_every_second_and_every_old_start_within_is_a_start_again(
    fresh: dict[str, set[int]], before: dict[str, set[int]]
) -> None:
    new = pl.concat([intervals(m, sorted(at), [s % 5 for s in sorted(at)], 60) for m, at in fresh.items()])
    old = pl.concat(
        [intervals("a", [], [], 60), *(intervals(m, sorted(at), [9] * len(at), 60) for m, at in before.items())]
    )
    written = overwriting(new, old)
    assert states_by_second(written) == states_by_second(new)
    is_start = set(written.select("machine", "start").iter_rows())
    covered = set(states_by_second(new))
    assert {key for key in old.select("machine", "start").iter_rows() if key in covered} <= is_start


def test_intervals_that_agree_with_what_was_written_stay_as_they_are() -> None:
    new = intervals("a", [0, 10, 30], [1, 2, 1], 60)
    assert overwriting(new, new).equals(new)
