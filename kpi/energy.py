"""Energy between any two instants, from meter readings or, where there is no meter, from power.

Rule 1: in whole milliwatt hours, so that the parts of an interval add up to it exactly, wherever it is cut.
Rule 2: what a meter counted between two readings is spread over the time between them; power holds until the next
sample, at most for the configured gap: a hole is a hole.
"""

from __future__ import annotations

import numpy as np

from kpi.columns import GOOD, Columns, Float64, Index, Int64, Series

_MWH_PER_KWH = 1e6
_NS_PER_HOUR = 3.6e12


class MeterEnergy:
    """Energy from meter readings (kWh). delta: what each reading added, kWh, from `counters.deltas`."""

    def __init__(self, readings: Series, delta: Float64) -> None:
        self._series = readings
        self._delta = np.rint(delta * _MWH_PER_KWH).astype(np.int64)
        self._total = np.cumsum(self._delta)

    def until(self, tag: Index, time: Int64) -> Int64:
        """Energy of each tag's meter until each time, mWh, from a zero that is the same for all times of one tag.

        Before its first reading and after its last one nothing is added.
        """
        readings = self._series.samples
        at = self._series.at(tag, time)
        energy = np.zeros(len(time), np.int64)
        known = at >= 0
        i = at[known]
        after = np.minimum(i + 1, len(readings) - 1)
        has_next = (after > i) & (readings.tag[after] == readings.tag[i])
        energy[known] = self._total[i]
        i, after = i[has_next], after[has_next]
        where = np.flatnonzero(known)[has_next]
        share = (time[where] - readings.time[i]) / (readings.time[after] - readings.time[i])
        energy[where] += np.rint(self._delta[after] * share).astype(np.int64)
        before = np.flatnonzero(~known & (tag >= 0))
        energy[before] = self._before_first(tag[before])
        return energy

    def _before_first(self, tag: Index) -> Int64:
        """The total at a tag's first reading: what stands before it, since that reading adds nothing itself."""
        readings = self._series.samples
        if not len(readings):
            return np.zeros(len(tag), np.int64)
        first = np.minimum(np.searchsorted(readings.tag, tag), len(readings) - 1)
        total: Int64 = np.where(readings.tag[first] == tag, self._total[first], 0)
        return total


class PowerEnergy:
    """Energy from power (kW). samples hold until the next, at most most_gap[tag] ns; a bad one ends what held."""

    def __init__(self, samples: Series, most_gap: Int64) -> None:
        self._series = samples
        self._gap = most_gap
        columns = samples.samples
        held = np.zeros(len(columns), np.int64)
        held[:-1] = np.where(columns.tag[1:] == columns.tag[:-1], columns.time[1:] - columns.time[:-1], 0)
        self._before = np.cumsum(np.append(0, self._energy(columns, np.arange(len(columns)), held)))

    def until(self, tag: Index, time: Int64) -> Int64:
        """As `MeterEnergy.until`."""
        columns = self._series.samples
        at = self._series.at(tag, time)
        known = at >= 0
        i = at[known]
        energy = np.zeros(len(time), np.int64)
        energy[known] = self._before[i] + self._energy(columns, i, time[known] - columns.time[i])
        if len(columns):
            before = np.flatnonzero(~known & (tag >= 0))
            first = np.minimum(np.searchsorted(columns.tag, tag[before]), len(columns))
            energy[before] = self._before[first]
        return energy

    def _energy(self, columns: Columns, i: Index, held: Int64) -> Int64:
        power = np.where(columns.quality[i] == GOOD, np.nan_to_num(columns.value[i]), 0.0)
        held = np.minimum(held, self._gap[columns.tag[i]])
        energy: Int64 = np.rint(power * held * (_MWH_PER_KWH / _NS_PER_HOUR)).astype(np.int64)
        return energy
