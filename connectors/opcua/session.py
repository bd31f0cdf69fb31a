"""A session with a server: asyncua for channel, security and services, and raw bytes where values travel.

What lives here: the services that the connector uses, each split by what the server says it takes in one call. What
it must not know: tags, samples, when to try again.

Two ways were weighed to use asyncua: `Client.connect`, with its watchdog and publish loop, or its building blocks one
by one. The blocks won: the watchdog reads a node every second, the publish loop keeps one request in flight and
decodes each value into objects, and both log tracebacks for what is here a fact of the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import struct_from_binary
from cryptography import x509

from connectors.opcua.settings import OpcUaSettings

MOST_PER_CALL: Final = 1000
"""Operations in one call where the server states no limit; more would only make its answers come later."""
KEEP_ALIVE_SECONDS: Final = 5.0
KEEP_ALIVES_WHILE_LINK_HOLDS: Final = 3
LIFETIME_SECONDS: Final = 600.0
"""How long a server keeps a subscription whose publish requests do not come: longer than our buffer may be full."""
MOST_NOTIFICATIONS: Final = 20_000
"""Values in one message, about 700 kB; a server with more says so and sends the rest at once."""
CLOSE_SECONDS: Final = 2.0

_SERVER_STATE: Final = 2259
_NAMESPACES: Final = 2255
_LIMIT_NODES: Final = {"read": 11705, "translate": 11712, "monitor": 11714}
_TOO_LARGE: Final = frozenset(
    {
        0x80100000,  # BadTooManyOperations
        0x80080000,  # BadEncodingLimitsExceeded
        0x80B80000,  # BadRequestTooLarge
        0x80B90000,  # BadResponseTooLarge
        0x80800000,  # BadTcpMessageTooLarge
    }
)

_OF_THE_SESSION: Final = frozenset(
    {
        0x800A0000,  # BadTimeout
        0x800C0000,  # BadShutdown
        0x800D0000,  # BadServerNotConnected
        0x800E0000,  # BadServerHalted
        0x80250000,  # BadSessionIdInvalid
        0x80260000,  # BadSessionClosed
        0x80270000,  # BadSessionNotActivated
        0x80280000,  # BadSubscriptionIdInvalid
        0x80220000,  # BadSecureChannelIdInvalid
        0x80860000,  # BadSecureChannelClosed
        0x80AE0000,  # BadConnectionClosed
    }
)
"""Faults that are not of the items of a call."""
_NO_MORE: Final = frozenset({0x80DB0000})
"""BadTooManyMonitoredItems: asking for fewer of them would only take a call for each."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Limits:
    """Operations that the server takes in one call."""

    read: int = MOST_PER_CALL
    translate: int = MOST_PER_CALL
    monitor: int = MOST_PER_CALL


@dataclass(frozen=True, slots=True)
class Revised:
    """A subscription as the server granted it. Times in seconds."""

    subscription: int
    interval: float
    keep_alive: float


