"""The MQTT connector: settings and messages in, batches and health out.

What lives here: which topic is whose, how a connection is made again, what was delivered and is to be acknowledged.
What does not: the protocol (`broker`, `wire`) and the meaning of a message (`extract`).

Two ways were weighed to hold what is unacknowledged: leave it in the client and acknowledge by message, or keep the
packet ids of a batch as its receipt. The receipt won: acknowledging twenty thousand messages is one write of 80 kB, and
a receipt of an earlier connection is known by its number and dropped, because the broker sends those messages again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from paho.mqtt.client import topic_matches_sub

from connectors.contract import ClockNs, ConnectionHealth, ConnectionState, Delivery, SetAside
from connectors.faults import Fault, FaultCounts
from connectors.mqtt.broker import BrokerSession
from connectors.mqtt.columns import Columns
from connectors.mqtt.extract import TopicPlan, label
from connectors.mqtt.paths import parse_path
from connectors.mqtt.reasons import BrokerError, hint_of
from connectors.mqtt.settings import MqttItem, MqttSettings
from connectors.mqtt.wire import Publish
from connectors.texts import TextCodes

_log = logging.getLogger(__name__)

TEND_SECONDS: Final = 0.5
SIGN_SECONDS: Final = 1.0
"""At most one sign of life a second is delivered."""
STALL_SECONDS: Final = 0.02
STALL_MESSAGES: Final = 10
"""A broker that falls silent with so many messages unacknowledged has probably filled its window and waits for us.
Ten is the smallest window among the brokers in use (RabbitMQ's); mosquitto gives MQTT 3.1.1 clients 20, EMQX all 32."""
SETTLED_SECONDS: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt starts with the first delay again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Receipt:
    """Packet ids of the messages behind a delivery, and the number of the connection that they came by."""

    connection: int
    packet_ids: npt.NDArray[np.uint16]


@dataclass(slots=True)
class _Subscriptions:
    """The broker's verdict on each filter: granted, or refused with the reason; a filter in neither is not answered."""

    granted: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)


