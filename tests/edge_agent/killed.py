"""An agent's writing side to be killed: commits numbered ticks and says each number once it is committed.

    python -m tests.edge_agent.killed JOURNAL URL

Reads a line for each life: then forks, says `life PID`, and the child commits until it is killed. Forking from a parent
that has imported everything makes a life cheap; the parent touches neither the journal nor a thread.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars as pl

from config.compiled import InfluxSettings
from config.names import Measurement
from connectors import SampleBatch
from edge_agent.forwarder import Forwarder
from edge_agent.journal import INTERVAL_SCHEMA, Journal, OutboxKind, Tick
from edge_agent.line_protocol import encode_points
from kpi.elements import ELEMENT_IDS, HOUR_NS, MINUTE_NS

H0 = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
KEPT_TICKS = 5
"""How many ticks the checkpoint lies behind."""

ARCHIVED_TICKS = 30
"""How many ticks the horizon lies behind."""


def time_of(n: int) -> int:
    """Time of tick n: ten of them in a minute."""
    return H0 + n * MINUTE_NS // 10


def tick(n: int) -> Tick:
    """The n-th transaction, from 1: everything in it says n."""
    minute = time_of(n) // MINUTE_NS * MINUTE_NS
    row = {"machine": "press", "time": minute, "shift": "", "shift_start": 0, "product": ""}
    count_in_minute = n - max(1, -(-(minute - H0) * 10 // MINUTE_NS)) + 1
    points = pl.DataFrame({"time": [time_of(n)], "number": [n]})
    return Tick(
        samples=SampleBatch.of([0], [time_of(n)], [float(n)]),
        texts={f"text {n}": n},
        outbox=encode_points(points, Measurement.AGENT, tags=(), fields=("number",)).entries(OutboxKind.AGENT),
        elements=pl.DataFrame([row | dict.fromkeys(ELEMENT_IDS, count_in_minute)]),
        intervals=pl.DataFrame(
            [("press", minute, time_of(n) + 1, n % 10, "", "")], schema=dict(INTERVAL_SCHEMA), orient="row"
        ),
        checkpoint=(str(n).encode(), time_of(n - KEPT_TICKS)),
        archive={time_of(n - KEPT_TICKS - 1): str(n).encode()},
        archive_from=time_of(n - ARCHIVED_TICKS),
        ledger={"received": 1},
        status={"tick": str(n)},
    )


def live(path: Path, url: str) -> None:
    """Recover, then commit until killed."""
    journal = Journal(path, most_bytes=10**9, tags=["press.good"])
    forwarder = Forwarder(path, InfluxSettings(url, "factory"))
    n = int(journal.recover().checkpoint or b"0")
    forwarder.start()
    while True:
        n += 1
        journal.commit(tick(n))
        os.write(1, f"{n}\n".encode())
        forwarder.wake()


def main() -> None:
    """Give a life for each line."""
    path, url = Path(sys.argv[1]), sys.argv[2]
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            live(path, url)
        os.write(1, f"life {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
