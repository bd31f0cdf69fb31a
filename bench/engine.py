"""How many samples a CPU second the engine turns into minute elements, from Parquet.

`python bench/engine.py [--machines 100] [--minutes 120] [--every 1] [--step 10]` prints JSON: CPU time of this process
from opening the files to the last row, so with reading them. `--sweep` runs cases in processes of their own: 10 to
1,000 machines, and a day to a year; cost and memory are to stay where they are. Ten signals of each machine, all of
which the engine uses: link, two state signals, three counters, product, meter, reason and a measured value with limits.
States change every half minute or so.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import time as wall
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from kpi.engine import Engine
from kpi.plant import (
    Calendar,
    Characteristic,
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
HOLDS = 5 * MINUTE  # a sign of life comes with each sample, once a minute at the slowest
TAGS = 10  # a machine: link, item, mode, good, scrap, product, meter, inspected, reason, width
_ROWS_A_FILE: Final = 1_000_000

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
                tuple(Signal(TAGS * i + place, TAGS * i, link_holds_ns=HOLDS) for place in (1, 2)),
                counters={
                    Quantity.GOOD: Counter(TAGS * i + 3),
                    Quantity.SCRAP: Counter(TAGS * i + 4),
                    Quantity.INSPECTED: Counter(TAGS * i + 7),
                },
                product=Signal(TAGS * i + 5),
                ideal_ns={0: 20 * SECOND, 1: 30 * SECOND},
                energy=Counter(TAGS * i + 6, 10_000.0),
                reason=Signal(TAGS * i + 8),
                characteristics=(Characteristic("width", TAGS * i + 9, 9.0, 11.0, 10.0),),
            )
            for i in range(machines)
        ),
    )  # fmt: skip


Samples = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def samples_of(machines: int, seconds: np.ndarray[Any, Any], random: np.random.Generator) -> Samples:
    """A sample of every tag at each of the seconds since the start, in order of time."""
    tags = np.arange(machines * TAGS, dtype=np.int32)
    value = np.zeros((len(seconds), machines, TAGS))
    second = seconds[:, None]
    value[:, :, 0] = 1.0
    value[:, :, 1] = 1.0 + (second // 30 * 7_919 + np.arange(machines)) % 3
    value[:, :, 2] = 3.0
    for place, every in ((3, 20), (4, 700), (7, 100)):
        value[:, :, place] = second // every
    value[:, :, 5] = second // 1_800 % 2
    value[:, :, 6] = (second * 0.003) % 10_000
    value[:, :, 9] = random.normal(10.0, 0.2, (len(seconds), machines)).round(3)
    when = np.repeat(START + seconds * SECOND, len(tags))
    return np.tile(tags, len(seconds)), when, value.ravel(), np.zeros(len(when), np.uint8)


def minute_of_samples(machines: int, minute: int, random: np.random.Generator) -> Samples:
    """A minute with a sample a second of every tag."""
    return samples_of(machines, np.arange(60) + 60 * minute, random)


def write_history(folder: Path, machines: int, minutes: int, every: int) -> None:
    """Parquet files of about a million rows each, in order of time."""
    random = np.random.default_rng(7)
    seconds = np.arange(0, minutes * 60, every)
    a_file = max(1, _ROWS_A_FILE // (machines * TAGS))
    for number, begin in enumerate(range(0, len(seconds), a_file)):
        tag, when, value, quality = samples_of(machines, seconds[begin : begin + a_file], random)
        table = pl.DataFrame({"tag": tag, "time": when, "value": value, "quality": quality})
        table.write_parquet(folder / f"{number:06}.parquet")


def read(folder: Path) -> Iterator[Samples]:
    """The samples of the files, one after the other."""
    for path in sorted(folder.glob("*.parquet")):
        table = pl.read_parquet(path, memory_map=False)
        tag, when, value, quality = (table[name].to_numpy() for name in ("tag", "time", "value", "quality"))
        yield tag, when, value, quality


def case(machines: int, minutes: int, every: int, step: int) -> dict[str, float]:
    """Figures of one case. step: minutes that are closed at once; 1 is what a running agent does."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        arguments = ["--write", scratch, "--machines", machines, "--minutes", minutes, "--every", every]
        subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        engine = Engine(plant(machines), horizon_ns=10 * MINUTE)
        count, rows, until = 0, 0, START + step * MINUTE
        for samples in read(folder):
            engine.add(*samples)
            count += len(samples[0])
            while int(samples[1][-1]) >= until:
                rows += engine.advance(until).elements.height
                until += step * MINUTE
        rows += engine.advance(START + minutes * MINUTE).elements.height
        spent = time.process_time() - began
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    return {
        "machines": machines,
        "minutes": minutes,
        "seconds_between_samples": every,
        "minutes_a_step": step,
        "samples": count,
        "element_rows": rows,
        "samples_per_cpu_second": round(count / spent),
        "ns_per_sample": round(spent / count * 1e9, 1),
        "peak_memory_mb": round(more / 1024),
    }


SWEEP: Final = (
    (10, 1_200, 1, 100),
    (100, 120, 1, 10),
    (1_000, 12, 1, 1),
    (100, 120, 1, 1),
    (10, 1_440, 60, 1_440),
    (10, 30 * 1_440, 60, 1_440),
    (10, 365 * 1_440, 60, 1_440),
)
"""(machines, minutes, seconds between samples, minutes a step). The first three: as many samples, in all and a step;
then a running agent, minute by minute; then a day, a month, a year."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--every", type=int, default=1, help="seconds between samples of a signal")
    parser.add_argument("--step", type=int, default=10, help="minutes that are closed at once")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    one = (options.machines, options.minutes, options.every, options.step)
    if options.write:
        write_history(options.write, *one[:3])
    elif options.sweep:
        for sizes in SWEEP:
            names = ("--machines", "--minutes", "--every", "--step")
            arguments = [str(part) for pair in zip(names, sizes, strict=True) for part in pair]
            subprocess.run([sys.executable, __file__, *arguments], check=True)
    else:
        print(json.dumps({"bench": "engine", "aim_samples_per_cpu_second": 3_000_000, **case(*one)}))


if __name__ == "__main__":
    main()