class MqttConnector:
    """Samples from the topics of one broker; see `connectors.contract.Connector` for what is promised.

    hurry: called, also many times over, when waiting for the next regular take costs throughput: the broker waits for
        acknowledgements, or the buffer is half full. Taking and acknowledging soon is then worth it.
    Raises ValueError with all that is wrong in the settings, also where a certificate cannot be read.
    """

    def __init__(
        self, settings: MqttSettings, texts: TextCodes, clock: ClockNs, *, hurry: Callable[[], None] | None = None
    ) -> None:
        _check(settings)
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._hurry = hurry
        self._client_id = settings.client_id or f"edge-agent-{socket.gethostname()}-{settings.name}"
        self._tls_wanted()
        self._faults = FaultCounts()
        by_topic: dict[str, list[MqttItem]] = {}
        for item in settings.items:
            by_topic.setdefault(item.topic, []).append(item)
        self._plans = {topic.encode(): TopicPlan(topic, its, texts, self._faults) for topic, its in by_topic.items()}
        self._labels = {item.tag: label(item) for item in settings.items}
        self._filters_of = {topic: [each for each in settings.subscribe if _covers(each, topic)] for topic in by_topic}
        self._columns = Columns()
        self._packet_ids = array("H")
        self._unacknowledged = 0
        self._connection = 0
        self._session: BrokerSession | None = None
        self._version_5 = settings.version != "3.1.1"
        self._version_5_refused = not self._version_5
        self._task: asyncio.Task[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._arrived = 0
        self._arrived_when_armed = 0
        self._received = 0
        self._last_sign: int | None = None
        self._sign_delivered: tuple[float, int] | None = None
        self._subscriptions = _Subscriptions()
        self._is_delivering = np.zeros(1 + max((item.tag for item in settings.items), default=0), np.bool_)
        self._state = ConnectionState.STARTING
        self._since = clock()
        self._detail = "not started"
        self._samples = 0
        self._last_sample: int | None = None

    # What the contract asks for.

    async def start(self) -> None:
        """Begin to connect and to collect, in a task of its own."""
        self._enter(ConnectionState.STARTING, "connecting")
        self._task = asyncio.create_task(self._run(), name=f"mqtt[{self.name}].connection")

    def take(self) -> Delivery:
        """All that arrived since the last call, without waiting."""
        batch = self._columns.take(self._count_not_finite)
        receipt = _Receipt(self._connection, np.frombuffer(self._packet_ids, np.uint16)) if self._packet_ids else None
        self._packet_ids = array("H")
        if len(batch):
            good = batch.tag[(batch.quality == 0) & (batch.tag != self._settings.link.tag)]
            self._is_delivering[good] = True
            self._samples += int((batch.tag != self._settings.link.tag).sum())
        if self._session is not None:
            self._session.resume()
        return Delivery(batch, receipt)

    async def acknowledge(self, receipt: object) -> None:
        """Send the acknowledgements of a delivery; one of an earlier connection is void, the broker sends it again."""
        if isinstance(receipt, _Receipt) and receipt.connection == self._connection and self._session is not None:
            self._unacknowledged -= len(receipt.packet_ids)
            self._session.acknowledge(receipt.packet_ids)

    async def stop(self) -> None:
        """Disconnect in an orderly way. The broker keeps the session and what was not acknowledged."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            self._say_lost()
        self._enter(ConnectionState.STOPPED, "stopped")

    def health(self) -> ConnectionHealth:
        """How the connection is now."""
        settings = self._settings
        up = self._state is ConnectionState.UP
        return ConnectionHealth(
            name=self.name,
            protocol="mqtt",
            endpoint=f"{'mqtts' if settings.tls else 'mqtt'}://{settings.host}:{settings.port}",
            state=self._state,
            since=self._since,
            configured=len(settings.items),
            accepted=sum(self._is_granted(item.topic) for item in settings.items) if up else 0,
            delivering=sum(bool(self._is_delivering[item.tag]) for item in settings.items) if up else 0,
            detail=self._detail,
            reconnects=max(0, self._connection - 1),
            samples=self._samples,
            last_sample=self._last_sample,
            faults=self._faults.counts,
            fault_examples=self._faults.examples,
            set_aside=tuple(self._set_aside()) if up else (),
        )

    # What the broker session tells.

    def connected(self, *, resumed: bool) -> None:
        """A new connection stands; messages may follow at once when the broker had kept the session."""
        self._connection += 1
        self._packet_ids = array("H")
        self._unacknowledged = 0
        self._is_delivering[:] = False
        self._subscriptions = _Subscriptions()
        version = "5.0" if self._version_5 else "3.1.1"
        self._enter(ConnectionState.UP, f"MQTT {version}, session {'resumed' if resumed else 'new'}")
        self.heard()

    def heard(self) -> None:
        """A sign of life: at most one a second becomes a sample of the link tag."""
        self._received = self._last_sign = self._clock()
        now = asyncio.get_running_loop().time()
        if self._sign_delivered is None or now - self._sign_delivered[0] >= SIGN_SECONDS:
            self._sign_delivered = (now, self._received)
            self._columns.add(self._settings.link.tag, self._received, 1.0)

    def message(self, message: Publish) -> bool:
        """Write a message into the columns. Returns whether there is room for more."""
        if message.packet_id:
            self._packet_ids.append(message.packet_id)
            self._unacknowledged += 1
        self._arrived += 1
        plan = self._plans.get(message.topic)
        columns = self._columns
        before = len(columns)
        if plan is None:
            self._faults.add(Fault.UNKNOWN_TOPIC, self._stranger(message.topic))
        elif message.payload is None:
            self._faults.add(Fault.PAYLOAD_TOO_LARGE, f"{_shown(message.topic)}: {message.size} bytes")
        else:
            try:
                plan.extract(message.payload, self._received, columns)
            except Exception:  # a fault of ours, which must not cost the other messages
                columns.cut(before)
                self._faults.add(Fault.UNDECODABLE, _shown(message.topic))
                _log.exception(
                    "message_not_understood", extra={"connection": self.name, "topic": _shown(message.topic)}
                )
        if len(columns) > before:
            self._last_sample = self._received
        self._consider_hurrying(len(columns))
        return len(columns) < self._settings.most_buffered

    # Making and keeping the connection.

    async def _run(self) -> None:
        attempt = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                reason = await self._connect_and_attend()
            except BrokerError as error:
                reason = error
                self._choose_version(error)
            else:
                # 3.1.1 may have been a guess at a broker that was just starting; its refusal of 5.0 is remembered.
                self._version_5 = not self._version_5_refused
            self._lost()
            if asyncio.get_running_loop().time() - began >= SETTLED_SECONDS + TEND_SECONDS:
                attempt = 0
            delay = _delay_seconds(self._settings, attempt)
            attempt += 1
            self._enter(ConnectionState.DOWN, f"{reason}; next attempt in {delay:.1f} s")
            await asyncio.sleep(delay)

    def _choose_version(self, error: BrokerError) -> None:
        """After a connection that never stood: 3.1.1 where 5.0 was refused, the other one where nothing was said."""
        if self._settings.version != "auto":
            return
        if error.version_refused:
            self._version_5_refused = self._version_5
        if error.version_refused or error.unanswered:
            self._version_5 = not self._version_5

    async def _connect_and_attend(self) -> BrokerError:
        """Connect, subscribe, and stay until the end. Returns why it ended; raises BrokerError where it never began."""
        try:
            tls = await asyncio.to_thread(self._tls_wanted)
        except ValueError as error:
            raise BrokerError(str(error)) from error
        first = self._connection == 0
        self._session = session = await BrokerSession.open(
            self._settings, self._client_id, self, tls, version_5=self._version_5
        )
        await self._subscribe(session, self._settings.subscribe, retained=first)
        retry_at = self._next_retry()
        while not session.closed.done():
            await asyncio.wait([session.closed], timeout=TEND_SECONDS)
            session.tend(wants_sign=self._wants_sign())
            if self._pending() and asyncio.get_running_loop().time() >= retry_at:
                await self._subscribe(session, self._pending(), retained=True)
                retry_at = self._next_retry()
        return session.closed.result()

    async def _subscribe(self, session: BrokerSession, filters: Sequence[str], *, retained: bool) -> None:
        verdicts = await session.subscribe(filters, retained=retained)
        if session.closed.done():
            return
        known = self._subscriptions
        for each, verdict in verdicts.items():
            if verdict is not None and not verdict.is_failure:
                known.granted.add(each)
                known.refused.pop(each, None)
                continue
            why = "no answer" if verdict is None else str(verdict)
            hint = "" if verdict is None else hint_of(verdict.value) or hint_of(0x87)
            known.refused[each] = (why, hint)

    def _pending(self) -> list[str]:
        return [each for each in self._settings.subscribe if each not in self._subscriptions.granted]

    def _next_retry(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.retry_set_aside_ns / 1e9

    def _wants_sign(self) -> bool:
        """Whether the last sign of life is about to lose its force, by the agent's clock."""
        if self._last_sign is None:
            return False
        return self._clock() - self._last_sign >= self._settings.link.holds_ns // 3

    def _lost(self) -> None:
        self._session = None
        self._say_lost()

    def _say_lost(self) -> None:
        """Deliver that the link is down since the last sign of life; once, and only if it was up."""
        if self._sign_delivered is None or self._last_sign is None:
            return
        # Where the last sign was delivered itself, one nanosecond later: two values at one time would be a conflict.
        time = self._last_sign + 1 if self._last_sign == self._sign_delivered[1] else self._last_sign
        self._columns.add(self._settings.link.tag, time, 0.0)
        self._sign_delivered = self._last_sign = None

    def _enter(self, state: ConnectionState, detail: str) -> None:
        if state is not self._state:
            self._state = state
            self._since = self._clock()
        self._detail = detail

    def _tls_wanted(self) -> ssl.SSLContext | None:
        """The TLS context of the settings; read anew for each connection, so that renewed certificates count."""
        settings = self._settings
        if not settings.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=settings.ca_certificate)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"ca_certificate {settings.ca_certificate}: cannot be read: {_why(error)}") from error
        if settings.client_certificate is not None:
            try:
                # An empty password: a key that wants one is an error here, not a question on the terminal.
                context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
            except (OSError, ssl.SSLError) as error:
                raise ValueError(
                    f"client_certificate {settings.client_certificate} with client_key {settings.client_key}: "
                    f"cannot be read: {_why(error)}"
                ) from error
        return context

    # Hurrying, health.

    def _consider_hurrying(self, buffered: int) -> None:
        if self._hurry is None:
            return
        if buffered >= self._settings.most_buffered // 2:
            self._hurry()
        elif self._stall is None and self._unacknowledged >= STALL_MESSAGES:
            self._arrived_when_armed = self._arrived
            self._stall = asyncio.get_running_loop().call_later(STALL_SECONDS, self._look_for_stall)

    def _look_for_stall(self) -> None:
        """Messages came and then no more, with many of them unacknowledged: the broker waits for us."""
        self._stall = None
        if self._hurry is None or self._session is None or self._unacknowledged < STALL_MESSAGES:
            return
        if self._arrived == self._arrived_when_armed:
            self._hurry()
        else:
            self._arrived_when_armed = self._arrived
            self._stall = asyncio.get_running_loop().call_later(STALL_SECONDS, self._look_for_stall)

    def _is_granted(self, topic: str) -> bool:
        return any(each in self._subscriptions.granted for each in self._filters_of[topic])

    def _set_aside(self) -> list[SetAside]:
        refused = self._subscriptions.refused
        aside = []
        for item in self._settings.items:
            its = [each for each in self._filters_of[item.topic] if each in refused]
            if its and not self._is_granted(item.topic):
                why, hint = refused[its[0]]
                aside.append(
                    SetAside(label(item), Fault.REFUSED_ITEM, f"the broker refuses the filter {its[0]}: {why}", hint)
                )
        return aside

    def _count_not_finite(self, tag: int, value: float) -> None:
        self._faults.add(Fault.NOT_FINITE, f"{self._labels.get(tag, tag)}: {value}")

    def _stranger(self, topic: bytes) -> str:
        shown = _shown(topic)
        if any(_covers(each, shown) for each in self._settings.subscribe):
            return shown
        return f"{shown} (a subscription of an earlier configuration that the broker still keeps)"


