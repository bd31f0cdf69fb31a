"""A real mosquitto on a free port, and a publisher that sends bytes as they are given to it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pytest

from tests.services.process import ServerProcess, free_port, require, running


class Mosquitto(ServerProcess):
    """mosquitto with a configuration of its own; stopped and started again it keeps sessions and queues on disk."""

    def __init__(self, folder: Path, *, lines: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        configuration = folder / "mosquitto.conf"
        configuration.write_text(
            "\n".join(
                (
                    "per_listener_settings false",
                    "persistence true",
                    f"persistence_location {folder}/",
                    "log_dest stdout",
                    "max_queued_messages 1000000",
                    f"listener {port} 127.0.0.1",
                    *([] if any(line.startswith("allow_anonymous") for line in lines) else ["allow_anonymous true"]),
                    *lines,
                    "",
                )
            )
        )
        # Started by root, mosquitto becomes the user `mosquitto`, who may not write into a test's folder.
        if folder.owner() == "root":
            configuration.write_text("user root\n" + configuration.read_text())
        program = require("mosquitto", package="mosquitto")
        super().__init__([program, "-c", str(configuration)], port=port, folder=folder)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker that lets everybody in."""
    server = Mosquitto(tmp_path / "mosquitto")
    with running(server):
        yield server


class Publisher:
    """Publishes over MQTT 3.1.1 at QoS 1, many messages in one go; made by hand, so that tests do not test paho with
    paho, and any byte can be sent."""

    def __init__(self, port: int, *, username: str | None = None, password: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        flags, login = 2, b""
        if username is not None:
            flags, login = flags | 0xC0, _text(username) + _text(password)
        self._socket.sendall(_packet(0x10, _text("MQTT") + bytes([4, flags, 0, 0]) + _text("") + login))
        answer = self._receive(4)
        if answer[3] != 0:
            raise ConnectionError(f"the broker answers {answer.hex()}")
        self._packet_id = 0

    def publish(self, *messages: tuple[str, str | bytes], retain: bool = False) -> None:
        """Send messages, (topic, payload) each; returns when the broker has acknowledged them all."""
        for start in range(0, len(messages), 1000):
            some = messages[start : start + 1000]
            self._socket.sendall(b"".join(self._message(topic, payload, retain) for topic, payload in some))
            self._receive(4 * len(some))

    def _message(self, topic: str, payload: str | bytes, retain: bool) -> bytes:
        self._packet_id = self._packet_id % 65_535 + 1
        body = payload.encode() if isinstance(payload, str) else payload
        return _packet(0x33 if retain else 0x32, _text(topic) + struct.pack("!H", self._packet_id) + body)

    def _receive(self, n: int) -> bytes:
        got = b""
        while len(got) < n:
            more = self._socket.recv(n - len(got))
            if not more:
                raise ConnectionError("the broker closed the connection")
            got += more
        return got

    def close(self) -> None:
        """Say goodbye."""
        with self._socket:
            self._socket.sendall(b"\xe0\x00")

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


def _packet(first: int, body: bytes) -> bytes:
    length, n = b"", len(body)
    while True:
        n, low = divmod(n, 128)
        length += bytes([low | (0x80 if n else 0)])
        if not n:
            return bytes([first]) + length + body
