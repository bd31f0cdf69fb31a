"""The tick: take what arrived, assemble one transaction, commit it, and only then tell the senders.

Rule 1: acknowledge after commit, never before. A commit that fails is tried again with the very same transaction,
while the connectors hold on to what arrives.
Rule 2: the event loop only takes and acknowledges; engine, compression and disk are in one worker thread, so that a
slow disk never delays a keep-alive.

Weighed: a worker process in place of the thread. numpy, polars, zlib and SQLite let go of the interpreter's lock for
most of their time, and a process would have to be handed every sample; the thread won.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from connectors import ClockNs, SampleBatch, TextCodes
from edge_agent.assembly import Assembled, Assembly
from edge_agent.health import Health, connection_facts
from edge_agent.journal import Journal, JournalWriteError, OutboxEntry
from edge_agent.logs import Events, OncePer
from edge_agent.sources import Sources, Taken

T = TypeVar("T")

_log = Events("pipeline")
_STATUS_EVERY_NS: Final = 1_000_000_000
_AGENT_POINTS_EVERY_NS: Final = 10_000_000_000
_RETRY_FIRST_SECONDS: Final = 0.1
_RETRY_MOST_SECONDS: Final = 5.0
_LAST_COMMIT_SECONDS: Final = 10.0
"""How long the last transaction is tried when the agent is asked to end; service managers kill after some more."""


class Sink(Protocol):
    """What drains the outbox, if anything does."""

    def wake(self) -> None:
        """There is something new in the outbox."""

    def statistics(self) -> Any:
        """How it is doing."""


Facts = Callable[[], dict[str, Any]]
AgentPoints = Callable[[Health, list[dict[str, Any]], int], Sequence[OutboxEntry]]


class Pipeline:
    """Runs ticks until it is told to stop.

    facts: what else `status` shows, by name. agent_points: health as points, None where nothing is sent. witness: is
    handed every batch before it is judged by the clock.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        assembly: Assembly,
        journal: Journal,
        texts: TextCodes,
        clock: ClockNs,
        health: Health,
        tick_ns: int,
        sink: Sink | None = None,
        facts: Facts = dict,
        agent_points: AgentPoints | None = None,
        witness: Callable[[SampleBatch], None] | None = None,
    ) -> None:
        self._witness = witness
        self._sources = sources
        self._assembly = assembly
        self._journal = journal
        self._texts = texts
        self._clock = clock
        self._health = health
        self._tick_seconds = tick_ns / 1e9
        self._sink = sink
        self._facts = facts
        self._agent_points = agent_points
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._often = OncePer()
        self._status_at = 0
        self._points_at = 0
        self._said: dict[str, str] = {}  # what `status` shows since the last commit, so that only changes are written
        self.shown: dict[str, Any] = {}
        """What the agent last said of itself, by name, as `status` shows it."""
        self._stop = asyncio.Event()
        self._hurried = asyncio.Event()
        self._deadline: float | None = None
        self.settle_at_end: int | None = None
        """Where (ns) the plant itself ends, so that all is said up to there; None = it goes on, the agent does not."""

    async def run(self, stop: asyncio.Event) -> None:
        """Start the sources and tick until `stop` is set; then settle what can be settled and disconnect.

        Raises JournalWriteError where the last transaction could not be committed in time; its samples were not
        acknowledged.
        """
        self._stop = stop
        await self._sources.start()
        try:
            await self._tick_until(stop)
        except BaseException:
            # The engine knows what was not committed: another transaction would be one without its samples.
            await self._sources.stop()
            self._worker.shutdown()
            raise
        await self._finish()

    def hurry(self) -> None:
        """Tick as soon as possible: a source has much to hand over. Only for callers in the event loop."""
        self._hurried.set()

    async def _tick_until(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        stopping = asyncio.create_task(stop.wait(), name="pipeline.stopping")
        try:
            while not stop.is_set():
                due = max(due + self._tick_seconds, loop.time())
                hurried = asyncio.create_task(self._hurried.wait(), name="pipeline.hurried")
                await asyncio.wait({stopping, hurried}, timeout=due - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                hurried.cancel()
                if stop.is_set():
                    return
                if self._hurried.is_set():
                    self._hurried.clear()
                    due = loop.time()
                else:
                    self._health.lag.note(loop.time() - due)
                while await self.tick() and not stop.is_set():
                    pass
        finally:
            stopping.cancel()

    async def _finish(self) -> None:
        self._deadline = time.monotonic() + _LAST_COMMIT_SECONDS
        try:
            # with the connections still up: what is committed is acknowledged too, and no link is down yet
            settle_to = self.settle_at_end or self._assembly.watermark(self._clock())
            await self.tick(settle_to=settle_to, final=self.settle_at_end is not None)
        finally:
            await self._sources.stop()
        self._status_at = 0  # `status` is to show that the connections were stopped
        await self.tick()
        self._worker.shutdown()

    async def tick(self, *, settle_to: int | None = None, final: bool = False) -> bool:
        """One tick. settle_to, final: as of `Assembly.assemble`. Returns whether another one is due at once."""
        began = time.perf_counter()
        taken = self._sources.take()
        if self._witness is not None:
            self._witness(taken.batch)
        fresh = self._texts.take_fresh()  # after take: whatever text the batch uses was coded before
        status, agent_points = self._condition()
        assembled = await self._in_worker(
            lambda: self._assembly.assemble(
                taken.batch,
                now=self._clock(),
                wall=time.monotonic_ns(),
                texts=fresh,
                status=status,
                agent_points=agent_points,
                settle_to=settle_to,
                final=final,
            )
        )
        if assembled.worth_committing:
            await self._commit(assembled)
        await self._committed(taken, assembled)
        self._health.ticks += 1
        self._health.last_tick_seconds = time.perf_counter() - began
        return assembled.behind

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _commit(self, assembled: Assembled) -> None:
        pause = _RETRY_FIRST_SECONDS
        while True:
            try:
                await self._in_worker(lambda: self._journal.commit(assembled.tick))
            except JournalWriteError as fault:
                self._health.commit_failures += 1
                times = self._often.count("commit")
                if times:
                    _log.error("commit_failed", reason=fault.reason, hint=fault.hint, times=times)
                if self._deadline is None and self._stop.is_set():
                    self._deadline = time.monotonic() + _LAST_COMMIT_SECONDS
                if self._deadline is not None and time.monotonic() > self._deadline:
                    raise
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_MOST_SECONDS)

    async def _committed(self, taken: Taken, assembled: Assembled) -> None:
        await self._sources.acknowledge(taken)
        self._health.samples += len(taken.batch)
        self._health.note(assembled.verdicts)
        if self._sink is not None and assembled.tick.outbox:
            self._sink.wake()

    def _condition(self) -> tuple[dict[str, str] | None, Sequence[OutboxEntry]]:
        wall = time.monotonic_ns()
        if wall - self._status_at < _STATUS_EVERY_NS:
            return None, ()
        self._status_at = wall
        connections = self._sources.health()
        self._health.observe(connections)
        self._health.restarts = self._sources.restarts
        facts = [connection_facts(connection) for connection in connections]
        now = self._clock()
        shown = {
            "agent": self._health.snapshot(now),
            "connections": facts,
            "machines": self._assembly.status(),
            **self._facts(),
        }
        points: Sequence[OutboxEntry] = ()
        if self._agent_points is not None and wall - self._points_at >= _AGENT_POINTS_EVERY_NS:
            self._points_at = wall
            points = self._agent_points(self._health, facts, now)
        self.shown = shown
        said = {name: json.dumps(value, ensure_ascii=False) for name, value in shown.items()}
        fresh = {name: text for name, text in said.items() if self._said.get(name) != text}
        self._said = said
        return fresh, points
