"""Two machines that send everything a source can get wrong, beside two that do not: over real OPC UA and MQTT, through
a whole agent. Each fault is counted under its own name and shown, and the good machines' numbers do not change."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from config.compiler import compile_plant
from config.loader import load
from connectors import Fault
from edge_agent.agent import Agent
from edge_agent.cli import main
from edge_agent.journal import JournalReader
from kpi.elements import MINUTE_NS
from tests.edge_agent.scripted import NOON, SECOND, Clock
from tests.services.mosquitto import Mosquitto, Publisher
from tests.services.opcua_servers import OpcUaServer, asyncua_server
from tests.services.process import PATIENCE_SECONDS, running

STEP: Final = 20
MINUTES: Final = 13
END: Final = NOON + MINUTES * MINUTE_NS
BAD_STATUS: Final = 0x80310000
GOOD: Final = ["packer-1", "press-1"]
PIECE: Final = 1_000_000  # elements are fixed-point numbers: a millionth of a piece

_YAML: Final = """
plant: {{site: works, time_zone: Europe/Berlin}}
agent: {{journal: {journal}, tick: 20 ms, close_after: 5 s, correction_horizon: 5 min, future_tolerance: 1 min}}
calendar:
  shifts: [{{name: day, start: "06:00", end: "18:00"}}]
connections:
  cell: {{type: opcua, endpoint: "{endpoint}", publishing_interval: 50 ms, link_holds: 1 h}}
  floor: {{type: mqtt, host: 127.0.0.1, port: {mqtt_port}, subscribe: ["plant/#"], link_holds: 1 h}}
products: {{A: {{}}}}
profiles:
  press:
    connection: cell
    default_ideal_cycle_time: 10 s
    state:
      signals: {{status: {{node: "nsu=urn:test:press;s=Press.{{state}}"}}}}
      rules: &rules
        - {{when: {{status: 1}}, state: producing}}
        - {{when: {{status: 2}}, state: breakdown}}
    counts:
      good: {{node: "nsu=urn:test:press;s=Press.{{good}}"}}
      scrap: {{node: "nsu=urn:test:press;s=Press.{{scrap}}"}}
    measured:
      force: {{node: "nsu=urn:test:press;s=Press.{{force}}", unit: kN}}
      stroke: {{node: "nsu=urn:test:press;s=Press.{{stroke}}", unit: mm}}
  packer:
    connection: floor
    topic: "plant/{{machine}}"
    time: {{path: ts, unit: ns}}
    stale_after: never
    default_ideal_cycle_time: 10 s
    state: {{signals: {{status: {{path: s}}}}, rules: *rules}}
    counts: {{good: {{path: g}}, scrap: {{path: x}}}}
lines:
  - name: one
    area: hall
    machines:
      - {{id: press-1, profile: press, with: {{state: V0, good: V1, scrap: V2, force: V3, stroke: V4}}}}
      - {{id: packer-1, profile: packer}}
"""
_BAD_MACHINES: Final = """
      - {id: press-2, profile: press, with: {state: V5, good: V6, scrap: Product, force: Many, stroke: NotThere}}
      - {id: packer-2, profile: packer}
