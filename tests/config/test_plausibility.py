"""Limits of piece counters that the file does not give."""

from __future__ import annotations

from datetime import time

from config.plausibility import with_plausible_counters
from kpi.plant import Calendar, Counter, Machine, Quantity, Shift, StateModel

CALENDAR = Calendar("UTC", (Shift("all", time(0), time(0), frozenset(range(7))),))


def limited(counter: Counter, **ideal: int) -> Counter:
    """The counter as it is on a machine with these planned run times, in seconds."""
    ideals = {number: seconds * 1_000_000_000 for number, seconds in enumerate(ideal.values())}
    machine = Machine("m", "m", "l", "a", CALENDAR, StateModel((), ()), (), {Quantity.GOOD: counter}, None, ideals)
    return with_plausible_counters(machine).counters[Quantity.GOOD]


def test_a_counter_may_rise_twice_as_fast_as_planned_and_by_an_hour_at_once() -> None:
    assert limited(Counter(0), slow=10, fast=4) == Counter(0, None, 0.5, 900.0)


def test_what_the_file_says_of_a_counter_stands() -> None:
    assert limited(Counter(0, most_per_second=9.0), fast=4) == Counter(0, most_per_second=9.0)
    assert limited(Counter(0, event=True), fast=4) == Counter(0, event=True)


def test_without_a_planned_run_time_every_rise_is_believed() -> None:
    assert limited(Counter(0)) == Counter(0)
