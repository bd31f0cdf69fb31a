"""KPIs as formulas over summed elements: one table, read by the engine, the boards and the documents.

Rule 1: sum first, divide last. A KPI is never averaged.
Rule 2: nothing over zero is null, never 0 and never infinity; `kpi.reasons` says why.
Rule 3: time without good data is not held against a machine: planned busy time in a denominator is the part that good
data covers (`pbt - unknown`), and `coverage` says how much that is. Ratios to a longer base (OOE, TEEP) take the
unknown part of planned busy time to be like the known one.
Rule 4: what nobody counts is not zero: a KPI over a meter, a plan or a declaration that is not there is null, and so is
one over good, scrapped or reworked pieces where nobody judges, or counts, any of them (`UNCOUNTED`). Only OEE and its
companions take pieces that nobody judges as good, and a warning says so.
Rule 5: a value beyond its usual range is shown as it is; `kpi.reasons.warnings` names the likely cause.

Earned time (PRI × pieces) weighs the quality ratio, since pieces of different cycle times must not be added
(ISO 22400-2 gives GQ / PQ for one item; for one item both are equal). Where a product has no planned run time per item,
earned time is of some pieces only, and the ratio is of pieces.

Energy and media are of all time, so what they were used for is all pieces, also those of overtime counted apart.

Mean times to and between failures are over FE, the number of failures, as maintenance people count: without a failure
there is no value. Secondary texts of ISO 22400-2 print FE + 1, which gives a figure for a window without failure, but
one that depends on how windows are cut (two halves of a day have FE + 2 between them). So FE is what applies unless a
plant asks for `FailureDenominator.FE_PLUS_ONE`; it is one choice for the whole plant and all windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import polars as pl

from kpi.capability import CAPABILITY, CapabilityIndex
from kpi.declared import DECLARED, DeclaredElement
from kpi.elements import ELEMENTS, Element
from kpi.expressions import compile_condition, compile_formula, names_in, names_without_which
from kpi.lines import EXACT_RESTS, LINE_ELEMENTS, RESTS_PER_UNIT

UNCOUNTED: Final[Mapping[str, str]] = {
    "gq": "unjudged",
    "sq": "scrap_unknown",
    "startup_sq": "scrap_unknown",
    "ideal_startup_sq": "scrap_unknown",
    "rq": "rework_unknown",
    "gp": "first_pass_unknown",
}
"""Element → part of the pieces of which nobody knows it. Where that is all, a formula finds no value in the element."""

WHOLE: Final[Mapping[str, str]] = {"unjudged": "pq"} | {
    part: "ip" if part == "first_pass_unknown" else "pq" for part in UNCOUNTED.values()
}
"""Part of the pieces → the pieces that it is a part of: PQ, or those inspected."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI. formula: over element ids in their shown units. better: `up`, `down` or `` where neither is.

    unless: a condition, as `unless` of a formula takes one; where it holds the KPI is null. needs: elements that must
    not be zero for it, since zero means that nobody measures them. void: parts of PQ; where one of them is all of it,
    the KPI has no value. doubts: elements that must be zero for it to be beyond doubt; else it is shown, with a
    warning.
    low, high: usual range; a value that is not in it is shown as it is, and `below` and `beyond` name the likely cause.
    number: place among the 34 KPIs that clause 6 of ISO 22400-2:2014 describes; None where it is not one of them.
    """

    id: str
    name_en: str
    name_zh: str
    formula: str
    unit: str
    better: str
    source: str
    low: float | None = 0.0
    high: float | None = 1.0
    unless: str | None = None
    needs: tuple[str, ...] = ()
    void: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    below: str = "a counter was set back, or counters are read at different times"
    beyond: str = ""
    number: int | None = None

    @property
    def elements(self) -> frozenset[str]:
        """Ids of the elements that it is made of."""
        names = names_in(self.formula)
        guards = names_in(self.unless) if self.unless else frozenset[str]()
        parts = {*self.void, *(UNCOUNTED[name] for name in names & UNCOUNTED.keys())}
        return names | guards | set(self.needs) | set(self.doubts) | parts


class FailureDenominator(StrEnum):
    """What mean times to, between and of failures are divided by."""

    FE = "failures"
    FE_PLUS_ONE = "failures_plus_one"


@dataclass(frozen=True, slots=True, eq=False)
class KpiBook:
    """The KPIs of a plant: those of the table, by its choice of denominator, and its own."""

    kpis: tuple[Kpi, ...]
    failures: FailureDenominator = FailureDenominator.FE

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the columns that `evaluate` adds."""
        return tuple(kpi.id for kpi in self.kpis)

    @property
    def own(self) -> tuple[Kpi, ...]:
        """The plant's own KPIs."""
        return tuple(kpi for kpi in self.kpis if kpi.id not in KPI)

    def named(self) -> dict[str, Kpi]:
        """KPIs by id."""
        return {kpi.id: kpi for kpi in self.kpis}

    def elements_of(self, kpi: Kpi) -> frozenset[str]:
        """Ids of the elements that a KPI of the book is made of, also through KPIs that its formula names."""
        table = self.named()
        through = [self.elements_of(table[name]) for name in kpi.elements & table.keys()]
        return frozenset().union(kpi.elements - table.keys(), *through)

    def needed_by(self, kpi: Kpi) -> frozenset[str]:
        """Ids of the elements without which a KPI of the book has no value; others of its elements may be missing."""
        return _certain(kpi, self.named())


