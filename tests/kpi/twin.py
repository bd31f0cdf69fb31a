"""The slow, obvious twin of the engine: one machine at a time, one cut at a time, plain Python.

It reads the rules anew from their words and shares no code with the engine but the plant's dataclasses; whatever both
agree on is right twice or misunderstood twice. When work is planned it is told by a calendar of its own.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.plant import Carrier, Counter, EnergyFactor, Machine, Plant, Quantity, Signal, State, Switch
from tests.kpi.walked_calendar import planned, planned_at

Row = dict[str, int]
Key = tuple[int, int, int, int]  # machine, minute, shift_start, product


class Sample(NamedTuple):
    """One sample, as an object: that is what makes the twin slow and easy to read."""

    tag: int
    time: int
    value: float
    quality: int = 0


@dataclass
class Held:
    """All samples of one tag, in order."""

    samples: list[Sample]

    def at(self, time: int) -> Sample | None:
        found = [s for s in self.samples if s.time <= time]
        return found[-1] if found else None


def table(plant: Plant, samples: Iterable[Sample], begin: int, end: int) -> dict[Key, Row]:
    """Element rows of [begin, end) by key, computed in the most obvious way."""
    tags = since(one_a_time(usable(samples, plant)), begin)
    rows: dict[Key, Row] = {}
    for index, machine in enumerate(plant.machines):
        machine_rows(index, machine, tags, begin, end, rows, plant.factors)
    return rows


def decisions(plant: Plant, samples: Iterable[Sample], begin: int, end: int) -> Tally[str]:
    """How often a counter rose after a gap, and how often one began to be stuck."""
    tags = since(one_a_time(usable(samples, plant)), begin)
    tally: Tally[str] = Tally()
    for machine in plant.machines:
        stretches = list(pairwise(edges_of(machine, tags, begin, end)))
        gaps = [(a, b) for a, b in stretches if lacks_data(machine, tags, a, begin)]
        for counter in machine.counters.values():
            if not counter.event:
                tally["counter_after_gap"] += sum(
                    any(a < s.time and b > since for a, b in gaps)
                    for s, _, since, added in steps(counter, tags[counter.tag], begin)
                    if added and s.time < end
                )
        states = states_of(machine, stretches, tags, begin)
        tally["counter_stuck"] += sum(begins for _, begins in stuck(machine, stretches, states, tags, begin))
    return +tally


def one_a_time(samples: Iterable[Sample]) -> dict[int, Held]:
    """Best quality, then largest value, of those of one tag at one time."""
    best: dict[tuple[int, int], Sample] = {}
    for s in samples:
        other = best.get((s.tag, s.time))
        if other is None or rank(s) > rank(other):
            best[s.tag, s.time] = s
    tags: dict[int, list[Sample]] = defaultdict(list)
    for s in sorted(best.values(), key=lambda s: s.time):
        tags[s.tag].append(s)
    return defaultdict(lambda: Held([]), {tag: Held(of) for tag, of in tags.items()})


def usable(samples: Iterable[Sample], plant: Plant) -> list[Sample]:
    """Without what never counts: of counters and meters what is not good, of products and reasons what is uncertain."""
    only_good = {c.tag for m in plant.machines for c in (*m.counters.values(), *((m.energy,) if m.energy else ()))}
    only_good |= {c.tag for m in plant.machines for c in m.media.values()}
    codes = {s.tag for m in plant.machines for s in (m.product, m.reason) if s}
    return [s for s in samples if s.quality not in ((1, 2) if s.tag in only_good else (1,) if s.tag in codes else ())]


def since(tags: dict[int, Held], begin: int) -> dict[int, Held]:
    """Without what lies before the beginning but the last of each tag."""
    for held in tags.values():
        before = [s for s in held.samples if s.time < begin]
        held.samples = before[-1:] + [s for s in held.samples if s.time >= begin]
    return tags


def rank(s: Sample) -> tuple[int, float]:
    return (-s.quality, float("-inf") if s.value != s.value else s.value)


def machine_rows(
    index: int,
    machine: Machine,
    tags: dict[int, Held],
    begin: int,
    end: int,
    rows: dict[Key, Row],
    factors: tuple[EnergyFactor, ...],
) -> None:
    down = counted_failure = False
    stretches = list(pairwise(edges_of(machine, tags, begin, end)))
    states = states_of(machine, stretches, tags, begin)
    silent = stuck(machine, stretches, states, tags, begin)
    for (start, stop), state, (beyond, _) in zip(stretches, states, silent, strict=True):
        plan = planned_at(machine.calendar, start)
        key = (index, start - start % MINUTE_NS, plan.shift_start, code_at(machine.product, tags, start))
        row = rows.setdefault(key, dict.fromkeys(ELEMENT_IDS, 0))
        apart = machine.overtime_apart and not plan.busy and state in (State.PRODUCING, State.SETUP)
        counts_as = state
        if not plan.busy and state not in (State.PRODUCING, State.SETUP):
            planned = any(first <= start < last for first, last in machine.calendar.maintenance)
            counts_as = State.PLANNED_MAINTENANCE if planned else state
            row["pmt"] += stop - start if planned and plan.operation else 0
        add_time(row, counts_as, stop - start, plan.operation, plan.busy, apart)
        row["uncounted"] += 0 if apart else beyond
        if state in (State.PRODUCING, State.SETUP, State.IDLE, State.STARVED, State.BLOCKED):
            down = counted_failure = False  # it can do its job
        down = down or state is State.BREAKDOWN
        if down and plan.busy and state in (State.BREAKDOWN, State.MAINTENANCE):
            row["ttr"] += stop - start
            row["fe"] += 0 if counted_failure else 1
            counted_failure = True
        counted = {q: pieces(c, tags[c.tag], start, stop, begin) for q, c in machine.counters.items()}
        add_pieces(row, machine, counted, state, apart)
        idle = state not in (State.PRODUCING, State.SETUP, State.OFF, State.UNKNOWN)
        for carrier, meter in machine.media.items():
            medium = metered(meter, tags, start, stop, begin)
            row[carrier] += medium
            row[f"{carrier}_idle"] += medium if idle else 0
        used = energy(machine, tags, start, stop, begin)
        row["energy"] += used
        row["energy_working"] += used if state in (State.PRODUCING, State.SETUP) else 0
        row["energy_idle"] += used if idle else 0
        row["energy_off"] += used if state is State.OFF else 0
    for key, row in rows.items():
        if key[0] == index:
            earn(row, machine, key[3], unread(machine, tags, key[1] + MINUTE_NS))
            for name, amount in (("coal_equivalent", "kgce"), ("co2e", "kg_co2e")):
                row[name] = sum(converted(row, carrier, amount, key[1], factors) for carrier in (None, *Carrier))


def edges_of(machine: Machine, tags: dict[int, Held], begin: int, end: int) -> list[int]:
    """Every instant at which anything may change."""
    plan = planned(machine.calendar, begin, end)
    cuts = {begin, end, *range(begin - begin % MINUTE_NS + MINUTE_NS, end, MINUTE_NS), *(edge for edge, _ in plan)}
    for signal in machine.state_signals:
        for tag, holds in ((signal.tag, signal.stale_after_ns), (signal.link, signal.link_holds_ns)):
            if tag is not None:
                cuts |= {s.time for s in tags[tag].samples}
                cuts |= {s.time + holds for s in tags[tag].samples} if holds is not None else set()
    cuts |= {edge for stop in machine.calendar.maintenance for edge in stop}
    for code in (machine.product, machine.reason):
        cuts |= {s.time for s in tags[code.tag].samples} if code else set()
    return sorted(c for c in cuts if begin <= c <= end)


def states_of(machine: Machine, stretches: list[tuple[int, int]], tags: dict[int, Held], begin: int) -> list[State]:
    """What the machine was in each stretch: as it said, then by the stop's length, then by its reason."""
    said = judged(machine, stretches, [state_at(machine, tags, start, begin) for start, _ in stretches])
    reasons = [code_at(machine.reason, tags, start) for start, _ in stretches]
    if machine.reason is not None and machine.reason_of_stop:
        reasons = reasons_of_stops(stretches, said, machine.reasons, tags[machine.reason.tag])
    return [
        state if state in (State.UNKNOWN, *WORKING) else machine.reasons.get(reason, state)
        for state, reason in zip(said, reasons, strict=True)
    ]


