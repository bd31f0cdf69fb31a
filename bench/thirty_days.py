"""Thirty simulated days of the demonstration plant through the engine, against the plant's own book.

`python bench/thirty_days.py [--days 30] [--start 2026-10-10] [--zone Europe/Berlin]` prints JSON: the largest
differences of times, pieces and energy over all machines and days, and over the site, and what it took. The stretch
holds a clock change; 1 % of the samples come up to an hour late, 1 % twice; the engine keeps half an hour in memory and
the rest packed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from config import load_and_compile
from config.compiled import CompiledPlant
from connectors import TextCodes
from edge_agent.demo.layout import CALENDAR, MACHINES
from edge_agent.demo.mqtt_stations import DemoStations
from edge_agent.demo.plant import DemoPlant
from edge_agent.demo.recording import recorded
from kpi.columns import Columns
from kpi.elements import ELEMENT, ELEMENT_IDS, HOUR_NS, MINUTE_NS
from kpi.engine import Engine
from kpi.plant import Plant

FILE = Path(__file__).parents[1] / "config" / "examples" / "demo-plant.yaml"
STEP_NS = 5 * MINUTE_NS
TIMES = {"pbt": "pbt_s", "apt": "apt_s", "aust": "aust_s", "adet": "adet_s", "adot": "adot_s"}
PIECES = {"gq": "good", "sq": "scrap", "rq": "rework", "ip": "inspected", "gp": "first_pass"}


def in_zone(plant: Plant, zone: str) -> Plant:
    """The plant with its shifts on another wall clock."""
    machines = tuple(replace(m, calendar=replace(m.calendar, timezone=zone)) for m in plant.machines)
    return replace(plant, timezone=zone, machines=machines)


def midnight(day: datetime) -> int:
    """ns since the epoch."""
    return int(day.timestamp()) * 1_000_000_000


class Network:
    """Delivers samples late and twice, reproducibly."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._due = np.empty(0, np.int64)
        self._held = Columns.empty()

    def deliver(self, samples: Columns, now: int) -> Columns:
        """What arrives until now: what is not late, what was, and what comes twice."""
        late = self._random.random(len(samples)) < 0.01
        delay = (self._random.random(int(late.sum())) * HOUR_NS).astype(np.int64)
        held = Columns.concat([self._held, samples.take(late)])
        due = np.concatenate([self._due, samples.time[late] + delay])
        twice = samples.take(self._random.random(len(samples)) < 0.01)
        arrives = due <= now
        self._held, self._due = held.take(~arrives), due[~arrives]
        return Columns.concat([samples.take(~late), twice, held.take(arrives)])


def collected(
    compiled: CompiledPlant, texts: TextCodes, plant: DemoPlant, stations: DemoStations, until: int
) -> Columns:
    """Scaled samples of the plant up to a time."""
    events = plant.advance(until)
    rows = list(recorded(compiled, texts, events, stations)) if events else []
    if not rows:
        return Columns.empty()
    tag, at, value = (np.array(column) for column in zip(*rows, strict=True))
    tag = tag.astype(np.int32)
    scaled = value * compiled.tags.scale[tag] + compiled.tags.offset[tag]
    return Columns(tag, at.astype(np.int64), scaled, np.zeros(len(tag), np.uint8))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--start", default="2026-10-10")
    parser.add_argument("--zone", default="Europe/Berlin")
    options = parser.parse_args()
    first = datetime.fromisoformat(options.start).replace(tzinfo=ZoneInfo(options.zone))
    days = [midnight(first + timedelta(days=n)) for n in range(options.days + 1)]
    texts = TextCodes()
    compiled = load_and_compile(FILE, texts, {})
    compiled = replace(compiled, plant=in_zone(compiled.plant, options.zone))
    plant = DemoPlant(32, days[0], replace(CALENDAR, time_zone=options.zone))
    engine = Engine(compiled.plant, horizon_ns=7 * 24 * HOUR_NS, memory_ns=HOUR_NS // 2)
    archive: dict[int, bytes] = {}
    network, stations = Network(1), DemoStations()
    count, spent = 0, 0.0
    decisions: dict[str, int] = {}
    tables: list[pl.DataFrame] = []
    for until in range(days[0] + STEP_NS, days[-1] + 2 * HOUR_NS, STEP_NS):
        arriving = network.deliver(collected(compiled, texts, plant, stations, until), until)
        count += len(arriving)
        began = time.process_time()
        engine.add(arriving.tag, arriving.time, arriving.value, arriving.quality)
        update = engine.advance(until - 30_000_000_000, archive)
        spent += time.process_time() - began
        archive.update(update.archive)
        for start in [start for start in archive if start < until - 8 * 24 * HOUR_NS]:
            del archive[start]
        for name, times in update.decisions.items():
            decisions[name] = decisions.get(name, 0) + times
        if not update.elements.is_empty():
            tables.append(update.elements.with_columns(said=pl.lit(until)))
    elements = pl.concat(tables)
    newest = pl.col("said") == pl.col("said").max().over("machine", "time")
    elements = elements.filter(newest & pl.col("time").is_between(days[0], days[-1], closed="left"))
    print(json.dumps({**differences(elements, plant, days),
        "days": options.days, "samples": count, "decisions": decisions,
        "engine_samples_per_cpu_second": round(count / spent),
        "archive_bytes_a_day": round(sum(map(len, archive.values())) / max(1, len(archive)) * 24),
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    }, indent=2))  # fmt: skip


def differences(elements: pl.DataFrame, plant: DemoPlant, days: list[int]) -> dict[str, float]:
    """Largest differences between the engine's sums and the book, machine by machine and day by day, and in all."""
    worst = {"seconds": 0.0, "pieces": 0.0, "energy_share": 0.0, "site_seconds": 0.0, "site_pieces": 0.0}
    for begin, end in pairwise(days):
        day = elements.filter(pl.col("time").is_between(begin, end, closed="left"))
        sums = {row["machine"]: row for row in day.group_by("machine").agg(pl.col(ELEMENT_IDS).sum()).to_dicts()}
        site = dict.fromkeys((*TIMES, *PIECES), 0.0)
        for index, spec in enumerate(MACHINES):
            truth = plant.book.truth(spec.id, begin, end)
            found = {name: sums[index][name] * ELEMENT[name].to_unit for name in ELEMENT_IDS}
            for name, key in TIMES.items():
                worst["seconds"] = max(worst["seconds"], abs(found[name] - truth[key]))
                site[name] += found[name] - truth[key]
            for name, key in PIECES.items():
                worst["pieces"] = max(worst["pieces"], abs(found[name] - truth[key]))
                site[name] += found[name] - truth[key]
            share = abs(found["energy"] - truth["energy_kwh"]) / truth["energy_kwh"]
            worst["energy_share"] = max(worst["energy_share"], share)
        worst["site_seconds"] = max(worst["site_seconds"], *(abs(site[name]) for name in TIMES))
        worst["site_pieces"] = max(worst["site_pieces"], *(abs(site[name]) for name in PIECES))
    return {f"worst_{name}": value for name, value in worst.items()}


if __name__ == "__main__":
    main()