"""


@dataclass(frozen=True)
class Plant:
    """The servers that stay from run to run."""

    opcua: OpcUaServer
    mqtt: Mosquitto


@dataclass(frozen=True)
class Outcome:
    """What a run left in its journal."""

    path: Path
    elements: pl.DataFrame
    intervals: pl.DataFrame
    said: Mapping[str, Any]

    def sums(self, machine: str) -> dict[str, int]:
        """The elements of a machine, all minutes together."""
        of_machine = self.elements.filter(pl.col("machine") == machine)
        return of_machine.select(pl.col(pl.Int64)).sum().to_dicts()[0]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("servers")
    opcua = asyncua_server(folder)
    opcua.start()
    try:
        with running(mqtt := Mosquitto(folder / "mosquitto")):
            yield Plant(opcua, mqtt)
    finally:
        opcua.kill()


def moment(minute: float) -> int:
    """A time (ns), by minutes from NOON."""
    return NOON + int(minute * MINUTE_NS)


def at_step(step: int) -> int:
    """When a step is (ns)."""
    return NOON + step * STEP * SECOND


def message(at: int, *, s: int = 1, g: float = 0, x: float = 0) -> str:
    return json.dumps({"ts": at, "s": s, "g": g, "x": x})


def good_step(plant: Plant, publisher: Publisher, step: int) -> None:
    """A good piece each step on both machines, scrap each fifth, and a breakdown of two minutes."""
    at = at_step(step)
    state = 2 if 12 <= step < 18 else 1
    for name, value in {"V0": state, "V2": step // 5, "V3": 7.5 + step, "V4": 3, "V1": 100 + step}.items():
        plant.opcua.set(name, value, at=at)  # the counter of good pieces changes each time, and comes last
    publisher.publish(("plant/packer-1", message(at, s=state, g=500 + step, x=step // 5)))


OPCUA: Final[Mapping[int, list[tuple[str, Any, dict[str, Any]]]]] = {
    3: [("V6", 0, {"status": BAD_STATUS})],
    4: [("V6", math.nan, {}), ("V6", math.inf, {}), ("V6", -math.inf, {})],
    6: [("V5", 77, {}), ("Product", "many", {"kind": "String"}), ("Many", [3.0, 4.0], {})],
    7: [("V5", 1, {})],
    8: [("V6", 1e6, {"at": moment(60 * 24)})],
    9: [("V6", 1010, {}), ("V6", 1005, {}), ("V6", 299, {}), ("V6", 300, {})],
    11: [("V6", 301, {"at": moment(3.5)}), ("V6", 300, {"at": moment(3.4)})],
}
"""By step: what press-2 shows, a millisecond apart from the time of the step on, unless another time is said. Its
scrap is a text and its force an array from the start; the node of its stroke does not exist."""


MINE: Final = "plant/packer-2"
MQTT: Final[Mapping[int, list[tuple[str, str | bytes]]]] = {
    0: [(MINE, message(at_step(0), g=1000))],
    3: [
        (MINE, f'{{"ts": {at_step(3) + n}, "s": 1, "g": {text}, "x": 0}}')
        for n, text in enumerate(('"12"', "[1]", "NaN", "Infinity", "1e999", "null"))
    ],
    5: [
        (MINE, b"{g: 1}"),
        (MINE, message(at_step(5), g=9999)[:-9]),
        (MINE, b'{"s": 1, "g": "\xff\xfe", "x": 0}'),
        (MINE, b'{"s": 1, "g": 5, "x": "' + b"x" * 10_000_000 + b'"}'),
        ("plant/stranger", message(at_step(5), g=9999)),
        (MINE, f'{{"ts": {at_step(5) + 1}, "s": 1, "g": 1005}}'),
        (MINE, '{"ts": "yesterday", "s": 1, "g": 1005, "x": 0}'),
    ],
    7: [(MINE, message(at_step(7), g=1007))] * 3,
    8: [(MINE, message(moment(60 * 24), s=2, g=99_999, x=99_999))],
    9: [(MINE, message(at_step(9) - n * SECOND, g=1009 - n)) for n in range(3)],
    11: [(MINE, message(at_step(11) + n, g=g)) for n, g in enumerate((1011, 1010, 20))],
    35: [(MINE, message(moment(1.7), g=99_999, x=99_999)), (MINE, message(moment(9.5), g=22))],
    36: [(MINE, message(at_step(36), g=25)), (MINE, message(at_step(36), g=24))],
}
"""By step: what packer-2 sends, and what nobody should."""


def run(plant: Plant, folder: Path, *, bad: bool) -> Outcome:
    """Thirteen minutes of the plant, by a clock that goes on when what was sent has arrived."""
    for number in range(7):
        plant.opcua.set(f"V{number}", {1: 99, 5: 1, 6: 1000}.get(number, 0), at=NOON - SECOND)
    plant.opcua.set("Product", "HSG", "String", at=NOON - SECOND)
    plant.opcua.set("Many", [1.0], at=NOON - SECOND)
    folder.mkdir()
    yaml, journal = folder / "plant.yaml", folder / "plant.journal"
    text = _YAML.format(journal=journal, endpoint=plant.opcua.endpoint, mqtt_port=plant.mqtt.port)
    yaml.write_text(text.rstrip() + (_BAD_MACHINES if bad else ""))
    config = load(yaml)
    clock = Clock(NOON)
    agent = Agent(lambda texts: compile_plant(config, texts), clock=clock, refresh_ns=200_000_000)
    tags = agent.compiled.tags.tags
    watched = [n for n, tag in enumerate(tags) if tag.machine in GOOD and tag.signal == "good"]

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - facts of the agent's, which set no event
                await asyncio.sleep(0.005)

    async def script() -> None:
        stop = asyncio.Event()
        collecting = asyncio.create_task(agent.run(stop))
        connections = [n for n, tag in enumerate(tags) if tag.signal == "link"]
        await until(lambda: bool((agent.assembly.latest_time[connections] >= NOON).all()))
        expected = sum(tag.machine.startswith("press") for tag in tags) - bad
        await until(lambda: agent.sources.health()[0].accepted == expected)
        await until(lambda: agent.sources.health()[1].accepted > 0)
        with Publisher(plant.mqtt.port) as publisher:
            for step in range(MINUTES * 60 // STEP):
                clock.now = at = at_step(step)
                if bad:
                    for n, (name, value, options) in enumerate(OPCUA.get(step, [])):
                        plant.opcua.set(name, value, **{"at": at + n * 1_000_000, **options})
                    publisher.publish(*MQTT.get(step, []))
                good_step(plant, publisher, step)
                await until(lambda at=at: bool((agent.assembly.latest_time[watched] >= at).all()))  # type: ignore[misc]
        clock.now = END
        agent.pipeline.settle_at_end = END
        stop.set()
        await collecting

    asyncio.run(script())
    with JournalReader(journal) as reader:
        return Outcome(journal, reader.elements("minute", NOON, END), reader.intervals(NOON, END), reader.status())


@pytest.fixture(scope="module")
def with_bad(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(plant, tmp_path_factory.mktemp("bad") / "run", bad=True)


@pytest.fixture(scope="module")
def without_bad(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(plant, tmp_path_factory.mktemp("good") / "run", bad=False)


CONNECTIONS: Final = {
    "cell": {
        Fault.BAD_STATUS: 1,
        Fault.NOT_FINITE: 3,
        Fault.NOT_A_NUMBER: 2,
        Fault.WRONG_TYPE: 2,
        Fault.UNKNOWN_NODE: 1,
    },
    "floor": {
        Fault.NOT_A_NUMBER: 1,
        Fault.WRONG_TYPE: 2,
        Fault.NOT_FINITE: 3,
        Fault.MALFORMED_JSON: 1,
        Fault.TRUNCATED_JSON: 1,
        Fault.INVALID_UTF8: 1,
        Fault.PAYLOAD_TOO_LARGE: 1,
        Fault.UNKNOWN_TOPIC: 1,
        Fault.MISSING_PATH: 1,
        Fault.BAD_TIMESTAMP: 1,
    },
}
"""What each connection counts."""

JUDGED: Final = {
    "future_timestamp": 4,
    "duplicate": 8,
    "conflict": 1,
    "late": 3,
    "beyond_horizon": 3,
    "counter_fall": 2,
    "counter_reset": 1,
    "counter_step_back": 2,
    "unmapped_state": 1,
}
"""What the agent counts, besides `out_of_order`, whose number depends on what a tick finds together."""


def shown_by_status(journal: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["status", str(journal), *options])
    assert ended.value.code in (None, 0)
    return capsys.readouterr().out


def test_each_kind_of_bad_input_is_counted_under_its_own_name(
    with_bad: Outcome, without_bad: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    status = json.loads(shown_by_status(with_bad.path, capsys, "--json"))
    connections = {one["name"]: one for one in status["connections"]}
    assert {name: one["faults"] for name, one in connections.items()} == CONNECTIONS
    assert all(one["fault_examples"].keys() == one["faults"].keys() for one in connections.values())
    judged = status["agent"]["faults"]
    assert judged.pop("out_of_order") >= 1
    assert judged == JUDGED
    (aside,) = connections["cell"]["set_aside"]
    assert aside["item"].endswith("s=Press.NotThere")
    assert aside["fault"] == Fault.UNKNOWN_NODE
    assert all(not one["faults"] for one in without_bad.said["connections"])
    assert without_bad.said["agent"]["faults"] == {}


def test_status_shows_them_to_people(
    with_bad: Outcome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = shown_by_status(with_bad.path, capsys)
    for name, count in [*JUDGED.items(), *(fault for faults in CONNECTIONS.values() for fault in faults.items())]:
        assert f"{name} {count}" in shown
    assert "s=Press.NotThere: BadNodeIdUnknown" in shown


def test_the_good_machines_numbers_are_what_they_would_be_without(with_bad: Outcome, without_bad: Outcome) -> None:
    beside = pl.col("machine").is_in(GOOD)
    assert_frame_equal(with_bad.elements.filter(beside), without_bad.elements)
    assert_frame_equal(with_bad.intervals.filter(beside), without_bad.intervals)
    steps = MINUTES * 60 // STEP
    for machine, first in (("press-1", 1), ("packer-1", 0)):  # the press had a value before the first step
        sums = with_bad.sums(machine)
        assert sums["gq"] == (steps - 1 + first) * PIECE
        assert sums["sq"] == (steps - 1) // 5 * PIECE
        assert (sums["apt"], sums["breakdown"], sums["unknown"]) == (660 * SECOND, 120 * SECOND, 0)


def test_of_the_bad_machines_what_was_good_counts(with_bad: Outcome) -> None:
    """Counters from the last good reading to the next, also over a jump back; nothing of what was set aside."""
    press, packer = with_bad.sums("press-2"), with_bad.sums("packer-2")
    assert press["gq"] == (10 + 300 + 1) * PIECE, "1000 → 1010, a step back to 1005, a reset to 300, and 301"
    assert packer["gq"] == (11 + 20 + 5) * PIECE, "1000 → 1011, a step back to 1010, a reset to 20, and 25"
    assert press["sq"] == packer["sq"] == 0
    assert packer["apt"] == MINUTES * MINUTE_NS, "a state of tomorrow is no state of today"
    assert press["unknown"] == STEP * SECOND, "a state without a rule is unknown, while it lasts"
