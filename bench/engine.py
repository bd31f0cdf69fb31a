"""How many samples a CPU second the engine turns into minute elements, and what one late sample costs.

`python bench/engine.py [--machines 100] [--minutes 120]` prints JSON. Signals of each machine: state, link, good,
scrap, product, meter and, on half of them, a second state signal; one sample a second of each, states that change every
30 s or so. CPU time of this process only.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import time as wall

import numpy as np

from kpi.engine import Engine
from kpi.plant import (
    Calendar,
    Counter,
    Machine,
    Plant,
    Quantity,
    Shift,
    Signal,
    State,
    StateModel,
    StateRule,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_767_600_000 * SECOND  # a Monday, 08:00 UTC
TAGS = 8  # a machine: link, item, mode, good, scrap, product, meter, inspected

MODEL = StateModel(
    ("item", "mode"),
    (
        StateRule({"item": frozenset({3.0}), "mode": frozenset({3.0})}, State.PRODUCING),
        StateRule({"item": frozenset({1.0, 0.0})}, State.BREAKDOWN),
        StateRule({"mode": frozenset({2.0})}, State.SETUP),
        StateRule({"item": frozenset({2.0})}, State.STARVED),
    ),
)


def plant(machines: int) -> Plant:
    """Equal machines around the clock."""
    calendar = Calendar("UTC", (Shift("all", wall(0), wall(0), frozenset(range(7))),))
    return Plant(
        "bench",
        "UTC",
        tuple(
            Machine(
                f"m{i:05}", f"m{i:05}", "line", "area", calendar, MODEL,
                (Signal(TAGS * i + 1, TAGS * i), Signal(TAGS * i + 2, TAGS * i)),
                counters={
                    Quantity.GOOD: Counter(TAGS * i + 3),
                    Quantity.SCRAP: Counter(TAGS * i + 4),
                    Quantity.INSPECTED: Counter(TAGS * i + 7),
                },
                product=Signal(TAGS * i + 5),
                ideal_ns={0: 20 * SECOND, 1: 30 * SECOND},
                energy=Counter(TAGS * i + 6, 10_000.0),
            )
            for i in range(machines)
        ),
    )  # fmt: skip


def minute_of_samples(
    machines: int, minute: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One sample a second of every tag, in order of time."""
    seconds = np.arange(60) + 60 * minute
    tags = np.arange(machines * TAGS, dtype=np.int32)
    role = tags % TAGS
    value = np.empty((60, len(tags)))
    shape = (60, machines)
    value[:, role == 0] = 1.0
    blocks = np.repeat(random.integers(1, 4, (2, machines)), 30, axis=0)
    value[:, role == 1] = blocks
    value[:, role == 2] = 3.0
    rise = seconds[:, None] + np.zeros(shape)
    value[:, role == 3] = np.floor(rise / 20)
    value[:, role == 4] = np.floor(rise / 700)
    value[:, role == 5] = np.floor(rise / 1800) % 2
    value[:, role == 6] = (rise * 0.003) % 10_000
    value[:, role == 7] = np.floor(rise / 100)
    tag = np.tile(tags, 60)
    when = np.repeat(START + seconds * SECOND, len(tags))
    return tag, when, value.ravel(), np.zeros(len(tag), np.uint8)


def run(machines: int, minutes: int, *, advance_every: int) -> dict[str, float]:
    """Figures of one run: feed minute by minute, advance every so many minutes, then one late sample."""
    random = np.random.default_rng(7)
    engine = Engine(plant(machines), horizon_ns=10 * MINUTE)
    count, rows, spent = 0, 0, 0.0
    for minute in range(minutes):
        samples = minute_of_samples(machines, minute, random)
        before = time.process_time()
        engine.add(*samples)
        if (minute + 1) % advance_every == 0:
            # As the agent does: a minute closes a little after its end, when the next one's first samples are there.
            rows += engine.advance(START + minute * MINUTE).elements.height
        spent += time.process_time() - before
        count += len(samples[0])
    late = (
        np.array([1], np.int32),
        np.array([START + (minutes - 5) * MINUTE + 7]),
        np.array([2.0]),
        np.zeros(1, np.uint8),
    )
    before = time.process_time()
    engine.add(*late)
    engine.advance(START + minutes * MINUTE)
    late_ms = (time.process_time() - before) * 1e3
    return {
        "machines": machines,
        "samples": count,
        "element_rows": rows,
        "samples_per_cpu_second": round(count / spent),
        "ns_per_sample": round(spent / count * 1e9, 1),
        "late_sample_ms": round(late_ms, 2),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=120)
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "live": run(options.machines, options.minutes, advance_every=1),
                "replay": run(options.machines, options.minutes, advance_every=60),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