_ISO: Final = "ISO 22400-2:2014"
RATED: Final = (
    "planned run time per item too long, a counter counts pieces twice, or pieces are made while the state does not "
    "say producing"
)
"""Why a machine seems to be faster than it can be."""

_COUNTS: Final = "counters disagree: they are read at different times, or count different pieces"
_JUDGED: Final = ("unjudged", "scrap_unknown")
_EARNED: Final = ("uncounted", "unjudged", "unrated")
_UNRATED: Final = "unrated > 0.01 * apt"
"""More production without a planned run time than can be passed over: a product's name that comes seconds after the
first piece must not take a month its OEE."""


def _iso(number: int, name: str) -> str:
    return f"{_ISO}, clause 6, KPI {number}, {name}"


KPIS: Final[tuple[Kpi, ...]] = (
    Kpi("worker_efficiency", "Worker efficiency", "工人效率", "apwt / apat", "1", "up",
        _iso(1, "Worker efficiency"), number=1, beyond="more time booked on orders than attended"),
    Kpi("allocation_ratio", "Allocation ratio", "分配率", "(apt + aust + adet) / aoet", "1", "up",
        _iso(2, "Allocation ratio"), number=2, high=None),
    Kpi("throughput_rate", "Throughput rate", "单位时间产量", "pq / aoet * 3600", "pieces/h", "up",
        _iso(3, "Throughput rate"), number=3, high=None),
    Kpi("allocation_efficiency", "Allocation efficiency", "分配效率", "(apt + aust + adet) / (pbt - unknown)", "1",
        "up", _iso(4, "Allocation efficiency"), number=4),
    Kpi("utilization_efficiency", "Utilization efficiency", "利用效率", "apt / (apt + aust + adet)", "1", "up",
        _iso(5, "Utilization efficiency"), number=5),
    Kpi("oee", "Overall equipment effectiveness index", "设备综合效率", "ideal_gq / (pbt - unknown)", "1", "up",
        _iso(6, "OEE index"), number=6, unless=_UNRATED, doubts=_EARNED, beyond=RATED),
    Kpi("nee", "Net equipment effectiveness index", "设备净效率", "(apt + aust) / (pbt - unknown) * ideal_gq / apt",
        "1", "up", _iso(7, "NEE index"), number=7, unless=_UNRATED, doubts=_EARNED, beyond=RATED),
    Kpi("availability", "Availability", "可用率", "apt / (pbt - unknown)", "1", "up",
        _iso(8, "Availability"), number=8),
    Kpi("effectiveness", "Effectiveness", "性能率", "ideal_pq / apt", "1", "up",
        _iso(9, "Effectiveness"), number=9, unless=_UNRATED, doubts=("uncounted", "unrated"), beyond=RATED),
    Kpi("quality_ratio", "Quality ratio", "质量率",
        "first(unless(unrated > 0.01 * apt, ideal_gq / ideal_pq), gq / pq)", "1", "up", _iso(10, "Quality ratio"),
        number=10, void=_JUDGED, beyond=f"{_COUNTS}; on a serial line, it ran empty"),
    Kpi("setup_ratio", "Setup ratio", "准备率", "aust / (apt + aust)", "1", "down", _iso(11, "Setup ratio"), number=11),
    Kpi("technical_efficiency", "Technical efficiency", "技术效率", "apt / (apt + adet)", "1", "up",
        _iso(12, "Technical efficiency"), number=12),
    Kpi("production_process_ratio", "Production process ratio", "生产过程率", "apt / aoet", "1", "up",
        _iso(13, "Production process ratio"), number=13, high=None),
    Kpi("actual_to_planned_scrap", "Actual to planned scrap ratio", "实际与计划废品比", "sq / psq", "1", "down",
        _iso(14, "Actual to planned scrap ratio"), number=14, high=None),
    Kpi("first_pass_yield", "First pass yield", "一次合格率", "gp / ip", "1", "up",
        _iso(15, "First pass yield"), number=15, beyond=_COUNTS),
    Kpi("scrap_ratio", "Scrap ratio", "废品率", "sq / pq", "1", "down",
        _iso(16, "Scrap ratio"), number=16, void=("unjudged",), beyond=_COUNTS),
    Kpi("rework_ratio", "Rework ratio", "返工率", "rq / pq", "1", "down",
        _iso(17, "Rework ratio"), number=17, beyond=_COUNTS),
    Kpi("fall_off_ratio", "Fall off ratio", "脱落率", "sq / pq_first", "1", "down",
        _iso(18, "Fall off ratio"), number=18, beyond=_COUNTS),
    Kpi("comprehensive_energy", "Comprehensive energy consumption", "综合能耗",
        "coal_equivalent * 29.3076 / (pq + overtime_pq)", "MJ/piece", "down",
        _iso(23, "Comprehensive energy consumption"), number=23, high=None, needs=("coal_equivalent",)),
    Kpi("inventory_turns", "Inventory turns", "库存周转率", "th / inventory", "turns", "up",
        _iso(24, "Inventory turns"), number=24, high=None),
    Kpi("finished_goods_ratio", "Finished goods ratio", "成品率", "gq / consumed", "1", "up",
        _iso(25, "Finished goods ratio"), number=25, beyond="consumed material is not in the unit of good pieces"),
    Kpi("integrated_goods_ratio", "Integrated goods ratio", "综合成品率", "igq / consumed", "1", "up",
        _iso(26, "Integrated goods ratio"), number=26, beyond="the material balance does not close"),
    Kpi("production_loss_ratio", "Production loss ratio", "生产损失率", "pl / consumed", "1", "down",
        _iso(27, "Production loss ratio"), number=27, beyond="the material balance does not close"),
    Kpi("storage_transport_loss_ratio", "Storage and transportation loss ratio", "储运损失率", "stl / consumed", "1",
        "down", _iso(28, "Storage and transportation loss ratio"), number=28,
        beyond="the material balance does not close"),
    Kpi("other_loss_ratio", "Other loss ratio", "其他损失率", "ol / consumed", "1", "down",
        _iso(29, "Other loss ratio"), number=29, beyond="the material balance does not close"),
    Kpi("equipment_load_ratio", "Equipment load ratio", "设备负荷率", "pq / epc", "1", "up",
        _iso(30, "Equipment load ratio"), number=30, beyond="more than the declared capacity: is it the rated one?"),
    Kpi("mtbf", "Mean operating time between failures", "平均故障间隔运行时间", "(apt + aust) / fe / 3600", "h", "up",
        _iso(31, "Mean operating time between failures"), number=31, high=None),
    Kpi("mttf", "Mean time to failure", "平均故障前时间", "(pbt - unknown - breakdown - cmt) / fe / 3600", "h", "up",
        _iso(32, "Mean time to failure"), number=32, high=None),
    Kpi("mttr", "Mean time to restoration", "平均恢复时间", "ttr / fe / 3600", "h", "down",
        _iso(33, "Mean time to restoration"), number=33, high=None),
    Kpi("corrective_maintenance_ratio", "Corrective maintenance ratio", "修复性维护率", "acmt / (acmt + apmt)", "1",
        "down", _iso(34, "Corrective maintenance ratio"), number=34),
    Kpi("ooe", "Overall operations effectiveness", "整体运营效率", "ideal_gq / (pbt - unknown) * pbt / pot", "1", "up",
        "companion of OEE: base is planned operation time", unless=_UNRATED, doubts=_EARNED, beyond=RATED),
    Kpi("teep", "Total effective equipment performance", "设备完全有效生产率",
        "ideal_gq / (pbt - unknown) * pbt / calendar_time", "1", "up",
        "companion of OEE: base is calendar time", unless=_UNRATED, doubts=_EARNED, beyond=RATED),
    Kpi("loss_breakdown", "Breakdown loss", "故障损失", "(breakdown + cmt) / (pbt - unknown)", "1", "down",
        "TPM loss 1: availability; ISO 22400-2: ADET and CMT, availability"),
    Kpi("loss_setup", "Setup and adjustment loss", "换型调整损失", "aust / (pbt - unknown)", "1", "down",
        "TPM loss 2: availability; ISO 22400-2: AUST, availability, given back in NEE"),
    Kpi("loss_minor_stops", "Idling and minor stop loss", "空转与短暂停机损失",
        "(starved + blocked + stopped) / (pbt - unknown)", "1", "down",
        "TPM loss 3: performance; ISO 22400-2: ADET, availability"),
    Kpi("loss_speed", "Reduced speed loss", "速度损失", "(apt - ideal_pq) / (pbt - unknown)", "1", "down",
        "TPM loss 4: performance; ISO 22400-2: effectiveness", unless=_UNRATED,
        doubts=("uncounted", "unrated"), below=RATED),
    Kpi("loss_defects", "Process defect loss", "工序缺陷损失",
        "(ideal_pq - ideal_gq - first(startup_lost, ideal_startup_sq)) / (pbt - unknown)", "1", "down",
        "TPM loss 5: quality; ISO 22400-2: SQ and RQ, quality ratio; without start-up losses",
        unless=_UNRATED, void=_JUDGED, below=_COUNTS),
    Kpi("loss_startup", "Start-up loss", "开机损失", "first(startup_lost, ideal_startup_sq) / (pbt - unknown)", "1",
        "down", "TPM loss 6: quality; ISO 22400-2: SQ, in part PSQ, quality ratio; "
        "as declared, else scrap counted in setup", unless=_UNRATED),
    Kpi("loss_no_order", "Time without an order", "无订单时间", "adot / (pbt - unknown)", "1", "down",
        "none of the six losses; ISO 22400-2: ADOT, availability; closes the sum of OEE and losses"),
    Kpi("rolled_throughput_yield", "Rolled throughput yield", "流通合格率", "rolled_yield", "1", "up",
        "Six Sigma: product of first-pass yields", beyond=_COUNTS),
    Kpi("energy_per_piece", "Energy per piece", "单件能耗", "energy / (pq + overtime_pq)", "kWh/piece", "down",
        "electricity alone; of all carriers: comprehensive energy consumption", high=None, needs=("energy",)),
    Kpi("coal_per_piece", "Standard coal per piece", "单件标煤",
        "coal_equivalent / 1000 / (pq + overtime_pq)", "tce/piece", "down", "GB/T 2589-2020",
        high=None, needs=("coal_equivalent",)),
    Kpi("co2e_per_piece", "CO2 equivalent per piece", "单件碳排放", "co2e / (pq + overtime_pq)", "kg/piece", "down",
        "emission factors of the plant's table", high=None, needs=("co2e",)),
    Kpi("idle_energy_share", "Idle energy share", "空转能耗占比", "energy_idle / energy", "1", "down", "edge-agent"),
    Kpi("idle_compressed_air_share", "Idle compressed air share", "空转压缩空气占比",
        "compressed_air_idle / compressed_air", "1", "down", "edge-agent; leaks, and blow-off that nobody closes"),
    Kpi("coverage", "Data coverage", "数据覆盖率", "(pbt - unknown) / pbt", "1", "up", "edge-agent"),
)  # fmt: skip