WORKING = (State.PRODUCING, State.SETUP)


def reasons_of_stops(
    stretches: list[tuple[int, int]], states: list[State], meaning: Mapping[int, State], held: Held
) -> list[int]:
    """The last reason with a meaning that is given in the standstill; where none is, the last of any."""
    found = []
    for i in range(len(stretches)):
        first = last = i
        while first and states[first - 1] not in WORKING:
            first -= 1
        while last + 1 < len(states) and states[last + 1] not in WORKING:
            last += 1
        since, until = stretches[first][0] - 10 * 10**9, stretches[last][1]
        given = [s for s in held.samples if s.quality == 0 and since <= s.time < until]
        codes = [int(s.value) for s in given]
        meant = [code for code in codes if code in meaning]
        found.append([-1, *codes, *meant][-1] if states[i] not in WORKING else -1)
    return found


def stuck(
    machine: Machine, stretches: list[tuple[int, int]], states: list[State], tags: dict[int, Held], begin: int
) -> list[tuple[int, bool]]:
    """Of each stretch: how long it produced with a counter stuck, and whether that began in it."""
    names = {Quantity.TOTAL} & set(machine.counters) or {Quantity.GOOD, Quantity.SCRAP, Quantity.REWORK}
    counters = [c for q, c in machine.counters.items() if q in names]
    limit = machine.stuck_after_ns
    if limit is None or not counters:
        return [(0, False)] * len(stretches)
    rises = sorted({s.time for c in counters for s, _, _, added in steps(c, tags[c.tag], begin) if added})
    found, silent = [], 0
    for (start, stop), state in zip(stretches, states, strict=True):
        beyond, begins = 0, False
        edges = [start, *(r for r in rises if start < r < stop), stop]
        for a, b in pairwise(edges):
            if a in rises:
                silent = 0
            if state is State.PRODUCING:
                begins |= silent <= limit < silent + (b - a)
                beyond += max(0, silent + (b - a) - max(silent, limit))
                silent += b - a
        found.append((beyond, begins))
    return found


