"""Ready-made state models: what the values of well-known interfaces mean, so that users need not write rules.

Rule 1: rows are data: signals, values, state, and the row of the source that says so. `ours` marks a row that no source
has; it completes the table, and says why.
Rule 2: the first row that fits wins; a row that speaks of an optional signal which a machine does not have is left out.
Rule 3: `order` is what no machine knows and every source asks for: whether an order is registered, as the planning
system says. Without it a model assumes one where the mode says that value-adding work or its setup is intended, and
none elsewhere.

Two ways were weighed for maintenance without that signal: planned, as Annex C of OPC 40001-1 has it (where no order is
registered), or corrective. Corrective won: planned maintenance makes planned busy time shorter and so availability
better, and must be announced by somebody: by the calendar, a stop reason, or an order that is not there.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from config.ready_rule import ReadyRule
from config.stack_light import COLOURS, lamp_rules
from kpi.plant import State


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A state model by name. required, optional: signal name → what it is, for messages and documentation.

    one_of: signals of which there must be at least one. switched: signals that are thresholds on a measured value.
    last_sent: as of `kpi.plant.StateModel`, what the source calls "last sent". crossed: signal → what its values from 0
    on are called; the documentation shows a state for each combination of them, with an order and without.
    """

    name: str
    source: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    rules: tuple[ReadyRule, ...] = ()
    one_of: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()
    last_sent: Mapping[str, Mapping[str, tuple[int | str, ...]]] = field(default_factory=dict)
    crossed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def rules_for(
        self, signals: frozenset[str], lamps: Mapping[str, State], *, handling: bool = False
    ) -> tuple[ReadyRule, ...]:
        """The rows that speak only of the signals.

        lamps: meanings of lamps that differ from the usual. handling: as of `ReadyRule`, what the plant says.
        """
        if self.name == "stack_light":
            return tuple(lamp_rules(signals, lamps))
        return tuple(rule for rule in self.rules if signals.issuperset(rule.when) and (handling or not rule.handling))


_ORDER = {"order": "1 while an order is registered, 0 while none is, as the planning system says"}

_NOT_AVAILABLE, _OUT_OF_SERVICE, _NOT_EXECUTING, _EXECUTING = 0, 1, 2, 3  # OPC 40001-1, MachineryItemState
_NO_MODE, _MAINTENANCE, _SETUP, _PROCESSING = 0, 1, 2, 3  # OPC 40001-1, MachineryOperationMode

_MACHINERY = ReadyModel(
    name="machinery",
    source="OPC 40001-1 v1.03, Annex C: MachineryItemState × MachineryOperationMode × order",
    required={"item": "MachineryItemState, its number"},
    optional={"mode": "MachineryOperationMode, its number", **_ORDER},
    rules=(
        ReadyRule({"mode": (_MAINTENANCE,), "order": (0,)}, State.PLANNED_MAINTENANCE, "APMT, service"),
        ReadyRule(
            {"item": (_NOT_AVAILABLE, _OUT_OF_SERVICE, _NOT_EXECUTING), "mode": (_SETUP,), "order": (0,)},
            State.PLANNED_MAINTENANCE,
            "APMT, setup as service",
        ),
        ReadyRule({"mode": (_MAINTENANCE,)}, State.MAINTENANCE, "ours: not known to be planned"),
        ReadyRule({"item": (_OUT_OF_SERVICE,), "order": (0,)}, State.OFF, "ADOT: a fault that holds up no order"),
        ReadyRule(
            {"item": (_OUT_OF_SERVICE,), "order": (1,)}, State.BREAKDOWN, "ADET; ours: in any mode, also in setup"
        ),
        ReadyRule({"item": (_OUT_OF_SERVICE,), "mode": (_NO_MODE,)}, State.OFF, "ADOT: no order is known of"),
        ReadyRule({"item": (_OUT_OF_SERVICE,)}, State.BREAKDOWN, "ADET: the mode stands for an order, or is not told"),
        ReadyRule({"mode": (_SETUP,)}, State.SETUP, "ours: AUST"),
        ReadyRule({"item": (_EXECUTING,)}, State.PRODUCING, "ours: APT, also while the mode is not known"),
        ReadyRule({"item": (_NOT_EXECUTING,), "order": (0,)}, State.IDLE, "ADOT"),
        ReadyRule({"item": (_NOT_EXECUTING,), "order": (1,)}, State.STOPPED, "ADET"),
        ReadyRule({"item": (_NOT_EXECUTING,), "mode": (_PROCESSING,)}, State.STOPPED, "ADET: it stands for an order"),
        ReadyRule({"item": (_NOT_EXECUTING,)}, State.IDLE, "ADOT"),
        ReadyRule({"item": (_NOT_AVAILABLE,), "order": (0,)}, State.OFF, "ADOT"),
        ReadyRule({"item": (_NOT_AVAILABLE,), "order": (1,)}, State.STOPPED, "ADET; ours: also while no mode is known"),
        ReadyRule({"item": (_NOT_AVAILABLE,), "mode": (_PROCESSING,)}, State.STOPPED, "ADET: it stands for an order"),
        ReadyRule({"item": (_NOT_AVAILABLE,)}, State.OFF, "ADOT"),
    ),
    last_sent={"mode": {"item": (_NOT_AVAILABLE,)}},
    crossed={
        "item": ("NotAvailable", "OutOfService", "NotExecuting", "Executing"),
        "mode": ("None", "Maintenance", "Setup", "Processing"),
    },
)

