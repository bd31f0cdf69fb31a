"""Samples in columns: what every connector delivers and everything behind it works on.

Rule: a value is never an object here. Four parallel arrays, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]


class Quality(IntEnum):
    """The source's verdict on a value: the severity bits of an OPC UA StatusCode (Part 4, 7.39)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """Samples of many tags in parallel columns of shape (n,), in arrival order.

    tag: int32, index into the tag table, which knows machine, signal, unit and scaling.
    time: int64, ns since the epoch, UTC, by the source's clock where it sends one.
    value: float64, as the source sent it, before scaling; Booleans are 0 and 1; texts are codes of `TextCodes`.
        NaN where there is no value, which only a BAD sample may have.
    quality: uint8, one of `Quality`.
    Raises ValueError when the columns differ in length.
    """

    tag: Int32
    time: Int64
    value: Float64
    quality: UInt8

    def __post_init__(self) -> None:
        lengths = {len(self.tag), len(self.time), len(self.value), len(self.quality)}
        if len(lengths) != 1:
            raise ValueError(f"the columns of a batch must be of one length, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.tag)

    @classmethod
    def empty(cls) -> SampleBatch:
        """A batch without samples."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8))

    @classmethod
    def of(
        cls,
        tag: Sequence[int],
        time: Sequence[int],
        value: Sequence[float],
        quality: Sequence[int] | None = None,
    ) -> SampleBatch:
        """A batch from plain sequences; every sample is GOOD where no quality is given."""
        return cls(
            np.asarray(tag, np.int32),
            np.asarray(time, np.int64),
            np.asarray(value, np.float64),
            np.zeros(len(tag), np.uint8) if quality is None else np.asarray(quality, np.uint8),
        )

    @classmethod
    def concat(cls, batches: Sequence[SampleBatch]) -> SampleBatch:
        """All samples of the batches, one after the other."""
        if not batches:
            return cls.empty()
        if len(batches) == 1:
            return batches[0]
        return cls(
            np.concatenate([b.tag for b in batches]),
            np.concatenate([b.time for b in batches]),
            np.concatenate([b.value for b in batches]),
            np.concatenate([b.quality for b in batches]),
        )

    def where(self, keep: npt.NDArray[np.bool_]) -> SampleBatch:
        """The samples for which `keep`, shape (n,), is true."""
        return SampleBatch(self.tag[keep], self.time[keep], self.value[keep], self.quality[keep])
