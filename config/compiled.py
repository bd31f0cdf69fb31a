"""What a configuration compiles to: the tag table, the connectors' settings and the engine's plant.

Rule: everything a running agent needs, nothing it has to look up again in the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from connectors.mqtt.settings import MqttSettings
from connectors.opcua.settings import OpcUaSettings
from kpi.declared import Declaration
from kpi.formulas import STANDARD, KpiBook
from kpi.lines import LineRule
from kpi.plant import Plant, State


@dataclass(frozen=True, slots=True)
class TagInfo:
    """One row of the tag table.

    machine: id, or the connection's name for a link tag. signal: role (`state`, `good`, …) or the name of a measured
    value, or `link`. value in `unit` = sent × scale + offset. raw: whether its samples go to InfluxDB as `signal`.
    text: whether values are codes of `TextCodes`. source: node or topic, for messages.
    """

    machine: str
    signal: str
    line: str
    area: str
    connection: str
    source: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    text: bool = False
    raw: bool = True

    @property
    def name(self) -> str:
        """`machine.signal`, unique in the plant."""
        return f"{self.machine}.{self.signal}"


@dataclass(frozen=True, slots=True, eq=False)
class TagTable:
    """All tags; a sample's `tag` is the index here. scale, offset: float64, shape (n,)."""

    tags: tuple[TagInfo, ...]
    scale: npt.NDArray[np.float64] = field(init=False)
    offset: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.array([t.scale for t in self.tags], np.float64))
        object.__setattr__(self, "offset", np.array([t.offset for t in self.tags], np.float64))

    def __len__(self) -> int:
        return len(self.tags)


@dataclass(frozen=True, slots=True)
class InfluxSettings:
    """Where points go. url ends before `/api/v2/write`. For InfluxDB 1.x, `bucket` is `database/retention_policy`.

    overwrites: whether a point replaces the one of its series and time, as in InfluxDB; VictoriaMetrics keeps both.
    """

    url: str
    bucket: str
    org: str = ""
    token: str = field(default="", repr=False)
    timeout_ns: int = 10_000_000_000
    verify_tls: bool = True
    overwrites: bool = True


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agent itself works."""

    journal: str
    tick_ns: int = 500_000_000
    close_after_ns: int = 5_000_000_000  # a minute closes this long after it ended, by the agent's clock
    correction_horizon_ns: int = 7 * 86_400_000_000_000
    future_tolerance_ns: int = 60_000_000_000
    journal_most_bytes: int = 2_000_000_000
    keep_minutes_ns: int = 35 * 86_400_000_000_000
    keep_hours_ns: int = 10 * 366 * 86_400_000_000_000
    raw: bool = True  # raw samples go to InfluxDB too


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a machine stands. code: as the machine sends it. group: path in the tree of reasons, from the root.

    planned: whether planning wanted it. state: what the stop counts as; None = as its signals say.
    """

    code: str
    name: str
    group: tuple[str, ...]
    planned: bool
    state: State | None


@dataclass(frozen=True, slots=True)
class CompiledPlant:
    """A configuration, ready to run. enterprise, site: ISA-95 names. version: short hash of the configuration.

    reasons: machine → its stop reasons, in the order of the file; only of machines that tell a reason.
    warnings: what cannot be had from it although nothing is wrong with it, one sentence each.
    kpis: of the table, and the plant's own. declared: figures that no signal gives. line_rules: of the lines that are
    not plain sums of their machines.
    """

    enterprise: str
    site: str
    timezone: str
    version: str
    tags: TagTable
    plant: Plant
    opcua: tuple[OpcUaSettings, ...]
    mqtt: tuple[MqttSettings, ...]
    influx: InfluxSettings | None
    agent: AgentSettings
    warnings: tuple[str, ...] = ()
    reasons: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    kpis: KpiBook = STANDARD
    declared: tuple[Declaration, ...] = ()
    line_rules: tuple[LineRule, ...] = ()
