"""What is new among the rows that the engine says: those that differ from what was said, each with its revision.

Rule 1: the engine may say a row as often as it likes, as after a restart; it is written and sent where it differs.
Rule 2: the first word on a minute that is over is revision 0, each other one counts up and has a cause. What is said of
a minute that is not over is no revision.
Rule 3: whether a figure changed is judged by its rows, to the bit; nothing is rounded before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from edge_agent.journal import OPEN, RevisionCause
from kpi.elements import ELEMENT_IDS, MINUTE_NS

_KEYS: Final = ["machine", "time", "shift", "shift_start", "product"]
_MINUTE: Final = ["machine", "time"]
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
    is_open = pl.col("time") + MINUTE_NS > closed_to
    versions = _versions(fresh, held, closed_to)
    number = (
        pl.when(is_open)
        .then(OPEN)
        .when(pl.col("held_revision") == OPEN)
        .then(0)
        .otherwise(pl.col("held_revision").fill_null(-1) + 1)
    ).cast(pl.Int64)
    cause = pl.lit(RevisionCause.LATE_DATA.value)
    if causes:
        texts = [str(one) for one in causes.values()]
        cause = pl.col("machine").replace_strict(
            list(causes), texts, default=RevisionCause.LATE_DATA.value, return_dtype=pl.Utf8
        )
    stamps = versions.select(*_MINUTE, revision=number).with_columns(
        cause=pl.when(pl.col("revision") > 0).then(cause).otherwise(pl.lit(RevisionCause.NONE.value))
    )
    rows = fresh.select(*_KEYS, *ELEMENT_IDS).join(stamps, on=_MINUTE, how="inner", maintain_order="left")
    gone = held.join(fresh, on=_KEYS, how="anti").select(_KEYS).join(stamps, on=_MINUTE, how="inner")
    zeros = [pl.lit(0, pl.Int64).alias(element) for element in ELEMENT_IDS]
    return Revised(rows, gone.select(*_KEYS, *zeros, "revision", "cause"))


def _versions(fresh: pl.DataFrame, held: pl.DataFrame, closed_to: int) -> pl.DataFrame:
    """Machine, minute and held revision (null where nothing is held) of the minutes that are to be written."""
    minutes = fresh.select(_MINUTE).unique(maintain_order=True)
    known = held.group_by(_MINUTE).agg(pl.col("revision").max().alias("held_revision"))
    minutes = minutes.join(known, on=_MINUTE, how="left", maintain_order="left")
    both = fresh.select(*_KEYS, *ELEMENT_IDS).join(held, on=_KEYS, how="full", suffix=" held", coalesce=True)
    # a null on either side is a row that has no counterpart
    same = pl.all_horizontal(pl.col(element).eq_missing(pl.col(f"{element} held")) for element in ELEMENT_IDS)
    differing = both.filter(~same).select(_MINUTE).unique()
    now_over = (pl.col("held_revision") == OPEN) & (pl.col("time") + MINUTE_NS <= closed_to)
    differs = minutes.join(differing, on=_MINUTE, how="semi", maintain_order="left")
    closes = minutes.filter(now_over).join(differing, on=_MINUTE, how="anti", maintain_order="left")
    return pl.concat([differs, closes])


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
