"""What the journal costs: commits of growing ticks, recovery, element reads, and draining to a real database. JSON.

    python bench/journal.py [--folder DIR] [--url http://localhost:8428]

The folder decides which disk is measured. With a URL (VictoriaMetrics, or any v2 write API) draining is measured too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl

from bench.line_protocol import TAGS, batch_of
from config.compiled import InfluxSettings
from connectors import TextCodes
from edge_agent.forwarder import Forwarder
from edge_agent.journal import ELEMENT_SCHEMA, Journal, JournalReader, OutboxKind, Tick
from edge_agent.line_protocol import SignalEncoder
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS

START = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
MACHINES = 100
NAMES = [f"tag {i}" for i in range(TAGS)]


def commit_cost(folder: Path, samples: int, ticks: int) -> dict[str, float]:
    """Milliseconds of one commit: samples in the log, their points in the outbox, a checkpoint of 100 kB each."""
    tags, batch = batch_of(samples)
    outbox = SignalEncoder(tags, site="demo").encode(batch, TextCodes()).entries(OutboxKind.RAW)
    checkpoint = np.random.default_rng(1).bytes(100_000)
    wall, cpu = [], []
    with closing(Journal(folder / f"{samples}.journal", most_bytes=10**10, tags=NAMES)) as journal:
        for tick in range(ticks):
            keep_from = START if tick % 10 else 2**62  # the log is pruned now and then
            begin, begin_cpu = time.perf_counter(), time.process_time()
            journal.commit(
                Tick(samples=batch, outbox=outbox, checkpoint=(checkpoint, keep_from), ledger={"kept": samples})
            )
            wall.append((time.perf_counter() - begin) * 1000)
            cpu.append((time.process_time() - begin_cpu) * 1000)
    return {
        "wall_ms_median": round(statistics.median(wall), 2),
        "wall_ms_most": round(max(wall), 2),
        "cpu_ms_median": round(statistics.median(cpu), 2),
        "cpu_ns_per_sample": round(statistics.median(cpu) * 1e6 / samples, 1),
    }


def recover_cost(folder: Path, samples: int, ticks: int) -> dict[str, float]:
    """Seconds to have all samples of the log back."""
    _, batch = batch_of(samples)
    with closing(Journal(folder / "recover.journal", most_bytes=10**10, tags=NAMES)) as journal:
        for _ in range(ticks):
            journal.commit(Tick(samples=batch))
        begin = time.perf_counter()
        held = len(journal.recover().samples)
        seconds = time.perf_counter() - begin
    return {"samples": held, "seconds": round(seconds, 3), "ns_per_sample": round(seconds / held * 1e9, 1)}


def element_cost(folder: Path, hours: int) -> dict[str, float]:
    """Milliseconds to commit a minute of a hundred machines, and to read hours and minutes."""
    chance = np.random.default_rng(1)
    wall = []
    path = folder / "elements.journal"
    with closing(Journal(path, most_bytes=10**10, tags=[])) as journal:
        for minute in range(hours * 60):
            table = pl.DataFrame(
                {
                    "machine": [f"cnc-{i:03d}" for i in range(MACHINES)],
                    "time": [START + minute * MINUTE_NS] * MACHINES,
                    "shift": ["early"] * MACHINES,
                    "shift_start": [START] * MACHINES,
                    "product": ["HSG-100"] * MACHINES,
                    **{element: chance.integers(0, MINUTE_NS, MACHINES) for element in ELEMENT_IDS},
                },
                schema=dict(ELEMENT_SCHEMA),
            )
            begin = time.perf_counter()
            journal.commit(Tick(elements=table))
            wall.append((time.perf_counter() - begin) * 1000)
        with JournalReader(path) as reader:
            begin = time.perf_counter()
            rows = len(reader.elements("minute", START, START + hours * HOUR_NS))
            read = (time.perf_counter() - begin) * 1000
    return {
        "machines": MACHINES,
        "commit_ms_median": round(statistics.median(wall), 2),
        "commit_ms_most": round(max(wall), 2),
        "read_rows": rows,
        "read_ms": round(read, 1),
        "bytes_per_minute_row": round(path.stat().st_size / rows, 1),
    }


def drain_cost(folder: Path, url: str, samples: int, ticks: int) -> dict[str, float]:
    """Points a second out of a full outbox into the database at `url`, and what that costs the agent."""
    tags, batch = batch_of(samples)
    outbox = SignalEncoder(tags, site="demo").encode(batch, TextCodes()).entries(OutboxKind.RAW)
    path = folder / "drain.journal"
    with closing(Journal(path, most_bytes=10**10, tags=NAMES)) as journal:
        for _ in range(ticks):
            journal.commit(Tick(outbox=outbox))
        forwarder = Forwarder(path, InfluxSettings(url, "bench"))
        begin, begin_cpu = time.perf_counter(), time.process_time()
        forwarder.start()
        forwarder.stop(timeout=600)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    delivered = forwarder.statistics()
    return {
        "points": delivered.delivered_points,
        "requests": delivered.requests,
        "points_per_second": round(delivered.delivered_points / seconds),
        "cpu_ns_per_point": round(cpu / max(1, delivered.delivered_points) * 1e9, 1),
        "cpu_us_per_request": round(cpu / delivered.requests * 1e6, 1),
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--folder", default=None)
    options.add_argument("--url", default=None)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        figures: dict[str, object] = {
            "commit": {samples: commit_cost(folder, samples, 20) for samples in (500, 5_000, 50_000, 200_000)},
            "recover": recover_cost(folder, 5_000, 600),
            "elements": element_cost(folder, 3),
        }
        if given.url is not None:
            figures["drain"] = drain_cost(folder, given.url, 5_000, 200)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
