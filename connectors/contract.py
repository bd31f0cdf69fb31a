"""What every connector promises, and what it does not.

Two shapes were weighed: an async iterator of batches per connector, or a synchronous `take` at each tick. `take` won:
the pipeline commits once a tick whatever arrived, so nothing has to be woken per message, and how much may pile up
between two ticks is the connector's own bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from connectors.faults import Fault
from connectors.samples import SampleBatch

ClockNs = Callable[[], int]
"""The agent's clock: ns since the epoch, UTC. The demonstration plant hands in one that runs faster."""


@dataclass(frozen=True, slots=True)
class Link:
    """The tag by which a connection says that it is up, and how long such a word holds.

    tag: its samples are 1 at every sign of life (at most one a second, stamped with the time of that sign) and 0 at the
        time of the last sign of life when the connection is lost. The engine knows nothing of a machine while it is
        not 1, or when the last 1 is older than `holds_ns`.
    """

    tag: int
    holds_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """What arrived since the last take. `receipt` is the connector's own; hand it back when the batch is on disk."""

    batch: SampleBatch
    receipt: object = None


class ConnectionState(StrEnum):
    """Where a connection stands."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SetAside:
    """One item that is not being collected, why, and what the operator can do."""

    item: str
    fault: Fault
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """What a connector says of itself. Three counts tell whether all that was asked for arrives.

    configured: items of the configuration. accepted: items that the server or broker took on.
    delivering: items that delivered at least one GOOD sample since the connection came up.
    since: ns since the epoch, UTC, of the change to this state. detail: one sentence for a person; no secret.
    """

    name: str
    protocol: str
    endpoint: str
    state: ConnectionState
    since: int
    configured: int
    accepted: int
    delivering: int
    detail: str = ""
    reconnects: int = 0
    samples: int = 0
    last_sample: int | None = None
    faults: Mapping[Fault, int] = field(default_factory=dict)
    fault_examples: Mapping[Fault, str] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()


class Connector(Protocol):
    """A source of batches, delivered at least once.

    Not promised: order between tags, absence of duplicates after a reconnect.
    Constructing checks the settings and touches no network: a fault there is the operator's (ValueError).
    `start` returns at once; a connection that cannot be made is retried with backoff and jitter, and is a fact in
    `health`, never an exception. All methods are called from one event loop.
    """

    name: str

    async def start(self) -> None:
        """Begin to connect and to collect, in tasks of its own."""

    def take(self) -> Delivery:
        """All that arrived since the last call, without waiting; may be empty."""

    async def acknowledge(self, receipt: object) -> None:
        """Tell the sender that a delivery is safe. Receipts come back in the order of their deliveries."""

    async def stop(self) -> None:
        """Disconnect in an orderly way. What was not acknowledged stays with the sender where it can keep it."""

    def health(self) -> ConnectionHealth:
        """How the connection is now."""
