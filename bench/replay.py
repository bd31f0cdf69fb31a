"""Values a CPU second from Parquet through the engine into the journal, and what that takes of memory.

`python bench/replay.py [--machines 100] [--minutes 180] [--every 1]` prints JSON: `engine` is Engine.add and advance
alone over the same samples, `whole` everything from the first byte of the file to the last commit. Ten signals a
machine, each sampled every so many seconds. `--sweep` runs each case in a process of its own: 10 to 1,000 machines, and
a day to a year at ten machines. CPU time of all threads; memory is the peak of the process above what it began with.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from config.compiler import compile_plant
from config.loader import load
from connectors import TextCodes
from connectors.replay import History
from edge_agent.replay import ReplayOptions, replay, run
from edge_agent.replay.archive import ArchiveFolder
from edge_agent.replay.feed import Feed
from edge_agent.replay.parts import Part
from edge_agent.replay.strands import Keeping
from kpi.engine import Engine

SECOND = 1_000_000_000
START = 1_735_689_600 * SECOND  # 2025-01-01 in UTC
SIGNALS = (
    "state.item", "state.mode", "good", "scrap", "inspected", "product", "energy", "temperature", "load", "speed",
)  # fmt: skip

PLANT = """
plant: {{enterprise: Bench, site: bench, time_zone: UTC}}
agent: {{journal: {journal}, correction_horizon: 10 min}}
calendar:
  shifts:
    - {{name: early, start: "06:00", end: "14:00"}}
    - {{name: late, start: "14:00", end: "22:00"}}
    - {{name: night, start: "22:00", end: "06:00"}}
connections:
  floor: {{type: opcua, endpoint: "opc.tcp://localhost:4840"}}
products: {{A: {{ideal_cycle_time: 20 s}}, B: {{ideal_cycle_time: 30 s}}}}
profiles:
  cnc:
    connection: floor
    state:
      signals:
        item: {{node: "ns=2;s={{machine}}.item"}}
        mode: {{node: "ns=2;s={{machine}}.mode"}}
      rules:
        - {{when: {{item: 3, mode: 3}}, state: producing}}
        - {{when: {{item: [0, 1]}}, state: breakdown}}
        - {{when: {{item: 2}}, state: starved}}
    counts:
      good: {{node: "ns=2;s={{machine}}.good"}}
      scrap: {{node: "ns=2;s={{machine}}.scrap"}}
      inspected: {{node: "ns=2;s={{machine}}.inspected"}}
    product: {{node: "ns=2;s={{machine}}.product"}}
    energy: {{node: "ns=2;s={{machine}}.energy", unit: kWh, rolls_over_at: 10000}}
    measured:
      temperature: {{node: "ns=2;s={{machine}}.temperature", unit: °C}}
      load: {{node: "ns=2;s={{machine}}.load", unit: "%"}}
      speed: {{node: "ns=2;s={{machine}}.speed", unit: 1/min}}
lines:
  - name: one
    machines:
