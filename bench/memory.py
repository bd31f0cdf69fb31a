"""How much memory an agent holds that collects 10 000 tags over OPC UA, in steady state.

`python bench/memory.py [--tags 10000] [--seconds 90]` prints JSON. Nothing is simulated inside the agent: it is
`edge-agent run` in a process of its own, connected over TCP to a server in another one (asyncua) that changes every
value about once a second, as fast as it can; its journal keeps raw samples for a database that never answers, so the
outbox grows as in an outage. Of 100 tags of a machine 4 feed the KPI engine. Read from /proc, so Linux only:
`resident` is VmRSS at the end, `peak` VmHWM, `unique` what no other process shares (USS).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from edge_agent.journal import JournalError, JournalReader

AIM_MB: Final = 200.0
TAGS_A_MACHINE: Final = 100
_KPI = ("state", "good", "scrap", "energy")
_START_SECONDS = 180.0
_ROUND_SECONDS = 1.0
_PART = 500  # values written before the server's loop gets a turn


def plant_yaml(folder: Path, port: int, machines: int) -> Path:
    """The plant of so many machines as a configuration file."""
    measured = "".join(f"      v{i:02}: {{node: 'ns=2;s={{m}}.v{i:02}'}}\n" for i in range(TAGS_A_MACHINE - len(_KPI)))
    lines = "\n".join(f"      - {{id: m{m:03}, profile: machine, with: {{m: M{m:03}}}}}" for m in range(machines))
    path = folder / "plant.yaml"
    path.write_text(
        f"""
plant: {{enterprise: Bench, site: bench, time_zone: UTC}}
agent: {{journal: {folder / "bench.journal"}}}
influx: {{url: http://127.0.0.1:1, bucket: factory, org: bench}}
calendar: {{shifts: [{{name: all, start: "00:00", end: "00:00"}}]}}
connections: {{server: {{type: opcua, endpoint: "opc.tcp://127.0.0.1:{port}"}}}}
products: {{}}
profiles:
  machine:
    connection: server
    state:
      signals: {{state: {{node: 'ns=2;s={{m}}.state'}}}}
      rules: [{{when: {{state: 1}}, state: producing}}, {{when: {{state: 2}}, state: breakdown}}]
    counts: {{good: {{node: 'ns=2;s={{m}}.good'}}, scrap: {{node: 'ns=2;s={{m}}.scrap'}}}}
    energy: {{node: 'ns=2;s={{m}}.energy', unit: kWh}}
    measured:
{measured}
lines:
  - name: line
    area: hall
    machines:
{lines}
""",
        encoding="utf-8",
    )
    return path


async def serve(port: int, machines: int) -> None:
    """An OPC UA server whose values change about once a second; never returns."""
    from asyncua import Server, ua  # the agent's parent does not need it  # noqa: PLC0415

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace("urn:bench")
    nodes = []
    for machine in range(machines):
        folder = await server.nodes.objects.add_folder(ua.NodeId(f"M{machine:03}", 2), f"2:M{machine:03}")
        for name in (*_KPI, *(f"v{i:02}" for i in range(TAGS_A_MACHINE - len(_KPI)))):
            nodes.append(await folder.add_variable(ua.NodeId(f"M{machine:03}.{name}", 2), f"2:{name}", 1.0))
    async with server:
        print("ready", flush=True)
        n = 0
        while True:
            began = time.monotonic()
            n += 1
            for first in range(0, len(nodes), _PART):
                for node in nodes[first : first + _PART]:
                    await server.write_attribute_value(node.nodeid, ua.DataValue(ua.Variant(float(n))))
                await asyncio.sleep(0)
            await asyncio.sleep(max(0.0, _ROUND_SECONDS - (time.monotonic() - began)))


def memory_of(pid: int) -> dict[str, float]:
    """Resident, peak and unique memory of a process in MB."""
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            found[{"VmRSS": "resident", "VmHWM": "peak"}[name]] = int(rest.split()[0]) / 1024
    unique = sum(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Private_")
    )
    return {**{name: round(mb, 1) for name, mb in found.items()}, "unique": round(unique / 1024, 1)}


def agent_facts(journal: Path) -> dict[str, Any] | None:
    """What the agent says of itself; None before it has said anything."""
    try:
        with JournalReader(journal) as reader:
            return reader.status() or None
    except (JournalError, OSError):
        return None


def measure(tags: int, seconds: float) -> dict[str, Any]:
    """Start server and agent, wait until every tag delivers, let it run, and read its memory."""
    machines = tags // TAGS_A_MACHINE
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = plant_yaml(folder, port, machines)
        with subprocess.Popen(
            [sys.executable, __file__, "--serve", str(port), "--tags", str(tags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as server:
            assert server.stdout is not None
            try:
                server.stdout.readline()
                return _with_agent(config, folder, machines * TAGS_A_MACHINE, seconds)
            finally:
                server.kill()


def _with_agent(config: Path, folder: Path, tags: int, seconds: float) -> dict[str, Any]:
    journal = folder / "bench.journal"
    log = (folder / "agent.log").open("wb")
    agent = subprocess.Popen(
        [sys.executable, "-c", "from edge_agent.cli import main; main()", "run", str(config)],
        stderr=log,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _all_deliver(agent_facts(journal), tags):
            if time.monotonic() > deadline or agent.poll() is not None:
                raise SystemExit(f"not all tags deliver:\n{(folder / 'agent.log').read_text()[-2000:]}")
            time.sleep(0.5)
        before = agent_facts(journal) or {}
        began = time.monotonic()
        series = []
        while time.monotonic() - began < seconds:
            time.sleep(seconds / 10)
            series.append(memory_of(agent.pid)["resident"])
        took = time.monotonic() - began
        after = agent_facts(journal) or {}
        memory = memory_of(agent.pid)
        samples = after["agent"]["samples"] - before["agent"]["samples"]
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(60)
        log.close()
    return {
        "bench": "memory",
        "aim_mb": AIM_MB,
        "tags": tags,
        "seconds": round(took, 1),
        "values_per_second": round(samples / took),
        "resident_mb": memory["resident"],
        "peak_mb": memory["peak"],
        "unique_mb": memory["unique"],
        "resident_over_time_mb": series,
        "journal_mb": round(sum(path.stat().st_size for path in folder.glob("bench.journal*")) / 1e6, 1),
    }


def _all_deliver(facts: dict[str, Any] | None, tags: int) -> bool:
    return facts is not None and sum(one["delivering"] for one in facts.get("connections", ())) >= tags


def main() -> None:
    """Measure and print, or serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=10_000, help="a multiple of 100")
    parser.add_argument("--seconds", type=float, default=90.0, help="of steady state")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.tags // TAGS_A_MACHINE))
    else:
        print(json.dumps(measure(arguments.tags, arguments.seconds), indent=1))


if __name__ == "__main__":
    main()
