"""One connection to a broker, from CONNECT to its end.

Ways weighed to run paho under asyncio, with 130-byte messages at QoS 1 from mosquitto:
(a) `add_reader` on paho's socket and `loop_read`: paho reads one packet a call and a byte at a time, three to four
    system calls and one turn of the event loop each;
(b) paho's own thread: the same reads, and a lock and a thread switch with them;
(c) asyncio's transport reads up to 256 kB at once, `wire` cuts the packets out and takes PUBLISH apart, and paho gets
    the other packets through a stand-in for its socket.
(c) won: 13 to 20 µs of CPU a message with its six values in columns, where paho's own loop takes 85 to 130 µs before
anything is parsed (`bench/mqtt.py`, both in one run). It also brings name resolution, connecting and TLS that do not
block the loop, and a payload over its bound that never reaches the memory. paho still makes and reads everything but
PUBLISH and PUBACK. The price is one hook that paho does not document, `Client._create_socket`; the tests with a real
broker would notice its end.

Rule: knows nothing of items, samples or settings of the plant; tells its `Listener` what happens, and never raises
through the event loop.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from connectors.mqtt.reasons import SESSION_TAKEN_OVER, UNSUPPORTED_PROTOCOL_VERSION, BrokerError, hint_of, unreachable
from connectors.mqtt.settings import MqttSettings
from connectors.mqtt.wire import PINGREQ, PacketReader, Publish, UndecodableError, pubacks

CONNECT_SECONDS: Final = 10.0
"""For the name, TCP and TLS together."""
ANSWER_SECONDS: Final = 5.0
"""For the broker's answer to CONNECT. A broker that misreads a CONNECT of MQTT 5.0, as amqtt does, never gives one."""
SUBSCRIBE_SECONDS: Final = 20.0
FILTERS_PER_SUBSCRIBE: Final = 8
"""Brokers in the cloud close the connection at more."""
RECEIVE_MAXIMUM: Final = 65_535
"""Messages that may be on their way unacknowledged. mosquitto's own default of 20 would hold the others back until the
next tick; in MQTT 5.0 it takes the client's number instead."""
_MOST_KEEP_ALIVE_SECONDS: Final = 65_535
_MOST_EXPIRY_SECONDS: Final = 2**32 - 1


class Listener(Protocol):
    """Who is told what comes from the broker. All is called from the event loop."""

    def connected(self, *, resumed: bool) -> None:
        """The broker took the connection; `resumed` says that it had kept our session."""

    def heard(self) -> None:
        """Bytes of an established connection came: a sign of life, before the messages in them."""

    def message(self, message: Publish) -> bool:
        """One message. Returns whether there is room for more."""


