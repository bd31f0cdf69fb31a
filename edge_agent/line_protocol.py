"""Columns to line protocol: what a line may hold, and how a table becomes lines and bodies of requests.

Rule 1: one point is one line. Whatever reads it may cut at newlines, without knowing quotes.
Rule 2: a point that says nothing (no field) is no line; NaN, infinity and null are nothing, never a value.
Rule 3: of two points of one series and time in one batch the later row wins, and it is counted: the database would
merge their fields into a point that nobody sent.

What line protocol cannot carry is written as the character that looks like it, so that different names stay different:
control characters as their pictures (U+2400…; newline as ␊), and in tag values a backslash before a backslash, comma,
equals sign, blank or the end as ＼ (U+FF3C): InfluxDB 1 reads it as an escape, and VictoriaMetrics and InfluxDB 3 read
two as one. Lone surrogates, which are no text, become a question mark.

Weighed, in CPU time per line of 117 bytes (`bench/line_protocol.py`): a Python loop of f-strings (720 ns), polars
writing CSV with the columns as cells (430 ns, and a separator too many to take out), polars joining strings (200 ns).
Joining won. Floats: polars' cast, numpy's and Python's repr all give the shortest text that reads back to the same
number; the cast takes 42 ns, the others 280 and more. Compression: zlib level 1 takes 440 ns, the gzip that polars
brings 220 ns at a quarter more bytes; the CPU of a gateway is scarcer than its uplink, so polars' won.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from config.compiled import TagTable
from config.names import Measurement, SignalField, Tag
from connectors.samples import Quality, SampleBatch
from connectors.texts import TextCodes
from edge_agent.journal.model import OutboxEntry, OutboxKind

MOST_LINES: Final = 20_000
"""Lines of one request: some 400 kB compressed, below the 1 MB that nginx takes unless told otherwise."""

GZIP_LEVEL: Final = 1

_PICTURES: Final = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_MISREAD_BACKSLASH: Final = re.compile(r"\\(?=[\\,= ]|$)")
_SPECIAL: Final = re.compile(r"([,= ])")


def key_text(text: str) -> str:
    """A tag key, tag value or field key as it stands in a line."""
    visible = _without_controls(text)
    return _SPECIAL.sub(r"\\\1", _MISREAD_BACKSLASH.sub("＼", visible))


def string_text(text: str) -> str:
    """A string field's value as it stands in a line, with its quotes."""
    escaped = _without_controls(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _without_controls(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").translate(_PICTURES)


def gzip_lines(lines: pl.Series) -> bytes:
    """The lines as the gzip-compressed body of a request."""
    stream = io.BytesIO()
    lines.to_frame().write_csv(
        stream,
        include_header=False,
        quote_style="never",
        compression="gzip",
        compression_level=GZIP_LEVEL,
        check_extension=False,
    )
    return stream.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Points as lines.

    lines: Utf8, one a point, without its newline, in no promised order. collisions: rows that gave way to a later row
    of the same series and time. without_fields: rows that had nothing to say. Together they are the rows that came in.
    """

    lines: pl.Series
    collisions: int = 0
    without_fields: int = 0

    @property
    def points(self) -> int:
        """How many lines there are."""
        return len(self.lines)

    def text(self) -> str:
        """All lines, each with its newline."""
        return "".join(f"{line}\n" for line in self.lines)

    def entries(self, kind: OutboxKind, *, most_lines: int = MOST_LINES) -> list[OutboxEntry]:
        """The lines as outbox entries, ready to be sent; none where there is no line."""
        return [
            OutboxEntry(kind, len(part), len(part) if kind is OutboxKind.RAW else 0, gzip_lines(part))
            for part in self._parts(most_lines)
        ]

    def _parts(self, most_lines: int) -> Iterator[pl.Series]:
        for start in range(0, len(self.lines), most_lines):
            yield self.lines.slice(start, most_lines)


def encode_points(
    table: pl.DataFrame,
    measurement: Measurement,
    *,
    tags: Sequence[str],
    fields: Sequence[str],
    time: str = "time",
) -> Encoded:
    """A table as points: each row a point, each column a tag or a field of its name.

    tags: text columns; an empty text or null leaves the tag out. fields: float, integer, Boolean or text columns; null,
    NaN and infinity leave the field out. time: Int64 column, ns.
    """
    series = [name for name in sorted(tags) if name in table.columns]
    latest = table.unique([*series, time], keep="last", maintain_order=True)
    head = pl.concat_str(
        [pl.lit(key_text(measurement)), *(_tag(latest[name]) for name in series)], separator=",", ignore_nulls=True
    )
    body = pl.concat_str([_field(latest[name]) for name in fields], separator=",", ignore_nulls=True)
    lines = latest.select(
        pl.when(body != "").then(pl.concat_str([head, body, pl.col(time).cast(pl.Utf8)], separator=" ")).alias("line")
    )["line"].drop_nulls()
    return Encoded(lines, len(table) - len(latest), len(latest) - len(lines))


def _tag(values: pl.Series) -> pl.Expr:
    """`key=value` of each row, null where there is no value."""
    texts = values.cast(pl.Utf8)
    known = {text: f"{key_text(values.name)}={key_text(text)}" for text in texts.unique().drop_nulls() if text}
    return pl.lit(_looked_up(texts, known))


def _field(values: pl.Series) -> pl.Expr:
    """`key=value` of each row, null where there is no value."""
    key = pl.lit(f"{key_text(values.name)}=")
    value = pl.lit(values)
    if values.dtype.is_float():
        return pl.when(value.is_finite()).then(key + value.cast(pl.Float64).cast(pl.Utf8))
    if values.dtype.is_integer():
        return key + value.cast(pl.Utf8) + "i"
    if values.dtype == pl.Boolean:
        return key + value.cast(pl.Utf8)
    texts = values.cast(pl.Utf8)
    known = {text: f"{key_text(values.name)}={string_text(text)}" for text in texts.unique().drop_nulls()}
    return pl.lit(_looked_up(texts, known))


def _looked_up(texts: pl.Series, known: Mapping[str, str]) -> pl.Series:
    if not known:
        return pl.Series([None] * len(texts), dtype=pl.Utf8)
    return texts.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.Utf8)


class SignalEncoder:
    """Raw samples as points of `signal`; what stands before the value is made once for each tag."""

    def __init__(self, tags: TagTable, *, site: str) -> None:
        heads = [
            ",".join(
                [
                    key_text(Measurement.SIGNAL),
                    *(
                        f"{key_text(name)}={key_text(value)}"
                        for name, value in (
                            (Tag.AREA, tag.area),
                            (Tag.LINE, tag.line),
                            (Tag.MACHINE, tag.machine),
                            (Tag.SIGNAL, tag.signal),
                            (Tag.SITE, site),
                        )
                        if value
                    ),
                ]
            )
            for tag in tags.tags
        ]
        self._head = pl.Series([f"{head} " for head in heads], dtype=pl.Utf8)
        self._head_of_value = pl.Series([f"{head} {SignalField.VALUE}=" for head in heads], dtype=pl.Utf8)
        self._raw = np.array([tag.raw for tag in tags.tags], np.bool_)
        self._text = np.array([tag.text for tag in tags.tags], np.bool_)

    def encode(self, batch: SampleBatch, texts: TextCodes) -> Encoded:
        """The batch's samples of raw tags; those of other tags are not counted.

        A sample without a finite value is its quality alone. Raises KeyError for a text code that was never given out.
        """
        if not self._raw.all():
            batch = batch.where(self._raw[batch.tag])
        latest = _latest(batch)
        plain = (latest.quality == Quality.GOOD) & np.isfinite(latest.value) & ~self._text[latest.tag]
        if plain.all():
            lines = self._plain(latest)
        else:
            others = self._others(latest.where(~plain), texts)
            lines = pl.concat([self._plain(latest.where(plain)), others])
        return Encoded(lines, len(batch) - len(latest), len(latest) - len(lines))

    def _plain(self, batch: SampleBatch) -> pl.Series:
        """Good numbers: `signal,… value=1.5 time`."""
        return pl.select(
            pl.concat_str(
                [
                    self._head_of_value.gather(pl.Series(batch.tag)),
                    pl.Series(batch.value).cast(pl.Utf8),
                    pl.lit(" "),
                    pl.Series(batch.time).cast(pl.Utf8),
                ]
            ).alias("line")
        )["line"]

    def _others(self, batch: SampleBatch, texts: TextCodes) -> pl.Series:
        """Texts, and samples that are not good: `signal,… text="RUN",quality=1i time`."""
        has_value = np.isfinite(batch.value)
        is_text = self._text[batch.tag]
        columns = pl.DataFrame(
            {
                "head": self._head.gather(pl.Series(batch.tag)),
                "value": batch.value,
                "is_value": has_value & ~is_text,
                "text": _text_fields(batch, has_value & is_text, texts),
                "quality": batch.quality,
                "time": batch.time,
            }
        )
        value = pl.when("is_value").then(pl.lit(f"{SignalField.VALUE}=") + pl.col("value").cast(pl.Utf8))
        bad = pl.when(pl.col("quality") != Quality.GOOD.value)
        quality = bad.then(pl.lit(f"{SignalField.QUALITY}=") + pl.col("quality").cast(pl.Utf8) + "i")
        fields = pl.concat_str([value, pl.col("text"), quality], separator=",", ignore_nulls=True)
        line = pl.when(fields != "").then(pl.concat_str(["head", fields, pl.lit(" "), pl.col("time").cast(pl.Utf8)]))
        return columns.select(line.alias("line"))["line"].drop_nulls()


def _text_fields(
    batch: SampleBatch, is_text: np.ndarray[tuple[int], np.dtype[np.bool_]], texts: TextCodes
) -> pl.Series:
    """`text="…"` of each sample, null where it has none."""
    place = np.full(len(batch), -1, np.int64)
    codes, place[is_text] = np.unique(batch.value[is_text].astype(np.int64), return_inverse=True)
    fields = [f"{SignalField.TEXT}={string_text(text)}" for text in texts.texts(codes.tolist())]
    return pl.Series([*fields, None], dtype=pl.Utf8).gather(pl.Series(np.where(place < 0, len(fields), place)))


def _latest(batch: SampleBatch) -> SampleBatch:
    """The batch without the samples that a later one of the same tag and time replaces."""
    # Equal tag and time give equal keys, so as many keys as samples means no collision; counting the keys takes a
    # fifth of looking for equal pairs, which is done only when there may be some.
    key = (batch.time.view(np.uint64) * _ODD_1) ^ (batch.tag.astype(np.uint64) * _ODD_2)
    if pl.Series(key).n_unique() == len(batch):
        return batch
    pairs = pl.DataFrame({"tag": batch.tag, "time": batch.time}).with_row_index("row")
    kept = pairs.unique(["tag", "time"], keep="last")["row"].sort().to_numpy()
    return SampleBatch(batch.tag[kept], batch.time[kept], batch.value[kept], batch.quality[kept])


_ODD_1: Final = np.uint64(0x9E3779B97F4A7C15)
_ODD_2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
