"""What a configuration would collect, in a few lines: what `edge-agent validate` prints.

Rule: read off the compiled plant; what is not in there is not collected.
Imports: standard library, config.compiled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from config.compiled import CompiledPlant


@dataclass(frozen=True, slots=True)
class MachineSummary:
    """One machine. signals: tags that are collected for it."""

    machine: str
    name: str
    signals: int
    connections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineSummary:
    """One line and its machines. shifts: names in the order of the calendar."""

    line: str
    area: str
    shifts: tuple[str, ...]
    machines: tuple[MachineSummary, ...]


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """One connection. items: values that are asked for. endpoint: without user or password."""

    connection: str
    protocol: str
    endpoint: str
    items: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A plant at a glance. influx: where points go, empty where only into the journal."""

    enterprise: str
    site: str
    time_zone: str
    version: str
    lines: tuple[LineSummary, ...]
    connections: tuple[ConnectionSummary, ...]
    signals: int
    influx: str
    journal: str
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """The same in plain values, for JSON."""
        return asdict(self)


def summary(compiled: CompiledPlant) -> Summary:
    """What would be collected, and what cannot be had from it."""
    tags = [tag for tag in compiled.tags.tags if tag.signal != "link" or tag.machine != tag.connection]
    signals = Counter(tag.machine for tag in tags)
    connections: dict[str, dict[str, None]] = {}
    for tag in tags:
        connections.setdefault(tag.machine, {})[tag.connection] = None
    lines: dict[str, list[MachineSummary]] = {}
    calendars = {machine.line: (machine.area, machine.calendar) for machine in compiled.plant.machines}
    for machine in compiled.plant.machines:
        made = MachineSummary(machine.id, machine.name, signals[machine.id], tuple(connections.get(machine.id, ())))
        lines.setdefault(machine.line, []).append(made)
    return Summary(
        enterprise=compiled.enterprise,
        site=compiled.site,
        time_zone=compiled.timezone,
        version=compiled.version,
        lines=tuple(
            LineSummary(line, calendars[line][0], tuple(s.name for s in calendars[line][1].shifts), tuple(machines))
            for line, machines in lines.items()
        ),
        connections=(
            *(ConnectionSummary(one.name, "opcua", one.endpoint, len(one.items)) for one in compiled.opcua),
            *(ConnectionSummary(one.name, "mqtt", f"{one.host}:{one.port}", len(one.items)) for one in compiled.mqtt),
        ),
        signals=len(tags),
        influx=compiled.influx.url if compiled.influx else "",
        journal=compiled.agent.journal,
        warnings=compiled.warnings,
    )
