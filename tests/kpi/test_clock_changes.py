"""Days and shifts of the nights in which the clock is changed: 23 h, 25 h, and the sums of their minutes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from kpi.elements import ELEMENT_IDS
from kpi.engine import Engine
from kpi.formulas import evaluate
from kpi.plant import Plant
from kpi.rollup import rollups
from tests.kpi.plants import GOOD_A, HOUR, LINK, MINUTE, SECOND, STATE_A, TOTAL_B, feed, ns, plant
from tests.kpi.twin import Sample

DAYS = [
    ("Europe/Berlin", date(2026, 3, 29), 23.0),
    ("Europe/Berlin", date(2026, 10, 25), 25.0),
    ("America/New_York", date(2026, 3, 8), 23.0),
    ("America/New_York", date(2026, 11, 1), 25.0),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ("Asia/Kolkata", date(2026, 3, 29), 24.0),
]
SHIFTS = {"a": ("day",), "b": ("day",), "c": ("night",), "d": ("day",), "e": ("night",), "f": ("day",)}


def midnight(zone: str, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def minutes(works: Plant, start: int, end: int) -> pl.DataFrame:
    """Element rows of the plant's minutes from start to end, during which it works, stands, and counts."""
    fold = Engine(works, horizon_ns=HOUR)
    ticks = range(start, end, 20 * SECOND)
    feed(fold, [Sample(LINK, at, 1.0) for at in ticks])
    feed(fold, [Sample(STATE_A, at, float(n % 3)) for n, at in enumerate(range(start, end, 7 * MINUTE))])
    for tag in (GOOD_A, TOTAL_B):
        feed(fold, [Sample(tag, at, float(n % 1000)) for n, at in enumerate(range(start, end, 50 * SECOND))])
    rows = fold.advance(end).elements
    names = {index: machine.id for index, machine in enumerate(works.machines)}
    return pl.concat(
        part.with_columns(
            machine=pl.lit(names[index]),
            shift=pl.col("shift").replace_strict(
                dict(enumerate(SHIFTS[names[index]])), default="", return_dtype=pl.Utf8
            ),
            product=pl.lit(""),
        )
        for (index,), part in rows.partition_by("machine", as_dict=True).items()
    )


@pytest.mark.parametrize(("zone", "day", "long"), DAYS)
def test_a_day_of_a_clock_change_is_the_sum_of_the_minutes_of_its_date(zone: str, day: date, long: float) -> None:
    """By the date that the plant's own calendar on the wall shows; the days beside it have 24 h."""
    works = plant(zone)
    days = [day + timedelta(days=n) for n in (-1, 0, 1)]
    rows = minutes(works, midnight(zone, days[0]), midnight(zone, days[-1] + timedelta(days=1)))
    dates = [datetime.fromtimestamp(time // SECOND, ZoneInfo(zone)).date() for time in rows["time"].to_list()]
    expected = {
        (row["machine"], row["date"]): {e: row[e] for e in ELEMENT_IDS}
        for row in rows.with_columns(date=pl.Series(dates))
        .group_by("machine", "date")
        .agg(pl.col(*ELEMENT_IDS).sum())
        .to_dicts()
    }
    starts = {midnight(zone, one): one for one in days}
    for whole in (rows, half_hours_of(rows)):
        found = rollups(whole, works, window="day")["machine"].to_dicts()
        assert {(r["machine"], starts[r["time"]]): {e: r[e] for e in ELEMENT_IDS} for r in found} == expected
    lengths = {one: expected["a", one]["calendar_time"] / HOUR for one in days}
    assert lengths == {days[0]: 24.0, day: long, days[2]: 24.0}
    site = rollups(rows, works, window="day")["site"].filter(pl.col("time") == midnight(zone, day)).row(0, named=True)
    assert site["calendar_time"] == 6 * long * HOUR
    assert site["pq"] == sum(expected[machine, day]["pq"] for machine in SHIFTS)


def half_hours_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows summed to half hours, which begin with the hours of every zone here, before its change and after."""
    part = 30 * MINUTE
    keys = ["machine", "shift", "shift_start", "product"]
    return (
        rows.with_columns(time=pl.col("time") - pl.col("time") % part)
        .group_by("time", *keys)
        .agg(pl.col(*ELEMENT_IDS).sum())
    )


@pytest.mark.parametrize(
    ("start", "planned"),
    [(ns(2026, 3, 28, 21), 9 + 5 / 60), (ns(2026, 10, 24, 20), 11 + 5 / 60)],
    ids=["spring", "autumn"],
)
def test_a_night_shift_over_a_clock_change_is_the_sum_of_its_minutes(start: int, planned: float) -> None:
    """From 22:00 to 08:05 by the clock: an hour less or more of planned busy time, and availability over that."""
    works = plant()
    rows = minutes(works, start, start + 12 * HOUR)
    mine = rows.filter((pl.col("machine") == "e") & (pl.col("shift") == "night"))
    found = rollups(rows, works, window="shift")["machine"].filter(pl.col("machine") == "e")
    assert len(found) == 1
    row = found.row(0, named=True)
    assert {e: row[e] for e in ELEMENT_IDS} == mine.select(ELEMENT_IDS).sum().row(0, named=True)
    assert row["pbt"] == round(planned * 60) * MINUTE
    assert evaluate(found)["availability"].item() == pytest.approx(row["apt"] / row["pbt"])