class BrokerSession(asyncio.Protocol):
    """One connection. `closed` is done when it has ended, with the reason."""

    def __init__(self, settings: MqttSettings, client_id: str, listener: Listener, *, version_5: bool) -> None:
        self.version_5 = version_5
        self.closed: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._reader = PacketReader(most_payload_bytes=settings.most_payload_bytes, version_5=version_5)
        self._answer: asyncio.Future[bool] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._reason: BrokerError | None = None
        self._established = False
        self._paused = False
        self._keep_alive = min(max(1, round(settings.keep_alive_ns / 1e9)), _MOST_KEEP_ALIVE_SECONDS)
        self._transport: asyncio.Transport | None = None
        self._heard_at = self._sent_at = self._loop.time()
        self._ping_at: float | None = None
        self._overdue = 0
        self._wire = _Wire(self)
        self._paho = _Paho(settings, client_id, self._wire, version_5=version_5)
        self._paho.on_connect = self._on_connect
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_disconnect = self._on_disconnect

    @classmethod
    async def open(
        cls,
        settings: MqttSettings,
        client_id: str,
        listener: Listener,
        tls: ssl.SSLContext | None,
        *,
        version_5: bool,
    ) -> BrokerSession:
        """A connection that the broker has accepted. Raises BrokerError with the reason where it has not."""
        session = cls(settings, client_id, listener, version_5=version_5)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: session,
                    settings.host,
                    settings.port,
                    ssl=tls,
                    server_hostname=settings.host if tls is not None else None,
                )
        except OSError as error:
            raise unreachable(error, settings.host, settings.port) from error
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await session._ask_for_session(settings)
        except TimeoutError:
            session.abort()
            raise BrokerError(
                f"{settings.host}:{settings.port} does not answer CONNECT",
                "is this the port of an MQTT broker?",
                version_refused=True,
            ) from None
        except BaseException:
            session.abort()
            raise
        return session

    async def subscribe(self, filters: Sequence[str], *, retained: bool) -> dict[str, ReasonCode | None]:
        """Subscribe with QoS 1. Returns the broker's verdict on each filter, None where it gave none in time.

        retained: whether messages that the broker holds for new subscribers are wanted again (MQTT 5.0 only).
        """
        asked: dict[asyncio.Future[list[ReasonCode]], Sequence[str]] = {}
        for start in range(0, len(filters), FILTERS_PER_SUBSCRIBE):
            some = filters[start : start + FILTERS_PER_SUBSCRIBE]
            _, packet_id = self._paho.subscribe([(each, self._options(retained=retained)) for each in some])
            if packet_id is not None:
                self._granted[packet_id] = self._loop.create_future()
                asked[self._granted[packet_id]] = some
        verdicts: dict[str, ReasonCode | None] = dict.fromkeys(filters)
        if asked:
            answers = asyncio.gather(*asked)
            await asyncio.wait((answers, self.closed), timeout=SUBSCRIBE_SECONDS, return_when="FIRST_COMPLETED")
            answers.cancel()
        for answer, some in asked.items():
            if answer.done() and not answer.cancelled():
                verdicts.update(zip(some, answer.result(), strict=False))
        return verdicts

    def acknowledge(self, packet_ids: npt.NDArray[np.uint16]) -> None:
        """Tell the broker that messages are safe with us; it forgets them."""
        if len(packet_ids):
            self.send(pubacks(packet_ids))

    def pause(self) -> None:
        """Read no more until `resume`; what the broker sends waits in the network, then with the broker."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on where `pause` left off."""
        if not self._paused:
            return
        self._paused = False
        self._heard_at = self._loop.time()  # nobody listened: the silence says nothing about the broker
        self._ping_at = None
        self._read()
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def tend(self, *, wants_sign: bool) -> None:
        """Keep the connection alive; to be called about every half second. Ends it where the broker is silent.

        wants_sign: ask the broker for a sign of life now, whether or not the keep-alive interval is over.
        """
        now = self._loop.time()
        if self.closed.done():
            return
        if self._ping_at is not None and not self._paused:
            # Two looks in a row: after this program itself stood still, the answer may lie unread in the socket.
            self._overdue = self._overdue + 1 if now - self._ping_at >= self._keep_alive else 0
            if self._overdue > 1:
                self.end(BrokerError(f"the broker was silent for {now - self._heard_at:.0f} s"))
                return
        quiet = max(now - self._heard_at, now - self._sent_at)
        pinged = -math.inf if self._ping_at is None else self._ping_at
        if now - pinged >= self._keep_alive / 2 and (wants_sign or quiet >= self._keep_alive / 2):
            self._ping_at = now if self._ping_at is None else self._ping_at
            self.send(PINGREQ)

    async def close(self) -> None:
        """Say goodbye, so that the broker keeps our session and publishes no will, and wait until it is sent."""
        self._paho.disconnect()
        if self._transport is not None:
            self._transport.close()
        await asyncio.wait([self.closed], timeout=1.0)
        self.abort()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def end(self, reason: BrokerError) -> None:
        """End the connection for a reason of ours."""
        self._reason = self._reason or reason
        self.abort()

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport; after the end they go nowhere."""
        if self._transport is not None and not self._transport.is_closing():
            self._sent_at = self._loop.time()
            self._transport.write(data)

    # What asyncio tells a protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._ping_at, self._overdue = None, 0
        if self._established:
            self._listener.heard()
        self._reader.feed(data)
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the broker closed the connection" if exc is None else f"the connection broke: {exc}"
        reason = self._reason or BrokerError(why)
        if not self._answer.done():
            self._answer.set_exception(reason if self._reason else BrokerError(why, unanswered=True))
            self._answer.exception()  # seen: whoever waits for it may have given up
        if not self.closed.done():
            self.closed.set_result(reason)

    # What paho tells.

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._answer.done():
            return
        if reason.is_failure:
            refused = reason.value == UNSUPPORTED_PROTOCOL_VERSION
            self._reason = BrokerError(
                f"the broker refuses the connection: {reason}", hint_of(reason.value), version_refused=refused
            )
            self._answer.set_exception(self._reason)
            return
        self._keep_alive = getattr(properties, "ServerKeepAlive", self._keep_alive) or _MOST_KEEP_ALIVE_SECONDS
        self._established = True
        self._listener.connected(resumed=flags.session_present)
        self._answer.set_result(flags.session_present)

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, packet_id: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        answer = self._granted.pop(packet_id, None)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: Any, reason: ReasonCode | None, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server and reason is not None:
            hint = hint_of(reason.value)
            self._reason = self._reason or BrokerError(f"the broker ended the connection: {reason}", hint)
            if reason.value == SESSION_TAKEN_OVER:
                self._reason = BrokerError("another client took over our session", hint)

    # Inside.

    async def _ask_for_session(self, settings: MqttSettings) -> None:
        self._paho.ask_for_session(settings, self._keep_alive)
        await self._answer

    def _options(self, *, retained: bool) -> Any:
        if not self.version_5:
            return 1
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        return SubscribeOptions(qos=1, retainHandling=handling)

    def _read(self) -> None:
        try:
            while not self._paused:
                packet = self._reader.next()
                if packet is None:
                    return
                if isinstance(packet, Publish):
                    if not self._listener.message(packet):
                        self.pause()
                else:
                    self._wire.give(packet)
                    self._paho.loop_read()
                    if self._paho.want_write():
                        self._paho.loop_write()
        except UndecodableError as error:
            self.end(BrokerError(f"the broker does not follow the protocol: {error}"))
        except Exception as error:  # paho's parsers on hostile bytes: the connection ends, the agent does not
            self.end(BrokerError(f"a packet of the broker cannot be read: {error!r}"))


class _Wire:
    """What paho takes for its socket: it reads whole control packets from memory and writes to the transport."""

    def __init__(self, session: BrokerSession) -> None:
        self._session = session
        self._unread = b""

    def give(self, packet: bytes) -> None:
        """A packet for paho's next read."""
        self._unread += packet

    def recv(self, buffer_size: int) -> bytes:
        if not self._unread:
            raise BlockingIOError
        read, self._unread = self._unread[:buffer_size], self._unread[buffer_size:]
        return read

    def send(self, buffer: bytes | bytearray) -> int:
        self._session.send(bytes(buffer))
        return len(buffer)

    def close(self) -> None:
        session_transport = self._session._transport
        if session_transport is not None:
            session_transport.close()

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        """asyncio's sockets never block."""


class _Paho(paho.Client):
    """paho's client, on the stand-in instead of a socket of its own. One a connection, so no state is carried on."""

    def __init__(self, settings: MqttSettings, client_id: str, wire: _Wire, *, version_5: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if version_5 else False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._wire = wire
        if settings.username is not None:
            self.username_pw_set(settings.username, settings.password)

    def ask_for_session(self, settings: MqttSettings, keep_alive_seconds: int) -> None:
        """Send CONNECT for a session that outlives the connection."""
        if self.protocol == MQTTProtocolVersion.MQTTv5:
            wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            wanted.SessionExpiryInterval = min(round(settings.session_expiry_ns / 1e9), _MOST_EXPIRY_SECONDS)
            wanted.ReceiveMaximum = RECEIVE_MAXIMUM
            self.connect_async(settings.host, settings.port, keep_alive_seconds, clean_start=False, properties=wanted)
        else:
            self.connect_async(settings.host, settings.port, keep_alive_seconds)
        self.reconnect()

    def _create_socket(self) -> Any:
        return self._wire
