"""TCP ports for servers that may take any."""

from __future__ import annotations

import socket


def free_port(host: str) -> int:
    """A TCP port of the interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int) -> None:
    """Raises OSError where something listens on the port: better than after a second of preparations."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"port {port} of {host} cannot be used: {error.strerror}") from error
