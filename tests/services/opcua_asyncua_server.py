"""An OPC UA server (asyncua's own) that a test drives by lines of JSON on standard input; run as a program.

Usage: opcua_asyncua_server.py PORT DOUBLES. Namespace `urn:test:press`; below Objects/Press: `V0` … of type Double, and
one node of each kind in KINDS. Every command is answered by one line; `ready` is the first line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole

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

    def __init__(self, port: int, doubles: int) -> None:
        self.server = Server(user_manager=Login())
        self._port = port
        self._doubles = doubles
        self._index = 0
        self._press: Any = None
        self._nodes: dict[str, Any] = {}

    async def start(self) -> None:
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
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

    async def set(self, name: str, value: Any, kind: str, status: int) -> None:
        variant = ua.Variant(float(value) if kind == "Double" else value, getattr(V, kind))
        await self._nodes[name].write_value(ua.DataValue(variant, ua.StatusCode(status)))

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

    def sessions(self) -> int:
        return len(self.server.iserver._sessions) if hasattr(self.server.iserver, "_sessions") else -1

    def subscriptions(self) -> list[int]:
        """How many unacknowledged messages each subscription holds."""
        held = self.server.iserver.subscription_service.subscriptions.values()
        return [len(subscription._not_acknowledged_results) for subscription in held]

    async def obey(self, command: dict[str, Any]) -> Any:
        match command.pop("do"):
            case "set":
                await self.set(
                    command["name"], command["value"], command.get("kind", "Double"), command.get("status", 0)
                )
            case "set_and_lose":
                for value in command["values"]:
                    await self.set(command["name"], value, "Double", 0)
                    self.lose(1, keep=command["keep"])
            case "add":
                await self.add(command["name"], ua.Variant(float(command["value"]), V.Double))
            case "end_subscriptions":
                self.end_subscriptions()
            case "subscriptions":
                return self.subscriptions()
            case other:
                raise ValueError(other)
        return None

    def _id(self, name: str) -> Any:
        return ua.NodeId(name, self._index)


async def main(port: int, doubles: int) -> None:
    """Serve until standard input ends."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    plant = Plant(port, doubles)
    await plant.start()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := await lines.readline():
        print(json.dumps(await plant.obey(json.loads(line))), flush=True)
    await plant.server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
