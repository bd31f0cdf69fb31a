"""What is new among the rows that the engine says: those that differ from what was said, each with its revision.

Rule 1: the engine may say a row as often as it likes, as after a restart; it is written and sent where it differs.
Rule 2: the first word on a minute that is over is revision 0, each other one counts up and has a cause. What is said of
a minute that is not over is no revision.
Rule 3: whether a figure changed is judged by its rows, to the bit; nothing is rounded before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from edge_agent.journal import CAUSES, OPEN, RevisionCause
from kpi.elements import ELEMENT_IDS, MINUTE_NS

_KEYS: Final = ["machine", "time", "shift", "shift_start", "product"]
_MINUTE: Final = ["machine", "time"]
_VERSION: Final = {"machine": pl.Utf8, "time": pl.Int64, "revision": pl.Int64, "cause": pl.Utf8}
_NO_CAUSES: Final[Mapping[str, RevisionCause]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Revised:
    """Rows that are to be written: those of every machine and minute of which any row differs.

    rows: keys, elements, `revision` and `cause`. gone: keys of rows that were said before and are no more, with zeros
    for elements and the revision of their minute: in a database, a point of zeros takes the place of theirs.
    """

    rows: pl.DataFrame
    gone: pl.DataFrame


def revised(
    fresh: pl.DataFrame, held: pl.DataFrame, *, closed_to: int, causes: Mapping[str, RevisionCause] = _NO_CAUSES
) -> Revised:
    """Compare rows with what is held of their minutes.

    fresh, held: element rows with text keys; held ones with `revision`, all that there are of the machines and minutes
        of fresh ones. closed_to: ns; minutes that end later are not over. causes: by machine, why closed rows differ;
        of other machines because something was known later.
    """
    before, now = _by_minute(held), _by_minute(fresh)
    revision = dict(zip(zip(held["machine"], held["time"], strict=True), held["revision"], strict=True))
    stamps: list[tuple[str, int, int, str]] = []
    gone: list[tuple[Any, ...]] = []
    for minute, rows in now.items():
        machine, time = minute
        is_open = time + MINUTE_NS > closed_to
        last = revision.get(minute, OPEN)
        if rows == before.get(minute) and (is_open or last != OPEN):
            continue
        number = OPEN if is_open else last + 1  # the first word, also after an open minute's, is 0
        cause = causes.get(machine, RevisionCause.LATE_DATA) if number > 0 else RevisionCause.NONE
        stamps.append((machine, time, number, str(cause)))
        gone += ((machine, time, *rest, number, str(cause)) for rest in before.get(minute, {}).keys() - rows.keys())
    versions = pl.DataFrame(stamps, schema=_VERSION, orient="row")
    columns = fresh.select(*_KEYS, *ELEMENT_IDS)
    none = [pl.lit(0, pl.Int64).alias(element) for element in ELEMENT_IDS]
    zeros = pl.DataFrame(
        gone, schema={**fresh.select(_KEYS).schema, "revision": pl.Int64, "cause": pl.Utf8}, orient="row"
    )
    return Revised(
        columns.join(versions, on=_MINUTE, how="inner", maintain_order="left"),
        zeros.select(*_KEYS, *none, "revision", "cause"),
    )


def in_one_number(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `revision` and `cause` in one number in place of the revision, so that the highest of several rows has
    its cause with it. `apart` takes it apart again."""
    numbers = {str(cause): number for number, cause in enumerate(CAUSES)}
    cause = pl.col("cause").replace_strict(numbers, return_dtype=pl.Int64)
    return rows.with_columns(revision=pl.col("revision") * len(CAUSES) + cause)


def apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `revision` and `cause` from the number of `in_one_number`."""
    number = pl.col("revision")
    names = dict(enumerate(map(str, CAUSES)))
    return rows.with_columns(
        revision=number // len(CAUSES), cause=(number % len(CAUSES)).replace_strict(names, return_dtype=pl.Utf8)
    )


def _by_minute(rows: pl.DataFrame) -> dict[tuple[str, int], dict[tuple[Any, ...], bytes]]:
    """Elements as bytes by the rest of their key, by machine and minute.

    Weighed: joins of tables, at a millisecond each for a hundred rows, of which it takes a dozen; or this loop, at two
    microseconds a row. A refresh has a row of each machine, so the loop won.
    """
    elements = np.ascontiguousarray(rows.select(ELEMENT_IDS).to_numpy())
    found: dict[tuple[str, int], dict[tuple[Any, ...], bytes]] = {}
    for (machine, time, *rest), row in zip(rows.select(_KEYS).iter_rows(), elements, strict=True):
        found.setdefault((machine, time), {})[tuple(rest)] = row.tobytes()
    return found


def differing(fresh: pl.DataFrame, held: pl.DataFrame, *, time: str) -> pl.DataFrame:
    """Rows of the machines and minutes of which any row differs from what is held. time: column that says when."""
    minute = (pl.col(time) - pl.col(time) % MINUTE_NS).alias("minute of row")
    columns = fresh.columns
    came = fresh.join(held, on=columns, how="anti", nulls_equal=True)
    went = held.select(columns).join(fresh, on=columns, how="anti", nulls_equal=True)
    changed = pl.concat([came, went]).select("machine", minute).unique()
    return (
        fresh.with_columns(minute).join(changed, on=["machine", minute.meta.output_name()], how="semi").select(columns)
    )
