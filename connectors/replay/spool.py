"""Samples in the order of time, whatever order they come in, in bounded memory: sorted parts in a folder, merged.

Rule: a part is in order in itself; reading a stretch loads the parts that reach into it and lets go of them after.

Weighed for files that are in order already: to read them twice (once to see what is in them, once to replay), or to
keep what was read once. Reading twice needs no disk, but decodes every text and looks up every tag twice, and a file
may change in between. Keeping won: 4 bytes of disk a sample, and one way for all formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from connectors.samples import SampleBatch

MOST_WAITING: Final = 2_000_000
"""Samples that are sorted in one go: 42 MB, and about as much again while they are."""

PART_SAMPLES: Final = 131_072


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    first: int
    last: int


class Spool:
    """Takes samples in any order and gives them back in order of time. folder: for the parts; they are removed as read.

    number: tells spools of one folder apart. Raises OSError where the folder cannot take more.
    """

    def __init__(self, folder: Path, number: int = 0, *, most_waiting: int = MOST_WAITING) -> None:
        self._folder = folder
        self._number = number
        self._most_waiting = most_waiting
        self._waiting: list[SampleBatch] = []
        self._count = 0
        self._parts: list[_Part] = []
        self._held: list[SampleBatch] = []
        self._made = 0

    def add(self, batch: SampleBatch) -> None:
        """Take on samples."""
        self._waiting.append(batch)
        self._count += len(batch)
        if self._count >= self._most_waiting:
            self._write()

    def close(self) -> None:
        """No more samples will come; to be called before `until`."""
        self._write()
        self._parts.sort(key=lambda part: -part.first)

    def until(self, end: int) -> SampleBatch:
        """All samples before `end` (ns) that were not given yet, in order of time; of one time as they came in."""
        ready = self._held
        while self._parts and self._parts[-1].first < end:
            ready.append(_read(self._parts.pop()))
        now: list[SampleBatch] = []
        self._held = []
        for batch in ready:
            cut = int(np.searchsorted(batch.time, end))
            if cut:
                now.append(_cut(batch, 0, cut))
            if cut < len(batch):
                self._held.append(_cut(batch, cut, len(batch)))
        return _sorted(SampleBatch.concat(now))

    def _write(self) -> None:
        if not self._count:
            return
        batch = _sorted(SampleBatch.concat(self._waiting))
        self._waiting, self._count = [], 0
        for start in range(0, len(batch), PART_SAMPLES):
            part = _cut(batch, start, min(start + PART_SAMPLES, len(batch)))
            path = self._folder / f"part-{self._number}-{self._made}.arrow"
            self._made += 1
            table = pl.DataFrame({"tag": part.tag, "time": part.time, "value": part.value, "quality": part.quality})
            table.write_ipc(path, compression="lz4")
            self._parts.append(_Part(path, int(part.time[0]), int(part.time[-1])))


def _read(part: _Part) -> SampleBatch:
    with part.path.open("rb") as file:
        table = pl.read_ipc(file)
    part.path.unlink()
    return SampleBatch(
        table["tag"].to_numpy(), table["time"].to_numpy(), table["value"].to_numpy(), table["quality"].to_numpy()
    )


def _cut(batch: SampleBatch, start: int, end: int) -> SampleBatch:
    return SampleBatch(batch.tag[start:end], batch.time[start:end], batch.value[start:end], batch.quality[start:end])


def _sorted(batch: SampleBatch) -> SampleBatch:
    if len(batch) < 2 or bool((batch.time[1:] >= batch.time[:-1]).all()):
        return batch
    order = np.argsort(batch.time, kind="stable")
    return SampleBatch(batch.tag[order], batch.time[order], batch.value[order], batch.quality[order])
