"""How an agent is doing, read from its journal: connections, outbox, last tick, latest KPIs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.board import board
from edge_agent.corrections import correction_words
from edge_agent.figures import OfPlant, PlantFigures, Remarks, plant_figures, summary
from edge_agent.health import REPLAYED
from edge_agent.held_range import HeldRange
from edge_agent.journal import BeyondFacts, JournalReader
from edge_agent.kpi_windows import PlantDays
from edge_agent.plant_facts import kpis_of
from kpi.plant import Plant

_ON_THE_BOARD: Final = ("oee", "availability", "effectiveness", "quality_ratio", "energy_per_piece", "coverage")
_MOST_NAMED: Final = 4
_STATE_STYLES = {"up": "green3", "down": "red3", "starting": "yellow3", "stopped": "grey70"}


@dataclass(frozen=True, slots=True, eq=False)
class Status:
    """What a journal says of its agent. said: name → what the agent said of itself in its last commits.

    settled_to: up to when everything was said, ns. outbox: by kind, entries, points and bytes. held: what time it has
    rows of; None = of none. start: of the plant's local day that `day` is of, ns: that of the last tick, and where only
    replays wrote, the last one held. day: figures of it, by machine, line and site; None where nobody has written yet.
    beyond: how many samples came too late to correct anything, and are kept apart.
    """

    path: str
    said: Mapping[str, Any]
    settled_to: int
    outbox: Mapping[str, Mapping[str, int]]
    ledger: Mapping[str, int]
    plant: Plant | None
    held: HeldRange | None
    start: int
    day: PlantFigures | None
    beyond: BeyondFacts

    @property
    def is_replayed(self) -> bool:
        """Whether no agent has run on this journal yet, only `edge-agent replay`."""
        return bool(self.said.get("agent", {}).get(REPLAYED, False))

    @property
    def seconds_since_tick(self) -> float | None:
        """Wall time since the last tick that said something, seconds; None where no agent has run."""
        return None if self.is_replayed else self.seconds_since_written

    @property
    def seconds_since_written(self) -> float | None:
        """Wall time since an agent or a replay last said something, seconds; None where none did."""
        agent = self.said.get("agent")
        return None if agent is None else max(0.0, (time.time_ns() - int(agent["wall_time"])) / 1e9)

    def facts(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        day = self.day
        return {
            "journal": self.path,
            "seconds_since_tick": self.seconds_since_tick,
            "held": None if self.held is None else asdict(self.held),
            "settled_to": self.settled_to,
            **self.said,
            "outbox": self.outbox,
            "ledger": dict(self.ledger),
            "beyond_horizon": asdict(self.beyond),
            "kpi_today_from": None if day is None else self.start,
            "kpi_today": {} if day is None else {machine: summary(one) for machine, one in day.machines.items()},
            "kpi_today_lines": {} if day is None else {line: summary(one) for line, one in day.lines.items()},
            "kpi_today_site": None if day is None else summary(day.site),
            "kpi_today_absent": None if day is None or day.absent is None else asdict(day.absent),
            "kpi_today_warnings": None if day is None or day.odd is None else asdict(day.odd),
        }


def read_status(reader: JournalReader) -> Status:
    """The status that a journal holds."""
    said = reader.status()
    depth = {
        kind.name.lower(): {"entries": one.entries, "points": one.points, "bytes": one.bytes}
        for kind, one in reader.outbox_depth().items()
    }
    plant, day, start = None, None, 0
    held = HeldRange.of(reader)
    if "plant" in said:
        kpis = kpis_of(said["plant"])
        plant = kpis.plant
        is_replayed = said["agent"].get(REPLAYED, False)
        newest = held.end - 1 if is_replayed and held is not None else int(said["agent"]["time"])
        start, end = PlantDays(plant.timezone).day(newest)
        day = plant_figures(reader.elements("hour", start, end), kpis, start, end)
    beyond = reader.beyond_horizon_facts()
    return Status(str(reader.path), said, reader.settled_to(), depth, reader.ledger(), plant, held, start, day, beyond)


def shown(status: Status) -> RenderableType:
    """Tables for a terminal."""
    if status.plant is None or status.day is None:
        return Text(f"{status.path}: no agent has written to this journal yet")
    agent = status.said["agent"]
    head = Table.grid(padding=(0, 2))
    head.add_row("plant", f"{status.plant.site}, configuration {status.said['plant']['version']}")
    head.add_row("journal", status.path)
    head.add_row("holds", "nothing yet" if status.held is None else status.held.words(status.plant.timezone))
    ago = f"{_moment(agent['time'], status.plant)}, {status.seconds_since_written:,.0f} s ago"
    if status.is_replayed:
        head.add_row("last written", f"{ago}, by replay: no agent has run on this journal")
    else:
        head.add_row("last tick", ago)
        head.add_row("ticks", f"{agent['ticks']:,}, the last took {agent['last_tick_seconds'] * 1e3:,.1f} ms")
    if "corrections" in status.said:
        for line in correction_words(status.said["corrections"], status.plant.timezone):
            head.add_row("corrections", line)
    if status.beyond.since is not None:
        head.add_row("kept apart", _beyond_words(status.beyond, status.beyond.since, status.plant))
    if not status.is_replayed:
        head.add_row("samples", f"{agent['samples']:,} since the start of the agent")
    if agent["faults"]:
        head.add_row("judged", ", ".join(f"{name} {n:,}" for name, n in sorted(agent["faults"].items())))
    parts: list[RenderableType] = [head, Text()]
    if not status.is_replayed:
        parts += [_connections(status), Text()]
    parts += [_outbox(status), Text()]
    day = f"{_moment(status.start, status.plant):.10}"
    parts += [Text(f"KPIs of {day}", "bold"), board(status.day, status.said.get("machines", {}), status.plant)]
    parts += [Text(), *_remarks(status.day)]
    return Group(*parts)


def _beyond_words(beyond: BeyondFacts, since: int, plant: Plant) -> str:
    some = "1 sample" if beyond.samples == 1 else f"{beyond.samples:,} samples"
    return (
        f"{some} that came too late to correct anything, since {_moment(since, plant)}; "
        "`edge-agent export --beyond-horizon` writes them"
    )


def _remarks(day: PlantFigures) -> Iterator[RenderableType]:
    """Why figures of the board are dashes, and what is odd about others; places of which the same is said, together."""
    for what, of, style in (("", day.odd, "yellow3"), ("no ", day.absent, "dim")):
        for (kpi, words), places in _places(of).items():
            if what == "" or kpi in _ON_THE_BOARD:
                named = ", ".join(places[:_MOST_NAMED])
                more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
                yield Text(f"{what}{kpi}: {words} ({named}{more})", style)


def _places(remarks: OfPlant[Remarks] | None) -> dict[tuple[str, str], list[str]]:
    """(KPI, words) → places that it is said of."""
    found: dict[tuple[str, str], list[str]] = {}
    if remarks is not None:
        named = [*remarks.machines.items(), *((f"line {name}", one) for name, one in remarks.lines.items())]
        for place, said in [*named, ("plant", remarks.site)]:
            for kpi, words in said.items():
                found.setdefault((kpi, words), []).append(place)
    return found


def _connections(status: Status) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("Connection", "State", "Since", "Endpoint"):
        table.add_column(heading)
    for heading in ("Configured", "Accepted", "Delivering"):
        table.add_column(heading, justify="right")
    table.add_column("Detail, bad input and items set aside", overflow="fold")
    for one in status.said.get("connections", []):
        notes = [one["detail"]] if one["detail"] else []
        notes += [
            f"{fault} {n:,}" + (f" ({example})" if (example := one["fault_examples"].get(fault)) else "")
            for fault, n in one["faults"].items()
        ]
        notes += [f"{entry['item']}: {entry['reason']}" for entry in one["set_aside"][:3]]
        if one["set_aside_count"] > 3:
            notes.append(f"and {one['set_aside_count'] - 3} more items set aside")
        since = _moment(one["since"], status.plant) if one["since"] else ""
        counts = [f"{one[name]:,}" for name in ("configured", "accepted", "delivering")]
        state = Text(one["state"], _STATE_STYLES.get(one["state"], ""))
        table.add_row(one["name"], state, since, one["endpoint"], *counts, "\n".join(notes))
    return table


def _outbox(status: Status) -> RenderableType:
    waiting = {kind: depth for kind, depth in status.outbox.items() if depth["entries"]}
    if not waiting:
        return Text("outbox empty")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("Outbox")
    for heading in ("Requests", "Points", "Bytes"):
        table.add_column(heading, justify="right")
    for kind, depth in waiting.items():
        table.add_row(kind, *(f"{depth[name]:,}" for name in ("entries", "points", "bytes")))
    return table


def _moment(at: int, plant: Plant | None) -> str:
    zone = ZoneInfo("UTC" if plant is None else plant.timezone)
    return f"{datetime.fromtimestamp(at / 1e9, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"
