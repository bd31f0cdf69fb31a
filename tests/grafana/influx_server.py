"""An InfluxDB 1.x of Debian for the boards' tests: a real `influxd` on free ports, with one database."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import ServerProcess, free_port, require, running, wait_until

DATABASE = "factory"

_CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
[monitor]
store-enabled = false
"""


@dataclass(frozen=True, slots=True)
class InfluxServer:
    """A running server. url: without a path."""

    url: str
    database: str = DATABASE

    def write(self, lines: list[str]) -> None:
        """Write points in line protocol, times in ms."""
        self._post(f"{self.url}/write?db={self.database}&precision=ms", "\n".join(lines).encode())

    def create(self) -> None:
        """Create the database."""
        self._post(f"{self.url}/query?q=CREATE+DATABASE+{self.database}", b"")

    def answers(self) -> bool:
        """Whether it takes requests."""
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.url}/ping", timeout=2).close()
            return True
        return False

    @staticmethod
    def _post(url: str, body: bytes) -> None:
        request = urllib.request.Request(url, data=body, method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@contextlib.contextmanager
def influx_server(folder: Path) -> Iterator[InfluxServer]:
    """A fresh server with an empty database; gone on leaving."""
    program = require("influxd", package="influxdb")
    rpc, http = free_port(), free_port()
    settings = folder / "influxdb.conf"
    settings.write_text(_CONFIGURATION.format(folder=folder, rpc=rpc, http=http))
    with running(ServerProcess([program, "-config", str(settings)], port=http, folder=folder)):
        server = InfluxServer(f"http://127.0.0.1:{http}")
        wait_until(server.answers, "InfluxDB answers")
        server.create()
        yield server
