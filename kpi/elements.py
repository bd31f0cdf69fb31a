"""The elements of ISO 22400-2 that the engine adds up: one row here, one column of the element table.

Rule 1: every element is an int64 in a fixed-point unit, so sums are exact and independent of their order.
Rule 2: additive over time; over machines where the machines are parallel (domain rule: earned time is additive
everywhere, piece counts only of like pieces).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Element:
    """An additive quantity. per_unit: stored integers to one `unit`, in which it is shown and exported.

    Stored ÷ per_unit is the float next to the exact value, and so the shortest when written; stored × to_unit is not.
    """

    id: str
    symbol: str
    name: str
    unit: str
    per_unit: int
    source: str

    @property
    def to_unit(self) -> float:
        """Factor from the stored integer to `unit`."""
        return 1 / self.per_unit


def _seconds(id_: str, symbol: str, name: str, source: str) -> Element:
    return Element(id_, symbol, name, "s", 1_000_000_000, source)


def _pieces(id_: str, symbol: str, name: str, source: str) -> Element:
    return Element(id_, symbol, name, "pieces", 1_000_000, source)


def _energy(id_: str, symbol: str, name: str) -> Element:
    return Element(id_, symbol, name, "kWh", 1_000_000, "ISO 22400-2:2014, clause 5")


def _medium(id_: str, name: str, unit: str) -> Element:
    return Element(id_, "", name, unit, 1_000_000, "edge-agent")


def _media(id_: str, name: str, unit: str) -> tuple[Element, Element]:
    """A carrier, and the part of it that is used idle."""
    idle = f"part of {name} while switched on without producing or setting up"
    return _medium(id_, name, unit), _medium(f"{id_}_idle", idle, unit)


ELEMENTS: Final[tuple[Element, ...]] = (
    _seconds("calendar_time", "RT", "reference time", "ISO 22400-2:2014, 5.2"),
    _seconds("pot", "POT", "planned operation time", "ISO 22400-2:2014, 5.1"),
    _seconds("pbt", "PBT", "planned busy time", "ISO 22400-2:2014, 5.1"),
    _seconds("apt", "APT", "actual production time", "ISO 22400-2:2014, 5.1"),
    _seconds("aust", "AUST", "actual unit setup time", "ISO 22400-2:2014, 5.1"),
    _seconds("adet", "ADET", "actual unit delay time", "ISO 22400-2:2014, 5.1"),
    _seconds("adot", "ADOT", "actual unit down time", "ISO 22400-2:2014, 5.1"),
    _seconds("cmt", "CMT", "corrective maintenance, within planned busy time", "ISO 22400-2:2014, 5.1.4"),
    _seconds("unknown", "", "planned busy time without good data", "edge-agent"),
    _seconds("planned_downtime", "", "planned operation time that is not planned busy time", "ISO 22400-2:2014, 5.2"),
    _seconds("pmt", "PMT", "planned maintenance, part of planned downtime", "ISO 22400-2:2014, 5.1.4"),
    _seconds("acmt", "ACMT", "corrective maintenance, wherever it lies", "ISO 22400-2, edition 2 (draft)"),
    _seconds("apmt", "APMT", "planned maintenance, wherever it lies", "ISO 22400-2, edition 2 (draft)"),
    _seconds("not_planned", "", "time outside planned operation time", "ISO 22400-2:2014, 5.2"),
    _seconds(
        "overtime", "", "work outside planned busy time, counted apart; planned downtime or not planned", "edge-agent"
    ),
    _seconds("starved", "", "part of ADET: waits for material", "ISA-TR88.00.02"),
    _seconds("blocked", "", "part of ADET: cannot hand on", "ISA-TR88.00.02"),
    _seconds("stopped", "", "part of ADET: short stops", "ISO 22400-2, big losses"),
    _seconds("breakdown", "", "part of ADET: breakdowns", "ISO 22400-2:2014, 5.1"),
    _seconds(
        "ttr",
        "TTR",
        "restoration: breakdowns, and the corrective maintenance within failures",
        "ISO 22400-2:2014, 5.1.4",
    ),
    Element("fe", "FE", "failure events", "1", 1, "ISO 22400-2:2014, 5.1.4"),
    _pieces("pq", "PQ", "produced quantity", "ISO 22400-2:2014, clause 5"),
    _pieces("gq", "GQ", "good quantity", "ISO 22400-2:2014, clause 5"),
    _pieces("sq", "SQ", "scrap quantity", "ISO 22400-2:2014, clause 5"),
    _pieces("rq", "RQ", "rework quantity", "ISO 22400-2:2014, clause 5"),
    _pieces("ip", "IP", "inspected parts", "ISO 22400-2:2014, clause 5"),
    _pieces("gp", "GP", "good parts at first pass", "ISO 22400-2:2014, clause 5"),
    _pieces("startup_sq", "", "part of SQ: scrap counted in setup (trial pieces, warming up)", "TPM, six big losses"),
    _pieces("unjudged", "", "part of PQ that nobody judges, taken as good", "edge-agent"),
    _pieces("scrap_unknown", "", "part of PQ of machines whose scrap nobody counts", "edge-agent"),
    _pieces("rework_unknown", "", "part of PQ of machines whose rework nobody counts", "edge-agent"),
    _pieces("first_pass_unknown", "", "part of IP of machines whose first-pass pieces nobody counts", "edge-agent"),
    _pieces("overtime_pq", "", "pieces made in overtime that is counted apart", "edge-agent"),
    _seconds("ideal_pq", "PRI·PQ", "earned time of all pieces", "ISO 22400-2:2014, clause 6, Effectiveness"),
    _seconds("ideal_gq", "PRI·GQ", "earned time of good pieces", "ISO 22400-2:2014, clause 6, OEE index"),
    _seconds("ideal_startup_sq", "", "earned time of scrap counted in setup", "TPM, six big losses"),
    _seconds("unrated", "", "part of APT without a planned run time per item or a piece count", "edge-agent"),
    _seconds("uncounted", "", "part of APT in which a piece counter stood still for too long", "edge-agent"),
    _energy("energy", "E", "electrical energy"),
    _energy("energy_working", "", "part of E while producing or setting up"),
    _energy("energy_idle", "", "part of E while switched on without producing or setting up"),
    _energy("energy_off", "", "part of E while switched off; what is left is of time that nobody knows"),
    *_media("gas", "natural gas", "m³"),
    *_media("steam", "steam", "kg"),
    *_media("compressed_air", "compressed air", "m³"),
    *_media("water", "water", "t"),
    *_media("heat", "heat", "MJ"),
    _medium("coal_equivalent", "all carriers as standard coal", "kgce"),
    _medium("co2e", "all carriers as CO2 equivalent", "kg"),
)

ELEMENT_IDS: Final[tuple[str, ...]] = tuple(element.id for element in ELEMENTS)
ELEMENT: Final[dict[str, Element]] = {element.id: element for element in ELEMENTS}

KEYS: Final[tuple[str, ...]] = ("machine", "time", "shift", "shift_start", "product")
"""Key columns of an element table.

machine: Int32, index in `Plant.machines`. time: Int64, start of the minute (or hour), ns since the epoch, UTC.
shift: Int32, index in the machine's `calendar.shifts`, -1 outside any. shift_start: Int64, ns, 0 outside any.
product: Int32, text code, -1 where not known.
"""

MINUTE_NS: Final = 60_000_000_000
HOUR_NS: Final = 3_600_000_000_000
