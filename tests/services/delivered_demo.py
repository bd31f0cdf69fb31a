"""A demonstration that was sent to a real InfluxDB as it ran; one run for all tests that look at the outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edge_agent.journal import JournalReader
from tests.services.influxdb import DATABASE, InfluxDb, influxdb
from tests.services.nginx import nginx

ROOT = Path(__file__).parents[2]


class Delivered(NamedTuple):
    """The database, and the journal that was sent there."""

    database: InfluxDb
    reader: JournalReader


@contextmanager
def delivered_demo(folder: Path) -> Iterator[Delivered]:
    """Five minutes of the plant: an InfluxDB 1.6 behind an nginx that speaks for it, and the journal."""
    with influxdb(folder / "influx") as database, nginx(folder / "nginx", upstream=database.port) as proxy:
        options = ["--speed", "60", "--duration", "5", "--json", "--keep", str(folder), "--influx", proxy.url]
        done = subprocess.run(
            [sys.executable, "-c", "from edge_agent.cli import main; main()", "demo", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), "INFLUX_BUCKET": DATABASE},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["samples"] > 0
        (journal,) = folder.glob("demo-*/demo.journal")
        with JournalReader(journal) as reader:
            assert sum(depth.points for depth in reader.outbox_depth().values()) == 0, done.stderr
            yield Delivered(database, reader)
