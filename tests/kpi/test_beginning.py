"""Where the table begins is decided by the samples, not by which of them came first."""

from __future__ import annotations

import numpy as np
import pytest

from kpi import beginning
from kpi.columns import Columns
from kpi.engine import Engine
from tests.kpi.plants import ENERGY_A, GOOD_A, HOUR, LINK, MINUTE, PRODUCT_A, SECOND, STATE_A, feed, plant
from tests.kpi.test_engine import START, Table, all_at_once
from tests.kpi.twin import Sample

LATER = START + 5 * HOUR
"""When the connection is first heard of, for all that the engine knows at first."""
END = LATER + 10 * MINUTE

SAID = [
    Sample(STATE_A, START - HOUR, 0.0),
    Sample(STATE_A, START + 30 * MINUTE, 2.0),
    Sample(STATE_A, START + 100 * MINUTE, 1.0),
    Sample(PRODUCT_A, START + 90 * MINUTE, 1.0),
    *(Sample(GOOD_A, START + n * 10 * MINUTE, float(n)) for n in range(30)),
    *(Sample(ENERGY_A, START + n * 40 * MINUTE, 2.0 * n) for n in range(8)),
]
"""What the source says of the hours before."""
ALIVE = [Sample(LINK, LATER + t, 1.0) for t in range(0, 10 * MINUTE, 20 * SECOND)]
BEFORE = [Sample(LINK, START + t, 1.0) for t in range(0, 5 * HOUR, 30 * SECOND)]
"""Signs of life that come when the table has long begun."""


def minute_by_minute(engine: Engine, table: Table, archive: dict[int, bytes], last: int) -> None:
    for now in range(LATER + MINUTE, last + 1, MINUTE):
        update = engine.advance(now, archive)
        table.take(update)
        archive.update(update.archive)


def same(table: Table, other: Table) -> None:
    assert table.by_key() == other.by_key()
    assert table.intervals == other.intervals
    assert table.decided == other.decided


@pytest.mark.parametrize("most_samples", [5, 1_000_000], ids=["packed away", "in memory"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_table_that_turns_out_to_begin_earlier_is_the_one_that_began_there(
    most_samples: int, *, restarted: bool
) -> None:
    """Five hours of signs of life come ten minutes after the first; samples of those hours were there already."""
    engine, table = Engine(plant(), horizon_ns=24 * HOUR, most_samples=most_samples), Table()
    archive: dict[int, bytes] = {}
    feed(engine, [*SAID, *ALIVE])
    minute_by_minute(engine, table, archive, END)
    assert min(time for _, time in table.rows) == LATER
    if restarted:
        keep_from = engine.keep_from
        engine = Engine.restore(plant(), engine.checkpoint(), horizon_ns=24 * HOUR, most_samples=most_samples)
        feed(engine, [s for s in ALIVE if s.time >= keep_from])
    feed(engine, BEFORE)
    update = engine.advance(END, archive)
    table.take(update)
    archive.update(update.archive)
    whole = all_at_once([*SAID, *ALIVE, *BEFORE], END)
    assert min(time for _, time in whole.rows) == START
    same(table, whole)
    late = [Sample(STATE_A, START + 20 * MINUTE, 1.0)]  # what is new is corrected like the rest
    feed(engine, late)
    table.take(engine.advance(END + MINUTE, archive))
    same(table, all_at_once([*SAID, *ALIVE, *BEFORE, *late], END + MINUTE))


def test_a_table_does_not_begin_before_the_horizon() -> None:
    engine, table = Engine(plant(), horizon_ns=2 * HOUR), Table()
    feed(engine, ALIVE)
    table.take(engine.advance(END))
    feed(engine, BEFORE)
    table.take(engine.advance(END + MINUTE))
    assert min(time for _, time in table.rows) == END + MINUTE - 2 * HOUR


def test_what_is_kept_of_too_much_is_the_newest_and_the_last_of_each_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "MOST_KEPT", 3)
    tag, time = np.array([0, 0, 1, 1, 1, 1], np.int32), np.array([1, 2, 3, 4, 5, 6], np.int64)
    kept = beginning.kept(Columns(tag, time, time.astype(np.float64), np.zeros(6, np.uint8)))
    assert list(zip(kept.tag.tolist(), kept.time.tolist(), strict=True)) == [(0, 2), (1, 4), (1, 5), (1, 6)]
