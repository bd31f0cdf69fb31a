"""A real VictoriaMetrics in a temporary folder: takes /api/v2/write itself, answers with /api/v1/export."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.process import ServerProcess, free_port, require, running


class VictoriaMetrics:
    """The server. Its time resolution is a millisecond, and a series is a measurement, its tags and one field."""

    def __init__(self, folder: Path) -> None:
        program = require("victoria-metrics", package="victoria-metrics")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = ServerProcess(
            [
                program,
                f"-httpListenAddr=127.0.0.1:{self.port}",
                f"-storageDataPath={folder}/data",
                "-retentionPeriod=100y",
                "-search.maxUniqueTimeseries=1000000",
            ],
            port=self.port,
            folder=folder,
        )

    def export(self, match: str = '{__name__!=""}') -> list[dict[str, Any]]:
        """Every series that matches: `metric` (name and labels), `values`, `timestamps` (ms)."""
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=30):
            pass
        query = urllib.parse.urlencode({"match[]": match, "start": "0", "reduce_mem_usage": "1"})
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=30) as answer:
            return [json.loads(line) for line in answer]


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[VictoriaMetrics]:
    """A running VictoriaMetrics, empty."""
    server = VictoriaMetrics(folder)
    with running(server.process):
        yield server
