"""A connector at work in a test: it takes and acknowledges as the pipeline does, and remembers what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from connectors import ConnectionHealth, Link, Quality, SampleBatch, TextCodes
from connectors.opcua import OpcUaConnector, OpcUaItem, OpcUaSettings
from tests.services.process import PATIENCE_SECONDS

LINK = 0


def item(tag: int, name: str, **more: Any) -> OpcUaItem:
    """An item of the test server's namespace."""
    return OpcUaItem(tag, f"nsu=urn:test:press;s=Press.{name}", **more)


class Collecting:
    """Enter to start the connector; leaving stops it."""

    def __init__(self, endpoint: str, *items: OpcUaItem, **settings: Any) -> None:
        self.texts = TextCodes()
        usual = {
            "publishing_interval_ns": 50_000_000,
            "backoff_first_ns": 50_000_000,
            "backoff_most_ns": 200_000_000,
            "retry_set_aside_ns": 200_000_000,
        }
        self.settings = OpcUaSettings("press", endpoint, Link(LINK, 3_000_000_000), items, **{**usual, **settings})
        self.connector = OpcUaConnector(self.settings, self.texts, time.time_ns)
        self.acknowledging = True
        self.batches: list[SampleBatch] = []

    async def __aenter__(self) -> Collecting:
        await self.connector.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.connector.stop()

    @property
    def health(self) -> ConnectionHealth:
        return self.connector.health()

    async def take(self) -> SampleBatch:
        """Take and acknowledge once."""
        delivery = self.connector.take()
        self.batches.append(delivery.batch)
        if delivery.receipt is not None and self.acknowledging:
            await self.connector.acknowledge(delivery.receipt)
        return delivery.batch

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Take until it holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain: {what}; {self.health}; {self.samples()[-20:]}"
            await asyncio.sleep(0.01)
            await self.take()

    async def until_value(self, tag: int, value: float) -> None:
        """Take until the tag has delivered the value."""
        await self.until(lambda: value in self.values(tag), f"tag {tag} delivers {value}")

    async def until_accepted(self, count: int) -> None:
        await self.until(lambda: self.health.accepted == count, f"{count} items accepted")

    def samples(self) -> list[tuple[int, int, float, int]]:
        """All so far: (tag, time, value, quality)."""
        one = SampleBatch.concat(self.batches)
        return list(zip(one.tag.tolist(), one.time.tolist(), one.value.tolist(), one.quality.tolist(), strict=True))

    def values(self, tag: int) -> list[float]:
        """What the tag delivered, in order."""
        return [value for at, _, value, _ in self.samples() if at == tag]

    def last(self, tag: int) -> tuple[float, Quality]:
        """Value and quality of the tag's latest sample."""
        return next((value, Quality(quality)) for at, _, value, quality in reversed(self.samples()) if at == tag)

    def text(self, tag: int) -> str:
        return self.texts.text(int(self.last(tag)[0]))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an asynchronous test."""
    asyncio.run(test())
