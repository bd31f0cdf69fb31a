"""`edge-agent validate`: everything that can be checked without a network, and what would be collected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from edge_agent.commands.plant_file import read_plant
from edge_agent.commands.terminal import console

if TYPE_CHECKING:
    from config.compiled import CompiledPlant


def validate(
    plant: Annotated[Path, typer.Argument(metavar="PLANT.yaml", help="The plant's configuration.", show_default=False)],
    kpis: Annotated[
        bool, typer.Option("--kpis", help="Also show which KPIs cannot be had of which machine, and for want of what.")
    ] = False,
) -> None:
    """Check a plant's configuration without touching the network, and show what would be collected.

    All faults are shown at once, each with its line, what was expected and what would be right.
    """
    _, compiled = read_plant(plant)
    out = console()
    out.print(Text(f"{plant}: good", "green3"))
    out.print(_connections(compiled))
    out.print(_machines(compiled))
    if kpis:
        out.print(_kpis(compiled))
        out.print(_characteristics(compiled))
    for warning in [*compiled.warnings, *_corrections(compiled)]:
        out.print(Text(f"note: {warning}", "yellow3"))
    target = (
        "nothing: the journal only" if compiled.influx is None else f"{compiled.influx.url} {compiled.influx.bucket}"
    )
    out.print(f"{len(compiled.tags)} tags; journal {compiled.agent.journal}; sends to {target}", highlight=False)


def _corrections(compiled: CompiledPlant) -> list[str]:
    """Whether samples of the whole correction horizon fit: as the journal has it, or by a guess where there is none."""
    from edge_agent.corrections import correction_words, estimate
    from edge_agent.journal import JournalError, JournalReader
    from kpi.bindings import Bindings

    settings = compiled.agent
    try:
        with JournalReader(Path(settings.journal)) as reader:
            said = reader.status().get("corrections")
    except JournalError:
        said = None
    if said is not None:
        words = correction_words(said, compiled.timezone)
        return [f"the journal holds samples for corrections: {line}" for line in words[:1]] + words[1:]
    signals = int(Bindings(compiled.plant).used.sum())
    guess = estimate(signals, settings.correction_horizon_ns, settings.journal_most_bytes)
    return [] if guess is None else [guess]


def _connections(compiled: CompiledPlant) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("Connection")
    table.add_column("Address")
    table.add_column("Items", justify="right")
    for opcua in compiled.opcua:
        table.add_row(opcua.name, opcua.endpoint, f"{len(opcua.items):,}")
    for mqtt in compiled.mqtt:
        table.add_row(mqtt.name, f"mqtt{'s' if mqtt.tls else ''}://{mqtt.host}:{mqtt.port}", f"{len(mqtt.items):,}")
    return table


def _kpis(compiled: CompiledPlant) -> Table:
    """What cannot be had; machines that lack the same for the same reason are told of together."""
    from config.derivations import derivations

    machines: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for machine, found in derivations(compiled).items():
        lacks = tuple((one.kpi.id, "; ".join(one.missing)) for one in found if not one.derivable)
        machines.setdefault(lacks, []).append(machine)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("Machines", "Cannot be had", "For want of"):
        table.add_column(heading)
    for lacks, of in machines.items():
        names = _some(of)
        for kpi, why in lacks:
            table.add_row(names, kpi, why)
            names = ""
    return table


def _characteristics(compiled: CompiledPlant) -> Table | str:
    """Of which measured values capability can be had; machines whose values are alike are told of together."""
    from config.derivations import unlimited
    from kpi.capability import CAPABILITY

    without_limits = unlimited(compiled)
    machines: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for machine in compiled.plant.machines:
        rows = []
        for one in machine.characteristics:
            limits = " – ".join("none" if limit is None else f"{limit:g}" for limit in (one.lower, one.upper))
            can = [index.id for index in CAPABILITY if index.has_limits(one.lower, one.upper)]
            rows.append((one.name, limits, ", ".join(can)))
        rows += [(name, "–", "none: it has no `limits`") for name in without_limits.get(machine.id, ())]
        if rows:
            machines.setdefault(tuple(rows), []).append(machine.id)
    if not machines:
        return "no machine has a measured value, so no capability index can be had"
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("Machines", "Measured value", "Limits", "Capability"):
        table.add_column(heading)
    for values, of in machines.items():
        names = _some(of)
        for row in values:
            table.add_row(names, *row)
            names = ""
    return table


def _some(machines: list[str]) -> str:
    return ", ".join(machines[:3]) + (f" and {len(machines) - 3} more" if len(machines) > 3 else "")


def _machines(compiled: CompiledPlant) -> Table:
    signals = Counter(tag.machine for tag in compiled.tags.tags)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("Area", "Line", "Machine", "Counts", "Energy", "Product"):
        table.add_column(heading)
    table.add_column("Signals", justify="right")
    for machine in compiled.plant.machines:
        energy = "meter" if machine.energy else "from power" if machine.power else "–"
        counts = ", ".join(quantity.value for quantity in machine.counters) or "–"
        product = "yes" if machine.product else "–"
        table.add_row(machine.area, machine.line, machine.id, counts, energy, product, f"{signals[machine.id]:,}")
    return table