KPI_IDS: Final[tuple[str, ...]] = tuple(kpi.id for kpi in KPIS)
KPI: Final[dict[str, Kpi]] = {kpi.id: kpi for kpi in KPIS}
STANDARD: Final = KpiBook(KPIS)

ALL_ROWS: Final[tuple[Kpi | CapabilityIndex, ...]] = (*KPIS, *CAPABILITY)
"""Everything that is computed: KPIs of element rows, and capability indices. Those are of a measured characteristic, so
they are computed by `kpi.capability` and are no columns of `evaluate`."""

ISO_KPIS: Final[tuple[Kpi | CapabilityIndex, ...]] = tuple(
    sorted((row for row in ALL_ROWS if row.number is not None), key=lambda row: row.number or 0)
)
"""The 34 KPIs of ISO 22400-2:2014, in the order of its clause 6."""

_KNOWN: Final[tuple[Element | DeclaredElement, ...]] = (*ELEMENTS, *LINE_ELEMENTS, *DECLARED)

KNOWN_ELEMENTS: Final[dict[str, Element | DeclaredElement]] = {element.id: element for element in _KNOWN}
"""What a formula may name: what the engine adds up, what a serial line adds, what a plant declares."""

_OVER_FAILURES: Final = frozenset({"mtbf", "mttf", "mttr"})


