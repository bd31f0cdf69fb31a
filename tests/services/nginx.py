"""A real nginx that lets clients of the v2 write API talk to InfluxDB 1.6, as a plant with an old server would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.process import ServerProcess, free_port, require, running

# `bucket` is `database/retention_policy`, the slash perhaps percent-encoded.
CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  log_format requests '$status $http_content_encoding $content_length';
  access_log {access_log};
  client_max_body_size {most_body_bytes};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $arg_bucket $database {{ ~^(?<name>[^/%]+) $name; }}
  map $arg_bucket $policy {{ default ""; ~(?:/|%2F)(?<rest>.+)$ $rest; }}
  server {{
    listen 127.0.0.1:{port};
    location = /api/v2/write {{
      proxy_pass http://127.0.0.1:{upstream}/write?db=$database&rp=$policy&precision=$arg_precision;
    }}
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
    }}
  }}
}}
"""


class Nginx:
    """The proxy; `url` is what a client of the v2 API is given."""

    def __init__(self, folder: Path, *, upstream: int, most_body_bytes: int) -> None:
        program = require("nginx", package="nginx-light")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.access_log = folder / "access.log"
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                folder=folder,
                port=self.port,
                upstream=upstream,
                access_log=f"{self.access_log} requests",
                most_body_bytes=most_body_bytes,
            )
        )
        self.process = ServerProcess(
            [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")],
            port=self.port,
            folder=folder,
        )


@contextmanager
def nginx(folder: Path, *, upstream: int, most_body_bytes: int = 1_048_576) -> Iterator[Nginx]:
    """A running nginx in front of the InfluxDB on port `upstream`; takes bodies of 1 MB, as it does untold."""
    server = Nginx(folder, upstream=upstream, most_body_bytes=most_body_bytes)
    with running(server.process):
        yield server
