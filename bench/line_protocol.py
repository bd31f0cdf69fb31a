"""Nanoseconds per line of line protocol: the way taken, and the ways it was weighed against. Prints JSON.

python bench/line_protocol.py [LINES]
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable

import numpy as np
import polars as pl

from config.compiled import TagInfo, TagTable
from connectors import SampleBatch, TextCodes
from edge_agent.line_protocol import SignalEncoder, gzip_lines

TAGS = 10_000
REPEATS = 5


def batch_of(lines: int) -> tuple[TagTable, SampleBatch]:
    """Samples of ten thousand tags as they come: half counters and states, half measured values."""
    chance = np.random.default_rng(20261001)
    tags = TagTable(
        tuple(
            TagInfo(
                f"cnc-{i // 100:03d}", f"measured_{i % 100:03d}", "machining", "mechanical", "machining", f"ns=1;i={i}"
            )
            for i in range(TAGS)
        )
    )
    value = np.where(
        chance.random(lines) < 0.5, chance.integers(0, 5000, lines), np.round(chance.normal(50, 10, lines), 3)
    )
    start = 1_790_000_000_000_000_000
    return tags, SampleBatch(
        (np.arange(lines) % TAGS).astype(np.int32),
        start + chance.integers(0, 500_000, lines) * 1000,
        value.astype(np.float64),
        np.zeros(lines, np.uint8),
    )


def nanoseconds(work: Callable[[], object], lines: int) -> float:
    """CPU time of the fastest of several runs, per line."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return round(best / lines * 1e9, 1)


def main() -> None:
    """Measure and print."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    tags, batch = batch_of(lines)
    texts = TextCodes()
    encoder = SignalEncoder(tags, site="demo")
    encoded = encoder.encode(batch, texts)
    text = encoded.text().encode()
    heads = [line.rsplit("=", 1)[0] + "=" for line in encoded.lines.head(TAGS)]
    head = pl.Series(heads)
    values, times = pl.Series(batch.value), pl.Series(batch.time)

    def loop() -> str:
        columns = zip(batch.tag.tolist(), batch.value.tolist(), batch.time.tolist(), strict=True)
        return "\n".join([f"{heads[tag]}{value!r} {at}" for tag, value, at in columns])

    def csv() -> str:
        cells = pl.DataFrame({"head": head.gather(pl.Series(batch.tag)), "value": values, "time": times})
        return cells.write_csv(include_header=False, quote_style="never", separator=" ").replace("= ", "=")

    def zlib_1() -> bytes:
        squeeze = zlib.compressobj(1, wbits=31)
        return squeeze.compress(text) + squeeze.flush()

    half_bad = SampleBatch(batch.tag, batch.time, batch.value, (np.arange(lines) % 2).astype(np.uint8))
    print(
        json.dumps(
            {
                "lines": lines,
                "bytes_per_line": round(len(text) / lines, 1),
                "bytes_per_line_gzip": round(len(gzip_lines(encoded.lines)) / lines, 1),
                "bytes_per_line_zlib_1": round(len(zlib_1()) / lines, 1),
                "ns_per_line": {
                    "encode": nanoseconds(lambda: encoder.encode(batch, texts), lines),
                    "encode_half_uncertain": nanoseconds(lambda: encoder.encode(half_bad, texts), lines),
                    "gzip": nanoseconds(lambda: gzip_lines(encoded.lines), lines),
                },
                "ns_per_line_of_other_ways": {
                    "python_loop": nanoseconds(loop, lines),
                    "polars_csv_cells": nanoseconds(csv, lines),
                    "zlib_1": nanoseconds(zlib_1, lines),
                },
                "ns_per_float": {
                    "polars_cast": nanoseconds(lambda: values.cast(pl.Utf8), lines),
                    "python_repr": nanoseconds(lambda: [repr(v) for v in batch.value.tolist()], lines),
                    "numpy_astype": nanoseconds(lambda: batch.value.astype("U"), lines),
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