_MACHINE_TOOL = ReadyModel(
    name="machine_tool",
    source="OPC 40501-1 v1.01, Annex C: cruder than `machinery`, and as umati clients count",
    required={"item": "MachineryItemState, its number", "mode": "MachineryOperationMode, its number"},
    optional={},
    rules=(
        ReadyRule({"item": (_EXECUTING,), "mode": (_PROCESSING,)}, State.PRODUCING, "APT"),
        ReadyRule({"item": (_EXECUTING,), "mode": (_SETUP,)}, State.SETUP, "AUST"),
        ReadyRule({"item": (_OUT_OF_SERVICE,)}, State.BREAKDOWN, "ADET"),
        ReadyRule({"item": (_NOT_EXECUTING,)}, State.IDLE, "ADOT"),
        ReadyRule({"item": (_EXECUTING,), "mode": (_MAINTENANCE,)}, State.MAINTENANCE, "ours: it makes no product"),
        ReadyRule({"item": (_EXECUTING,), "mode": (_NO_MODE,)}, State.PRODUCING, "ours: the mode is not known"),
        ReadyRule({"item": (_NOT_AVAILABLE,)}, State.OFF, "ours: not in the table"),
    ),
)

_PACKML = ReadyModel(
    name="packml",
    source="ISA-TR88.00.02 and OPC 30050: StateCurrent × UnitModeCurrent; Suspend is external, Hold internal",
    required={"state": "StateCurrent"},
    optional={
        "mode": "UnitModeCurrent",
        "blocked": "EquipmentInterlock.Blocked",
        "starved": "EquipmentInterlock.Starved",
        **_ORDER,
    },
    rules=(
        ReadyRule({"mode": (2,), "order": (0,)}, State.PLANNED_MAINTENANCE, "ours: Maintenance that holds up no order"),
        ReadyRule({"mode": (2,)}, State.MAINTENANCE, "Maintenance; ours: not known to be planned"),
        ReadyRule({"mode": (3,)}, State.SETUP, "Manual"),
        ReadyRule({"state": (6, 16)}, State.PRODUCING, "Execute; Completing is the tail of production"),
        ReadyRule({"state": (8, 9)}, State.BREAKDOWN, "Aborting, Aborted"),
        ReadyRule({"state": (5, 13, 14), "blocked": (1,)}, State.BLOCKED, "Suspended, and the interlock says why"),
        ReadyRule({"state": (5, 13, 14), "starved": (1,)}, State.STARVED, "Suspended, and the interlock says why"),
        ReadyRule({"state": (5, 13, 14)}, State.STARVED, "Suspended, Suspending, Unsuspending; ours: cause not told"),
        ReadyRule({"state": (1, 2), "order": (0,)}, State.IDLE, "Clearing, Stopped without an order"),
        ReadyRule({"state": (1, 2, 7)}, State.STOPPED, "Clearing, Stopped, Stopping"),
        ReadyRule({"state": (10, 11, 12)}, State.STOPPED, "Holding, Held, Unholding: cause within the machine"),
        ReadyRule({"state": (3, 15)}, State.SETUP, "Starting, Resetting; ours: a site may see it otherwise"),
        ReadyRule({"state": (4,), "order": (1,)}, State.STOPPED, "Idle although an order is registered"),
        ReadyRule({"state": (4, 17)}, State.IDLE, "Idle, Complete"),
    ),
)

_FAULT = ("FAULT", "Fault")
"""Level of a Condition, as adapters and as documents of an agent write it."""

