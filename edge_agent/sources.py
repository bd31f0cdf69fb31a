"""Connectors behind a wall: one that raises is logged, counted and made anew; the others do not notice.

A connection that is down is no exception and never comes here: that is the connector's own business. What comes here is
a fault of ours in a connector, and the right answer to that is loud and local.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connectors import ConnectionHealth, ConnectionState, Connector, Delivery, SampleBatch
from edge_agent.logs import Events, OncePer

_log = Events("sources")
_RESTART_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0  # for one acknowledgement or an orderly stop: a dead socket must not hold up the others


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a connector, again if need be. protocol, endpoint: for its health while there is none."""

    name: str
    protocol: str
    endpoint: str
    make: Callable[[], Connector]


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What all sources delivered between two ticks: the samples, and whose receipt is to be handed back."""

    batch: SampleBatch
    receipts: tuple[tuple[Connector, Delivery], ...]


class _Source:
    """One connector with its wall."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.connector = recipe.make()
        self.sick: str | None = None

    def health(self) -> ConnectionHealth:
        if self.sick is None:
            return self.connector.health()
        recipe = self.recipe
        return ConnectionHealth(
            recipe.name, recipe.protocol, recipe.endpoint, ConnectionState.DOWN, 0, 0, 0, 0, detail=self.sick
        )


class Sources:
    """All connectors of the agent. All methods are called from one event loop.

    restarts: how often each was made anew because it raised.
    """

    def __init__(self, recipes: Sequence[Recipe], *, restart_seconds: float = _RESTART_SECONDS) -> None:
        self._sources = [_Source(recipe) for recipe in recipes]
        self._restart_seconds = restart_seconds
        self._restarting: dict[str, asyncio.Task[None]] = {}
        self._often = OncePer()
        self.restarts: Counter[str] = Counter()

    async def start(self) -> None:
        """Start every connector; one that raises is set aside and tried again."""
        for source in self._sources:
            await self._start(source)

    async def _start(self, source: _Source) -> None:
        try:
            await source.connector.start()
        except Exception as fault:
            self._fell_sick(source, "start", fault)

    def take(self) -> Taken:
        """What arrived at all sources since the last call, without waiting."""
        deliveries: list[tuple[_Source, Delivery]] = []
        for source in self._sources:
            if source.sick is not None:
                continue
            try:
                deliveries.append((source, source.connector.take()))
            except Exception as fault:
                self._fell_sick(source, "take", fault)
        batch = SampleBatch.concat([delivery.batch for _, delivery in deliveries if len(delivery.batch)])
        receipts = tuple((source.connector, d) for source, d in deliveries if len(d.batch) or d.receipt is not None)
        return Taken(batch, receipts)

    async def acknowledge(self, taken: Taken) -> None:
        """Tell every sender that its delivery is on disk."""
        by_connector = {id(source.connector): source for source in self._sources}
        for connector, delivery in taken.receipts:
            source = by_connector.get(id(connector))
            if source is None or source.sick is not None:
                continue  # made anew since: the receipt died with the connection it came by
            try:
                await asyncio.wait_for(connector.acknowledge(delivery.receipt), _PATIENCE_SECONDS)
            except Exception as fault:
                self._fell_sick(source, "acknowledge", fault)

    async def all_well(self) -> None:
        """Return when no connector is being made anew."""
        await asyncio.gather(*self._restarting.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Disconnect all, in an orderly way where the other side allows it."""
        for task in self._restarting.values():
            task.cancel()
        await asyncio.gather(*self._restarting.values(), return_exceptions=True)
        await asyncio.gather(*(self._stop(source) for source in self._sources if source.sick is None))

    async def _stop(self, source: _Source) -> None:
        try:
            await asyncio.wait_for(source.connector.stop(), _PATIENCE_SECONDS)
        except Exception as fault:
            _log.warning("connector_stop_failed", connection=source.recipe.name, reason=_said(fault))

    def health(self) -> list[ConnectionHealth]:
        """Health of every connection, in the order of the configuration."""
        found = []
        for source in self._sources:
            try:
                found.append(source.health())
            except Exception as fault:
                self._fell_sick(source, "health", fault)
                found.append(source.health())
        return found

    def _fell_sick(self, source: _Source, doing: str, fault: Exception) -> None:
        name = source.recipe.name
        source.sick = f"connector raised in {doing} and is being made anew: {_said(fault)}"
        self.restarts[name] += 1
        times = self._often.count((name, doing, type(fault)))
        if times:
            _log.exception("connector_raised", connection=name, doing=doing, reason=_said(fault), times=times)
        self._restarting[name] = asyncio.create_task(self._make_anew(source), name=f"source[{name}].restart")

    async def _make_anew(self, source: _Source) -> None:
        await self._stop(source)
        await asyncio.sleep(self._restart_seconds)
        source.connector = source.recipe.make()
        source.sick = None
        await self._start(source)


def _said(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
