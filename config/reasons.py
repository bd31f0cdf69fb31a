"""Stop reasons of the file: what a stop with a reason counts as, and the tree of reasons for boards.

Two ways were weighed: groups that hold groups that hold reasons, or a flat list whose rows name their path in the tree.
The flat list won: a machine can change one reason of the plant's, and a list of alarms from a spreadsheet fits.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from config.compiled import Reason
from config.errors import Path
from kpi.plant import State

if TYPE_CHECKING:
    from config.models import ReasonOptions

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

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
