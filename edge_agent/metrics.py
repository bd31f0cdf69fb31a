"""The agent's health for Prometheus: the same facts as in `status`, under names that end in their unit.

Rule: nothing is measured here; what the pipeline last said of itself is shown again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Shown = Callable[[], Mapping[str, Any]]
"""What the agent last said of itself, by name: `agent`, `connections`, `forwarder`."""

_AGENT_COUNTERS = {"samples": "Samples received", "ticks": "Ticks", "commit_failures": "Commits tried again"}
_AGENT_GAUGES = {"last_tick_seconds": "Duration of the last tick", "loop_lag_seconds": "Lateness of the event loop"}
_CONNECTION_GAUGES = {
    "configured": "Items of the configuration",
    "accepted": "Items that server or broker took on",
    "delivering": "Items that delivered a good sample since the connection came up",
}


class HealthCollector(Collector):
    """Turns the agent's facts into metric families at each scrape."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        """All families; none of what has not been said yet."""
        shown = self._shown()
        yield from _of_agent(shown.get("agent", {}))
        yield from _of_connections(shown.get("connections", ()))
        yield from _of_forwarder(shown.get("forwarder", {}))


def _of_agent(agent: Mapping[str, Any]) -> Iterator[Metric]:
    if not agent:
        return
    for name, help_text in _AGENT_COUNTERS.items():
        yield CounterMetricFamily(f"edge_agent_{name}", help_text, value=agent[name])
    for name, help_text in _AGENT_GAUGES.items():
        yield GaugeMetricFamily(f"edge_agent_{name}", help_text, value=agent[name])
    judged = CounterMetricFamily("edge_agent_samples_judged", "Verdicts on samples", labels=["verdict"])
    for verdict, n in agent["faults"].items():
        judged.add_metric([verdict], n)
    yield judged


def _of_connections(connections: Any) -> Iterator[Metric]:
    up = GaugeMetricFamily("edge_agent_connection_up", "Whether the connection stands", labels=["connection"])
    items = {
        name: GaugeMetricFamily(f"edge_agent_items_{name}", help_text, labels=["connection"])
        for name, help_text in _CONNECTION_GAUGES.items()
    }
    faults = CounterMetricFamily("edge_agent_bad_input", "Bad input by name", labels=["connection", "fault"])
    for one in connections:
        name = one["name"]
        up.add_metric([name], one["state"] == "up")
        for count, family in items.items():
            family.add_metric([name], one[count])
        for fault, n in one["faults"].items():
            faults.add_metric([name, fault], n)
    yield from (up, *items.values(), faults)


def _of_forwarder(forwarder: Mapping[str, Any]) -> Iterator[Metric]:
    if forwarder:
        for name in ("delivered_points", "rejected_points", "failures"):
            yield CounterMetricFamily(f"edge_agent_forwarder_{name}", "Forwarder", value=forwarder[name])


def serve(host: str, port: int, shown: Shown) -> WSGIServer:
    """Serve metrics over HTTP in a thread of its own; shut the returned server down to end. Raises OSError."""
    registry = CollectorRegistry()
    registry.register(HealthCollector(shown))
    server, _ = start_http_server(port, host, registry)
    return server