def kpi_book(own: Sequence[Kpi] = (), failures: FailureDenominator = FailureDenominator.FE) -> KpiBook:
    """The KPIs of a plant. own: its own, whose formulas may also name KPIs of the table.

    Raises kpi.expressions.FormulaError where one of its own formulas cannot be compiled, ValueError where an id is
    that of another KPI or of an element.
    """
    table = [_over_one_more(kpi) if _plus_one(kpi, failures) else kpi for kpi in KPIS]
    taken = {*KNOWN_ELEMENTS, *KPI_IDS}
    for kpi in own:
        if kpi.id in taken:
            raise ValueError(f"`{kpi.id}` is the name of another KPI or element")
        taken.add(kpi.id)
        _value(kpi, {one.id: one for one in table})
    return KpiBook((*table, *own), failures) if own or failures is not FailureDenominator.FE else STANDARD


def _plus_one(kpi: Kpi, failures: FailureDenominator) -> bool:
    return kpi.id in _OVER_FAILURES and failures is FailureDenominator.FE_PLUS_ONE


def _over_one_more(kpi: Kpi) -> Kpi:
    return replace(kpi, formula=kpi.formula.replace("/ fe /", "/ (fe + 1) /"))


def in_units(elements: pl.DataFrame) -> pl.DataFrame:
    """Element columns from stored integers to Float64 in the element's unit; other columns stay as they are.

    Earned time of serial lines is taken together here with what `kpi.lines.EXACT_RESTS` holds of it.
    """
    stored = [e for e in (*ELEMENTS, *LINE_ELEMENTS) if e.id in elements.columns]
    return elements.with_columns([_in_unit(e, elements.columns).alias(e.id) for e in stored])


