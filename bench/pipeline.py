"""How many values a CPU second takes from bytes on the wire to a committed journal, raw samples kept, KPI engine on.

`python bench/pipeline.py [--minutes 3] [--mix shop|kpi]` prints JSON. The path is the agent's own: bodies of OPC UA
PublishResponses through the decoder, then each tick scaling, engine, elements, intervals, KPI windows, line protocol,
gzip and one SQLite transaction with full fsync. No network, no waiting: plant time is simulated, so a tick of 500 ms
holds what a plant of that size sends in 500 ms, and every cost that a tick has whatever it holds is in the figure.

Mixes, each of 100 machines on 10 connections:
  shop  100 tags a machine, each once a second: 9 feed the engine, 90 are measured values that are only kept; the
        product (text) comes once a minute. What a gateway in front of machining centres sees.
  kpi   9 tags a machine and the product, all feeding the engine, ten times a second. The engine's worst case.
A subscription is published every 500 ms: one response holds what its items sampled since, item by item.

CPU time is of the whole process, all threads (`time.process_time`); the wire side is prepared before.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from config.compiled import CompiledPlant
from config.compiler import compile_plant
from config.loader import load
from connectors import FaultCounts, SampleBatch
from connectors.opcua.publish_decoder import PublishDecoder
from edge_agent.agent import Agent
from edge_agent.assembly import Assembly

SECOND: Final = 1_000_000_000
START: Final = 1_790_838_000 * SECOND  # a whole minute, a Thursday morning in Europe
_TICKS_TO_1970: Final = 116_444_736_000_000_000  # 100 ns since 1601, as OPC UA counts

MACHINES: Final = 100
CONNECTIONS: Final = 10
TICK_NS: Final = 500_000_000

_STATES = ("item", "mode")
_COUNTS = ("good", "scrap", "rework", "inspected", "first_pass")


@dataclass(frozen=True, slots=True)
class Mix:
    """What is sent. measured: values of a machine that only are kept. rate: of every tag but the product, a second."""

    name: str
    measured: int
    rate: int


MIXES: Final = {"shop": Mix("shop", 90, 1), "kpi": Mix("kpi", 0, 10)}


def plant_yaml(mix: Mix, folder: Path) -> Path:
    """The plant of a mix as a configuration file."""
    connections = "\n".join(
        f"  c{c}: {{type: opcua, endpoint: 'opc.tcp://127.0.0.1:{4840 + c}'}}" for c in range(CONNECTIONS)
    )
    states = "".join(f"        {name}: {{node: 'ns=2;s={{m}}.{name}'}}\n" for name in _STATES)
    counts = "".join(f"      {name}: {{node: 'ns=2;s={{m}}.{name}'}}\n" for name in _COUNTS)
    measured = "".join(f"      v{i:02}: {{node: 'ns=2;s={{m}}.v{i:02}', unit: °C}}\n" for i in range(mix.measured))
    machines = "\n".join(
        f"      - {{id: m{m:03}, profile: machine, connection: c{m % CONNECTIONS}, with: {{m: M{m:03}}}}}"
        for m in range(MACHINES)
    )
    path = folder / "plant.yaml"
    path.write_text(
        f"""
