"""The publish loop: requests that wait at the server, messages in sequence, acknowledgements when they are due.

Rule 1: a sequence number is acknowledged only after its samples are on disk; what a crash takes the server still has.
Rule 2: what does not fit is not asked for. A full buffer stops the requests; the server's queues hold the values.
Rule 3: a hole in the sequence is filled by Republish; what cannot be had again is counted, and the values of now are
    read, so that at least the state after the hole is right.

Two ways were weighed to fill what Republish has not: the server's ResendData method, or reading the nodes. Reading won:
every server can, and the values come with their source timestamps.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from asyncua import ua

from connectors.contract import ClockNs
from connectors.faults import Fault, FaultCounts
from connectors.opcua.binary import DecodeError
from connectors.opcua.monitoring import Subscription
from connectors.opcua.publish_decoder import Notification, PublishDecoder
from connectors.opcua.session import UaSession, reason_of, status_text
from connectors.samples import SampleBatch

SPARE_REQUESTS: Final = 2
"""Publish requests at the server beyond one for each subscription, so that one is there while another travels."""
MOST_REQUESTS: Final = 10
MOST_REPUBLISHED: Final = 1000
"""A longer hole is no hole but another subscription's numbering, or a server that restarted within."""
MOST_UNDECODABLE: Final = 3
"""Messages in a row that cannot be decoded before the session is given up."""
LEAST_SILENCE_SECONDS: Final = 2.0

_SEQUENCE_NUMBERS: Final = 2**32 - 1
"""They run from 1 and wrap to 1 (Part 4, 7.30)."""
_TOO_MANY_REQUESTS: Final = 0x80780000
_TRANSFERRED: Final = 0x002D0000
_MESSAGE_NOT_AVAILABLE: Final = 0x807B0000
_NO_SUCH_SUBSCRIPTION: Final = 0x80280000


class SubscriptionLostError(ConnectionError):
    """The server has given up a subscription, or speaks nonsense; a new session is needed."""


class SilentServerError(ConnectionError):
    """The server is connected and says nothing."""


class Receiver(Protocol):
    """Who takes what arrives."""

    def received(self, subscription: int, sequence: int, samples: SampleBatch) -> None:
        """Samples of a message; its number is to be acknowledged when they are safe. 0 = nothing to acknowledge."""

    def alive(self) -> int:
        """The server gave a sign of life. Returns its time by the agent's clock."""

    def has_room(self) -> bool:
        """Whether more may be asked for."""


