"""Why a broker did not do what was asked, and what an operator can do about it."""

from __future__ import annotations

import socket
import ssl
from typing import Final

UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84
SESSION_TAKEN_OVER: Final = 0x8E

_HINTS: Final[dict[int, str]] = {
    0x85: "choose another `client_id`: letters and digits, at most 23",
    0x86: "check `username` and `password`",
    0x87: "check `username` and `password`, and what the broker's access list allows this user",
    0x8A: "the broker has banned this client; ask its administrator",
    SESSION_TAKEN_OVER: "another client uses the same `client_id`; give each agent its own",
    0x8F: "check the spelling of the topic filter",
    0x97: "raise the quota of this client at the broker",
    0x9D: "the broker has moved; change `host`",
    0xA1: "the broker knows no subscription identifiers",
    0xA2: "the broker allows no wildcards; list the topics one by one under `subscribe`",
}
"""MQTT 5.0 reason code → what to do. paho gives the codes of MQTT 3.1.1 as those of 5.0."""


def hint_of(reason_code: int) -> str:
    """What an operator can do about a reason code; empty where there is nothing but to wait."""
    return _HINTS.get(reason_code, "")


class BrokerError(Exception):
    """A connection that could not be made, or that ended. Its text is one sentence for a person, without secrets.

    version_refused: the broker said that it does not speak this version of MQTT, or could make nothing of CONNECT.
    unanswered: it closed the connection without a word, as some do that do not know the version, and all do while
    they start or stop.
    """

    def __init__(self, reason: str, hint: str = "", *, version_refused: bool = False, unanswered: bool = False) -> None:
        super().__init__(f"{reason} ({hint})" if hint else reason)
        self.version_refused = version_refused
        self.unanswered = unanswered


def unreachable(error: OSError, host: str, port: int) -> BrokerError:
    """The error of a connection that did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            f"the certificate of {host}:{port} is not trusted: {error.verify_message}",
            "check `ca_certificate`, the name in `host` and this machine's clock",
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "handshake failed").replace("_", " ").lower()
        return BrokerError(f"no TLS with {host}:{port}: {reason}", "is this the broker's TLS port?")
    if isinstance(error, socket.gaierror):
        return BrokerError(f"the name {host} cannot be resolved", "check `host` and the name server")
    if isinstance(error, ConnectionRefusedError):
        return BrokerError(f"nothing listens on {host}:{port}", "is the broker running, and is `port` right?")
    if isinstance(error, TimeoutError):
        return BrokerError(f"{host}:{port} does not answer", "check the network and firewalls on the way")
    return BrokerError(f"cannot connect to {host}:{port}: {error.strerror or error}")