_MTCONNECT = ReadyModel(
    name="mtconnect",
    source="MTConnect 2.x, controlled vocabularies of the data items; which element a value means is ours",
    required={"execution": "Execution"},
    optional={
        "controller_mode": "ControllerMode",
        "availability": "Availability",
        "functional_mode": "FunctionalMode",
        "emergency_stop": "EmergencyStop",
        "condition": "level of a Condition, as that of the controller or the system",
        "wait_state": "WaitState; has a say with `handling_in_cycle`",
        **_ORDER,
    },
    rules=(
        ReadyRule({"availability": ("UNAVAILABLE",)}, State.UNKNOWN, "no data is not downtime"),
        ReadyRule({"execution": ("UNAVAILABLE",)}, State.UNKNOWN, "no data is not downtime"),
        ReadyRule(
            {"functional_mode": ("MAINTENANCE",), "condition": _FAULT, "order": (0,)}, State.MAINTENANCE, "CMT"
        ),
        ReadyRule({"functional_mode": ("MAINTENANCE",), "order": (0,)}, State.PLANNED_MAINTENANCE, "PMT"),
        ReadyRule({"functional_mode": ("MAINTENANCE",)}, State.MAINTENANCE, "CMT: not known to be planned"),
        ReadyRule({"functional_mode": ("SETUP", "TEARDOWN")}, State.SETUP, "AUST"),
        ReadyRule({"functional_mode": ("PROCESS_DEVELOPMENT",)}, State.SETUP, "AUST: it makes no product"),
        ReadyRule({"emergency_stop": ("TRIGGERED",)}, State.BREAKDOWN, "ADET, a failure"),
        ReadyRule({"condition": _FAULT}, State.BREAKDOWN, "ADET, a failure"),
        ReadyRule(
            {"execution": ("ACTIVE",), "controller_mode": ("MANUAL", "MANUAL_DATA_INPUT")}, State.SETUP, "AUST"
        ),
        ReadyRule(
            {"execution": ("ACTIVE",), "controller_mode": ("EDIT",)},
            State.SETUP,
            "AUST: by its definition the controller cannot execute a program while it is edited",
        ),
        ReadyRule(
            {"execution": ("ACTIVE",), "controller_mode": ("FEED_HOLD",)},
            State.STOPPED,
            "ADET: the axes are to stop; a value of before 1.3",
        ),
        ReadyRule({"execution": ("ACTIVE",)}, State.PRODUCING, "APT, also while the controller mode is not known"),
        ReadyRule(
            {"execution": ("WAIT",), "wait_state": ("PART_LOAD", "PART_UNLOAD")},
            State.PRODUCING,
            "APT: only with `handling_in_cycle`",
            handling=True,
        ),
        ReadyRule(
            {
                "execution": (
                    "INTERRUPTED", "FEED_HOLD", "OPTIONAL_STOP", "PROGRAM_OPTIONAL_STOP", "PROGRAM_STOPPED", "WAIT",
                )
            },
            State.STOPPED,
            "ADET",
        ),
        ReadyRule(
            {"execution": ("READY", "STOPPED", "PROGRAM_COMPLETED"), "order": (1,)}, State.STOPPED, "ADET"
        ),
        ReadyRule({"execution": ("READY", "STOPPED", "PROGRAM_COMPLETED")}, State.IDLE, "ADOT"),
    ),
)  # fmt: skip

_RUN_FAULT = ReadyModel(
    name="run_fault",
    source="ours: two bits of any controller",
    required={"run": "1 while the machine runs"},
    optional={"fault": "1 while the machine has a fault", **_ORDER},
    rules=(
        ReadyRule({"fault": (1,)}, State.BREAKDOWN, "a fault comes before running"),
        ReadyRule({"run": (1,)}, State.PRODUCING),
        ReadyRule({"run": (0,), "order": (0,)}, State.IDLE),
        ReadyRule({"run": (0,)}, State.STOPPED, "with `minor_stop`, a breakdown once it is long"),
    ),
)

_POWER_THRESHOLD = ReadyModel(
    name="power_threshold",
    source="ours: power or current of a machine that tells nothing else",
    required={"running": "power or current, with a `switch` between standby and work"},
    optional={
        "powered": "power or current, with a `switch` between off and standby",
        "fault": "1 while the machine has a fault",
        **_ORDER,
    },
    rules=(
        ReadyRule({"fault": (1,)}, State.BREAKDOWN, "a fault comes before running"),
        ReadyRule({"running": (1,)}, State.PRODUCING, "at or above `on`, and until it is at or below `off`"),
        ReadyRule({"powered": (0,)}, State.OFF),
        ReadyRule({"running": (0,), "order": (0,)}, State.IDLE),
        ReadyRule({"running": (0,)}, State.STOPPED, "with `minor_stop`, a breakdown once it is long"),
    ),
    switched=("running", "powered"),
)

_STACK_LIGHT = ReadyModel(
    name="stack_light",
    source="IEC 60204-1, colours of indicator lights; signals as in OPC UA IA, BasicStacklightType",
    required={},
    optional={
        **{colour: f"the {colour} lamp: 0 dark, 1 lit, 2 blinking" for colour in COLOURS},
        **{
            f"{colour}_mode": f"SignalMode of the {colour} lamp: 0 continuous, 1 blinking, 2 flashing"
            for colour in COLOURS
        },
        "colour": "SignalColor of a lamp of many colours: 0 off, 1 red, 2 green, 3 blue, 4 yellow, 5 purple, 6 cyan, "
        "7 white",
        "colour_mode": "its SignalMode",
    },
    one_of=(*COLOURS, "colour"),
)

READY_MODELS: Final[Mapping[str, ReadyModel]] = {
    model.name: model
    for model in (_PACKML, _MACHINERY, _MACHINE_TOOL, _MTCONNECT, _RUN_FAULT, _STACK_LIGHT, _POWER_THRESHOLD)
}
"""Name → model, as `state: {model: …}` names them."""
