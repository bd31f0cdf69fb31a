"""An OPC UA server (asyncua's own) that a test drives by lines of JSON on standard input; run as a program.

Usage: opcua_asyncua_server.py PORT DOUBLES [CERTIFICATE KEY]. With a certificate it also offers Basic256Sha256.
Namespace `urn:test:press`; below Objects/Press: `V0` … of type Double, and one node of each kind in KINDS.
Every command is answered by one line; `ready` is the first line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from datetime import datetime
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.subscription_service import SubscriptionService
from asyncua.server.uaprocessor import UaProcessor

NAMESPACE = "urn:test:press"
V = ua.VariantType
KINDS: dict[str, ua.Variant] = {
    "Running": ua.Variant(True, V.Boolean),
    "Count": ua.Variant(7, V.UInt32),
    "Level": ua.Variant(1.5, V.Float),
    "Product": ua.Variant("HSG-100", V.String),
    "State": ua.Variant(ua.LocalizedText("Executing", "en"), V.LocalizedText),
    "StateId": ua.Variant(ua.NodeId(5006, 2), V.NodeId),
    "Broken": ua.Variant(math.nan, V.Double),
    "Many": ua.Variant([1.0, 2.0], V.Double),
}


class Login:
    """Takes one user name and password, and anonymous guests."""

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        """None turns the guest away."""
        if username is None or (username, password) == ("agent", "secret"):
            return User(role=UserRole.User, name=username)
        return None


class Plant:
    """The server and what the commands do to it."""

    def __init__(self, port: int, doubles: int, identity: list[str]) -> None:
        self.server = Server(user_manager=Login())
        self._port = port
        self._doubles = doubles
        self._identity = identity
        self._index = 0
        self._press: Any = None
        self._nodes: dict[str, Any] = {}
        self._usual_limit = UaProcessor.publish_request_limit

    async def start(self) -> None:
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}")
        policies = [ua.SecurityPolicyType.NoSecurity]
        if self._identity:
            await self.server.load_certificate(self._identity[0])
            await self.server.load_private_key(self._identity[1])
            policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        self.server.set_security_policy(policies)
        self._index = await self.server.register_namespace(NAMESPACE)
        self._press = await self.server.nodes.objects.add_object(self._id("Press"), f"{self._index}:Press")
        await self.add_doubles()
        for name, variant in KINDS.items():
            await self.add(name, variant)
        await self.server.start()

    async def add_doubles(self) -> None:
        """In folders of fifty from the twentieth on: what asyncua takes for a node grows with its siblings."""
        items = []
        parent = self._press
        for number in range(self._doubles):
            if number % 50 == 20:
                bank = f"Bank{number}"
                parent = await self._press.add_folder(self._id(f"Press.{bank}"), f"{self._index}:{bank}")
            attributes = ua.VariableAttributes(
                DisplayName=ua.LocalizedText(f"V{number}"),
                DataType=ua.NodeId(ua.ObjectIds.Double),
                Value=ua.Variant(float(number), V.Double),
                ValueRank=ua.ValueRank.Scalar,
            )
            items.append(
                ua.AddNodesItem(
                    RequestedNewNodeId=self._id(f"Press.V{number}"),
                    BrowseName=ua.QualifiedName(f"V{number}", self._index),
                    NodeClass=ua.NodeClass.Variable,
                    ParentNodeId=parent.nodeid,
                    ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasComponent),
                    TypeDefinition=ua.NodeId(ua.ObjectIds.BaseDataVariableType),
                    NodeAttributes=attributes,
                )
            )
        for name, result in enumerate(await self.server.iserver.isession.add_nodes(items)):
            result.StatusCode.check()
            self._nodes[f"V{name}"] = self.server.get_node(result.AddedNodeId)

    async def add(self, name: str, variant: ua.Variant) -> None:
        self._nodes[name] = await self._press.add_variable(
            self._id(f"Press.{name}"), f"{self._index}:{name}", variant.Value, variant.VariantType
        )

    async def set(self, name: str, value: Any, kind: str, status: int, at: str | None) -> None:
        if kind == "Double":
            value = [float(one) for one in value] if isinstance(value, list) else float(value)
        time = None if at is None else datetime.fromisoformat(at)
        variant = ua.Variant(value, getattr(V, kind))
        await self._nodes[name].write_value(ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=time))

    def lose(self, messages: int, *, keep: bool) -> None:
        """Let the next messages of each subscription count as sent; keep: Republish still has them."""
        for subscription in self.server.iserver.subscription_service.subscriptions.values():
            for _ in range(messages):
                if keep:
                    subscription._pop_publish_result()
                else:
                    subscription._notification_seq += 1

    def end_subscriptions(self) -> None:
        """The server drops its subscriptions and says so."""
        for subscription in self.server.iserver.subscription_service.subscriptions.values():
            subscription._triggered_statuschanges.append(ua.StatusCode(ua.StatusCodes.BadTimeout))
            subscription._startup = True

    def turn_hostile(self, most_items: int, poison: str, room: int) -> None:
        """Fail whole calls: for more than `most_items` nodes, for one poisoned node, and when `room` is used up."""
        service = self.server.iserver.subscription_service
        usual = SubscriptionService.create_monitored_items

        async def create(params: Any) -> Any:
            items = params.ItemsToCreate
            taken = sum(len(each.monitored_item_srv._monitored_items) for each in service.subscriptions.values())
            if len(items) > most_items:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            if any(each.ItemToMonitor.NodeId.Identifier == f"Press.{poison}" for each in items):
                raise ServiceError(ua.StatusCodes.BadInternalError)
            if taken + len(items) > room:
                raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
            return await usual(service, params)

        service.create_monitored_items = create

    def turn_friendly(self) -> None:
        """Take everything again, and any number of publish requests."""
        vars(self.server.iserver.subscription_service).pop("create_monitored_items", None)
        UaProcessor.publish_request_limit = self._usual_limit

    def limit_publish_requests(self, most: int) -> None:
        """Hold so few publish requests, and refuse more as Part 4, 5.13.5 says."""
        UaProcessor.publish_request_limit = lambda *_: most

    def subscriptions(self) -> list[int]:
        """How many unacknowledged messages each subscription holds."""
        held = self.server.iserver.subscription_service.subscriptions.values()
        return [len(subscription._not_acknowledged_results) for subscription in held]

    async def obey(self, command: dict[str, Any]) -> Any:
        match command.pop("do"):
            case "set":
                await self.set(
                    command["name"],
                    command["value"],
                    command.get("kind", "Double"),
                    command.get("status", 0),
                    command.get("at"),
                )
            case "set_and_lose":
                for value in command["values"]:
                    await self.set(command["name"], value, "Double", 0, None)
                    self.lose(1, keep=command["keep"])
            case "add":
                await self.add(command["name"], ua.Variant(float(command["value"]), V.Double))
            case "turn_hostile":
                self.turn_hostile(**command)
            case "limit_publish_requests":
                self.limit_publish_requests(**command)
            case "turn_friendly":
                self.turn_friendly()
            case "end_subscriptions":
                self.end_subscriptions()
            case "subscriptions":
                return self.subscriptions()
            case other:
                raise ValueError(other)
        return None

    def _id(self, name: str) -> Any:
        return ua.NodeId(name, self._index)


async def main(port: int, doubles: int, identity: list[str]) -> None:
    """Serve until standard input ends."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    plant = Plant(port, doubles, identity)
    await plant.start()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := await lines.readline():
        print(json.dumps(await plant.obey(json.loads(line))), flush=True)
    await plant.server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
