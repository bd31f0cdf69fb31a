"""What the MQTT connector needs to know: frozen values, checked by `config`, no secrets in their repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from connectors.contract import Link


@dataclass(frozen=True, slots=True)
class MqttItem:
    """One value within the messages of a topic.

    topic: literal topic; the configuration expands named parts (`plant/{line}/{machine}/status`) for every machine.
    payload: `json` reads `value_path` in a JSON document; `plain` takes the payload as one number or text.
    value_path, time_path: dotted path with list indexes (`status.counts[0].good`). Without `time_path` a sample
        carries the receive time.
    time_unit: of a numeric timestamp; `iso` for RFC 3339 text.
    text: the value becomes a text code; otherwise it must be a number or a Boolean.
    """

    tag: int
    topic: str
    payload: Literal["json", "plain"] = "json"
    value_path: str = ""
    time_path: str | None = None
    time_unit: Literal["s", "ms", "us", "ns", "iso"] = "ms"
    text: bool = False


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One MQTT broker.

    subscribe: topic filters to subscribe to, covering every item's topic; a message that arrives by one of them and
        that no item wants is counted as an unknown topic.
    version: of MQTT; `auto` is 5.0, and 3.1.1 where the broker refuses that.
    """

    name: str
    host: str
    link: Link
    items: tuple[MqttItem, ...]
    subscribe: tuple[str, ...]
    port: int = 1883
    version: Literal["auto", "5.0", "3.1.1"] = "auto"
    client_id: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    keep_alive_ns: int = 15_000_000_000
    session_expiry_ns: int = 86_400_000_000_000
    most_payload_bytes: int = 1_000_000
    backoff_first_ns: int = 500_000_000
    backoff_most_ns: int = 30_000_000_000
    retry_set_aside_ns: int = 60_000_000_000
    most_buffered: int = 500_000
