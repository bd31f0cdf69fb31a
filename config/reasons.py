"""Stop reasons of the file: what a stop with a reason counts as, and the tree of reasons for boards.

Two ways were weighed: groups that hold groups that hold reasons, or a flat list whose rows name their path in the tree.
The flat list won: a machine can change one reason of the plant's, and a list of alarms from a spreadsheet fits.
Imports: standard library, config, kpi.plant, connectors (text codes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from config.compiled import Reason
from config.errors import Path
from connectors.texts import TextCodes
from kpi.plant import State

if TYPE_CHECKING:
    from config.machines import PlacedMachine
    from config.models import ReasonOptions

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

Warn = Callable[[str, str], None]
"""Takes a sentence, and the machine that it is about."""

LOSSES: Final[Mapping[str, State]] = {
    "breakdown": State.BREAKDOWN,
    "minor_stop": State.STOPPED,
    "starved": State.STARVED,
    "blocked": State.BLOCKED,
    "setup": State.SETUP,
    "maintenance": State.MAINTENANCE,
    "idle": State.IDLE,
    "off": State.OFF,
    "planned_maintenance": State.PLANNED_MAINTENANCE,
    "planned_stop": State.PLANNED_STOP,
}
"""Loss → the state that a stop with it is in."""

_PLANNED: Final = (State.PLANNED_MAINTENANCE, State.PLANNED_STOP)
_EITHER: Final = (State.SETUP, State.IDLE, State.OFF)
"""Planning may want these or not; what they count as is the same."""


@dataclass(slots=True)
class Reasons:
    """Compiles the reasons of machines; those that say the same share one table. of_machine: machine → its reasons."""

    of_plant: Mapping[str, ReasonOptions]
    texts: TextCodes
    report: Report
    warn: Warn
    of_machine: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    _tables: dict[tuple[int, ...], tuple[tuple[Reason, ...], dict[int, State]]] = field(default_factory=dict)

    def of(self, machine: PlacedMachine) -> Mapping[int, State]:
        """Text code → state that a stop is in. The machine's own reasons come before its profile's and the plant's."""
        layers = [(layer.says.reasons, (*layer.path, "reasons")) for layer in machine.layers if layer.says.reasons]
        key = tuple(id(options) for options, _ in layers)
        if key not in self._tables:
            self._tables[key] = self._compile([(self.of_plant, ("reasons",)), *reversed(layers)])
        reasons, states = self._tables[key]
        name = machine.options.id
        if machine.first("stop_reason") is None:
            if layers:
                self.warn("`reasons`, but no `stop_reason` signal: they have no effect", name)
            if machine.value("stop_reason_holds") is not None:
                self.warn("`stop_reason_holds`, but no `stop_reason` signal: it has no effect", name)
            return {}
        if not reasons:
            self.warn("a stop reason, but no `reasons`: it is shown, and changes nothing", name)
        else:
            self.of_machine[name] = reasons
        return states

    def _compile(
        self, layers: Sequence[tuple[Mapping[str, ReasonOptions] | None, Path]]
    ) -> tuple[tuple[Reason, ...], dict[int, State]]:
        found: dict[str, Reason] = {}
        for options, path in layers:
            for code, one in (options or {}).items():
                found[code] = compile_reason(code, one, (*path, code), self.report)
        states = {self.texts.code(one.code): one.state for one in found.values() if one.state is not None}
        return tuple(found.values()), states


def compile_reason(code: str, options: ReasonOptions, path: Path, report: Report) -> Reason:
    """What the options at a path mean; contradictions go to `report`."""
    state = LOSSES[options.loss] if options.loss else State.PLANNED_STOP if options.planned else None
    by_loss = state in _PLANNED
    if options.planned is not None and options.planned is not by_loss and state not in (None, *_EITHER):
        if by_loss:
            advice = "take it out, or name another loss"
        else:
            advice = f"write `{'planned_maintenance' if state is State.MAINTENANCE else 'planned_stop'}`"
        report((*path, "planned"), f"contradicts the loss `{options.loss}`; {advice}")
    planned = by_loss if options.planned is None else options.planned
    return Reason(code, options.name or code, tuple(options.group), planned, state)