def judged(machine: Machine, stretches: list[tuple[int, int]], states: list[State]) -> list[State]:
    """Every run of stops, broken by nothing but a moment without data, takes its name from its whole length."""
    limit = max(machine.minor_stop_ns or 0, machine.cycle_gap_ns or 0)
    stops = [i for i, state in enumerate(states) if state in (State.STOPPED, State.BREAKDOWN)]
    if not limit:
        return states
    found = list(states)
    runs: list[list[int]] = []
    for i in stops:
        hole = None if not runs else states[runs[-1][-1] + 1 : i]
        missing = 0 if not runs else stretches[i][0] - stretches[runs[-1][-1]][1]
        if hole is not None and all(s is State.UNKNOWN for s in hole) and missing < limit:
            runs[-1].append(i)
        else:
            runs.append([i])
    for run in runs:
        first, last = run[0], run[-1]
        length = stretches[last][1] - stretches[first][0]
        lost = sum(b - a for a, b in (stretches[i] for i in run) if planned_at(machine.calendar, a).busy)
        name = pause(machine, states[max(first - 1, 0) : first], states[first : last + 2], len(run), length, lost)
        for i in run:
            found[i] = name or states[i]
    return found


def pause(machine: Machine, before: list[State], run: list[State], stops: int, length: int, lost: int) -> State | None:
    """What a stop of some length is; None where it is what it says. run: its stretches, and the one after it."""
    works = [State.PRODUCING]
    if (
        length < (machine.cycle_gap_ns or 0)
        and before == works
        and run[:stops] == [State.STOPPED] * stops
        and run[stops:] in ([], works)
    ):
        return State.PRODUCING
    if machine.minor_stop_ns is None:
        return None
    return State.BREAKDOWN if lost >= machine.minor_stop_ns else State.STOPPED


