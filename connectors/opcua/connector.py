"""The OPC UA connector: settings in, batches and health out.

What lives here: making the connection again and again, what waits for the next take, what a receipt acknowledges.
What does not: the protocol (`session`, `publishing`), the bytes (`publish_decoder`), the items (`monitoring`).

After a loss of the network the session is resumed (new channel, same session, Republish), so that nothing is missed
while the server's queues last; only a server that has forgotten it gets a new session.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.contract import ClockNs, ConnectionHealth, ConnectionState, Delivery
from connectors.faults import FaultCounts
from connectors.opcua.library_log import listen
from connectors.opcua.link_signal import LinkSignal
from connectors.opcua.monitoring import Monitoring
from connectors.opcua.publish_decoder import PublishDecoder
from connectors.opcua.publishing import Publishing, SubscriptionLostError
from connectors.opcua.session import REASONS, UaSession, reason_of, security_of
from connectors.opcua.settings import OpcUaSettings
from connectors.samples import Quality, SampleBatch
from connectors.texts import TextCodes

_log = logging.getLogger(__name__)

SETTLED_SECONDS: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt starts with the first delay again."""
LEAST_DELAY_SECONDS: Final = 0.05
STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Receipt:
    """(subscription, sequence number) of the messages behind a delivery, and the session that they came by."""

    session: int
    messages: list[tuple[int, int]]


@dataclass(slots=True, eq=False)
class _Conversation:
    """A session with all that belongs to it, kept while there is hope to resume it.

    resumed: it runs on another connection than the one it began with.
    """

    session: UaSession
    publishing: Publishing
    resumed: bool = False


