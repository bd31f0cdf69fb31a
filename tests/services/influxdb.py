"""A real InfluxDB 1.6.7 (Debian's) in a temporary folder, with what tests ask it."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.process import ServerProcess, free_port, require, running, wait_until

DATABASE = "factory"

CONFIG = """
reporting-enabled = false
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
"""


class InfluxDb:
    """The server and its query interface. `process` stops and starts it; its data stay."""

    def __init__(self, folder: Path) -> None:
        program = require("influxd", package="influxdb")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "influxdb.conf"
        config.write_text(CONFIG.format(folder=folder, port=self.port, rpc_port=free_port()))
        self.process = ServerProcess([program, "-config", str(config)], port=self.port, folder=folder)

    def query(self, query: str, *, database: str = DATABASE) -> list[dict[str, Any]]:
        """The series of an InfluxQL query: `name`, `tags`, `columns`, `values`; times are ns."""
        form = urllib.parse.urlencode({"q": query, "db": database, "epoch": "ns"}).encode()
        with urllib.request.urlopen(f"{self.url}/query", form, timeout=30) as answer:
            result = json.load(answer)["results"][0]
        assert "error" not in result, result["error"]
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def points(self, measurement: str, *, database: str = DATABASE) -> list[dict[str, Any]]:
        """Every point of a measurement: `time`, its tags, and its fields that are set."""
        found: list[dict[str, Any]] = []
        for series in self.query(f'SELECT * FROM "{measurement}" GROUP BY *', database=database):
            tags = {name: value for name, value in series.get("tags", {}).items() if value != ""}
            for values in series["values"]:
                fields = dict(zip(series["columns"], values, strict=True))
                found.append({**tags, **{name: value for name, value in fields.items() if value is not None}})
        return found

    def answers(self) -> bool:
        """Whether it answers a ping."""
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def influxdb(folder: Path, *, database: str = DATABASE) -> Iterator[InfluxDb]:
    """A running InfluxDB with an empty database."""
    server = InfluxDb(folder)
    with running(server.process):
        wait_until(server.answers, "InfluxDB answers a ping")
        server.query(f'CREATE DATABASE "{database}"')
        yield server
