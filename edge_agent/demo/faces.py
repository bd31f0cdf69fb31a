"""The face of each kind of device: which points it offers, and what an event changes at them.

Node ids are strings that begin with the device's name (`CNC01.Good`), browse paths follow the companion
specifications: OPC 40001-1 Machinery and 40501-1 Machine Tools for machining centres, ISA-TR88.00.02 (PackML) for press
and filler. Meters are devices of their own, on a server of their own, as in most plants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.demo.events import Condition, Event, Phase, Signal
from edge_agent.demo.layout import MACHINES, MACHINING, PACKAGING, Device, MachineSpec

Value = float | int | bool | str


class PointType(StrEnum):
    """Data type of a point, by the name of its OPC UA built-in type."""

    BOOLEAN = "Boolean"
    INT32 = "Int32"
    UINT32 = "UInt32"
    DOUBLE = "Double"
    STRING = "String"
    LOCALIZED_TEXT = "LocalizedText"


@dataclass(frozen=True, slots=True)
class Point:
    """A variable of a server. node: string identifier. path: browse names below the `Machines` folder."""

    node: str
    path: tuple[str, ...]
    type: PointType
    first: Value


Write = tuple[str, Value]
"""(node, value)."""

_ITEM_STATE: Final = {0: "NotAvailable", 1: "OutOfService", 2: "NotExecuting", 3: "Executing"}
_MODE: Final = {0: "None", 1: "Maintenance", 2: "Setup", 3: "Processing"}

MACHINE_TOOL_STATES: Final[dict[Condition, tuple[int, int, int]]] = {
    # MachineryItemState, MachineryOperationMode, MaterialFlow: 0 flowing, 1 starved, 2 blocked
    Condition.PRODUCING: (3, 3, 0),
    Condition.SETUP: (2, 2, 0),
    Condition.STARVED: (2, 3, 1),
    Condition.BLOCKED: (2, 3, 2),
    Condition.STOPPED: (2, 3, 0),
    Condition.BREAKDOWN: (1, 3, 0),
    Condition.IDLE: (2, 0, 0),
    Condition.OFF: (0, 0, 0),
}

PACKML_STATES: Final[dict[Condition, tuple[int, tuple[int, int, int]]]] = {
    # UnitMode (0 invalid, 1 production, 3 manual), then StateCurrent when entering, within and leaving
    Condition.PRODUCING: (1, (6, 6, 6)),  # Execute
    Condition.SETUP: (3, (4, 4, 4)),  # Idle, in manual mode
    Condition.STARVED: (1, (13, 5, 14)),  # Suspending, Suspended, Unsuspending
    Condition.BLOCKED: (1, (13, 5, 14)),
    Condition.STOPPED: (1, (10, 11, 12)),  # Holding, Held, Unholding
    Condition.BREAKDOWN: (1, (8, 9, 1)),  # Aborting, Aborted, Clearing
    Condition.IDLE: (1, (4, 4, 4)),  # Idle
    Condition.OFF: (0, (2, 2, 2)),  # Stopped
}

STATION_STATES: Final[dict[Condition, str]] = {
    Condition.PRODUCING: "RUN",
    Condition.SETUP: "SETUP",
    Condition.STARVED: "WAIT_IN",
    Condition.BLOCKED: "WAIT_OUT",
    Condition.STOPPED: "STOP",
    Condition.BREAKDOWN: "FAULT",
    Condition.IDLE: "IDLE",
    Condition.OFF: "OFF",
}


class MachineToolFace:
    """A machining centre after OPC 40001-1 and 40501-1."""

    def __init__(self, spec: MachineSpec) -> None:
        self._name = spec.device_name

    def points(self) -> Iterable[Point]:
        """All its variables."""
        name = self._name
        blocks = (name, "MachineryBuildingBlocks")
        for machine, texts in (("MachineryItemState", _ITEM_STATE), ("MachineryOperationMode", _MODE)):
            path, node = (*blocks, machine, "CurrentState"), f"{name}.{machine}.CurrentState"
            yield Point(node, path, PointType.LOCALIZED_TEXT, texts[0])
            yield Point(f"{node}.Number", (*path, "Number"), PointType.UINT32, 0)
        yield from _identification(name, "Demo Machine Tools", "VMC 500")
        yield Point(f"{name}.MaterialFlow", (name, "Monitoring", "MaterialFlow"), PointType.INT32, 0)
        yield Point(
            f"{name}.Spindle.Temperature", (name, "Monitoring", "Spindle", "Temperature"), PointType.DOUBLE, 0.0
        )
        production = (name, "Production")
        yield Point(f"{name}.Product", (*production, "Product"), PointType.STRING, "")
        yield Point(f"{name}.Good", (*production, "Good"), PointType.UINT32, 0)
        yield Point(f"{name}.Scrap", (*production, "Scrap"), PointType.UINT32, 0)

    def writes(self, event: Event) -> Iterable[Write]:
        """What the event changes; of two writes to a node in one instant the later holds."""
        name = self._name
        if event.signal is Signal.CONDITION:
            item, mode, flow = MACHINE_TOOL_STATES[Condition(int(event.value))]
            yield f"{name}.MachineryItemState.CurrentState", _ITEM_STATE[item]
            yield f"{name}.MachineryItemState.CurrentState.Number", item
            yield f"{name}.MachineryOperationMode.CurrentState", _MODE[mode]
            yield f"{name}.MachineryOperationMode.CurrentState.Number", mode
            yield f"{name}.MaterialFlow", flow
        elif event.signal is Signal.TEMPERATURE:
            yield f"{name}.Spindle.Temperature", event.value
        elif event.signal in {Signal.PRODUCT, Signal.GOOD, Signal.SCRAP}:
            yield f"{name}.{event.signal.value.capitalize()}", event.value


class PackMlFace:
    """A packaging machine after ISA-TR88.00.02."""

    def __init__(self, spec: MachineSpec) -> None:
        self._name = spec.device_name
        self._condition = Condition.OFF
        self._phase = Phase.WITHIN

    def points(self) -> Iterable[Point]:
        """All its variables."""
        name = self._name
        yield from _identification(name, "Demo Packaging Machinery", name.rstrip("0123456789").title())
        for tag, type_, first in (
            ("Status.StateCurrent", PointType.INT32, 2),
            ("Status.UnitModeCurrent", PointType.INT32, 0),
            ("Status.EquipmentInterlock.Starved", PointType.BOOLEAN, False),
            ("Status.EquipmentInterlock.Blocked", PointType.BOOLEAN, False),
            ("Status.ProductID", PointType.STRING, ""),
            ("Admin.ProdProcessedCount.AccCount", PointType.UINT32, 0),
            ("Admin.ProdDefectiveCount.AccCount", PointType.UINT32, 0),
        ):
            yield Point(f"{name}.{tag}", (name, *tag.split(".")), type_, first)

    def writes(self, event: Event) -> Iterable[Write]:
        """What the event changes; of two writes to a node in one instant the later holds."""
        name = self._name
        if event.signal is Signal.CONDITION:
            self._condition = Condition(int(event.value))
            yield f"{name}.Status.StateCurrent", self._state
            yield f"{name}.Status.UnitModeCurrent", PACKML_STATES[self._condition][0]
            yield f"{name}.Status.EquipmentInterlock.Starved", self._condition is Condition.STARVED
            yield f"{name}.Status.EquipmentInterlock.Blocked", self._condition is Condition.BLOCKED
        elif event.signal is Signal.PHASE:
            self._phase = Phase(int(event.value))
            yield f"{name}.Status.StateCurrent", self._state
        elif event.signal is Signal.PRODUCT:
            yield f"{name}.Status.ProductID", event.value
        elif event.signal is Signal.TOTAL:
            yield f"{name}.Admin.ProdProcessedCount.AccCount", event.value
        elif event.signal is Signal.SCRAP:
            yield f"{name}.Admin.ProdDefectiveCount.AccCount", event.value

    @property
    def _state(self) -> int:
        return PACKML_STATES[self._condition][1][self._phase]


class MeterFace:
    """The energy meter of a machine: active energy in kWh, active power in W."""

    def __init__(self, spec: MachineSpec) -> None:
        self._name = f"EM-{spec.device_name}"
        self._first = spec.meter_kwh

    def points(self) -> Iterable[Point]:
        """All its variables."""
        name = self._name
        yield from _identification(name, "Demo Meters", "EM 3")
        yield Point(f"{name}.ActiveEnergy", (name, "ActiveEnergy"), PointType.DOUBLE, self._first)
        yield Point(f"{name}.ActivePower", (name, "ActivePower"), PointType.DOUBLE, 0.0)

    def writes(self, event: Event) -> Iterable[Write]:
        """What the event changes; of two writes to a node in one instant the later holds."""
        if event.signal is Signal.ENERGY:
            yield f"{self._name}.ActiveEnergy", event.value
        elif event.signal is Signal.POWER:
            yield f"{self._name}.ActivePower", float(event.value)


Face = MachineToolFace | PackMlFace | MeterFace


def _identification(name: str, manufacturer: str, model: str) -> Iterable[Point]:
    path = (name, "Identification")
    yield Point(f"{name}.Manufacturer", (*path, "Manufacturer"), PointType.LOCALIZED_TEXT, manufacturer)
    yield Point(f"{name}.Model", (*path, "Model"), PointType.LOCALIZED_TEXT, model)
    uri = f"urn:edge-agent:demo:{name.lower()}"
    yield Point(f"{name}.ProductInstanceUri", (*path, "ProductInstanceUri"), PointType.STRING, uri)


def faces(server: str) -> dict[str, list[Face]]:
    """The faces that a server offers, by the id of the machine whose events they show."""
    if server == "machining":
        return {m.id: [MachineToolFace(m)] for m in MACHINING.machines if m.device is Device.MACHINE_TOOL}
    if server == "packaging":
        return {m.id: [PackMlFace(m)] for m in PACKAGING.machines if m.device is Device.PACKML}
    if server == "meters":
        return {m.id: [MeterFace(m)] for m in MACHINES}
    raise ValueError(f"unknown server {server!r}, expected one of {', '.join(SERVERS)}")


SERVERS: Final = ("machining", "packaging", "meters")
"""The OPC UA servers of the plant."""