class OpcUaConnector:
    """Samples from the nodes of one server; see `connectors.contract.Connector` for what is promised.

    Raises ValueError with what is wrong in the settings: node texts, equal tags, security without its files.
    """

    def __init__(self, settings: OpcUaSettings, texts: TextCodes, clock: ClockNs) -> None:
        _check(settings)
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._faults = FaultCounts()
        self._monitoring = Monitoring(settings)
        names = {item.tag: item.node for item in settings.items}
        text_tags = [item.tag for item in settings.items if item.text]
        self._decoder = PublishDecoder(names, text_tags, texts, self._faults)
        self._link = LinkSignal(settings.link, clock)
        self._batches: list[SampleBatch] = []
        self._waiting = 0
        self._messages: list[tuple[int, int]] = []
        self._conversation: _Conversation | None = None
        self._session_number = 0
        self._connections = 0
        self._task: asyncio.Task[None] | None = None
        self._is_delivering = np.zeros(max(names, default=0) + 1, np.bool_)
        self._state = ConnectionState.STARTING
        self._since = clock()
        self._detail = "not started"
        self._library_said = ""
        self._samples = 0
        self._last_sample: int | None = None

    # What the contract asks for.

    async def start(self) -> None:
        """Begin to connect and to collect, in a task of its own."""
        self._enter(ConnectionState.STARTING, "connecting")
        self._task = asyncio.create_task(self._run(), name=f"opcua[{self.name}].connection")

    def take(self) -> Delivery:
        """All that arrived since the last call, without waiting."""
        batches, self._batches = self._batches, []
        messages, self._messages = self._messages, []
        self._waiting = 0
        if self._conversation is not None:
            self._conversation.publishing.room_made()
        values = SampleBatch.concat(batches)
        if len(values):
            self._samples += len(values)
            self._is_delivering[values.tag[values.quality == Quality.GOOD]] = True
        signs = self._link.take()
        batch = SampleBatch.concat([values, signs]) if len(signs) else values
        return Delivery(batch, _Receipt(self._session_number, messages) if messages else None)

    async def acknowledge(self, receipt: object) -> None:
        """Acknowledge the messages of a delivery with the next request; those of an earlier session went with it."""
        if isinstance(receipt, _Receipt) and receipt.session == self._session_number and self._conversation is not None:
            self._conversation.publishing.acknowledge(receipt.messages)

    async def stop(self) -> None:
        """Delete the subscriptions and close the session, in a few seconds at most, whatever the server does."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_SECONDS)
        await self._forget_session()
        self._link.lost()
        self._enter(ConnectionState.STOPPED, "stopped")

    def health(self) -> ConnectionHealth:
        """How the connection is now."""
        up = self._state is ConnectionState.UP
        tags = [item.tag for item in self._settings.items]
        return ConnectionHealth(
            name=self.name,
            protocol="opcua",
            endpoint=self._settings.endpoint,
            state=self._state,
            since=self._since,
            configured=len(tags),
            accepted=self._monitoring.accepted if up else 0,
            delivering=int(self._is_delivering[tags].sum()) if up else 0,
            detail=self._detail,
            reconnects=max(0, self._connections - 1),
            samples=self._samples,
            last_sample=self._last_sample,
            faults=self._faults.counts,
            fault_examples=self._faults.examples,
            set_aside=tuple(self._monitoring.set_aside.values()),
        )

    # What the publish loop tells.

    def received(self, subscription: int, sequence: int, samples: SampleBatch) -> None:
        """Keep samples for the next take, and the number of their message for its receipt."""
        if len(samples):
            self._batches.append(samples)
            self._waiting += len(samples)
            self._last_sample = self._clock()
        if sequence:
            self._messages.append((subscription, sequence))

    def alive(self) -> int:
        """A sign of life, which the link tag delivers. Returns its time."""
        return self._link.alive()

    def has_room(self) -> bool:
        """Whether fewer samples wait than may."""
        return self._waiting < self._settings.most_buffered

    # Making and keeping the connection.

    async def _run(self) -> None:
        listen(self._library_says)
        attempt = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._converse()
            except* REASONS as group:
                error = _first(group)
            except* Exception as group:
                # A fault of ours or of asyncua's: loud, and yet the connection is tried again.
                error = _first(group)
                _log.exception("connection_failed_unexpectedly", extra={"connection": self.name})
            if asyncio.get_running_loop().time() - began >= SETTLED_SECONDS:
                attempt = 0
            delay = _delay_seconds(self._settings, attempt)
            await self._part(error, in_vain=attempt > 0 and self._state is ConnectionState.UP)
            self._detail = f"{self._detail}; next attempt in {delay:.1f} s"
            attempt += 1
            await asyncio.sleep(delay)

    async def _converse(self) -> None:
        """Connect, take on the items, and collect until something fails. Never returns."""
        conversation = await self._resumed() or await self._begun()
        self._connections += 1
        self._library_said = ""
        self._enter(ConnectionState.UP, self._summary(conversation))
        self._link.alive()
        _log.info(
            "connection_up",
            extra={
                "connection": self.name,
                "accepted": self._monitoring.accepted,
                "set_aside": len(self._monitoring.set_aside),
            },
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(conversation.publishing.run(conversation.session), name=f"opcua[{self.name}].publish")
            tasks.create_task(conversation.session.keep_channel(), name=f"opcua[{self.name}].channel")
            tasks.create_task(self._retry_set_aside(conversation), name=f"opcua[{self.name}].set_aside")

    async def _resumed(self) -> _Conversation | None:
        """The last conversation on a new connection; None where there is none or the server has forgotten it."""
        conversation = self._conversation
        if conversation is None:
            return None
        try:
            await conversation.session.resume()
            await conversation.publishing.catch_up(conversation.session)
        except OSError:
            raise  # the server is not to be reached; the session may still be there when it is
        except REASONS:
            await self._forget_session()
            return None
        conversation.resumed = True
        return conversation

    async def _begun(self) -> _Conversation:
        session = UaSession(self._settings)
        try:
            await session.open()
            await self._monitoring.begin(session)
        except BaseException:
            await session.close()
            raise
        self._decoder.namespaces = self._monitoring.namespaces
        self._is_delivering[:] = False
        self._session_number += 1
        publishing = Publishing(
            self._monitoring.subscriptions, self._decoder, self._faults, self, self._clock, self._warn
        )
        self._conversation = _Conversation(session, publishing)
        for aside in self._monitoring.set_aside.values():
            self._faults.add(aside.fault, f"{aside.item}: {aside.reason}")
        self._warn_of_set_aside()
        return self._conversation

    async def _retry_set_aside(self, conversation: _Conversation) -> None:
        while True:
            await asyncio.sleep(self._settings.retry_set_aside_ns / 1e9)
            taken_on = await self._monitoring.retry(conversation.session)
            if taken_on:
                self._decoder.namespaces = self._monitoring.namespaces
                conversation.publishing.ask_for_all(conversation.session)
                self._detail = self._summary(conversation)
                _log.info("items_taken_on", extra={"connection": self.name, "items": taken_on})

    async def _part(self, error: BaseException, *, in_vain: bool) -> None:
        """After a failure: keep a session that may be resumed, end one that is of no more use.

        in_vain: the connection stood for a moment only. A server may take a session up again and yet leave its
        subscriptions silent; then only a new one helps.
        """
        self._go_down(reason_of(error))
        conversation = self._conversation
        if conversation is None:
            return
        if (
            (in_vain and conversation.resumed)
            or isinstance(error, SubscriptionLostError)
            or not isinstance(error, OSError)
        ):
            await self._forget_session()
        else:
            conversation.session.drop()

    async def _forget_session(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            await conversation.session.close()

    def _go_down(self, detail: str) -> None:
        self._link.lost()
        if self._library_said:
            detail = f"{detail} (asyncua: {self._library_said})"
        if self._state is not ConnectionState.DOWN:
            _log.warning("connection_down", extra={"connection": self.name, "reason": detail})
        self._enter(ConnectionState.DOWN, detail)

    def _enter(self, state: ConnectionState, detail: str) -> None:
        if state is not self._state:
            self._state = state
            self._since = self._clock()
        self._detail = detail

    def _summary(self, conversation: _Conversation) -> str:
        subscriptions = len(self._monitoring.subscriptions)
        summary = f"{self._monitoring.accepted} items in {subscriptions} subscription{'s' * (subscriptions != 1)}"
        note = conversation.session.certificate_note
        return f"{summary}; {note}" if note else summary

    def _library_says(self, message: str) -> None:
        self._library_said = message[:200]

    def _warn(self, event: str, facts: dict[str, object]) -> None:
        _log.warning(event, extra={"connection": self.name, **facts})

    def _warn_of_set_aside(self) -> None:
        for aside in self._monitoring.set_aside.values():
            facts: dict[str, object] = {"item": aside.item, "fault": aside.fault.value, "reason": aside.reason}
            if aside.hint:
                facts["hint"] = aside.hint
            self._warn("item_set_aside", facts)


def _check(settings: OpcUaSettings) -> None:
    """Raises ValueError with all that is wrong."""
    faults: list[str] = []
    tags = [item.tag for item in settings.items]
    if len({*tags, settings.link.tag}) != len(tags) + 1:
        faults.append("items and link must have different tags")
    if not settings.endpoint.startswith("opc.tcp://"):
        faults.append(f"endpoint {settings.endpoint!r}: expected an address such as `opc.tcp://192.168.0.10:4840`")
    if settings.security != "None":
        try:
            security_of(settings)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError(f"connection {settings.name}: {'; '.join(faults)}")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause within groups within groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _delay_seconds(settings: OpcUaSettings, attempt: int) -> float:
    """Exponential backoff with full jitter, so that a hundred gateways do not come back at the same moment."""
    most = min(settings.backoff_most_ns, settings.backoff_first_ns * 2 ** min(attempt, 30)) / 1e9
    return max(LEAST_DELAY_SECONDS, random.uniform(0, most))  # noqa: S311 - spreads load, guards nothing
