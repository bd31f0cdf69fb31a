"""The shipped configuration of the demonstration plant is about the plant that is shipped, and gives its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import PlantConfig, load, load_and_compile
from connectors import TextCodes
from edge_agent.demo.faces import SERVERS, faces
from edge_agent.demo.layout import CALENDAR, LINES, MACHINES, METER_MODULUS_KWH
from edge_agent.demo.plant import DemoPlant
from edge_agent.demo.process import DURATIONS
from edge_agent.demo.recording import recorded
from kpi.elements import ELEMENT, ELEMENT_IDS, MINUTE_NS
from kpi.engine import Engine
from tests.edge_agent.demo.days import HOUR, LATE_START, SHIFT_START, simulated

FILE = Path(__file__).parents[3] / "config" / "examples" / "demo-plant.yaml"


def config() -> PlantConfig:
    return load(FILE, {})


def points() -> set[str]:
    return {
        point.node for name in SERVERS for shown in faces(name).values() for face in shown for point in face.points()
    }


def test_lines_machines_and_cycle_times_are_those_of_the_plant() -> None:
    described = {
        (line.name, line.area, machine.id, product): seconds / 1e9
        for line in config().lines
        for machine in line.machines
        for product, seconds in (machine.ideal_cycle_time or {}).items()
    }
    assert described == {
        (line.id, line.area, spec.id, product): seconds
        for line in LINES
        for spec in line.machines
        for product, seconds in spec.ideal.items()
    }


def test_shifts_and_breaks_are_those_of_the_plant() -> None:
    plant = load_and_compile(FILE, environment={}).plant
    assert plant.timezone == CALENDAR.time_zone
    for machine in plant.machines:
        shifts = machine.calendar.shifts
        assert [(shift.name, shift.start, shift.end, shift.breaks) for shift in shifts] == [
            (shift.name, shift.start, shift.end, shift.breaks) for shift in CALENDAR.shifts
        ]
        assert all(len(shift.days) == 7 for shift in shifts)


def test_every_node_exists_and_counters_roll_over_where_the_plants_do() -> None:
    compiled = load_and_compile(FILE, environment={})
    nodes = {item.node.removeprefix("nsu=urn:edge-agent:demo;s=") for server in compiled.opcua for item in server.items}
    assert nodes <= points()
    for machine, spec in zip(compiled.plant.machines, MACHINES, strict=True):
        assert {counter.modulus for counter in machine.counters.values()} == {spec.counter_modulus}, spec.id
        assert {str(quantity) for quantity in machine.counters} == {str(signal) for signal in spec.counts}
        assert machine.energy is not None
        assert machine.energy.modulus == METER_MODULUS_KWH


def test_durations_can_be_scaled_with_the_clock() -> None:
    text = FILE.read_text()
    assert all(f"${{{name}:-" in text for name in DURATIONS)
    slow, fast = (load_and_compile(FILE, environment=env) for env in ({}, {"DEMO_LINK_HOLDS": "1800 s"}))
    assert fast.opcua[0].link.holds_ns == 60 * slow.opcua[0].link.holds_ns


@pytest.mark.parametrize("start", [SHIFT_START, LATE_START + 7 * HOUR], ids=["morning", "evening"])
def test_the_engine_makes_of_the_plants_signals_what_the_plants_book_says(start: int) -> None:
    """Two calendars, two ways to count, one truth: to the millisecond, the piece and the watt-hour."""
    plant: DemoPlant
    plant, events = simulated(2.0, start=start)
    end = (start + HOUR * 2) // MINUTE_NS * MINUTE_NS
    texts = TextCodes()
    compiled = load_and_compile(FILE, texts, {})
    tag, time, value = (np.array(column) for column in zip(*recorded(compiled, texts, events), strict=True))
    engine = Engine(compiled.plant, horizon_ns=HOUR)
    tag = tag.astype(np.int32)
    scaled = value * compiled.tags.scale[tag] + compiled.tags.offset[tag]
    engine.add(tag, time.astype(np.int64), scaled, np.zeros(len(tag), np.uint8))
    elements = engine.advance(end).elements.filter(pl.col("time") < end)
    sums = elements.group_by("machine").agg(pl.col(list(ELEMENT_IDS)).sum()).sort("machine")
    for row, machine in zip(sums.iter_rows(named=True), compiled.plant.machines, strict=True):
        truth = plant.book.truth(machine.id, start, end)
        found = {name: row[name] * ELEMENT[name].to_unit for name in ELEMENT_IDS}
        seconds = truth["seconds"]
        wanted = {
            "pbt": truth["pbt_s"],
            "apt": truth["apt_s"],
            "aust": truth["aust_s"],
            "adet": truth["adet_s"],
            "adot": truth["adot_s"],
            "unknown": 0.0,
            **{name: seconds.get(name, 0.0) for name in ("starved", "blocked", "stopped", "breakdown")},
            "gq": truth["good"],
            "sq": truth["scrap"],
            "rq": truth["rework"],
            "ip": truth["inspected"],
            "gp": truth["first_pass"],
            "ideal_pq": truth["earned_s"],
            "ideal_gq": truth["earned_good_s"],
        }
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-6), machine.id
        assert found["energy"] == pytest.approx(truth["energy_kwh"], rel=0.005), machine.id
