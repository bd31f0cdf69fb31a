"""Ready-made state models: what the numbers of well-known interfaces mean, so that users need not write rules.

Rule: rows are data. The first rule that fits wins; a rule that speaks of an optional signal which a machine does not
have is left out.

`machinery` completes OPC 40001-1, Annex C, whose table maps only part of the pairs of MachineryItemState and
MachineryOperationMode: a fault in Setup is a failure, Setup in any other state is setup, and executing with the mode
not known is production. `packml` follows ISA-TR88.00.02: Suspend has an external cause, Hold an internal one.
Imports: standard library, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kpi.plant import State


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """Signal → its values, and the state they mean."""

    when: Mapping[str, tuple[int, ...]]
    state: State


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A state model by name. required, optional: signal name → what it is, for messages and documentation."""

    name: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    rules: tuple[ReadyRule, ...]

    def rules_for(self, signals: frozenset[str]) -> tuple[ReadyRule, ...]:
        """The rules that speak only of the signals."""
        return tuple(rule for rule in self.rules if signals.issuperset(rule.when))


_NOT_AVAILABLE, _OUT_OF_SERVICE, _NOT_EXECUTING, _EXECUTING = 0, 1, 2, 3  # OPC 40001-1, MachineryItemState
_NO_MODE, _MAINTENANCE, _SETUP, _PROCESSING = 0, 1, 2, 3  # OPC 40001-1, MachineryOperationMode

_MACHINERY = ReadyModel(
    name="machinery",
    required={"item": "MachineryItemState, its number"},
    optional={"mode": "MachineryOperationMode, its number"},
    rules=(
        ReadyRule({"mode": (_MAINTENANCE,)}, State.MAINTENANCE),
        ReadyRule({"item": (_OUT_OF_SERVICE,)}, State.BREAKDOWN),
        ReadyRule({"mode": (_SETUP,)}, State.SETUP),
        ReadyRule({"item": (_EXECUTING,)}, State.PRODUCING),
        ReadyRule({"item": (_NOT_EXECUTING,), "mode": (_PROCESSING,)}, State.STOPPED),
        ReadyRule({"item": (_NOT_EXECUTING,)}, State.IDLE),
        ReadyRule({"item": (_NOT_AVAILABLE,)}, State.OFF),
    ),
)

_PACKML = ReadyModel(
    name="packml",
    required={"state": "StateCurrent"},
    optional={
        "mode": "UnitModeCurrent",
        "blocked": "EquipmentInterlock.Blocked",
        "starved": "EquipmentInterlock.Starved",
    },
    rules=(
        ReadyRule({"mode": (2,)}, State.MAINTENANCE),
        ReadyRule({"mode": (3,)}, State.SETUP),  # Manual
        ReadyRule({"state": (6, 16)}, State.PRODUCING),  # Execute; Completing is the tail of production
        ReadyRule({"state": (8, 9)}, State.BREAKDOWN),  # Aborting, Aborted
        ReadyRule({"state": (5, 13, 14), "blocked": (1,)}, State.BLOCKED),
        ReadyRule({"state": (5, 13, 14), "starved": (1,)}, State.STARVED),
        ReadyRule({"state": (5, 13, 14)}, State.STARVED),  # Suspended, Suspending, Unsuspending: cause not told
        ReadyRule({"state": (1, 2, 7, 10, 11, 12)}, State.STOPPED),  # Clearing, Stopped, Stopping, Holding … Unholding
        ReadyRule({"state": (3, 15)}, State.SETUP),  # Starting, Resetting
        ReadyRule({"state": (4, 17)}, State.IDLE),  # Idle, Complete
    ),
)

_RUN_FAULT = ReadyModel(
    name="run_fault",
    required={"run": "1 while the machine runs"},
    optional={"fault": "1 while the machine has a fault"},
    rules=(
        ReadyRule({"fault": (1,)}, State.BREAKDOWN),
        ReadyRule({"run": (1,)}, State.PRODUCING),
        ReadyRule({"run": (0,)}, State.STOPPED),
    ),
)

READY_MODELS: Final[Mapping[str, ReadyModel]] = {model.name: model for model in (_PACKML, _MACHINERY, _RUN_FAULT)}
"""Name → model, as `state: {model: …}` names them."""
