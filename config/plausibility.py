"""How fast a piece counter may rise where the file does not say so: what its machine is planned to make.

Rule: generous, since a count that is thrown away wrongly is worse than a jump that shows. A rise is not believed where
it is more than an hour's planned pieces above what twice the planned speed gives in the time since the last reading.
Weighed: no limit unless one is given. A register that is loaded with another number would then be counted as pieces,
and one such reading makes the OEE of a shift a million percent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kpi.plant import Counter, Machine

_FASTER_THAN_PLANNED: Final = 2.0
_AT_ONCE_SECONDS: Final = 3600.0


def with_plausible_counters(machine: Machine) -> Machine:
    """The machine with a limit on each piece counter that has none, where a planned run time per item is known."""
    ideals = [*machine.ideal_ns.values(), *(() if machine.default_ideal_ns is None else (machine.default_ideal_ns,))]
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