def _in_unit(element: Element, given: Sequence[str]) -> pl.Expr:
    amount = pl.col(element.id)
    value = divided(amount, element.per_unit)
    rest = EXACT_RESTS.get(element.id, "")
    if rest not in given:
        return value
    exact = amount.cast(pl.Int128) * RESTS_PER_UNIT + pl.col(rest)
    in_unit = divided(exact, element.per_unit * RESTS_PER_UNIT)
    return pl.when(pl.col(rest).fill_null(0) == 0).then(value).otherwise(in_unit)


def divided(amount: pl.Expr, by: int) -> pl.Expr:
    """A stored integer in a unit of which it counts so many parts, Float64, next to the exact value.

    The divisor is a column, as polars multiplies by the reciprocal of a number: 1990 s came out as 1990.0000000000002.
    """
    return amount.cast(pl.Float64) if by == 1 else amount / (amount * 0 + by)


def evaluate(elements: pl.DataFrame, book: KpiBook = STANDARD) -> pl.DataFrame:
    """KPIs of each row of summed elements.

    elements: any key columns, the Int64 columns of `kpi.elements.ELEMENT_IDS`, and those of `kpi.lines.LINE_ELEMENTS`,
        `kpi.lines.EXACT_RESTS` and `kpi.declared.DECLARED_IDS` (Float64, in their units) that are known.
    Returns the same rows with one Float64 column per KPI of the book added, null where the KPI has no value.
    """
    given = [name for name in elements.columns if name in KNOWN_ELEMENTS or name in EXACT_RESTS.values()]
    return pl.concat([elements, evaluate_in_units(in_units(elements.select(given)), book)], how="horizontal")


