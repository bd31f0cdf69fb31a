"""Sources of samples: one folder a protocol, all behind one small contract.

What lives here: protocol clients and the columns they deliver. What it must not know: KPIs, the journal, the
configuration file, `edge_agent`. Settings arrive as frozen dataclasses; `config` builds them.
"""

from connectors.contract import (
    ClockNs,
    ConnectionHealth,
    ConnectionState,
    Connector,
    Delivery,
    Link,
    SetAside,
)
from connectors.faults import Fault, FaultCounts
from connectors.samples import Quality, SampleBatch
from connectors.texts import TextCodes, TooManyTextsError

__all__ = [
    "ClockNs",
    "ConnectionHealth",
    "ConnectionState",
    "Connector",
    "Delivery",
    "Fault",
    "FaultCounts",
    "Link",
    "Quality",
    "SampleBatch",
    "SetAside",
    "TextCodes",
    "TooManyTextsError",
]
