"""Time between the first and the last sample of the files that none of them covers: for all machines, and for some.

Rule: to a quarter of an hour, and only what is as long as the gap; a shorter silence counts as covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from connectors.replay import Run, united


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A time [start, end), ns, of which no file speaks. machines: ids of those it is of; empty where it is of all."""

    start: int
    end: int
    machines: tuple[str, ...] = ()


def not_covered(runs: Mapping[str, Sequence[Run]], gap_ns: int) -> list[NotCovered]:
    """What is not covered: first of all machines, then of some of them, in order of time.

    runs: machine → its covered time, ascending, at least one run each.
    """
    covered = united([run for mine in runs.values() for run in mine])
    if not covered:
        return []
    whole = Run(covered[0].start, covered[-1].end)
    of_some: dict[Run, list[str]] = {}
    for machine, mine in runs.items():
        for silence in _silences(mine, whole):
            for run in covered:
                start, end = max(run.start, silence.start), min(run.end, silence.end)
                if end - start >= gap_ns:
                    of_some.setdefault(Run(start, end), []).append(machine)
    of_all = [NotCovered(one.start, one.end) for one in _silences(covered, whole)]
    parts = [NotCovered(run.start, run.end, tuple(machines)) for run, machines in of_some.items()]
    return of_all + sorted(parts, key=lambda one: one.start)


def _silences(runs: Sequence[Run], whole: Run) -> list[Run]:
    """What lies between runs within the whole."""
    edges = [Run(whole.start, whole.start), *runs, Run(whole.end, whole.end)]
    return [Run(one.end, following.start) for one, following in pairwise(edges) if following.start > one.end]
