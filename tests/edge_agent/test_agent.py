"""The agent against the demonstration plant over TCP: its figures are the plant's own, also after a source was gone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import ConnectionState
from edge_agent.agent import Agent
from edge_agent.demo.process import DemoProcess
from edge_agent.demo_run import DemoOptions, DemoRun
from tests.services.process import wait_until

ROOT = Path(__file__).parents[2]
RATIOS = ("oee", "availability", "effectiveness", "quality_ratio")


async def state_is(agent: Agent, connection: str, state: ConnectionState) -> None:
    """Return when a connection is in a state."""

    def holds() -> bool:
        return any(one.name == connection and one.state is state for one in agent.sources.health())

    await asyncio.to_thread(wait_until, holds, f"{connection} is {state}")


def assert_equals_the_truth(kpi: Mapping[str, Any], truth: Mapping[str, Any], of: str) -> None:
    """The acceptance of the demonstration: ratios within 0.01, pieces equal, energy within 0.5 %."""
    for name in RATIOS:
        if truth[name] is None:
            assert kpi[name] is None, (of, name)
        else:
            assert kpi[name] == pytest.approx(truth[name], abs=0.01), (of, name)
    for name in ("good", "scrap"):
        assert kpi[name] == truth[name], (of, name)
    assert kpi["energy_kwh"] == pytest.approx(truth["energy_kwh"], rel=0.005), of
    assert kpi["coverage"] == pytest.approx(truth["coverage"], abs=0.01), of


def test_demo_prints_one_json_object_in_which_every_machine_equals_the_plants_own_book(tmp_path: Path) -> None:
    options = ["--speed", "60", "--duration", "6", "--json", "--keep", str(tmp_path)]
    done = edge_agent("demo", *options)
    result = json.loads(done.stdout)
    assert set(result) == {"machines", "plant", "samples", "duration_s", "values_per_second", "dropped"}
    assert len(result["machines"]) >= 10
    for machine in result["machines"]:
        assert_equals_the_truth(machine["kpi"], machine["truth"], machine["machine"])
    assert_equals_the_truth(result["plant"]["kpi"], result["plant"]["truth"], "plant")
    lost = {cause: n for cause, n in result["dropped"].items() if not cause.startswith("thinned:")}
    assert set(lost.values()) == {0}
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} >= {"demo.journal", "demo.log", "demo.yaml"}
    assert str(folder / "demo.journal") in done.stderr
    assert_can_be_explained(folder / "demo.yaml", result["machines"][0]["machine"])


def edge_agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from edge_agent.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def assert_can_be_explained(plant_file: Path, machine: str) -> None:
    """The kept plant file is what the agent ran with: every state has its signal, and the samples give the rows."""
    asked = ["--machine", machine, "--window", "day", "--json"]
    facts = json.loads(edge_agent("explain", "availability", str(plant_file), *asked).stdout)
    assert facts["configuration"]["notes"] == []
    (pedigree,) = facts["pedigrees"]
    assert pedigree["check"]["agrees"]
    assert all(span["origin"]["signals"] for span in pedigree["intervals"])


def test_a_source_that_is_gone_for_a_while_is_a_gap_in_coverage_and_costs_the_others_nothing(tmp_path: Path) -> None:
    """An OPC UA server and the broker are stopped in turn and started again while the plant goes on."""

    async def outages(plant: DemoProcess, agent: Agent) -> None:
        for server, connection in (("packaging", "packaging"), ("broker", "stations")):
            await asyncio.to_thread(wait_until, lambda: plant.clock() > plant.start_ns + 60_000_000_000, "data before")
            await plant.stop_server(server)
            await state_is(agent, connection, ConnectionState.DOWN)
            await asyncio.sleep(1)  # sixty seconds of the plant: longer than a row
            await plant.start_server(server)
            await state_is(agent, connection, ConnectionState.UP)
        await asyncio.sleep(2)  # two minutes of the plant with all of it back

    options = DemoOptions(tmp_path, seed=7, speed=60, duration=1)
    result = asyncio.run(DemoRun(options).run(asyncio.Event(), meanwhile=outages))
    found = {machine["machine"]: machine for machine in result.facts()["machines"]}
    untouched = [name for name in found if name.startswith("cnc")]
    assert untouched
    for name in untouched:
        assert_equals_the_truth(found[name]["kpi"], found[name]["truth"], name)
    for name in ("press-01", "filler-01", "leaktest-01", "packer-01"):
        kpi, truth = found[name]["kpi"], found[name]["truth"]
        assert 0.01 < kpi["coverage"] < 0.999, name
        assert kpi["good"] == truth["good"], "counters tell after the gap what was made in it"