def add_time(row: Row, state: State, ns: int, operation: bool, busy: bool, apart: bool) -> None:
    row["calendar_time"] += ns
    if apart:
        row["overtime"] += ns
        for name in ("planned_downtime", "pot") if operation else ("not_planned",):
            row[name] += ns
        return
    row["acmt"] += ns if state is State.MAINTENANCE else 0
    row["apmt"] += ns if state is State.PLANNED_MAINTENANCE else 0
    if busy and state in (State.PLANNED_STOP, State.PLANNED_MAINTENANCE):
        busy = False
        row["pmt"] += ns if state is State.PLANNED_MAINTENANCE else 0
    works = {State.PRODUCING: "apt", State.SETUP: "aust"}
    if state in works:
        for name in (works[state], "pbt", "pot"):
            row[name] += ns
    elif busy:
        row["pbt"] += ns
        row["pot"] += ns
        if state in (State.STARVED, State.BLOCKED, State.STOPPED, State.BREAKDOWN):
            row["adet"] += ns
            row[state.name.lower()] += ns
        elif state in (State.IDLE, State.OFF):
            row["adot"] += ns
        else:
            row["cmt" if state is State.MAINTENANCE else "unknown"] += ns
    elif operation:
        row["pot"] += ns
        row["planned_downtime"] += ns
    else:
        row["not_planned"] += ns


def state_at(machine: Machine, tags: dict[int, Held], time: int, begin: int) -> State:
    known = known_values(machine, tags, time, begin)
    for rule in machine.state_model.rules:
        judged = [None if known[n] is None else known[n] in wanted for n, wanted in rule.when.items()]
        if all(judged):
            return rule.state
        if False not in judged:
            return State.UNKNOWN
    return State.UNKNOWN


def lacks_data(machine: Machine, tags: dict[int, Held], time: int, begin: int) -> bool:
    """Whether the state is not known for want of a value, and not for want of a rule."""
    if state_at(machine, tags, time, begin) is not State.UNKNOWN:
        return False
    return not machine.state_signals or None in known_values(machine, tags, time, begin).values()


def known_values(machine: Machine, tags: dict[int, Held], time: int, begin: int) -> dict[str, float | None]:
    """By name: what each signal says just then, or said last where others say that this counts."""
    signals = dict(zip(machine.state_model.signals, machine.state_signals, strict=True))
    now = {name: known_value(signal, tags, time, begin) for name, signal in signals.items()}
    return {
        name: last_sent(tags[signals[name].tag], time, begin)
        if name in machine.state_model.last_sent
        and all(now[other] in values for other, values in machine.state_model.last_sent[name].items())
        else value
        for name, value in now.items()
    }


def last_sent(held: Held, time: int, begin: int) -> float | None:
    """The newest value until then that is good, or that all begins with."""
    sent = [s.value for s in held.samples if s.time <= time and (s.quality == 0 or s.time < begin)]
    return None if not sent or sent[-1] != sent[-1] else sent[-1]


def known_value(signal: Signal, tags: dict[int, Held], time: int, begin: int) -> float | None:
    sample = tags[signal.tag].at(time)
    if sample is None or sample.quality != 0:
        return None
    if signal.stale_after_ns is not None and time >= sample.time + signal.stale_after_ns:
        return None
    if signal.link is not None:
        link = tags[signal.link].at(time)
        if link is None or link.quality != 0 or link.value != 1 or time >= link.time + signal.link_holds_ns:
            return None
    return sample.value if signal.switch is None else switched(signal.switch, tags[signal.tag], time)


