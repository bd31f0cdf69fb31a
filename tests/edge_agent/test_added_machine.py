"""A machine that is added to a plant has no past: its rows begin in the minute in which an agent first knew it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from connectors import SampleBatch
from edge_agent.journal import JournalReader
from kpi.elements import HOUR_NS, MINUTE_NS
from tests.edge_agent.scripted import NOON, Bench
from tests.edge_agent.test_corrections import Folder, Life, bench_in, folder, history, renumbered, rows

__all__ = ("folder",)

ADDED = ("- {id: m1", "- {id: m0, profile: station}\n      - {id: m1")
EDIT = ("{status: 2}, state: breakdown", "{status: 2}, state: setup")


class Grown:
    """A plant to which a machine is added after three hours and a bit, and what its machines send."""

    def __init__(self, folder: Folder) -> None:
        self.life = Life(bench_in(folder()))
        before, self.whole = self.life.bench, history(self.life.bench, 8)
        self.life.until(3.2, self.whole)
        was = bench_in(folder())
        before.edit(*ADDED)
        self.life.killed_and_begun_again()
        moved = renumbered(self.whole, was, before)
        own = before.samples(*(("m0.state.status", at, 1.0) for at in range(11_400, 8 * 3600, 600)))
        both = SampleBatch.concat([moved, own])
        order = np.argsort(both.time, kind="stable")
        self.whole = SampleBatch(*(getattr(both, name)[order] for name in ("tag", "time", "value", "quality")))
        self.begin = NOON + 192 * MINUTE_NS

    def first(self) -> int:
        """Start of the first row of the machine."""
        return int(of_m0(self.life.bench)["time"].min())  # type: ignore[arg-type]


def of_m0(bench: Bench) -> pl.DataFrame:
    return rows(bench).filter(pl.col("machine") == "m0")


def test_an_added_machine_begins_when_an_agent_first_starts_with_it(folder: Folder) -> None:
    plant = Grown(folder)
    plant.life.until(4, plant.whole)
    plant.life.end()
    assert plant.first() == plant.begin
    with JournalReader(plant.life.bench.path) as reader:
        assert min(reader.intervals(0, 1 << 62, ["m0"])["start"]) >= plant.begin
        assert min(reader.elements("hour", 0, 1 << 62, ["m0"])["time"]) == NOON + 3 * HOUR_NS


@pytest.mark.parametrize("edit", [None, EDIT])
def test_it_stays_so_through_restarts_and_edits(folder: Folder, edit: tuple[str, str] | None) -> None:
    plant = Grown(folder)
    plant.life.until(3.3, plant.whole)
    if edit:
        plant.life.bench.edit(*edit)
    plant.life.killed_and_begun_again()
    plant.life.until(5, plant.whole)
    plant.life.killed_and_begun_again()
    plant.life.until(6, plant.whole)
    plant.life.end()
    mine = of_m0(plant.life.bench)
    assert mine["time"].to_list() == list(range(plant.begin, NOON + 6 * HOUR_NS, MINUTE_NS))


def test_what_its_sources_say_of_before_is_no_row_but_what_it_begins_with(folder: Folder) -> None:
    plant = Grown(folder)
    plant.life.floor.put(plant.life.bench.samples(("m0.state.status", 3600, 2.0)))
    plant.life.until(4, plant.whole)
    plant.life.end()
    assert plant.first() == plant.begin
    (held,) = of_m0(plant.life.bench).filter(pl.col("time") == plant.begin + MINUTE_NS)["breakdown"]
    assert held == MINUTE_NS


def test_the_machines_of_a_new_plant_begin_with_its_data(folder: Folder) -> None:
    life = Life(bench_in(folder()))
    life.bench.clock.now = NOON + HOUR_NS  # what is sent at first is an hour old
    life.floor.put(history(life.bench, 1))
    life.tick()
    life.end()
    assert min(rows(life.bench)["time"]) == NOON