class Publishing:
    """The publish loop of one session. It survives the session's connection: `run` again after `resume`."""

    def __init__(
        self,
        subscriptions: list[Subscription],
        decoder: PublishDecoder,
        faults: FaultCounts,
        receiver: Receiver,
        clock: ClockNs,
        say: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._subscriptions = subscriptions
        self._decoder = decoder
        self._faults = faults
        self._receiver = receiver
        self._clock = clock
        self._say = say
        self._expected: dict[int, int] = {}
        self._acknowledgements: deque[tuple[int, int]] = deque()
        self._room = asyncio.Event()
        self._undecodable = 0
        self._requests = 0
        self._most_requests = MOST_REQUESTS
        self._last_heard = time.monotonic()
        self._workers: asyncio.TaskGroup | None = None

    def acknowledge(self, messages: list[tuple[int, int]]) -> None:
        """Acknowledge (subscription, sequence number)s with the next request."""
        self._acknowledgements.extend(messages)

    def room_made(self) -> None:
        """The buffer was emptied: ask for more."""
        self._room.set()

    async def run(self, session: UaSession) -> None:
        """Keep requests at the server and take its answers, until something fails. Never returns."""
        self._last_heard = time.monotonic()
        self._requests = 0
        self._room.set()
        async with asyncio.TaskGroup() as workers:
            self._workers = workers
            workers.create_task(self._watch(session))
            self.ask_for_all(session)

    def ask_for_all(self, session: UaSession) -> None:
        """Keep as many requests at the server as its subscriptions need; after there are more of them."""
        assert self._workers is not None
        wanted = min(len(self._subscriptions) + SPARE_REQUESTS, self._most_requests)
        while self._requests < wanted:
            self._requests += 1
            self._workers.create_task(self._ask(session))

    async def catch_up(self, session: UaSession) -> None:
        """After a resumed session: have what was sent into the void sent again."""
        for subscription in self._subscriptions:
            number = subscription.revised.subscription
            for _ in range(MOST_REPUBLISHED):
                if not await self._republish(session, number, self._next(number)):
                    break
                self._expected[number] = _after(self._next(number))

    # Requests and their answers.

    async def _ask(self, session: UaSession) -> None:
        while True:
            await self._wait_for_room()
            acknowledgements = self._due()
            try:
                body = await session.publish(acknowledgements)
            except ua.UaStatusCodeError as error:
                if int(error.code) != _TOO_MANY_REQUESTS or self._requests <= 1:
                    raise
                self.acknowledge(acknowledgements)
                self._requests -= 1
                self._most_requests = self._requests
                return
            except BaseException:
                self.acknowledge(acknowledgements)
                raise
            await self._answered(session, body)

    async def _answered(self, session: UaSession, body: bytes) -> None:
        self._last_heard = time.monotonic()
        now = self._receiver.alive()
        try:
            publish = self._decoder.publish(body, now)
        except DecodeError as error:
            self._undecodable += 1
            if self._undecodable >= MOST_UNDECODABLE:
                raise SubscriptionLostError(f"its messages cannot be decoded: {error}") from error
            return
        self._undecodable = 0
        notification = publish.notification
        if not any(one.revised.subscription == publish.subscription for one in self._subscriptions):
            return  # of a subscription that was being created when this arrived, or of none
        missing = self._missing(publish.subscription, notification)
        sequence = 0 if notification.keep_alive else notification.sequence
        if sequence:
            self._receiver.received(publish.subscription, sequence, notification.samples)
        _check_status(notification)
        if missing:
            await self._fill(session, publish.subscription, missing)

    def _due(self) -> list[tuple[int, int]]:
        due = list(self._acknowledgements)
        self._acknowledgements.clear()
        return due

    async def _wait_for_room(self) -> None:
        while not self._receiver.has_room():
            self._room.clear()
            await self._room.wait()

    # Sequence numbers.

    def _next(self, subscription: int) -> int:
        return self._expected.get(subscription, 1)

    def _missing(self, subscription: int, notification: Notification) -> list[int]:
        """Numbers between the last message and this one. A keep-alive names the next number without using it."""
        expected, came = self._next(subscription), notification.sequence
        behind = (came - expected) % _SEQUENCE_NUMBERS
        if came == 0 or behind > _SEQUENCE_NUMBERS // 2:
            return []  # a message that had been missed, or one sent twice
        self._expected[subscription] = came if notification.keep_alive else _after(came)
        first = max(0, behind - MOST_REPUBLISHED)
        return [(expected - 1 + step) % _SEQUENCE_NUMBERS + 1 for step in range(first, behind)]

    async def _fill(self, session: UaSession, subscription: int, missing: list[int]) -> None:
        lost = 0
        for sequence in missing:
            if not await self._republish(session, subscription, sequence):
                lost += 1
        if not lost:
            return
        self._faults.add(Fault.SEQUENCE_GAP, f"subscription {subscription}: {lost} from message {missing[0]} on", lost)
        self._say("messages_lost", {"subscription": subscription, "messages": lost, "first": missing[0]})
        await self._read_now(session, subscription)

    async def _republish(self, session: UaSession, subscription: int, sequence: int) -> bool:
        """Whether the server had the message still."""
        try:
            body = await session.republish(subscription, sequence)
            notification = self._decoder.republish(body, self._clock())
        except DecodeError:
            self._acknowledgements.append((subscription, sequence))
            return False
        except ua.UaStatusCodeError as error:
            if int(error.code) == _NO_SUCH_SUBSCRIPTION:
                raise SubscriptionLostError(f"the server has no subscription {subscription} any more") from error
            if int(error.code) != _MESSAGE_NOT_AVAILABLE:
                self._say("republish_failed", {"subscription": subscription, "reason": reason_of(error)})
            return False
        if notification.sequence != sequence or notification.keep_alive:
            return False  # asyncua's server answers so for what it has not
        self._receiver.received(subscription, sequence, notification.samples)
        return True

    async def _read_now(self, session: UaSession, number: int) -> None:
        nodes: dict[int, Any] = next(one.nodes for one in self._subscriptions if one.revised.subscription == number)
        tags = np.fromiter(nodes, np.int32, len(nodes))
        at = 0
        for count, body in await session.read_values(list(nodes.values())):
            try:
                samples = self._decoder.read(body, tags[at : at + count], self._clock())
            except DecodeError:
                samples = SampleBatch.empty()
            self._receiver.received(number, 0, samples)
            at += count

    # Silence.

    async def _watch(self, session: UaSession) -> None:
        """Give up a server that says nothing for two keep-alive intervals; keep a session alive that we hold back."""
        silent_checks = 0
        while True:
            patience = max(
                LEAST_SILENCE_SECONDS, 2 * max((one.revised.keep_alive for one in self._subscriptions), default=0)
            )
            await asyncio.sleep(patience / 8)
            if not self._receiver.has_room():
                await session.ping()
                self._last_heard = time.monotonic()
                self._receiver.alive()
            silence = time.monotonic() - self._last_heard
            # Twice: after a pause of our own, answers that wait in the socket are heard before the second look.
            silent_checks = silent_checks + 1 if silence > patience else 0
            if silent_checks >= 2:
                raise SilentServerError(f"connected, but silent for {silence:.1f} s")


def _after(sequence: int) -> int:
    return sequence % _SEQUENCE_NUMBERS + 1


def _check_status(notification: Notification) -> None:
    """Raises SubscriptionLostError where the server says that a subscription has ended."""
    for status in notification.status_changes:
        if status >> 31 or status & 0xFFFF0000 == _TRANSFERRED:
            raise SubscriptionLostError(f"the server ended a subscription: {status_text(status)}")
