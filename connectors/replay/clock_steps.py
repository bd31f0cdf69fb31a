"""Where a file's local times step back as clocks do in autumn, in a zone whose clocks do not: it may be another zone.

Rule: clocks step back within an hour of the wall clock, by a good part of it, and a file that shows it has an order
otherwise, as a whole or tag by tag. A row that is a little late is no such step, nor is one tag after another in a file
of less than an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.samples import Int64

_HOUR_NS: Final = 3_600_000_000_000
_LEAST_NS: Final = 15 * 60_000_000_000
"""Clocks step back by half an hour or an hour; values that are rare show less of it."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Two local times of a file that follow each other, ns as if they were UTC."""

    file: str
    before: int
    after: int


class ClockSteps:
    """Looks for such a step in one file, piece by piece."""

    def __init__(self) -> None:
        self._begin: int | None = None
        self._first: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        self._has_order = True

    @property
    def first(self) -> tuple[int, int] | None:
        """(before, after) of the first step, local ns; None where there is none, or the file has no order."""
        return self._first if self._has_order else None

    def add(self, wall: Int64, tag: npt.NDArray[np.signedinteger]) -> None:
        """Take on local times, shape (n,), at least one, but for those of an hour that the zone repeats."""
        if self._begin is None:
            self._begin = int(wall[0])
        before, owner = np.roll(wall, 1), np.roll(tag, 1)
        before[0], owner[0] = self._last or (wall[0], tag[0])
        self._last = int(wall[-1]), int(tag[-1])
        back = np.flatnonzero(wall < before)
        if not len(back):
            return
        is_step = (wall[back] // _HOUR_NS == before[back] // _HOUR_NS) & (before[back] - wall[back] >= _LEAST_NS)
        is_new_tag = tag[back] != owner[back]
        is_late = before[back] - wall[back] < _LEAST_NS
        if not (is_step | is_new_tag | is_late).all():
            self._has_order = False
        found = back[is_step & (before[back] - self._begin >= _HOUR_NS)]
        if len(found) and self._first is None:
            self._first = int(before[found[0]]), int(wall[found[0]])