plant: {{enterprise: Bench, site: bench, time_zone: Europe/Berlin}}
agent: {{journal: {folder / "bench.journal"}, tick: 500 ms}}
influx: {{url: http://127.0.0.1:1, bucket: factory, org: bench}}
calendar:
  shifts:
    - {{name: early, start: "06:00", end: "14:00"}}
    - {{name: late, start: "14:00", end: "22:00"}}
connections:
{connections}
products: {{P: {{ideal_cycle_time: 8 s}}}}
profiles:
  machine:
    state:
      signals:
{states}      rules:
        - {{when: {{item: 3, mode: 3}}, state: producing}}
        - {{when: {{item: [0, 1]}}, state: breakdown}}
        - {{when: {{mode: 2}}, state: setup}}
        - {{when: {{item: 2}}, state: starved}}
    counts:
{counts}    product: {{node: 'ns=2;s={{m}}.product'}}
    energy: {{node: 'ns=2;s={{m}}.energy', unit: kWh}}
    power: {{node: 'ns=2;s={{m}}.power', unit: W}}
{"    measured:" if measured else ""}
{measured}
lines:
  - name: line
    area: hall
    machines:
{machines}
""",
        encoding="utf-8",
    )
    return path


class Wire:
    """PublishResponses of one subscription: encoded once by asyncua, then values and times are written over.

    Equal items make a run of equal records, of which handle, value and source time stand at fixed places.
    samples: of each item in one response.
    """

    def __init__(self, items: npt.NDArray[np.int32], variant: ua.VariantType, samples: int) -> None:
        self.tags = tags = np.repeat(items, samples)
        self.samples = samples
        self._variant = variant
        kind = {ua.VariantType.Double: "<f8", ua.VariantType.Int32: "<i4", ua.VariantType.UInt32: "<u4"}[variant]
        body = struct_to_binary(self._response([0] * len(tags)))
        record = np.dtype(
            [("handle", "<u4"), ("mask", "u1"), ("type", "u1"), ("value", kind), ("source", "<i8"), ("server", "<i8")]
        )
        first = body.index(int(tags[0]).to_bytes(4, "little") + b"\x0d")
        self._body = bytearray(body)
        self._records = np.frombuffer(self._body, record, len(tags), first)
        assert (self._records["handle"] == tags).all()

    def _response(self, values: list[int]) -> ua.PublishResponse:
        at = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        items = []
        for tag, value in zip(self.tags.tolist(), values, strict=True):
            variant = ua.Variant(float(value) if self._variant is ua.VariantType.Double else value, self._variant)
            data = ua.DataValue(variant, StatusCode=None, SourceTimestamp=at, ServerTimestamp=at)
            items.append(ua.MonitoredItemNotification(tag, data))
        response = ua.PublishResponse()
        response.Parameters.SubscriptionId = 1
        response.Parameters.NotificationMessage.SequenceNumber = 1
        response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(items, [])]
        return response

    def at(self, times_ns: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> bytes:
        """The body with these values, shape (items, samples), at these times, shape (samples,)."""
        self._records["value"] = values.ravel()
        ticks = times_ns // 100 + _TICKS_TO_1970
        self._records["source"] = self._records["server"] = np.tile(ticks, len(self.tags) // self.samples)
        return bytes(self._body)


class Plant:
    """What the machines send, response by response, and the decoders of their connections."""

    def __init__(self, compiled: CompiledPlant, agent: Agent, samples: int) -> None:
        self._random = np.random.default_rng(7)
        self.decoders: list[PublishDecoder] = []
        self._wires: list[tuple[int, str, Wire]] = []
        self._links: list[int] = []
        self._products: list[npt.NDArray[np.int32]] = []
        self._code = agent.texts.code("P")
        names = compiled.tags.tags
        for index, opcua in enumerate(compiled.opcua):
            tags = [item.tag for item in opcua.items]
            texts = [item.tag for item in opcua.items if item.text]
            self.decoders.append(
                PublishDecoder({tag: names[tag].name for tag in tags}, texts, agent.texts, FaultCounts())
            )
            self._links.append(opcua.link.tag)
            self._products.append(np.array(texts, np.int32))
            for kind, variant in (
                ("state", ua.VariantType.Int32),
                ("count", ua.VariantType.UInt32),
                ("meter", ua.VariantType.Double),
                ("double", ua.VariantType.Double),
            ):
                mine = [tag for tag in tags if tag not in texts and _kind(names[tag].signal) == kind]
                self._wires.append((index, kind, Wire(np.array(mine, np.int32), variant, samples)))
        self._wires = [(index, kind, wire) for index, kind, wire in self._wires if len(wire.tags)]
        self._made: dict[int, Any] = {id(wire): 0 for _, kind, wire in self._wires if kind in {"count", "meter"}}

    def bodies(self, times_ns: npt.NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """(connection, body) of everything that was sampled at these times, but signs of life and products."""
        for connection, kind, wire in self._wires:
            shape = (len(wire.tags) // wire.samples, wire.samples)
            if kind == "state":
                values = np.where(self._random.random(shape) < 0.02, self._random.integers(0, 4, shape), 3)
            elif kind == "count":
                values = self._made[id(wire)] + np.cumsum(self._random.random(shape) < 0.1, axis=1)
                self._made[id(wire)] = values[:, -1:]
            elif kind == "meter":
                values = np.round(self._made[id(wire)] + np.cumsum(self._random.random(shape) * 0.01, axis=1), 4)
                self._made[id(wire)] = values[:, -1:]
            else:
                values = np.round(self._random.normal(60.0, 20.0, shape), 2)
            yield connection, wire.at(times_ns, values)

    def aside(self, time_ns: int) -> SampleBatch:
        """Signs of life, one a second and connection; at whole minutes the products too, as codes."""
        tags = list(self._links)
        values = [1.0] * len(tags)
        if time_ns % (60 * SECOND) == 0:
            products = np.concatenate(self._products).tolist()
            tags += products
            values += [float(self._code)] * len(products)
        return SampleBatch.of(tags, [time_ns] * len(tags), values)


def _kind(signal: str) -> str:
    if signal.startswith("state."):
        return "state"
    if signal == "energy":
        return "meter"
    return "count" if signal in _COUNTS else "double"


class Stages:
    """CPU seconds by stage; a stage within a stage is taken out of the outer one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside under a name."""
        began = time.process_time()
        self._open.append(0.0)
        try:
            yield
        finally:
            took = time.process_time() - began
            self.seconds[name] += took - self._open.pop()
            if self._open:
                self._open[-1] += took

    def watch(self, owner: object, method: str, name: str) -> None:
        """Count every call of a method."""
        original = getattr(owner, method)

        def watched(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return original(*arguments, **named)

        setattr(owner, method, watched)


def measure(mix: Mix, minutes: int, folder: Path) -> dict[str, Any]:
    """Run a mix for some minutes of plant time, after one to warm up."""
    config = load(plant_yaml(mix, folder))
    clock = Clock()
    agent = Agent(partial(compile_plant, config), clock=clock, recipes=())
    plant = Plant(agent.compiled, agent, max(1, mix.rate // 2))
    stages = Stages()
    _watch(stages, agent)
    step = SECOND // mix.rate
    values = ticks = 0
    slowest = 0.0
    total = 0.0
    for n in range((minutes + 1) * 60 * SECOND // TICK_NS):
        if n == 60 * SECOND // TICK_NS:
            stages.seconds.clear()
            values, total, slowest, ticks = 0, 0.0, 0.0, 0
            gc.collect()
        start = START + n * TICK_NS
        times = np.arange(-(-start // step) * step, start + TICK_NS, step)
        sent = list(plant.bodies(times)) if len(times) else []
        aside = plant.aside(start) if start % SECOND == 0 else SampleBatch.empty()
        clock.now = start + TICK_NS
        before = time.process_time()
        values += one_tick(agent, plant, stages, sent, aside, clock.now)
        took = time.process_time() - before
        total += took
        slowest = max(slowest, took)
        ticks += 1
    minute_rows = len(agent.reader.elements("minute", START, clock.now))
    agent.reader.close()
    agent.journal.close()
    return {
        "mix": mix.name,
        "tags": len(agent.compiled.tags),
        "machines": MACHINES,
        "plant_minutes": minutes,
        "values": values,
        "cpu_seconds": round(total, 3),
        "values_per_cpu_second": round(values / total),
        "cpu_share_at_this_rate": round(total / (minutes * 60), 4),
        "ticks": ticks,
        "mean_tick_ms": round(1e3 * total / ticks, 2),
        "slowest_tick_ms": round(1e3 * slowest, 1),
        "ns_per_value": {name: round(1e9 * s / values) for name, s in sorted(stages.seconds.items())},
        "journal_mb": round(sum(path.stat().st_size for path in folder.glob("bench.journal*")) / 1e6, 1),
        "minute_rows": minute_rows,
    }


class Clock:
    """Plant time, moved on by the bench."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def one_tick(
    agent: Agent, plant: Plant, stages: Stages, sent: list[tuple[int, bytes]], aside: SampleBatch, now: int
) -> int:
    """Decode what was sent, assemble, commit; the number of values."""
    with stages.stage("decode"):
        batches = [plant.decoders[connection].publish(body, now).notification.samples for connection, body in sent]
        batch = SampleBatch.concat([*batches, aside])
    assembly: Assembly = agent.assembly
    with stages.stage("assemble"):
        assembled = assembly.assemble(batch, now=now, wall=now, texts=agent.texts.take_fresh())
    with stages.stage("commit"):
        agent.journal.commit(assembled.tick)
    return len(batch)


def _watch(stages: Stages, agent: Agent) -> None:
    assembly: Any = agent.assembly
    for method in ("add", "advance", "provisional", "checkpoint"):
        stages.watch(assembly._engine, method, "engine")
    stages.watch(assembly, "_raw_samples", "line_protocol_and_gzip")
    for method in ("elements", "states", "kpis"):
        stages.watch(assembly._points, method, "computed_points")
    for method in ("replaced", "take_on"):
        stages.watch(assembly._windows, method, "kpi_windows")
    touched: Callable[..., Any] = assembly._windows.touched_by
    assembly._windows.touched_by = lambda rows: list(touched(rows))
    stages.watch(assembly._windows, "touched_by", "kpi_windows")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=3, help="plant time to measure")
    parser.add_argument("--mix", choices=[*MIXES], help="only this one")
    arguments = parser.parse_args()
    results = []
    for mix in [MIXES[arguments.mix]] if arguments.mix else MIXES.values():
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(mix, arguments.minutes, Path(folder)))
    print(json.dumps({"bench": "pipeline", "aim_values_per_cpu_second": 400_000, "mixes": results}, indent=1))


if __name__ == "__main__":
    main()