"""


def write_plant(folder: Path, machines: int) -> Path:
    """A configuration of equal machines."""
    path = folder / "plant.yaml"
    text = PLANT.format(journal=folder / "bench.journal")
    path.write_text(text + "".join(f"      - {{id: m{i:04}, profile: cnc}}\n" for i in range(machines)))
    return path


def write_history(folder: Path, machines: int, minutes: int, every: int) -> list[Path]:
    """Parquet files in the long layout, a file for each five million rows; values as texts only where they are."""
    names = pl.Series([f"m{i:04}.{signal}" for i in range(machines) for signal in SIGNALS])
    rows = max(1, 5_000_000 // len(names))
    seconds = np.arange(0, minutes * 60, every)
    files = []
    for number, start in enumerate(range(0, len(seconds), rows)):
        part = seconds[start : start + rows]
        path = folder / f"history-{number:04}.parquet"
        tag = np.tile(np.arange(len(names), dtype=np.uint32), len(part))
        pl.DataFrame(
            {
                "time": pl.Series(np.repeat(START + part * SECOND, len(names))).cast(pl.Datetime("ns", "UTC")),
                "tag": names.gather(pl.Series(tag)),
                "value": np.concatenate(list(_values(part, machines))),
            }
        ).write_parquet(path, row_group_size=500_000)
        files.append(path)
    return files


def _values(seconds: np.ndarray[Any, np.dtype[np.int64]], machines: int) -> Iterator[np.ndarray[Any, Any]]:
    random = np.random.default_rng(int(seconds[0]))
    for second in seconds.tolist():
        row = np.empty((machines, len(SIGNALS)))
        row[:, 0] = np.where((np.arange(machines) + second // 40) % 7, 3.0, second // 40 % 3)
        row[:, 1] = 3.0
        row[:, 2], row[:, 3], row[:, 4] = second // 20, second // 700, second // 100
        row[:, 5] = second // 1800 % 2
        row[:, 6] = second * 0.003 % 10_000
        row[:, 7:] = random.random((machines, 3)).round(3) * 50
        yield row.ravel()


def engine_alone(folder: Path, plant: Path, files: list[Path]) -> dict[str, float]:
    """CPU time within the engine, over the same samples."""
    spent = 0.0
    timed = ("add", "advance")
    plain = {name: getattr(Engine, name) for name in timed}

    def clocked(name: str) -> Any:
        def call(self: Engine, *arguments: Any) -> Any:
            nonlocal spent
            began = time.process_time()
            try:
                return plain[name](self, *arguments)
            finally:
                spent += time.process_time() - began

        return call

    texts = TextCodes()
    compiled = compile_plant(load(plant), texts)
    (folder / "parts").mkdir()
    (folder / "blocks").mkdir()
    began = time.process_time()
    options = ReplayOptions(files=tuple(files))
    history = History(run.read_settings(compiled, options, 1 << 62), texts, folder / "parts")
    contents = history.read()
    reading = time.process_time() - began
    todo = run.planned(compiled, contents, options, sends=False)
    assert todo is not None
    part = Part(0, {}, todo, None, Keeping(None, 1, frozenset(), compiled, 0), [])
    for name in timed:
        setattr(Engine, name, clocked(name))
    try:
        rows = sum(
            len(fed.update.elements)
            for fed in Feed(compiled, history, part, ArchiveFolder(folder / "blocks"), scaled=False)
        )
    finally:
        for name in timed:
            setattr(Engine, name, plain[name])
    count = contents.samples
    return {
        "samples": count,
        "element_rows": rows,
        "reading_ns_per_sample": round(reading / count * 1e9, 1),
        "engine_ns_per_sample": round(spent / count * 1e9, 1),
        "engine_samples_per_cpu_second": round(count / spent),
    }


def whole_path(plant: Path, files: list[Path]) -> dict[str, float]:
    """CPU time of everything: read, sort, engine, rows, SQLite."""
    config = load(plant)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, wall = time.process_time(), time.perf_counter()
    summary = replay(partial(compile_plant, config), ReplayOptions(files=tuple(files)))
    spent, took = time.process_time() - began, time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "samples": summary.samples,
        "machine_minutes": summary.minutes_new,
        "ns_per_sample": round(spent / summary.samples * 1e9, 1),
        "samples_per_cpu_second": round(summary.samples / spent),
        "samples_per_second": round(summary.samples / took),
        "peak_memory_mb": round((after - before) / 1024),
    }


def case(machines: int, minutes: int, every: int) -> dict[str, Any]:
    """One case in this process; the file is written by another, so that its memory is not counted."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plant = write_plant(folder, machines)
        arguments = ["--write", scratch, "--machines", str(machines), "--minutes", str(minutes), "--every", str(every)]
        subprocess.run([sys.executable, __file__, *arguments], check=True)
        files = sorted(folder.glob("*.parquet"))
        whole = whole_path(plant, files)
        return {
            "machines": machines,
            "minutes": minutes,
            "seconds_between_samples": every,
            "whole": whole,
            "engine": engine_alone(folder, plant, files),
        }


SWEEP = (
    (10, 1440, 1),
    (100, 180, 1),
    (1000, 20, 1),
    (10, 1440, 60),
    (10, 30 * 1440, 60),
    (10, 365 * 1440, 60),
)
"""(machines, minutes, seconds between samples): about as many samples in the first three; a day, a month, a year."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=180)
    parser.add_argument("--every", type=int, default=1, help="seconds between samples of a signal")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_history(options.write, options.machines, options.minutes, options.every)
    elif options.sweep:
        for machines, minutes, every in SWEEP:
            arguments = ["--machines", str(machines), "--minutes", str(minutes), "--every", str(every)]
            subprocess.run([sys.executable, __file__, *arguments], check=True)
    else:
        print(json.dumps(case(options.machines, options.minutes, options.every), indent=2))


if __name__ == "__main__":
    main()
