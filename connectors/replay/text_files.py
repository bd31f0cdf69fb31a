"""Text files of history as tables of text: encoding, separator and headings found out, a bounded block at a time.

Rule: nothing is interpreted here but what separates cells. Every cell leaves as text, null where it is empty.

Two ways were weighed: the scanner of polars over the file, or blocks of lines handed to its reader. The scanner is the
faster one, but it must hold a compressed file whole, knows one encoding, and gives up at the first line that it does
not like. Blocks won; reading them is a small part of reading what is in them.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import polars as pl

from connectors.replay.settings import HistoryError

BLOCK_BYTES: Final = 16 * 1024 * 1024
_HEAD_BYTES: Final = 256 * 1024
_SEPARATORS: Final = ";\t,|"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MOST_HEADINGS_DOWN: Final = 30
"""Lines that may stand above the headings: titles, comments, what a report generator likes to say."""


PLACE: Final = "\0place"
"""Column of the number of a row in its file; no file has one of this name."""


@dataclass(frozen=True, slots=True)
class TextShape:
    """How a text file is put together. skip: lines up to and with the headings. head: the first rows of cells."""

    encoding: str
    separator: str
    headings: tuple[str, ...]
    skip: int
    head: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of a file, with their number in it (`PLACE`, from 1: the line of a text). malformed: numbers of lines that
    were left. done: how far into the file that is, in the unit of its size."""

    rows: pl.DataFrame
    done: int
    malformed: Sequence[int] = ()


def shape_of(path: Path, encoding: str | None = None) -> TextShape:
    """What a text file looks like. Raises HistoryError where it is empty, is no text, or cannot be opened."""
    try:
        with path.open("rb") as raw, _plain(raw) as file:
            data = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    if not data.strip():
        raise HistoryError(path, "it is empty", "leave it out")
    encoding = encoding or _encoding_of(data)
    try:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(data)
    except LookupError:
        raise HistoryError(path, f"there is no encoding {encoding!r}", "try utf-8, utf-16, gb18030 or cp1252") from None
    if "\0" in text:
        raise HistoryError(
            path, "it is not a text file", "files may be CSV (also .gz) or Parquet; save a workbook as CSV"
        )
    lines = text.removeprefix("\ufeff").splitlines()
    if len(data) == _HEAD_BYTES and len(lines) > 1:
        del lines[-1]  # may have been cut
    separator = _separator_of(lines)
    rows = [tuple(cell.strip() for cell in row) for row in csv.reader(lines, delimiter=separator)]
    at = _headings_at(rows)
    if at is None:
        raise HistoryError(path, "it has no row of column headings", "give it one, as in `time,tag,value`")
    skip = _lines_until(lines, at, separator)
    return TextShape(encoding, separator, _unique(rows[at]), skip, tuple(row for row in rows[at + 1 :] if any(row)))


