"""What the OPC UA connector needs to know: frozen values, checked by `config`, no secrets in their repr."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.contract import Link


@dataclass(frozen=True, slots=True)
class OpcUaItem:
    """One monitored node.

    node: a NodeId in text form with namespace index or URI (`ns=2;s=Press.State`, `nsu=http://…;i=5006`), or a browse
        path from the Objects folder whose steps name their namespace by URI or index
        (`/2:Machines/2:CNC-1/nsu=http://opcfoundation.org/UA/Machinery/;MachineryItemState`).
    sampling_interval_ns: asked of the server; 0 = every change that the server sees.
    queue_size: values that the server may hold between two publishes.
    text: the value becomes a text code; otherwise it must be a number or a Boolean.
    """

    tag: int
    node: str
    sampling_interval_ns: int = 0
    queue_size: int = 100
    text: bool = False


@dataclass(frozen=True, slots=True)
class OpcUaSettings:
    """One OPC UA server.

    security: `None`, or `Policy,Mode` such as `Basic256Sha256,SignAndEncrypt`. Paths are of the agent's own
    certificate and key and of the server's certificate.
    """

    name: str
    endpoint: str
    link: Link
    items: tuple[OpcUaItem, ...]
    publishing_interval_ns: int = 500_000_000
    session_timeout_ns: int = 60_000_000_000
    request_timeout_ns: int = 5_000_000_000
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    security: str = "None"
    certificate: str | None = None
    private_key: str | None = None
    server_certificate: str | None = None
    backoff_first_ns: int = 500_000_000
    backoff_most_ns: int = 30_000_000_000
    retry_set_aside_ns: int = 60_000_000_000
    most_buffered: int = 500_000
