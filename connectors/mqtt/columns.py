"""The columns that messages are written into, and that a take hands over as a batch.

A value costs three appends to typed arrays and no object of its own. What is rare, a BAD value, is kept as a list of
positions; NaN and infinity are found over the whole column when it is taken, not value by value.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

import numpy as np

from connectors.samples import Quality, SampleBatch


class Columns:
    """Samples on their way to the next take."""

    __slots__ = ("_bad", "tag", "time", "value")

    def __init__(self) -> None:
        self.tag = array("i")
        self.time = array("q")
        self.value = array("d")
        self._bad: list[int] = []

    def __len__(self) -> int:
        return len(self.value)

    def add(self, tag: int, time: int, value: float) -> None:
        """One sample. A value that is not finite is delivered as BAD. Raises TypeError and OverflowError, adding
        nothing, where the value is no number or too large for a float64."""
        self.value.append(value)
        self.tag.append(tag)
        self.time.append(time)

    def add_bad(self, tag: int, time: int) -> None:
        """One sample without a value, its fault already counted."""
        self._bad.append(len(self.value))
        self.add(tag, time, math.nan)

    def cut(self, length: int) -> None:
        """Forget what was added beyond `length`, also what was added in part."""
        del self.tag[length:], self.time[length:], self.value[length:]
        self._bad = [at for at in self._bad if at < length]

    def take(self, not_finite: Callable[[int, float], None]) -> SampleBatch:
        """All samples since the last call. `not_finite(tag, value)` is told of each NaN and infinity that was sent."""
        if not self.value:
            return SampleBatch.empty()
        batch = SampleBatch(
            np.frombuffer(self.tag, np.int32),
            np.frombuffer(self.time, np.int64),
            np.frombuffer(self.value, np.float64),
            np.zeros(len(self.value), np.uint8),
        )
        bad, self._bad = self._bad, []
        # The batch keeps the arrays; new ones take what comes next.
        self.tag, self.time, self.value = array("i"), array("q"), array("d")
        finite = np.isfinite(batch.value)
        if not finite.all():
            finite[bad] = True
            for at in np.flatnonzero(~finite):
                not_finite(int(batch.tag[at]), float(batch.value[at]))
            finite[bad] = False
            batch.value[~finite] = np.nan
            batch.quality[~finite] = Quality.BAD
        return batch
