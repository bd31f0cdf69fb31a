"""Starts a server program and waits until it answers; no fixed ports, no sleeps that hope."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60.0
"""How long a server may take to start on a loaded machine; a test never waits longer than it has to."""


def require(program: str, *, package: str) -> str:
    """The path of a server program. Skips the test where it is not installed; in CI that is a failure."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    reason = f"{program} is not installed; `make test-servers` installs it (Debian package {package})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], bool], what: str, *, patience: float = PATIENCE_SECONDS) -> None:
    """Poll until `holds()`; fails the test with `what` when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:g} s in vain: {what}")
        time.sleep(0.02)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on the port."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class ServerProcess:
    """A server program that a test can stop, kill and start again on the same port."""

    def __init__(
        self, argv: list[str], *, port: int, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.argv = argv
        self.port = port
        self.log = folder / f"{Path(argv[0]).name}.log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when the port answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self._environment
            )
        process = self._process
        wait_until(
            lambda: process.poll() is not None or listens(self.port), f"{self.argv[0]} listens on port {self.port}"
        )
        if process.poll() is not None:
            pytest.fail(f"{' '.join(self.argv)} ended at once:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """Stop in an orderly way, or with SIGKILL; returns when the process is gone."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@contextlib.contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    """The server, started; stopped on leaving."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