def switched(switch: Switch, held: Held, time: int) -> float:
    """Go through all good values until then; between the thresholds nothing happens."""
    on = 0.0
    for s in held.samples:
        if s.time <= time and s.quality == 0:
            on = 1.0 if s.value >= switch.on else 0.0 if s.value <= switch.off else on
    return on


def code_at(signal: Signal | None, tags: dict[int, Held], time: int) -> int:
    if signal is None:
        return -1
    said = Held([s for s in tags[signal.tag].samples if s.quality != 1])
    sample = said.at(time)
    return -1 if sample is None or sample.quality == 2 else int(sample.value)


def steps(counter: Counter, held: Held, begin: int) -> list[tuple[Sample, int, int, float]]:
    """(reading, time of the one before it, time of the one it counts on from, what it added) of every good reading but
    the first; of events, of all."""
    good = [s for s in held.samples if s.quality == 0]
    if counter.event:
        return [(s, s.time, s.time, s.value) for s in good if s.time >= begin]
    found: list[tuple[Sample, int, int, float]] = []
    believed = good[:1]  # the last reading that was believed
    low: Sample | None = None  # one below the highest that is not judged yet
    high, fell = (good[0].value if good else 0.0), False
    for before, s in pairwise(good):
        added, high_now, waits = judged_reading(s, high, low, fell, counter.modulus)
        since = before
        if low is not None:
            since = believed[0] if before.time == low.time or fell else low
        if counter.most_per_second is not None:
            elapsed = (s.time - since.time) / 1e9
            if added > counter.most_per_second * elapsed + counter.most_at_once:
                added = 0.0
        if waits == "":
            low, fell, believed = None, False, [s]
        elif waits != "still":
            low, fell = s, waits == "fell"
        high = high_now
        found.append((s, before.time, since.time, added))
    return found


def judged_reading(  # noqa: PLR0911 - one line a rule
    s: Sample, high: float, low: Sample | None, fell: bool, modulus: float | None
) -> tuple[float, float, str]:
    """(what a reading adds, the highest reading after it, whether it waits: `fell`, `back`, as before: `still`)."""
    x = s.value
    if modulus is not None and x < high and 0 <= x + modulus - high < modulus / 16:
        return x + modulus - high, x, ""
    if low is not None and fell and (x < 0.9 * high or high < 10):
        if x <= low.value:
            return 0.0, high, "fell"
        if modulus is not None and 0 <= low.value + modulus - high < modulus / 2:
            return x + modulus - high, x, ""
        return max(0.0, x), x, ""
    if modulus is not None and x - high > modulus - modulus / 16:
        return 0.0, high, ""
    if x >= high:
        return x - high, x, ""
    if not fell and high > 0 and x < high / 2:
        return 0.0, high, "fell"
    if fell or low is None or x < low.value:
        return 0.0, high, "back"
    if x > low.value and s.time - low.time >= 15 * 60 * 10**9:
        return x - low.value, x, ""
    return 0.0, high, "still"


def pieces(counter: Counter, held: Held, start: int, stop: int, begin: int) -> int:
    return sum(round(a * 1e6) for s, _, _, a in steps(counter, held, begin) if start <= s.time < stop)


