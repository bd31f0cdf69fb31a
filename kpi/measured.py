"""Measured values to additive statistics, from which capability indices of any window follow.

Rule 1: values are taken from the nominal, so that squares do not swamp the differences that matter.
Rule 2: sums only: n, Σx, Σx² for the overall deviation; moving ranges between consecutive values, and squares within
each minute, for the deviation within. A minute is the rational subgroup: what is made in it is made alike.
Source: ISO 22514-2, ISO 22400-2 (Cm, Cmk, Cp, Cpk); domain rule: only good samples count.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from kpi.bindings import Bindings
from kpi.columns import GOOD, Columns, Float64, Int32, Int64
from kpi.elements import MINUTE_NS

MEASURED_SCHEMA: Final = pl.Schema(
    {
        "machine": pl.Int32,
        "time": pl.Int64,
        "characteristic": pl.Int32,
        "n": pl.Int64,
        "sum": pl.Float64,
        "sum_sq": pl.Float64,
        "moving_range_n": pl.Int64,
        "moving_range_sum": pl.Float64,
        "within_df": pl.Int64,
        "within_ss": pl.Float64,
    }
)
"""machine: index; time: minute, ns; characteristic: index in the machine's `characteristics`; sums of the values minus
the nominal, in the characteristic's unit."""


def statistics(bindings: Bindings, samples: Columns, machines: Int32, start: int, end: int) -> pl.DataFrame:
    """Statistics of each characteristic and minute that has values, as `MEASURED_SCHEMA`.

    samples: sorted by (tag, time), with the last one of each tag before the start, which only starts a moving range.
    """
    wanted = np.zeros(bindings.machines, np.bool_)
    wanted[machines] = True
    owner = bindings.characteristic_machine[samples.tag]
    mine = np.flatnonzero((owner >= 0) & wanted[owner] & (samples.quality == GOOD) & (samples.time < end))
    if not len(mine):
        return pl.DataFrame(schema=MEASURED_SCHEMA)
    tag, time = samples.tag[mine], samples.time[mine]
    value = samples.value[mine] - bindings.characteristic_nominal[tag]
    moves = np.zeros(len(mine), np.bool_)
    moves[1:] = tag[1:] == tag[:-1]
    moving_range = np.abs(np.diff(value, prepend=value[0]))
    inside = time >= start
    tag, time, value = tag[inside], time[inside], value[inside]
    moves, moving_range = moves[inside], moving_range[inside]
    if not len(tag):
        return pl.DataFrame(schema=MEASURED_SCHEMA)
    minute = time - time % MINUTE_NS
    new = np.ones(len(tag), np.bool_)
    new[1:] = (tag[1:] != tag[:-1]) | (minute[1:] != minute[:-1])
    row = np.cumsum(new) - 1
    n = np.bincount(row)
    total = np.bincount(row, weights=value)
    deviation = value - (total / n)[row]
    return pl.DataFrame(
        {
            "machine": bindings.characteristic_machine[tag[new]],
            "time": minute[new],
            "characteristic": bindings.characteristic_index[tag[new]],
            "n": n,
            "sum": total,
            "sum_sq": _summed(row, value * value),
            "moving_range_n": np.bincount(row, weights=moves).astype(np.int64),
            "moving_range_sum": _summed(row, np.where(moves, moving_range, 0.0)),
            "within_df": n - 1,
            "within_ss": _summed(row, deviation * deviation),
        },
        schema=MEASURED_SCHEMA,
    )


def _summed(row: Int64, amount: Float64) -> Float64:
    summed: Float64 = np.bincount(row, weights=amount).astype(np.float64)
    return summed