def evaluate_in_units(elements: pl.DataFrame, book: KpiBook = STANDARD) -> pl.DataFrame:
    """KPIs of each row of elements, Float64 in shown units: one Float64 column per KPI of the book, and no other."""
    return elements.select(_columns(book, frozenset(elements.columns) & frozenset(KNOWN_ELEMENTS)))


@lru_cache(maxsize=32)
def _columns(book: KpiBook, given: frozenset[str]) -> list[pl.Expr]:
    """Every KPI as a column over the elements that are given; null where it cannot be had without the others."""
    table = book.named()
    return [(_value(kpi, table, given) if _certain(kpi, table) <= given else _NULL).alias(kpi.id) for kpi in book.kpis]


_NULL: Final = pl.lit(None, pl.Float64)


def _certain(kpi: Kpi, table: dict[str, Kpi]) -> frozenset[str]:
    """Elements without which the KPI has no value."""
    found: set[str] = set()
    guards = (names_in(kpi.unless) if kpi.unless else frozenset[str]()) | set(kpi.needs) | set(kpi.void)
    for name in names_without_which(kpi.formula) | guards:
        found |= _certain(table[name], table) if name in table else {name}
    return frozenset(found)


def _value(kpi: Kpi, table: dict[str, Kpi], given: frozenset[str] = frozenset(KNOWN_ELEMENTS)) -> pl.Expr:
    """The KPI as an expression over Float64 columns in shown units; elements that are not given are null."""
    named = dict.fromkeys(KNOWN_ELEMENTS.keys() - given, _NULL)
    named |= {name: known_only(name) for name, part in UNCOUNTED.items() if {name, part, WHOLE[part]} <= given}
    named |= {name: _value(table[name], table, given) for name in names_in(kpi.formula) & table.keys()}
    value = compile_formula(kpi.formula, given, named)
    if kpi.unless is not None:
        value = pl.when(~compile_condition(kpi.unless, given)).then(value)
    for name in kpi.needs:
        value = pl.when(pl.col(name) != 0).then(value)
    for name in kpi.void:
        value = pl.when(~is_all(name)).then(value)
    return value


def is_all(part: str) -> pl.Expr:
    """Whether a part of the pieces is all of them, and there is any."""
    return (pl.col(part) == pl.col(WHOLE[part])) & (pl.col(part) != 0)


def known_only(element: str) -> pl.Expr:
    """An element of `UNCOUNTED`, null where nobody knows it of any piece."""
    return pl.when(~is_all(UNCOUNTED[element])).then(pl.col(element))
