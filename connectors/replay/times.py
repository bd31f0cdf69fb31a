"""Times as files write them to ns since the epoch, UTC.

Rule 1: a time says its zone (offset, Z, epoch), or it is by the wall clock of the zone that is given.
Rule 2: in the hour that the clocks repeat in autumn, order tells: within a tag, and across all tags where the file is
in the order of time, the first pass is summer time, and after a step back it is winter time. Both are counted.
Rule 3: numbers tell their unit by their size: from 1973 on, seconds, ms, µs and ns of the epoch do not overlap. A
number between 20 000 and 80 000 is a day of a spreadsheet (1954 to 2119), by the wall clock.
Rule 4: 03/04/2025 is not guessed: one cell of the file must show which is the day, or the operator says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from connectors.replay.clock_steps import ClockSteps
from connectors.samples import Int64

Bool = npt.NDArray[np.bool_]

_FAR: Final = 4_102_444_800_000_000_000
"""2100: later local times are in the future wherever the clock stands, and offsets of centuries are not looked up."""

EARLIEST: Final = 315_532_800_000_000_000
"""1980: what is older is a clock that was never set, or an empty cell read as 0."""

_QUARTER_NS: Final = 900_000_000_000
_DAY_NS: Final = 86_400_000_000_000
_NO_OFFSET: Final = np.iinfo(np.int64).min
_SPREADSHEET_EPOCH_DAYS: Final = 25_569  # 1970-01-01 in days since 1899-12-30

_DATES: Final = (
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"\d{4}年\d{1,2}月\d{1,2}日", "%Y年%m月%d日"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", "%d.%m.%y"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", "%d-%b-%Y"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", "%d-%b-%y"),
)
_SLASHES: Final = re.compile(r"(\d{1,2})[/-](\d{1,2})([/-])(\d{4}|\d{2})(?=\D|$)")
_CLOCKS: Final = (
    ("%H:%M:%S%.f", r"\d:\d\d:\d\d"),
    ("%H:%M:%S:%3f", r"\d:\d\d:\d\d:\d{3}"),
    ("%I:%M:%S%.f %p", r":\d\d(\.\d+)? [AaPp][Mm]"),
    ("%I:%M %p", r"\d:\d\d [AaPp][Mm]"),
    ("%H:%M", r"\d:\d\d"),
)
"""Formats of the time of day, and what a cell must show for one to be tried."""

_NUMBER: Final = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")


class AmbiguousDatesError(ValueError):
    """Which of two numbers is the day cannot be told from the file."""


class TimeReader:
    """Reads one file's time column. zone: IANA name. told: a strptime format, where it is given.

    sample: cells of the column's beginning, to find out how it writes times.
    repeated: how many times lay in the repeated hour so far.
    Raises AmbiguousDatesError (rule 4).
    """

    def __init__(self, zone: str, told: str | None, sample: Iterable[str]) -> None:
        self._local = LocalTimes(zone)
        cells = [cell.strip() for cell in sample if cell and cell.strip()]
        self._t = told is None and any(re.match(r"[\d./年月日-]+T\d", cell) for cell in cells)
        self._comma = told is None and any(re.search(r":\d\d,\d", cell) for cell in cells)
        self._formats = (told,) if told else _formats([self._simple(cell) for cell in cells])

    def _simple(self, cell: str) -> str:
        cell = cell.replace("T", " ", 1) if self._t else cell
        return cell.replace(",", ".", 1) if self._comma else cell

    @property
    def repeated(self) -> int:
        """How many times lay in a repeated hour so far, told apart by their order."""
        return self._local.repeated

    @property
    def clock_step(self) -> tuple[int, int] | None:
        """Local times (ns) before and after the first step back that is no clock change of the zone; None: none."""
        return self._local.steps.first

    def read(self, column: pl.Series, tag: npt.NDArray[np.signedinteger]) -> tuple[Int64, Bool, Bool]:
        """(time, unreadable, nonexistent), shapes (n,). tag: of each row, for what order tells; time 0 where none."""
        if isinstance(column.dtype, pl.Datetime):
            return self._of_datetimes(column, tag)
        if column.dtype == pl.Date:
            return self._of_datetimes(column.cast(pl.Datetime("ns")), tag)
        if column.dtype.is_numeric():
            return self._of_numbers(column, tag)
        return self._of_texts(column.cast(pl.String), tag)

    def _of_datetimes(self, column: pl.Series, tag: npt.NDArray[np.signedinteger]) -> tuple[Int64, Bool, Bool]:
        zone = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
        factor = {"ns": 1, "us": 1000, "ms": 1_000_000}[column.dtype.time_unit]  # type: ignore[attr-defined]
        physical = column.to_physical()
        unreadable = physical.is_null().to_numpy()
        plain: Int64 = physical.fill_null(0).to_numpy()
        beyond = np.abs(plain) > np.iinfo(np.int64).max // factor
        if beyond.any():
            plain, unreadable = np.where(beyond, 0, plain), unreadable | beyond
        time = plain if factor == 1 else plain * factor
        return self._checked(time, unreadable, np.zeros(len(time), np.bool_) if zone else ~unreadable, tag)

    def _of_numbers(self, column: pl.Series, tag: npt.NDArray[np.signedinteger]) -> tuple[Int64, Bool, Bool]:
        if column.dtype.is_integer():
            unreadable = column.is_null().to_numpy()
            number = column.fill_null(0).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
            size = np.abs(number)
            factor = np.select(
                [size >= 10**17, size >= 10**14, size >= 10**11, size >= 10**8], [1, 10**3, 10**6, 10**9], 0
            )
            time = number * factor
            day = number.astype(np.float64)
        else:
            real = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            unreadable = ~np.isfinite(real) | (np.abs(real) > 9e18)
            day = np.where(unreadable, 0.0, real)
            size = np.abs(day)
            factor = np.select([size >= 1e17, size >= 1e14, size >= 1e11, size >= 1e8], [1, 10**3, 10**6, 10**9], 0)
            whole = np.floor(day)
            # a float holds today's epoch to some 200 ns; more digits than it has would be noise
            time = whole.astype(np.int64) * factor + (np.rint((day - whole) * 1e6) * (factor / 1e6)).astype(np.int64)
        spreadsheet = (factor == 0) & (day >= 20_000) & (day < 80_000)
        if spreadsheet.any():
            days = np.where(spreadsheet, day, 0.0) - _SPREADSHEET_EPOCH_DAYS
            time = np.where(spreadsheet, np.rint(days * 86_400_000).astype(np.int64) * 1_000_000, time)
        unreadable = unreadable | ((factor == 0) & ~spreadsheet)
        return self._checked(time, unreadable, spreadsheet & ~unreadable, tag)

    def _of_texts(self, column: pl.Series, tag: npt.NDArray[np.signedinteger]) -> tuple[Int64, Bool, Bool]:
        text = column.str.strip_chars()
        text = text.str.replace("T", " ", literal=True) if self._t else text
        text = text.str.replace(",", ".", literal=True) if self._comma else text
        count = len(text)
        time, done, local = np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        left = np.arange(count)
        for form in self._formats:
            if not len(left):
                break
            part = text if len(left) == count else text.gather(left)
            read, is_local = _parsed(part, form)
            got = read.is_not_null().to_numpy()
            at = left[got]
            time[at] = read.fill_null(0).to_numpy()[got]
            done[at], local[at] = True, is_local
            left = left[~got]
        if len(left) and not done.all():
            number = text.gather(left).str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
            whole = text.gather(left).cast(pl.Int64, strict=False)
            self._numbers_into(number, whole, left, time, done, local)
        return self._checked(time, ~done, local, tag)

    def _numbers_into(
        self, number: pl.Series, whole: pl.Series, left: Int64, time: Int64, done: Bool, local: Bool
    ) -> None:
        """Numbers among texts: epochs and days of a spreadsheet."""
        nothing = np.zeros(len(left), np.int32)
        for column in (whole, number):
            ns, unreadable, _ = TimeReader("UTC", "", ()).read(column, nothing)
            got = ~unreadable & ~done[left]
            at, values = left[got], number.fill_null(0.0).to_numpy()[got]
            time[at], done[at] = ns[got], True
            local[at] = (values >= 20_000) & (values < 80_000)

    def _checked(
        self, time: Int64, unreadable: Bool, local: Bool, tag: npt.NDArray[np.signedinteger]
    ) -> tuple[Int64, Bool, Bool]:
        unreadable = unreadable | (time < EARLIEST)
        nonexistent = np.zeros(len(time), np.bool_)
        local = local & ~unreadable & (time < _FAR)
        if local.all() and len(local):
            time, nonexistent = self._local.utc(time, tag)
        elif local.any():
            time = time.copy()
            time[local], nonexistent[local] = self._local.utc(time[local], tag[local])
        return time, unreadable, nonexistent


class LocalTimes:
    """Wall clock to UTC for one file.

    repeated: how many times lay in a repeated hour so far. steps: where times step back, but for those.
    """

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._base = 0
        self._offsets = np.empty((2, 0), np.int64)  # by local quarter hour: at its first pass, and at its second
        self.repeated = 0
        self.steps = ClockSteps()
        self._in_order = True
        self._last = _NO_OFFSET
        self._seen: dict[tuple[int, int], tuple[int, bool]] = {}  # (night, tag) → last wall time, whether winter

    def utc(self, wall: Int64, tag: npt.NDArray[np.signedinteger]) -> tuple[Int64, Bool]:
        """(UTC time, whether there is no such time), shapes (n,). wall: ns as if it were UTC, at least one."""
        quarter = wall // _QUARTER_NS
        self._know(quarter)
        place = quarter - self._base
        first, second = self._offsets[0, place], self._offsets[1, place]
        time = wall - first
        nonexistent = first == _NO_OFFSET
        twice = np.flatnonzero(~nonexistent & (first != second))
        self._note_order(wall, tag, twice)
        if len(twice):
            self.repeated += len(twice)
            winter = self._winter(wall[twice], tag[twice])
            time[twice[winter]] = (wall - second)[twice[winter]]
        time[nonexistent] = 0
        return time, nonexistent

    def _note_order(self, wall: Int64, tag: npt.NDArray[np.signedinteger], twice: npt.NDArray[np.intp]) -> None:
        """Whether the file is in the order of time so far, but for the repeated hours."""
        plain = wall if not len(twice) else np.delete(wall, twice)
        if len(plain):
            self.steps.add(plain, tag if not len(twice) else np.delete(tag, twice))
            self._in_order = self._in_order and bool(plain[0] >= self._last and (np.diff(plain) >= 0).all())
            self._last = int(plain[-1])

    def _winter(self, wall: Int64, tag: npt.NDArray[np.signedinteger]) -> Bool:
        winter = np.zeros(len(wall), np.bool_)
        for row, (at, owner) in enumerate(zip(wall.tolist(), tag.tolist(), strict=True)):
            key = (at // _DAY_NS, -1 if self._in_order else owner)
            last, is_winter = self._seen.get(key, (at, False))
            is_winter = is_winter or at < last
            self._seen[key] = (at, is_winter)
            winter[row] = is_winter
        return winter

    def _know(self, quarter: Int64) -> None:
        """Extend the table of offsets to all quarters that occur."""
        low, high = int(quarter.min()), int(quarter.max()) + 1
        if not self._offsets.shape[1]:
            self._base = low
        first, end = self._base, self._base + self._offsets.shape[1]
        before = self._looked_up(range(low, first))
        after = self._looked_up(range(end, high))  # what lies between too: a quarter's place is its distance
        if before.shape[1] or after.shape[1]:
            self._offsets = np.concatenate([before, self._offsets, after], axis=1)
            self._base = min(first, low)

    def _looked_up(self, quarters: range) -> Int64:
        """Offsets of local quarters. A day that has one offset is looked up once."""
        table = np.empty((2, len(quarters)), np.int64)
        place = 0
        while place < len(quarters):
            quarter = quarters[place]
            whole_day = 96 - quarter % 96
            ends = (self._of(quarter), self._of(quarter + whole_day - 1))
            same = ends[0] == ends[1] and ends[0][0] == ends[0][1] and self._of(quarter + whole_day // 2) == ends[0]
            count = whole_day if same else 1
            table[:, place : place + count] = np.array(ends[0], np.int64)[:, None]
            place += count
        return table

    def _of(self, quarter: int) -> tuple[int, int]:
        wall = datetime(1970, 1, 1) + timedelta(seconds=quarter * 900)  # noqa: DTZ001 - a wall clock
        offsets = []
        for fold in (0, 1):
            at = wall.replace(tzinfo=self._zone, fold=fold)
            offset = at.utcoffset() or timedelta()
            offsets.append(int(offset.total_seconds()) * 1_000_000_000)
        if offsets[0] < offsets[1]:  # the clocks jump over it
            return _NO_OFFSET, _NO_OFFSET
        return offsets[0], offsets[1]


def _parsed(text: pl.Series, form: str) -> tuple[pl.Series, bool]:
    """Int64 ns, null where the format does not fit, and whether they are by the wall clock."""
    try:
        read = text.str.to_datetime(form, time_unit="ns", strict=False)
    except pl.exceptions.PolarsError:  # a format without a time of day
        try:
            read = text.str.to_date(form, strict=False).cast(pl.Datetime("ns"))
        except pl.exceptions.PolarsError:
            return pl.Series([None] * len(text), dtype=pl.Int64), True
    return read.to_physical(), read.dtype.time_zone is None  # type: ignore[attr-defined]


def _formats(cells: list[str]) -> tuple[str, ...]:
    """The formats that the cells may have, after `T` and comma were taken out of them."""
    dates = [form for pattern, form in _DATES if any(re.match(rf"{pattern}(?!\d)", cell) for cell in cells)]
    dates += _slashed(cells)
    texts = [cell for cell in cells if not _NUMBER.fullmatch(cell)]
    zones = [
        zone
        for zone, pattern in (("%#z", r":\d\d\S*?(Z|[+-]\d\d(:?\d\d)?)$"), (" %#z", r"\s(Z|[+-]\d\d(:?\d\d)?)$"))
        if any(re.search(pattern, cell) for cell in texts)
    ]
    clocks = [clock for clock, pattern in _CLOCKS if any(re.search(pattern, cell) for cell in texts)]
    return (*(f"{date} {clock}{zone}" for date, clock, zone in product(dates, clocks, [*zones, ""])), *dates)


def _slashed(cells: list[str]) -> list[str]:
    """`%d/%m/%Y` or `%m/%d/%Y`, by a cell that can only be one of them."""
    found = [match for match in map(_SLASHES.match, cells) if match]
    if not found:
        return []
    sign = found[0][3]
    year = "%Y" if len(found[0][4]) == 4 else "%y"
    day_first = any(int(match[1]) > 12 for match in found)
    month_first = any(int(match[2]) > 12 for match in found)
    if day_first == month_first:
        raise AmbiguousDatesError(
            f"whether `{found[0][0]}` begins with the day or the month cannot be told; "
            f"say it, as in `--time-format '%d{sign}%m{sign}{year} %H:%M:%S'`"
        )
    return [f"%d{sign}%m{sign}{year}" if day_first else f"%m{sign}%d{sign}{year}"]
