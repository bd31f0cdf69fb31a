"""Samples to elements: the live engine, a fold over minutes.

(The contract of the first commit; the fold itself follows.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from kpi.plant import Plant


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What an advance changed.

    elements: key columns `kpi.elements.KEYS` and one Int64 column per element id; rows replace rows of the same
        (machine, time): all rows of each (machine, time) that occurs are given anew.
    intervals: machine Int32, start Int64, end Int64, state Int32 (`State`), product Int32; intervals cut at minute
        edges; they replace all intervals of each (machine, minute) that occurs in `elements`.
    faults: count of each engine decision since the last update: `duplicate`, `conflict` (two values at one time),
        `out_of_order`, `beyond_horizon`, `counter_reset`, `counter_rollover`, `counter_step_back`, `unmapped_state`.
    """

    elements: pl.DataFrame
    intervals: pl.DataFrame
    faults: Mapping[str, int] = field(default_factory=dict)


class Engine:
    """Minute elements of all machines, from samples in any order.

    horizon_ns: how far behind the watermark a sample may be and still correct what was said.
    """

    def __init__(self, plant: Plant, *, horizon_ns: int) -> None:
        raise NotImplementedError

    def add(
        self,
        tag: npt.NDArray[np.int32],
        time: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        quality: npt.NDArray[np.uint8],
    ) -> None:
        """Take on samples, parallel columns of shape (n,), in any order; values are scaled. Cheap."""
        raise NotImplementedError

    def uses(self, tag: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which of the tags, shape (n,), the engine needs: only these are to be kept for a restart."""
        raise NotImplementedError

    def advance(self, watermark: int) -> Update:
        """Close all minutes that end at or before the watermark (ns); correct closed ones that late samples touch."""
        raise NotImplementedError

    def provisional(self, now: int) -> Update:
        """Rows of the open minutes as they stand at `now` (ns); changes nothing."""
        raise NotImplementedError

    @property
    def keep_from(self) -> int:
        """Samples before this time (ns) are in the checkpoint; those at or after it must be added again on restart."""
        raise NotImplementedError

    def checkpoint(self) -> bytes:
        """The state at `keep_from`; restored and given the samples since, an engine goes on as this one would."""
        raise NotImplementedError

    @classmethod
    def restore(cls, plant: Plant, checkpoint: bytes, *, horizon_ns: int) -> Engine:
        """An engine from a checkpoint. Raises ValueError where the checkpoint cannot be read."""
        raise NotImplementedError
