"""OPC UA servers for tests: asyncua's own and node-opcua, each a process that can be stopped, killed and paused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.services.process import PATIENCE_SECONDS, free_port

HERE = Path(__file__).parent
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NODE_PACKAGE = "node-opcua-server@2.182.2"


class OpcUaServer:
    """A server process that answers commands, one line of JSON each; it keeps its port from start to start."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.endpoint = f"opc.tcp://127.0.0.1:{self.port}"
        self._argv = [one.replace("PORT", str(self.port)) for one in argv]
        self._log = folder / f"{Path(argv[1]).name}.log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and return when it serves."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=HERE.parent.parent,
                env=self._environment,
            )
        assert self._answer() == "ready", self._log.read_text(errors="replace")[-2000:]

    def tell(self, do: str, **what: Any) -> Any:
        """Send a command and wait for its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def set(self, name: str, value: Any, kind: str = "Double", status: int = 0, at: int | None = None) -> None:
        """Write a value with its status and, in whole microseconds, its source time (ns)."""
        time = None if at is None else str(EPOCH + timedelta(microseconds=at // 1000))
        self.tell("set", name=name, value=value, kind=kind, status=status, at=time)

    def stop(self) -> None:
        """Stop in an orderly way."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._end()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def pause(self) -> None:
        """Stay connected, and say nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        try:
            process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
        assert ready, f"{self._argv} did not answer:\n{self._log.read_text(errors='replace')[-2000:]}"
        line = self._process.stdout.readline().strip()
        assert line, f"{self._argv} ended:\n{self._log.read_text(errors='replace')[-2000:]}"
        return line


def asyncua_server(folder: Path, doubles: int = 10, identity: Identity | None = None) -> OpcUaServer:
    """asyncua's own server, not started; see opcua_asyncua_server.py for its nodes."""
    argv = [sys.executable, str(HERE / "opcua_asyncua_server.py"), "PORT", str(doubles)]
    return OpcUaServer(argv + ([str(identity.certificate), str(identity.key)] if identity else []), folder)


@dataclass(frozen=True)
class Identity:
    """Files of a self-signed certificate and its key."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Identity:
        """A fresh one whose application URI is `urn:test:NAME`."""
        identity = cls(folder / f"{name}.der", folder / f"{name}.pem")
        use = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        asyncio.run(
            setup_self_signed_certificate(
                identity.key, identity.certificate, f"urn:test:{name}", socket.gethostname(), use, {}
            )
        )
        return identity


def node_opcua_server(folder: Path) -> OpcUaServer:
    """node-opcua's server, not started; see opcua_node_server.js. Skips where it cannot be had; in CI that fails."""
    node = shutil.which("node")
    if node is None:
        _give_up("node is not installed; `make test-servers` installs it (Debian package nodejs)")
        raise AssertionError
    modules = _node_modules()
    return OpcUaServer([node, str(HERE / "opcua_node_server.js"), "PORT"], folder, {"NODE_PATH": str(modules)})


def _node_modules() -> Path:
    """node-opcua from npm, installed once for this user."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-agent-tests"
    installed = caches / NODE_PACKAGE
    if installed.is_dir():
        return installed / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        _give_up("npm is not installed; `make test-servers` installs it (Debian package npm)")
        raise AssertionError
    caches.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=caches))
    (fresh / "package.json").write_text('{"private": true}')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", NODE_PACKAGE],
        cwd=fresh,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(fresh)
        _give_up(f"node-opcua cannot be installed: {done.stderr.strip()[-300:]}")
    # A name of its own until it is whole, so that an installation cut short is not taken for one.
    with contextlib.suppress(OSError):
        fresh.rename(installed)
    return installed / "node_modules"


def _give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
