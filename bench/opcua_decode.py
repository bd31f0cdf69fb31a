"""Nanoseconds per value from the bytes of a PublishResponse to samples, against asyncua on the same bytes. Prints JSON.

    python bench/opcua_decode.py [--values 1000] [--loopback]

Shapes, each a notification of so many values with status and both times, as a server with Both timestamps sends them:
  double       one run of Doubles, 34 bytes each: what a subscription of one data type sends
  four_runs    Double, Int32, Boolean and UInt16, one run each
  alternating  the same four in turn, so that no two neighbours are alike: the worst order
  texts        Strings of ten different products
`asyncua` is `struct_from_binary(PublishResponse)`, which makes objects and no samples yet. CPU time of this process,
the best of several rounds.

--loopback measures the whole way: a server process answers each PublishRequest over TCP with the same notification; CPU
time of this process from the socket to the taken and acknowledged batch, and the same for asyncua's own subscription.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import Client, Server, ua
from asyncua.common.utils import Buffer
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from connectors import FaultCounts, Link, TextCodes
from connectors.opcua import OpcUaConnector, OpcUaItem, OpcUaSettings
from connectors.opcua.publish_decoder import PublishDecoder

NOW = datetime.now(UTC)
V = ua.VariantType
FOUR: tuple[Callable[[int], ua.Variant], ...] = (
    lambda i: ua.Variant(i * 1.5, V.Double),
    lambda i: ua.Variant(i, V.Int32),
    lambda i: ua.Variant(i % 2 == 0, V.Boolean),
    lambda i: ua.Variant(i % 60_000, V.UInt16),
)
SHAPES: dict[str, Callable[[int, int], ua.Variant]] = {
    "double": lambda i, _: FOUR[0](i),
    "four_runs": lambda i, n: FOUR[4 * i // n](i),
    "alternating": lambda i, _: FOUR[i % 4](i),
    "texts": lambda i, _: ua.Variant(f"HSG-{i % 10}", V.String),
}

TAGS = 50
MESSAGES = 400
"""Of the loopback; the server sends no more."""


def body_of(values: int, variant: Callable[[int, int], ua.Variant], handle: Callable[[int], int] = int) -> bytes:
    """A PublishResponse as asyncua encodes it."""
    response = ua.PublishResponse()
    response.TypeId = ua.FourByteNodeId(ua.ObjectIds.PublishResponse_Encoding_DefaultBinary)
    response.Parameters.SubscriptionId = 0
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = 1
    items = [
        ua.MonitoredItemNotification(handle(i), ua.DataValue(variant(i, values), ua.StatusCode(0), NOW, NOW))
        for i in range(values)
    ]
    message.NotificationData = [ua.DataChangeNotification(items)]
    return bytes(struct_to_binary(response))


def nanoseconds(work: Callable[[], object], values: int) -> float:
    """CPU ns per value, best of several rounds."""
    best = math.inf
    repeats = max(1, 20_000 // values)
    for _ in range(15):
        begin = time.process_time_ns()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time_ns() - begin) / repeats)
    return best / values


def decode(shape: str, values: int) -> dict[str, float]:
    """One shape, ours and asyncua's."""
    body = body_of(values, SHAPES[shape])
    text_tags = range(values) if shape == "texts" else ()
    decoder = PublishDecoder(dict.fromkeys(range(values), ""), text_tags, TextCodes(), FaultCounts())
    assert len(decoder.publish(body, 0).notification.samples) == values
    ours = nanoseconds(lambda: decoder.publish(body, 0), values)
    theirs = nanoseconds(lambda: struct_from_binary(ua.PublishResponse, Buffer(body)), values)
    return {"ns_per_value": round(ours, 1), "asyncua_ns_per_value": round(theirs), "ratio": round(theirs / ours, 1)}


