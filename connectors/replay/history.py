"""Files of history as samples of the plant: read once, put in order of time, and given out stretch by stretch.

Rule 1: a row that is not as it should be is counted by name and never stops the others; nor does a file that cannot be
read, unless it is to be all or none. That none can is an error.
Rule 2: what each file was taken to be (layout, columns, separator, quality) is said, so that a wrong guess is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from connectors.replay.clock_steps import ClockStep
from connectors.replay.coverage import Presence
from connectors.replay.faults import HistoryFault, Tally, where
from connectors.replay.layout import Layout, TagNames, layout_of
from connectors.replay.settings import HistoryError, ReplaySettings, Role
from connectors.replay.spool import MOST_WAITING, Spool
from connectors.replay.text_files import PLACE, Piece, TextShape, pieces, shape_of
from connectors.replay.times import AmbiguousDatesError, TimeReader
from connectors.replay.values import ValueReader, decimal_of, quality_words
from connectors.samples import Float64, Int32, Int64, Quality, SampleBatch, UInt8
from connectors.texts import TextCodes

PIECE_ROWS: Final = 500_000
_NOT_LOOKED_UP: Final = -2
_HEAD_ROWS: Final = 2_000
_PARQUET_MAGIC: Final = b"PAR1"

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, of how much)."""


@dataclass(frozen=True, slots=True)
class FileNote:
    """What one file was taken to be. rows: lines or rows below the headings; samples: what they gave."""

    path: str
    form: str
    layout: str
    columns: dict[str, str]
    rows: int
    samples: int


@dataclass(slots=True, eq=False)
class Contents:
    """What the files hold.

    received: values that stood in them. count, first, last: int64 by tag, times in ns, 0 where a tag has none.
    has_value: bool by tag, whether the files hold a value of it that is not bad.
    unread: what could not be read, or not to its end. repeated: times within a repeated hour, told apart by their
    order. clock_steps: the first of each file that is no clock change of its zone. meters: presence of each meter,
    counted from 0.
    """

    tally: Tally
    presence: Presence
    meters: Presence
    count: Int64
    first: Int64
    last: Int64
    has_value: npt.NDArray[np.bool_]
    files: list[FileNote] = field(default_factory=list)
    unread: list[HistoryError] = field(default_factory=list)
    received: int = 0
    samples: int = 0
    repeated: int = 0
    clock_steps: list[ClockStep] = field(default_factory=list)
    _silence: int = 0
    _in_order: bool = True

    def meter_silence(self) -> int:
        """The longest time (ns) between two readings of a meter; up to half an hour more where files have no order."""
        if self._in_order:
            return self._silence
        return max((self.meters.longest_silence(meter) for meter in range(self.meters.groups)), default=0)

    def note_silences(self, meter: Int32, time: Int64, last: Int64) -> None:
        """Take on readings, at least one. last: by meter, time of its last reading so far, 0 where none; brought up."""
        order = np.argsort(meter, kind="stable")
        meter, time = meter[order], time[order]
        first = np.append(True, meter[1:] != meter[:-1])
        step = np.diff(time, prepend=0)
        step[first] = np.where(last[meter[first]] > 0, time[first] - last[meter[first]], 0)
        self._silence = max(self._silence, int(step.max()))
        self._in_order = self._in_order and int(step.min()) >= 0
        last[meter] = time

    def note_kept_readings(self, meter: Int32, time: Int64) -> None:
        """Take on readings of meters, at least one, that are not of these files: their order is not known."""
        self.meters.add(meter, time)
        self._in_order = False

    def note_spans(self, batch: SampleBatch) -> None:
        """Take on samples, at least one: first, last and count of their tags."""
        tag, time = batch.tag, batch.time
        if not (time[1:] >= time[:-1]).all():
            order = np.argsort(time, kind="stable")
            tag, time = tag[order], time[order]
        # of several assignments to one place the last stands, so in order of time this finds the ends
        first, last = np.zeros_like(self.first), np.zeros_like(self.last)
        first[tag[::-1]], last[tag] = time[::-1], time
        count = np.bincount(tag, minlength=len(first))
        both = (count > 0) & (self.count > 0)
        self.first = np.where(both, np.minimum(self.first, first), self.first + first)
        self.last = np.maximum(self.last, last)
        self.count += count


