"""The process in which the demonstration plant runs: simulation, OPC UA servers and broker in one event loop.

It is a process of its own so that the plant never takes time from the agent that watches it. Its handle
(`edge_agent.demo.process`) talks to it in JSON lines: one request a line on standard input, one answer a line on
standard output, in order. When standard input ends, so does the process; no plant outlives its handle.

Started as `python -m edge_agent.demo.host`; the first line it reads is its `Order`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edge_agent.demo.broker import EmbeddedBroker
from edge_agent.demo.clock import PlantClock
from edge_agent.demo.events import Event
from edge_agent.demo.faces import SERVERS
from edge_agent.demo.mqtt_stations import DemoStations, ExternalBroker
from edge_agent.demo.opcua_servers import DemoOpcUaServer, start_all
from edge_agent.demo.plant import DemoPlant

BROKER: Final = "broker"
_STEP_SECONDS: Final = 0.05
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What plant to run.

    ports: by server name or `broker`; 0 or missing = any free one. broker_url: of a broker to use instead of ours.
    """

    seed: int
    start_ns: int
    speed: float
    host: str = "127.0.0.1"
    ports: Mapping[str, int] = field(default_factory=dict)
    broker_url: str | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class DemoHost:
    """The running plant: advances the simulation with its clock and shows what happens."""

    def __init__(self, order: Order) -> None:
        self.clock = PlantClock(order.start_ns, order.speed)
        self.plant = DemoPlant(order.seed, order.start_ns)
        self.servers = {
            name: DemoOpcUaServer(name, order.start_ns, host=order.host, port=order.ports.get(name, 0))
            for name in SERVERS
        }
        self.broker: EmbeddedBroker | ExternalBroker = (
            ExternalBroker(order.broker_url)
            if order.broker_url
            else EmbeddedBroker(host=order.host, port=order.ports.get(BROKER, 0))
        )
        self._stations = DemoStations()
        self._task: asyncio.Task[None] | None = None
        self._frozen = False

    async def start(self) -> None:
        """Open all ports, with the first values of everything; the clock stands until `begin`.

        Raises OSError where a port is taken.
        """
        await self._show(self.plant.advance(self.plant.now_ns))
        await self.broker.start()
        await start_all(list(self.servers.values()))
        await self._publish(self._stations.snapshot())

    def begin(self, anchor: int | None) -> int:
        """Let the clock run, from an anchor of `time.monotonic_ns`."""
        self._task = asyncio.create_task(self._run(), name="demo.run")
        return self.clock.run(anchor)

    async def freeze(self, at_ns: int) -> int:
        """Stop the plant at the first quiet time from `at_ns` on, everything until then shown and all meters read."""
        await asyncio.sleep(self.clock.wall_seconds_until(at_ns))
        self._frozen = True
        if self._task is not None:
            await self._task
        last = self.plant.quiet_time(max(at_ns, self.plant.now_ns))
        self.clock.stop_at(last)
        await self._show(self.plant.advance(last) + self.plant.readings(last))
        return last

    async def stop_server(self, name: str) -> None:
        """Stop an OPC UA server or the broker; the machines behind it go on. Raises KeyError for an unknown name."""
        await (self.broker if name == BROKER else self.servers[name]).stop()

    async def start_server(self, name: str) -> None:
        """Start it again on its port, with the values of the moment."""
        await (self.broker if name == BROKER else self.servers[name]).start()
        if name == BROKER:
            await self._publish(self._stations.snapshot())

    async def close(self) -> None:
        """Close all ports."""
        self._frozen = True
        if self._task is not None:
            await self._task
        await asyncio.gather(self.broker.stop(), *(server.stop() for server in self.servers.values()))

    async def _run(self) -> None:
        while not self._frozen:
            await self._show(self.plant.advance(self.clock()))
            await asyncio.sleep(_STEP_SECONDS)

    async def _show(self, events: list[Event]) -> None:
        for server in self.servers.values():
            await server.show(events)
        await self._publish(self._stations.take_on(events))

    async def _publish(self, messages: list[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            await self.broker.publish(topic, payload)


Answer = Awaitable[dict[str, Any]]


class _Desk:
    """Reads requests and writes answers; each request is `{"do": name, …arguments}`."""

    def __init__(self, host: DemoHost) -> None:
        self._host = host
        self._can: dict[str, Callable[..., Answer]] = {
            "begin": self._begin,
            "freeze": self._freeze,
            "truth": self._truth,
            "stop_server": self._stop_server,
            "start_server": self._start_server,
        }

    def ready(self) -> dict[str, Any]:
        """The first answer: where everything listens."""
        ports = {name: server.port for name, server in self._host.servers.items()}
        return {"ports": {**ports, BROKER: self._host.broker.port}, "broker_host": self._host.broker.host}

    async def answer(self, line: str) -> dict[str, Any]:
        """Do what a line asks. A fault becomes the answer `{"error": …}`: the handle raises it on its side."""
        try:
            request: dict[str, Any] = json.loads(line)
            return await self._can[request.pop("do")](**request)
        except Exception as error:
            _log.debug("request failed", exc_info=True)
            return {"error": f"{type(error).__name__}: {error}"}

    async def _begin(self, anchor: int | None) -> dict[str, Any]:
        return {"anchor": self._host.begin(anchor)}

    async def _freeze(self, at_ns: int) -> dict[str, Any]:
        return {"at_ns": await self._host.freeze(at_ns)}

    async def _truth(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        return self._host.plant.truth(from_ns, to_ns)

    async def _stop_server(self, name: str) -> dict[str, Any]:
        await self._host.stop_server(name)
        return {}

    async def _start_server(self, name: str) -> dict[str, Any]:
        await self._host.start_server(name)
        return {}


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order = Order(**json.loads(await reader.readline()))
    host = DemoHost(order)
    try:
        await host.start()
    except OSError as error:
        _say({"error": error.strerror or str(error)})
        await host.close()
        return
    desk = _Desk(host)
    _say(desk.ready())
    while line := await reader.readline():
        _say(await desk.answer(line.decode()))
    await host.close()


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Run until standard input ends. Ctrl-C in a terminal reaches all its processes; here the handle decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="demo plant: %(name)s: %(message)s")
    # asyncio too: amqtt leaves a task with an error behind for each message that a client acknowledges late or never.
    for noisy in ("asyncua", "amqtt", "transitions", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    started = time.process_time()
    asyncio.run(_serve())
    _log.debug("the plant took %.1f s of CPU", time.process_time() - started)


if __name__ == "__main__":
    main()