class UaSession:
    """One session with one server. `open` or `resume` first; every method may raise what `REASONS` names.

    certificate_note: says that the server's certificate was taken as it came, with its fingerprint; empty otherwise.
    """

    def __init__(self, settings: OpcUaSettings) -> None:
        self._settings = settings
        self._timeout = settings.request_timeout_ns / 1e9
        self._client = Client(settings.endpoint, timeout=self._timeout)
        self._client.name = self._client.description = f"edge-agent {settings.name}"
        self._client.session_timeout = settings.session_timeout_ns // 1_000_000
        if settings.username is not None:
            self._client.set_user(settings.username)
        if settings.password is not None:
            self._client.set_password(settings.password)
        self._limits = Limits()
        self.certificate_note = ""

    # The connection itself.

    async def open(self) -> None:
        """Connect, and create and activate a session."""
        await self._secure()
        await self._connect()
        await self._client.create_session()
        await self._activate()
        self._limits = await self._read_limits()

    async def resume(self) -> None:
        """Connect anew and activate the session that the last connection left behind (Part 4, 6.7)."""
        self.drop()
        await self._connect()
        self._client.uaclient.session.rebind_authentication_token()
        await self._activate()

    def drop(self) -> None:
        """Close the socket without a word, so that the server keeps the session for a while."""
        self._client.disconnect_socket()

    async def close(self) -> None:
        """Delete the subscriptions, close session and channel; takes CLOSE_SECONDS at most and raises nothing."""
        ua_client = self._client.uaclient
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self.connected:
                    await ua_client.close_session(True)
                    await ua_client.close_secure_channel()
        except REASONS:
            pass  # the server's session ends by its timeout instead
        finally:
            self.drop()

    @property
    def connected(self) -> bool:
        """Whether the socket is open."""
        protocol = self._client.uaclient.protocol
        return protocol is not None and protocol.transport is not None

    async def keep_channel(self) -> None:
        """Renew the secure channel for ever, each time three quarters of its life are over (Part 4, 5.5.2.1)."""
        while True:
            await asyncio.sleep(self._client.secure_channel_timeout * 0.75 / 1000)
            await self._client.open_secure_channel(renew=True)
            self._client.uaclient.revolve_security_token()

    async def _connect(self) -> None:
        await self._client.connect_socket()
        try:
            await self._client.send_hello()
            await self._client.open_secure_channel()
        except (*REASONS, asyncio.CancelledError):
            self.drop()
            raise
        except Exception as error:
            # A server that refuses the security policy answers with a fault, on which asyncua trips.
            self.drop()
            raise ConnectionError("the server opened no secure channel; does it take this `security`?") from error

    async def _activate(self) -> None:
        await self._client.activate_session(username=self._settings.username, password=self._settings.password)

    async def _secure(self) -> None:
        settings = self._settings
        if settings.security == "None":
            return
        policy, mode = security_of(settings)
        assert settings.certificate is not None
        assert settings.private_key is not None
        certificate = await uacrypto.load_certificate(settings.certificate)
        self._client.application_uri = _application_uri(certificate) or self._client.application_uri
        pinned = settings.server_certificate
        await self._client.set_security(
            policy, settings.certificate, settings.private_key, server_certificate=pinned, mode=mode
        )
        if pinned is None:
            fingerprint = hashlib.sha256(self._client.security_policy.peer_certificate).hexdigest()
            self.certificate_note = f"server certificate not pinned, SHA-256 {fingerprint}"

    # Services.

    async def namespaces(self) -> tuple[str, ...]:
        """The namespace URIs of this session, by index."""
        (array,) = await self._client.uaclient.session.read_attributes(
            [_server_node(_NAMESPACES)], ua.AttributeIds.Value
        )
        return tuple(array.Value.Value or ()) if array.Value is not None else ()

    async def ping(self) -> None:
        """Ask for the server's state: the cheapest question that every server answers."""
        await self._client.uaclient.session.read_attributes([_server_node(_SERVER_STATE)], ua.AttributeIds.Value)

    async def data_types(self, nodes: Sequence[Any]) -> list[Any]:
        """The DataType attribute of each node, as a DataValue that may be bad."""

        async def read(some: Sequence[Any]) -> list[Any]:
            answers = await self._client.uaclient.session.read_attributes(list(some), ua.AttributeIds.DataType)
            return list(answers)

        return await _in_batches(nodes, self._limits.read, read, lambda status: ua.DataValue(StatusCode=status))

    async def translate(self, paths: Sequence[Sequence[Any]]) -> list[Any]:
        """The BrowsePathResult of each path of QualifiedNames from the Objects folder."""

        async def translate(some: Sequence[Sequence[Any]]) -> list[Any]:
            wanted = [_browse_path(names) for names in some]
            return list(await self._client.uaclient.session.translate_browsepaths_to_nodeids(wanted))

        return await _in_batches(
            paths, self._limits.translate, translate, lambda status: ua.BrowsePathResult(StatusCode=status)
        )

    async def children(self, node: Any) -> list[Any]:
        """ReferenceDescriptions of what is below a node; as many as the server gives in one answer."""
        description = ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=ua.BrowseDirection.Forward,
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
            IncludeSubtypes=True,
            NodeClassMask=0,
            ResultMask=ua.BrowseResultMask.All,
        )
        parameters = ua.BrowseParameters(RequestedMaxReferencesPerNode=1000, NodesToBrowse=[description])
        (result,) = await self._client.uaclient.session.browse(parameters)
        return list(result.References or ())

    async def create_subscription(self, interval_ns: int, link_holds_ns: int) -> Revised:
        """A subscription of its own publishing interval, with keep-alives while a sign of life still holds.

        What the server made of it counts.
        """
        interval_ms = interval_ns / 1e6
        request = ua.CreateSubscriptionRequest()
        keep_alive_ms = min(KEEP_ALIVE_SECONDS * 1e3, link_holds_ns / 1e6 / KEEP_ALIVES_WHILE_LINK_HOLDS)
        keep_alive = max(1, round(keep_alive_ms / interval_ms))
        request.Parameters.RequestedPublishingInterval = interval_ms
        request.Parameters.RequestedMaxKeepAliveCount = keep_alive
        request.Parameters.RequestedLifetimeCount = max(
            3 * keep_alive, math.ceil(LIFETIME_SECONDS * 1000 / interval_ms)
        )
        request.Parameters.MaxNotificationsPerPublish = MOST_NOTIFICATIONS
        request.Parameters.PublishingEnabled = True
        # asyncua's own method would start its publish loop
        answer = await self._client.uaclient.session._send_request(request)
        response = struct_from_binary(ua.CreateSubscriptionResponse, answer)
        response.ResponseHeader.ServiceResult.check()
        granted = response.Parameters
        interval = float(granted.RevisedPublishingInterval) / 1000
        return Revised(int(granted.SubscriptionId), interval, interval * max(1, int(granted.RevisedMaxKeepAliveCount)))

    async def create_monitored_items(self, subscription: int, items: Sequence[Any]) -> list[Any]:
        """The MonitoredItemCreateResult of each MonitoredItemCreateRequest."""

        async def create(some: Sequence[Any]) -> list[Any]:
            parameters = ua.CreateMonitoredItemsParameters()
            parameters.SubscriptionId = subscription
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ItemsToCreate = list(some)
            return list(await self._client.uaclient.session.create_monitored_items(parameters))

        return await _in_batches(
            items, self._limits.monitor, create, lambda status: ua.MonitoredItemCreateResult(StatusCode=status)
        )

    async def publish(self, acknowledgements: Sequence[tuple[int, int]]) -> bytes:
        """Send a PublishRequest and wait, for ever, for its response; returns it undecoded.

        acknowledgements: (subscription, sequence number) of messages that are safe.
        """
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(*one) for one in acknowledgements
        ]
        return bytes(await self._client.uaclient.session._send_request(request, timeout=0))

    async def republish(self, subscription: int, sequence: int) -> bytes:
        """The RepublishResponse, undecoded, with a message that was sent before."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = subscription
        request.Parameters.RetransmitSequenceNumber = sequence
        return bytes(await self._client.uaclient.session._send_request(request))

    async def read_values(self, nodes: Sequence[Any]) -> list[tuple[int, bytes]]:
        """ReadResponses, undecoded, with the values of nodes now: (number of nodes, bytes) one after the other."""

        async def read(some: Sequence[Any]) -> list[tuple[int, bytes]]:
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            request.Parameters.NodesToRead = [ua.ReadValueId(node, ua.AttributeIds.Value) for node in some]
            return [(len(some), bytes(await self._client.uaclient.session._send_request(request)))]

        return await _in_batches(nodes, self._limits.read, read)

    async def _read_limits(self) -> Limits:
        nodes = [_server_node(number) for number in _LIMIT_NODES.values()]
        answers = await self._client.uaclient.session.read_attributes(nodes, ua.AttributeIds.Value)
        stated = {}
        for name, answer in zip(_LIMIT_NODES, answers, strict=True):
            limit = answer.Value.Value if answer.Value is not None else None
            stated[name] = min(limit, MOST_PER_CALL) if isinstance(limit, int) and limit > 0 else MOST_PER_CALL
        return Limits(**stated)


REASONS: Final = (OSError, TimeoutError, ua.UaError)
"""What can go wrong with a server; everything else is a fault of ours."""


def reason_of(error: BaseException) -> str:
    """Why a connection or an item failed, in words for a person."""
    if isinstance(error, ua.UaStatusCodeError):
        return status_text(int(error.code))
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def status_text(code: int) -> str:
    """Name of a status code and what it means, as in `BadNodeIdUnknown: The node id refers to …`."""
    name, meaning = ua.status_codes.get_name_and_doc(code)
    return f"{name}: {meaning}" if meaning else str(name)


def security_of(settings: OpcUaSettings) -> tuple[Any, Any]:
    """asyncua's policy class and mode for a text such as `Basic256Sha256,SignAndEncrypt`. Raises ValueError."""
    policy_name, _, mode_name = settings.security.partition(",")
    policy = getattr(security_policies, f"SecurityPolicy{policy_name.replace('_', '').strip()}", None)
    modes = {"Sign": ua.MessageSecurityMode.Sign, "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt}
    mode = modes.get(mode_name.strip())
    if policy is None or mode is None:
        raise ValueError(
            f"security {settings.security!r}: expected `None` or a policy and a mode such as "
            "`Basic256Sha256,SignAndEncrypt`"
        )
    if not settings.certificate or not settings.private_key:
        raise ValueError(f"security {settings.security!r} needs `certificate` and `private_key`")
    for name in ("certificate", "private_key", "server_certificate"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise ValueError(f"{name}: there is no file {path}")
    return policy, mode


def _application_uri(certificate: x509.Certificate) -> str | None:
    """The URI in a certificate, which servers compare with the ApplicationUri of the session (Part 6, 6.2.2)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None


def _server_node(number: int) -> Any:
    return ua.NodeId(number, 0)


def _browse_path(names: Sequence[Any]) -> Any:
    elements = [
        ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
            IsInverse=False,
            IncludeSubtypes=True,
            TargetName=name,
        )
        for name in names
    ]
    return ua.BrowsePath(ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.RelativePath(elements))


async def _in_batches(
    items: Sequence[_Item],
    most: int,
    call: Callable[[Sequence[_Item]], Awaitable[list[_Answer]]],
    failed: Callable[[Any], _Answer] | None = None,
) -> list[_Answer]:
    """Call a service for all items, `most` at a time, and half as many where the server finds that too large.

    failed: the answer for one item on whose account the server fails a whole call, from its StatusCode. Such an item is
    found by halving, so that it costs the others nothing; without `failed` the fault is raised.
    """
    answers: list[_Answer] = []

    async def ask(some: Sequence[_Item]) -> None:
        nonlocal most
        for at in range(0, len(some), most):
            batch = some[at : at + most]
            try:
                answers.extend(await call(batch))
            except ua.UaStatusCodeError as error:
                code = int(error.code)
                too_large = code in _TOO_LARGE and len(batch) > 1
                if code in _OF_THE_SESSION or (failed is None and not too_large):
                    raise
                if too_large:
                    most = len(batch) // 2
                    await ask(some[at:])
                    return
                if failed is not None and (len(batch) == 1 or code in _NO_MORE):
                    answers.extend(failed(ua.StatusCode(code)) for _ in batch)
                    continue
                await ask(batch[: len(batch) // 2])
                await ask(batch[len(batch) // 2 :])

    await ask(items)
    return answers
