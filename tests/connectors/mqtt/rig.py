"""A connector on a broker, run by a test as the pipeline runs it: take, commit, acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np

from connectors import Delivery, Link, SampleBatch, TextCodes
from connectors.mqtt import MqttConnector, MqttItem, MqttSettings
from tests.services.process import PATIENCE_SECONDS

LINK = 0
TAG = 1


@dataclass
class Rig:
    """The connector and all that it delivered."""

    connector: MqttConnector
    texts: TextCodes
    batches: list[SampleBatch] = field(default_factory=list)

    def take(self) -> Delivery:
        """One tick without its acknowledgement, as when the program dies before the commit."""
        delivery = self.connector.take()
        self.batches.append(delivery.batch)
        return delivery

    async def tick(self) -> None:
        """One tick of the pipeline."""
        await self.connector.acknowledge(self.take().receipt)

    @property
    def all(self) -> SampleBatch:
        """Everything delivered so far, the link's samples included."""
        return SampleBatch.concat(self.batches)

    def of(self, tag: int) -> SampleBatch:
        """Everything delivered of one tag."""
        return self.all.where(self.all.tag == tag)

    def values(self, tag: int = TAG) -> list[float]:
        """The values of a tag in the order of arrival."""
        return [float(value) for value in self.of(tag).value]

    async def until(self, holds: Callable[[], bool], what: str, *, acknowledging: bool = True) -> None:
        """Tick until `holds()`; fails with `what` when it does not in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain: {what}; {self.connector.health()}"
            if acknowledging:
                await self.tick()
            else:
                self.take()
            await asyncio.sleep(0.005)

    async def until_accepted(self) -> None:
        """Until the broker has granted every item's subscription."""
        await self.until(
            lambda: self.connector.health().accepted == self.connector.health().configured, "all items accepted"
        )

    def distinct(self, tag: int = TAG) -> set[float]:
        """The values of a tag, a redelivery counted once."""
        return {float(value) for value in np.unique(self.of(tag).value)}


def settings(port: int, *items: MqttItem, **changes: object) -> MqttSettings:
    """Settings for a broker on this machine, with quick retries."""
    wanted: dict[str, object] = {
        "name": "floor",
        "host": "127.0.0.1",
        "port": port,
        "link": Link(LINK, 30_000_000_000),
        "items": items,
        "subscribe": ("plant/#",),
        "client_id": "edge-agent-test",
        "backoff_first_ns": 20_000_000,
        "backoff_most_ns": 200_000_000,
    }
    return MqttSettings(**(wanted | changes))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def rig(
    wanted: MqttSettings, *, clock: Callable[[], int] = time.time_ns, hurry: Callable[[], None] | None = None
) -> AsyncIterator[Rig]:
    """A started connector, stopped on leaving."""
    texts = TextCodes()
    connector = MqttConnector(wanted, texts, clock, hurry=hurry)
    await connector.start()
    try:
        yield Rig(connector, texts)
    finally:
        await connector.stop()
