"""The plant's own exact book: what really happened, to the millisecond, the piece and the millijoule.

It is the truth that the agent's numbers are compared with. So it shares nothing with `kpi` but the standard: it is
written by the simulation as things happen, keeps whole numbers, and adds them up in the plainest way there is.

Rules (ISO 22400-2): planned busy time is by the calendar; within it a machine produces (APT), is set up (AUST), is
delayed (ADET: starved, blocked, stopped, broken down) or is down without an order (ADOT: idle, off). Pieces are good,
scrap or for rework, and PQ is their sum. Every sum first, every ratio last; nothing over nothing is None.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.demo.calendar import ShiftCalendar
from edge_agent.demo.events import MS, Condition, Outcome
from edge_agent.demo.layout import MachineSpec
from edge_agent.demo.machine import Completed
from edge_agent.demo.meter import MILLIJOULES_PER_KWH

APT: Final = frozenset({Condition.PRODUCING})
AUST: Final = frozenset({Condition.SETUP})
ADET: Final = frozenset({Condition.STARVED, Condition.BLOCKED, Condition.STOPPED, Condition.BREAKDOWN})
ADOT: Final = frozenset({Condition.IDLE, Condition.OFF})

OUTCOMES: Final = tuple(Outcome)


@dataclass(slots=True)
class _Steps:
    """A step function of time: value[i] holds from time[i], in ms, until time[i + 1]."""

    time: array[int] = field(default_factory=lambda: array("q"))
    value: array[int] = field(default_factory=lambda: array("q"))

    def change(self, at: int, value: int) -> None:
        self.time.append(at)
        self.value.append(value)

    def between(self, start: int, end: int) -> Iterable[tuple[int, int, int]]:
        """(from, to, value) of each step between start and end, clipped."""
        first = max(0, bisect_right(self.time, start) - 1)
        for i in range(first, bisect_left(self.time, end)):
            until = self.time[i + 1] if i + 1 < len(self.time) else end
            if max(start, self.time[i]) < min(end, until):
                yield max(start, self.time[i]), min(end, until), self.value[i]


@dataclass(slots=True)
class _Account:
    """All that is known of one machine. piece_kind: index of product and of outcome, and two flags, in one number."""

    spec: MachineSpec
    conditions: _Steps = field(default_factory=_Steps)
    watts: _Steps = field(default_factory=_Steps)
    piece_time: array[int] = field(default_factory=lambda: array("q"))
    piece_kind: array[int] = field(default_factory=lambda: array("b"))


class Book:
    """Everything that the machines did since `start`, in ms since the epoch."""

    def __init__(self, specs: Iterable[MachineSpec], calendar: ShiftCalendar, start: int) -> None:
        self._accounts = {spec.id: _Account(spec) for spec in specs}
        self._calendar = calendar
        self._start = start

    def note_condition(self, machine: str, at: int, condition: Condition) -> None:
        """The machine is in this condition from now on."""
        self._accounts[machine].conditions.change(at, condition)

    def note_watts(self, machine: str, at: int, watts: int) -> None:
        """The machine draws this power from now on."""
        self._accounts[machine].watts.change(at, watts)

    def note_piece(self, machine: str, at: int, piece: Completed) -> None:
        """The machine has finished a piece."""
        account = self._accounts[machine]
        product = tuple(account.spec.ideal).index(piece.product)
        kind = product * 16 + OUTCOMES.index(piece.outcome) * 4 + piece.inspected * 2 + piece.first_pass
        account.piece_time.append(at)
        account.piece_kind.append(kind)

    def sums(self, machine: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        """What adds up over time: milliseconds, pieces, earned milliseconds and millijoules from `from_ns` to `to_ns`.

        `ms` is by condition within planned busy time, `ms_unplanned` by condition outside it; together they are the
        elapsed time. A piece at `to_ns` itself is not in it. Raises ValueError where the book does not reach back.
        """
        start, end = -(-from_ns // MS), -(-to_ns // MS)
        if start < self._start:
            raise ValueError(f"the book begins at {self._start * MS}, asked from {from_ns}")
        account = self._accounts[machine]
        steps = list(account.conditions.between(start, end))
        busy = list(self._calendar.busy_intervals(start, end))
        elapsed: Counter[Condition] = Counter()
        planned: Counter[Condition] = Counter()
        for begins, ends, code in steps:
            elapsed[Condition(code)] += ends - begins
            for opens, closes in busy:
                planned[Condition(code)] += max(0, min(ends, closes) - max(begins, opens))
        return {
            "pbt": sum(closes - opens for opens, closes in busy),
            "ms": {condition: planned[condition] for condition in Condition},
            "ms_unplanned": {condition: elapsed[condition] - planned[condition] for condition in Condition},
            "millijoules": sum((ends - begins) * watts for begins, ends, watts in account.watts.between(start, end)),
            **self._pieces(account, start, end),
        }

    def _pieces(self, account: _Account, start: int, end: int) -> dict[str, Any]:
        first, last = bisect_left(account.piece_time, start), bisect_left(account.piece_time, end)
        products = tuple(account.spec.ideal)
        count: Counter[tuple[str, Outcome]] = Counter()
        inspected = first_pass = 0
        for kind, n in Counter(account.piece_kind[first:last]).items():
            count[products[kind // 16], OUTCOMES[kind // 4 % 4]] += n
            inspected += n if kind & 2 else 0
            first_pass += n if kind & 1 else 0
        ideal = {product: round(seconds * 1000) for product, seconds in account.spec.ideal.items()}
        return {
            "pieces": {
                product: {outcome: count[product, outcome] for outcome in Outcome}
                for product in products
                if any(count[product, outcome] for outcome in Outcome)
            },
            "inspected": inspected,
            "first_pass": first_pass,
            "earned": sum(ideal[product] * n for (product, _), n in count.items()),
            "earned_good": sum(ideal[product] * n for (product, what), n in count.items() if what is Outcome.GOOD),
        }

    def truth(self, machine: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        """KPIs of one machine between two times, with the sums behind them, ready for JSON."""
        return _kpis([self.sums(machine, from_ns, to_ns)])

    def plant_truth(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        """KPIs of all machines together: the same sums, over machines first."""
        return _kpis([self.sums(machine, from_ns, to_ns) for machine in self._accounts])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _kpis(sums: list[dict[str, Any]]) -> dict[str, Any]:
    """A = ΣAPT/ΣPBT, E = Σ(PRI·PQ)/ΣAPT, Q = Σ(PRI·GQ)/Σ(PRI·PQ), OEE = A·E·Q = Σ(PRI·GQ)/ΣPBT.

    The OEE of planned time without a piece is 0, though neither quality nor, without production, effectiveness exist.
    """
    ms: Counter[Condition] = Counter()
    unplanned: Counter[Condition] = Counter()
    pieces: dict[str, Counter[Outcome]] = {}
    total: Counter[str] = Counter()
    for one in sums:
        ms.update(one["ms"])
        unplanned.update(one["ms_unplanned"])
        total.update({name: one[name] for name in _TOTALS})
        for product, by_outcome in one["pieces"].items():
            pieces.setdefault(product, Counter()).update(by_outcome)
    outcomes = {outcome: sum(by_outcome[outcome] for by_outcome in pieces.values()) for outcome in Outcome}
    apt = sum(ms[condition] for condition in APT)
    return {
        "availability": _ratio(apt, total["pbt"]),
        "effectiveness": _ratio(total["earned"], apt),
        "quality_ratio": _ratio(total["earned_good"], total["earned"]),
        "oee": _ratio(total["earned_good"], total["pbt"]),
        "good": outcomes[Outcome.GOOD],
        "scrap": outcomes[Outcome.SCRAP],
        "rework": outcomes[Outcome.REWORK],
        "inspected": total["inspected"],
        "first_pass": total["first_pass"],
        "energy_kwh": total["millijoules"] / MILLIJOULES_PER_KWH,
        "coverage": 1.0,
        "pbt_s": total["pbt"] / 1000,
        "apt_s": apt / 1000,
        "aust_s": sum(ms[condition] for condition in AUST) / 1000,
        "adet_s": sum(ms[condition] for condition in ADET) / 1000,
        "adot_s": sum(ms[condition] for condition in ADOT) / 1000,
        "earned_s": total["earned"] / 1000,
        "earned_good_s": total["earned_good"] / 1000,
        "seconds": _seconds(ms),
        "seconds_unplanned": _seconds(unplanned),
        "pieces": {product: {str(what): n for what, n in counts.items()} for product, counts in pieces.items()},
    }


_TOTALS: Final = ("pbt", "millijoules", "inspected", "first_pass", "earned", "earned_good")


def _seconds(ms: Mapping[Condition, int]) -> dict[str, float]:
    return {condition.name.lower(): ms[condition] / 1000 for condition in Condition if ms[condition]}
