"""What stands on the floor of the demonstration plant: a maker of single-point lubricators.

Line `machining` turns castings into pump housings: two turning centres, two milling centres, a drilling centre and a
measuring station. Line `packaging` presses bodies, fills them with grease, tests them for leaks, labels, packs and
palletizes. All numbers that make the plant what it is are in this file and nowhere else; they were chosen so that an
hour of any shift shows what real lines show: one machine that everybody knows as the bad one (`cnc-03`), a line that
starves behind a breakdown and backs up before it, OEE between 45 and 90 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from typing import Final

from edge_agent.demo.calendar import Shift, ShiftCalendar
from edge_agent.demo.events import Condition, Signal

CALENDAR: Final = ShiftCalendar(
    "Asia/Shanghai",
    (
        Shift("early", time(6), time(14), ((time(8), time(8, 10)), (time(10), time(10, 30)))),
        Shift("late", time(14), time(22), ((time(16), time(16, 10)), (time(18), time(18, 30)))),
    ),
)
"""Seven days a week: whenever someone starts the demonstration, the latest shift is not far."""

METER_MODULUS_KWH: Final = 10_000
"""Four digits before the point: the meters roll over every few weeks."""


class Device(StrEnum):
    """How a machine talks."""

    MACHINE_TOOL = "machine_tool"  # OPC 40001-1 Machinery and OPC 40501-1 Machine Tools
    PACKML = "packml"  # ISA-TR88.00.02
    STATION = "station"  # JSON over MQTT


COUNTS: Final[Mapping[Device, tuple[Signal, ...]]] = {
    Device.MACHINE_TOOL: (Signal.GOOD, Signal.SCRAP),
    Device.PACKML: (Signal.TOTAL, Signal.SCRAP),
    Device.STATION: (Signal.GOOD, Signal.SCRAP, Signal.REWORK),
}
"""The piece counters of each kind of device; an inspecting machine has INSPECTED and FIRST_PASS as well."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine. Times in seconds unless said otherwise.

    device_name: as in its node ids. ideal: planned run time per item by product. slowness: mean share by which an
    actual cycle is longer. scrap: share of pieces. fails_first_test: for a machine that inspects, the share of pieces
    that fail at first; some of these pass when tested again. minutes_to_failure, minutes_to_stop: mean operating time.
    power: W by condition. stands_by: left idle at night instead of switched off. counter_modulus: of its counters.
    """

    id: str
    device_name: str
    device: Device
    ideal: Mapping[str, float]
    power: Mapping[Condition, int]
    slowness: float = 0.06
    scrap: float = 0.015
    fails_first_test: float = 0.0
    minutes_to_failure: float = 240.0
    repair_minutes: float = 9.0
    minutes_to_stop: float = 15.0
    stop_seconds: float = 35.0
    setup_minutes: tuple[float, float] = (4.0, 8.0)
    stands_by: bool = False
    meter_kwh: float = 4_000.0
    made_so_far: int = 100_000
    counter_modulus: int | None = None

    @property
    def counts(self) -> tuple[Signal, ...]:
        """Its piece counters."""
        inspected = (Signal.INSPECTED, Signal.FIRST_PASS) if self.fails_first_test else ()
        return COUNTS[self.device] + inspected


@dataclass(frozen=True, slots=True)
class LineSpec:
    """Machines in a row; the machines of one stage work side by side.

    buffers: room for pieces before stage 2, 3, …. batch: least and most pieces of an order. first_batch: the rest of
    the order that is running at the start. restart: a machine that has starved starts again when so many pieces lie
    before it, one that was blocked when there is room for so many; fast machines would flicker otherwise. no_order:
    share of order ends with no next order at hand, for `gap` minutes.
    """

    id: str
    area: str
    products: tuple[str, ...]
    stages: tuple[tuple[MachineSpec, ...], ...]
    buffers: tuple[int, ...]
    batch: tuple[int, int]
    first_batch: tuple[int, int]
    restart: int = 1
    no_order: float = 0.5
    gap: tuple[float, float] = (3.0, 8.0)
    machines: tuple[MachineSpec, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "machines", tuple(machine for stage in self.stages for machine in stage))


def _power(producing: int, idle: int, off: int, setup: int | None = None) -> dict[Condition, int]:
    """Watts by condition. Waiting costs what idling costs: drives, hydraulics and controls stay on."""
    waits = dict.fromkeys((Condition.STARVED, Condition.BLOCKED, Condition.STOPPED, Condition.IDLE), idle)
    return waits | {
        Condition.PRODUCING: producing,
        Condition.SETUP: setup if setup is not None else (producing + idle) // 2,
        Condition.BREAKDOWN: idle // 2,
        Condition.OFF: off,
    }


def _cnc(number: int, seconds: tuple[float, float, float], **more: object) -> MachineSpec:
    ideal = dict(zip(HOUSINGS, seconds, strict=True))
    values: dict[str, object] = {"power": _power(8_600, 2_300, 140), "slowness": 0.05, **more}
    return MachineSpec(f"cnc-{number:02}", f"CNC{number:02}", Device.MACHINE_TOOL, ideal, **values)  # type: ignore[arg-type]


def _station(name: str, seconds: tuple[float, float, float], products: tuple[str, ...], **more: object) -> MachineSpec:
    ideal = dict(zip(products, seconds, strict=True))
    values: dict[str, object] = {"power": _power(900, 260, 12), **more}
    device_name = name.upper().replace("-", "")
    return MachineSpec(name, device_name, Device.STATION, ideal, **values)  # type: ignore[arg-type]


HOUSINGS: Final = ("HSG-100", "HSG-125", "HSG-200")
LUBRICATORS: Final = ("LUB-060", "LUB-125", "LUB-250")

MACHINING: Final = LineSpec(
    id="machining",
    area="mechanical",
    products=HOUSINGS,
    stages=(
        (
            _cnc(1, (46.0, 50.0, 58.0), meter_kwh=3_211.4, made_so_far=184_220),
            _cnc(2, (46.0, 50.0, 58.0), meter_kwh=7_864.9, made_so_far=190_377, stands_by=True, minutes_to_stop=11.0),
        ),
        (
            _cnc(
                3,
                (49.0, 53.0, 60.0),
                meter_kwh=5_530.2,
                made_so_far=131_904,
                slowness=0.11,
                scrap=0.045,
                minutes_to_failure=38.0,
                repair_minutes=11.0,
                minutes_to_stop=7.0,
                stop_seconds=50.0,
            ),
            _cnc(
                4, (49.0, 53.0, 60.0), meter_kwh=1_902.7, made_so_far=203_558, slowness=0.03, minutes_to_failure=420.0
            ),
        ),
        (
            _cnc(
                5,
                (23.0, 25.0, 28.0),
                power=_power(5_400, 1_500, 95),
                meter_kwh=9_998.3,
                made_so_far=388_012,
                minutes_to_failure=150.0,
                repair_minutes=6.0,
            ),
        ),
        (
            _station(
                "gauge-01",
                (22.0, 23.0, 26.0),
                HOUSINGS,
                fails_first_test=0.045,
                minutes_to_failure=480.0,
                meter_kwh=612.05,
                made_so_far=371_550,
                setup_minutes=(2.0, 4.0),
            ),
        ),
    ),
    buffers=(10, 12, 14),
    batch=(140, 320),
    first_batch=(50, 70),
    restart=2,
)

PACKAGING: Final = LineSpec(
    id="packaging",
    area="assembly",
    products=LUBRICATORS,
    stages=(
        (
            MachineSpec(
                "press-01",
                "PRESS01",
                Device.PACKML,
                dict(zip(LUBRICATORS, (4.8, 5.2, 6.0), strict=True)),
                _power(13_500, 3_100, 180),
                slowness=0.04,
                scrap=0.008,
                minutes_to_failure=170.0,
                repair_minutes=7.0,
                setup_minutes=(6.0, 9.0),
                meter_kwh=9_994.6,
                made_so_far=1_204_311,
            ),
        ),
        (
            MachineSpec(
                "filler-01",
                "FILLER01",
                Device.PACKML,
                dict(zip(LUBRICATORS, (5.0, 5.6, 6.8), strict=True)),
                _power(4_200, 1_250, 60),
                slowness=0.04,
                scrap=0.012,
                minutes_to_failure=140.0,
                repair_minutes=6.0,
                meter_kwh=2_750.8,
                made_so_far=1_177_902,
            ),
        ),
        (
            _station(
                "leaktest-01",
                (4.7, 5.2, 6.3),
                LUBRICATORS,
                power=_power(1_100, 380, 15),
                fails_first_test=0.03,
                meter_kwh=873.44,
                made_so_far=1_090_006,
                setup_minutes=(2.0, 4.0),
            ),
        ),
        (
            _station(
                "labeller-01",
                (4.5, 4.8, 5.6),
                LUBRICATORS,
                power=_power(620, 240, 8),
                scrap=0.004,
                minutes_to_stop=8.0,
                stop_seconds=25.0,
                meter_kwh=455.71,
                made_so_far=65_150,
                counter_modulus=65_536,
                setup_minutes=(1.5, 3.0),
            ),
        ),
        (
            _station(
                "packer-01",
                (4.6, 5.0, 6.0),
                LUBRICATORS,
                power=_power(1_900, 520, 20),
                scrap=0.003,
                minutes_to_failure=200.0,
                meter_kwh=1_288.9,
                made_so_far=1_060_774,
                setup_minutes=(2.0, 5.0),
            ),
        ),
        (
            _station(
                "palletizer-01",
                (4.4, 4.8, 5.8),
                LUBRICATORS,
                power=_power(2_600, 700, 25),
                scrap=0.001,
                slowness=0.03,
                meter_kwh=1_940.3,
                made_so_far=1_058_121,
                setup_minutes=(1.0, 2.0),
            ),
        ),
    ),
    buffers=(40, 32, 32, 32, 40),
    batch=(900, 2_400),
    first_batch=(230, 290),
    restart=5,
)

LINES: Final = (MACHINING, PACKAGING)
MACHINES: Final = tuple(machine for line in LINES for machine in line.machines)
