"""What will happen when: the queue of the discrete-event simulation.

Rule: an instant is one transaction. All that is due at one millisecond is done, then the lines settle, and only then
is anything said; so no machine ever has two conditions at one time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

Action = Callable[[int], None]
"""Called with the time, in ms, at which it was due."""


class Agenda:
    """Actions in order of time, and for one time in the order they were planned."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Action]] = []
        self._planned = 0

    def plan(self, at: int, action: Action) -> None:
        """Do `action` at `at`."""
        self._planned += 1
        heappush(self._heap, (at, self._planned, action))

    @property
    def next(self) -> int:
        """The time of the next action. The agenda is never empty: readings are taken for ever."""
        return self._heap[0][0]

    def do_all_at(self, at: int) -> None:
        """Do everything that is due at `at`, including what that plans for the same time."""
        while self._heap and self._heap[0][0] == at:
            heappop(self._heap)[2](at)