def add_pieces(row: Row, machine: Machine, counted: dict[Quantity, int], state: State, apart: bool) -> None:
    def of(q: Quantity) -> int:
        return counted.get(q, 0)

    has = machine.counters
    pq = of(Quantity.TOTAL) if Quantity.TOTAL in has else of(Quantity.GOOD) + of(Quantity.SCRAP) + of(Quantity.REWORK)
    if apart:
        row["overtime_pq"] += pq
        return
    gq = of(Quantity.GOOD) if Quantity.GOOD in has else pq - of(Quantity.SCRAP) - of(Quantity.REWORK)
    sq = of(Quantity.SCRAP)
    if Quantity.TOTAL in has and Quantity.GOOD in has and Quantity.SCRAP not in has:
        sq = pq - gq - of(Quantity.REWORK)
    for name, n in zip(("pq", "gq", "sq", "rq"), (pq, gq, sq, of(Quantity.REWORK)), strict=True):
        row[name] += n
    if state is State.SETUP:
        row["startup_sq"] += sq
    # two of the three tell the third; good pieces alone are judged, but of what was scrapped they say nothing
    told = {Quantity.TOTAL, Quantity.GOOD, Quantity.SCRAP} & set(has)
    if len(told) < 2:
        row["unjudged"] += 0 if told == {Quantity.GOOD} else pq
        row["scrap_unknown"] += 0 if told == {Quantity.SCRAP} else pq
    if Quantity.REWORK not in has:
        row["rework_unknown"] += pq
    row["ip"] += of(Quantity.INSPECTED)
    row["gp"] += of(Quantity.FIRST_PASS)
    row["first_pass_unknown"] += 0 if Quantity.FIRST_PASS in has else of(Quantity.INSPECTED)


def converted(row: Row, carrier: Carrier | None, amount: str, time: int, factors: tuple[EnergyFactor, ...]) -> int:
    """A carrier's amount by the newest of its factors that is in force."""
    dated = [f for f in factors if f.carrier is carrier and f.since <= time]
    factor = max(dated, key=lambda f: f.since, default=None)
    return 0 if factor is None else round(row[carrier or "energy"] * getattr(factor, amount))


def unread(machine: Machine, tags: dict[int, Held], end: int) -> bool:
    """Whether a counter of all or of good pieces has said nothing yet."""
    rating = [c for q, c in machine.counters.items() if q in (Quantity.TOTAL, Quantity.GOOD) and not c.event]
    return any(not [s for s in tags[c.tag].samples if s.quality == 0 and s.time < end] for c in rating)


def earn(row: Row, machine: Machine, product: int, is_unread: bool) -> None:
    ideal = machine.ideal_ns.get(product, machine.default_ideal_ns)
    if is_unread or ideal is None or not {Quantity.TOTAL, Quantity.GOOD} & set(machine.counters):
        row["unrated"] = row["apt"]
        return
    row["ideal_pq"] = round(row["pq"] * (ideal / 1e6))
    row["ideal_gq"] = round(row["gq"] * (ideal / 1e6))
    row["ideal_startup_sq"] = round(row["startup_sq"] * (ideal / 1e6))


def metered(meter: Counter, tags: dict[int, Held], start: int, stop: int, begin: int) -> int:
    readings = steps(meter, tags[meter.tag], begin)
    return sum(meter_part(t0, s.time, a, stop) - meter_part(t0, s.time, a, start) for s, t0, _, a in readings)


def energy(machine: Machine, tags: dict[int, Held], start: int, stop: int, begin: int) -> int:
    if machine.energy:
        return metered(machine.energy, tags, start, stop, begin)
    if machine.power:
        held = tags[machine.power.tag].samples
        ends = [*(s.time for s in held[1:]), None][: len(held)]
        return sum(
            power_part(machine, s, e, stop) - power_part(machine, s, e, start) for s, e in zip(held, ends, strict=True)
        )
    return 0


def meter_part(t0: int, t1: int, added: float, until: int) -> int:
    whole = round(added * 1e6)
    return 0 if until <= t0 else whole if until >= t1 else round(whole * ((until - t0) / (t1 - t0)))


def power_part(machine: Machine, s: Sample, end: int | None, until: int) -> int:
    held = max(0, min(until, until if end is None else end) - s.time)
    power = s.value if s.quality == 0 and s.value == s.value else 0.0
    return round(power * min(held, machine.most_power_gap_ns) * (1e6 / 3.6e12))