class History:
    """Reads files once. texts: takes on the texts that occur. folder: for what is kept until it is given out.
    lane_of_tag: int32; samples can be taken lane by lane. -1: of all lanes. None: there is one.

    Raises HistoryError where a file cannot be read as it is, ValueError where the mapping names an unknown tag.
    """

    def __init__(
        self, settings: ReplaySettings, texts: TextCodes, folder: Path, lane_of_tag: Int32 | None = None
    ) -> None:
        self._settings = settings
        self._texts = texts
        self._names = TagNames(settings)
        tags = settings.tags
        self._lane = np.zeros(len(tags.names), np.int32) if lane_of_tag is None else lane_of_tag
        lanes = 1 + int(self._lane.max(initial=0))
        self._spools = [Spool(folder, lane, most_waiting=MOST_WAITING // lanes) for lane in range(lanes)]
        self._meter_of = np.full(len(tags.names), -1, np.int32)
        self._meter_of[tags.meter] = np.arange(int(tags.meter.sum()), dtype=np.int32)
        self._meter_last = np.zeros(int(tags.meter.sum()), np.int64)
        groups = int(tags.group.max(initial=-1)) + 1
        self.contents = Contents(
            Tally(),
            Presence(groups),
            Presence(int(tags.meter.sum())),
            np.zeros(len(tags.names), np.int64),
            np.zeros(len(tags.names), np.int64),
            np.zeros(len(tags.names), np.int64),
            np.zeros(len(tags.names), np.bool_),
        )

    def near(self, name: str) -> str:
        """`, did you mean …?` for a tag that the plant does not have, or nothing."""
        return self._names.near(name)

    def read(self, progress: Progress = lambda *_: None) -> Contents:
        """Read all files. To be called once, before `until`."""
        opened = [file for path in self._settings.files if (file := self._opened(path)) is not None]
        sizes = [_size(file.path) for file in opened]
        before = 0
        for file, size in zip(opened, sizes, strict=True):
            try:
                self._read(file, lambda done, before=before: progress("reading", before + done, sum(sizes)))  # type: ignore[misc]
            except HistoryError as fault:
                self._leave(fault)
            before += size
            progress("reading", before, sum(sizes))
        if self.contents.unread and len(self.contents.unread) == len(self._settings.files):
            raise self.contents.unread[0]
        for spool in self._spools:
            spool.close()
        return self.contents

    def until(self, end: int, lane: int = 0) -> SampleBatch:
        """All samples of a lane before `end` (ns) that were not given yet, unscaled, in order of time."""
        return self._spools[lane].until(end)

    # One file

    def _leave(self, fault: HistoryError) -> None:
        if self._settings.all_or_none:
            raise fault
        self.contents.unread.append(fault)

    def _opened(self, path: Path) -> _File | None:
        try:
            return self._open(path)
        except HistoryError as fault:
            self._leave(fault)
            return None

    def _open(self, path: Path) -> _File:
        if _is_parquet(path):
            scan = pl.scan_parquet(path)
            try:
                columns, head = scan.collect_schema().names(), scan.head(_HEAD_ROWS).collect()
                rows = int(scan.select(pl.len()).collect().item())
            except (pl.exceptions.PolarsError, OSError) as error:
                raise HistoryError(path, f"it cannot be read ({_first_line(error)})", "export it again") from error
            return self._made(path, columns, head, None, rows)
        shape = shape_of(path, self._settings.encoding)
        width = len(shape.headings)
        cells = [(*row[:width], *("",) * (width - len(row))) for row in shape.head[:_HEAD_ROWS]]
        head = pl.DataFrame(cells, schema=dict.fromkeys(shape.headings, pl.String), orient="row")
        return self._made(path, list(shape.headings), head, shape, 0)

    def _made(self, path: Path, columns: list[str], head: pl.DataFrame, shape: TextShape | None, rows: int) -> _File:
        settings = self._settings
        layout = layout_of(path, columns, settings, self._names)
        time = head[layout.time]
        if layout.date:
            time = _joined(head[layout.date], time)
        cells = _cells(time) if time.dtype == pl.String else []
        try:
            times = TimeReader(settings.time_zone, settings.time_format, cells)
        except AmbiguousDatesError as error:
            raise HistoryError(path, "its dates can be read in two ways", str(error)) from error
        separator = "" if shape is None else shape.separator
        said = [layout.value] if layout.kind == "long" else [column for column, _ in layout.tags]
        decimal = settings.decimal
        if decimal == "auto":
            decimal = decimal_of((cell for column in said for cell in _cells(head[column])), separator)
        quality = quality_words(_cells(head[layout.quality])) if layout.quality else "severity"
        values = ValueReader(
            self._texts,
            settings.tags.text,
            self.contents.tally,
            path.name,
            "row" if shape is None else "line",
            decimal=decimal,
            quality=quality,
        )
        form = (
            "Parquet"
            if shape is None
            else f"text, {shape.encoding}, separator {shape.separator!r}, decimal {decimal!r}"
        )
        if layout.quality:
            form += ", quality as OPC DA" if quality == "opc_da" else ""
        return _File(path, layout, shape, times, values, rows, form)

    def _read(self, file: _File, progress: Callable[[int], None]) -> None:
        contents = self.contents
        samples, rows = contents.samples, 0
        lookup = _Lookup(self._names)
        for piece in file.pieces():
            for line in piece.malformed:
                contents.tally.add(HistoryFault.MALFORMED_ROW, 1, file.at(line))
            contents.received += len(piece.malformed)
            rows += len(piece.rows) + len(piece.malformed)
            batch = self._long(file, piece.rows, lookup) if file.layout.kind == "long" else self._wide(file, piece.rows)
            self._keep(batch)
            progress(piece.done)
        contents.repeated += file.times.repeated
        if file.times.clock_step is not None:
            contents.clock_steps.append(ClockStep(file.path.name, *file.times.clock_step))
        for column in file.layout.unknown:
            contents.tally.add_unknown(column, rows)
        contents.files.append(
            FileNote(
                str(file.path),
                file.form,
                file.layout.kind,
                file.columns(),
                rows,
                contents.samples - samples,
            )
        )

    def _keep(self, batch: SampleBatch) -> None:
        if not len(batch):
            return
        contents, tags = self.contents, self._settings.tags
        contents.samples += len(batch)
        contents.presence.add(tags.group[batch.tag], batch.time)
        meter = self._meter_of[batch.tag]
        metered = meter >= 0
        if metered.any():
            contents.meters.add(meter[metered], batch.time[metered])
            contents.note_silences(meter[metered], batch.time[metered], self._meter_last)
        contents.note_spans(batch)
        contents.has_value[batch.tag[batch.quality != Quality.BAD]] = True
        if len(self._spools) == 1:
            self._spools[0].add(batch)
            return
        of = self._lane[batch.tag]
        for lane, spool in enumerate(self._spools):
            spool.add(batch.where((of == lane) | (of < 0)))

    def note_kept(self, batch: SampleBatch) -> None:
        """Take into account for the contents, not for `until`, what an earlier reading has given.

        It counts for spans and silences; when who was heard is known of it.
        """
        if len(batch):
            self.contents.presence.add(np.full(len(batch), -1, np.int32), batch.time)
            self.contents.note_spans(batch)
            self.note_known(batch)

    def note_known(self, batch: SampleBatch) -> None:
        """Take into account what was known before: when meters were read last."""
        meter = self._meter_of[batch.tag]
        if (meter >= 0).any():
            self.contents.note_kept_readings(meter[meter >= 0], batch.time[meter >= 0])

    # Rows to samples

    def _long(self, file: _File, rows: pl.DataFrame, lookup: _Lookup) -> SampleBatch:
        layout = file.layout
        empty = pl.all_horizontal(pl.col(layout.columns).is_null())
        if file.shape is not None:
            rows = rows.filter(~empty)
        self.contents.received += len(rows)
        rows = self._named(file, rows)
        tag = lookup.tags(rows, layout.tag, self.contents.tally)
        known = tag >= 0
        if not known.all():
            at = int(np.argmin(known))
            strange = " ".join(str(rows[column][at]) for column in layout.tag)
            example = f"{file.at(rows[PLACE][at], *layout.tag)}: {strange}"
            self.contents.tally.add(HistoryFault.UNKNOWN_TAG, int(np.count_nonzero(~known)), example)
            rows, tag = rows.filter(pl.Series(known)), tag[known]
        time, rows, kept = self._times(file, rows, tag)
        tag = tag[kept]
        value, quality = file.values.read(rows[layout.value], tag, rows[PLACE])
        if layout.quality is not None:
            quality = self._with_quality(file, rows, rows[layout.quality], value, quality)
        return SampleBatch(tag, time, value, quality)

    def _named(self, file: _File, rows: pl.DataFrame) -> pl.DataFrame:
        """Those that say of which tag they are."""
        nameless = rows.select(pl.any_horizontal(pl.col(column).is_null() for column in file.layout.tag)).to_series()
        if not nameless.any():
            return rows
        at = nameless.arg_max() or 0
        example = f"{file.at(rows[PLACE][at], *file.layout.tag)}: nothing"
        self.contents.tally.add(HistoryFault.MALFORMED_ROW, int(nameless.sum()), example)
        return rows.filter(~nameless)

    def _with_quality(
        self, file: _File, rows: pl.DataFrame, column: pl.Series, value: Float64, quality: UInt8
    ) -> UInt8:
        said = file.values.quality(column)
        bad = said == Quality.BAD
        if bad.any():
            at = int(np.argmax(bad))
            example = f"{file.at(rows[PLACE][at], column.name)}: {column[at]}"
            self.contents.tally.add(HistoryFault.BAD_STATUS, int(np.count_nonzero(bad)), example)
        value[bad] = np.nan
        return np.maximum(quality, said)

    def _wide(self, file: _File, rows: pl.DataFrame) -> SampleBatch:
        layout = file.layout
        columns = [column for column, _ in layout.tags]
        tags = np.array([tag for _, tag in layout.tags], np.int32)
        cells = np.column_stack([rows[column].is_not_null().to_numpy() for column in columns])
        self.contents.received += int(np.count_nonzero(cells))
        time, rows, kept = self._times(file, rows, np.zeros(len(rows), np.int32), weight=cells.sum(axis=1))
        cells = cells[kept]
        value, quality = np.full(cells.shape, np.nan), np.zeros(cells.shape, np.uint8)
        for place, column in enumerate(columns):
            said = cells[:, place]
            if said.any():
                mine = rows if said.all() else rows.filter(pl.Series(said))
                owner = np.full(len(mine), tags[place], np.int32)
                value[said, place], quality[said, place] = file.values.read(mine[column], owner, mine[PLACE])
        if cells.all():
            count = len(time)
            return SampleBatch(np.tile(tags, count), np.repeat(time, len(tags)), value.ravel(), quality.ravel())
        at, which = np.nonzero(cells)
        return SampleBatch(tags[which], time[at], value[at, which], quality[at, which])

    def _times(
        self, file: _File, rows: pl.DataFrame, tag: Int32, weight: Int64 | None = None
    ) -> tuple[Int64, pl.DataFrame, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Times of the rows that have a good one, those rows, and which they are. weight: values that a row has."""
        layout = file.layout
        column = _joined(rows[layout.date], rows[layout.time]) if layout.date else rows[layout.time]
        time, unreadable, nonexistent = file.times.read(column, tag)
        future = ~unreadable & ~nonexistent & (time > self._settings.latest)
        wrong = unreadable | nonexistent | future
        if not wrong.any():
            return time, rows, ~wrong
        for fault, which in (
            (HistoryFault.BAD_TIMESTAMP, unreadable),
            (HistoryFault.NONEXISTENT_TIME, nonexistent),
            (HistoryFault.FUTURE_TIMESTAMP, future),
        ):
            if which.any():
                lost = int(np.count_nonzero(which)) if weight is None else int(weight[which].sum())
                at = int(np.argmax(which))
                example = f"{file.at(rows[PLACE][at], *filter(None, (layout.date, layout.time)))}: {column[at]}"
                self.contents.tally.add(fault, lost, example)
        return time[~wrong], rows.filter(pl.Series(~wrong)), ~wrong


class _Lookup:
    """Names of tags to indexes, each name looked up once: polars makes them codes, and of codes there is a table."""

    def __init__(self, names: TagNames) -> None:
        self._names = names
        self._dtype = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([""], dtype=self._dtype)  # as long as there is such a column, codes stay
        self._by_code: Int32 = np.full(1, _NOT_LOOKED_UP, np.int32)

    def tags(self, rows: pl.DataFrame, columns: tuple[str, ...], tally: Tally) -> Int32:
        """Index of each row's tag, -1 where the plant has none; int32, shape (n,)."""
        parts = [rows[column].cast(pl.String) for column in columns]
        name = parts[0] if len(parts) == 1 else rows.select(pl.concat_str(parts, separator=".")).to_series()
        codes = name.fill_null("").cast(self._dtype).to_physical().to_numpy()
        if (more := int(codes.max(initial=0)) + 1 - len(self._by_code)) > 0:
            self._by_code = np.append(self._by_code, np.full(more, _NOT_LOOKED_UP, np.int32))
        tag: Int32 = self._by_code[codes]
        if len(new := np.flatnonzero(tag == _NOT_LOOKED_UP)):
            fresh, first = np.unique(codes[new], return_index=True)
            self._by_code[fresh] = [self._names.find(text) for text in name.gather(new[first]).fill_null("").to_list()]
            tag = self._by_code[codes]
        if (tag < 0).any():
            for strange, count in name.filter(pl.Series(tag < 0)).fill_null("").value_counts().iter_rows():
                tally.add_unknown(strange, count)
        return tag


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """A file, and how it is read."""

    path: Path
    layout: Layout
    shape: TextShape | None
    times: TimeReader
    values: ValueReader
    rows: int
    form: str

    def at(self, place: int, *columns: str) -> str:
        """Where something stands, for the operator."""
        return where(self.path.name, "row" if self.shape is None else "line", place, columns)

    def pieces(self) -> Iterator[Piece]:
        """Its rows, a bounded number at a time."""
        if self.shape is not None:
            yield from pieces(self.path, self.shape)
            return
        size, done = _size(self.path), 0
        try:
            scan = pl.scan_parquet(self.path).select(self.layout.columns)
            for rows in scan.collect_batches(chunk_size=PIECE_ROWS, maintain_order=True):
                numbered = rows.with_row_index(PLACE, done + 1)
                done += len(rows)
                yield Piece(numbered, size * done // max(1, self.rows))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise HistoryError(self.path, f"it is damaged ({_first_line(error)})", "export it again") from error

    def columns(self) -> dict[str, str]:
        """Role → column, as understood."""
        layout = self.layout
        named = {Role.TIME: layout.time, Role.VALUE: layout.value, Role.QUALITY: layout.quality, Role.DATE: layout.date}
        tag = dict(zip((Role.TAG,) if len(layout.tag) == 1 else (Role.MACHINE, Role.SIGNAL), layout.tag, strict=False))
        return {str(role): column for role, column in {**named, **tag}.items() if column}


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _PARQUET_MAGIC
    except OSError as error:
        raise HistoryError(path, f"it cannot be read ({error.strerror})", "check the path") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise HistoryError(path, f"it cannot be read ({error.strerror})", "check the path") from error


def _joined(date: pl.Series, time: pl.Series) -> pl.Series:
    """A day and a time of day as one text."""
    return pl.select(pl.lit(date).cast(pl.String) + " " + pl.lit(time).cast(pl.String)).to_series()


def _cells(column: pl.Series) -> list[str]:
    return [str(cell) for cell in column.to_list() if cell is not None]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
