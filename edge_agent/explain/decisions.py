"""Decisions about counters that the journal kept, for the time of which no samples are held.

Rule: of a long window the newest are listed, and all are counted; where samples are held, readings say more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from edge_agent.explain.layout import Facts, clock_of, table_of
from edge_agent.explain.words import clock, decimal
from edge_agent.journal import JournalReader
from kpi.bindings import METERED

MOST_LISTED: Final = 1000
"""Decisions that an answer holds one by one."""

_MILLIONTHS: Final = 6
_DASH: Final = "–"


def decision_facts(
    reader: JournalReader, machine: str, start: int, end: int, *, of_pieces: bool, of_energy: bool
) -> dict[str, Any] | None:
    """What was decided about the counters of a machine over [start, end), ns, newest first; None of no time.

    of_pieces, of_energy: whether counters of pieces, and meters, are asked for.
    """
    if end <= start:
        return None
    counts = [
        one
        for one in reader.decision_counts(start, end, [machine])
        if (of_energy if one.counter in METERED else of_pieces)
    ]
    wanted = sorted({one.counter for one in counts})
    rows = reader.decisions(start, end, [machine], counters=wanted, newest=MOST_LISTED).reverse()
    listed: Counter[tuple[str, str]] = Counter()
    told = []
    for row in rows.iter_rows(named=True):
        listed[row["counter"], row["verdict"]] += row["times"]
        told.append({"at": row.pop("time"), **{name: value for name, value in row.items() if name != "machine"}})
    return {
        "start": start,
        "end": end,
        "from": max(start, reader.decisions_from()),
        "counts": [
            {
                "counter": one.counter,
                "verdict": one.verdict,
                "times": one.times,
                "counted": one.counted,
                "not_listed": one.times - listed[one.counter, one.verdict],
            }
            for one in counts
        ],
        "rows": told,
    }


def decisions_of(one: Facts, facts: Facts, most: int | None) -> Iterator[RenderableType]:
    """The decisions of a pedigree as tables."""
    found = one["decisions"]
    if found is None:
        return
    ends = f"{clock_of(found['start'], facts)} – {clock_of(found['end'], facts)}"
    if found["from"] > found["start"]:
        since = clock(found["from"], facts["timezone"], facts["window"]["start"])
        yield Text(f"decisions about counters are held from {since} on", "dim")
    if not found["rows"]:
        if found["from"] < found["end"]:
            since = f"{clock_of(found['from'], facts)} – {clock_of(found['end'], facts)}"
            yield Text(f"decisions about counters, {since}: none, every reading counted on from the one before", "dim")
        return
    summed = table_of(f"Decisions about counters, {ends}", ("Counter", "Judged"), right=("Times", "Counted"))
    for row in found["counts"]:
        summed.add_row(
            row["counter"], _words(row["verdict"]), f"{row['times']:,}", decimal(row["counted"], _MILLIONTHS)
        )
    yield summed
    shown = found["rows"] if most is None else found["rows"][:most]
    table = table_of("", ("At",), right=("Reading", "Before", "Counted"), then=("Counter", "Judged"))
    for row in shown:
        gap = ", a rise after a gap" if row["after_gap"] and row["verdict"] != "after_gap" else ""
        several = f", {row['times']:,} readings of this minute" if row["times"] > 1 else ""
        table.add_row(
            clock_of(row["at"], facts),
            *(_DASH if row[name] is None else f"{row[name]:.15g}" for name in ("reading", "before")),
            decimal(row["counted"], _MILLIONTHS),
            row["counter"],
            _words(row["verdict"]) + gap + several,
        )
    yield table
    yield from _older(found, len(shown))


def _older(found: Facts, shown: int) -> Iterator[RenderableType]:
    """How many decisions are not shown, by verdict."""
    rest: Counter[str] = Counter()
    for row in found["counts"]:
        rest[row["verdict"]] += row["not_listed"]
    for row in found["rows"][shown:]:
        rest[row["verdict"]] += row["times"]
    words = ", ".join(f"{_words(verdict)} {times:,}" for verdict, times in sorted(rest.items()) if times)
    if words:
        yield Text(f"  … and older ones: {words}; `edge-agent export --decisions` writes all", "dim")


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")
