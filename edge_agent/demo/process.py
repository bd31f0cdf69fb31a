"""The handle to a demonstration plant in a process of its own.

    async with DemoProcess(speed=60) as plant:
        environment = plant.environment          # ports and scaled durations for config/examples/demo-plant.yaml
        ...                                      # start the agent with plant.clock and wait for its first samples
        await plant.begin()
        ...
        last = await plant.freeze()
        truth = await plant.truth(plant.start_ns, last)

Until `begin` the plant's clock stands at its start and every signal shows its first value; an agent that has connected
by then misses nothing, so that its counts can equal the truth.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from edge_agent.demo.clock import PlantClock
from edge_agent.demo.events import MS
from edge_agent.demo.faces import SERVERS
from edge_agent.demo.host import BROKER, Order
from edge_agent.demo.layout import CALENDAR

DEFAULT_SEED: Final = 32
_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * _SECOND
_PATIENCE_SECONDS: Final = 60.0

DURATIONS: Final[Mapping[str, float]] = {
    "DEMO_LINK_HOLDS": 30.0,
    "DEMO_STALE_AFTER": 60.0,
    "DEMO_CLOSE_AFTER": 5.0,
    "DEMO_CORRECTION_HORIZON": 600.0,
    "DEMO_FUTURE_TOLERANCE": 60.0,
}
"""Durations of config/examples/demo-plant.yaml in seconds of wall time, by the name of their variable. The agent
measures them by the plant's clock, so with a faster clock they are longer."""


class DemoPlantError(RuntimeError):
    """The process of the plant did not start, ended, or refused what was asked."""


def default_start(speed: float, duration_s: float | None = None, now_ns: int | None = None) -> int:
    """When the plant's clock should start, ns since the epoch.

    At speed 1 now, so that boards show it live. Faster: the latest start of an early shift that leaves `duration_s` of
    wall time (None = a day of plant time) until now, so that no timestamp is ever in the future.
    """
    now = time.time_ns() if now_ns is None else now_ns
    if speed == 1:
        return now // MS * MS
    ahead = _DAY if duration_s is None else int(speed * duration_s * _SECOND)
    return CALENDAR.latest_shift_start((now - ahead) // MS) * MS


def lively_start(now_ns: int | None = None) -> int:
    """For speed 1: now while work is planned for at least half an hour more, else the same minute some hours ago."""
    start = (time.time_ns() if now_ns is None else now_ns) // MS
    half_an_hour, hour = 1_800_000, 3_600_000
    while sum(end - begin for begin, end in CALENDAR.busy_intervals(start, start + half_an_hour)) < half_an_hour:
        start -= hour
    return start * MS


class DemoProcess:
    """The plant, started on entering and gone on leaving.

    seed, start_ns: what happens, and when; None = `default_start`. speed: how much faster than wall time. ports: by
    server name (`machining`, `packaging`, `meters`, `broker`); 0 or missing = any free one. broker_url: stations
    publish to that broker instead of the embedded one.
    Entering raises DemoPlantError where the process does not come up, as when a port is taken.
    """

    def __init__(
        self,
        *,
        seed: int = DEFAULT_SEED,
        start_ns: int | None = None,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        broker_url: str | None = None,
    ) -> None:
        self.speed = speed
        self.start_ns = (default_start(speed) if start_ns is None else start_ns) // MS * MS
        self.clock = PlantClock(self.start_ns, speed)
        self.endpoints: dict[str, int | str] = {}
        self._order = Order(seed, self.start_ns, speed, host, dict(ports or {}), broker_url)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._made = time.monotonic_ns()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge_agent.demo.host",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        try:
            ready = _checked("start", await self._exchange(self._order.to_json()))
        except BaseException:
            await self.stop()
            raise
        ports = ready["ports"]
        self.endpoints = {f"DEMO_{name.upper()}_PORT": ports[name] for name in SERVERS}
        self.endpoints |= {"DEMO_MQTT_HOST": ready["broker_host"], "DEMO_MQTT_PORT": ports[BROKER]}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of config/examples/demo-plant.yaml: ports, and durations that fit the speed of the clock."""
        durations = {name: f"{seconds * max(1.0, self.speed):g} s" for name, seconds in DURATIONS.items()}
        return {name: str(value) for name, value in self.endpoints.items()} | durations

    async def begin(self, *, catch_up: bool = False) -> None:
        """Let the plant's clock run, in both processes from one anchor.

        catch_up: as if it had run since this handle was made, which with `default_start` at speed 1 is real time; what
        happened since is shown in one step, with its true times.
        """
        await self._ask("begin", anchor=self.clock.run(self._made if catch_up else None))

    async def freeze(self) -> int:
        """Stop the plant; returns when, T, in ns since the epoch.

        Everything until T has then been shown, nothing happens at T itself, and every energy meter was read at T.
        """
        soon = self.clock() + int(0.05 * _SECOND * self.speed)
        self.clock.stop_at(soon)
        at: int = (await self._ask("freeze", at_ns=soon))["at_ns"]
        self.clock.stop_at(at)
        return at

    async def truth(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        """What really happened: `{"machines": {id: {availability, …}}, "plant": {…}}`; see `Book.truth`."""
        return await self._ask("truth", from_ns=from_ns, to_ns=to_ns)

    async def stop_server(self, name: str) -> None:
        """Stop an OPC UA server or the broker; its port answers no more, the machines behind it go on."""
        await self._ask("stop_server", name=name)

    async def start_server(self, name: str) -> None:
        """Start it again on the same port, with the values of the moment."""
        await self._ask("start_server", name=name)

    async def stop(self) -> None:
        """End the process. Nothing to do where it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return _checked(do, await self._exchange(json.dumps({"do": do, **arguments})))

    async def _exchange(self, line: str) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise DemoPlantError("the demonstration plant is not running")
        async with self._turn:
            try:
                process.stdin.write(f"{line}\n".encode())
                await process.stdin.drain()
                answer = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_SECONDS)
            except (ConnectionError, TimeoutError) as error:
                raise DemoPlantError("the demonstration plant does not answer") from error
        if not answer:
            code = await process.wait()
            raise DemoPlantError(f"the demonstration plant ended with exit code {code}; its last words are above")
        result: dict[str, Any] = json.loads(answer)
        return result


def _checked(do: str, answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise DemoPlantError(f"the demonstration plant cannot {do.replace('_', ' ')}: {answer['error']}")
    return answer
