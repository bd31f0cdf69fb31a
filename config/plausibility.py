"""How fast a piece counter may rise, and how long it may stand still, where the file does not say so: by what its
machine is planned to make.

Rule: generous, since a count that is thrown away wrongly is worse than a jump that shows. A rise is not believed where
it is more than an hour's planned pieces above what twice the planned speed gives in the time since the last reading.
Weighed: no limit unless one is given. A register that is loaded with another number would then be counted as pieces,
and one such reading makes the OEE of a shift a million percent.

A counter may stand still through 20 of the longest planned run times of production, and through 20 minutes at least:
some are read every quarter of an hour only. Where no run time is known, a stuck counter cannot be told from a long
cycle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kpi.plant import Counter, Machine

_FASTER_THAN_PLANNED: Final = 2.0
_AT_ONCE_SECONDS: Final = 3600.0
_CYCLES_IN_SILENCE: Final = 20
_SILENCE_NS: Final = 20 * 60 * 1_000_000_000


def with_plausible_counters(machine: Machine) -> Machine:
    """The machine with a limit on each piece counter that has none, where a planned run time per item is known."""
    ideals = _ideals(machine)
    if not ideals:
        return machine
    planned = 1e9 / min(ideals)

    def limited(counter: Counter) -> Counter:
        if counter.event or counter.most_per_second is not None:
            return counter
        return replace(
            counter, most_per_second=_FASTER_THAN_PLANNED * planned, most_at_once=max(1.0, _AT_ONCE_SECONDS * planned)
        )

    return replace(machine, counters={quantity: limited(counter) for quantity, counter in machine.counters.items()})


def with_plausible_silence(machine: Machine) -> Machine:
    """The machine with a limit of how long its piece counters may stand still, where a run time per item is known."""
    ideals = _ideals(machine)
    return replace(machine, stuck_after_ns=max(_SILENCE_NS, _CYCLES_IN_SILENCE * max(ideals)) if ideals else None)


def _ideals(machine: Machine) -> list[int]:
    return [*machine.ideal_ns.values(), *(() if machine.default_ideal_ns is None else (machine.default_ideal_ns,))]
