"""TCP ports for servers that may take any."""

from __future__ import annotations

import socket


def free_port(host: str) -> int:
    """A TCP port of the interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