def _delay_seconds(settings: MqttSettings, attempt: int) -> float:
    """Exponential backoff with full jitter: anything between nothing and a bound that doubles, so that a hundred agents
    do not come back to a restarted broker at once."""
    bound = min(settings.backoff_most_ns, settings.backoff_first_ns * 2 ** min(attempt, 40))
    return random.uniform(0.0, bound / 1e9)  # noqa: S311  # spreads attempts; no secret hangs on it


def _covers(topic_filter: str, topic: str) -> bool:
    """Whether messages of a topic arrive by a filter; a shared subscription counts by its own filter."""
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[-1]
    return bool(topic_matches_sub(topic_filter, topic))


def _why(error: OSError) -> str:
    """The reason without numbers and source lines of other people's code."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a certificate or key in PEM form").replace("_", " ").lower()
    return error.strerror or str(error)


def _shown(topic: bytes) -> str:
    return topic[:120].decode(errors="backslashreplace")


def _check(settings: MqttSettings) -> None:
    """Raises ValueError with everything in the settings that cannot work."""
    wrong: list[str] = []
    for each in settings.subscribe:
        if not _is_filter(each):
            wrong.append(f"subscribe: `{each}` is not a topic filter: + stands alone in its level, # alone and last")
    for item in settings.items:
        wrong += _faults_of(item, settings.subscribe)
    if settings.password is not None and settings.username is None:
        wrong.append("password: MQTT sends none without a username")
    if not settings.tls and (settings.ca_certificate or settings.client_certificate or settings.client_key):
        wrong.append("tls: certificates are configured, but tls is off")
    if settings.client_key and not settings.client_certificate:
        wrong.append("client_key: needs its client_certificate")
    if wrong:
        raise ValueError(f"connection {settings.name}: " + "; ".join(wrong))


def _faults_of(item: MqttItem, subscribe: Sequence[str]) -> list[str]:
    wrong = []
    if not item.topic or "+" in item.topic or "#" in item.topic:
        wrong.append(f"topic `{item.topic}`: must be the literal topic of one device, without + and #")
    elif not any(_covers(each, item.topic) for each in subscribe if _is_filter(each)):
        wrong.append(f"topic `{item.topic}`: none of the filters under subscribe covers it")
    if item.payload == "plain" and (item.value_path or item.time_path):
        wrong.append(f"topic `{item.topic}`: a plain payload has no paths")
    for path in (item.value_path, item.time_path or ""):
        try:
            parse_path(path)
        except ValueError as error:
            wrong.append(f"topic `{item.topic}`: {error}")
    return wrong


def _is_filter(text: str) -> bool:
    if not text or len(text.encode()) > 65_535 or "\0" in text:
        return False
    levels = text.split("/")
    return all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels) and "#" not in levels[:-1]