async def serve(values: int) -> None:
    """The replay server: nodes to subscribe to, and one recorded body for every PublishRequest."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    body = bytearray(body_of(values, SHAPES["double"], lambda i: 1 + i % TAGS))
    subscription_at = 4 + 16 + 1 + 4 + 3
    sequence_at = subscription_at + 4 + 4 + 1
    usual = UaProcessor.process_message
    state = {"sequence": 0, "subscription": 0}

    async def process(self: Any, seqhdr: Any, request: Any) -> Any:
        typeid = nodeid_from_binary(request.copy())
        if typeid.Identifier != ua.ObjectIds.PublishRequest_Encoding_DefaultBinary:
            return await usual(self, seqhdr, request)
        subscription = max(self.session.subscription_service.subscriptions)
        if subscription != state["subscription"]:
            state.update(subscription=subscription, sequence=0)
        if state["sequence"] < MESSAGES:
            state["sequence"] += 1
            struct.pack_into("<I", body, subscription_at, subscription)
            struct.pack_into("<I", body, sequence_at, state["sequence"])
            self._transport.write(self._connection.message_to_binary(bytes(body), request_id=seqhdr.RequestId))
        return True

    async def nothing(self: Any, requestdata: Any = None) -> bool:
        return False

    UaProcessor.process_message = process
    InternalSubscription.publish_results = nothing
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:bench")
    for number in range(TAGS):
        await server.nodes.objects.add_variable(ua.NodeId(number + 1, index), f"V{number}", 0.0)
    await server.start()
    print(server.bserver._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(300)


async def connector_cpu(endpoint: str, values: int) -> float:
    """CPU ns per value of the connector, from the socket to the taken and acknowledged batch."""
    items = tuple(OpcUaItem(tag, f"nsu=urn:bench;i={tag}") for tag in range(1, TAGS + 1))
    settings = OpcUaSettings("bench", endpoint, Link(0, 30_000_000_000), items)
    connector = OpcUaConnector(settings, TextCodes(), time.time_ns)
    await connector.start()
    came, begin, first = 0, 0, 0
    while came < MESSAGES * values:
        await asyncio.sleep(0.02)
        delivery = connector.take()
        samples = int((delivery.batch.tag != 0).sum())
        if delivery.receipt is not None:
            await connector.acknowledge(delivery.receipt)
        came += samples
        if samples and not begin:
            begin, first = time.process_time_ns(), came
    used = time.process_time_ns() - begin
    await connector.stop()
    return used / (came - first)


class Counting:
    """What a handler of asyncua's subscription does at the least."""

    def __init__(self) -> None:
        self.came = 0
        self.begin = 0

    def datachange_notification(self, node: Any, value: float, data: Any) -> None:
        """Called for each value."""
        if not self.came:
            self.begin = time.process_time_ns()
        self.came += 1


async def asyncua_cpu(endpoint: str, values: int) -> float:
    """CPU ns per value of asyncua's own subscription."""
    handler = Counting()
    async with Client(endpoint) as client:
        index = await client.get_namespace_index("urn:bench")
        subscription = await client.create_subscription(500, handler, queue_maxsize=10 * MESSAGES)
        # Their client handles count from 201, ours of the recorded bytes from 1.
        await subscription.subscribe_data_change([client.get_node(ua.NodeId(tag, index)) for tag in range(1, TAGS + 1)])
        items = subscription._monitored_items
        items.update(dict(enumerate(list(items.values()), 1)))
        last = -1
        while handler.came < MESSAGES * values and handler.came != last:
            last = handler.came
            await asyncio.sleep(3)
        return (time.process_time_ns() - handler.begin) / handler.came


def loopback(values: int) -> dict[str, float]:
    """The whole way over TCP, ours and asyncua's."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    argv = [sys.executable, __file__, "--serve", "--values", str(values)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"opc.tcp://127.0.0.1:{int(server.stdout.readline())}"
            ours = asyncio.run(connector_cpu(endpoint, values))
            theirs = asyncio.run(asyncua_cpu(endpoint, values))
        finally:
            server.kill()
    return {"ns_per_value": round(ours), "asyncua_ns_per_value": round(theirs), "ratio": round(theirs / ours, 1)}


def main() -> None:
    """Measure, and print one JSON object."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--values", type=int, default=1000, help="values in one notification")
    options.add_argument("--loopback", action="store_true", help="measure the whole way over TCP too")
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        asyncio.run(serve(given.values))
        return
    found: dict[str, Any] = {"values_per_notification": given.values}
    found |= {shape: decode(shape, given.values) for shape in SHAPES}
    if given.loopback:
        found["loopback"] = loopback(given.values)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
