"""From configured items to monitored items: resolve, group into subscriptions, create, and set aside what will not do.

What lives here: which node an item means in this session, which subscription it belongs to, why it is not collected.
Rule: one item's fault is its own; it is set aside by name with a reason and a hint, and all others go on.

Items share a subscription by publishing interval *and* data type, because a run of equal shapes is what the decoder
reads at once. A type with few items does not earn a subscription of its own (servers allow few of them): it goes into
the mixed one of its interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from asyncua import ua

from connectors.contract import SetAside
from connectors.faults import Fault
from connectors.opcua.node_text import BrowsePath, NodeAddress, UnknownNamespaceError, parse_node
from connectors.opcua.session import REASONS, Revised, UaSession, status_text
from connectors.opcua.settings import OpcUaItem, OpcUaSettings

OWN_SUBSCRIPTION: Final = 50
"""Items of one data type that are worth a subscription of their own."""
MOST_HINTS: Final = 20
"""Nodes for which the server is browsed for a similar name at each attempt; the rest go without a hint."""

_MIXED: Final = 0
_BUILT_IN: Final = {290: 11, 29: 6, 288: 7, 289: 7, 294: 13, 295: 12}
"""Data types of namespace 0 that travel as another: Duration, Enumeration, IntegerId, Counter, UtcTime, LocaleId."""
_DEEPEST_BUILT_IN: Final = 25

_UNKNOWN_NODE: Final = frozenset({0x80340000, 0x80330000})  # BadNodeIdUnknown, BadNodeIdInvalid
_NO_SUCH_ATTRIBUTE: Final = 0x80350000
_TOO_MANY_SUBSCRIPTIONS: Final = 0x80770000

_HINTS: Final = {
    0x80DB0000: "the server takes no more items: monitor fewer, or raise its limit",  # BadTooManyMonitoredItems
    0x801F0000: "give the connection a user who may read the node",  # BadUserAccessDenied
    0x803A0000: "the node cannot be read; monitor another one",  # BadNotReadable
    0x80350000: "name the variable below this node",  # BadAttributeIdInvalid
}


class Group(NamedTuple):
    """What the items of a subscription have in common. data_type: built-in type id, or 0 for a mixture."""

    interval_ns: int
    data_type: int


@dataclass(slots=True, eq=False)
class Subscription:
    """A subscription of this session. nodes: tag → NodeId of the items that the server took on."""

    group: Group
    revised: Revised
    nodes: dict[int, Any] = field(default_factory=dict)


class Monitoring:
    """The items of a connection in one session: taken on, or set aside.

    Raises ValueError for node texts of no known form.
    """

    def __init__(self, settings: OpcUaSettings) -> None:
        self._settings = settings
        self._items = {item.tag: item for item in settings.items}
        self._addresses = addresses_of(settings.items)
        self.subscriptions: list[Subscription] = []
        self.set_aside: dict[int, SetAside] = {}
        self.namespaces: tuple[str, ...] = ()

    @property
    def accepted(self) -> int:
        """Items that the server took on."""
        return sum(len(subscription.nodes) for subscription in self.subscriptions)

    async def begin(self, session: UaSession) -> None:
        """Take on all items in a new session. Without any, an empty subscription still tells that the server lives."""
        self.subscriptions.clear()
        self.set_aside.clear()
        await self._take_on(session, list(self._items))
        if not self.subscriptions:
            await self._subscription_for(session, Group(self._settings.publishing_interval_ns, _MIXED))

    async def retry(self, session: UaSession) -> int:
        """Try the items that are set aside once more. Returns how many were taken on."""
        before = self.accepted
        if self.set_aside:
            await self._take_on(session, list(self.set_aside))
        return self.accepted - before

    async def _take_on(self, session: UaSession, tags: Sequence[int]) -> None:
        self.namespaces = await session.namespaces()
        refused: dict[int, SetAside] = {}
        nodes = await self._resolve(session, tags, refused)
        groups = await self._group(session, nodes, refused)
        for group, members in groups.items():
            subscription = await self._subscription_for(session, group)
            await self._create(session, subscription, {tag: nodes[tag] for tag in members}, refused)
        for tag in tags:
            self.set_aside.pop(tag, None)
        self.set_aside |= refused

    # Which node an item means.

    async def _resolve(self, session: UaSession, tags: Sequence[int], refused: dict[int, SetAside]) -> dict[int, Any]:
        nodes: dict[int, Any] = {}
        paths: dict[int, list[Any]] = {}
        for tag in tags:
            address = self._addresses[tag]
            try:
                if isinstance(address, NodeAddress):
                    nodes[tag] = address.node_id(self.namespaces)
                else:
                    paths[tag] = [step.qualified_name(self.namespaces) for step in address.steps]
            except UnknownNamespaceError as error:
                refused[tag] = self._unknown_namespace(tag, error.namespace)
        results = await session.translate(list(paths.values())) if paths else []
        hints_left = MOST_HINTS
        for (tag, path), result in zip(paths.items(), results, strict=True):
            if result.StatusCode.is_good() and result.Targets:
                nodes[tag] = ua.NodeId(result.Targets[0].TargetId.Identifier, result.Targets[0].TargetId.NamespaceIndex)
                continue
            hint = await _similar_step(session, path) if hints_left > 0 else ""
            hints_left -= 1
            reason = status_text(result.StatusCode.value) if result.StatusCode.value else "nothing is there"
            refused[tag] = SetAside(self._items[tag].node, Fault.UNKNOWN_NODE, reason, hint)
        return nodes

    def _unknown_namespace(self, tag: int, namespace: int | str) -> SetAside:
        if isinstance(namespace, int):
            reason = f"the server has no namespace {namespace}"
            hint = f"it has 0 to {len(self.namespaces) - 1}; name the namespace by its URI, as in `nsu=…;s=…`"
        else:
            reason = f"the server has no namespace {namespace}"
            hint = _did_you_mean(namespace, self.namespaces) or f"it has {', '.join(self.namespaces[1:])}"
        return SetAside(self._items[tag].node, Fault.UNKNOWN_NODE, reason, hint)

    # Which subscription it belongs to.

    async def _group(
        self, session: UaSession, nodes: Mapping[int, Any], refused: dict[int, SetAside]
    ) -> dict[Group, list[int]]:
        answers = await session.data_types(list(nodes.values())) if nodes else []
        groups: defaultdict[Group, list[int]] = defaultdict(list)
        hints_left = MOST_HINTS
        for (tag, node), answer in zip(nodes.items(), answers, strict=True):
            code = int(answer.StatusCode.value) if answer.StatusCode is not None else 0
            if code in _UNKNOWN_NODE:
                hint = await _similar_node(session, node, self.namespaces) if hints_left > 0 else ""
                hints_left -= 1
                refused[tag] = self._refused(tag, code, hint)
                continue
            if code == _NO_SUCH_ATTRIBUTE:
                refused[tag] = self._refused(tag, code)
                continue
            item = self._items[tag]
            interval = max(self._settings.publishing_interval_ns, item.sampling_interval_ns)
            groups[Group(interval, _built_in(answer))].append(tag)
        return _without_small(groups, {subscription.group for subscription in self.subscriptions})

    async def _subscription_for(self, session: UaSession, group: Group) -> Subscription:
        for subscription in self.subscriptions:
            if subscription.group == group:
                return subscription
        try:
            revised = await session.create_subscription(group.interval_ns, self._settings.link.holds_ns)
        except ua.UaStatusCodeError as error:
            if int(error.code) != _TOO_MANY_SUBSCRIPTIONS or not self.subscriptions:
                raise
            return self.subscriptions[-1]
        self.subscriptions.append(Subscription(group, revised))
        return self.subscriptions[-1]

    # Taking it on.

    async def _create(
        self, session: UaSession, subscription: Subscription, nodes: Mapping[int, Any], refused: dict[int, SetAside]
    ) -> None:
        requests = [_create_request(self._items[tag], node) for tag, node in nodes.items()]
        results = await session.create_monitored_items(subscription.revised.subscription, requests)
        for (tag, node), result in zip(nodes.items(), results, strict=True):
            code = int(result.StatusCode.value)
            if code >> 31:
                refused[tag] = self._refused(tag, code)
            else:
                subscription.nodes[tag] = node

    def _refused(self, tag: int, code: int, hint: str = "") -> SetAside:
        fault = Fault.UNKNOWN_NODE if code in _UNKNOWN_NODE else Fault.REFUSED_ITEM
        return SetAside(self._items[tag].node, fault, status_text(code), hint or _HINTS.get(code, ""))


def addresses_of(items: Iterable[OpcUaItem]) -> dict[int, NodeAddress | BrowsePath]:
    """Tag → what its node text means. Raises ValueError that names every text of no known form."""
    addresses: dict[int, NodeAddress | BrowsePath] = {}
    faults: list[str] = []
    for item in items:
        try:
            addresses[item.tag] = parse_node(item.node)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return addresses


def _create_request(item: OpcUaItem, node: Any) -> Any:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(node, ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=item.tag,
            SamplingInterval=item.sampling_interval_ns / 1e6,
            QueueSize=item.queue_size,
            DiscardOldest=True,
        ),
    )


def _built_in(answer: Any) -> int:
    """Built-in type id of a DataType attribute; 0 where it is not known without browsing the type tree."""
    node = answer.Value.Value if answer.Value is not None else None
    if not isinstance(node, ua.NodeId) or node.NamespaceIndex or not isinstance(node.Identifier, int):
        return _MIXED
    number = _BUILT_IN.get(node.Identifier, node.Identifier)
    return number if number <= _DEEPEST_BUILT_IN else _MIXED


def _without_small(groups: Mapping[Group, list[int]], existing: set[Group]) -> dict[Group, list[int]]:
    """The same items, with groups that earn no subscription of their own in the mixed one of their interval."""
    merged: defaultdict[Group, list[int]] = defaultdict(list)
    for group, tags in groups.items():
        worth_it = len(tags) >= OWN_SUBSCRIPTION or group in existing
        merged[group if worth_it else Group(group.interval_ns, _MIXED)] += tags
    return dict(merged)


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean `{close[0]}`?" if close else ""


async def _similar_step(session: UaSession, path: Sequence[Any]) -> str:
    """The first step of a path that is not there, and the name beside it that is most like it."""
    try:
        results = await session.translate([path[:length] for length in range(1, len(path))]) if len(path) > 1 else []
        parent, missing = ua.NodeId(ua.ObjectIds.ObjectsFolder), path[0]
        for name, result in zip(path[1:], results, strict=True):
            if not (result.StatusCode.is_good() and result.Targets):
                break
            target = result.Targets[0].TargetId
            parent, missing = ua.NodeId(target.Identifier, target.NamespaceIndex), name
        children = await session.children(parent)
    except REASONS:
        return ""  # a hint is a courtesy
    texts = [f"{child.BrowseName.NamespaceIndex}:{child.BrowseName.Name}" for child in children]
    wanted = f"{missing.NamespaceIndex}:{missing.Name}"
    close = _did_you_mean(wanted, texts)
    return f"`{wanted}` is not there{'; ' + close if close else ''}"


async def _similar_node(session: UaSession, node: Any, namespaces: Sequence[str]) -> str:
    """A node whose text identifier is most like this one, below the node that its text seems to name as its parent."""
    if not isinstance(node.Identifier, str):
        return ""
    known: dict[str, str] = {}
    try:
        for parent in _parents(node):
            for child in await session.children(parent):
                found = child.NodeId
                if isinstance(found.Identifier, str):
                    namespace = namespaces[found.NamespaceIndex] if found.NamespaceIndex < len(namespaces) else ""
                    known[found.Identifier] = f"nsu={namespace};s={found.Identifier}"
    except REASONS:
        return ""  # a hint is a courtesy
    close = get_close_matches(node.Identifier, known, 1)
    return f"did you mean `{known[close[0]]}`?" if close else ""


def _parents(node: Any) -> list[Any]:
    """Where a node with this text identifier may hang: `Press.State` below `Press`, and anything below Objects."""
    parents = [ua.NodeId(ua.ObjectIds.ObjectsFolder)]
    for separator in ("/", "."):
        parent, found, _ = node.Identifier.rpartition(separator)
        if found and parent:
            parents.append(ua.NodeId(parent, node.NamespaceIndex))
    return parents