def pieces(path: Path, shape: TextShape) -> Iterator[Piece]:
    """The rows below the headings, in order. Columns are named as the headings. Raises HistoryError."""
    try:
        with path.open("rb") as raw, _plain(raw) as file:
            skip, line = shape.skip, 1
            for block in _blocks(file, shape.encoding):
                if skip:
                    cut = _after_lines(block, skip)
                    line += block.count(b"\n", 0, cut)
                    block, skip = block[cut:], 0  # noqa: PLW2901 - the headings are gone
                if block.strip():
                    rows, malformed = _table(block, shape, line)
                    yield Piece(rows, raw.tell(), malformed)
                line += block.count(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> HistoryError:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return HistoryError(path, "it is compressed, and damaged or cut short", "copy or export it again")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return HistoryError(path, f"it cannot be read ({reason})", "check the path and its permissions")


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """The file without its compression."""
    magic = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if magic == b"\x1f\x8b" else raw  # type: ignore[return-value]


def _encoding_of(data: bytes) -> str:
    """UTF with a mark, UTF-8, or what Excel writes in China (GB18030) and in the West (Windows-1252)."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        # letters with accents stand alone among ASCII; Chinese characters are pairs of high bytes
        runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data)]
        pairs = sum(1 for run in runs if run > 1)
        return "gb18030" if pairs * 2 > len(runs) else "cp1252"
    return "utf-8"


def _separator_of(lines: Sequence[str]) -> str:
    """The separator that cuts most of the first lines into the same number of cells, more than one."""
    sample = [line for line in lines[:100] if line.strip()]
    best, best_score = ",", 0
    for separator in _SEPARATORS:
        widths = [len(row) for row in csv.reader(sample, delimiter=separator)]
        if not widths or max(widths) < 2:
            continue
        usual = max(set(widths), key=lambda width: (widths.count(width), width))
        score = widths.count(usual) if usual > 1 else 0
        if score > best_score:
            best, best_score = separator, score
    return best


def _headings_at(rows: Sequence[tuple[str, ...]]) -> int | None:
    """The first row that is as wide as the table and has a text in nearly every cell."""
    width = max((len([cell for cell in row if cell]) for row in rows), default=0)
    for index, row in enumerate(rows[:_MOST_HEADINGS_DOWN]):
        filled = [cell for cell in row if cell]
        if len(filled) * 2 > width and len(filled) > 1 and not row[0].startswith("#"):
            return None if _looks_like_data(filled) else index
    return None


def _looks_like_data(cells: Sequence[str]) -> bool:
    return sum(1 for cell in cells if re.fullmatch(r"[-+\d.,:/ TZe]+", cell)) * 2 > len(cells)


def _lines_until(lines: Sequence[str], row: int, separator: str) -> int:
    """How many lines the first rows take, the one at `row` included."""
    reader = csv.reader(lines, delimiter=separator)
    for _ in range(row + 1):
        next(reader)
    return reader.line_num


def _unique(headings: Sequence[str]) -> tuple[str, ...]:
    """Headings with a number behind those that occur again or are empty, so that each names one column."""
    seen: dict[str, int] = {}
    named = []
    for place, heading in enumerate(headings, 1):
        name = heading or f"column {place}"
        seen[name] = seen.get(name, 0) + 1
        named.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(named)


def _blocks(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """The file as UTF-8, cut between rows."""
    decoder = None if encoding in {"utf-8", "utf-8-sig"} else codecs.getincrementaldecoder(encoding)("replace")
    rest, first = b"", True
    while True:
        data = file.read(BLOCK_BYTES)
        text = data if decoder is None else decoder.decode(data, final=not data).encode("utf-8", "replace")
        if first:
            text, first = text.removeprefix(codecs.BOM_UTF8), False
        block = rest + text
        if not data:
            if block:
                yield block
            return
        cut = _last_row_end(block)
        rest = block[cut:]
        if cut:
            yield block[:cut]


def _last_row_end(block: bytes) -> int:
    """Behind the last newline that is not within quotes; 0 where there is none."""
    cut = block.rfind(b"\n") + 1
    attempts = 0
    while cut and block.count(b'"', 0, cut) % 2 and attempts < 100:
        cut = block.rfind(b"\n", 0, cut - 1) + 1
        attempts += 1
    # a quote that nobody closes must not make the rest of the file one row
    return cut or (block.rfind(b"\n") + 1 if len(block) > 4 * BLOCK_BYTES else 0)


def _after_lines(block: bytes, lines: int) -> int:
    at = 0
    for _ in range(lines):
        end = block.find(b"\n", at)
        if end < 0:
            return len(block)
        at = end + 1
    return at


def _table(block: bytes, shape: TextShape, line: int) -> tuple[pl.DataFrame, list[int]]:
    """Rows and malformed lines. line: number of the first; line breaks within cells are not counted in a block."""
    schema = dict.fromkeys(shape.headings, pl.String)
    try:
        rows = pl.read_csv(
            io.BytesIO(block),
            has_header=False,
            schema=schema,
            separator=shape.separator,
            truncate_ragged_lines=True,
            missing_columns="insert",
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError:
        return _table_by_line(block, shape, line)
    return rows.with_row_index(PLACE, line), []


def _table_by_line(block: bytes, shape: TextShape, first: int) -> tuple[pl.DataFrame, list[int]]:
    """The slow way, for a block with a line that the fast one does not like: each line by itself."""
    width = len(shape.headings)
    rows: list[tuple[str | int | None, ...]] = []
    malformed: list[int] = []
    for number, line in enumerate(block.decode("utf-8", "replace").splitlines(), first):
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], delimiter=shape.separator, strict=True))
        except csv.Error:
            malformed.append(number)
            continue
        filled = [cell or None for cell in cells[:width]]
        rows.append((number, *filled, *(None,) * (width - len(filled))))
    schema = {PLACE: pl.UInt32, **dict.fromkeys(shape.headings, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row"), malformed
