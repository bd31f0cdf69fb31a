"""Cells to values and qualities: numbers with point or comma, texts to codes, what the historian says of quality.

Rule: a row of a known tag at a known time always is a sample; what it says may be that nothing is known (BAD), so that
an old value does not live on where the historian says that there was none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from connectors.replay.faults import HistoryFault, Tally, where
from connectors.samples import Float64, Int32, Quality, UInt8
from connectors.texts import TextCodes, TooManyTextsError

Bool = npt.NDArray[np.bool_]
QualityWords = Literal["opc_da", "severity"]

_TRUE: Final = ("true", "on", "yes", "wahr", "ein")
_FALSE: Final = ("false", "off", "no", "falsch", "aus")
_GOOD_WORDS: Final = ("good", "ok", "gut", "valid", "normal", "g", "true", "良好", "正常", "")
_UNCERTAIN_WORDS: Final = ("uncertain", "questionable", "suspect", "unsicher", "substituted", "u", "可疑")


def decimal_of(cells: Iterable[str], separator: str) -> Literal[".", ","]:
    """How numbers are written: a comma in a number is the decimal one, unless a point follows it."""
    texts = [cell for cell in cells if cell]
    if separator == "," and not any("," in text for text in texts):
        return "."
    comma = any(re.fullmatch(r"[-+]?[\d. '\u00a0\u202f]*\d,\d+([eE][-+]?\d+)?", text) for text in texts)
    point_behind = any(re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+\.\d+", text) for text in texts)
    return "," if comma and not point_behind else "."


def quality_words(cells: Iterable[str]) -> QualityWords:
    """OPC DA (192 good, 64 uncertain, 0 bad) where such numbers occur; else OPC UA, or 0, 1, 2."""
    numbers = {int(float(cell)) for cell in cells if re.fullmatch(r"\d+(\.0+)?", cell or "")}
    return "opc_da" if any(64 <= number <= 255 for number in numbers) else "severity"


class ValueReader:
    """Reads the values of one file. texts: codes; text: bool by tag, whether its values are texts.

    file, what: its name, and whether it has lines or rows, for examples.
    """

    def __init__(
        self, texts: TextCodes, text: Bool, tally: Tally, file: str, what: str, *, decimal: str, quality: QualityWords
    ) -> None:
        self._texts = texts
        self._text = text
        self._tally = tally
        self._file = file
        self._what = what
        self._at = "", pl.Series(dtype=pl.UInt32)  # column and places of what is being read
        self._decimal = decimal
        self._quality = quality

    def read(self, column: pl.Series, tag: Int32, place: pl.Series) -> tuple[Float64, UInt8]:
        """(value, quality) of rows, shapes (n,). tag: of each row, none below 0; place: its number in the file.

        Value NaN where BAD.
        """
        self._at = column.name, place
        if column.dtype == pl.Null:
            column = column.cast(pl.Float64)
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            value, is_null = self._of_numbers(column, tag)
        else:
            value, is_null = self._of_texts(column.cast(pl.String), tag)
        bad = ~np.isfinite(value)
        quality = (
            np.where(bad, np.uint8(Quality.BAD), np.uint8(Quality.GOOD)) if bad.any() else np.zeros_like(bad, np.uint8)
        )
        self._count(HistoryFault.NO_VALUE, is_null)
        if bad.any():
            value[bad] = np.nan
        return value, quality

    def quality(self, column: pl.Series) -> UInt8:
        """What the historian says of each row's quality, shape (n,)."""
        if column.dtype.is_numeric():
            return self._severity(column.cast(pl.Float64).fill_null(0.0 if self._quality == "severity" else 192.0))
        if column.dtype == pl.Boolean:
            good = column.fill_null(value=True).to_numpy()
            return np.where(good, np.uint8(Quality.GOOD), np.uint8(Quality.BAD))
        kinds = column.cast(pl.String).fill_null("").unique()
        verdicts = [self._word(word) for word in kinds]
        return column.cast(pl.String).fill_null("").replace_strict(kinds, verdicts, return_dtype=pl.UInt8).to_numpy()

    def _severity(self, code: pl.Series) -> UInt8:
        if self._quality == "opc_da":
            severity = (code.cast(pl.Int64, strict=False).fill_null(0) & 0xC0).to_numpy()
            return np.select([severity == 0xC0, severity == 0x40], [0, 1], 2).astype(np.uint8)
        number = np.where(code.is_nan().to_numpy(), 2.0, code.to_numpy())
        number = np.where(number < 0, number + 2**32, number)  # a status code kept as a signed number
        bad = (number == Quality.BAD) | (number >= 2**31)
        uncertain = (number == Quality.UNCERTAIN) | (number >= 2**30)
        return np.select([bad, uncertain, number == 0], [2, 1, 0], 2).astype(np.uint8)

    def _word(self, word: str) -> int:
        plain = word.strip().casefold()
        if re.fullmatch(r"-?\d+(\.0+)?", plain):
            return int(self._severity(pl.Series([float(plain)]))[0])
        if re.fullmatch(r"0x[0-9a-f]+", plain):
            return int(self._severity(pl.Series([float(int(plain, 16))]))[0])
        if plain in _GOOD_WORDS or plain.startswith("good"):
            return Quality.GOOD
        return (
            Quality.UNCERTAIN if plain.startswith(_UNCERTAIN_WORDS[:-2]) or plain in _UNCERTAIN_WORDS else Quality.BAD
        )

    def _of_numbers(self, column: pl.Series, tag: Int32) -> tuple[Float64, Bool]:
        is_null = column.is_null().to_numpy()
        value = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        self._count(HistoryFault.NOT_FINITE, ~np.isfinite(value) & ~is_null)
        is_text = self._text[tag] & ~is_null
        if is_text.any():
            numbers, which = np.unique(value[is_text], return_inverse=True)
            words = pl.Series([f"{number:g}" for number in numbers.tolist()], dtype=pl.String)
            value[is_text] = self._codes(words.gather(pl.Series(which)), tag[is_text])
        return value, is_null

    def _of_texts(self, column: pl.Series, tag: Int32) -> tuple[Float64, Bool]:
        column = column.str.strip_chars()
        is_null = (column.is_null() | (column == "")).fill_null(value=True).to_numpy()
        is_text = self._text[tag] & ~is_null
        plain = self._pointed(column)
        number = plain.cast(pl.Float64, strict=False)
        value = number.fill_null(float("nan")).to_numpy().copy()
        read = number.is_not_null().to_numpy()
        if is_text.any():
            value[is_text] = self._codes(column.filter(pl.Series(is_text)), tag[is_text])
        left = ~read & ~is_null & ~is_text
        if left.any():
            value[left] = self._words(column, left)
        self._count(HistoryFault.NOT_FINITE, read & ~np.isfinite(value) & ~is_text)
        return value, is_null

    def _pointed(self, column: pl.Series) -> pl.Series:
        """Numbers as a program writes them: no thousands, a point."""
        if self._decimal == ",":
            column = column.str.replace_all(r"[\s'’\u00a0\u202f]", "")
            grouped = column.str.contains(r"^[-+]?\d{1,3}(\.\d{3})+(,\d+)?$").fill_null(value=False)
            if grouped.any():
                bare = pl.lit(column).str.replace_all(".", "", literal=True)
                column = pl.select(pl.when(pl.lit(grouped)).then(bare).otherwise(column)).to_series()
            return column.str.replace(",", ".", literal=True)
        odd = column.str.contains(r"^[-+]?\d{1,3}([,\s'’\u00a0\u202f]\d{3})+(\.\d+)?$").fill_null(value=False)
        if not odd.any():
            return column
        return pl.select(
            pl.when(pl.lit(odd)).then(pl.lit(column).str.replace_all(r"[,\s'’\u00a0\u202f]", "")).otherwise(column)
        ).to_series()

    def _count(self, fault: HistoryFault, which: Bool, said: Callable[[int], str] = lambda _: "") -> None:
        """Count rows, shape (n,), and where the first of them is. said: what stands there, by the row's index."""
        if which.any():
            at, (column, place) = int(np.argmax(which)), self._at
            example = where(self._file, self._what, place[at], (column,)) + said(at)
            self._tally.add(fault, int(np.count_nonzero(which)), example)

    def _words(self, column: pl.Series, left: Bool) -> Float64:
        """Booleans by name of the rows that are left; anything else is no number."""
        words = column.filter(pl.Series(left)).str.to_lowercase()
        value = np.full(len(words), np.nan)
        value[words.is_in(list(_TRUE)).to_numpy()] = 1.0
        value[words.is_in(list(_FALSE)).to_numpy()] = 0.0
        strange = left.copy()
        strange[left] = np.isnan(value)
        self._count(HistoryFault.NOT_A_NUMBER, strange, lambda at: f": {column[at]!r}")
        return value

    def _codes(self, column: pl.Series, tag: Int32) -> Float64:
        """Codes of texts; NaN where a tag has too many."""
        pairs = pl.DataFrame({"text": column, "tag": tag})
        unique = pairs.unique(maintain_order=True)
        codes = []
        refused = ""
        for text, owner in unique.iter_rows():
            try:
                codes.append(float(self._texts.code(text, owner)))
            except TooManyTextsError:
                codes.append(float("nan"))
                refused = refused or f"{self._file}, column `{self._at[0]}`: {text!r}"
        coded = pairs.join(
            unique.with_columns(code=pl.Series(codes, dtype=pl.Float64)), on=["text", "tag"], maintain_order="left"
        )
        found: Float64 = coded["code"].to_numpy().copy()
        self._tally.add(HistoryFault.TOO_MANY_TEXTS, int(np.count_nonzero(np.isnan(found))), refused)
        return found
