"""What correcting the past costs through an agent and its journal: size of the archive, ticks, late samples, edits.

    python bench/corrections.py [--machines 100] [--days 4] [--every 60] [--dense-minutes 20] [--folder DIR]

A plant of machines with ten signals each (two states, five counters, product, meter, power). First some minutes with a
sample a second of each, which say what a second costs and how large it is in the archive; then days at one sample every
`--every` seconds, a late sample three days old, and a restart with an edited calendar. JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.pipeline import START, Clock
from config.compiler import compile_plant
from config.loader import load
from connectors import SampleBatch
from edge_agent.agent import Agent

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
RARELY = 1 << 62
STATES, COUNTS = ("item", "mode"), ("good", "scrap", "rework", "inspected", "first_pass")


def plant_file(folder: Path, machines: int, late_shift: str = "14:00") -> Path:
    """The configuration."""
    states = "".join(f"        {name}: {{path: {name}}}\n" for name in STATES)
    counts = "".join(f"      {name}: {{path: {name}}}\n" for name in COUNTS)
    rows = "\n".join(f"      - {{id: m{m:04}, profile: machine}}" for m in range(machines))
    path = folder / "plant.yaml"
    path.write_text(
        f"""
plant: {{enterprise: Bench, site: bench, time_zone: Europe/Berlin}}
agent: {{journal: {folder / "bench.journal"}, correction_horizon: 7 d, journal_size: 50 GB, raw: false}}
influx: {{url: http://127.0.0.1:1, bucket: factory, org: bench}}
calendar:
  shifts:
    - {{name: early, start: "06:00", end: "{late_shift}"}}
    - {{name: late, start: "{late_shift}", end: "22:00"}}
connections:
  floor: {{type: mqtt, host: 127.0.0.1, port: 1, subscribe: ["#"], link_holds: 30 min}}
products: {{P: {{ideal_cycle_time: 8 s}}}}
profiles:
  machine:
    connection: floor
    topic: "{{machine}}"
    stale_after: never
    state:
      signals:
{states}      rules:
        - {{when: {{item: 3, mode: 3}}, state: producing}}
        - {{when: {{item: [0, 1]}}, state: breakdown}}
        - {{when: {{mode: 2}}, state: setup}}
        - {{when: {{item: 2}}, state: starved}}
    counts:
{counts}    product: {{path: product}}
    energy: {{path: energy, unit: kWh}}
    power: {{path: power, unit: W}}
lines:
  - name: line
    area: hall
    machines:
{rows}
""",
        encoding="utf-8",
    )
    return path


class Floor:
    """What the machines send."""

    def __init__(self, agent: Agent) -> None:
        self._random = np.random.default_rng(7)
        tags = agent.compiled.tags.tags
        signals = np.array([tag.signal.split(".")[-1] for tag in tags])
        self._tags = np.arange(len(tags), dtype=np.int32)
        self._is_state = np.isin(signals, STATES)
        self._is_count = np.isin(signals, COUNTS)
        self._is_product = signals == "product"
        self._is_energy = signals == "energy"
        self._is_power = signals == "power"
        self._is_link = signals == "link"
        self._made = np.zeros(len(tags))
        self._code = float(agent.texts.code("P"))

    def sent(self, start: int, end: int, every: int) -> SampleBatch:
        """A sample of every tag each `every` ns within [start, end), at a moment of its own."""
        times = np.arange(start, end, every)
        shape = (len(times), len(self._tags))
        value = np.empty(shape)
        value[:, self._is_state] = np.where(self._random.random(shape) < 0.02, 0.0, 3.0)[:, self._is_state]
        rise = (self._random.random(shape) < 0.1).cumsum(axis=0) + self._made
        self._made = rise[-1]
        value[:, self._is_count] = rise[:, self._is_count]
        value[:, self._is_energy] = np.round(rise[:, self._is_energy] * 0.01, 2)
        value[:, self._is_power] = np.round(self._random.normal(6000, 400, shape), 1)[:, self._is_power]
        value[:, self._is_product] = self._code
        value[:, self._is_link] = 1.0
        moment = times[:, None] + self._random.integers(0, min(every, SECOND) // 1_000_000, shape) * 1_000_000
        count = value.size
        return SampleBatch(np.tile(self._tags, len(times)), moment.ravel(), value.ravel(), np.zeros(count, np.uint8))


def tick(agent: Agent, batch: SampleBatch, now: int, *, refresh: bool = False) -> dict[str, float]:
    """Milliseconds of the parts of one tick, and how many points it queues."""
    began = time.perf_counter()
    assembled = agent.assembly.assemble(
        batch, now=now, wall=now, texts=agent.texts.take_fresh(), settle_to=now - 5 * SECOND if refresh else None
    )
    made = time.perf_counter()
    agent.journal.commit(assembled.tick)
    done = time.perf_counter()
    rows = 0 if assembled.tick.elements is None else len(assembled.tick.elements)
    return {
        "assemble_ms": round((made - began) * 1e3, 1),
        "commit_ms": round((done - made) * 1e3, 1),
        "rows": rows,
        "points": sum(entry.points for entry in assembled.tick.outbox),
        "behind": assembled.behind,
    }


def late_samples(agent: Agent, clock: Clock, now: int) -> list[dict[str, float]]:
    """A tick with one late sample each, further and further back."""
    state = next(i for i, tag in enumerate(agent.compiled.tags.tags) if tag.signal == "state.item")
    found = []
    for n, back in enumerate((2 * 60, 3600, 6 * 3600, 86_400, 3 * 86_400, 3 * 86_400 - 7200)):
        if back * SECOND <= now - START:
            clock.now += SECOND
            late = SampleBatch.of([state], [now - back * SECOND + 7 + n], [0.0])
            found.append({"hours_back": round(back / 3600, 2)} | tick(agent, late, clock.now, refresh=True))
    return found


def restated(agent: Agent, clock: Clock) -> dict[str, float]:
    """The past folded again after an edit while time goes on, and how late minutes are closed meanwhile."""
    began = time.perf_counter()
    start = clock.now
    rows = count = 0
    slowest = latest = 0.0
    while True:
        clock.now = start + int((time.perf_counter() - began) * 1e9)
        due = agent.assembly.watermark(clock.now) // MINUTE * MINUTE
        waits = agent.assembly.settled_to < due
        one = tick(agent, SampleBatch.empty(), clock.now)
        done = time.perf_counter()
        rows, count = rows + int(one["rows"]), count + 1
        slowest = max(slowest, one["assemble_ms"] + one["commit_ms"])
        if waits:
            latest = max(latest, done - began - (due - agent.assembly.watermark(start)) / 1e9)
        if not one["behind"]:
            break
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "rows": rows,
        "ticks": count,
        "slowest_tick_ms": round(slowest, 1),
        "latest_minute_s": round(latest, 1),
    }


def measure(folder: Path, machines: int, days: float, every: int, dense_minutes: int) -> dict[str, Any]:
    """All figures."""
    clock = Clock()
    config = load(plant_file(folder, machines))
    agent = Agent(partial(compile_plant, config), clock=clock, recipes=(), refresh_ns=RARELY)
    floor = Floor(agent)
    found: dict[str, Any] = {"machines": machines, "tags": len(agent.compiled.tags)}

    ticks = []
    samples = 0
    now = START
    for _ in range(dense_minutes):
        batch = floor.sent(now, now + 60 * SECOND, SECOND)
        now += 60 * SECOND
        clock.now = now + 6 * SECOND
        samples += len(batch)
        ticks.append(tick(agent, batch, clock.now))
    found["a minute at one sample a second"] = {
        "samples": samples // dense_minutes,
        "assemble_ms": sorted(one["assemble_ms"] for one in ticks)[len(ticks) // 2],
        "commit_ms": sorted(one["commit_ms"] for one in ticks)[len(ticks) // 2],
    }
    end = START + int(days * DAY)
    archived_before = agent.journal.archive_facts()
    began = time.perf_counter()
    sparse = 0
    while now < end:
        batch = floor.sent(now, min(now + 600 * SECOND, end), every * SECOND)
        now = min(now + 600 * SECOND, end)
        clock.now = now + 6 * SECOND
        sparse += len(batch)
        tick(agent, batch, clock.now)
    facts = agent.journal.archive_facts()
    found["history"] = {
        "days": days,
        "samples": sparse + samples,
        "seconds": round(time.perf_counter() - began, 1),
        "archive_blocks": facts.blocks,
        "archive_mb": round(facts.bytes / 1e6, 1),
        "bytes_per_sample": round(facts.bytes / (samples + sparse), 2),
        "archived_while_dense": archived_before.blocks,
        "journal_mb": round(sum(path.stat().st_size for path in folder.glob("bench.journal*")) / 1e6, 1),
    }
    found["nothing late"] = tick(agent, SampleBatch.empty(), clock.now + SECOND, refresh=True)
    clock.now += SECOND
    found["one late sample"] = late_samples(agent, clock, now)
    began = time.perf_counter()
    agent.close()
    config = load(plant_file(folder, machines, late_shift="14:30"))
    agent = Agent(partial(compile_plant, config), clock=clock, recipes=(), refresh_ns=RARELY)
    found["restart"] = {"seconds": round(time.perf_counter() - began, 2)}
    found["restated after a calendar edit"] = restated(agent, clock)
    agent.close()
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--machines", type=int, default=100)
    options.add_argument("--days", type=float, default=4)
    options.add_argument("--every", type=int, default=60)
    options.add_argument("--dense-minutes", type=int, default=20)
    options.add_argument("--folder", default=None)
    given = options.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        figures = measure(Path(name), given.machines, given.days, given.every, given.dense_minutes)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
