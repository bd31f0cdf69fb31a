"""Which KPIs a configuration gives of each machine, and what is missing for the others: what `validate --kpis` shows.

Imports: standard library, config.compiled, kpi.
"""

from __future__ import annotations

from config.compiled import CompiledPlant
from kpi.bindings import Bindings
from kpi.derivable import Derivation, derivable


def derivations(compiled: CompiledPlant) -> dict[str, tuple[Derivation, ...]]:
    """Machine → one entry per KPI of the plant, in their order, then one per capability index."""
    without_limits = unlimited(compiled)
    rules = {rule.line: rule for rule in compiled.line_rules}
    declared: dict[str, set[str]] = {}
    for one in compiled.declared:
        declared.setdefault(one.machine, set()).add(one.element)
    return {
        machine.id: derivable(
            machine,
            factors=compiled.plant.factors,
            declared=declared.get(machine.id, ()),
            rule=rules.get(machine.line),
            book=compiled.kpis,
            unlimited=without_limits.get(machine.id, ()),
        )
        for machine in compiled.plant.machines
    }


def unlimited(compiled: CompiledPlant) -> dict[str, list[str]]:
    """Machine → names of its measured values that are numbers and have no limits."""
    used = Bindings(compiled.plant).used
    found: dict[str, list[str]] = {}
    for tag, info in enumerate(compiled.tags.tags):
        if not info.text and not (tag < len(used) and used[tag]):
            found.setdefault(info.machine, []).append(info.signal)
    return found
