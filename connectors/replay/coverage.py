"""When there is history of whom: which quarter hours have samples, and the runs of time that files cover.

Rule: memory grows with the time covered, not with the samples in it: a byte a quarter hour and machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.samples import Int32, Int64

QUARTER_NS: Final = 900_000_000_000
_PAGE: Final = 4096  # quarters: six weeks


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch [start, end), ns, in whole quarter hours, in which something was heard of a group again and again."""

    start: int
    end: int


class Presence:
    """Which quarter hours each of `groups` groups has samples in, and how many samples there are in each quarter."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self._pages: dict[int, npt.NDArray[np.bool_]] = {}
        self._counts: dict[int, Int64] = {}

    def add(self, group: Int32, time: Int64) -> None:
        """Take on samples, at least one; group -1 counts, but is nobody's."""
        quarter = time // QUARTER_NS
        first, last = int(quarter.min()) // _PAGE, int(quarter.max()) // _PAGE
        if first == last:
            self._add_page(first, group, quarter - first * _PAGE)
            return
        page = quarter // _PAGE
        for one in np.unique(page).tolist():
            mine = page == one
            self._add_page(one, group[mine], quarter[mine] - one * _PAGE)

    def _add_page(self, page: int, group: Int32, slot: Int64) -> None:
        if page not in self._pages:
            self._pages[page] = np.zeros((self.groups, _PAGE), np.bool_)
            self._counts[page] = np.zeros(_PAGE, np.int64)
        self._counts[page] += np.bincount(slot, minlength=_PAGE)
        if (group < 0).any():
            group, slot = group[group >= 0], slot[group >= 0]
        self._pages[page].reshape(-1)[group * np.int64(_PAGE) + slot] = True

    def runs(self, group: int, gap_ns: int) -> list[Run]:
        """The group's runs: quarters with samples, joined over silences shorter than the gap."""
        return _joined(self._quarters(self._pages, group), gap_ns)

    def longest_silence(self, group: int) -> int:
        """The longest time (ns, at most half an hour too much) between two samples of the group; 0 for one or none."""
        quarters = self._quarters(self._pages, group)
        return int(np.diff(quarters).max() + 1) * QUARTER_NS if len(quarters) > 1 else 0

    def counts(self) -> tuple[Int64, Int64]:
        """(start, samples) of every quarter hour that has any, ascending; ns."""
        parts = [np.flatnonzero(self._counts[page]) + page * _PAGE for page in sorted(self._counts)]
        counts = [self._counts[page][self._counts[page] > 0] for page in sorted(self._counts)]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(parts).astype(np.int64) * QUARTER_NS, np.concatenate(counts)

    def _quarters(self, pages: dict[int, npt.NDArray[np.bool_]], group: int) -> Int64:
        if group >= self.groups:
            return np.empty(0, np.int64)
        parts = [np.flatnonzero(pages[page][group]) + page * _PAGE for page in sorted(pages)]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def _joined(quarters: Int64, gap_ns: int) -> list[Run]:
    if not len(quarters):
        return []
    breaks = np.flatnonzero((np.diff(quarters) - 1) * QUARTER_NS >= gap_ns)
    first = quarters[np.append(0, breaks + 1)]
    last = quarters[np.append(breaks, len(quarters) - 1)]
    return [Run(int(a) * QUARTER_NS, (int(b) + 1) * QUARTER_NS) for a, b in zip(first, last, strict=True)]


def united(runs: list[Run]) -> list[Run]:
    """Runs of several groups as stretches in which any of them runs, ascending."""
    whole: list[Run] = []
    for run in sorted(runs, key=lambda one: one.start):
        if whole and run.start <= whole[-1].end:
            whole[-1] = Run(whole[-1].start, max(whole[-1].end, run.end))
        else:
            whole.append(run)
    return whole
